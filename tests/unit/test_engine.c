#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/core/snapshot.h"
#include "lib/engine_rig.h"

#define ENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED
#define DENIED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED

struct job {
	char node[MF_STATE_ID_MAX], key[256], lease[MF_STATE_ID_MAX], id[MF_STATE_ID_MAX];
	uint8_t value[16];
	uint32_t epoch;
};

/* One node, one open job of alice's: sid 1, node key 1. */
static struct rig *
with_job(struct job *j)
{
	struct rig *r = mf_rig_new();
	mf_rig_join(r, 1, 1, j->node, j->value);
	mf_rig_instance_key(j->key, j->node, RIG_BOOT, 1);
	uint64_t req = mf_rig_attach(r, 1, 1, j->key, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
	if (g == NULL) {
		const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, 1, req);
		fail_msg("no grant: %s", d != NULL && d->refusal != NULL ? d->refusal->reason : "no answer");
	}
	(void)snprintf(j->lease, sizeof(j->lease), "%s", g->lease_id);
	(void)snprintf(j->id, sizeof(j->id), "%s", g->job_id);
	j->epoch = g->epoch;
	return r;
}

static void
test_grant_waits_for_the_disk(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	char key[256];
	mf_rig_instance_key(key, j.node, RIG_BOOT, 2);
	uint64_t req = mf_rig_attach(r, 1, 1, key, "", "alice");
	assert_null(mf_rig_answer(r, 1, req));
	mf_rig_sign(r, true); /* signed, and not on disk */
	assert_null(mf_rig_answer(r, 1, req));
	mf_rig_commit(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
	assert_non_null(g);
	assert_int_equal(g->n_issued, 2);
	assert_string_equal(g->issued[0]->hint, "job");
	assert_true(strncmp(g->issued[0]->spiffe_id, "spiffe://example.org/default/job/j-", 35) == 0);
	/* Invariant 2: no longer than the profile, nor than the job may run. */
	assert_true(g->issued[0]->not_after <= r->now.wall_us / 1000000 + 1200);
	assert_true(g->issued[0]->not_after <= g->deadline);
	assert_false(r->sent_undurable);
	mf_rig_free(r);
}

static void
test_denials(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	char key[256], foreign[256];
	mf_rig_instance_key(key, j.node, RIG_BOOT, 2);
	uint64_t bob = mf_rig_attach(r, 1, 1, key, "train", "bob");
	uint64_t other = mf_rig_attach(r, 1, 1, key, "no-such-profile", "alice");
	/* Invariant 4: another node's name, another boot's, or none in the key. */
	mf_rig_instance_key(foreign, "n-someoneelse", RIG_BOOT, 1);
	uint64_t stranger = mf_rig_attach(r, 1, 1, foreign, "train", "alice");
	mf_rig_instance_key(foreign, j.node, RIG_BOOT_2, 1);
	uint64_t old = mf_rig_attach(r, 1, 1, foreign, "train", "alice");
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, bob), DENIED);
	assert_int_equal(mf_rig_refusal(r, 1, other), DENIED);
	assert_int_equal(mf_rig_refusal(r, 1, stranger), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID);
	assert_int_equal(mf_rig_refusal(r, 1, old), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID);
	assert_int_equal(mf_rig_count(r, MF_REC_AUTHZ_DENIED), 2);
	/* One that asks in a loop does not fill the disk. */
	for (int i = 0; i < 500; i++)
		(void)mf_rig_attach(r, 1, 1, key, "train", "bob");
	mf_rig_settle(r);
	assert_true(mf_rig_count(r, MF_REC_AUTHZ_DENIED) < 100);
	/* A second node cannot have the first one's instance. */
	char node2[MF_STATE_ID_MAX];
	uint8_t v2[16];
	mf_rig_join(r, 2, 2, node2, v2);
	uint64_t steal = mf_rig_attach(r, 2, 2, j.key, "train", "alice");
	uint64_t renew = mf_rig_renew(r, 2, 2, j.lease, j.epoch);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 2, steal), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID);
	assert_int_equal(mf_rig_refusal(r, 2, renew), ENDED);
	mf_rig_free(r);
}

static void
test_renewal_keeps_the_name(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	char first[256] = "";
	for (int i = 0; i < 5; i++) {
		mf_rig_advance(r, 20000);
		uint64_t req = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
		mf_rig_settle(r);
		const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
		assert_non_null(g);
		if (i == 0)
			(void)snprintf(first, sizeof(first), "%s", g->issued[0]->spiffe_id);
		assert_string_equal(first, g->issued[0]->spiffe_id);
	}
	assert_int_equal(mf_rig_count(r, MF_REC_SVID_ISSUED), 2);
	assert_int_equal(mf_rig_count(r, MF_REC_SVID_RENEWED), 10);
	for (size_t i = 0; i < r->log_n; i++)
		if (memmem(r->log[i].p, r->log[i].n, "svid.renewed", 12) != NULL)
			assert_true(r->log[i].n <= 250);
	assert_false(r->sent_undurable);
	mf_rig_free(r);
}

/* Invariant 3: the end meets an issuance at every point of its way, 10,000 times, and nothing is issued after it. */
static void
test_end_races_with_issuance(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	size_t granted = 0, refused = 0;
	for (unsigned i = 0; i < 10000; i++) {
		char key[256];
		mf_rig_instance_key(key, j.node, RIG_BOOT, 100 + i);
		uint64_t attach = 0, renew = 0;
		unsigned when = i % 6; /* where on the way the end falls */
		if (when == 0)
			(void)mf_rig_end(r, 1, 1, key, ""); /* overtakes its own attach */
		attach = mf_rig_attach(r, 1, 1, key, "train", "alice");
		if (when == 1)
			(void)mf_rig_end(r, 1, 1, key, "");
		mf_rig_sign(r, true);
		if (when == 2)
			(void)mf_rig_end(r, 1, 1, key, "");
		mf_rig_commit(r);
		const struct mf_lease *l = mf_state_lease_by_key(mf_engine_state(r->e), mf_slice_str(key));
		if (l != NULL && when >= 3) {
			renew = mf_rig_renew(r, 1, 1, l->id, l->epoch);
			if (when == 3)
				(void)mf_rig_end(r, 1, 1, key, "");
			mf_rig_sign(r, true);
			if (when == 4)
				(void)mf_rig_end(r, 1, 1, key, "");
			mf_rig_commit(r);
			if (when == 5)
				(void)mf_rig_end(r, 1, 1, key, "");
		}
		mf_rig_settle(r);
		uint64_t late = mf_rig_attach(r, 1, 1, key, "train", "alice");
		uint64_t last = when >= 3 ? renew : attach;
		mf_rig_settle(r);
		assert_int_equal(mf_rig_refusal(r, 1, late), ENDED);
		if (when == 5)
			granted += mf_rig_grant(r, 1, last) != NULL;
		else
			refused += mf_rig_refusal(r, 1, last) == ENDED;
		assert_true(when == 5 ? mf_rig_grant(r, 1, last) != NULL : mf_rig_grant(r, 1, last) == NULL);
		/* Answers are looked through by request: forget the old ones now and then. */
		if (i % 100 == 99) {
			for (size_t k = 0; k < r->downs_n; k++)
				mayfly__agent__v1__down__free_unpacked(r->downs[k].down, NULL);
			r->downs_n = 0;
		}
	}
	assert_true(granted + refused == 10000);
	/* From the log alone: no issuance of a lease stands after its end. */
	struct mf_state *st = mf_rig_replay(r, r->log_n); /* apply refuses such a record */
	mf_state_free(st);
	assert_false(r->sent_undurable);
	mf_rig_free(r);
}

static void
test_join_token_is_one_node(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	char *token = mf_rig_token(r, 1, 3600);
	size_t welcome = 0;
	for (unsigned k = 1; k <= 64; k++) {
		const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, k, k, RIG_BOOT, NULL, 0, token);
		assert_non_null(d);
		welcome += d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_WELCOME;
		if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL)
			assert_int_equal(d->refusal->code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_TOKEN);
	}
	assert_int_equal(welcome, 1);
	free(token);
	token = mf_rig_token(r, 3, 10);
	assert_int_equal(mf_rig_hello(r, 201, 201, RIG_BOOT, NULL, 0, token)->body_case,
	    MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	assert_int_equal(mf_rig_hello(r, 202, 202, RIG_BOOT, NULL, 0, token)->body_case,
	    MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	mf_rig_advance(r, 20000); /* past its time, with a use left */
	assert_int_equal(mf_rig_hello(r, 203, 203, RIG_BOOT, NULL, 0, token)->body_case,
	    MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL);
	free(token);
	/* A key that nobody registered, without a token. */
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, 300, 300, RIG_BOOT, NULL, 0, NULL);
	assert_int_equal(d->refusal->code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_NODE_UNKNOWN);
	mf_rig_free(r);
}

static void
test_session_values(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	uint8_t v2[16], v3[16], wrong[16] = { 9 };
	/* The real node comes again. */
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, 2, 1, RIG_BOOT, j.value, 16, NULL);
	assert_int_equal(d->body_case, MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	memcpy(v2, d->welcome->session_value.data, 16);
	/* Its answer was lost: the old value still counts, and so would the new one. */
	d = mf_rig_hello(r, 3, 1, RIG_BOOT, j.value, 16, NULL);
	assert_int_equal(d->body_case, MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	memcpy(v3, d->welcome->session_value.data, 16);
	const char *keys[] = { j.key }, *leases[] = { j.lease };
	uint32_t epochs[] = { j.epoch };
	d = mf_rig_resync(r, 3, 1, keys, leases, epochs, 1);
	assert_int_equal(d->resync_answer->verdicts[0]->verdict, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	/* Stored: every older value is a clone's now. */
	const uint8_t *olds[] = { j.value, v2, wrong };
	for (size_t i = 0; i < 3; i++) {
		d = mf_rig_hello(r, 10 + i, 1, RIG_BOOT, olds[i], 16, NULL);
		assert_int_equal(d->body_case, MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL);
		assert_int_equal(d->refusal->code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_CLONE);
	}
	assert_int_equal(
	    mf_rig_hello(r, 20, 1, RIG_BOOT, v3, 16, NULL)->body_case, MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	assert_int_equal(mf_rig_count(r, MF_REC_NODE_REFUSED), 3);
	mf_rig_free(r);
}

static void
test_resync_verdicts(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	char second[256];
	mf_rig_instance_key(second, j.node, RIG_BOOT, 2);
	(void)mf_rig_attach(r, 1, 1, second, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, 2, 1, RIG_BOOT, j.value, 16, NULL);
	/* Nothing is issued before the resync. */
	uint64_t early = mf_rig_renew(r, 2, 1, j.lease, j.epoch);
	assert_int_equal(mf_rig_refusal(r, 2, early), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	const char *keys[] = { j.key, "local/x/y/cg-1" }, *leases[] = { j.lease, "l-b1-nonsense" };
	uint32_t epochs[] = { j.epoch, 1 };
	d = mf_rig_resync(r, 2, 1, keys, leases, epochs, 2);
	assert_int_equal(d->resync_answer->verdicts[0]->verdict, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	assert_int_equal(d->resync_answer->verdicts[1]->verdict, MAYFLY__AGENT__V1__VERDICT__VERDICT_UNKNOWN);
	/* The one that it no longer names is over. */
	const struct mf_lease *l = mf_state_lease_by_key(mf_engine_state(r->e), mf_slice_str(second));
	assert_int_equal(l->state, MF_LEASE_ENDED);
	assert_true(l->job->ended);
	mf_rig_free(r);
}

static void
test_suspension_and_return(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	mf_engine_session_gone(r->e, r->now, 1);
	for (int i = 0; i < 24; i++)
		mf_rig_advance(r, 10000); /* four minutes of silence end nothing */
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_SUSPENDED), 0);
	for (int i = 0; i < 12; i++)
		mf_rig_advance(r, 10000);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_SUSPENDED), 1);
	/* It comes back: told so, attaches anew, and the job goes on under the next epoch with new serials. */
	(void)mf_rig_hello(r, 2, 1, RIG_BOOT, j.value, 16, NULL);
	const char *keys[] = { j.key }, *leases[] = { j.lease };
	uint32_t epochs[] = { j.epoch };
	const Mayfly__Agent__V1__Down *d = mf_rig_resync(r, 2, 1, keys, leases, epochs, 1);
	assert_int_equal(
	    d->resync_answer->verdicts[0]->verdict, MAYFLY__AGENT__V1__VERDICT__VERDICT_SUSPENDED);
	uint64_t stale = mf_rig_renew(r, 2, 1, j.lease, j.epoch);
	assert_int_equal(mf_rig_refusal(r, 2, stale), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED);
	uint64_t again = mf_rig_attach(r, 2, 1, j.key, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 2, again);
	assert_non_null(g);
	assert_string_equal(g->job_id, j.id);
	assert_int_equal(g->epoch, j.epoch + 1);
	/* A broker that was down itself gives every lease its full time again. */
	r->now.mono_ms += 600000;
	r->now.wall_us += INT64_C(600000) * 1000;
	mf_rig_crash(r);
	mf_rig_advance(r, 200000);
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_SUSPENDED), 1);
	mf_rig_free(r);
}

static Mayfly__Admin__V1__RemovalResponse *
remove_it(struct rig *r, const char *id, bool node)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EndJobRequest ej = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	Mayfly__Admin__V1__EvictNodeRequest ev = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	char text[MF_STATE_ID_MAX], reason[] = "test";
	(void)snprintf(text, sizeof(text), "%s", id);
	ej.match = ev.match = text;
	ej.reason = ev.reason = reason;
	call.call_id = 9;
	call.loginuid = UINT32_MAX;
	call.what_case = node ? MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE
			      : MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_JOB;
	if (node)
		call.evict_node = &ev;
	else
		call.end_job = &ej;
	size_t before = r->replies;
	mf_engine_admin(r->e, r->now, &call);
	assert_int_equal(r->replies, before); /* not before it is recorded */
	mf_rig_commit(r);
	assert_int_equal(r->replies, before + 1);
	return r->reply->removal;
}

static void
test_operator_ends_a_job(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	const Mayfly__Admin__V1__RemovalResponse *m = remove_it(r, j.id, false);
	assert_true(m->effective && m->recorded);
	assert_int_equal(m->leases, 1);
	assert_int_equal(m->n_credentials, 2); /* honest: both are accepted until they expire */
	/* Kept across a crash, before it was effective. */
	char want[128];
	(void)snprintf(want, sizeof(want), "job %s", j.id);
	assert_string_equal(r->kept, want);
	uint64_t req = mf_rig_attach(r, 1, 1, j.key, "train", "alice");
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), ENDED);
	/* The node was told. */
	bool told = false;
	for (size_t i = 0; i < r->downs_n; i++)
		told |= r->downs[i].down->body_case == MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDED;
	assert_true(told);
	mf_rig_free(r);
}

static void
test_removal_survives_a_crash(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EndJobRequest ej = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	char text[MF_STATE_ID_MAX], reason[] = "leak", kept[128];
	(void)snprintf(text, sizeof(text), "%s", j.id);
	ej.match = text;
	ej.reason = reason;
	call.call_id = 1;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_JOB;
	call.end_job = &ej;
	mf_engine_admin(r->e, r->now, &call);
	/* The log hangs: after two seconds the operator is told "effective, not recorded". */
	mf_rig_advance(r, 3000);
	assert_true(r->reply->removal->effective);
	assert_false(r->reply->removal->recorded);
	(void)snprintf(kept, sizeof(kept), "%s", r->kept);
	mf_rig_crash(r); /* nothing of it was on disk */
	assert_false(mf_state_job(mf_engine_state(r->e), mf_slice_str(j.id))->ended);
	mf_engine_redo_removal(r->e, r->now, mf_slice_str(kept));
	assert_true(mf_state_job(mf_engine_state(r->e), mf_slice_str(j.id))->ended);
	mf_rig_free(r);
}

static void
test_eviction(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	const Mayfly__Admin__V1__RemovalResponse *m = remove_it(r, j.node, true);
	assert_true(m->recorded);
	assert_int_equal(m->leases, 1);
	size_t before = r->log_n;
	uint64_t req = mf_rig_attach(r, 1, 1, j.key, "train", "alice"); /* its open session is deaf */
	mf_rig_settle(r);
	assert_null(mf_rig_answer(r, 1, req));
	assert_int_equal(r->log_n, before);
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, 2, 1, RIG_BOOT, j.value, 16, NULL);
	assert_int_equal(d->refusal->code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_NODE_EVICTED);
	mf_rig_free(r);
}

static void
test_deadline_and_clock(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	/* Back by ten seconds: nothing is issued. */
	r->now.wall_us -= INT64_C(10000000);
	uint64_t req = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	assert_int_equal(mf_rig_refusal(r, 1, req), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	r->now.wall_us += INT64_C(10000000);
	/* Forward by an hour at once: no issuance, and no job is ended by a clock that nobody believes. */
	r->now.wall_us += INT64_C(7200) * 1000000;
	mf_engine_tick(r->e, r->now);
	req = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	assert_int_equal(mf_rig_refusal(r, 1, req), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_ENDED), 0);
	r->now.wall_us -= INT64_C(7200) * 1000000;
	mf_engine_tick(r->e, r->now);
	/* Lived through, the deadline (an hour and the drain) ends it, though it is heard of all the time. */
	for (int i = 0; i < 64; i++) {
		mf_rig_advance(r, 60000);
		(void)mf_rig_renew(r, 1, 1, j.lease, j.epoch);
		mf_rig_settle(r);
	}
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_ENDED), 1);
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_SUSPENDED), 0);
	mf_rig_free(r);
}

static void
test_full_disk(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	mf_engine_log_room(r->e, false);
	uint64_t req = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	assert_int_equal(mf_rig_refusal(r, 1, req), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	size_t before = r->log_n;
	assert_true(remove_it(r, j.id, false)->recorded);
	for (size_t i = before; i < r->log_n; i++)
		assert_true(r->log[i].removal); /* the reserve takes them */
	mf_engine_log_room(r->e, true);
	mf_rig_free(r);
}

/* At every record of a long history: snapshot, read back, and the tail, equal a replay from zero. */
static void
test_snapshot_plus_tail_is_the_whole(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j);
	char key[256], node2[MF_STATE_ID_MAX];
	uint8_t v2[16];
	mf_rig_join(r, 5, 5, node2, v2);
	for (unsigned i = 0; i < 12; i++) {
		mf_rig_instance_key(key, j.node, RIG_BOOT, 50 + i);
		(void)mf_rig_attach(r, 1, 1, key, "train", "alice");
		mf_rig_settle(r);
		(void)mf_rig_renew(r, 1, 1, j.lease, j.epoch);
		if (i % 3 == 0)
			(void)mf_rig_end(r, 1, 1, key, "");
		mf_rig_settle(r);
		mf_rig_advance(r, i == 6 ? INT64_C(90) * 1000 * 1000
					 : 30000); /* more than a day at once, slowly believed */
		mf_rig_settle(r);
	}
	mf_engine_session_gone(r->e, r->now, 1);
	for (int i = 0; i < 8; i++)
		mf_rig_advance(r, 60000);
	(void)mf_rig_hello(r, 8, 1, RIG_BOOT, j.value, 16, NULL);
	(void)remove_it(r, node2, true);
	mf_rig_crash(r);
	char *live = mf_rig_snapshot(mf_engine_state(r->e));
	struct mf_state *whole = mf_rig_replay(r, r->log_n);
	char *replayed = mf_rig_snapshot(whole);
	assert_string_equal(live, replayed);
	free(live);
	for (size_t at = 1; at <= r->log_n; at++) {
		struct mf_state *head = mf_rig_replay(r, at), *back = NULL;
		struct mf_err err = { 0 };
		char *text = mf_rig_snapshot(head);
		assert_int_equal(mf_state_new(&back, NULL), MF_OK);
		if (mf_snapshot_read(mf_slice_str(text), back, &err) != MF_OK)
			fail_msg("snapshot at %zu: %s", at, err.msg);
		char *same = mf_rig_snapshot(back);
		assert_string_equal(text, same);
		for (size_t i = at; i < r->log_n; i++) {
			struct mf_record_doc *doc = NULL;
			assert_int_equal(
			    mf_record_decode(mf_slice(r->log[i].p, r->log[i].n), &doc, NULL), MF_OK);
			if (mf_state_apply(back, i, mf_record_doc_get(doc), &err) != MF_OK)
				fail_msg("tail record %zu on the snapshot at %zu: %s", i, at, err.msg);
			mf_record_doc_free(doc);
		}
		free(same);
		same = mf_rig_snapshot(back);
		assert_string_equal(same, replayed);
		free(same);
		free(text);
		mf_state_free(head);
		mf_state_free(back);
	}
	free(replayed);
	mf_state_free(whole);
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grant_waits_for_the_disk),
		cmocka_unit_test(test_denials),
		cmocka_unit_test(test_renewal_keeps_the_name),
		cmocka_unit_test(test_end_races_with_issuance),
		cmocka_unit_test(test_join_token_is_one_node),
		cmocka_unit_test(test_session_values),
		cmocka_unit_test(test_resync_verdicts),
		cmocka_unit_test(test_suspension_and_return),
		cmocka_unit_test(test_operator_ends_a_job),
		cmocka_unit_test(test_removal_survives_a_crash),
		cmocka_unit_test(test_eviction),
		cmocka_unit_test(test_deadline_and_clock),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_snapshot_plus_tail_is_the_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
