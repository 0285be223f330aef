#include "crypto/p256.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>

#include "crypto/provider.h"

MF_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
MF_DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
MF_DEFINE_CLEANUP(EC_POINT, EC_POINT_free)
MF_DEFINE_CLEANUP(BIGNUM, BN_clear_free)

struct mf_p256_key {
	EVP_PKEY *pkey;
	uint8_t point[MF_P256_POINT_SIZE];
};

struct mf_p256_signer {
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *ctx;
};

/*
 * The PrivateKeyInfo of a P-256 key is constant but for the scalar and the point:
 * SEQUENCE { 0, { id-ecPublicKey, prime256v1 }, OCTET STRING { SEQUENCE { 1, scalar, [1] { BIT STRING point }}}}
 */
static const uint8_t pkcs8_head[] = { 0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86,
	0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d,
	0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20 };
static const uint8_t pkcs8_mid[] = { 0xa1, 0x44, 0x03, 0x42, 0x00 };
#define SCALAR_SIZE 32
#define SCALAR_AT sizeof(pkcs8_head)
#define MID_AT (SCALAR_AT + SCALAR_SIZE)
#define POINT_AT (MID_AT + sizeof(pkcs8_mid))
_Static_assert(POINT_AT + MF_P256_POINT_SIZE == MF_P256_PKCS8_SIZE, "template");

static struct {
	pthread_once_t once;
	EC_GROUP *group; /* never changed after it is made: threads share it */
} curve = { .once = PTHREAD_ONCE_INIT };

static void
make_curve(void)
{
	mf_crypto_init();
	curve.group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	if (curve.group == NULL)
		abort();
}

static const EC_GROUP *
group(void)
{
	if (pthread_once(&curve.once, make_curve) != 0)
		abort();
	return curve.group;
}

void
mf_p256_key_free(struct mf_p256_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

/* Takes over *pkey when it succeeds. */
static enum mf_status
key_new(EVP_PKEY **pkey, const uint8_t *point, struct mf_p256_key **ret_key, struct mf_err *err)
{
	struct mf_p256_key *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "p256: out of memory");
	k->pkey = MF_TAKE(*pkey);
	memcpy(k->point, point, sizeof(k->point));
	*ret_key = k;
	return mf_crypto_ok();
}

enum mf_status
mf_p256_generate(struct mf_p256_key **ret_key, struct mf_err *err)
{
	mf_crypto_init();
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *pkey = EVP_EC_gen("P-256");
	if (pkey == NULL)
		return mf_crypto_fail(err, MF_E_INTERNAL, "p256: generate");
	uint8_t point[MF_P256_POINT_SIZE];
	size_t n = 0;
	if (EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n) != 1 ||
	    n != sizeof(point) || point[0] != POINT_CONVERSION_UNCOMPRESSED)
		return mf_crypto_fail(err, MF_E_INTERNAL, "p256: public key");
	return key_new(&pkey, point, ret_key, err);
}

/* A libcrypto key of a checked point and, unless NULL, a checked scalar (32 bytes, native order). */
static enum mf_status
pkey_from(const uint8_t *point, uint8_t *scalar, EVP_PKEY **ret_pkey, struct mf_err *err)
{
	char name[] = "prime256v1";
	uint8_t pub[MF_P256_POINT_SIZE];
	memcpy(pub, point, sizeof(pub));
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, pub, sizeof(pub)),
		OSSL_PARAM_construct_end(),
		OSSL_PARAM_construct_end(),
	};
	if (scalar != NULL)
		params[2] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, scalar, SCALAR_SIZE);
	MF_AUTO(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, scalar == NULL ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEYPAIR, params) !=
		1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "p256: import");
	*ret_pkey = MF_TAKE(pkey);
	return MF_OK;
}

enum mf_status
mf_p256_to_pkcs8(const struct mf_p256_key *key, struct mf_secret **ret_der, struct mf_err *err)
{
	MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
	MF_TRY(mf_secret_new(MF_P256_PKCS8_SIZE, &der, err));
	BIGNUM *got = NULL;
	int ok = EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &got);
	MF_AUTO(BN_clear_free) BIGNUM *scalar = got;
	uint8_t *p = mf_secret_bytes(der);
	if (ok != 1 || BN_bn2binpad(scalar, p + SCALAR_AT, SCALAR_SIZE) != SCALAR_SIZE)
		return mf_crypto_fail(err, MF_E_INTERNAL, "p256: private key");
	memcpy(p, pkcs8_head, sizeof(pkcs8_head));
	memcpy(p + MID_AT, pkcs8_mid, sizeof(pkcs8_mid));
	memcpy(p + POINT_AT, key->point, sizeof(key->point));
	*ret_der = MF_TAKE(der);
	return mf_crypto_ok();
}

/* The scalar is in 1..n-1 and ${point} is its public key. */
static enum mf_status
pair_check(const BIGNUM *scalar, const uint8_t *point, struct mf_err *err)
{
	if (BN_is_zero(scalar) || BN_cmp(scalar, EC_GROUP_get0_order(group())) >= 0)
		return MF_FAIL(err, MF_E_INVALID, "p256 key: the private scalar is out of range");
	uint8_t own[MF_P256_POINT_SIZE];
	MF_AUTO(EC_POINT_free) EC_POINT *pub = EC_POINT_new(group());
	if (pub == NULL || EC_POINT_mul(group(), pub, scalar, NULL, NULL, NULL) != 1 ||
	    EC_POINT_point2oct(group(), pub, POINT_CONVERSION_UNCOMPRESSED, own, sizeof(own), NULL) !=
		sizeof(own))
		return mf_crypto_fail(err, MF_E_INTERNAL, "p256 key");
	if (memcmp(own, point, sizeof(own)) != 0) /* both public */
		return MF_FAIL(err, MF_E_INVALID, "p256 key: the public key is not the private key's");
	return MF_OK;
}

enum mf_status
mf_p256_from_pkcs8(struct mf_slice der, struct mf_p256_key **ret_key, struct mf_err *err)
{
	if (der.n != MF_P256_PKCS8_SIZE || memcmp(der.p, pkcs8_head, sizeof(pkcs8_head)) != 0 ||
	    memcmp(der.p + MID_AT, pkcs8_mid, sizeof(pkcs8_mid)) != 0)
		return MF_FAIL(err, MF_E_INVALID,
		    "p256 key: not the PKCS#8 DER of a P-256 key with its public key; make one with "
		    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER");
	MF_AUTO(BN_clear_free) BIGNUM *scalar = BN_secure_new();
	if (scalar == NULL || BN_bin2bn(der.p + SCALAR_AT, SCALAR_SIZE, scalar) == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, "p256 key");
	MF_TRY(pair_check(scalar, der.p + POINT_AT, err));
	MF_AUTO(mf_secret_free) struct mf_secret *native = NULL;
	MF_TRY(mf_secret_new(SCALAR_SIZE, &native, err));
	if (BN_bn2nativepad(scalar, mf_secret_bytes(native), SCALAR_SIZE) != SCALAR_SIZE)
		return mf_crypto_fail(err, MF_E_INTERNAL, "p256 key");
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
	MF_TRY(pkey_from(der.p + POINT_AT, mf_secret_bytes(native), &pkey, err));
	return key_new(&pkey, der.p + POINT_AT, ret_key, err);
}

void
mf_p256_public(const struct mf_p256_key *key, uint8_t ret_point[MF_P256_POINT_SIZE])
{
	memcpy(ret_point, key->point, sizeof(key->point));
}

enum mf_status
mf_p256_point_check(struct mf_slice point, struct mf_err *err)
{
	if (point.n != MF_P256_POINT_SIZE || point.p[0] != POINT_CONVERSION_UNCOMPRESSED)
		return MF_FAIL(err, MF_E_INVALID, "p256 point: not %d bytes of an uncompressed point",
		    MF_P256_POINT_SIZE);
	MF_AUTO(EC_POINT_free) EC_POINT *p = EC_POINT_new(group());
	if (p == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, "p256 point");
	/* Checks both coordinates against the field and the curve equation; the cofactor is 1. */
	if (EC_POINT_oct2point(group(), p, point.p, point.n, NULL) != 1)
		return mf_crypto_fail(err, MF_E_INVALID, "p256 point");
	return mf_crypto_ok();
}

struct evp_pkey_st *
mf_p256_evp(const struct mf_p256_key *key)
{
	return key->pkey;
}

enum mf_status
mf_p256_signer_new(const struct mf_p256_key *key, struct mf_p256_signer **ret_signer, struct mf_err *err)
{
	MF_AUTO(mf_p256_signer_free) struct mf_p256_signer *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "p256: out of memory");
	s->pkey = EVP_PKEY_dup(key->pkey);
	if (s->pkey != NULL)
		s->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, s->pkey, NULL);
	if (s->ctx == NULL || EVP_PKEY_sign_init(s->ctx) != 1 ||
	    EVP_PKEY_CTX_set_signature_md(s->ctx, mf_crypto_sha256()) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "p256: signer");
	*ret_signer = MF_TAKE(s);
	return mf_crypto_ok();
}

void
mf_p256_signer_free(struct mf_p256_signer *signer)
{
	if (signer == NULL)
		return;
	EVP_PKEY_CTX_free(signer->ctx);
	EVP_PKEY_free(signer->pkey);
	free(signer);
}

enum mf_status
mf_p256_sign_digest(
    struct mf_p256_signer *signer, const uint8_t digest[32], struct mf_buf *ret_der_sig, struct mf_err *err)
{
	uint8_t sig[MF_P256_SIG_MAX];
	size_t n = sizeof(sig);
	/* libcrypto 3.0 answers success and a length of -1 when its encoder gets no memory */
	if (EVP_PKEY_sign(signer->ctx, sig, &n, digest, 32) != 1 || n == 0 || n > sizeof(sig))
		return mf_crypto_fail(err, MF_E_INTERNAL, "p256: sign");
	mf_buf_put(ret_der_sig, sig, n);
	MF_TRY(mf_buf_check(ret_der_sig, err));
	return mf_crypto_ok();
}

enum mf_status
mf_p256_verify_digest(
    struct mf_slice point, const uint8_t digest[32], struct mf_slice der_sig, struct mf_err *err)
{
	MF_TRY(mf_p256_point_check(point, err));
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
	MF_TRY(pkey_from(point.p, NULL, &pkey, err));
	MF_AUTO(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "p256: verify");
	if (EVP_PKEY_verify(ctx, der_sig.p, der_sig.n, digest, 32) != 1)
		return mf_crypto_fail(err, MF_E_INVALID, "p256: the signature does not verify");
	return mf_crypto_ok();
}

/* One positive INTEGER of at most 32 significant bytes, in its shortest spelling. */
static bool
read_integer(struct mf_reader *r, uint8_t ret[SCALAR_SIZE])
{
	uint8_t tag, len;
	struct mf_slice v;
	if (!mf_read_u8(r, &tag) || tag != 0x02 || !mf_read_u8(r, &len) || len == 0 ||
	    len > SCALAR_SIZE + 1 || !mf_read_bytes(r, len, &v) || (v.p[0] & 0x80) != 0)
		return false;
	if (v.p[0] == 0) {
		if (v.n == 1 || (v.p[1] & 0x80) == 0)
			return false; /* zero is no valid r or s; a padding byte only where needed */
		v = mf_slice_sub(v, 1, v.n);
	}
	if (v.n > SCALAR_SIZE)
		return false;
	memset(ret, 0, SCALAR_SIZE);
	memcpy(ret + (SCALAR_SIZE - v.n), v.p, v.n);
	return true;
}

enum mf_status
mf_p256_sig_to_raw(struct mf_slice der_sig, uint8_t ret_raw[MF_P256_SIG_RAW_SIZE], struct mf_err *err)
{
	struct mf_reader r = mf_reader(der_sig);
	uint8_t tag, len, raw[MF_P256_SIG_RAW_SIZE];
	if (!mf_read_u8(&r, &tag) || tag != 0x30 || !mf_read_u8(&r, &len) || len != r.n ||
	    !read_integer(&r, raw) || !read_integer(&r, raw + SCALAR_SIZE) || !mf_reader_end(&r))
		return MF_FAIL(err, MF_E_INVALID, "p256: not the DER of an ECDSA signature");
	memcpy(ret_raw, raw, sizeof(raw));
	return MF_OK;
}
