/* After the wall clock jumped forward: an operator believes it. */
#include <stdio.h>

#include "broker/notary/engine_internal.h"

#define APART_S 300 /* the operator's clock and ours, at most */

void
mf_engine_confirm_clock(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const Mayfly__Admin__V1__ConfirmClockRequest *q = call->confirm_clock;
	struct mf_record r = { .type = MF_REC_CLOCK_CONFIRMED };
	char text[160];
	int64_t apart = now.wall_us / 1000000 - q->wall_s;
	if (!e->started || e->broken || e->stopped || !e->log_room) {
		mf_engine_admin_fail(
		    e, call->call_id, MF_E_UNAVAILABLE, "the log cannot be written now: nothing was done");
		return;
	}
	/* As the status says it, which sees a jump before the next turn of the timer does. */
	if (mf_engine_clock_believed(e, now)) {
		mf_engine_admin_fail(
		    e, call->call_id, MF_E_STATE, "the clock is not in doubt: there is nothing to confirm");
		return;
	}
	if (q->wall_s != 0 && (apart > APART_S || apart < -APART_S)) {
		(void)snprintf(text, sizeof(text),
		    "the broker's clock is %lld seconds apart from yours: correct the one that is wrong "
		    "first",
		    (long long)apart);
		mf_engine_admin_fail(e, call->call_id, MF_E_STATE, text);
		return;
	}
	if (strlen(q->reason) > 256 || !mf_engine_plain(q->reason)) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INVALID,
		    "a reason has at most 256 bytes and no control characters");
		return;
	}
	mf_engine_believe_clock(e, now);
	mf_engine_actor(&r, call);
	mf_record_set_str(&r, MF_RS_REASON, q->reason);
	uint64_t index = mf_engine_record(e, now, &r);
	e->ops->event(e->ctx, "clock.confirmed", "an operator confirmed the wall clock");
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__ConfirmClockResponse a = MAYFLY__ADMIN__V1__CONFIRM_CLOCK_RESPONSE__INIT;
	a.record_index = index;
	a.wall_us = now.wall_us;
	reply.call_id = call->call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CLOCK;
	reply.clock = &a;
	mf_release_admin(e, now, index, &reply);
}
