/* `mayfly --broker`: addresses, and a mayfly-remote that is not there, says no, says nonsense or goes away. */
#include "unit/cli_fake.h"

static void
helper(const char *script)
{
	const char *path = fake_path("mayfly-remote");
	(void)unlink(path);
	if (script == NULL)
		return;
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	(void)fprintf(f, "#!/bin/sh\n%s\n", script);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0700), 0);
}

static void
test_urls(void **state)
{
	static const char *const bad[] = { "", "https://", "http://h:1", "ftp://h", "h:1/x", "u@h:1", "h?x",
		"a b" };
	MF_UNUSED(state);
	helper("echo error invalid \"$*\" >&4");
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		assert_int_equal(cli("status", "--broker", bad[i], NULL), 1);
		assert_err("--broker: must be https://HOST:PORT");
	}
	static const struct {
		const char *url, *dials;
	} good[] = {
		{ "https://h.example:1", "--broker=h.example:1 " },
		{ "https://h.example/", "--broker=h.example:8464 " },
		{ "h.example", "--broker=h.example:8464 " },
		{ "127.0.0.1:9", "--broker=127.0.0.1:9 " },
		{ "https://[::1]:9", "--broker=[::1]:9 " },
		{ "[::1]", "--broker=[::1]:8464 " },
	};
	for (size_t i = 0; i < MF_COUNT(good); i++) {
		assert_int_equal(cli("status", "--broker", good[i].url, NULL), 1);
		assert_err(good[i].dials);
	}
	/* Flags win over variables; a socket that was typed wins over MAYFLY_BROKER. */
	(void)setenv("MAYFLY_BROKER", "env.example:7", 1);
	(void)setenv("MAYFLY_BROKER_CERT", "env.pem", 1);
	assert_int_equal(cli("status", NULL), 1);
	assert_err("--broker=env.example:7 ");
	assert_err("--cert=env.pem");
	assert_int_equal(
	    cli("status", "--broker", "f.example", "--cert", "f.pem", "--key", "k", "--ca", "c", NULL), 1);
	assert_err("--broker=f.example:8464 ");
	assert_err("--cert=f.pem --key=k --ca=c");
	assert_int_equal(cli("status", "--admin-socket", "/nonexistent/s", NULL), 4);
	assert_err("/nonexistent/s");
	(void)unsetenv("MAYFLY_BROKER");
	(void)unsetenv("MAYFLY_BROKER_CERT");
}

static void
test_helper(void **state)
{
	static const struct {
		const char *script, *says;
		int code;
	} t[] = {
		{ NULL, "mayfly-remote", 1 },
		{ "exit 0", "no connection in time", 4 },
		{ "echo error denied not you >&4", "not you", 1 },
		{ "echo error unavailable nobody there >&4", "nobody there", 4 },
		{ "echo error nonsense x >&4", "nonsense x", 1 },
		{ "echo hello >&4", "said hello", 1 },
		/* It connects, then the broker drops us: why comes by the pipe. */
		{ "echo ok >&4; exec 3>&-; echo error denied the broker refused >&4", "the broker refused",
		    1 },
		{ "echo ok >&4", "closed the connection", 4 },
	};
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		helper(t[i].script);
		int code = cli("status", "--broker", "h.example", NULL);
		if (code != t[i].code)
			fail_msg("%s: exit code %d", t[i].script, code);
		assert_err(t[i].says);
	}
}

static int
setup(void **state)
{
	int rc = fake_setup(state);
	(void)setenv("MAYFLY_LIBEXEC", fake_dir, 1);
	return rc;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_helper),
	};
	return cmocka_run_group_tests(tests, setup, fake_teardown);
}
