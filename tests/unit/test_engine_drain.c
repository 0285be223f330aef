/* Announced ends and moved deadlines: what goes on being served, what is refused, and when it is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/engine_jobs.h"

#define ENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED
#define ENDING MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDING
#define LEASE_ENDED MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDED
#define DEADLINE MAYFLY__AGENT__V1__DOWN__BODY_LEASE_DEADLINE

static const Mayfly__Agent__V1__LeaseEnding *
told(const struct rig *r, uint64_t sid)
{
	for (size_t i = 0; i < r->downs_n; i++)
		if (r->downs[i].sid == sid && r->downs[i].down->body_case == ENDING)
			return r->downs[i].down->lease_ending;
	return NULL;
}

/* The last record of ${type} holds ${what}. */
static bool
last_says(const struct rig *r, enum mf_record_type type, const char *what)
{
	char want[64];
	(void)snprintf(want, sizeof(want), "\"type\":\"%s\"", mf_record_type_name(type));
	for (size_t i = r->log_n; i-- > 0;)
		if (memmem(r->log[i].p, r->log[i].n, want, strlen(want)) != NULL)
			return memmem(r->log[i].p, r->log[i].n, what, strlen(what)) != NULL;
	return false;
}

static int64_t
now_s(const struct rig *r)
{
	return r->now.wall_us / 1000000;
}

/* What it was granted goes on, under the cap of the drain; nothing new; then the end, with what was live in it.
 * W-17 */
static void
test_drain(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	const Mayfly__Admin__V1__RemovalResponse *m = mf_rig_end_job(r, j.id, true);
	int64_t until = now_s(r) + 60;
	assert_true(m->effective && m->recorded);
	assert_int_equal(m->ending_until, until);
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_ENDED), 0);
	assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_ENDING);
	const Mayfly__Agent__V1__LeaseEnding *e = told(r, 1);
	assert_non_null(e);
	assert_string_equal(e->lease_id, j.lease);
	assert_int_equal(e->until, until);
	assert_int_equal(e->cause, MAYFLY__AGENT__V1__END_CAUSE__END_OPERATOR);
	for (int i = 0; i < 5; i++) {
		mf_rig_advance(r, 10000);
		uint64_t req = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
		mf_rig_settle(r);
		const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
		assert_non_null(g);
		assert_int_equal(g->n_issued, 2);
		assert_int_equal(g->ending_until, until);
		for (size_t k = 0; k < 2; k++)
			assert_true(g->issued[k]->not_after <= until);
	}
	/* A front that was started anew asks for what its instance had: the same names, no new grant. */
	uint64_t again = mf_rig_attach(r, 1, 1, j.key, "train", "alice");
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, again));
	assert_int_equal(mf_rig_count(r, MF_REC_SVID_ISSUED), 2);
	/* Announced again: nothing moves. */
	assert_int_equal(mf_rig_end_job(r, j.id, true)->ending_until, until);
	assert_int_equal(mf_rig_count(r, MF_REC_JOB_ENDING), 1);
	mf_rig_advance(r, 10000);
	assert_true(mf_rig_job(r, j.id)->ended);
	assert_true(last_says(r, MF_REC_LEASE_ENDED, "\"credentials\":["));
	assert_true(last_says(r, MF_REC_JOB_ENDED, "\"cause\":\"operator\""));
	uint64_t late = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	uint64_t back = mf_rig_attach(r, 1, 1, j.key, "train", "alice");
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, late), ENDED);
	assert_int_equal(mf_rig_refusal(r, 1, back), ENDED);
	assert_int_equal(mf_rig_pushes(r, 1, LEASE_ENDED), 1);
	assert_false(r->sent_undurable);
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

/* Nothing is waited for when there is nothing to wait for. */
static void
test_drain_is_over_early(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	(void)mf_rig_end_job(r, j.id, true);
	(void)mf_rig_end(r, 1, 1, j.key, j.lease); /* the cgroup went empty */
	assert_true(mf_rig_job(r, j.id)->ended);
	assert_true(last_says(r, MF_REC_LEASE_ENDED, "\"cause\":\"empty\""));
	assert_true(
	    last_says(r, MF_REC_JOB_ENDED, "\"cause\":\"operator\"")); /* it was to end, and this is why */
	mf_rig_check_replay(r);
	mf_rig_free(r);
	/* Suspended: it holds nothing that could be served. */
	r = mf_rig_with_job(&j);
	mf_engine_session_gone(r->e, r->now, 1);
	for (int i = 0; i < 12; i++)
		mf_rig_advance(r, 60000);
	assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_SUSPENDED);
	assert_int_equal(mf_rig_end_job(r, j.id, true)->ending_until, 0);
	assert_true(mf_rig_job(r, j.id)->ended);
	mf_rig_check_replay(r);
	mf_rig_free(r);
	/* And the plain end makes an end of a drain. */
	r = mf_rig_with_job(&j);
	(void)mf_rig_end_job(r, j.id, true);
	assert_int_equal(mf_rig_end_job(r, j.id, false)->ending_until, 0);
	assert_true(mf_rig_job(r, j.id)->ended);
	mf_rig_check_replay(r);
	mf_rig_free(r);
}

/* The announcement meets a grant and a renewal at every point of their way. */
static void
test_announcement_races(void **state)
{
	MF_UNUSED(state);
	for (unsigned when = 0; when < 3; when++) {
		struct rig_job j;
		struct rig *r = mf_rig_with_job(&j);
		char key[256];
		mf_rig_instance_key(key, j.node, RIG_BOOT, 2);
		uint64_t attach = mf_rig_attach(r, 1, 1, key, "train", "alice");
		uint64_t renew = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
		char second[MF_STATE_ID_MAX];
		(void)snprintf(second, sizeof(second), "%s",
		    mf_state_lease_by_key(mf_engine_state(r->e), mf_slice_str(key))->job->id);
		if (when > 0)
			mf_rig_sign(r, true);
		if (when > 1)
			mf_rig_commit(r);
		(void)mf_rig_end_job(r, j.id, true);
		(void)mf_rig_end_job(r, second, true);
		mf_rig_settle(r);
		/* Recorded before the announcement: served. Else it does not exist; a renewal is asked for anew. */
		assert_true((mf_rig_grant(r, 1, attach) != NULL) == (when > 0));
		assert_true((mf_rig_grant(r, 1, renew) != NULL) == (when > 0));
		if (when == 0) {
			assert_int_equal(mf_rig_refusal(r, 1, attach),
			    MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
			attach = mf_rig_attach(r, 1, 1, key, "train", "alice");
			mf_rig_settle(r);
			assert_int_equal(mf_rig_refusal(r, 1, attach), ENDED); /* it had nothing */
			renew = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
			mf_rig_settle(r);
			assert_true(
			    mf_rig_grant(r, 1, renew)->issued[0]->not_after <= mf_rig_job(r, j.id)->until);
		}
		mf_rig_check_replay(r);
		mf_rig_free(r);
	}
}

/* 10,000 renewals against the end of the drain: before it they are served, after it never. */
static void
test_drain_end_races_with_renewal(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	for (unsigned i = 0; i < 10000; i++) {
		char key[256], id[MF_STATE_ID_MAX];
		mf_rig_instance_key(key, j.node, RIG_BOOT, 100 + i);
		(void)mf_rig_attach(r, 1, 1, key, "train", "alice");
		mf_rig_settle(r);
		const struct mf_lease *l = mf_state_lease_by_key(mf_engine_state(r->e), mf_slice_str(key));
		(void)snprintf(id, sizeof(id), "%s", l->job->id);
		(void)mf_rig_end_job(r, id, true);
		/* The drain ends after this many steps of the renewal. */
		unsigned when = i % 4;
		r->now.mono_ms += 59900;
		r->now.wall_us += 59900 * INT64_C(1000);
		if (when == 0)
			mf_rig_advance(r, 1100);
		uint64_t renew = mf_rig_renew(r, 1, 1, l->id, l->epoch);
		if (when == 1)
			mf_rig_advance(r, 1100);
		mf_rig_sign(r, true);
		if (when == 2)
			mf_rig_advance(r, 1100);
		mf_rig_commit(r);
		if (when == 3)
			mf_rig_advance(r, 1100);
		mf_rig_settle(r);
		assert_true((mf_rig_grant(r, 1, renew) != NULL) == (when == 3));
		assert_true(l->state == MF_LEASE_ENDED && l->job->ended);
		if (i % 100 == 99) {
			for (size_t k = 0; k < r->downs_n; k++)
				mayfly__agent__v1__down__free_unpacked(r->downs[k].down, NULL);
			r->downs_n = 0;
		}
		if (i % 8 ==
		    0) { /* its own first job is near its deadline by then: keep the node's clock young */
			(void)mf_rig_renew(r, 1, 1, j.lease, j.epoch);
			mf_rig_settle(r);
		}
	}
	assert_false(r->sent_undurable);
	struct mf_state *st = mf_rig_replay(r, r->log_n);
	mf_state_free(st);
	mf_rig_free(r);
}

static void
test_deadline_by_itself(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	int64_t deadline = mf_rig_job(r, j.id)->deadline;
	assert_int_equal(deadline, now_s(r) + 3600);
	assert_int_equal(j.deadline, deadline + 60);
	for (int i = 0; i < 60; i++) {
		mf_rig_advance(r, 60000);
		uint64_t req = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
		mf_rig_settle(r);
		if (mf_rig_grant(r, 1, req) != NULL)
			assert_true(mf_rig_grant(r, 1, req)->issued[0]->not_after <= deadline + 60);
	}
	assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_ENDING);
	assert_true(last_says(r, MF_REC_JOB_ENDING, "\"cause\":\"deadline\""));
	mf_rig_advance(r, 61000);
	assert_true(last_says(r, MF_REC_JOB_ENDED, "\"cause\":\"deadline\""));
	mf_rig_check_replay(r);
	mf_rig_free(r);
	/* A broker that was away for the whole of it ends it at its start's first tick: there is no drain left. */
	r = mf_rig_with_job(&j);
	r->now.mono_ms += 3700000;
	r->now.wall_us += INT64_C(3700000) * 1000;
	mf_rig_crash(r);
	mf_rig_advance(r, 250);
	assert_true(mf_rig_job(r, j.id)->ended);
	assert_int_equal(mf_rig_count(r, MF_REC_JOB_ENDING), 0);
	mf_rig_free(r);
	/* In the middle of a drain: it goes on where it was, and the node is told when it comes back. */
	r = mf_rig_with_job(&j);
	(void)mf_rig_end_job(r, j.id, true);
	int64_t until = mf_rig_job(r, j.id)->until;
	mf_rig_advance(r, 5000);
	mf_rig_crash(r);
	assert_int_equal(mf_rig_job(r, j.id)->until, until);
	(void)mf_rig_hello(r, 2, 1, RIG_BOOT, j.value, 16, NULL);
	const char *keys[] = { j.key }, *leases[] = { j.lease };
	uint32_t epochs[] = { j.epoch };
	const Mayfly__Agent__V1__Down *d = mf_rig_resync(r, 2, 1, keys, leases, epochs, 1);
	assert_int_equal(d->resync_answer->verdicts[0]->verdict, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	assert_non_null(told(r, 2));
	assert_int_equal(told(r, 2)->until, until);
	mf_rig_advance(r, 56000);
	assert_true(mf_rig_job(r, j.id)->ended);
	mf_rig_check_replay(r);
	mf_rig_free(r);
}

static bool
refused(const Mayfly__Roles__V1__AdminReply *a, const char *why)
{
	if (a->error_code[0] == '\0' || strstr(a->error, why) == NULL)
		fail_msg("'%s' '%s', not '%s'", a->error_code, a->error, why);
	return true;
}

static void
test_extend(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	int64_t deadline = mf_rig_job(r, j.id)->deadline;
	/* max_job is the most, whoever asks. */
	assert_true(refused(mf_rig_extend(r, j.id, 3600, 0, "more"), "max_job"));
	assert_true(refused(mf_rig_extend(r, j.id, 0, deadline - 5, "less"), "no later"));
	assert_true(refused(mf_rig_extend(r, j.id, 0, 0, "neither"), "--by"));
	assert_true(refused(mf_rig_extend(r, j.id, 60, deadline + 60, "both"), "--by"));
	assert_true(refused(mf_rig_extend(r, j.id, -60, 0, "back"), "--by"));
	assert_true(refused(mf_rig_extend(r, j.id, 60, 0, "a\nb"), "control character"));
	assert_true(refused(mf_rig_extend(r, "j-nobody", 60, 0, "x"), "no such job"));
	assert_int_equal(mf_rig_count(r, MF_REC_JOB_EXTENDED), 0);
	/* Today's policy lets it run longer. */
	char hex[65];
	memset(hex, 'b', 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, mf_rig_policy_max(7200000), hex);
	const Mayfly__Roles__V1__AdminReply *a = mf_rig_extend(r, j.id, 1800, 0, "the last epoch");
	assert_string_equal(a->error_code, "");
	assert_int_equal(a->extended->before, deadline);
	assert_int_equal(a->extended->deadline, deadline + 1800);
	assert_int_equal(a->extended->stop, deadline + 1860);
	assert_true(last_says(r, MF_REC_JOB_EXTENDED, "\"uid\":1234") &&
		    last_says(r, MF_REC_JOB_EXTENDED, "\"loginuid\":77") &&
		    last_says(r, MF_REC_JOB_EXTENDED, "\"reason\":\"the last epoch\""));
	assert_int_equal(mf_rig_pushes(r, 1, DEADLINE), 1);
	assert_int_equal(mf_rig_lease(r, j.lease)->deadline, deadline + 1860);
	/* It runs past its old deadline, and certificates live on with it. */
	for (int i = 0; i < 62; i++) {
		mf_rig_advance(r, 60000);
		(void)mf_rig_renew(r, 1, 1, j.lease, j.epoch);
		mf_rig_settle(r);
	}
	assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_OPEN);
	uint64_t req = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	assert_true(mf_rig_grant(r, 1, req)->issued[0]->not_after > deadline + 60);
	/* After the announcement nothing extends it, and after the end even less. */
	(void)mf_rig_end_job(r, j.id, true);
	assert_true(refused(mf_rig_extend(r, j.id, 60, 0, "please"), "announced"));
	(void)mf_rig_end_job(r, j.id, false);
	assert_true(refused(mf_rig_extend(r, j.id, 60, 0, "please"), "final"));
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

/* An extension adds access: not without the log; the announced end is a removal and takes the reserve. */
static void
test_full_disk(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	mf_engine_log_room(r->e, false);
	assert_true(refused(mf_rig_extend(r, j.id, 60, 0, "x"), "full"));
	size_t before = r->log_n;
	(void)mf_rig_end_job(r, j.id, true);
	mf_rig_advance(r, 61000);
	mf_rig_commit(r);
	assert_true(mf_rig_job(r, j.id)->ended);
	for (size_t i = before; i < r->log_n; i++)
		assert_true(r->log[i].removal);
	mf_rig_free(r);
	/* Kept across a crash that took the record with it. */
	r = mf_rig_with_job(&j);
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EndJobRequest q = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	char kept[128];
	q.match = j.id;
	q.drain = true;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_JOB;
	call.end_job = &q;
	mf_engine_admin(r->e, r->now, &call);
	(void)snprintf(kept, sizeof(kept), "%s", r->kept);
	assert_int_equal(strncmp(kept, "drain j-", 8), 0);
	mf_rig_crash(r);
	mf_engine_redo_removal(r->e, r->now, mf_slice_str(kept));
	assert_true(mf_rig_job(r, j.id)->ending);
	mf_engine_redo_removal(r->e, r->now, mf_slice_str(kept));
	assert_int_equal(mf_rig_count(r, MF_REC_JOB_ENDING), 1);
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_is_over_early),
		cmocka_unit_test(test_announcement_races),
		cmocka_unit_test(test_drain_end_races_with_renewal),
		cmocka_unit_test(test_deadline_by_itself),
		cmocka_unit_test(test_extend),
		cmocka_unit_test(test_full_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
