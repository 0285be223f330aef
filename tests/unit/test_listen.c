#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/listen.h"

static char dir[] = "/tmp/mf-listen-XXXXXX";

static void
test_split(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *in, *host;
		uint16_t port;
	} good[] = { { "a.example:8461", "a.example", 8461 }, { "127.0.0.1:1", "127.0.0.1", 1 },
		{ "[::1]:65535", "::1", 65535 }, { "[::]:80", "::", 80 } };
	static const char *const bad[] = { "", ":", "host", "host:", ":80", "host:0", "host:65536",
		"host:080", "host:8x", "::1:80", "[]:80", "[::1]", "[::1:80" };
	char host[256];
	uint16_t port = 0;
	struct mf_err err = { 0 };
	for (size_t i = 0; i < MF_COUNT(good); i++) {
		assert_int_equal(mf_address_split(good[i].in, host, &port, &err), MF_OK);
		assert_string_equal(host, good[i].host);
		assert_int_equal(port, good[i].port);
	}
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_int_equal(mf_address_split(bad[i], host, &port, &err), MF_E_INVALID);
	char longer[400];
	memset(longer, 'a', sizeof(longer));
	(void)snprintf(longer + 300, 8, ":80");
	assert_int_equal(mf_address_split(longer, host, &port, &err), MF_E_INVALID);
}

static void
test_resolve(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	assert_int_equal(mf_address_resolve("127.0.0.1:8461", &b, &err), MF_OK);
	assert_string_equal(mf_buf_cstr(&b), "127.0.0.1:8461");
	mf_buf_reset(&b);
	assert_int_equal(mf_address_resolve("[::1]:8461", &b, &err), MF_OK);
	assert_string_equal(mf_buf_cstr(&b), "[::1]:8461");
	mf_buf_reset(&b);
	assert_int_equal(mf_address_resolve("999.1.1.1.invalid:1", &b, &err), MF_E_NOTFOUND);
	assert_int_equal(b.n, 0);
}

static void
test_tcp(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	char address[32];
	int fd = -1, again = -1;
	enum mf_status s = MF_E_EXISTS;
	for (unsigned port = 22000; port < 23000 && s == MF_E_EXISTS; port++) {
		(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
		s = mf_listen_tcp(address, &fd, &err);
	}
	assert_int_equal(s, MF_OK);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(mf_listen_tcp(address, &again, &err), MF_E_EXISTS);
	assert_non_null(strstr(err.msg, address));
	(void)close(fd);
	assert_int_equal(
	    mf_listen_tcp("192.0.2.1:22001", &fd, &err), MF_E_IO); /* not an address of this machine */
	assert_int_equal(mf_listen_tcp("nonsense", &fd, &err), MF_E_INVALID);
}

/* P-29 */
static void
test_unix(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct stat st;
	char path[128];
	int fd = -1, again = -1;
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	struct mf_listen_unix how = { .path = path, .mode = 0660, .group = (gid_t)-1, .senders = true };
	mode_t old = umask(077);
	assert_int_equal(mf_listen_unix(&how, &fd, &err), MF_OK);
	assert_int_equal(umask(old), 077); /* the caller's is back */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(mf_listen_unix(&how, &again, &err), MF_E_EXISTS); /* a living one is left alone */
	/* A connection knows where it arrived, and its messages have senders. */
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 0;
	assert_int_equal(connect(c, (const struct sockaddr *)&at, sizeof(at)), 0);
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer >= 0);
	socklen_t n = sizeof(on);
	assert_int_equal(getsockopt(peer, SOL_SOCKET, SO_PASSCRED, &on, &n), 0);
	assert_int_equal(on, 1);
	struct sockaddr_un name = { 0 };
	n = sizeof(name);
	assert_int_equal(getsockname(peer, (struct sockaddr *)&name, &n), 0);
	assert_string_equal(name.sun_path, path);
	(void)close(c);
	(void)close(peer);
	(void)close(fd);
	/* What a dead one left is replaced; a file is not. */
	how.mode = 0666;
	assert_int_equal(mf_listen_unix(&how, &fd, &err), MF_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	(void)close(fd);
	assert_int_equal(unlink(path), 0);
	int f = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	(void)close(f);
	assert_int_equal(mf_listen_unix(&how, &fd, &err), MF_E_DENIED);
	assert_int_equal(unlink(path), 0);
	char longer[200];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	how.path = longer;
	assert_int_equal(mf_listen_unix(&how, &fd, &err), MF_E_INVALID);
	how.path = "/nonexistent/s";
	assert_int_equal(mf_listen_unix(&how, &fd, &err), MF_E_IO);
}

static int
make_dir(void **state)
{
	MF_UNUSED(state);
	return mkdtemp(dir) == NULL;
}

static int
remove_dir(void **state)
{
	MF_UNUSED(state);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_split), cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_tcp), cmocka_unit_test(test_unix) };
	return cmocka_run_group_tests_name("listen", tests, make_dir, remove_dir);
}
