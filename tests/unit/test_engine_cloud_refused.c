/* What a provider refuses, through the engine: what the job is told, and what stands in the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig_cloud.h"

#define DENIED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED
#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE

static struct rig_cloud cloud;
static struct rig_job job;

static int
setup(void **state)
{
	MF_UNUSED(state);
	return mf_jws_key_generate(MF_JWS_RS256, &mf_rig_assertion_key, NULL) == MF_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_jws_key_free(mf_rig_assertion_key);
	mf_rig_assertion_key = NULL;
	mf_rig_free_spares();
	return 0;
}

static int64_t
now_s(const struct rig *r)
{
	return r->now.wall_us / 1000000;
}

static void
heartbeat(struct rig *r)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Heartbeat h = MAYFLY__AGENT__V1__HEARTBEAT__INIT;
	h.wall_us = r->now.wall_us;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_HEARTBEAT;
	up.heartbeat = &h;
	(void)mf_rig_up(r, 1, 1, &up);
}

/* Of the courier. */
static uint64_t
asked_for(struct rig *r, const char *grant)
{
	uint64_t req = mf_rig_mint_cloud(r, &job, grant);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.asked_n, 1);
	return req;
}

static void
provider_refuses(struct rig *r, const char *with)
{
	char error[16], reason[] = "AccessDenied, request 7";
	Mayfly__Roles__V1__MintResult m = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	(void)snprintf(error, sizeof(error), "%s", with);
	m.mint_id = cloud.asked[0]->mint_id;
	m.error = error;
	m.reason = reason;
	mf_engine_minted(r->e, r->now, &m);
	mf_rig_forget_asked(r);
	mf_rig_settle(r);
}

static int
refused_by_provider(struct rig *r, const char *grant, const char *with)
{
	uint64_t req = asked_for(r, grant);
	provider_refuses(r, with);
	return (int)mf_rig_refusal(r, 1, req);
}

/* A provider's no to a renewal takes nothing from who has a token; once that is over it is the answer. */
static void
test_a_renewal_refused(void **state)
{
	MF_UNUSED(state);
	static const char *const final[] = { "trust", "scope", "denied", "config" };
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	uint64_t req = asked_for(r, "short");
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	const Mayfly__Agent__V1__CloudGrant *g = mf_rig_cloud_grant(r, req);
	assert_non_null(g);
	int64_t over_s = g->effective_expires;
	for (size_t i = 0; i < MF_COUNT(final); i++)
		assert_int_equal(refused_by_provider(r, "short", final[i]), UNAVAILABLE);
	assert_int_equal(refused_by_provider(r, "data", "trust"), DENIED); /* of that it has none */
	while (now_s(r) < over_s) {
		heartbeat(r);
		mf_rig_advance(r, 60000);
	}
	assert_int_equal(refused_by_provider(r, "short", "trust"), DENIED);
	mf_rig_cloud_free(r);
}

static void
test_what_the_provider_refuses(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *error;
		Mayfly__Agent__V1__RefusalCode code;
		bool orphan;
	} cases[] = { { "transient", UNAVAILABLE, false }, { "throttled", UNAVAILABLE, false },
		{ "trust", DENIED, false }, { "scope", DENIED, false }, { "issuer", UNAVAILABLE, false },
		{ "clock", UNAVAILABLE, false }, { "denied", DENIED, false }, { "config", DENIED, false },
		{ "bug", UNAVAILABLE, false }, { "unknown", UNAVAILABLE, true },
		{ "nonsense", UNAVAILABLE, false }, { "", UNAVAILABLE, false } };
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	size_t failed = 0, orphans = 0;
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		uint64_t req = asked_for(r, "data");
		provider_refuses(r, cases[i].error);
		assert_int_equal(mf_rig_refusal(r, 1, req), cases[i].code);
		assert_non_null(strstr(mf_rig_answer(r, 1, req)->refusal->reason, "AccessDenied"));
		failed += !cases[i].orphan;
		orphans += cases[i].orphan;
		assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_FAILED), failed);
		assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_RECONCILED), orphans);
	}
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_the_provider_refuses),
		cmocka_unit_test(test_a_renewal_refused) };
	return cmocka_run_group_tests_name("engine_cloud_refused", tests, setup, teardown);
}
