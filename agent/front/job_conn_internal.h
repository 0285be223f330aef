/*
 * job_conn_internal: what job_conn.c (callers and their calls), job_senders.c (who writes on a connection), job_looks.c (what is
 * asked of the attestor, and when) and job_share.c (how many each job may have) share.
 */
#ifndef MF_AGENT_FRONT_JOB_CONN_INTERNAL_H
#define MF_AGENT_FRONT_JOB_CONN_INTERNAL_H
#include "agent/front/job_conn.h"
#include "agent/front/known.h"
#include "agent/front/sender.h"
#include "base/arena.h"
#include "base/fair.h"
#include "base/map.h"

#define MF_UNVERIFIED_MAX 4u /* senders that are looked at, at one time */
#define MF_VERIFIED_MAX \
	8u /* senders of one connection that are remembered; the first is the attested process */

#define MF_LOOKS_EACH 2u /* questions to the attestor that are out, of one user */
#define MF_LOOKS_ALL 8u	 /* and of all: what a newcomer of another user may find before it */

enum conn_state { FRESH, KNOWN, DENIED };

struct mf_job_conn {
	struct mf_job_conns *all;
	struct mf_net_conn *net;
	uint64_t id;
	enum conn_state state;
	bool asked;		      /* WhoIs is out, or waits for its turn */
	bool asked_sender;	      /* SenderIs for unverified[0] is, or does */
	bool wants_who, wants_sender; /* which of them waits */
	bool retry;		      /* ask again soon */
	bool foreign;		      /* somebody else wrote on it: it is being closed */
	bool leaving;		      /* it gave way to another job of its user: it is being closed */
	bool numbers;		      /* senders come without pidfds: nothing about them is remembered */
	bool proven;		      /* and the attested process has answered a challenge on it */
	bool again;		      /* a message came while the sender of an earlier one was looked at */
	uint32_t shown;		      /* the attestor of this generation has seen it */
	uint32_t answered;	      /* and of this one said who it is */
	uint64_t denied_until;
	struct mf_sender verified[MF_VERIFIED_MAX], unverified[MF_UNVERIFIED_MAX];
	size_t n_verified, n_unverified;
	struct mf_arena *memory; /* of ${caller} */
	struct mf_job_caller caller;
	struct mf_identity_watch watch;
	struct mf_list calls;
	struct mf_fair_item look;
	bool map_oom;
	UT_hash_handle hh;
};

/* A question that is out. */
struct mf_job_look {
	uint64_t conn_id;
	uid_t uid;
	bool sender;
};

/* Who has most connections that wait, and for how many more questions that is sure. */
struct mf_job_hasty {
	uid_t uid;
	pid_t pid;
	size_t good_for;
};

struct mf_job_conns {
	struct mf_job_conns_config cfg;
	struct mf_job_conn *by_id;
	struct mf_list holding; /* oldest first: all are held equally long */
	struct mf_loop_timer *hold_timer, *retry_timer;
	struct mf_known *known;
	struct mf_fair *looks; /* connections that wait to be shown to the attestor, by user */
	struct mf_job_look out[MF_LOOKS_ALL];
	size_t n_out;
	uint64_t last_id;
	struct mf_job_hasty hasty;
	const struct mf_job_conn *goes; /* the one that was named last to make room */
	size_t n_leaving;
	uint64_t crowd_told_ms; /* when somebody was last told of a crowd; 0: never */
	struct mf_job_conns_stats stats;
};

/* ---- job_conn.c ---- */
/* Something about the caller changed: all calls look again. */
void mf_job_conn_changed(struct mf_job_conn *c);
/* Ask again soon. */
void mf_job_conn_retry(struct mf_job_conn *c);
/* Show the connection to the attestor. */
void mf_job_conn_ask(struct mf_job_conn *c);
/* The attestor of now has seen it. */
bool mf_job_conn_shown(const struct mf_job_conn *c);
/* It is nobody we serve. */
void mf_job_conn_deny(struct mf_job_conn *c);

/* End its calls, saying ${why} (static) to those that wait, and close it. */
void mf_job_conn_give_way(struct mf_job_conn *c, const char *why);

/* ---- job_looks.c ---- */
/* Ask about ${c} (asked), or about unverified[0] of it (asked_sender), when its user's turn comes. Runs no callback. */
void mf_job_look_who(struct mf_job_conn *c);
void mf_job_look_sender(struct mf_job_conn *c);
/* It waits for nothing any more. */
void mf_job_look_leave(struct mf_job_conn *c);
/* An answer came (its connection may be gone): the next question may go out. */
void mf_job_looks_answered(struct mf_job_conns *a, uint64_t conn_id, bool sender);
/* The link is lost: nothing is asked, and nothing waits. */
void mf_job_looks_void(struct mf_job_conns *a);

/* ---- job_share.c ---- */
/* The listener's on_peer_cap. */
struct mf_net_conn *mf_job_share_room(void *ctx, const struct mf_net_conn *newcomer);
/* ${c} is closed, or its state is another. */
void mf_job_share_left(struct mf_job_conn *c);
/* Has its user as many attested connections as it may have? */
bool mf_job_share_full(const struct mf_job_conn *c);
/* ${c} was just attested: if its user has too many such now, one gives way. False: it was ${c}. */
bool mf_job_share_keep(struct mf_job_conn *c);

/* ---- job_senders.c ---- */
/* Let through who is known, in order; ask about the first who is not. */
void mf_senders_verify(struct mf_job_conn *c);
/* Where senders are numbers: who was attested must show that it holds the socket. */
void mf_senders_challenge(struct mf_job_conn *c);
void mf_senders_answer(struct mf_job_conn *c, const Mayfly__Roles__V1__Caller *m);
/* The listener's on_sender. */
bool mf_senders_on_sender(void *ctx, struct mf_net_conn *net, const struct mf_net_sender *from);
#endif
