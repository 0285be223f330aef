/* `mayfly revoke --target T --role R`: all sessions of a role, by a person: told, denied by time, kept over crashes, over in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/policy/policy_load.h"
#include "engine_rig_cloud.h"

#define CLOUD_ENDED MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_ENDED
#define REMOVAL MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL
#define TRAIN "arn:aws:iam::1:role/ml/train"
#define SUBJECT "role:lab:" TRAIN
#define HOUR INT64_C(3600)

static struct rig_cloud cloud;
static struct rig_job job;

static int64_t
now_s(const struct rig *r)
{
	return r->now.wall_us / 1000000;
}

/* "data" and "short", which expires, are of one role, "other" is of another one. */
static void
set_policy(struct rig *r)
{
	static const char text[] =
	    "mayfly_policy: 1\n"
	    "profiles:\n"
	    "  train:\n"
	    "    purpose: training\n"
	    "    owner: t\n"
	    "    max_job: 24h\n"
	    "    identities: [{path: \"/{tenant}/job/{job}\"}]\n"
	    "    cloud:\n"
	    "      - {name: data, target: lab, role: \"" TRAIN
	    "\", ttl: 1h, scope: [{actions: [get], resources: [a]}]}\n"
	    "      - {name: short, target: lab, role: \"" TRAIN
	    "\", on_end: expire, max_residual: 30m, scope: [{actions: [get], resources: [a]}]}\n"
	    "      - {name: other, target: lab, role: \"arn:aws:iam::1:role/eval\", ttl: 1h, scope: "
	    "[{actions: [get], "
	    "resources: [b]}]}\n"
	    "      - {name: two, target: lab, role: \"arn:aws:iam::1:role/x/twin\", ttl: 1h, scope: "
	    "[{actions: [get], "
	    "resources: [b]}]}\n"
	    "      - {name: three, target: lab, role: \"arn:aws:iam::1:role/y/twin\", ttl: 1h, scope: "
	    "[{actions: [get], "
	    "resources: [b]}]}\n"
	    "rules:\n"
	    "  - {id: r1, effect: permit, profile: train, owner: t, review_by: 2090-01-01, nodes: any, when: "
	    "{contains: [attested.unix.user, alice]}}\n";
	char hex[65];
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new("p");
	struct mf_policy *p = NULL;
	struct mf_err err = { 0 };
	if (mf_policy_load(mf_slice_str(text), problems, &p, &err) != MF_OK)
		fail_msg("policy: %s", err.msg);
	memset(hex, 'a', 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, p, hex);
	mf_rig_settle(r);
}

static struct rig *
new_rig(void)
{
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	cloud.backend.caps.levels |= MF_REVOKE_SESSIONS;
	set_policy(r);
	return r;
}

static void
crash(struct rig *r)
{
	for (size_t i = 0; i < cloud.signing_n; i++)
		mf_assertion_request_free(cloud.signing[i]);
	cloud.signing_n = 0;
	mf_rig_crash(r);
	mf_rig_cloud_conf(r);
	set_policy(r);
	while (cloud.revoking_n > 0)
		(void)mf_rig_revoked(r, NULL, 0); /* of before: nobody waits for it */
}

static const struct mf_cloud_cred *
token(const struct rig *r, const char *id)
{
	const struct mf_cloud_cred *c = mf_state_cloud(mf_engine_state(r->e), mf_slice_str(id));
	assert_non_null(c);
	return c;
}

static void
mint(struct rig *r, const struct rig_job *j, const char *grant, char id[MF_STATE_ID_MAX])
{
	uint64_t req = mf_rig_mint_cloud(r, j, grant);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	const Mayfly__Agent__V1__CloudGrant *g = mf_rig_cloud_grant(r, req);
	assert_non_null(g);
	(void)snprintf(id, MF_STATE_ID_MAX, "%s", g->credential_id);
}

static void
second_job(struct rig *r, struct rig_job *ret_j)
{
	*ret_j = job;
	mf_rig_instance_key(ret_j->key, job.node, RIG_BOOT, 2);
	uint64_t req = mf_rig_attach(r, 1, 1, ret_j->key, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
	assert_non_null(g);
	(void)snprintf(ret_j->lease, sizeof(ret_j->lease), "%s", g->lease_id);
	(void)snprintf(ret_j->id, sizeof(ret_j->id), "%s", g->job_id);
	ret_j->epoch = g->epoch;
}

/* Nothing of it becomes durable here. */
static const Mayfly__Roles__V1__AdminReply *
call(struct rig *r, const char *target, const char *role, bool dry, const char *reason)
{
	Mayfly__Roles__V1__AdminCall c = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EndSessionsRequest q = MAYFLY__ADMIN__V1__END_SESSIONS_REQUEST__INIT;
	Mayfly__Admin__V1__RoleSessions of = MAYFLY__ADMIN__V1__ROLE_SESSIONS__INIT;
	of.target = (char *)(uintptr_t)target;
	of.role = (char *)(uintptr_t)role;
	q.of = &of;
	q.dry_run = dry;
	q.reason = (char *)(uintptr_t)reason;
	c.call_id = 9;
	c.loginuid = UINT32_MAX;
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_SESSIONS;
	c.end_sessions = &q;
	mf_engine_admin(r->e, r->now, &c);
	return r->reply;
}

static const Mayfly__Admin__V1__RemovalResponse *
end(struct rig *r)
{
	(void)call(r, "lab", TRAIN, false, "leaked");
	mf_rig_settle(r);
	assert_int_equal(r->reply->what_case, REMOVAL);
	assert_true(r->reply->removal->recorded);
	return r->reply->removal;
}

static const struct mf_sessions *
cut(const struct rig *r)
{
	return mf_state_sessions_of(mf_engine_state(r->e), "lab", TRAIN);
}

static const Mayfly__Roles__V1__CloudRevokeRequest *
asked(struct rig *r)
{
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.revoking_n, 1);
	return cloud.revoking[0];
}

static void
confirm(struct rig *r)
{
	(void)asked(r);
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_settle(r);
}

static const Mayfly__Admin__V1__ListCredentialsResponse *
list(struct rig *r)
{
	Mayfly__Roles__V1__AdminCall c = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ListCredentialsRequest q = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_REQUEST__INIT;
	char of[] = SUBJECT;
	q.subject = of;
	c.call_id = 1;
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_LIST_CREDENTIALS;
	c.list_credentials = &q;
	mf_engine_admin(r->e, r->now, &c);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CREDENTIALS);
	return r->reply->credentials;
}

static size_t
pushes(const struct rig *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->downs_n; i++)
		n += r->downs[i].down->body_case == CLOUD_ENDED;
	return n;
}

/* Refused for a moment, then given: what is made after it is not hit. */
static void
mint_anew(struct rig *r, const struct rig_job *j, char id[MF_STATE_ID_MAX])
{
	uint64_t req = mf_rig_mint_cloud(r, j, "data");
	mf_rig_settle(r);
	assert_int_equal(cloud.signing_n + cloud.asked_n, 0);
	assert_int_equal(mf_rig_refusal(r, 1, req), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	assert_non_null(strstr(mf_rig_answer(r, 1, req)->refusal->reason, "new ones are made in"));
	while (now_s(r) < cut(r)->before + MF_CLOUD_SKEW_S)
		mf_rig_advance(r, 500);
	mint(r, j, "data", id);
	assert_false(mf_sessions_meet(cut(r)->before, token(r, id)));
}

/* Both jobs' tokens end by time, not by tag; the other role's goes on; jobs get new ones; and a day later nothing of it is left. */
static void
test_role(void **state)
{
	MF_UNUSED(state);
	struct rig *r = new_rig();
	struct rig_job two;
	char a[MF_STATE_ID_MAX], b[MF_STATE_ID_MAX], old[MF_STATE_ID_MAX], other[MF_STATE_ID_MAX],
	    later[MF_STATE_ID_MAX];
	second_job(r, &two);
	mint(r, &job, "data", old);
	mint(r, &job, "data", a); /* the former works on until it expires */
	mint(r, &two, "data", b);
	mint(r, &job, "other", other);
	const Mayfly__Admin__V1__RemovalResponse *done = end(r);
	const int64_t before = now_s(r) + 1 + MF_CLOUD_SKEW_S;
	assert_string_equal(done->subject, SUBJECT);
	assert_int_equal(done->credentials_ended, 3);
	assert_int_equal(done->jobs, 0); /* none has ended */
	assert_int_equal(done->sessions->credentials, 3);
	assert_int_equal(done->sessions->jobs, 2);
	assert_int_equal(done->sessions->before, before);
	assert_int_equal(done->sessions->until, before + 12 * HOUR + MF_CLOUD_CLOCK_S);
	assert_int_equal(mf_rig_count(r, MF_REC_SESSIONS_ENDED), 1);
	assert_int_equal(pushes(r), 6); /* in both lanes */
	assert_int_equal(token(r, a)->state, MF_CLOUD_ENDED);
	assert_int_equal(token(r, other)->state, MF_CLOUD_ACTIVE);
	const Mayfly__Roles__V1__CloudRevokeRequest *q = asked(r);
	assert_int_equal(q->older_than, before);
	assert_int_equal(q->n_deny, 0);
	assert_true(q->whole);
	assert_string_equal(q->role, TRAIN);
	assert_false(list(r)->sessions->confirmed);
	assert_int_equal(list(r)->n_credentials, 3);
	assert_true(mf_rig_revoked(r, NULL, now_s(r) + 300));
	assert_false(list(r)->sessions->confirmed); /* not on disk */
	mf_rig_settle(r);
	assert_true(list(r)->sessions->confirmed);
	assert_int_equal(list(r)->sessions->dead_at, now_s(r) + 300);
	assert_string_equal(list(r)->credentials[0]->level, "sessions");
	const char *const hit[] = { old, a, b };
	for (size_t i = 0; i < MF_COUNT(hit); i++) {
		assert_int_equal(token(r, hit[i])->state, MF_CLOUD_COMPLETED);
		assert_int_equal(token(r, hit[i])->level, 3);
		assert_int_equal(token(r, hit[i])->dead_at, now_s(r) + 300);
	}
	mint_anew(r, &two, later);
	mf_rig_check_replay(r);
	/* Whatever is denied from now on, the time stays; what it meets needs no entry. */
	(void)mf_rig_end(r, 1, 1, two.key, two.lease);
	q = asked(r);
	assert_int_equal(q->older_than, before);
	assert_int_equal(q->n_deny, 1);
	assert_string_equal(q->deny[0]->tag, "mayfly-job");
	confirm(r);
	assert_int_equal(token(r, later)->level, 2); /* by its tag: it is younger */
	assert_int_equal(token(r, a)->level, 3);
	while (now_s(r) < before + 12 * HOUR + MF_CLOUD_CLOCK_S - 60) {
		mf_rig_advance(r, 60000);
		while (cloud.signing_n > 0) { /* the deadline of the job that has the other role */
			assert_string_equal(asked(r)->role, "arn:aws:iam::1:role/eval");
			assert_int_equal(asked(r)->older_than, 0);
			confirm(r);
		}
	}
	for (unsigned i = 0; i < 3; i++)
		mf_rig_advance(r, 60000);
	q = asked(r); /* the list is written without it */
	assert_int_equal(q->older_than, 0);
	assert_non_null(cut(r));
	confirm(r);
	assert_null(cut(r));
	for (unsigned i = 0; i < 10; i++)
		mf_rig_advance(r, 60000);
	assert_int_equal(cloud.signing_n, 0);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* A look changes nothing; what is hit is counted by job; the role's own name at its end will do. */
static void
test_dry_run(void **state)
{
	MF_UNUSED(state);
	struct rig *r = new_rig();
	char a[MF_STATE_ID_MAX];
	mint(r, &job, "data", a);
	mint(r, &job, "short", a);
	size_t records = r->log_n;
	const Mayfly__Roles__V1__AdminReply *y = call(r, "lab", "train", true, "");
	assert_int_equal(y->what_case, REMOVAL);
	assert_false(y->removal->effective);
	assert_true(y->removal->sessions->dry_run);
	assert_string_equal(y->removal->sessions->role, TRAIN);
	assert_int_equal(y->removal->sessions->credentials, 2);
	assert_int_equal(y->removal->sessions->jobs, 1);
	mf_rig_settle(r);
	assert_int_equal(r->log_n, records);
	assert_string_equal(r->kept, "");
	assert_int_equal(pushes(r), 0);
	assert_null(cut(r));
	assert_null(list(r)->sessions);
	mf_rig_cloud_free(r);
}

/* Nobody has it, or nobody that is known: it is denied all the same, and that is confirmed. */
static void
test_nobody_holds_one(void **state)
{
	MF_UNUSED(state);
	struct rig *r = new_rig();
	assert_int_equal(end(r)->credentials_ended, 0);
	assert_int_equal(asked(r)->older_than, cut(r)->before);
	assert_int_equal(cut(r)->confirmed_index, 0);
	confirm(r);
	assert_int_not_equal(cut(r)->confirmed_index, 0);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_CLOUD), 1);
	for (unsigned i = 0; i < 100; i++)
		mf_rig_advance(r, 1000);
	assert_int_equal(cloud.signing_n, 0);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

static void
refused(struct rig *r, const char *target, const char *role, const char *reason, const char *code,
    const char *says)
{
	size_t records = r->log_n;
	const Mayfly__Roles__V1__AdminReply *y = call(r, target, role, false, reason);
	assert_string_equal(y->error_code, code);
	if (strstr(y->error, says) == NULL)
		fail_msg("wanted \"%s\", got \"%s\"", says, y->error);
	assert_int_equal(r->log_n, records);
}

static void
test_refused(void **state)
{
	MF_UNUSED(state);
	struct rig *r = new_rig();
	char longer[600];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	refused(r, "moon", TRAIN, "", "not_found", "cloud_targets");
	refused(r, "lab", "arn:aws:iam::1:role/nobody", "", "not_found", "no grant of the policy");
	refused(r, "lab", "", "", "not_found", "no grant of the policy");
	refused(r, "lab", "twin", "", "invalid", "2 roles");
	refused(r, "lab", TRAIN, longer, "too_big", "512");
	refused(r, "lab", TRAIN, "a\nb", "too_big", "control");
	/* A provider without roles, such as OAuth: with the way that there is. */
	cloud.backend.caps.levels = MF_REVOKE_STOPPED | MF_REVOKE_CREDENTIAL;
	refused(r, "lab", TRAIN, "", "unsupported", "--credential");
	mf_rig_cloud_free(r);
}

/* What was left to expire, and what is being denied by tag, go with the role. */
static void
test_more_than_was_done(void **state)
{
	MF_UNUSED(state);
	struct rig *r = new_rig();
	struct rig_job two;
	char left[MF_STATE_ID_MAX], tagged[MF_STATE_ID_MAX];
	second_job(r, &two);
	mint(r, &job, "short", left);
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	assert_int_equal(token(r, left)->state, MF_CLOUD_COMPLETED);
	assert_int_equal(token(r, left)->level, 0);
	mint(r, &two, "data", tagged);
	(void)mf_rig_end(r, 1, 1, two.key, two.lease);
	assert_int_equal(asked(r)->n_deny, 1);
	assert_true(mf_rig_revoked(r, "transient", 0));
	assert_int_equal(end(r)->credentials_ended, 2);
	assert_int_equal(token(r, left)->state, MF_CLOUD_ENDED);
	mf_rig_check_replay(r);
	mf_rig_advance(r, 2000);
	assert_int_equal(asked(r)->n_deny, 0);
	confirm(r);
	assert_int_equal(token(r, left)->level, 3);
	assert_int_equal(token(r, tagged)->level, 3);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* One that is on its way when the role is ended is nobody's, and goes by its own tag: nobody knows when its session began. */
static void
test_on_the_way(void **state)
{
	MF_UNUSED(state);
	for (unsigned phase = 0; phase < 3; phase++) {
		struct rig *r = new_rig();
		uint64_t req = mf_rig_mint_cloud(r, &job, "data");
		if (phase > 0)
			mf_rig_settle(r);
		if (phase > 1)
			mf_rig_assert_all(r, true);
		(void)call(r, "lab", TRAIN, false, "");
		mf_rig_settle(r);
		mf_rig_assert_all(r, true);
		assert_int_equal(cloud.asked_n, phase > 1);
		if (phase > 1)
			assert_true(mf_rig_bring(r));
		mf_rig_settle(r);
		assert_null(mf_rig_cloud_grant(r, req));
		assert_int_equal(
		    mf_rig_refusal(r, 1, req), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
		assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_RECONCILED), phase > 1);
		assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 0);
		confirm(r); /* the time */
		if (phase > 1) {
			const Mayfly__Roles__V1__CloudRevokeRequest *q = asked(r);
			assert_int_equal(q->older_than, cut(r)->before);
			assert_int_equal(q->n_deny, 1);
			assert_string_equal(q->deny[0]->tag, "mayfly-cred");
			confirm(r);
		}
		mf_rig_check_replay(r);
		mf_rig_cloud_free(r);
	}
}

/* Cut after any of its records, with the courier asked or not: the next start has it done, once. */
static void
test_crash(void **state)
{
	MF_UNUSED(state);
	for (unsigned when = 0; when < 5; when++) {
		struct rig *r = new_rig();
		char a[MF_STATE_ID_MAX], kept[128];
		mint(r, &job, "data", a);
		(void)call(r, "lab", TRAIN, false, "leaked");
		(void)snprintf(kept, sizeof(kept), "%s", r->kept);
		assert_true(strncmp(kept, "sessions ", 9) == 0);
		const int64_t before = now_s(r) + 1 + MF_CLOUD_SKEW_S;
		if (when > 0)
			mf_rig_commit(r);
		if (when > 1)
			(void)asked(r);
		if (when > 2)
			assert_true(mf_rig_revoked(r, NULL, 0)); /* and the record of it is lost, */
		if (when > 3)
			mf_rig_commit(r); /* or is not */
		crash(r);
		mf_engine_redo_removal(r->e, r->now, mf_slice_str(kept));
		mf_engine_redo_removal(r->e, r->now, mf_slice_str(kept));
		mf_rig_settle(r);
		assert_int_equal(mf_rig_count(r, MF_REC_SESSIONS_ENDED), 1);
		assert_int_equal(cut(r)->before, before);
		mf_rig_advance(r, 1000);
		if (when < 4)
			confirm(r);
		mf_rig_advance(r, 10000);
		assert_int_equal(cloud.signing_n, 0);
		assert_int_equal(token(r, a)->level, 3);
		assert_int_not_equal(cut(r)->confirmed_index, 0);
		assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_COMPLETED), 1);
		mf_rig_check_replay(r);
		mf_rig_cloud_free(r);
	}
	static const char *const bad[] = { "sessions", "sessions 1", "sessions x 2 b lab r",
		"sessions 1 2 b lab", "sessions 99999999999999999999 2 b lab r" };
	struct rig *r = new_rig();
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		mf_engine_redo_removal(r->e, r->now, mf_slice_str(bad[i]));
	assert_int_equal(mf_rig_count(r, MF_REC_SESSIONS_ENDED), 0);
	mf_rig_cloud_free(r);
}

/* Failures, a courier that dies, a provider that denies by tag only: asked again; late after a minute, and then told. */
static void
test_again(void **state)
{
	MF_UNUSED(state);
	struct rig *r = new_rig();
	(void)end(r);
	(void)asked(r);
	assert_true(mf_rig_revoked(r, "transient", 0));
	mf_rig_advance(r, 1100);
	Mayfly__Roles__V1__CloudRevokeResult res = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	res.revoke_id = asked(r)->revoke_id;
	res.confirmed = true;
	res.level = 2;
	mf_rig_forget_revoking(r);
	mf_engine_revoked(r->e, r->now, &res);
	mf_rig_settle(r);
	assert_int_equal(cut(r)->confirmed_index, 0);
	mf_rig_advance(r, 2100);
	(void)asked(r);
	mf_engine_courier_gone(r->e, r->now);
	assert_true(mf_rig_revoked(r, NULL, 0)); /* of before */
	assert_int_equal(cut(r)->confirmed_index, 0);
	cloud.away = true;
	for (unsigned i = 0; i < 80; i++) {
		mf_rig_advance(r, 1000);
		mf_rig_assert_all(r, true);
	}
	assert_int_equal(mf_engine_status(r->e, r->now).cloud_late, 1);
	assert_string_equal(r->alarms, "cloud.revoke_late\n");
	cloud.away = false;
	mf_engine_courier_here(r->e, r->now);
	confirm(r);
	mf_rig_advance(r, 6000);
	assert_int_equal(mf_engine_status(r->e, r->now).cloud_late, 0);
	assert_string_equal(r->alarms, "cloud.revoke_late\ncloud.revoke_done\n");
	mf_rig_cloud_free(r);
}

/* Said again while the provider is asked: the later time counts, and its own confirmation. */
static void
test_said_again(void **state)
{
	MF_UNUSED(state);
	struct rig *r = new_rig();
	char a[MF_STATE_ID_MAX], b[MF_STATE_ID_MAX];
	mint(r, &job, "data", a);
	(void)end(r);
	const int64_t first = asked(r)->older_than;
	while (now_s(r) < first + MF_CLOUD_SKEW_S)
		mf_rig_advance(r, 500);
	mint(r, &job, "data", b);
	mf_rig_advance(r, 1000);
	assert_int_equal(end(r)->credentials_ended, 2); /* the first is not confirmed dead */
	assert_true(cut(r)->before > first);
	assert_int_equal(cloud.revoking_n, 1);
	assert_true(mf_rig_revoked(r, NULL, 0)); /* what was asked before */
	mf_rig_settle(r);
	assert_int_equal(cut(r)->confirmed_index, 0);
	assert_int_equal(token(r, a)->level, 3);
	assert_int_equal(token(r, b)->state, MF_CLOUD_ENDED);
	assert_int_equal(asked(r)->older_than, cut(r)->before);
	confirm(r);
	assert_int_not_equal(cut(r)->confirmed_index, 0);
	assert_int_equal(token(r, b)->level, 3);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* More than a list has room for: no token needs an entry, so none is left out. */
static void
test_many(void **state)
{
	MF_UNUSED(state);
	struct rig *r = new_rig();
	enum { JOBS = 400 };
	for (unsigned i = 2; i < JOBS + 2; i++) {
		struct rig_job j = job;
		char id[MF_STATE_ID_MAX];
		mf_rig_instance_key(j.key, job.node, RIG_BOOT, i);
		uint64_t req = mf_rig_attach(r, 1, 1, j.key, "train", "alice");
		mf_rig_settle(r);
		const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
		(void)snprintf(j.lease, sizeof(j.lease), "%s", g->lease_id);
		(void)snprintf(j.id, sizeof(j.id), "%s", g->job_id);
		j.epoch = g->epoch;
		mint(r, &j, "data", id);
	}
	assert_int_equal(end(r)->sessions->jobs, JOBS);
	assert_int_equal(asked(r)->n_deny, 0);
	confirm(r);
	MF_LIST_EACH(p, mf_state_clouds(mf_engine_state(r->e)))
	assert_int_equal(MF_LIST_ITEM(p, struct mf_cloud_cred, at)->level, 3);
	assert_int_equal(cloud.signing_n, 0);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* The disk is full: a removal goes on; a node that comes back is told. */
static void
test_no_room_and_resync(void **state)
{
	MF_UNUSED(state);
	struct rig *r = new_rig();
	char a[MF_STATE_ID_MAX];
	mint(r, &job, "data", a);
	mf_engine_log_room(r->e, false);
	assert_int_equal(end(r)->credentials_ended, 1);
	mf_engine_log_room(r->e, true);
	confirm(r);
	mf_engine_session_gone(r->e, r->now, 1);
	const char *const keys[] = { job.key }, *const leases[] = { job.lease };
	assert_non_null(mf_rig_hello(r, 2, 1, RIG_BOOT, job.value, sizeof(job.value), NULL));
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__SessionStored stored = MAYFLY__AGENT__V1__SESSION_STORED__INIT;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED;
	up.session_stored = &stored;
	mf_rig_settle(r);
	(void)mf_rig_up(r, 2, 1, &up);
	assert_non_null(mf_rig_resync(r, 2, 1, keys, leases, &job.epoch, 1));
	mf_rig_settle(r);
	assert_int_equal(mf_rig_pushes(r, 2, CLOUD_ENDED), 1);
	mf_rig_cloud_free(r);
}

#define TEST(f) cmocka_unit_test(f)
int
main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_role), TEST(test_dry_run), TEST(test_nobody_holds_one),
		TEST(test_refused), TEST(test_more_than_was_done), TEST(test_on_the_way), TEST(test_crash),
		TEST(test_again), TEST(test_said_again), TEST(test_many), TEST(test_no_room_and_resync) };
	return cmocka_run_group_tests_name(
	    "engine_sessions", tests, mf_rig_cloud_setup, mf_rig_cloud_teardown);
}
