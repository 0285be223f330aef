#include "rpc/grpc_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

#define FOREVER UINT64_MAX
#define OUT_MAX (256u * 1024u)

struct mf_grpc_sync {
	int fd;
	unsigned flags;
	uint64_t timeout_ms; /* FOREVER: none */
	struct mf_grpc_client client;
	struct mf_grpc_counters counters;
	struct mf_grpc_conn *conn;
	struct mf_buf out;
	const char *meta_name; /* static */
	struct mf_buf meta;
	enum mf_grpc_code code; /* of the last call that ended */
	bool over;		/* the connection cannot be used any more */
};

struct mf_grpc_sync_stream {
	struct mf_grpc_sync *s;
	struct mf_grpc_call *call; /* NULL: ended */
	ProtobufCMessage *msg;	   /* came, not asked for yet; the call is paused meanwhile */
	struct mf_err end;	   /* how it ended; code MF_E_CLOSED after OK */
};

static uint64_t
now_ms(void *ctx)
{
	MF_UNUSED(ctx);
	return mf_now().mono_ms;
}

static uint64_t
until(uint64_t timeout_ms)
{
	uint64_t now = now_ms(NULL);
	return timeout_ms > FOREVER - now ? FOREVER : now + timeout_ms;
}

/* --- the socket --- */

static enum mf_status
dial(int fd, const char *path, uint64_t deadline, struct mf_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof(sa.sun_path))
		return MF_FAIL(
		    err, MF_E_INVALID, "socket path of %zu bytes: at most %zu", n, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, n + 1);
	while (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0) {
		int e = errno;
		char text[128];
		if (e == EINTR)
			continue;
		/* A full backlog: a Unix socket has no other way to wait for room. */
		if (e == EAGAIN && now_ms(NULL) < deadline) {
			(void)poll(NULL, 0, 10);
			continue;
		}
		if (e == EACCES || e == EPERM)
			return MF_FAIL(err, MF_E_DENIED, "%s: %s (not allowed to use this socket)", path,
			    strerror_r(e, text, sizeof(text)));
		return MF_FAIL(err, MF_E_UNAVAILABLE, "%s: %s (is the daemon running?)", path,
		    strerror_r(e, text, sizeof(text)));
	}
	return MF_OK;
}

static enum mf_status
begin(int fd, unsigned flags, uint64_t timeout_ms, struct mf_grpc_sync **ret_s, struct mf_err *err)
{
	struct mf_grpc_sync *s = calloc(1, sizeof(*s));
	if (s == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return MF_FAIL(err, MF_E_NOMEM, "gRPC client: out of memory");
	}
	s->fd = fd;
	s->flags = flags;
	s->timeout_ms = timeout_ms == 0 ? FOREVER : timeout_ms;
	s->code = MF_GRPC_UNKNOWN;
	s->client.counters = &s->counters;
	mf_buf_init(&s->out, OUT_MAX);
	mf_buf_init(&s->meta, OUT_MAX);
	*ret_s = s;
	return MF_OK;
}

static const struct mf_grpc_transport clock_of = { .now_ms = now_ms };

enum mf_status
mf_grpc_sync_connect(
    const char *path, unsigned flags, uint64_t timeout_ms, struct mf_grpc_sync **ret_s, struct mf_err *err)
{
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	MF_TRY(begin(
	    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), flags, timeout_ms, &s, err));
	if (s->fd < 0)
		return MF_FAIL(err, MF_E_IO, "no socket: too many open files?");
	MF_TRY(dial(s->fd, path, until(s->timeout_ms), err));
	MF_TRY(mf_grpc_conn_new_client(&s->client, &clock_of, s, now_ms(NULL), &s->conn, err));
	*ret_s = MF_TAKE(s);
	return MF_OK;
}

enum mf_status
mf_grpc_sync_take(
    int fd, unsigned flags, uint64_t timeout_ms, struct mf_grpc_sync **ret_s, struct mf_err *err)
{
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	MF_TRY(begin(fd, flags, timeout_ms, &s, err));
	int fl = fcntl(fd, F_GETFL);
	if (fl < 0 || fcntl(fd, F_SETFL, fl | O_NONBLOCK) != 0)
		return MF_FAIL(err, MF_E_IO, "gRPC client: not a descriptor to talk on");
	MF_TRY(mf_grpc_conn_new_client(&s->client, &clock_of, s, now_ms(NULL), &s->conn, err));
	*ret_s = MF_TAKE(s);
	return MF_OK;
}

void
mf_grpc_sync_free(struct mf_grpc_sync *s)
{
	if (s == NULL)
		return;
	mf_grpc_conn_free(s->conn);
	if (s->fd >= 0)
		(void)close(s->fd);
	mf_buf_fini(&s->out);
	mf_buf_fini(&s->meta);
	free(s);
}

enum mf_status
mf_grpc_sync_meta(struct mf_grpc_sync *s, const char *name, struct mf_slice value, struct mf_err *err)
{
	s->meta_name = name;
	mf_buf_reset(&s->meta);
	mf_buf_put_slice(&s->meta, value);
	return mf_buf_check(&s->meta, err);
}

int
mf_grpc_sync_fd(const struct mf_grpc_sync *s)
{
	return s->fd;
}

enum mf_grpc_code
mf_grpc_sync_code(const struct mf_grpc_sync *s)
{
	return s->code;
}

static enum mf_status
lost(struct mf_grpc_sync *s, struct mf_err *err, const char *what)
{
	s->over = true;
	return MF_FAIL(err, MF_E_UNAVAILABLE, "%s", what);
}

static enum mf_status
flush(struct mf_grpc_sync *s, struct mf_err *err)
{
	for (;;) {
		if (s->out.n == 0)
			MF_TRY(mf_grpc_pull(s->conn, &s->out, OUT_MAX / 2, err));
		if (s->out.n == 0)
			return MF_OK;
		ssize_t n = send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL);
		if (n >= 0) {
			mf_buf_consume(&s->out, (size_t)n);
		} else if (errno == EAGAIN) {
			return MF_OK;
		} else if (errno != EINTR) {
			return lost(s, err, "the daemon closed the connection");
		}
	}
}

static enum mf_status
drink(struct mf_grpc_sync *s, struct mf_err *err)
{
	uint8_t in[8192];
	for (;;) {
		ssize_t n = recv(s->fd, in, sizeof(in), 0);
		if (n > 0)
			return mf_grpc_recv(s->conn, mf_slice(in, (size_t)n), now_ms(NULL), err);
		if (n == 0)
			return lost(s, err, "the daemon closed the connection");
		if (errno == EAGAIN)
			return MF_OK;
		if (errno != EINTR)
			/* ECONNRESET: it closed before it had read all that we sent. */
			return lost(s, err,
			    errno == ECONNRESET ? "the daemon closed the connection"
						: "reading from the daemon failed");
	}
}

/* Send what is due, wait for input until ${deadline} at most, take it in. Fails when the connection is lost. */
static enum mf_status
step(struct mf_grpc_sync *s, uint64_t deadline, struct mf_err *err)
{
	if (s->over)
		return lost(s, err, "the connection to the daemon is closed");
	MF_TRY(flush(s, err));
	if (mf_grpc_done(s->conn))
		return lost(s, err, "the daemon ended the connection");
	uint64_t now = now_ms(NULL), at = mf_grpc_next_timeout(s->conn);
	at = at < deadline ? at : deadline;
	int wait = -1;
	if (at != FOREVER)
		wait = at <= now ? 0 : at - now > 60000 ? 60000 : (int)(at - now);
	struct pollfd p = { s->fd, (short)(POLLIN | (s->out.n > 0 ? POLLOUT : 0)), 0 };
	int n = poll(&p, 1, wait);
	if (n < 0 && errno != EINTR)
		return lost(s, err, "poll failed");
	if (n > 0 && (p.revents & ~POLLOUT) != 0) {
		enum mf_status st = drink(s, err);
		if (st != MF_OK) {
			s->over = true;
			return st;
		}
	}
	MF_TRY(mf_grpc_tick(s->conn, now_ms(NULL), err));
	return flush(s, err);
}

/* --- calls --- */

static void
take_message(struct mf_grpc_call *c, ProtobufCMessage *msg)
{
	struct mf_grpc_sync_stream *st = mf_grpc_call_user(c);
	st->msg = msg;
	mf_grpc_pause(c); /* one at a time: the rest stays with the server */
}

static void
on_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	struct mf_grpc_sync_stream *st = mf_grpc_call_user(c);
	st->call = NULL;
	st->s->code = code;
	if (code == MF_GRPC_OK)
		(void)MF_FAIL(&st->end, MF_E_CLOSED, "the server ended the stream");
	else if (text[0] != '\0')
		(void)MF_FAIL(&st->end, mf_grpc_code_to_status(code), "%s", text);
	else
		(void)MF_FAIL(&st->end, mf_grpc_code_to_status(code), "%s", mf_grpc_code_name(code));
}

static const struct mf_grpc_client_ops ops = { .take_message = take_message, .on_status = on_status };

static enum mf_status
stream_open(struct mf_grpc_sync *s, const struct mf_grpc_method *m, uint64_t timeout_ms,
    struct mf_grpc_sync_stream **ret_st, struct mf_err *err)
{
	struct mf_grpc_meta meta[2];
	size_t n_meta = 0;
	if ((s->flags & MF_GRPC_SYNC_SPIFFE) != 0)
		meta[n_meta++] = (struct mf_grpc_meta) { "workload.spiffe.io", MF_SLICE_LIT("true") };
	if (s->meta.n > 0)
		meta[n_meta++] = (struct mf_grpc_meta) { s->meta_name, mf_buf_slice(&s->meta) };
	struct mf_grpc_sync_stream *st = calloc(1, sizeof(*st));
	if (st == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "gRPC client: out of memory");
	st->s = s;
	enum mf_status r = mf_grpc_open(s->conn, m, &ops, st, meta, n_meta, timeout_ms, &st->call, err);
	if (r != MF_OK) {
		free(st);
		return r == MF_E_CLOSED ? MF_E_UNAVAILABLE : r;
	}
	*ret_st = st;
	return MF_OK;
}

enum mf_status
mf_grpc_sync_open(struct mf_grpc_sync *s, const struct mf_grpc_method *m, struct mf_grpc_sync_stream **ret_st,
    struct mf_err *err)
{
	return stream_open(s, m, 0, ret_st, err);
}

void
mf_grpc_sync_stream_free(struct mf_grpc_sync_stream *st)
{
	if (st == NULL)
		return;
	if (st->call != NULL) {
		mf_grpc_cancel(st->call);
		if (!st->s->over)
			(void)!flush(st->s, NULL); /* best effort: the server hears it now or by our close */
	}
	mf_pb_free(st->msg);
	free(st);
}

static enum mf_status
ended(const struct mf_grpc_sync_stream *st, struct mf_err *err)
{
	return MF_FAIL(err, st->end.code, "%s", st->end.msg);
}

enum mf_status
mf_grpc_sync_send(struct mf_grpc_sync_stream *st, const ProtobufCMessage *msg, struct mf_err *err)
{
	uint64_t deadline = until(st->s->timeout_ms);
	for (;;) {
		if (st->call == NULL)
			return ended(st, err);
		enum mf_status r = mf_grpc_send(st->call, msg, err);
		if (r == MF_OK)
			return flush(st->s, err);
		if (r != MF_E_AGAIN)
			return r;
		if (now_ms(NULL) >= deadline)
			return MF_FAIL(err, MF_E_DEADLINE, "the daemon does not read what is sent to it");
		MF_TRY(step(st->s, deadline, err));
	}
}

enum mf_status
mf_grpc_sync_half_close(struct mf_grpc_sync_stream *st, struct mf_err *err)
{
	if (st->call == NULL)
		return ended(st, err);
	mf_grpc_half_close(st->call);
	return flush(st->s, err);
}

enum mf_status
mf_grpc_sync_recv(
    struct mf_grpc_sync_stream *st, uint64_t timeout_ms, ProtobufCMessage **ret_msg, struct mf_err *err)
{
	uint64_t deadline = until(timeout_ms);
	bool looked = false;
	for (;;) {
		if (st->msg != NULL) {
			*ret_msg = MF_TAKE(st->msg);
			if (st->call != NULL)
				mf_grpc_resume(st->call); /* may bring the next one at once */
			return MF_OK;
		}
		if (st->call == NULL)
			return ended(st, err);
		if (looked && now_ms(NULL) >= deadline)
			return MF_FAIL(err, MF_E_DEADLINE, "no answer yet");
		looked = true;
		enum mf_status r = step(st->s, deadline, err);
		/* What came with the last bytes still counts. */
		if (r != MF_OK && st->msg == NULL && st->call != NULL) {
			mf_grpc_cancel(MF_TAKE(st->call));
			st->s->code = MF_GRPC_UNAVAILABLE;
			(void)MF_FAIL(&st->end, r, "%s", err == NULL ? "the connection was lost" : err->msg);
			return r;
		}
	}
}

enum mf_status
mf_grpc_sync_unary(struct mf_grpc_sync *s, const struct mf_grpc_method *m, const ProtobufCMessage *request,
    ProtobufCMessage **ret_response, struct mf_err *err)
{
	MF_AUTO(mf_grpc_sync_stream_free) struct mf_grpc_sync_stream *st = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	ProtobufCMessage *more = NULL;
	MF_TRY(stream_open(s, m, s->timeout_ms == FOREVER ? 0 : s->timeout_ms, &st, err));
	MF_TRY(mf_grpc_sync_send(st, request, err));
	MF_TRY(mf_grpc_sync_half_close(st, err));
	MF_TRY(mf_grpc_sync_recv(st, s->timeout_ms, &msg, err));
	/* The status decides, not the message. */
	enum mf_status r = mf_grpc_sync_recv(st, s->timeout_ms, &more, err);
	if (r == MF_OK) {
		mf_pb_free(more);
		return MF_FAIL(err, MF_E_INTERNAL, "%s: two responses", m->path);
	}
	if (r != MF_E_CLOSED || s->code != MF_GRPC_OK)
		return r;
	*ret_response = MF_TAKE(msg);
	return MF_OK;
}
