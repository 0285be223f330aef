#include "agent/core/rotation.h"

#define NEVER UINT64_MAX

uint64_t
mf_rotation_uniform(struct mf_rand rand, uint64_t below)
{
	if (below == 0)
		return 0;
	uint64_t v;
	rand.fill(rand.ctx, &v, sizeof(v));
	/* The bias is below/2^64: nothing, for delays. */
	return v % below;
}

uint64_t
mf_rotation_backoff(struct mf_rand rand, uint64_t base, unsigned failures, uint64_t cap)
{
	uint64_t ceiling = base;
	for (unsigned i = 0; i < failures && ceiling < cap; i++)
		ceiling *= 2;
	return mf_rotation_uniform(rand, (ceiling < cap ? ceiling : cap) + 1);
}

/* Milliseconds until the wall clock shows ${us}; 0 when it has passed. */
static uint64_t
left_ms(int64_t us, struct mf_now now)
{
	return us <= now.wall_us ? 0 : (uint64_t)(us - now.wall_us) / 1000;
}

static bool
wanted(const struct mf_rotation *r, const struct mf_rotation_want *w, struct mf_now now)
{
	if (w->waiting || w->streams > 0)
		return true;
	/* Without a credential, nobody's past interest starts a new one. */
	return r->held && w->fetched && now.mono_ms - w->fetched_ms < r->lifetime_ms;
}

struct mf_rotation_next
mf_rotation_step(const struct mf_rotation *r, const struct mf_rotation_want *w, struct mf_now now)
{
	uint64_t end = NEVER;
	if (r->held) {
		if (r->expires_us <= now.wall_us)
			return (struct mf_rotation_next) { MF_ROTATION_LAPSE, now.mono_ms };
		/* + 1: not a part of a millisecond too early */
		end = now.mono_ms + left_ms(r->expires_us, now) + 1;
	}
	uint64_t ask = NEVER;
	if (r->asked) {
		ask = r->asked_ms + (w->answer_ms != 0 ? w->answer_ms : MF_ROTATION_ANSWER_MS);
		if (ask <= now.mono_ms)
			return (struct mf_rotation_next) { MF_ROTATION_GIVE_UP, now.mono_ms };
	} else if (w->reachable && wanted(r, w, now)) {
		ask = r->held ? r->due_ms : now.mono_ms;
		if (ask < r->not_before_ms)
			ask = r->not_before_ms;
		if (ask <= now.mono_ms)
			return (struct mf_rotation_next) { MF_ROTATION_ASK, now.mono_ms };
	}
	return (struct mf_rotation_next) { MF_ROTATION_SLEEP, ask < end ? ask : end };
}

void
mf_rotation_asked(struct mf_rotation *r, struct mf_now now)
{
	r->asked = true;
	r->asked_ms = now.mono_ms;
}

void
mf_rotation_granted(struct mf_rotation *r, int64_t not_after_s, struct mf_now now, struct mf_rand rand)
{
	r->held = true;
	r->asked = false;
	r->failures = 0;
	r->expires_us = not_after_s > INT64_MAX / 1000000 ? INT64_MAX : not_after_s * 1000000;
	r->lifetime_ms = left_ms(r->expires_us, now);
	r->due_ms = now.mono_ms + r->lifetime_ms * 2 / 5 + mf_rotation_uniform(rand, r->lifetime_ms / 5 + 1);
	r->not_before_ms = now.mono_ms + MF_ROTATION_LEAST_MS;
}

void
mf_rotation_failed(struct mf_rotation *r, struct mf_now now, struct mf_rand rand)
{
	r->asked = false;
	r->not_before_ms = now.mono_ms + mf_rotation_backoff(rand, MF_ROTATION_RETRY_MS, r->failures,
					     MF_ROTATION_RETRY_MAX_MS);
	if (r->failures < UINT32_MAX)
		r->failures++;
}

void
mf_rotation_drop(struct mf_rotation *r)
{
	*r = (struct mf_rotation) { .failures = r->failures, .not_before_ms = r->not_before_ms };
}

void
mf_rotation_void(struct mf_rotation *r)
{
	r->asked = false;
}

void
mf_rotation_clear(struct mf_rotation *r)
{
	r->failures = 0;
	r->not_before_ms = 0;
}

void
mf_rotation_wait(struct mf_rotation *r, uint64_t after_ms, struct mf_now now)
{
	r->not_before_ms = now.mono_ms + after_ms;
}

void
mf_rotation_hurry(struct mf_rotation *r, uint64_t within_ms, struct mf_now now, struct mf_rand rand)
{
	uint64_t due = now.mono_ms + mf_rotation_uniform(rand, within_ms + 1);
	if (r->held && due < r->due_ms)
		r->due_ms = due;
}
