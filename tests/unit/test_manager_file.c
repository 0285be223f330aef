#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/core/manager_file.h"
#include "base/buf.h"
#include "base/limits.h"

static enum mf_status
parse(const char *text, struct mf_manager_file **ret_f)
{
	struct mf_err err = { 0 };
	return mf_manager_file_parse(mf_slice_str(text), ret_f, &err);
}

static void
test_good(void **state)
{
	MF_UNUSED(state);
	struct mf_manager_file *f = NULL;
	assert_int_equal(
	    parse("job slurm/c1/77.0\nselector slurm.job_id:77\nselector slurm.x:y z\n", &f), MF_OK);
	assert_int_equal(f->say, MF_SAY_NOTHING);
	assert_string_equal(f->job, "slurm/c1/77.0");
	assert_int_equal(f->list_n, 2);
	assert_string_equal(f->list[1], "slurm.x:y z");
	assert_string_equal(f->reason, "");
	mf_manager_file_free(f);
	assert_int_equal(
	    parse("say started\nowner 1000\ndeadline 1800000000\nnode gpu1\njob slurm/c1/77.0\n", &f), MF_OK);
	assert_int_equal(f->say, MF_SAY_STARTED);
	assert_true(f->owner_known);
	assert_int_equal(f->owner, 1000);
	assert_int_equal(f->deadline, 1800000000);
	assert_string_equal(f->list[0], "gpu1");
	mf_manager_file_free(f);
	assert_int_equal(parse("job k\nsay requeued\nreason node failed\n", &f), MF_OK);
	assert_int_equal(f->say, MF_SAY_REQUEUED);
	assert_string_equal(f->reason, "node failed");
	mf_manager_file_free(f);
}

static void
test_bad(void **state)
{
	MF_UNUSED(state);
	static const char *const bad[] = { "", "\n", "job\n", "job \n", "job a", "job a\njob b\n",
		"x y\njob a\n", "say ended\n", "job a\nsay\n", "job a\nsay maybe\n",
		"job a\nsay ended\nsay ended\n", "job a\nowner -1\n", "job a\nowner 4294967296\n",
		"job a\nowner 1\nowner 1\n", "job a\ndeadline x\n", "job a\tb\n", "job a\nnode n\n",
		"job a\nsay started\nselector s:t\n", "job a\nsay started\nnode n\nselector s:t\n",
		"job a\x7f\n", "job \xff\n" };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_manager_file *f = NULL;
		if (parse(bad[i], &f) != MF_E_INVALID)
			fail_msg("taken: %zu", i);
		assert_null(f);
	}
	struct mf_manager_file *f = NULL;
	assert_int_equal(mf_manager_file_parse(mf_slice("job a\0b\n", 8), &f, NULL), MF_E_INVALID);
	char *big = malloc(MF_LIM_MANAGER_FILE + 1);
	memset(big, 'a', MF_LIM_MANAGER_FILE + 1);
	assert_int_equal(
	    mf_manager_file_parse(mf_slice(big, MF_LIM_MANAGER_FILE + 1), &f, NULL), MF_E_TOOBIG);
	free(big);
	/* As many as an instance has selectors, and no more. */
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_MANAGER_FILE);
	mf_buf_put_str(&b, "job a\n");
	for (unsigned i = 0; i < MF_LIM_SELECTORS; i++)
		mf_buf_put_str(&b, "selector s:\n");
	assert_int_equal(mf_manager_file_parse(mf_buf_slice(&b), &f, NULL), MF_OK);
	mf_manager_file_free(f);
	mf_buf_put_str(&b, "selector s:\n");
	assert_int_equal(mf_manager_file_parse(mf_buf_slice(&b), &f, NULL), MF_E_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
