/* Cloud tokens through the engine: a courier in memory, which may do anything, and everything that can end in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig_cloud.h"

#define DENIED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED
#define ENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED
#define SUSPENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED
#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE

static struct rig_cloud cloud;
static struct rig_job job;

static int64_t
now_s(const struct rig *r)
{
	return r->now.wall_us / 1000000;
}

/* The only cloud token of the state; NULL: there is none. */
static const struct mf_cloud_cred *
only(const struct rig *r)
{
	const struct mf_list *all = mf_state_clouds(mf_engine_state(r->e));
	if (mf_list_empty(all))
		return NULL;
	assert_true(all->next == all->prev);
	return MF_LIST_ITEM(all->next, struct mf_cloud_cred, at);
}

/* A token of ${grant}, all the way. */
static const Mayfly__Agent__V1__CloudGrant *
whole(struct rig *r, const char *grant)
{
	uint64_t req = mf_rig_mint_cloud(r, &job, grant);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	return mf_rig_cloud_grant(r, req);
}

static void
test_the_way_of_one_token(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	uint64_t req = mf_rig_mint_cloud(r, &job, "data");
	const struct mf_cloud_cred *c = only(r);
	assert_non_null(c);
	assert_int_equal(c->state, MF_CLOUD_INTENT);
	assert_int_equal(cloud.signing_n, 0); /* not before the intent is durable */
	mf_rig_commit(r);
	assert_int_equal(cloud.signing_n, 1);
	const struct mf_assertion_request *a = cloud.signing[0];
	assert_string_equal(a->iss, "https://issuer.example");
	assert_string_equal(a->aud, "sts.example");
	assert_true(strncmp(a->sub, "spiffe://example.org/default/job/j-", 35) == 0);
	assert_true(a->exp - a->iat <= 60 && a->exp <= now_s(r) + 60 && a->exp > now_s(r));
	assert_string_equal(a->source_identity, job.id);
	assert_null(a->client_id);
	assert_int_equal(a->tags_n, 6);
	assert_string_equal(a->tag_names[0], "mayfly-cred");
	assert_string_equal(a->tag_values[0], c->id);
	assert_string_equal(a->tag_values[1], job.id);
	char lease[MF_STATE_ID_MAX + 16];
	(void)snprintf(lease, sizeof(lease), "%s/%u", job.lease, job.epoch);
	assert_string_equal(a->tag_values[2], lease);
	assert_string_equal(a->tag_names[5], "tenant");
	assert_int_equal(cloud.asked_n, 0);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.asked_n, 1);
	const Mayfly__Roles__V1__MintRequest *q = cloud.asked[0];
	assert_string_equal(q->credential_id, c->id);
	assert_string_equal(q->role, "role-1");
	assert_string_equal(q->session, job.id);
	assert_int_equal(q->ttl_s, 1200);
	assert_int_equal(q->not_after, 0);
	char scope[128];
	(void)snprintf(scope, sizeof(scope), "runs/%s/*\n", mf_rig_job(r, job.id)->run);
	assert_true(mf_slice_eq_str(mf_slice(q->scope.data, q->scope.len), scope));
	assert_true(mf_rig_bring(r));
	assert_null(mf_rig_answer(r, 1, req)); /* not before it is recorded */
	assert_int_equal(only(r)->state, MF_CLOUD_ACTIVE);
	mf_rig_commit(r);
	const Mayfly__Agent__V1__CloudGrant *g = mf_rig_cloud_grant(r, req);
	assert_non_null(g);
	assert_string_equal(g->credential_id, only(r)->id);
	assert_string_equal(g->kind, "aws");
	assert_int_equal(g->expires, now_s(r) + 1200);
	assert_int_equal(g->effective_expires, g->expires);
	assert_int_equal(g->refresh_after, now_s(r) + 600);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_INTENT), 1);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 1);
	/* No token in the log. */
	for (size_t i = 0; i < r->log_n; i++)
		assert_null(memmem(r->log[i].p, r->log[i].n, "session-token", 13));
	g = whole(r, "data");
	assert_non_null(g);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 2);
	mf_rig_check_every_prefix(r);
	mf_rig_cloud_free(r);
}

static void
test_what_is_offered(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char key[256];
	mf_rig_instance_key(key, job.node, RIG_BOOT, 7);
	uint64_t req = mf_rig_attach(r, 1, 1, key, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
	assert_non_null(g);
	assert_int_equal(g->n_cloud, 3); /* not the one whose target is not there */
	assert_string_equal(g->cloud[0]->grant, "data");
	assert_string_equal(g->cloud[0]->kind, "aws");
	assert_string_equal(g->cloud[0]->target, "lab");
	assert_string_equal(g->cloud[0]->region, "r1");
	/* And what the policy's author is told of that one. */
	assert_non_null(strstr(r->said, "target gone is not in cloud_targets"));
	mf_rig_cloud_free(r);
}

static void
test_what_is_refused(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	uint64_t req = mf_rig_mint_cloud(r, &job, "nothing");
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), DENIED);
	assert_int_equal(mf_rig_count(r, MF_REC_AUTHZ_DENIED), 1);
	req = mf_rig_mint_cloud(r, &job, "nowhere");
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	struct rig_job other = job;
	other.epoch++;
	req = mf_rig_mint_cloud(r, &other, "data");
	assert_int_equal(mf_rig_refusal(r, 1, req), SUSPENDED);
	(void)snprintf(other.lease, sizeof(other.lease), "l-b1-nobody");
	req = mf_rig_mint_cloud(r, &other, "data");
	assert_int_equal(mf_rig_refusal(r, 1, req), ENDED);
	/* The courier is not there: certainly no token. */
	cloud.away = true;
	req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_FAILED), 1);
	cloud.away = false;
	/* No assertion: none either. */
	req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	mf_rig_assert_all(r, false);
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_FAILED), 2);
	assert_int_equal(cloud.asked_n, 0);
	assert_null(only(r));
	/* While it is made it is made once: who asks last gets it. */
	uint64_t first = mf_rig_mint_cloud(r, &job, "data");
	req = mf_rig_mint_cloud(r, &job, "data");
	assert_int_equal(mf_rig_refusal(r, 1, first), UNAVAILABLE);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.asked_n, 1);
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	assert_non_null(mf_rig_cloud_grant(r, req));
	/* Without targets nothing is minted. */
	assert_int_equal(mf_engine_cloud(r->e, NULL, NULL), MF_OK);
	req = mf_rig_mint_cloud(r, &job, "data");
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* One that the courier was asked for. */
static uint64_t
sent(struct rig *r)
{
	uint64_t req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.asked_n, 1);
	return req;
}

/* ---- lifetimes ---- */

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

static void
test_lifetimes(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	const Mayfly__Agent__V1__CloudGrant *g = whole(r, "short");
	assert_non_null(g);
	/* on_end: expire: its permissions end after max_residual, whatever the provider's expiry. */
	assert_int_equal(g->effective_expires, now_s(r) + 300);
	assert_true(g->expires > g->effective_expires);
	assert_int_equal(g->refresh_after, now_s(r) + 150);
	/* Ten minutes before the deadline, below the provider's floor: the bomb is the deadline. */
	int64_t left = job.deadline - now_s(r);
	for (; left > 600; left -= 60) {
		heartbeat(r);
		mf_rig_advance(r, 60000);
	}
	uint64_t req = sent(r);
	assert_int_equal(cloud.asked[0]->ttl_s, 900);
	assert_int_equal(cloud.asked[0]->not_after, job.deadline);
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	g = mf_rig_cloud_grant(r, req);
	assert_int_equal(g->effective_expires, job.deadline);
	mf_rig_cloud_free(r);
}

static unsigned
only_stopped(const Mayfly__Roles__V1__CloudTarget *t)
{
	MF_UNUSED(t);
	return MF_REVOKE_STOPPED;
}

/* A provider that has none of the three refuses by name; each of them is enough. */
static void
test_below_the_floor(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	cloud.backend.caps.bomb = false;
	cloud.backend.caps.ttl_min_s = 3600;
	uint64_t req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), DENIED);
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, 1, req);
	assert_non_null(strstr(d->refusal->reason, "allow_overhang"));
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_INTENT), 0);
	assert_non_null(whole(r, "other")); /* allow_overhang */
	cloud.backend.caps.levels |= MF_REVOKE_CREDENTIAL;
	assert_non_null(whole(r, "data"));
	/* Where the target cannot do what its kind can, that is no excuse. */
	mf_rig_advance(r, 1000);
	cloud.backend.levels = only_stopped;
	req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), DENIED);
	mf_rig_cloud_free(r);
}

/* ---- the order of things ---- */

enum blow { B_END, B_JOB_END, B_SUSPEND, B_EVICT, B_POLICY, B_BLOWS };

static void
strike(struct rig *r, enum blow b)
{
	char hex[65];
	memset(hex, 'd', 64);
	hex[64] = '\0';
	switch (b) {
	case B_END:
		(void)mf_rig_end(r, 1, 1, job.key, job.lease);
		break;
	case B_JOB_END:
		(void)mf_rig_end_job(r, job.id, false);
		break;
	case B_SUSPEND:
		mf_rig_advance(r, 301000);
		break;
	case B_EVICT: {
		Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
		Mayfly__Admin__V1__EvictNodeRequest q = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
		char why[] = "stolen";
		q.match = job.node;
		q.reason = why;
		call.loginuid = UINT32_MAX;
		call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE;
		call.evict_node = &q;
		mf_engine_admin(r->e, r->now, &call);
		break;
	}
	case B_POLICY:
		mf_engine_policy(r->e, r->now, mf_rig_cloud_policy("20m", "bob"), hex);
		break;
	case B_BLOWS:
		break;
	}
}

/* What ends it falls at every step of its way: nobody gets a token afterwards, and none is without a record. */
static void
test_every_order(void **state)
{
	MF_UNUSED(state);
	for (unsigned b = 0; b < B_BLOWS; b++)
		for (unsigned when = 0; when < 5; when++) {
			struct rig *r = mf_rig_with_cloud(&cloud, &job);
			if (when == 0)
				strike(r, (enum blow)b);
			uint64_t req = mf_rig_mint_cloud(r, &job, "data");
			if (when == 1)
				strike(r, (enum blow)b);
			mf_rig_commit(r);
			if (when == 2)
				strike(r, (enum blow)b);
			mf_rig_assert_all(r, true);
			if (when == 3)
				strike(r, (enum blow)b);
			bool brought = mf_rig_bring(r);
			if (when == 4)
				strike(r, (enum blow)b);
			mf_rig_settle(r);
			bool recorded =
			    when == 4; /* policy does not call back what was decided and recorded */
			assert_true((mf_rig_cloud_grant(r, req) != NULL) == (recorded && b == B_POLICY));
			const struct mf_cloud_cred *c = only(r);
			if (c != NULL && brought)
				assert_int_equal(
				    c->state, recorded && b == B_POLICY ? MF_CLOUD_ACTIVE : MF_CLOUD_ENDED);
			if (b != B_POLICY || when == 0)
				assert_int_equal(brought, when >= 3);
			size_t closed = mf_rig_count(r, MF_REC_CLOUD_ISSUED) +
					mf_rig_count(r, MF_REC_CLOUD_FAILED) +
					mf_rig_count(r, MF_REC_CLOUD_RECONCILED);
			assert_int_equal(closed, mf_rig_count(r, MF_REC_CLOUD_INTENT));
			mf_rig_check_replay(r);
			mf_rig_cloud_free(r);
		}
}

static void
test_while_it_drains(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	cloud.backend.caps.ttl_min_s = 60;
	assert_non_null(whole(r, "other"));
	(void)mf_rig_end_job(r, job.id, true);
	assert_int_equal(mf_rig_lease(r, job.lease)->state, MF_LEASE_ENDING);
	uint64_t req = mf_rig_mint_cloud(r, &job, "data"); /* it had none */
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), DENIED);
	assert_non_null(whole(r, "other"));
	mf_rig_check_every_prefix(r);
	mf_rig_cloud_free(r);
}

static void
test_ten_thousand_races(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	size_t granted = 0, refused = 0;
	for (unsigned i = 0; i < 10000; i++) {
		mf_rig_instance_key(job.key, job.node, RIG_BOOT, 100 + i);
		uint64_t attach = mf_rig_attach(r, 1, 1, job.key, "train", "alice");
		mf_rig_settle(r);
		const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, attach);
		assert_non_null(g);
		(void)snprintf(job.lease, sizeof(job.lease), "%s", g->lease_id);
		job.epoch = g->epoch;
		unsigned when = i % 6;
		uint64_t req = mf_rig_mint_cloud(r, &job, "data");
		if (when == 1)
			(void)mf_rig_end(r, 1, 1, job.key, job.lease);
		mf_rig_commit(r);
		if (when == 2)
			(void)mf_rig_end(r, 1, 1, job.key, job.lease);
		mf_rig_assert_all(r, true);
		if (when == 3)
			(void)mf_rig_end(r, 1, 1, job.key, job.lease);
		(void)mf_rig_bring(r);
		if (when == 4)
			(void)mf_rig_end(r, 1, 1, job.key, job.lease);
		mf_rig_commit(r);
		bool got = mf_rig_cloud_grant(r, req) != NULL;
		assert_int_equal(got, when == 0 || when == 5);
		granted += got;
		refused += mf_rig_refusal(r, 1, req) == ENDED;
		(void)mf_rig_end(r, 1, 1, job.key, job.lease);
		mf_rig_settle(r);
		if (i % 50 == 49)
			mf_rig_forget_answers(r);
		if (i % 1000 == 999) { /* tombstones go, or every attach looks at more of them */
			mf_rig_advance(r, 1000);
			mf_rig_settle(r);
		}
	}
	assert_int_equal(granted + refused, 10000);
	struct mf_state *st = mf_rig_replay(r, r->log_n); /* apply refuses what is out of order */
	mf_state_free(st);
	mf_rig_cloud_free(r);
}

/* ---- a courier that is gone, late, mad or owned ---- */

static void
orphaned(struct rig *r, uint64_t req)
{
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	assert_int_equal(only(r)->state, MF_CLOUD_ENDED);
	assert_true(only(r)->orphan);
	assert_true(mf_cloud_may_work(only(r), now_s(r)));
	mf_rig_check_replay(r);
}

static void
test_no_answer(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	uint64_t req = sent(r);
	mf_engine_courier_gone(r->e, r->now);
	orphaned(r, req);
	/* What it says afterwards counts for nothing. */
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	assert_null(mf_rig_cloud_grant(r, req));
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 0);
	mf_rig_cloud_free(r);

	r = mf_rig_with_cloud(&cloud, &job);
	req = sent(r);
	mf_rig_advance(r, 44000);
	assert_null(mf_rig_answer(r, 1, req));
	mf_rig_advance(r, 2000);
	orphaned(r, req);
	assert_true(mf_rig_bring(r)); /* late */
	assert_int_equal(only(r)->state, MF_CLOUD_ENDED);
	mf_rig_cloud_free(r);

	/* Signers that say nothing: it was never asked for. */
	r = mf_rig_with_cloud(&cloud, &job);
	req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	mf_rig_advance(r, 46000);
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	assert_null(only(r));
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.asked_n, 0);
	mf_rig_cloud_free(r);

	/* The session is gone: the token is recorded, and told to nobody. */
	r = mf_rig_with_cloud(&cloud, &job);
	req = sent(r);
	mf_engine_session_gone(r->e, r->now, 1);
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	assert_null(mf_rig_cloud_grant(r, req));
	assert_int_equal(only(r)->state, MF_CLOUD_ACTIVE);
	mf_rig_cloud_free(r);
}

static void
test_a_restart(void **state)
{
	MF_UNUSED(state);
	for (unsigned when = 0; when < 4; when++) {
		struct rig *r = mf_rig_with_cloud(&cloud, &job);
		(void)mf_rig_mint_cloud(r, &job, "data");
		if (when >= 1)
			mf_rig_commit(r);
		if (when >= 2)
			mf_rig_assert_all(r, true);
		if (when >= 3)
			(void)mf_rig_bring(r); /* and its record is lost */
		mf_rig_crash(r);
		if (when == 0) {
			assert_null(only(r)); /* nothing of it was ever said to anybody */
		} else {
			assert_int_equal(only(r)->state, MF_CLOUD_ENDED);
			assert_true(only(r)->orphan);
		}
		mf_rig_cloud_conf(r);
		mf_rig_assert_all(r, true); /* of the former life */
		while (mf_rig_bring(r))
			;
		assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 0);
		mf_rig_check_replay(r);
		mf_rig_cloud_free(r);
	}
}

static void
twice(struct rig *r)
{
	uint8_t token[256];
	Mayfly__Roles__V1__MintResult m = mf_rig_good_result(r, cloud.asked[0], token);
	mf_engine_minted(r->e, r->now, &m);
	mf_engine_minted(r->e, r->now, &m); /* the same again */
	m.mint_id++;
	mf_engine_minted(r->e, r->now, &m); /* never asked for */
	m.mint_id = 1;
	mf_engine_minted(r->e, r->now, &m);
}

static void
test_answers_that_nobody_asked_for(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	uint8_t token[256];
	uint64_t req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_commit(r);
	/* Guessed before it was sent. */
	Mayfly__Roles__V1__MintRequest q = MAYFLY__ROLES__V1__MINT_REQUEST__INIT;
	q.mint_id = cloud.signing[0]->ticket;
	q.ttl_s = 1200;
	Mayfly__Roles__V1__MintResult m = mf_rig_good_result(r, &q, token);
	mf_engine_minted(r->e, r->now, &m);
	assert_int_equal(only(r)->state, MF_CLOUD_INTENT);
	mf_rig_assert_all(r, true);
	twice(r);
	mf_rig_settle(r);
	assert_non_null(mf_rig_cloud_grant(r, req));
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 1);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

enum lie { L_PAST, L_FAR, L_NO_TOKEN, L_GARBAGE, L_OTHER_KIND, L_HUGE, L_CONTROL, L_LIES };

static void
lie(Mayfly__Roles__V1__MintResult *m, enum lie how, int64_t now, uint8_t *huge, size_t huge_n)
{
	static char control[] = "a\nb";
	static char bearer[] = "token";
	Mayfly__Roles__V1__CloudToken t = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
	switch (how) {
	case L_PAST:
		m->expires = now;
		break;
	case L_FAR:
		m->expires = now + 86400;
		break;
	case L_NO_TOKEN:
		m->token.len = 0;
		break;
	case L_GARBAGE:
		m->token.data[0] = 0xff;
		break;
	case L_OTHER_KIND:
		t.kind = MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_BEARER;
		t.access_token = bearer;
		m->token.len = mayfly__roles__v1__cloud_token__pack(&t, m->token.data);
		break;
	case L_HUGE:
		m->token.data = huge;
		m->token.len = huge_n;
		break;
	case L_CONTROL: /* the token is good: the texts are left out */
		m->principal = control;
		m->provider_request_id = control;
		break;
	case L_LIES:
		break;
	}
}

static void
test_a_courier_that_lies(void **state)
{
	MF_UNUSED(state);
	static uint8_t huge[70000];
	for (unsigned how = 0; how < L_LIES; how++) {
		uint8_t token[256];
		struct rig *r = mf_rig_with_cloud(&cloud, &job);
		uint64_t req = sent(r);
		Mayfly__Roles__V1__MintResult m = mf_rig_good_result(r, cloud.asked[0], token);
		lie(&m, (enum lie)how, now_s(r), huge, sizeof(huge));
		mf_engine_minted(r->e, r->now, &m);
		mf_rig_settle(r);
		if (how == L_CONTROL) {
			assert_non_null(mf_rig_cloud_grant(r, req));
			assert_string_equal(only(r)->principal, "");
		} else {
			assert_null(mf_rig_cloud_grant(r, req));
			orphaned(r, req);
		}
		if (how == L_FAR) /* it may be true: it is thought to live as long as that */
			assert_int_equal(only(r)->exp, now_s(r) + 86400);
		mf_rig_cloud_free(r);
	}
}

/* Invariant 2: a sooner deadline, set while the provider was asked, is not outlived. */
static void
test_a_sooner_deadline(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	uint64_t req = sent(r);
	(void)mf_rig_end_job(r, job.id, true); /* its drain is a minute */
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	assert_null(mf_rig_cloud_grant(r, req));
	orphaned(r, req);
	mf_rig_cloud_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_way_of_one_token),
		cmocka_unit_test(test_what_is_offered),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_lifetimes),
		cmocka_unit_test(test_below_the_floor),
		cmocka_unit_test(test_every_order),
		cmocka_unit_test(test_while_it_drains),
		cmocka_unit_test(test_ten_thousand_races),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_a_restart),
		cmocka_unit_test(test_answers_that_nobody_asked_for),
		cmocka_unit_test(test_a_courier_that_lies),
		cmocka_unit_test(test_a_sooner_deadline),
	};
	return cmocka_run_group_tests(tests, mf_rig_cloud_setup, mf_rig_cloud_teardown);
}
