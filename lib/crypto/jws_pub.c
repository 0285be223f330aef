#include "crypto/jws_pub.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "crypto/provider.h"

#define COORD_MAX 66
#define DER_SIG_MAX (2 * (COORD_MAX + 3) + 4)
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define EXPONENT_MAX 4 /* bytes */

MF_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
MF_DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
MF_DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)
MF_DEFINE_CLEANUP(BIGNUM, BN_free)
MF_DEFINE_CLEANUP(ECDSA_SIG, ECDSA_SIG_free)
MF_DEFINE_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
MF_DEFINE_CLEANUP(OSSL_PARAM, OSSL_PARAM_free)

struct mf_jws_pub {
	EVP_PKEY *pkey;
	bool rsa;
	enum mf_jws_curve curve;
	size_t size; /* bytes of a coordinate, or of the modulus */
};

static const struct {
	const char *crv, *group;
	size_t coord;
	enum mf_jws_alg alg;
} curves[MF_JWS_CURVES] = {
	[MF_JWS_P256] = { "P-256", "prime256v1", 32, MF_JWS_ES256 },
	[MF_JWS_P384] = { "P-384", "secp384r1", 48, MF_JWS_ES384 },
	[MF_JWS_P521] = { "P-521", "secp521r1", 66, MF_JWS_ES512 },
};

static const struct {
	const char *md;
	bool rsa, pss;
} algs[MF_JWS_ALGS] = {
	[MF_JWS_ES256] = { "SHA2-256", false, false },
	[MF_JWS_ES384] = { "SHA2-384", false, false },
	[MF_JWS_ES512] = { "SHA2-512", false, false },
	[MF_JWS_RS256] = { "SHA2-256", true, false },
	[MF_JWS_RS384] = { "SHA2-384", true, false },
	[MF_JWS_RS512] = { "SHA2-512", true, false },
	[MF_JWS_PS256] = { "SHA2-256", true, true },
	[MF_JWS_PS384] = { "SHA2-384", true, true },
	[MF_JWS_PS512] = { "SHA2-512", true, true },
};

bool
mf_jws_curve_parse(struct mf_slice crv, enum mf_jws_curve *ret_curve)
{
	for (unsigned i = 0; i < MF_JWS_CURVES; i++) {
		if (!mf_slice_eq_str(crv, curves[i].crv))
			continue;
		*ret_curve = (enum mf_jws_curve)i;
		return true;
	}
	return false;
}

void
mf_jws_pub_free(struct mf_jws_pub *pub)
{
	if (pub == NULL)
		return;
	EVP_PKEY_free(pub->pkey);
	free(pub);
}

static enum mf_status
import(const char *type, OSSL_PARAM *params, EVP_PKEY **ret_pkey, struct mf_err *err)
{
	MF_AUTO(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "public key: import");
	/* Only memory and a point that is not on the curve make this fail. */
	if (EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return mf_crypto_fail(err, MF_E_INVALID, "public key");
	*ret_pkey = MF_TAKE(pkey);
	return MF_OK;
}

static enum mf_status
pub_new(EVP_PKEY **pkey, const struct mf_jws_pub *model, struct mf_jws_pub **ret_pub, struct mf_err *err)
{
	struct mf_jws_pub *p = malloc(sizeof(*p));
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "public key: out of memory");
	*p = *model;
	p->pkey = MF_TAKE(*pkey);
	*ret_pub = p;
	return mf_crypto_ok();
}

enum mf_status
mf_jws_pub_ec(enum mf_jws_curve curve, struct mf_slice x, struct mf_slice y, struct mf_jws_pub **ret_pub,
    struct mf_err *err)
{
	mf_crypto_init();
	size_t n = curves[curve].coord;
	/* RFC 7518 6.2.1.2: "The length of this octet string MUST be the full size of a coordinate" */
	if (x.n != n || y.n != n)
		return MF_FAIL(
		    err, MF_E_INVALID, "public key: a coordinate on %s has %zu bytes", curves[curve].crv, n);
	uint8_t point[1 + 2 * COORD_MAX] = { POINT_CONVERSION_UNCOMPRESSED };
	char group[16];
	memcpy(point + 1, x.p, n);
	memcpy(point + 1 + n, y.p, n);
	memcpy(group, curves[curve].group, strlen(curves[curve].group) + 1);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * n),
		OSSL_PARAM_construct_end(),
	};
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
	MF_TRY(import("EC", params, &pkey, err));
	return pub_new(&pkey, &(struct mf_jws_pub) { .rsa = false, .curve = curve, .size = n }, ret_pub, err);
}

/*
 * CVE-2017-15361 (ROCA): a family of chips made moduli that are powers of 65537 modulo each of these primes; they can be
 * factored. A sound modulus passes for one of them with a chance of about 2^-27.
 */
static bool
is_roca(const BIGNUM *n)
{
	static const unsigned primes[] = { 11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127,
		151, 157 };
	for (size_t i = 0; i < MF_COUNT(primes); i++) {
		BN_ULONG p = primes[i], want = BN_mod_word(n, p), power = 1;
		do
			power = power * (65537 % p) % p;
		while (power != want && power != 1);
		if (power != want)
			return false;
	}
	return true;
}

static enum mf_status
check_rsa(const BIGNUM *n, const BIGNUM *e, struct mf_err *err)
{
	int bits = BN_num_bits(n);
	if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX || !BN_is_odd(n))
		return MF_FAIL(err, MF_E_INVALID, "public key: an RSA modulus is odd and has %d to %d bits",
		    RSA_BITS_MIN, RSA_BITS_MAX);
	if (!BN_is_odd(e) || BN_is_one(e))
		return MF_FAIL(err, MF_E_INVALID, "public key: an RSA exponent is odd and greater than 1");
	if (is_roca(n))
		return MF_FAIL(err, MF_E_INVALID,
		    "public key: its RSA modulus is of the ROCA family (CVE-2017-15361) and can be factored");
	return MF_OK;
}

enum mf_status
mf_jws_pub_rsa(struct mf_slice n, struct mf_slice e, struct mf_jws_pub **ret_pub, struct mf_err *err)
{
	mf_crypto_init();
	if (n.n == 0 || n.n > RSA_BITS_MAX / 8 || n.p[0] == 0 || e.n == 0 || e.n > EXPONENT_MAX ||
	    e.p[0] == 0)
		return MF_FAIL(err, MF_E_INVALID,
		    "public key: an RSA number is too long, empty or begins with a zero octet");
	MF_AUTO(BN_free) BIGNUM *bn = BN_bin2bn(n.p, (int)n.n, NULL);
	MF_AUTO(BN_free) BIGNUM *be = BN_bin2bn(e.p, (int)e.n, NULL);
	MF_AUTO(OSSL_PARAM_BLD_free) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	if (bn == NULL || be == NULL || bld == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, "public key");
	MF_TRY(check_rsa(bn, be, err));
	if (OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) != 1 ||
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be) != 1)
		return mf_crypto_fail(err, MF_E_NOMEM, "public key");
	MF_AUTO(OSSL_PARAM_free) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	if (params == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, "public key");
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
	MF_TRY(import("RSA", params, &pkey, err));
	return pub_new(&pkey, &(struct mf_jws_pub) { .rsa = true, .size = n.n }, ret_pub, err);
}

bool
mf_jws_pub_fits(const struct mf_jws_pub *pub, enum mf_jws_alg alg)
{
	if ((unsigned)alg >= MF_JWS_ALGS)
		return false;
	return pub->rsa ? algs[alg].rsa : curves[pub->curve].alg == alg;
}

/* Raw r || s into the DER that libcrypto wants. libcrypto then refuses values outside 1..n-1. */
static enum mf_status
der_of_raw(struct mf_slice raw, uint8_t ret_der[DER_SIG_MAX], size_t *ret_n, struct mf_err *err)
{
	size_t half = raw.n / 2;
	MF_AUTO(BN_free) BIGNUM *r = BN_bin2bn(raw.p, (int)half, NULL);
	MF_AUTO(BN_free) BIGNUM *s = BN_bin2bn(raw.p + half, (int)half, NULL);
	MF_AUTO(ECDSA_SIG_free) ECDSA_SIG *sig = ECDSA_SIG_new();
	if (r == NULL || s == NULL || sig == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, "signature");
	if (BN_is_zero(r) || BN_is_zero(s))
		return MF_FAIL(err, MF_E_INVALID, "the signature does not verify");
	if (ECDSA_SIG_set0(sig, r, s) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "signature");
	r = NULL;
	s = NULL;
	uint8_t *to = ret_der;
	int n = i2d_ECDSA_SIG(sig, NULL);
	if (n <= 0 || n > DER_SIG_MAX || i2d_ECDSA_SIG(sig, &to) != n)
		return mf_crypto_fail(err, MF_E_NOMEM, "signature");
	*ret_n = (size_t)n;
	return MF_OK;
}

static enum mf_status
verify(const struct mf_jws_pub *pub, enum mf_jws_alg alg, struct mf_slice input, struct mf_slice sig,
    struct mf_err *err)
{
	MF_AUTO(EVP_MD_CTX_free) EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx = NULL; /* owned by md */
	if (md == NULL || EVP_DigestVerifyInit_ex(md, &ctx, algs[alg].md, NULL, NULL, pub->pkey, NULL) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "signature: verify");
	if (algs[alg].rsa &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, algs[alg].pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "signature: verify");
	if (algs[alg].pss && EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "signature: verify");
	int ok = EVP_DigestVerify(md, sig.p, sig.n, input.p, input.n);
	if (ok == 1)
		return mf_crypto_ok();
	/* Without memory nothing was found out; else libcrypto's reason would tell an attacker more than a user. */
	enum mf_status why = mf_crypto_fail(err, MF_E_INVALID, "signature: verify");
	return why == MF_E_NOMEM ? why : MF_FAIL(err, MF_E_INVALID, "the signature does not verify");
}

enum mf_status
mf_jws_pub_verify(const struct mf_jws_pub *pub, enum mf_jws_alg alg, struct mf_slice input,
    struct mf_slice sig, struct mf_err *err)
{
	uint8_t der[DER_SIG_MAX];
	size_t n = 0;
	if (!mf_jws_pub_fits(pub, alg))
		return MF_FAIL(err, MF_E_INVALID, "the key is not one for %s", mf_jws_alg_name(alg));
	if (sig.n != (pub->rsa ? pub->size : 2 * pub->size))
		return MF_FAIL(err, MF_E_INVALID, "the signature has the wrong length");
	if (pub->rsa)
		return verify(pub, alg, input, sig, err);
	MF_TRY(der_of_raw(sig, der, &n, err));
	return verify(pub, alg, input, mf_slice(der, n), err);
}
