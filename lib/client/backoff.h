/*
 * backoff: pauses between attempts, with full jitter: random between 0 and a bound that doubles. Many clients that
 * lost one agent at one moment do not come back at one moment. Pure; owned by one thread.
 */
#ifndef MF_CLIENT_BACKOFF_H
#define MF_CLIENT_BACKOFF_H
#include "base/rand.h"

#define MF_BACKOFF_FIRST_MS 200u
#define MF_BACKOFF_MOST_MS 5000u
#define MF_BACKOFF_LIMIT_MS 600000u

struct mf_backoff {
	uint32_t first_ms, most_ms;
	uint32_t bound_ms; /* of the next pause; 0: first_ms */
	struct mf_rand rand;
};

static inline void
mf_backoff_reset(struct mf_backoff *b)
{
	b->bound_ms = 0;
}
/* Milliseconds to pause now; the next bound is twice this one's. */
uint32_t mf_backoff_next(struct mf_backoff *b);
#endif
