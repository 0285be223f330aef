/* The harness of probe.h: the world, the child, the comparison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/jlog.h"
#include "os/secure_file.h"
#include "probe.h"

struct probe_world mf_probe_world = { .listener = -1, .other_listener = -1, .sleeper = -1, .pair_fd = -1 };

static int
listen_on_loopback(uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	for (uint16_t p = 21000; p < 22000; p++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		at.sin_port = htons(p);
		if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 8) == 0) {
			*ret_port = p;
			return fd;
		}
		(void)close(fd);
	}
	return -1;
}

static void
add_dir(int parent, const char *name)
{
	struct mf_err err = { 0 };
	uid_t u =
	    getuid() == 0 && strcmp(name, "state") != 0 && strcmp(name, "run") != 0 ? PROBE_UID : getuid();
	(void)snprintf(
	    mf_probe_world.fds[mf_probe_world.fd_count].name, sizeof(mf_probe_world.fds[0].name), "%s", name);
	if (mf_dir_open_at(parent, name, true, u, u, 0700, &mf_probe_world.fds[mf_probe_world.fd_count].fd,
		&err) != MF_OK)
		fail_msg("%s", err.msg);
	mf_probe_world.fd_count++;
}

/* The cgroup2 tree; the mount namespace is this program's own. */
static void
add_cgroup(int parent)
{
	char path[128];
	struct mf_named_fd *f = &mf_probe_world.fds[mf_probe_world.fd_count];
	(void)snprintf(path, sizeof(path), "%s/cgroup", mf_probe_world.top);
	if (getuid() != 0 || mkdirat(parent, "cgroup", 0755) != 0 ||
	    mount("cgroup2", path, "cgroup2", 0, NULL) != 0)
		return;
	(void)snprintf(f->name, sizeof(f->name), "cgroup");
	f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mf_probe_world.fd_count++;
	/* The root of the tree has mode 0555: the base below it is made by the supervisor. */
	assert_true(mkdirat(f->fd, PROBE_CGROUP, 0755) == 0 || errno == EEXIST);
}

int
mf_probe_setup(void **state)
{
	MF_UNUSED(state);
	static const char *const names[] = { "keys", "log", "handles", "db", "state", "run" };
	/* The machine's mounts stay what they are. First of all: descriptors belong to the namespace they were made in. */
	if (getuid() == 0)
		assert_true(
		    unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	(void)snprintf(mf_probe_world.top, sizeof(mf_probe_world.top), "/tmp/mf-confine-XXXXXX");
	assert_non_null(mkdtemp(mf_probe_world.top));
	assert_int_equal(chmod(mf_probe_world.top, 0755), 0);
	int parent = open(mf_probe_world.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(parent >= 0);
	for (size_t i = 0; i < MF_COUNT(names); i++)
		add_dir(parent, names[i]);
	add_cgroup(parent);
	int f = openat(parent, "secret", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(f, "x", 1), 1);
	(void)close(f);
	(void)close(parent);
	mf_probe_world.listener = listen_on_loopback(&mf_probe_world.port);
	mf_probe_world.other_listener = listen_on_loopback(&mf_probe_world.other_port);
	assert_true(mf_probe_world.listener >= 0 && mf_probe_world.other_listener >= 0);
	int sv[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	mf_probe_world.pair_fd = sv[0];
	mf_probe_world.sleeper = fork();
	if (mf_probe_world.sleeper == 0) {
		if (getuid() == 0 && setresuid(1, 1, 1) != 0)
			_exit(1);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the change of user, which clears it */
		for (;;)
			(void)pause();
	}
	return mf_probe_world.sleeper < 0;
}

int
mf_probe_teardown(void **state)
{
	MF_UNUSED(state);
	char cmd[192];
	(void)kill(mf_probe_world.sleeper, SIGKILL);
	(void)waitpid(mf_probe_world.sleeper, NULL, 0);
	(void)unlinkat(mf_dir_fd("cgroup"), PROBE_CGROUP, AT_REMOVEDIR);
	(void)snprintf(cmd, sizeof(cmd), "%s/cgroup", mf_probe_world.top);
	(void)umount2(cmd, MNT_DETACH);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", mf_probe_world.top);
	return system(cmd); /* NOLINT: a fixed command of a test */
}

static void
become_role_user(const struct mf_confinement *c)
{
	if (getuid() != 0 || c->keeps_root)
		return;
	if (setgroups(0, NULL) != 0 || setresgid(PROBE_UID, PROBE_UID, PROBE_UID) != 0 ||
	    setresuid(PROBE_UID, PROBE_UID, PROBE_UID) != 0)
		_exit(250);
}

static void
child(const struct mf_confinement *c, const struct probe *p, int log_fd)
{
	struct mf_confine_env env = { .fds = mf_probe_world.fds,
		.fd_count = mf_probe_world.fd_count,
		.connect_port = mf_probe_world.port };
	struct mf_confined done;
	struct mf_err err = { 0 };
	(void)alarm(60); /* a hang limit */
	become_role_user(c);
	mf_jlog_to(log_fd);
	mf_jlog_init(c->role, MF_LOG_INFO);
	if (mf_confine(c, &env, &done, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "probe", "mf_confine", &err);
		_exit(251);
	}
	int r = p->fn(p->arg);
	_exit(r < 0 || r > 249 ? 252 : r);
}

/* Run ${p} under ${c}: what happened, in words for a comparison. */
static void
outcome(const struct mf_confinement *c, const struct probe *p, char *to, size_t n)
{
	int log[2], st = 0;
	char text[4096];
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(c, p, log[1]);
	(void)close(log[1]);
	ssize_t got = read(log[0], text, sizeof(text) - 1);
	text[got < 0 ? 0 : got] = '\0';
	(void)close(log[0]);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	if (WIFEXITED(st) && WEXITSTATUS(st) == 0) {
		(void)snprintf(to, n, "works");
	} else if (WIFEXITED(st) && WEXITSTATUS(st) < 250) {
		(void)snprintf(to, n, "%s", strerrorname_np(WEXITSTATUS(st)));
	} else if (WIFSIGNALED(st) && p->want == KILLED_ABI &&
		   (WTERMSIG(st) == SIGSYS || WTERMSIG(st) == SIGKILL)) {
		(void)snprintf(to, n, "killed");
	} else if (WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS) {
		char *at = strstr(text, "\"syscall\":\"");
		char *name = at == NULL ? text : at + 11;
		name[strcspn(name, "\"")] = '\0';
		(void)snprintf(to, n, "killed: %.200s", name);
	} else {
		(void)snprintf(to, n, "status 0x%x %.400s", (unsigned)st, text);
	}
}

void
mf_probe_run(const struct mf_confinement *c, const struct probe *p, size_t count)
{
	size_t bad = 0;
	for (size_t i = 0; i < count; i++) {
		char got[512], want[128];
		outcome(c, &p[i], got, sizeof(got));
		if (p[i].want == KILLED)
			(void)snprintf(
			    want, sizeof(want), "killed: %s", p[i].killed ? p[i].killed : p[i].what);
		else if (p[i].want == KILLED_ABI)
			(void)snprintf(want, sizeof(want), "killed");
		else
			(void)snprintf(want, sizeof(want), "%s",
			    p[i].want == WORKS ? "works" : strerrorname_np(p[i].want));
		if (strcmp(got, want) != 0) {
			print_error("%s: %s: %s, should be: %s\n", c->role, p[i].what, got, want);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

bool
mf_probe_skip_instrumented(void)
{
	const char *name = NULL;
	if (!mf_instrumented(&name))
		return false;
	print_message(
	    "skipped: %s builds use a wider table; adversaries are tested on the release table\n", name);
	return true;
}
