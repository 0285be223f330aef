/*
 * x509_self: a certificate around an RSA key that signs JWTs, for readers of a JWK's x5c who take a key from nothing
 * else. Nobody trusts it as a certificate: subject and issuer are O=Mayfly, CN=<kid>; self-signed with
 * sha256WithRSAEncryption; no extension. The same input gives the same bytes.
 */
#ifndef MF_CODEC_X509_SELF_H
#define MF_CODEC_X509_SELF_H
#include "crypto/jws_key.h"

/* Append the DER. MF_E_UNSUPPORTED: not an RSA key. */
MF_NODISCARD enum mf_status mf_x509_self(const struct mf_jws_key *key, int64_t not_before_s,
    int64_t not_after_s, struct mf_buf *to, struct mf_err *err);
#endif
