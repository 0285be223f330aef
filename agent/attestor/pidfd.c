#include "agent/attestor/pidfd.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/attestor/procfile.h"

enum mf_status
mf_pidfd_open(pid_t pid, int *ret_pidfd, struct mf_err *err)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return MF_FAIL(err, errno == ESRCH || errno == EINVAL ? MF_E_NOTFOUND : MF_E_IO,
		    "pidfd of process %d: %s", (int)pid, strerror(errno));
	*ret_pidfd = fd;
	return MF_OK;
}

/* Linux 6.5 to 6.12: the number from fdinfo, the rest from /proc, believed only while the pidfd is silent. */
static enum mf_status
info_by_proc(int pidfd, int proc_fd, struct mf_pid_info *ret_info, struct mf_err *err)
{
	char name[64];
	int64_t pid = 0;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_PROC_FILE_MAX);
	(void)snprintf(name, sizeof(name), "self/fdinfo/%d", pidfd);
	MF_TRY(mf_procfile_read(proc_fd, name, &b, err));
	MF_TRY(mf_procfile_fdinfo_pid(mf_buf_slice(&b), &pid, err));
	if (pid == 0)
		return MF_FAIL(err, MF_E_UNAUTH,
		    "the caller is in a PID namespace that the agent cannot see into; run the agent with the "
		    "host's");
	if (pid < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "the process is gone");
	struct mf_proc_status st;
	mf_buf_reset(&b);
	(void)snprintf(name, sizeof(name), "%d/status", (int)pid);
	MF_TRY(mf_procfile_read(proc_fd, name, &b, err));
	MF_TRY(mf_procfile_status(mf_buf_slice(&b), &st, err));
	if (st.pid != (pid_t)pid)
		return MF_FAIL(err, MF_E_NOTFOUND, "the process is gone");
	if (!mf_pidfd_alive(pidfd))
		return MF_FAIL(err, MF_E_NOTFOUND, "the process is gone");
	*ret_info = (struct mf_pid_info) { .pid = st.pid,
		.ppid = st.ppid,
		.ruid = st.ruid,
		.euid = st.euid,
		.suid = st.suid,
		.fsuid = st.fsuid,
		.rgid = st.rgid,
		.egid = st.egid,
		.sgid = st.sgid,
		.fsgid = st.fsgid };
	return MF_OK;
}

enum mf_status
mf_pidfd_info(int pidfd, int proc_fd, bool no_ioctl, struct mf_pid_info *ret_info, struct mf_err *err)
{
	enum mf_status s = no_ioctl ? MF_E_UNSUPPORTED : mf_pidfd_ask(pidfd, ret_info, err);
	return s == MF_E_UNSUPPORTED ? info_by_proc(pidfd, proc_fd, ret_info, err) : s;
}
