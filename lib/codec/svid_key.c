#include "codec/svid_key.h"

#include <openssl/core_names.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "crypto/provider.h"

#define RSA_MIN 2048
#define RSA_MAX 8192

MF_DEFINE_CLEANUP(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free)
MF_DEFINE_CLEANUP(X509, X509_free)
MF_DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)

struct mf_svid_key {
	EVP_PKEY *pkey;
	struct mf_secret *der;
};

/* A public point that is not the scalar's would only show when peers refuse our signatures. */
static enum mf_status
check_pair(EVP_PKEY *pkey, struct mf_err *err)
{
	MF_AUTO(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (ctx == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, "svid key");
	if (EVP_PKEY_pairwise_check(ctx) != 1)
		return mf_crypto_fail(err, MF_E_INVALID, "svid key: private and public half differ");
	return MF_OK;
}

static enum mf_status
check_kind(EVP_PKEY *pkey, struct mf_err *err)
{
	char group[32] = "";
	if (EVP_PKEY_is_a(pkey, "ED25519") == 1)
		return MF_OK;
	if (EVP_PKEY_is_a(pkey, "RSA") == 1) {
		int bits = EVP_PKEY_get_bits(pkey);
		if (bits < RSA_MIN || bits > RSA_MAX)
			return MF_FAIL(err, MF_E_UNSUPPORTED, "svid key: RSA of %d bits, not %d to %d", bits,
			    RSA_MIN, RSA_MAX);
		return MF_OK;
	}
	if (EVP_PKEY_is_a(pkey, "EC") != 1)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "svid key: neither EC nor RSA nor Ed25519");
	if (EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) !=
		1 ||
	    (strcmp(group, "prime256v1") != 0 && strcmp(group, "secp384r1") != 0 &&
		strcmp(group, "secp521r1") != 0)) {
		(void)!mf_crypto_ok();
		return MF_FAIL(
		    err, MF_E_UNSUPPORTED, "svid key: an EC curve that is none of P-256, P-384, P-521");
	}
	return check_pair(pkey, err);
}

enum mf_status
mf_svid_key_new(struct mf_slice pkcs8, struct mf_svid_key **ret_key, struct mf_err *err)
{
	if (pkcs8.n > MF_LIM_KEY_DER)
		return MF_FAIL(err, MF_E_TOOBIG, "svid key: %zu bytes, at most %u", pkcs8.n, MF_LIM_KEY_DER);
	mf_crypto_init();
	const uint8_t *p = pkcs8.p;
	MF_AUTO(PKCS8_PRIV_KEY_INFO_free)
	PKCS8_PRIV_KEY_INFO *info = pkcs8.n == 0 ? NULL : d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)pkcs8.n);
	if (info == NULL)
		return mf_crypto_fail(err, MF_E_INVALID, "svid key: not PKCS#8");
	if (p != pkcs8.p + pkcs8.n)
		return MF_FAIL(
		    err, MF_E_INVALID, "svid key: %zu bytes behind its end", pkcs8.n - (size_t)(p - pkcs8.p));
	MF_AUTO(mf_svid_key_free) struct mf_svid_key *key = calloc(1, sizeof(*key));
	if (key == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "svid key: out of memory");
	key->pkey = EVP_PKCS82PKEY(info);
	if (key->pkey == NULL)
		return mf_crypto_fail(err, MF_E_INVALID, "svid key: not a private key");
	MF_TRY(check_kind(key->pkey, err));
	MF_TRY(mf_secret_new(pkcs8.n, &key->der, err));
	memcpy(mf_secret_bytes(key->der), pkcs8.p, pkcs8.n);
	*ret_key = MF_TAKE(key);
	return mf_crypto_ok();
}

void
mf_svid_key_free(struct mf_svid_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	mf_secret_free(key->der);
	free(key);
}

enum mf_status
mf_svid_key_fits(const struct mf_svid_key *key, struct mf_slice cert_der, struct mf_err *err)
{
	const uint8_t *p = cert_der.p;
	MF_AUTO(X509_free)
	X509 *x =
	    cert_der.n == 0 || cert_der.n > MF_LIM_CERT_DER ? NULL : d2i_X509(NULL, &p, (long)cert_der.n);
	if (x == NULL || p != cert_der.p + cert_der.n)
		return mf_crypto_fail(err, MF_E_INVALID, "svid key: its certificate");
	if (X509_check_private_key(x, key->pkey) != 1)
		return mf_crypto_fail(err, MF_E_INVALID, "svid key: not the certificate's");
	return mf_crypto_ok();
}

struct mf_slice
mf_svid_key_pkcs8(const struct mf_svid_key *key)
{
	return mf_secret_slice(key->der);
}

struct evp_pkey_st *
mf_svid_key_evp(const struct mf_svid_key *key)
{
	return key->pkey;
}
