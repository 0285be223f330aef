/* Listening sockets: accept with caps, pause when descriptors run out, drain. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/conn_internal.h"
#include "net/trim.h"

#define BACKLOG 1024
#define ACCEPTS_PER_TURN 16
#define READS_PER_TURN \
	4 /* of who takes turns: then others are accepted, and may come before those that wait */
#define PAUSE_MS 200u
#define SHED_LOOK_MS 250u
#define SHED_MS \
	1500u /* a handshake that is silent for so long gives its place up, when all places are taken */
/* asm-generic/socket.h; the libc may be older than the kernel. */
#define SO_PASSPIDFD_NUMBER 76

struct mf_net_listener {
	struct mf_loop *loop;
	struct mf_loop_fd *io;
	struct mf_loop_timer *pause, *shed;
	struct mf_trim *trim;
	int fd, reserve; /* reserve: given up for a moment when descriptors run out */
	struct mf_grpc_server server;
	struct mf_net_listener_config cfg;
	struct mf_tls_ctx *tls;
	struct mf_list conns;
	struct mf_fair *turns; /* connections with bytes; NULL: they are read as they come */
	struct mf_loop_defer *serve;
	size_t n, shaking;
	bool draining;
};

/* --- sockets --- */

static enum mf_status
sys_fail(struct mf_err *err, const char *what, const char *name)
{
	char text[128];
	int e = errno;
	enum mf_status s = e == EADDRINUSE ? MF_E_EXISTS : e == EACCES || e == EPERM ? MF_E_DENIED : MF_E_IO;
	return MF_FAIL(err, s, "%s %s: %s", what, name, strerror_r(e, text, sizeof(text)));
}

/* Does anybody answer on this path? A dead daemon leaves its file behind. */
static bool
answered(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return true;
	bool dead = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) != 0 && errno == ECONNREFUSED;
	(void)close(fd);
	return !dead;
}

enum mf_status
mf_net_listen_unix(const char *path, mode_t mode, int *ret_fd, struct mf_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	struct stat st;
	const int on = 1;
	if (n == 0 || n >= sizeof(sa.sun_path))
		return MF_FAIL(
		    err, MF_E_INVALID, "socket path of %zu bytes: at most %zu", n, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, n + 1);
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return MF_FAIL(err, MF_E_EXISTS, "%s exists and is no socket", path);
		if (answered(&sa))
			return MF_FAIL(err, MF_E_EXISTS, "%s: another process listens there", path);
		(void)unlink(path);
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return sys_fail(err, "socket for", path);
	/* Before listen: accepted sockets inherit it, and no byte comes without its sender. */
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD_NUMBER, &on, sizeof(on)); /* since Linux 6.5 */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0 ||
	    bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0 || chmod(path, mode) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		enum mf_status s = sys_fail(err, "listen on", path);
		(void)close(fd);
		return s;
	}
	*ret_fd = fd;
	return MF_OK;
}

enum mf_status
mf_net_listen_tcp(const char *address, uint16_t port, int *ret_fd, struct mf_err *err)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at = { 0 };
	socklen_t n;
	const int on = 1;
	if (inet_pton(AF_INET, address, &at.in.sin_addr) == 1) {
		at.in.sin_family = AF_INET;
		at.in.sin_port = htons(port);
		n = sizeof(at.in);
	} else if (inet_pton(AF_INET6, address, &at.in6.sin6_addr) == 1) {
		at.in6.sin6_family = AF_INET6;
		at.in6.sin6_port = htons(port);
		n = sizeof(at.in6);
	} else {
		return MF_FAIL(err, MF_E_INVALID, "%s is not an IP address", address);
	}
	int fd = socket(at.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return sys_fail(err, "socket for", address);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 || bind(fd, &at.sa, n) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		enum mf_status s = sys_fail(err, "listen on", address);
		(void)close(fd);
		return s;
	}
	*ret_fd = fd;
	return MF_OK;
}

/* --- accepting --- */

static bool
all_shaking(const struct mf_net_listener *ln)
{
	return ln->tls != NULL && ln->shaking >= ln->cfg.limits.handshakes;
}

static bool
may_accept(const struct mf_net_listener *ln)
{
	return !ln->draining && !mf_loop_timer_pending(ln->pause) && !all_shaking(ln) &&
	       (!ln->cfg.tls || ln->tls != NULL);
}

static void
set_interest(struct mf_net_listener *ln)
{
	struct mf_err err = { 0 };
	if (all_shaking(ln) && !mf_loop_timer_pending(ln->shed))
		mf_loop_timer_set(ln->shed, SHED_LOOK_MS);
	if (mf_loop_fd_set(ln->io, may_accept(ln) ? MF_LOOP_READ : 0, &err) != MF_OK)
		mf_loop_timer_set(ln->pause, PAUSE_MS); /* again soon */
}

/* Nothing of it waits for us to read: the peer is slow, not we. */
static bool
silent(const struct mf_net_conn *c)
{
	char byte;
	return recv(c->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/*
 * Every place is taken by a handshake. Those that began and say no more must not keep everybody else out until
 * their deadline, which is meant for slow lines.
 */
static void
shed_silent(void *ctx)
{
	struct mf_net_listener *ln = ctx;
	struct mf_err err = { 0 };
	uint64_t now = mf_net_now();
	if (!all_shaking(ln))
		return;
	(void)MF_FAIL(&err, MF_E_DEADLINE, "the handshake came to a halt while others wait: try again");
	MF_LIST_EACH(at, &ln->conns)
	{
		struct mf_net_conn *c = MF_LIST_ITEM(at, struct mf_net_conn, link);
		if (c->state == MF_NET_HANDSHAKE && !c->closing && now - c->began_ms >= SHED_MS && silent(c))
			mf_net_conn_end(c, MF_NET_DEADLINE, &err);
	}
	set_interest(ln);
}

static void
pause_over(void *ctx)
{
	struct mf_net_listener *ln = ctx;
	if (ln->reserve < 0)
		ln->reserve = fcntl(ln->fd, F_DUPFD_CLOEXEC, 3);
	set_interest(ln);
}

/*
 * No descriptors left. The one kept back takes the first waiting peer, only to close it: it learns
 * now that it must try again later, instead of hanging. Then nobody is accepted for a while.
 */
static void
out_of_descriptors(struct mf_net_listener *ln)
{
	ln->cfg.counters->accept_paused++;
	if (ln->reserve >= 0) {
		(void)close(ln->reserve);
		int fd = accept4(ln->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			(void)close(fd);
		ln->reserve = fcntl(ln->fd, F_DUPFD_CLOEXEC, 3);
	}
	mf_loop_timer_set(ln->pause, PAUSE_MS);
	set_interest(ln);
}

static bool
same_peer(const struct mf_net_conn *a, const struct mf_net_conn *b)
{
	return a->is_unix ? a->peer.uid == b->peer.uid
			  : memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static bool
over_peer_cap(const struct mf_net_listener *ln, const struct mf_net_conn *c)
{
	size_t n = 0;
	if (ln->n < ln->cfg.limits.conns_per_peer)
		return false;
	MF_LIST_EACH(at, &ln->conns)
	{
		if (same_peer(c, MF_LIST_ITEM(at, struct mf_net_conn, link)))
			n++;
	}
	return n >= ln->cfg.limits.conns_per_peer;
}

static bool
make_room(struct mf_net_listener *ln, const struct mf_net_conn *newcomer)
{
	const struct mf_net_conn_ops *ops = ln->cfg.ops;
	struct mf_net_conn *old =
	    ops == NULL || ops->on_peer_cap == NULL ? NULL : ops->on_peer_cap(ln->cfg.ctx, newcomer);
	if (old == NULL)
		return false;
	ln->cfg.counters->made_room++;
	mf_net_conn_evict(old);
	return true;
}

static bool
know_unix(struct mf_net_conn *c, int fd)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
		return false;
	c->peer = (struct mf_net_sender) { cred.pid, cred.uid, cred.gid, -1 };
	(void)snprintf(c->name, sizeof(c->name), "unix:uid=%u,pid=%d", (unsigned)cred.uid, (int)cred.pid);
	return true;
}

static bool
know_tcp(struct mf_net_conn *c, int fd)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} from = { 0 };
	socklen_t n = sizeof(from);
	char text[INET6_ADDRSTRLEN] = "";
	const int on = 1;
	unsigned port;
	if (getpeername(fd, &from.sa, &n) != 0)
		return false;
	if (from.sa.sa_family == AF_INET) {
		memcpy(c->address, &from.in.sin_addr, sizeof(from.in.sin_addr));
		(void)inet_ntop(AF_INET, &from.in.sin_addr, text, sizeof(text));
		port = ntohs(from.in.sin_port);
	} else {
		memcpy(c->address, &from.in6.sin6_addr, 8); /* a /64 is one peer */
		(void)inet_ntop(AF_INET6, &from.in6.sin6_addr, text, sizeof(text));
		port = ntohs(from.in6.sin6_port);
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)snprintf(c->name, sizeof(c->name), "%s:%u", text, port);
	return true;
}

static void
admit(struct mf_net_listener *ln, int fd)
{
	struct mf_net_counters *count = ln->cfg.counters;
	bool is_unix = !ln->cfg.tls;
	struct mf_err err = { 0 };
	count->accepted++;
	if (ln->n >= ln->cfg.limits.conns) {
		count->refused_cap++;
		(void)close(fd);
		return;
	}
	struct mf_net_conn *c = mf_net_conn_new(ln->loop, fd, is_unix, &err);
	if (c == NULL) {
		(void)close(fd);
		return;
	}
	if (!(is_unix ? know_unix(c, fd) : know_tcp(c, fd)) || (over_peer_cap(ln, c) && !make_room(ln, c))) {
		count->refused_peer_cap++;
		mf_net_conn_destroy(c); /* not counted as open, no callbacks: nobody knows it yet */
		return;
	}
	c->ln = ln;
	c->limits = ln->cfg.limits;
	if (ln->cfg.ops != NULL)
		c->ops = ln->cfg.ops;
	c->ctx = ln->cfg.ctx;
	c->counters = count;
	c->tls_ctx = mf_tls_ctx_ref(ln->tls);
	count->open++;
	ln->n++;
	mf_list_add_tail(&ln->conns, &c->link);
	if (c->tls_ctx != NULL)
		ln->shaking++;
	mf_net_conn_start(c);
	mf_net_conn_settle(c);
}

static void
on_acceptable(void *ctx, unsigned ready)
{
	struct mf_net_listener *ln = ctx;
	MF_UNUSED(ready);
	for (int i = 0; i < ACCEPTS_PER_TURN && may_accept(ln); i++) {
		int fd = accept4(ln->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			admit(ln, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			out_of_descriptors(ln);
		else if (errno == EINTR || errno == ECONNABORTED)
			continue;
		break;
	}
	set_interest(ln);
}

/* --- turns --- */

static void
on_serve(void *ctx)
{
	struct mf_net_listener *ln = ctx;
	struct mf_fair_item *i;
	for (int n = 0; n < READS_PER_TURN && (i = mf_fair_take(ln->turns)) != NULL; n++) {
		struct mf_net_conn *c = MF_CONTAINER_OF(i, struct mf_net_conn, turn);
		if (c->closing)
			continue;
		mf_net_read(c);
		mf_net_conn_settle(c);
	}
	/* Whose turn did not come is still readable: the next turn of the loop sets it off again. */
}

bool
mf_net_listener_turn(struct mf_net_listener *ln, struct mf_net_conn *c)
{
	if (ln->turns == NULL || !mf_fair_add(ln->turns, &c->turn, c->peer.uid))
		return false;
	mf_loop_defer_set(ln->serve);
	return true;
}

/* --- the listener --- */

enum mf_status
mf_net_listener_new(struct mf_loop *l, const struct mf_net_listener_config *cfg,
    struct mf_net_listener **ret_l, struct mf_err *err)
{
	MF_AUTO(mf_net_listener_free) struct mf_net_listener *ln = calloc(1, sizeof(*ln));
	if (ln == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "listener: out of memory");
	ln->loop = l;
	ln->fd = ln->reserve = -1;
	ln->cfg = *cfg;
	mf_net_fill_limits(&ln->cfg.limits, false);
	ln->server = *cfg->server;
	ln->server.counters = &cfg->counters->grpc;
	mf_list_init(&ln->conns);
	MF_TRY(mf_loop_timer_new(l, pause_over, ln, &ln->pause, err));
	MF_TRY(mf_trim_new(l, 0, &ln->trim, err));
	MF_TRY(mf_loop_timer_new(l, shed_silent, ln, &ln->shed, err));
	if (cfg->take_turns && !cfg->tls) {
		ln->turns = mf_fair_new(0, 0);
		if (ln->turns == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "listener: out of memory");
		MF_TRY(mf_loop_defer_new(l, on_serve, ln, &ln->serve, err));
	}
	MF_TRY(mf_loop_fd_new(l, cfg->fd, 0, on_acceptable, ln, &ln->io, err));
	ln->reserve = fcntl(cfg->fd, F_DUPFD_CLOEXEC, 3);
	if (ln->reserve < 0)
		return MF_FAIL(err, MF_E_IO, "listener: no descriptor left to keep in reserve");
	ln->fd = cfg->fd;
	set_interest(ln);
	*ret_l = MF_TAKE(ln);
	return MF_OK;
}

const struct mf_grpc_server *
mf_net_listener_server(const struct mf_net_listener *ln)
{
	return &ln->server;
}

void
mf_net_listener_set_tls(struct mf_net_listener *ln, struct mf_tls_ctx *tls)
{
	struct mf_tls_ctx *old = ln->tls;
	ln->tls = mf_tls_ctx_ref(tls);
	mf_tls_ctx_free(old);
	set_interest(ln);
}

void
mf_net_listener_drain(struct mf_net_listener *ln)
{
	ln->draining = true;
	set_interest(ln);
	MF_LIST_EACH(at, &ln->conns)
	mf_net_conn_drain(MF_LIST_ITEM(at, struct mf_net_conn, link));
}

size_t
mf_net_listener_conns(const struct mf_net_listener *ln)
{
	return ln->n;
}

void
mf_net_listener_each(struct mf_net_listener *ln, bool (*fn)(void *ctx, struct mf_net_conn *c), void *ctx)
{
	MF_LIST_EACH(at, &ln->conns)
	{
		struct mf_net_conn *c = MF_LIST_ITEM(at, struct mf_net_conn, link);
		if (!c->closing && !fn(ctx, c))
			return;
	}
}

void
mf_net_listener_shaken(struct mf_net_listener *ln)
{
	if (!ln->cfg.tls)
		return;
	ln->shaking--;
	set_interest(ln);
}

void
mf_net_listener_gone(struct mf_net_listener *ln, struct mf_net_conn *c)
{
	mf_list_del(&c->link);
	if (ln->turns != NULL)
		mf_fair_remove(ln->turns, &c->turn);
	ln->n--;
	mf_trim_soon(ln->trim);
	if (ln->cfg.tls && !c->shaken) {
		ln->shaking--;
		set_interest(ln);
	}
}

void
mf_net_listener_free(struct mf_net_listener *ln)
{
	if (ln == NULL)
		return;
	ln->draining = true;
	while (!mf_list_empty(&ln->conns)) {
		struct mf_net_conn *c = MF_LIST_ITEM(ln->conns.next, struct mf_net_conn, link);
		if (!c->closing)
			c->why = MF_NET_CLOSED;
		mf_net_conn_destroy(c);
	}
	mf_loop_fd_free(ln->io);
	mf_loop_timer_free(ln->pause);
	mf_trim_free(ln->trim);
	mf_loop_timer_free(ln->shed);
	mf_loop_defer_free(ln->serve);
	mf_fair_free(ln->turns);
	mf_tls_ctx_free(ln->tls);
	if (ln->fd >= 0)
		(void)close(ln->fd);
	if (ln->reserve >= 0)
		(void)close(ln->reserve);
	free(ln);
}
