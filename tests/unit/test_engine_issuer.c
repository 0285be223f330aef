/*
 * The public issuer against our keys, with a courier that shows what the test says: a copy that is behind makes activation
 * wait, a key that is not ours stops cloud tokens, and both say the cure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine_jobs.h"
#include "engine_keys.h"
#include "engine_rig_cloud.h"

#include "broker/notary/engine_internal.h"

#define RS MF_KEY_USE_ASSERTION_RS256
#define ISSUER "https://oidc.example.org/td1"
static const char discovery[] = "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"" ISSUER "/keys\"}";

static const char *
spare(unsigned i)
{
	return mf_jws_key_kid(mf_rig_spare_jwt(i));
}

static void
answer_with(struct rig *r, const char *error, const char *disc, const char *jwks)
{
	Mayfly__Roles__V1__CloudFetchResult m = MAYFLY__ROLES__V1__CLOUD_FETCH_RESULT__INIT;
	assert_true(r->fetch_id != 0);
	m.fetch_id = r->fetch_id;
	m.error = (char *)(uintptr_t)error;
	m.reason = (char *)(uintptr_t) "no route";
	m.discovery = (ProtobufCBinaryData) { strlen(disc), (uint8_t *)(uintptr_t)disc };
	m.jwks = (ProtobufCBinaryData) { strlen(jwks), (uint8_t *)(uintptr_t)jwks };
	r->fetch_id = 0;
	mf_engine_issuer_fetched(r->e, r->now, &m);
}

/* Look again, and see ${jwks}. */
static void
see(struct rig *r, const char *jwks)
{
	mf_rig_advance(r, 61000);
	answer_with(r, "", discovery, jwks);
}

static void
prepare(struct rig *r, unsigned i)
{
	mf_rig_ask_prepare(r, RS);
	mf_rig_jwt_made(r, i, true);
	mf_rig_commit(r);
	assert_string_equal(r->reply->error, "");
}

static struct rig *
begin(void)
{
	mf_rig_watch_issuer = ISSUER;
	struct rig *r = mf_rig_new();
	mf_rig_watch_issuer = NULL;
	return r;
}

static char *
copy(const struct rig *r)
{
	return mf_slice_dup_str(mf_slice_str(r->oidc_jwks));
}

static void
test_waits(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin();
	r->no_courier = true;
	mf_rig_advance(r, 2000);
	assert_int_equal(r->fetch_id, 0);
	r->no_courier = false;
	mf_rig_advance(r, 2000);
	assert_true(r->fetch_id != 0);
	assert_string_equal(mf_engine_issuer_state(r->e), "unseen");
	assert_null(mf_engine_issuer_why_not(r->e, ISSUER));
	answer_with(r, "", discovery, "{\"keys\":[]}");
	assert_string_equal(mf_engine_issuer_state(r->e), "same");
	prepare(r, 1);
	mf_rig_advance(r, 3600000);
	/* The bucket is as it was before. */
	answer_with(r, "", discovery, "{\"keys\":[]}");
	assert_string_equal(mf_engine_issuer_state(r->e), "stale");
	mf_rig_assert_error(mf_rig_activate_key(r, RS, false), "oidc export");
	assert_int_equal(mf_rig_key_state(r, spare(1)), MF_KEY_PREPARED);
	assert_null(mf_engine_issuer_why_not(r->e, ISSUER)); /* what signs now is as good as before */
	/* It was copied: whoever asked has the broker look again within seconds. */
	char *now = copy(r);
	mf_rig_advance(r, 6000);
	(void)mf_rig_activate_key(r, RS, false);
	mf_rig_advance(r, 2000);
	answer_with(r, "", discovery, now);
	free(now);
	assert_string_equal(mf_engine_issuer_state(r->e), "same");
	(void)mf_rig_activate_key(r, RS, false);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_key_state(r, spare(1)), MF_KEY_ACTIVE);
	/* Somebody puts the old copy back: nothing would be accepted, and that is said. */
	mf_rig_advance(r, 540000);
	see(r, "{\"keys\":[]}");
	assert_non_null(strstr(mf_engine_issuer_why_not(r->e, ISSUER), "does not show the key that signs"));
	assert_null(mf_engine_issuer_why_not(r->e, ISSUER "/x5c")); /* which our publisher serves */
	mf_rig_free(r);
}

static void
test_force(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin();
	prepare(r, 2);
	mf_rig_advance(r, 3600000);
	answer_with(r, "", discovery, "{\"keys\":[]}");
	(void)mf_rig_activate_key(r, RS, true);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_key_state(r, spare(2)), MF_KEY_ACTIVE);
	mf_rig_free(r);
}

/* Not one of ours, whatever it calls itself. */
static void
test_foreign(void **state)
{
	MF_UNUSED(state);
	struct rig *r = begin();
	MF_AUTO_IN(mf_buf_fini) struct mf_buf other, doc;
	char text[8192];
	mf_buf_init(&other, 4096);
	mf_buf_init(&doc, 4096);
	prepare(r, 3);
	mf_rig_advance(r, 2000);
	mf_jws_key_put_jwk(mf_rig_spare_jwt(4), &other);
	/* Another's numbers under our kid. */
	(void)snprintf(
	    text, sizeof(text), "{\"keys\":[{\"kid\":\"%s\",%s]}", spare(3), mf_buf_cstr(&other) + 1);
	answer_with(r, "", discovery, text);
	assert_string_equal(mf_engine_issuer_state(r->e), "foreign");
	assert_non_null(strstr(mf_engine_issuer_why_not(r->e, ISSUER), "not ours"));
	assert_non_null(mf_engine_issuer_why_not(r->e, ISSUER "/x5c"));
	mf_rig_advance(r, 3600000);
	/* An answer that fails does not take the alarm back. */
	answer_with(r, "transient", "", "");
	assert_string_equal(mf_engine_issuer_state(r->e), "foreign");
	mf_rig_assert_error(mf_rig_activate_key(r, RS, false), "not ours");
	/* Our numbers under another kid. */
	mf_jws_key_put_jwk(mf_rig_spare_jwt(3), &doc);
	(void)snprintf(text, sizeof(text), "{\"keys\":[{\"kid\":\"x\",%s]}", mf_buf_cstr(&doc) + 1);
	see(r, text);
	assert_string_equal(mf_engine_issuer_state(r->e), "foreign");
	see(r, "{\"keys\":[1]}");
	assert_string_equal(mf_engine_issuer_state(r->e), "foreign");
	/* Another issuer's documents. */
	char *mine = copy(r);
	mf_rig_advance(r, 61000);
	answer_with(r, "", "{\"issuer\":\"" ISSUER "/\"}", mine);
	assert_string_equal(mf_engine_issuer_state(r->e), "foreign");
	see(r, mine);
	free(mine);
	assert_string_equal(mf_engine_issuer_state(r->e), "same");
	assert_null(mf_engine_issuer_why_not(r->e, ISSUER));
	mf_rig_free(r);
}

/* It cannot be read, or is no document: nothing is activated, and what signs goes on. */
static void
test_away(void **state)
{
	MF_UNUSED(state);
	static const char *const bad[] = { "", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[}" };
	struct rig *r = begin();
	prepare(r, 5);
	mf_rig_advance(r, 3600000);
	answer_with(r, "transient", "", "");
	assert_string_equal(mf_engine_issuer_state(r->e), "away");
	mf_rig_assert_error(mf_rig_activate_key(r, RS, false), "cannot be read");
	assert_null(mf_engine_issuer_why_not(r->e, ISSUER));
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		see(r, bad[i]);
		assert_string_equal(mf_engine_issuer_state(r->e), "away");
		mf_rig_assert_error(mf_rig_activate_key(r, RS, false), "OIDC documents");
		mf_rig_advance(r, 2000);
		if (r->fetch_id != 0)
			answer_with(r, "transient", "", "");
	}
	/* A courier that never answers is asked again; an answer that comes too late changes nothing. */
	mf_rig_advance(r, 61000);
	uint64_t old = r->fetch_id;
	assert_true(old != 0);
	mf_rig_advance(r, 91000);
	assert_true(r->fetch_id > old);
	uint64_t fresh = r->fetch_id;
	r->fetch_id = old;
	answer_with(r, "", discovery, "{\"keys\":[]}");
	assert_string_equal(mf_engine_issuer_state(r->e), "away");
	r->fetch_id = fresh;
	char *mine = copy(r);
	answer_with(r, "", discovery, mine);
	free(mine);
	assert_string_equal(mf_engine_issuer_state(r->e), "same");
	mf_rig_free(r);
}

/* Where nobody is to look, nothing waits for it. */
static void
test_unwatched(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	prepare(r, 6);
	mf_rig_advance(r, 3600000);
	assert_int_equal(r->fetch_id, 0);
	(void)mf_rig_activate_key(r, RS, false);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_key_state(r, spare(6)), MF_KEY_ACTIVE);
	assert_string_equal(mf_engine_issuer_state(r->e), "");
	mf_rig_free(r);
}

/* What stops is the minting itself. */
static void
test_mint(void **state)
{
	MF_UNUSED(state);
	static struct rig_cloud cloud;
	static struct rig_job job;
	assert_int_equal(mf_jws_key_generate(MF_JWS_RS256, &mf_rig_assertion_key, NULL), MF_OK);
	mf_rig_watch_issuer = "https://issuer.example";
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	mf_rig_watch_issuer = NULL;
	mf_rig_advance(r, 61000);
	static const char same[] = "{\"issuer\":\"https://issuer.example\"}";
	answer_with(r, "", same, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\",\"kid\":\"x\"}]}");
	uint64_t req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	assert_int_equal(cloud.asked_in_all, 0);
	assert_int_equal(mf_rig_refusal(r, 1, req), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	assert_non_null(strstr(mf_rig_answer(r, 1, req)->refusal->reason, "not ours"));
	mf_rig_advance(r, 61000);
	answer_with(r, "", same, r->oidc_jwks);
	(void)mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	mf_rig_settle(r);
	assert_int_equal(cloud.asked_in_all, 1);
	mf_rig_cloud_free(r);
	mf_jws_key_free(mf_rig_assertion_key);
	mf_rig_assertion_key = NULL;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_rig_free_spares();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_force),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_away),
		cmocka_unit_test(test_unwatched),
		cmocka_unit_test(test_mint),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
