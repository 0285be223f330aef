/* JWT-SVIDs in the engine: decided by today's policy, durable before they leave, ended with their lease. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/core/snapshot.h"
#include "codec/jwks.h"
#include "codec/jwt_svid.h"
#include "crypto/hash.h"
#include "lib/engine_jobs.h"
#include "lib/engine_rig.h"

#define CODE(x) MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_##x

struct job {
	char node[MF_STATE_ID_MAX], key[256], lease[MF_STATE_ID_MAX], id[MF_STATE_ID_MAX];
	char name[2][512];
	uint8_t value[16];
	uint32_t epoch;
	int64_t deadline;
};

static const char *const vault[] = { "vault.example" };
#define keys mf_rig_jwt_keys /* what every engine here begins with */

static int
setup(void **state)
{
	MF_UNUSED(state);
	return mf_jws_key_generate(MF_JWS_ES256, &keys[0], NULL) != MF_OK ||
	       mf_jws_key_generate(MF_JWS_RS256, &keys[1], NULL) != MF_OK;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_jws_key_free(keys[0]);
	mf_jws_key_free(keys[1]);
	mf_rig_free_spares();
	return 0;
}

static struct rig *
with_job(struct job *j, const char *profile, const char *user)
{
	struct rig *r = mf_rig_new();
	mf_rig_join(r, 1, 1, j->node, j->value);
	mf_rig_instance_key(j->key, j->node, RIG_BOOT, 1);
	uint64_t req = mf_rig_attach(r, 1, 1, j->key, profile, user);
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
	assert_non_null(g);
	(void)snprintf(j->lease, sizeof(j->lease), "%s", g->lease_id);
	(void)snprintf(j->id, sizeof(j->id), "%s", g->job_id);
	for (size_t i = 0; i < 2; i++)
		(void)snprintf(j->name[i], sizeof(j->name[i]), "%s", g->issued[i]->spiffe_id);
	j->epoch = g->epoch;
	j->deadline = g->deadline;
	return r;
}

static const Mayfly__Agent__V1__JwtGrant *
jwt(const struct rig *r, uint64_t request)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, 1, request);
	return d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_JWT_GRANT ? d->jwt_grant : NULL;
}

static const struct mf_jwk_set *
keys_of(void *ctx, struct mf_slice td)
{
	return mf_slice_eq_str(td, "example.org") ? ctx : NULL;
}

static struct mf_jwt_svid *
validated(const struct rig *r, const char *token, const char *audience)
{
	struct mf_jw w;
	struct mf_jwt_svid *svid = NULL;
	struct mf_err err = { 0 };
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *set = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 8192);
	mf_jw_init(&w, &b, false);
	mf_jw_object_begin(&w);
	mf_jw_key(&w, "keys");
	mf_jw_array_begin(&w);
	mf_jwk_jws_put(&w, keys[0], "jwt-svid");
	mf_jwk_jws_put(&w, keys[1], "jwt-svid");
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	assert_int_equal(mf_jwk_set_read(mf_buf_slice(&b), MF_JWKS_SPIFFE, &set, NULL), MF_OK);
	struct mf_jwt_svid_check c = { mf_slice_str(audience), r->now.wall_us / 1000000, 0, keys_of, set };
	if (mf_jwt_svid_validate(mf_slice_str(token), &c, &svid, &err) != MF_OK)
		fail_msg("%s", err.msg);
	return svid;
}

/* Invariant 1: not signed, signed, on disk. Only then. JWT-6, 7, 9, WAPI-17: what is in it. P-14 */
static void
test_token_waits_for_the_disk(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	static const char *const two[] = { "tracking", "\"quoted\\" };
	uint64_t req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[1], two, 2);
	assert_null(mf_rig_answer(r, 1, req));
	mf_rig_sign(r, true);
	assert_null(mf_rig_answer(r, 1, req));
	mf_rig_commit(r);
	const Mayfly__Agent__V1__JwtGrant *g = jwt(r, req);
	assert_non_null(g);
	assert_false(r->sent_undurable);
	MF_AUTO(mf_jwt_svid_free) struct mf_jwt_svid *a = validated(r, g->token, "tracking");
	MF_AUTO(mf_jwt_svid_free) struct mf_jwt_svid *b = validated(r, g->token, "\"quoted\\");
	assert_string_equal(mf_spiffe_id_str(mf_jwt_svid_id(a)), j.name[1]);
	assert_int_equal(mf_json_size(mf_json_get(mf_jwt_svid_claims(b), "aud")), 2);
	/* Invariant 2. */
	assert_int_equal(mf_jwt_svid_exp_s(a), r->now.wall_us / 1000000 + 300);
	assert_int_equal(g->expires, mf_jwt_svid_exp_s(a));
	assert_int_equal(g->issued_at, r->now.wall_us / 1000000 - 30);
	assert_string_equal(g->spiffe_id, j.name[1]);

	struct mf_record_doc *doc = NULL;
	assert_int_equal(
	    mf_record_decode(mf_slice(r->log[r->log_n - 1].p, r->log[r->log_n - 1].n), &doc, NULL), MF_OK);
	const struct mf_record *rec = mf_record_doc_get(doc);
	uint8_t sha[32];
	char hex[65];
	mf_sha256(mf_slice_str(g->token), sha);
	for (size_t i = 0; i < 32; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sha[i]);
	assert_int_equal(rec->type, MF_REC_JWT_ISSUED);
	assert_true(mf_slice_eq_str(rec->s[MF_RS_SHA256], hex)); /* a leaked token finds its job */
	assert_true(mf_slice_eq_str(rec->s[MF_RS_SERIAL], g->jti));
	assert_true(mf_slice_eq_str(rec->s[MF_RS_KID], mf_jws_key_kid(keys[0])));
	assert_true(mf_slice_eq_str(rec->s[MF_RS_HINT], "run"));
	assert_true(mf_slice_eq_str(rec->s[MF_RS_JOB_ID], j.id));
	assert_int_equal(rec->aud_n, 2);
	assert_true(mf_slice_eq_str(rec->aud[1], "\"quoted\\"));
	assert_int_equal(rec->n[MF_RN_SLOT], 1);
	assert_int_equal(rec->n[MF_RN_EXP], g->expires);
	mf_record_doc_free(doc);
	mf_rig_free(r);
}

/* Never narrowed in silence: one that is not listed is named, and there is no token. The denial is on disk first.
 * P-13 */
static void
test_audiences_are_enforced(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	static const char *const sets[][2] = { { "evil", NULL }, { "vault.example", "evil" },
		{ "VAULT.example", NULL }, { "vault.example ", NULL } };
	for (size_t i = 0; i < MF_COUNT(sets); i++) {
		size_t n = sets[i][1] == NULL ? 1 : 2;
		uint64_t req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], sets[i], n);
		assert_null(mf_rig_answer(r, 1, req));
		assert_int_equal(r->jwts_n, 0);
		mf_rig_commit(r);
		assert_int_equal(mf_rig_refusal(r, 1, req), CODE(DENIED));
		assert_non_null(strstr(mf_rig_answer(r, 1, req)->refusal->reason, sets[i][n - 1]));
		assert_non_null(
		    strstr(mf_rig_answer(r, 1, req)->refusal->reason, "jwt_audiences of profile train"));
	}
	assert_int_equal(mf_rig_count(r, MF_REC_AUTHZ_DENIED), MF_COUNT(sets));
	assert_int_equal(mf_rig_count(r, MF_REC_JWT_ISSUED), 0);
	/* Who asks in a loop fills no disk, and is answered all the same. */
	for (int i = 0; i < 200; i++) {
		uint64_t req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], sets[0], 1);
		mf_rig_commit(r);
		assert_int_equal(mf_rig_refusal(r, 1, req), CODE(DENIED));
	}
	assert_true(mf_rig_count(r, MF_REC_AUTHZ_DENIED) <= 60);
	/* A hostile audience cannot break the answer's text. */
	static const char *const odd[] = { "a\nb\x01" };
	uint64_t req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], odd, 1);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), CODE(DENIED));
	assert_null(strchr(mf_rig_answer(r, 1, req)->refusal->reason, '\n'));
	mf_rig_free(r);
}

/* JWT-10 */
static void
test_what_is_refused(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	char node[MF_STATE_ID_MAX];
	uint8_t value[16];
	const char *many[MF_LIM_JWT_AUDIENCES + 1];
	static const char *const empty[] = { "vault.example", "" };
	char *long_one = malloc(MF_LIM_JWT_AUDIENCE + 2);
	assert_non_null(long_one);
	memset(long_one, 'a', MF_LIM_JWT_AUDIENCE + 1);
	long_one[MF_LIM_JWT_AUDIENCE + 1] = '\0';
	for (size_t i = 0; i < MF_COUNT(many); i++)
		many[i] = vault[0];
	/* E-5 */
	assert_int_equal(
	    mf_rig_refusal(r, 1, mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 0)), CODE(INVALID));
	assert_int_equal(
	    mf_rig_refusal(r, 1, mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], empty, 2)), CODE(INVALID));
	assert_int_equal(
	    mf_rig_refusal(r, 1, mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], many, MF_COUNT(many))),
	    CODE(INVALID));
	const char *const too_long[] = { long_one };
	assert_int_equal(mf_rig_refusal(r, 1, mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], too_long, 1)),
	    CODE(INVALID));
	free(long_one);
	/* WAPI-18: an identity that this lease does not have; another epoch; another node's lease; no lease. */
	assert_int_equal(
	    mf_rig_refusal(r, 1, mf_rig_mint(r, 1, 1, j.lease, j.epoch, "spiffe://example.org/x", vault, 1)),
	    CODE(DENIED));
	assert_int_equal(
	    mf_rig_refusal(r, 1, mf_rig_mint(r, 1, 1, j.lease, j.epoch + 1, j.name[0], vault, 1)),
	    CODE(SUSPENDED));
	mf_rig_join(r, 2, 2, node, value);
	assert_int_equal(
	    mf_rig_refusal(r, 2, mf_rig_mint(r, 2, 2, j.lease, j.epoch, j.name[0], vault, 1)), CODE(ENDED));
	assert_int_equal(
	    mf_rig_refusal(r, 1, mf_rig_mint(r, 1, 1, "l-none", 1, j.name[0], vault, 1)), CODE(ENDED));
	/* No room in the log: adding fails closed. */
	mf_engine_log_room(r->e, false);
	assert_int_equal(mf_rig_refusal(r, 1, mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1)),
	    CODE(UNAVAILABLE));
	mf_engine_log_room(r->e, true);
	/* A signer that fails, and no key at all: nothing is recorded. */
	uint64_t req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
	mf_rig_sign(r, false);
	assert_int_equal(mf_rig_refusal(r, 1, req), CODE(UNAVAILABLE));
	struct mf_jws_key *lost = keys[0];
	keys[0] = NULL;
	req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
	assert_int_equal(mf_rig_refusal(r, 1, req), CODE(UNAVAILABLE));
	assert_non_null(strstr(mf_rig_answer(r, 1, req)->refusal->reason, "no key"));
	keys[0] = lost;
	assert_int_equal(mf_rig_count(r, MF_REC_JWT_ISSUED), 0);
	mf_rig_free(r);
}

/* Invariant 3, at each of its three moments. */
static void
test_nothing_after_the_end(void **state)
{
	MF_UNUSED(state);
	for (int when = 0; when < 3; when++) {
		struct job j;
		struct rig *r = with_job(&j, "train", "alice");
		uint64_t req = when == 0 ? 0 : mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
		if (when == 2)
			mf_rig_sign(r, true); /* recorded, not on disk: the end overtakes it */
		(void)mf_rig_end(r, 1, 1, j.key, j.lease);
		if (when == 0)
			req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
		mf_rig_settle(r);
		assert_null(jwt(r, req));
		assert_int_equal(mf_rig_refusal(r, 1, req), CODE(ENDED));
		assert_int_equal(mf_rig_count(r, MF_REC_JWT_ISSUED), when == 2);
		mf_rig_free(r);
	}
}

/* What it holds stands in the record that ends it; `credential ls` calls it by its kind. */
static void
test_ends_with_the_job(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	uint64_t req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
	mf_rig_settle(r);
	char jti[40];
	(void)snprintf(jti, sizeof(jti), "%s", jwt(r, req)->jti);

	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ListCredentialsRequest q = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_REQUEST__INIT;
	call.call_id = 7;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_LIST_CREDENTIALS;
	call.list_credentials = &q;
	mf_engine_admin(r->e, r->now, &call);
	assert_int_equal(r->reply->credentials->n_credentials, 3);
	const Mayfly__Admin__V1__Credential *c = r->reply->credentials->credentials[2];
	assert_string_equal(c->kind, "jwt-svid");
	assert_string_equal(c->id, jti);
	assert_string_equal(c->state, "live");
	assert_string_equal(r->reply->credentials->credentials[0]->kind, "x509-svid");
	assert_string_equal(
	    r->reply->credentials->credentials[0]->state, "live"); /* not superseded by a token */

	(void)mf_rig_end(r, 1, 1, j.key, j.lease);
	mf_rig_settle(r);
	bool found = false;
	for (size_t i = 0; i < r->log_n; i++) {
		struct mf_record_doc *doc = NULL;
		assert_int_equal(mf_record_decode(mf_slice(r->log[i].p, r->log[i].n), &doc, NULL), MF_OK);
		const struct mf_record *rec = mf_record_doc_get(doc);
		for (size_t k = 0; rec->type == MF_REC_LEASE_ENDED && k < rec->creds_n; k++)
			found |= mf_slice_eq_str(rec->creds[k].serial, jti);
		mf_record_doc_free(doc);
	}
	assert_true(found);
	mf_rig_free(r);
}

/* Invariant 2: near the deadline the token ends with the job, and at it there is none. */
static void
test_deadline(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	int64_t left = j.deadline - r->now.wall_us / 1000000;
	for (int64_t at = 0; at < left - 100; at += 100) { /* the node speaks, so that the lease stays open */
		mf_rig_advance(r, 100000);
		(void)mf_rig_renew(r, 1, 1, j.lease, j.epoch);
		(void)mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
		mf_rig_settle(r);
	}
	uint64_t req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
	mf_rig_settle(r);
	assert_non_null(jwt(r, req));
	assert_int_equal(jwt(r, req)->expires, j.deadline);
	r->now.wall_us = j.deadline * 1000000;
	r->now.mono_ms += 100000;
	req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
	mf_rig_settle(r);
	assert_null(jwt(r, req));
	mf_rig_free(r);
}

/* An end that is announced while the signer works brings the deadline nearer: no token outlives it. */
static void
test_deadline_comes_nearer(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	const struct mf_lease *l = mf_state_lease(mf_engine_state(r->e), mf_slice_str(j.lease));
	(void)mf_rig_mint(
	    r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1); /* or the next would be a new grant */
	mf_rig_settle(r);
	uint64_t req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
	(void)mf_rig_end_job(r, l->job->id, true);
	mf_rig_settle(r);
	l = mf_state_lease(mf_engine_state(r->e), mf_slice_str(j.lease));
	assert_int_equal(l->state, MF_LEASE_ENDING);
	assert_null(jwt(r, req));
	assert_int_equal(mf_rig_refusal(r, 1, req), CODE(UNAVAILABLE));
	/* Asked again, it lives as long as the drain. */
	req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
	mf_rig_settle(r);
	assert_non_null(jwt(r, req));
	assert_true(jwt(r, req)->expires <= l->deadline);
	mf_rig_free(r);
}

static void
test_rs256_by_profile(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "shell", "carol");
	MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
	uint64_t req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
	mf_rig_settle(r);
	assert_non_null(jwt(r, req));
	mf_jwt_svid_free(validated(r, jwt(r, req)->token, vault[0]));
	assert_int_equal(mf_jws_parse(mf_slice_str(jwt(r, req)->token), &jws, NULL), MF_OK);
	assert_int_equal(mf_jws_alg(jws), MF_JWS_RS256);
	assert_true(mf_slice_eq_str(mf_jws_kid(jws), mf_jws_key_kid(keys[1])));
	mf_rig_free(r);
}

/* Today's policy: what it no longer gives is not renewed. */
static void
test_decided_anew(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	struct mf_policy *p = NULL;
	char hex[65];
	memset(hex, 'b', 64);
	hex[64] = '\0';
	assert_int_equal(mf_policy_new(&p, NULL), MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	mf_engine_policy(r->e, r->now, p, hex);
	uint64_t req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), CODE(DENIED));
	mf_rig_free(r);
}

/* A job that asks for ever more tokens is stopped, and its certificates are renewed all the same. */
static void
test_too_many_tokens(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	uint64_t req = 0;
	for (int i = 0; i < 192; i++) {
		req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
		mf_rig_settle(r);
		assert_non_null(jwt(r, req));
	}
	req = mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[0], vault, 1);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), CODE(UNAVAILABLE));
	req = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, req));
	/* The record that ends them all fits. */
	(void)mf_rig_end(r, 1, 1, j.key, j.lease);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_ENDED), 1);
	mf_rig_free(r);
}

/* Snapshot and replay know tokens, also after they expired and others came. */
static void
test_state_is_the_log(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	for (int i = 0; i < 12; i++) {
		(void)mf_rig_mint(r, 1, 1, j.lease, j.epoch, j.name[i % 2], vault, 1);
		if (i % 3 == 2)
			(void)mf_rig_renew(r, 1, 1, j.lease, j.epoch);
		mf_rig_settle(r);
		mf_rig_advance(r, 60000);
		for (size_t at = r->log_n - 2; at <= r->log_n; at++) {
			struct mf_state *whole = mf_rig_replay(r, at), *back = NULL;
			char *a = mf_rig_snapshot(whole);
			assert_int_equal(mf_state_new(&back, NULL), MF_OK);
			assert_int_equal(mf_snapshot_read(mf_slice_str(a), back, NULL), MF_OK);
			char *b = mf_rig_snapshot(back);
			assert_string_equal(a, b);
			free(a);
			free(b);
			mf_state_free(whole);
			mf_state_free(back);
		}
	}
	char *live = mf_rig_snapshot(mf_engine_state(r->e));
	assert_non_null(strstr(live, "jwt.issued"));
	struct mf_state *whole = mf_rig_replay(r, r->log_n);
	char *replayed = mf_rig_snapshot(whole);
	assert_string_equal(live, replayed);
	free(live);
	free(replayed);
	mf_state_free(whole);
	mf_rig_free(r);
}

static uint64_t
mint(struct rig *r, const struct job *j, size_t name, const char *a, const char *b)
{
	const char *const aud[] = { a, b };
	return mf_rig_mint(r, 1, 1, j->lease, j->epoch, j->name[name], aud, b == NULL ? 1 : 2);
}

static void
is_new(struct rig *r, uint64_t req)
{
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), CODE(DENIED));
	assert_non_null(strstr(mf_rig_answer(r, 1, req)->refusal->reason, "the job is ending"));
}

/* While the job is ending, tokens are renewed for what each identity had one for; no other audience, also not from
 * before a snapshot; what was being signed when the end was announced is too late. */
static void
test_nothing_new_while_ending(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	(void)mint(r, &j, 0, "vault.example", NULL);
	(void)mint(r, &j, 1, "tracking", "\"quoted\\");
	mf_rig_settle(r);
	mf_rig_advance(r, 250000);
	uint64_t begun = mint(r, &j, 0, "tracking", NULL);
	int64_t until = mf_rig_end_job(r, j.id, true)->ending_until;
	assert_int_equal(until, r->now.wall_us / 1000000 + 60);
	is_new(r, begun);
	is_new(r, mint(r, &j, 0, "tracking", NULL));
	is_new(r, mint(r, &j, 0, "vault.example", "tracking"));
	is_new(r, mint(r, &j, 1, "vault.example", NULL)); /* the other identity had that one */
	is_new(r, mint(r, &j, 1, "tracking", NULL));
	is_new(r, mint(r, &j, 1, "tracking", "tracking"));
	assert_int_equal(mf_rig_count(r, MF_REC_AUTHZ_DENIED), 5);
	uint64_t req = mint(r, &j, 0, "vault.example", NULL);
	mf_rig_settle(r);
	assert_non_null(jwt(r, req));
	assert_int_equal(jwt(r, req)->expires, until);
	/* The other token has expired since the end was announced, and others came: it may be renewed all the same. */
	mf_rig_advance(r, 52000);
	(void)mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	req = mint(r, &j, 1, "\"quoted\\", "tracking");
	mf_rig_settle(r);
	assert_non_null(jwt(r, req));
	is_new(r, mint(r, &j, 0, "\"quoted\\", "tracking"));
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

static size_t
vouches(const struct rig *r, Mayfly__Agent__V1__DocumentKind kind, uint64_t number, const char *body)
{
	size_t n = 0;
	uint8_t sha[32];
	mf_sha256(mf_slice_str(body), sha);
	for (size_t i = 0; i < r->downs_n; i++) {
		const Mayfly__Agent__V1__Down *d = r->downs[i].down;
		n += d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_VOUCH && d->vouch->kind == kind &&
		     d->vouch->number == number && memcmp(d->vouch->sha256.data, sha, 32) == 0;
	}
	return n;
}

/* A document is vouched for in every session that is ready, and in each that becomes ready. */
static void
test_documents(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = with_job(&j, "train", "alice");
	char node[MF_STATE_ID_MAX];
	uint8_t value[16];
	Mayfly__Agent__V1__DocumentKind jwks = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE,
					foreign = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES;
	mf_engine_document(r->e, jwks, 5, MF_SLICE_LIT("one"));
	assert_int_equal(vouches(r, jwks, 5, "one"), 1);
	mf_engine_document(r->e, jwks, 6, MF_SLICE_LIT("two"));
	assert_int_equal(vouches(r, jwks, 6, "two"), 1);
	mf_rig_join(r, 2, 2, node, value);
	assert_int_equal(vouches(r, jwks, 6, "two"), 2);
	assert_int_equal(vouches(r, jwks, 5, "one"), 1);
	mf_engine_document(r->e, foreign, 1, MF_SLICE_LIT("x"));
	assert_int_equal(vouches(r, foreign, 1, "x"), 2);
	mf_engine_document(r->e, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE, 9, MF_SLICE_LIT("y"));
	assert_int_equal(vouches(r, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE, 9, "y"), 0);
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_waits_for_the_disk),
		cmocka_unit_test(test_audiences_are_enforced),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_nothing_after_the_end),
		cmocka_unit_test(test_ends_with_the_job),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_deadline_comes_nearer),
		cmocka_unit_test(test_rs256_by_profile),
		cmocka_unit_test(test_decided_anew),
		cmocka_unit_test(test_too_many_tokens),
		cmocka_unit_test(test_state_is_the_log),
		cmocka_unit_test(test_nothing_new_while_ending),
		cmocka_unit_test(test_documents),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
