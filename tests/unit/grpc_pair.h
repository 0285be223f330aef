/* gRPC client against gRPC server, in memory, bytes handed over in arbitrary portions. For test_grpc*.c. */
#ifndef TEST_GRPC_PAIR_H
#define TEST_GRPC_PAIR_H
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "rpc/grpc.h"
#include "rpc/grpc_health.h"
#include "workload.pb-c.h"

/* --- the service: requests are JWTSVIDRequest, answers JWTSVID --- */

struct svc {
	int opened, messages, half_closed, cancelled;
	enum mf_grpc_code why;
	size_t bytes;
	struct mf_grpc_call *held; /* the open call of a handler that answers later */
	int to_stream;		   /* messages the Server method still owes */
	bool pause;
	size_t n_spiffe;
};

static inline void
send_text(struct mf_grpc_call *c, const char *text, enum mf_status want)
{
	JWTSVID m;
	char copy[64];
	assert_true(strlen(text) < sizeof(copy));
	memcpy(copy, text, strlen(text) + 1);
	jwtsvid__init(&m);
	m.svid = copy;
	struct mf_err err = { 0 };
	assert_int_equal(mf_grpc_send(c, &m.base, &err), want);
}

static inline void
s_open(struct mf_grpc_call *c)
{
	struct svc *v = mf_grpc_call_ctx(c);
	v->opened++;
	v->held = c;
	v->n_spiffe = mf_grpc_metadata(c, "workload.spiffe.io", NULL);
}

static inline void
s_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	struct svc *v = mf_grpc_call_ctx(c);
	v->cancelled++;
	v->why = why;
	v->held = NULL;
}

static inline void
s_unary(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct svc *v = mf_grpc_call_ctx(c);
	const JWTSVIDRequest *r = (const JWTSVIDRequest *)msg;
	v->messages++;
	v->held = NULL;
	if (strcmp(r->spiffe_id, "fail") == 0) {
		const struct mf_grpc_meta meta[] = { { "reason-bin", MF_SLICE_LIT("\0\xff") } };
		mf_grpc_finish_with(c, MF_GRPC_PERMISSION_DENIED, "no: 100% \xc3\xa4\n", meta, 1);
		return;
	}
	if (strcmp(r->spiffe_id, "hang") == 0) {
		v->held = c;
		return;
	}
	JWTSVID m;
	jwtsvid__init(&m);
	m.svid = r->spiffe_id;
	mf_grpc_reply(c, &m.base);
}

static inline void
s_more(struct mf_grpc_call *c)
{
	struct svc *v = mf_grpc_call_ctx(c);
	char big[4096];
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	while (v->to_stream > 0) {
		JWTSVID m;
		jwtsvid__init(&m);
		m.svid = big;
		enum mf_status s = mf_grpc_send(c, &m.base, NULL);
		if (s == MF_E_AGAIN)
			return;
		assert_int_equal(s, MF_OK);
		v->to_stream--;
	}
	mf_grpc_finish(c, MF_GRPC_OK, NULL);
	v->held = NULL;
}

static inline void
s_stream(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(msg);
	s_more(c);
}

static inline void
s_collect(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct svc *v = mf_grpc_call_ctx(c);
	const JWTSVIDRequest *r = (const JWTSVIDRequest *)msg;
	v->messages++;
	v->bytes += strlen(r->spiffe_id);
	if (v->pause)
		mf_grpc_pause(c);
	if ((mf_grpc_call_method(c)->flags & MF_GRPC_SERVER_STREAM) != 0)
		send_text(c, "echo", MF_OK);
}

static inline void
s_done(struct mf_grpc_call *c)
{
	struct svc *v = mf_grpc_call_ctx(c);
	v->half_closed++;
	v->held = NULL;
	JWTSVID m;
	jwtsvid__init(&m);
	if ((mf_grpc_call_method(c)->flags & MF_GRPC_SERVER_STREAM) != 0)
		mf_grpc_finish(c, MF_GRPC_OK, NULL);
	else
		mf_grpc_reply(c, &m.base);
}

static const struct mf_grpc_server_ops unary_ops = { s_open, s_unary, NULL, NULL, s_cancel };
static const struct mf_grpc_server_ops stream_ops = { s_open, s_stream, NULL, s_more, s_cancel };
static const struct mf_grpc_server_ops collect_ops = { s_open, s_collect, s_done, NULL, s_cancel };
#define METHOD(name, fl, o)                                                               \
	{                                                                                 \
		"/t.T/" name, &jwtsvidrequest__descriptor, &jwtsvid__descriptor, fl, o, 0 \
	}
static const struct mf_grpc_method methods[] = {
	METHOD("Unary", MF_GRPC_UNARY, &unary_ops),
	METHOD("Server", MF_GRPC_SERVER_STREAM, &stream_ops),
	METHOD("Client", MF_GRPC_CLIENT_STREAM, &collect_ops),
	METHOD("Bidi", MF_GRPC_BIDI, &collect_ops),
};
static const struct mf_grpc_method unknown = METHOD("Nothing", MF_GRPC_UNARY, NULL);
enum { UNARY, SERVER, CLIENT, BIDI };

/* --- the pair --- */

struct pair {
	struct svc svc;
	struct mf_grpc_service service;
	const struct mf_grpc_service *services[2];
	struct mf_grpc_server srv;
	struct mf_grpc_client cl;
	struct mf_grpc_counters sc, cc;
	struct mf_grpc_conn *s, *c;
	uint64_t now;
	size_t step; /* bytes handed over at once */
	struct mf_grpc_health *health;
	/* what the client saw */
	int messages, statuses;
	enum mf_grpc_code code;
	char text[256];
	bool admit_all;
};

static inline enum mf_grpc_code
admit(void *ctx, struct mf_grpc_call *c, struct mf_err *why)
{
	struct pair *p = ctx;
	struct mf_slice v;
	if (p->admit_all ||
	    (mf_grpc_metadata(c, "workload.spiffe.io", &v) == 1 && mf_slice_eq_str(v, "true")))
		return MF_GRPC_OK;
	(void)MF_FAIL(why, MF_E_INVALID, "security header missing from request");
	return MF_GRPC_INVALID_ARGUMENT;
}

static inline void
pair_init(struct pair *p)
{
	struct mf_err err = { 0 };
	*p = (struct pair) { .now = 1000, .step = 65536, .admit_all = true };
	p->service = (struct mf_grpc_service) { methods, MF_COUNT(methods), &p->svc };
	assert_int_equal(mf_grpc_health_new(&p->health, &err), MF_OK);
	p->services[0] = &p->service;
	p->services[1] = mf_grpc_health_service(p->health);
	p->srv = (struct mf_grpc_server) {
		.services = p->services, .n_services = 2, .admit = admit, .ctx = p, .counters = &p->sc
	};
	p->cl = (struct mf_grpc_client) { .counters = &p->cc };
}

static inline void
pair_connect(struct pair *p)
{
	struct mf_err err = { 0 };
	assert_int_equal(mf_grpc_conn_new_server(&p->srv, NULL, p, p->now, &p->s, &err), MF_OK);
	assert_int_equal(mf_grpc_conn_new_client(&p->cl, NULL, p, p->now, &p->c, &err), MF_OK);
}

static inline void
pair_fini(struct pair *p)
{
	mf_grpc_conn_free(MF_TAKE(p->c));
	mf_grpc_conn_free(MF_TAKE(p->s));
	mf_grpc_health_free(p->health);
	assert_int_equal(p->sc.open, 0);
	assert_int_equal(p->cc.open, 0);
}

static inline bool
carry(struct pair *p, struct mf_grpc_conn *from, struct mf_grpc_conn *to)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, 1u << 20);
	assert_int_equal(mf_grpc_pull(from, &b, 16384, &err), MF_OK);
	for (size_t at = 0; at < b.n; at += p->step)
		if (mf_grpc_recv(to, mf_slice_sub(mf_buf_slice(&b), at, p->step), p->now, &err) != MF_OK)
			break;
	return b.n > 0;
}

static inline void
pump(struct pair *p)
{
	for (int i = 0; i < 100000; i++) {
		bool a = carry(p, p->c, p->s), b = carry(p, p->s, p->c);
		if (!a && !b)
			return;
	}
	fail_msg("the two never fall silent");
}

static inline void
c_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct pair *p = mf_grpc_call_user(c);
	MF_UNUSED(msg);
	p->messages++;
}

static inline void
c_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	struct pair *p = mf_grpc_call_user(c);
	p->statuses++;
	p->code = code;
	assert_true(strlen(text) < sizeof(p->text));
	memcpy(p->text, text, strlen(text) + 1);
}

static const struct mf_grpc_client_ops cops = { .on_message = c_message, .on_status = c_status };

static inline struct mf_grpc_call *
open_call(struct pair *p, const struct mf_grpc_method *m, uint64_t timeout_ms)
{
	struct mf_grpc_call *c = NULL;
	struct mf_err err = { 0 };
	const struct mf_grpc_meta meta[] = { { "workload.spiffe.io", MF_SLICE_LIT("true") } };
	assert_int_equal(mf_grpc_open(p->c, m, &cops, p, meta, 1, timeout_ms, &c, &err), MF_OK);
	return c;
}

static inline enum mf_status
say(struct mf_grpc_call *c, size_t n, const char *text)
{
	JWTSVIDRequest r;
	jwtsvidrequest__init(&r);
	char *s = malloc(n + strlen(text) + 1);
	assert_non_null(s);
	memset(s, 'y', n);
	memcpy(s + n, text, strlen(text) + 1);
	r.spiffe_id = s;
	enum mf_status st = mf_grpc_send(c, &r.base, NULL);
	free(s);
	return st;
}
#endif
