/* Calls of every kind, how they end, and flow control. */
#include "unit/grpc_pair.h"

/* W-4 */
static void
test_kinds_and_splits(void **state)
{
	MF_UNUSED(state);
	const size_t steps[] = { 1, 2, 5, 9, 13, 100, 65536 };
	for (size_t i = 0; i < MF_COUNT(steps); i++) {
		struct pair p;
		pair_init(&p);
		p.step = steps[i];
		pair_connect(&p);
		struct mf_grpc_call *c = open_call(&p, &methods[UNARY], 0);
		assert_int_equal(say(c, 3000, ""), MF_OK);
		mf_grpc_half_close(c);
		pump(&p);
		assert_int_equal(p.messages, 1);
		assert_int_equal(p.code, MF_GRPC_OK);
		assert_int_equal(p.statuses, 1);
		assert_int_equal(p.svc.n_spiffe, 1);

		p.svc.to_stream = 20;
		c = open_call(&p, &methods[SERVER], 0);
		assert_int_equal(say(c, 0, "x"), MF_OK);
		mf_grpc_half_close(c);
		pump(&p);
		assert_int_equal(p.messages, 21);
		assert_int_equal(p.statuses, 2);

		p.svc.messages = 0;
		c = open_call(&p, &methods[CLIENT], 0);
		for (int k = 0; k < 10; k++)
			assert_int_equal(say(c, 1000, ""), MF_OK);
		mf_grpc_half_close(c);
		assert_int_equal(say(c, 1, ""), MF_E_CLOSED);
		pump(&p);
		assert_int_equal(p.svc.messages, 10);
		assert_int_equal(p.messages, 22);

		c = open_call(&p, &methods[BIDI], 0);
		for (int k = 0; k < 5; k++) {
			assert_int_equal(say(c, 10, ""), MF_OK);
			pump(&p);
			assert_int_equal(p.messages, 23 + k);
		}
		mf_grpc_half_close(c);
		pump(&p);
		assert_int_equal(p.statuses, 4);
		assert_int_equal(p.code, MF_GRPC_OK);
		assert_int_equal(p.svc.cancelled, 0);
		assert_int_equal(p.sc.finished[MF_GRPC_OK], 4);
		pair_fini(&p);
	}
}

static void
test_statuses(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	pair_init(&p);
	pair_connect(&p);
	struct mf_grpc_call *c = open_call(&p, &methods[UNARY], 0);
	assert_int_equal(say(c, 0, "fail"), MF_OK);
	mf_grpc_half_close(c);
	pump(&p);
	assert_int_equal(p.code, MF_GRPC_PERMISSION_DENIED);
	assert_string_equal(p.text, "no: 100% \xc3\xa4?");

	/* unknown method; and the client has not half-closed: answered all the same */
	(void)open_call(&p, &unknown, 0);
	pump(&p);
	assert_int_equal(p.code, MF_GRPC_UNIMPLEMENTED);

	/* too many and too few messages */
	c = open_call(&p, &methods[UNARY], 0);
	assert_int_equal(say(c, 0, "a"), MF_OK);
	assert_int_equal(say(c, 0, "b"), MF_OK);
	pump(&p);
	assert_int_equal(p.code, MF_GRPC_INTERNAL);
	assert_int_equal(p.svc.cancelled, 1);
	mf_grpc_half_close(open_call(&p, &methods[UNARY], 0));
	pump(&p);
	assert_int_equal(p.code, MF_GRPC_INTERNAL);
	assert_string_equal(p.text, "the request has no message");

	/* too large for the sender; an admit hook that says no before any body */
	c = open_call(&p, &methods[UNARY], 0);
	assert_int_equal(say(c, MF_LIM_GRPC_MESSAGE, ""), MF_E_TOOBIG);
	mf_grpc_cancel(c);
	p.admit_all = false;
	int opened = p.svc.opened;
	struct mf_err err = { 0 };
	assert_int_equal(mf_grpc_open(p.c, &methods[UNARY], &cops, &p, NULL, 0, 0, &c, &err), MF_OK);
	pump(&p);
	assert_int_equal(p.code, MF_GRPC_INVALID_ARGUMENT);
	assert_string_equal(p.text, "security header missing from request");
	assert_int_equal(p.svc.opened, opened);
	const struct mf_grpc_meta twice[] = { { "workload.spiffe.io", MF_SLICE_LIT("true") },
		{ "workload.spiffe.io", MF_SLICE_LIT("true") } };
	p.code = MF_GRPC_OK;
	assert_int_equal(mf_grpc_open(p.c, &methods[UNARY], &cops, &p, twice, 2, 0, &c, &err), MF_OK);
	pump(&p);
	assert_int_equal(p.code, MF_GRPC_INVALID_ARGUMENT);
	pair_fini(&p);
}

/* E-11 */
static void
test_deadlines(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	struct mf_err err = { 0 };
	pair_init(&p);
	pair_connect(&p);
	struct mf_grpc_call *c = open_call(&p, &methods[UNARY], 500);
	assert_int_equal(say(c, 0, "hang"), MF_OK);
	mf_grpc_half_close(c);
	pump(&p);
	assert_int_equal(mf_grpc_next_timeout(p.c), 1500);
	assert_int_equal(mf_grpc_next_timeout(p.s), 1500);
	assert_int_equal(mf_grpc_call_deadline(p.svc.held), 1500);
	p.now = 1499;
	assert_int_equal(mf_grpc_tick(p.s, p.now, &err), MF_OK);
	assert_int_equal(p.svc.cancelled, 0);
	p.now = 1500; /* the server first */
	assert_int_equal(mf_grpc_tick(p.s, p.now, &err), MF_OK);
	assert_int_equal(p.svc.cancelled, 1);
	assert_int_equal(p.svc.why, MF_GRPC_DEADLINE_EXCEEDED);
	pump(&p);
	assert_int_equal(p.code, MF_GRPC_DEADLINE_EXCEEDED);
	assert_int_equal(p.statuses, 1);

	c = open_call(&p, &methods[UNARY], 100); /* the client first */
	assert_int_equal(say(c, 0, "hang"), MF_OK);
	pump(&p);
	p.now += 200;
	assert_int_equal(mf_grpc_tick(p.c, p.now, &err), MF_OK);
	assert_int_equal(p.statuses, 2);
	assert_int_equal(p.code, MF_GRPC_DEADLINE_EXCEEDED);
	pump(&p);
	assert_int_equal(p.svc.cancelled, 2);
	assert_int_equal(mf_grpc_conn_stats(p.s).open, 0);
	assert_int_equal(mf_grpc_conn_stats(p.s).calls, 2);
	pair_fini(&p);
}

static void
test_cancel(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	pair_init(&p);
	pair_connect(&p);
	struct mf_grpc_call *c = open_call(&p, &methods[BIDI], 0);
	assert_int_equal(say(c, 10, ""), MF_OK);
	pump(&p);
	mf_grpc_cancel(c);
	pump(&p);
	assert_int_equal(p.svc.cancelled, 1);
	assert_int_equal(p.svc.why, MF_GRPC_CANCELLED);
	assert_int_equal(p.statuses, 0);
	/* a lost connection tells both sides */
	(void)open_call(&p, &methods[BIDI], 0);
	pump(&p);
	mf_grpc_conn_free(MF_TAKE(p.c));
	assert_int_equal(p.statuses, 1);
	assert_int_equal(p.code, MF_GRPC_UNAVAILABLE);
	mf_grpc_conn_free(MF_TAKE(p.s));
	assert_int_equal(p.svc.cancelled, 2);
	assert_int_equal(p.svc.why, MF_GRPC_UNAVAILABLE);
	pair_fini(&p);
}

static void
test_backpressure(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	pair_init(&p);
	pair_connect(&p);
	/* out: 4 MB through a queue of 512 KiB */
	p.svc.to_stream = 1000;
	struct mf_grpc_call *c = open_call(&p, &methods[SERVER], 0);
	assert_int_equal(say(c, 0, "x"), MF_OK);
	mf_grpc_half_close(c);
	pump(&p);
	assert_int_equal(p.messages, 1000);
	assert_int_equal(p.code, MF_GRPC_OK);
	/* in: a paused reader stops the sender; nothing is lost or delivered meanwhile */
	p.svc.pause = true;
	p.svc.messages = 0;
	c = open_call(&p, &methods[CLIENT], 0);
	int sent = 0;
	while (say(c, 20000, "") == MF_OK) {
		sent++;
		pump(&p);
		assert_true(sent < 100);
	}
	assert_int_equal(p.svc.messages, 1);
	assert_true(mf_grpc_call_queued(c) > MF_LIM_H2_STREAM_OUT / 2);
	int before = 0;
	while (p.svc.messages < sent) {
		before = p.svc.messages;
		mf_grpc_resume(p.svc.held);
		assert_int_equal(p.svc.messages, before + 1);
		pump(&p);
	}
	mf_grpc_half_close(c);
	mf_grpc_resume(p.svc.held);
	pump(&p);
	assert_int_equal(p.svc.half_closed, 1);
	assert_int_equal(p.svc.bytes, (size_t)sent * 20000);
	assert_int_equal(p.code, MF_GRPC_OK);
	/* half-close while paused waits for resume */
	c = open_call(&p, &methods[CLIENT], 0);
	assert_int_equal(say(c, 10, ""), MF_OK);
	assert_int_equal(say(c, 10, ""), MF_OK);
	mf_grpc_half_close(c);
	pump(&p);
	assert_int_equal(p.svc.half_closed, 1);
	p.svc.pause = false;
	mf_grpc_resume(p.svc.held);
	pump(&p);
	assert_int_equal(p.svc.half_closed, 2);
	pair_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds_and_splits),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_backpressure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
