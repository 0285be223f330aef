/* Crashes that cut the log between two records of one step, clocks that jump, disks that fill: what the engine makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/core/snapshot.h"
#include "lib/engine_rig.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE

struct node {
	char id[MF_STATE_ID_MAX], key[256], lease[MF_STATE_ID_MAX], job[MF_STATE_ID_MAX];
	uint8_t value[16];
};

static struct rig *
with_node(struct node *n)
{
	struct rig *r = mf_rig_new();
	mf_rig_join(r, 1, 1, n->id, n->value);
	mf_rig_instance_key(n->key, n->id, RIG_BOOT, 1);
	return r;
}

static struct rig *
with_job(struct node *n)
{
	struct rig *r = with_node(n);
	uint64_t req = mf_rig_attach(r, 1, 1, n->key, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
	assert_non_null(g);
	(void)snprintf(n->lease, sizeof(n->lease), "%s", g->lease_id);
	(void)snprintf(n->job, sizeof(n->job), "%s", g->job_id);
	return r;
}

/* The last record of ${type}: its index. */
static size_t
last_of(const struct rig *r, enum mf_record_type type)
{
	char want[64];
	(void)snprintf(want, sizeof(want), "\"type\":\"%s\"", mf_record_type_name(type));
	for (size_t i = r->log_n; i-- > 0;)
		if (memmem(r->log[i].p, r->log[i].n, want, strlen(want)) != NULL)
			return i;
	fail_msg("no record %s", want);
	return 0;
}

/* kill -9 when records up to ${index} were on disk; the rest was not. */
static void
crash_after(struct rig *r, size_t index)
{
	r->durable = index + 1;
	mf_rig_crash(r);
}

static void
check_replay(const struct rig *r)
{
	struct mf_state *st = mf_rig_replay(r, r->log_n);
	char *live = mf_rig_snapshot(mf_engine_state(r->e)), *again = mf_rig_snapshot(st);
	assert_string_equal(live, again);
	free(live);
	free(again);
	mf_state_free(st);
}

/* The node comes again after a crash and attaches. */
static Mayfly__Agent__V1__RefusalCode
come_again(struct rig *r, const struct node *n, uint64_t sid, uint64_t *ret_req)
{
	const Mayfly__Agent__V1__Down *d =
	    mf_rig_hello(r, sid, 1, RIG_BOOT, n->value, sizeof(n->value), NULL);
	if (d->body_case != MAYFLY__AGENT__V1__DOWN__BODY_WELCOME)
		return d->refusal->code;
	(void)mf_rig_resync(r, sid, 1, NULL, NULL, NULL, 0);
	*ret_req = mf_rig_attach(r, sid, 1, n->key, "train", "alice");
	mf_rig_settle(r);
	return mf_rig_refusal(r, sid, *ret_req);
}

static void
test_job_without_lease(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	(void)mf_rig_attach(r, 1, 1, n.key, "train", "alice");
	crash_after(r, last_of(r, MF_REC_JOB_STARTED));
	/* The same instance asks anew and gets a job; the stillborn one is over, and on record. */
	uint64_t req = 0;
	assert_int_equal(come_again(r, &n, 2, &req), 0);
	assert_non_null(mf_rig_grant(r, 2, req));
	assert_int_equal(mf_rig_count(r, MF_REC_JOB_STARTED), 2);
	assert_int_equal(mf_rig_count(r, MF_REC_JOB_ENDED), 1);
	check_replay(r);
	mf_rig_free(r);
}

static void
test_lease_ended_job_not(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_job(&n);
	(void)mf_rig_end(r, 1, 1, n.key, n.lease);
	crash_after(r, last_of(r, MF_REC_LEASE_ENDED));
	const struct mf_job *j = mf_state_job(mf_engine_state(r->e), mf_slice_str(n.job));
	assert_non_null(j);
	assert_true(j->ended);
	/* And its tombstone goes in its time: nothing holds the row up. */
	uint64_t req = 0;
	mf_rig_advance(r, INT64_C(90) * 1000 * 1000);
	mf_rig_instance_key(n.key, n.id, RIG_BOOT, 2);
	assert_int_equal(come_again(r, &n, 3, &req), 0);
	assert_null(mf_state_job(mf_engine_state(r->e), mf_slice_str(n.job)));
	check_replay(r);
	mf_rig_free(r);
}

static void
evict(struct rig *r, const char *node)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EvictNodeRequest ev = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	char text[MF_STATE_ID_MAX], reason[] = "test";
	(void)snprintf(text, sizeof(text), "%s", node);
	ev.match = text;
	ev.reason = reason;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE;
	call.evict_node = &ev;
	mf_engine_admin(r->e, r->now, &call);
}

static void
test_eviction_cut_in_two(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_job(&n);
	evict(r, n.id);
	crash_after(r, last_of(r, MF_REC_NODE_EVICTED));
	const struct mf_node *x = mf_state_node(mf_engine_state(r->e), mf_slice_str(n.id));
	assert_true(x->evicted);
	assert_int_equal(x->live, 0);
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_ENDED), 1);
	check_replay(r);
	mf_rig_free(r);
	/* Cut before anything of it was on disk: the line that was kept does it all. */
	char kept[128];
	r = with_job(&n);
	evict(r, n.id);
	(void)snprintf(kept, sizeof(kept), "%s", r->kept);
	mf_rig_crash(r);
	mf_engine_redo_removal(r->e, r->now, mf_slice_str(kept));
	mf_rig_commit(r);
	assert_int_equal(mf_state_node(mf_engine_state(r->e), mf_slice_str(n.id))->live, 0);
	mf_engine_redo_removal(r->e, r->now, mf_slice_str(kept)); /* twice changes nothing */
	assert_int_equal(mf_rig_count(r, MF_REC_NODE_EVICTED), 1);
	check_replay(r);
	mf_rig_free(r);
}

/* Whatever prefix of a busy log survives, the next start goes on from it. */
static void
test_every_prefix_starts(void **state)
{
	MF_UNUSED(state);
	struct node n;
	for (size_t cut = 1; cut < 40; cut++) {
		struct rig *r = with_job(&n);
		size_t base = r->log_n;
		char key[256];
		mf_rig_instance_key(key, n.id, RIG_BOOT, 2);
		(void)mf_rig_attach(r, 1, 1, key, "train", "alice");
		mf_rig_sign(r, true);
		(void)mf_rig_renew(r, 1, 1, n.lease, 1);
		mf_rig_sign(r, true);
		(void)mf_rig_end(r, 1, 1, key, "");
		(void)mf_rig_attach(r, 1, 1, key, "train", "bob");
		evict(r, n.id);
		if (base + cut > r->log_n) {
			mf_rig_free(r);
			return;
		}
		crash_after(r, base + cut - 1);
		check_replay(r);
		uint64_t req = 0;
		bool evicted = mf_rig_count(r, MF_REC_NODE_EVICTED) > 0;
		mf_rig_instance_key(n.key, n.id, RIG_BOOT, 3);
		assert_int_equal(come_again(r, &n, 5, &req),
		    evicted ? MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_NODE_EVICTED : 0);
		check_replay(r);
		mf_rig_free(r);
	}
	fail_msg("the history is longer than the test looks");
}

static void
test_recovery_is_recorded(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	mf_rig_crash(r);
	mf_engine_recovered(r->e, r->now, 4711);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_count(r, MF_REC_LOG_RECOVERED), 1);
	mf_rig_free(r);
}

static int64_t
ts_of(const struct rig *r, size_t i)
{
	struct mf_record_doc *doc = NULL;
	assert_int_equal(mf_record_decode(mf_slice(r->log[i].p, r->log[i].n), &doc, NULL), MF_OK);
	int64_t ts = mf_record_doc_get(doc)->ts_us;
	mf_record_doc_free(doc);
	return ts;
}

/* A step of the clock and back: nothing is issued under it, nothing is recorded under it, and it leaves no trace. */
static void
test_clock_there_and_back(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_job(&n);
	const int64_t step = INT64_C(7200) * 1000000;
	r->now.wall_us += step;
	uint64_t req = mf_rig_renew(r, 1, 1, n.lease, 1); /* before any tick has seen it */
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	char second[256];
	mf_rig_instance_key(second, n.id, RIG_BOOT, 2);
	(void)mf_rig_end(r, 1, 1, n.key, n.lease); /* removals do not wait */
	mf_engine_tick(r->e, r->now);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOCK_REFUSED), 1);
	for (size_t i = 1; i < r->log_n; i++)
		assert_true(ts_of(r, i) >= ts_of(r, i - 1) && ts_of(r, i) < r->now.wall_us - step / 2);
	/* The end names what was live by the clock that is believed. */
	size_t ended = last_of(r, MF_REC_LEASE_ENDED);
	assert_non_null(memmem(r->log[ended].p, r->log[ended].n, "\"credentials\"", 13));
	r->now.wall_us -= step;
	mf_engine_tick(r->e, r->now);
	req = mf_rig_attach(r, 1, 1, second, "train", "alice");
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, req));
	mf_rig_free(r);
}

/* The node is back after a restart of the broker: its instance kept or not, as the resync says. */
static void
back(struct rig *r, struct node *n, uint64_t sid)
{
	const char *keys[] = { n->key }, *leases[] = { n->lease };
	const uint32_t epochs[] = { 1 };
	const Mayfly__Agent__V1__Down *d =
	    mf_rig_hello(r, sid, 1, RIG_BOOT, n->value, sizeof(n->value), NULL);
	assert_non_null(d);
	assert_int_equal(d->body_case, MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	memcpy(n->value, d->welcome->session_value.data, sizeof(n->value));
	assert_non_null(mf_rig_resync(r, sid, 1, keys, leases, epochs, 1));
}

/*
 * The clock steps between stop and start. Back by an hour: nothing is issued, removals are recorded, and another start does not
 * make the clock right; put right while the broker runs it is a step that agents or an operator confirm, at a start it is
 * believed.
 */
static void
test_clock_back_between_stop_and_start(void **state)
{
	MF_UNUSED(state);
	const int64_t hour = INT64_C(3600) * 1000000;
	for (int orderly = 0; orderly < 2; orderly++) {
		struct node n;
		struct rig *r = with_job(&n);
		uint64_t req;
		char second[256];
		mf_rig_instance_key(second, n.id, RIG_BOOT, 2);
		if (orderly != 0) {
			mf_engine_stop(r->e, r->now);
			mf_rig_commit(r);
		}
		r->now.wall_us -= hour;
		for (uint64_t sid = 2; sid < 4; sid++) {
			mf_rig_crash(r);
			back(r, &n, sid);
			req = mf_rig_renew(r, sid, 1, n.lease, 1);
			mf_rig_settle(r);
			assert_int_equal(mf_rig_refusal(r, sid, req), UNAVAILABLE);
			req = mf_rig_attach(r, sid, 1, second, "train", "alice");
			mf_rig_settle(r);
			assert_int_equal(mf_rig_refusal(r, sid, req), UNAVAILABLE);
		}
		(void)mf_rig_end(r, 3, 1, n.key, n.lease);
		mf_rig_settle(r);
		assert_int_equal(mf_rig_count(r, MF_REC_LEASE_ENDED), 1);
		r->now.wall_us += hour;
		req = mf_rig_attach(r, 3, 1, second, "train", "alice");
		mf_rig_settle(r);
		assert_int_equal(mf_rig_refusal(r, 3, req), UNAVAILABLE);
		mf_rig_crash(r);
		back(r, &n, 4);
		req = mf_rig_attach(r, 4, 1, second, "train", "alice");
		mf_rig_settle(r);
		assert_non_null(mf_rig_grant(r, 4, req));
		mf_rig_free(r);
	}
}

/* Forward, by more than the job may run: it is over at the start, recorded, and nothing is issued for it. */
static void
test_clock_forward_between_stop_and_start(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_job(&n);
	r->now.wall_us += INT64_C(2) * 3600 * 1000000;
	mf_rig_crash(r);
	mf_engine_tick(r->e, r->now);
	mf_rig_settle(r);
	back(r, &n, 2);
	uint64_t req = mf_rig_renew(r, 2, 1, n.lease, 1);
	mf_rig_settle(r);
	assert_null(mf_rig_grant(r, 2, req));
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_ENDED), 1);
	mf_rig_instance_key(n.key, n.id, RIG_BOOT, 2);
	req = mf_rig_attach(r, 2, 1, n.key, "train", "alice");
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 2, req));
	mf_rig_free(r);
}

static void
test_full_disk_takes_removals_only(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_job(&n);
	char hex[65];
	uint8_t sha[32] = { 1 };
	/* A session that was welcomed just before. */
	(void)mf_rig_hello(r, 2, 1, RIG_BOOT, n.value, sizeof(n.value), NULL);
	mf_engine_log_room(r->e, false);
	size_t before = r->log_n;
	assert_non_null(mf_rig_resync(
	    r, 2, 1, (const char *[]) { n.key }, (const char *[]) { n.lease }, (uint32_t[]) { 1 }, 1));
	/* New sessions are records that are no removals. */
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, 3, 1, RIG_BOOT, n.value, sizeof(n.value), NULL);
	assert_int_equal(d->body_case, MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL);
	assert_int_equal(d->refusal->code, UNAVAILABLE);
	memset(hex, 'c', 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, mf_rig_policy(true), hex);
	mf_engine_snapshot_written(r->e, r->now, 5, sha);
	uint64_t req = mf_rig_attach(r, 2, 1, "x", "train", "alice");
	assert_int_equal(mf_rig_refusal(r, 2, req), UNAVAILABLE);
	(void)mf_rig_end(r, 2, 1, n.key, n.lease);
	for (unsigned i = 0; i < 10; i++)
		mf_rig_advance(r, 60000);
	evict(r, n.id);
	mf_engine_stop(r->e, r->now);
	mf_rig_commit(r);
	assert_true(r->log_n > before);
	for (size_t i = before; i < r->log_n; i++)
		if (!r->log[i].removal)
			fail_msg("%.*s", (int)r->log[i].n, (const char *)r->log[i].p);
	mf_rig_free(r);
	/* A policy that came while the disk was full is recorded before anything is issued under it. */
	r = with_job(&n);
	mf_engine_log_room(r->e, false);
	mf_engine_policy(r->e, r->now, mf_rig_policy(true), hex);
	mf_engine_log_room(r->e, true);
	req = mf_rig_renew(r, 1, 1, n.lease, 1);
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	mf_rig_advance(r, 250);
	assert_string_equal(mf_state_policy(mf_engine_state(r->e)), hex);
	req = mf_rig_renew(r, 1, 1, n.lease, 1);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, req));
	mf_rig_free(r);
}

/* Renewals outlive the certificate they continue, when the instance attached anew in between. */
static void
test_snapshot_of_renewals_whose_first_is_gone(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_job(&n);
	for (unsigned i = 0; i < 12; i++) {
		(void)mf_rig_renew(r, 1, 1, n.lease, 1);
		mf_rig_settle(r);
		if (i % 4 == 2) {
			(void)mf_rig_attach(r, 1, 1, n.key, "train", "alice");
			mf_rig_settle(r);
		}
		mf_rig_advance(r, 200000);
		char *text = mf_rig_snapshot(mf_engine_state(r->e));
		struct mf_state *back = NULL;
		struct mf_err err = { 0 };
		assert_int_equal(mf_state_new(&back, NULL), MF_OK);
		if (mf_snapshot_read(mf_slice_str(text), back, &err) != MF_OK)
			fail_msg("after step %u: %s", i, err.msg);
		char *same = mf_rig_snapshot(back);
		assert_string_equal(text, same);
		free(same);
		free(text);
		mf_state_free(back);
	}
	/* What expired is forgotten all the same. */
	mf_rig_advance(r, 3 * 60 * 1000);
	const struct mf_lease *l = mf_state_lease(mf_engine_state(r->e), mf_slice_str(n.lease));
	size_t kept = 0;
	MF_LIST_EACH(p, &l->creds)
	kept++;
	assert_true(kept < 24);
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_job_without_lease),
		cmocka_unit_test(test_lease_ended_job_not),
		cmocka_unit_test(test_eviction_cut_in_two),
		cmocka_unit_test(test_every_prefix_starts),
		cmocka_unit_test(test_recovery_is_recorded),
		cmocka_unit_test(test_clock_there_and_back),
		cmocka_unit_test(test_clock_back_between_stop_and_start),
		cmocka_unit_test(test_clock_forward_between_stop_and_start),
		cmocka_unit_test(test_full_disk_takes_removals_only),
		cmocka_unit_test(test_snapshot_of_renewals_whose_first_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
