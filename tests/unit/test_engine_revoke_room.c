/* A deny list that has no room for all: what stays, and what is said of the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine_rig_cloud.h"

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

static void
mint(struct rig *r, const struct rig_job *j, const char *grant)
{
	uint64_t req = mf_rig_mint_cloud(r, j, grant);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	assert_non_null(mf_rig_cloud_grant(r, req));
}

/* Another job on the same node. */
static void
other_job(struct rig *r, unsigned i, struct rig_job *ret_j)
{
	*ret_j = job;
	mf_rig_instance_key(ret_j->key, job.node, RIG_BOOT, i);
	uint64_t req = mf_rig_attach(r, 1, 1, ret_j->key, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
	assert_non_null(g);
	(void)snprintf(ret_j->lease, sizeof(ret_j->lease), "%s", g->lease_id);
	(void)snprintf(ret_j->id, sizeof(ret_j->id), "%s", g->job_id);
	ret_j->epoch = g->epoch;
}

static const struct mf_cloud_cred *
one_of(const struct rig *r, const struct rig_job *j)
{
	MF_LIST_EACH(p, mf_state_clouds(mf_engine_state(r->e)))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (strcmp(c->job_id, j->id) == 0)
			return c;
	}
	fail();
	return NULL;
}

/* More ends than a request can name: what is not named is never said to be denied. */
static void
test_more_than_a_request(void **state)
{
	MF_UNUSED(state);
	enum { JOBS = 310 };
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	static struct rig_job all[JOBS];
	for (unsigned i = 0; i < JOBS; i++) {
		if (i % 40 == 39)
			mf_rig_advance(r, 30000); /* no more than a node may ask for in a while */
		other_job(r, i + 10, &all[i]);
		mint(r, &all[i], "data");
	}
	cloud.away = true;
	for (unsigned i = 0; i < JOBS; i++)
		(void)mf_rig_end(r, 1, 1, all[i].key, all[i].lease);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	cloud.away = false;
	for (unsigned i = 0; i < 20 && cloud.revoking_n == 0; i++) {
		mf_rig_advance(r, 1000);
		mf_rig_assert_all(r, true);
	}
	assert_int_equal(cloud.revoking_n, 1);
	const Mayfly__Roles__V1__CloudRevokeRequest *q = cloud.revoking[0];
	assert_int_equal(q->n_deny, 300);
	bool named[JOBS] = { false };
	for (unsigned i = 0; i < JOBS; i++)
		for (size_t k = 0; k < q->n_deny; k++)
			named[i] = named[i] || strcmp(q->deny[k]->value, all[i].id) == 0;
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_settle(r);
	for (unsigned i = 0; i < JOBS; i++) {
		assert_int_equal(one_of(r, &all[i])->state, MF_CLOUD_COMPLETED);
		assert_int_equal(one_of(r, &all[i])->level, named[i] ? 2 : 0);
	}
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

static void
policy(struct rig *r, const char *ttl, char digit)
{
	char hex[65];
	memset(hex, digit, 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, mf_rig_cloud_policy(ttl, "alice"), hex);
	mf_rig_settle(r);
}

/* Ends one by one, each confirmed; is it in the request? */
static bool
end_one(struct rig *r, const struct rig_job *j)
{
	bool named = false;
	(void)mf_rig_end(r, 1, 1, j->key, j->lease);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	if (cloud.revoking_n == 0)
		return false; /* it was left out, and there was nothing else to ask for */
	const Mayfly__Roles__V1__CloudRevokeRequest *q = cloud.revoking[0];
	for (size_t k = 0; k < q->n_deny; k++)
		named = named || strcmp(q->deny[k]->value, j->id) == 0;
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_settle(r);
	return named;
}

static size_t
at_level(const struct rig *r, uint32_t level)
{
	size_t n = 0;
	MF_LIST_EACH(p, mf_state_clouds(mf_engine_state(r->e)))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		n += c->state == MF_CLOUD_COMPLETED && c->level == level;
	}
	return n;
}

/* A full list of tokens that have minutes left makes room for one that has much longer, and for none of about the same length. */
static void
test_longest_residuals_stay(void **state)
{
	MF_UNUSED(state);
	enum { JOBS = 300 };
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	static struct rig_job all[JOBS], late;
	policy(r, "4m", 'd');
	for (unsigned i = 0; i < JOBS; i++) {
		if (i % 40 == 39)
			mf_rig_advance(r, 4000);
		other_job(r, i + 10, &all[i]);
		mint(r, &all[i], "data");
		assert_true(end_one(r, &all[i]));
	}
	assert_int_equal(at_level(r, 2), JOBS);
	other_job(r, JOBS + 10, &late);
	mint(r, &late, "data");
	assert_false(end_one(r, &late));
	assert_int_equal(one_of(r, &late)->level, 0);
	assert_int_equal(at_level(r, 2), JOBS);
	policy(r, "20m", 'e');
	other_job(r, JOBS + 11, &late);
	mint(r, &late, "data");
	assert_true(end_one(r, &late));
	assert_int_equal(one_of(r, &late)->level, 2);
	assert_int_equal(at_level(r, 2), JOBS); /* one of the others is said anew to expire */
	assert_int_equal(at_level(r, 0), 2);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_more_than_a_request),
		cmocka_unit_test(test_longest_residuals_stay) };
	return cmocka_run_group_tests_name("engine_revoke_room", tests, setup, teardown);
}
