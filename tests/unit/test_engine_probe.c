/*
 * `mayfly doctor --profile` in the engine: a test token's intent is durable before anybody is asked, nobody gets the token, it is
 * taken back, and what went wrong is said with its side. Crashes at every record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig_cloud.h"

typedef Mayfly__Admin__V1__CloudProbe probe;
typedef Mayfly__Admin__V1__CloudFinding finding;

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

static struct rig *
begin(void)
{
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	cloud.backend.caps.needs_public_issuer = true;
	return r;
}

static void
ask(struct rig *r, const char *profile, const char *grant, bool look)
{
	char p[64], g[64];
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ProbeCloudRequest q = MAYFLY__ADMIN__V1__PROBE_CLOUD_REQUEST__INIT;
	(void)snprintf(p, sizeof(p), "%s", profile);
	(void)snprintf(g, sizeof(g), "%s", grant);
	q.profile = p;
	q.grant = g;
	q.look = look;
	call.call_id = 77;
	call.uid = 5;
	call.loginuid = UINT32_MAX;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_PROBE_CLOUD;
	call.probe_cloud = &q;
	r->replies = 0;
	mf_engine_admin(r->e, r->now, &call);
	mf_rig_commit(r);
}

/* The answer; NULL: there is none yet. */
static const probe *
answer(const struct rig *r)
{
	if (r->replies == 0)
		return NULL;
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CLOUD_PROBE);
	return r->reply->cloud_probe;
}

static const finding *
find(const probe *p, const char *code)
{
	for (size_t i = 0; i < p->n_findings; i++)
		if (strcmp(p->findings[i]->code, code) == 0)
			return p->findings[i];
	fail_msg("no finding %s", code);
	return NULL;
}

static void
assert_found(const probe *p, const char *code, const char *level, const char *side)
{
	const finding *f = find(p, code);
	if (strcmp(f->level, level) != 0 || strcmp(f->side, side) != 0)
		fail_msg("%s: %s of %s: %s", code, f->level, f->side, f->cause);
	assert_true(strcmp(level, "ok") == 0 || f->cure[0] != '\0');
}

/* What the issuer shows: our key, unless ${error}. */
static void
published(struct rig *r, const char *error)
{
	char why[] = "the connection failed", word[32];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf disc;
	mf_buf_init(&disc, 1024);
	Mayfly__Roles__V1__CloudFetchResult res = MAYFLY__ROLES__V1__CLOUD_FETCH_RESULT__INIT;
	(void)snprintf(word, sizeof(word), "%s", error == NULL ? "" : error);
	assert_true(r->fetch_id != 0);
	res.fetch_id = r->fetch_id;
	res.error = word;
	res.reason = why;
	mf_buf_put_str(&disc, "{\"issuer\":\"https://issuer.example\"}");
	if (error == NULL) {
		assert_non_null(r->oidc_jwks);
		res.discovery = (ProtobufCBinaryData) { disc.n, disc.p };
		res.jwks = (ProtobufCBinaryData) { strlen(r->oidc_jwks), (uint8_t *)r->oidc_jwks };
	}
	r->fetch_id = 0;
	mf_engine_issuer_fetched(r->e, r->now, &res);
}

/* What is under way of earlier ones: taking back, looking at the list. */
static void
quiet(struct rig *r)
{
	while (cloud.signing_n + cloud.revoking_n > 0) {
		mf_rig_assert_all(r, true);
		while (cloud.revoking_n > 0)
			(void)mf_rig_revoked(r, NULL, 0);
		mf_rig_settle(r);
	}
}

/* A test token was asked for, and is with the courier. */
static void
asked(struct rig *r, const char *grant)
{
	quiet(r);
	ask(r, "train", grant, false);
	published(r, NULL);
	assert_int_equal(cloud.signing_n, 0);
	mf_rig_commit(r);
	assert_int_equal(cloud.signing_n, 1);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.asked_n, 1);
}

static void
refuse(struct rig *r, const char *error, const char *reason)
{
	char word[32], why[128];
	Mayfly__Roles__V1__MintResult m = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	(void)snprintf(word, sizeof(word), "%s", error);
	(void)snprintf(why, sizeof(why), "%s", reason);
	assert_int_equal(cloud.asked_n, 1);
	m.mint_id = cloud.asked[0]->mint_id;
	m.error = word;
	m.reason = why;
	mf_rig_forget_asked(r);
	mf_engine_minted(r->e, r->now, &m);
	mf_rig_commit(r);
}

/* The revoker may look, or not. */
static void
looked(struct rig *r, const char *reason)
{
	char why[160], word[16];
	Mayfly__Roles__V1__CloudRevokeResult m = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	(void)snprintf(why, sizeof(why), "%s", reason == NULL ? "" : reason);
	(void)snprintf(word, sizeof(word), "%s", reason == NULL ? "" : "denied");
	mf_rig_assert_all(r, true);
	size_t at = 0;
	while (at < cloud.revoking_n && !cloud.revoking[at]->look)
		at++;
	assert_true(at < cloud.revoking_n);
	assert_int_equal(cloud.revoking[at]->n_deny, 0);
	m.revoke_id = cloud.revoking[at]->revoke_id;
	m.confirmed = reason == NULL;
	m.error = word;
	m.reason = why;
	mf_engine_revoked(r->e, r->now, &m);
	for (size_t i = 0; i <= at; i++) /* off the courier's table: nobody waits for it any more */
		(void)mf_rig_revoked(r, NULL, 0);
	mf_rig_commit(r);
}

static void
test_fine(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin();
	ask(r, "train", "", false);
	assert_non_null(answer(r));
	assert_int_equal(answer(r)->n_grants, 4);
	assert_string_equal(answer(r)->grants[0], "data");
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_PROBE), 0);
	asked(r, "data");
	const Mayfly__Roles__V1__MintRequest *q = cloud.asked[0];
	assert_int_equal(q->ttl_s, 900); /* as short as the provider can */
	assert_true(q->not_after != 0 && q->not_after <= r->now.wall_us / 1000000);
	assert_non_null(memmem(q->scope.data, q->scope.len, "until ", 6));
	assert_string_equal(q->role, "role-1");
	assert_true(mf_rig_bring(r));
	assert_null(answer(r)); /* not before it is taken back */
	mf_rig_advance(r, 1000);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.revoking_n, 1);
	assert_int_equal(cloud.revoking[0]->n_deny, 1);
	assert_string_equal(cloud.revoking[0]->deny[0]->tag, "mayfly-job");
	assert_true(mf_rig_revoked(r, NULL, r->now.wall_us / 1000000));
	mf_rig_advance(r, 1000);
	assert_null(answer(r)); /* nor before that is recorded */
	mf_rig_commit(r);
	const probe *p = answer(r);
	assert_non_null(p);
	assert_found(p, "target", "ok", "");
	assert_found(p, "key", "ok", "");
	assert_found(p, "issuer.public", "ok", "");
	assert_found(p, "scope", "ok", "");
	assert_found(p, "token", "ok", "");
	assert_found(p, "revoker", "ok", "");
	assert_true(p->credential_id[0] != '\0');
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_PROBE), 1);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_RECONCILED), 1);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 0);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_COMPLETED), 1);
	for (size_t i = 0; i < r->downs_n; i++) /* no agent got it */
		assert_int_not_equal(r->downs[i].down->body_case, MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT);
	mf_rig_check_every_prefix(r);
	mf_rig_cloud_free(r);
}

static void
test_sides(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *word, *side;
	} cases[] = { { "denied", "provider" }, { "clock", "clock" }, { "scope", "profile" },
		{ "config", "broker" }, { "transient", "network" }, { "throttled", "network" },
		{ "issuer", "provider" }, { "bug", "broker" } };
	struct rig *r = begin();
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		asked(r, "data");
		refuse(r, cases[i].word, "HTTP 400, Code");
		looked(r, NULL);
		assert_found(answer(r), "token", "fail", cases[i].side);
		assert_found(answer(r), "revoker", "ok", "");
		assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_FAILED), i + 1);
	}
	/* Nobody knows: it may be there, so it is taken back. */
	asked(r, "data");
	refuse(r, "unknown", "cut");
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_RECONCILED), 1);
	mf_rig_check_every_prefix(r);
	mf_rig_cloud_free(r);
}

static void
test_tags(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin();
	asked(r, "data");
	refuse(r, "trust", "HTTP 403, AccessDenied");
	assert_null(answer(r));
	assert_int_equal(cloud.signing_n, 1); /* once more */
	assert_int_equal(cloud.signing[0]->tags_n, 0);
	assert_string_equal(cloud.signing[0]->source_identity, "");
	mf_rig_assert_all(r, true);
	assert_true(mf_rig_bring(r));
	looked(r, "GetRolePolicy: HTTP 403, AccessDenied");
	assert_found(answer(r), "token.tags", "fail", "provider");
	assert_found(answer(r), "revoker", "fail", "provider");
	/* It carries no tag that could be denied: over by its scope, and that is what is said. */
	mf_rig_advance(r, 10000);
	mf_rig_settle(r);
	assert_int_equal(cloud.revoking_n, 0);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_COMPLETED), 1);
	mf_rig_check_every_prefix(r);
	mf_rig_cloud_free(r);
}

static void
test_what_both_refuse(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin();
	for (unsigned i = 0; i < 2; i++) {
		asked(r, "data");
		refuse(r, "trust", "HTTP 403, AccessDenied");
		mf_rig_assert_all(r, true);
		refuse(r, "trust", "HTTP 403, AccessDenied");
		looked(r, i == 0 ? "AssumeRoleWithWebIdentity: HTTP 403, AccessDenied" : NULL);
		assert_found(answer(r), "token", "fail", "provider");
		const char *cure = find(answer(r), "token")->cure;
		assert_non_null(strstr(cure, i == 0 ? "audience sts.example" : "took them"));
	}
	mf_rig_cloud_free(r);
}

static void
test_publication(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin();
	/* It cannot be read, and the provider refuses: that comes first. */
	ask(r, "train", "data", false);
	published(r, "transient");
	mf_rig_commit(r);
	mf_rig_assert_all(r, true);
	refuse(r, "trust", "HTTP 403, AccessDenied");
	looked(r, NULL);
	assert_found(answer(r), "issuer.public", "fail", "publication");
	assert_found(answer(r), "token", "fail", "publication");
	/* The provider can read it: only we cannot. */
	ask(r, "train", "data", false);
	published(r, "transient");
	mf_rig_commit(r);
	mf_rig_assert_all(r, true);
	assert_true(mf_rig_bring(r));
	mf_rig_advance(r, 1000);
	mf_rig_assert_all(r, true);
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_advance(r, 1000);
	mf_rig_commit(r);
	assert_found(answer(r), "issuer.public", "warn", "publication");
	assert_found(answer(r), "token", "ok", "");
	mf_rig_cloud_free(r);
}

static void
test_before_anybody_is_asked(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin();
	ask(r, "nobody", "", false);
	assert_found(answer(r), "profile", "fail", "profile");
	ask(r, "train", "nope", false);
	assert_found(answer(r), "grant", "fail", "profile");
	ask(r, "train", "nowhere", false);
	assert_found(answer(r), "target", "fail", "broker");
	ask(r, "train", "data", true);
	assert_found(answer(r), "scope", "ok", "");
	r->no_courier = true;
	ask(r, "train", "data", false);
	assert_found(answer(r), "token", "fail", "broker");
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_PROBE), 0);
	assert_int_equal(cloud.signing_n + cloud.asked_n, 0);
	mf_rig_cloud_free(r);
}

static void
freeze(struct rig *r, const char *kind, const char *name)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__FreezeRequest q = MAYFLY__ADMIN__V1__FREEZE_REQUEST__INIT;
	char k[32], n[32], why[] = "leaked";
	(void)snprintf(k, sizeof(k), "%s", kind);
	(void)snprintf(n, sizeof(n), "%s", name);
	q.kind = k;
	q.name = n;
	q.reason = why;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_FREEZE;
	call.freeze = &q;
	mf_engine_admin(r->e, r->now, &call);
	mf_rig_commit(r);
}

/* A freeze holds for test tokens, too: before the intent, and between it and the courier. */
static void
test_frozen(void **state)
{
	MF_UNUSED(state);
	for (unsigned late = 0; late < 2; late++) {
		struct rig *r = begin();
		if (!late)
			freeze(r, "profile", "train");
		ask(r, "train", "data", false);
		r->replies = 0; /* of the freeze */
		published(r, NULL);
		mf_rig_commit(r);
		assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_PROBE), late);
		if (late) {
			freeze(r, "all", "");
			r->replies = 0;
			mf_rig_assert_all(r, true);
		}
		mf_rig_settle(r);
		assert_int_equal(cloud.asked_n, 0);
		assert_found(answer(r), "token", "fail", "broker");
		assert_non_null(strstr(find(answer(r), "token")->cause, "froze"));
		mf_rig_check_replay(r);
		mf_rig_cloud_free(r);
	}
}

/* The courier dies, nobody answers, the broker is killed in between: the token counts as alive, and is taken back. */
static void
test_no_answer(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin();
	asked(r, "data");
	mf_rig_forget_asked(r);
	mf_engine_courier_gone(r->e, r->now);
	mf_rig_commit(r);
	looked(r, NULL);
	assert_found(answer(r), "token", "fail", "network");
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_RECONCILED), 1);
	asked(r, "data");
	mf_rig_forget_asked(r);
	mf_rig_advance(r, 30000);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_RECONCILED), 2);
	asked(r, "data");
	mf_rig_forget_asked(r);
	mf_rig_crash(r);
	mf_rig_cloud_conf(r);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_RECONCILED), 3);
	mf_rig_check_every_prefix(r);
	mf_rig_cloud_free(r);
}

/* It could not be taken back: that is said, and goes on by itself. */
static void
test_revoker_without_right(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin();
	asked(r, "data");
	assert_true(mf_rig_bring(r));
	mf_rig_advance(r, 1000);
	mf_rig_assert_all(r, true);
	assert_true(mf_rig_revoked(r, "denied", 0));
	mf_rig_advance(r, 1000);
	mf_rig_commit(r);
	assert_found(answer(r), "token", "ok", "");
	assert_string_equal(find(answer(r), "revoker")->level, "fail");
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.revoking_n, 1); /* tried again */
	mf_rig_cloud_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fine),
		cmocka_unit_test(test_sides),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_what_both_refuse),
		cmocka_unit_test(test_publication),
		cmocka_unit_test(test_before_anybody_is_asked),
		cmocka_unit_test(test_frozen),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_revoker_without_right),
	};
	return cmocka_run_group_tests_name("engine_probe", tests, setup, teardown);
}
