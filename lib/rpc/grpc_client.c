/* The client's half of gRPC: opening calls, and finding out how they ended. */
#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"
#include "rpc/grpc_internal.h"

static void
request_head(struct mf_grpc_head *h, const struct mf_grpc_client *cl, const struct mf_grpc_method *m,
    uint64_t timeout_ms, const struct mf_grpc_meta *meta, size_t n)
{
	mf_grpc_head_put(h, ":method", MF_SLICE_LIT("POST"));
	mf_grpc_head_put(h, ":scheme", mf_slice_str(cl->tls ? "https" : "http"));
	mf_grpc_head_put(h, ":path", mf_slice_str(m->path));
	mf_grpc_head_put(h, ":authority", mf_slice_str(cl->authority == NULL ? "localhost" : cl->authority));
	mf_grpc_head_put(h, "te", MF_SLICE_LIT("trailers"));
	mf_grpc_head_put(h, "content-type", MF_SLICE_LIT("application/grpc"));
	mf_grpc_head_put(h, "user-agent", MF_SLICE_LIT("grpc-c-mayfly"));
	if (timeout_ms != 0) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, 32);
		mf_grpc_timeout_put(&b, timeout_ms);
		mf_grpc_head_put(h, "grpc-timeout", mf_buf_slice(&b));
	}
	mf_grpc_head_meta(h, meta, n);
}

enum mf_status
mf_grpc_open(struct mf_grpc_conn *conn, const struct mf_grpc_method *m, const struct mf_grpc_client_ops *ops,
    void *user, const struct mf_grpc_meta *meta, size_t n_meta, uint64_t timeout_ms,
    struct mf_grpc_call **ret_call, struct mf_err *err)
{
	struct mf_grpc_head h = { 0 };
	struct mf_h2_field fields[MF_GRPC_HEAD_FIELDS];
	if (conn->drain != MF_GRPC_LIVE || conn->closing)
		return MF_FAIL(err, MF_E_CLOSED, "gRPC: the connection is closing: connect again");
	struct mf_grpc_call *c = mf_grpc_call_new(conn);
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "gRPC call: out of memory");
	c->method = m;
	c->ops = ops;
	c->user = user;
	c->head_sent = true;
	if (m->max_message != 0)
		c->in.body.max = m->max_message;
	mf_h2_head_init(&h.list, MF_LIM_H2_HEADER_LIST);
	request_head(&h, conn->cl, m, timeout_ms, meta, n_meta);
	enum mf_status s = mf_grpc_head_fields(&h, fields)
			       ? mf_h2_request(conn->h2, fields, h.list.n, false, c, &c->stream, err)
			       : MF_FAIL(err, MF_E_TOOBIG, "gRPC: too much metadata");
	mf_h2_head_fini(&h.list);
	if (s != MF_OK) {
		mf_grpc_call_free(c);
		return s;
	}
	c->open = true;
	conn->n_open++;
	conn->counters->open++;
	if (timeout_ms != 0)
		mf_grpc_set_deadline(c, mf_grpc_now(conn) + timeout_ms);
	*ret_call = c;
	return MF_OK;
}

void
mf_grpc_half_close(struct mf_grpc_call *c)
{
	if (!c->open || c->half_closed)
		return;
	c->half_closed = true;
	if (mf_h2_end(c->stream, NULL) != MF_OK)
		mf_h2_reset(c->stream, MF_H2_CANCEL); /* on_status follows from its close */
}

void
mf_grpc_cancel(struct mf_grpc_call *c)
{
	if (!c->open)
		return;
	mf_grpc_call_over(c, MF_GRPC_CANCELLED);
	mf_h2_reset(c->stream, MF_H2_CANCEL);
}

/* The end, once, for the owner. */
static void
tell(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	mf_grpc_call_over(c, code);
	c->ops->on_status(c, code, text == NULL ? "" : text);
}

void
mf_grpc_client_fail(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	if (!c->open)
		return;
	mf_h2_reset(c->stream, MF_H2_CANCEL);
	tell(c, code, text);
}

void
mf_grpc_client_closed(struct mf_grpc_call *c, uint32_t h2_code)
{
	if (c->has_status) {
		tell(c, c->status, c->text); /* it was paused: what it did not read is lost */
		return;
	}
	if (c->conn->closing || mf_h2_fate(c->conn->h2) != MF_OK) {
		tell(c, MF_GRPC_UNAVAILABLE, "the connection was lost");
		return;
	}
	tell(c, mf_grpc_code_of_h2(h2_code),
	    h2_code == MF_H2_REFUSED_STREAM ? "the server refused the stream"
					    : "the server reset the stream");
}

static void
keep_status(struct mf_grpc_call *c, enum mf_grpc_code code, struct mf_slice encoded)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_H2_HEADER_LIST);
	mf_grpc_text_get(encoded, &b);
	c->has_status = true;
	c->status = code;
	free(c->text);
	c->text = mf_slice_dup_str(mf_buf_slice(&b)); /* without memory there is no text: tell copes */
}

/* grpc-status and grpc-message of a last head. */
static void
read_status(struct mf_grpc_call *c)
{
	struct mf_slice v, text = mf_slice(NULL, 0);
	uint64_t code;
	(void)mf_grpc_metadata(c, "grpc-message", &text);
	if (mf_grpc_metadata(c, "grpc-status", &v) != 1)
		keep_status(c, MF_GRPC_UNKNOWN, MF_SLICE_LIT("the server sent no grpc-status"));
	else if (!mf_parse_u64(v, &code))
		keep_status(c, MF_GRPC_UNKNOWN, MF_SLICE_LIT("the server sent a malformed grpc-status"));
	else
		keep_status(c, code < MF_GRPC_CODE_COUNT ? (enum mf_grpc_code)code : MF_GRPC_UNKNOWN, text);
}

static unsigned
http_status(const struct mf_grpc_call *c)
{
	struct mf_slice v;
	uint64_t n;
	if (mf_grpc_metadata(c, ":status", &v) != 1 || !mf_parse_u64(v, &n) || n > 999)
		return 0;
	return (unsigned)n;
}

void
mf_grpc_client_head(struct mf_grpc_call *c, bool trailers, bool end)
{
	struct mf_slice v;
	if (!trailers) {
		unsigned http = http_status(c);
		if (http != 200) {
			char text[64] = "the server answered HTTP ";
			MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
			mf_buf_init(&b, sizeof(text));
			mf_buf_putf(&b, "%s%u", text, http);
			const char *s = mf_buf_cstr(&b);
			mf_grpc_client_fail(c, mf_grpc_code_of_http(http), s == NULL ? text : s);
			return;
		}
		if (mf_grpc_metadata(c, "content-type", &v) != 1 ||
		    !mf_slice_starts(v, MF_SLICE_LIT("application/grpc"))) {
			mf_grpc_client_fail(c, MF_GRPC_UNKNOWN, "the server's answer is not gRPC");
			return;
		}
	}
	if (trailers || end)
		read_status(c);
}

void
mf_grpc_client_message(struct mf_grpc_call *c, ProtobufCMessage *msg)
{
	if (c->ops->take_message != NULL) {
		c->ops->take_message(c, msg);
		return;
	}
	if (c->ops->on_message != NULL)
		c->ops->on_message(c, msg);
	mf_pb_free(msg);
}

/* The server has ended the stream and every message was delivered. */
void
mf_grpc_client_end(struct mf_grpc_call *c)
{
	if (!c->has_status && !c->peer_ended)
		return;
	if (!c->has_status)
		keep_status(
		    c, MF_GRPC_INTERNAL, MF_SLICE_LIT("the server ended the stream without a status"));
	if (c->status == MF_GRPC_OK && !mf_grpc_frames_clean(&c->in))
		keep_status(c, MF_GRPC_INTERNAL, MF_SLICE_LIT("the response ended inside a message"));
	if (c->status == MF_GRPC_OK && c->messages == 0 && (c->method->flags & MF_GRPC_SERVER_STREAM) == 0)
		keep_status(c, MF_GRPC_INTERNAL, MF_SLICE_LIT("the response has no message"));
	if (!c->half_closed)
		mf_h2_reset(c->stream, MF_H2_NO_ERROR);
	tell(c, c->status, c->text);
}
