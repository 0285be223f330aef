/*
 * attest_util: what the tests of the attestor's kernel half share: a listening socket like the agent's, child
 * processes on a command pipe, and the place for test cgroups. Header only; each test program is one file.
 */
#ifndef MF_TEST_ATTEST_UTIL_H
#define MF_TEST_ATTEST_UTIL_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/attestor/cgroup.h"
#include "agent/attestor/peer.h"
#include "agent/attestor/pidfd.h"

#define HANG_MS 20000 /* a test that waits longer hangs */

#define SKIP_IF(cond, why)                                   \
	do {                                                 \
		if (cond) {                                  \
			print_message("skipped: " why "\n"); \
			skip();                              \
		}                                            \
	} while (0)

struct world {
	char dir[64], path[100];
	int listener, proc_fd;
	struct mf_cgroup_fs *cgroups; /* NULL: this machine has no cgroup2 */
	struct mf_peer_env env;
};

static inline void
world_open(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->listener = w->proc_fd = -1;
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/mayfly-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chmod(w->dir, 0755), 0);
	(void)snprintf(w->path, sizeof(w->path), "%s/agent.sock", w->dir);
	w->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->proc_fd >= 0);
	w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", w->path);
	assert_int_equal(bind(w->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(chmod(w->path, 0666), 0);
	int on = 1;
	assert_int_equal(setsockopt(w->listener, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	assert_int_equal(listen(w->listener, 64), 0);
	if (mf_cgroup_fs_open(w->proc_fd, &w->cgroups, NULL) != MF_OK)
		w->cgroups = NULL;
	assert_int_equal(mf_peer_env_init(&w->env, w->path, w->proc_fd, w->cgroups, NULL), MF_OK);
}

static inline void
world_close(struct world *w)
{
	mf_fd_close(&w->listener);
	mf_fd_close(&w->proc_fd);
	mf_cgroup_fs_free(w->cgroups);
	(void)unlink(w->path);
	(void)rmdir(w->dir);
}

/* In a child: connect to the agent. */
static inline int
world_connect(const struct world *w)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", w->path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		_exit(99);
	return fd;
}

static inline void
wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;
	do {
		n = poll(&p, 1, HANG_MS);
	} while (n < 0 && errno == EINTR);
	assert_int_equal(n, 1);
}

static inline int
world_accept(const struct world *w)
{
	wait_readable(w->listener);
	int c = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(c >= 0);
	return c;
}

/* Read one byte that a child wrote; fails the test when the child dies instead. */
static inline char
read_byte(int fd)
{
	char b = 0;
	wait_readable(fd);
	assert_int_equal(read(fd, &b, 1), 1);
	return b;
}

/* Fork; the child runs ${fn} and exits 0, or is killed when the test dies. */
static inline pid_t
spawn(void (*fn)(void *), void *arg)
{
	pid_t parent = getpid(), p = fork();
	assert_true(p >= 0);
	if (p == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(98);
		fn(arg);
		_exit(0);
	}
	return p;
}

static inline void
end_child(pid_t p)
{
	int st = 0;
	(void)kill(p, SIGKILL);
	assert_int_equal(waitpid(p, &st, 0), p);
}

static inline void
pause_for_ever(void)
{
	for (;;)
		(void)pause();
}

/* A base for test cgroups of its own, "mayfly-test-<pid>" below the root; false where none may be made. */
static inline bool
test_base(struct world *w, char *name, size_t n)
{
	(void)snprintf(name, n, "mayfly-test-%d", (int)getpid());
	return w->cgroups != NULL && mf_cgroup_base(w->cgroups, name, NULL) == MF_OK;
}

static inline void
test_base_remove(struct world *w)
{
	char path[MF_CGROUP_PATH_MAX];
	if (w->cgroups == NULL || mf_cgroup_base_path(w->cgroups)[0] == '\0')
		return;
	(void)snprintf(
	    path, sizeof(path), "%s%s", mf_cgroup_mount_point(w->cgroups), mf_cgroup_base_path(w->cgroups));
	assert_int_equal(rmdir(path), 0);
}
#endif
