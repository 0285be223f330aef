/*
 * inner_client: the attestor's side of the inner session, as a state machine without I/O and without protobuf
 * (proto/agent.proto tells the order). What it decides it asks for through struct mf_ic_ops; bytes, keys, files
 * and clocks are its owner's.
 *
 *   DOWN       no session
 *   GREETING   Hello or Join is under way
 *   RESYNCING  the new session value is stored and confirmed; spooled ends, then Resync, are under way
 *   READY      attaches and renewals go through
 *   REFUSED    the broker does not want this node; tried again on the next session
 *
 * Ends go out as soon as the session value is confirmed, before the resync that names what lives and was
 * ever asked for; each goes out
 * once a session until the broker says that it is recorded. Requests are made in READY only; those that are
 * unanswered when the session ends are answered as lost: their keys are not used again.
 * The table of instances is the caller's and is read here; only callbacks change it.
 * Thread rule: one thread. Callbacks must not call back into the same object, mf_ic_end and mf_ic_phase excepted.
 */
#ifndef MF_AGENT_CORE_INNER_CLIENT_H
#define MF_AGENT_CORE_INNER_CLIENT_H
#include "agent/core/instances.h"
#include "base/clock.h"

#define MF_IC_VERSION 1u
#define MF_IC_SESSION_VALUE 16u		       /* bytes */
#define MF_IC_GREETING_MS 30000u	       /* for each step until READY */
#define MF_IC_SESSION_MS (24u * 3600u * 1000u) /* a new handshake is due */
#define MF_IC_HEARTBEAT_MS 30000u	       /* when the broker names none */
#define MF_IC_REQUESTS_MAX 8192u	       /* unanswered at a time */
#define MF_IC_REQUEST_MS 60000u		       /* an answer that takes longer is lost */

enum mf_ic_phase {
	MF_IC_DOWN = 0,
	MF_IC_GREETING,
	MF_IC_RESYNCING,
	MF_IC_READY,
	MF_IC_REFUSED,
	MF_IC_PHASE_COUNT
};
const char *mf_ic_phase_name(enum mf_ic_phase p);

/* Messages that the machine sends by itself. */
enum mf_ic_what { MF_IC_HELLO, MF_IC_JOIN, MF_IC_STORED, MF_IC_RESYNC, MF_IC_HEARTBEAT };

/* What a request was, told back with its answer. */
enum mf_ic_kind {
	MF_IC_ATTACH = 1,
	MF_IC_RENEW,
	MF_IC_CERTIFY,
	MF_IC_MINT,
	MF_IC_MANAGER,
	MF_IC_EXPLAIN,
	MF_IC_CLOUD
};

/* mayfly.agent.v1.Verdict */
enum mf_ic_verdict { MF_IC_KEEP = 1, MF_IC_SUSPENDED = 2, MF_IC_ENDED = 3, MF_IC_UNKNOWN = 4 };

/* Refusal codes that mean something here; the numbers are those of mayfly.agent.v1.RefusalCode. */
enum mf_ic_refusal {
	MF_IC_R_UNAVAILABLE = 2,
	MF_IC_R_NODE_EVICTED = 6,
	MF_IC_R_NODE_UNKNOWN = 7,
	MF_IC_R_CLONE = 8,
	MF_IC_R_VERSION = 9,
	MF_IC_R_TOKEN = 10
};

struct mf_ic_ops {
	/*
	 * Send ${what} with ${request_id} on the bounded lane. RESYNC: name ${held} (${n} of them). Failing to
	 * queue is the session's end: call mf_ic_closed from the loop, not from here.
	 */
	void (*send)(
	    void *ctx, enum mf_ic_what what, uint64_t request_id, struct mf_instance *const *held, size_t n);
	/* In READY on the removal lane; before, on the bounded one, which keeps it behind STORED. */
	void (*send_end)(void *ctx, uint64_t request_id, const struct mf_instance *i);
	/* Put the value on disk, synced, before this returns MF_OK; otherwise the session is closed. */
	enum mf_status (*store)(void *ctx, struct mf_slice session_value, struct mf_err *err);
	void (*verdict)(void *ctx, struct mf_instance *i, enum mf_ic_verdict v);
	void (*recorded)(void *ctx, struct mf_instance *i); /* its end is on record; may delete it */
	/* A request will not be answered: the session or the time is over. */
	void (*lost)(void *ctx, enum mf_ic_kind kind, uint64_t tag);
	void (*phase)(void *ctx, enum mf_ic_phase p, const char *reason);
	void (*close)(
	    void *ctx, const char *reason); /* end the session; mf_ic_closed follows from the loop */
	void (*evicted)(void *ctx);	    /* the broker put this node out: its credentials are void */
};

struct mf_inner_client; /* opaque */

/* ${ops} and ${table} are borrowed for its life. */
MF_NODISCARD enum mf_status mf_ic_new(const struct mf_ic_ops *ops, void *ctx, struct mf_instances *table,
    struct mf_inner_client **ret_c, struct mf_err *err);
void mf_ic_free(struct mf_inner_client *c); /* tells nobody */
MF_DEFINE_CLEANUP(struct mf_inner_client, mf_ic_free)
enum mf_ic_phase mf_ic_phase(const struct mf_inner_client *c);

/* The handshake is done. ${join}: this key is not registered, as far as we know, and a token is at hand. */
void mf_ic_opened(struct mf_inner_client *c, bool join, struct mf_now now);
void mf_ic_closed(struct mf_inner_client *c, const char *reason, struct mf_now now);

struct mf_ic_welcome {
	uint32_t version;
	struct mf_slice session_value;
	uint32_t heartbeat_ms; /* 0: ours */
};
/*
 * What came from the broker. MF_E_INVALID: it breaks the order or the rules of the protocol (the session is to
 * be closed; nothing was changed). Owner's work (trust, node id) is done before mf_ic_welcome is called.
 */
MF_NODISCARD enum mf_status mf_ic_welcome(struct mf_inner_client *c, uint64_t request_id,
    const struct mf_ic_welcome *w, struct mf_now now, struct mf_err *err);
struct mf_ic_verdict_in {
	struct mf_slice instance_key;
	enum mf_ic_verdict verdict;
};
MF_NODISCARD enum mf_status mf_ic_resync_answer(struct mf_inner_client *c, uint64_t request_id,
    const struct mf_ic_verdict_in *v, size_t n, struct mf_now now, struct mf_err *err);
/* request_id 0 or that of our End. An instance that is not ours, or not ended, is ignored: the end was told twice. */
void mf_ic_end_answer(struct mf_inner_client *c, struct mf_slice instance_key, bool recorded);
/*
 * A refusal. *ret_kind 0: it was for the session, and dealt with; else the request's kind and tag are
 * written and the owner deals with it. MF_E_INVALID: no such request.
 */
MF_NODISCARD enum mf_status mf_ic_refusal(struct mf_inner_client *c, uint64_t request_id, uint32_t code,
    const char *reason, enum mf_ic_kind *ret_kind, uint64_t *ret_tag, struct mf_now now, struct mf_err *err);
/* The answer to a request of ${kind} came: *ret_tag. MF_E_INVALID: no such request of that kind. */
MF_NODISCARD enum mf_status mf_ic_answered(
    struct mf_inner_client *c, uint64_t request_id, unsigned kinds, uint64_t *ret_tag, struct mf_err *err);

/*
 * Make a request: *ret_id is for the owner to send with. ${tag} comes back (an instance's handle).
 * MF_E_UNAVAILABLE: not READY; MF_E_EXHAUSTED: MF_IC_REQUESTS_MAX are unanswered; MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_ic_request(struct mf_inner_client *c, enum mf_ic_kind kind, uint64_t tag,
    struct mf_now now, uint64_t *ret_id, struct mf_err *err);
/* ${i} is in state ENDED: tell the broker now if that can be, else with the next session. */
void mf_ic_end(struct mf_inner_client *c, const struct mf_instance *i);

/* Time passed: heartbeats, steps and answers that are overdue, the end of a long session. */
void mf_ic_tick(struct mf_inner_client *c, struct mf_now now);
/* When mf_ic_tick has something to do at the latest, mono_ms. */
uint64_t mf_ic_due(const struct mf_inner_client *c);
#endif
