#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "broker/core/job_key.h"

static void
test_good(void **state)
{
	MF_UNUSED(state);
	struct mf_job_key k;
	char s[64];
	assert_int_equal(mf_job_key_parse(MF_SLICE_LIT("slurm/c1/77.3"), &k, NULL), MF_OK);
	assert_int_equal(k.manager, MF_MANAGER_SLURM);
	assert_true(mf_slice_eq_str(k.speaker, "slurm/c1") && mf_slice_eq_str(k.line, "slurm/c1/77"));
	assert_true(mf_slice_eq_str(k.id, "77"));
	assert_int_equal(k.restart, 3);
	assert_true(mf_job_key_selector(&k, s, sizeof(s)));
	assert_string_equal(s, "slurm.job_id:77");
	assert_false(mf_job_key_selector(&k, s, 15));
	assert_int_equal(mf_job_key_parse(MF_SLICE_LIT("slurm/c1/4294967295.0"), &k, NULL), MF_OK);
	assert_int_equal(
	    mf_job_key_parse(MF_SLICE_LIT("k8s/prod/team-a/RayJob/0b0e6f1c-9d9a"), &k, NULL), MF_OK);
	assert_int_equal(k.manager, MF_MANAGER_K8S);
	assert_true(mf_slice_eq_str(k.speaker, "k8s/prod") && mf_slice_eq_str(k.ns, "team-a"));
	assert_true(mf_job_key_selector(&k, s, sizeof(s)));
	assert_string_equal(s, "k8s.ns:team-a");
}

static void
test_bad(void **state)
{
	MF_UNUSED(state);
	static const char *const bad[] = { "", "/", "slurm", "slurm/c1", "slurm/c1/", "slurm/c1/77",
		"slurm/c1/77.", "slurm/c1/.0", "slurm/c1/77.0.1", "slurm/c1/077.0", "slurm/c1/77.00",
		"slurm/c1/+7.0", "slurm/c1/12345678901.0", "slurm//7.0", "slurm/./7.0", "slurm/../7.0",
		"slurm/c 1/7.0", "slurm/c1/7.0/", "/slurm/c1/7.0", "Slurm/c1/7.0", "k8s/c/ns/Job",
		"k8s/c/ns/Job/u/x", "k8s/c//Job/u", "local/n/b/cg-1", "slurm/c\xc3\xa9/7.0" };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_job_key k = { .restart = 99 };
		struct mf_err err = { 0 };
		if (mf_job_key_parse(mf_slice_str(bad[i]), &k, &err) != MF_E_INVALID)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(k.restart, 99); /* written on success only */
		assert_non_null(strstr(err.msg, "slurm/<cluster>/<id>.<restart>"));
	}
	struct mf_job_key k;
	char text[MF_LIM_JOB_KEY + 2];
	memset(text, 'a', sizeof(text));
	assert_int_equal(mf_job_key_parse(mf_slice(text, sizeof(text)), &k, NULL), MF_E_TOOBIG);
	assert_int_equal(mf_job_key_parse(mf_slice("slurm/c1/7\0.0", 12), &k, NULL), MF_E_INVALID);
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
