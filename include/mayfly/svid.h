/*
 * mayfly/svid.h: a workload's X.509-SVIDs, as one snapshot.
 *
 * A mayfly_x509 is what the agent said at one moment: the identities of this process, each with certificate chain and
 * private key, and the bundles that verify peers. The next moment is another snapshot (mayfly/workload.h).
 *
 * Ownership: a snapshot is reference counted; what its accessors return lives as long as the snapshot.
 * Threads: immutable; any number of threads may read one, and _ref and _unref are safe from all of them.
 */
#ifndef MAYFLY_SVID_H
#define MAYFLY_SVID_H
#include <stdint.h>

#include <mayfly/bundle.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mayfly_x509 mayfly_x509;
typedef struct mayfly_svid mayfly_svid;

MAYFLY_API mayfly_x509 *mayfly_x509_ref(const mayfly_x509 *x509);
MAYFLY_API void mayfly_x509_unref(const mayfly_x509 *x509);

/* At least 1. The order is the agent's; number 0 is the default identity. */
MAYFLY_API size_t mayfly_x509_count(const mayfly_x509 *x509);
MAYFLY_API const mayfly_svid *mayfly_x509_at(const mayfly_x509 *x509, size_t i); /* NULL: no such i */
/* The first with this SPIFFE ID and this hint; NULL leaves one open, so (NULL, NULL) is the default. NULL: none. */
MAYFLY_API const mayfly_svid *
mayfly_x509_find(const mayfly_x509 *x509, const char *spiffe_id, const char *hint);
/* Borrowed: use mayfly_bundles_ref to keep it longer than the snapshot. */
MAYFLY_API const mayfly_bundles *mayfly_x509_bundles(const mayfly_x509 *x509);

MAYFLY_API const char *mayfly_svid_id(const mayfly_svid *svid);	  /* "spiffe://td/path" */
MAYFLY_API const char *mayfly_svid_hint(const mayfly_svid *svid); /* "" when the agent gave none */
MAYFLY_API const char *
mayfly_svid_serial(const mayfly_svid *svid); /* lowercase hex, as in the records of Mayfly */
MAYFLY_API int64_t mayfly_svid_not_before(const mayfly_svid *svid); /* seconds since 1970 */
MAYFLY_API int64_t mayfly_svid_not_after(const mayfly_svid *svid);

/* The chain, leaf first: 1 or more certificates in DER. MAYFLY_E_NOTFOUND: no such i. */
MAYFLY_API size_t mayfly_svid_chain_count(const mayfly_svid *svid);
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_svid_cert(
    const mayfly_svid *svid, size_t i, const unsigned char **ret_der, size_t *ret_n, mayfly_error *err);
/*
 * The private key, unencrypted PKCS#8 DER, in the library's locked memory: a copy of it is the caller's to wipe.
 * MAYFLY_E_STATE in a forked child.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_svid_key(
    const mayfly_svid *svid, const unsigned char **ret_pkcs8, size_t *ret_n, mayfly_error *err);
/* As PEM for other TLS libraries, to be freed with mayfly_string_free (which wipes). */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_svid_chain_pem(
    const mayfly_svid *svid, char **ret_pem, mayfly_error *err);
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_svid_key_pem(
    const mayfly_svid *svid, char **ret_pem, mayfly_error *err);

#ifdef __cplusplus
}
#endif
#endif
