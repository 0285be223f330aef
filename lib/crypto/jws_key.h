/*
 * jws_key: private keys that sign JWTs: P-256 for ES256, RSA of 2048 bits for RS256.
 *
 * A key is immutable and shared by reference: threads may hold it at the same time, the last one to let go frees it.
 * A signer belongs to one thread at a time. Private numbers are in libcrypto's key object and, when exported, in a
 * struct mf_secret only.
 */
#ifndef MF_CRYPTO_JWS_KEY_H
#define MF_CRYPTO_JWS_KEY_H
#include "base/buf.h"
#include "base/secret.h"
#include "crypto/jws_alg.h"

#define MF_JWS_KID_SIZE 44 /* RFC 7638 thumbprint: 43 letters and a NUL */

struct mf_jws_key;    /* opaque */
struct mf_jws_signer; /* opaque */

/* ${alg}: MF_JWS_ES256 or MF_JWS_RS256 (some hundred milliseconds); else MF_E_UNSUPPORTED. */
MF_NODISCARD enum mf_status
mf_jws_key_generate(enum mf_jws_alg alg, struct mf_jws_key **ret_key, struct mf_err *err);
/* Unencrypted PKCS#8; P-256 in the one spelling of crypto/p256.h, RSA as libcrypto writes it. */
MF_NODISCARD enum mf_status
mf_jws_key_to_pkcs8(const struct mf_jws_key *key, struct mf_secret **ret_der, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_jws_key_from_pkcs8(struct mf_slice der, struct mf_jws_key **ret_key, struct mf_err *err);
struct mf_jws_key *mf_jws_key_ref(struct mf_jws_key *key);
void mf_jws_key_free(struct mf_jws_key *key); /* lets go; wipes with the last; NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_jws_key, mf_jws_key_free)

enum mf_jws_alg mf_jws_key_alg(const struct mf_jws_key *key);
/* The key's id: the SHA-256 thumbprint of RFC 7638, base64url. The same key has the same id wherever it is made known. */
const char *mf_jws_key_kid(const struct mf_jws_key *key);
/*
 * Append the public half as a JWK of the required members in lexical order, without white space (RFC 7638 3.2): the text
 * whose SHA-256 is the kid.
 */
void mf_jws_key_put_jwk(const struct mf_jws_key *key, struct mf_buf *to);

/* The public half; the slices live as long as the key. */
struct mf_jws_public {
	enum mf_jws_alg alg;
	struct mf_slice point; /* ES256: 65 bytes, uncompressed */
	struct mf_slice n, e;  /* RS256: big-endian, no leading zero */
};
struct mf_jws_public mf_jws_key_public(const struct mf_jws_key *key);

MF_NODISCARD enum mf_status
mf_jws_signer_new(const struct mf_jws_key *key, struct mf_jws_signer **ret_signer, struct mf_err *err);
void mf_jws_signer_free(struct mf_jws_signer *signer); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_jws_signer, mf_jws_signer_free)
/* Append the JWS signature of ${input}: raw r || s, or the RSA number. ${to} is unchanged unless MF_OK. */
MF_NODISCARD enum mf_status
mf_jws_sign(struct mf_jws_signer *signer, struct mf_slice input, struct mf_buf *to, struct mf_err *err);
#endif
