/*
 * launch_child: the child of `mayfly run`, from its birth to exec. It waits on a pipe until it is told the name of
 * its job; when the pipe closes without that, it ends.
 */
#ifndef MF_CLI_LAUNCH_CHILD_H
#define MF_CLI_LAUNCH_CHILD_H
#include <signal.h>
#include <sys/types.h>

#include "base/slice.h"

struct mf_launch_child {
	pid_t pid;    /* 0: none */
	int go_fd;    /* write end: the job's name; -1 when told */
	int errno_fd; /* read end: errno of a failed exec, nothing after a good one */
};

struct mf_child_spec {
	char **argv;
	const char *socket_path;
	const sigset_t *mask; /* the signal mask that the command gets */
	const char *cgroup;   /* be born there; NULL: where we are */
};

/*
 * Make the child. *ret_born says whether it was born in ${cgroup}; where the kernel refuses that, it is an ordinary
 * child. MF_E_IO, MF_E_EXHAUSTED.
 */
MF_NODISCARD enum mf_status mf_launch_child_new(
    const struct mf_child_spec *spec, struct mf_launch_child *ret_c, bool *ret_born, struct mf_err *err);
#define MF_LAUNCH_ENV_MAX 65536u /* bytes of ${env} */
/*
 * Let it go as job ${job_id}. ${env}: what is to be changed in its environment, each with a NUL after it: "NAME=VALUE" sets,
 * "NAME" unsets.
 */
MF_NODISCARD enum mf_status
mf_launch_child_go(struct mf_launch_child *c, const char *job_id, struct mf_slice env, struct mf_err *err);
/* Waits for the exec: 0, or its errno. */
int mf_launch_child_exec_errno(struct mf_launch_child *c);
/* Close what is open; a child that was not let go ends by that. */
void mf_launch_child_fini(struct mf_launch_child *c);
#endif
