#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/inner.h"
#include "lib/hex.h"

#define CHUNK ((size_t)MF_LIM_INNER_CHUNK)
#define MESSAGE ((size_t)MF_LIM_INNER_MESSAGE)

/* Both ends of one session; ${node} is the initiator. */
struct ends {
	struct mf_inner *node, *notary;
};

static void
ends_init(struct ends *e, uint64_t transport_max)
{
	MF_AUTO(mf_x25519_free) struct mf_x25519 *is = NULL;
	MF_AUTO(mf_x25519_free) struct mf_x25519 *rs = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf prologue;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf m;
	struct mf_noise *init = NULL, *resp = NULL;
	uint8_t rpub[32];
	mf_buf_init(&prologue, 1024);
	mf_buf_init(&m, 1024);
	assert_int_equal(
	    mf_inner_prologue(MF_SLICE_LIT("example.org"), MF_SLICE_LIT("b1"), &prologue, NULL), MF_OK);
	assert_int_equal(mf_x25519_generate(NULL, &is, NULL), MF_OK);
	assert_int_equal(mf_x25519_generate(NULL, &rs, NULL), MF_OK);
	mf_x25519_public(rs, rpub);
	const struct mf_noise_conf ci = { MF_NOISE_INITIATOR, mf_buf_slice(&prologue), is, rpub, NULL,
		transport_max };
	const struct mf_noise_conf cr = { MF_NOISE_RESPONDER, mf_buf_slice(&prologue), rs, NULL, NULL,
		transport_max };
	assert_int_equal(mf_noise_new(&ci, &init, NULL), MF_OK);
	assert_int_equal(mf_noise_new(&cr, &resp, NULL), MF_OK);
	struct mf_inner *none = NULL;
	assert_int_equal(mf_inner_new(init, &none, NULL), MF_E_STATE); /* not before the handshake is done */
	assert_int_equal(mf_noise_write(init, mf_slice(NULL, 0), &m, NULL), MF_OK);
	assert_int_equal(mf_noise_read(resp, mf_buf_slice(&m), NULL, NULL), MF_OK);
	mf_buf_reset(&m);
	assert_int_equal(mf_noise_write(resp, mf_slice(NULL, 0), &m, NULL), MF_OK);
	assert_int_equal(mf_noise_read(init, mf_buf_slice(&m), NULL, NULL), MF_OK);
	assert_int_equal(mf_inner_new(init, &e->node, NULL), MF_OK);
	assert_int_equal(mf_inner_new(resp, &e->notary, NULL), MF_OK);
	assert_ptr_equal(mf_inner_noise(e->node), init);
}

static void
ends_fini(struct ends *e)
{
	mf_inner_free(e->node);
	mf_inner_free(e->notary);
}

static void
send_str(struct mf_inner *s, enum mf_inner_lane lane, uint64_t key, const char *text)
{
	assert_int_equal(mf_inner_send(s, lane, key, mf_slice_str(text), NULL), MF_OK);
}

/* One chunk from ${from} to ${to}. What feed said. */
static enum mf_status
step(struct mf_inner *from, struct mf_inner *to, enum mf_inner_lane *lane, struct mf_slice *msg)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, MF_INNER_SEALED_MAX);
	assert_true(mf_inner_pending(from));
	assert_int_equal(mf_inner_next(from, &out, NULL), MF_OK);
	return mf_inner_feed(to, mf_buf_slice(&out), lane, msg, NULL);
}

static void
expect(struct ends *e, enum mf_inner_lane want_lane, const char *text)
{
	enum mf_inner_lane lane;
	struct mf_slice msg;
	assert_int_equal(step(e->node, e->notary, &lane, &msg), MF_OK);
	assert_int_equal(lane, want_lane);
	assert_true(mf_slice_eq_str(msg, text));
}

static void
expect_nothing(struct mf_inner *s)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, MF_INNER_SEALED_MAX);
	assert_false(mf_inner_pending(s));
	assert_int_equal(mf_inner_next(s, &out, NULL), MF_E_AGAIN);
	assert_int_equal(out.n, 0);
	assert_int_equal(mf_inner_queued(s), 0);
}

static uint8_t *
pattern(size_t n)
{
	uint8_t *p = malloc(n);
	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
	return p;
}

static void
test_prologue(void **state)
{
	MF_UNUSED(state);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	uint8_t *long_name = pattern(256);
	struct mf_err err = { 0 };
	mf_buf_init(&b, 1024);
	assert_int_equal(
	    mf_inner_prologue(MF_SLICE_LIT("example.org"), MF_SLICE_LIT("b-1"), &b, &err), MF_OK);
	assert_hex(mf_buf_slice(&b), "6d6179666c792d696e6e65722d3100" /* mayfly-inner-1 NUL */
				     "000b6578616d706c652e6f7267"
				     "0003622d31");
	mf_buf_reset(&b);
	assert_int_equal(mf_inner_prologue(MF_SLICE_LIT(""), MF_SLICE_LIT("b"), &b, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "inner session: trust domain of 0 bytes, not 1 to 255");
	assert_int_equal(mf_inner_prologue(MF_SLICE_LIT("t"), MF_SLICE_LIT(""), &b, &err), MF_E_INVALID);
	assert_int_equal(
	    mf_inner_prologue(MF_SLICE_LIT("t"), mf_slice(long_name, 256), &b, &err), MF_E_INVALID);
	assert_int_equal(b.n, 0);
	assert_int_equal(mf_inner_prologue(MF_SLICE_LIT("t"), mf_slice(long_name, 255), &b, &err), MF_OK);
	free(long_name);
}

static void
test_both_ways(void **state)
{
	MF_UNUSED(state);
	struct ends e;
	enum mf_inner_lane lane;
	struct mf_slice msg;
	ends_init(&e, 0);
	expect_nothing(e.node);
	for (int i = 0; i < 3; i++) {
		send_str(e.node, MF_INNER_BOUNDED, 0, "up");
		expect(&e, MF_INNER_BOUNDED, "up");
		send_str(e.notary, MF_INNER_REMOVAL, 0, "down");
		assert_int_equal(step(e.notary, e.node, &lane, &msg), MF_OK);
		assert_int_equal(lane, MF_INNER_REMOVAL);
		assert_true(mf_slice_eq_str(msg, "down"));
	}
	expect_nothing(e.node);
	expect_nothing(e.notary);
	ends_fini(&e);
}

/* Sizes around the chunk, and the largest message. */
static void
test_sizes(void **state)
{
	MF_UNUSED(state);
	static const size_t sizes[] = { 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, MESSAGE };
	struct ends e;
	uint8_t *p = pattern(MESSAGE + 1);
	struct mf_err err = { 0 };
	ends_init(&e, 0);
	for (size_t i = 0; i < MF_COUNT(sizes); i++) {
		enum mf_inner_lane lane;
		struct mf_slice msg;
		size_t chunks = (sizes[i] + CHUNK - 1) / CHUNK;
		assert_int_equal(
		    mf_inner_send(e.node, MF_INNER_BOUNDED, 0, mf_slice(p, sizes[i]), NULL), MF_OK);
		for (size_t c = 0; c + 1 < chunks; c++)
			assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_E_AGAIN);
		assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_OK);
		assert_true(mf_slice_eq(msg, mf_slice(p, sizes[i])));
		expect_nothing(e.node);
	}
	assert_int_equal(
	    mf_inner_send(e.node, MF_INNER_BOUNDED, 0, mf_slice(p, MESSAGE + 1), &err), MF_E_TOOBIG);
	assert_int_equal(mf_inner_send(e.node, MF_INNER_BOUNDED, 0, mf_slice(p, 0), &err), MF_E_INVALID);
	send_str(e.node, MF_INNER_BOUNDED, 0, "the session goes on");
	expect(&e, MF_INNER_BOUNDED, "the session goes on");
	free(p);
	ends_fini(&e);
}

static void
test_removal_overtakes(void **state)
{
	MF_UNUSED(state);
	struct ends e;
	enum mf_inner_lane lane;
	struct mf_slice msg;
	uint8_t *big = pattern(3 * CHUNK);
	ends_init(&e, 0);
	send_str(e.node, MF_INNER_BOUNDED, 0, "first");
	assert_int_equal(mf_inner_send(e.node, MF_INNER_BOUNDED, 0, mf_slice(big, 3 * CHUNK), NULL), MF_OK);
	send_str(e.node, MF_INNER_REMOVAL, 0, "end 1");
	send_str(e.node, MF_INNER_REMOVAL, 0, "end 2");
	expect(&e, MF_INNER_REMOVAL, "end 1");
	expect(&e, MF_INNER_REMOVAL, "end 2");
	expect(&e, MF_INNER_BOUNDED, "first");
	/* In the middle of the big message. */
	assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_E_AGAIN);
	send_str(e.node, MF_INNER_REMOVAL, 0, "end 3");
	expect(&e, MF_INNER_REMOVAL, "end 3");
	assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_E_AGAIN);
	/* A big removal too, itself half sent: both lanes join at the same time. */
	assert_int_equal(mf_inner_send(e.node, MF_INNER_REMOVAL, 0, mf_slice(big, CHUNK + 5), NULL), MF_OK);
	assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_E_AGAIN);
	assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_OK);
	assert_int_equal(lane, MF_INNER_REMOVAL);
	assert_true(mf_slice_eq(msg, mf_slice(big, CHUNK + 5)));
	assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_OK);
	assert_int_equal(lane, MF_INNER_BOUNDED);
	assert_true(mf_slice_eq(msg, mf_slice(big, 3 * CHUNK)));
	expect_nothing(e.node);
	free(big);
	ends_fini(&e);
}

static void
test_coalescing(void **state)
{
	MF_UNUSED(state);
	struct ends e;
	enum mf_inner_lane lane;
	struct mf_slice msg;
	uint8_t *big = pattern(2 * CHUNK);
	ends_init(&e, 0);
	send_str(e.node, MF_INNER_BOUNDED, 7, "state 1");
	send_str(e.node, MF_INNER_BOUNDED, 0, "step");
	send_str(e.node, MF_INNER_BOUNDED, 8, "other 1");
	send_str(e.node, MF_INNER_BOUNDED, 7, "state 2");
	send_str(e.node, MF_INNER_BOUNDED, 0, "step"); /* key 0 never coalesces */
	send_str(e.node, MF_INNER_REMOVAL, 7, "a lane of its own");
	expect(&e, MF_INNER_REMOVAL, "a lane of its own");
	expect(&e, MF_INNER_BOUNDED, "state 2");
	send_str(e.node, MF_INNER_BOUNDED, 7, "state 3"); /* 2 has left */
	expect(&e, MF_INNER_BOUNDED, "step");
	expect(&e, MF_INNER_BOUNDED, "other 1");
	expect(&e, MF_INNER_BOUNDED, "step");
	expect(&e, MF_INNER_BOUNDED, "state 3");
	expect_nothing(e.node);
	/* A half-sent push is completed, the new one follows. */
	assert_int_equal(mf_inner_send(e.node, MF_INNER_BOUNDED, 9, mf_slice(big, 2 * CHUNK), NULL), MF_OK);
	assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_E_AGAIN);
	send_str(e.node, MF_INNER_BOUNDED, 9, "newer");
	send_str(e.node, MF_INNER_BOUNDED, 9, "newest");
	assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_OK);
	assert_true(mf_slice_eq(msg, mf_slice(big, 2 * CHUNK)));
	expect(&e, MF_INNER_BOUNDED, "newest");
	expect_nothing(e.node);
	free(big);
	ends_fini(&e);
}

static void
test_lane_caps(void **state)
{
	MF_UNUSED(state);
	struct ends e;
	struct mf_err err = { 0 };
	uint8_t *p = pattern(MESSAGE);
	ends_init(&e, 0);
	/* The same key three times holds one place. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    mf_inner_send(e.node, MF_INNER_BOUNDED, 5, mf_slice(p, MESSAGE), NULL), MF_OK);
	assert_int_equal(mf_inner_queued(e.node), MESSAGE + 64);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    mf_inner_send(e.node, MF_INNER_BOUNDED, 0, mf_slice(p, MESSAGE), NULL), MF_OK);
	assert_int_equal(
	    mf_inner_send(e.node, MF_INNER_BOUNDED, 0, mf_slice(p, MESSAGE), &err), MF_E_EXHAUSTED);
	assert_true(err.msg[0] != '\0');
	assert_int_equal(
	    mf_inner_send(e.node, MF_INNER_BOUNDED, 0, mf_slice(p, MESSAGE - 4 * 64), &err), MF_OK);
	assert_int_equal(mf_inner_queued(e.node), MF_LIM_INNER_QUEUE);
	assert_int_equal(mf_inner_send(e.node, MF_INNER_BOUNDED, 0, mf_slice(p, 1), &err), MF_E_EXHAUSTED);
	/* A full lane still takes the replacement of what it holds. */
	assert_int_equal(mf_inner_send(e.node, MF_INNER_BOUNDED, 5, mf_slice(p, MESSAGE), NULL), MF_OK);
	/* Removals do not notice. */
	send_str(e.node, MF_INNER_REMOVAL, 0, "end");
	expect(&e, MF_INNER_REMOVAL, "end");
	size_t taken = 0;
	while (mf_inner_send(e.node, MF_INNER_REMOVAL, 0, mf_slice(p, MESSAGE), &err) == MF_OK)
		taken++;
	assert_int_equal(err.code, MF_E_EXHAUSTED);
	assert_int_equal(taken, MF_LIM_INNER_REMOVALS / (MESSAGE + 64));
	free(p);
	ends_fini(&e);
}

/* Many tiny messages are bounded too. */
static void
test_tiny_messages_count(void **state)
{
	MF_UNUSED(state);
	struct ends e;
	size_t taken = 0;
	ends_init(&e, 0);
	while (mf_inner_send(e.node, MF_INNER_BOUNDED, 0, mf_slice("x", 1), NULL) == MF_OK)
		taken++;
	assert_int_equal(taken, MF_LIM_INNER_QUEUE / 65);
	ends_fini(&e);
}

static void
assert_ended(struct mf_inner *s)
{
	enum mf_inner_lane lane;
	struct mf_slice msg;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, MF_INNER_SEALED_MAX);
	assert_int_equal(mf_inner_send(s, MF_INNER_REMOVAL, 0, MF_SLICE_LIT("x"), NULL), MF_E_CLOSED);
	assert_int_equal(mf_inner_next(s, &out, NULL), MF_E_CLOSED);
	assert_int_equal(mf_inner_feed(s, MF_SLICE_LIT("x"), &lane, &msg, NULL), MF_E_CLOSED);
	assert_int_equal(out.n, 0);
}

/* What a front can do to sealed chunks: alter, drop, swap, repeat, cut. All end the session. */
static void
test_hostile_carrier(void **state)
{
	MF_UNUSED(state);
	for (int kind = 0; kind < 6; kind++) {
		struct ends e;
		struct mf_buf a, b;
		enum mf_inner_lane lane = MF_INNER_REMOVAL;
		struct mf_slice msg = MF_SLICE_LIT("untouched");
		ends_init(&e, 0);
		mf_buf_init(&a, MF_INNER_SEALED_MAX);
		mf_buf_init(&b, MF_INNER_SEALED_MAX + 1);
		send_str(e.node, MF_INNER_BOUNDED, 0, "one");
		send_str(e.node, MF_INNER_BOUNDED, 0, "two");
		assert_int_equal(mf_inner_next(e.node, &a, NULL), MF_OK);
		assert_int_equal(mf_inner_next(e.node, &b, NULL), MF_OK);
		enum mf_status want = MF_E_UNAUTH;
		if (kind == 0) { /* dropped or swapped */
			assert_int_equal(mf_inner_feed(e.notary, mf_buf_slice(&b), &lane, &msg, NULL), want);
		} else if (kind == 1) { /* repeated */
			struct mf_slice m;
			enum mf_inner_lane l;
			assert_int_equal(mf_inner_feed(e.notary, mf_buf_slice(&a), &l, &m, NULL), MF_OK);
			assert_int_equal(mf_inner_feed(e.notary, mf_buf_slice(&a), &lane, &msg, NULL), want);
		} else if (kind == 2) { /* the flag byte altered */
			a.p[0] ^= 2;
			assert_int_equal(mf_inner_feed(e.notary, mf_buf_slice(&a), &lane, &msg, NULL), want);
		} else if (kind == 3) { /* cut */
			assert_int_equal(
			    mf_inner_feed(e.notary, mf_slice(a.p, a.n - 1), &lane, &msg, NULL), want);
		} else if (kind == 4) { /* sent back */
			assert_int_equal(mf_inner_feed(e.node, mf_buf_slice(&a), &lane, &msg, NULL), want);
		} else { /* larger than any chunk */
			mf_buf_reset(&b);
			memset(mf_buf_extend(&b, MF_INNER_SEALED_MAX + 1), 0, MF_INNER_SEALED_MAX + 1);
			assert_int_equal(
			    mf_inner_feed(e.notary, mf_buf_slice(&b), &lane, &msg, NULL), MF_E_TOOBIG);
		}
		assert_ended(kind == 4 ? e.node : e.notary);
		assert_int_equal(lane, MF_INNER_REMOVAL);
		assert_true(mf_slice_eq_str(msg, "untouched"));
		mf_buf_fini(&a);
		mf_buf_fini(&b);
		ends_fini(&e);
	}
}

/* A peer that holds the keys and breaks the chunk layout. */
static const struct {
	uint8_t flags;
	size_t n;
	enum mf_status want;
} layouts[] = {
	{ 0x01, 1, MF_OK },
	{ 0x03, CHUNK, MF_OK },
	{ 0x00, CHUNK, MF_E_AGAIN },
	{ 0x02, CHUNK, MF_E_AGAIN },
	{ 0x01, 0, MF_E_INVALID }, /* empty message */
	{ 0x00, 0, MF_E_INVALID },
	{ 0x00, CHUNK - 1, MF_E_INVALID }, /* only the last chunk may be short */
	{ 0x02, 1, MF_E_INVALID },
	{ 0x01, CHUNK + 1, MF_E_INVALID },
	{ 0x00, CHUNK + 1, MF_E_INVALID },
	{ 0x05, 1, MF_E_INVALID }, /* unknown flags */
	{ 0x81, 1, MF_E_INVALID },
	{ 0xff, CHUNK, MF_E_INVALID },
};

static void
test_chunk_layout(void **state)
{
	MF_UNUSED(state);
	uint8_t *p = pattern(CHUNK + 2);
	for (size_t i = 0; i < MF_COUNT(layouts); i++) {
		struct mf_inner_join j;
		enum mf_inner_lane lane = MF_INNER_BOUNDED;
		struct mf_slice msg = { 0 };
		struct mf_err err = { 0 };
		mf_inner_join_init(&j);
		p[0] = layouts[i].flags;
		assert_int_equal(mf_inner_join_feed(&j, mf_slice(p, layouts[i].n + 1), &lane, &msg, &err),
		    layouts[i].want);
		if (layouts[i].want == MF_OK)
			assert_true(mf_slice_eq(msg, mf_slice(p + 1, layouts[i].n)));
		else
			assert_null(msg.p);
		assert_int_equal(err.msg[0] != '\0', layouts[i].want == MF_E_INVALID);
		mf_inner_join_fini(&j);
	}
	struct mf_inner_join j;
	enum mf_inner_lane lane;
	struct mf_slice msg;
	mf_inner_join_init(&j);
	assert_int_equal(mf_inner_join_feed(&j, mf_slice(NULL, 0), &lane, &msg, NULL), MF_E_INVALID);
	mf_inner_join_fini(&j);
	free(p);
}

static void
test_message_limits(void **state)
{
	MF_UNUSED(state);
	struct mf_inner_join j;
	enum mf_inner_lane lane;
	struct mf_slice msg;
	uint8_t *p = pattern(CHUNK + 1);
	mf_inner_join_init(&j);
	p[0] = 0;
	for (size_t i = 0; i < MESSAGE / CHUNK; i++)
		assert_int_equal(
		    mf_inner_join_feed(&j, mf_slice(p, CHUNK + 1), &lane, &msg, NULL), MF_E_AGAIN);
	p[0] = 1;
	assert_int_equal(mf_inner_join_feed(&j, mf_slice(p, 2), &lane, &msg, NULL), MF_E_TOOBIG);
	mf_inner_join_fini(&j);
	free(p);

	/* Before the peer has shown who it is: a lower limit, lifted later. */
	struct ends e;
	uint8_t *big = pattern(2 * CHUNK);
	ends_init(&e, 0);
	mf_inner_limit_message(e.notary, 10);
	send_str(e.node, MF_INNER_BOUNDED, 0, "0123456789");
	expect(&e, MF_INNER_BOUNDED, "0123456789");
	mf_inner_limit_message(e.notary, SIZE_MAX);
	assert_int_equal(mf_inner_send(e.node, MF_INNER_BOUNDED, 0, mf_slice(big, 2 * CHUNK), NULL), MF_OK);
	assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_E_AGAIN);
	assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_OK);
	mf_inner_limit_message(e.notary, 9);
	send_str(e.node, MF_INNER_BOUNDED, 0, "0123456789");
	assert_int_equal(step(e.node, e.notary, &lane, &msg), MF_E_TOOBIG);
	assert_ended(e.notary);
	free(big);
	ends_fini(&e);
}

static void
test_nonces_run_out(void **state)
{
	MF_UNUSED(state);
	struct ends e;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, MF_INNER_SEALED_MAX);
	ends_init(&e, 1);
	send_str(e.node, MF_INNER_BOUNDED, 0, "one");
	send_str(e.node, MF_INNER_BOUNDED, 0, "two");
	expect(&e, MF_INNER_BOUNDED, "one");
	assert_int_equal(mf_inner_next(e.node, &out, NULL), MF_E_EXHAUSTED);
	assert_ended(e.node);
	assert_int_equal(out.n, 0);
	ends_fini(&e); /* with a message still queued */
	mf_inner_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prologue),
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_removal_overtakes),
		cmocka_unit_test(test_coalescing),
		cmocka_unit_test(test_lane_caps),
		cmocka_unit_test(test_tiny_messages_count),
		cmocka_unit_test(test_hostile_carrier),
		cmocka_unit_test(test_chunk_layout),
		cmocka_unit_test(test_message_limits),
		cmocka_unit_test(test_nonces_run_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
