/* fair: one turn for each key, caps on what is under way, and no trace of who left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/fair.h"

#define MANY 1000u

struct thing {
	struct mf_fair_item item;
	uint64_t key;
};

static struct thing *
taken(struct mf_fair *f)
{
	struct mf_fair_item *i = mf_fair_take(f);
	return i == NULL ? NULL : MF_CONTAINER_OF(i, struct thing, item);
}

/* Whoever has a thousand waiting, another's only one is served as second. */
static void
test_a_thousand_of_one_wait_behind_one_of_another(void **state)
{
	MF_UNUSED(state);
	static struct thing a[MANY];
	struct thing b = { .key = 2 };
	MF_AUTO(mf_fair_free) struct mf_fair *f = mf_fair_new(0, 0);
	assert_non_null(f);
	for (size_t i = 0; i < MANY; i++) {
		a[i] = (struct thing) { .key = 1 };
		assert_true(mf_fair_add(f, &a[i].item, 1));
	}
	assert_true(mf_fair_add(f, &b.item, 2));
	assert_true(mf_fair_add(f, &b.item, 2)); /* once, however often */
	assert_int_equal(mf_fair_waiting(f), MANY + 1);
	assert_ptr_equal(taken(f), &a[0]);
	assert_ptr_equal(taken(f), &b);
	for (size_t i = 1; i < MANY; i++)
		assert_ptr_equal(taken(f), &a[i]); /* in the order of their coming */
	assert_null(taken(f));
	assert_int_equal(mf_fair_waiting(f), 0);
}

static void
test_three_take_turns(void **state)
{
	MF_UNUSED(state);
	static struct thing t[9];
	MF_AUTO(mf_fair_free) struct mf_fair *f = mf_fair_new(0, 0);
	assert_non_null(f);
	for (size_t i = 0; i < 9; i++) {
		t[i] = (struct thing) { .key = i / 3 };
		assert_true(mf_fair_add(f, &t[i].item, t[i].key));
	}
	for (uint64_t i = 0; i < 9; i++)
		assert_int_equal(taken(f)->key, i % 3);
	assert_null(taken(f));
}

/* Of one key no more than its cap are under way, whatever is free; of all no more than theirs. */
static void
test_caps(void **state)
{
	MF_UNUSED(state);
	static struct thing a[5], b[5], c[5];
	MF_AUTO(mf_fair_free) struct mf_fair *f = mf_fair_new(2, 5);
	assert_non_null(f);
	for (size_t i = 0; i < 5; i++) {
		a[i] = b[i] = c[i] = (struct thing) { .key = 0 };
		assert_true(mf_fair_add(f, &a[i].item, 1));
	}
	assert_ptr_equal(taken(f), &a[0]);
	assert_ptr_equal(taken(f), &a[1]);
	assert_null(taken(f));
	mf_fair_done(f, 1);
	assert_ptr_equal(taken(f), &a[2]);
	for (size_t i = 0; i < 5; i++) {
		assert_true(mf_fair_add(f, &b[i].item, 2));
		assert_true(mf_fair_add(f, &c[i].item, 3));
	}
	assert_ptr_equal(taken(f), &b[0]);
	assert_ptr_equal(taken(f), &c[0]);
	assert_ptr_equal(taken(f), &b[1]);
	assert_null(taken(f)); /* five */
	assert_int_equal(mf_fair_under_way(f), 5);
	mf_fair_done(f, 2);
	assert_ptr_equal(taken(f), &c[1]); /* a and c are next in turn, and a has its two */
	mf_fair_done(f, 9);		   /* nobody's */
	assert_int_equal(mf_fair_under_way(f), 5);
	mf_fair_forget(f);
	assert_int_equal(mf_fair_under_way(f), 0);
	for (size_t n = 0; n < 5; n++)
		assert_non_null(taken(f));
	assert_null(taken(f));
}

static void
test_who_leaves_is_not_served(void **state)
{
	MF_UNUSED(state);
	static struct thing a[4];
	struct thing b = { .key = 2 };
	MF_AUTO(mf_fair_free) struct mf_fair *f = mf_fair_new(1, 4);
	assert_non_null(f);
	for (size_t i = 0; i < 4; i++) {
		a[i] = (struct thing) { .key = 1 };
		assert_true(mf_fair_add(f, &a[i].item, 1));
	}
	assert_true(mf_fair_add(f, &b.item, 2));
	mf_fair_remove(f, &a[0].item);
	mf_fair_remove(f, &a[0].item);
	mf_fair_remove(f, &b.item);
	assert_int_equal(mf_fair_waiting(f), 3);
	assert_ptr_equal(taken(f), &a[1]);
	mf_fair_remove(f, &a[2].item);
	mf_fair_remove(f, &a[3].item);
	assert_int_equal(mf_fair_waiting(f), 0);
	assert_null(taken(f));
	assert_true(mf_fair_add(f, &a[0].item, 1)); /* what is under way still counts */
	assert_null(taken(f));
	mf_fair_done(f, 1);
	assert_ptr_equal(taken(f), &a[0]);
}

/* Freed while some wait and some are under way: an item that is left over waits for nothing. */
static void
test_the_end(void **state)
{
	MF_UNUSED(state);
	static struct thing a[3];
	struct mf_fair *f = mf_fair_new(1, 0);
	assert_non_null(f);
	for (size_t i = 0; i < 3; i++) {
		a[i] = (struct thing) { .key = i };
		assert_true(mf_fair_add(f, &a[i].item, i % 2));
	}
	assert_non_null(taken(f));
	mf_fair_free(f);
	for (size_t i = 0; i < 3; i++)
		assert_null(a[i].item.lane);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_thousand_of_one_wait_behind_one_of_another),
		cmocka_unit_test(test_three_take_turns),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_who_leaves_is_not_served),
		cmocka_unit_test(test_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
