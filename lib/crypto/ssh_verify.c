#include "crypto/ssh_verify.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "crypto/provider.h"

MF_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
MF_DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
MF_DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)
MF_DEFINE_CLEANUP(BIGNUM, BN_free)
MF_DEFINE_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
MF_DEFINE_CLEANUP(OSSL_PARAM, OSSL_PARAM_free)
MF_DEFINE_CLEANUP(ECDSA_SIG, ECDSA_SIG_free)

static enum mf_status
not_its(struct mf_err *err)
{
	(void)mf_crypto_fail(err, MF_E_UNAUTH, "signature"); /* empties libcrypto's queue */
	return MF_FAIL(err, MF_E_UNAUTH, "the signature is not that key's over this text");
}

static EVP_PKEY *
key_of(const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY *key = NULL;
	MF_AUTO(OSSL_PARAM_free) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	MF_AUTO(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return NULL;
	return key;
}

static enum mf_status
check(EVP_PKEY *key, const EVP_MD *md, struct mf_slice sig, struct mf_slice message, struct mf_err *err)
{
	MF_AUTO(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (ctx == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, "signature");
	if (EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) != 1 ||
	    EVP_DigestVerify(ctx, sig.p, sig.n, message.p, message.n) != 1)
		return not_its(err);
	return mf_crypto_ok();
}

static BIGNUM *
number(struct mf_slice v)
{
	return v.n > 1024 ? NULL : BN_bin2bn(v.p, (int)v.n, NULL);
}

enum mf_status
mf_ssh_verify_ecdsa(unsigned bits, struct mf_slice point, struct mf_slice r, struct mf_slice s,
    struct mf_slice message, struct mf_err *err)
{
	const char *group = bits == 256 ? "P-256" : bits == 384 ? "P-384" : "P-521";
	mf_crypto_init();
	const EVP_MD *md = bits == 256 ? EVP_sha256() : bits == 384 ? EVP_sha384() : EVP_sha512();
	MF_AUTO(OSSL_PARAM_BLD_free) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	if (bld == NULL || OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) != 1 ||
	    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n) != 1)
		return mf_crypto_fail(err, MF_E_NOMEM, "signature");
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *key = key_of("EC", bld);
	MF_AUTO(ECDSA_SIG_free) ECDSA_SIG *sig = ECDSA_SIG_new();
	MF_AUTO(BN_free) BIGNUM *br = number(r);
	MF_AUTO(BN_free) BIGNUM *bs = number(s);
	if (key == NULL)
		return not_its(err); /* no point of the curve */
	if (sig == NULL || br == NULL || bs == NULL || ECDSA_SIG_set0(sig, br, bs) != 1)
		return mf_crypto_fail(err, MF_E_NOMEM, "signature");
	br = bs = NULL; /* the signature's now */
	unsigned char *der = NULL;
	int n = i2d_ECDSA_SIG(sig, &der);
	if (n <= 0)
		return mf_crypto_fail(err, MF_E_NOMEM, "signature");
	enum mf_status st = check(key, md, mf_slice(der, (size_t)n), message, err);
	OPENSSL_free(der);
	return st;
}

enum mf_status
mf_ssh_verify_rsa(struct mf_slice n, struct mf_slice e, bool sha512, struct mf_slice sig,
    struct mf_slice message, struct mf_err *err)
{
	mf_crypto_init();
	MF_AUTO(OSSL_PARAM_BLD_free) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	MF_AUTO(BN_free) BIGNUM *bn = number(n);
	MF_AUTO(BN_free) BIGNUM *be = number(e);
	if (bld == NULL || bn == NULL || be == NULL ||
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) != 1 ||
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be) != 1)
		return mf_crypto_fail(err, MF_E_NOMEM, "signature");
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *key = key_of("RSA", bld);
	if (key == NULL)
		return not_its(err);
	return check(key, sha512 ? EVP_sha512() : EVP_sha256(), sig, message, err);
}

void
mf_sha512(struct mf_slice in, uint8_t ret[64])
{
	unsigned n = 0;
	mf_crypto_init();
	if (EVP_Digest(in.p, in.n, ret, &n, EVP_sha512(), NULL) != 1 || n != 64)
		abort();
}
