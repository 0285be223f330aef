/* What concerns a whole gRPC connection: drain, keepalive, health, floods. */
#include "unit/grpc_pair.h"

static void
test_drain(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	struct mf_err err = { 0 };
	pair_init(&p);
	pair_connect(&p);
	struct mf_grpc_call *c = open_call(&p, &methods[BIDI], 0), *none = NULL;
	assert_int_equal(say(c, 10, ""), MF_OK);
	pump(&p);
	mf_grpc_drain(p.s);
	/* on its way while the first GOAWAY was: still served */
	struct mf_grpc_call *late = open_call(&p, &methods[UNARY], 0);
	assert_int_equal(say(late, 0, "late"), MF_OK);
	mf_grpc_half_close(late);
	pump(&p);
	assert_int_equal(p.statuses, 1);
	assert_int_equal(p.code, MF_GRPC_OK);
	assert_true(mf_grpc_conn_stats(p.c).draining);
	assert_int_equal(mf_grpc_open(p.c, &methods[UNARY], &cops, &p, NULL, 0, 0, &none, &err), MF_E_CLOSED);
	assert_false(mf_grpc_done(p.s));
	assert_int_equal(say(c, 10, ""), MF_OK); /* the open call goes on */
	pump(&p);
	assert_int_equal(p.svc.messages, 3);
	mf_grpc_half_close(c);
	pump(&p);
	assert_int_equal(p.statuses, 2);
	assert_int_equal(p.code, MF_GRPC_OK);
	assert_true(mf_grpc_done(p.s));
	assert_int_equal(mf_grpc_fate(p.s), MF_OK);
	pair_fini(&p);
}

static void
test_drain_without_answer(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	struct mf_err err = { 0 };
	pair_init(&p);
	pair_connect(&p);
	pump(&p);
	mf_grpc_drain(p.s);
	uint64_t at = mf_grpc_next_timeout(p.s);
	assert_true(at > p.now && at < UINT64_MAX);
	assert_int_equal(mf_grpc_tick(p.s, at, &err), MF_OK);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	assert_int_equal(mf_grpc_pull(p.s, &b, 16384, &err), MF_OK);
	assert_true(mf_grpc_done(p.s));
	pair_fini(&p);
}

static void
test_keepalive(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	struct mf_err err = { 0 };
	pair_init(&p);
	p.cl.keepalive_ms = 10000;
	p.cl.keepalive_timeout_ms = 3000;
	pair_connect(&p);
	pump(&p);
	assert_int_equal(mf_grpc_next_timeout(p.c), 11000);
	p.now = 11000;
	assert_int_equal(mf_grpc_tick(p.c, p.now, &err), MF_OK);
	pump(&p); /* answered */
	assert_int_equal(p.sc.h2.ping_in, 1);
	assert_int_equal(mf_grpc_next_timeout(p.c), 21000);
	assert_int_equal(mf_grpc_tick(p.c, 21000, &err), MF_OK);
	assert_int_equal(mf_grpc_next_timeout(p.c), 24000);
	assert_int_equal(mf_grpc_tick(p.c, 23999, &err), MF_OK);
	assert_int_equal(mf_grpc_tick(p.c, 24000, &err), MF_E_DEADLINE);
	pair_fini(&p);
}

static void
test_health(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	struct mf_err err = { 0 };
	pair_init(&p);
	pair_connect(&p);
	ProtobufCMessage *req = NULL;
	assert_int_equal(mf_pb_unpack(mf_grpc_health_check.request, MF_SLICE_LIT(""), &req, &err), MF_OK);
	for (int i = 0; i < 2; i++) {
		struct mf_grpc_call *c = open_call(&p, &mf_grpc_health_check, 0);
		assert_int_equal(mf_grpc_send(c, req, &err), MF_OK);
		mf_grpc_half_close(c);
		pump(&p);
		assert_int_equal(p.code, i == 0 ? MF_GRPC_NOT_FOUND : MF_GRPC_OK);
		assert_int_equal(mf_grpc_health_set(p.health, "", MF_GRPC_HEALTH_SERVING, &err), MF_OK);
	}
	struct mf_grpc_call *w = open_call(&p, &mf_grpc_health_watch, 0);
	assert_int_equal(mf_grpc_send(w, req, &err), MF_OK);
	mf_grpc_half_close(w);
	p.messages = 0;
	pump(&p);
	assert_int_equal(p.messages, 1);
	assert_int_equal(mf_grpc_health_set(p.health, "", MF_GRPC_HEALTH_SERVING, &err), MF_OK);
	pump(&p);
	assert_int_equal(p.messages, 1); /* no change, no message */
	assert_int_equal(mf_grpc_health_set(p.health, "", MF_GRPC_HEALTH_NOT_SERVING, &err), MF_OK);
	pump(&p);
	assert_int_equal(p.messages, 2);
	struct mf_grpc_call *w2 = open_call(&p, &mf_grpc_health_watch, 0);
	assert_int_equal(mf_grpc_send(w2, req, &err), MF_OK);
	mf_grpc_half_close(w2);
	pump(&p);
	mf_grpc_cancel(w2);
	pump(&p);
	mf_grpc_health_shutdown(p.health);
	pump(&p);
	assert_int_equal(p.code, MF_GRPC_UNAVAILABLE);
	mf_pb_free(req);
	pair_fini(&p);
}

/* CVE-2023-35945, rapid reset, and our own books: nothing may stay behind. */
static void
test_open_reset_does_not_leak(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	pair_init(&p);
	p.srv.limits.reset_burst = p.srv.limits.calm_burst = 4000000;
	pair_connect(&p);
	size_t base = 0;
	for (int i = 0; i < 100000; i++) {
		struct mf_grpc_call *c = open_call(&p, &methods[i % 4], 0);
		if (i % 3 == 0)
			(void)say(c, 100, "hang");
		if (i % 2 == 0)
			pump(&p);
		mf_grpc_cancel(c);
		if (i % 64 != 0)
			continue;
		pump(&p);
		assert_int_equal(mf_grpc_conn_stats(p.s).open, 0);
		if (i < 1000)
			base = mallinfo2().uordblks;
	}
	pump(&p);
	assert_int_equal(p.sc.open, 0);
	size_t after = mallinfo2().uordblks;
	if (base != 0 && after > base + 65536)
		fail_msg("%zu bytes more than after the first thousand", after - base);
	if (p.statuses != 0)
		fail_msg("%d calls ended by themselves, the last: %d %s", p.statuses, p.code, p.text);
	pair_fini(&p);
}

static void
test_rapid_reset_is_stopped(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	struct mf_err err = { 0 };
	pair_init(&p);
	pair_connect(&p);
	int i;
	for (i = 0; i < 5000; i++) {
		struct mf_grpc_call *c = NULL;
		if (mf_grpc_open(p.c, &methods[BIDI], &cops, &p, NULL, 0, 0, &c, &err) != MF_OK)
			break;
		pump(&p);
		mf_grpc_cancel(c);
		pump(&p);
	}
	assert_in_range(i, MF_LIM_H2_CALM_BURST, 2 * MF_LIM_H2_RESET_BURST);
	assert_int_equal(mf_grpc_fate(p.s), MF_E_EXHAUSTED);
	assert_int_equal(p.sc.h2.calm, 1);
	assert_int_equal(p.svc.opened, p.svc.cancelled);
	pair_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_without_answer),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_open_reset_does_not_leak),
		cmocka_unit_test(test_rapid_reset_is_stopped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
