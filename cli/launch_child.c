#include "cli/launch_child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* Everything here runs in the child: no return, no stdio that the parent's buffers would leave by. */
static _Noreturn void
child(const struct mf_child_spec *spec, int go, int tell)
{
	char job[256], uri[4096];
	ssize_t n = read_to_end(go, job, sizeof(job) - 1);
	int len = snprintf(uri, sizeof(uri), "unix://%s", spec->socket_path);
	if (n <= 0 || len < 0 || (size_t)len >= sizeof(uri))
		_exit(MF_EXIT_RUN_FAILED); /* the runner gave up, and has said why */
	job[n] = '\0';
	int e = ENOMEM;
	if (setenv("MAYFLY_JOB", job, 1) == 0 && setenv("SPIFFE_ENDPOINT_SOCKET", uri, 1) == 0 &&
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
mf_launch_child_go(struct mf_launch_child *c, const char *job_id, struct mf_err *err)
{
	size_t n = strlen(job_id);
	/* Shorter than PIPE_BUF: whole or not at all. */
	ssize_t w = n == 0 || n > 200 ? -1 : write(c->go_fd, job_id, n);
	close_fd(&c->go_fd);
	if (w != (ssize_t)n)
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
