/*
 * http: HTTPS requests of the courier, many at a time, and the only wrapper of libcurl.
 *
 * https by TLS 1.2 or later, the peer verified; plain http to loopback addresses only, and only where the request allows it. No
 * redirect is followed; no proxy, cookie, netrc or environment is looked at; HTTP/1.1 without compression. The address that a name resolved to
 * is judged before it is connected to (address.h). A reply has at most MF_HTTP_BODY bytes of body and MF_HTTP_HEAD of
 * headers, and its time. Freed memory of libcurl is wiped: tokens pass through it.
 *
 * One thread; its loop is mf_http_wait.
 */
#ifndef MF_COURIER_HTTP_H
#define MF_COURIER_HTTP_H
#include "broker/backends/token_backend.h"

#define MF_HTTP_BODY (256u * 1024u)
#define MF_HTTP_HEAD (64u * 1024u)
#define MF_HTTP_FDS 4u

struct mf_http;	     /* opaque */
struct mf_http_call; /* a request under way; opaque */

/* How a request may be made; all of it outlives the call. */
struct mf_http_way {
	const char *ca_pem; /* "": the system's */
	struct mf_slice client_chain_pem, client_key_pem;
	bool loopback;
	uint32_t timeout_ms; /* all of it: name, connection, TLS, reply */
};

/* Once per process, before it confines itself: libcurl and libssl read files. */
MF_NODISCARD enum mf_status mf_http_new(struct mf_http **ret_h, struct mf_err *err);
/* Calls under way are dropped, nobody hears of it. */
void mf_http_free(struct mf_http *h);
MF_DEFINE_CLEANUP(struct mf_http, mf_http_free)

/*
 * ${req}'s body lives until ${done} was called or the call was cancelled; all else is copied. ${done} is called once, from
 * mf_http_wait; the reply lives as long as that call. MF_E_INVALID: the URL or the way is not allowed; MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_http_start(struct mf_http *h, const struct mf_http_request *req,
    const struct mf_http_way *way, void (*done)(void *ctx, const struct mf_http_reply *reply), void *ctx,
    struct mf_http_call **ret_c, struct mf_err *err);
void mf_http_cancel(struct mf_http_call *c);

struct mf_http_fd {
	int fd;
	bool want_read, want_write;
	bool readable, writable; /* set by mf_http_wait */
};
/* Wait until something can be done, ${fds} (at most MF_HTTP_FDS) included, and do what concerns requests. */
MF_NODISCARD enum mf_status
mf_http_wait(struct mf_http *h, struct mf_http_fd *fds, size_t n, uint32_t timeout_ms, struct mf_err *err);
#endif
