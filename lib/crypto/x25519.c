#include "crypto/x25519.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "crypto/provider.h"

MF_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
MF_DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)

struct mf_x25519 {
	EVP_PKEY *key;
	uint8_t public_key[MF_X25519_SIZE];
};

enum mf_status
mf_x25519_new(struct mf_slice private_key, struct mf_x25519 **ret_key, struct mf_err *err)
{
	if (private_key.n != MF_X25519_SIZE)
		return MF_FAIL(
		    err, MF_E_INVALID, "x25519: a private key has 32 bytes, not %zu", private_key.n);
	mf_crypto_init();
	MF_AUTO(mf_x25519_free) struct mf_x25519 *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "x25519: out of memory");
	size_t n = sizeof(k->public_key);
	k->key = EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, private_key.p, private_key.n);
	if (k->key == NULL || EVP_PKEY_get_raw_public_key(k->key, k->public_key, &n) != 1 ||
	    n != sizeof(k->public_key))
		return mf_crypto_fail(err, MF_E_INTERNAL, "x25519 key");
	ERR_clear_error(); /* libcrypto may queue an error even on its way to success */
	*ret_key = MF_TAKE(k);
	return MF_OK;
}

enum mf_status
mf_x25519_generate(const struct mf_rand *rand, struct mf_x25519 **ret_key, struct mf_err *err)
{
	const struct mf_rand from = rand == NULL ? mf_rand_system() : *rand;
	uint8_t raw[MF_X25519_SIZE];
	from.fill(from.ctx, raw, sizeof(raw));
	enum mf_status st = mf_x25519_new(mf_slice(raw, sizeof(raw)), ret_key, err);
	mf_wipe(raw, sizeof(raw));
	return st;
}

void
mf_x25519_free(struct mf_x25519 *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->key);
	free(key);
}

void
mf_x25519_public(const struct mf_x25519 *key, uint8_t ret_public[MF_X25519_SIZE])
{
	memcpy(ret_public, key->public_key, MF_X25519_SIZE);
}

enum mf_status
mf_x25519_private(const struct mf_x25519 *key, struct mf_secret **ret_private, struct mf_err *err)
{
	MF_AUTO(mf_secret_free) struct mf_secret *s = NULL;
	MF_TRY(mf_secret_new(MF_X25519_SIZE, &s, err));
	size_t n = MF_X25519_SIZE;
	if (EVP_PKEY_get_raw_private_key(key->key, mf_secret_bytes(s), &n) != 1 || n != MF_X25519_SIZE)
		return mf_crypto_fail(err, MF_E_INTERNAL, "x25519 private key");
	*ret_private = MF_TAKE(s);
	return MF_OK;
}

enum mf_status
mf_x25519_dh(const struct mf_x25519 *key, const uint8_t peer[MF_X25519_SIZE],
    uint8_t ret_shared[MF_X25519_SIZE], struct mf_err *err)
{
	static const uint8_t zero[MF_X25519_SIZE];
	uint8_t shared[MF_X25519_SIZE] = { 0 };
	size_t n = sizeof(shared);
	MF_AUTO(EVP_PKEY_free)
	EVP_PKEY *p = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, peer, MF_X25519_SIZE);
	MF_AUTO(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->key, NULL);
	if (p == NULL || ctx == NULL || EVP_PKEY_derive_init(ctx) != 1 ||
	    EVP_PKEY_derive_set_peer(ctx, p) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "x25519");
	/* libcrypto itself fails on an all-zero result; the comparison keeps the rule ours. */
	if (EVP_PKEY_derive(ctx, shared, &n) != 1 || n != sizeof(shared) ||
	    mf_ct_equal(mf_slice(shared, sizeof(shared)), mf_slice(zero, sizeof(zero)))) {
		mf_wipe(shared, sizeof(shared));
		return mf_crypto_fail(err, MF_E_INVALID, "x25519: the peer's key is not usable");
	}
	ERR_clear_error();
	memcpy(ret_shared, shared, sizeof(shared));
	mf_wipe(shared, sizeof(shared));
	return MF_OK;
}
