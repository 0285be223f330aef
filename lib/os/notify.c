#include "os/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

#define FIRST_LISTEN_FD 3
#define MOST_LISTEN_FDS 64u

static uint64_t taken; /* bit i: descriptor FIRST_LISTEN_FD + i was handed out */

enum mf_status
mf_notify(const char *state, struct mf_err *err)
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
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "socket: %s", strerror(errno));
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	ssize_t sent =
	    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)(const void *)&to, len);
	int saved = errno;
	(void)close(fd);
	if (sent < 0)
		return MF_FAIL(err, MF_E_IO, "send to NOTIFY_SOCKET: %s", strerror(saved));
	return MF_OK;
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
