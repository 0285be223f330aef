/* Keys that sign JWTs and keys that verify them, against libcrypto's own calls and RFC 7515's examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "crypto/jws_key.h"
#include "crypto/jws_pub.h"

static struct mf_buf
b64(const char *text)
{
	struct mf_buf b;
	mf_buf_init(&b, 4096);
	assert_int_equal(mf_base64url_get(mf_slice_str(text), &b, NULL), MF_OK);
	return b;
}

static struct mf_jws_pub *
pub_of(const struct mf_jws_key *k)
{
	struct mf_jws_public p = mf_jws_key_public(k);
	struct mf_jws_pub *pub = NULL;
	if (p.alg == MF_JWS_ES256)
		assert_int_equal(mf_jws_pub_ec(MF_JWS_P256, mf_slice_sub(p.point, 1, 32),
				     mf_slice_sub(p.point, 33, 32), &pub, NULL),
		    MF_OK);
	else
		assert_int_equal(mf_jws_pub_rsa(p.n, p.e, &pub, NULL), MF_OK);
	return pub;
}

static void
test_names(void **state)
{
	MF_UNUSED(state);
	enum mf_jws_alg alg;
	for (unsigned i = 0; i < MF_JWS_ALGS; i++) {
		assert_true(mf_jws_alg_parse(mf_slice_str(mf_jws_alg_name((enum mf_jws_alg)i)), &alg));
		assert_int_equal(alg, i);
	}
	/* JWT-3: compared by bytes; no none, no HMAC, no curve that is not in the table. */
	static const char *const bad[] = { "", "none", "None", "HS256", "HS512", "EdDSA", "ES256K", "es256",
		"rs256", "RS256 ", "RS1", "PS257", "ES256\n" };
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_false(mf_jws_alg_parse(mf_slice_str(bad[i]), &alg));
	assert_false(mf_jws_alg_parse(mf_slice("ES256\0", 6), &alg));
	assert_string_equal(mf_jws_alg_name(MF_JWS_ALGS), "unknown");
}

static void
round_trip(enum mf_jws_alg alg, size_t sig_size)
{
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *k = NULL, *again = NULL, *other = NULL;
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sig;
	struct mf_slice input = MF_SLICE_LIT("header.payload");
	mf_buf_init(&sig, MF_JWS_SIG_MAX);
	assert_int_equal(mf_jws_key_generate(alg, &k, NULL), MF_OK);
	assert_int_equal(mf_jws_key_generate(alg, &other, NULL), MF_OK);
	assert_int_equal(mf_jws_key_to_pkcs8(k, &der, NULL), MF_OK);
	assert_int_equal(mf_jws_key_from_pkcs8(mf_secret_slice(der), &again, NULL), MF_OK);
	assert_int_equal(mf_jws_key_alg(again), alg);
	assert_int_equal(strlen(mf_jws_key_kid(k)), MF_JWS_KID_SIZE - 1);
	assert_string_equal(mf_jws_key_kid(k), mf_jws_key_kid(again));
	assert_string_not_equal(mf_jws_key_kid(k), mf_jws_key_kid(other));

	assert_int_equal(mf_jws_signer_new(again, &signer, NULL), MF_OK);
	MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *pub = pub_of(k), *wrong = pub_of(other);
	for (int i = 0; i < 20; i++) { /* a signer serves many; r and s of every length */
		mf_buf_reset(&sig);
		assert_int_equal(mf_jws_sign(signer, input, &sig, NULL), MF_OK);
		assert_int_equal(sig.n, sig_size);
		assert_int_equal(mf_jws_pub_verify(pub, alg, input, mf_buf_slice(&sig), NULL), MF_OK);
	}
	assert_int_equal(mf_jws_pub_verify(wrong, alg, input, mf_buf_slice(&sig), NULL), MF_E_INVALID);
	assert_int_equal(
	    mf_jws_pub_verify(pub, alg, MF_SLICE_LIT("header.payloae"), mf_buf_slice(&sig), NULL),
	    MF_E_INVALID);
	for (size_t i = 0; i < sig.n; i += 7) {
		sig.p[i] ^= 0x10;
		assert_int_equal(mf_jws_pub_verify(pub, alg, input, mf_buf_slice(&sig), NULL), MF_E_INVALID);
		sig.p[i] ^= 0x10;
	}
	/* The algorithm follows from the key: no other one verifies with it, whatever the bytes. */
	for (unsigned a = 0; a < MF_JWS_ALGS; a++)
		if (a != alg)
			assert_int_equal(
			    mf_jws_pub_verify(pub, (enum mf_jws_alg)a, input, mf_buf_slice(&sig), NULL),
			    MF_E_INVALID);
	assert_false(mf_jws_pub_fits(pub, MF_JWS_ALGS));
	/* Every other length, the empty one too. */
	struct mf_slice s = mf_buf_slice(&sig);
	assert_int_equal(mf_jws_pub_verify(pub, alg, input, mf_slice_sub(s, 0, s.n - 1), NULL), MF_E_INVALID);
	assert_int_equal(mf_jws_pub_verify(pub, alg, input, mf_slice(NULL, 0), NULL), MF_E_INVALID);
	mf_buf_put_u8(&sig, 0);
	assert_int_equal(mf_jws_pub_verify(pub, alg, input, mf_buf_slice(&sig), NULL), MF_E_INVALID);
	/* A key file of another kind is no key. */
	uint8_t *p = mf_secret_bytes(der);
	p[0] ^= 1;
	struct mf_jws_key *const untouched = (void *)&sig, *got = untouched;
	assert_int_equal(mf_jws_key_from_pkcs8(mf_secret_slice(der), &got, NULL), MF_E_INVALID);
	assert_ptr_equal(got, untouched);
}

static void
test_es256(void **state)
{
	MF_UNUSED(state);
	round_trip(MF_JWS_ES256, 64);
}

static void
test_rs256(void **state)
{
	MF_UNUSED(state);
	round_trip(MF_JWS_RS256, 256);
}

static void
test_only_two_kinds_sign(void **state)
{
	MF_UNUSED(state);
	struct mf_jws_key *k = NULL;
	struct mf_err err = { 0 };
	assert_int_equal(mf_jws_key_generate(MF_JWS_ES512, &k, &err), MF_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "ES512"));
	assert_int_equal(mf_jws_key_from_pkcs8(MF_SLICE_LIT("no key"), &k, NULL), MF_E_INVALID);
	/* An RSA key that is shorter than JWA allows, whole and well formed. */
	EVP_PKEY *small = EVP_RSA_gen(1024);
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(small);
	uint8_t *der = NULL;
	int n = i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
	assert_true(n > 0);
	assert_int_equal(mf_jws_key_from_pkcs8(mf_slice(der, (size_t)n), &k, NULL), MF_E_INVALID);
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(p8);
	EVP_PKEY_free(small);
}

static void
test_shared(void **state)
{
	MF_UNUSED(state);
	struct mf_jws_key *k = NULL;
	assert_int_equal(mf_jws_key_generate(MF_JWS_ES256, &k, NULL), MF_OK);
	struct mf_jws_key *mine = mf_jws_key_ref(k);
	mf_jws_key_free(k);
	assert_int_equal(strlen(mf_jws_key_kid(mine)), 43); /* still there (ASan) */
	mf_jws_key_free(mine);
}

/* RFC 7515 A.3: somebody else's ES256. */
static void
test_rfc7515_a3(void **state)
{
	MF_UNUSED(state);
	static const char input[] =
	    "eyJhbGciOiJFUzI1NiJ9."
	    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9p"
	    "c19yb290Ijp0cnVlfQ";
	struct mf_buf
	    x = b64("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
	    y = b64("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
	    sig = b64("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU"
		      "1Q");
	MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *pub = NULL;
	assert_int_equal(mf_jws_pub_ec(MF_JWS_P256, mf_buf_slice(&x), mf_buf_slice(&y), &pub, NULL), MF_OK);
	assert_int_equal(
	    mf_jws_pub_verify(pub, MF_JWS_ES256, mf_slice_str(input), mf_buf_slice(&sig), NULL), MF_OK);
	mf_buf_fini(&x);
	mf_buf_fini(&y);
	mf_buf_fini(&sig);
}

/* E-4: r or s zero, r = s = n, and the DER form, which is what OpenSSL itself would take. W-14 */
static void
test_ecdsa_forms(void **state)
{
	MF_UNUSED(state);
	static const uint8_t order[32] = { 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2,
		0xfc, 0x63, 0x25, 0x51 };
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *k = NULL;
	assert_int_equal(mf_jws_key_generate(MF_JWS_ES256, &k, NULL), MF_OK);
	MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *pub = pub_of(k);
	uint8_t raw[64] = { 0 };
	struct mf_slice in = MF_SLICE_LIT("x"), sig = mf_slice(raw, sizeof(raw));
	assert_int_equal(
	    mf_jws_pub_verify(pub, MF_JWS_ES256, in, sig, NULL), MF_E_INVALID); /* CVE-2022-21449 */
	memset(raw, 1, 32);
	assert_int_equal(mf_jws_pub_verify(pub, MF_JWS_ES256, in, sig, NULL), MF_E_INVALID);
	memcpy(raw, order, 32);
	memcpy(raw + 32, order, 32);
	assert_int_equal(mf_jws_pub_verify(pub, MF_JWS_ES256, in, sig, NULL), MF_E_INVALID);
	memset(raw, 0xff, sizeof(raw));
	assert_int_equal(mf_jws_pub_verify(pub, MF_JWS_ES256, in, sig, NULL), MF_E_INVALID);
	/* 64 bytes that are the DER of a signature cannot be had by luck; any DER has another length. */
	uint8_t der[70];
	memset(der, 0x30, sizeof(der));
	assert_int_equal(
	    mf_jws_pub_verify(pub, MF_JWS_ES256, in, mf_slice(der, sizeof(der)), NULL), MF_E_INVALID);
}

/* ES384, ES512, RS*, PS* by libcrypto's own signer: what other issuers use. */
static void
foreign(enum mf_jws_alg alg, EVP_PKEY *pkey, const struct mf_jws_pub *pub, const EVP_MD *md, size_t coord)
{
	static const char input[] = "a.b";
	uint8_t der[1024], sig[1024];
	size_t n = sizeof(der);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	assert_int_equal(EVP_DigestSignInit(ctx, &pctx, md, NULL, pkey), 1);
	if (alg >= MF_JWS_PS256) {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST), 1);
	}
	assert_int_equal(EVP_DigestSign(ctx, der, &n, (const uint8_t *)input, 3), 1);
	EVP_MD_CTX_free(ctx);
	if (coord > 0) {
		const uint8_t *p = der;
		ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
		assert_non_null(s);
		BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, (int)coord);
		BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + coord, (int)coord);
		ECDSA_SIG_free(s);
		n = 2 * coord;
	} else {
		memcpy(sig, der, n);
	}
	assert_int_equal(mf_jws_pub_verify(pub, alg, mf_slice_str(input), mf_slice(sig, n), NULL), MF_OK);
	sig[n - 1] ^= 1;
	assert_int_equal(
	    mf_jws_pub_verify(pub, alg, mf_slice_str(input), mf_slice(sig, n), NULL), MF_E_INVALID);
}

static void
test_foreign_algs(void **state)
{
	MF_UNUSED(state);
	static const struct {
		enum mf_jws_alg alg;
		enum mf_jws_curve curve;
		const char *group, *crv;
		size_t coord;
	} ec[] = {
		{ MF_JWS_ES256, MF_JWS_P256, "P-256", "P-256", 32 },
		{ MF_JWS_ES384, MF_JWS_P384, "P-384", "P-384", 48 },
		{ MF_JWS_ES512, MF_JWS_P521, "P-521", "P-521", 66 },
	};
	const EVP_MD *md[] = { EVP_sha256(), EVP_sha384(), EVP_sha512() };
	for (size_t i = 0; i < MF_COUNT(ec); i++) {
		MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *pub = NULL;
		enum mf_jws_curve c;
		uint8_t point[133];
		size_t n = 0;
		assert_true(mf_jws_curve_parse(mf_slice_str(ec[i].crv), &c) && c == ec[i].curve);
		EVP_PKEY *pkey = EVP_EC_gen(ec[i].group);
		assert_int_equal(
		    EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n),
		    1);
		struct mf_slice x = mf_slice(point + 1, ec[i].coord),
				y = mf_slice(point + 1 + ec[i].coord, ec[i].coord);
		assert_int_equal(mf_jws_pub_ec(c, x, y, &pub, NULL), MF_OK);
		foreign(ec[i].alg, pkey, pub, md[i], ec[i].coord);
		/* P-21: coordinates of the exact length; a point that is not on the curve is no key. */
		struct mf_jws_pub *none = NULL;
		assert_int_equal(mf_jws_pub_ec(c, mf_slice_sub(x, 1, x.n), y, &none, NULL), MF_E_INVALID);
		point[n - 1] ^= 1;
		assert_int_equal(mf_jws_pub_ec(c, x, y, &none, NULL), MF_E_INVALID);
		assert_null(none);
		EVP_PKEY_free(pkey);
	}
	enum mf_jws_curve c;
	assert_false(mf_jws_curve_parse(MF_SLICE_LIT("secp256k1"), &c));
	assert_false(mf_jws_curve_parse(MF_SLICE_LIT("p-256"), &c));

	MF_AUTO(mf_jws_key_free) struct mf_jws_key *k = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
	assert_int_equal(mf_jws_key_generate(MF_JWS_RS256, &k, NULL), MF_OK);
	assert_int_equal(mf_jws_key_to_pkcs8(k, &der, NULL), MF_OK);
	const uint8_t *p = mf_secret_bytes(der);
	EVP_PKEY *rsa = d2i_AutoPrivateKey(NULL, &p, (long)mf_secret_size(der));
	MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *pub = pub_of(k);
	for (size_t i = 0; i < 3; i++) {
		foreign((enum mf_jws_alg)(MF_JWS_RS256 + i), rsa, pub, md[i], 0);
		foreign((enum mf_jws_alg)(MF_JWS_PS256 + i), rsa, pub, md[i], 0);
	}
	EVP_PKEY_free(rsa);
}

static void
test_bad_rsa(void **state)
{
	MF_UNUSED(state);
	uint8_t n[1025], e4[5] = { 1, 0, 0, 0, 1 };
	struct mf_jws_pub *pub = NULL;
	static const uint8_t f4[] = { 1, 0, 1 }, one[] = { 1 }, even[] = { 4 }, zero[] = { 0, 3 };
	memset(n, 0xff, sizeof(n));
	struct mf_slice good = mf_slice(n, 256), e = mf_slice(f4, 3);
	MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *ok = NULL;
	assert_int_equal(mf_jws_pub_rsa(good, e, &ok, NULL), MF_OK);
	assert_int_equal(mf_jws_pub_rsa(mf_slice(n, 255), e, &pub, NULL), MF_E_INVALID);
	assert_int_equal(mf_jws_pub_rsa(mf_slice(n, 1025), e, &pub, NULL), MF_E_INVALID);
	assert_int_equal(mf_jws_pub_rsa(mf_slice(NULL, 0), e, &pub, NULL), MF_E_INVALID);
	assert_int_equal(mf_jws_pub_rsa(good, mf_slice(one, 1), &pub, NULL), MF_E_INVALID);
	assert_int_equal(mf_jws_pub_rsa(good, mf_slice(even, 1), &pub, NULL), MF_E_INVALID);
	assert_int_equal(mf_jws_pub_rsa(good, mf_slice(zero, 2), &pub, NULL), MF_E_INVALID);
	assert_int_equal(mf_jws_pub_rsa(good, mf_slice(e4, 5), &pub, NULL), MF_E_INVALID);
	assert_int_equal(mf_jws_pub_rsa(good, mf_slice(NULL, 0), &pub, NULL), MF_E_INVALID);
	n[0] = 0;
	assert_int_equal(mf_jws_pub_rsa(mf_slice(n, 257), e, &pub, NULL), MF_E_INVALID);
	n[0] = 0xff;
	n[255] = 0xfe;
	assert_int_equal(mf_jws_pub_rsa(good, e, &pub, NULL), MF_E_INVALID);
	assert_null(pub);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_es256),
		cmocka_unit_test(test_rs256),
		cmocka_unit_test(test_only_two_kinds_sign),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_rfc7515_a3),
		cmocka_unit_test(test_ecdsa_forms),
		cmocka_unit_test(test_foreign_algs),
		cmocka_unit_test(test_bad_rsa),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
