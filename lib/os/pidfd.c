#include "os/pidfd.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PIDFS_MAGIC 0x50494446
#define OPT_PEERPIDFD 77 /* SO_PEERPIDFD, asm-generic; 6.5 */
#define INFO_PID 1u
#define INFO_CREDS 2u
#define INFO_CGROUPID 4u

/* struct pidfd_info of Linux 6.13, 64 bytes. */
struct info_v0 {
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid;
	uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};
_Static_assert(sizeof(struct info_v0) == 64, "layout of PIDFD_GET_INFO");
#define GET_INFO _IOWR(0xFF, 11, struct info_v0)

void
mf_fd_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

bool
mf_pidfd_alive(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int n;
	do {
		n = poll(&p, 1, 0);
	} while (n < 0 && errno == EINTR);
	return n == 0;
}

enum mf_status
mf_pidfd_ask(int pidfd, struct mf_pid_info *ret_info, struct mf_err *err)
{
	struct info_v0 k = { .mask = INFO_PID | INFO_CREDS | INFO_CGROUPID };
	if (ioctl(pidfd, GET_INFO, &k) < 0) {
		int e = errno;
		if (e == ENOTTY || e == EINVAL)
			return MF_FAIL(err, MF_E_UNSUPPORTED, "PIDFD_GET_INFO: %s", strerror(e));
		if (e == EREMOTE)
			return MF_FAIL(err, MF_E_UNAUTH,
			    "the caller is in a PID namespace that the agent cannot see into; run the agent "
			    "with "
			    "the host's");
		return MF_FAIL(err, e == ESRCH ? MF_E_NOTFOUND : MF_E_IO, "PIDFD_GET_INFO: %s", strerror(e));
	}
	/* After the reap the call still succeeds, but says neither pid nor credentials. */
	if ((k.mask & (INFO_PID | INFO_CREDS)) != (INFO_PID | INFO_CREDS))
		return MF_FAIL(err, MF_E_NOTFOUND, "the process is gone");
	if (k.pid == 0 || k.pid > INT32_MAX || k.ppid > INT32_MAX)
		return MF_FAIL(err, MF_E_UNAUTH, "the kernel names no process id for the caller");
	*ret_info = (struct mf_pid_info) { .pid = (pid_t)k.pid,
		.ppid = (pid_t)k.ppid,
		.ruid = k.ruid,
		.euid = k.euid,
		.suid = k.suid,
		.fsuid = k.fsuid,
		.rgid = k.rgid,
		.egid = k.egid,
		.sgid = k.sgid,
		.fsgid = k.fsgid,
		.cgroup_id = (k.mask & INFO_CGROUPID) != 0 ? k.cgroupid : 0,
		.by_kernel = true };
	return MF_OK;
}

/* The device of pidfs, of which there is one: asked for once, for this runs for every message. 0: not seen yet. */
static _Atomic(uint64_t) pidfs_device;

enum mf_status
mf_pidfd_inode(int pidfd, uint64_t *ret_inode, struct mf_err *err)
{
	struct statfs fs;
	struct stat st;
	if (fstat(pidfd, &st) < 0)
		return MF_FAIL(err, MF_E_IO, "stat of a pidfd: %s", strerror(errno));
	bool pidfs = st.st_dev != 0 && atomic_load(&pidfs_device) == st.st_dev;
	if (!pidfs) {
		if (fstatfs(pidfd, &fs) < 0)
			return MF_FAIL(err, MF_E_IO, "stat of a pidfd: %s", strerror(errno));
		pidfs = (uint64_t)fs.f_type == PIDFS_MAGIC;
		if (pidfs)
			atomic_store(&pidfs_device, st.st_dev);
	}
	*ret_inode = pidfs ? (uint64_t)st.st_ino : 0;
	return MF_OK;
}

enum mf_status
mf_pidfd_of_peer(int sock, int *ret_pidfd, struct mf_err *err)
{
	int fd = -1;
	socklen_t n = sizeof(fd);
	if (getsockopt(sock, SOL_SOCKET, OPT_PEERPIDFD, &fd, &n) < 0) {
		int e = errno;
		if (e == ENOPROTOOPT)
			return MF_FAIL(err, MF_E_UNSUPPORTED,
			    "this kernel has no SO_PEERPIDFD (6.5); upgrade it or set legacy_peercred");
		if (e == EINVAL || e == ESRCH)
			return MF_FAIL(err, MF_E_NOTFOUND, "the caller is gone");
		return MF_FAIL(err, MF_E_IO, "SO_PEERPIDFD: %s", strerror(e));
	}
	if (n != sizeof(fd) || fd < 0)
		return MF_FAIL(err, MF_E_UNAUTH, "SO_PEERPIDFD gave no descriptor");
	*ret_pidfd = fd;
	return MF_OK;
}
