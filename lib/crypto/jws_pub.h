/*
 * jws_pub: public keys that verify JWS signatures: EC on P-256, P-384 and P-521, and RSA of 2048 to 8192 bits.
 *
 * A key is immutable once made: threads may share it for reading. The algorithm must fit the key (RFC 8725 3.1): an
 * EC key verifies the one algorithm of its curve, an RSA key RS* and PS*, and there is nothing else.
 */
#ifndef MF_CRYPTO_JWS_PUB_H
#define MF_CRYPTO_JWS_PUB_H
#include "crypto/jws_alg.h"

#define MF_JWS_SIG_MAX 1024 /* bytes of a signature: RSA of 8192 bits */

enum mf_jws_curve { MF_JWS_P256, MF_JWS_P384, MF_JWS_P521, MF_JWS_CURVES };

struct mf_jws_pub; /* opaque */

/* "P-256", ... (RFC 7518 6.2.1.1). */
MF_NODISCARD bool mf_jws_curve_parse(struct mf_slice crv, enum mf_jws_curve *ret_curve);
/* ${x}, ${y}: of the full length of a coordinate (32, 48, 66 bytes). MF_E_INVALID when not a point of the curve. */
MF_NODISCARD enum mf_status mf_jws_pub_ec(enum mf_jws_curve curve, struct mf_slice x, struct mf_slice y,
    struct mf_jws_pub **ret_pub, struct mf_err *err);
/*
 * ${n}, ${e}: big-endian, shortest spelling (no leading zero octet, RFC 7518 2). MF_E_INVALID for a modulus under 2048
 * (RFC 7518 3.3) or over 8192 bits, an even one, one of the ROCA family, and an exponent that is even, under 3 or over 32 bits.
 */
MF_NODISCARD enum mf_status
mf_jws_pub_rsa(struct mf_slice n, struct mf_slice e, struct mf_jws_pub **ret_pub, struct mf_err *err);
void mf_jws_pub_free(struct mf_jws_pub *pub); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_jws_pub, mf_jws_pub_free)

bool mf_jws_pub_fits(const struct mf_jws_pub *pub, enum mf_jws_alg alg);
/*
 * MF_OK when ${sig} is the signature of ${input}: ECDSA as raw r || s of exactly twice the coordinate's length (RFC 7518
 * 3.4), RSA of exactly the modulus' length; PSS with a salt as long as the hash (3.5). MF_E_INVALID when not.
 */
MF_NODISCARD enum mf_status mf_jws_pub_verify(const struct mf_jws_pub *pub, enum mf_jws_alg alg,
    struct mf_slice input, struct mf_slice sig, struct mf_err *err);
#endif
