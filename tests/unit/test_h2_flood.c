/* Floods of control frames and resets: told to calm down, and closed. And what must not be taken for one. */
#include "unit/h2_raw.h"

enum flood { F_PING, F_SETTINGS, F_PRIORITY, F_EMPTY_DATA, F_WINDOW, F_UNKNOWN, F_RST_CLOSED, F_COUNT };

static void
one(struct raw *r, enum flood f)
{
	switch (f) {
	case F_PING:
		frame(r, PING, 0, 0, MF_SLICE_LIT("12345678"));
		break;
	case F_SETTINGS:
		frame(r, SETTINGS, 0, 0, NOTHING);
		break;
	case F_PRIORITY:
		frame(r, PRIORITY, 0, 1, MF_SLICE_LIT("\0\0\0\0\1"));
		break;
	case F_EMPTY_DATA:
		frame(r, DATA, 0, 1, NOTHING);
		break;
	case F_WINDOW:
		frame(r, WINDOW_UPDATE, 0, 0, MF_SLICE_LIT("\0\0\0\1"));
		break;
	case F_UNKNOWN:
		frame(r, 0x77, 0, 0, MF_SLICE_LIT("x"));
		break;
	case F_RST_CLOSED:
		frame(r, RST_STREAM, 0, 3, MF_SLICE_LIT("\0\0\0\10"));
		break;
	case F_COUNT:
		break;
	}
}

static void
test_floods(void **state)
{
	MF_UNUSED(state);
	for (enum flood f = 0; f < F_COUNT; f++) {
		struct raw r;
		int i;
		raw_start(&r, true);
		head(&r, 1, 0, ASK("/t/Bidi"), NULL);
		head(&r, 3, END_STREAM, ASK("/t/Empty"), NULL);
		say(&r);
		for (i = 0; i < 10000 && r.last == MF_OK; i++) {
			one(&r, f);
			say(&r);
		}
		unsigned per = f == F_WINDOW || f == F_RST_CLOSED ? 4 : 1;
		assert_in_range(i, MF_LIM_H2_CALM_BURST * per * 9 / 10, MF_LIM_H2_CALM_BURST * per * 11 / 10);
		assert_int_equal(r.last, MF_E_EXHAUSTED);
		assert_int_equal(r.goaway, MF_H2_ENHANCE_YOUR_CALM);
		assert_true(mf_grpc_done(r.s));
		assert_int_equal(r.count.h2.calm, 1);
		raw_fini(&r);
		assert_int_equal(r.cancelled, 1); /* the open call was told */
	}
}

/* The same in one piece, so that nothing is answered in between. */
static void
test_flood_unread(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	raw_start(&r, true);
	for (int i = 0; i < 5000; i++)
		one(&r, F_PING);
	say(&r);
	assert_int_equal(r.last, MF_E_EXHAUSTED);
	assert_int_equal(r.goaway, MF_H2_ENHANCE_YOUR_CALM);
	raw_fini(&r);
}

/* P-32, E-11 */
static void
test_patient_clients(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	raw_start(&r, true);
	/* a PING every 0.7 s, for an hour */
	for (int i = 0; i < 5000; i++) {
		one(&r, F_PING);
		say(&r);
		assert_int_equal(r.last, MF_OK);
		r.now += 700;
	}
	raw_fini(&r);
	/* A thousand calls at once, each refused before its body, each reset by a client that learns it late; */
	/* and a PING with every answer, as clients do that measure the line. */
	raw_start(&r, true);
	for (uint32_t id = 1; id < 2000; id += 2) {
		head(&r, id, 0, ASK("/t/None"), NULL);
		say(&r);
		assert_int_equal(r.on[id].grpc, MF_GRPC_UNIMPLEMENTED);
		frame(&r, RST_STREAM, 0, id, MF_SLICE_LIT("\0\0\0\10"));
		one(&r, F_PING);
		say(&r);
		assert_int_equal(r.last, MF_OK);
	}
	raw_fini(&r);
}

/* MadeYouReset (CVE-2025-8671): the client makes the server reset what it opened. */
static void
test_made_you_reset(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	uint32_t id;
	raw_start(&r, true);
	for (id = 1; id < STREAMS && r.goaway < 0; id += 2) {
		head(&r, id, 0, ASK("/t/Bidi"), NULL);
		frame(&r, WINDOW_UPDATE, 0, id, MF_SLICE_LIT("\x7f\xff\xff\xff"));
		say(&r);
	}
	assert_int_equal(r.goaway, MF_H2_ENHANCE_YOUR_CALM);
	assert_in_range(id / 2, MF_LIM_H2_RESET_BURST - 10, MF_LIM_H2_RESET_BURST + 10);
	raw_fini(&r);
	assert_int_equal(r.count.h2.calm, 1);
}

static void
test_rapid_reset(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	uint32_t id;
	raw_start(&r, true);
	for (id = 1; id < STREAMS && r.last == MF_OK; id += 2) {
		head(&r, id, 0, ASK("/t/Bidi"), NULL);
		frame(&r, RST_STREAM, 0, id, MF_SLICE_LIT("\0\0\0\10"));
		say(&r);
	}
	assert_int_equal(r.goaway, MF_H2_ENHANCE_YOUR_CALM);
	assert_in_range(id / 2, MF_LIM_H2_RESET_BURST - 10, MF_LIM_H2_RESET_BURST + 10);
	assert_int_equal(r.count.open, 0);
	raw_fini(&r);
	/* the same at a rate that a busy client may have */
	raw_start(&r, true);
	for (id = 1; id < STREAMS; id += 2) {
		head(&r, id, 0, ASK("/t/Bidi"), NULL);
		frame(&r, RST_STREAM, 0, id, MF_SLICE_LIT("\0\0\0\10"));
		say(&r);
		assert_int_equal(r.last, MF_OK);
		r.now += 25;
	}
	raw_fini(&r);
}

/* A head in more pieces than any head needs; and SETTINGS that say one thing two thousand times. */
static void
test_long_winded(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	for (unsigned more = MF_LIM_H2_CONTINUATIONS; more <= MF_LIM_H2_CONTINUATIONS + 1; more++) {
		raw_start(&r, true);
		head(&r, 1, END_STREAM, ASK("/t/Empty"), NULL);
		r.to.p[4] &= (uint8_t)~END_HEADERS;
		for (unsigned i = 0; i < more; i++) {
			say(&r);
			frame(&r, CONTINUATION, i + 1 == more ? END_HEADERS : 0, 1, NOTHING);
		}
		say(&r);
		bool fits = more == MF_LIM_H2_CONTINUATIONS;
		assert_int_equal(r.last, fits ? MF_OK : MF_E_EXHAUSTED);
		assert_int_equal(r.goaway, fits ? -1 : MF_H2_ENHANCE_YOUR_CALM);
		assert_int_equal(r.on[1].grpc, fits ? MF_GRPC_OK : -1);
		assert_int_equal(r.count.h2.calm, !fits);
		raw_fini(&r);
	}
	struct mf_buf b;
	mf_buf_init(&b, 16384);
	for (int i = 0; i < 2000; i++)
		mf_buf_put_slice(&b, MF_SLICE_LIT("\0\4\0\0\xff\xff"));
	raw_start(&r, true);
	frame(&r, SETTINGS, 0, 0, mf_buf_slice(&b));
	say(&r);
	assert_int_equal(r.goaway, MF_H2_ENHANCE_YOUR_CALM);
	assert_int_equal(mf_grpc_fate(r.s), MF_E_EXHAUSTED);
	assert_int_equal(r.count.h2.calm, 1);
	assert_int_equal(r.count.h2.protocol_errors, 0);
	raw_fini(&r);
	mf_buf_fini(&b);
}

/* E-9 */
static void
test_prefaces(void **state)
{
	MF_UNUSED(state);
	const struct {
		const char *in;
		bool http1, done;
	} cases[] = { { "GET / HTTP/1.1\r\n", true, true }, { "POST /x HTTP/1.0\r\n\r\n", true, true },
		{ "PRI * HTTP/1.1\r\n", true, true }, { "INVALID PREFACE\r\n", false, true },
		{ "\x16\x03\x01", false, true }, { "GET / HTT", false, false },
		{ "PRI * HT", false, false } };
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		for (size_t step = 1; step < 20; step += 18) {
			struct raw r;
			struct mf_err err = { 0 };
			raw_init(&r, true);
			assert_int_equal(mf_grpc_conn_new_server(&r.srv, NULL, &r, r.now, &r.s, &err), MF_OK);
			struct mf_slice in = mf_slice_str(cases[i].in);
			enum mf_status s = MF_OK;
			for (size_t at = 0; at < in.n && s == MF_OK; at += step)
				s = mf_grpc_recv(r.s, mf_slice_sub(in, at, step), r.now, &err);
			assert_int_equal(s, cases[i].done ? MF_E_INVALID : MF_OK);
			assert_int_equal(mf_grpc_pull(r.s, &r.from, 65536, &err), MF_OK);
			assert_int_equal(
			    mf_slice_starts(mf_buf_slice(&r.from), MF_SLICE_LIT("HTTP/1.1 505 ")),
			    cases[i].http1);
			assert_int_equal(mf_grpc_done(r.s), cases[i].done);
			raw_fini(&r);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_flood_unread),
		cmocka_unit_test(test_patient_clients),
		cmocka_unit_test(test_made_you_reset),
		cmocka_unit_test(test_rapid_reset),
		cmocka_unit_test(test_long_winded),
		cmocka_unit_test(test_prefaces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
