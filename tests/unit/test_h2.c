/* What a gRPC server does with requests that no honest client makes. */
#include "unit/h2_raw.h"

#define CHECK_PATH "/grpc.health.v1.Health/Check"
#define EMPTY_MESSAGE MF_SLICE_LIT("\0\0\0\0\0")

/* E-8 */
static void
test_authority(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	const char *const names[] = { "localhost", "", "/run/x.sock", "%2Frun%2Fx.sock", "a b", "@" };
	for (int any = 0; any < 2; any++) {
		raw_start(&r, any == 1);
		uint32_t id = 1;
		for (size_t i = 0; i < MF_COUNT(names); i++, id += 2) {
			head(&r, id, 0, PSEUDO(CHECK_PATH), ":authority", names[i], GRPC, NULL);
			frame(&r, DATA, END_STREAM, id, EMPTY_MESSAGE);
			say(&r);
			bool ok = any == 1 || i == 0 || i == 1 || i == 3 || i == 5;
			assert_int_equal(r.on[id].grpc, ok ? 0 : -1);
			assert_int_equal(r.on[id].rst, ok ? -1 : MF_H2_PROTOCOL_ERROR);
		}
		head(&r, id, 0, PSEUDO(CHECK_PATH), GRPC, NULL); /* none at all */
		frame(&r, DATA, END_STREAM, id, EMPTY_MESSAGE);
		head(&r, id + 2, 0, PSEUDO(CHECK_PATH), GRPC, "host", "x", NULL);
		frame(&r, DATA, END_STREAM, id + 2, EMPTY_MESSAGE);
		say(&r);
		assert_int_equal(r.on[id].grpc, any == 1 ? 0 : -1);
		assert_int_equal(r.on[id + 2].grpc, 0);
		raw_fini(&r);
	}
}

/* W-2, E-9 */
static void
test_not_grpc(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	const struct {
		const char *type;
		int http;
	} cases[] = { { "application/grpc", 200 }, { "application/grpc+proto", 200 },
		{ "application/grpc;charset=utf-8", 200 }, { "application/grpc+proto; x=y", 200 },
		{ "application/grpc+json", 415 }, { "application/grpcx", 415 }, { "application/json", 415 },
		{ "", 415 } };
	raw_start(&r, true);
	uint32_t id = 1;
	for (size_t i = 0; i < MF_COUNT(cases); i++, id += 2) {
		head(&r, id, 0, PSEUDO(CHECK_PATH), "content-type", cases[i].type, NULL);
		frame(&r, DATA, END_STREAM, id, EMPTY_MESSAGE);
		say(&r);
		assert_int_equal(r.on[id].http, cases[i].http);
		assert_int_equal(r.on[id].grpc, cases[i].http == 200 ? 0 : -1);
	}
	head(&r, id, END_STREAM, PSEUDO(CHECK_PATH), NULL);
	head(&r, id + 2, END_STREAM, ":method", "GET", ":scheme", "http", ":path", "/", NULL);
	say(&r);
	assert_int_equal(r.on[id].http, 415);
	assert_int_equal(r.on[id + 2].http, 405);
	assert_true(r.on[id + 2].ended);
	raw_fini(&r);
}

/* One request with ${body} in one DATA frame, END_STREAM or not; what the status is. */
static int
status_of(struct mf_slice body, bool end, const char *path, const char *encoding, struct heard *ret_h)
{
	struct raw r;
	raw_start(&r, true);
	if (encoding == NULL)
		head(&r, 1, 0, ASK(path), NULL);
	else
		head(&r, 1, 0, ASK(path), "grpc-encoding", encoding, NULL);
	if (body.n > 0 || end)
		frame(&r, DATA, end ? END_STREAM : 0, 1, body);
	say(&r);
	assert_int_equal(r.last, MF_OK);
	struct heard h = r.on[1];
	/* Errors are Trailers-Only: one head, with END_STREAM, under 200; then the stream is let go. */
	if (h.grpc > 0) {
		assert_int_equal(h.http, 200);
		assert_int_equal(h.heads, 1);
		assert_true(h.ended);
		assert_int_equal(h.rst, end ? -1 : MF_H2_NO_ERROR);
	}
	raw_fini(&r);
	if (ret_h != NULL)
		*ret_h = h;
	return h.grpc;
}

/* W-3, W-4, W-5, E-9, E-10 */
static void
test_framing(void **state)
{
	MF_UNUSED(state);
	struct heard h;
#define L(lit) MF_SLICE_LIT(lit)
	assert_int_equal(status_of(L("\0\0\0\0\0"), true, CHECK_PATH, NULL, NULL), MF_GRPC_OK);
	assert_int_equal(status_of(L("\0\0\0\0\0"), true, CHECK_PATH, "identity", NULL), MF_GRPC_OK);
	assert_int_equal(status_of(L("\0\0\0\0\3\x0a\1x"), true, CHECK_PATH, NULL, NULL), MF_GRPC_NOT_FOUND);
	assert_int_equal(status_of(L("\1\0\0\0\0"), true, CHECK_PATH, NULL, NULL), MF_GRPC_INTERNAL);
	assert_int_equal(status_of(L("\2"), false, CHECK_PATH, NULL, NULL), MF_GRPC_INTERNAL);
	assert_int_equal(status_of(NOTHING, false, CHECK_PATH, "gzip", &h), MF_GRPC_UNIMPLEMENTED);
	assert_true(h.accept_encoding);
	/* refused from the prefix: not one byte of the message has come */
	assert_int_equal(
	    status_of(L("\0\xff\xff\xff\xff"), false, CHECK_PATH, NULL, NULL), MF_GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(
	    status_of(L("\0\0\0\4\1"), false, CHECK_PATH, NULL, NULL), MF_GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(
	    status_of(L("\0\0\4\0\1"), false, "/t/Bidi", NULL, NULL), MF_GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(status_of(L("\0\0\4\0\0"), false, "/t/Bidi", NULL, NULL), -1);
	assert_int_equal(status_of(L("\0\0\0\0\5\0"), true, CHECK_PATH, NULL, NULL), MF_GRPC_INTERNAL);
	assert_int_equal(status_of(L("\0\0"), true, CHECK_PATH, NULL, NULL), MF_GRPC_INTERNAL);
	assert_int_equal(
	    status_of(L("\0\0\0\0\0\0\0\0\0\0"), false, CHECK_PATH, NULL, NULL), MF_GRPC_INTERNAL);
	assert_int_equal(
	    status_of(L("\0\0\0\0\3\x0a\1\xff"), false, CHECK_PATH, NULL, NULL), MF_GRPC_INVALID_ARGUMENT);
	assert_int_equal(
	    status_of(L("\0\0\0\0\3\x0a\1\0"), false, "/t/Bidi", NULL, NULL), MF_GRPC_INVALID_ARGUMENT);
	assert_int_equal(status_of(NOTHING, true, CHECK_PATH, NULL, NULL), MF_GRPC_INTERNAL);
	assert_int_equal(status_of(NOTHING, true, "/t/Empty", NULL, NULL), MF_GRPC_OK);
	assert_int_equal(status_of(NOTHING, false, "/t/None", NULL, NULL), MF_GRPC_UNIMPLEMENTED);
	/* a head with END_STREAM and no message */
	struct raw r;
	raw_start(&r, true);
	head(&r, 1, END_STREAM, ASK("/t/Empty"), NULL);
	head(&r, 3, END_STREAM, ASK(CHECK_PATH), NULL);
	head(&r, 5, END_STREAM, ASK("/t/Empty"), "grpc-timeout", "0m", NULL);
	head(&r, 7, END_STREAM, ASK("/t/Empty"), "grpc-timeout", "abc", NULL);
	say(&r);
	assert_int_equal(r.on[1].grpc, MF_GRPC_OK);
	assert_int_equal(r.on[3].grpc, MF_GRPC_INTERNAL);
	assert_int_equal(r.on[5].grpc, MF_GRPC_DEADLINE_EXCEEDED);
	assert_int_equal(r.on[7].grpc, MF_GRPC_INTERNAL);
	raw_fini(&r);
}

static void
test_malformed_heads(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	raw_start(&r, true);
	uint32_t id = 1;
#define BAD(...)                                                      \
	do {                                                          \
		head(&r, id, END_STREAM, __VA_ARGS__, NULL);          \
		say(&r);                                              \
		assert_int_equal(r.on[id].rst, MF_H2_PROTOCOL_ERROR); \
		assert_int_equal(r.on[id].heads, 0);                  \
		id += 2;                                              \
	} while (0)
	BAD(ASK("/t/Empty"), "Upper", "x");
	BAD(ASK("/t/Empty"), "sp ace", "x");
	BAD(ASK("/t/Empty"), "", "x");
	BAD(ASK("/t/Empty"), "x", "a\nb");
	BAD(ASK("/t/Empty"), "x", " a");
	BAD(ASK("/t/Empty"), ":path", "/t/Empty");
	BAD(PSEUDO("/t/Empty"), ":path", "/t/Empty", GRPC);
	BAD(PSEUDO("/t/Empty"), ":extra", "x", GRPC);
	BAD(PSEUDO("/t/Empty"), ":status", "200", GRPC);
	BAD(PSEUDO(""), GRPC);
	BAD(":scheme", "http", ":path", "/t/Empty", GRPC);
	BAD(":method", "POST", ":path", "/t/Empty", GRPC);
	BAD(":method", "POST", ":scheme", "http", GRPC);
	BAD(":method", "POST", ":scheme", "ftp", ":path", "/t/Empty", GRPC);
	BAD(":method", "PO ST", ":scheme", "http", ":path", "/t/Empty", GRPC);
	BAD(ASK("/t/Empty"), "connection", "close");
	BAD(ASK("/t/Empty"), "transfer-encoding", "chunked");
	BAD(ASK("/t/Empty"), "te", "gzip");
	BAD(ASK("/t/Empty"), "content-length", "1");
	BAD(ASK("/t/Empty"), "content-length", "x");
	BAD(ASK("/t/Empty"), "content-length", "0", "content-length", "1");
	assert_int_equal(r.count.h2.bad_heads, id / 2);
	assert_int_equal(r.count.calls, 0);
	/* more and less body than announced; trailers of a request */
	head(&r, id, 0, ASK("/t/Empty"), "content-length", "4", NULL);
	frame(&r, DATA, 0, id, EMPTY_MESSAGE);
	head(&r, id + 2, 0, ASK("/t/Empty"), "content-length", "6", NULL);
	frame(&r, DATA, END_STREAM, id + 2, EMPTY_MESSAGE);
	head(&r, id + 4, 0, ASK("/t/Empty"), NULL);
	head(&r, id + 4, 0, "x", "y", NULL);
	head(&r, id + 6, 0, ASK("/t/Empty"), NULL);
	head(&r, id + 6, END_STREAM, ":path", "/", NULL);
	head(&r, id + 8, 0, ASK("/t/Empty"), NULL);
	head(&r, id + 8, END_STREAM, "x", "y", NULL);
	say(&r);
	for (uint32_t k = 0; k < 8; k += 2)
		assert_int_equal(r.on[id + k].rst, MF_H2_PROTOCOL_ERROR);
	assert_int_equal(r.on[id + 8].grpc, MF_GRPC_OK);
	assert_int_equal(r.goaway, -1);
	raw_fini(&r);
}

static void
test_large_heads(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	char value[15001];
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	raw_start(&r, true);
	head(&r, 1, END_STREAM, ASK("/t/Empty"), "x", value, NULL); /* fits */
	say(&r);
	assert_int_equal(r.on[1].grpc, MF_GRPC_OK);
	/* over 16 KiB: two frames */
	struct mf_buf b;
	mf_buf_init(&b, 1u << 20);
	frame(&r, HEADERS, END_STREAM, 3, NOTHING);
	r.to.n -= 9;
	const char *const all[] = { ASK("/t/Empty") };
	for (size_t i = 0; i < MF_COUNT(all); i += 2)
		h2_field(&b, all[i], all[i + 1]);
	frame(&r, HEADERS, END_STREAM, 3, mf_buf_slice(&b));
	for (int i = 0; i < 2; i++) {
		mf_buf_reset(&b);
		h2_field(&b, "x", value);
		frame(&r, CONTINUATION, i == 1 ? END_HEADERS : 0, 3, mf_buf_slice(&b));
	}
	say(&r);
	assert_int_equal(r.on[3].grpc, MF_GRPC_RESOURCE_EXHAUSTED);
	raw_fini(&r);

	/* One byte of HPACK for 3,000 bytes of header: the sum is looked at, not the bytes. */
	raw_start(&r, true);
	mf_buf_reset(&b);
	for (size_t i = 0; i < MF_COUNT(all); i += 2)
		h2_field(&b, all[i], all[i + 1]);
	value[3000] = '\0';
	mf_buf_put_u8(&b, 0x40); /* indexed from now on, as entry 62 */
	h2_hpack_int(&b, 0, 7, 1);
	mf_buf_put_str(&b, "x");
	h2_hpack_int(&b, 0, 7, 3000);
	mf_buf_put_str(&b, value);
	for (int i = 0; i < 5000; i++)
		mf_buf_put_u8(&b, 0x80 | 62);
	frame(&r, HEADERS, END_STREAM | END_HEADERS, 1, mf_buf_slice(&b));
	say(&r);
	assert_int_equal(r.last, MF_E_EXHAUSTED);
	assert_int_equal(r.goaway, MF_H2_ENHANCE_YOUR_CALM);
	assert_int_equal(r.count.calls, 0);
	mf_buf_fini(&b);
	raw_fini(&r);
}

static void
window_update(struct raw *r, uint32_t id, uint32_t n)
{
	uint8_t p[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
	frame(r, WINDOW_UPDATE, 0, id, mf_slice(p, sizeof(p)));
}

/* E-11 */
static void
test_tiny_windows(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	raw_init(&r, true);
	raw_greet(&r, MF_SLICE_LIT("\0\4\0\0\0\0"), true); /* INITIAL_WINDOW_SIZE 0 */
	head(&r, 1, 0, ASK(CHECK_PATH), NULL);
	frame(&r, DATA, END_STREAM, 1, EMPTY_MESSAGE);
	say(&r);
	assert_int_equal(r.on[1].http, 200); /* the head needs no window */
	assert_int_equal(r.on[1].data, 0);
	assert_false(mf_grpc_wants_write(r.s)); /* and nobody spins */
	for (size_t i = 1; i <= 3; i++) {
		window_update(&r, 1, 1);
		say(&r);
		assert_int_equal(r.on[1].data, i);
	}
	frame(&r, SETTINGS, 0, 0, MF_SLICE_LIT("\0\4\0\0\0\144")); /* 100 */
	say(&r);
	assert_int_equal(r.on[1].data, 7); /* prefix and two bytes */
	assert_int_equal(r.on[1].grpc, MF_GRPC_OK);
	assert_true(r.on[1].ended);

	/* Who never opens the window is let go in the end, without a deadline of the call. */
	struct mf_err err = { 0 };
	frame(&r, SETTINGS, 0, 0, MF_SLICE_LIT("\0\4\0\0\0\0"));
	head(&r, 3, 0, ASK(CHECK_PATH), NULL);
	frame(&r, DATA, END_STREAM, 3, EMPTY_MESSAGE);
	say(&r);
	uint64_t at = mf_grpc_next_timeout(r.s);
	assert_true(at > r.now && at < UINT64_MAX);
	assert_int_equal(mf_grpc_tick(r.s, at, &err), MF_OK);
	raw_listen(&r);
	assert_int_equal(r.on[3].rst, MF_H2_CANCEL);
	raw_fini(&r);
}

static void
test_concurrency(void **state)
{
	MF_UNUSED(state);
	const uint32_t over = 1 + 2 * MF_LIM_H2_STREAMS;
	for (int acked = 0; acked < 2; acked++) {
		struct raw r;
		raw_init(&r, true);
		raw_greet(&r, NOTHING, acked == 1);
		for (uint32_t i = 0; i <= MF_LIM_H2_STREAMS; i++)
			head(&r, 1 + 2 * i, 0, ASK("/t/Bidi"), NULL);
		say(&r);
		/* Refused, as long as the client may not know our limit; else it broke the protocol. */
		assert_int_equal(r.count.calls, MF_LIM_H2_STREAMS);
		assert_int_equal(r.on[over].rst, acked == 0 ? MF_H2_REFUSED_STREAM : -1);
		assert_int_equal(r.goaway, acked == 0 ? -1 : MF_H2_PROTOCOL_ERROR);
		raw_fini(&r);
		assert_int_equal(r.cancelled, MF_LIM_H2_STREAMS);
	}
}

static void
test_unfinished_messages_are_bounded(void **state)
{
	MF_UNUSED(state);
	struct raw r;
	static uint8_t chunk[16384];
	int refused = 0;
	raw_start(&r, true);
	for (uint32_t id = 1; id < 31; id += 2) {
		head(&r, id, 0, ASK("/t/Bidi"), NULL);
		frame(&r, DATA, 0, id, MF_SLICE_LIT("\0\0\3\377\377"));
		for (int k = 0; k < 15 && r.on[id].rst < 0;
		     k++) { /* 240 of 256 KiB; the window opens by reading */
			frame(&r, DATA, 0, id, mf_slice(chunk, sizeof(chunk)));
			say(&r);
			assert_int_equal(r.last, MF_OK);
		}
		refused += r.on[id].grpc == MF_GRPC_RESOURCE_EXHAUSTED;
	}
	assert_in_range(refused, 5, 8); /* 15 of 240 KiB, and 2 MiB are allowed */
	assert_int_equal(r.goaway, -1);
	assert_int_equal(r.cancelled, refused);
	raw_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_authority),
		cmocka_unit_test(test_not_grpc),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_malformed_heads),
		cmocka_unit_test(test_large_heads),
		cmocka_unit_test(test_tiny_windows),
		cmocka_unit_test(test_concurrency),
		cmocka_unit_test(test_unfinished_messages_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
