/*
 * front: the broker's exposed role, put together: notary link, feed and read model, sessions of agents, admin API,
 * status pages. It decides nothing: it relays, admits, and serves what it was told. Single-threaded on one loop.
 *
 * main.c makes it from what the supervisor gave; tests make it with sockets of their own and a notary of theirs.
 */
#ifndef MF_FRONT_FRONT_H
#define MF_FRONT_FRONT_H
#include "broker/front/admin_api.h"

struct mf_broker_front; /* opaque */

struct mf_broker_front_conf {
	const char *build_id, *release, *trust_domain, *broker_id; /* outlive the front */
	int agents_fd, admin_fd; /* listening; taken over, also when mf_broker_front_new fails */
	int metrics_fd;		 /* the same; -1: none */
	int admin_tls_fd;	 /* the same: the admin API by mutual TLS; -1: none */
	struct mf_slice admins;	 /* packed AdminAccess: who may what there; outlives mf_broker_front_new */
	int db_dirfd;		 /* borrowed; becomes the working directory */
	const uint32_t *admin_uids;
	size_t n_admin_uids;
	uint32_t admin_gid; /* MF_ADMIN_NO_GROUP */
	struct mf_peers_limits peers;
	struct mf_net_limits agents_net, admin_tls_net;
	uint32_t first_ms;	    /* sessions.h */
	uint32_t call_ms, login_ms; /* admin_api.h */
	uint32_t
	    relink_ms; /* without a notary link for so long: give up, so that the supervisor wires anew; 0: 60 s */
	uint32_t stop_ms; /* drains at most so long; 0: 3 s */
	/* Asks whose login a caller's is (admin_api.h); the answer comes by mf_broker_front_login. NULL: nobody is asked. */
	enum mf_status (*ask_login)(void *ctx, uint32_t number, int sock, struct mf_err *err);
	/* The loop was stopped: ${code} is the role's exit code. */
	void (*leave)(void *ctx, int code);
	void *ctx;
};

MF_NODISCARD enum mf_status mf_broker_front_new(struct mf_loop *l, const struct mf_broker_front_conf *conf,
    struct mf_broker_front **ret_f, struct mf_err *err);
/* Checkpoints the read model. */
void mf_broker_front_free(struct mf_broker_front *f);
MF_DEFINE_CLEANUP(struct mf_broker_front, mf_broker_front_free)
/* The link to the notary, from the supervisor; takes ${fd}. */
MF_NODISCARD enum mf_status mf_broker_front_link(struct mf_broker_front *f, int fd, struct mf_err *err);
void mf_broker_front_login(struct mf_broker_front *f, uint32_t number, uint32_t uid);
/* Roles of remote administrators, read anew. Not MF_OK: those in force stay. */
MF_NODISCARD enum mf_status
mf_broker_front_admins(struct mf_broker_front *f, struct mf_slice packed, struct mf_err *err);
/* Drain, then leave with code 0. Again: at once. */
void mf_broker_front_stop(struct mf_broker_front *f);
#endif
