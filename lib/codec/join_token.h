/*
 * join_token: what a node is given to join: where the broker is, how to know it, and one secret.
 *
 *   mft1.<base64url of the fields>.
 * The dot at the end shows that a copied token is whole. Fields, in this order:
 *   u16 length, broker address "host:port"     u16 length, trust domain
 *   u16 length, broker id                      32 bytes SHA-256 of the CA certificate's DER
 *   32 bytes inner static key of the notary    u16 length, token id
 *   32 bytes secret                            u64 expiry, seconds since 1970
 * Strict: one spelling per token, nothing after the last field, at most MF_LIM_JOIN_TOKEN bytes.
 */
#ifndef MF_CODEC_JOIN_TOKEN_H
#define MF_CODEC_JOIN_TOKEN_H
#include "base/buf.h"
#include "base/limits.h"
#include "base/secret.h"

#define MF_JOIN_SECRET 32
#define MF_JOIN_ADDRESS 261u /* bytes: 253 of a name, brackets, colon, port */
#define MF_JOIN_TOKEN_ID 64u
#define MF_JOIN_BROKER_ID 64u

/* Everything but the secret: what a front may know. By value; strings are NUL-terminated. */
struct mf_join_public {
	char address[MF_JOIN_ADDRESS + 1];	    /* "host:port", "[::1]:8461" */
	char trust_domain[MF_LIM_TRUST_DOMAIN + 1]; /* SPIFFE-ID 2.1 characters */
	char broker_id[MF_JOIN_BROKER_ID + 1];	    /* A-Z a-z 0-9 . _ -, no "." or ".." */
	uint8_t ca_sha256[32];
	uint8_t notary_key[32];		     /* X25519 */
	char token_id[MF_JOIN_TOKEN_ID + 1]; /* the same; public */
	uint64_t expires_s;		     /* seconds since 1970; 1 to the end of year 9999 */
};

struct mf_join_token; /* opaque, with the secret */

/* ${secret} is 32 bytes. MF_E_INVALID names the field that breaks a rule. */
MF_NODISCARD enum mf_status mf_join_token_new(const struct mf_join_public *pub, struct mf_slice secret,
    struct mf_join_token **ret_token, struct mf_err *err);
/* The text, without newline. Errors name fields, never bytes of it: it holds a secret. */
MF_NODISCARD enum mf_status
mf_join_token_decode(struct mf_slice text, struct mf_join_token **ret_token, struct mf_err *err);
/* Append the text to ${out}. */
MF_NODISCARD enum mf_status
mf_join_token_encode(const struct mf_join_token *t, struct mf_buf *out, struct mf_err *err);
void mf_join_token_free(struct mf_join_token *t); /* NULL is a no-op; wipes the secret */
MF_DEFINE_CLEANUP(struct mf_join_token, mf_join_token_free)

/* Lives as long as ${t}; holds no secret. */
const struct mf_join_public *mf_join_token_public(const struct mf_join_token *t);
struct mf_slice mf_join_token_secret(const struct mf_join_token *t);
/* Its secret is all zeros: it tells where the broker is and how to know it, and lets nobody in. */
bool mf_join_token_is_public(const struct mf_join_token *t);
/* What is stored and compared in place of the secret: SHA-256("mayfly-join-token-1" | 0 | secret). */
void mf_join_token_hash(const uint8_t secret[MF_JOIN_SECRET], uint8_t ret_hash[32]);
#endif
