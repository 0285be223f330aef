/*
 * grpc_health: grpc.health.v1 Check and Watch as a service to be listed in a struct mf_grpc_server.
 *
 * The owner sets the state of names ("" is the whole server). Watchers are pushed each change, one
 * pending at most. Everything on the thread of the connections.
 */
#ifndef MF_RPC_GRPC_HEALTH_H
#define MF_RPC_GRPC_HEALTH_H
#include "rpc/grpc.h"

#define MF_GRPC_HEALTH_NAMES 8u

enum mf_grpc_health_state {
	MF_GRPC_HEALTH_SERVING = 1,
	MF_GRPC_HEALTH_NOT_SERVING = 2,
	MF_GRPC_HEALTH_SERVICE_UNKNOWN = 3,
};

struct mf_grpc_health;

MF_NODISCARD enum mf_status mf_grpc_health_new(struct mf_grpc_health **ret_h, struct mf_err *err);
/* Only after the connections that may call it are gone. */
void mf_grpc_health_free(struct mf_grpc_health *h);
MF_DEFINE_CLEANUP(struct mf_grpc_health, mf_grpc_health_free)
/* ${name} is copied; at most MF_GRPC_HEALTH_NAMES names. */
MF_NODISCARD enum mf_status mf_grpc_health_set(
    struct mf_grpc_health *h, const char *name, enum mf_grpc_health_state state, struct mf_err *err);
/* Finish all watchers with UNAVAILABLE: the server is going down. */
void mf_grpc_health_shutdown(struct mf_grpc_health *h);
const struct mf_grpc_service *mf_grpc_health_service(const struct mf_grpc_health *h);
/* The client's side of the two methods. */
extern const struct mf_grpc_method mf_grpc_health_check, mf_grpc_health_watch;
#endif
