/*
 * aead: AES-256-GCM with explicit 12-byte nonces.
 *
 * An object holds one key and reuses one context: it belongs to one thread at a time. The caller
 * owns the nonces: the same one twice under one key for seal gives both plaintexts away.
 */
#ifndef MF_CRYPTO_AEAD_H
#define MF_CRYPTO_AEAD_H
#include "base/buf.h"

#define MF_AEAD_KEY_SIZE 32
#define MF_AEAD_NONCE_SIZE 12
#define MF_AEAD_TAG_SIZE 16
#define MF_AEAD_MAX (16u * 1024u * 1024u) /* bytes of one plaintext or of one AAD */

struct mf_aead; /* opaque */

MF_NODISCARD enum mf_status
mf_aead_new(const uint8_t key[MF_AEAD_KEY_SIZE], struct mf_aead **ret_aead, struct mf_err *err);
void mf_aead_free(struct mf_aead *a); /* NULL is a no-op; wipes the key */
MF_DEFINE_CLEANUP(struct mf_aead, mf_aead_free)

/*
 * Append the ciphertext and its 16-byte tag to ${out}. ${plain} and ${aad} do not lie in ${out}.
 * On failure ${out} is as long as before.
 */
MF_NODISCARD enum mf_status mf_aead_seal(struct mf_aead *a, const uint8_t nonce[MF_AEAD_NONCE_SIZE],
    struct mf_slice aad, struct mf_slice plain, struct mf_buf *out, struct mf_err *err);
/*
 * Append the plaintext to ${out}. MF_E_UNAUTH when the tag does not fit: then nothing was appended
 * and what had been decrypted is wiped.
 */
MF_NODISCARD enum mf_status mf_aead_open(struct mf_aead *a, const uint8_t nonce[MF_AEAD_NONCE_SIZE],
    struct mf_slice aad, struct mf_slice sealed, struct mf_buf *out, struct mf_err *err);
#endif
