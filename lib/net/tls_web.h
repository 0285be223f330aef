/*
 * tls_web: TLS for the small HTTP server (http_status.h) where the world reads from it: certificate and key from PEM, TLS
 * 1.2 and 1.3, nobody is asked for a certificate, no tickets, no renegotiation. Connections are counted: at ${conns} no
 * more are accepted, and each ends after ${life_ms}, whatever it does; so that nobody who sends a byte now and then keeps
 * others out. Loop's thread.
 */
#ifndef MF_NET_TLS_WEB_H
#define MF_NET_TLS_WEB_H
#include "net/http_status.h"

struct mf_tls_web; /* opaque */

struct mf_tls_web_conf {
	struct mf_slice chain_pem, key_pem; /* leaf first */
	unsigned conns;
	uint64_t life_ms;
};

/*
 * From now on ${h} speaks TLS and nothing else. MF_E_INVALID: not a certificate with its key; the text says which. Free it
 * after ${h}.
 */
MF_NODISCARD enum mf_status mf_tls_web_new(struct mf_loop *l, struct mf_http_status *h,
    const struct mf_tls_web_conf *conf, struct mf_tls_web **ret_w, struct mf_err *err);
/* Another certificate, for connections from now on. On failure the one in force stays. */
MF_NODISCARD enum mf_status mf_tls_web_renew(
    struct mf_tls_web *w, struct mf_slice chain_pem, struct mf_slice key_pem, struct mf_err *err);
unsigned mf_tls_web_conns(const struct mf_tls_web *w);
/* Before the server that it is for, which then must not be served any more. NULL is a no-op. */
void mf_tls_web_free(struct mf_tls_web *w);
MF_DEFINE_CLEANUP(struct mf_tls_web, mf_tls_web_free)
#endif
