#include "crypto/hash.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>

#include "crypto/provider.h"

/* Contexts of one thread: making one costs as much as hashing 300 bytes. */
struct thread_ctx {
	EVP_MD_CTX *md;
	EVP_MAC_CTX *mac;
};

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void
thread_ctx_free(void *p)
{
	struct thread_ctx *t = p;
	EVP_MD_CTX_free(t->md);
	EVP_MAC_CTX_free(t->mac);
	free(t);
}

static void
make_key(void)
{
	if (pthread_key_create(&key, thread_ctx_free) != 0)
		abort();
}

static struct thread_ctx *
thread_ctx(void)
{
	if (pthread_once(&key_once, make_key) != 0)
		abort();
	struct thread_ctx *t = pthread_getspecific(key);
	if (t != NULL)
		return t;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		abort();
	char digest[] = "SHA2-256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	t->md = EVP_MD_CTX_new();
	t->mac = EVP_MAC_CTX_new(mf_crypto_hmac());
	if (t->md == NULL || t->mac == NULL || EVP_MAC_CTX_set_params(t->mac, params) != 1 ||
	    pthread_setspecific(key, t) != 0)
		abort();
	return t;
}

void
mf_sha256(struct mf_slice in, uint8_t ret[MF_SHA256_SIZE])
{
	EVP_MD_CTX *md = thread_ctx()->md;
	if (EVP_DigestInit_ex2(md, mf_crypto_sha256(), NULL) != 1 || EVP_DigestUpdate(md, in.p, in.n) != 1 ||
	    EVP_DigestFinal_ex(md, ret, NULL) != 1)
		abort(); /* software SHA-256 has no failure; going on without a hash would be worse */
}

void
mf_sha256_join(struct mf_slice a, struct mf_slice b, uint8_t ret[MF_SHA256_SIZE])
{
	EVP_MD_CTX *md = thread_ctx()->md;
	if (EVP_DigestInit_ex2(md, mf_crypto_sha256(), NULL) != 1 || EVP_DigestUpdate(md, a.p, a.n) != 1 ||
	    EVP_DigestUpdate(md, b.p, b.n) != 1 || EVP_DigestFinal_ex(md, ret, NULL) != 1)
		abort();
}

void
mf_hmac_sha256(struct mf_slice k, struct mf_slice in, uint8_t ret[MF_SHA256_SIZE])
{
	static const uint8_t zero[MF_SHA256_SIZE];
	EVP_MAC_CTX *mac = thread_ctx()->mac;
	size_t n = 0;
	/* NULL would mean "the previous key" */
	const uint8_t *kp = k.n == 0 ? zero : k.p;
	if (EVP_MAC_init(mac, kp, k.n, NULL) != 1 || EVP_MAC_update(mac, in.p, in.n) != 1 ||
	    EVP_MAC_final(mac, ret, &n, MF_SHA256_SIZE) != 1 || n != MF_SHA256_SIZE)
		abort();
	/* The context outlives this call; the key must not. */
	if (EVP_MAC_init(mac, zero, sizeof(zero), NULL) != 1)
		abort();
}

struct mf_sha256_ctx {
	EVP_MD_CTX *md;
};

enum mf_status
mf_sha256_ctx_new(struct mf_sha256_ctx **ret_ctx, struct mf_err *err)
{
	MF_AUTO(mf_sha256_ctx_free) struct mf_sha256_ctx *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "sha256: out of memory");
	c->md = EVP_MD_CTX_new();
	if (c->md == NULL || EVP_DigestInit_ex2(c->md, mf_crypto_sha256(), NULL) != 1)
		return mf_crypto_fail(err, MF_E_NOMEM, "sha256");
	*ret_ctx = MF_TAKE(c);
	return MF_OK;
}

void
mf_sha256_update(struct mf_sha256_ctx *ctx, struct mf_slice in)
{
	if (EVP_DigestUpdate(ctx->md, in.p, in.n) != 1)
		abort();
}

void
mf_sha256_final(struct mf_sha256_ctx *ctx, uint8_t ret[MF_SHA256_SIZE])
{
	if (EVP_DigestFinal_ex(ctx->md, ret, NULL) != 1 ||
	    EVP_DigestInit_ex2(ctx->md, mf_crypto_sha256(), NULL) != 1)
		abort();
}

void
mf_sha256_ctx_free(struct mf_sha256_ctx *ctx)
{
	if (ctx == NULL)
		return;
	EVP_MD_CTX_free(ctx->md);
	free(ctx);
}
