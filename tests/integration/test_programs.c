/*
 * mayfly-broker and mayfly-agent as an operator meets them: command line, configuration, init, and what they say when
 * something is missing. That they serve is shown where the roles are tested.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/defs.h"

static char bin[4096]; /* BUILD/bin */
static char dir[] = "/tmp/mf-programs-XXXXXX";
static char said[1 << 16]; /* stdout and stderr of the last run */

/* Run BUILD/bin/${name} with up to 12 arguments; the exit code, or -1 when it did not end by itself. */
static int
run(const char *name, const char *const *args)
{
	char path[4200];
	char *argv[16];
	size_t n = 0, used = 0;
	int out[2], st = 0;
	(void)snprintf(path, sizeof(path), "%s/%s", bin, name);
	argv[n++] = path;
	for (; *args != NULL && n < 15; args++)
		argv[n++] = strdup(*args);
	argv[n] = NULL;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(out[1], 1);
		(void)dup2(out[1], 2);
		(void)alarm(60); /* a hang limit */
		(void)execv(path, argv);
		_exit(127);
	}
	(void)close(out[1]);
	for (ssize_t got = 1; got > 0 && used<sizeof(said) - 1; used += got> 0 ? (size_t)got : 0)
		got = read(out[0], said + used, sizeof(said) - 1 - used);
	said[used] = '\0';
	(void)close(out[0]);
	for (size_t i = 1; i < n; i++)
		free(argv[i]);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}
#define RUN(name, ...) run(name, (const char *const[]) { __VA_ARGS__, NULL })

static void
assert_said(const char *what)
{
	if (strstr(said, what) == NULL)
		fail_msg("it did not say \"%s\" but:\n%s", what, said);
}

static const char *
in_dir(const char *fmt_name)
{
	static char text[8][256];
	static size_t next;
	char *t = text[next++ % 8];
	(void)snprintf(t, sizeof(text[0]), "%s%s", fmt_name, dir);
	return t;
}

static void
test_command_line(void **state)
{
	MF_UNUSED(state);
	static const char *const both[] = { "mayfly-broker", "mayfly-agent" };
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(RUN(both[i], "--version"), 0);
		assert_said(both[i]);
		assert_said("SPIFFE specifications 665a28f");
		assert_int_equal(RUN(both[i], "--help"), 0);
		assert_said("--state-dir");
		assert_int_equal(RUN(both[i], "frobnicate"), 2);
		assert_said("no verb frobnicate");
		assert_int_equal(RUN(both[i], "run", "--no-such-flag=1"), 2);
		assert_said("--no-such-flag");
		assert_int_equal(RUN(both[i], "--config", "/nonexistent/file.yaml"), 2);
		assert_said("/nonexistent/file.yaml");
		assert_int_equal(RUN(both[i], "--config", "/tmp"), 2);
		assert_said("/tmp");
	}
	assert_int_equal(RUN("mayfly-broker", "--config", "/dev/null"), 2);
	assert_said("trust_domain");
	assert_int_equal(RUN("mayfly-broker", "--config", "/dev/null", "--trust-domain=example.test",
			     "--listen=x", "--hartbeat=1s"),
	    2);
	assert_said("--listen");
	assert_said("--hartbeat");
}

static void
test_print_config(void **state)
{
	MF_UNUSED(state);
	char path[128];
	static char first[1 << 16];
	(void)snprintf(path, sizeof(path), "%s/agent.yaml", dir);
	assert_int_equal(RUN("mayfly-agent", "--print-config", "--hold=7s", "--config", "/dev/null"), 0);
	assert_said("hold: 7s");
	memcpy(first, said, sizeof(first));
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, said, strlen(said)), (ssize_t)strlen(said));
	(void)close(fd);
	assert_int_equal(RUN("mayfly-agent", "--print-config", "--config", path), 0);
	assert_string_equal(said, first);
	(void)unlink(path);
}

static void
test_init(void **state)
{
	MF_UNUSED(state);
	struct stat st;
	char path[256], kek[256], policy[256];
	(void)snprintf(path, sizeof(path), "--state-dir=%s/broker", dir);
	(void)snprintf(kek, sizeof(kek), "--kek-file=%s/kek", dir);
	(void)snprintf(policy, sizeof(policy), "--policy=%s/policy.yaml", dir);
	const char *td = "--trust-domain=example.test", *listen = "--listen=127.0.0.1:23461",
		   *off = "--metrics-listen=";
	const char *rundir = in_dir("--run-dir=");
	assert_int_equal(RUN("mayfly-broker", "run", path, kek, td, policy, listen, off, rundir), 2);
	/* Where the roles are not built yet the first complaint is about them. */
	if (strstr(said, "MAYFLY_LIBEXEC") == NULL)
		assert_said("mayfly-broker init");
	assert_int_equal(RUN("mayfly-broker", "init", path, kek, td), 0);
	(void)snprintf(path, sizeof(path), "%s/broker/keys", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(st.st_uid, getuid() == 0 ? 60801 : getuid());
	(void)snprintf(path, sizeof(path), "%s/kek", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
	(void)snprintf(path, sizeof(path), "--state-dir=%s/broker", dir);
	assert_int_equal(RUN("mayfly-broker", "init", path, kek, td), 1);
	assert_said("nothing was touched");
}

static void
test_no_token(void **state)
{
	MF_UNUSED(state);
	char st[256], rn[256], sock[256];
	(void)snprintf(st, sizeof(st), "--state-dir=%s/agent", dir);
	(void)snprintf(rn, sizeof(rn), "--run-dir=%s/agent-run", dir);
	(void)snprintf(sock, sizeof(sock), "--socket=%s/agent.sock", dir);
	assert_int_equal(RUN("mayfly-agent", "run", "--config", "/dev/null", st, rn, sock), 2);
	if (strstr(said, "MAYFLY_LIBEXEC") == NULL)
		assert_said("mayfly node token");
}

static int
make_dir(void **state)
{
	MF_UNUSED(state);
	ssize_t n = readlink("/proc/self/exe", bin, sizeof(bin) - 1);
	char *slash = n < 0 ? NULL : strrchr(bin, '/');
	if (slash == NULL || mkdtemp(dir) == NULL)
		return 1;
	memcpy(slash, "/../bin", 8);
	return 0;
}

static int
remove_dir(void **state)
{
	MF_UNUSED(state);
	char cmd[64];
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd); /* NOLINT: a fixed command of a test */
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_print_config), cmocka_unit_test(test_init),
		cmocka_unit_test(test_no_token) };
	return cmocka_run_group_tests_name("programs", tests, make_dir, remove_dir);
}
