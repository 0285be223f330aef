/*
 * mayfly/bundle.h: the certificates that verify peers, by trust domain, and what was revoked.
 *
 * A mayfly_bundles maps trust domains to their signing certificates (SPIFFE Trust Domain and Bundle) and holds the
 * CRLs that came with them. Snapshots from the Workload API carry one; programs without an agent fill their own.
 *
 * Ownership: reference counted. mayfly_bundles_new gives one reference; _ref adds one, _unref gives one back.
 * Threads: filled (add_*) by one thread before it is shared; immutable and shared from then on. What came from a
 * snapshot is never changed: add_* on it is MAYFLY_E_STATE.
 */
#ifndef MAYFLY_BUNDLE_H
#define MAYFLY_BUNDLE_H
#include <stddef.h>

#include <mayfly/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mayfly_bundles mayfly_bundles;

MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_bundles_new(
    mayfly_bundles **ret_bundles, mayfly_error *err);
MAYFLY_API mayfly_bundles *mayfly_bundles_ref(const mayfly_bundles *bundles);
MAYFLY_API void mayfly_bundles_unref(const mayfly_bundles *bundles);

/*
 * Add the bundle of one trust domain: name ("example.org", or its SPIFFE ID "spiffe://example.org") and
 *   _der   certificates one after the other, as the Workload API carries them (may be empty: trusts nothing)
 *   _pem   CERTIFICATE blocks
 *   _json  the SPIFFE bundle document; only its x509-svid keys count here
 * MAYFLY_E_INVALID: not that, a certificate that may not sign, or the trust domain is there already: bundles are never
 * merged (BND-8).
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_bundles_add_der(
    mayfly_bundles *bundles, const char *trust_domain, const unsigned char *der, size_t n, mayfly_error *err);
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_bundles_add_pem(
    mayfly_bundles *bundles, const char *trust_domain, const char *pem, size_t n, mayfly_error *err);
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_bundles_add_json(
    mayfly_bundles *bundles, const char *trust_domain, const char *json, size_t n, mayfly_error *err);
/* One CRL in DER. It counts for certificates of the authority that signed it, whatever trust domain that is in. */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_bundles_add_crl(
    mayfly_bundles *bundles, const unsigned char *der, size_t n, mayfly_error *err);

/* Trust domains, in the order in which they came. The name has no scheme and lives as long as the object. */
MAYFLY_API size_t mayfly_bundles_count(const mayfly_bundles *bundles);
MAYFLY_API const char *
mayfly_bundles_trust_domain(const mayfly_bundles *bundles, size_t i); /* NULL: no such i */
MAYFLY_API size_t mayfly_bundles_crl_count(const mayfly_bundles *bundles);
/*
 * The certificates of a trust domain, concatenated DER; they live as long as the object. MAYFLY_E_NOTFOUND: it has no
 * bundle here.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_bundles_der(const mayfly_bundles *bundles,
    const char *trust_domain, const unsigned char **ret_der, size_t *ret_n, mayfly_error *err);
/* The same as CERTIFICATE blocks, for the caller to free with mayfly_string_free. */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_bundles_pem(
    const mayfly_bundles *bundles, const char *trust_domain, char **ret_pem, mayfly_error *err);

/* Wipes and frees a string that this library gave. */
MAYFLY_API void mayfly_string_free(char *s);

#ifdef __cplusplus
}
#endif
#endif
