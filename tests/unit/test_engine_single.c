/*
 * Ending single tokens: what that needs is on disk before anybody gets the token, one request for each, again after failures and
 * crashes, and what the provider says of it afterwards is what the log says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rig_handles.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
#define ENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED

static struct rig_cloud cloud;
static struct rig_handles handles;
static struct rig_job job;

static struct rig *
begin(bool introspects)
{
	memset(&handles, 0, sizeof(handles));
	handles.introspects = introspects;
	return mf_rig_with_handles(&cloud, &handles, &job);
}

static int64_t
now_s(const struct rig *r)
{
	return r->now.wall_us / 1000000;
}

/* Until the courier has brought a token, and its handle is on the way to the disk. */
static uint64_t
ask_for(struct rig *r, const struct rig_job *j, const char *grant)
{
	uint64_t req = mf_rig_mint_cloud(r, j, grant);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	return req;
}

static void
mint(struct rig *r, const struct rig_job *j, const char *grant)
{
	uint64_t req = ask_for(r, j, grant);
	mf_rig_keep_all(r, true);
	mf_rig_settle(r);
	assert_non_null(mf_rig_cloud_grant(r, req));
}

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

/* The request at the provider now. */
static const Mayfly__Roles__V1__CloudRevokeRequest *
asked(struct rig *r)
{
	mf_rig_settle(r);
	mf_rig_open_all(r, MF_OK);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.revoking_n, 1);
	return cloud.revoking[0];
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
	for (size_t i = 0; i < r->reply->credentials->n_credentials; i++) {
		const Mayfly__Admin__V1__Credential *c = r->reply->credentials->credentials[i];
		if (strncmp(c->kind, "cloud:", 6) == 0)
			return c->ends_with_job;
	}
	fail();
	return "";
}

/* Of the last record of ${type}: does it say ${what}? */
static bool
says(const struct rig *r, const char *type, const char *what)
{
	for (size_t i = r->log_n; i > 0; i--) {
		char text[4096];
		size_t n = r->log[i - 1].n < sizeof(text) - 1 ? r->log[i - 1].n : sizeof(text) - 1;
		memcpy(text, r->log[i - 1].p, n);
		text[n] = '\0';
		if (strstr(text, type) != NULL)
			return strstr(text, what) != NULL;
	}
	return false;
}

static void
check_end(struct rig *r, uint32_t level)
{
	mf_rig_settle(r);
	const struct mf_cloud_cred *c = one_of(r, &job);
	assert_int_equal(c->state, MF_CLOUD_COMPLETED);
	assert_int_equal(c->level, level);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_COMPLETED), 1);
	assert_int_equal(mf_rig_on_disk(&handles), 0);
	for (size_t i = 0; i < r->log_n; i++)
		for (size_t k = 0; k + 10 < r->log[i].n; k++)
			assert_int_not_equal(memcmp(r->log[i].p + k, "handle-of-", 10), 0);
	mf_rig_check_replay(r);
}

static void
test_the_way_of_one_handle(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin(false);
	struct rig_job other;
	other_job(r, 2, &other);
	mint(r, &other, "data");
	uint64_t req = ask_for(r, &job, "data");
	/* The token is here, and nobody gets it, for its handle is not on disk yet. */
	assert_null(mf_rig_answer(r, 1, req));
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 1);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_INTENT);
	mf_rig_keep_all(r, true);
	assert_null(mf_rig_answer(r, 1, req)); /* nor before that is recorded */
	mf_rig_settle(r);
	assert_non_null(mf_rig_cloud_grant(r, req));
	assert_true(one_of(r, &job)->handle);
	assert_true(mf_rig_handle(&handles, one_of(r, &job)->id)->until >= one_of(r, &job)->exp);
	assert_non_null(strstr(ends(r, &job), "yes, it is revoked"));
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	assert_int_equal(handles.opened_in_all, 1);
	assert_int_equal(cloud.signing_n, 0); /* no assertion that anybody could exchange */
	const Mayfly__Roles__V1__CloudRevokeRequest *q = asked(r);
	char want[64];
	(void)snprintf(want, sizeof(want), "handle-of-%s", one_of(r, &job)->id);
	assert_string_equal(q->credential_id, one_of(r, &job)->id);
	assert_string_equal(q->target, "lab");
	assert_true(mf_slice_eq_str(mf_slice(q->handle.data, q->handle.len), want));
	assert_int_equal(q->n_deny + q->assertion.len + q->client_assertion.len, 0);
	assert_true(mf_rig_ended(r, NULL));
	assert_int_equal(mf_rig_on_disk(&handles), 2); /* until it is on record that it is dead */
	mf_rig_settle(r);
	assert_int_equal(mf_rig_on_disk(&handles), 1);
	assert_int_equal(one_of(r, &job)->dead_at, now_s(r));
	assert_non_null(strstr(ends(r, &job), "revoked: dead since 2"));
	assert_true(says(r, "revoke.completed", "req-9"));
	assert_false(says(r, "revoke.completed", "\"probe\""));
	assert_int_equal(one_of(r, &other)->state, MF_CLOUD_ACTIVE);
	for (unsigned i = 0; i < 100; i++)
		mf_rig_advance(r, 1000);
	assert_int_equal(cloud.revoked_in_all, 1);
	(void)mf_rig_end(r, 1, 1, other.key, other.lease);
	(void)asked(r);
	assert_true(mf_rig_ended(r, NULL));
	mf_rig_settle(r);
	assert_int_equal(mf_rig_on_disk(&handles), 0);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* A token that was renewed works until it expires: it is ended as well. */
static void
test_superseded(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin(false);
	mint(r, &job, "data");
	mf_rig_advance(r, 60000);
	mint(r, &job, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	mf_rig_open_all(r, MF_OK);
	assert_int_equal(cloud.revoking_n, 2);
	while (mf_rig_ended(r, NULL))
		;
	mf_rig_settle(r);
	MF_LIST_EACH(p, mf_state_clouds(mf_engine_state(r->e)))
	assert_int_equal(MF_LIST_ITEM(p, struct mf_cloud_cred, at)->level, 1);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_COMPLETED), 2);
	assert_int_equal(mf_rig_on_disk(&handles), 0);
	mf_rig_cloud_free(r);
}

/* The disk takes no handle: nobody gets the token, and it is ended by what is in memory; after a crash it can only expire. */
static void
test_disk_full(void **state)
{
	MF_UNUSED(state);
	for (unsigned crash = 0; crash < 2; crash++) {
		struct rig *r = begin(false);
		uint64_t req = ask_for(r, &job, "data");
		mf_rig_keep_all(r, false);
		mf_rig_settle(r);
		assert_null(mf_rig_cloud_grant(r, req));
		assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
		assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 0);
		assert_true(says(r, "cloud.reconciled", "no_handle"));
		assert_false(one_of(r, &job)->handle);
		if (crash == 0) {
			const Mayfly__Roles__V1__CloudRevokeRequest *q = asked(r);
			assert_int_equal(handles.opened_in_all, 0);
			assert_int_equal(q->handle.len, 10 + 36);
			assert_true(mf_rig_ended(r, NULL));
			check_end(r, 1);
		} else {
			mf_rig_handles_crash(r);
			mf_rig_advance(r, 1000);
			check_end(r, 0);
			assert_int_equal(one_of(r, &job)->dead_at, one_of(r, &job)->exp);
		}
		mf_rig_cloud_free(r);
	}
}

/* It does not answer at all; and when it does, that is too late. */
static void
test_disk_hangs(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin(false);
	uint64_t req = ask_for(r, &job, "data");
	for (unsigned i = 0; i < 31; i++)
		mf_rig_advance(r, 1000);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	(void)asked(r);
	mf_rig_keep_all(r, true);
	assert_int_equal(mf_rig_on_disk(&handles), 0);
	assert_true(mf_rig_ended(r, NULL));
	check_end(r, 1);
	mf_rig_cloud_free(r);
}

/* The job ends while the disk is busy: the token is nobody's, and its handle is there to end it. */
static void
test_late(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin(false);
	uint64_t req = ask_for(r, &job, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	assert_int_equal(handles.opened_in_all + cloud.revoking_n, 0);
	mf_rig_keep_all(r, true);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), ENDED);
	assert_true(one_of(r, &job)->orphan && one_of(r, &job)->handle);
	(void)asked(r);
	assert_true(mf_rig_ended(r, NULL));
	check_end(r, 1);
	mf_rig_cloud_free(r);
}

/* A courier that brings a token without what ends it: nobody gets that. */
static void
test_no_handle_at_all(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin(false);
	uint64_t req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	cloud.handles = NULL; /* of the result only */
	assert_true(mf_rig_bring(r));
	cloud.handles = &handles;
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 0);
	check_end(r, 0);
	mf_rig_cloud_free(r);
}

/* kill -9 between any two steps: the next life finds what is to be done, and says once how it ended. */
static void
test_crash(void **state)
{
	MF_UNUSED(state);
	enum { BEFORE_DISK, ON_DISK, RECORDED, END_RECORDED, OPENED, ASKED, CONFIRMED, WHENS };
	for (unsigned when = 0; when < WHENS; when++) {
		struct rig *r = begin(false);
		uint64_t req = ask_for(r, &job, "data");
		if (when >= ON_DISK)
			mf_rig_keep_all(r, true); /* cloud.issued is made, not durable */
		if (when >= RECORDED) {
			mf_rig_settle(r);
			assert_non_null(mf_rig_cloud_grant(r, req));
		}
		if (when >= END_RECORDED) {
			(void)mf_rig_end(r, 1, 1, job.key, job.lease);
			mf_rig_commit(r);
		}
		if (when >= OPENED)
			mf_rig_open_all(r, MF_OK);
		if (when == CONFIRMED)
			assert_true(mf_rig_ended(r, NULL)); /* and the record of it is lost */
		mf_rig_handles_crash(r);
		if (when == RECORDED) {
			assert_int_equal(one_of(r, &job)->state, MF_CLOUD_ACTIVE);
			for (unsigned i = 0; i < 400 && one_of(r, &job)->state == MF_CLOUD_ACTIVE; i++)
				mf_rig_advance(r, 1000); /* its node never comes back */
		}
		mf_rig_advance(r, 1000);
		if (when == BEFORE_DISK) {
			check_end(r, 0); /* nobody can end it */
		} else {
			(void)asked(r);
			assert_true(mf_rig_ended(r, NULL));
			check_end(r, 1);
		}
		mf_rig_cloud_free(r);
	}
}

/* A failure, a courier that is away, dies, is silent; a disk that does not read: again, later and later. */
static void
test_again(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin(false);
	mint(r, &job, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	(void)asked(r);
	assert_true(mf_rig_ended(r, "throttled"));
	mf_rig_settle(r);
	assert_int_equal(handles.opening_n, 0); /* not at once */
	mf_engine_courier_here(r->e, r->now);	/* but for a new courier */
	(void)asked(r);
	mf_engine_courier_gone(r->e, r->now);
	assert_true(mf_rig_ended(r, NULL)); /* of before: it is not waited for any more */
	mf_rig_settle(r);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_ENDED);
	mf_rig_advance(r, 2500);
	mf_rig_open_all(r, MF_E_IO);
	mf_rig_settle(r);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_ENDED);
	cloud.away = true;
	mf_rig_advance(r, 4500);
	mf_rig_open_all(r, MF_OK);
	assert_int_equal(cloud.revoking_n, 0);
	cloud.away = false;
	mf_rig_advance(r, 9000);
	(void)asked(r); /* and then nothing is heard of it */
	for (unsigned i = 0; i < 100 && cloud.revoking_n < 2; i++) {
		mf_rig_advance(r, 1000);
		mf_rig_open_all(r, MF_OK);
	}
	assert_int_equal(cloud.revoking_n, 2);
	assert_true(mf_rig_ended(r, NULL)); /* the old one */
	assert_true(mf_rig_ended(r, NULL));
	check_end(r, 1);
	mf_rig_cloud_free(r);
}

/* Nobody can read the handle any more: it expires, and that is what is said. */
static void
test_lost(void **state)
{
	MF_UNUSED(state);
	static const enum mf_status how[] = { MF_E_NOTFOUND, MF_E_CORRUPT, MF_E_DENIED, MF_E_INVALID };
	for (size_t i = 0; i < MF_COUNT(how); i++) {
		struct rig *r = begin(false);
		mint(r, &job, "data");
		(void)mf_rig_end(r, 1, 1, job.key, job.lease);
		mf_rig_settle(r);
		mf_rig_open_all(r, how[i]);
		check_end(r, 0);
		assert_int_equal(one_of(r, &job)->dead_at, one_of(r, &job)->effective);
		mf_rig_cloud_free(r);
	}
}

/* Never confirmed: when the token is dead by itself, that is what is said. */
static void
test_dead_by_itself(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin(false);
	mint(r, &job, "data");
	int64_t exp = one_of(r, &job)->exp;
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	cloud.away = true;
	for (unsigned i = 0; i < 1300; i++) {
		mf_rig_advance(r, 1000);
		mf_rig_open_all(r, MF_OK);
	}
	check_end(r, 0);
	assert_int_equal(one_of(r, &job)->dead_at, exp);
	mf_rig_cloud_free(r);
}

/* The provider says that it is dead; or that it is not, which is no end. */
static void
test_probe(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin(true);
	mint(r, &job, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	(void)asked(r);
	assert_true(mf_rig_ended(r, NULL));
	mf_rig_settle(r);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_ENDED); /* not before the probe */
	assert_int_equal(handles.probing_n, 1);
	assert_non_null(strstr(handles.probe_of[0], one_of(r, &job)->id));
	int64_t first = now_s(r);
	assert_true(mf_rig_probed(r, true, true));
	mf_rig_settle(r);
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_ENDED);
	mf_rig_advance(r, 1100);
	(void)asked(r);
	assert_true(mf_rig_ended(r, NULL));
	Mayfly__Roles__V1__CloudProbeResult unasked = MAYFLY__ROLES__V1__CLOUD_PROBE_RESULT__INIT;
	unasked.probe_id = handles.probing[0] + 1;
	unasked.known = true;
	mf_engine_probed(r->e, r->now, &unasked); /* of nobody: nothing follows */
	assert_int_equal(one_of(r, &job)->state, MF_CLOUD_ENDED);
	assert_true(mf_rig_probed(r, true, false));
	check_end(r, 1);
	assert_true(one_of(r, &job)->dead_at > first);
	assert_true(says(r, "revoke.completed", "\"probe\":\"inactive\""));
	mf_rig_cloud_free(r);
}

/* It does not say: asked a few times, then that is in the log; a courier that dies is one of them. */
static void
test_probe_unknown(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin(true);
	struct rig_job other;
	other_job(r, 2, &other);
	mint(r, &job, "data");
	mint(r, &other, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	(void)asked(r);
	assert_true(mf_rig_ended(r, NULL));
	mf_engine_courier_gone(r->e, r->now);
	handles.probing_n = 0;
	for (unsigned i = 0; i < 60 && one_of(r, &job)->state != MF_CLOUD_COMPLETED; i++) {
		mf_rig_advance(r, 1000);
		(void)mf_rig_probed(r, false, false);
		mf_rig_settle(r);
	}
	assert_int_equal(handles.probed_in_all, 5);
	assert_int_equal(one_of(r, &job)->level, 1);
	assert_true(says(r, "revoke.completed", "\"probe\":\"unknown\""));
	/* Who has just been silent five times is not waited for by the next one. */
	(void)mf_rig_end(r, 1, 1, other.key, other.lease);
	(void)asked(r);
	assert_true(mf_rig_ended(r, NULL));
	mf_rig_settle(r);
	assert_int_equal(one_of(r, &other)->level, 1);
	assert_int_equal(handles.probed_in_all, 5);
	mf_rig_cloud_free(r);
}

/* Killed between the confirmation and the probe: it is asked for again, which changes nothing at the provider. */
static void
test_probe_crash(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin(true);
	mint(r, &job, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	(void)asked(r);
	assert_true(mf_rig_ended(r, NULL));
	mf_rig_settle(r);
	mf_rig_handles_crash(r);
	mf_rig_advance(r, 1000);
	(void)asked(r);
	assert_true(mf_rig_ended(r, NULL));
	assert_true(mf_rig_probed(r, true, false));
	check_end(r, 1);
	mf_rig_cloud_free(r);
}

/* A JWT is good for whoever asks nobody: revoked, and not said to be dead before its time. */
static void
test_jwt(void **state)
{
	MF_UNUSED(state);
	memset(&handles, 0, sizeof(handles));
	handles.jwt = true;
	struct rig *r = mf_rig_with_handles(&cloud, &handles, &job);
	mint(r, &job, "data");
	assert_true(says(r, "cloud.issued", "\"token_format\":\"jwt\""));
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	(void)asked(r);
	assert_true(mf_rig_ended(r, NULL));
	check_end(r, 1);
	assert_int_equal(one_of(r, &job)->dead_at, one_of(r, &job)->effective);
	assert_non_null(strstr(ends(r, &job), "revoked; who asks nobody takes it until 2"));
	mf_rig_cloud_free(r);
}

/* Where the target wants to know who asks: an assertion of the client's, and no other. */
static void
test_client_assertion(void **state)
{
	MF_UNUSED(state);
	memset(&handles, 0, sizeof(handles));
	handles.by_key = handles.introspects = true;
	struct rig *r = mf_rig_with_handles(&cloud, &handles, &job);
	mint(r, &job, "data");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	mf_rig_open_all(r, MF_OK);
	for (unsigned probe = 0; probe < 2; probe++) {
		assert_int_equal(cloud.signing_n, 1);
		const struct mf_assertion_request *a = cloud.signing[0];
		assert_string_equal(a->iss, "broker");
		assert_string_equal(a->sub, "broker");
		assert_string_equal(a->aud, "https://sts.example");
		assert_true(a->exp - a->iat <= 60 && a->exp > now_s(r));
		assert_int_equal(a->tags_n, 0);
		mf_rig_assert_all(r, true);
		if (probe == 0) {
			assert_int_equal(cloud.revoking_n, 1);
			assert_true(cloud.revoking[0]->client_assertion.len > 0);
			assert_int_equal(cloud.revoking[0]->assertion.len, 0);
			assert_true(mf_rig_ended(r, NULL));
		}
	}
	assert_true(mf_rig_probed(r, true, false));
	check_end(r, 1);
	/* One that cannot be signed is tried again. */
	struct rig_job other;
	other_job(r, 2, &other);
	mint(r, &other, "data");
	(void)mf_rig_end(r, 1, 1, other.key, other.lease);
	mf_rig_settle(r);
	mf_rig_open_all(r, MF_OK);
	mf_rig_assert_all(r, false);
	assert_int_equal(cloud.revoking_n, 0);
	mf_rig_advance(r, 1100);
	(void)asked(r);
	mf_rig_cloud_free(r);
}

/* Many at once: a few under way at a time, all of them in the end. */
static void
test_many(void **state)
{
	MF_UNUSED(state);
	enum { JOBS = 60 };
	struct rig *r = begin(true);
	static struct rig_job all[JOBS];
	for (unsigned i = 0; i < JOBS; i++) {
		if (i % 40 == 39)
			mf_rig_advance(r, 30000); /* no more than a node may ask for in a while */
		other_job(r, i + 10, &all[i]);
		mint(r, &all[i], "data");
	}
	for (unsigned i = 0; i < JOBS; i++)
		(void)mf_rig_end(r, 1, 1, all[i].key, all[i].lease);
	for (unsigned i = 0; i < 10 * JOBS && mf_rig_count(r, MF_REC_REVOKE_COMPLETED) < JOBS; i++) {
		mf_rig_settle(r);
		assert_true(handles.opening_n + cloud.revoking_n <= 4);
		mf_rig_open_all(r, MF_OK);
		assert_true(cloud.revoking_n <= 4 && handles.probing_n <= 4);
		if (!mf_rig_ended(r, NULL))
			(void)mf_rig_probed(r, true, false);
	}
	assert_int_equal(cloud.revoked_in_all, JOBS);
	for (unsigned i = 0; i < JOBS; i++)
		assert_int_equal(one_of(r, &all[i])->level, 1);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_on_disk(&handles), 0);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

static void
evict(struct rig *r)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EvictNodeRequest q = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	char node[MF_STATE_ID_MAX];
	(void)snprintf(node, sizeof(node), "%s", job.node);
	q.match = node;
	call.call_id = 2;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE;
	call.evict_node = &q;
	mf_engine_admin(r->e, r->now, &call);
}

/* Suspension, the eviction of its node, and an operator's end take a token; a grant that expires is left to, but for the latter two. */
static void
test_other_ends(void **state)
{
	MF_UNUSED(state);
	for (unsigned how = 0; how < 3; how++) {
		struct rig *r = begin(false);
		mint(r, &job, how == 0 ? "data" : "short");
		if (how == 0) {
			mf_engine_session_gone(r->e, r->now, 1);
			for (unsigned i = 0; i < 400 && one_of(r, &job)->state != MF_CLOUD_ENDED; i++)
				mf_rig_advance(r, 1000);
		} else if (how == 1) {
			(void)mf_rig_end_job(r, job.id, false);
		} else {
			evict(r);
		}
		(void)asked(r);
		assert_true(mf_rig_ended(r, NULL));
		check_end(r, 1);
		mf_rig_cloud_free(r);
	}
	struct rig *r = begin(false);
	mint(r, &job, "short");
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	check_end(r, 0);
	assert_int_equal(cloud.revoked_in_all, 0);
	mf_rig_cloud_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_way_of_one_handle),
		cmocka_unit_test(test_superseded), cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_disk_hangs), cmocka_unit_test(test_late),
		cmocka_unit_test(test_no_handle_at_all), cmocka_unit_test(test_crash),
		cmocka_unit_test(test_again), cmocka_unit_test(test_lost),
		cmocka_unit_test(test_dead_by_itself), cmocka_unit_test(test_probe),
		cmocka_unit_test(test_probe_unknown), cmocka_unit_test(test_probe_crash),
		cmocka_unit_test(test_jwt), cmocka_unit_test(test_client_assertion),
		cmocka_unit_test(test_many), cmocka_unit_test(test_other_ends) };
	return cmocka_run_group_tests_name("engine_single", tests, mf_rig_cloud_setup, mf_rig_cloud_teardown);
}
