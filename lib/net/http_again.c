#include "net/http_again.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define TEXT_MAX 2048u /* bytes of a request that is worth to be known */
#define READ_MAX 4096u
#define FDS_MAX 65536
#define HEAD_MAX 256u

/* The connection on one descriptor, the latest: kept when it is gone, since libevent does not tell, and used for the next one. */
struct mf_http_conn {
	struct mf_http_again *all;
	struct bufferevent *bev;
	struct sockaddr_in client, server;
	uint64_t note;
	struct mf_buf text; /* what was handed to libevent's parser */
	bool named, passing;
	bool rest; /* what comes now begins a request */
	bool more; /* something came behind the request that libevent has parsed last */
};

struct mf_http_again {
	struct mf_http_server_config cfg;
	struct mf_loop *loop;
	struct mf_http_conn **conns; /* by descriptor */
	size_t n_conns;
	struct bufferevent **fresh; /* accepted in this turn; a reference each */
	size_t n_fresh, cap_fresh;
	struct mf_loop_defer *defer;
	char date[64];
	int64_t date_s;
	bool stopped;
};

bool
mf_http_conn_ends(struct mf_http_conn *c, struct sockaddr_in *ret_client, struct sockaddr_in *ret_server)
{
	int fd = (int)bufferevent_getfd(c->bev);
	socklen_t n = sizeof(c->client), m = sizeof(c->server);
	if (!c->named && (fd < 0 || getpeername(fd, (struct sockaddr *)&c->client, &n) != 0 ||
			     getsockname(fd, (struct sockaddr *)&c->server, &m) != 0 ||
			     c->client.sin_family != AF_INET || c->server.sin_family != AF_INET))
		return false;
	c->named = true;
	*ret_client = c->client;
	*ret_server = c->server;
	return true;
}

uint64_t *
mf_http_conn_note(struct mf_http_conn *c)
{
	return &c->note;
}

/* --- the answer --- */

static size_t
put_head(struct mf_http_again *a, size_t body, char head[HEAD_MAX])
{
	int64_t now_s = mf_loop_now(a->loop).wall_us / 1000000;
	if (a->date_s != now_s) {
		time_t at = (time_t)now_s;
		struct tm tm;
		if (gmtime_r(&at, &tm) == NULL || evutil_date_rfc1123(a->date, sizeof(a->date), &tm) <= 0)
			return 0;
		a->date_s = now_s;
	}
	int n = snprintf(head, HEAD_MAX,
	    "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nCache-Control: no-store\r\nDate: %s\r\nContent-Length: "
	    "%zu\r\n\r\n",
	    a->cfg.again_type, a->date, body);
	return n > 0 && n < (int)HEAD_MAX ? (size_t)n : 0;
}

/* False: nothing was sent. */
static bool
send_answer(struct mf_http_conn *c, struct mf_slice body)
{
	char head[HEAD_MAX];
	int fd = (int)bufferevent_getfd(c->bev);
	size_t n = put_head(c->all, body.n, head);
	struct iovec v[] = { { head, n }, { (void *)(uintptr_t)body.p, body.n } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = MF_COUNT(v) };
	ssize_t sent = n == 0 ? -1 : sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent <= 0)
		return false;
	/* Who has not read its last answers has no room for this one: it gets no half of it and then another. */
	if ((size_t)sent < n + body.n)
		(void)shutdown(fd, SHUT_RDWR);
	return true;
}

static bool
answer(struct mf_http_conn *c, struct mf_slice text)
{
	struct mf_http_again *a = c->all;
	struct mf_slice body = { 0 };
	return !a->stopped && c->rest && text.n <= TEXT_MAX &&
	       evbuffer_get_length(bufferevent_get_output(c->bev)) == 0 &&
	       a->cfg.again(a->cfg.ctx, c, text, &body) && send_answer(c, body);
}

/* ${text} goes to libevent: kept until that has made a request of it. */
static void
hand_over(struct mf_http_conn *c, struct mf_slice text)
{
	static const char end[] = "\r\n\r\n";
	bool whole = c->rest && text.n >= sizeof(end) - 1 && text.n <= TEXT_MAX &&
		     memcmp(text.p + text.n - (sizeof(end) - 1), end, sizeof(end) - 1) == 0;
	c->rest = false;
	mf_buf_fini(&c->text); /* wiped */
	if (whole)
		mf_buf_put_slice(&c->text, text);
}

/* --- connections --- */

/* Bytes have come, and libevent has not looked at them yet. */
static void
on_input(struct evbuffer *in, const struct evbuffer_cb_info *info, void *ctx)
{
	struct mf_http_conn *c = ctx;
	uint8_t text[TEXT_MAX];
	size_t n = evbuffer_get_length(in);
	if (info->n_added == 0 || c->passing)
		return;
	if (!c->rest || n != info->n_added || n > sizeof(text) ||
	    evbuffer_copyout(in, text, n) != (ev_ssize_t)n) {
		c->more = true;
		hand_over(c, (struct mf_slice) { 0 });
		return;
	}
	if (answer(c, mf_slice(text, n)))
		(void)evbuffer_drain(in, n);
	else
		hand_over(c, mf_slice(text, n));
}

/* The first bytes, if they are there. */
static void
look(struct mf_http_conn *c)
{
	uint8_t text[READ_MAX];
	struct evbuffer *in = bufferevent_get_input(c->bev);
	ssize_t n = recv((int)bufferevent_getfd(c->bev), text, sizeof(text), MSG_DONTWAIT);
	if (n <= 0 || answer(c, mf_slice(text, (size_t)n)))
		return; /* an end or an error is there for libevent, too */
	hand_over(c, mf_slice(text, (size_t)n));
	c->passing = true;
	(void)evbuffer_unfreeze(in, 0);
	bool good = evbuffer_add(in, text, (size_t)n) == 0;
	(void)evbuffer_freeze(in, 0);
	c->passing = false;
	if (good)
		bufferevent_trigger(c->bev, EV_READ, 0);
	else
		(void)shutdown((int)bufferevent_getfd(c->bev), SHUT_RDWR);
}

static struct mf_http_conn *
conn_at(struct mf_http_again *a, int fd)
{
	if (fd < 0 || fd >= FDS_MAX)
		return NULL;
	if ((size_t)fd >= a->n_conns) {
		size_t n = ((size_t)fd + 64u) & ~(size_t)63u;
		struct mf_http_conn **p = realloc(a->conns, n * sizeof(*p));
		if (p == NULL)
			return NULL;
		memset(p + a->n_conns, 0, (n - a->n_conns) * sizeof(*p));
		a->conns = p;
		a->n_conns = n;
	}
	if (a->conns[fd] == NULL) {
		a->conns[fd] = calloc(1, sizeof(struct mf_http_conn));
		if (a->conns[fd] == NULL)
			return NULL;
		a->conns[fd]->all = a;
		mf_buf_init(&a->conns[fd]->text, TEXT_MAX);
	}
	return a->conns[fd];
}

static void
begin(struct mf_http_again *a, struct bufferevent *bev)
{
	bufferevent_data_cb parser = NULL;
	int fd = (int)bufferevent_getfd(bev);
	bufferevent_getcb(bev, &parser, NULL, NULL, NULL);
	struct mf_http_conn *c = parser == NULL ? NULL : conn_at(a, fd); /* no parser: it is gone already */
	if (c == NULL)
		return;
	mf_buf_fini(&c->text);
	c->bev = bev;
	c->note = 0;
	c->named = c->more = false;
	c->rest = true;
	if (evbuffer_add_cb(bufferevent_get_input(bev), on_input, c) != NULL)
		look(c);
	else
		c->rest = false;
}

static void
on_fresh(void *ctx)
{
	struct mf_http_again *a = ctx;
	for (size_t k = 0; k < a->n_fresh; k++) {
		if (!a->stopped)
			begin(a, a->fresh[k]);
		(void)bufferevent_decref(a->fresh[k]);
	}
	a->n_fresh = 0;
}

void
mf_http_again_connection(struct mf_http_again *a, struct bufferevent *bev)
{
	if (a->n_fresh == a->cap_fresh) {
		size_t cap = a->cap_fresh == 0 ? 16 : a->cap_fresh * 2;
		struct bufferevent **p = realloc(a->fresh, cap * sizeof(struct bufferevent *));
		if (p == NULL)
			return; /* only slower */
		a->fresh = p;
		a->cap_fresh = cap;
	}
	bufferevent_incref(bev);
	a->fresh[a->n_fresh++] = bev;
	mf_loop_defer_set(a->defer);
}

/* --- requests --- */

static struct mf_http_conn *
conn_of(struct mf_http_again *a, struct evhttp_request *req)
{
	struct evhttp_connection *con = evhttp_request_get_connection(req);
	struct bufferevent *bev = con == NULL ? NULL : evhttp_connection_get_bufferevent(con);
	int fd = bev == NULL ? -1 : (int)bufferevent_getfd(bev);
	struct mf_http_conn *c = fd < 0 || (size_t)fd >= a->n_conns ? NULL : a->conns[fd];
	return c != NULL && c->bev == bev ? c : NULL;
}

/* A request without a body, after which its connection stays: nothing but its bytes counts. */
static bool
repeatable(struct evhttp_request *req)
{
	static const char *const not_with[] = { "Content-Length", "Transfer-Encoding", "Expect", "Trailer",
		"Upgrade", "TE" };
	const struct evkeyvalq *all = evhttp_request_get_input_headers(req);
	if (req->major != 1 || req->minor != 1)
		return false;
	for (const struct evkeyval *h = all->tqh_first; h != NULL; h = h->next.tqe_next) {
		if (strcasecmp(h->key, "Connection") == 0 && strcasecmp(h->value, "keep-alive") != 0)
			return false;
		for (size_t k = 0; k < MF_COUNT(not_with); k++)
			if (strcasecmp(h->key, not_with[k]) == 0)
				return false;
	}
	return true;
}

void
mf_http_again_text(struct mf_http_again *a, struct evhttp_request *req, struct mf_buf *to)
{
	struct mf_http_conn *c = conn_of(a, req);
	if (c == NULL)
		return;
	c->rest = false;
	c->more = evbuffer_get_length(bufferevent_get_input(c->bev)) > 0;
	if (!c->more && repeatable(req))
		mf_buf_put_slice(to, mf_buf_slice(&c->text));
	mf_buf_fini(&c->text);
}

void
mf_http_again_replied(struct mf_http_again *a, struct evhttp_request *req)
{
	struct mf_http_conn *c = conn_of(a, req);
	if (c != NULL)
		c->rest = !c->more;
}

/* --- the object --- */

void
mf_http_again_stop(struct mf_http_again *a)
{
	a->stopped = true;
}

enum mf_status
mf_http_again_new(struct mf_loop *l, const struct mf_http_server_config *cfg, struct mf_http_again **ret_a,
    struct mf_err *err)
{
	struct mf_http_again *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "http: out of memory");
	a->cfg = *cfg;
	a->loop = l;
	enum mf_status s = mf_loop_defer_new(l, on_fresh, a, &a->defer, err);
	if (s != MF_OK)
		free(a);
	else
		*ret_a = a;
	return s;
}

void
mf_http_again_free(struct mf_http_again *a)
{
	if (a == NULL)
		return;
	a->stopped = true;
	on_fresh(a);
	mf_loop_defer_free(a->defer);
	for (size_t k = 0; k < a->n_conns; k++)
		if (a->conns[k] != NULL) {
			mf_buf_fini(&a->conns[k]->text);
			free(a->conns[k]);
		}
	free(a->conns);
	free(a->fresh);
	free(a);
}
