/*
 * The supervisor with dummy roles: this program is its own roles "alpha" and "beta" (by argv[0]). Each role has a
 * socket "test" over which the test gives orders and hears what the role sees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/jlog.h"
#include "os/role_confinement.h"
#include "os/role_start.h"
#include "os/supervisor.h"

#define BUILD "test-1"
#define ROLE_UID 60901u
#define HANG_MS 30000 /* a bound for what takes milliseconds */

/* ---- the role ---- */

static int test_fd;

/* "${a}${b}${n}", the number only when it is one. */
static void
say(const char *a, const char *b, long n)
{
	char text[256], number[24] = "";
	if (n >= 0)
		(void)snprintf(number, sizeof(number), "%ld", n);
	int len = snprintf(text, sizeof(text), "%s%s%s", a, b, number);
	if (len > 0)
		(void)send(test_fd, text, (size_t)len, MSG_NOSIGNAL);
}

static long
count_fds(void)
{
	long n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		(void)closedir(d);
	return n - 3; /* ".", "..", and the directory itself */
}

/* The caller is this process itself. */
static void
ask_login(struct mf_role *r)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
	    mf_role_ask_login(r, 77, pair[0], NULL) != MF_OK)
		say("cannot ask", "", -1);
}

static void
obey(struct mf_role *r, const char *order, bool *hang)
{
	if (strncmp(order, "help ", 5) == 0)
		(void)(mf_role_ask_helper(r, order + 5, NULL) == MF_OK);
	else if (strcmp(order, "login") == 0)
		ask_login(r);
	else if (strcmp(order, "abort") == 0)
		abort();
	else if (strcmp(order, "violate") == 0)
		(void)!socket(AF_INET, SOCK_STREAM, 0);
	else if (strcmp(order, "exit") == 0)
		_exit(3);
	else if (strcmp(order, "hang") == 0)
		*hang = true;
	else
		say(order, "?", -1);
}

static struct mf_seqpacket *
new_link(const struct mf_control_msg *m, struct mf_seqpacket *old, const char *self)
{
	struct mf_seqpacket *l = NULL;
	mf_seqpacket_free(old);
	if (mf_seqpacket_new(m->fd, 4096, &l, NULL) != MF_OK ||
	    mf_seqpacket_send(l, 1, mf_slice_str(self), -1, NULL) != MF_OK)
		_exit(9);
	return l;
}

static void
hear_link(struct mf_seqpacket **l)
{
	struct mf_packet p;
	char text[32] = { 0 };
	enum mf_status st = mf_seqpacket_recv(*l, &p, NULL);
	if (st == MF_OK && p.payload.n < sizeof(text)) {
		memcpy(text, p.payload.p, p.payload.n);
		say("linked with ", text, -1);
	} else if (st == MF_E_CLOSED) {
		mf_seqpacket_free(MF_TAKE(*l));
	}
}

/* False to stop. */
static bool
hear_control(struct mf_role *r, const char *name, struct mf_seqpacket **l, bool hang)
{
	struct mf_control_msg m;
	enum mf_status st;
	while ((st = mf_role_next(r, &m, NULL)) == MF_OK) {
		char text[32] = { 0 };
		switch (m.type) {
		case MF_CONTROL_LINK:
			*l = new_link(&m, *l, name);
			break;
		case MF_CONTROL_RELOAD:
			(void)!pread(m.fd, text, sizeof(text) - 1, 0);
			say("reload ", text, -1);
			(void)close(m.fd);
			break;
		case MF_CONTROL_LOGIN:
			say("login ", m.text, -1);
			break;
		default:
			say("stop", "", -1);
			if (!hang)
				return false;
		}
	}
	return st == MF_E_AGAIN;
}

static int
role_main(int argc, char **argv, const char *name)
{
	MF_AUTO(mf_role_free) struct mf_role *r = NULL;
	struct mf_err err = { 0 };
	if (mf_role_start(argc, argv, name, BUILD, &r, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "role.refused", "cannot start", &err);
		return MF_ROLE_EXIT_REFUSED;
	}
	test_fd = mf_role_fd(r, "test");
	const char *mode = mf_role_opt(r, "mode");
	say("up ", name, (long)getpid());
	say("uid ", "", (long)getuid());
	say("groups ", "", (long)getgroups(0, NULL));
	say("fds ", "", count_fds());
	say("env ", "", environ[0] == NULL ? 0L : 1L);
	if (strcmp(mode, "refuse") == 0)
		return MF_ROLE_EXIT_REFUSED;
	if (mf_role_confine(r, &mf_confinement_notary, 0, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "role.refused", "cannot confine", &err);
		return MF_ROLE_EXIT_FAILED;
	}
	if (strcmp(mode, "late") != 0 && mf_role_ready(r, &err) != MF_OK)
		return MF_ROLE_EXIT_FAILED;
	MF_AUTO(mf_seqpacket_free) struct mf_seqpacket *l = NULL;
	bool hang = false;
	for (;;) {
		struct pollfd p[3] = { { .fd = mf_role_control_fd(r), .events = POLLIN },
			{ .fd = l == NULL ? -1 : mf_seqpacket_fd(l), .events = POLLIN },
			{ .fd = test_fd, .events = POLLIN } };
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return MF_ROLE_EXIT_FAILED;
		if (p[1].revents != 0)
			hear_link(&l);
		if (p[0].revents != 0 && !hear_control(r, name, &l, hang))
			return MF_ROLE_EXIT_OK;
		char order[32] = { 0 };
		if (p[2].revents != 0 && recv(test_fd, order, sizeof(order) - 1, MSG_DONTWAIT) > 0)
			obey(r, order, &hang);
	}
}

/* The helper of alpha: says so on its link, and ends; told to stay, it stays. */
static int
helper_main(int argc, char **argv)
{
	MF_AUTO(mf_role_free) struct mf_role *r = NULL;
	MF_AUTO(mf_seqpacket_free) struct mf_seqpacket *l = NULL;
	struct mf_packet p;
	struct mf_err err = { 0 };
	if (mf_helper_start(argc, argv, "gamma", BUILD, &r, &err) != MF_OK ||
	    mf_seqpacket_new(mf_role_take_fd(r, "alpha"), 4096, &l, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "role.refused", "cannot start", &err);
		return MF_ROLE_EXIT_REFUSED;
	}
	char text[64];
	(void)snprintf(text, sizeof(text), "gamma fds %ld", count_fds());
	(void)(mf_seqpacket_send(l, 1, mf_slice_str(text), -1, NULL) == MF_OK);
	struct pollfd w = { .fd = mf_seqpacket_fd(l), .events = POLLIN };
	(void)poll(&w, 1, -1); /* alpha greets on every link, or closes it */
	if (mf_seqpacket_recv(l, &p, NULL) == MF_OK)
		(void)poll(NULL, 0, -1); /* hangs: the supervisor's time is up one day */
	return MF_ROLE_EXIT_OK;
}

/* ---- the test ---- */

static const char *const alpha_links[] = { "beta", NULL };
static const struct mf_role_spec specs[] = { { "alpha", "mayfly-no-such-user", ROLE_UID, alpha_links },
	{ "beta", "mayfly-no-such-user", ROLE_UID + 1, NULL } };

static const struct mf_helper_spec helper = { { "gamma", "mayfly-no-such-user", ROLE_UID + 2, NULL }, "alpha",
	2, 500 };

static char dir[64];
static char self[4096];

struct fixture {
	pid_t pid;
	int role[2]; /* our end of each role's "test" */
	int log;     /* what the supervisor and its roles write to stderr */
	char text[1 << 16];
	size_t n;
};

static int
temp_file(const char *content)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 && write(fd, content, strlen(content)) < 0)
		_exit(99);
	return fd;
}

static enum mf_status
on_reload(void *ctx, struct mf_supervisor *s, struct mf_err *err)
{
	MF_UNUSED(ctx);
	return mf_supervisor_give(s, "beta", "policy", temp_file("second"), err);
}

static int
supervise(const int *tests, const char *build, const char *mode, uint64_t ready_ms)
{
	uint64_t stable_ms = strcmp(mode, "stable") == 0 ? 0 : 60000;
	struct mf_supervisor_timing t = { 20, 400, stable_ms, ready_ms, mf_instrumented(NULL) ? 5000 : 300 };
	struct mf_supervisor *s = NULL;
	struct mf_err err = { 0 };
	mf_jlog_init("supervisor", MF_LOG_INFO);
	if (mf_supervisor_new(build, &t, &s, &err) != MF_OK)
		return 90;
	for (size_t i = 0; i < 2; i++)
		if (mf_supervisor_add(s, &specs[i], &err) != MF_OK ||
		    mf_supervisor_give(s, specs[i].name, "test", tests[i], &err) != MF_OK ||
		    mf_supervisor_opt(s, specs[i].name, "mode", i == 0 ? mode : "serve", &err) != MF_OK)
			return 91;
	if (mf_supervisor_give(s, "beta", "policy", temp_file("first"), &err) != MF_OK)
		return 92;
	if (mf_supervisor_helper(s, &helper, &err) != MF_OK)
		return 93;
	if (mf_supervisor_tells_logins(s, "alpha", &err) != MF_OK ||
	    mf_supervisor_tells_logins(s, "nobody", &err) != MF_E_NOTFOUND)
		return 94;
	mf_supervisor_on_reload(s, on_reload, NULL);
	enum mf_status st = mf_supervisor_run(s, &err);
	mf_supervisor_free(s);
	return st == MF_OK ? 0 : 1;
}

static void
start(struct fixture *f, const char *build, const char *mode, uint64_t ready_ms)
{
	int log[2], a[2], b[2];
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, b), 0);
	f->n = 0;
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid == 0) {
		int ends[] = { a[1], b[1] };
		(void)dup2(log[1], 2);
		(void)alarm(120);
		_exit(supervise(ends, build, mode, ready_ms));
	}
	(void)close(log[1]);
	(void)close(a[1]);
	(void)close(b[1]);
	f->log = log[0];
	f->role[0] = a[0];
	f->role[1] = b[0];
}

static void
finish(struct fixture *f)
{
	(void)close(f->log);
	(void)close(f->role[0]);
	(void)close(f->role[1]);
}

/* The next word of role ${i} that starts with ${want}; others are passed over. What follows is returned. */
static const char *
hear(struct fixture *f, size_t i, const char *want)
{
	static char text[256];
	for (;;) {
		struct pollfd p = { .fd = f->role[i], .events = POLLIN };
		if (poll(&p, 1, HANG_MS) != 1)
			fail_msg("%s did not say \"%s\"", specs[i].name, want);
		ssize_t n = recv(f->role[i], text, sizeof(text) - 1, 0);
		if (n <= 0)
			fail_msg("%s is gone, without \"%s\"", specs[i].name, want);
		text[n] = '\0';
		if (strncmp(text, want, strlen(want)) == 0)
			return text + strlen(want);
	}
}

static void
order(struct fixture *f, size_t i, const char *what)
{
	assert_int_equal(send(f->role[i], what, strlen(what), MSG_NOSIGNAL), (ssize_t)strlen(what));
}

/* Read the log until ${a} and then, on the same line, ${b} appear. The line. */
static char *
logged(struct fixture *f, const char *a, const char *b)
{
	for (;;) {
		f->text[f->n] = '\0';
		for (char *line = f->text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
			*end = '\0';
			char *at = strstr(line, a);
			bool both = at != NULL && strstr(line, b) != NULL;
			if (both) {
				memset(at, '#', strlen(a)); /* each line is found once */
				*end = '\n';
				return line;
			}
			*end = '\n';
		}
		struct pollfd p = { .fd = f->log, .events = POLLIN };
		ssize_t n =
		    poll(&p, 1, HANG_MS) == 1 ? read(f->log, f->text + f->n, sizeof(f->text) - 1 - f->n) : 0;
		if (n <= 0)
			fail_msg("the log has no line with %s and %s:\n%s", a, b, f->text);
		f->n += (size_t)n;
	}
}

static long
number_after(const char *line, const char *key)
{
	const char *at = strstr(line, key);
	long v = -1;
	if (at == NULL || sscanf(at + strlen(key), "%ld", &v) != 1) /* NOLINT: our own line */
		fail_msg("no %s in %.200s", key, line);
	return v;
}

static void
both_ready(struct fixture *f)
{
	(void)logged(f, "\"role.ready\"", "alpha");
	(void)logged(f, "\"role.ready\"", "beta");
}

static int
wait_end(struct fixture *f)
{
	int st = 0;
	assert_int_equal(waitpid(f->pid, &st, 0), f->pid);
	return st;
}

static int
stop(struct fixture *f)
{
	assert_int_equal(kill(f->pid, SIGTERM), 0);
	int st = wait_end(f);
	finish(f);
	return st;
}

static void
test_run_and_stop(void **state)
{
	struct fixture *f = *state;
	start(f, BUILD, "serve", 60000);
	bool root = getuid() == 0;
	assert_true(atol(hear(f, 0, "up alpha")) > 1);				/* NOLINT */
	assert_int_equal(atol(hear(f, 0, "uid ")), root ? ROLE_UID : getuid()); /* NOLINT */
	if (root)
		assert_string_equal(hear(f, 0, "groups "), "0");
	assert_string_equal(hear(f, 0, "fds "), "5"); /* 0 1 2, control, test: nothing leaks in */
	if (!mf_instrumented(NULL))
		assert_string_equal(hear(f, 0, "env "), "0");
	assert_string_equal(hear(f, 0, "linked with "), "beta");
	assert_string_equal(hear(f, 1, "fds "), "6"); /* and policy */
	assert_string_equal(hear(f, 1, "linked with "), "alpha");
	both_ready(f);
	(void)logged(f, "\"supervisor.ready\"", BUILD);
	assert_int_equal(kill(f->pid, SIGTERM), 0);
	/* In reverse order: alpha is told only after beta ended. */
	(void)hear(f, 1, "stop");
	(void)hear(f, 0, "stop");
	char *beta = logged(f, "\"role.exited\"", "beta");
	char *alpha = logged(f, "\"role.exited\"", "alpha");
	assert_true(beta < alpha);
	assert_non_null(strstr(beta, "\"status\":0"));
	(void)logged(f, "\"supervisor.stopped\"", "");
	assert_int_equal(wait_end(f), 0);
	finish(f);
}

/* Alpha is told whose login its caller's is; beta, which has no callers, is ended for asking. */
static void
test_login(void **state)
{
	struct fixture *f = *state;
	char want[32] = "77.-";
	long own = -1;
	FILE *p = fopen("/proc/self/loginuid", "re");
	if (p != NULL && fscanf(p, "%ld", &own) == 1 &&
	    own != UINT32_MAX) /* NOLINT: the kernel's own number */
		(void)snprintf(want, sizeof(want), "77.%ld", own);
	if (p != NULL)
		(void)fclose(p);
	start(f, BUILD, "serve", 60000);
	both_ready(f);
	order(f, 0, "login");
	assert_string_equal(hear(f, 0, "login "), want);
	order(f, 1, "login");
	(void)logged(f, "\"role.killed\"", "login that it is not told");
	(void)logged(f, "\"role.exited\"", "beta");
	(void)logged(f, "\"role.ready\"", "beta");
	order(f, 0, "login");
	assert_string_equal(hear(f, 0, "login "), want);
	assert_int_equal(stop(f), 0);
}

static void
test_crash(void **state)
{
	struct fixture *f = *state;
	start(f, BUILD, "serve", 60000);
	(void)hear(f, 1, "linked with ");
	both_ready(f);
	long first = -1;
	for (long ms = 20; ms <= 80; ms *= 2) {
		long pid = atol(hear(f, 0, "up alpha")); /* NOLINT */
		assert_true(pid != first);
		first = pid;
		assert_string_equal(hear(f, 0, "linked with "), "beta");
		order(f, 0, "abort");
		char *line = logged(f, "\"role.exited\"", "alpha");
		assert_non_null(strstr(line, "\"signal\":\"SIGABRT\""));
		assert_int_equal(number_after(line, "\"restart_in_ms\":"), ms); /* 20, 40, 80: it doubles */
		/* The other one lives and is linked anew. */
		assert_string_equal(hear(f, 1, "linked with "), "alpha");
	}
	/* The cap of the backoff, and an exit with a status. */
	for (int i = 0; i < 4; i++) {
		(void)hear(f, 0, "linked with ");
		order(f, 0, "exit");
		char *line = logged(f, "\"role.exited\"", "alpha");
		assert_non_null(strstr(line, "\"status\":3"));
		if (i == 3)
			assert_int_equal(number_after(line, "\"restart_in_ms\":"), 400);
	}
	(void)hear(f, 0, "linked with ");
	assert_int_equal(stop(f), 0);
}

/* A role that was ready for long enough (here: at all) begins with the shortest wait again. */
static void
test_stable(void **state)
{
	struct fixture *f = *state;
	start(f, BUILD, "stable", 60000);
	for (int i = 0; i < 3; i++) {
		(void)logged(f, "\"role.ready\"", "alpha");
		order(f, 0, "abort");
		char *line = logged(f, "\"role.exited\"", "alpha");
		assert_int_equal(number_after(line, "\"restart_in_ms\":"), 20);
	}
	(void)logged(f, "\"role.ready\"", "alpha");
	assert_int_equal(stop(f), 0);
}

static void
test_violation(void **state)
{
	struct fixture *f = *state;
	if (mf_instrumented(NULL)) {
		print_message("skipped: the wider table of this build\n");
		return;
	}
	start(f, BUILD, "serve", 60000);
	(void)hear(f, 0, "linked with ");
	char *confined = logged(f, "\"role.confined\"", "\"alpha\"");
	assert_non_null(strstr(confined, "\"table\":\"notary\""));
	order(f, 0, "violate");
	char *own = logged(f, "\"confinement.violation\"", "\"role\":\"alpha\"");
	assert_non_null(strstr(own, "\"syscall\":\"socket\""));
	char *line = logged(f, "\"role.exited\"", "alpha");
	assert_non_null(strstr(line, "\"signal\":\"SIGSYS\""));
	assert_non_null(strstr(line, "\"syscall\":\"socket\""));
	(void)hear(f, 0, "linked with ");
	assert_int_equal(stop(f), 0);
}

static void
test_die_with_supervisor(void **state)
{
	struct fixture *f = *state;
	start(f, BUILD, "serve", 60000);
	int pidfd[2];
	for (size_t i = 0; i < 2; i++) {
		pidfd[i] = (int)syscall(
		    SYS_pidfd_open, atol(hear(f, i, i == 0 ? "up alpha" : "up beta")), 0); /* NOLINT */
		assert_true(pidfd[i] >= 0);
	}
	both_ready(f);
	assert_int_equal(kill(f->pid, SIGKILL), 0);
	for (size_t i = 0; i < 2; i++) {
		struct pollfd p = { .fd = pidfd[i], .events = POLLIN };
		assert_int_equal(poll(&p, 1, HANG_MS), 1);
		(void)close(pidfd[i]);
	}
	(void)wait_end(f);
	finish(f);
}

static void
test_hang_on_stop(void **state)
{
	struct fixture *f = *state;
	start(f, BUILD, "serve", 60000);
	both_ready(f);
	order(f, 0, "hang");
	order(f, 0, "noted");
	(void)hear(f, 0, "noted?");
	assert_int_equal(kill(f->pid, SIGINT), 0);
	(void)logged(f, "\"role.killed\"", "does not stop in time");
	assert_non_null(strstr(logged(f, "\"role.exited\"", "alpha"), "\"signal\":\"SIGKILL\""));
	assert_int_equal(wait_end(f), 0);
	finish(f);
}

static void
test_reload(void **state)
{
	struct fixture *f = *state;
	start(f, BUILD, "serve", 60000);
	both_ready(f);
	assert_int_equal(kill(f->pid, SIGHUP), 0);
	assert_string_equal(hear(f, 1, "reload "), "second");
	(void)logged(f, "\"supervisor.reload\"", "\"info\"");
	assert_int_equal(stop(f), 0);
}

static void
test_refused(void **state)
{
	struct fixture *f = *state;
	start(f, BUILD, "refuse", 60000);
	assert_int_equal(wait_end(f), 1 << 8);
	(void)logged(f, "\"supervisor.stopping\"", "refused to start");
	finish(f);
	start(f, "test-2", "serve", 60000); /* another build */
	assert_int_equal(wait_end(f), 1 << 8);
	assert_non_null(strstr(logged(f, "\"role.refused\"", ""), "the supervisor is build test-2"));
	finish(f);
}

static void
test_late(void **state)
{
	struct fixture *f = *state;
	start(f, BUILD, "late", 50);
	(void)logged(f, "\"role.killed\"", "not ready in time");
	assert_non_null(strstr(logged(f, "\"role.exited\"", "alpha"), "\"restart_in_ms\":20"));
	(void)logged(f, "\"role.killed\"", "not ready in time");
	assert_non_null(strstr(logged(f, "\"role.exited\"", "alpha"), "\"restart_in_ms\":40"));
	assert_int_equal(stop(f), 0);
}

/* Helpers: on their own socket alone, so many at a time, for so long; and only who may ask gets one. */
static void
test_helpers(void **state)
{
	struct fixture *f = *state;
	start(f, BUILD, "serve", 20000);
	both_ready(f);
	/* One after the other: alpha listens to its newest link only. */
	order(f, 0, "help gamma");
	assert_string_equal(
	    hear(f, 0, "linked with gamma fds "), "4"); /* three standard ones, and the link */
	order(f, 0, "help gamma");
	(void)hear(f, 0, "linked with gamma");
	order(f, 0, "help gamma");
	(void)logged(f, "\"helper.refused\"", "2 run already");
	(void)logged(f, "\"helper.killed\"", "gamma");
	(void)logged(f, "\"helper.killed\"", "gamma");
	(void)logged(f, "\"helper.failed\"", "\"signal\":9");
	(void)logged(f, "\"helper.failed\"", "\"signal\":9");
	order(f, 0, "help gamma"); /* there is room again */
	(void)hear(f, 0, "linked with gamma");
	order(f, 1, "help gamma"); /* not beta's */
	(void)logged(f, "\"role.killed\"", "not its own");
	order(f, 0, "help delta");
	(void)logged(f, "\"role.killed\"", "not its own");
	assert_int_equal(stop(f), 0);
	finish(f);
}

static void
test_by_hand(void **state)
{
	MF_UNUSED(state);
	int st = 0, log[2];
	char text[2048] = { 0 };
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char name[] = "alpha";
		char *argv[] = { name, NULL };
		(void)dup2(log[1], 2);
		(void)execv(self, argv);
		_exit(1);
	}
	(void)close(log[1]);
	assert_true(read(log[0], text, sizeof(text) - 1) > 0);
	(void)close(log[0]);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, MF_ROLE_EXIT_REFUSED << 8);
	assert_non_null(strstr(text, "not by hand"));
}

static int
group_setup(void **state)
{
	static struct fixture f;
	char path[128];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	(void)snprintf(dir, sizeof(dir), "/tmp/mf-supervisor-XXXXXX");
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, i == 2 ? "gamma" : specs[i].name);
		assert_int_equal(symlink(self, path), 0);
	}
	assert_int_equal(setenv("MAYFLY_LIBEXEC", dir, 1), 0);
	*state = &f;
	return 0;
}

static int
group_teardown(void **state)
{
	MF_UNUSED(state);
	char path[128];
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, i == 2 ? "gamma" : specs[i].name);
		(void)unlink(path);
	}
	return rmdir(dir);
}

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < 2; i++)
		if (strcmp(argv[0], specs[i].name) == 0)
			return role_main(argc, argv, specs[i].name);
	if (strcmp(argv[0], "gamma") == 0)
		return helper_main(argc, argv);
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_run_and_stop), cmocka_unit_test(test_crash),
		cmocka_unit_test(test_stable), cmocka_unit_test(test_violation),
		cmocka_unit_test(test_die_with_supervisor), cmocka_unit_test(test_hang_on_stop),
		cmocka_unit_test(test_reload), cmocka_unit_test(test_refused), cmocka_unit_test(test_late),
		cmocka_unit_test(test_helpers), cmocka_unit_test(test_login),
		cmocka_unit_test(test_by_hand) };
	return cmocka_run_group_tests_name("supervisor", tests, group_setup, group_teardown);
}
