/* Much data over real sockets: partial writes, full buffers, backpressure both ways; and connections on hold. */
#include "unit/net_world.h"

#include "workload.pb-c.h"

#define MESSAGES 2000
#define SIZE 4096

struct bulk {
	int to_send, received;
	size_t bytes;
	bool half_closed;
};

static void
send_more(struct mf_grpc_call *c, struct bulk *b)
{
	static char text[SIZE];
	JWTSVID m;
	memset(text, 'b', sizeof(text) - 1);
	jwtsvid__init(&m);
	m.svid = text;
	while (b->to_send > 0) {
		enum mf_status s = mf_grpc_send(c, &m.base, NULL);
		if (s == MF_E_AGAIN)
			return;
		assert_int_equal(s, MF_OK);
		b->to_send--;
	}
}

static void
count(struct bulk *b, const ProtobufCMessage *msg)
{
	b->received++;
	b->bytes += strlen(((const JWTSVID *)msg)->svid);
}

static void
s_open(struct mf_grpc_call *c)
{
	send_more(c, mf_grpc_call_ctx(c));
}

static void
s_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	count(mf_grpc_call_ctx(c), msg);
}

static void
s_done(struct mf_grpc_call *c, struct bulk *b)
{
	if (b->half_closed && b->to_send == 0)
		mf_grpc_finish(c, MF_GRPC_OK, NULL);
}

static void
s_half_close(struct mf_grpc_call *c)
{
	struct bulk *b = mf_grpc_call_ctx(c);
	b->half_closed = true;
	s_done(c, b);
}

static void
s_writable(struct mf_grpc_call *c)
{
	send_more(c, mf_grpc_call_ctx(c));
	s_done(c, mf_grpc_call_ctx(c));
}

static const struct mf_grpc_server_ops bulk_ops = { s_open, s_message, s_half_close, s_writable, NULL };
static const struct mf_grpc_method bulk_method = { "/t/Bulk", &jwtsvid__descriptor, &jwtsvid__descriptor,
	MF_GRPC_BIDI, &bulk_ops, 0 };

struct client {
	struct bulk b;
	bool over;
	enum mf_grpc_code code;
};

static void
bulk_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct client *k = mf_grpc_call_user(c);
	count(&k->b, msg);
}

static void
bulk_writable(struct mf_grpc_call *c)
{
	struct client *k = mf_grpc_call_user(c);
	send_more(c, &k->b);
	if (k->b.to_send == 0)
		mf_grpc_half_close(c);
}

static void
bulk_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	struct client *k = mf_grpc_call_user(c);
	MF_UNUSED(text);
	k->over = true;
	k->code = code;
}

static const struct mf_grpc_client_ops bulk_client_ops = {
	.on_message = bulk_message, .on_writable = bulk_writable, .on_status = bulk_status
};

static void
both_ways(bool tls)
{
	struct world w;
	struct bulk server = { .to_send = MESSAGES };
	struct client k = { .b.to_send = MESSAGES };
	struct mf_err err = { 0 };
	struct mf_grpc_call *c = NULL;
	const int small = 4096;
	const struct mf_grpc_service service = { &bulk_method, 1, &server };
	world_init(&w, tls);
	w.more = &service;
	world_listen(&w);
	dial(&w);
	assert_int_equal(setsockopt(mf_net_conn_fd(w.conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	assert_int_equal(
	    mf_grpc_open(mf_net_conn_grpc(w.conn), &bulk_method, &bulk_client_ops, &k, NULL, 0, 0, &c, &err),
	    MF_OK);
	bulk_writable(c);
	/* the others are not starved meanwhile */
	(void)call(&w, &mf_grpc_health_check);
	UNTIL(&w, w.statuses == 1);
	UNTIL(&w, k.over);
	assert_int_equal(k.code, MF_GRPC_OK);
	assert_int_equal(k.b.received, MESSAGES);
	assert_int_equal(server.received, MESSAGES);
	assert_int_equal(k.b.bytes, (size_t)MESSAGES * (SIZE - 1));
	assert_int_equal(server.bytes, (size_t)MESSAGES * (SIZE - 1));
	world_fini(&w);
}

static void
test_unix_both_ways(void **state)
{
	MF_UNUSED(state);
	both_ways(false);
}

static void
test_tls_both_ways(void **state)
{
	MF_UNUSED(state);
	both_ways(true);
}

static bool
hold_one(void *ctx, struct mf_net_conn *c)
{
	const bool *hold = ctx;
	mf_net_conn_hold(c, *hold);
	return true;
}

static void
test_hold(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct mf_loop_timer *t = NULL;
	struct mf_err err = { 0 };
	bool over = false, hold = true;
	world_init(&w, false);
	world_listen(&w);
	dial(&w);
	UNTIL(&w, w.opens == 1);
	mf_net_listener_each(w.ln, hold_one, &hold);
	int senders = w.senders;
	(void)call(&w, &mf_grpc_health_check);
	assert_int_equal(mf_loop_timer_new(w.l, hang, &over, &t, &err), MF_OK);
	mf_loop_timer_set(t, 100);
	UNTIL(&w, over);
	mf_loop_timer_free(t);
	assert_int_equal(w.senders, senders); /* not read, so not parsed */
	assert_int_equal(w.statuses, 0);
	hold = false;
	mf_net_listener_each(w.ln, hold_one, &hold);
	UNTIL(&w, w.statuses == 1);
	assert_int_equal(w.code, MF_GRPC_OK);
	world_fini(&w);
}

static char anonymous[] = "anonymous";

static enum mf_status
anyone(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	struct world *w = ctx;
	MF_UNUSED(chain);
	MF_UNUSED(err);
	mf_net_conn_set_user(conn, n == 0 ? anonymous : NULL);
	w->verified++;
	return MF_OK;
}

static bool
is_anonymous(void *ctx, struct mf_net_conn *c)
{
	bool *seen = ctx;
	*seen = mf_net_conn_user(c) == anonymous;
	return true;
}

static void
test_anonymous_client(void **state)
{
	MF_UNUSED(state);
	struct world w;
	bool seen = false;
	world_init(&w, true);
	mf_tls_ctx_free(w.stls);
	mf_tls_ctx_free(w.ctls);
	w.stls = kit_ctx(&w.sk, true, anyone, &w);
	w.ctls = kit_ctx(NULL, false, verify, &w);
	world_listen(&w);
	dial(&w);
	(void)call(&w, &mf_grpc_health_check);
	UNTIL(&w, w.statuses == 1);
	assert_int_equal(w.code, MF_GRPC_OK);
	mf_net_listener_each(w.ln, is_anonymous, &seen);
	assert_true(seen);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unix_both_ways),
		cmocka_unit_test(test_tls_both_ways),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_anonymous_client),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
