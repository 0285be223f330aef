/*
 * lane: how many requests a target gets at a time, and whether it gets any: bounded concurrency and a circuit breaker. Time is
 * an argument. Pure.
 *
 * After MF_LANE_FAILURES failures in a row (no reply, 5xx, garbage) the lane is shut: what adds access is answered at once
 * without asking. After a while, doubling up to a minute, one request is let through to try; a good one opens the lane again.
 * Removals are never turned away: they wait for their turn, and are what tries.
 */
#ifndef MF_COURIER_LANE_H
#define MF_COURIER_LANE_H
#include "base/defs.h"

#define MF_LANE_MOST 16u    /* requests at a time that add access */
#define MF_LANE_REMOVALS 4u /* and removals beside them */
#define MF_LANE_FAILURES 5u

struct mf_lane {
	unsigned adds, removals; /* under way */
	unsigned failures;	 /* in a row */
	uint64_t shut_until_ms;	 /* 0: open */
	uint64_t shut_for_ms;
	uint64_t calm_until_ms; /* the provider throttles */
	bool trying;		/* one is let through while shut */
};

enum mf_lane_verdict { MF_LANE_GO, MF_LANE_WAIT, MF_LANE_SHUT };
enum mf_lane_result { MF_LANE_GOOD, MF_LANE_FAILED, MF_LANE_THROTTLED };

/* SHUT is never said of a removal. *ret_after_ms with SHUT: when it is worth asking again. */
enum mf_lane_verdict
mf_lane_ask(const struct mf_lane *l, uint64_t now_ms, bool removal, uint32_t *ret_after_ms);
/* After GO. */
void mf_lane_begin(struct mf_lane *l, bool removal);
/* It was dropped: that says nothing about the target. */
void mf_lane_drop(struct mf_lane *l, bool removal);
/* True when the lane was opened or shut by this: for the log. */
bool
mf_lane_end(struct mf_lane *l, uint64_t now_ms, bool removal, enum mf_lane_result r, uint32_t retry_after_ms);
#endif
