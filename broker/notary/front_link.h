/*
 * front_link: the notary's end of the role link to the broker's front: hellos, sessions, admin calls, the feed of
 * durable records. It moves messages; decisions are the engine's.
 *
 * State thread only. After any failure the link is closed and dead until the supervisor gives a new one.
 */
#ifndef MF_NOTARY_FRONT_LINK_H
#define MF_NOTARY_FRONT_LINK_H
#include "broker/notary/engine.h"
#include "rpc/role_links.h"

struct mf_front_link; /* opaque */

/* What arrives. The callbacks run inside mf_front_link_read. */
struct mf_front_ops {
	void (*hello)(void *ctx, uint64_t applied_index);
	void (*session_open)(void *ctx, uint64_t sid); /* before anything else of it */
	void (*session_data)(void *ctx, uint64_t sid, bool handshake, struct mf_slice body);
	void (*session_credit)(void *ctx, uint64_t sid, uint32_t chunks);
	void (*session_close)(void *ctx, uint64_t sid);
	void (*admin_call)(void *ctx, const Mayfly__Roles__V1__AdminCall *call);
	void (*certify_server)(void *ctx, struct mf_slice point);
	void (*gone)(void *ctx, const char *why); /* the link died */
};

struct mf_front_link_conf {
	const char *build_id, *broker_id, *trust_domain;
	int wal_dirfd; /* the log's segments, for the feed */
	const struct mf_front_ops *ops;
	void *ctx;
};

MF_NODISCARD enum mf_status
mf_front_link_new(const struct mf_front_link_conf *conf, struct mf_front_link **ret_l, struct mf_err *err);
void mf_front_link_free(struct mf_front_link *l);
MF_DEFINE_CLEANUP(struct mf_front_link, mf_front_link_free)
/* A new end, from the supervisor: the old one is dropped, NotaryHello is said. Takes ${fd}. */
MF_NODISCARD enum mf_status
mf_front_link_connect(struct mf_front_link *l, int fd, uint64_t log_size, struct mf_err *err);
int mf_front_link_fd(const struct mf_front_link *l); /* -1: not connected */
bool mf_front_link_wants_write(const struct mf_front_link *l);
void mf_front_link_read(struct mf_front_link *l);
void mf_front_link_write(struct mf_front_link *l);

void mf_front_link_session_data(struct mf_front_link *l, uint64_t sid, bool handshake, struct mf_slice body);
void mf_front_link_session_close(struct mf_front_link *l, uint64_t sid, const char *reason);
void mf_front_link_admin_reply(struct mf_front_link *l, const Mayfly__Roles__V1__AdminReply *reply);
void mf_front_link_server_certificate(struct mf_front_link *l, struct mf_slice chain, int64_t not_after);
/* What the front's tables and admission need to know of nodes. */
void mf_front_link_session_node(struct mf_front_link *l, uint64_t sid, const char *node_id);
void mf_front_link_node_out(struct mf_front_link *l, const char *node_id);
/* ${log_size}: the durable part. */
void mf_front_link_say_status(struct mf_front_link *l, const struct mf_engine_status *st, uint64_t log_size,
    uint64_t batches, uint32_t leases_open);
/* A document beside the bundle, now and to every front that comes later; the last of its kind. Copied. */
void mf_front_link_document(
    struct mf_front_link *l, Mayfly__Agent__V1__DocumentKind kind, uint64_t number, struct mf_slice body);
/* The bundle that is handed out, now and to a front that comes later. Copied. */
void mf_front_link_bundle(struct mf_front_link *l, uint64_t number, struct mf_slice der);
/* Key ids (20 bytes each) that the front's certificate must not be signed by; likewise. */
void mf_front_link_distrusted(struct mf_front_link *l, struct mf_slice ids);
/* Records below ${size} are durable: the feed may go so far. */
void mf_front_link_durable(struct mf_front_link *l, uint64_t size);
#endif
