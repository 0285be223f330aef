/* A gRPC connection: events of HTTP/2 in, time, the parts of a call that both roles share. */
#include "rpc/grpc.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/secret.h"
#include "base/text.h"
#include "rpc/grpc_internal.h"

#define LINGER_MS 30000u    /* a peer may take so long to read the rest of an ended call */
#define DRAIN_MS 5000u	    /* and to answer the PING of a drain */
#define KEEPALIVE_MS 20000u /* default of keepalive_timeout_ms */

uint64_t
mf_grpc_now(struct mf_grpc_conn *c)
{
	if (c->transport.now_ms != NULL)
		c->now_ms = c->transport.now_ms(c->transport.ctx);
	return c->now_ms;
}

static void
wake(struct mf_grpc_conn *c)
{
	if (c->busy == 0 && c->transport.wake != NULL)
		c->transport.wake(c->transport.ctx);
}

void
mf_grpc_set_deadline(struct mf_grpc_call *c, uint64_t at_ms)
{
	c->deadline = at_ms;
	if (at_ms >= c->conn->next_deadline)
		return;
	c->conn->next_deadline = at_ms;
	wake(c->conn);
}

struct mf_grpc_call *
mf_grpc_call_new(struct mf_grpc_conn *conn)
{
	struct mf_grpc_call *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->conn = conn;
	c->deadline = MF_GRPC_NEVER;
	mf_grpc_frames_init(&c->in, MF_LIM_GRPC_MESSAGE);
	mf_buf_init(&c->held, 1u << 20);
	mf_list_add_tail(&conn->calls, &c->link);
	conn->n_calls++;
	conn->counters->calls++;
	conn->last_call_ms = mf_grpc_now(conn);
	return c;
}

/* What came for a message that will not be delivered. */
static void
drop_input(struct mf_grpc_call *c)
{
	c->conn->in_bytes -= c->in.body.n;
	mf_grpc_frames_next(&c->in);
	mf_buf_fini(&c->held);
	mf_pb_free(MF_TAKE(c->single));
}

void
mf_grpc_call_free(struct mf_grpc_call *c)
{
	drop_input(c);
	mf_grpc_frames_fini(&c->in);
	mf_list_del(&c->link);
	free(c->text);
	free(c);
}

void
mf_grpc_call_over(struct mf_grpc_call *c, enum mf_grpc_code code)
{
	struct mf_grpc_conn *conn = c->conn;
	conn->counters->finished[(unsigned)code < MF_GRPC_CODE_COUNT ? code : MF_GRPC_UNKNOWN]++;
	if (c->open) {
		c->open = false;
		conn->n_open--;
		conn->counters->open--;
	}
	conn->last_call_ms = mf_grpc_now(conn);
	if (c->stream != NULL)
		mf_h2_consume(c->stream, SIZE_MAX);
	drop_input(c);
	mf_grpc_set_deadline(c, conn->now_ms + LINGER_MS);
}

/* --- messages in --- */

static void
refuse(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	c->conn->counters->bad_messages++;
	if (c->conn->srv != NULL)
		mf_grpc_server_refuse(c, code, text);
	else
		mf_grpc_client_fail(c, code, text);
}

static void
message(struct mf_grpc_call *c)
{
	const struct mf_grpc_method *m = c->method;
	bool server = c->conn->srv != NULL;
	struct mf_err err = { 0 };
	ProtobufCMessage *msg = NULL;
	enum mf_status s =
	    mf_pb_unpack(server ? m->request : m->response, mf_buf_slice(&c->in.body), &msg, &err);
	c->conn->in_bytes -= c->in.body.n;
	mf_grpc_frames_next(&c->in);
	if (s != MF_OK) {
		/* What a server sends wrongly is no fault of our arguments. */
		refuse(c, server || s != MF_E_INVALID ? mf_grpc_code_of(s) : MF_GRPC_INTERNAL, err.msg);
		return;
	}
	c->messages++;
	c->conn->counters->messages_in++;
	unsigned many = server ? MF_GRPC_CLIENT_STREAM : MF_GRPC_SERVER_STREAM;
	if (c->messages > 1 && (m->flags & many) == 0) {
		mf_pb_free(msg);
		refuse(c, MF_GRPC_INTERNAL, "more than one message where the method has one");
		return;
	}
	if (server)
		mf_grpc_server_message(c, msg);
	else
		mf_grpc_client_message(c, msg);
}

/* One step of the framing. False: nothing more is to be fed. */
static bool
feed_some(struct mf_grpc_call *c, struct mf_reader *r)
{
	size_t before = c->in.body.n;
	enum mf_grpc_frame f = mf_grpc_frames_feed(&c->in, r);
	c->conn->in_bytes += c->in.body.n - before;
	switch (f) {
	case MF_GRPC_FRAME_MESSAGE:
		message(c);
		return true;
	case MF_GRPC_FRAME_MORE:
		if (c->conn->in_bytes > MF_LIM_H2_CONN_IN)
			refuse(
			    c, MF_GRPC_RESOURCE_EXHAUSTED, "too many unfinished messages on this connection");
		return false;
	case MF_GRPC_FRAME_TOO_LONG:
		refuse(c, MF_GRPC_RESOURCE_EXHAUSTED, "the message is longer than the limit");
		return false;
	case MF_GRPC_FRAME_COMPRESSED:
		refuse(c, MF_GRPC_INTERNAL, "a compressed message, but no grpc-encoding");
		return false;
	case MF_GRPC_FRAME_BAD:
		refuse(c, MF_GRPC_INTERNAL, "bad message prefix: the first byte must be 0");
		return false;
	case MF_GRPC_FRAME_NOMEM:
		refuse(c, MF_GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return false;
	}
	return false;
}

/* Feed until the input is used up, the call is paused or over. Only what was used is consumed. */
static void
feed(struct mf_grpc_call *c, struct mf_reader *r)
{
	c->feeding = true;
	while (c->open && !c->paused) {
		size_t left = r->n;
		bool more = feed_some(c, r);
		if (c->open)
			mf_h2_consume(c->stream, left - r->n);
		if (!more)
			break;
	}
	c->feeding = false;
}

static void
ended(struct mf_grpc_call *c)
{
	if (!c->open || c->paused || c->held.n > 0 || c->feeding)
		return;
	if (c->conn->srv == NULL) {
		mf_grpc_client_end(c);
	} else if (c->peer_ended) {
		if (!mf_grpc_frames_clean(&c->in))
			refuse(c, MF_GRPC_INTERNAL, "the request ended inside a message");
		else
			mf_grpc_server_end(c);
	}
}

void
mf_grpc_take(struct mf_grpc_call *c, struct mf_slice bytes)
{
	struct mf_reader r = mf_reader(bytes);
	if (!c->paused && c->held.n == 0)
		feed(c, &r);
	if (!c->open || r.n == 0)
		return;
	/* Paused. The stream's window bounds this: not consumed, so not replaced. */
	mf_buf_put(&c->held, r.p, r.n);
	if (c->held.failed != MF_OK)
		refuse(c, MF_GRPC_RESOURCE_EXHAUSTED, "out of memory");
}

void
mf_grpc_pause(struct mf_grpc_call *c)
{
	c->paused = true;
}

void
mf_grpc_resume(struct mf_grpc_call *c)
{
	c->paused = false;
	if (c->feeding)
		return; /* the loop above us goes on */
	while (c->open && !c->paused && c->held.n > 0) {
		/* Handlers may pause again or end the call: what is left goes back in front. */
		struct mf_buf was = c->held;
		mf_buf_init(&c->held, was.max);
		struct mf_reader r = mf_reader(mf_buf_slice(&was));
		feed(c, &r);
		if (c->open && r.n > 0)
			mf_buf_put(&c->held, r.p, r.n);
		mf_buf_fini(&was);
		if (c->open && c->held.failed != MF_OK)
			refuse(c, MF_GRPC_RESOURCE_EXHAUSTED, "out of memory");
	}
	ended(c);
}

/* --- events of HTTP/2 --- */

static void
on_head(void *ctx, struct mf_h2_stream *s, bool trailers, bool end)
{
	struct mf_grpc_conn *conn = ctx;
	struct mf_grpc_call *c = mf_h2_user(s);
	if (conn->srv != NULL) {
		mf_grpc_server_head(conn, s, end);
		c = mf_h2_user(s);
	} else if (c != NULL && c->open) {
		mf_grpc_client_head(c, trailers, end);
	}
	if (!end || c == NULL)
		return;
	c->peer_ended = true;
	ended(c);
}

static void
on_data(void *ctx, struct mf_h2_stream *s, struct mf_slice bytes)
{
	MF_UNUSED(ctx);
	struct mf_grpc_call *c = mf_h2_user(s);
	if (c == NULL || !c->open)
		mf_h2_consume(s, bytes.n);
	else
		mf_grpc_take(c, bytes);
}

static void
on_end(void *ctx, struct mf_h2_stream *s)
{
	MF_UNUSED(ctx);
	struct mf_grpc_call *c = mf_h2_user(s);
	if (c == NULL)
		return;
	c->peer_ended = true;
	ended(c);
}

static void
on_writable(void *ctx, struct mf_h2_stream *s)
{
	MF_UNUSED(ctx);
	struct mf_grpc_call *c = mf_h2_user(s);
	if (c == NULL || !c->open)
		return;
	if (c->conn->srv != NULL && c->method->ops->on_writable != NULL)
		c->method->ops->on_writable(c);
	else if (c->conn->srv == NULL && c->ops->on_writable != NULL)
		c->ops->on_writable(c);
}

static void
on_closed(void *ctx, struct mf_h2_stream *s, uint32_t code)
{
	MF_UNUSED(ctx);
	struct mf_grpc_call *c = mf_h2_user(s);
	if (c == NULL)
		return;
	if (c->open && c->conn->srv != NULL)
		mf_grpc_server_closed(c, code);
	else if (c->open)
		mf_grpc_client_closed(c, code);
	c->stream = NULL;
	mf_grpc_call_free(c);
}

static void
on_wake(void *ctx)
{
	wake(ctx);
}

static void
on_ping_ack(void *ctx, const uint8_t data[8])
{
	struct mf_grpc_conn *c = ctx;
	if (c->answered != NULL &&
	    memcmp(data, c->challenge, sizeof(c->challenge)) == 0) { /* lint: memcmp: public */
		void (*answered)(void *user) = c->answered;
		c->answered = NULL;
		answered(c->user);
		return;
	}
	if (c->drain != MF_GRPC_ANNOUNCED)
		return;
	c->drain = MF_GRPC_DRAINING;
	mf_h2_drain_close(c->h2);
}

static const struct mf_h2_ops h2_ops = {
	.head = on_head,
	.data = on_data,
	.end = on_end,
	.writable = on_writable,
	.closed = on_closed,
	.wake = on_wake,
	.ping_ack = on_ping_ack,
};

/* --- the connection --- */

static enum mf_status
conn_new(const struct mf_h2_config *cfg, struct mf_grpc_conn *c, const struct mf_grpc_transport *t,
    uint64_t now_ms, struct mf_grpc_conn **ret_c, struct mf_err *err)
{
	struct mf_h2_config full = *cfg;
	full.ops = &h2_ops;
	full.ctx = c;
	full.counters = &c->counters->h2;
	if (t != NULL)
		c->transport = *t;
	c->now_ms = c->last_call_ms = c->last_recv_ms = now_ms;
	c->next_deadline = c->ping_ms = c->drain_ms = MF_GRPC_NEVER;
	if (c->keepalive_timeout_ms == 0)
		c->keepalive_timeout_ms = KEEPALIVE_MS;
	mf_list_init(&c->calls);
	mf_buf_init(&c->scratch, MF_LIM_GRPC_MESSAGE + 5);
	enum mf_status s = mf_h2_new(&full, now_ms, &c->h2, err);
	if (s != MF_OK)
		free(c);
	else
		*ret_c = c;
	return s;
}

enum mf_status
mf_grpc_conn_new_server(const struct mf_grpc_server *srv, const struct mf_grpc_transport *t, void *user,
    uint64_t now_ms, struct mf_grpc_conn **ret_c, struct mf_err *err)
{
	struct mf_grpc_conn *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "gRPC connection: out of memory");
	c->srv = srv;
	c->user = user;
	c->counters = srv->counters;
	c->keepalive_ms = srv->keepalive_ms;
	c->keepalive_timeout_ms = srv->keepalive_timeout_ms;
	struct mf_h2_config cfg = {
		.server = true, .any_authority = srv->any_authority, .limits = srv->limits
	};
	return conn_new(&cfg, c, t, now_ms, ret_c, err);
}

enum mf_status
mf_grpc_conn_new_client(const struct mf_grpc_client *cl, const struct mf_grpc_transport *t, void *user,
    uint64_t now_ms, struct mf_grpc_conn **ret_c, struct mf_err *err)
{
	struct mf_grpc_conn *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "gRPC connection: out of memory");
	c->cl = cl;
	c->user = user;
	c->counters = cl->counters;
	c->keepalive_ms = cl->keepalive_ms;
	c->keepalive_timeout_ms = cl->keepalive_timeout_ms;
	struct mf_h2_config cfg = { .limits = cl->limits };
	return conn_new(&cfg, c, t, now_ms, ret_c, err);
}

void
mf_grpc_conn_free(struct mf_grpc_conn *c)
{
	if (c == NULL)
		return;
	c->busy++;
	c->closing = true;
	mf_h2_free(c->h2);
	mf_buf_fini(&c->scratch);
	free(c);
}

enum mf_status
mf_grpc_recv(struct mf_grpc_conn *c, struct mf_slice in, uint64_t now_ms, struct mf_err *err)
{
	c->now_ms = now_ms;
	c->last_recv_ms = now_ms;
	c->ping_ms = MF_GRPC_NEVER;
	c->busy++;
	enum mf_status s = mf_h2_recv(c->h2, in, now_ms, err);
	c->busy--;
	return s;
}

enum mf_status
mf_grpc_pull(struct mf_grpc_conn *c, struct mf_buf *to, size_t enough, struct mf_err *err)
{
	c->busy++;
	enum mf_status s = mf_h2_pull(c->h2, to, enough, err);
	c->busy--;
	return s;
}

bool
mf_grpc_wants_write(const struct mf_grpc_conn *c)
{
	return mf_h2_wants_write(c->h2);
}

bool
mf_grpc_done(const struct mf_grpc_conn *c)
{
	return mf_h2_done(c->h2);
}

enum mf_status
mf_grpc_fate(const struct mf_grpc_conn *c)
{
	return mf_h2_fate(c->h2);
}

static void
expire(struct mf_grpc_call *c)
{
	c->deadline = MF_GRPC_NEVER;
	if (c->open && c->conn->srv != NULL)
		mf_grpc_server_refuse(c, MF_GRPC_DEADLINE_EXCEEDED, "deadline exceeded");
	else if (c->open)
		mf_grpc_client_fail(c, MF_GRPC_DEADLINE_EXCEEDED, "deadline exceeded");
	else if (c->stream != NULL)
		mf_h2_reset(c->stream, MF_H2_CANCEL); /* the peer does not read the rest */
}

static enum mf_status
keepalive(struct mf_grpc_conn *c, struct mf_err *err)
{
	if (c->keepalive_ms == 0)
		return MF_OK;
	if (c->ping_ms != MF_GRPC_NEVER) {
		if (c->now_ms - c->ping_ms < c->keepalive_timeout_ms)
			return MF_OK;
		mf_h2_terminate(c->h2, MF_H2_NO_ERROR);
		return MF_FAIL(
		    err, MF_E_DEADLINE, "the peer did not answer a PING for %u ms", c->keepalive_timeout_ms);
	}
	if (c->now_ms - c->last_recv_ms >= c->keepalive_ms) {
		c->ping_ms = c->now_ms;
		mf_h2_ping(c->h2);
	}
	return MF_OK;
}

enum mf_status
mf_grpc_tick(struct mf_grpc_conn *c, uint64_t now_ms, struct mf_err *err)
{
	c->now_ms = now_ms;
	if (mf_h2_fate(c->h2) != MF_OK)
		return MF_OK;
	c->busy++;
	if (c->next_deadline <= now_ms) {
		/* Handlers may open, end and shorten calls in here: the bound is found anew after it. */
		MF_LIST_EACH(at, &c->calls)
		{
			struct mf_grpc_call *call = MF_LIST_ITEM(at, struct mf_grpc_call, link);
			if (call->deadline <= now_ms)
				expire(call);
		}
		c->next_deadline = MF_GRPC_NEVER;
		MF_LIST_EACH(at, &c->calls)
		{
			uint64_t d = MF_LIST_ITEM(at, struct mf_grpc_call, link)->deadline;
			c->next_deadline = d < c->next_deadline ? d : c->next_deadline;
		}
	}
	if (c->drain == MF_GRPC_ANNOUNCED && now_ms >= c->drain_ms) {
		c->drain = MF_GRPC_DRAINING;
		mf_h2_drain_close(c->h2);
	}
	enum mf_status s = keepalive(c, err);
	c->busy--;
	return s;
}

uint64_t
mf_grpc_next_timeout(const struct mf_grpc_conn *c)
{
	if (mf_h2_fate(c->h2) != MF_OK)
		return MF_GRPC_NEVER;
	uint64_t at = c->next_deadline;
	if (c->drain == MF_GRPC_ANNOUNCED && c->drain_ms < at)
		at = c->drain_ms;
	if (c->keepalive_ms != 0) {
		uint64_t k = c->ping_ms != MF_GRPC_NEVER ? c->ping_ms + c->keepalive_timeout_ms
							 : c->last_recv_ms + c->keepalive_ms;
		at = k < at ? k : at;
	}
	return at;
}

void
mf_grpc_challenge(struct mf_grpc_conn *c, const uint8_t nonce[8], void (*answered)(void *user))
{
	memcpy(c->challenge, nonce, sizeof(c->challenge));
	c->answered = answered;
	mf_h2_ping_with(c->h2, nonce);
}

void
mf_grpc_drain(struct mf_grpc_conn *c)
{
	if (c->drain != MF_GRPC_LIVE || mf_h2_fate(c->h2) != MF_OK)
		return;
	if (c->srv == NULL) {
		c->drain = MF_GRPC_DRAINING;
		mf_h2_drain_close(c->h2);
		return;
	}
	c->drain = MF_GRPC_ANNOUNCED;
	c->drain_ms = mf_grpc_now(c) + DRAIN_MS;
	mf_h2_drain_announce(c->h2);
	mf_h2_ping(c->h2);
}

void
mf_grpc_abort(struct mf_grpc_conn *c, uint32_t h2_code)
{
	mf_h2_terminate(c->h2, h2_code);
}

void *
mf_grpc_conn_user(const struct mf_grpc_conn *c)
{
	return c->user;
}

struct mf_grpc_conn_stats
mf_grpc_conn_stats(const struct mf_grpc_conn *c)
{
	return (struct mf_grpc_conn_stats) {
		.calls = c->n_calls,
		.open = c->n_open,
		.last_call_ms = c->last_call_ms,
		.last_recv_ms = c->last_recv_ms,
		.draining = c->drain != MF_GRPC_LIVE || mf_h2_peer_draining(c->h2),
	};
}
