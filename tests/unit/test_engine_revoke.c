/* Taking cloud tokens back: by the right tag, once for many, again after failures and crashes, and never for who goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/hash.h"
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

static int64_t
now_s(const struct rig *r)
{
	return r->now.wall_us / 1000000;
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

static void
second_job(struct rig *r, struct rig_job *ret_j)
{
	other_job(r, 2, ret_j);
}

/* The request at the provider now, signed for the revoker. */
static const Mayfly__Roles__V1__CloudRevokeRequest *
asked(struct rig *r)
{
	mf_rig_settle(r);
	assert_int_equal(cloud.signing_n, 1);
	assert_string_equal(cloud.signing[0]->sub, "spiffe://example.org/broker/revoker");
	assert_int_equal(cloud.signing[0]->tags_n, 0);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.revoking_n, 1);
	return cloud.revoking[0];
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

/* What `mayfly credential ls --all` says of the job's cloud token. */
static const char *
ends(struct rig *r, const struct rig_job *j)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ListCredentialsRequest q = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_REQUEST__INIT;
	static char id[MF_STATE_ID_MAX];
	memcpy(id, j->id, sizeof(id));
	q.job = id;
	q.all = true;
	call.call_id = 1;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_LIST_CREDENTIALS;
	call.list_credentials = &q;
	mf_engine_admin(r->e, r->now, &call);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CREDENTIALS);
	for (size_t i = 0; i < r->reply->credentials->n_credentials; i++) {
		const Mayfly__Admin__V1__Credential *c = r->reply->credentials->credentials[i];
		if (strncmp(c->kind, "cloud:", 6) == 0)
			return c->ends_with_job;
	}
	fail();
	return "";
}

/* The end of a job denies that job; its neighbour on the same role is not touched, and is not told anything. */
static void
test_job_end(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	struct rig_job other;
	second_job(r, &other);
	mint(r, &job, "data");
	mint(r, &other, "data");
	assert_non_null(strstr(ends(r, &job), "yes, where it can be denied"));
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	const Mayfly__Roles__V1__CloudRevokeRequest *q = asked(r);
	assert_non_null(strstr(ends(r, &job), "being taken back"));
	assert_string_equal(q->target, "lab");
	assert_string_equal(q->role, "role-1");
	assert_int_equal(q->n_deny, 1);
	assert_true(q->whole); /* what is dead by itself leaves the list */
	assert_string_equal(q->deny[0]->tag, "mayfly-job");
	assert_string_equal(q->deny[0]->value, job.id);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_ENDED);
	/* What is documented counts from the confirmation, which took its time. */
	const int64_t began = now_s(r);
	mf_rig_advance(r, 20000);
	assert_true(mf_rig_revoked(r, NULL, began + 300));
	mf_rig_settle(r);
	const struct mf_cloud_cred *c = one_of(r, &job);
	assert_non_null(strstr(ends(r, &job), "denied: dead from 2"));
	assert_int_equal(c->state, MF_CLOUD_COMPLETED);
	assert_int_equal(c->level, 2);
	assert_int_equal(c->dead_at, now_s(r) + 300);
	assert_int_equal(one_of(r, &other)->state, MF_CLOUD_ACTIVE);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_CLOUD), 1);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_COMPLETED), 1);
	/* Nothing more is asked, however long one waits. */
	for (unsigned i = 0; i < 100; i++)
		mf_rig_advance(r, 1000);
	assert_int_equal(cloud.signing_n + cloud.revoking_n, 0);
	/* The next end names both: the list is whole while the first token lives. */
	(void)mf_rig_end(r, 1, 1, other.key, other.lease);
	assert_int_equal(asked(r)->n_deny, 2);
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_settle(r);
	/* And when both are dead by themselves it names neither. */
	for (unsigned i = 0; i < 1600; i++)
		mf_rig_advance(r, 1000);
	struct rig_job third;
	other_job(r, 3, &third);
	mint(r, &third, "data");
	(void)mf_rig_end(r, 1, 1, third.key, third.lease);
	q = asked(r);
	assert_int_equal(q->n_deny, 1);
	assert_string_equal(q->deny[0]->value, third.id);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* Our clock may be minutes ahead of the provider's: what is over by ours only stays denied. */
static void
test_clock_ahead(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	struct rig_job other;
	mint(r, &job, "data");
	const int64_t exp = one_of(r, &job)->exp;
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	(void)asked(r);
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_settle(r);
	while (now_s(r) < exp - 60)
		mf_rig_advance(r, 1000);
	r->now.wall_us += INT64_C(240) * 1000000;
	assert_true(now_s(r) > exp);
	second_job(r, &other);
	mint(r, &other, "data");
	(void)mf_rig_end(r, 1, 1, other.key, other.lease);
	assert_int_equal(asked(r)->n_deny, 2);
	mf_rig_cloud_free(r);
}

/* A grant that expires by itself is said to, at once, and nobody is asked; when a person ends the job it is denied all the same. */
static void
test_expire_or_ordered(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	struct rig_job other;
	second_job(r, &other);
	mint(r, &job, "short");
	mint(r, &other, "short");
	int64_t until = one_of(r, &job)->effective;
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	assert_int_equal(cloud.signing_n, 0);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_COMPLETED);
	assert_int_equal(one_of(r, &job)->level, 0);
	assert_int_equal(one_of(r, &job)->dead_at, until);
	assert_non_null(strstr(ends(r, &job), "no: expires at"));
	(void)mf_rig_end_job(r, other.id, false);
	const Mayfly__Roles__V1__CloudRevokeRequest *q = asked(r);
	assert_int_equal(q->n_deny, 1);
	assert_string_equal(q->deny[0]->value, other.id);
	mf_rig_cloud_free(r);
}

/* A failure, a courier that is away, one that dies, one that is silent: asked again, later and later, until it is confirmed. */
static void
test_again(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	mint(r, &job, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	(void)asked(r);
	assert_true(mf_rig_revoked(r, "throttled", 0));
	mf_rig_settle(r);
	assert_int_equal(cloud.signing_n, 0); /* not at once */
	mf_rig_advance(r, 1100);
	(void)asked(r);
	mf_engine_courier_gone(r->e, r->now);
	assert_true(mf_rig_revoked(r, NULL, 0)); /* of before: it is not waited for any more */
	mf_rig_settle(r);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_ENDED);
	cloud.away = true;
	mf_rig_advance(r, 2500);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.revoking_n, 0);
	cloud.away = false;
	mf_rig_advance(r, 4500);
	(void)asked(r); /* and then nothing is heard of it */
	cloud.revoked_in_all = 0;
	for (unsigned i = 0; i < 80; i++) {
		mf_rig_advance(r, 1000);
		mf_rig_assert_all(r, true);
	}
	assert_int_equal(cloud.revoked_in_all, 1);
	while (cloud.revoking_n > 1)
		assert_true(mf_rig_revoked(r, NULL, 0));
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_settle(r);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_COMPLETED);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_COMPLETED), 1);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* Never confirmed: when the token is dead by itself, that is what is said. */
static void
test_dead_by_itself(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	mint(r, &job, "data");
	int64_t exp = one_of(r, &job)->exp;
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	cloud.away = true;
	for (unsigned i = 0; i < 1300; i++) {
		mf_rig_advance(r, 1000);
		mf_rig_assert_all(r, true);
	}
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_COMPLETED);
	assert_int_equal(one_of(r, &job)->level, 0);
	assert_int_equal(one_of(r, &job)->dead_at, exp);
	mf_rig_cloud_free(r);
}

/* Killed anywhere between the end and its completion: the next life asks again, and says it once. */
static void
test_crash(void **state)
{
	MF_UNUSED(state);
	for (unsigned when = 0; when < 3; when++) {
		struct rig *r = mf_rig_with_cloud(&cloud, &job);
		mint(r, &job, "data");
		(void)mf_rig_end(r, 1, 1, job.key, job.lease);
		mf_rig_commit(r);
		if (when > 0)
			(void)asked(r);
		if (when > 1)
			assert_true(mf_rig_revoked(r, NULL, 0)); /* and the record of it is lost */
		for (size_t i = 0; i < cloud.signing_n; i++)
			mf_assertion_request_free(cloud.signing[i]);
		cloud.signing_n = 0;
		mf_rig_crash(r);
		mf_rig_cloud_conf(r);
		while (cloud.revoking_n > 0)
			(void)mf_rig_revoked(r, NULL, 0);
		mf_rig_advance(r, 1000);
		(void)asked(r);
		assert_true(mf_rig_revoked(r, NULL, 0));
		mf_rig_settle(r);
		assert_int_equal(one_of(r, &job)->state, MF_CLOUD_COMPLETED);
		assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_COMPLETED), 1);
		mf_rig_check_replay(r);
		mf_rig_cloud_free(r);
	}
}

/* Whoever says to wait for weeks is asked within a minute; and a new courier at once, however often the last one failed. */
static void
test_nobody_puts_it_off(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	mint(r, &job, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	Mayfly__Roles__V1__CloudRevokeResult res = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	res.revoke_id = asked(r)->revoke_id;
	res.retry_after_ms = UINT32_MAX;
	mf_engine_revoked(r->e, r->now, &res);
	assert_true(mf_rig_revoked(r, "throttled", 0)); /* nobody's any more */
	mf_rig_advance(r, 59000);
	assert_int_equal(cloud.signing_n, 0);
	mf_rig_advance(r, 2000);
	for (unsigned i = 0; i < 8; i++) {
		(void)asked(r);
		assert_true(mf_rig_revoked(r, "transient", 0));
		mf_rig_advance(r, 61000);
	}
	(void)asked(r);
	mf_engine_courier_gone(r->e, r->now); /* to be asked in a minute */
	while (cloud.revoking_n > 0)
		(void)mf_rig_revoked(r, "transient", 0);
	mf_rig_advance(r, 2000);
	assert_int_equal(cloud.signing_n, 0);
	mf_engine_courier_here(r->e, r->now);
	(void)asked(r);
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_settle(r);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_COMPLETED);
	mf_rig_cloud_free(r);
}

/* After some failures the next attempt is a while away; a token that the same provider gives shows that it need not be. */
static void
test_sooner_when_it_answers(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	struct rig_job other;
	second_job(r, &other);
	mint(r, &job, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	for (unsigned wait_ms = 1000; wait_ms <= 16000;
	     wait_ms *= 2) { /* sixteen seconds after the last one */
		(void)asked(r);
		assert_true(mf_rig_revoked(r, "transient", 0));
		if (wait_ms < 16000)
			mf_rig_advance(r, wait_ms + 100);
	}
	mf_rig_advance(r, 1000);
	mint(r, &other, "data");
	mf_rig_advance(r, 3000);
	assert_int_equal(cloud.signing_n, 0); /* five seconds after the last failure, and not before */
	mf_rig_advance(r, 2000);
	(void)asked(r);
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_settle(r);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_COMPLETED);
	mf_rig_cloud_free(r);
}

/* Every record from ${from} on is one of those that the log's reserve is for. */
static void
only_removals(const struct rig *r, size_t from)
{
	for (size_t i = from; i < r->log_n; i++)
		if (!r->log[i].removal)
			fail_msg("%.*s", (int)r->log[i].n, (const char *)r->log[i].p);
}

/*
 * The disk is full while tokens live and one is being made: nothing more is made, what there is is taken back all the same, over
 * kill -9 too, and all of that fits the reserve.
 */
static void
test_full_disk(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	mint(r, &job, "data");
	uint64_t under_way = mf_rig_mint_cloud(r, &job, "other");
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.asked_n, 1);
	size_t from = r->log_n, asked_before = cloud.asked_in_all;
	mf_engine_log_room(r->e, false);
	uint64_t req = mf_rig_mint_cloud(r, &job, "short");
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	assert_true(mf_rig_bring(r)); /* too late: it is given to nobody, and taken back */
	mf_rig_settle(r);
	assert_null(mf_rig_cloud_grant(r, under_way));
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 1);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_RECONCILED), 1);
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	only_removals(r, from);
	/* kill -9, and the disk is as full as before. */
	mf_rig_crash(r);
	mf_engine_log_room(r->e, false);
	mf_rig_cloud_conf(r);
	from = r->log_n;
	mf_engine_courier_gone(r->e, r->now);
	while (cloud.revoking_n > 0)
		(void)mf_rig_revoked(r, "transient", 0); /* of the former life */
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	mf_rig_advance(r, 1000);
	mf_rig_assert_all(r, true);
	while (mf_rig_revoked(r, NULL, 0))
		;
	mf_rig_settle(r);
	MF_LIST_EACH(p, mf_state_clouds(mf_engine_state(r->e)))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		assert_int_equal(c->state, MF_CLOUD_COMPLETED);
		assert_int_equal(c->level, 2);
	}
	only_removals(r, from);
	assert_int_equal(cloud.asked_in_all, asked_before);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_COMPLETED), 2);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* An answer of the courier to the request for a token: ${error} and nothing. */
static void
mint_fails(struct rig *r, const char *error)
{
	Mayfly__Roles__V1__MintResult res = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	(void)mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.asked_n, 1);
	res.mint_id = cloud.asked[0]->mint_id;
	res.error = (char *)(uintptr_t)error;
	res.reason = (char *)(uintptr_t) "connection refused";
	mf_engine_minted(r->e, r->now, &res);
	mf_rig_forget_asked(r);
	mf_rig_settle(r);
}

static struct mf_engine_status
status(const struct rig *r)
{
	return mf_engine_status(r->e, r->now);
}

/* A provider that does not answer, an outcome that nobody knows: told once, counted, and over when it is over. */
static void
test_alarms_of_a_provider(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	mint_fails(r, "transient");
	mint_fails(r, "throttled"); /* says nothing */
	mint_fails(r, "denied");    /* an answer */
	mint_fails(r, "transient");
	mint_fails(r, "transient");
	assert_string_equal(r->alarms, "");
	assert_int_equal(status(r).cloud_failing, 0);
	for (unsigned i = 0; i < 4; i++)
		mint_fails(r, "transient");
	assert_string_equal(r->alarms, "cloud.unreachable\n");
	assert_int_equal(status(r).cloud_failing, 1);
	assert_string_equal(status(r).cloud_failing_name, "lab");
	mint(r, &job, "data");
	assert_string_equal(r->alarms, "cloud.unreachable\ncloud.reachable\n");
	assert_int_equal(status(r).cloud_failing, 0);
	assert_int_equal(status(r).cloud_unknown, 0);
	mint_fails(r, "unknown");
	assert_string_equal(r->alarms, "cloud.unreachable\ncloud.reachable\ncloud.unknown\n");
	assert_int_equal(status(r).cloud_unknown, 1);
	mf_rig_cloud_free(r);
}

/* What ended and is not confirmed: pending at once, late after a minute, over a restart too, and told when it is over. */
static void
test_alarms_of_revocations(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	mint(r, &job, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	mf_rig_advance(r, 6000);
	mf_rig_assert_all(r, true);
	assert_int_equal(status(r).cloud_pending, 1);
	assert_int_equal(status(r).cloud_late, 0);
	assert_true(mf_rig_revoked(r, "transient", 0));
	mf_rig_advance(r, 61000);
	assert_int_equal(status(r).cloud_late, 1);
	assert_string_equal(r->alarms, "cloud.revoke_late\n");
	mf_rig_crash(r);
	mf_rig_cloud_conf(r);
	r->alarms[0] = '\0';
	mf_rig_advance(r, 6000);
	mf_rig_advance(r, 6000);
	assert_int_equal(status(r).cloud_late, 1);
	assert_string_equal(r->alarms, "cloud.revoke_late\n");
	while (cloud.revoking_n > 0)
		(void)mf_rig_revoked(r, NULL, 0);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	while (mf_rig_revoked(r, NULL, 0))
		;
	mf_rig_settle(r);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_COMPLETED);
	mf_rig_advance(r, 6000);
	assert_int_equal(status(r).cloud_late + status(r).cloud_pending, 0);
	assert_string_equal(r->alarms, "cloud.revoke_late\ncloud.revoke_done\n");
	mf_rig_cloud_free(r);
}

/* Suspension takes back what the lease had, by lease and epoch: the next epoch's tokens do not carry that tag. */
static void
test_suspension(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	mint(r, &job, "data");
	char want[MF_STATE_ID_MAX + 16];
	(void)snprintf(want, sizeof(want), "%s/%u", job.lease, job.epoch);
	mf_engine_session_gone(r->e, r->now, 1);
	for (unsigned i = 0; i < 400 && one_of(r, &job)->state != MF_CLOUD_ENDED; i++)
		mf_rig_advance(r, 1000);
	const Mayfly__Roles__V1__CloudRevokeRequest *q = asked(r);
	assert_int_equal(q->n_deny, 1);
	assert_string_equal(q->deny[0]->tag, "mayfly-lease");
	assert_string_equal(q->deny[0]->value, want);
	mf_rig_cloud_free(r);
}

/* No room at the provider: what it took is denied, the rest expires, and that is what the log says of each. */
static void
test_overflow(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	struct rig_job other;
	second_job(r, &other);
	mint(r, &job, "data");
	mint(r, &other, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	(void)mf_rig_end(r, 1, 1, other.key, other.lease);
	(void)asked(r);
	for (unsigned i = 0; i < 2; i++) { /* the second end may have come after the first request */
		if (cloud.revoking_n == 0)
			(void)asked(r);
		Mayfly__Roles__V1__CloudRevokeResult res = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
		Mayfly__Roles__V1__CloudDeny d = MAYFLY__ROLES__V1__CLOUD_DENY__INIT, *pd = &d;
		char tag[] = "mayfly-job", value[MF_STATE_ID_MAX];
		(void)snprintf(value, sizeof(value), "%s", job.id);
		d.tag = tag;
		d.value = value;
		res.revoke_id = cloud.revoking[0]->revoke_id;
		res.confirmed = res.overflow = true;
		res.level = 2;
		res.n_denied = 1;
		res.denied = &pd;
		mf_engine_revoked(r->e, r->now, &res);
		cloud.revoking[0]->revoke_id = 0;
		(void)mf_rig_revoked(r, NULL, 0); /* of nobody */
		mf_rig_settle(r);
		if (one_of(r, &other)->state == MF_CLOUD_COMPLETED)
			break;
	}
	assert_int_equal(one_of(r, &job)->level, 2);
	assert_int_equal(one_of(r, &other)->state, MF_CLOUD_COMPLETED);
	assert_int_equal(one_of(r, &other)->level, 0);
	assert_int_equal(one_of(r, &other)->dead_at, one_of(r, &other)->effective);
	mf_rig_cloud_free(r);
}

/* A session token that was found, or only its access key id: the job whose it is ends, and it is denied. */
static void
test_leaked(void **state)
{
	MF_UNUSED(state);
	static const uint8_t hash[] = { 0 };
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	struct mf_leaked found;
	uint8_t h[32];
	mint(r, &job, "data");
	mf_sha256(MF_SLICE_LIT("session-token"), h);
	const struct mf_leak by_token = { mf_slice(h, sizeof(h)), "" };
	assert_true(mf_state_find_leaked(mf_engine_state(r->e), &by_token, &found));
	assert_string_equal(found.kind, "cloud-token");
	assert_string_equal(found.id, one_of(r, &job)->id);
	assert_string_equal(found.job->id, job.id);
	memset(h, 1, sizeof(h));
	const struct mf_leak by_key = { mf_slice(h, sizeof(h)), "AKID" },
			     by_none = { mf_slice(h, sizeof(h)), "" };
	assert_true(mf_state_find_leaked(mf_engine_state(r->e), &by_key, &found));
	assert_false(mf_state_find_leaked(mf_engine_state(r->e), &by_none, &found));
	assert_false(mf_state_find_leaked(
	    mf_engine_state(r->e), &(const struct mf_leak) { mf_slice(hash, 1), "" }, &found));
	mf_rig_cloud_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_job_end),
		cmocka_unit_test(test_clock_ahead), cmocka_unit_test(test_expire_or_ordered),
		cmocka_unit_test(test_again), cmocka_unit_test(test_dead_by_itself),
		cmocka_unit_test(test_crash), cmocka_unit_test(test_nobody_puts_it_off),
		cmocka_unit_test(test_sooner_when_it_answers), cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_alarms_of_a_provider), cmocka_unit_test(test_alarms_of_revocations),
		cmocka_unit_test(test_suspension), cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_leaked) };
	return cmocka_run_group_tests_name("engine_revoke", tests, setup, teardown);
}
