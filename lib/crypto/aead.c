#include "crypto/aead.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/secret.h"
#include "crypto/provider.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *gcm;

static void
fetch(void)
{
	mf_crypto_init();
	gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (gcm == NULL)
		abort(); /* a libcrypto without AES-GCM can run nothing of ours */
	ERR_clear_error();
}

struct mf_aead {
	EVP_CIPHER_CTX *ctx;
};

enum mf_status
mf_aead_new(const uint8_t key[MF_AEAD_KEY_SIZE], struct mf_aead **ret_aead, struct mf_err *err)
{
	if (pthread_once(&once, fetch) != 0)
		abort();
	MF_AUTO(mf_aead_free) struct mf_aead *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "aes-gcm: out of memory");
	a->ctx = EVP_CIPHER_CTX_new();
	if (a->ctx == NULL || EVP_CipherInit_ex2(a->ctx, gcm, key, NULL, 1, NULL) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "aes-gcm key");
	ERR_clear_error();
	*ret_aead = MF_TAKE(a);
	return MF_OK;
}

void
mf_aead_free(struct mf_aead *a)
{
	if (a == NULL)
		return;
	EVP_CIPHER_CTX_free(a->ctx); /* wipes the key schedule */
	free(a);
}

/* Start a message and run AAD and text through. ${text}.n bytes are written to ${to}. */
static bool
run(struct mf_aead *a, const uint8_t *nonce, struct mf_slice aad, struct mf_slice text, uint8_t *to,
    bool sealing)
{
	int n = 0;
	/* The key schedule is the same in both directions, so one context serves both. */
	if (EVP_CipherInit_ex2(a->ctx, NULL, NULL, nonce, sealing ? 1 : 0, NULL) != 1)
		return false;
	if (aad.n > 0 && EVP_CipherUpdate(a->ctx, NULL, &n, aad.p, (int)aad.n) != 1)
		return false;
	if (text.n > 0 && (EVP_CipherUpdate(a->ctx, to, &n, text.p, (int)text.n) != 1 || (size_t)n != text.n))
		return false;
	return true;
}

/* Forget what was appended after ${keep}. */
static void
truncate_wiped(struct mf_buf *out, size_t keep)
{
	if (out->n > keep)
		mf_wipe(out->p + keep, out->n - keep);
	out->n = keep;
}

static enum mf_status
check_sizes(struct mf_slice aad, size_t plain, struct mf_err *err)
{
	if (aad.n > MF_AEAD_MAX || plain > MF_AEAD_MAX)
		return MF_FAIL(err, MF_E_TOOBIG, "aes-gcm: more than %u bytes in one message", MF_AEAD_MAX);
	return MF_OK;
}

enum mf_status
mf_aead_seal(struct mf_aead *a, const uint8_t nonce[MF_AEAD_NONCE_SIZE], struct mf_slice aad,
    struct mf_slice plain, struct mf_buf *out, struct mf_err *err)
{
	MF_TRY(check_sizes(aad, plain.n, err));
	size_t keep = out->n;
	uint8_t *to = mf_buf_extend(out, plain.n + MF_AEAD_TAG_SIZE);
	if (to == NULL)
		return mf_buf_check(out, err);
	uint8_t end[EVP_MAX_BLOCK_LENGTH];
	int n = 0;
	if (!run(a, nonce, aad, plain, to, true) || EVP_CipherFinal_ex(a->ctx, end, &n) != 1 || n != 0 ||
	    EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_GET_TAG, MF_AEAD_TAG_SIZE, to + plain.n) != 1) {
		truncate_wiped(out, keep);
		return mf_crypto_fail(err, MF_E_INTERNAL, "aes-gcm seal");
	}
	return MF_OK;
}

enum mf_status
mf_aead_open(struct mf_aead *a, const uint8_t nonce[MF_AEAD_NONCE_SIZE], struct mf_slice aad,
    struct mf_slice sealed, struct mf_buf *out, struct mf_err *err)
{
	if (sealed.n < MF_AEAD_TAG_SIZE)
		return MF_FAIL(err, MF_E_UNAUTH, "aes-gcm: %zu bytes are shorter than a tag", sealed.n);
	struct mf_slice text = mf_slice_sub(sealed, 0, sealed.n - MF_AEAD_TAG_SIZE);
	struct mf_slice rest = mf_slice_sub(sealed, text.n, MF_AEAD_TAG_SIZE);
	MF_TRY(check_sizes(aad, text.n, err));
	uint8_t tag[MF_AEAD_TAG_SIZE], end[EVP_MAX_BLOCK_LENGTH];
	memcpy(tag, rest.p, sizeof(tag));
	size_t keep = out->n;
	uint8_t *to = mf_buf_extend(out, text.n);
	if (to == NULL)
		return mf_buf_check(out, err);
	int n = 0;
	if (!run(a, nonce, aad, text, to, false) ||
	    EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, MF_AEAD_TAG_SIZE, tag) != 1) {
		truncate_wiped(out, keep);
		return mf_crypto_fail(err, MF_E_INTERNAL, "aes-gcm open");
	}
	if (EVP_CipherFinal_ex(a->ctx, end, &n) != 1) {
		truncate_wiped(out, keep);
		ERR_clear_error();
		return MF_FAIL(
		    err, MF_E_UNAUTH, "aes-gcm: the tag does not fit: other key, or altered bytes");
	}
	return MF_OK;
}
