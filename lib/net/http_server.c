#include "net/http_server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "net/ev_listener.h"
#include "net/http_again.h"
#include "net/loop_internal.h"

#define HEADERS_MAX 16384
#define REQUEST_BODY_MAX 1024
#define LOOK_EACH 8u /* connections between two looks at how many descriptors are open */
#define TIMEOUT_S 60 /* a connection that is idle, or slow */

struct mf_http_server {
	struct mf_http_server_config cfg;
	struct evhttp *http;
	struct mf_ev_listener *listener;
	struct mf_http_again *again; /* NULL: none */
	struct mf_list open;
	size_t n_open;
	struct mf_http_request *fresh; /* whose call is under way; NULL: none, or it was answered */
	unsigned taken;		       /* connections, since they were counted last */
	bool draining;
	int fd; /* -1 until it was taken over */
};

struct mf_http_request {
	struct mf_list at;
	struct mf_http_server *server;
	struct evhttp_request *req;
	const char *path;
	struct mf_buf text; /* of the request; wiped */
	void *user;
};

static void
plain(struct evhttp_request *req, int code, const char *text)
{
	struct evbuffer *out = evhttp_request_get_output_buffer(req);
	(void)evbuffer_add(out, text, strlen(text));
	(void)evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "text/plain");
	evhttp_send_reply(req, code, NULL, NULL);
}

static size_t
count_headers(struct evhttp_request *req, const char *name)
{
	size_t n = 0;
	const struct evkeyvalq *all = evhttp_request_get_input_headers(req);
	for (const struct evkeyval *h = all->tqh_first; h != NULL; h = h->next.tqe_next)
		n += strcasecmp(h->key, name) == 0;
	return n;
}

/* NULL: the path. Else *ret_why says why it is refused. */
static const char *
plain_path(struct evhttp_request *req, const char **ret_why)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
	*ret_why = NULL;
	if (path == NULL || path[0] != '/' || evhttp_uri_get_host(uri) != NULL ||
	    evhttp_uri_get_scheme(uri) != NULL)
		*ret_why = "only a path may be asked for\n";
	else if (evhttp_uri_get_query(uri) != NULL || evhttp_uri_get_fragment(uri) != NULL)
		*ret_why = "no query is taken\n";
	else if (count_headers(req, "Host") != 1)
		*ret_why = "exactly one Host is needed\n";
	return path;
}

static void
on_request(struct evhttp_request *req, void *ctx)
{
	struct mf_http_server *s = ctx;
	const char *why = NULL, *path = plain_path(req, &why);
	if (evhttp_request_get_command(req) != EVHTTP_REQ_GET) {
		plain(req, HTTP_BADMETHOD, "only GET\n");
		return;
	}
	if (why != NULL) {
		plain(req, HTTP_BADREQUEST, why);
		return;
	}
	struct mf_http_request *q = calloc(1, sizeof(*q));
	if (q == NULL) {
		plain(req, HTTP_SERVUNAVAIL, "out of memory\n");
		return;
	}
	q->server = s;
	q->req = req;
	q->path = path;
	mf_buf_init(&q->text, HEADERS_MAX);
	if (s->again != NULL)
		mf_http_again_text(s->again, req, &q->text);
	mf_list_init(&q->at);
	mf_list_add_tail(&s->open, &q->at);
	s->n_open++;
	s->fresh = q;
	s->cfg.request(s->cfg.ctx, q);
	s->fresh = NULL;
}

static void
forget(struct mf_http_request *q)
{
	mf_list_del(&q->at);
	q->server->n_open--;
	mf_buf_fini(&q->text);
	free(q);
}

bool
mf_http_request_peer(const struct mf_http_request *q, struct sockaddr_in *ret_at)
{
	struct evhttp_connection *c = evhttp_request_get_connection(q->req);
	const struct sockaddr *at = c == NULL ? NULL : evhttp_connection_get_addr(c);
	if (at == NULL || at->sa_family != AF_INET)
		return false;
	memcpy(ret_at, at, sizeof(*ret_at));
	return true;
}

int
mf_http_request_fd(const struct mf_http_request *q)
{
	struct evhttp_connection *c = evhttp_request_get_connection(q->req);
	return c == NULL ? -1 : (int)bufferevent_getfd(evhttp_connection_get_bufferevent(c));
}

const char *
mf_http_request_path(const struct mf_http_request *q)
{
	return q->path;
}

const char *
mf_http_request_header(const struct mf_http_request *q, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(q->req), name);
}

bool
mf_http_request_has(const struct mf_http_request *q, const char *prefix)
{
	const struct evkeyvalq *all = evhttp_request_get_input_headers(q->req);
	for (const struct evkeyval *h = all->tqh_first; h != NULL; h = h->next.tqe_next)
		if (strncasecmp(h->key, prefix, strlen(prefix)) == 0)
			return true;
	return false;
}

struct mf_slice
mf_http_request_text(const struct mf_http_request *q)
{
	return q->text.failed == MF_OK ? mf_buf_slice(&q->text) : (struct mf_slice) { 0 };
}

void
mf_http_request_set_user(struct mf_http_request *q, void *user)
{
	q->user = user;
}

void *
mf_http_request_user(const struct mf_http_request *q)
{
	return q->user;
}

bool
mf_http_request_alive(const struct mf_http_request *q)
{
	char b;
	int fd = mf_http_request_fd(q);
	if (q->server->fresh == q)
		return fd >= 0; /* its last byte was read a moment ago */
	return fd >= 0 && recv(fd, &b, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

void
mf_http_reply(struct mf_http_request *q, int code, const char *content_type, struct mf_slice body)
{
	struct evhttp_request *req = q->req;
	struct evkeyvalq *head = evhttp_request_get_output_headers(req);
	struct evbuffer *out = evhttp_request_get_output_buffer(req);
	bool draining = q->server->draining;
	if (q->server->again != NULL)
		mf_http_again_replied(q->server->again, req);
	forget(q);
	if ((body.n > 0 && evbuffer_add(out, body.p, body.n) != 0) ||
	    evhttp_add_header(head, "Content-Type", content_type) != 0 ||
	    evhttp_add_header(head, "Cache-Control", "no-store") != 0 ||
	    (draining && evhttp_add_header(head, "Connection", "close") != 0)) {
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
		return;
	}
	evhttp_send_reply(req, code, NULL, NULL);
}

/* The lowest free descriptor tells how many are open. */
static void
mind_descriptors(struct mf_http_server *s)
{
	int probe = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	if (probe < 0 || probe > s->cfg.most_fds)
		mf_ev_listener_pause(s->listener);
	if (probe >= 0)
		(void)close(probe);
}

/* Each connection that is accepted. Writing is not on until there is something: it would be asked of the kernel first. */
static struct bufferevent *
on_connection(struct event_base *base, void *ctx)
{
	struct mf_http_server *s = ctx;
	if (s->cfg.most_fds > 0 && s->taken++ % LOOK_EACH == 0)
		mind_descriptors(s);
	struct bufferevent *b = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (b != NULL)
		(void)bufferevent_disable(b, EV_WRITE);
	if (b != NULL && s->again != NULL)
		mf_http_again_connection(s->again, b);
	return b;
}

enum mf_status
mf_http_server_new(struct mf_loop *l, const struct mf_http_server_config *cfg, struct mf_http_server **ret_s,
    struct mf_err *err)
{
	MF_AUTO(mf_http_server_free) struct mf_http_server *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "http: out of memory");
	s->cfg = *cfg;
	s->fd = -1;
	mf_list_init(&s->open);
	if (cfg->again != NULL)
		MF_TRY(mf_http_again_new(l, cfg, &s->again, err));
	s->http = evhttp_new(mf_loop_base(l));
	if (s->http == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "http: out of memory");
	evhttp_set_max_headers_size(s->http, HEADERS_MAX);
	evhttp_set_max_body_size(s->http, REQUEST_BODY_MAX);
	evhttp_set_timeout(s->http, TIMEOUT_S);
	/* The others must reach on_request to be refused in words. */
	evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
						EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
						EVHTTP_REQ_PATCH);
	evhttp_set_bevcb(s->http, on_connection, s);
	evhttp_set_gencb(s->http, on_request, s);
	s->fd = cfg->fd;
	enum mf_status st = mf_ev_listener_new(l, s->http, cfg->fd, &s->listener, err);
	if (st != MF_OK) {
		s->fd = -1; /* stays the caller's */
		return st;
	}
	*ret_s = MF_TAKE(s);
	return MF_OK;
}

void
mf_http_server_free(struct mf_http_server *s)
{
	if (s == NULL)
		return;
	MF_LIST_EACH(p, &s->open)
	{
		struct mf_http_request *q = MF_LIST_ITEM(p, struct mf_http_request, at);
		s->cfg.dropped(s->cfg.ctx, q);
		forget(q);
	}
	if (s->http != NULL)
		evhttp_free(s->http);
	mf_http_again_free(s->again);
	mf_ev_listener_free(s->listener);
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s);
}

void
mf_http_server_drain(struct mf_http_server *s)
{
	s->draining = true;
	if (s->again != NULL)
		mf_http_again_stop(s->again);
	mf_ev_listener_stop(s->listener);
}

size_t
mf_http_server_open(const struct mf_http_server *s)
{
	return s->n_open;
}
