#include "crypto/jws_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "crypto/p256.h"
#include "crypto/provider.h"

#define RSA_BITS 2048
#define RSA_SIZE (RSA_BITS / 8)
#define EXPONENT_SIZE 3 /* 65537 */

MF_DEFINE_CLEANUP(BIGNUM, BN_free)
MF_DEFINE_CLEANUP(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free)

struct mf_jws_key {
	atomic_uint refs;
	enum mf_jws_alg alg;
	struct mf_p256_key *ec;
	EVP_PKEY *rsa;
	uint8_t point[MF_P256_POINT_SIZE];
	uint8_t n[RSA_SIZE], e[EXPONENT_SIZE];
	char kid[MF_JWS_KID_SIZE];
};

struct mf_jws_signer {
	struct mf_p256_signer *ec;
	EVP_PKEY *rsa;
	EVP_PKEY_CTX *ctx;
};

void
mf_jws_key_free(struct mf_jws_key *key)
{
	if (key == NULL || atomic_fetch_sub(&key->refs, 1) > 1)
		return;
	mf_p256_key_free(key->ec);
	EVP_PKEY_free(key->rsa);
	free(key);
}

struct mf_jws_key *
mf_jws_key_ref(struct mf_jws_key *key)
{
	atomic_fetch_add(&key->refs, 1);
	return key;
}

void
mf_jws_key_put_jwk(const struct mf_jws_key *k, struct mf_buf *to)
{
	if (k->ec != NULL) {
		mf_buf_put_str(to, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
		mf_base64url_put(to, mf_slice(k->point + 1, 32));
		mf_buf_put_str(to, "\",\"y\":\"");
		mf_base64url_put(to, mf_slice(k->point + 33, 32));
	} else {
		mf_buf_put_str(to, "{\"e\":\"");
		mf_base64url_put(to, mf_slice(k->e, sizeof(k->e)));
		mf_buf_put_str(to, "\",\"kty\":\"RSA\",\"n\":\"");
		mf_base64url_put(to, mf_slice(k->n, sizeof(k->n)));
	}
	mf_buf_put_str(to, "\"}");
}

static enum mf_status
set_kid(struct mf_jws_key *k, struct mf_err *err)
{
	uint8_t sha[MF_SHA256_SIZE];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 2048);
	mf_jws_key_put_jwk(k, &b);
	MF_TRY(mf_buf_check(&b, err));
	mf_sha256(mf_buf_slice(&b), sha);
	mf_buf_reset(&b);
	mf_base64url_put(&b, mf_slice(sha, sizeof(sha)));
	MF_TRY(mf_buf_check(&b, err));
	memcpy(k->kid, b.p, sizeof(k->kid) - 1);
	return MF_OK;
}

static enum mf_status
key_new(enum mf_jws_alg alg, struct mf_jws_key **ret_key, struct mf_err *err)
{
	struct mf_jws_key *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "key: out of memory");
	atomic_init(&k->refs, 1);
	k->alg = alg;
	*ret_key = k;
	return MF_OK;
}

static enum mf_status
finish_ec(struct mf_jws_key *k, struct mf_err *err)
{
	mf_p256_public(k->ec, k->point);
	return set_kid(k, err);
}

static enum mf_status
number(const EVP_PKEY *pkey, const char *name, uint8_t *to, size_t n, struct mf_err *err)
{
	BIGNUM *got = NULL;
	int ok = EVP_PKEY_get_bn_param(pkey, name, &got);
	MF_AUTO(BN_free) BIGNUM *v = got;
	if (ok != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "rsa key");
	if ((size_t)BN_num_bytes(v) != n || BN_bn2binpad(v, to, (int)n) != (int)n)
		return MF_FAIL(
		    err, MF_E_INVALID, "rsa key: not one of %d bits with the exponent 65537", RSA_BITS);
	return MF_OK;
}

static enum mf_status
finish_rsa(struct mf_jws_key *k, struct mf_err *err)
{
	static const uint8_t f4[EXPONENT_SIZE] = { 1, 0, 1 };
	MF_TRY(number(k->rsa, OSSL_PKEY_PARAM_RSA_N, k->n, sizeof(k->n), err));
	MF_TRY(number(k->rsa, OSSL_PKEY_PARAM_RSA_E, k->e, sizeof(k->e), err));
	if ((k->n[0] & 0x80) == 0 || memcmp(k->e, f4, sizeof(f4)) != 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "rsa key: not one of %d bits with the exponent 65537", RSA_BITS);
	return set_kid(k, err);
}

enum mf_status
mf_jws_key_generate(enum mf_jws_alg alg, struct mf_jws_key **ret_key, struct mf_err *err)
{
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *k = NULL;
	mf_crypto_init();
	if (alg != MF_JWS_ES256 && alg != MF_JWS_RS256)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "this release signs with ES256 and RS256 only, not %s",
		    mf_jws_alg_name(alg));
	MF_TRY(key_new(alg, &k, err));
	if (alg == MF_JWS_ES256) {
		MF_TRY(mf_p256_generate(&k->ec, err));
		MF_TRY(finish_ec(k, err));
	} else {
		k->rsa = EVP_RSA_gen(RSA_BITS);
		if (k->rsa == NULL)
			return mf_crypto_fail(err, MF_E_INTERNAL, "rsa key: generate");
		MF_TRY(finish_rsa(k, err));
	}
	*ret_key = MF_TAKE(k);
	return mf_crypto_ok();
}

enum mf_status
mf_jws_key_to_pkcs8(const struct mf_jws_key *key, struct mf_secret **ret_der, struct mf_err *err)
{
	if (key->ec != NULL)
		return mf_p256_to_pkcs8(key->ec, ret_der, err);
	MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
	MF_AUTO(PKCS8_PRIV_KEY_INFO_free) PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key->rsa);
	int n = p8 == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(p8, NULL);
	if (n <= 0)
		return mf_crypto_fail(err, MF_E_NOMEM, "rsa key");
	MF_TRY(mf_secret_new((size_t)n, &der, err));
	uint8_t *p = mf_secret_bytes(der);
	if (i2d_PKCS8_PRIV_KEY_INFO(p8, &p) != n)
		return mf_crypto_fail(err, MF_E_NOMEM, "rsa key");
	*ret_der = MF_TAKE(der);
	return mf_crypto_ok();
}

static enum mf_status
rsa_from_pkcs8(struct mf_slice der, struct mf_jws_key *k, struct mf_err *err)
{
	const uint8_t *p = der.p;
	MF_AUTO(PKCS8_PRIV_KEY_INFO_free)
	PKCS8_PRIV_KEY_INFO *p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.n);
	if (p8 == NULL || p != der.p + der.n)
		return mf_crypto_fail(err, MF_E_INVALID, "rsa key: not PKCS#8");
	k->rsa = EVP_PKCS82PKEY(p8);
	if (k->rsa == NULL || !EVP_PKEY_is_a(k->rsa, "RSA"))
		return mf_crypto_fail(err, MF_E_INVALID, "rsa key: not an RSA key");
	return finish_rsa(k, err);
}

enum mf_status
mf_jws_key_from_pkcs8(struct mf_slice der, struct mf_jws_key **ret_key, struct mf_err *err)
{
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *k = NULL;
	bool ec = der.n == MF_P256_PKCS8_SIZE; /* an RSA key is many times as long */
	mf_crypto_init();
	MF_TRY(key_new(ec ? MF_JWS_ES256 : MF_JWS_RS256, &k, err));
	if (ec) {
		MF_TRY(mf_p256_from_pkcs8(der, &k->ec, err));
		MF_TRY(finish_ec(k, err));
	} else {
		MF_TRY(rsa_from_pkcs8(der, k, err));
	}
	*ret_key = MF_TAKE(k);
	return mf_crypto_ok();
}

enum mf_jws_alg
mf_jws_key_alg(const struct mf_jws_key *key)
{
	return key->alg;
}

const char *
mf_jws_key_kid(const struct mf_jws_key *key)
{
	return key->kid;
}

struct mf_jws_public
mf_jws_key_public(const struct mf_jws_key *key)
{
	struct mf_jws_public p = { .alg = key->alg };
	if (key->ec != NULL) {
		p.point = mf_slice(key->point, sizeof(key->point));
	} else {
		p.n = mf_slice(key->n, sizeof(key->n));
		p.e = mf_slice(key->e, sizeof(key->e));
	}
	return p;
}

enum mf_status
mf_jws_signer_new(const struct mf_jws_key *key, struct mf_jws_signer **ret_signer, struct mf_err *err)
{
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "signer: out of memory");
	if (key->ec != NULL) {
		MF_TRY(mf_p256_signer_new(key->ec, &s->ec, err));
	} else {
		/* Own key object and context: threads on one of libcrypto's share its locks. */
		s->rsa = EVP_PKEY_dup(key->rsa);
		if (s->rsa != NULL)
			s->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, s->rsa, NULL);
		if (s->ctx == NULL || EVP_PKEY_sign_init(s->ctx) != 1 ||
		    EVP_PKEY_CTX_set_rsa_padding(s->ctx, RSA_PKCS1_PADDING) != 1 ||
		    EVP_PKEY_CTX_set_signature_md(s->ctx, mf_crypto_sha256()) != 1)
			return mf_crypto_fail(err, MF_E_INTERNAL, "rsa: signer");
	}
	*ret_signer = MF_TAKE(s);
	return mf_crypto_ok();
}

void
mf_jws_signer_free(struct mf_jws_signer *signer)
{
	if (signer == NULL)
		return;
	mf_p256_signer_free(signer->ec);
	EVP_PKEY_CTX_free(signer->ctx);
	EVP_PKEY_free(signer->rsa);
	free(signer);
}

static enum mf_status
sign_ec(struct mf_jws_signer *s, const uint8_t digest[MF_SHA256_SIZE], struct mf_buf *to, struct mf_err *err)
{
	uint8_t raw[MF_P256_SIG_RAW_SIZE];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
	mf_buf_init(&der, MF_P256_SIG_MAX);
	MF_TRY(mf_p256_sign_digest(s->ec, digest, &der, err));
	MF_TRY(mf_p256_sig_to_raw(mf_buf_slice(&der), raw, err));
	mf_buf_put(to, raw, sizeof(raw));
	return mf_buf_check(to, err);
}

enum mf_status
mf_jws_sign(struct mf_jws_signer *signer, struct mf_slice input, struct mf_buf *to, struct mf_err *err)
{
	uint8_t digest[MF_SHA256_SIZE], sig[RSA_SIZE];
	size_t n = sizeof(sig);
	mf_sha256(input, digest);
	if (signer->ec != NULL)
		return sign_ec(signer, digest, to, err);
	if (EVP_PKEY_sign(signer->ctx, sig, &n, digest, sizeof(digest)) != 1 || n != sizeof(sig))
		return mf_crypto_fail(err, MF_E_INTERNAL, "rsa: sign");
	mf_buf_put(to, sig, n);
	MF_TRY(mf_buf_check(to, err));
	return mf_crypto_ok();
}
