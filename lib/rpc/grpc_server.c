/* The server's half of gRPC: which method, is it admitted, how it ends. */
#include "base/limits.h"
#include "rpc/grpc_internal.h"

static void
fields_status(struct mf_grpc_head *h, enum mf_grpc_code code, const char *text)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_GRPC_TEXT_MAX * 3 + 16);
	mf_buf_putf(&b, "%d", (int)code);
	mf_grpc_head_put(h, "grpc-status", mf_buf_slice(&b));
	if (text == NULL || text[0] == '\0')
		return;
	mf_buf_reset(&b);
	mf_grpc_text_put(&b, text);
	if (b.failed == MF_OK)
		mf_grpc_head_put(h, "grpc-message", mf_buf_slice(&b));
}

/* The last head: trailers after messages, or the only head (Trailers-Only) with END_STREAM. */
static void
send_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text, const struct mf_grpc_meta *meta,
    size_t n)
{
	struct mf_grpc_head h = { 0 };
	struct mf_h2_field fields[MF_GRPC_HEAD_FIELDS];
	mf_h2_head_init(&h.list, MF_LIM_H2_HEADER_LIST);
	if (!c->head_sent) {
		mf_grpc_head_put(&h, ":status", MF_SLICE_LIT("200"));
		mf_grpc_head_put(&h, "content-type", MF_SLICE_LIT("application/grpc"));
	}
	fields_status(&h, code, text);
	mf_grpc_head_meta(&h, meta, n);
	enum mf_status s = MF_E_TOOBIG;
	if (mf_grpc_head_fields(&h, fields))
		s = c->head_sent ? mf_h2_trailers(c->stream, fields, h.list.n, NULL)
				 : mf_h2_respond(c->stream, fields, h.list.n, true, NULL);
	if (s != MF_OK)
		mf_h2_reset(c->stream, MF_H2_INTERNAL_ERROR);
	mf_h2_head_fini(&h.list);
}

void
mf_grpc_finish_with(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text,
    const struct mf_grpc_meta *meta, size_t n)
{
	if (!c->open)
		return;
	mf_grpc_call_over(c, code);
	send_status(c, code, text, meta, n);
}

void
mf_grpc_finish(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	mf_grpc_finish_with(c, code, text, NULL, 0);
}

void
mf_grpc_reply(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct mf_err err = { 0 };
	enum mf_status s = mf_grpc_send(c, msg, &err);
	if (s == MF_OK)
		mf_grpc_finish(c, MF_GRPC_OK, NULL);
	else
		mf_grpc_fail(c, s, &err);
}

void
mf_grpc_fail(struct mf_grpc_call *c, enum mf_status s, const struct mf_err *err)
{
	mf_grpc_finish(c, mf_grpc_code_of(s), err == NULL ? NULL : err->msg);
}

void
mf_grpc_server_refuse(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	if (!c->open)
		return;
	mf_grpc_call_over(c, code);
	send_status(c, code, text, NULL, 0);
	if (c->method->ops->on_cancel != NULL)
		c->method->ops->on_cancel(c, code);
}

void
mf_grpc_server_closed(struct mf_grpc_call *c, uint32_t h2_code)
{
	enum mf_grpc_code why = c->conn->closing ? MF_GRPC_UNAVAILABLE : mf_grpc_code_of_h2(h2_code);
	mf_grpc_call_over(c, why);
	if (c->method->ops->on_cancel != NULL)
		c->method->ops->on_cancel(c, why);
}

/* --- a new call --- */

/* "application/grpc", "+proto", and parameters after ';'. */
static bool
content_type_ok(const struct mf_h2_stream *s)
{
	const struct mf_slice base = MF_SLICE_LIT("application/grpc"), proto = MF_SLICE_LIT("+proto");
	struct mf_slice v;
	if (mf_h2_head_get(s, "content-type", &v) != 1 || !mf_slice_starts(v, base))
		return false;
	v = mf_slice_sub(v, base.n, v.n);
	if (mf_slice_starts(v, proto))
		v = mf_slice_sub(v, proto.n, v.n);
	return v.n == 0 || v.p[0] == ';';
}

static void
http_error(struct mf_h2_stream *s, const char *status)
{
	const struct mf_h2_field head[] = {
		{ MF_SLICE_LIT(":status"), mf_slice_str(status) },
		{ MF_SLICE_LIT("allow"), MF_SLICE_LIT("POST") },
		{ MF_SLICE_LIT("accept"), MF_SLICE_LIT("application/grpc") },
	};
	if (mf_h2_respond(s, head, MF_COUNT(head), true, NULL) != MF_OK)
		mf_h2_reset(s, MF_H2_INTERNAL_ERROR);
}

static void
find_method(struct mf_grpc_call *c)
{
	const struct mf_grpc_server *srv = c->conn->srv;
	struct mf_slice path;
	if (mf_h2_head_get(c->stream, ":path", &path) != 1)
		return;
	for (size_t i = 0; i < srv->n_services; i++) {
		const struct mf_grpc_service *sv = srv->services[i];
		for (size_t k = 0; k < sv->n_methods; k++) {
			if (!mf_slice_eq_str(path, sv->methods[k].path))
				continue;
			c->method = &sv->methods[k];
			c->ctx = sv->ctx;
			return;
		}
	}
}

/* Everything that can be said no to before the body. MF_GRPC_OK: go on. */
static enum mf_grpc_code
judge(struct mf_grpc_call *c, struct mf_err *why)
{
	struct mf_slice v;
	uint64_t ms = 0;
	size_t n = mf_h2_head_get(c->stream, "grpc-timeout", &v);
	if (n > 1 || (n == 1 && !mf_grpc_timeout_get(v, &ms))) {
		(void)MF_FAIL(why, MF_E_INVALID, "malformed grpc-timeout");
		return MF_GRPC_INTERNAL;
	}
	if (n == 1)
		mf_grpc_set_deadline(c, mf_grpc_now(c->conn) + ms);
	if (mf_h2_head_too_big(c->stream)) {
		(void)MF_FAIL(why, MF_E_TOOBIG, "more than %u bytes of metadata", MF_LIM_H2_HEADER_LIST);
		return MF_GRPC_RESOURCE_EXHAUSTED;
	}
	const struct mf_grpc_server *srv = c->conn->srv;
	if (srv->admit != NULL) {
		enum mf_grpc_code code = srv->admit(srv->ctx, c, why);
		if (code != MF_GRPC_OK)
			return code;
	}
	if (c->method == NULL) {
		(void)MF_FAIL(why, MF_E_UNSUPPORTED, "unknown method");
		return MF_GRPC_UNIMPLEMENTED;
	}
	if (n == 1 && ms == 0) {
		(void)MF_FAIL(why, MF_E_DEADLINE, "deadline exceeded");
		return MF_GRPC_DEADLINE_EXCEEDED;
	}
	return MF_GRPC_OK;
}

static bool
encoding_ok(const struct mf_grpc_call *c)
{
	struct mf_slice v;
	size_t n = mf_h2_head_get(c->stream, "grpc-encoding", &v);
	return n == 0 || (n == 1 && mf_slice_eq_str(v, "identity"));
}

void
mf_grpc_server_head(struct mf_grpc_conn *conn, struct mf_h2_stream *s, bool end)
{
	static const struct mf_grpc_meta accept[] = { { "grpc-accept-encoding",
	    { (const uint8_t *)"identity", 8 } } };
	struct mf_slice method;
	struct mf_err why = { 0 };
	MF_UNUSED(end);
	if (mf_h2_head_get(s, ":method", &method) != 1 || !mf_slice_eq_str(method, "POST")) {
		http_error(s, "405");
		return;
	}
	if (!content_type_ok(s)) {
		http_error(s, "415");
		return;
	}
	struct mf_grpc_call *c = mf_grpc_call_new(conn);
	if (c == NULL) {
		mf_h2_reset(s, MF_H2_REFUSED_STREAM);
		return;
	}
	c->stream = s;
	mf_h2_set_user(s, c);
	find_method(c);
	enum mf_grpc_code code = judge(c, &why);
	if (code != MF_GRPC_OK || !encoding_ok(c)) {
		bool encoding = code == MF_GRPC_OK;
		code = encoding ? MF_GRPC_UNIMPLEMENTED : code;
		mf_grpc_call_over(c, code);
		send_status(c, code, encoding ? "unknown grpc-encoding" : why.msg, accept, encoding ? 1 : 0);
		return;
	}
	if (c->method->max_message != 0)
		c->in.body.max = c->method->max_message;
	c->open = true;
	conn->n_open++;
	conn->counters->open++;
	if (c->method->ops->on_open != NULL)
		c->method->ops->on_open(c);
}

static void
give(struct mf_grpc_call *c, ProtobufCMessage *msg)
{
	if (c->method->ops->on_message != NULL)
		c->method->ops->on_message(c, msg);
	mf_pb_free(msg);
}

void
mf_grpc_server_message(struct mf_grpc_call *c, ProtobufCMessage *msg)
{
	if ((c->method->flags & MF_GRPC_CLIENT_STREAM) != 0)
		give(c, msg);
	else
		c->single = msg; /* the half-close shows that it is the only one */
}

void
mf_grpc_server_end(struct mf_grpc_call *c)
{
	if ((c->method->flags & MF_GRPC_CLIENT_STREAM) != 0) {
		if (c->method->ops->on_half_close != NULL)
			c->method->ops->on_half_close(c);
		return;
	}
	ProtobufCMessage *msg = MF_TAKE(c->single);
	/* A head with END_STREAM: where the type has no fields, nothing is an empty message. */
	if (msg == NULL && c->method->request->n_fields == 0 &&
	    mf_pb_unpack(c->method->request, mf_slice(NULL, 0), &msg, NULL) != MF_OK)
		msg = NULL;
	if (msg == NULL)
		mf_grpc_server_refuse(c, MF_GRPC_INTERNAL, "the request has no message");
	else
		give(c, msg);
}
