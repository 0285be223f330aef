#include "agent/cloud_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/secret.h"
#include "os/jlog.h"
#include "os/listen.h"
#include "os/secure_file.h"

#define FILE_NAME "cloud-endpoint"
#define KEY 32u
#define FILE_SIZE (KEY + 2u) /* then the port */
#define DEFER_S 1

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void
mf_cloud_socket_close(struct mf_cloud_socket *s)
{
	close_fd(&s->listen_fd);
	close_fd(&s->key_fd);
	close_fd(&s->diag_fd);
}

/* Every address of 127.0.0.0/8, and none that a packet from elsewhere can reach: only the loopback device is heard. */
static enum mf_status
listen_on(uint16_t port, int *ret_fd, struct mf_err *err)
{
	static const char device[] = "lo";
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_ANY) }
	};
	int on = 1, defer = DEFER_S, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	enum mf_status s = MF_OK;
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "cloud endpoint: socket: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, sizeof(device)) != 0)
		s = MF_FAIL(err, MF_E_UNSUPPORTED, "cloud endpoint: SO_BINDTODEVICE lo: %s", strerror(errno));
	else if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		s = MF_FAIL(err, errno == EADDRINUSE ? MF_E_EXISTS : MF_E_IO, "cloud endpoint: port %u: %s",
		    port, strerror(errno));
	else if (listen(fd, MF_LISTEN_BACKLOG) != 0)
		s = MF_FAIL(err, MF_E_IO, "cloud endpoint: listen: %s", strerror(errno));
	/* Only a matter of speed: who connects is shown to the front together with what it asks. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof(defer));
	if (s != MF_OK)
		(void)close(fd);
	else
		*ret_fd = fd;
	return s;
}

static enum mf_status
port_of(int fd, uint16_t *ret_port, struct mf_err *err)
{
	struct sockaddr_in at = { 0 };
	socklen_t n = sizeof(at);
	if (getsockname(fd, (struct sockaddr *)&at, &n) != 0 || at.sin_family != AF_INET)
		return MF_FAIL(err, MF_E_INVALID, "cloud endpoint: no IPv4 socket");
	*ret_port = ntohs(at.sin_port);
	return MF_OK;
}

/* A copy that its reader cannot change. */
static enum mf_status
key_copy(const uint8_t *key, int *ret_fd, struct mf_err *err)
{
	int fd = memfd_create("cloud-key", MFD_CLOEXEC);
	if (fd < 0 || write(fd, key, KEY) != (ssize_t)KEY) {
		close_fd(&fd);
		return MF_FAIL(err, MF_E_IO, "cloud endpoint: memfd: %s", strerror(errno));
	}
	*ret_fd = fd;
	return MF_OK;
}

/* What was kept, or a new key and no port. */
static void
recall(int run_fd, uint8_t kept[FILE_SIZE])
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b; /* wiped */
	mf_buf_init(&b, FILE_SIZE);
	memset(kept, 0, FILE_SIZE);
	if (mf_file_read(run_fd, FILE_NAME, &b, NULL) == MF_OK && b.n == FILE_SIZE)
		memcpy(kept, b.p, FILE_SIZE);
	else
		mf_rand_bytes(kept, KEY);
}

static enum mf_status
open_listener(uint16_t port, int given, int *ret_fd, struct mf_err *err)
{
	struct mf_err why = { 0 };
	if (given >= 0) {
		*ret_fd = given;
		return MF_OK;
	}
	if (port != 0 && listen_on(port, ret_fd, &why) == MF_OK)
		return MF_OK;
	if (port != 0)
		mf_jlog_err(MF_LOG_WARN, "cloud.port_lost",
		    "the cloud endpoint has another port now: jobs that run do not find it", &why);
	return listen_on(0, ret_fd, err);
}

enum mf_status
mf_cloud_socket_open(int run_fd, int given, struct mf_cloud_socket *ret_s, struct mf_err *err)
{
	struct mf_cloud_socket s = { .listen_fd = -1, .key_fd = -1, .diag_fd = -1 };
	uint8_t kept[FILE_SIZE];
	uint16_t port = 0;
	recall(run_fd, kept);
	enum mf_status st =
	    open_listener((uint16_t)(kept[KEY] << 8 | kept[KEY + 1]), given, &s.listen_fd, err);
	if (st == MF_OK)
		st = port_of(s.listen_fd, &port, err);
	kept[KEY] = (uint8_t)(port >> 8);
	kept[KEY + 1] = (uint8_t)port;
	if (st == MF_OK)
		st = mf_file_write(run_fd, FILE_NAME, mf_slice(kept, sizeof(kept)), 0600, err);
	if (st == MF_OK)
		st = key_copy(kept, &s.key_fd, err);
	mf_wipe(kept, sizeof(kept));
	if (st == MF_OK) {
		s.diag_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
		if (s.diag_fd < 0)
			st = MF_FAIL(err, MF_E_UNSUPPORTED, "cloud endpoint: sock_diag: %s", strerror(errno));
	}
	if (st != MF_OK)
		mf_cloud_socket_close(&s);
	else
		*ret_s = s;
	return st;
}
