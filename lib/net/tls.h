/*
 * tls: TLS 1.3 over memory, mutual, HTTP/2 only; the only user of libssl.
 *
 * No tickets, no resumption, no early data: every session proves its certificate anew. OpenSSL checks
 * that the peer holds the key of the certificate it shows; whether that certificate is good is
 * decided by the caller's verify function, which gets the chain as DER bytes and nothing else; or, where each
 * microsecond of a handshake counts, as OpenSSL decoded it.
 *
 * A struct mf_tls_ctx is one identity and its rules; it is counted, so it may be replaced (rotation)
 * while connections made from it live. A context may be used by several threads, a struct mf_tls by
 * one at a time.
 */
#ifndef MF_NET_TLS_H
#define MF_NET_TLS_H
#include "base/buf.h"

struct mf_tls_ctx;
struct mf_tls;
struct x509_st;	      /* OpenSSL's X509 */
struct stack_st_X509; /* and STACK_OF(X509) */

struct mf_tls_config {
	bool server;
	/* Our chain, leaf first, DER; none: a client without certificate (the joining lane). */
	const struct mf_slice *chain;
	size_t n_chain;
	struct mf_slice key; /* PKCS#8 DER of the leaf's key */
	/*
	 * The peer's chain, leaf first, at most MF_LIM_CHAIN of at most MF_LIM_CERT_DER bytes; valid
	 * during the call. On a server ${n} 0 is a client without certificate: the caller decides. Anything but
	 * MF_OK ends the handshake with an alert; ${err} is what mf_tls_feed then reports. ${conn} is
	 * what mf_tls_new was given.
	 */
	enum mf_status (*verify)(
	    void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err);
	/*
	 * If set, in its place for peers that show certificates: OpenSSL's leaf and all that was sent (codec/x509_read.h,
	 * mf_svid_verify_decoded, which looks at the limits, too). What decodes them again costs a tenth of a handshake.
	 */
	enum mf_status (*verify_decoded)(
	    void *ctx, void *conn, struct x509_st *leaf, struct stack_st_X509 *sent, struct mf_err *err);
	void *ctx;
};

MF_NODISCARD enum mf_status
mf_tls_ctx_new(const struct mf_tls_config *cfg, struct mf_tls_ctx **ret_c, struct mf_err *err);
struct mf_tls_ctx *mf_tls_ctx_ref(struct mf_tls_ctx *c); /* one count more; yields ${c} */
void mf_tls_ctx_free(struct mf_tls_ctx *c);		 /* gives up one count */
MF_DEFINE_CLEANUP(struct mf_tls_ctx, mf_tls_ctx_free)

MF_NODISCARD enum mf_status
mf_tls_new(struct mf_tls_ctx *c, void *conn, struct mf_tls **ret_t, struct mf_err *err);
void mf_tls_free(struct mf_tls *t);
MF_DEFINE_CLEANUP(struct mf_tls, mf_tls_free)

/* Bytes from the wire. After anything but MF_OK: pull (an alert may be there), send, close. */
MF_NODISCARD enum mf_status mf_tls_feed(struct mf_tls *t, struct mf_slice in, struct mf_err *err);
/* Append decrypted bytes to ${to}. MF_E_CLOSED: the peer closed in order; MF_E_EXHAUSTED: it floods us with KeyUpdates. */
MF_NODISCARD enum mf_status mf_tls_read(struct mf_tls *t, struct mf_buf *to, struct mf_err *err);
/* Encrypt ${in} whole. MF_E_STATE before the handshake is done. */
MF_NODISCARD enum mf_status mf_tls_write(struct mf_tls *t, struct mf_slice in, struct mf_err *err);
/* Append bytes for the wire to ${to}. A client starts with this. */
MF_NODISCARD enum mf_status mf_tls_pull(struct mf_tls *t, struct mf_buf *to, struct mf_err *err);
bool mf_tls_open(const struct mf_tls *t); /* handshake done, peer accepted, h2 agreed */
void mf_tls_close(struct mf_tls *t);	  /* queue close_notify */
#endif
