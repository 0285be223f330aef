#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "codec/svid_key.h"
#include "crypto/p256.h"
#include "x509_ref.h"

#define NOW INT64_C(1795000000)

static void
pkcs8_of(EVP_PKEY *pkey, struct mf_buf *to)
{
	uint8_t *der = NULL;
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
	int n = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
	assert_true(n > 0);
	mf_buf_init(to, 16384);
	mf_buf_put(to, der, (size_t)n);
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(info);
}

static void
cert_of(EVP_PKEY *pkey, const EVP_MD *md, struct mf_buf *to)
{
	struct ref_cert c = { .key = pkey,
		.org = "x",
		.not_before_s = NOW,
		.not_after_s = NOW + 9,
		.uri = { "spiffe://td/a" },
		.ku = 1,
		.pathlen = -1,
		.md = md };
	X509 *x = mf_ref_cert(&c);
	mf_buf_init(to, MF_LIM_CERT_DER);
	mf_ref_der(x, to);
	X509_free(x);
}

static void
good(EVP_PKEY *pkey, const EVP_MD *md, const struct mf_buf *other_cert)
{
	MF_AUTO(mf_svid_key_free) struct mf_svid_key *key = NULL;
	struct mf_buf der, cert;
	assert_non_null(pkey);
	pkcs8_of(pkey, &der);
	cert_of(pkey, md, &cert);
	assert_int_equal(mf_svid_key_new(mf_buf_slice(&der), &key, NULL), MF_OK);
	assert_true(mf_slice_eq(mf_svid_key_pkcs8(key), mf_buf_slice(&der)));
	assert_int_equal(EVP_PKEY_eq(mf_svid_key_evp(key), pkey), 1);
	assert_int_equal(mf_svid_key_fits(key, mf_buf_slice(&cert), NULL), MF_OK);
	assert_int_equal(mf_svid_key_fits(key, mf_buf_slice(other_cert), NULL), MF_E_INVALID);
	mf_buf_put_u8(&cert, 0);
	assert_int_equal(mf_svid_key_fits(key, mf_buf_slice(&cert), NULL), MF_E_INVALID);
	assert_int_equal(mf_svid_key_fits(key, mf_slice(NULL, 0), NULL), MF_E_INVALID);
	assert_int_equal(ERR_peek_error(), 0);
	mf_buf_fini(&der);
	mf_buf_fini(&cert);
	EVP_PKEY_free(pkey);
}

/* W-11 */
static void
test_kinds(void **state)
{
	MF_UNUSED(state);
	EVP_PKEY *other = mf_ref_key();
	struct mf_buf other_cert;
	cert_of(other, NULL, &other_cert);
	good(EVP_EC_gen("P-256"), NULL, &other_cert);
	good(EVP_EC_gen("P-384"), NULL, &other_cert);
	good(EVP_EC_gen("P-521"), NULL, &other_cert);
	good(EVP_RSA_gen(2048), NULL, &other_cert);
	mf_buf_fini(&other_cert);
	EVP_PKEY_free(other);
}

static enum mf_status
refused(EVP_PKEY *pkey)
{
	struct mf_svid_key *key = NULL;
	struct mf_buf der;
	assert_non_null(pkey);
	pkcs8_of(pkey, &der);
	enum mf_status s = mf_svid_key_new(mf_buf_slice(&der), &key, NULL);
	if (s == MF_OK)
		mf_svid_key_free(key);
	mf_buf_fini(&der);
	EVP_PKEY_free(pkey);
	assert_int_equal(ERR_peek_error(), 0);
	return s;
}

static void
test_other_kinds(void **state)
{
	MF_UNUSED(state);
	assert_int_equal(refused(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")), MF_OK);
	assert_int_equal(refused(EVP_RSA_gen(1024)), MF_E_UNSUPPORTED);
	assert_int_equal(refused(EVP_EC_gen("secp256k1")), MF_E_UNSUPPORTED);
	assert_int_equal(refused(EVP_EC_gen("P-224")), MF_E_UNSUPPORTED);
	assert_int_equal(refused(EVP_PKEY_Q_keygen(NULL, NULL, "X25519")), MF_E_UNSUPPORTED);
}

static void
test_bad_bytes(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *a = NULL, *b = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *da = NULL, *db = NULL;
	struct mf_svid_key *key = NULL;
	struct mf_err err = { 0 };
	assert_int_equal(mf_p256_generate(&a, NULL), MF_OK);
	assert_int_equal(mf_p256_generate(&b, NULL), MF_OK);
	assert_int_equal(mf_p256_to_pkcs8(a, &da, NULL), MF_OK);
	assert_int_equal(mf_p256_to_pkcs8(b, &db, NULL), MF_OK);
	struct mf_slice s = mf_secret_slice(da);
	for (size_t n = 0; n < s.n; n++)
		assert_int_equal(mf_svid_key_new(mf_slice(s.p, n), &key, &err), MF_E_INVALID);
	struct mf_buf longer;
	mf_buf_init(&longer, MF_LIM_KEY_DER + 1);
	mf_buf_put_slice(&longer, s);
	mf_buf_put_u8(&longer, 0);
	assert_int_equal(mf_svid_key_new(mf_buf_slice(&longer), &key, &err), MF_E_INVALID);
	assert_non_null(mf_buf_extend(&longer, MF_LIM_KEY_DER + 1 - longer.n));
	assert_int_equal(mf_svid_key_new(mf_buf_slice(&longer), &key, &err), MF_E_TOOBIG);
	/* The scalar of one key with the point of another: both lie at fixed places. */
	mf_buf_reset(&longer);
	mf_buf_put_slice(&longer, s);
	memcpy(longer.p + s.n - MF_P256_POINT_SIZE, mf_secret_bytes(db) + s.n - MF_P256_POINT_SIZE,
	    MF_P256_POINT_SIZE);
	assert_int_equal(mf_svid_key_new(mf_buf_slice(&longer), &key, &err), MF_E_INVALID);
	assert_int_equal(ERR_peek_error(), 0);
	assert_null(key);
	mf_buf_fini(&longer);
	mf_svid_key_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_bad_bytes),
	};
	return cmocka_run_group_tests_name("svid_key", tests, NULL, NULL);
}
