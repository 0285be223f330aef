#include <setjmp.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/http_status.h"
#include "net/grpc_conn.h"
#include "net/loop.h"

struct seen {
	struct mf_loop *l;
	struct mf_loop_fd *fd, *other;
	struct mf_loop_timer *timer;
	struct mf_loop_defer *defer;
	int reads, writes, others, timers, defers, signals;
	bool cancel_other;
};

static void
on_fd(void *ctx, unsigned ready)
{
	struct seen *s = ctx;
	s->reads += (ready & MF_LOOP_READ) != 0;
	s->writes += (ready & MF_LOOP_WRITE) != 0;
	if (s->cancel_other) {
		mf_loop_fd_free(MF_TAKE(s->other));
		mf_loop_timer_clear(s->timer);
		mf_loop_fd_free(MF_TAKE(s->fd)); /* its own */
	}
}

static void
on_other(void *ctx, unsigned ready)
{
	struct seen *s = ctx;
	MF_UNUSED(ready);
	s->others++;
	if (s->cancel_other) {
		mf_loop_fd_free(MF_TAKE(s->fd));
		mf_loop_timer_clear(s->timer);
		mf_loop_fd_free(MF_TAKE(s->other));
	}
}

static void
on_timer(void *ctx)
{
	struct seen *s = ctx;
	s->timers++;
}

static void
on_defer(void *ctx)
{
	struct seen *s = ctx;
	s->defers++;
}

static void
on_signal(void *ctx, int signo)
{
	struct seen *s = ctx;
	assert_int_equal(signo, SIGUSR1);
	s->signals++;
	mf_loop_stop(s->l);
}

static void
test_events(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct seen s = { 0 };
	int a[2], b[2];
	assert_int_equal(mf_loop_new(&s.l, &err), MF_OK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
	assert_int_equal(mf_loop_fd_new(s.l, a[0], 0, on_fd, &s, &s.fd, &err), MF_OK);
	assert_int_equal(mf_loop_fd_new(s.l, b[0], MF_LOOP_READ, on_other, &s, &s.other, &err), MF_OK);
	assert_int_equal(mf_loop_timer_new(s.l, on_timer, &s, &s.timer, &err), MF_OK);
	assert_int_equal(mf_loop_defer_new(s.l, on_defer, &s, &s.defer, &err), MF_OK);

	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(mf_loop_turn(s.l, false, &err), MF_OK);
	assert_int_equal(s.reads, 0); /* no interest yet */
	assert_int_equal(mf_loop_fd_set(s.fd, MF_LOOP_READ | MF_LOOP_WRITE, &err), MF_OK);
	assert_int_equal(mf_loop_turn(s.l, false, &err), MF_OK);
	assert_int_equal(s.reads, 1);
	assert_int_equal(s.writes, 1);

	mf_loop_defer_set(s.defer);
	mf_loop_defer_set(s.defer);
	assert_false(mf_loop_timer_pending(s.timer));
	mf_loop_timer_set(s.timer, 0);
	assert_true(mf_loop_timer_pending(s.timer));
	for (int i = 0; i < 1000 && s.timers == 0; i++)
		assert_int_equal(mf_loop_turn(s.l, true, &err), MF_OK);
	assert_int_equal(s.timers, 1);
	assert_int_equal(s.defers, 1);

	/* Both are ready in one turn: whichever runs first takes the other away, for good. */
	assert_int_equal(mf_loop_fd_set(s.fd, MF_LOOP_READ, &err), MF_OK);
	assert_int_equal(write(b[1], "x", 1), 1);
	s.reads = s.others = 0;
	s.cancel_other = true;
	mf_loop_timer_set(s.timer, 1);
	mf_loop_defer_set(s.defer);
	mf_loop_defer_free(s.defer); /* set, then cancelled */
	for (int i = 0; i < 10; i++)
		assert_int_equal(mf_loop_turn(s.l, false, &err), MF_OK);
	assert_int_equal(s.reads + s.others, 1);
	assert_int_equal(s.timers, 1);
	assert_int_equal(s.defers, 1);
	mf_loop_timer_free(s.timer);
	mf_loop_free(s.l);
	for (int i = 0; i < 2; i++) {
		(void)close(a[i]);
		(void)close(b[i]);
	}
}

static int order[64], n_order;
static struct mf_loop_timer *many[64];

static void
on_many(void *ctx)
{
	int *which = ctx;
	order[n_order++] = *which;
	if (*which == 11) /* due at once or in the same turn: cancelled all the same */
		mf_loop_timer_clear(many[12]);
}

static void
test_timers(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct mf_loop *l = NULL;
	int which[64];
	assert_int_equal(mf_loop_new(&l, &err), MF_OK);
	n_order = 0;
	for (int i = 0; i < 64; i++) {
		which[i] = i;
		assert_int_equal(mf_loop_timer_new(l, on_many, &which[i], &many[i], &err), MF_OK);
	}
	for (int i = 63; i >= 0; i--) /* in any order, and then moved; every fifth is cleared */
		mf_loop_timer_set(many[(i * 29) % 64], 100000 + (uint64_t)i);
	for (int i = 0; i < 64; i++)
		mf_loop_timer_set(many[i], (uint64_t)i * 2);
	for (int i = 0; i < 64; i += 5)
		mf_loop_timer_clear(many[i]);
	mf_loop_timer_free(MF_TAKE(many[63]));
	mf_loop_timer_free(MF_TAKE(many[1]));
	while (mf_loop_timer_pending(many[62]))
		assert_int_equal(mf_loop_turn(l, true, &err), MF_OK);
	int last = -1;
	for (int i = 0; i < n_order; i++) {
		assert_true(order[i] > last);
		last = order[i];
		assert_true(last % 5 != 0 && last != 1 && last != 12 && last != 63);
	}
	assert_int_equal(n_order, 64 - 13 - 3);
	for (int i = 0; i < 64; i++)
		mf_loop_timer_free(many[i]);
	mf_loop_free(l);
}

static void
test_signal(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct seen s = { 0 };
	struct mf_loop_signal *sig = NULL;
	assert_int_equal(mf_loop_new(&s.l, &err), MF_OK);
	assert_int_equal(mf_loop_signal_new(s.l, SIGUSR1, on_signal, &s, &sig, &err), MF_OK);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	assert_int_equal(mf_loop_run(s.l, &err), MF_OK);
	assert_int_equal(s.signals, 1);
	mf_loop_signal_free(sig);
	mf_loop_free(s.l);
}

static int
fill_ok(void *ctx, struct mf_buf *body)
{
	MF_UNUSED(ctx);
	mf_buf_put_str(body, "hello\n");
	return 200;
}

static int
fill_bad(void *ctx, struct mf_buf *body)
{
	MF_UNUSED(ctx);
	mf_buf_put_str(body, "starting\n");
	return 503;
}

/* One HTTP/1.1 exchange; the answer as text. */
static void
ask(struct mf_loop *l, uint16_t port, const char *request, char *to, size_t room)
{
	struct mf_err err = { 0 };
	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	size_t n = 0;
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	for (;;) {
		assert_int_equal(mf_loop_turn(l, false, &err), MF_OK);
		ssize_t got = recv(fd, to + n, room - 1 - n, MSG_DONTWAIT);
		if (got == 0)
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	to[n] = '\0';
	(void)close(fd);
}

static void
test_http_status(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct mf_loop *l = NULL;
	struct mf_http_status *h = NULL;
	static char text[16384], big[12000];
	int fd = -1;
	struct sockaddr_in sa;
	socklen_t n = sizeof(sa);
	const struct mf_http_status_page pages[] = { { "/healthz", "text/plain", NULL, fill_ok, NULL },
		{ "/readyz", "text/plain", NULL, fill_bad, NULL } };
	assert_int_equal(mf_loop_new(&l, &err), MF_OK);
	assert_int_equal(mf_net_listen_tcp("127.0.0.1", 0, &fd, &err), MF_OK);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	assert_int_equal(mf_http_status_new(l, fd, pages, 2, &h, &err), MF_OK);
	uint16_t port = ntohs(sa.sin_port);
#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	ask(l, port, GET("/healthz?x=1"), text, sizeof(text));
	assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(text, "\r\n\r\nhello\n"));
	ask(l, port, GET("/readyz"), text, sizeof(text));
	assert_memory_equal(text, "HTTP/1.1 503 ", 13);
	ask(l, port, GET("/"), text, sizeof(text));
	assert_memory_equal(text, "HTTP/1.1 404 ", 13);
	ask(l, port, "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	    text, sizeof(text));
	assert_memory_equal(text, "HTTP/1.1 405 ", 13);
	ask(l, port, "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", text,
	    sizeof(text));
	assert_memory_equal(text, "HTTP/1.1 413 ", 13);
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	memcpy(big, "GET /healthz HTTP/1.1\r\nX: ", 26);
	ask(l, port, big, text, sizeof(text));
	assert_memory_equal(text, "HTTP/1.1 400 ", 13);
	mf_http_status_free(h);
	mf_loop_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_http_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
