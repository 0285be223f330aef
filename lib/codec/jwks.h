/*
 * jwks: public keys as JSON Web Keys (RFC 7517, RFC 7518 section 6.2). Encode only, into a JSON writer in
 * document order. Members that no specification defines for the use are never written (BND-6).
 */
#ifndef MF_CODEC_JWKS_H
#define MF_CODEC_JWKS_H
#include "codec/json_write.h"
#include "crypto/jws_key.h"
#include "crypto/p256.h"

struct mf_jwk_ec {
	const uint8_t *point; /* MF_P256_POINT_SIZE bytes, uncompressed */
	const char *use;      /* NULL: left out */
	struct mf_slice kid;  /* empty: left out */
	struct mf_slice x5c;  /* one DER certificate; empty: left out */
};

/* One object: kty, use, kid, crv, x, y, x5c, of these what is set. */
void mf_jwk_ec_put(struct mf_jw *w, const struct mf_jwk_ec *key);
/* The public half of a signing key: kty, use (unless NULL), kid and its numbers. */
void mf_jwk_jws_put(struct mf_jw *w, const struct mf_jws_key *key, const char *use);
/*
 * The key of a certificate, with that certificate beside it: ${spki} is its SubjectPublicKeyInfo (mf_x509_peek). False,
 * and nothing is written, for another key than RSA and those on P-256, P-384 and P-521.
 */
MF_NODISCARD bool
mf_jwk_cert_put(struct mf_jw *w, struct mf_slice spki, const char *use, struct mf_slice x5c);
#endif
