/*
 * rotation: when to ask for credentials, and when not to. Pure: time and randomness are arguments.
 *
 * One object for one instance (or for the front's own outer certificate). A request is asked for when somebody
 * waits, or when half of what was left at the grant has passed, moved by up to a fifth of it either way so that a
 * fleet that started together does not renew together. It is asked for only while somebody holds a stream or fetched
 * within one lifetime (design 4.4); else the credential is left to lapse. A failure that may pass is tried again
 * after a random part of a growing delay (full jitter). At most one request is out at a time.
 * Thread rule: one thread.
 */
#ifndef MF_AGENT_CORE_ROTATION_H
#define MF_AGENT_CORE_ROTATION_H
#include "base/clock.h"
#include "base/rand.h"

#define MF_ROTATION_RETRY_MS 500u	/* the first delay is a random part of this */
#define MF_ROTATION_RETRY_MAX_MS 30000u /* it doubles up to this */
#define MF_ROTATION_LEAST_MS \
	1000u /* two requests for one instance are at least so far apart, when it holds one */
#define MF_ROTATION_ANSWER_MS 60000u /* a request without answer is given up after so long */

struct mf_rotation {
	bool held;		/* a credential is there */
	bool asked;		/* a request is out */
	unsigned failures;	/* in a row */
	int64_t expires_us;	/* wall clock */
	uint64_t lifetime_ms;	/* that was left at the grant */
	uint64_t due_ms;	/* mono: renewal */
	uint64_t not_before_ms; /* mono: no request earlier than this */
	uint64_t asked_ms;
};

/* Who cares. */
struct mf_rotation_want {
	bool waiting;	     /* a call is held for the answer */
	size_t streams;	     /* open streams */
	bool fetched;	     /* ever */
	uint64_t fetched_ms; /* mono: when last */
	bool reachable;	     /* a request would get through now */
	uint64_t answer_ms;  /* how long an answer may take; 0: MF_ROTATION_ANSWER_MS */
};

enum mf_rotation_do {
	MF_ROTATION_SLEEP,   /* nothing until at_ms, or until something changes */
	MF_ROTATION_ASK,     /* send a request with new keys, then mf_rotation_asked */
	MF_ROTATION_LAPSE,   /* it has expired: wipe it, then mf_rotation_drop */
	MF_ROTATION_GIVE_UP, /* no answer came: forget the keys of the request, then mf_rotation_failed */
};
struct mf_rotation_next {
	enum mf_rotation_do what;
	uint64_t at_ms; /* mono; UINT64_MAX: no time of its own */
};

/* All zeros is the start: nothing held, nothing asked. */
struct mf_rotation_next
mf_rotation_step(const struct mf_rotation *r, const struct mf_rotation_want *w, struct mf_now now);

void mf_rotation_asked(struct mf_rotation *r, struct mf_now now);
/* A credential came that expires at ${not_after_s} (unix seconds): also without having been asked for. */
void mf_rotation_granted(struct mf_rotation *r, int64_t not_after_s, struct mf_now now, struct mf_rand rand);
/* It failed and may be tried again. */
void mf_rotation_failed(struct mf_rotation *r, struct mf_now now, struct mf_rand rand);
/* Nothing is held any more and nothing is asked (wiped, suspended, refused, link lost): ask anew when wanted. */
void mf_rotation_drop(struct mf_rotation *r);
/* The request that is out is void (its link died); what is held stays. */
void mf_rotation_void(struct mf_rotation *r);
/* What failed before says nothing any more (another session): no wait, no failures. */
void mf_rotation_clear(struct mf_rotation *r);
/* Not before ${after_ms} from now (after a refusal). */
void mf_rotation_wait(struct mf_rotation *r, uint64_t after_ms, struct mf_now now);
/* Renew now (jittered within ${within_ms}), as if half-life had come. */
void mf_rotation_hurry(struct mf_rotation *r, uint64_t within_ms, struct mf_now now, struct mf_rand rand);

/* Uniform in [0, ${below}); 0 for 0. */
uint64_t mf_rotation_uniform(struct mf_rand rand, uint64_t below);
/* A random part of ${base} doubled ${failures} times (once for each failure), at most ${cap}: full jitter. */
uint64_t mf_rotation_backoff(struct mf_rand rand, uint64_t base, unsigned failures, uint64_t cap);
#endif
