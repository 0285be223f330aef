/*
 * pidfd: what the kernel says about the process behind a descriptor, without /proc.
 *
 * PIDFD_GET_INFO (Linux 6.13) answers in one ioctl. The structure is our own, of the size we know: the kernel fills
 * the smaller of the two (the ioctl's number carries the size). What is said is true of a living process only: poll
 * afterwards (mf_pidfd_alive) and believe nothing when it fired.
 * Thread rule: no state, call from anywhere.
 */
#ifndef MF_OS_PIDFD_H
#define MF_OS_PIDFD_H
#include <sys/types.h>

#include "base/err.h"

struct mf_pid_info {
	pid_t pid, ppid;
	uint32_t ruid, euid, suid, fsuid;
	uint32_t rgid, egid, sgid, fsgid;
	uint64_t cgroup_id; /* inode of the cgroup2 directory; 0: the kernel does not say */
	bool by_kernel;	    /* PIDFD_GET_INFO answered; else fdinfo and /proc */
};

/*
 * Ask the kernel. MF_E_UNSUPPORTED (before 6.13, or not a pidfd), MF_E_NOTFOUND (it is gone), MF_E_UNAUTH (it lives in a
 * PID namespace that we cannot see into), MF_E_IO.
 */
MF_NODISCARD enum mf_status mf_pidfd_ask(int pidfd, struct mf_pid_info *ret_info, struct mf_err *err);

/* True while not even the exit of the process has begun to show: poll() says nothing. Errors count as dead. */
bool mf_pidfd_alive(int pidfd);

/*
 * The number that this process shares with no other of this boot (pidfs inode, Linux 6.9). Older kernels
 * have one inode for all pidfds: *ret_inode is then 0 and the caller must make do with pid and start time.
 */
MF_NODISCARD enum mf_status mf_pidfd_inode(int pidfd, uint64_t *ret_inode, struct mf_err *err);

/*
 * SO_PEERPIDFD: the process that connected, CLOEXEC. MF_E_UNSUPPORTED before Linux 6.5, MF_E_NOTFOUND when it
 * is gone and the kernel gives no descriptor of the dead.
 */
MF_NODISCARD enum mf_status mf_pidfd_of_peer(int sock, int *ret_pidfd, struct mf_err *err);

/* For MF_AUTO_IN: closes *fd when it is not negative. */
void mf_fd_close(int *fd);
#endif
