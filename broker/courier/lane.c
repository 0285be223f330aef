#include "broker/courier/lane.h"

#define SHUT_MIN_MS 1000u
#define SHUT_MAX_MS 60000u
#define CALM_MS 500u

enum mf_lane_verdict
mf_lane_ask(const struct mf_lane *l, uint64_t now_ms, bool removal, uint32_t *ret_after_ms)
{
	bool shut = l->shut_until_ms != 0;
	if (removal)
		return l->removals >= (shut ? 1 : MF_LANE_REMOVALS) || now_ms < l->calm_until_ms
			   ? MF_LANE_WAIT
			   : MF_LANE_GO;
	if (shut && (now_ms < l->shut_until_ms || l->trying)) {
		uint64_t rest = now_ms < l->shut_until_ms ? l->shut_until_ms - now_ms : SHUT_MIN_MS;
		*ret_after_ms = (uint32_t)rest;
		return MF_LANE_SHUT;
	}
	return l->adds >= (shut ? 1 : MF_LANE_MOST) || now_ms < l->calm_until_ms ? MF_LANE_WAIT : MF_LANE_GO;
}

void
mf_lane_begin(struct mf_lane *l, bool removal)
{
	if (removal)
		l->removals++;
	else
		l->adds++;
	l->trying = l->trying || (l->shut_until_ms != 0 && !removal);
}

void
mf_lane_drop(struct mf_lane *l, bool removal)
{
	if (removal)
		l->removals--;
	else
		l->adds--;
	l->trying = l->trying && (removal || l->adds > 0);
}

bool
mf_lane_end(struct mf_lane *l, uint64_t now_ms, bool removal, enum mf_lane_result r, uint32_t retry_after_ms)
{
	bool was_shut = l->shut_until_ms != 0;
	mf_lane_drop(l, removal);
	if (r == MF_LANE_THROTTLED) {
		uint64_t calm = retry_after_ms == 0 ? CALM_MS : retry_after_ms;
		l->calm_until_ms = now_ms + (calm > SHUT_MAX_MS ? SHUT_MAX_MS : calm);
	}
	if (r != MF_LANE_FAILED) {
		l->failures = 0;
		l->shut_until_ms = l->shut_for_ms = 0;
		l->trying = false;
		return was_shut;
	}
	if (++l->failures < MF_LANE_FAILURES)
		return false;
	/* What was under way when it shut says nothing new. */
	if (was_shut && now_ms < l->shut_until_ms)
		return false;
	l->shut_for_ms = l->shut_for_ms == 0 ? SHUT_MIN_MS : l->shut_for_ms * 2;
	if (l->shut_for_ms > SHUT_MAX_MS)
		l->shut_for_ms = SHUT_MAX_MS;
	l->shut_until_ms = now_ms + l->shut_for_ms;
	return !was_shut;
}
