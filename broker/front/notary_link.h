/*
 * notary_link: the front's end of the role link to the notary (rpc/role_links.h, proto/roles.proto).
 *
 * It moves messages and keeps the pending admin calls; decisions are nowhere in this process. The link comes from
 * the supervisor (mf_notary_link_connect), dies with either process, and comes again: then hellos are said anew.
 * What is sent while there is no link is dropped; calls are answered MF_E_UNAVAILABLE.
 *
 * Callbacks run from the loop, never inside a function of this header, but for mf_notary_link_connect, which may run
 * gone for the link before. Loop's thread.
 */
#ifndef MF_FRONT_NOTARY_LINK_H
#define MF_FRONT_NOTARY_LINK_H
#include "net/loop.h"
#include "rpc/role_links.h"

#include "roles.pb-c.h"

struct mf_notary_link; /* opaque */
struct mf_notary_call; /* opaque: one admin call that waits for its answer */

/* All are set. Messages and slices are valid during the callback. */
struct mf_notary_link_ops {
	void (*open)(void *ctx, uint64_t log_size); /* the hellos are said */
	/* ${broken}: by a violation that only new processes cure; else the notary is gone and will be back. */
	void (*gone)(void *ctx, bool broken, const char *why);
	void (*session_data)(void *ctx, uint64_t sid, bool handshake, struct mf_slice body);
	void (*session_close)(void *ctx, uint64_t sid, const char *reason);
	void (*session_node)(void *ctx, uint64_t sid, const char *node);
	void (*node_out)(void *ctx, const char *node);
	void (*server_certificate)(void *ctx, struct mf_slice chain, int64_t not_after);
	void (*records)(
	    void *ctx, uint64_t first, const struct mf_slice *records, size_t n, uint64_t log_size);
	void (*document)(void *ctx, const Mayfly__Agent__V1__Document *doc);
	void (*status)(void *ctx, const Mayfly__Roles__V1__NotaryStatus *status);
	void (*distrusted)(void *ctx, const Mayfly__Roles__V1__Distrusted *m); /* CA keys */
	void (*room)(void *ctx); /* after mf_notary_link_full had been true */
};

struct mf_notary_link_conf {
	const char *build_id, *trust_domain, *broker_id; /* outlive the link; the notary's must be the same */
	const struct mf_notary_link_ops *ops;
	void *ctx;
};

MF_NODISCARD enum mf_status mf_notary_link_new(struct mf_loop *l, const struct mf_notary_link_conf *conf,
    struct mf_notary_link **ret_l, struct mf_err *err);
/* Pending calls are dropped without an answer. NULL is a no-op. */
void mf_notary_link_free(struct mf_notary_link *l);
MF_DEFINE_CLEANUP(struct mf_notary_link, mf_notary_link_free)

/*
 * A new end: the old one is dropped, FrontHello is said with the read model's position (${root} NULL when it is 0).
 * Takes ${fd}.
 */
MF_NODISCARD enum mf_status mf_notary_link_connect(
    struct mf_notary_link *l, int fd, uint64_t applied, const uint8_t *root, struct mf_err *err);
bool mf_notary_link_open(const struct mf_notary_link *l);
/* More than enough waits for the notary: take nothing more from sessions until ops->room. */
bool mf_notary_link_full(const struct mf_notary_link *l);
size_t mf_notary_link_queued(const struct mf_notary_link *l);

void mf_notary_link_session_open(
    struct mf_notary_link *l, uint64_t sid, const char *peer_node, const char *remote);
void
mf_notary_link_session_data(struct mf_notary_link *l, uint64_t sid, bool handshake, struct mf_slice body);
void mf_notary_link_session_credit(struct mf_notary_link *l, uint64_t sid, uint32_t chunks);
void mf_notary_link_session_close(struct mf_notary_link *l, uint64_t sid, const char *reason);
void mf_notary_link_certify_server(struct mf_notary_link *l, struct mf_slice point);
void mf_notary_link_log_ack(struct mf_notary_link *l, uint64_t applied);

/*
 * The answer to a call: MF_OK with ${reply} (valid during the callback, what_case is not 0), else the notary's refusal
 * or MF_E_UNAVAILABLE (no link, or no answer in time: then nothing is known about what was done).
 */
typedef void (*mf_notary_reply)(
    void *ctx, enum mf_status s, const struct mf_err *err, const Mayfly__Roles__V1__AdminReply *reply);
/* ${call}'s call_id is set here. Fails with MF_E_UNAVAILABLE, MF_E_TOOBIG, MF_E_EXHAUSTED, MF_E_NOMEM. */
MF_NODISCARD enum mf_status mf_notary_link_call(struct mf_notary_link *l, Mayfly__Roles__V1__AdminCall *call,
    uint32_t timeout_ms, mf_notary_reply fn, void *ctx, struct mf_notary_call **ret_call, struct mf_err *err);
/* The answer is of no interest any more: ${fn} does not run. Only before it ran. */
void mf_notary_call_cancel(struct mf_notary_call *c);
#endif
