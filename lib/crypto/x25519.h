/*
 * x25519: Diffie-Hellman on Curve25519 (RFC 7748), raw 32-byte keys.
 *
 * Key objects never change once made: threads may share one without a lock.
 */
#ifndef MF_CRYPTO_X25519_H
#define MF_CRYPTO_X25519_H
#include "base/rand.h"
#include "base/secret.h"

#define MF_X25519_SIZE 32

struct mf_x25519; /* opaque: a private key and its public half */

/* A new key from ${rand} (NULL: the kernel's randomness). */
MF_NODISCARD enum mf_status
mf_x25519_generate(const struct mf_rand *rand, struct mf_x25519 **ret_key, struct mf_err *err);
/* From 32 private bytes, as mf_x25519_private gave them. */
MF_NODISCARD enum mf_status
mf_x25519_new(struct mf_slice private_key, struct mf_x25519 **ret_key, struct mf_err *err);
void mf_x25519_free(struct mf_x25519 *key); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_x25519, mf_x25519_free)

void mf_x25519_public(const struct mf_x25519 *key, uint8_t ret_public[MF_X25519_SIZE]);
/* The 32 private bytes, for a sealed key file; the caller frees. */
MF_NODISCARD enum mf_status
mf_x25519_private(const struct mf_x25519 *key, struct mf_secret **ret_private, struct mf_err *err);
/*
 * The shared secret with the owner of ${peer}; the caller wipes it. MF_E_INVALID when the result is
 * all zero (${peer} is a point of small order, RFC 7748 6.1): such a result holds nobody's secret.
 */
MF_NODISCARD enum mf_status mf_x25519_dh(const struct mf_x25519 *key, const uint8_t peer[MF_X25519_SIZE],
    uint8_t ret_shared[MF_X25519_SIZE], struct mf_err *err);
#endif
