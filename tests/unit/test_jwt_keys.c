/* The three sets of JWT keys: what init makes, what a start mends, what their files refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"
#include "broker/core/key_use.h"
#include "broker/keys/jwt_keys.h"
#include "crypto/hash.h"
#include "store_kit.h"

static size_t
count(const struct mf_jwt_keys *keys, enum mf_jwt_set set)
{
	size_t n = 0;
	for (const struct mf_jwt_key *k = mf_jwt_keys_next(keys, set, NULL); k != NULL;
	     k = mf_jwt_keys_next(keys, set, k))
		n++;
	return n;
}

static void
test_init_makes_three_sets(void **state)
{
	MF_UNUSED(state);
	struct store_kit k;
	char names[16][32];
	mf_store_kit_init(&k);
	const struct mf_jwt_keys *keys = k.keys->jwt;
	assert_int_equal(count(keys, MF_JWT_SVID), 2);
	assert_int_equal(count(keys, MF_JWT_ASSERTION), 2);
	assert_int_equal(count(keys, MF_JWT_SELFSERVE), 1);
	const struct mf_jwt_key *es = mf_jwt_keys_next(keys, MF_JWT_SVID, NULL);
	assert_int_equal(es->alg, MF_JWS_ES256);
	assert_int_equal(mf_jwt_keys_next(keys, MF_JWT_SVID, es)->alg, MF_JWS_RS256);
	/* No key is in two sets. */
	const struct mf_jwt_key *a = mf_jwt_keys_next(keys, MF_JWT_ASSERTION, NULL);
	assert_non_null(a);
	assert_null(mf_jwt_keys_find(keys, MF_JWT_SVID, mf_slice_str(a->kid)));
	assert_null(mf_jwt_keys_find(keys, MF_JWT_SELFSERVE, mf_slice_str(a->kid)));
	assert_ptr_equal(mf_jwt_keys_find(keys, MF_JWT_ASSERTION, mf_slice_str(a->kid)), a);
	assert_int_equal(mf_store_kit_list(&k, "keys", strlen("jwt-svid.1.key"), names, 16), 2);
	/* RFC 7638: the id is the hash of what the record says of the key. */
	uint8_t sha[32];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 64);
	mf_sha256(mf_buf_slice(&a->jwk), sha);
	mf_base64url_put(&b, mf_slice(sha, sizeof(sha)));
	assert_string_equal(mf_buf_cstr(&b), a->kid);
	mf_store_kit_fini(&k);
}

/* Every use of a JWT has one place, and nothing else has. */
static void
test_uses(void **state)
{
	MF_UNUSED(state);
	unsigned seen = 0;
	for (size_t i = 0; i < MF_KEY_USES; i++) {
		enum mf_jwt_set set;
		enum mf_jws_alg alg;
		bool needed;
		const struct mf_key_use *use = mf_key_use_at(i);
		assert_ptr_equal(mf_key_use_find(mf_slice_str(use->name)), use);
		if (!mf_jwt_use(use->name, &set, &alg, &needed)) {
			assert_string_equal(use->name, MF_KEY_USE_X509);
			continue;
		}
		assert_int_equal(set == MF_JWT_SVID, use->bundle == MF_KEY_IN_JWT);
		assert_int_equal(set == MF_JWT_ASSERTION, use->bundle == MF_KEY_IN_OIDC);
		assert_string_equal(use->alg, alg == MF_JWS_ES256 ? "ES256" : "RS256");
		assert_int_equal(needed, set != MF_JWT_SELFSERVE || alg == MF_JWS_ES256);
		seen |= 1u << (2 * (unsigned)set + (alg == MF_JWS_RS256));
	}
	assert_int_equal(seen, 0x3f);
	assert_null(mf_key_use_find(MF_SLICE_LIT("jwt-svid")));
}

static void
test_list(void **state)
{
	MF_UNUSED(state);
	struct store_kit k;
	struct mf_err err = { 0 };
	MF_AUTO(mf_kek_free) struct mf_kek *kek = mf_store_kit_kek(1);
	mf_store_kit_init(&k);
	struct mf_jwt_keys *keys = k.keys->jwt;
	char old[MF_JWS_KID_SIZE], next[MF_JWS_KID_SIZE], name[MF_JWT_FILE_NAME];
	struct mf_jwt_order o = { MF_JWT_SVID, MF_JWS_ES256, 0 };
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *made = NULL;
	(void)snprintf(old, sizeof(old), "%s", mf_jwt_keys_next(keys, MF_JWT_SVID, NULL)->kid);
	assert_int_equal(mf_jwt_keys_number(keys, MF_JWT_SVID, &o.number, &err), MF_OK);
	assert_int_equal(o.number, 3);
	assert_int_equal(mf_jwt_key_make(&o, STORE_KIT_BROKER, kek, k.keys_fd, &made, &err), MF_OK);
	(void)snprintf(next, sizeof(next), "%s", mf_jws_key_kid(made));
	/* A number is given once: a file is never overwritten. */
	struct mf_jws_key *again_key = NULL;
	assert_int_equal(
	    mf_jwt_key_make(&o, STORE_KIT_BROKER, kek, k.keys_fd, &again_key, &err), MF_E_EXISTS);
	assert_null(mf_jwt_keys_find(keys, MF_JWT_SVID, mf_slice_str(next)));
	assert_int_equal(mf_jwt_keys_take(keys, MF_JWT_SVID, o.number, &made, &err), MF_OK);
	const struct mf_jwt_key *taken = mf_jwt_keys_find(keys, MF_JWT_SVID, mf_slice_str(next));
	assert_true(taken != NULL && taken->stored && taken->number == 3);
	mf_jwt_key_file(MF_JWT_SVID, taken, name);
	assert_string_equal(name, "jwt-svid.3.key");
	MF_AUTO(mf_jwt_keys_free) struct mf_jwt_keys *again = NULL;
	assert_int_equal(mf_jwt_keys_load(STORE_KIT_BROKER, kek, k.keys_fd, &again, &err), MF_OK);
	assert_int_equal(count(again, MF_JWT_SVID), 3);
	assert_string_equal(mf_jwt_keys_next(again, MF_JWT_SVID, NULL)->kid, old);
	assert_int_equal(mf_jwt_keys_remove(keys, MF_JWT_SVID, old, k.keys_fd, &err), MF_OK);
	assert_int_equal(mf_jwt_keys_remove(keys, MF_JWT_SVID, old, k.keys_fd, &err), MF_OK);
	assert_int_equal(faccessat(k.keys_fd, "jwt-svid.1.key", F_OK, 0), -1);
	mf_store_kit_fini(&k);
}

/* A file that was renamed to serve another set, another broker or as a second copy does not open. */
static void
test_hostile_files(void **state)
{
	MF_UNUSED(state);
	struct store_kit k;
	struct mf_err err = { 0 };
	struct mf_jwt_keys *const untouched = (void *)&err, *got = untouched;
	struct mf_buf svid, assertion;
	MF_AUTO(mf_kek_free) struct mf_kek *kek = mf_store_kit_kek(1);
	mf_store_kit_init(&k);
	assert_int_not_equal(mf_jwt_keys_load("b2", kek, k.keys_fd, &got, &err), MF_OK);
	mf_store_kit_read(&k, "keys/jwt-svid.1.key", &svid);
	mf_store_kit_read(&k, "keys/jwt-assertion.1.key", &assertion);
	mf_store_kit_write(&k, "keys/jwt-svid.1.key", mf_buf_slice(&assertion));
	assert_int_not_equal(mf_jwt_keys_load(STORE_KIT_BROKER, kek, k.keys_fd, &got, &err), MF_OK);
	assert_non_null(strstr(err.msg, "keys/jwt-svid.1.key"));
	mf_store_kit_write(&k, "keys/jwt-svid.1.key", mf_buf_slice(&svid));
	mf_store_kit_write(&k, "keys/jwt-svid.9.key", mf_buf_slice(&svid));
	assert_int_equal(mf_jwt_keys_load(STORE_KIT_BROKER, kek, k.keys_fd, &got, &err), MF_E_CORRUPT);
	assert_int_equal(unlinkat(k.keys_fd, "jwt-svid.9.key", 0), 0);
	/* Torn: a start refuses, it does not go on with fewer keys. */
	mf_store_kit_write(&k, "keys/jwt-svid.2.key", mf_slice_sub(mf_buf_slice(&svid), 0, svid.n / 2));
	assert_int_not_equal(mf_jwt_keys_load(STORE_KIT_BROKER, kek, k.keys_fd, &got, &err), MF_OK);
	assert_ptr_equal(got, untouched);
	/* Other names are not ours: a copy that somebody keeps beside it, another spelling of a number. */
	assert_int_equal(unlinkat(k.keys_fd, "jwt-svid.2.key", 0), 0);
	mf_store_kit_write(&k, "keys/jwt-svid.01.key", mf_buf_slice(&svid));
	mf_store_kit_write(&k, "keys/jwt-svid.1.key.bak", mf_buf_slice(&svid));
	mf_store_kit_write(&k, "keys/jwt-other.1.key", mf_buf_slice(&svid));
	assert_int_equal(mf_jwt_keys_load(STORE_KIT_BROKER, kek, k.keys_fd, &got, &err), MF_OK);
	assert_int_equal(count(got, MF_JWT_SVID), 1);
	mf_jwt_keys_free(got);
	mf_buf_fini(&svid);
	mf_buf_fini(&assertion);
	mf_store_kit_fini(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_makes_three_sets),
		cmocka_unit_test(test_uses),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_hostile_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
