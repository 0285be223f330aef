/*
 * Suspension against drain, and tokens against both: who was silent gets nothing that its job's end forbids, by whatever way
 * it comes back (invariants 2 and 3).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine_jobs.h"
#include "engine_keys.h"

#define CODE(x) MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_##x
#define VERDICT(x) MAYFLY__AGENT__V1__VERDICT__VERDICT_##x

static const char *const vault[] = { "vault.example" };

static int
setup(void **state)
{
	MF_UNUSED(state);
	return mf_jws_key_generate(MF_JWS_ES256, &mf_rig_jwt_keys[0], NULL) != MF_OK;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_jws_key_free(mf_rig_jwt_keys[0]);
	mf_rig_free_spares();
	return 0;
}

static uint64_t
mint(struct rig *r, uint64_t sid, const struct rig_job *j)
{
	char name[512];
	const struct mf_lease *l = mf_rig_lease(r, j->lease);
	const struct mf_cred *c = MF_LIST_ITEM(l->creds.next, struct mf_cred, at);
	(void)snprintf(name, sizeof(name), "%s", c->spiffe_id);
	return mf_rig_mint(r, sid, 1, j->lease, j->epoch, name, vault, 1);
}

static bool
has_token(const struct rig *r, uint64_t sid, uint64_t request)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, sid, request);
	return d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_JWT_GRANT;
}

static void
silent_for(struct rig *r, unsigned seconds)
{
	for (unsigned s = 0; s < seconds; s += 10)
		mf_rig_advance(r, 10000);
}

/* The node comes back in session 2 and names its instance: what the resync says of it. */
static Mayfly__Agent__V1__Verdict
comes_back(struct rig *r, const struct rig_job *j)
{
	const char *keys[] = { j->key }, *leases[] = { j->lease };
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, 2, 1, RIG_BOOT, j->value, sizeof(j->value), NULL);
	assert_true(d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	d = mf_rig_resync(r, 2, 1, keys, leases, &j->epoch, 1);
	mf_rig_settle(r);
	assert_true(d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_RESYNC_ANSWER);
	return d->resync_answer->verdicts[0]->verdict;
}

/* Certificates and tokens in the log; the end of the last record of an end. */
static size_t
issued(const struct rig *r)
{
	return mf_rig_count(r, MF_REC_SVID_ISSUED) + mf_rig_count(r, MF_REC_SVID_RENEWED) +
	       mf_rig_count(r, MF_REC_JWT_ISSUED);
}

/* Every way to something for a lease that is over, in vain; nothing of it comes into the log. */
static void
assert_gets_nothing(struct rig *r, const struct rig_job *j)
{
	size_t before = issued(r);
	uint64_t req = mint(r, 2, j);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 2, req), CODE(ENDED));
	req = mf_rig_renew(r, 2, 1, j->lease, j->epoch);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 2, req), CODE(ENDED));
	req = mf_rig_attach(r, 2, 1, j->key, "train", "alice");
	mf_rig_settle(r);
	assert_null(mf_rig_grant(r, 2, req));
	assert_int_equal(mf_rig_refusal(r, 2, req), CODE(ENDED));
	assert_int_equal(issued(r), before);
	assert_int_equal(mf_rig_lease(r, j->lease)->state, MF_LEASE_ENDED);
	mf_rig_check_replay(r);
}

/* It drained when its node fell silent: there is nothing to come back for, and it never opens again. */
static void
test_silent_while_draining(void **state)
{
	MF_UNUSED(state);
	for (unsigned crash = 0; crash < 2; crash++) {
		struct rig_job j;
		struct rig *r = mf_rig_with_job(&j);
		uint64_t req = mint(r, 1, &j);
		mf_rig_settle(r);
		assert_true(has_token(r, 1, req));
		mf_engine_session_gone(r->e, r->now, 1);
		silent_for(r, 280); /* not yet too long */
		assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_OPEN);
		assert_true(mf_rig_end_job(r, j.id, true)->ending_until > 0);
		assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_ENDING);
		silent_for(r, 30); /* the TTL is over before the drain is */
		mf_rig_commit(r);
		assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_ENDED);
		assert_int_equal(mf_rig_count(r, MF_REC_LEASE_SUSPENDED), 0);
		if (crash == 1)
			mf_rig_crash(r);
		assert_int_equal(comes_back(r, &j), VERDICT(ENDED));
		assert_gets_nothing(r, &j);
		mf_rig_free(r);
	}
}

/* It comes back in time: it drains on, renews what it had and no longer, and tokens end with the drain. */
static void
test_back_before_the_drain_is_over(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	(void)mint(r, 1, &j); /* what it had before it may have again */
	mf_rig_settle(r);
	mf_engine_session_gone(r->e, r->now, 1);
	silent_for(r, 100);
	int64_t until = mf_rig_end_job(r, j.id, true)->ending_until;
	assert_true(until > 0);
	silent_for(r, 20);
	assert_int_equal(comes_back(r, &j), VERDICT(KEEP));
	assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_ENDING);
	const Mayfly__Agent__V1__Down *told = mf_rig_push(r, 2, MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDING);
	assert_non_null(told); /* what it missed */
	assert_int_equal(told->lease_ending->until, until);
	uint64_t req = mint(r, 2, &j);
	mf_rig_settle(r);
	assert_true(has_token(r, 2, req));
	assert_true(mf_rig_answer(r, 2, req)->jwt_grant->expires <= until);
	req = mf_rig_renew(r, 2, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 2, req));
	for (size_t i = 0; i < mf_rig_grant(r, 2, req)->n_issued; i++)
		assert_true(mf_rig_grant(r, 2, req)->issued[i]->not_after <= until);
	silent_for(r, 50);
	mf_rig_commit(r);
	assert_gets_nothing(r, &j);
	mf_rig_free(r);
}

/* Suspended first, then told to drain: ended at once, whoever comes back. */
static void
test_suspended_then_drained(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	mf_engine_session_gone(r->e, r->now, 1);
	silent_for(r, 310);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_SUSPENDED);
	assert_int_equal(mf_rig_end_job(r, j.id, true)->ending_until, 0);
	assert_int_equal(comes_back(r, &j), VERDICT(ENDED));
	assert_gets_nothing(r, &j);
	mf_rig_free(r);
}

/* A token in the signer's hands when its lease is suspended, and re-adopted under a new epoch: it is nobody's. */
static void
test_token_over_a_suspension(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	uint64_t req = mint(r, 1, &j), late;
	assert_int_equal(r->jwts_n, 1);
	silent_for(r, 310); /* its session is there, and says nothing */
	mf_rig_commit(r);
	assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_SUSPENDED);
	assert_int_equal(comes_back(r, &j), VERDICT(SUSPENDED));
	late = mf_rig_attach(r, 2, 1, j.key, "train", "alice");
	mf_rig_sign_jwts(r, true); /* between the two epochs, or in the second */
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 2, late));
	assert_true(mf_rig_grant(r, 2, late)->epoch > j.epoch);
	assert_int_equal(mf_rig_count(r, MF_REC_JWT_ISSUED), 0);
	assert_false(has_token(r, 1, req));
	/* The old epoch mints nothing, the new one does. */
	req = mint(r, 2, &j);
	assert_int_equal(mf_rig_refusal(r, 2, req), CODE(SUSPENDED));
	j.epoch = mf_rig_lease(r, j.lease)->epoch;
	req = mint(r, 2, &j);
	mf_rig_settle(r);
	assert_true(has_token(r, 2, req));
	mf_rig_check_replay(r);
	mf_rig_free(r);
}

/* Signed anew because its key was tainted and revoked, and its deadline came nearer meanwhile: not granted (invariant 2). */
static void
test_signed_anew_after_a_nearer_end(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	const char *first = mf_jws_key_kid(mf_rig_jwt_keys[0]);
	(void)mint(r, 1, &j); /* what it had before it may have again */
	mf_rig_settle(r);
	mf_rig_ask_prepare(r, MF_KEY_USE_JWT_ES256);
	mf_rig_jwt_made(r, 0, true);
	mf_rig_commit(r);
	uint64_t req = mint(r, 1, &j);
	(void)mf_rig_activate_key(r, MF_KEY_USE_JWT_ES256, true);
	mf_rig_commit(r);
	(void)mf_rig_take_key_away(r, first, false);
	mf_rig_commit(r);
	(void)mf_rig_take_key_away(r, first, true);
	mf_rig_commit(r);
	assert_true(mf_rig_end_job(r, j.id, true)->ending_until > 0); /* sooner than five minutes */
	mf_rig_settle(r);
	assert_false(has_token(r, 1, req));
	assert_int_equal(mf_rig_refusal(r, 1, req), CODE(UNAVAILABLE));
	assert_int_equal(mf_rig_count(r, MF_REC_JWT_ISSUED), 1);
	/* Asked again it ends with the drain. */
	req = mint(r, 1, &j);
	mf_rig_settle(r);
	assert_true(has_token(r, 1, req));
	assert_true(mf_rig_answer(r, 1, req)->jwt_grant->expires <= mf_rig_job(r, j.id)->until);
	mf_rig_check_replay(r);
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent_while_draining),
		cmocka_unit_test(test_back_before_the_drain_is_over),
		cmocka_unit_test(test_suspended_then_drained),
		cmocka_unit_test(test_token_over_a_suspension),
		cmocka_unit_test(test_signed_anew_after_a_nearer_end),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
