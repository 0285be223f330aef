#include "net/http_status.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/http_internal.h"
#include "net/loop_internal.h"

#define PAGES_MAX 8u
#define BODY_MAX (1024u * 1024u) /* of what we answer */
#define HEADERS_MAX 8192
#define REQUEST_BODY_MAX 1024
#define TIMEOUT_S 10
#define PAUSE_MS 200u

struct mf_http_status {
	struct evhttp *http;
	struct evconnlistener *listener; /* the http server's */
	struct mf_loop_timer *pause;
	int fd; /* -1 until it was taken over */
	struct mf_http_status_page pages[PAGES_MAX];
	size_t n;
	struct mf_http_status *next; /* of this thread's */
};

/* evhttp puts its own argument in the place of ours, in the error callback too: whose a listener is, is found here. */
static _Thread_local struct mf_http_status *all;

static void
answer(struct evhttp_request *req, const struct mf_http_status_page *page)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf body;
	mf_buf_init(&body, BODY_MAX);
	int code = page->fill(page->ctx, &body);
	struct evkeyvalq *head = evhttp_request_get_output_headers(req);
	struct evbuffer *out = evhttp_request_get_output_buffer(req);
	const char *cache = page->cache_control == NULL || code != 200 ? "no-store" : page->cache_control;
	bool head_only = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
	char length[32];
	(void)snprintf(length, sizeof(length), "%zu", body.n);
	if (body.failed != MF_OK || (!head_only && evbuffer_add(out, body.p, body.n) != 0) ||
	    evhttp_add_header(head, "Content-Type", page->content_type) != 0 ||
	    (head_only && evhttp_add_header(head, "Content-Length", length) != 0) ||
	    evhttp_add_header(head, "Cache-Control", cache) != 0) {
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
		return;
	}
	evhttp_send_reply(req, code, code == 200 ? "OK" : "Service Unavailable", NULL);
}

static void
on_request(struct evhttp_request *req, void *ctx)
{
	const struct mf_http_status *h = ctx;
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
	enum evhttp_cmd_type cmd = evhttp_request_get_command(req);
	if (cmd != EVHTTP_REQ_GET && cmd != EVHTTP_REQ_HEAD) {
		evhttp_send_error(req, HTTP_BADMETHOD, NULL);
		return;
	}
	for (size_t i = 0; path != NULL && i < h->n; i++) {
		if (strcmp(path, h->pages[i].path) != 0)
			continue;
		answer(req, &h->pages[i]);
		return;
	}
	evhttp_send_error(req, HTTP_NOTFOUND, NULL);
}

/* Accepting failed, most likely for want of descriptors: not again in this very moment. */
static void
on_accept_error(struct evconnlistener *listener, void *ctx)
{
	MF_UNUSED(ctx); /* evhttp's */
	struct mf_http_status *h = all;
	while (h != NULL && h->listener != listener)
		h = h->next;
	if (h == NULL)
		return;
	(void)evconnlistener_disable(listener);
	mf_loop_timer_set(h->pause, PAUSE_MS);
}

static void
pause_over(void *ctx)
{
	struct mf_http_status *h = ctx;
	(void)evconnlistener_enable(h->listener);
}

static void
no_request_here(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int n, void *ctx)
{
	MF_UNUSED(l);
	MF_UNUSED(sa);
	MF_UNUSED(n);
	MF_UNUSED(ctx);
	evutil_closesocket(fd); /* evhttp_bind_listener puts its own in place of this */
}

static enum mf_status
listen_on(struct mf_http_status *h, struct mf_loop *l, int fd, struct mf_err *err)
{
	MF_TRY(mf_loop_timer_new(l, pause_over, h, &h->pause, err));
	struct evconnlistener *lev =
	    evconnlistener_new(mf_loop_base(l), no_request_here, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (lev == NULL)
		return MF_FAIL(err, MF_E_IO, "status pages: cannot accept on descriptor %d", fd);
	if (evhttp_bind_listener(h->http, lev) == NULL) {
		evconnlistener_free(lev);
		return MF_FAIL(err, MF_E_NOMEM, "status pages: out of memory");
	}
	h->listener = lev;
	evconnlistener_set_error_cb(lev, on_accept_error);
	return MF_OK;
}

enum mf_status
mf_http_status_new(struct mf_loop *l, int fd, const struct mf_http_status_page *pages, size_t n,
    struct mf_http_status **ret_h, struct mf_err *err)
{
	if (n > PAGES_MAX)
		return MF_FAIL(err, MF_E_TOOBIG, "status pages: at most %u", PAGES_MAX);
	MF_AUTO(mf_http_status_free) struct mf_http_status *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "status pages: out of memory");
	memcpy(h->pages, pages, n * sizeof(*pages));
	h->n = n;
	h->fd = -1;
	h->http = evhttp_new(mf_loop_base(l));
	if (h->http == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "status pages: out of memory");
	evhttp_set_max_headers_size(h->http, HEADERS_MAX);
	evhttp_set_max_body_size(h->http, REQUEST_BODY_MAX);
	evhttp_set_timeout(h->http, TIMEOUT_S);
	/* The others must reach on_request to be refused in words. */
	evhttp_set_allowed_methods(
	    h->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE);
	evhttp_set_gencb(h->http, on_request, h);
	MF_TRY(listen_on(h, l, fd, err));
	h->fd = fd;
	h->next = all;
	all = h;
	*ret_h = MF_TAKE(h);
	return MF_OK;
}

struct evhttp *
mf_http_status_evhttp(const struct mf_http_status *h)
{
	return h->http;
}

struct evconnlistener *
mf_http_status_listener(const struct mf_http_status *h)
{
	return h->listener;
}

void
mf_http_status_free(struct mf_http_status *h)
{
	if (h == NULL)
		return;
	for (struct mf_http_status **p = &all; *p != NULL; p = &(*p)->next)
		if (*p == h) {
			*p = h->next;
			break;
		}
	if (h->http != NULL)
		evhttp_free(h->http);
	mf_loop_timer_free(h->pause);
	if (h->fd >= 0)
		(void)close(h->fd);
	free(h);
}
