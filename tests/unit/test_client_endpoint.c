#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <mayfly/workload.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "client/backoff.h"
#include "client/endpoint.h"

/* WEP-8 */
static void
test_unix(void **state)
{
	MF_UNUSED(state);
	static const char *const good[] = { "unix:///r/a.sock", "unix:/r/a.sock", "unix:///a", "unix:/a/../b",
		"unix:///run/spire/sockets/agent.sock" };
	static const char *const bad[] = { "unix://host/a", "unix:a.sock", "unix:///a?x", "unix:///a#f",
		"unix:", "unix://", "unix:///", "unix:/", "unix:////a", "unix://./a", "unix:///a b",
		"unix:///a%20b", "unix:///a\n", "unix:@abstract", "unix:///\x7f", "UNIX:///a", "Unix:/a",
		"/r/a.sock", "", "x", "file:///a", "http://127.0.0.1:80", "unix" };
	for (size_t i = 0; i < MF_COUNT(good); i++) {
		struct mf_endpoint ep;
		assert_int_equal(mf_endpoint_parse(mf_slice_str(good[i]), &ep, NULL), MF_OK);
		struct sockaddr_un un;
		memcpy(&un, &ep.addr, sizeof(un));
		assert_int_equal(un.sun_family, AF_UNIX);
		assert_int_equal(un.sun_path[0], '/');
		assert_non_null(strstr(good[i], un.sun_path));
	}
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_err err = { 0 };
		struct mf_endpoint ep;
		assert_int_equal(mf_endpoint_parse(mf_slice_str(bad[i]), &ep, &err), MF_E_INVALID);
		assert_non_null(strstr(err.msg, "write unix:///"));
	}
	struct mf_endpoint ep;
	assert_int_equal(mf_endpoint_parse(mf_slice("unix:///a\0b", 11), &ep, NULL), MF_E_INVALID);
	char longest[7 + 109] = "unix://";
	memset(longest + 7, 'a', 108);
	longest[7] = '/';
	assert_int_equal(mf_endpoint_parse(mf_slice(longest, 7 + 107), &ep, NULL), MF_OK);
	assert_int_equal(mf_endpoint_parse(mf_slice(longest, 7 + 108), &ep, NULL), MF_E_TOOBIG);
}

/* WEP-9 */
static void
test_tcp(void **state)
{
	MF_UNUSED(state);
	static const char *const bad[] = { "tcp://localhost:1", "tcp://127.0.0.1", "tcp://127.0.0.1:8000/foo",
		"tcp://127.0.0.1:8000/", "tcp://u@127.0.0.1:1", "tcp://127.0.0.1:1?x", "tcp://127.0.0.1:1#x",
		"tcp://127.0.0.1:", "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:+1",
		"tcp://127.0.0.1:01", "tcp://:1", "tcp://", "tcp:127.0.0.1:1", "tcp://[::1]",
		"tcp://[::1]:", "tcp://[::1", "tcp://::1:1", "tcp://[127.0.0.1]:1", "tcp://[::1]x:1",
		"tcp://[fe80::1%25lo]:1", "tcp://[]:1", "tcp://127.1:1", "tcp://0x7f.0.0.1:1",
		"tcp://127.0.0.1 :1", "tcp://[", "tcp://]:1" };
	struct mf_endpoint ep;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	assert_int_equal(mf_endpoint_parse(MF_SLICE_LIT("tcp://127.0.0.1:8000"), &ep, NULL), MF_OK);
	memcpy(&v4, &ep.addr, sizeof(v4));
	assert_int_equal(v4.sin_family, AF_INET);
	assert_int_equal(ntohl(v4.sin_addr.s_addr), INADDR_LOOPBACK);
	assert_int_equal(ntohs(v4.sin_port), 8000);
	assert_int_equal(ep.n, sizeof(v4));
	assert_int_equal(mf_endpoint_parse(MF_SLICE_LIT("tcp://[::1]:1"), &ep, NULL), MF_OK);
	memcpy(&v6, &ep.addr, sizeof(v6));
	assert_int_equal(v6.sin6_family, AF_INET6);
	assert_memory_equal(&v6.sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback));
	assert_int_equal(ntohs(v6.sin6_port), 1);
	assert_int_equal(ep.n, sizeof(v6));
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_int_equal(mf_endpoint_parse(mf_slice_str(bad[i]), &ep, NULL), MF_E_INVALID);
}

/* WEP-7: "explicit configuration first, else SPIFFE_ENDPOINT_SOCKET", in both orders. */
static void
test_environment(void **state)
{
	MF_UNUSED(state);
	mayfly_client *c = NULL;
	mayfly_error err;
	assert_int_equal(unsetenv("SPIFFE_ENDPOINT_SOCKET"), 0);
	assert_int_equal(mayfly_client_new(NULL, &c, &err), MAYFLY_E_NOTFOUND);
	assert_non_null(strstr(err.text, "SPIFFE_ENDPOINT_SOCKET"));
	assert_int_equal(mayfly_client_new("unix:///x/a", &c, &err), MAYFLY_OK);
	assert_string_equal(mayfly_client_address(c), "unix:///x/a");
	mayfly_client_free(c);
	assert_int_equal(setenv("SPIFFE_ENDPOINT_SOCKET", "unix:///x/env", 1), 0);
	assert_int_equal(mayfly_client_new("unix:///x/a", &c, &err), MAYFLY_OK);
	assert_string_equal(mayfly_client_address(c), "unix:///x/a");
	mayfly_client_free(c);
	assert_int_equal(mayfly_client_new(NULL, &c, &err), MAYFLY_OK);
	assert_string_equal(mayfly_client_address(c), "unix:///x/env");
	mayfly_client_free(c);
	assert_int_equal(setenv("SPIFFE_ENDPOINT_SOCKET", "/no/scheme", 1), 0);
	assert_int_equal(mayfly_client_new(NULL, &c, &err), MAYFLY_E_INVALID);
	assert_non_null(strstr(err.text, "SPIFFE_ENDPOINT_SOCKET: agent address"));
	assert_int_equal(setenv("SPIFFE_ENDPOINT_SOCKET", "", 1), 0);
	assert_int_equal(mayfly_client_new(NULL, &c, &err), MAYFLY_E_NOTFOUND);
	assert_int_equal(mayfly_client_new("", &c, &err), MAYFLY_E_INVALID);
	mayfly_client_free(NULL);
}

static void
test_settings(void **state)
{
	MF_UNUSED(state);
	mayfly_client *c = NULL;
	mayfly_error err;
	assert_int_equal(mayfly_client_new("unix:///x", &c, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_client_set_backoff(c, 0, 5, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_client_set_backoff(c, 6, 5, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_client_set_backoff(c, 1, 600001, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_client_set_backoff(c, 1, 600000, NULL), MAYFLY_OK);
	mayfly_client_free(c);
}

static void
fill(void *ctx, void *to, size_t n)
{
	memset(to, *(const int *)ctx, n);
}

static void
test_backoff(void **state)
{
	MF_UNUSED(state);
	int byte = 0xff;
	struct mf_backoff b = { 200, 5000, 0, { fill, &byte } };
	static const uint32_t most[] = { 200, 400, 800, 1600, 3200, 5000, 5000 };
	for (size_t i = 0; i < MF_COUNT(most); i++)
		assert_int_equal(mf_backoff_next(&b), most[i]);
	mf_backoff_reset(&b);
	assert_int_equal(mf_backoff_next(&b), 200);
	byte = 0;
	for (int i = 0; i < 5; i++)
		assert_int_equal(mf_backoff_next(&b), 0);
	/* Full jitter: both halves of the range are used. */
	struct mf_backoff r = { 1000, 1000, 0, mf_rand_system() };
	unsigned low = 0;
	for (int i = 0; i < 400; i++) {
		uint32_t v = mf_backoff_next(&r);
		assert_true(v <= 1000);
		low += v < 500 ? 1 : 0;
	}
	assert_in_range(low, 100, 300);
}

/* Numbers and sizes that programs were compiled with. */
static void
test_abi(void **state)
{
	MF_UNUSED(state);
	assert_string_equal(mayfly_version(), MAYFLY_VERSION);
	assert_int_equal(sizeof(mayfly_error), 8 * sizeof(int) + 480);
	assert_int_equal(offsetof(mayfly_error, text), 8 * sizeof(int));
	static const char *const names[] = { "ok", "invalid", "denied", "unavailable", "deadline",
		"untrusted", "not_found", "unsupported", "wrong_state", "too_big", "no_memory", "io",
		"internal" };
	for (size_t i = 0; i < MF_COUNT(names); i++)
		assert_string_equal(mayfly_status_name((mayfly_status)i), names[i]);
	assert_int_equal(MAYFLY_E_INTERNAL, 12);
	assert_string_equal(mayfly_status_name((mayfly_status)99), "unknown");
	assert_int_equal(MAYFLY_UPDATED | MAYFLY_DROPPED | MAYFLY_TROUBLE | MAYFLY_STOPPED, 15);
	assert_int_equal(MAYFLY_WATCH_X509, 1);
	assert_int_equal(MAYFLY_WATCH_BUNDLES, 2);
	assert_int_equal(MAYFLY_WATCH_JWT_BUNDLES, 3);
	assert_int_equal(MAYFLY_DROP, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		{ "WEP-8", test_unix, NULL, NULL, NULL },
		{ "WEP-9", test_tcp, NULL, NULL, NULL },
		{ "WEP-7", test_environment, NULL, NULL, NULL },
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_abi),
	};
	return cmocka_run_group_tests_name("client_endpoint", tests, NULL, NULL);
}
