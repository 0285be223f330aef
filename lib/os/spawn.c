#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "os/sandbox.h"

#define MOST_FDS 24u
#define MOST_ARGS 64u
#define FIRST_FD 3

/* What the child writes when it fails before exec. */
struct failure {
	int step;
	int errnum;
};
enum { STEP_NULL, STEP_FDS, STEP_GROUPS, STEP_GID, STEP_UID, STEP_EXEC };
static const char *const steps[] = { "open /dev/null", "place descriptors", "drop groups", "change group",
	"change user", "exec" };

static enum mf_status
libexec_path(const char *name, char *to, size_t n, struct mf_err *err)
{
	char own[4096];
	const char *dir = secure_getenv("MAYFLY_LIBEXEC");
	int len;
	if (dir != NULL && dir[0] != '\0') {
		len = snprintf(to, n, "%s/%s", dir, name);
	} else {
		ssize_t got = readlink("/proc/self/exe", own, sizeof(own) - 1);
		if (got < 0)
			return MF_FAIL(err, MF_E_IO, "read /proc/self/exe: %s", strerror(errno));
		own[got] = '\0';
		char *slash = strrchr(own, '/');
		if (slash != NULL)
			*slash = '\0';
		len = snprintf(to, n, "%s/../libexec/mayfly/%s", own, name);
	}
	if (len < 0 || (size_t)len >= n)
		return MF_FAIL(err, MF_E_INVALID, "the path of role %s is too long", name);
	return MF_OK;
}

static enum mf_status
check_exe(int fd, const char *path, struct mf_err *err)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return MF_FAIL(err, MF_E_IO, "stat %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0111u) == 0)
		return MF_FAIL(err, MF_E_DENIED, "%s is no executable file", path);
	/* A build tree belongs to whoever built it: only root's supervisor insists on root's files elsewhere. */
	if ((st.st_mode & 0002u) != 0 || (st.st_uid != 0 && st.st_uid != geteuid() && geteuid() != 0))
		return MF_FAIL(
		    err, MF_E_DENIED, "%s can be changed by others: chown root it and chmod go-w it", path);
	return MF_OK;
}

enum mf_status
mf_spawn_open_role(const char *name, int *ret_fd, struct mf_err *err)
{
	char path[4352];
	MF_TRY(libexec_path(name, path, sizeof(path), err));
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return MF_FAIL(err, errno == ENOENT ? MF_E_NOTFOUND : MF_E_IO,
		    "role %s: open %s: %s (MAYFLY_LIBEXEC names another folder)", name, path,
		    strerror(errno));
	enum mf_status s = check_exe(fd, path, err);
	if (s != MF_OK)
		(void)close(fd);
	else
		*ret_fd = fd;
	return s;
}

/* ---- the child, between fork and exec: async-signal-safe calls only ---- */

static void
die(int report_fd, int step)
{
	struct failure f = { step, errno };
	ssize_t n = write(report_fd, &f, sizeof(f));
	_exit(n == (ssize_t)sizeof(f) ? 126 : 125);
}

static void
reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;
	for (int sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &dfl, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Move all out of the way first: a source may sit on another's target. */
static void
place_fds(const struct mf_spawn *s, int *exe, int *report)
{
	int high[MOST_FDS];
	int base = FIRST_FD + (int)MOST_FDS + 1;
	*exe = fcntl(s->exe_fd, F_DUPFD_CLOEXEC, base);
	*report = fcntl(*report, F_DUPFD_CLOEXEC, base);
	for (size_t i = 0; i < s->fd_count; i++)
		if ((high[i] = fcntl(s->fds[i].fd, F_DUPFD_CLOEXEC, base)) < 0)
			die(*report, STEP_FDS);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0)
		die(*report, STEP_NULL);
	for (size_t i = 0; i < s->fd_count; i++)
		if (dup2(high[i], FIRST_FD + (int)i) < 0)
			die(*report, STEP_FDS);
	/* Whatever else this process had open, CLOEXEC or not, stays here. */
	(void)syscall(SYS_close_range, FIRST_FD + (unsigned)s->fd_count, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
}

static void
child(const struct mf_spawn *s, int report, char *const *argv, char *const *envp)
{
	int exe = -1;
	reset_signals();
	(void)setsid();
	place_fds(s, &exe, &report);
	if (s->change_user) {
		if (setgroups(0, NULL) != 0)
			die(report, STEP_GROUPS);
		if (setresgid(s->gid, s->gid, s->gid) != 0)
			die(report, STEP_GID);
		if (setresuid(s->uid, s->uid, s->uid) != 0)
			die(report, STEP_UID);
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* after the change of user, which clears it */
	(void)syscall(SYS_execveat, exe, "", argv, envp, AT_EMPTY_PATH);
	die(report, STEP_EXEC);
}

/* ---- the parent ---- */

struct command {
	struct mf_buf text; /* all strings, each NUL-terminated */
	size_t at[MOST_ARGS];
	size_t count;
};

static void
add_arg(struct command *c, const char *fmt, const char *value)
{
	if (c->count == MOST_ARGS - 1) {
		c->text.failed = MF_E_TOOBIG;
		return;
	}
	c->at[c->count++] = c->text.n;
	mf_buf_put_str(&c->text, fmt);
	mf_buf_put_str(&c->text, value);
	mf_buf_put_u8(&c->text, 0);
}

static enum mf_status
build_command(const struct mf_spawn *s, struct command *c, struct mf_err *err)
{
	struct mf_buf map;
	mf_buf_init(&map, 4096);
	mf_buf_init(&c->text, 64 * 1024);
	c->count = 0;
	for (size_t i = 0; i < s->fd_count; i++)
		mf_buf_putf(&map, "%s%s:%d", i == 0 ? "" : ",", s->fds[i].name, FIRST_FD + (int)i);
	add_arg(c, "", s->name);
	const char *text = mf_buf_cstr(&map);
	if (s->fd_count > 0)
		add_arg(c, "--fds=", text == NULL ? "" : text);
	mf_buf_fini(&map);
	for (const char *const *a = s->args; a != NULL && *a != NULL; a++)
		add_arg(c, "", *a);
	return text == NULL ? MF_FAIL(err, MF_E_NOMEM, "out of memory to start %s", s->name)
			    : mf_buf_check(&c->text, err);
}

static enum mf_status
wait_for_exec(const struct mf_spawn *s, int report, pid_t pid, struct mf_err *err)
{
	struct failure f = { 0 };
	ssize_t n;
	do
		n = read(report, &f, sizeof(f));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return MF_OK; /* closed by exec */
	(void)waitpid(pid, NULL, 0);
	if (n != (ssize_t)sizeof(f) || f.step < 0 || (size_t)f.step >= MF_COUNT(steps))
		return MF_FAIL(err, MF_E_IO, "start %s: it died before exec", s->name);
	return MF_FAIL(err, MF_E_IO, "start %s: %s: %s", s->name, steps[f.step], strerror(f.errnum));
}

static enum mf_status
fork_and_wait(const struct mf_spawn *s, struct command *c, pid_t *ret_pid, int *ret_pidfd, struct mf_err *err)
{
	char *argv[MOST_ARGS];
	char *empty[] = { NULL };
	char **envp = mf_instrumented(NULL) ? environ : empty;
	for (size_t i = 0; i < c->count; i++)
		argv[i] = (char *)c->text.p + c->at[i];
	argv[c->count] = NULL;
	int report[2];
	if (pipe2(report, O_CLOEXEC) != 0)
		return MF_FAIL(err, MF_E_IO, "pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0)
		child(s, report[1], argv, envp);
	int saved = errno;
	(void)close(report[1]);
	enum mf_status st = MF_OK;
	if (pid < 0)
		st = MF_FAIL(err, MF_E_IO, "fork: %s", strerror(saved));
	else
		st = wait_for_exec(s, report[0], pid, err);
	(void)close(report[0]);
	MF_TRY(st);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		st = MF_FAIL(err, MF_E_IO, "pidfd_open: %s", strerror(errno));
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return st;
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return MF_OK;
}

enum mf_status
mf_spawn_role(const struct mf_spawn *s, pid_t *ret_pid, int *ret_pidfd, struct mf_err *err)
{
	if (s->fd_count > MOST_FDS)
		return MF_FAIL(err, MF_E_TOOBIG, "start %s: %zu descriptors, the most is %u", s->name,
		    s->fd_count, MOST_FDS);
	struct command c;
	enum mf_status st = build_command(s, &c, err);
	if (st == MF_OK)
		st = fork_and_wait(s, &c, ret_pid, ret_pidfd, err);
	mf_buf_fini(&c.text);
	return st;
}

enum mf_status
mf_spawn_user(const char *name, uid_t fallback, uid_t *ret_uid, gid_t *ret_gid, struct mf_err *err)
{
	char space[8192];
	struct passwd pw, *found = NULL;
	int rc = getpwnam_r(name, &pw, space, sizeof(space), &found);
	if (rc != 0 && rc != ENOENT)
		return MF_FAIL(err, MF_E_IO, "look up user %s: %s", name, strerror(rc));
	*ret_uid = found == NULL ? fallback : pw.pw_uid;
	*ret_gid = found == NULL ? fallback : pw.pw_gid;
	return MF_OK;
}
