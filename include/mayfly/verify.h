/*
 * mayfly/verify.h: is this peer who it must be?
 *
 * Two questions, asked in this order. Authentic: is the chain an X.509-SVID that leads to the bundle of its own trust
 * domain, valid now and not revoked (X509-SVID standard, section 5)? Allowed: does the authorizer accept its ID? There
 * is no call that answers the second without the first.
 *
 * Threads: authorizers and peers are immutable once made and may be shared; a callback must be safe where it is used.
 */
#ifndef MAYFLY_VERIFY_H
#define MAYFLY_VERIFY_H
#include <mayfly/svid.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mayfly_authorizer mayfly_authorizer;
typedef struct mayfly_peer mayfly_peer;

/* One of these IDs, byte for byte after folding scheme and trust domain. 1 to 1024; copied. */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_authorize_ids(
    const char *const *spiffe_ids, size_t n, mayfly_authorizer **ret_authorizer, mayfly_error *err);
/* Any ID of this trust domain ("example.org" or "spiffe://example.org"). */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_authorize_members(
    const char *trust_domain, mayfly_authorizer **ret_authorizer, mayfly_error *err);
/* Any ID that authenticates, federated trust domains included: for programs that decide later, per request. */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_authorize_any(
    mayfly_authorizer **ret_authorizer, mayfly_error *err);
/* Not zero: accepted. Called after authentication only, on the thread that verifies. */
typedef int (*mayfly_authorize_fn)(void *ctx, const char *spiffe_id);
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_authorize_by(
    mayfly_authorize_fn fn, void *ctx, mayfly_authorizer **ret_authorizer, mayfly_error *err);
/* Reference counted inside: a TLS context made with it keeps what it needs. */
MAYFLY_API void mayfly_authorizer_free(mayfly_authorizer *authorizer);

typedef struct mayfly_der {
	const unsigned char *p;
	size_t n;
} mayfly_der;

/* CRLs that are there always count. With this flag the leaf's issuer must have given one that is valid now. */
#define MAYFLY_VERIFY_NEED_CRL 1u

/*
 * chain: leaf first, as the peer sent it. now_s: seconds since 1970, 0 for the system's clock. MAYFLY_E_INVALID: not an
 * X.509-SVID chain; MAYFLY_E_UNTRUSTED: not authentic; MAYFLY_E_DENIED: authentic, not accepted. The peer is the
 * caller's to free.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_verify_x509(const mayfly_bundles *bundles,
    const mayfly_der *chain, size_t n, const mayfly_authorizer *authorizer, unsigned flags, int64_t now_s,
    mayfly_peer **ret_peer, mayfly_error *err);
MAYFLY_API void mayfly_peer_free(mayfly_peer *peer);
MAYFLY_API const char *mayfly_peer_id(const mayfly_peer *peer);
MAYFLY_API const char *mayfly_peer_serial(const mayfly_peer *peer); /* lowercase hex */
MAYFLY_API int64_t mayfly_peer_not_after(const mayfly_peer *peer);  /* seconds since 1970 */

#ifdef __cplusplus
}
#endif
#endif
