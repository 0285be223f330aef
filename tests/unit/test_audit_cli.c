/* mayfly-audit as people run it: arguments, exit codes, what it prints and what it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cli/audit/audit.h"
#include "codec/json.h"
#include "log_kit.h"

#define ARGS 12

static char dir[64], vkey[300];
static struct mf_buf out, errs;

static void
slurp(const char *name, struct mf_buf *to)
{
	mf_buf_reset(to);
	assert_int_equal(mf_log_io_load(mf_log_io_system(), AT_FDCWD, name, to, NULL), MF_OK);
	assert_non_null(mf_buf_cstr(to));
}

/* The program in a child, with its output in files: its exit code. */
static int
run(const char *first, ...)
{
	static char word[ARGS + 2][512];
	char *argv[ARGS + 2];
	int argc = 1;
	va_list ap;
	va_start(ap, first);
	(void)snprintf(word[0], sizeof(word[0]), "mayfly-audit");
	argv[0] = word[0];
	for (const char *a = first; a != NULL && argc < ARGS; a = va_arg(ap, const char *)) {
		(void)snprintf(word[argc], sizeof(word[0]), "%s", a);
		argv[argc] = word[argc];
		argc++;
	}
	va_end(ap);
	argv[argc] = NULL;
	char out_name[100], err_name[100];
	(void)snprintf(out_name, sizeof(out_name), "%s.out", dir);
	(void)snprintf(err_name, sizeof(err_name), "%s.err", dir);
	(void)fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (freopen(out_name, "w", stdout) == NULL || freopen(err_name, "w", stderr) == NULL)
			_exit(99);
		optind = 1;
		int rc = mf_audit_main(argc, argv);
		(void)fflush(NULL);
		_exit(rc);
	}
	int status = 0;
	assert_true(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	slurp(out_name, &out);
	slurp(err_name, &errs);
	return WEXITSTATUS(status);
}

static void
assert_in(struct mf_buf *b, const char *text)
{
	if (strstr(mf_buf_cstr(b), text) == NULL)
		fail_msg("no '%s' in: %s", text, mf_buf_cstr(b));
}

static size_t
lines(struct mf_buf *b)
{
	size_t n = 0;
	for (size_t i = 0; i < b->n; i++)
		n += b->p[i] == '\n';
	return n;
}

static void
fresh_dir(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/mayfly-test-audit-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static void
remove_dir(void)
{
	char cmd[300];
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s %s.out %s.err", dir, dir, dir);
	assert_int_equal(system(cmd), 0);
}

/* A log of ${n} signed records and ${tail} unsigned ones; the last is ${age_s} old. */
static void
make_log(struct log_kit *k, uint64_t n, uint64_t tail, int64_t age_s)
{
	fresh_dir();
	mf_log_kit_open(k, dir, mf_now().wall_us - age_s * 1000000 - (int64_t)(n + tail) * 1000, 65536);
	mf_log_kit_append(k, n, 3);
	mf_log_kit_sign(k);
	mf_log_kit_append(k, tail, 3);
	struct mf_buf b;
	mf_buf_init(&b, 300);
	mf_note_key_put(&k->vkey, &b);
	(void)snprintf(vkey, sizeof(vkey), "%s", mf_buf_cstr(&b));
	mf_buf_fini(&b);
}

static void
test_usage(void **state)
{
	MF_UNUSED(state);
	struct log_kit k;
	make_log(&k, 7, 0, 100);
	assert_int_equal(run(NULL), 2);
	assert_in(&errs, "usage:");
	assert_int_equal(run("--help", NULL), 0);
	assert_in(&out, "exit codes:");
	assert_int_equal(run("verify", "--help", NULL), 0);
	static const char *const bad[][3] = { { "frob", NULL, NULL }, { "verify", "--nonsense", NULL },
		{ "verify", "-f", NULL }, { "tail", "--max-unsigned", "2s" }, { "tail", "-n", "0" },
		{ "tail", "-n", "x" }, { "tail", "-o", "xml" }, { "find", "--since", "yesterday" },
		{ "verify", "--max-unsigned", "2" }, { "find", dir, NULL }, { "verify", dir, dir },
		{ "verify", "--key", "/nonexistent" } };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		int rc = bad[i][1] != NULL && strcmp(bad[i][1], "--key") == 0
			     ? run(bad[i][0], "--log", dir, bad[i][1], bad[i][2], NULL)
			     : run(bad[i][0], bad[i][1], bad[i][2], NULL);
		if (rc != 2)
			fail_msg("case %zu: exit code %d: %s", i, rc, mf_buf_cstr(&errs));
		assert_true(errs.n > 0);
	}
	assert_int_equal(run("verify", "--log", "/nonexistent", NULL), 4);
	assert_in(&errs, "No such file");
	mf_log_kit_close(&k);
	remove_dir();
}

static void
test_verify(void **state)
{
	MF_UNUSED(state);
	struct log_kit k;
	make_log(&k, 70, 0, 100);
	assert_int_equal(run("verify", dir, "--key", vkey, NULL), 0);
	assert_in(&out, "head     70 records, signed, root ");
	assert_in(&out, "\nok\n");
	assert_int_equal(errs.n, 0);
	/* Without a key of the caller's it says what that is worth. */
	assert_int_equal(run("verify", "--log", dir, NULL), 0);
	assert_in(&errs, "not who signed it");
	assert_int_equal(run("verify", dir, "--key", vkey, "-o", "json", NULL), 0);
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	assert_int_equal(mf_json_parse(mf_buf_slice(&out), 0, &doc, NULL), MF_OK);
	const struct mf_json_value *item = mf_json_at(mf_json_get(mf_json_root(doc), "items"), 0);
	int64_t n = 0;
	assert_true(mf_json_int(mf_json_get(item, "signed_records"), &n) && n == 70);
	/* Old records that nobody signed: not good, and not proven bad. */
	mf_log_kit_append(&k, 5, 2);
	assert_int_equal(run("verify", dir, "--key", vkey, NULL), 4);
	assert_in(&out, "5 records after the last signed head: chained, not yet signed");
	assert_in(&out, "incomplete: from index 70 on nobody has signed");
	assert_int_equal(run("verify", dir, "--key", vkey, "--max-unsigned", "1d", NULL), 0);
	assert_in(&out, "chained, not yet signed");
	/* One bit. */
	char name[200];
	(void)snprintf(name, sizeof(name), "%s/wal/0000000000000000.seg", dir);
	int fd = open(name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "X", 1, 100), 1);
	(void)close(fd);
	assert_int_equal(run("verify", dir, "--key", vkey, NULL), 1);
	assert_in(&out, "bad: segment 0000000000000000.seg, offset 0, first bad index 0: ");
	assert_int_equal(run("verify", dir, "--key", vkey, "-o", "json", NULL), 1);
	assert_in(&out, "\"first_bad_index\":0");
	assert_in(&out, "\"result\":\"bad\"");
	/* Nothing of a bad log is shown. */
	assert_int_equal(run("tail", dir, "--key", vkey, NULL), 1);
	assert_int_equal(out.n, 0);
	assert_in(&errs, "the log is bad: ");
	mf_log_kit_close(&k);
	remove_dir();
}

static void
test_find(void **state)
{
	MF_UNUSED(state);
	struct log_kit k;
	make_log(&k, 70, 0, 100);
	/* All seven records of a job, though four of them name only its lease. */
	assert_int_equal(run("find", dir, "--key", vkey, "--job", "j-00000000000000000003", NULL), 0);
	assert_int_equal(lines(&out), 8);
	assert_in(&out, "lease.ended");
	assert_int_equal(
	    run("find", dir, "--key", vkey, "--job", "local/n0/b/cg-3", "--type", "svid.renewed", NULL), 0);
	assert_int_equal(lines(&out), 3);
	assert_int_equal(run("find", dir, "--key", vkey, "--node", "n1", "--type", "lease.ended", NULL), 0);
	assert_int_equal(lines(&out), 4);
	/* The issuance and the end that lists it; by SPIFFE ID the issuance and its renewals. */
	assert_int_equal(run("find", dir, "--key", vkey, "--serial", "0000000000000017", NULL), 0);
	assert_int_equal(lines(&out), 3);
	assert_in(&out, "lease.ended");
	assert_int_equal(run("find", dir, "--key", vkey, "--spiffe-id",
			     "spiffe://example.org/default/train/dev/job/j-00000000000000000003", NULL),
	    0);
	assert_int_equal(lines(&out), 4);
	assert_int_equal(run("find", dir, "--key", vkey, "--job", "j-none", NULL), 1);
	assert_in(&errs, "no record matches");
	assert_int_equal(run("find", dir, "--key", vkey, "--job", "j-none", "-o", "json", NULL), 1);
	assert_string_equal(
	    mf_buf_cstr(&out), "{\"apiVersion\":\"mayfly/v1\",\"kind\":\"AuditRecordList\",\"items\":[]}\n");
	assert_int_equal(run("find", dir, "--key", vkey, "--since", "1h", "-o", "json", NULL), 0);
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	assert_int_equal(mf_json_parse(mf_buf_slice(&out), 0, &doc, NULL), MF_OK);
	assert_int_equal(mf_json_size(mf_json_get(mf_json_root(doc), "items")), 70);
	assert_int_equal(run("find", dir, "--key", vkey, "--since", "10s", NULL), 1);
	mf_log_kit_close(&k);
	remove_dir();
}

static void
test_tail(void **state)
{
	MF_UNUSED(state);
	struct log_kit k;
	make_log(&k, 700, 4, 100);
	assert_int_equal(run("tail", dir, "--key", vkey, NULL), 4); /* four are old and not signed */
	assert_int_equal(lines(&out), 21);
	assert_in(&out, "\n699     ");
	assert_null(strstr(mf_buf_cstr(&out), "\n700     "));
	assert_in(&errs, "4 records after the last signed head are not shown");
	mf_log_kit_sign(&k);
	assert_int_equal(run("tail", dir, "--key", vkey, "-n", "3", NULL), 0);
	assert_int_equal(lines(&out), 4);
	assert_in(&out, "\n703     ");
	assert_int_equal(run("tail", dir, "--key", vkey, "-n", "all", "--type", "svid.issued", NULL), 0);
	assert_int_equal(lines(&out), 102);
	mf_log_kit_close(&k);
	remove_dir();
}

/* A follower prints a record when its head is signed, and not before. */
static void
test_follow(void **state)
{
	MF_UNUSED(state);
	struct log_kit k;
	make_log(&k, 10, 0, 0);
	int fd[2];
	assert_int_equal(pipe(fd), 0);
	(void)fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char w[][300] = { "mayfly-audit", "tail", "-f", "--log", "", "--key", "", "-n", "1" };
		char *argv[] = { w[0], w[1], w[2], w[3], dir, w[5], vkey, w[7], w[8], NULL };
		(void)dup2(fd[1], STDOUT_FILENO);
		(void)close(fd[0]);
		optind = 1;
		_exit(mf_audit_main(9, argv));
	}
	(void)close(fd[1]);
	FILE *f = fdopen(fd[0], "r");
	assert_non_null(f);
	char line[1000];
	assert_non_null(fgets(line, sizeof(line), f)); /* the titles */
	assert_non_null(fgets(line, sizeof(line), f));
	assert_true(strncmp(line, "9 ", 2) == 0);
	for (uint64_t i = 10; i < 15; i++) {
		mf_log_kit_append(&k, 2, 1);
		mf_log_kit_sign(&k);
		mf_log_kit_append(&k, 1, 1); /* signed in the next round */
	}
	mf_log_kit_sign(&k);
	for (uint64_t i = 10; i < 25; i++) {
		char want[20];
		(void)snprintf(want, sizeof(want), "%-8llu", (unsigned long long)i);
		assert_non_null(fgets(line, sizeof(line), f));
		assert_true(strncmp(line, want, strlen(want)) == 0);
	}
	assert_int_equal(kill(pid, SIGTERM), 0);
	int status;
	assert_true(waitpid(pid, &status, 0) == pid);
	(void)fclose(f);
	mf_log_kit_close(&k);
	remove_dir();
}

static int
fingerprint(const char *text)
{
	char name[100];
	(void)snprintf(name, sizeof(name), "%s/found", dir);
	FILE *f = fopen(name, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	return run("fingerprint", name, NULL);
}

/* What a file is, is found out: variables, JSON, a bare token, a certificate among other things. */
static void
test_fingerprint(void **state)
{
	MF_UNUSED(state);
	static const char token[] =
	    "sha256 69857548f7c582b96bc72abf21dbf61b9169ba42dfcaca9a5b91565fb1805e93\n",
			  cert[] =
			      "sha256 1b65f68a522c858715f5dd951cd0402dc16691778814bf0759822b7a257421d0\n";
	fresh_dir();
	assert_int_equal(
	    fingerprint(
		"AWS_ACCESS_KEY_ID=ASIAIOSFODNN7EXAMPLE\nAWS_SESSION_TOKEN=abcdefghijklmnopqrstuvwxyz==\n"),
	    0);
	assert_in(&out, "access-key-id ASIAIOSFODNN7EXAMPLE\n");
	assert_in(&out, token);
	assert_int_equal(
	    fingerprint(
		"{\"AccessKeyId\":\"K0123456789ABCDEFGHI\",\"Token\":\"abcdefghijklmnopqrstuvwxyz==\"}"),
	    0);
	assert_in(&out, "access-key-id K0123456789ABCDEFGHI\n");
	assert_in(&out, token);
	assert_int_equal(fingerprint("abcdefghijklmnopqrstuvwxyz=="), 0);
	assert_in(&out, token);
	assert_int_equal(lines(&out), 1);
	assert_int_equal(
	    fingerprint("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n-----BEGIN "
			"CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"),
	    0);
	assert_in(&out, cert);
	assert_int_equal(lines(&out), 1);
	assert_int_equal(fingerprint("short words only\n"), 1);
	assert_in(&errs, "holds no certificate, token or access key id");
	assert_int_equal(run("fingerprint", "/nonexistent", NULL), 4);
	remove_dir();
}

int
main(void)
{
	mf_buf_init(&out, 1 << 20);
	mf_buf_init(&errs, 1 << 20);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_follow),
		cmocka_unit_test(test_fingerprint),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	mf_buf_fini(&out);
	mf_buf_fini(&errs);
	return failed;
}
