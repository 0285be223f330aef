/*
 * admin_remote: the admin API for people elsewhere: mutual TLS 1.3 on a listener of its own, with its own small limits,
 * so that no administrator, slow or hostile, takes anything from agents. Off without a listening socket.
 *
 * Who is let in: certificates that admin_access.h accepts. One without any role gets in far enough to be told so;
 * few such connections exist at a time. A change of roles closes every connection: clients dial again.
 *
 * Part of admin_api.c; loop's thread.
 */
#ifndef MF_FRONT_ADMIN_REMOTE_H
#define MF_FRONT_ADMIN_REMOTE_H
#include "broker/front/admin_internal.h"

struct mf_admin_remote; /* opaque */

struct mf_admin_remote_conf {
	int fd; /* listening; taken over on MF_OK */
	const char *trust_domain;
	const struct mf_grpc_server *server; /* outlives it */
	struct mf_net_limits net; /* 0: 64 connections, 16 of one address, 8 handshakes at a time */
	struct mf_net_counters *counters;
};

MF_NODISCARD enum mf_status mf_admin_remote_new(struct mf_loop *l, const struct mf_admin_remote_conf *conf,
    struct mf_admin_remote **ret_r, struct mf_err *err);
void mf_admin_remote_free(struct mf_admin_remote *r); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_admin_remote, mf_admin_remote_free)

/* NULL for ${r} is a no-op in all of these. */
/* Roles and authorities, packed AdminAccess. Not MF_OK: what was in force stays. */
MF_NODISCARD enum mf_status
mf_admin_remote_access(struct mf_admin_remote *r, struct mf_slice packed, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_admin_remote_bundle(struct mf_admin_remote *r, struct mf_slice bundle, struct mf_err *err);
/* The front's TLS identity: chain leaf first, PKCS#8 key. Nobody can connect before. */
MF_NODISCARD enum mf_status mf_admin_remote_identity(struct mf_admin_remote *r, const struct mf_slice *chain,
    size_t n, struct mf_slice key, struct mf_err *err);
/* Of a peer of this listener, now: its role may have changed and its certificate expired. */
enum mf_admin_role
mf_admin_remote_role(const struct mf_admin_remote *r, const struct mf_admin_peer *p, struct mf_err *why);
void mf_admin_remote_drain(struct mf_admin_remote *r);
size_t mf_admin_remote_conns(const struct mf_admin_remote *r);
#endif
