/*
 * hkdf: key derivation from HMAC-SHA256. Thread-safe, no failure on valid lengths.
 */
#ifndef MF_CRYPTO_HKDF_H
#define MF_CRYPTO_HKDF_H
#include "base/slice.h"

#define MF_HKDF_HASH 32
#define MF_HKDF_MAX (255u * MF_HKDF_HASH)

/*
 * RFC 5869 HKDF-SHA256: ${n} bytes (1..MF_HKDF_MAX) to ${ret}, else MF_E_INVALID. An empty
 * ${salt} counts as 32 zero bytes. ${info} is at most 1024 bytes.
 */
MF_NODISCARD enum mf_status mf_hkdf_sha256(struct mf_slice salt, struct mf_slice ikm, struct mf_slice info,
    uint8_t *ret, size_t n, struct mf_err *err);

/* Noise 4.3, HKDF(chaining_key, input_key_material, 2). The outputs may overwrite ${ck}. */
void mf_noise_hkdf2(const uint8_t ck[MF_HKDF_HASH], struct mf_slice ikm, uint8_t ret_1[MF_HKDF_HASH],
    uint8_t ret_2[MF_HKDF_HASH]);
#endif
