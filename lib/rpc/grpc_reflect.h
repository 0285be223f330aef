/*
 * grpc_reflect: gRPC server reflection (grpc.reflection.v1 and, for older clients, v1alpha) as a service to be listed
 * in a struct mf_grpc_server: which services there are, and the .proto files that describe them, as protoc made them.
 *
 * What is shown is what is listed: services that the server does not serve, and files that none of its services needs,
 * are not found. Nothing of a caller is asked here: who may ask is the server's admit. Everything on the thread of the
 * connections.
 */
#ifndef MF_RPC_GRPC_REFLECT_H
#define MF_RPC_GRPC_REFLECT_H
#include "rpc/grpc.h"

#define MF_GRPC_REFLECT_REQUEST_MAX 4096u /* bytes of one question */

struct mf_grpc_reflect;

/*
 * ${services} is what the server lists, this service among them; it is looked at when the first question comes and
 * must outlive the object.
 */
MF_NODISCARD enum mf_status mf_grpc_reflect_new(const struct mf_grpc_service *const *services,
    size_t n_services, struct mf_grpc_reflect **ret_r, struct mf_err *err);
/* Only after the connections that may call it are gone. */
void mf_grpc_reflect_free(struct mf_grpc_reflect *r);
MF_DEFINE_CLEANUP(struct mf_grpc_reflect, mf_grpc_reflect_free)
const struct mf_grpc_service *mf_grpc_reflect_service(const struct mf_grpc_reflect *r);
/* Finish all streams with UNAVAILABLE: the server is going down. */
void mf_grpc_reflect_shutdown(struct mf_grpc_reflect *r);
/* The client's side of the method. */
extern const struct mf_grpc_method mf_grpc_reflect_v1, mf_grpc_reflect_v1alpha;
#endif
