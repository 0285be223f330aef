/*
 * hash: SHA-256 and HMAC-SHA256.
 *
 * The one-shot calls are thread-safe and reuse a context per thread. No input makes them fail; without
 * memory they abort (libcrypto allocates some hundred bytes per call).
 */
#ifndef MF_CRYPTO_HASH_H
#define MF_CRYPTO_HASH_H
#include "base/slice.h"

#define MF_SHA256_SIZE 32

void mf_sha256(struct mf_slice in, uint8_t ret[MF_SHA256_SIZE]);
/* Of ${a} followed by ${b}, without joining them in memory (tree nodes, prefixed leaves). */
void mf_sha256_join(struct mf_slice a, struct mf_slice b, uint8_t ret[MF_SHA256_SIZE]);
/* RFC 2104; ${key} of any length, also empty. The key is not kept. */
void mf_hmac_sha256(struct mf_slice key, struct mf_slice in, uint8_t ret[MF_SHA256_SIZE]);

/* Incremental: new, update any number of times, final (which makes it ready for the next message). */
struct mf_sha256_ctx; /* opaque; belongs to one thread at a time */
MF_NODISCARD enum mf_status mf_sha256_ctx_new(struct mf_sha256_ctx **ret_ctx, struct mf_err *err);
void mf_sha256_update(struct mf_sha256_ctx *ctx, struct mf_slice in);
void mf_sha256_final(struct mf_sha256_ctx *ctx, uint8_t ret[MF_SHA256_SIZE]);
void mf_sha256_ctx_free(struct mf_sha256_ctx *ctx); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_sha256_ctx, mf_sha256_ctx_free)
#endif
