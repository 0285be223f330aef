/* Which key signs the assertions for a target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig_cloud.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE

static struct rig_cloud cloud;
static struct rig_job job;

/* The target says by what assertions for it are signed. */
static void
test_es256(void **state)
{
	MF_UNUSED(state);
	for (unsigned there = 0; there < 2; there++) {
		if (there)
			assert_int_equal(
			    mf_jws_key_generate(MF_JWS_ES256, &mf_rig_assertion_es256, NULL), MF_OK);
		struct rig *r = mf_rig_with_cloud(&cloud, &job);
		cloud.es256 = true;
		mf_rig_cloud_conf(r);
		uint64_t req = mf_rig_mint_cloud(r, &job, "data");
		mf_rig_settle(r);
		if (there) {
			assert_int_equal(cloud.signing_n, 1);
			assert_string_equal(
			    mf_jws_key_kid(cloud.signing[0]->key), mf_jws_key_kid(mf_rig_assertion_es256));
			mf_rig_assert_all(r, true);
			assert_int_equal(cloud.asked_n, 1);
			assert_true(mf_rig_bring(r));
			mf_rig_settle(r);
			assert_non_null(mf_rig_cloud_grant(r, req));
			(void)mf_rig_end(r, 1, 1, job.key, job.lease);
			mf_rig_settle(r);
			assert_string_equal(
			    mf_jws_key_kid(cloud.signing[0]->key), mf_jws_key_kid(mf_rig_assertion_es256));
		} else {
			assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
			assert_non_null(
			    strstr(mf_rig_answer(r, 1, req)->refusal->reason, "--use jwt-assertion-es256"));
		}
		mf_rig_cloud_free(r);
	}
	mf_jws_key_free(mf_rig_assertion_es256);
	mf_rig_assertion_es256 = NULL;
	mf_rig_free_spares();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_es256),
	};
	return cmocka_run_group_tests(tests, mf_rig_cloud_setup, mf_rig_cloud_teardown);
}
