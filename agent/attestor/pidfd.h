/*
 * pidfd: what the kernel says about the process behind a descriptor.
 *
 * Since Linux 6.13 one ioctl answers (os/pidfd.h); before, the number comes from fdinfo and the rest from /proc, which
 * is only true while the process is unreaped: callers poll the pidfd afterwards and believe nothing when it fired.
 * Thread rule: no state, call from anywhere.
 */
#ifndef MF_ATTESTOR_PIDFD_H
#define MF_ATTESTOR_PIDFD_H
#include "os/pidfd.h"

/* A CLOEXEC pidfd of ${pid}. MF_E_NOTFOUND: no such process. The number may be stale: verify afterwards. */
MF_NODISCARD enum mf_status mf_pidfd_open(pid_t pid, int *ret_pidfd, struct mf_err *err);

/*
 * Facts of the process of ${pidfd}, whose /proc is ${proc_fd} (a descriptor of /proc). ${no_ioctl} takes the
 * way of older kernels. Errors: MF_E_NOTFOUND (it is gone), MF_E_UNAUTH (it lives in a PID namespace that we
 * cannot see into), MF_E_INVALID (not a pidfd), MF_E_DENIED, MF_E_IO.
 */
MF_NODISCARD enum mf_status
mf_pidfd_info(int pidfd, int proc_fd, bool no_ioctl, struct mf_pid_info *ret_info, struct mf_err *err);
#endif
