#include "os/login_uid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "os/pidfd.h"

static enum mf_status
read_number(pid_t pid, uint32_t *ret_uid, struct mf_err *err)
{
	char path[48], text[16];
	uint64_t v;
	(void)snprintf(path, sizeof(path), "/proc/%d/loginuid", (int)pid);
	MF_AUTO_IN(mf_fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: %s", path, strerror(errno));
	ssize_t n = read(fd, text, sizeof(text));
	if (n <= 0 || !mf_parse_u64(mf_slice(text, (size_t)n), &v) || v > UINT32_MAX)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: no number in it", path);
	*ret_uid = (uint32_t)v;
	return MF_OK;
}

enum mf_status
mf_login_uid_of_peer(int sock, uint32_t *ret_uid, struct mf_err *err)
{
	struct ucred peer = { 0 };
	socklen_t n = sizeof(peer);
	uint32_t uid;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0 || n != sizeof(peer))
		return MF_FAIL(err, MF_E_INVALID, "not a connected Unix socket: %s", strerror(errno));
	if (peer.pid <= 0)
		return MF_FAIL(
		    err, MF_E_NOTFOUND, "the caller is in a PID namespace that we cannot see into");
	MF_AUTO_IN(mf_fd_close) int pidfd = -1;
	MF_TRY(mf_pidfd_of_peer(sock, &pidfd, err));
	MF_TRY(read_number(peer.pid, &uid, err));
	if (!mf_pidfd_alive(pidfd)) /* else the number may have been another process's by then */
		return MF_FAIL(err, MF_E_NOTFOUND, "the caller is gone");
	*ret_uid = uid;
	return MF_OK;
}
