/* A gRPC call: what handlers of both roles ask and send. */
#include "base/limits.h"
#include "base/text.h"
#include "rpc/grpc_internal.h"

struct mf_grpc_conn *
mf_grpc_call_conn(const struct mf_grpc_call *c)
{
	return c->conn;
}

void *
mf_grpc_call_peer(const struct mf_grpc_call *c)
{
	return c->conn->user;
}

void *
mf_grpc_call_ctx(const struct mf_grpc_call *c)
{
	return c->ctx;
}

void *
mf_grpc_call_user(const struct mf_grpc_call *c)
{
	return c->user;
}

void
mf_grpc_call_set_user(struct mf_grpc_call *c, void *user)
{
	c->user = user;
}

const struct mf_grpc_method *
mf_grpc_call_method(const struct mf_grpc_call *c)
{
	return c->method;
}

struct mf_slice
mf_grpc_call_path(const struct mf_grpc_call *c)
{
	struct mf_slice path = mf_slice(NULL, 0);
	if (c->conn->srv == NULL)
		return mf_slice_str(c->method->path);
	(void)mf_h2_head_get(c->stream, ":path", &path);
	return path;
}

uint64_t
mf_grpc_call_deadline(const struct mf_grpc_call *c)
{
	return c->deadline;
}

size_t
mf_grpc_metadata(const struct mf_grpc_call *c, const char *name, struct mf_slice *ret_v)
{
	return mf_h2_head_get(c->stream, name, ret_v);
}

size_t
mf_grpc_call_queued(const struct mf_grpc_call *c)
{
	return mf_h2_stream_queued(c->stream);
}

void
mf_grpc_head_put(struct mf_grpc_head *h, const char *name, struct mf_slice value)
{
	if (mf_h2_head_add(&h->list, MF_H2_UNCHECKED, mf_slice_str(name), value) != MF_OK)
		h->failed = true;
}

void
mf_grpc_head_meta(struct mf_grpc_head *h, const struct mf_grpc_meta *meta, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(meta[i].name);
		if (len < 4 || strcmp(meta[i].name + len - 4, "-bin") != 0) {
			mf_grpc_head_put(h, meta[i].name, meta[i].value);
			continue;
		}
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, MF_LIM_H2_HEADER_LIST);
		mf_base64_put(&b, meta[i].value);
		if (b.failed != MF_OK)
			h->failed = true;
		else
			mf_grpc_head_put(h, meta[i].name, mf_buf_slice(&b));
	}
}

bool
mf_grpc_head_fields(const struct mf_grpc_head *h, struct mf_h2_field to[MF_GRPC_HEAD_FIELDS])
{
	if (h->failed || mf_h2_head_over(&h->list) || h->list.n > MF_GRPC_HEAD_FIELDS)
		return false;
	for (size_t i = 0; i < h->list.n; i++)
		to[i] = mf_h2_head_field(&h->list, i);
	return true;
}

static enum mf_status
send_head(struct mf_grpc_call *c, struct mf_err *err)
{
	static const struct mf_h2_field head[] = {
		{ { (const uint8_t *)":status", 7 }, { (const uint8_t *)"200", 3 } },
		{ { (const uint8_t *)"content-type", 12 }, { (const uint8_t *)"application/grpc", 16 } },
	};
	if (c->head_sent)
		return MF_OK;
	MF_TRY(mf_h2_respond(c->stream, head, MF_COUNT(head), false, err));
	c->head_sent = true;
	return MF_OK;
}

enum mf_status
mf_grpc_send(struct mf_grpc_call *c, const ProtobufCMessage *msg, struct mf_err *err)
{
	if (!c->open || c->half_closed)
		return MF_FAIL(err, MF_E_CLOSED, "gRPC: the call takes no more messages");
	struct mf_buf *b = &c->conn->scratch;
	mf_buf_reset(b);
	mf_buf_put_u8(b, 0);
	mf_buf_put_u32be(b, 0);
	enum mf_status s = mf_pb_pack(msg, b, err);
	if (s == MF_OK) {
		size_t n = b->n - 5;
		for (size_t i = 0; i < 4; i++)
			b->p[1 + i] = (uint8_t)(n >> (24 - 8 * i));
		s = send_head(c, err);
	}
	if (s == MF_OK)
		s = mf_h2_write(c->stream, mf_buf_slice(b), err);
	mf_buf_fini(b); /* wiped: it may have carried a key */
	if (s == MF_OK)
		c->conn->counters->messages_out++;
	return s;
}
