/* A client made of raw frames against a gRPC server in memory: for what no honest client sends. */
#ifndef TEST_H2_RAW_H
#define TEST_H2_RAW_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "base/limits.h"
#include "h2_frames.h"
#include "rpc/grpc.h"
#include "rpc/grpc_health.h"
#include "workload.pb-c.h"

#define STREAMS 2048

/* What the server said on one stream. */
struct heard {
	int http, grpc; /* -1: nothing yet */
	int heads, rst; /* rst: -1 or the code */
	size_t data;
	bool ended, accept_encoding;
};

struct raw {
	struct mf_grpc_health *health;
	const struct mf_grpc_service *services[2];
	struct mf_grpc_service service;
	struct mf_grpc_server srv;
	struct mf_grpc_counters count;
	struct mf_grpc_conn *s;
	struct mf_buf to;   /* frames being written */
	struct mf_buf from; /* bytes of the server, not taken apart yet */
	nghttp2_hd_inflater *hpack;
	struct heard *on;
	int goaway; /* -1, or the code */
	uint64_t now;
	enum mf_status last;
	int cancelled, messages;
	struct mf_grpc_call *held;
};

static inline void
raw_empty(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct raw *r = mf_grpc_call_ctx(c);
	MF_UNUSED(msg);
	r->messages++;
	mf_grpc_finish(c, MF_GRPC_OK, NULL);
}

static inline void
raw_open(struct mf_grpc_call *c)
{
	struct raw *r = mf_grpc_call_ctx(c);
	r->held = c;
}

static inline void
raw_count(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct raw *r = mf_grpc_call_ctx(c);
	MF_UNUSED(msg);
	r->messages++;
}

static inline void
raw_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	struct raw *r = mf_grpc_call_ctx(c);
	MF_UNUSED(why);
	r->held = NULL;
	r->cancelled++;
}

static const struct mf_grpc_server_ops raw_empty_ops = { .on_message = raw_empty };
static const struct mf_grpc_server_ops raw_bidi_ops = {
	.on_open = raw_open, .on_message = raw_count, .on_cancel = raw_cancel
};
static const struct mf_grpc_method raw_methods[] = {
	{ "/t/Empty", &x509_svidrequest__descriptor, &jwtsvid__descriptor, MF_GRPC_UNARY, &raw_empty_ops, 0 },
	{ "/t/Bidi", &jwtsvidrequest__descriptor, &jwtsvid__descriptor, MF_GRPC_BIDI, &raw_bidi_ops, 0 },
};

static inline void
frame(struct raw *r, unsigned type, unsigned flags, uint32_t id, struct mf_slice payload)
{
	h2_frame(&r->to, type, flags, id, payload);
}

/* Fields given as name, value, ..., NULL; a name twice is sent twice. */
static inline void
head_v(struct raw *r, uint32_t id, unsigned flags, va_list ap)
{
	struct mf_buf b;
	mf_buf_init(&b, 1u << 20);
	for (const char *name; (name = va_arg(ap, const char *)) != NULL;)
		h2_field(&b, name, va_arg(ap, const char *));
	assert_true(b.n < 16384);
	frame(r, HEADERS, flags | END_HEADERS, id, mf_buf_slice(&b));
	mf_buf_fini(&b);
}

static inline void
head(struct raw *r, uint32_t id, unsigned flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	head_v(r, id, flags, ap);
	va_end(ap);
}
#define PSEUDO(path) ":method", "POST", ":scheme", "http", ":path", path
#define GRPC "te", "trailers", "content-type", "application/grpc"
#define ASK(path) PSEUDO(path), ":authority", "localhost", GRPC

static inline void
raw_take_head(struct raw *r, uint32_t id, struct mf_slice block, bool end)
{
	struct heard *h = &r->on[id];
	h->heads++;
	h->ended |= end;
	while (true) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(r->hpack, &nv, &flags, block.p, block.n, 1);
		assert_true(n >= 0);
		block = mf_slice_sub(block, (size_t)n, block.n);
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
			struct mf_slice name = mf_slice(nv.name, nv.namelen);
			int v = nv.valuelen > 0 && nv.valuelen < 4 ? atoi((const char *)nv.value) : 0;
			if (mf_slice_eq_str(name, ":status"))
				h->http = v;
			else if (mf_slice_eq_str(name, "grpc-status"))
				h->grpc = v;
			else if (mf_slice_eq_str(name, "grpc-accept-encoding"))
				h->accept_encoding =
				    mf_slice_eq_str(mf_slice(nv.value, nv.valuelen), "identity");
		}
		if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0)
			break;
	}
	assert_int_equal(nghttp2_hd_inflate_end_headers(r->hpack), 0);
}

/* Take the server's output apart, and acknowledge nothing by itself. */
static inline void
raw_listen(struct raw *r)
{
	struct mf_err err = { 0 };
	for (size_t before = SIZE_MAX; before != r->from.n;) {
		before = r->from.n;
		assert_int_equal(mf_grpc_pull(r->s, &r->from, r->from.n + 65536, &err), MF_OK);
	}
	size_t at = 0;
	while (r->from.n - at >= 9) {
		const uint8_t *p = r->from.p + at;
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
		if (r->from.n - at < 9 + n)
			break;
		uint32_t id = (uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8];
		struct mf_slice body = mf_slice(p + 9, n);
		assert_true(id < STREAMS);
		if (p[3] == HEADERS)
			raw_take_head(r, id, body, (p[4] & END_STREAM) != 0);
		else if (p[3] == DATA) {
			r->on[id].data += n;
			r->on[id].ended |= (p[4] & END_STREAM) != 0;
		} else if (p[3] == RST_STREAM)
			r->on[id].rst = p[12];
		else if (p[3] == GOAWAY)
			r->goaway = p[16];
		at += 9 + n;
	}
	mf_buf_consume(&r->from, at);
}

/* Send what was written and hear the answer. */
static inline void
say(struct raw *r)
{
	struct mf_err err = { 0 };
	r->last = mf_grpc_recv(r->s, mf_buf_slice(&r->to), r->now, &err);
	mf_buf_reset(&r->to);
	raw_listen(r);
}

static inline void
raw_init(struct raw *r, bool any_authority)
{
	struct mf_err err = { 0 };
	*r = (struct raw) { .goaway = -1, .now = 1000 };
	assert_int_equal(mf_grpc_health_new(&r->health, &err), MF_OK);
	assert_int_equal(mf_grpc_health_set(r->health, "", MF_GRPC_HEALTH_SERVING, &err), MF_OK);
	r->service = (struct mf_grpc_service) { raw_methods, MF_COUNT(raw_methods), r };
	r->services[0] = mf_grpc_health_service(r->health);
	r->services[1] = &r->service;
	r->srv = (struct mf_grpc_server) { .services = r->services,
		.n_services = 2,
		.any_authority = any_authority,
		.counters = &r->count };
	mf_buf_init(&r->to, 8u << 20);
	mf_buf_init(&r->from, 8u << 20);
	assert_int_equal(nghttp2_hd_inflate_new(&r->hpack), 0);
	r->on = calloc(STREAMS, sizeof(*r->on));
	assert_non_null(r->on);
	for (int i = 0; i < STREAMS; i++)
		r->on[i] = (struct heard) { .http = -1, .grpc = -1, .rst = -1 };
}

/* ${settings}: the payload of the client's first SETTINGS. ${ack}: and it has taken in the server's. */
static inline void
raw_greet(struct raw *r, struct mf_slice settings, bool ack)
{
	struct mf_err err = { 0 };
	assert_int_equal(mf_grpc_conn_new_server(&r->srv, NULL, r, r->now, &r->s, &err), MF_OK);
	assert_false(mf_grpc_wants_write(r->s)); /* silent until the preface */
	mf_buf_put_str(&r->to, H2_PREFACE);
	frame(r, SETTINGS, 0, 0, settings);
	say(r);
	assert_int_equal(r->last, MF_OK);
	if (!ack)
		return;
	frame(r, SETTINGS, 1, 0, mf_slice(NULL, 0));
	say(r);
}

static inline void
raw_start(struct raw *r, bool any_authority)
{
	raw_init(r, any_authority);
	raw_greet(r, mf_slice(NULL, 0), true);
}

static inline void
raw_fini(struct raw *r)
{
	mf_grpc_conn_free(r->s);
	mf_grpc_health_free(r->health);
	nghttp2_hd_inflate_del(r->hpack);
	mf_buf_fini(&r->to);
	mf_buf_fini(&r->from);
	free(r->on);
	assert_int_equal(r->count.open, 0);
}
#define NOTHING mf_slice(NULL, 0)
#endif
