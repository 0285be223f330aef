#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>

#include "base/rand.h"
#include "crypto/hash.h"
#include "crypto/p256.h"

/* Our template writer against libcrypto's encoder, byte for byte, and back. */
static void
test_pkcs8_round_trip(void **state)
{
	MF_UNUSED(state);
	for (int i = 0; i < 200; i++) {
		MF_AUTO(mf_p256_key_free) struct mf_p256_key *k = NULL, *again = NULL;
		MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
		assert_int_equal(mf_p256_generate(&k, NULL), MF_OK);
		assert_int_equal(mf_p256_to_pkcs8(k, &der, NULL), MF_OK);
		PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(mf_p256_evp(k));
		uint8_t *want = NULL;
		int n = i2d_PKCS8_PRIV_KEY_INFO(p8, &want);
		assert_int_equal(n, MF_P256_PKCS8_SIZE);
		assert_memory_equal(mf_secret_bytes(der), want, MF_P256_PKCS8_SIZE);
		OPENSSL_free(want);
		PKCS8_PRIV_KEY_INFO_free(p8);

		assert_int_equal(mf_p256_from_pkcs8(mf_secret_slice(der), &again, NULL), MF_OK);
		uint8_t a[MF_P256_POINT_SIZE], b[MF_P256_POINT_SIZE];
		mf_p256_public(k, a);
		mf_p256_public(again, b);
		assert_memory_equal(a, b, sizeof(a));
		assert_int_equal(mf_p256_point_check(mf_slice(a, sizeof(a)), NULL), MF_OK);
		assert_int_equal(EVP_PKEY_eq(mf_p256_evp(k), mf_p256_evp(again)), 1);
	}
}

static void
test_pkcs8_refused(void **state)
{
	MF_UNUSED(state);
	/* the order n of P-256 */
	static const uint8_t order[32] = { 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2,
		0xfc, 0x63, 0x25, 0x51 };
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *k = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
	assert_int_equal(mf_p256_generate(&k, NULL), MF_OK);
	assert_int_equal(mf_p256_to_pkcs8(k, &der, NULL), MF_OK);
	uint8_t *p = mf_secret_bytes(der), keep[MF_P256_PKCS8_SIZE];
	memcpy(keep, p, sizeof(keep));
	struct mf_p256_key *const untouched = (void *)(uintptr_t)1, *got = untouched;
	struct mf_err err = { 0 };
	for (size_t i = 0; i < MF_P256_PKCS8_SIZE; i++) { /* every byte counts: template, scalar, point */
		p[i] ^= 1;
		assert_int_equal(mf_p256_from_pkcs8(mf_secret_slice(der), &got, &err), MF_E_INVALID);
		p[i] ^= 1;
		assert_int_equal(mf_p256_from_pkcs8(mf_slice(p, i), &got, NULL), MF_E_INVALID);
	}
	memset(p + 36, 0, 32);
	assert_int_equal(mf_p256_from_pkcs8(mf_secret_slice(der), &got, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "p256 key: the private scalar is out of range");
	memcpy(p + 36, order, 32);
	assert_int_equal(mf_p256_from_pkcs8(mf_secret_slice(der), &got, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "p256 key: the private scalar is out of range");
	memcpy(p, keep, sizeof(keep));
	p[36 + 31] ^= 1;
	assert_int_equal(mf_p256_from_pkcs8(mf_secret_slice(der), &got, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "p256 key: the public key is not the private key's");
	assert_ptr_equal(got, untouched);
	mf_wipe(keep, sizeof(keep));
}

static void
test_point_check(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *k = NULL;
	uint8_t pt[MF_P256_POINT_SIZE + 1] = { 0 };
	assert_int_equal(mf_p256_generate(&k, NULL), MF_OK);
	mf_p256_public(k, pt);
	struct mf_slice s = mf_slice(pt, MF_P256_POINT_SIZE);
	assert_int_equal(mf_p256_point_check(s, NULL), MF_OK);
	assert_int_equal(mf_p256_point_check(mf_slice(pt, MF_P256_POINT_SIZE + 1), NULL), MF_E_INVALID);
	assert_int_equal(mf_p256_point_check(mf_slice(pt, 33), NULL), MF_E_INVALID);
	assert_int_equal(mf_p256_point_check(mf_slice(pt, 0), NULL), MF_E_INVALID);
	for (int form = 0; form < 256; form++) { /* hybrid, compressed, infinity: only 04 */
		pt[0] = (uint8_t)form;
		assert_int_equal(mf_p256_point_check(s, NULL), form == 4 ? MF_OK : MF_E_INVALID);
	}
	pt[0] = 4;
	pt[64] ^= 1; /* off the curve: the invalid-curve attack */
	assert_int_equal(mf_p256_point_check(s, NULL), MF_E_INVALID);
	memset(pt + 1, 0, 64);
	assert_int_equal(mf_p256_point_check(s, NULL), MF_E_INVALID);
	memset(pt + 1, 0xff, 64); /* coordinates not in the field */
	assert_int_equal(mf_p256_point_check(s, NULL), MF_E_INVALID);
}

static void
test_sign_verify(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *k = NULL;
	MF_AUTO(mf_p256_signer_free) struct mf_p256_signer *s = NULL;
	uint8_t digest[32], pt[MF_P256_POINT_SIZE], raw[MF_P256_SIG_RAW_SIZE];
	assert_int_equal(mf_p256_generate(&k, NULL), MF_OK);
	assert_int_equal(mf_p256_signer_new(k, &s, NULL), MF_OK);
	mf_p256_public(k, pt);
	mf_p256_key_free(MF_TAKE(k)); /* the signer has its own */
	struct mf_slice point = mf_slice(pt, sizeof(pt));
	for (int i = 0; i < 300; i++) {
		struct mf_buf sig;
		mf_buf_init(&sig, MF_P256_SIG_MAX);
		mf_rand_bytes(digest, sizeof(digest));
		assert_int_equal(mf_p256_sign_digest(s, digest, &sig, NULL), MF_OK);
		assert_int_equal(mf_p256_verify_digest(point, digest, mf_buf_slice(&sig), NULL), MF_OK);

		/* raw form against libcrypto's own decoding */
		const uint8_t *in = sig.p;
		ECDSA_SIG *es = d2i_ECDSA_SIG(NULL, &in, (long)sig.n);
		uint8_t want[MF_P256_SIG_RAW_SIZE];
		assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(es), want, 32), 32);
		assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(es), want + 32, 32), 32);
		ECDSA_SIG_free(es);
		assert_int_equal(mf_p256_sig_to_raw(mf_buf_slice(&sig), raw, NULL), MF_OK);
		assert_memory_equal(raw, want, sizeof(raw));

		struct mf_err err = { 0 };
		digest[i % 32] ^= 1;
		assert_int_equal(
		    mf_p256_verify_digest(point, digest, mf_buf_slice(&sig), &err), MF_E_INVALID);
		assert_non_null(strstr(err.msg, "does not verify"));
		mf_buf_fini(&sig);
	}
	struct mf_buf small; /* a full buffer is an error, not a short signature */
	mf_buf_init(&small, 10);
	assert_int_equal(mf_p256_sign_digest(s, digest, &small, NULL), MF_E_TOOBIG);
	mf_buf_fini(&small);
}

static void
test_sig_to_raw_strict(void **state)
{
	MF_UNUSED(state);
	static const struct {
		struct mf_slice der;
		bool ok;
	} cases[] = {
#define C(lit, good) { { (const uint8_t *)(lit), sizeof(lit) - 1 }, good }
		C("\x30\x06\x02\x01\x01\x02\x01\x7f", true),
		C("\x30\x07\x02\x02\x00\x80\x02\x01\x01", true),
		C("", false),
		C("\x31\x06\x02\x01\x01\x02\x01\x7f", false),
		C("\x30\x06\x02\x01\x00\x02\x01\x7f", false),	  /* r = 0 */
		C("\x30\x06\x02\x01\x81\x02\x01\x7f", false),	  /* negative */
		C("\x30\x07\x02\x02\x00\x01\x02\x01\x7f", false), /* padded without need */
		C("\x30\x06\x02\x01\x01\x02\x01\x7f\x00", false), /* trailing byte */
		C("\x30\x07\x02\x01\x01\x02\x01\x7f\x00", false), /* trailing byte inside */
		C("\x30\x81\x06\x02\x01\x01\x02\x01\x7f", false), /* length not minimal */
		C("\x30\x05\x02\x00\x02\x01\x7f", false),	  /* empty integer */
		C("\x30\x06\x02\x02\x01\x02\x01\x7f", false),
		C("\x30\x03\x02\x01\x01", false),
#undef C
	};
	uint8_t raw[MF_P256_SIG_RAW_SIZE];
	for (size_t i = 0; i < MF_COUNT(cases); i++)
		assert_int_equal(
		    mf_p256_sig_to_raw(cases[i].der, raw, NULL), cases[i].ok ? MF_OK : MF_E_INVALID);
	uint8_t big[40] = { 0x30, 38, 0x02, 33, 0x01 }; /* 33 significant bytes */
	big[37] = 0x02, big[38] = 1, big[39] = 1;
	assert_int_equal(mf_p256_sig_to_raw(mf_slice(big, sizeof(big)), raw, NULL), MF_E_INVALID);
	big[4] = 0, big[5] = 0x80;
	assert_int_equal(mf_p256_sig_to_raw(mf_slice(big, sizeof(big)), raw, NULL), MF_OK);
}

struct sign_job {
	const struct mf_p256_key *key;
	bool bad;
};

static void *
sign_thread(void *arg)
{
	struct sign_job *job = arg;
	MF_AUTO(mf_p256_signer_free) struct mf_p256_signer *s = NULL;
	uint8_t pt[MF_P256_POINT_SIZE], digest[32];
	job->bad = true;
	if (mf_p256_signer_new(job->key, &s, NULL) != MF_OK)
		return NULL;
	mf_p256_public(job->key, pt);
	for (int i = 0; i < 100; i++) {
		struct mf_buf sig;
		mf_buf_init(&sig, MF_P256_SIG_MAX);
		mf_sha256(mf_slice(&i, sizeof(i)), digest);
		bool ok = mf_p256_sign_digest(s, digest, &sig, NULL) == MF_OK &&
			  mf_p256_verify_digest(mf_slice(pt, sizeof(pt)), digest, mf_buf_slice(&sig), NULL) ==
			      MF_OK;
		mf_buf_fini(&sig);
		if (!ok)
			return NULL;
	}
	job->bad = false;
	return NULL;
}

static void
test_signers_in_threads(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *k = NULL;
	assert_int_equal(mf_p256_generate(&k, NULL), MF_OK);
	pthread_t t[4];
	struct sign_job jobs[4];
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		jobs[i] = (struct sign_job) { .key = k };
		assert_int_equal(pthread_create(&t[i], NULL, sign_thread, &jobs[i]), 0);
	}
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_false(jobs[i].bad);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pkcs8_round_trip),
		cmocka_unit_test(test_pkcs8_refused),
		cmocka_unit_test(test_point_check),
		cmocka_unit_test(test_sign_verify),
		cmocka_unit_test(test_sig_to_raw_strict),
		cmocka_unit_test(test_signers_in_threads),
	};
	return cmocka_run_group_tests_name("p256", tests, NULL, NULL);
}
