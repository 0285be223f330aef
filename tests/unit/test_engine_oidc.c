/*
 * The keys of assertions in the engine: in the OIDC documents and in no bundle, on disk before they sign, the signing one
 * first and alone in x5c; taken out of them when they are of no use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/json.h"
#include "engine_jobs.h"
#include "engine_keys.h"

#define RS MF_KEY_USE_ASSERTION_RS256
#define ES "jwt-assertion-es256"

static const char *
spare(unsigned i)
{
	return mf_jws_key_kid(mf_rig_spare_jwt(i));
}

/* Its place in the documents, from 0; -1: it is not there. */
static int
place(const struct rig *r, const char *kid)
{
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	int found = -1;
	if (r->oidc_jwks == NULL)
		return -1;
	assert_int_equal(mf_json_parse(mf_slice_str(r->oidc_jwks), 0, &doc, NULL), MF_OK);
	const struct mf_json_value *keys = mf_json_get(mf_json_root(doc), "keys");
	for (size_t i = 0; i < mf_json_size(keys); i++) {
		const struct mf_json_value *k = mf_json_at(keys, i);
		struct mf_slice id, use = { 0 }, alg = { 0 };
		assert_true(mf_json_string(mf_json_get(k, "kid"), &id) &&
			    mf_json_string(mf_json_get(k, "use"), &use) &&
			    mf_json_string(mf_json_get(k, "alg"), &alg));
		assert_true(mf_slice_eq_str(use, "sig"));
		/* What providers take at an upload, and nothing else. */
		struct mf_json_iter it = mf_json_iter(k);
		struct mf_slice name;
		const struct mf_json_value *v;
		while (mf_json_next(&it, &name, &v)) {
			char word[16];
			(void)snprintf(word, sizeof(word), " %.*s ", (int)name.n, (const char *)name.p);
			assert_non_null(strstr(" kty alg use kid n e crv x y ", word));
		}
		found = mf_slice_eq_str(id, kid) ? (int)i : found;
	}
	return found;
}

static void
prepare(struct rig *r, const char *use, unsigned i)
{
	mf_rig_ask_prepare(r, use);
	mf_rig_jwt_made(r, i, true);
	mf_rig_commit(r);
	assert_non_null(r->reply);
	assert_string_equal(r->reply->error, "");
}

static void
activate(struct rig *r, const char *use)
{
	mf_rig_advance(r, 3600000);
	(void)mf_rig_activate_key(r, use, false);
	mf_rig_commit(r);
	assert_non_null(r->reply);
	assert_string_equal(r->reply->error, "");
}

static void
test_life(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	uint64_t jwt_number = r->jwt_number, bundle = r->bundle_number;
	prepare(r, RS, 1);
	assert_non_null(strstr(r->reply->key->note, "oidc export"));
	assert_int_equal(place(r, spare(1)), 0);
	assert_string_equal(r->oidc_x5c, "");
	mf_rig_assert_error(mf_rig_activate_key(r, RS, false), "key_publish");
	activate(r, RS);
	assert_string_equal(r->oidc_x5c, spare(1));
	prepare(r, ES, 2);
	prepare(r, RS, 3);
	/* Known before it signs: beside the one that does, which stays first and alone in x5c. */
	assert_int_equal(place(r, spare(1)), 0);
	assert_true(place(r, spare(2)) > 0 && place(r, spare(3)) > 0);
	assert_string_equal(r->oidc_x5c, spare(1));
	activate(r, RS);
	assert_int_equal(place(r, spare(3)), 0);
	assert_string_equal(r->oidc_x5c, spare(3));
	/* Providers may hold what they read: the old one stays for an hour. */
	assert_true(place(r, spare(1)) > 0);
	mf_rig_advance(r, 3500000);
	mf_rig_commit(r);
	assert_true(place(r, spare(1)) > 0);
	mf_rig_advance(r, 200000);
	mf_rig_commit(r);
	assert_int_equal(place(r, spare(1)), -1);
	assert_int_equal(mf_rig_key_state(r, spare(1)), MF_KEY_GONE);
	/* No agent and no verifier of SVIDs heard of any of it. */
	assert_int_equal(r->jwt_number, jwt_number);
	assert_int_equal(r->bundle_number, bundle);
	mf_rig_free(r);
}

/* A key whose documents are not on disk is not activated, by force neither. */
static void
test_disk(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	r->oidc_hold = true;
	prepare(r, RS, 4);
	assert_false(r->reply->key->key->activation[0] == '\0');
	mf_rig_advance(r, 3600000);
	mf_rig_assert_error(mf_rig_activate_key(r, RS, false), "not on disk yet");
	mf_rig_assert_error(mf_rig_activate_key(r, RS, true), "not on disk yet");
	mf_engine_oidc_written(r->e, r->oidc_number);
	(void)mf_rig_activate_key(r, RS, false);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_key_state(r, spare(4)), MF_KEY_ACTIVE);
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

/* Whoever revokes a key has it out of the documents with the record; and a restart writes the same. */
static void
test_revoked(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	prepare(r, RS, 5);
	activate(r, RS);
	prepare(r, RS, 6);
	activate(r, RS);
	(void)mf_rig_take_key_away(r, spare(5), false);
	mf_rig_commit(r);
	assert_true(place(r, spare(5)) > 0);
	uint64_t number = r->oidc_number;
	(void)mf_rig_take_key_away(r, spare(5), true);
	mf_rig_commit(r);
	assert_int_equal(place(r, spare(5)), -1);
	assert_true(r->oidc_number > number);
	number = r->oidc_number;
	uint64_t revision = r->oidc_revision;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf before;
	mf_buf_init(&before, 65536);
	mf_buf_put_str(&before, r->oidc_jwks);
	mf_rig_crash(r);
	assert_true(mf_slice_eq_str(mf_buf_slice(&before), r->oidc_jwks));
	assert_int_equal(r->oidc_number, number);
	assert_int_equal(r->oidc_revision, revision);
	assert_string_equal(r->oidc_x5c, spare(6));
	/* Distrusted until what it signed is dead, two minutes later: then forgotten. */
	mf_rig_advance(r, 130000);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_key_state(r, spare(5)), MF_KEY_GONE);
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
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
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_disk),
		cmocka_unit_test(test_revoked),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
