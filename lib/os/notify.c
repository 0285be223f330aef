#include "os/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

#define FIRST_LISTEN_FD 3
#define MOST_LISTEN_FDS 64u

static uint64_t taken; /* bit i: descriptor FIRST_LISTEN_FD + i was handed out */

/* ${fd} -1: without a descriptor. */
static enum mf_status
say(const char *state, int fd, struct mf_err *err)
{
	const char *path = getenv("NOTIFY_SOCKET");
	if (path == NULL || path[0] == '\0')
		return MF_OK;
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || n >= sizeof(to.sun_path))
		return MF_FAIL(err, MF_E_INVALID, "NOTIFY_SOCKET is neither a path nor an abstract name");
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	union {
		struct cmsghdr head; /* for its alignment */
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec part = { .iov_base = (char *)(uintptr_t)state, .iov_len = strlen(state) };
	struct msghdr m = { .msg_name = &to,
		.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n),
		.msg_iov = &part,
		.msg_iovlen = 1 };
	if (fd >= 0) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return MF_FAIL(err, MF_E_IO, "socket: %s", strerror(errno));
	ssize_t sent = sendmsg(sock, &m, MSG_NOSIGNAL);
	int saved = errno;
	(void)close(sock);
	if (sent < 0)
		return MF_FAIL(err, MF_E_IO, "send to NOTIFY_SOCKET: %s", strerror(saved));
	return MF_OK;
}

enum mf_status
mf_notify(const char *state, struct mf_err *err)
{
	return say(state, -1, err);
}

enum mf_status
mf_notify_keep_fd(const char *name, int fd, struct mf_err *err)
{
	char state[128];
	int n = snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s", name);
	if (n < 0 || (size_t)n >= sizeof(state))
		return MF_FAIL(err, MF_E_INVALID, "a name too long to keep a descriptor under");
	return say(state, fd, err);
}

static bool
env_u64(const char *name, uint64_t *ret_v)
{
	return mf_parse_u64(mf_slice_str(getenv(name)), ret_v);
}

int
mf_notify_listen_fd(const char *name)
{
	uint64_t pid = 0, count = 0;
	const char *names = getenv("LISTEN_FDNAMES");
	if (names == NULL || !env_u64("LISTEN_PID", &pid) || pid != (uint64_t)getpid() ||
	    !env_u64("LISTEN_FDS", &count) || count > MOST_LISTEN_FDS)
		return -1;
	size_t want = strlen(name);
	for (uint64_t i = 0; i < count; i++) {
		size_t n = strcspn(names, ":");
		int fd = FIRST_LISTEN_FD + (int)i;
		if (n == want && memcmp(names, name, n) == 0 && (taken & (UINT64_C(1) << i)) == 0 &&
		    fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
			taken |= UINT64_C(1) << i;
			return fd;
		}
		if (names[n] == '\0')
			return -1;
		names += n + 1;
	}
	return -1;
}
