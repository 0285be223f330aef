#include "client/backoff.h"

uint32_t
mf_backoff_next(struct mf_backoff *b)
{
	uint32_t r = 0;
	if (b->bound_ms == 0)
		b->bound_ms = b->first_ms;
	uint32_t bound = b->bound_ms;
	b->bound_ms = bound > b->most_ms / 2 ? b->most_ms : bound * 2;
	b->rand.fill(b->rand.ctx, &r, sizeof(r));
	return (uint32_t)(((uint64_t)r * ((uint64_t)bound + 1)) >> 32);
}
