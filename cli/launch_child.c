#include "cli/launch_child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/cli.h"

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ull
#endif

/* struct clone_args as Linux 5.7 has it; the headers of the build may be older. */
struct clone_args_v2 {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
	    set_tid_size, cgroup;
};

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* Read all up to the end of the pipe; bytes, or -1. */
static ssize_t
read_to_end(int fd, char *to, size_t max)
{
	size_t at = 0;
	while (at < max) {
		ssize_t n = read(fd, to + at, max - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		at += (size_t)n;
	}
	return (ssize_t)at;
}

/* ${told}: the job's name and what is to be changed in the environment, as mf_launch_child_go wrote them. */
static bool
take_environment(const char *told, size_t n)
{
	bool good = setenv("MAYFLY_JOB", told, 1) == 0;
	for (size_t at = strlen(told) + 1; good && at < n; at += strlen(told + at) + 1) {
		const char *entry = told + at, *is = strchr(entry, '=');
		if (is == NULL) {
			good = unsetenv(entry) == 0;
			continue;
		}
		char name[256];
		good = (size_t)(is - entry) < sizeof(name);
		if (good) {
			memcpy(name, entry, (size_t)(is - entry));
			name[is - entry] = '\0';
			good = setenv(name, is + 1, 1) == 0;
		}
	}
	return good;
}

/* Everything here runs in the child: no return, no stdio that the parent's buffers would leave by. */
static _Noreturn void
child(const struct mf_child_spec *spec, int go, int tell)
{
	static char told[256 + MF_LAUNCH_ENV_MAX];
	char uri[4096];
	ssize_t n = read_to_end(go, told, sizeof(told) - 1);
	int len = snprintf(uri, sizeof(uri), "unix://%s", spec->socket_path);
	if (n <= 0 || len < 0 || (size_t)len >= sizeof(uri))
		_exit(MF_EXIT_RUN_FAILED); /* the runner gave up, and has said why */
	told[n] = '\0';
	int e = ENOMEM;
	if (take_environment(told, (size_t)n) && setenv("SPIFFE_ENDPOINT_SOCKET", uri, 1) == 0 &&
	    sigprocmask(SIG_SETMASK, spec->mask, NULL) == 0) {
		(void)execvp(spec->argv[0], spec->argv);
		e = errno;
	}
	(void)!write(tell, &e, sizeof(e));
	_exit(e == ENOENT ? MF_EXIT_NOT_FOUND : MF_EXIT_NOT_EXECUTABLE);
}

static pid_t
fork_into(int cgroup_fd)
{
	struct clone_args_v2 a = {
		.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup_fd
	};
	return (pid_t)syscall(SYS_clone3, &a, sizeof(a));
}

enum mf_status
mf_launch_child_new(
    const struct mf_child_spec *spec, struct mf_launch_child *ret_c, bool *ret_born, struct mf_err *err)
{
	int go[2] = { -1, -1 }, tell[2] = { -1, -1 };
	MF_AUTO_IN(close_fd)
	int cgroup = spec->cgroup == NULL ? -1 : open(spec->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pipe2(go, O_CLOEXEC) != 0 || pipe2(tell, O_CLOEXEC) != 0) {
		close_fd(&go[0]);
		close_fd(&go[1]);
		return MF_FAIL(err, MF_E_EXHAUSTED, "no pipe: %s", strerror(errno));
	}
	pid_t pid = cgroup >= 0 ? fork_into(cgroup) : -1;
	*ret_born = pid >= 0;
	if (pid < 0)
		pid = fork();
	if (pid == 0) {
		(void)close(go[1]);
		(void)close(tell[0]);
		child(spec, go[0], tell[1]);
	}
	int e = errno;
	close_fd(&go[0]);
	close_fd(&tell[1]);
	*ret_c = (struct mf_launch_child) { .pid = pid < 0 ? 0 : pid, .go_fd = go[1], .errno_fd = tell[0] };
	if (pid > 0)
		return MF_OK;
	mf_launch_child_fini(ret_c);
	return MF_FAIL(err, MF_E_EXHAUSTED, "no process: %s", strerror(e));
}

enum mf_status
mf_launch_child_go(struct mf_launch_child *c, const char *job_id, struct mf_slice env, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	size_t n = strlen(job_id), at = 0;
	mf_buf_init(&b, 256 + MF_LAUNCH_ENV_MAX);
	if (n > 0 && n <= 200)
		mf_buf_put(&b, job_id, n + 1);
	mf_buf_put_slice(&b, env);
	ssize_t w = mf_buf_check(&b, NULL) == MF_OK && b.n > 0 ? 0 : -1;
	while (w >= 0 && at < b.n) {
		w = write(c->go_fd, b.p + at, b.n - at);
		if (w < 0 && errno == EINTR)
			w = 0;
		at += w > 0 ? (size_t)w : 0;
	}
	close_fd(&c->go_fd);
	if (w < 0)
		return MF_FAIL(err, MF_E_IO, "the command was gone before it could start");
	return MF_OK;
}

int
mf_launch_child_exec_errno(struct mf_launch_child *c)
{
	int e = 0;
	char bytes[sizeof(e)];
	if (read_to_end(c->errno_fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(e))
		memcpy(&e, bytes, sizeof(e));
	close_fd(&c->errno_fd);
	return e;
}

void
mf_launch_child_fini(struct mf_launch_child *c)
{
	close_fd(&c->go_fd);
	close_fd(&c->errno_fd);
}
