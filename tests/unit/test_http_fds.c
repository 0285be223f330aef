/* The HTTP servers without descriptors to accept with: they pause, and serve what waited when there are some again. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/http_server.h"
#include "net/http_status.h"
#include "net/grpc_conn.h"

#define CLIENTS 4
#define HANG_MS 60000u

static struct mf_loop *loop;

static int
fill(void *ctx, struct mf_buf *body)
{
	MF_UNUSED(ctx);
	mf_buf_put_str(body, "hello\n");
	return 200;
}

static void
on_request(void *ctx, struct mf_http_request *q)
{
	(*(unsigned *)ctx)++;
	assert_true(mf_http_request_alive(q));
	mf_http_reply(q, 200, "text/plain", MF_SLICE_LIT("hello\n"));
}

static void
on_dropped(void *ctx, struct mf_http_request *q)
{
	MF_UNUSED(ctx);
	MF_UNUSED(q);
}

static int
listening(struct sockaddr_in *at)
{
	int fd = -1;
	socklen_t n = sizeof(*at);
	assert_int_equal(mf_net_listen_tcp("127.0.0.1", 0, &fd, NULL), MF_OK);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &n), 0);
	return fd;
}

static int
asking(const struct sockaddr_in *at)
{
	static const char text[] = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)at, sizeof(*at)), 0);
	assert_int_equal(send(fd, text, sizeof(text) - 1, 0), sizeof(text) - 1);
	return fd;
}

static bool
answered(int fd)
{
	char in[1024];
	ssize_t n = recv(fd, in, sizeof(in) - 1, MSG_DONTWAIT);
	in[n > 0 ? n : 0] = '\0';
	return strstr(in, " 200 OK") != NULL;
}

/* The clients are there, and there is nothing to accept them with for a while. */
static void
starve_and_feed(const struct sockaddr_in *at)
{
	struct rlimit old, low;
	int fd[CLIENTS];
	bool got[CLIENTS] = { false };
	for (int i = 0; i < CLIENTS; i++)
		fd[i] = asking(at);
	int next = dup(0); /* the first number that is free */
	(void)close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(mf_loop_turn(loop, false, NULL), MF_OK);
	for (int i = 0; i < CLIENTS; i++)
		assert_false(answered(fd[i]));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	uint64_t end = mf_now().mono_ms + HANG_MS;
	for (int i = 0; i < CLIENTS; i++) {
		while (!got[i] && mf_now().mono_ms < end) {
			assert_int_equal(mf_loop_turn(loop, false, NULL), MF_OK);
			got[i] = answered(fd[i]);
		}
		assert_true(got[i]);
		(void)close(fd[i]);
	}
}

static void
test_status(void **state)
{
	MF_UNUSED(state);
	const struct mf_http_status_page page = { .path = "/x", .content_type = "text/plain", .fill = fill };
	struct mf_http_status *one = NULL, *two = NULL;
	struct sockaddr_in at, other;
	int a = listening(&at), b = listening(&other);
	assert_int_equal(mf_http_status_new(loop, a, &page, 1, &one, NULL), MF_OK);
	assert_int_equal(mf_http_status_new(loop, b, &page, 1, &two, NULL), MF_OK);
	starve_and_feed(&at);
	starve_and_feed(&other);
	mf_http_status_free(one);
	starve_and_feed(&other);
	mf_http_status_free(two);
}

static void
test_server(void **state)
{
	MF_UNUSED(state);
	struct mf_http_server *s = NULL;
	struct sockaddr_in at;
	unsigned requests = 0;
	struct mf_http_server_config cfg = {
		.fd = listening(&at), .request = on_request, .dropped = on_dropped, .ctx = &requests
	};
	assert_int_equal(mf_http_server_new(loop, &cfg, &s, NULL), MF_OK);
	starve_and_feed(&at);
	assert_int_equal(requests, CLIENTS);
	assert_int_equal(mf_http_server_open(s), 0);
	mf_http_server_free(s);
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	return mf_loop_new(&loop, NULL) == MF_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_loop_free(loop);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(test_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_server, setup, teardown) };
	return cmocka_run_group_tests_name("http_fds", tests, NULL, NULL);
}
