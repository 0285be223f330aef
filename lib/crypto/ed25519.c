#include "crypto/ed25519.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "crypto/provider.h"

MF_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
MF_DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)

struct mf_ed25519 {
	EVP_PKEY *key;
	uint8_t public_key[MF_ED25519_KEY_SIZE];
};

enum mf_status
mf_ed25519_new(struct mf_slice private_key, struct mf_ed25519 **ret_key, struct mf_err *err)
{
	if (private_key.n != MF_ED25519_KEY_SIZE)
		return MF_FAIL(
		    err, MF_E_INVALID, "ed25519: a private key has 32 bytes, not %zu", private_key.n);
	mf_crypto_init();
	MF_AUTO(mf_ed25519_free) struct mf_ed25519 *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "ed25519: out of memory");
	size_t n = sizeof(k->public_key);
	k->key = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, private_key.p, private_key.n);
	if (k->key == NULL || EVP_PKEY_get_raw_public_key(k->key, k->public_key, &n) != 1 ||
	    n != sizeof(k->public_key))
		return mf_crypto_fail(err, MF_E_INTERNAL, "ed25519 key");
	ERR_clear_error(); /* libcrypto may queue an error even on its way to success */
	*ret_key = MF_TAKE(k);
	return MF_OK;
}

enum mf_status
mf_ed25519_generate(const struct mf_rand *rand, struct mf_ed25519 **ret_key, struct mf_err *err)
{
	const struct mf_rand from = rand == NULL ? mf_rand_system() : *rand;
	uint8_t raw[MF_ED25519_KEY_SIZE];
	from.fill(from.ctx, raw, sizeof(raw));
	enum mf_status st = mf_ed25519_new(mf_slice(raw, sizeof(raw)), ret_key, err);
	mf_wipe(raw, sizeof(raw));
	return st;
}

void
mf_ed25519_free(struct mf_ed25519 *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->key);
	free(key);
}

void
mf_ed25519_public(const struct mf_ed25519 *key, uint8_t ret_public[MF_ED25519_KEY_SIZE])
{
	memcpy(ret_public, key->public_key, MF_ED25519_KEY_SIZE);
}

enum mf_status
mf_ed25519_private(const struct mf_ed25519 *key, struct mf_secret **ret_private, struct mf_err *err)
{
	MF_AUTO(mf_secret_free) struct mf_secret *s = NULL;
	MF_TRY(mf_secret_new(MF_ED25519_KEY_SIZE, &s, err));
	size_t n = MF_ED25519_KEY_SIZE;
	if (EVP_PKEY_get_raw_private_key(key->key, mf_secret_bytes(s), &n) != 1 || n != MF_ED25519_KEY_SIZE)
		return mf_crypto_fail(err, MF_E_INTERNAL, "ed25519 private key");
	*ret_private = MF_TAKE(s);
	return MF_OK;
}

enum mf_status
mf_ed25519_sign(const struct mf_ed25519 *key, struct mf_slice message, uint8_t ret_sig[MF_ED25519_SIG_SIZE],
    struct mf_err *err)
{
	uint8_t sig[MF_ED25519_SIG_SIZE];
	size_t n = sizeof(sig);
	MF_AUTO(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (ctx == NULL || EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key->key, NULL) != 1 ||
	    EVP_DigestSign(ctx, sig, &n, message.p, message.n) != 1 || n != sizeof(sig))
		return mf_crypto_fail(err, MF_E_INTERNAL, "ed25519 sign");
	ERR_clear_error();
	memcpy(ret_sig, sig, sizeof(sig));
	return MF_OK;
}

enum mf_status
mf_ed25519_verify(
    struct mf_slice public_key, struct mf_slice message, struct mf_slice sig, struct mf_err *err)
{
	if (public_key.n != MF_ED25519_KEY_SIZE || sig.n != MF_ED25519_SIG_SIZE)
		return MF_FAIL(err, MF_E_INVALID,
		    "ed25519: key of %zu and signature of %zu bytes, not 32 and 64", public_key.n, sig.n);
	mf_crypto_init();
	MF_AUTO(EVP_PKEY_free)
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, public_key.p, public_key.n);
	MF_AUTO(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (key == NULL || ctx == NULL ||
	    EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "ed25519 verify");
	int ok = EVP_DigestVerify(ctx, sig.p, sig.n, message.p, message.n);
	ERR_clear_error();
	if (ok != 1)
		return MF_FAIL(err, MF_E_UNAUTH, "ed25519: the signature does not fit this key and message");
	return MF_OK;
}
