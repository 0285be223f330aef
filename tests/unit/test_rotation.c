#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/core/rotation.h"

#define START_US (INT64_C(1795000000) * 1000000)
#define START_S INT64_C(1795000000)
#define START_MS 5000000u

/* Randomness that is always the same number. */
static void
fill_fixed(void *ctx, void *to, size_t n)
{
	assert_int_equal(n, sizeof(uint64_t));
	memcpy(to, ctx, n);
}

static struct mf_rand
fixed(uint64_t *v)
{
	return (struct mf_rand) { fill_fixed, v };
}

static struct mf_now
at(uint64_t ms)
{
	return (struct mf_now) { START_US + (int64_t)ms * 1000, START_MS + ms };
}

static const struct mf_rotation_want waiting = { .waiting = true, .reachable = true };
static const struct mf_rotation_want stream = { .streams = 1, .reachable = true };
static const struct mf_rotation_want nobody = { .reachable = true };
static const struct mf_rotation_want cut_off = { .waiting = true, .streams = 3 };

static void
expect(const struct mf_rotation *r, const struct mf_rotation_want *w, uint64_t now_ms,
    enum mf_rotation_do what, uint64_t at_ms)
{
	struct mf_rotation_next n = mf_rotation_step(r, w, at(now_ms));
	assert_int_equal(n.what, what);
	if (what == MF_ROTATION_SLEEP)
		assert_true(n.at_ms == (at_ms == UINT64_MAX ? UINT64_MAX : START_MS + at_ms));
}

/* 20 minutes: renewed between 8 and 12 minutes, wherever the dice fall. */
static void
test_half_life(void **state)
{
	MF_UNUSED(state);
	static const struct {
		uint64_t dice, due_ms;
	} t[] = { { 0, 480000 }, { 120000, 600000 }, { 240000, 720000 }, { 240001, 480000 } };
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct mf_rotation r = { 0 };
		uint64_t dice = t[i].dice;
		mf_rotation_granted(&r, START_S + 1200, at(0), fixed(&dice));
		expect(&r, &stream, 0, MF_ROTATION_SLEEP, t[i].due_ms);
		expect(&r, &stream, t[i].due_ms - 1, MF_ROTATION_SLEEP, t[i].due_ms);
		expect(&r, &stream, t[i].due_ms, MF_ROTATION_ASK, 0);
		mf_rotation_asked(&r, at(t[i].due_ms));
		expect(&r, &stream, t[i].due_ms, MF_ROTATION_SLEEP, t[i].due_ms + MF_ROTATION_ANSWER_MS);
	}
}

static void
test_who_cares(void **state)
{
	MF_UNUSED(state);
	struct mf_rotation r = { 0 };
	uint64_t dice = 0;
	expect(&r, &nobody, 0, MF_ROTATION_SLEEP, UINT64_MAX);
	expect(&r, &cut_off, 0, MF_ROTATION_SLEEP, UINT64_MAX);
	expect(&r, &waiting, 0, MF_ROTATION_ASK, 0);
	expect(&r, &stream, 0, MF_ROTATION_ASK, 0);
	mf_rotation_granted(&r, START_S + 1200, at(0), fixed(&dice));
	/* fetched a while ago: renewed while that is less than one lifetime past */
	struct mf_rotation_want fetched = { .fetched = true, .fetched_ms = START_MS, .reachable = true };
	expect(&r, &fetched, 480000, MF_ROTATION_ASK, 0);
	expect(&r, &nobody, 480000, MF_ROTATION_SLEEP, 1200001);
	mf_rotation_granted(&r, START_S + 1680, at(480000), fixed(&dice));
	expect(&r, &fetched, 1199999, MF_ROTATION_ASK, 0);
	expect(&r, &fetched, 1200000, MF_ROTATION_SLEEP, 1680001);
	expect(&r, &fetched, 1680000, MF_ROTATION_LAPSE, 0);
	mf_rotation_drop(&r);
	expect(&r, &fetched, 1680000, MF_ROTATION_SLEEP, UINT64_MAX); /* past interest starts nothing */
	expect(&r, &stream, 1680000, MF_ROTATION_ASK, 0);
}

static void
test_cut_off(void **state)
{
	MF_UNUSED(state);
	struct mf_rotation r = { 0 };
	uint64_t dice = 0;
	mf_rotation_granted(&r, START_S + 1200, at(0), fixed(&dice));
	expect(&r, &cut_off, 900000, MF_ROTATION_SLEEP, 1200001); /* served until it expires */
	expect(&r, &stream, 900000, MF_ROTATION_ASK, 0);	  /* healed */
	mf_rotation_asked(&r, at(900000));
	mf_rotation_void(&r);
	expect(&r, &stream, 900001, MF_ROTATION_ASK, 0);
	/* the wall clock decides what has expired */
	struct mf_now jumped = { START_US + INT64_C(1300) * 1000000, START_MS + 900001 };
	assert_int_equal(mf_rotation_step(&r, &stream, jumped).what, MF_ROTATION_LAPSE);
}

static void
test_backoff(void **state)
{
	MF_UNUSED(state);
	static const uint64_t ceilings[] = { 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	struct mf_rotation r = { 0 };
	for (size_t i = 0; i < MF_COUNT(ceilings); i++) {
		uint64_t most = ceilings[i], least = 0, now = 1000000 * (i + 1);
		struct mf_rotation copy = r;
		mf_rotation_asked(&r, at(now));
		mf_rotation_failed(&r, at(now), fixed(&most));
		expect(&r, &waiting, now, MF_ROTATION_SLEEP, now + most);
		mf_rotation_failed(&copy, at(now), fixed(&least)); /* full jitter: it may be nothing */
		expect(&copy, &waiting, now, MF_ROTATION_ASK, 0);
	}
	for (unsigned f = 0; f < 200; f++)
		assert_true(mf_rotation_backoff(mf_rand_system(), 200, f, 30000) <= 30000);
	uint64_t dice = 7;
	mf_rotation_granted(&r, START_S + 100000, at(20000000), fixed(&dice));
	assert_int_equal(r.failures, 0);
}

static void
test_no_answer(void **state)
{
	MF_UNUSED(state);
	struct mf_rotation r = { 0 };
	mf_rotation_asked(&r, at(0));
	expect(&r, &waiting, MF_ROTATION_ANSWER_MS - 1, MF_ROTATION_SLEEP, MF_ROTATION_ANSWER_MS);
	expect(&r, &waiting, MF_ROTATION_ANSWER_MS, MF_ROTATION_GIVE_UP, 0);
}

/* A lifetime of nothing leads to a request a second, not to a storm. */
static void
test_short_lives(void **state)
{
	MF_UNUSED(state);
	struct mf_rotation r = { 0 };
	uint64_t dice = 0;
	mf_rotation_granted(&r, START_S + 1, at(0), fixed(&dice));
	expect(&r, &stream, 500, MF_ROTATION_SLEEP, MF_ROTATION_LEAST_MS);
	expect(&r, &stream, 999, MF_ROTATION_SLEEP, MF_ROTATION_LEAST_MS);
	expect(&r, &stream, 1000, MF_ROTATION_LAPSE, 0);
	mf_rotation_granted(&r, INT64_MAX, at(0), fixed(&dice)); /* nor does one of for ever overflow */
	assert_true(r.due_ms > START_MS);
}

static void
test_wait_and_hurry(void **state)
{
	MF_UNUSED(state);
	struct mf_rotation r = { 0 };
	uint64_t dice = 300;
	mf_rotation_wait(&r, 5000, at(0));
	expect(&r, &waiting, 0, MF_ROTATION_SLEEP, 5000);
	mf_rotation_drop(&r);
	expect(&r, &waiting, 0, MF_ROTATION_SLEEP, 5000); /* a refusal outlives what it voided */
	expect(&r, &waiting, 5000, MF_ROTATION_ASK, 0);
	mf_rotation_failed(&r, at(5000), fixed(&dice));
	expect(&r, &waiting, 5000, MF_ROTATION_SLEEP, 5300);
	mf_rotation_clear(&r);
	expect(&r, &waiting, 5000, MF_ROTATION_ASK, 0);
	mf_rotation_granted(&r, START_S + 1200, at(5000), fixed(&dice));
	mf_rotation_hurry(&r, 2000, at(10000), fixed(&dice));
	expect(&r, &stream, 10000, MF_ROTATION_SLEEP, 10300);
	expect(&r, &stream, 10300, MF_ROTATION_ASK, 0);
	assert_int_equal(mf_rotation_uniform(fixed(&dice), 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_life),
		cmocka_unit_test(test_who_cares),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_short_lives),
		cmocka_unit_test(test_wait_and_hurry),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
