/* cloud_repeat: whose bytes are known, and that nobody else's are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/front/cloud_repeat.h"

static const struct mf_cloud_repeat data = { .name = "p-7", .grant = "data", .kind = MF_CLOUD_AWS };

static void
test_known(void **state)
{
	MF_AUTO(mf_cloud_repeats_free) struct mf_cloud_repeats *r = mf_cloud_repeats_new();
	MF_UNUSED(state);
	assert_non_null(r);
	struct mf_slice a = MF_SLICE_LIT("GET /a"), b = MF_SLICE_LIT("GET /b"),
			longer = MF_SLICE_LIT("GET /ab");
	assert_false(mf_cloud_repeats_may(r, a.n));
	mf_cloud_repeats_add(r, 5, &data, a);
	assert_true(mf_cloud_repeats_may(r, a.n));
	assert_false(mf_cloud_repeats_may(r, longer.n));
	assert_false(mf_cloud_repeats_may(r, 1u << 20));
	const struct mf_cloud_repeat *k = mf_cloud_repeats_find(r, 5, a);
	assert_non_null(k);
	assert_string_equal(k->grant, "data");
	/* Another cgroup, other bytes, none: not known. */
	assert_null(mf_cloud_repeats_find(r, 6, a));
	assert_null(mf_cloud_repeats_find(r, 0, a));
	assert_null(mf_cloud_repeats_find(r, 5, b));
	assert_null(mf_cloud_repeats_find(r, 5, longer));
	assert_null(mf_cloud_repeats_find(r, 5, mf_slice(a.p, a.n - 1)));
	assert_null(mf_cloud_repeats_find(r, 5, (struct mf_slice) { 0 }));
	mf_cloud_repeats_add(r, 5, &data, a); /* twice is once */
	mf_cloud_repeats_add(r, 6, &data, b);
	mf_cloud_repeats_forget(r, 5);
	mf_cloud_repeats_forget(r, 5);
	assert_null(mf_cloud_repeats_find(r, 5, a));
	assert_non_null(mf_cloud_repeats_find(r, 6, b));
	mf_cloud_repeats_clear(r);
	assert_false(mf_cloud_repeats_may(r, a.n));
	assert_null(mf_cloud_repeats_find(r, 6, b));
}

/* What is not kept: nobody's, nothing, too long. */
static void
test_not_kept(void **state)
{
	static const uint8_t big[MF_CLOUD_REPEAT_TEXT + 1] = { 'G' };
	MF_AUTO(mf_cloud_repeats_free) struct mf_cloud_repeats *r = mf_cloud_repeats_new();
	MF_UNUSED(state);
	mf_cloud_repeats_add(r, 0, &data, MF_SLICE_LIT("x"));
	mf_cloud_repeats_add(r, 5, &data, (struct mf_slice) { 0 });
	mf_cloud_repeats_add(r, 5, &data, mf_slice(big, sizeof(big)));
	assert_null(mf_cloud_repeats_find(r, 0, MF_SLICE_LIT("x")));
	assert_null(mf_cloud_repeats_find(r, 5, mf_slice(big, sizeof(big))));
	mf_cloud_repeats_add(r, 5, &data, mf_slice(big, sizeof(big) - 1));
	assert_non_null(mf_cloud_repeats_find(r, 5, mf_slice(big, sizeof(big) - 1)));
}

/* Of each cgroup the latest few texts, of all cgroups the latest many. */
static void
test_room(void **state)
{
	MF_AUTO(mf_cloud_repeats_free) struct mf_cloud_repeats *r = mf_cloud_repeats_new();
	char text[32];
	MF_UNUSED(state);
	for (unsigned k = 0; k <= MF_CLOUD_REPEAT_EACH; k++) {
		(void)snprintf(text, sizeof(text), "text %04u", k);
		mf_cloud_repeats_add(r, 1, &data, mf_slice_str(text));
	}
	assert_null(mf_cloud_repeats_find(r, 1, MF_SLICE_LIT("text 0000")));
	assert_non_null(mf_cloud_repeats_find(r, 1, MF_SLICE_LIT("text 0001")));
	assert_non_null(mf_cloud_repeats_find(r, 1, mf_slice_str(text)));
	for (uint64_t g = 2; g <= MF_CLOUD_REPEAT_MAX + 1; g++)
		mf_cloud_repeats_add(r, g, &data, MF_SLICE_LIT("x"));
	assert_null(mf_cloud_repeats_find(r, 1, mf_slice_str(text)));
	assert_non_null(mf_cloud_repeats_find(r, 2, MF_SLICE_LIT("x")));
	assert_false(mf_cloud_repeats_may(r, strlen(text)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_known), cmocka_unit_test(test_not_kept),
		cmocka_unit_test(test_room) };
	return cmocka_run_group_tests_name("cloud_repeat", tests, NULL, NULL);
}
