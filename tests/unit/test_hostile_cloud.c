/*
 * A node key that was stolen, or an attestor that is owned, and cloud tokens: whatever lease, epoch and grant it names, in whatever
 * session, it gets tokens for its own node's jobs by today's policy, and nothing is even meant for another's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine_rig_cloud.h"

#define NODES 3u
#define JOBS 2u
#define REQUESTS 6000u

static struct rig_cloud cloud;
static struct rig_job first;
static uint64_t seed = 1;

struct place {
	char node[MF_STATE_ID_MAX];
	char lease[JOBS][MF_STATE_ID_MAX];
	uint32_t epoch[JOBS];
};

static uint64_t
rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % below;
}

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

/* Session and key ${k} ask; NULL: nobody answers any more. */
static const Mayfly__Agent__V1__Down *
ask(struct rig *r, uint64_t sid, unsigned k, const char *lease, uint32_t epoch, const char *grant)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__MintCloud m = MAYFLY__AGENT__V1__MINT_CLOUD__INIT;
	m.lease_id = (char *)(uintptr_t)lease;
	m.epoch = epoch;
	m.grant = (char *)(uintptr_t)grant;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MINT_CLOUD;
	up.mint_cloud = &m;
	uint64_t req = mf_rig_up(r, sid, k, &up);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	while (mf_rig_bring(r))
		;
	mf_rig_settle(r);
	return mf_rig_answer(r, sid, req);
}

static void
populate(struct rig *r, struct place p[NODES])
{
	for (unsigned n = 0; n < NODES; n++) {
		uint8_t value[16];
		if (n == 0)
			memcpy(p[n].node, first.node, sizeof(p[n].node));
		else
			mf_rig_join(r, n + 1, n + 1, p[n].node, value);
		for (unsigned j = 0; j < JOBS; j++) {
			char key[256];
			mf_rig_instance_key(key, p[n].node, RIG_BOOT, 10 + j);
			uint64_t req = mf_rig_attach(r, n + 1, n + 1, key, "train", "alice");
			mf_rig_settle(r);
			const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, n + 1, req);
			assert_non_null(g);
			(void)snprintf(p[n].lease[j], sizeof(p[n].lease[j]), "%s", g->lease_id);
			p[n].epoch[j] = g->epoch;
		}
	}
}

/* What it may say. ${ret_own}: is this, by chance, exactly what it may ask for? */
static void
make_up(const struct place p[NODES], unsigned k, char lease[MF_STATE_ID_MAX], uint32_t *ret_epoch,
    const char **ret_grant, bool *ret_own)
{
	static const char *const grants[] = { "data", "short", "other", "nowhere", "", "lab", "role-1",
		"data ", "DATA", "../data", "*" };
	unsigned n = (unsigned)rnd(NODES), j = (unsigned)rnd(JOBS);
	size_t len = strlen(p[n].lease[j]), g = (size_t)rnd(MF_COUNT(grants));
	const uint32_t epochs[] = { p[n].epoch[j], p[n].epoch[j], p[n].epoch[j], p[n].epoch[j] + 1,
		p[n].epoch[j] - 1, 0, UINT32_MAX };
	size_t e = (size_t)rnd(MF_COUNT(epochs));
	memcpy(lease, p[n].lease[j], MF_STATE_ID_MAX);
	bool whole = true;
	switch (rnd(8)) {
	case 0:
		lease[rnd(len)] ^= 1;
		whole = false;
		break;
	case 1:
		lease[rnd(len)] = '\0';
		whole = false;
		break;
	case 2: /* another's number behind the own node's beginning */
		memcpy(lease, p[k].lease[0], len / 2);
		whole = strcmp(lease, p[n].lease[j]) == 0;
		break;
	default:
		break;
	}
	*ret_epoch = epochs[e];
	*ret_grant = grants[g];
	*ret_own = whole && n == k && epochs[e] == p[n].epoch[j] && g < 3;
}

static struct mf_record_doc *
record(const struct rig *r, size_t i)
{
	struct mf_record_doc *d = NULL;
	assert_int_equal(mf_record_decode(mf_slice(r->log[i].p, r->log[i].n), &d, NULL), MF_OK);
	return d;
}

/* Every intent there is, is of a lease of the node that asked. */
static size_t
look_at_intents(const struct rig *r, const struct place p[NODES])
{
	size_t found = 0;
	for (size_t i = 0; i < r->log_n; i++) {
		MF_AUTO(mf_record_doc_free) struct mf_record_doc *d = record(r, i);
		const struct mf_record *rec = mf_record_doc_get(d);
		bool own = false;
		if (rec->type != MF_REC_CLOUD_INTENT && rec->type != MF_REC_CLOUD_ISSUED)
			continue;
		for (unsigned n = 0; n < NODES; n++)
			for (unsigned j = 0; j < JOBS; j++)
				own = own || (mf_slice_eq_str(rec->s[MF_RS_LEASE], p[n].lease[j]) &&
						 mf_slice_eq_str(rec->s[MF_RS_NODE_ID], p[n].node));
		assert_true(own);
		found += rec->type == MF_REC_CLOUD_INTENT;
	}
	return found;
}

static void
test_any_request(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &first);
	struct place p[NODES];
	size_t granted = 0;
	populate(r, p);
	for (unsigned i = 0; i < REQUESTS; i++) {
		unsigned k = 1 + (unsigned)rnd(NODES - 1); /* the owned ones */
		char lease[MF_STATE_ID_MAX];
		uint32_t epoch;
		const char *grant;
		bool own;
		make_up(p, k, lease, &epoch, &grant, &own);
		size_t before = cloud.asked_in_all;
		const Mayfly__Agent__V1__Down *d = ask(r, k + 1, k + 1, lease, epoch, grant);
		assert_non_null(d);
		bool got = d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT;
		assert_true(got || d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL);
		if (!own && (got || cloud.asked_in_all != before))
			fail_msg("node %u got %s of %s/%u", k, grant, lease, epoch);
		granted += got;
		if (i % 40 == 39)
			mf_rig_forget_answers(r);
	}
	assert_true(granted > 0 && look_at_intents(r, p) >= granted);
	mf_rig_cloud_free(r);
}

static bool
obtains(struct rig *r, uint64_t sid, unsigned k, const char *lease, uint32_t epoch)
{
	size_t before = cloud.asked_in_all;
	const Mayfly__Agent__V1__Down *d = ask(r, sid, k, lease, epoch, "data");
	bool got = d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT;
	assert_true(got || cloud.asked_in_all == before);
	return got;
}

/* The key alone, in another's session, in one of its own before it has said what it holds, and with another boot. */
static void
test_sessions(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &first);
	struct place p[NODES];
	uint8_t wrong[16] = { 1 };
	populate(r, p);
	assert_true(obtains(r, 1, 1, p[0].lease[0], p[0].epoch[0]));
	/* In the first node's session, with the second's key. */
	assert_false(obtains(r, 1, 2, p[0].lease[0], p[0].epoch[0]));
	assert_false(obtains(r, 77, 2, p[0].lease[0], p[0].epoch[0])); /* no hello */
	assert_false(obtains(r, 78, 1, p[0].lease[0], p[0].epoch[0]));
	/* The first node's key on another machine: it does not know the session value. */
	(void)mf_rig_hello(r, 79, 1, RIG_BOOT, wrong, sizeof(wrong), NULL);
	assert_false(obtains(r, 79, 1, p[0].lease[0], p[0].epoch[0]));
	/* With it, but before the resync. */
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, 80, 1, RIG_BOOT_2, first.value, 16, NULL);
	MF_UNUSED(d);
	assert_false(obtains(r, 80, 1, p[0].lease[0], p[0].epoch[0]));
	(void)look_at_intents(r, p);
	mf_rig_cloud_free(r);
}

/* Ended, evicted: nothing more, whoever has the key. */
static void
test_over(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &first);
	struct place p[NODES];
	char key[256];
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EvictNodeRequest q = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	populate(r, p);
	assert_true(obtains(r, 2, 2, p[1].lease[0], p[1].epoch[0]));
	/* It ends the neighbour's instance, in its own name and the neighbour's: the neighbour goes on. */
	mf_rig_instance_key(key, p[2].node, RIG_BOOT, 10);
	(void)mf_rig_end(r, 2, 2, key, p[2].lease[0]);
	mf_rig_settle(r);
	assert_true(obtains(r, 3, 3, p[2].lease[0], p[2].epoch[0]));
	/* Its own. */
	mf_rig_instance_key(key, p[1].node, RIG_BOOT, 10);
	(void)mf_rig_end(r, 2, 2, key, p[1].lease[0]);
	mf_rig_settle(r);
	assert_false(obtains(r, 2, 2, p[1].lease[0], p[1].epoch[0]));
	assert_false(obtains(r, 2, 2, p[1].lease[0], p[1].epoch[0] + 1));
	assert_true(obtains(r, 2, 2, p[1].lease[1], p[1].epoch[1]));
	q.match = p[1].node;
	q.reason = (char *)(uintptr_t) "stolen";
	call.loginuid = UINT32_MAX;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE;
	call.evict_node = &q;
	mf_engine_admin(r->e, r->now, &call);
	assert_false(obtains(r, 2, 2, p[1].lease[1], p[1].epoch[1]));
	mf_rig_settle(r);
	assert_false(obtains(r, 2, 2, p[1].lease[1], p[1].epoch[1]));
	assert_true(obtains(r, 3, 3, p[2].lease[1], p[2].epoch[1]));
	(void)look_at_intents(r, p);
	mf_rig_cloud_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_request),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_over),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
