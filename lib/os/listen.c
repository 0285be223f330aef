#include "os/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#define HOST_MAX 256u

enum mf_status
mf_address_split(const char *address, char *ret_host, uint16_t *ret_port, struct mf_err *err)
{
	const char *colon = strrchr(address, ':');
	uint64_t port = 0;
	size_t n = colon == NULL ? 0 : (size_t)(colon - address);
	const char *host = address;
	bool brackets = n >= 2 && address[0] == '[' && address[n - 1] == ']';
	if (brackets) {
		host++;
		n -= 2;
	}
	if (colon == NULL || n == 0 || n >= HOST_MAX || !mf_parse_u64(mf_slice_str(colon + 1), &port) ||
	    port == 0 || port > 65535 || (!brackets && memchr(host, ':', n) != NULL))
		return MF_FAIL(err, MF_E_INVALID, "\"%s\" is not host:port or [v6]:port", address);
	memcpy(ret_host, host, n);
	ret_host[n] = '\0';
	*ret_port = (uint16_t)port;
	return MF_OK;
}

static enum mf_status
look_up(const char *address, int flags, struct addrinfo **ret_list, struct mf_err *err)
{
	char host[HOST_MAX], service[8];
	uint16_t port = 0;
	MF_TRY(mf_address_split(address, host, &port, err));
	(void)snprintf(service, sizeof(service), "%u", port);
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
	int rc = getaddrinfo(host, service, &want, ret_list);
	if (rc != 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: %s", address, gai_strerror(rc));
	return MF_OK;
}

enum mf_status
mf_address_resolve(const char *address, struct mf_buf *to, struct mf_err *err)
{
	struct addrinfo *list = NULL;
	size_t before = to->n;
	MF_TRY(look_up(address, 0, &list, err));
	for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
		char ip[NI_MAXHOST], port[NI_MAXSERV];
		if (getnameinfo(a->ai_addr, a->ai_addrlen, ip, sizeof(ip), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
			continue;
		bool v6 = a->ai_family == AF_INET6;
		mf_buf_putf(
		    to, "%s%s%s%s:%s", to->n == before ? "" : ",", v6 ? "[" : "", ip, v6 ? "]" : "", port);
	}
	freeaddrinfo(list);
	if (to->n == before)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s has no address", address);
	return mf_buf_check(to, err);
}

static enum mf_status
bind_one(const struct addrinfo *a, const char *address, int *ret_fd, struct mf_err *err)
{
	int one = 1, zero = 0;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "socket: %s", strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, MF_LISTEN_BACKLOG) == 0) {
		*ret_fd = fd;
		return MF_OK;
	}
	int saved = errno;
	(void)close(fd);
	return MF_FAIL(err,
	    saved == EADDRINUSE			? MF_E_EXISTS
	    : saved == EACCES || saved == EPERM ? MF_E_DENIED
						: MF_E_IO,
	    "listen on %s: %s", address,
	    saved == EADDRINUSE ? "another process listens there" : strerror(saved));
}

enum mf_status
mf_listen_tcp(const char *address, int *ret_fd, struct mf_err *err)
{
	struct addrinfo *list = NULL;
	MF_TRY(look_up(address, AI_PASSIVE, &list, err));
	enum mf_status s = MF_E_NOTFOUND;
	for (struct addrinfo *a = list; a != NULL && s != MF_OK; a = a->ai_next)
		s = bind_one(a, address, ret_fd, err);
	freeaddrinfo(list);
	return s;
}

/* Make room for ${at}: remove what a dead listener left. */
static enum mf_status
remove_stale(const struct sockaddr_un *at, struct mf_err *err)
{
	struct stat st;
	if (lstat(at->sun_path, &st) != 0)
		return errno == ENOENT ? MF_OK
				       : MF_FAIL(err, MF_E_IO, "stat %s: %s", at->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return MF_FAIL(err, MF_E_DENIED, "%s is there and is no socket: remove it", at->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "socket: %s", strerror(errno));
	/* EAGAIN: a listener whose queue is full lives. */
	bool lives =
	    connect(fd, (const struct sockaddr *)(const void *)at, sizeof(*at)) == 0 || errno == EAGAIN;
	(void)close(fd);
	if (lives)
		return MF_FAIL(err, MF_E_EXISTS,
		    "another process listens on %s: stop it, or choose another path", at->sun_path);
	if (unlink(at->sun_path) != 0)
		return MF_FAIL(err, MF_E_IO, "remove %s: %s", at->sun_path, strerror(errno));
	return MF_OK;
}

static enum mf_status
bind_unix(int fd, const struct mf_listen_unix *how, const struct sockaddr_un *at, struct mf_err *err)
{
	int one = 1;
	/* The umask decides the mode of a bound socket: no moment in which it is more open than asked. */
	mode_t old = umask((mode_t)(~how->mode & 0777u));
	int rc = bind(fd, (const struct sockaddr *)(const void *)at, sizeof(*at));
	int saved = errno;
	(void)umask(old);
	if (rc != 0)
		return MF_FAIL(
		    err, saved == EACCES ? MF_E_DENIED : MF_E_IO, "bind %s: %s", how->path, strerror(saved));
	if (how->group != (gid_t)-1 && lchown(how->path, (uid_t)-1, how->group) != 0)
		return MF_FAIL(
		    err, MF_E_IO, "give %s to group %u: %s", how->path, how->group, strerror(errno));
	if (how->senders && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) != 0)
		return MF_FAIL(err, MF_E_IO, "SO_PASSCRED: %s", strerror(errno));
	if (how->senders)
		(void)setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &one, sizeof(one)); /* from Linux 6.5 */
	if (listen(fd, MF_LISTEN_BACKLOG) != 0)
		return MF_FAIL(err, MF_E_IO, "listen on %s: %s", how->path, strerror(errno));
	return MF_OK;
}

enum mf_status
mf_listen_unix(const struct mf_listen_unix *how, int *ret_fd, struct mf_err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t n = strlen(how->path);
	if (n >= sizeof(at.sun_path))
		return MF_FAIL(err, MF_E_INVALID, "socket path %s: at most %zu bytes", how->path,
		    sizeof(at.sun_path) - 1);
	memcpy(at.sun_path, how->path, n);
	MF_TRY(remove_stale(&at, err));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "socket: %s", strerror(errno));
	enum mf_status s = bind_unix(fd, how, &at, err);
	if (s != MF_OK)
		(void)close(fd);
	else
		*ret_fd = fd;
	return s;
}
