/*
 * ssh_verify: signatures by the kinds of keys that SSH has, over raw numbers (codec/sshsig.h takes them apart).
 * MF_E_UNAUTH: the signature is not the key's; also when the key is no key. No globals; any thread.
 */
#ifndef MF_CRYPTO_SSH_VERIFY_H
#define MF_CRYPTO_SSH_VERIFY_H
#include "base/slice.h"

/* ${bits}: 256, 384 or 521; the hash is SSH's for it (RFC 5656 6.2.1). Point uncompressed; r, s big-endian. */
MF_NODISCARD enum mf_status mf_ssh_verify_ecdsa(unsigned bits, struct mf_slice point, struct mf_slice r,
    struct mf_slice s, struct mf_slice message, struct mf_err *err);
/* PKCS#1 v1.5 with SHA-512 or SHA-256. */
MF_NODISCARD enum mf_status mf_ssh_verify_rsa(struct mf_slice n, struct mf_slice e, bool sha512,
    struct mf_slice sig, struct mf_slice message, struct mf_err *err);
void mf_sha512(struct mf_slice in, uint8_t ret[64]);
#endif
