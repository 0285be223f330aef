/*
 * job_conn: connections on the job socket, and who is at their other end.
 *
 * Nothing here decides who a caller is: the connected socket goes to the attestor (WhoIs) when the first call that
 * needs an identity has come, and its answer is the caller. What is decided here is whether a message is the
 * caller's own: the kernel names the sender of each one, and a sender that is not the attested process (an
 * inherited or passed descriptor) is shown to the attestor too (SenderIs); until it is known to belong to the same
 * instance, nothing that it may have written is acted on, and if it does not, the connection is closed.
 *
 * Connections of one user are shared between that user's jobs (job_share.c): who is at the cap makes room by what is
 * idle or most numerous, so that no job keeps another of its user out.
 *
 * A call is held while its caller or its identity is not known yet, all calls for the same bounded time.
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_JOB_CONN_H
#define MF_AGENT_FRONT_JOB_CONN_H
#include "agent/front/identities.h"
#include "net/grpc_conn.h"

struct mf_job_conns; /* those of one listener */
struct mf_job_conn;

struct mf_job_conns_config {
	struct mf_loop *loop;
	struct mf_attestor_link *link;
	struct mf_identities *ids;
	uint64_t hold_ms;   /* how long a call is held */
	size_t per_uid;	    /* connections of one user, as the listener allows them; at least 1 */
	uint64_t denied_ms; /* how long "not known" is believed before the attestor is asked again */
	bool no_pidfds;	    /* do as if the kernel passed none */
	bool no_known;	    /* ask the attestor about every connection */
};

/* For /metrics. */
struct mf_job_conns_stats {
	uint64_t who_is, recognised, sender_is, known, denied, foreign_senders, held, held_too_long, gave_way;
	size_t holding; /* gauge */
};

MF_NODISCARD enum mf_status
mf_job_conns_new(const struct mf_job_conns_config *cfg, struct mf_job_conns **ret_a, struct mf_err *err);
/* The listener must be gone. */
void mf_job_conns_free(struct mf_job_conns *a);
MF_DEFINE_CLEANUP(struct mf_job_conns, mf_job_conns_free)
/* For the listener; its ctx is the struct mf_job_conns. */
extern const struct mf_net_conn_ops mf_job_conn_ops;
struct mf_job_conns_stats mf_job_conns_stats(const struct mf_job_conns *a);

/* --- from the link --- */
void mf_job_conns_link_opened(struct mf_job_conns *a);
void mf_job_conns_link_closed(struct mf_job_conns *a);
/* An instance ended: its processes are not recognised any more. */
void mf_job_conns_ended(struct mf_job_conns *a, uint64_t handle);
void mf_job_conns_on_caller(struct mf_job_conns *a, const Mayfly__Roles__V1__Caller *m);

/* What the attestor said of a caller. Strings live until the connection's next answer. */
struct mf_job_caller {
	uint32_t uid;
	int32_t pid;
	const char *grade, *instance_key;
	const char *reason; /* why it is not known, or not yet; else "" */
	const char *const *selectors;
	size_t n_selectors;
};

/* --- a call that needs to know its caller; embedded in the handler's own --- */
enum mf_job_view {
	MF_JOB_WAIT,   /* the caller is not known yet, or a sender is still looked at */
	MF_JOB_DENIED, /* it is nobody we serve */
	MF_JOB_KNOWN,
};
struct mf_job_call;
struct mf_job_call_ops {
	/* Something about the caller or its identity changed: look again. May end the call. */
	void (*changed)(struct mf_job_call *j);
	/* It was held long enough; ${why} says what is missing, for the caller's eyes. It is held no more. */
	void (*timeout)(struct mf_job_call *j, const char *why);
};
struct mf_job_call {
	struct mf_grpc_call *call;
	struct mf_job_conn *conn;
	const struct mf_job_call_ops *ops;
	bool identity; /* it wants the instance's identity, not only to know the caller */
	/* job_conn's own: */
	struct mf_list on_conn, on_hold;
	bool held;
	uint64_t held_until;
	struct mf_identity_use use;
};

/* From on_open or later: held from here on. ${j} is zeroed. Runs no callback. */
void mf_job_call_begin(
    struct mf_job_call *j, struct mf_grpc_call *c, const struct mf_job_call_ops *ops, bool identity);
enum mf_job_view mf_job_call_view(const struct mf_job_call *j);
struct mf_svid_entry *mf_job_call_entry(const struct mf_job_call *j); /* when KNOWN */
const struct mf_job_caller *mf_job_call_caller(const struct mf_job_call *j);
uint64_t mf_job_call_conn_id(const struct mf_job_call *j);
/* It got what it waited for: it is held no more, and counts as an open stream of its instance if it wants an identity. */
void mf_job_call_settled(struct mf_job_call *j);
/* Before it is finished, or when it was cancelled. A second call is a no-op. */
void mf_job_call_end(struct mf_job_call *j);
#endif
