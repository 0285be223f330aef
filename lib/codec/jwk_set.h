/*
 * jwk_set: the keys of a JWK Set (RFC 7517) that verify JWT-SVIDs of one trust domain, read strictly.
 *
 * Ignored are elements of an unknown kty or curve, with another use, of an alg that is not one of the nine, and with
 * key_ops that do not verify (BND-5: "MUST ignore the entire JWK element"). What is left must be whole, or the document
 * is refused: a kid that is there and unique, coordinates of the exact length on their curve, an RSA key of at least
 * 2048 bits, and no private member. An `alg` beside the key narrows it to that algorithm.
 *
 * A set is immutable once read: threads may share it for reading, by reference.
 */
#ifndef MF_CODEC_JWK_SET_H
#define MF_CODEC_JWK_SET_H
#include "codec/json_write.h"
#include "crypto/jws_key.h"
#include "crypto/jws_pub.h"

enum mf_jwk_set_kind {
	MF_JWKS_SPIFFE, /* a SPIFFE bundle document: use is "jwt-svid", byte for byte (JWT-13) */
	MF_JWKS_WORKLOAD /* a map value of FetchJWTBundles: all its keys are JWT-SVID keys; use may be left out */
};

struct mf_jwk_set; /* opaque */

/* At most MF_LIM_BUNDLE_JSON bytes and MF_LIM_BUNDLE_KEYS elements. `keys` must be there and may be empty (BND-4). */
MF_NODISCARD enum mf_status mf_jwk_set_read(
    struct mf_slice in, enum mf_jwk_set_kind kind, struct mf_jwk_set **ret_set, struct mf_err *err);
struct mf_jwk_set *mf_jwk_set_ref(struct mf_jwk_set *set);
void mf_jwk_set_free(struct mf_jwk_set *set); /* lets go of a reference; NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_jwk_set, mf_jwk_set_free)

size_t mf_jwk_set_count(const struct mf_jwk_set *set);
struct mf_slice mf_jwk_set_kid(const struct mf_jwk_set *set, size_t i);
/* The key named ${kid} if it is one for ${alg}; NULL when there is none. Lives as long as the set. */
const struct mf_jws_pub *
mf_jwk_set_find(const struct mf_jwk_set *set, struct mf_slice kid, enum mf_jws_alg alg);

/* The elements again, as members of an array that is open in ${w}: kty, use (unless NULL), kid and the numbers. */
void mf_jwk_set_put(const struct mf_jwk_set *set, const char *use, struct mf_jw *w);
/* A whole document {"keys":[...]} without use, for FetchJWTBundles. */
MF_NODISCARD enum mf_status
mf_jwk_set_put_workload(const struct mf_jwk_set *set, struct mf_buf *to, struct mf_err *err);
#endif
