/* More ends than a deny list has room for: few requests, and what is said of each token is what is so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine_rig_cloud.h"

#define JOBS 1000u
#define ROOM 300u /* of one request (broker/notary/cloud_revoke.c) */

static struct rig_cloud cloud;
static struct rig_job job, all[JOBS];

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

/* ${n} jobs of one role, each with a token of an hour. */
static struct rig *
crowd(unsigned n)
{
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char hex[65];
	memset(hex, 'a', 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, mf_rig_cloud_policy("1h", "alice"), hex);
	for (unsigned i = 0; i < n; i++) {
		if (i % 40 == 39)
			mf_rig_advance(r, 30000); /* no more than a node may ask for in a while */
		all[i] = job;
		mf_rig_instance_key(all[i].key, job.node, RIG_BOOT, i + 10);
		uint64_t req = mf_rig_attach(r, 1, 1, all[i].key, "train", "alice");
		mf_rig_settle(r);
		const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
		assert_non_null(g);
		(void)snprintf(all[i].lease, sizeof(all[i].lease), "%s", g->lease_id);
		(void)snprintf(all[i].id, sizeof(all[i].id), "%s", g->job_id);
		all[i].epoch = g->epoch;
		req = mf_rig_mint_cloud(r, &all[i], "data");
		mf_rig_settle(r);
		mf_rig_assert_all(r, true);
		assert_true(mf_rig_bring(r));
		mf_rig_settle(r);
		assert_non_null(mf_rig_cloud_grant(r, req));
		if (i % 50 == 49)
			mf_rig_forget_answers(r);
	}
	return r;
}

static const struct mf_cloud_cred *
token_of(const struct rig *r, unsigned i)
{
	const struct mf_lease *l = mf_rig_lease(r, all[i].lease);
	assert_false(mf_list_empty(&l->clouds));
	return MF_LIST_ITEM(l->clouds.next, struct mf_cloud_cred, at_lease);
}

/* Is ${id} in the list that the provider has after ${q}? */
static bool
names(const Mayfly__Roles__V1__CloudRevokeRequest *q, const char *id)
{
	for (size_t i = 0; i < q->n_deny; i++)
		if (strcmp(q->deny[i]->value, id) == 0)
			return true;
	return false;
}

/*
 * A thousand ends within a minute, at a provider that takes a second for each answer: few requests, none with more than there is room
 * for; in the end every token is denied and in the last list, or said to expire.
 */
static void
test_a_thousand_in_a_minute(void **state)
{
	MF_UNUSED(state);
	struct rig *r = crowd(JOBS);
	size_t asked = 0, denied = 0, expire = 0;
	char(*listed)[MF_STATE_ID_MAX] = calloc(ROOM, sizeof(*listed));
	assert_non_null(listed);
	size_t listed_n = 0;
	for (unsigned ms = 0, i = 0; ms < 120000; ms += 60) {
		if (i < JOBS) {
			(void)mf_rig_end(r, 1, 1, all[i].key, all[i].lease);
			i++;
		}
		mf_rig_advance(r, 60);
		mf_rig_settle(r);
		mf_rig_assert_all(r, true);
		if (ms % 1020 != 0 || cloud.revoking_n == 0)
			continue;
		const Mayfly__Roles__V1__CloudRevokeRequest *q = cloud.revoking[0];
		assert_int_equal(cloud.revoking_n, 1); /* one at a time for each role */
		assert_true(q->n_deny <= ROOM);
		listed_n = q->n_deny;
		for (size_t k = 0; k < listed_n; k++)
			(void)snprintf(listed[k], sizeof(listed[k]), "%s", q->deny[k]->value);
		assert_true(mf_rig_revoked(r, NULL, 0));
		asked++;
	}
	mf_rig_settle(r);
	for (unsigned i = 0; i < JOBS; i++) {
		const struct mf_cloud_cred *c = token_of(r, i);
		bool in = false;
		for (size_t k = 0; k < listed_n; k++)
			in = in || strcmp(listed[k], all[i].id) == 0;
		assert_int_equal(c->state, MF_CLOUD_COMPLETED);
		assert_int_equal(c->level, in ? 2 : 0);
		assert_int_equal(c->dead_at <= c->effective, 1);
		if (!in)
			assert_int_equal(c->dead_at, c->effective);
		denied += in;
		expire += !in;
	}
	print_message("%zu requests; %zu denied, %zu said to expire\n", asked, denied, expire);
	assert_int_equal(denied, ROOM);
	assert_true(asked < 130);
	free(listed);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* A person's removal goes first: one that was said to be denied has to leave the full list, and what was said of it is said anew. */
static void
test_pushed_out(void **state)
{
	MF_UNUSED(state);
	struct rig *r = crowd(ROOM + 1);
	for (unsigned i = 0; i < ROOM; i++)
		(void)mf_rig_end(r, 1, 1, all[i].key, all[i].lease);
	for (unsigned i = 0; i < 20; i++) {
		mf_rig_settle(r);
		mf_rig_assert_all(r, true);
		(void)mf_rig_revoked(r, NULL, 0);
		mf_rig_advance(r, 1000);
	}
	for (unsigned i = 0; i < ROOM; i++)
		assert_int_equal(token_of(r, i)->level, 2);
	size_t before = mf_rig_count(r, MF_REC_REVOKE_COMPLETED);
	assert_int_equal(before, ROOM);
	(void)mf_rig_end_job(r, all[ROOM].id, false);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.revoking_n, 1);
	assert_int_equal(cloud.revoking[0]->n_deny, ROOM);
	assert_true(names(cloud.revoking[0], all[ROOM].id));
	unsigned out = 0, which = 0;
	for (unsigned i = 0; i < ROOM; i++)
		if (!names(cloud.revoking[0], all[i].id)) {
			out++;
			which = i;
		}
	assert_int_equal(out, 1);
	assert_int_equal(token_of(r, which)->level, 2); /* not before the provider took the new list */
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_settle(r);
	assert_int_equal(token_of(r, ROOM)->level, 2);
	const struct mf_cloud_cred *c = token_of(r, which);
	assert_int_equal(c->state, MF_CLOUD_COMPLETED);
	assert_int_equal(c->level, 0);
	assert_int_equal(c->dead_at, c->effective);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_COMPLETED), before + 2);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_pushed_out),
		cmocka_unit_test(test_a_thousand_in_a_minute) };
	return cmocka_run_group_tests_name("engine_many", tests, setup, teardown);
}
