/*
 * p256: keys on NIST P-256 and ECDSA signatures over SHA-256 digests.
 *
 * A key object is immutable: threads may share it for reading. A signer belongs to one thread at a
 * time; each signing thread has its own, because two threads on one libcrypto key share its locks.
 * Private scalars are in libcrypto's key object and, when exported, in a struct mf_secret only.
 */
#ifndef MF_CRYPTO_P256_H
#define MF_CRYPTO_P256_H
#include "base/buf.h"
#include "base/secret.h"

#define MF_P256_POINT_SIZE 65	/* 04 || X || Y, the uncompressed form of SEC 1, 2.3.3 */
#define MF_P256_PKCS8_SIZE 138	/* version 1, named curve, with the public key */
#define MF_P256_SIG_MAX 72	/* DER ECDSA-Sig-Value */
#define MF_P256_SIG_RAW_SIZE 64 /* r || s, as JWS wants it */

struct mf_p256_key;    /* opaque */
struct mf_p256_signer; /* opaque */
struct evp_pkey_st;    /* libcrypto's EVP_PKEY */

MF_NODISCARD enum mf_status mf_p256_generate(struct mf_p256_key **ret_key, struct mf_err *err);
void mf_p256_key_free(struct mf_p256_key *key); /* wipes; NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_p256_key, mf_p256_key_free)

/*
 * Unencrypted PKCS#8 (RFC 5208 PrivateKeyInfo holding an RFC 5915 ECPrivateKey), in the one spelling
 * that libcrypto writes for a P-256 key. Reading refuses every other spelling, a scalar outside
 * 1..n-1, and a public key that is not the scalar's (MF_E_INVALID).
 */
MF_NODISCARD enum mf_status
mf_p256_to_pkcs8(const struct mf_p256_key *key, struct mf_secret **ret_der, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_p256_from_pkcs8(struct mf_slice der, struct mf_p256_key **ret_key, struct mf_err *err);

void mf_p256_public(const struct mf_p256_key *key, uint8_t ret_point[MF_P256_POINT_SIZE]);
/* MF_OK when ${point} has MF_P256_POINT_SIZE bytes, the uncompressed form, and lies on the curve. */
MF_NODISCARD enum mf_status mf_p256_point_check(struct mf_slice point, struct mf_err *err);
/* For TLS contexts: borrowed, lives as long as ${key}. */
struct evp_pkey_st *mf_p256_evp(const struct mf_p256_key *key);

/* Copies the key; ${key} may be freed before the signer. */
MF_NODISCARD enum mf_status
mf_p256_signer_new(const struct mf_p256_key *key, struct mf_p256_signer **ret_signer, struct mf_err *err);
void mf_p256_signer_free(struct mf_p256_signer *signer); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_p256_signer, mf_p256_signer_free)
/* Appends the DER signature (at most MF_P256_SIG_MAX bytes) over a SHA-256 digest. */
MF_NODISCARD enum mf_status mf_p256_sign_digest(
    struct mf_p256_signer *signer, const uint8_t digest[32], struct mf_buf *ret_der_sig, struct mf_err *err);
/* MF_OK when ${der_sig} signs ${digest} under ${point}; MF_E_INVALID when not. */
MF_NODISCARD enum mf_status mf_p256_verify_digest(
    struct mf_slice point, const uint8_t digest[32], struct mf_slice der_sig, struct mf_err *err);
/* A strict DER ECDSA-Sig-Value as r || s, each left-padded to 32 bytes (RFC 7518, 3.4). */
MF_NODISCARD enum mf_status
mf_p256_sig_to_raw(struct mf_slice der_sig, uint8_t ret_raw[MF_P256_SIG_RAW_SIZE], struct mf_err *err);
#endif
