/*
 * Tokens through the public interface: what an agent answers to a request for one, bundles, and validation. The whole
 * matrix of bad tokens is unit/test_jwt_svid; here each rule that binds a client appears once, with its id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <mayfly/jwt.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "codec/jwks.h"
#include "codec/jwt_svid.h"
#include "fake_agent.h"

#define HANG 60000
#define ID "spiffe://td1/job/a"

static struct {
	char dir[64], path[80];
	struct fake_agent *agent;
	mayfly_client *client;
	struct mf_jws_key *key, *key2;
	struct mf_buf jwks, jwks2, token; /* td1's, td2's */
	int64_t now;
} w;

static void
write_jwks(struct mf_buf *to, const struct mf_jws_key *key, const char *use)
{
	struct mf_jw j;
	mf_buf_init(to, 65536);
	mf_jw_init(&j, to, false);
	mf_jw_object_begin(&j);
	mf_jw_key(&j, "keys");
	mf_jw_array_begin(&j);
	mf_jwk_jws_put(&j, key, use);
	mf_jw_array_end(&j);
	mf_jw_object_end(&j);
	assert_int_equal(mf_jw_finish(&j, NULL), MF_OK);
}

/* Into w.token, as a C string. */
static const char *
mint_token(const char *sub, const char *aud, int64_t exp_s, const struct mf_jws_key *key)
{
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	struct mf_slice audience[] = { mf_slice_str(aud), MF_SLICE_LIT("second") };
	struct mf_jwt_svid_fields f = { .alg = MF_JWS_ES256,
		.kid = mf_slice_str(mf_jws_key_kid(key)),
		.spiffe_id = mf_slice_str(sub),
		.aud = audience,
		.aud_n = 2,
		.iat_s = exp_s - 300,
		.exp_s = exp_s,
		.jti = MF_SLICE_LIT("t-1") };
	mf_buf_reset(&w.token);
	assert_int_equal(mf_jws_signer_new(key, &signer, NULL), MF_OK);
	assert_int_equal(mf_jwt_svid_put(&f, signer, &w.token, NULL), MF_OK);
	return mf_buf_cstr(&w.token);
}

static int
setup(void **state)
{
	char uri[100];
	MF_UNUSED(state);
	memset(&w, 0, sizeof(w));
	(void)snprintf(w.dir, sizeof(w.dir), "/tmp/mayfly-jwt.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	(void)snprintf(w.path, sizeof(w.path), "%s/agent.sock", w.dir);
	(void)snprintf(uri, sizeof(uri), "unix://%s", w.path);
	w.agent = mf_fa_new(w.path);
	w.now = mf_now().wall_us / 1000000;
	mf_buf_init(&w.token, MF_LIM_JWT + 1);
	assert_int_equal(mf_jws_key_generate(MF_JWS_ES256, &w.key, NULL), MF_OK);
	assert_int_equal(mf_jws_key_generate(MF_JWS_ES256, &w.key2, NULL), MF_OK);
	write_jwks(&w.jwks, w.key, "jwt-svid");
	write_jwks(&w.jwks2, w.key2, "jwt-svid");
	assert_int_equal(mayfly_client_new(uri, &w.client, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_client_set_backoff(w.client, 1, 20, NULL), MAYFLY_OK);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_fa_free(w.agent);
	mayfly_client_free(w.client);
	mf_jws_key_free(w.key);
	mf_jws_key_free(w.key2);
	mf_buf_fini(&w.jwks);
	mf_buf_fini(&w.jwks2);
	mf_buf_fini(&w.token);
	assert_int_equal(rmdir(w.dir), 0);
	return 0;
}

/* --- fetch --- */

static void
answer(const char *id, const char *token, const char *hint)
{
	JWTSVIDResponse r = JWTSVIDRESPONSE__INIT;
	JWTSVID one = JWTSVID__INIT, *at[] = { &one, &one };
	one.spiffe_id = (char *)(uintptr_t)id;
	one.svid = (char *)(uintptr_t)token;
	one.hint = (char *)(uintptr_t)hint;
	r.svids = at;
	r.n_svids = id == NULL ? 0 : 2;
	mf_fa_answer(w.agent, FA_JWT, &r.base);
}

static void
test_fetch(void **state)
{
	MF_UNUSED(state);
	static const char *const aud[] = { "vault.example", "second" };
	mayfly_jwts *j = NULL;
	mayfly_error err;
	const char *token = mint_token(ID, "vault.example", w.now + 300, w.key);
	answer(ID, token, "h"); /* the same hint twice: the first counts (WAPI-11) */
	assert_int_equal(mayfly_fetch_jwt(w.client, aud, 2, ID, HANG, &j, &err), MAYFLY_OK);
	assert_int_equal(mayfly_jwts_count(j), 1);
	assert_string_equal(mayfly_jwts_token(j, 0), token);
	assert_string_equal(mayfly_jwts_id(j, 0), ID);
	assert_string_equal(mayfly_jwts_hint(j, 0), "h");
	assert_int_equal(mayfly_jwts_expires(j, 0), w.now + 300);
	assert_memory_equal(mayfly_jwts_authorization(j, 0), "Bearer ", 7); /* JWT-14 */
	assert_string_equal(mayfly_jwts_authorization(j, 0) + 7, token);
	assert_null(mayfly_jwts_token(j, 1));
	assert_null(mayfly_jwts_id(j, 1));
	assert_null(mayfly_jwts_hint(j, 1));
	assert_int_equal(mayfly_jwts_expires(j, 1), 0);
	mayfly_jwts_free(j);
	mayfly_jwts_free(NULL);
	/* what was asked */
	ProtobufCMessage *msg = mf_fa_request(w.agent, FA_JWT);
	const JWTSVIDRequest *q = (const JWTSVIDRequest *)(const void *)msg;
	assert_int_equal(q->n_audience, 2);
	assert_string_equal(q->audience[0], "vault.example");
	assert_string_equal(q->audience[1], "second");
	assert_string_equal(q->spiffe_id, ID);
	mf_pb_free(msg);
	assert_int_equal(mf_fa_unmarked(w.agent), 0); /* WEP-3 */
}

static void
refused(const char *aud, const char *id, mayfly_status want, const char *word)
{
	mayfly_jwts *j = NULL;
	mayfly_error err;
	assert_int_equal(mayfly_fetch_jwt(w.client, &aud, 1, id, 0, &j, &err), want);
	assert_null(j);
	if (strstr(err.text, word) == NULL)
		fail_msg("\"%s\" has no \"%s\"", err.text, word);
}

/* WAPI-8, P-13, P-17 */
static void
test_bad_answers(void **state)
{
	MF_UNUSED(state);
	answer(NULL, "", "");
	refused("a", NULL, MAYFLY_E_INVALID, "without a token");
	answer(ID, "", "");
	refused("a", NULL, MAYFLY_E_INVALID, "mandatory");
	answer("", mint_token(ID, "a", w.now + 300, w.key), "");
	refused("a", NULL, MAYFLY_E_INVALID, "mandatory");
	answer("spiffe://td1/job/b", mint_token(ID, "a", w.now + 300, w.key), "");
	refused("a", NULL, MAYFLY_E_INVALID, "another SPIFFE ID");
	answer(ID, mint_token(ID, "a", w.now + 300, w.key), "");
	refused("a", "spiffe://td1/job/b", MAYFLY_E_INVALID, "another identity");
	refused("b", NULL, MAYFLY_E_INVALID, "lacks audience 0");
	answer(ID, mint_token(ID, "a", w.now - 1, w.key), "");
	refused("a", NULL, MAYFLY_E_INVALID, "expired");
	answer(ID, "not.a.token", "");
	refused("a", NULL, MAYFLY_E_INVALID, "token 0");
	mf_fa_status(w.agent, FA_JWT, MF_GRPC_PERMISSION_DENIED, "no identity issued");
	refused("a", NULL, MAYFLY_E_DENIED, "no identity issued");
	mf_fa_status(w.agent, FA_JWT, MF_GRPC_UNIMPLEMENTED, "off");
	refused("a", NULL, MAYFLY_E_UNSUPPORTED, "off");
}

static void
test_bad_questions(void **state)
{
	MF_UNUSED(state);
	static const char *const many[MF_LIM_JWT_AUDIENCES + 1] = { "a" };
	mayfly_jwts *j = NULL;
	mayfly_error err;
	assert_int_equal(mayfly_fetch_jwt(w.client, many, 0, NULL, 0, &j, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_fetch_jwt(w.client, NULL, 1, NULL, 0, &j, &err), MAYFLY_E_INVALID);
	assert_int_equal(
	    mayfly_fetch_jwt(w.client, many, MF_COUNT(many), NULL, 0, &j, &err), MAYFLY_E_INVALID);
	refused("", NULL, MAYFLY_E_INVALID, "");
	refused("\xff", NULL, MAYFLY_E_INVALID, "");
	refused("a", "td1/job", MAYFLY_E_INVALID, "spiffe://");
	assert_int_equal(mf_fa_calls(w.agent, FA_JWT), 0); /* nobody was asked */
}

/* --- bundles and validation --- */

static void
answer_bundles(const char *key2, const struct mf_buf *value2)
{
	JWTBundlesResponse r = JWTBUNDLES_RESPONSE__INIT;
	JWTBundlesResponse__BundlesEntry e[2], *at[] = { &e[0], &e[1] };
	static char own[] = "spiffe://td1";
	for (size_t i = 0; i < 2; i++)
		jwtbundles_response__bundles_entry__init(&e[i]);
	e[0].key = own, e[0].value = (ProtobufCBinaryData) { w.jwks.n, w.jwks.p };
	e[1].key = (char *)(uintptr_t)key2;
	if (value2 != NULL)
		e[1].value = (ProtobufCBinaryData) { value2->n, value2->p };
	r.bundles = at;
	r.n_bundles = key2 == NULL ? 1 : 2;
	mf_fa_answer(w.agent, FA_JWT_BUNDLES, &r.base);
}

static void
test_bundles(void **state)
{
	MF_UNUSED(state);
	mayfly_jwt_bundles *b = NULL;
	mayfly_error err;
	answer_bundles("spiffe://td2", &w.jwks2);
	assert_int_equal(mayfly_fetch_jwt_bundles(w.client, HANG, &b, &err), MAYFLY_OK);
	assert_int_equal(mayfly_jwt_bundles_count(b), 2);
	assert_string_equal(mayfly_jwt_bundles_trust_domain(b, 1), "td2");
	assert_null(mayfly_jwt_bundles_trust_domain(b, 2));
	assert_int_equal(mayfly_jwt_bundles_add_json(b, "td3", "{\"keys\":[]}", 11, &err), MAYFLY_E_STATE);
	mayfly_jwt_bundles_unref(b);
	b = NULL;
	answer_bundles("spiffe://td2", NULL); /* P-7: no keys */
	assert_int_equal(mayfly_fetch_jwt_bundles(w.client, HANG, &b, &err), MAYFLY_OK);
	assert_int_equal(mayfly_jwt_bundles_count(b), 1);
	mayfly_jwt_bundles_unref(b);
	static const char *const bad[] = { "td2", "spiffe://td1", "spiffe://td2/a", "" };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		answer_bundles(bad[i], &w.jwks2);
		assert_int_equal(mayfly_fetch_jwt_bundles(w.client, 0, &b, &err), MAYFLY_E_INVALID);
		assert_non_null(strstr(err.text, "bundle 1"));
	}
	answer_bundles("spiffe://td2", &w.token); /* not a JWKS */
	(void)mint_token(ID, "a", w.now, w.key);
	answer_bundles("spiffe://td2", &w.token);
	assert_int_equal(mayfly_fetch_jwt_bundles(w.client, 0, &b, &err), MAYFLY_E_INVALID);
}

static mayfly_jwt_bundles *
both(void)
{
	mayfly_jwt_bundles *b = NULL;
	assert_int_equal(mayfly_jwt_bundles_new(&b, NULL), MAYFLY_OK);
	assert_int_equal(
	    mayfly_jwt_bundles_add_json(b, "td1", (const char *)w.jwks.p, w.jwks.n, NULL), MAYFLY_OK);
	assert_int_equal(
	    mayfly_jwt_bundles_add_json(b, "spiffe://td2", (const char *)w.jwks2.p, w.jwks2.n, NULL),
	    MAYFLY_OK);
	return b;
}

static void
invalid(const mayfly_jwt_bundles *b, const char *token, const char *aud, int64_t now)
{
	mayfly_jwt *jwt = NULL;
	mayfly_error err = { .text = "" };
	assert_int_equal(mayfly_validate_jwt(b, token, aud, 5, now, &jwt, &err), MAYFLY_E_UNTRUSTED);
	assert_null(jwt);
	assert_true(err.text[0] != '\0');
}

static void
test_validate(void **state)
{
	MF_UNUSED(state);
	mayfly_jwt_bundles *b = both();
	mayfly_jwt *jwt = NULL;
	mayfly_error err;
	int64_t iat = 0;
	const char *token = mint_token(ID, "a", w.now + 300, w.key);
	for (int twice = 0; twice < 2; twice++) { /* JWT-15: no memory of tokens */
		assert_int_equal(mayfly_validate_jwt(b, token, "a", 0, 0, &jwt, &err), MAYFLY_OK);
		assert_string_equal(mayfly_jwt_id(jwt), ID);
		assert_int_equal(mayfly_jwt_expires(jwt), w.now + 300);
		assert_string_equal(mayfly_jwt_claim(jwt, "jti"), "t-1");
		assert_null(mayfly_jwt_claim(jwt, "exp"));
		assert_null(mayfly_jwt_claim(jwt, "none"));
		assert_int_equal(mayfly_jwt_claim_int(jwt, "iat", &iat, NULL), MAYFLY_OK);
		assert_int_equal(iat, w.now);
		assert_int_equal(mayfly_jwt_claim_int(jwt, "sub", &iat, &err), MAYFLY_E_NOTFOUND);
		mayfly_jwt_free(jwt);
	}
	jwt = NULL;
	assert_int_equal(mayfly_validate_jwt(b, token, "second", 5, w.now + 304, &jwt, &err), MAYFLY_OK);
	mayfly_jwt_free(jwt);
	jwt = NULL;
	invalid(b, token, "b", 0);	     /* JWT-8 */
	invalid(b, token, "A", 0);	     /* JWT-8 */
	invalid(b, token, "a", w.now + 306); /* JWT-9, E-13 */
	assert_int_equal(mayfly_validate_jwt(b, token, "a", 11, 0, &jwt, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_validate_jwt(b, token, "", 0, 0, &jwt, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_validate_jwt(b, NULL, "a", 0, 0, &jwt, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_validate_jwt(NULL, token, "a", 0, 0, &jwt, &err), MAYFLY_E_INVALID);
	w.token.p[w.token.n - 3] = w.token.p[w.token.n - 3] == 'A' ? 'B' : 'A';
	invalid(b, token, "a", 0);
	invalid(b, "", "a", 0);
	invalid(b, "a.b", "a", 0);						    /* JWT-1 */
	invalid(b, mint_token("spiffe://td1/a", "a", w.now + 300, w.key2), "a", 0); /* JWT-11 */
	invalid(b, mint_token("spiffe://td3/a", "a", w.now + 300, w.key), "a", 0);
	mayfly_jwt_bundles_unref(b);
	mayfly_jwt_free(NULL);
	mayfly_jwt_bundles_unref(NULL);
}

/* JWT-13, BND-7, BND-8: the use decides; no keys validate nothing; no bundle is merged. */
static void
test_own_bundles(void **state)
{
	MF_UNUSED(state);
	struct mf_buf wit, cased;
	mayfly_jwt_bundles *b = NULL;
	mayfly_error err;
	const char *token = mint_token(ID, "a", w.now + 300, w.key);
	write_jwks(&wit, w.key, "wit-svid");
	write_jwks(&cased, w.key, "JWT-SVID");
	const struct mf_buf *const sets[] = { &wit, &cased };
	for (size_t i = 0; i < MF_COUNT(sets); i++) {
		assert_int_equal(mayfly_jwt_bundles_new(&b, NULL), MAYFLY_OK);
		assert_int_equal(
		    mayfly_jwt_bundles_add_json(b, "td1", (const char *)sets[i]->p, sets[i]->n, &err),
		    MAYFLY_OK);
		invalid(b, token, "a", 0);
		assert_int_equal(
		    mayfly_jwt_bundles_add_json(b, "TD1", (const char *)w.jwks.p, w.jwks.n, &err),
		    MAYFLY_E_INVALID);
		assert_int_equal(mayfly_jwt_bundles_add_json(b, "td2", "{}", 2, &err), MAYFLY_E_INVALID);
		assert_int_equal(mayfly_jwt_bundles_add_json(b, "td2", NULL, 0, &err), MAYFLY_E_INVALID);
		mayfly_jwt_bundles_unref(b);
	}
	mf_buf_fini(&wit);
	mf_buf_fini(&cased);
}

static void
test_by_agent(void **state)
{
	MF_UNUSED(state);
	ValidateJWTSVIDResponse r = VALIDATE_JWTSVIDRESPONSE__INIT;
	static char id[] = ID, bad[] = "td1";
	char *got = NULL;
	mayfly_error err;
	r.spiffe_id = id;
	mf_fa_answer(w.agent, FA_VALIDATE, &r.base);
	assert_int_equal(mayfly_validate_jwt_by_agent(w.client, "t", "a", HANG, &got, &err), MAYFLY_OK);
	assert_string_equal(got, ID);
	mayfly_string_free(got);
	got = NULL;
	ProtobufCMessage *msg = mf_fa_request(w.agent, FA_VALIDATE);
	const ValidateJWTSVIDRequest *q = (const ValidateJWTSVIDRequest *)(const void *)msg;
	assert_string_equal(q->svid, "t");
	assert_string_equal(q->audience, "a");
	mf_pb_free(msg);
	r.spiffe_id = bad; /* P-15: a wrong OK is a hole */
	mf_fa_answer(w.agent, FA_VALIDATE, &r.base);
	assert_int_equal(mayfly_validate_jwt_by_agent(w.client, "t", "a", 0, &got, &err), MAYFLY_E_INVALID);
	unsigned calls = mf_fa_calls(w.agent, FA_VALIDATE);
	mf_fa_status(w.agent, FA_VALIDATE, MF_GRPC_INVALID_ARGUMENT, "expired");
	assert_int_equal(
	    mayfly_validate_jwt_by_agent(w.client, "t", "a", HANG, &got, &err), MAYFLY_E_UNTRUSTED);
	assert_int_equal(err.grpc_code, 3);
	assert_int_equal(mf_fa_calls(w.agent, FA_VALIDATE), calls + 1);
	assert_int_equal(mayfly_validate_jwt_by_agent(w.client, "", "a", 0, &got, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_validate_jwt_by_agent(w.client, "t", "", 0, &got, &err), MAYFLY_E_INVALID);
	assert_null(got);
}

/* BND-7: a bundle that is emptied refuses what it accepted a moment before. */
static void
test_watch(void **state)
{
	MF_UNUSED(state);
	mayfly_watch *watch = NULL;
	mayfly_jwt *jwt = NULL;
	mayfly_error err;
	unsigned changes = 0;
	const char *token = mint_token("spiffe://td2/a", "a", w.now + 300, w.key2);
	answer_bundles("spiffe://td2", &w.jwks2);
	assert_int_equal(mayfly_watch_new(w.client, MAYFLY_WATCH_JWT_BUNDLES, &watch, &err), MAYFLY_OK);
	assert_int_equal(mayfly_watch_wait(watch, HANG, &changes, &err), MAYFLY_OK);
	assert_int_equal(changes, MAYFLY_UPDATED);
	mayfly_jwt_bundles *b = mayfly_watch_jwt_bundles(watch);
	assert_int_equal(mayfly_validate_jwt(b, token, "a", 0, 0, &jwt, &err), MAYFLY_OK);
	mayfly_jwt_free(jwt);
	mayfly_jwt_bundles_unref(b);
	answer_bundles(NULL, NULL);
	assert_int_equal(mayfly_watch_wait(watch, HANG, &changes, &err), MAYFLY_OK);
	b = mayfly_watch_jwt_bundles(watch);
	invalid(b, token, "a", 0);
	mayfly_jwt_bundles_unref(b);
	assert_null(mayfly_watch_x509(watch));
	assert_null(mayfly_watch_bundles(watch));
	mf_fa_status(w.agent, FA_JWT_BUNDLES, MF_GRPC_PERMISSION_DENIED, "no identity issued");
	assert_int_equal(mayfly_watch_wait(watch, HANG, &changes, &err), MAYFLY_OK);
	assert_int_equal(changes, MAYFLY_DROPPED | MAYFLY_TROUBLE);
	assert_null(mayfly_watch_jwt_bundles(watch));
	mayfly_watch_free(watch);
}

int
main(void)
{
#define T(name, fn)                             \
	{                                       \
		name, fn, setup, teardown, NULL \
	}
	const struct CMUnitTest tests[] = {
		T("JWT-14 WAPI-11 fetch", test_fetch),
		T("WAPI-8 P-13 P-17 bad answers", test_bad_answers),
		T("JWT-7 E-5 bad questions", test_bad_questions),
		T("WAPI-16 P-7 P-16 bundles", test_bundles),
		T("JWT-1 JWT-8 JWT-9 JWT-11 JWT-15 validate", test_validate),
		T("JWT-13 BND-7 BND-8 own bundles", test_own_bundles),
		T("P-15 by the agent", test_by_agent),
		T("BND-7 WAPI-21 watch", test_watch),
	};
	return cmocka_run_group_tests_name("client_jwt", tests, NULL, NULL);
}
