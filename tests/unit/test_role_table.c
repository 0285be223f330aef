#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/role_table.h"

enum { HELD, OPEN };
static const char *const states[] = { "held", "open" };
static const struct mf_role_msg rows[] = {
	{ 1, 0, MF_ROLE_FD_NEVER, 1u << HELD, 0, "Start", NULL },
	{ 2, 0, MF_ROLE_FD_ALWAYS, 1u << OPEN, 64, "Ask",
	    &grpc__health__v1__health_check_request__descriptor },
	{ 7, 1, MF_ROLE_FD_NEVER, 1u << HELD | 1u << OPEN, 64, "Answer",
	    &grpc__health__v1__health_check_response__descriptor },
	{ 8, 1, MF_ROLE_FD_MAYBE, 1u << OPEN, 0, "Maybe", NULL },
};
static const struct mf_role_table table = { "a/b", { "a", "b" }, states, 2, rows, 4 };

static void
test_decode(void **state)
{
	MF_UNUSED(state);
	static const struct {
		unsigned self, state;
		uint16_t type;
		bool fd;
		const char *payload;
		enum mf_status want;
	} t[] = {
		{ 1, HELD, 1, false, "", MF_OK },
		{ 1, HELD, 1, false, "x", MF_E_TOOBIG },     /* a payload where none is due */
		{ 1, OPEN, 1, false, "", MF_E_STATE },	     /* too late */
		{ 0, HELD, 1, false, "", MF_E_DENIED },	     /* own message reflected */
		{ 1, HELD, 3, false, "", MF_E_UNSUPPORTED }, /* a gap in the numbers */
		{ 1, HELD, 0, false, "", MF_E_UNSUPPORTED },
		{ 1, HELD, 65535, false, "", MF_E_UNSUPPORTED },
		{ 1, HELD, 1, true, "", MF_E_DENIED },			/* an unexpected descriptor */
		{ 1, OPEN, 2, true, "\x0a\x02hi", MF_OK },		/* HealthCheckRequest{service "hi"} */
		{ 1, OPEN, 2, false, "\x0a\x02hi", MF_E_DENIED },	/* a missing descriptor */
		{ 1, HELD, 2, true, "\x0a\x02hi", MF_E_STATE },		/* too early */
		{ 1, 2, 2, true, "\x0a\x02hi", MF_E_STATE },		/* no such state */
		{ 1, OPEN, 2, true, "\x0a\x03hi", MF_E_INVALID },	/* cut */
		{ 1, OPEN, 2, true, "\x0a\x02\xff\xfe", MF_E_INVALID }, /* no UTF-8 */
		{ 0, HELD, 7, false, "\x08\x01", MF_OK },
		{ 0, OPEN, 8, false, "", MF_OK },
		{ 0, OPEN, 8, true, "", MF_OK },
		{ 1, HELD, 7, false, "\x08\x01", MF_E_DENIED },
		{ 2, HELD, 7, false, "\x08\x01", MF_E_DENIED },
	};
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		const struct mf_role_msg *row = NULL;
		struct mf_err err = { 0 };
		MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
		assert_int_equal(mf_role_decode(&table, t[i].self, t[i].state, t[i].type,
				     mf_slice_str(t[i].payload), t[i].fd, &row, &msg, &err),
		    t[i].want);
		if (t[i].want == MF_OK) {
			assert_int_equal(row->type, t[i].type);
			assert_int_equal(msg == NULL, row->desc == NULL);
		} else {
			assert_null(msg);
			assert_non_null(strstr(err.msg, "a/b"));
		}
	}
}

static void
test_size_cap(void **state)
{
	MF_UNUSED(state);
	uint8_t big[66] = { 0x0a, 63 };
	memset(big + 2, 'x', 63);
	const struct mf_role_msg *row = NULL;
	ProtobufCMessage *msg = NULL;
	assert_int_equal(
	    mf_role_decode(&table, 1, OPEN, 2, mf_slice(big, 65), true, &row, &msg, NULL), MF_E_TOOBIG);
	big[1] = 62;
	assert_int_equal(
	    mf_role_decode(&table, 1, OPEN, 2, mf_slice(big, 64), true, &row, &msg, NULL), MF_OK);
	mf_pb_free(msg);
}

static void
test_encode(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	Grpc__Health__V1__HealthCheckRequest ask = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	Grpc__Health__V1__HealthCheckResponse answer = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
	static char service[80];
	memset(service, 's', 60);
	ask.service = service;
	assert_int_equal(mf_role_encode(&table, 0, 1, NULL, false, &b, &err), MF_OK);
	assert_int_equal(b.n, 0);
	assert_int_equal(mf_role_encode(&table, 0, 2, &ask.base, true, &b, &err), MF_OK);
	assert_int_equal(b.n, 62);
	const struct mf_role_msg *row = NULL;
	ProtobufCMessage *msg = NULL;
	assert_int_equal(mf_role_decode(&table, 1, OPEN, 2, mf_buf_slice(&b), true, &row, &msg, &err), MF_OK);
	mf_pb_free(msg);
	assert_int_equal(mf_role_encode(&table, 0, 2, &ask.base, false, &b, &err), MF_E_INTERNAL);
	assert_int_equal(mf_role_encode(&table, 1, 2, &ask.base, true, &b, &err), MF_E_INTERNAL);
	assert_int_equal(mf_role_encode(&table, 0, 2, &answer.base, true, &b, &err), MF_E_INTERNAL);
	assert_int_equal(mf_role_encode(&table, 0, 2, NULL, true, &b, &err), MF_E_INTERNAL);
	assert_int_equal(mf_role_encode(&table, 0, 9, NULL, true, &b, &err), MF_E_INTERNAL);
	assert_int_equal(b.n, 62);
	memset(service, 's', 70);
	assert_int_equal(mf_role_encode(&table, 0, 2, &ask.base, true, &b, &err), MF_E_TOOBIG);
	assert_int_equal(b.n, 62); /* what was there stays, nothing half-written follows */
}

static void
test_table_check(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	assert_int_equal(mf_role_table_check(&table, &err), MF_OK);
	static const struct mf_role_msg bad[][2] = {
		{ { 2, 0, 0, 1, 0, "A", NULL }, { 1, 0, 0, 1, 0, "B", NULL } },	 /* order */
		{ { 1, 0, 0, 1, 0, "A", NULL }, { 1, 0, 0, 1, 0, "B", NULL } },	 /* twice */
		{ { 1, 0, 0, 1, 0, "A", NULL }, { 2, 2, 0, 1, 0, "B", NULL } },	 /* a third end */
		{ { 1, 0, 0, 1, 0, "A", NULL }, { 2, 0, 3, 1, 0, "B", NULL } },	 /* two descriptors */
		{ { 1, 0, 0, 1, 0, "A", NULL }, { 2, 0, 0, 0, 0, "B", NULL } },	 /* never allowed */
		{ { 1, 0, 0, 1, 0, "A", NULL }, { 2, 0, 0, 4, 0, "B", NULL } },	 /* unknown state */
		{ { 1, 0, 0, 1, 0, "A", NULL }, { 2, 0, 0, 1, 10, "B", NULL } }, /* a cap without a payload */
		{ { 0, 0, 0, 1, 0, "A", NULL }, { 2, 0, 0, 1, 0, "B", NULL } },	 /* type 0 */
	};
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_role_table t = table;
		t.msgs = bad[i];
		t.msg_count = 2;
		assert_int_equal(mf_role_table_check(&t, &err), MF_E_INVALID);
	}
	struct mf_role_msg huge = rows[1];
	huge.max = MF_LIM_IPC_MESSAGE;
	struct mf_role_table t = table;
	t.msgs = &huge;
	t.msg_count = 1;
	assert_int_equal(mf_role_table_check(&t, &err), MF_E_INVALID);
	t.msg_count = 0;
	assert_null(mf_role_find(&t, 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_decode), cmocka_unit_test(test_size_cap),
		cmocka_unit_test(test_encode), cmocka_unit_test(test_table_check) };
	return cmocka_run_group_tests_name("role_table", tests, NULL, NULL);
}
