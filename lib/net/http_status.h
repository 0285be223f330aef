/*
 * http_status: a small HTTP/1.1 server for GET of a few fixed paths (/metrics, /healthz, /readyz; the OIDC documents).
 * In clear it is meant for loopback; tls_web.h is for the rest of the world. Header and body sizes are capped, everything
 * but GET and HEAD is refused, and a path is compared as it came, byte by byte.
 */
#ifndef MF_NET_HTTP_STATUS_H
#define MF_NET_HTTP_STATUS_H
#include "net/loop.h"

struct mf_http_status;

struct mf_http_status_page {
	const char *path;	   /* "/metrics" */
	const char *content_type;  /* "text/plain; charset=utf-8" */
	const char *cache_control; /* NULL: "no-store" */
	/* Write the body to ${body} (capped) and return the HTTP status: 200 or 503. */
	int (*fill)(void *ctx, struct mf_buf *body);
	void *ctx;
};

/* ${fd}: listening, non-blocking; taken over on success. ${pages} is copied, what it points to is not. */
MF_NODISCARD enum mf_status mf_http_status_new(struct mf_loop *l, int fd,
    const struct mf_http_status_page *pages, size_t n, struct mf_http_status **ret_h, struct mf_err *err);
void mf_http_status_free(struct mf_http_status *h);
MF_DEFINE_CLEANUP(struct mf_http_status, mf_http_status_free)
#endif
