#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/heap.h"

struct thing {
	int tag;
	struct mf_heap_node at;
};

static void
test_order(void **state)
{
	MF_UNUSED(state);
	struct mf_heap h = { .n = 0 };
	static struct thing t[1000];
	uint64_t x = 1;
	assert_null(mf_heap_first(&h));
	for (int i = 0; i < 1000; i++) {
		x = x * UINT64_C(6364136223846793005) + 1;
		assert_true(mf_heap_set(&h, &t[i].at, (int64_t)(x >> 40)));
	}
	/* Some move, some go. */
	for (int i = 0; i < 1000; i += 3)
		assert_true(mf_heap_set(&h, &t[i].at, t[i].at.key / 2 + i));
	size_t gone = 0;
	for (int i = 0; i < 1000; i += 7, gone++)
		mf_heap_del(&h, &t[i].at);
	mf_heap_del(&h, &t[0].at); /* twice is nothing */
	int64_t last = -1;
	size_t n = 0;
	for (struct mf_heap_node *p; (p = mf_heap_first(&h)) != NULL; n++) {
		struct thing *e = MF_HEAP_ITEM(p, struct thing, at);
		assert_true((e - t) % 7 != 0);
		assert_true(p->key >= last);
		last = p->key;
		mf_heap_del(&h, p);
		assert_int_equal(p->place, 0);
	}
	assert_int_equal(n, 1000 - gone);
	mf_heap_fini(&h);
}

/* Against a plain search, at every step of a long random history. */
static void
test_against_a_list(void **state)
{
	MF_UNUSED(state);
	struct mf_heap h = { .n = 0 };
	struct thing t[64] = { 0 };
	uint64_t x = 7;
	for (int step = 0; step < 20000; step++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
		struct thing *e = &t[(x >> 33) % 64];
		if ((x >> 60) < 6)
			mf_heap_del(&h, &e->at);
		else
			assert_true(mf_heap_set(&h, &e->at, (int64_t)((x >> 45) & 0xff) - 128));
		int64_t least = INT64_MAX;
		size_t in = 0;
		for (int i = 0; i < 64; i++) {
			if (t[i].at.place == 0)
				continue;
			in++;
			assert_ptr_equal(h.v[t[i].at.place - 1], &t[i].at);
			if (t[i].at.key < least)
				least = t[i].at.key;
		}
		assert_int_equal(in, h.n);
		if (in == 0)
			assert_null(mf_heap_first(&h));
		else
			assert_int_equal(mf_heap_first(&h)->key, least);
	}
	mf_heap_fini(&h);
	for (int i = 0; i < 64; i++)
		assert_int_equal(t[i].at.place, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_against_a_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
