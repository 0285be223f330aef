#include "fake_http.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS 4096u
#define HEAD_MAX 65536u

struct mf_fake_http {
	int fd;
	uint16_t port;
	mf_fake_http_answer answer;
	void *ctx;
	pthread_t acceptor;
	atomic_uint requests, now, most;
	pthread_mutex_t lock;
	struct one {
		struct mf_fake_http *s;
		int fd;
		pthread_t thread;
	} * conns[CONNS];
	size_t n;
};

bool
mf_fake_http_write(int conn, const void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = send(conn, (const char *)p + at, n - at, MSG_NOSIGNAL);
		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

bool
mf_fake_http_reply(int conn, const char *status, const char *headers, struct mf_slice body)
{
	char head[2048];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, body.n,
	    headers == NULL ? "" : headers);
	return n > 0 && (size_t)n < sizeof(head) && mf_fake_http_write(conn, head, (size_t)n) &&
	       mf_fake_http_write(conn, body.p, body.n);
}

/* One request in ${b}; its head's length, or 0 at the end of the connection. */
static size_t
read_request(int fd, struct mf_buf *b, size_t *ret_body)
{
	for (;;) {
		char chunk[4096];
		const char *text = mf_buf_cstr(b), *end = text == NULL ? NULL : strstr(text, "\r\n\r\n");
		if (end != NULL) {
			const char *len = strstr(text, "Content-Length: ");
			size_t head = (size_t)(end - text) + 4;
			*ret_body = len != NULL && len < end ? strtoul(len + 16, NULL, 10) : 0;
			if (b->n >= head + *ret_body)
				return head;
		}
		ssize_t got = recv(fd, chunk, sizeof(chunk), 0);
		if (got <= 0 || b->n > (1u << 20))
			return 0;
		mf_buf_put(b, chunk, (size_t)got);
	}
}

static void *
serve(void *arg)
{
	struct one *o = arg;
	struct mf_fake_http *s = o->s;
	struct mf_buf b;
	mf_buf_init(&b, 2u << 20);
	for (bool on = true; on;) {
		size_t body, head = read_request(o->fd, &b, &body);
		if (head == 0)
			break;
		char *text = mf_slice_dup_str(mf_slice(b.p, head));
		unsigned now = atomic_fetch_add(&s->now, 1) + 1, most = atomic_load(&s->most);
		while (now > most && !atomic_compare_exchange_weak(&s->most, &most, now))
			;
		(void)atomic_fetch_add(&s->requests, 1);
		on = text != NULL && s->answer(s->ctx, o->fd, text, mf_slice(b.p + head, body));
		(void)atomic_fetch_sub(&s->now, 1);
		free(text);
		mf_buf_consume(&b, head + body);
	}
	mf_buf_fini(&b);
	(void)shutdown(o->fd, SHUT_RDWR);
	return NULL;
}

static void *
acceptor(void *arg)
{
	struct mf_fake_http *s = arg;
	for (;;) {
		int fd = accept(s->fd, NULL, NULL);
		if (fd < 0)
			return NULL;
		struct one *o = calloc(1, sizeof(*o));
		(void)pthread_mutex_lock(&s->lock);
		bool room = o != NULL && s->n < CONNS;
		if (room) {
			*o = (struct one) { .s = s, .fd = fd };
			room = pthread_create(&o->thread, NULL, serve, o) == 0;
		}
		if (room) {
			s->conns[s->n++] = o;
		} else {
			(void)close(fd);
			free(o);
		}
		(void)pthread_mutex_unlock(&s->lock);
	}
}

struct mf_fake_http *
mf_fake_http_new(mf_fake_http_answer answer, void *ctx)
{
	struct mf_fake_http *s = calloc(1, sizeof(*s));
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(a);
	if (s == NULL)
		abort();
	s->answer = answer;
	s->ctx = ctx;
	(void)pthread_mutex_init(&s->lock, NULL);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(s->fd, 1024) != 0 ||
	    getsockname(s->fd, (struct sockaddr *)&a, &n) != 0 ||
	    pthread_create(&s->acceptor, NULL, acceptor, s) != 0)
		abort();
	s->port = ntohs(a.sin_port);
	return s;
}

void
mf_fake_http_free(struct mf_fake_http *s)
{
	if (s == NULL)
		return;
	(void)shutdown(s->fd, SHUT_RDWR);
	(void)pthread_join(s->acceptor, NULL);
	(void)close(s->fd);
	for (size_t i = 0; i < s->n; i++) {
		(void)shutdown(s->conns[i]->fd, SHUT_RDWR);
		(void)pthread_join(s->conns[i]->thread, NULL);
		(void)close(s->conns[i]->fd);
		free(s->conns[i]);
	}
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

uint16_t
mf_fake_http_port(const struct mf_fake_http *s)
{
	return s->port;
}

unsigned
mf_fake_http_requests(const struct mf_fake_http *s)
{
	return atomic_load(&s->requests);
}

unsigned
mf_fake_http_most(const struct mf_fake_http *s)
{
	return atomic_load(&s->most);
}
