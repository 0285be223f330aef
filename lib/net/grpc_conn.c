/* A connection: its states, deadlines and end. */
#include "net/grpc_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "net/conn_internal.h"

#define NEVER UINT64_MAX
#define FLUSH_MS 5000u /* for the last bytes of a connection that is over */

uint64_t
mf_net_now(void)
{
	return mf_now().mono_ms;
}

static uint64_t
grpc_clock(void *ctx)
{
	MF_UNUSED(ctx);
	return mf_net_now();
}

static void
kick(void *ctx)
{
	struct mf_net_conn *c = ctx;
	mf_loop_defer_set(c->kick);
}

void
mf_net_fill_limits(struct mf_net_limits *l, bool client)
{
	const struct mf_net_limits standard = {
		.conns = MF_LIM_NET_CONNS,
		.conns_per_peer = MF_LIM_NET_PEER_CONNS,
		.handshake_ms = MF_LIM_NET_HANDSHAKE_MS,
		.first_call_ms = client ? 0 : MF_LIM_NET_FIRST_CALL_MS,
		.idle_ms = client ? 0 : MF_LIM_NET_IDLE_MS,
		.write_queue = MF_LIM_NET_WRITE_QUEUE,
		.stall_ms = MF_LIM_NET_STALL_MS,
		.handshakes = MF_LIM_NET_HANDSHAKES,
	};
#define FILL(member) l->member = l->member == 0 ? standard.member : l->member
	FILL(conns);
	FILL(conns_per_peer);
	FILL(handshake_ms);
	FILL(first_call_ms);
	FILL(idle_ms);
	FILL(write_queue);
	FILL(stall_ms);
	FILL(handshakes);
#undef FILL
}

/* --- the end --- */

void
mf_net_conn_destroy(struct mf_net_conn *c)
{
	c->closing = true;
	mf_grpc_conn_free(MF_TAKE(c->grpc)); /* ends the calls */
	if (c->counters != NULL) {
		c->counters->closed[c->why]++;
		c->counters->open--;
	}
	if (c->ops->on_close != NULL)
		c->ops->on_close(c->ctx, c, c->why, &c->err);
	if (c->ln != NULL)
		mf_net_listener_gone(c->ln, c);
	mf_loop_fd_free(c->io);
	mf_loop_timer_free(c->timer);
	mf_loop_defer_free(c->kick);
	mf_tls_free(c->tls);
	mf_tls_ctx_free(c->tls_ctx);
	mf_buf_fini(&c->out);
	mf_buf_fini(&c->plain);
	if (c->fd >= 0)
		(void)close(c->fd);
	free(c);
}

void
mf_net_conn_evict(struct mf_net_conn *c)
{
	if (!c->closing && c->state == MF_NET_OPEN) {
		c->why = MF_NET_CLOSED;
		mf_grpc_abort(c->grpc, MF_H2_NO_ERROR);
		(void)mf_net_flush(c);
	}
	mf_net_conn_destroy(c);
}

void
mf_net_conn_end(struct mf_net_conn *c, enum mf_net_why why, const struct mf_err *err)
{
	if (c->closing || c->state == MF_NET_FLUSHING) {
		if (why == MF_NET_PEER_CLOSED || why == MF_NET_IO)
			c->closing = true; /* nothing more can be sent */
		kick(c);
		return;
	}
	c->why = why;
	if (err != NULL)
		c->err = *err;
	if (c->state == MF_NET_HANDSHAKE && c->counters != NULL)
		c->counters->handshakes_failed++;
	bool say_more =
	    why == MF_NET_PROTOCOL || why == MF_NET_CALM || why == MF_NET_CLOSED || why == MF_NET_DEADLINE;
	if (say_more && c->state != MF_NET_CONNECTING) {
		c->state = MF_NET_FLUSHING;
		c->began_ms = mf_net_now();
	} else {
		c->closing = true;
	}
	kick(c);
}

/* --- deadlines --- */

static uint64_t
soonest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t
after(uint64_t from, uint32_t ms)
{
	return ms == 0 ? NEVER : from + ms;
}

/* When the next deadline of the transport is; which one, in *ret_text. */
static uint64_t
own_deadline(const struct mf_net_conn *c, const char **ret_text)
{
	uint64_t at = NEVER;
	switch (c->state) {
	case MF_NET_CONNECTING:
	case MF_NET_HANDSHAKE:
		*ret_text = "no handshake in time";
		return after(c->began_ms, c->limits.handshake_ms);
	case MF_NET_FLUSHING:
		*ret_text = "";
		return c->began_ms + FLUSH_MS;
	case MF_NET_OPEN:
		break;
	}
	struct mf_grpc_conn_stats st = mf_grpc_conn_stats(c->grpc);
	if (st.calls == 0) {
		at = after(c->began_ms, c->limits.first_call_ms);
		*ret_text = "no call in time";
	} else if (st.open == 0) {
		at = after(st.last_call_ms, c->limits.idle_ms);
		*ret_text = "idle";
	}
	if (c->out.n > 0) {
		uint64_t stall = after(c->progress_ms, c->limits.stall_ms);
		if (stall < at) {
			at = stall;
			*ret_text = "the peer does not read";
		}
	}
	return at;
}

static void
rearm(struct mf_net_conn *c)
{
	const char *text;
	uint64_t at = own_deadline(c, &text), now = mf_net_now();
	if (c->grpc != NULL && c->state == MF_NET_OPEN)
		at = soonest(at, mf_grpc_next_timeout(c->grpc));
	if (at == NEVER)
		mf_loop_timer_clear(c->timer);
	else
		mf_loop_timer_set(c->timer, at > now ? at - now : 0);
}

static void
on_timer(void *ctx)
{
	struct mf_net_conn *c = ctx;
	struct mf_err err = { 0 };
	const char *text = "";
	uint64_t now = mf_net_now();
	if (c->closing)
		return;
	if (c->state == MF_NET_OPEN && mf_grpc_tick(c->grpc, now, &err) != MF_OK)
		mf_net_conn_end(c, MF_NET_DEADLINE, &err);
	if (own_deadline(c, &text) <= now) {
		if (c->state == MF_NET_FLUSHING) {
			c->closing = true;
			kick(c);
			return;
		}
		if (c->state == MF_NET_OPEN)
			mf_grpc_abort(c->grpc, MF_H2_NO_ERROR);
		(void)MF_FAIL(&err, MF_E_DEADLINE, "%s", text);
		mf_net_conn_end(c, MF_NET_DEADLINE, &err);
	}
	mf_net_conn_settle(c);
}

/* --- turns --- */

static enum mf_net_why
why_done(const struct mf_net_conn *c)
{
	switch (mf_grpc_fate(c->grpc)) {
	case MF_E_INVALID:
		return MF_NET_PROTOCOL;
	case MF_E_EXHAUSTED:
		return MF_NET_CALM;
	case MF_E_NOMEM:
		return MF_NET_NOMEM;
	default:
		return MF_NET_CLOSED;
	}
}

static void
end_done(struct mf_net_conn *c)
{
	struct mf_err err = { 0 };
	enum mf_net_why why = why_done(c);
	if (why == MF_NET_PROTOCOL)
		(void)MF_FAIL(&err, MF_E_INVALID, "http/2: the peer broke the protocol");
	else if (why == MF_NET_CALM)
		(void)MF_FAIL(&err, MF_E_EXHAUSTED, "http/2: the peer was told to calm down");
	mf_net_conn_end(c, why, &err);
}

void
mf_net_conn_settle(struct mf_net_conn *c)
{
	if (c->closing)
		return;
	if (!mf_net_flush(c)) {
		c->closing = true;
		if (c->state != MF_NET_FLUSHING)
			c->why = MF_NET_PEER_CLOSED;
		kick(c);
		return;
	}
	if (c->state == MF_NET_OPEN && mf_grpc_done(c->grpc))
		end_done(c);
	if (c->state == MF_NET_FLUSHING && !mf_net_wants_write(c)) {
		if (c->tls != NULL && !c->tls_closed) {
			c->tls_closed = true;
			mf_tls_close(c->tls);
			(void)mf_net_flush(c); /* what does not go at once does not matter */
		}
		c->closing = true;
		kick(c);
		return;
	}
	unsigned interest = 0;
	if (c->state == MF_NET_CONNECTING || mf_net_wants_write(c))
		interest |= MF_LOOP_WRITE;
	if ((c->state == MF_NET_HANDSHAKE || c->state == MF_NET_OPEN) && !c->hold)
		interest |= MF_LOOP_READ;
	struct mf_err err = { 0 };
	if (mf_loop_fd_set(c->io, interest, &err) != MF_OK) {
		c->closing = true;
		kick(c);
		return;
	}
	rearm(c);
}

/* Work that callbacks asked for: the end, or new output. */
static void
on_kick(void *ctx)
{
	struct mf_net_conn *c = ctx;
	if (c->closing)
		mf_net_conn_destroy(c);
	else
		mf_net_conn_settle(c);
}

static bool
connected(struct mf_net_conn *c)
{
	int e = 0;
	socklen_t n = sizeof(e);
	struct mf_err err = { 0 };
	char text[128];
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n) == 0 && e == 0)
		return true;
	(void)MF_FAIL(
	    &err, MF_E_UNAVAILABLE, "connect to %s: %s", c->name, strerror_r(e, text, sizeof(text)));
	mf_net_conn_end(c, MF_NET_IO, &err);
	return false;
}

static void
on_ready(void *ctx, unsigned ready)
{
	struct mf_net_conn *c = ctx;
	if (c->closing)
		return;
	if (c->state == MF_NET_CONNECTING) {
		if (!connected(c))
			return;
		mf_net_conn_start(c);
	} else if ((ready & MF_LOOP_READ) != 0) {
		if (c->ln == NULL || !mf_net_listener_turn(c->ln, c))
			mf_net_read(c);
		else if ((ready & MF_LOOP_WRITE) == 0)
			return;
	}
	mf_net_conn_settle(c);
}

/* --- the beginning --- */

static enum mf_status
make_grpc(struct mf_net_conn *c, const struct mf_grpc_server *srv, struct mf_err *err)
{
	const struct mf_grpc_transport t = { .wake = kick, .now_ms = grpc_clock, .ctx = c };
	if (srv != NULL)
		return mf_grpc_conn_new_server(srv, &t, c, mf_net_now(), &c->grpc, err);
	return mf_grpc_conn_new_client(&c->client, &t, c, mf_net_now(), &c->grpc, err);
}

void
mf_net_conn_start(struct mf_net_conn *c)
{
	struct mf_err err = { 0 };
	c->began_ms = c->progress_ms = mf_net_now();
	if (c->state == MF_NET_CONNECTING && c->tls_ctx != NULL) {
		c->state = MF_NET_HANDSHAKE;
		if (mf_tls_new(c->tls_ctx, c, &c->tls, &err) != MF_OK)
			mf_net_conn_end(c, MF_NET_NOMEM, &err);
		return;
	}
	if (c->state == MF_NET_HANDSHAKE && c->counters != NULL)
		c->counters->handshakes++;
	c->state = MF_NET_OPEN;
	c->shaken = true;
	if (c->ln != NULL)
		mf_net_listener_shaken(c->ln);
	if (make_grpc(c, c->ln == NULL ? NULL : mf_net_listener_server(c->ln), &err) != MF_OK) {
		mf_net_conn_end(c, MF_NET_NOMEM, &err);
		return;
	}
	c->opened = c->ops->on_open == NULL || c->ops->on_open(c->ctx, c);
	if (!c->opened)
		mf_net_conn_end(c, MF_NET_REFUSED, NULL);
}

struct mf_net_conn *
mf_net_conn_new(struct mf_loop *l, int fd, bool is_unix, struct mf_err *err)
{
	struct mf_net_conn *c = calloc(1, sizeof(*c));
	if (c == NULL) {
		(void)MF_FAIL(err, MF_E_NOMEM, "connection: out of memory");
		return NULL;
	}
	static const struct mf_net_conn_ops none = { 0 };
	c->loop = l;
	c->ops = &none;
	c->fd = -1;
	c->is_unix = is_unix;
	c->peer.pidfd = -1;
	c->state = MF_NET_CONNECTING;
	c->began_ms = c->progress_ms = mf_net_now();
	mf_list_init(&c->link);
	mf_buf_init(&c->out, 512u * 1024u);
	mf_buf_init(&c->plain, 256u * 1024u);
	if (mf_loop_timer_new(l, on_timer, c, &c->timer, err) != MF_OK ||
	    mf_loop_defer_new(l, on_kick, c, &c->kick, err) != MF_OK ||
	    mf_loop_fd_new(l, fd, 0, on_ready, c, &c->io, err) != MF_OK) {
		mf_net_conn_destroy(c);
		return NULL;
	}
	c->fd = fd; /* taken over only now */
	return c;
}

/* --- client --- */

static enum mf_status
dial(const struct mf_net_client_config *cfg, int fd, struct mf_err *err)
{
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} to = { 0 };
	socklen_t n;
	if (cfg->unix_path != NULL) {
		size_t len = strlen(cfg->unix_path);
		if (len == 0 || len >= sizeof(to.un.sun_path))
			return MF_FAIL(err, MF_E_INVALID, "socket path of %zu bytes", len);
		to.un.sun_family = AF_UNIX;
		memcpy(to.un.sun_path, cfg->unix_path, len);
		n = sizeof(to.un);
	} else if (inet_pton(AF_INET, cfg->address, &to.in.sin_addr) == 1) {
		to.in.sin_family = AF_INET;
		to.in.sin_port = htons(cfg->port);
		n = sizeof(to.in);
	} else if (inet_pton(AF_INET6, cfg->address, &to.in6.sin6_addr) == 1) {
		to.in6.sin6_family = AF_INET6;
		to.in6.sin6_port = htons(cfg->port);
		n = sizeof(to.in6);
	} else {
		return MF_FAIL(err, MF_E_INVALID, "%s is not an IP address", cfg->address);
	}
	if (connect(fd, &to.sa, n) == 0 || errno == EINPROGRESS)
		return MF_OK;
	char text[128];
	return MF_FAIL(err, MF_E_UNAVAILABLE, "connect to %s: %s",
	    cfg->unix_path != NULL ? cfg->unix_path : cfg->address, strerror_r(errno, text, sizeof(text)));
}

enum mf_status
mf_net_connect(
    struct mf_loop *l, const struct mf_net_client_config *cfg, struct mf_net_conn **ret_c, struct mf_err *err)
{
	bool is_unix = cfg->unix_path != NULL;
	int family = is_unix ? AF_UNIX : strchr(cfg->address, ':') != NULL ? AF_INET6 : AF_INET;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "no socket: too many open files?");
	const int on = 1;
	if (is_unix) /* so that read_unix finds a sender here too */
		(void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	else
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	enum mf_status s = dial(cfg, fd, err);
	struct mf_net_conn *c = s != MF_OK ? NULL : mf_net_conn_new(l, fd, is_unix, err);
	if (c == NULL) {
		(void)close(fd);
		return s != MF_OK ? s : MF_E_NOMEM;
	}
	c->limits = cfg->limits;
	mf_net_fill_limits(&c->limits, true);
	c->tls_ctx = mf_tls_ctx_ref(cfg->tls);
	c->client = *cfg->client;
	c->client.counters = &cfg->counters->grpc;
	c->client.tls = cfg->tls != NULL;
	if (cfg->ops != NULL)
		c->ops = cfg->ops;
	c->ctx = cfg->ctx;
	c->counters = cfg->counters;
	c->counters->open++;
	(void)snprintf(c->name, sizeof(c->name), is_unix ? "unix:%s" : "%s:%u",
	    is_unix ? cfg->unix_path : cfg->address, (unsigned)cfg->port);
	mf_net_conn_settle(c); /* waits for the connect; on_open comes from the loop */
	*ret_c = c;
	return MF_OK;
}

/* --- for owners --- */

struct mf_grpc_conn *
mf_net_conn_grpc(const struct mf_net_conn *c)
{
	return c->grpc;
}

void *
mf_net_conn_user(const struct mf_net_conn *c)
{
	return c->user;
}

void
mf_net_conn_set_user(struct mf_net_conn *c, void *user)
{
	c->user = user;
}

int
mf_net_conn_fd(const struct mf_net_conn *c)
{
	return c->fd;
}

struct mf_net_sender
mf_net_conn_peer(const struct mf_net_conn *c)
{
	return c->peer;
}

const char *
mf_net_conn_name(const struct mf_net_conn *c)
{
	return c->name;
}

void
mf_net_conn_hold(struct mf_net_conn *c, bool hold)
{
	c->hold = hold;
	kick(c);
}

void
mf_net_conn_close(struct mf_net_conn *c)
{
	if (c->state == MF_NET_OPEN && c->grpc != NULL)
		mf_grpc_abort(c->grpc, MF_H2_NO_ERROR);
	mf_net_conn_end(c, MF_NET_CLOSED, NULL);
}

void
mf_net_conn_drain(struct mf_net_conn *c)
{
	if (c->state != MF_NET_OPEN)
		mf_net_conn_end(c, MF_NET_CLOSED, NULL);
	else
		mf_grpc_drain(c->grpc);
	kick(c);
}
