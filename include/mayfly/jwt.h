/*
 * mayfly/jwt.h: JWT-SVIDs: tokens for services that take a bearer token, and their validation.
 *
 * A token is fetched for an audience, the service that it will be shown to, and is a secret: whoever has it is this
 * workload to that service until it expires. The service validates it with the JWT bundle of the token's own trust
 * domain, here or by asking its agent. X.509 bundles do not validate tokens, nor the reverse (WAPI-21).
 *
 * Threads: as snapshots: bundles are immutable once shared and reference counted; the others belong to their caller.
 */
#ifndef MAYFLY_JWT_H
#define MAYFLY_JWT_H
#include <stdint.h>

#include <mayfly/workload.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- getting tokens --- */

typedef struct mayfly_jwts mayfly_jwts;
/*
 * Tokens for these audiences (1 to 16, each 1 to 1024 bytes; one in normal use, since every one of them can use it
 * against the others). spiffe_id: which identity; NULL: a token for each that this process has. Attempts and
 * timeout_ms as in mayfly_fetch_x509. What the agent gives is checked: the subject is the identity, all audiences are in
 * it, it has not expired. Freed, and wiped, with mayfly_jwts_free.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_fetch_jwt(const mayfly_client *client,
    const char *const *audiences, size_t n, const char *spiffe_id, int timeout_ms, mayfly_jwts **ret_jwts,
    mayfly_error *err);
MAYFLY_API void mayfly_jwts_free(mayfly_jwts *jwts);
/* At least 1; number 0 is the default identity's. What the accessors return lives as long as the object. */
MAYFLY_API size_t mayfly_jwts_count(const mayfly_jwts *jwts);
MAYFLY_API const char *
mayfly_jwts_token(const mayfly_jwts *jwts, size_t i); /* compact JWS; NULL: no such i */
MAYFLY_API const char *mayfly_jwts_id(const mayfly_jwts *jwts, size_t i);
MAYFLY_API const char *mayfly_jwts_hint(const mayfly_jwts *jwts, size_t i);
MAYFLY_API int64_t mayfly_jwts_expires(
    const mayfly_jwts *jwts, size_t i); /* seconds since 1970; 0: no such i */
/* "Bearer <token>": the value of an HTTP Authorization header or of gRPC's authorization metadata (JWT-14). */
MAYFLY_API const char *mayfly_jwts_authorization(const mayfly_jwts *jwts, size_t i);

/* --- bundles --- */

typedef struct mayfly_jwt_bundles mayfly_jwt_bundles;
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_fetch_jwt_bundles(
    const mayfly_client *client, int timeout_ms, mayfly_jwt_bundles **ret_bundles, mayfly_error *err);
/* Of a watch of kind MAYFLY_WATCH_JWT_BUNDLES; to be unref'd; NULL: none now. Any thread. */
MAYFLY_API mayfly_jwt_bundles *mayfly_watch_jwt_bundles(mayfly_watch *watch);
/* For programs without an agent: filled by one thread, then shared. */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_jwt_bundles_new(
    mayfly_jwt_bundles **ret_bundles, mayfly_error *err);
/* A SPIFFE bundle document; only its jwt-svid keys count here. Rules as mayfly_bundles_add_json. */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_jwt_bundles_add_json(
    mayfly_jwt_bundles *bundles, const char *trust_domain, const char *json, size_t n, mayfly_error *err);
MAYFLY_API mayfly_jwt_bundles *mayfly_jwt_bundles_ref(const mayfly_jwt_bundles *bundles);
MAYFLY_API void mayfly_jwt_bundles_unref(const mayfly_jwt_bundles *bundles);
MAYFLY_API size_t mayfly_jwt_bundles_count(const mayfly_jwt_bundles *bundles);
MAYFLY_API const char *mayfly_jwt_bundles_trust_domain(const mayfly_jwt_bundles *bundles, size_t i);

/* --- validation --- */

typedef struct mayfly_jwt mayfly_jwt;
#define MAYFLY_JWT_LEEWAY_MAX 10 /* seconds */
/*
 * The whole of the JWT-SVID standard's section 5, offline. audience: who we are, which must be in the token.
 * leeway_s: how far clocks may differ, at most MAYFLY_JWT_LEEWAY_MAX. now_s: seconds since 1970, 0 for the system's
 * clock. MAYFLY_E_UNTRUSTED: the token is not accepted, for the reason in err; MAYFLY_E_INVALID: a bad argument of
 * ours. A token can be shown again until it expires: nothing here remembers it (JWT-15).
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_validate_jwt(const mayfly_jwt_bundles *bundles,
    const char *token, const char *audience, unsigned leeway_s, int64_t now_s, mayfly_jwt **ret_jwt,
    mayfly_error *err);
MAYFLY_API void mayfly_jwt_free(mayfly_jwt *jwt);
MAYFLY_API const char *mayfly_jwt_id(const mayfly_jwt *jwt); /* the subject */
MAYFLY_API int64_t mayfly_jwt_expires(const mayfly_jwt *jwt);
/* A claim that is a string (NULL: there is none), or an integer (MAYFLY_E_NOTFOUND). */
MAYFLY_API const char *mayfly_jwt_claim(const mayfly_jwt *jwt, const char *name);
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_jwt_claim_int(
    const mayfly_jwt *jwt, const char *name, int64_t *ret_value, mayfly_error *err);
/*
 * The same question put to the agent, for programs that keep no bundles: *ret_id is the subject, to be freed with
 * mayfly_string_free. MAYFLY_E_UNTRUSTED: the agent refuses the token.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_validate_jwt_by_agent(const mayfly_client *client,
    const char *token, const char *audience, int timeout_ms, char **ret_id, mayfly_error *err);

#ifdef __cplusplus
}
#endif
#endif
