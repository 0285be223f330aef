/*
 * Each allocation of the notary's engine fails once on the way of a cloud token: asked for, recorded, signed, minted, given, its job
 * ended or its profile frozen, taken back. Whatever fails: no token without its record, every intent closed, nothing leaked,
 * and in the end, after a restart where the engine asked for one, every token that was made is dead and said to be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc_fail.h"

#ifdef MF_INSTRUMENTED
int
main(void)
{
	printf("skipped: the sanitizer's allocator cannot be replaced\n");
	return 0;
}
#else

#include <openssl/crypto.h>

#include "engine_rig_cloud.h"

#define ROUNDS 3000 /* more allocations than any step makes: a hang limit */

static struct rig_cloud cloud;
static struct rig_job job;
static uint64_t request;

/* libcrypto has memory: mf_sha256 ends a process that has none (crypto/hash.h). */
static void *
ossl_malloc(size_t n, const char *file, int line)
{
	MF_UNUSED(file);
	MF_UNUSED(line);
	return __libc_malloc(n);
}

static void *
ossl_realloc(void *p, size_t n, const char *file, int line)
{
	MF_UNUSED(file);
	MF_UNUSED(line);
	return __libc_realloc(p, n);
}

static void
ossl_free(void *p, const char *file, int line)
{
	MF_UNUSED(file);
	MF_UNUSED(line);
	__libc_free(p);
}

/* ---- the way, step by step ---- */

static void
ask(struct rig *r)
{
	request = mf_rig_mint_cloud(r, &job, "data");
}

static void
sign(struct rig *r)
{
	mf_rig_assert_all(r, true);
}

static void
bring(struct rig *r)
{
	(void)mf_rig_bring(r);
}

static void
end_instance(struct rig *r)
{
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
}

static void
freeze(struct rig *r)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__FreezeRequest q = MAYFLY__ADMIN__V1__FREEZE_REQUEST__INIT;
	q.kind = (char *)(uintptr_t) "profile";
	q.name = (char *)(uintptr_t) "train";
	q.reason = (char *)(uintptr_t) "test";
	call.loginuid = UINT32_MAX;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_FREEZE;
	call.freeze = &q;
	mf_engine_admin(r->e, r->now, &call);
}

static void
unfreeze(struct rig *r)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__UnfreezeRequest q = MAYFLY__ADMIN__V1__UNFREEZE_REQUEST__INIT;
	q.kind = (char *)(uintptr_t) "profile";
	q.name = (char *)(uintptr_t) "train";
	q.reason = (char *)(uintptr_t) "test";
	call.loginuid = UINT32_MAX;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_UNFREEZE;
	call.unfreeze = &q;
	mf_engine_admin(r->e, r->now, &call);
}

static void
tick(struct rig *r)
{
	mf_rig_advance(r, 1000);
}

static void
confirm(struct rig *r)
{
	(void)mf_rig_revoked(r, NULL, 0);
}

static void
fail_once(struct rig *r)
{
	(void)mf_rig_revoked(r, "transient", 0);
}

static void
courier_dies(struct rig *r)
{
	mf_engine_courier_gone(r->e, r->now);
}

static void
courier_comes(struct rig *r)
{
	mf_engine_courier_here(r->e, r->now);
}

typedef void step(struct rig *r);
static step *const by_end[] = { ask, mf_rig_commit, sign, bring, mf_rig_commit, end_instance, mf_rig_commit,
	tick, sign, fail_once, tick, courier_comes, sign, confirm, mf_rig_commit, NULL };
static step *const by_freeze[] = { ask, mf_rig_commit, sign, bring, mf_rig_commit, freeze, mf_rig_commit,
	tick, sign, confirm, mf_rig_commit, unfreeze, mf_rig_commit, NULL };
static step *const no_outcome[] = { ask, mf_rig_commit, sign, courier_dies, mf_rig_commit, tick,
	courier_comes, sign, confirm, mf_rig_commit, NULL };

/* ---- what must be so, whatever failed ---- */

static bool
all_dead(const struct rig *r)
{
	MF_LIST_EACH(p, mf_state_clouds(mf_engine_state(r->e)))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (c->state != MF_CLOUD_COMPLETED && c->effective * 1000000 > r->now.wall_us)
			return false;
	}
	return true;
}

static void
until_all_dead(struct rig *r)
{
	if (r->broken) { /* the notary ends itself and is started again */
		mf_rig_crash(r);
		r->broken = false;
		mf_rig_cloud_conf(r);
	}
	mf_rig_settle(r);
	if (!mf_rig_job(r, job.id)->ended)
		(void)mf_rig_end_job(r, job.id, false);
	mf_engine_courier_here(r->e, r->now);
	for (unsigned i = 0; i < 300 && !all_dead(r); i++) {
		mf_rig_assert_all(r, true);
		while (mf_rig_bring(r))
			;
		while (mf_rig_revoked(r, NULL, 0))
			;
		mf_rig_settle(r);
		mf_rig_advance(r, 1000);
	}
	assert_true(all_dead(r));
	assert_false(r->broken);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED) + mf_rig_count(r, MF_REC_CLOUD_FAILED) +
			     mf_rig_count(r, MF_REC_CLOUD_RECONCILED),
	    mf_rig_count(r, MF_REC_CLOUD_INTENT));
	mf_rig_check_replay(r);
}

/* The way with the ${n}-th allocation of step ${at} failing. False: it has fewer. */
static bool
run(step *const *way, size_t at, long n, unsigned *breaks)
{
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	bool failed = false;
	r->may_break = true;
	for (size_t i = 0; way[i] != NULL; i++) {
		mf_alloc_fail(i == at ? n : 0);
		way[i](r);
		failed = failed || (i == at && mf_alloc_failed());
		mf_alloc_fail(0);
	}
	if (mf_rig_cloud_grant(r, request) != NULL)
		assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 1);
	*breaks += r->broken;
	until_all_dead(r);
	mf_rig_cloud_free(r);
	return failed;
}

static void
each(step *const *way)
{
	unsigned breaks = 0;
	long all = 0;
	(void)run(way, 0, 0, &breaks); /* what libraries keep for ever is made here */
	assert_int_equal(breaks, 0);
	for (size_t at = 0; way[at] != NULL; at++)
		for (long n = 1;; n++, all++) {
			long before = mf_alloc_live();
			bool failed = run(way, at, n, &breaks);
			if (mf_alloc_live() != before)
				fail_msg("step %zu, allocation %ld: %ld not freed", at, n,
				    mf_alloc_live() - before);
			if (!failed)
				break;
			assert_true(n < ROUNDS);
		}
	print_message(
	    "   %ld allocations failed; %u times the engine asked to be started again\n", all, breaks);
	assert_true(all > 20);
}

static void
test_by_end(void **state)
{
	MF_UNUSED(state);
	each(by_end);
}

static void
test_by_freeze(void **state)
{
	MF_UNUSED(state);
	each(by_freeze);
}

static void
test_no_outcome(void **state)
{
	MF_UNUSED(state);
	each(no_outcome);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_end),
		cmocka_unit_test(test_by_freeze),
		cmocka_unit_test(test_no_outcome),
	};
	if (CRYPTO_set_mem_functions(ossl_malloc, ossl_realloc, ossl_free) != 1)
		return 1;
	if (mf_jws_key_generate(MF_JWS_RS256, &mf_rig_assertion_key, NULL) != MF_OK)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	mf_jws_key_free(mf_rig_assertion_key);
	mf_rig_free_spares();
	return failed;
}
#endif
