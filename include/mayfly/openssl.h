/*
 * mayfly/openssl.h: mutual TLS for programs that use OpenSSL 3.
 *
 * A context made here takes certificate, key and bundles from a watch at every handshake, so that a renewal or a
 * revocation needs no reload: drive the watch, and use the SSL_CTX as always. Both sides must show an X.509-SVID; host
 * names are neither sent as a proof nor checked. TLS 1.2 is the least (1.3 by a flag); renegotiation, compression,
 * session resumption and tickets are off, because a resumed session is not verified again. Do not switch them on, and do
 * not replace the verify callback, the certificate callback or SSL_CTX's app data of these contexts.
 *
 * Threads: as OpenSSL: one SSL per thread at a time, one SSL_CTX shared by all. The watch may be driven by another
 * thread.
 */
#ifndef MAYFLY_OPENSSL_H
#define MAYFLY_OPENSSL_H
#include <openssl/ssl.h>

#include <mayfly/verify.h>
#include <mayfly/workload.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MAYFLY_TLS_SERVER 1u
#define MAYFLY_TLS_CLIENT 2u
#define MAYFLY_TLS_1_3_ONLY 4u
#define MAYFLY_TLS_NEED_CRL 8u /* as MAYFLY_VERIFY_NEED_CRL */

/*
 * flags: exactly one of SERVER and CLIENT, and others. watch: of kind MAYFLY_WATCH_X509; it may be freed before the
 * context, which then refuses every handshake. hint: which identity to show (mayfly_x509_find); NULL: the default.
 * The authorizer may be freed at once. Free the context with SSL_CTX_free. A handshake fails while there is no
 * snapshot; wait for MAYFLY_UPDATED first.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_tls_context(mayfly_watch *watch, unsigned flags,
    const char *hint, const mayfly_authorizer *authorizer, SSL_CTX **ret_ctx, mayfly_error *err);

/* The peer's SPIFFE ID after a handshake that succeeded; lives as long as ssl. NULL: there was none. */
MAYFLY_API const char *mayfly_tls_peer_id(const SSL *ssl);
/*
 * Is the peer of an open connection still good? The same question as in the handshake, with the bundles and CRLs of
 * now: MAYFLY_E_UNTRUSTED when it was revoked or has expired since. Ask it at MAYFLY_UPDATED for connections that
 * last; the peer cannot notice.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_tls_recheck(SSL *ssl, mayfly_error *err);
/* Why the last handshake of ssl was refused by us (its text is not sent to the peer). MAYFLY_OK: it was not. */
MAYFLY_API mayfly_status mayfly_tls_why(const SSL *ssl, mayfly_error *err);

#ifdef __cplusplus
}
#endif
#endif
