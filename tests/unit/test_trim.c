/* What was freed below something that lives is the system's again, once, and only when something ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/trim.h"

#define BLOCKS 16384u
#define BLOCK 4000u /* below what the allocator maps by itself */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define OWN_ALLOCATOR true
#endif
#endif
#ifndef OWN_ALLOCATOR
#define OWN_ALLOCATOR false
#endif

static long
anonymous_kib(void)
{
	char line[256];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "RssAnon:", 8) == 0)
			kib = strtol(line + 8, NULL, 10);
	(void)fclose(f);
	return kib;
}

static void
until(struct mf_loop *l, const struct mf_trim *t, uint64_t count)
{
	while (mf_trim_count(t) < count)
		assert_int_equal(mf_loop_turn(l, true, NULL), MF_OK);
}

static void
test_given_back(void **state)
{
	MF_UNUSED(state);
	static void *block[BLOCKS];
	struct mf_loop *l = NULL;
	struct mf_trim *t = NULL;
	assert_int_equal(mf_loop_new(&l, NULL), MF_OK);
	assert_int_equal(mf_trim_new(l, 1, &t, NULL), MF_OK);
	for (size_t i = 0; i < BLOCKS; i++) {
		block[i] = malloc(BLOCK);
		assert_non_null(block[i]);
		memset(block[i], 1, BLOCK);
	}
	long full = anonymous_kib();
	for (size_t i = 0; i + 1 < BLOCKS; i++)
		free(block[i]);
	mf_trim_soon(t);
	mf_trim_soon(t);
	until(l, t, 1);
	if (!OWN_ALLOCATOR)
		assert_true(full - anonymous_kib() > (long)(BLOCKS * BLOCK / 1024 * 3 / 4));
	assert_int_equal(mf_loop_turn(l, false, NULL), MF_OK);
	assert_int_equal(mf_trim_count(t), 1); /* once for both */
	mf_trim_soon(t);
	until(l, t, 2);
	free(block[BLOCKS - 1]);
	mf_trim_free(t);
	mf_loop_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_given_back) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
