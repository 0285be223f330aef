/*
 * ed25519: signatures (RFC 8032, pure Ed25519), raw 32-byte keys and 64-byte signatures.
 *
 * Key objects never change once made: threads may share one without a lock.
 */
#ifndef MF_CRYPTO_ED25519_H
#define MF_CRYPTO_ED25519_H
#include "base/rand.h"
#include "base/secret.h"

#define MF_ED25519_KEY_SIZE 32
#define MF_ED25519_SIG_SIZE 64

struct mf_ed25519; /* opaque: a private key and its public half */

/* A new key from ${rand} (NULL: the kernel's randomness). */
MF_NODISCARD enum mf_status
mf_ed25519_generate(const struct mf_rand *rand, struct mf_ed25519 **ret_key, struct mf_err *err);
/* From the 32-byte seed that RFC 8032 calls the private key. */
MF_NODISCARD enum mf_status
mf_ed25519_new(struct mf_slice private_key, struct mf_ed25519 **ret_key, struct mf_err *err);
void mf_ed25519_free(struct mf_ed25519 *key); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_ed25519, mf_ed25519_free)

void mf_ed25519_public(const struct mf_ed25519 *key, uint8_t ret_public[MF_ED25519_KEY_SIZE]);
/* The 32 private bytes, for a sealed key file; the caller frees. */
MF_NODISCARD enum mf_status
mf_ed25519_private(const struct mf_ed25519 *key, struct mf_secret **ret_private, struct mf_err *err);
MF_NODISCARD enum mf_status mf_ed25519_sign(const struct mf_ed25519 *key, struct mf_slice message,
    uint8_t ret_sig[MF_ED25519_SIG_SIZE], struct mf_err *err);
/*
 * MF_OK when ${sig} is ${public_key}'s over ${message}; MF_E_UNAUTH when it is not (also for a
 * public key that is no point); MF_E_INVALID when a length is wrong.
 */
MF_NODISCARD enum mf_status mf_ed25519_verify(
    struct mf_slice public_key, struct mf_slice message, struct mf_slice sig, struct mf_err *err);
#endif
