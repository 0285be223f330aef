/*
 * http_server and http_again: requests that are known by their bytes are answered without libevent's parser, and only where
 * a request can begin. The owner here knows every text that it was told.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/grpc_conn.h"
#include "net/http_server.h"

#define HANG_MS 60000u
#define KNOWN "GET /x HTTP/1.1\r\nHost: x\r\nAuthorization: s\r\n\r\n"
#define FAR 512u

static struct {
	struct mf_loop *loop;
	struct mf_http_server *server;
	struct sockaddr_in at;
	char text[4096]; /* the last that could be repeated */
	unsigned parsed, again, shown;
	struct mf_http_request *held;
	bool hold;
	size_t body;
} t;
static char big[1u << 20];

static bool
on_again(void *ctx, struct mf_http_conn *c, struct mf_slice text, struct mf_slice *ret_body)
{
	struct sockaddr_in client, server;
	MF_UNUSED(ctx);
	t.shown++;
	if (!mf_slice_eq_str(text, t.text))
		return false;
	assert_true(mf_http_conn_ends(c, &client, &server));
	assert_int_equal(server.sin_port, t.at.sin_port);
	assert_int_not_equal(client.sin_port, t.at.sin_port);
	(*mf_http_conn_note(c))++;
	t.again++;
	*ret_body = mf_slice(big, t.body);
	return true;
}

static void
on_request(void *ctx, struct mf_http_request *q)
{
	struct mf_slice text = mf_http_request_text(q);
	MF_UNUSED(ctx);
	t.parsed++;
	if (text.n > 0) {
		memcpy(t.text, text.p, text.n);
		t.text[text.n] = '\0';
	}
	if (t.hold) {
		t.held = q;
		return;
	}
	mf_http_reply(q, 200, "text/plain", MF_SLICE_LIT("parsed"));
}

static void
on_dropped(void *ctx, struct mf_http_request *q)
{
	MF_UNUSED(ctx);
	MF_UNUSED(q);
}

static void
turns(unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		assert_int_equal(mf_loop_turn(t.loop, false, NULL), MF_OK);
}

static int
dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&t.at, sizeof(t.at)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Until ${want} is there ${times} times, or the end. */
static void
hear(int fd, char *to, size_t room, const char *want, unsigned times)
{
	uint64_t end = mf_now().mono_ms + HANG_MS;
	size_t n = 0;
	while (mf_now().mono_ms < end) {
		unsigned found = 0;
		turns(1);
		ssize_t got = recv(fd, to + n, room - 1 - n, MSG_DONTWAIT);
		n += got > 0 ? (size_t)got : 0;
		to[n] = '\0';
		for (const char *p = to; (p = strstr(p, want)) != NULL; p++)
			found++;
		if (found >= times || got == 0)
			return;
	}
	fail_msg("'%s' did not come %u times: '%.200s'", want, times, to);
}

/* One request that is parsed, so that its bytes are known. */
static void
teach(void)
{
	char in[FAR];
	int fd = dial();
	say(fd, KNOWN);
	hear(fd, in, sizeof(in), "parsed", 1);
	assert_string_equal(t.text, KNOWN);
	(void)close(fd);
	turns(3);
}

static void
test_known(void **state)
{
	char in[FAR];
	MF_UNUSED(state);
	teach();
	unsigned parsed = t.parsed;
	int fd = dial();
	for (unsigned k = 1; k <= 5; k++) {
		say(fd, KNOWN);
		hear(fd, in, sizeof(in), "again!", 1);
		assert_non_null(strstr(in, "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\n"));
		assert_non_null(strstr(in, "\r\nCache-Control: no-store\r\nDate: "));
		assert_non_null(strstr(in, "GMT\r\nContent-Length: 6\r\n\r\nagain!"));
		assert_int_equal(t.again, k);
	}
	assert_int_equal(t.parsed, parsed);
	/* Others in between, on the same connection. */
	say(fd, "GET /y HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(fd, in, sizeof(in), "parsed", 1);
	say(fd, KNOWN); /* the latest is another: it is not known any more, and parsed */
	hear(fd, in, sizeof(in), "parsed", 1);
	say(fd, KNOWN);
	hear(fd, in, sizeof(in), "again!", 1);
	say(fd, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	hear(fd, in, sizeof(in), "405", 1);
	(void)close(fd);
	turns(5);
	assert_int_equal(mf_http_server_open(t.server), 0);
}

/* What is no plain, whole request by itself is never known. */
static void
test_not_taken(void **state)
{
	static const char *const texts[] = { "GET /x HTTP/1.0\r\nHost: x\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive, TE\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd",
		"GET /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n", KNOWN KNOWN };
	char in[FAR * 2];
	MF_UNUSED(state);
	for (size_t k = 0; k < MF_COUNT(texts); k++) {
		int fd = dial();
		say(fd, texts[k]);
		hear(fd, in, sizeof(in), "parsed", 1);
		assert_string_equal(t.text, "");
		(void)close(fd);
		turns(3);
	}
	int fd = dial(); /* in two pieces */
	say(fd, "GET /x HTTP/1.1\r\n");
	turns(5);
	say(fd, "Host: x\r\n\r\n");
	hear(fd, in, sizeof(in), "parsed", 1);
	assert_string_equal(t.text, "");
	say(fd, "GET /x HTTP/1.1\r\nhost: x\r\nConnection: Keep-Alive\r\n\r\n");
	hear(fd, in, sizeof(in), "parsed", 1);
	assert_string_not_equal(t.text, "");
	(void)close(fd);
}

/* Known bytes in the middle of something else are part of that: a body, a header, what comes behind an unfinished line. */
static void
test_in_the_middle(void **state)
{
#define FIRST "GET /y HTTP/1.1\r\nHost: x\r\n\r\n"
	static const char *const before[] = { "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		"GET /y HTTP/1.1\r\nHost: x\r\nX: ", "GET /y HTTP/1.1\r\nX: y\r\n", "GE", "\r\n",
		/* a request, and the beginning of another behind it */
		FIRST "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		FIRST "POST /x HTTP/1.1\r\n" };
#undef FIRST
	MF_UNUSED(state);
	teach();
	for (size_t k = 0; k < MF_COUNT(before); k++) {
		int fd = dial();
		say(fd, before[k]);
		turns(8);
		memcpy(t.text, KNOWN, sizeof(KNOWN));
		if (send(fd, KNOWN, sizeof(KNOWN) - 1, MSG_NOSIGNAL) > 0)
			turns(8);
		assert_int_equal(t.again, 0);
		(void)close(fd);
		turns(5);
	}
	int fd = dial(); /* on these descriptors' next connections all is well */
	char in[FAR];
	say(fd, KNOWN);
	hear(fd, in, sizeof(in), "again!", 1);
	(void)close(fd);
}

/* Several at once, and one behind an answer that is still waited for: each is answered once, in order. */
static void
test_in_order(void **state)
{
	static char in[8 * FAR];
	MF_UNUSED(state);
	teach();
	int fd = dial();
	say(fd, KNOWN KNOWN KNOWN);
	hear(fd, in, sizeof(in), "parsed", 3);
	assert_int_equal(t.again, 0);
	say(fd, KNOWN);
	hear(fd, in, sizeof(in), "again!", 1);
	t.hold = true;
	say(fd, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
	while (t.held == NULL)
		turns(1);
	memcpy(t.text, KNOWN, sizeof(KNOWN));
	say(fd, KNOWN);
	turns(8);
	assert_int_equal(t.again, 1);
	t.hold = false;
	mf_http_reply(t.held, 200, "text/plain", MF_SLICE_LIT("slowly"));
	hear(fd, in, sizeof(in), "HTTP/1.1 200", 2);
	assert_non_null(strstr(in, "slowly"));
	assert_true(strstr(in, "slowly") < strstr(strstr(in, "slowly"), "HTTP/1.1 200"));
	say(fd, KNOWN);
	hear(fd, in, sizeof(in), "again!", 1);
	(void)close(fd);
}

/* Whole answers, one behind the other; only the last may be cut. How many were whole. */
static unsigned
whole_answers(const char *in, size_t n)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\n", length[] = "Content-Length: ";
	unsigned whole = 0;
	while (n >= sizeof(ok) - 1) {
		const char *end = strstr(in, "\r\n\r\n"), *l = strstr(in, length);
		assert_memory_equal(in, ok, sizeof(ok) - 1);
		if (end == NULL || l == NULL || l > end)
			break;
		size_t all = (size_t)(end + 4 - in) + strtoul(l + sizeof(length) - 1, NULL, 10);
		if (all > n)
			break;
		in += all;
		n -= all;
		whole++;
	}
	return whole;
}

/* Who does not read its answers gets all of them in the end, or is cut off in the middle of one; never two mixed. */
static void
test_unread(void **state)
{
	size_t n = 0, room = 64u << 20;
	char *in = malloc(room + 1);
	unsigned sent = 0;
	MF_UNUSED(state);
	assert_non_null(in);
	teach();
	t.body = sizeof(big);
	int fd = dial();
	while (sent < 48 && send(fd, KNOWN, sizeof(KNOWN) - 1, MSG_NOSIGNAL) > 0) {
		sent++;
		turns(3);
	}
	uint64_t end = mf_now().mono_ms + HANG_MS;
	for (bool over = false; !over;) {
		turns(1);
		ssize_t got = recv(fd, in + n, room - n, 0);
		bool wait = got < 0 && errno == EAGAIN;
		n += got > 0 ? (size_t)got : 0;
		in[n] = '\0';
		over = (got <= 0 && !wait) || (wait && whole_answers(in, n) == sent);
		assert_true(mf_now().mono_ms < end);
	}
	assert_true(t.again >= 1);
	in[n] = '\0';
	assert_true(whole_answers(in, n) >= 1);
	free(in);
	(void)close(fd);
	turns(5);
	t.body = 6;
	char few[FAR];
	fd = dial();
	say(fd, KNOWN);
	hear(fd, few, sizeof(few), "again!", 1);
	(void)close(fd);
}

/* Somebody who connects and says nothing, or goes at once. */
static void
test_silent(void **state)
{
	char in[FAR];
	MF_UNUSED(state);
	teach();
	for (unsigned k = 0; k < 20; k++) {
		int fd = dial();
		if (k % 2 == 0)
			say(fd, KNOWN);
		(void)close(fd);
		turns(k % 3);
	}
	turns(10);
	int fd = dial();
	turns(5);
	say(fd, KNOWN);
	hear(fd, in, sizeof(in), "again!", 1);
	(void)close(fd);
}

/* On the way out each answer closes its connection, as libevent does it. */
static void
test_drain(void **state)
{
	char in[FAR];
	MF_UNUSED(state);
	teach();
	int fd = dial();
	say(fd, KNOWN);
	hear(fd, in, sizeof(in), "again!", 1);
	unsigned again = t.again;
	mf_http_server_drain(t.server);
	say(fd, KNOWN);
	hear(fd, in, sizeof(in), "parsed", 1);
	assert_non_null(strstr(in, "Connection: close"));
	assert_int_equal(t.again, again);
	(void)close(fd);
}

static int
setup(void **state)
{
	socklen_t n = sizeof(t.at);
	MF_UNUSED(state);
	memset(&t, 0, sizeof(t));
	memset(big, 'b', sizeof(big));
	memcpy(big, "again!", 6);
	t.body = 6;
	struct mf_http_server_config cfg = {
		.request = on_request, .dropped = on_dropped, .again = on_again, .again_type = "text/x"
	};
	return mf_loop_new(&t.loop, NULL) == MF_OK &&
		       mf_net_listen_tcp("127.0.0.1", 0, &cfg.fd, NULL) == MF_OK &&
		       getsockname(cfg.fd, (struct sockaddr *)&t.at, &n) == 0 &&
		       mf_http_server_new(t.loop, &cfg, &t.server, NULL) == MF_OK
		   ? 0
		   : -1;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_http_server_free(t.server);
	mf_loop_free(t.loop);
	return 0;
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_known), T(test_not_taken), T(test_in_the_middle),
		T(test_in_order), T(test_unread), T(test_silent), T(test_drain) };
	return cmocka_run_group_tests_name("http_again", tests, NULL, NULL);
}
