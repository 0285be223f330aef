/* How many tokens one lease may have at a time: tokens only, whatever else it has, and those that have not expired. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine_jobs.h"

#define TOKENS 192u /* LIVE_TOKENS_MAX of mint.c */

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
	return 0;
}

static Mayfly__Agent__V1__Down__BodyCase
ask(struct rig *r, const struct rig_job *j, const char *name)
{
	static const char *const audience[] = { "vault.example" };
	uint64_t req = mf_rig_mint(r, 1, 1, j->lease, j->epoch, name, audience, 1);
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, 1, req);
	assert_non_null(d);
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL)
		assert_non_null(strstr(d->refusal->reason, "too many tokens"));
	return d->body_case;
}

/* So many certificates that have not expired, too, stand before the tokens and in the middle of them. */
static void
limit(unsigned before, unsigned between)
{
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	char name[1024];
	const struct mf_lease *l = mf_rig_lease(r, j.lease);
	(void)snprintf(name, sizeof(name), "%s", MF_LIST_ITEM(l->creds.next, struct mf_cred, at)->spiffe_id);
	for (unsigned i = 0; i < before; i++)
		(void)mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	for (unsigned i = 0; i < TOKENS; i++) {
		assert_int_equal(ask(r, &j, name), MAYFLY__AGENT__V1__DOWN__BODY_JWT_GRANT);
		for (unsigned k = 0; k < between && i == TOKENS / 2; k++)
			(void)mf_rig_renew(r, 1, 1, j.lease, j.epoch);
		mf_rig_settle(r);
	}
	assert_int_equal(ask(r, &j, name), MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL);
	assert_int_equal(ask(r, &j, name), MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL);
	mf_rig_free(r);
}

static void
test_limit(void **state)
{
	MF_UNUSED(state);
	limit(0, 0);
	limit(40, 0);
	limit(0, 40);
	limit(10, 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
