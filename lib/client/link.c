#include "client/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"

#define NEVER UINT64_MAX
#define OUT_MAX (64u * 1024u)
#define TCP_KEEPALIVE_MS 60000u

struct mf_link {
	int fd;
	bool connecting; /* TCP: the handshake is not over */
	struct mf_grpc_client client;
	struct mf_grpc_counters counters;
	struct mf_grpc_conn *conn;
	struct mf_grpc_call *call; /* NULL: over */
	struct mf_buf out;
	ProtobufCMessage *msg; /* came, not asked for; the call is paused meanwhile */
	enum mf_grpc_code code;
	struct mf_err end; /* code MF_OK: not over */
};

static uint64_t
now_ms(void *ctx)
{
	MF_UNUSED(ctx);
	return mf_now().mono_ms;
}

static const struct mf_grpc_transport transport = { .now_ms = now_ms };

static void
take_message(struct mf_grpc_call *c, ProtobufCMessage *msg)
{
	struct mf_link *l = mf_grpc_call_user(c);
	l->msg = msg;
	mf_grpc_pause(c); /* one at a time: what is not taken stays with the agent */
}

static void
on_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	struct mf_link *l = mf_grpc_call_user(c);
	l->call = NULL;
	l->code = code;
	if (code == MF_GRPC_OK)
		(void)MF_FAIL(&l->end, MF_E_CLOSED, "the agent ended the stream");
	else
		(void)MF_FAIL(&l->end, mf_grpc_code_to_status(code), "agent: %s",
		    text[0] != '\0' ? text : mf_grpc_code_name(code));
}

static const struct mf_grpc_client_ops call_ops = { .take_message = take_message, .on_status = on_status };

/* The connection is over, not by a word of the agent. The first reason stays. */
static void
lost(struct mf_link *l, enum mf_status s, const char *why)
{
	if (l->call != NULL)
		mf_grpc_cancel(MF_TAKE(l->call));
	if (l->end.code == MF_OK)
		(void)MF_FAIL(&l->end, s, "connection to the agent: %s", why);
}

static enum mf_status
dial(struct mf_link *l, const struct mf_endpoint *ep, struct mf_err *err)
{
	char text[128];
	int on = 1;
	l->fd = socket(ep->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return MF_FAIL(err, MF_E_IO, "no socket: %s", strerror_r(errno, text, sizeof(text)));
	if (ep->addr.ss_family != AF_UNIX)
		(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(l->fd, (const struct sockaddr *)(const void *)&ep->addr, ep->n) == 0)
		return MF_OK;
	switch (errno) {
	case EINPROGRESS:
	case EINTR: /* goes on by itself */
		l->connecting = true;
		return MF_OK;
	case EAGAIN:
		return MF_FAIL(err, MF_E_UNAVAILABLE, "the agent has no room for another connection now");
	case EACCES:
	case EPERM:
		return MF_FAIL(err, MF_E_DENIED, "the agent's socket: %s (this user may not use it)",
		    strerror_r(errno, text, sizeof(text)));
	default:
		return MF_FAIL(err, MF_E_UNAVAILABLE, "the agent's socket: %s (is the agent running?)",
		    strerror_r(errno, text, sizeof(text)));
	}
}

enum mf_status
mf_link_open(const struct mf_endpoint *ep, const struct mf_grpc_method *m, const ProtobufCMessage *request,
    struct mf_link **ret_link, struct mf_err *err)
{
	static const struct mf_grpc_meta meta[] = { { "workload.spiffe.io",
	    { (const uint8_t *)"true", 4 } } };
	MF_AUTO(mf_link_free) struct mf_link *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "agent: out of memory");
	l->fd = -1;
	l->client.counters = &l->counters;
	l->client.keepalive_ms = ep->addr.ss_family == AF_UNIX ? 0 : TCP_KEEPALIVE_MS;
	mf_buf_init(&l->out, OUT_MAX);
	MF_TRY(dial(l, ep, err));
	MF_TRY(mf_grpc_conn_new_client(&l->client, &transport, l, now_ms(NULL), &l->conn, err));
	MF_TRY(mf_grpc_open(l->conn, m, &call_ops, l, meta, MF_COUNT(meta), 0, &l->call, err));
	MF_TRY(mf_grpc_send(l->call, request, err));
	mf_grpc_half_close(l->call);
	*ret_link = MF_TAKE(l);
	return MF_OK;
}

void
mf_link_free(struct mf_link *l)
{
	if (l == NULL)
		return;
	if (l->call != NULL)
		mf_grpc_cancel(l->call);
	mf_grpc_conn_free(l->conn);
	if (l->fd >= 0)
		(void)close(l->fd);
	mf_buf_fini(&l->out);
	mf_pb_free(l->msg);
	free(l);
}

int
mf_link_fd(const struct mf_link *l)
{
	return l->fd;
}

bool
mf_link_wants_write(const struct mf_link *l)
{
	return l->end.code == MF_OK && (l->connecting || l->out.n > 0 || mf_grpc_wants_write(l->conn));
}

uint64_t
mf_link_wakeup(const struct mf_link *l)
{
	return l->msg != NULL || l->end.code != MF_OK ? 0 : mf_grpc_next_timeout(l->conn);
}

enum mf_grpc_code
mf_link_code(const struct mf_link *l)
{
	return l->code;
}

static bool
connected(struct mf_link *l)
{
	char text[128];
	int e = 0;
	socklen_t n = sizeof(e);
	struct pollfd p = { .fd = l->fd, .events = POLLOUT };
	if (!l->connecting)
		return true;
	if (poll(&p, 1, 0) == 0)
		return false;
	l->connecting = false;
	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &e, &n) == 0 && e == 0)
		return true;
	lost(l, MF_E_UNAVAILABLE, strerror_r(e, text, sizeof(text)));
	return false;
}

static void
flush(struct mf_link *l)
{
	struct mf_err why = { 0 };
	for (;;) {
		if (l->out.n == 0 && mf_grpc_pull(l->conn, &l->out, OUT_MAX / 2, &why) != MF_OK) {
			lost(l, MF_E_UNAVAILABLE, why.msg);
			return;
		}
		if (l->out.n == 0)
			return;
		ssize_t n = send(l->fd, l->out.p, l->out.n, MSG_NOSIGNAL);
		if (n >= 0) {
			mf_buf_consume(&l->out, (size_t)n);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			/* what the agent said before it closed may still be there to read */
			l->out.n = 0;
			return;
		}
	}
}

/* Until the socket is empty or a whole message came. False: end of input. */
static void
drink(struct mf_link *l)
{
	uint8_t in[8192];
	struct mf_err why = { 0 };
	size_t most = 0;
	while (l->msg == NULL && l->call != NULL) {
		ssize_t n = recv(l->fd, in, sizeof(in), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			lost(l, MF_E_UNAVAILABLE, "closed by the agent");
			break;
		}
		most = (size_t)n > most ? (size_t)n : most;
		if (mf_grpc_recv(l->conn, mf_slice(in, (size_t)n), now_ms(NULL), &why) != MF_OK) {
			flush(l); /* it is told why */
			lost(l, MF_E_UNAVAILABLE, why.msg);
		}
	}
	mf_wipe(in, most); /* private keys pass here */
}

enum mf_status
mf_link_step(struct mf_link *l, ProtobufCMessage **ret_msg, struct mf_err *err)
{
	struct mf_err why = { 0 };
	if (l->msg == NULL && l->end.code == MF_OK && connected(l)) {
		flush(l);
		drink(l);
		if (mf_grpc_tick(l->conn, now_ms(NULL), &why) != MF_OK)
			lost(l, MF_E_UNAVAILABLE, why.msg);
		flush(l);
	}
	if (l->msg != NULL) {
		*ret_msg = MF_TAKE(l->msg);
		if (l->call != NULL)
			mf_grpc_resume(l->call); /* may bring the next one at once */
		return MF_OK;
	}
	if (l->end.code != MF_OK)
		return MF_FAIL(err, l->end.code, "%s", l->end.msg);
	if (l->call == NULL) /* cannot be: on_status said nothing */
		return MF_FAIL(err, MF_E_INTERNAL, "connection to the agent: the call is gone");
	return MF_E_AGAIN;
}
