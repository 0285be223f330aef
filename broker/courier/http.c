#include "broker/courier/http.h"

#include <curl/curl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/secret.h"
#include "broker/courier/address.h"
#include "codec/url.h"

#define CONNECT_MS 10000L
#define CONNECTIONS 64L
#define DNS_CACHE_S 60L

struct mf_http {
	CURLM *multi;
	struct mf_list calls;
};

struct mf_http_call {
	struct mf_list in; /* http.calls */
	struct mf_http *h;
	CURL *easy;
	struct curl_slist *headers;
	enum mf_address_rule rule;
	const char *refused; /* why an address was */
	struct mf_slice out; /* what is left to be sent of the request's body */
	struct mf_buf body;
	size_t head_n;
	char date[64];
	bool too_long;
	void (*done)(void *ctx, const struct mf_http_reply *reply);
	void *ctx;
};

/* ---- libcurl's memory ---- */

static void
wiping_free(void *p)
{
	if (p != NULL)
		mf_wipe(p, malloc_usable_size(p));
	free(p);
}

static void *
wiping_realloc(void *p, size_t n)
{
	size_t old = p == NULL ? 0 : malloc_usable_size(p);
	void *to = malloc(n == 0 ? 1 : n);
	if (to == NULL)
		return NULL;
	if (p != NULL)
		memcpy(to, p, old < n ? old : n);
	wiping_free(p);
	return to;
}

static char *
copied(const char *s)
{
	size_t n = strlen(s) + 1;
	char *to = malloc(n);
	if (to != NULL)
		memcpy(to, s, n);
	return to;
}

enum mf_status
mf_http_new(struct mf_http **ret_h, struct mf_err *err)
{
	struct mf_http *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "http: out of memory");
	mf_list_init(&h->calls);
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, copied, calloc) !=
		CURLE_OK ||
	    (h->multi = curl_multi_init()) == NULL) {
		free(h);
		return MF_FAIL(err, MF_E_INTERNAL, "http: libcurl cannot be used");
	}
	(void)curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS);
	(void)curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	*ret_h = h;
	return MF_OK;
}

static void
call_free(struct mf_http_call *c)
{
	if (c->easy != NULL) {
		(void)curl_multi_remove_handle(c->h->multi, c->easy);
		curl_easy_cleanup(c->easy);
	}
	curl_slist_free_all(c->headers);
	mf_list_del(&c->in);
	mf_buf_fini(&c->body);
	free(c);
}

void
mf_http_free(struct mf_http *h)
{
	if (h == NULL)
		return;
	MF_LIST_EACH(pos, &h->calls)
	call_free(MF_LIST_ITEM(pos, struct mf_http_call, in));
	(void)curl_multi_cleanup(h->multi);
	curl_global_cleanup();
	free(h);
}

void
mf_http_cancel(struct mf_http_call *c)
{
	if (c != NULL)
		call_free(c);
}

/* ---- callbacks of libcurl ---- */

static size_t
take_body(char *p, size_t size, size_t n, void *ctx)
{
	struct mf_http_call *c = ctx;
	size_t room = MF_HTTP_BODY - c->body.n, got = size * n;
	mf_buf_put(&c->body, p, got < room ? got : room);
	c->too_long = got > room || c->body.failed != MF_OK;
	return c->too_long ? 0 : got;
}

static size_t
take_header(char *p, size_t size, size_t n, void *ctx)
{
	static const char name[] = "date:";
	struct mf_http_call *c = ctx;
	size_t got = size * n, at = sizeof(name) - 1, k = 0;
	c->head_n += got;
	if (c->head_n > MF_HTTP_HEAD) {
		c->too_long = true;
		return 0;
	}
	while (k < at && k < got && (p[k] | 32) == (name[k] | 32))
		k++;
	if (k < at)
		return got;
	while (at < got && p[at] == ' ')
		at++;
	for (k = 0; at < got && k < sizeof(c->date) - 1 && p[at] >= ' ' && p[at] < 0x7f; at++)
		c->date[k++] = p[at];
	c->date[k] = '\0';
	return got;
}

static size_t
give_body(char *to, size_t size, size_t n, void *ctx)
{
	struct mf_http_call *c = ctx;
	size_t got = size * n < c->out.n ? size * n : c->out.n;
	if (got > 0)
		memcpy(to, c->out.p, got);
	c->out = mf_slice_sub(c->out, got, c->out.n);
	return got;
}

/*
 * libcurl says a request again, unasked, when a connection that was used before ends without a reply. What makes a token would then
 * make two, and nobody would know of the first: a body is given once.
 */
static int
never_again(void *ctx, curl_off_t at, int origin)
{
	MF_UNUSED(ctx);
	MF_UNUSED(at);
	MF_UNUSED(origin);
	return CURL_SEEKFUNC_FAIL;
}

static curl_socket_t
open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct mf_http_call *c = ctx;
	const char *why = purpose != CURLSOCKTYPE_IPCXN
			      ? "no connection"
			      : mf_address_refused(&a->addr, (socklen_t)a->addrlen, c->rule);
	if (why != NULL) {
		c->refused = why;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- one request ---- */

static bool
put_headers(struct mf_http_call *c, const struct mf_http_request *req)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf line;
	mf_buf_init(&line, MF_HTTP_HEAD);
	/* A name without a value takes libcurl's own away: no wait for 100, no guess about a body. */
	c->headers = curl_slist_append(NULL, "Expect:");
	if (c->headers == NULL)
		return false;
	for (size_t i = 0; i < req->headers_n; i++) {
		const char *v = req->headers[i].value;
		if (v == NULL || strpbrk(v, "\r\n") != NULL)
			return false;
		mf_buf_reset(&line);
		mf_buf_putf(&line, "%s: %s", req->headers[i].name, v);
		const char *text = mf_buf_cstr(&line);
		struct curl_slist *l = text == NULL ? NULL : curl_slist_append(c->headers, text);
		if (l == NULL)
			return false;
		c->headers = l;
	}
	return true;
}

static struct curl_blob
blob(const void *p, size_t n)
{
	return (struct curl_blob) { (void *)(uintptr_t)p, n, CURL_BLOB_COPY };
}

#define SET(opt, v) ok = ok && curl_easy_setopt(c->easy, (opt), (v)) == CURLE_OK

/* What libcurl of before 7.87 says otherwise, or cannot. */
static bool
set_new_ones(struct mf_http_call *c)
{
	bool ok = true, plain = c->rule == MF_ADDRESS_LOOPBACK;
#if LIBCURL_VERSION_NUM >= 0x075700 /* lint: ifdef: which libcurl there is, only its wrapper knows */
	SET(CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
	SET(CURLOPT_QUICK_EXIT, 1L); /* a name server that is silent must not hold up the others */
#else
	SET(CURLOPT_PROTOCOLS, plain ? (long)CURLPROTO_HTTP : (long)CURLPROTO_HTTPS);
#endif
	return ok;
}

static bool
set_up(struct mf_http_call *c, const struct mf_http_request *req, const struct mf_http_way *way)
{
	bool ok = put_headers(c, req), post = strcmp(req->method, "POST") == 0;
	long timeout = way->timeout_ms == 0 ? 1 : (long)way->timeout_ms;
	SET(CURLOPT_URL, req->url);
	ok = ok && set_new_ones(c);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, DNS_CACHE_S);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_TIMEOUT_MS, timeout);
	SET(CURLOPT_CONNECTTIMEOUT_MS, timeout < CONNECT_MS ? timeout : CONNECT_MS);
	SET(CURLOPT_HTTPHEADER, c->headers);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, c);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, c);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, c);
	SET(CURLOPT_PRIVATE, c);
	if (post) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.n);
		SET(CURLOPT_READFUNCTION, give_body);
		SET(CURLOPT_READDATA, c);
		SET(CURLOPT_SEEKFUNCTION, never_again);
		SET(CURLOPT_SEEKDATA, c);
		c->out = req->body;
	} else {
		SET(CURLOPT_HTTPGET, 1L);
	}
	if (way->ca_pem[0] != '\0') {
		struct curl_blob b = blob(way->ca_pem, strlen(way->ca_pem));
		SET(CURLOPT_CAINFO_BLOB, &b);
	}
	if (way->client_key_pem.n > 0) {
		struct curl_blob chain = blob(way->client_chain_pem.p, way->client_chain_pem.n),
				 key = blob(way->client_key_pem.p, way->client_key_pem.n);
		SET(CURLOPT_SSLCERT_BLOB, &chain);
		SET(CURLOPT_SSLKEY_BLOB, &key);
	}
	return ok;
}

enum mf_status
mf_http_start(struct mf_http *h, const struct mf_http_request *req, const struct mf_http_way *way,
    void (*done)(void *ctx, const struct mf_http_reply *reply), void *ctx, struct mf_http_call **ret_c,
    struct mf_err *err)
{
	struct mf_url u;
	MF_TRY(mf_url_parse(mf_slice_str(req->url), &u, err));
	if (!u.https && !way->loopback)
		return MF_FAIL(
		    err, MF_E_INVALID, "http: only https is spoken, but for targets with loopback");
	if (strcmp(req->method, "POST") != 0 && strcmp(req->method, "GET") != 0)
		return MF_FAIL(err, MF_E_INVALID, "http: only GET and POST");
	struct mf_http_call *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "http: out of memory");
	c->h = h;
	c->done = done;
	c->ctx = ctx;
	c->rule = !u.https	  ? MF_ADDRESS_LOOPBACK
		  : way->loopback ? MF_ADDRESS_ALSO_LOOPBACK
				  : MF_ADDRESS_PUBLIC;
	mf_buf_init(&c->body, MF_HTTP_BODY);
	mf_list_add_tail(&h->calls, &c->in);
	c->easy = curl_easy_init();
	if (c->easy == NULL || !set_up(c, req, way) || curl_multi_add_handle(h->multi, c->easy) != CURLM_OK) {
		call_free(c);
		return MF_FAIL(
		    err, MF_E_NOMEM, "http: no memory for a request, or a part of it that is not allowed");
	}
	*ret_c = c;
	return MF_OK;
}

/* ---- its end ---- */

static bool
is_tls(CURLcode r)
{
	return r == CURLE_PEER_FAILED_VERIFICATION || r == CURLE_SSL_CACERT_BADFILE ||
	       r == CURLE_SSL_CERTPROBLEM || r == CURLE_SSL_ISSUER_ERROR || r == CURLE_SSL_INVALIDCERTSTATUS;
}

static void
finish(struct mf_http_call *c, CURLcode r)
{
	long status = 0, sent = 0;
	curl_off_t after = 0;
	(void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &sent);
	(void)curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &after);
	if (status < 200 || status > 599)
		status = 0;
	struct mf_http_reply reply = { .status = (unsigned)status,
		.sent = sent > 0,
		.retry_after_s = after < 0	? 0
				 : after > 3600 ? 3600
						: (uint32_t)after,
		.date = c->date[0] == '\0' ? NULL : c->date,
		.body = mf_buf_slice(&c->body),
		.cut = r != CURLE_OK };
	if (status == 0) {
		reply.transport = c->refused != NULL		? c->refused
				  : r == CURLE_SEND_FAIL_REWIND ? "the connection ended before the reply"
								: curl_easy_strerror(r);
		reply.refused = c->refused != NULL || is_tls(r);
		reply.body = mf_slice(NULL, 0);
	}
	void (*done)(void *, const struct mf_http_reply *) = c->done;
	done(c->ctx, &reply);
	call_free(c);
}

static void
dispatch(struct mf_http *h)
{
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left)) != NULL;) {
		char *c = NULL;
		if (m->msg != CURLMSG_DONE)
			continue;
		CURLcode r = m->data.result;
		if (curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c) == CURLE_OK && c != NULL)
			finish((struct mf_http_call *)(void *)c, r);
	}
}

enum mf_status
mf_http_wait(struct mf_http *h, struct mf_http_fd *fds, size_t n, uint32_t timeout_ms, struct mf_err *err)
{
	struct curl_waitfd w[MF_HTTP_FDS] = { 0 };
	int running;
	unsigned k = 0;
	for (size_t i = 0; i < n && i < MF_HTTP_FDS; i++) {
		fds[i].readable = fds[i].writable = false;
		if (fds[i].fd < 0)
			continue;
		w[k].fd = fds[i].fd;
		w[k++].events = (short)((fds[i].want_read ? CURL_WAIT_POLLIN : 0) |
					(fds[i].want_write ? CURL_WAIT_POLLOUT : 0));
	}
	/* What was started since has its first step here, and so its sockets before the wait. */
	if (curl_multi_perform(h->multi, &running) != CURLM_OK)
		return MF_FAIL(err, MF_E_INTERNAL, "http: libcurl failed");
	dispatch(h);
	if (curl_multi_poll(h->multi, w, k, (int)(timeout_ms > 60000 ? 60000 : timeout_ms), NULL) !=
		CURLM_OK ||
	    curl_multi_perform(h->multi, &running) != CURLM_OK)
		return MF_FAIL(err, MF_E_INTERNAL, "http: libcurl failed");
	dispatch(h);
	k = 0;
	for (size_t i = 0; i < n && i < MF_HTTP_FDS; i++) {
		if (fds[i].fd < 0)
			continue;
		fds[i].readable = (w[k].revents & CURL_WAIT_POLLIN) != 0;
		fds[i].writable = (w[k++].revents & CURL_WAIT_POLLOUT) != 0;
	}
	return MF_OK;
}
