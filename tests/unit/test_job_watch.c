#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/core/job_watch.h"

#define OVER (MF_JOB_STOP_SERVING | MF_JOB_REPORT_END | MF_JOB_UNWATCH)

/* The paths that matter, event by event: a whole life each. */
static void
test_lives(void **state)
{
	MF_UNUSED(state);
	static const struct {
		enum mf_job_state from;
		enum mf_job_event event;
		bool tree;
		enum mf_job_state to;
		unsigned actions;
	} c[] = {
		{ MF_JOB_ARMING, MF_JOB_EMPTY, false, MF_JOB_ARMING, 0 }, /* nobody yet is no end */
		{ MF_JOB_ARMING, MF_JOB_POPULATED, false, MF_JOB_LIVE, 0 },
		{ MF_JOB_ARMING, MF_JOB_RUNNER_GONE, false, MF_JOB_ENDED, OVER }, /* nobody will come */
		{ MF_JOB_LIVE, MF_JOB_RUNNER_GONE, false, MF_JOB_LIVE, 0 },	  /* the cgroup decides */
		{ MF_JOB_LIVE, MF_JOB_RUNNER_GONE, true, MF_JOB_ENDED, OVER },	  /* a tree dies with it */
		{ MF_JOB_LIVE, MF_JOB_EMPTY, false, MF_JOB_ENDED, OVER },
		{ MF_JOB_LIVE, MF_JOB_DRAIN, false, MF_JOB_ENDING, MF_JOB_REPORT_DRAIN },
		{ MF_JOB_ENDING, MF_JOB_EMPTY, false, MF_JOB_ENDED, OVER },
		{ MF_JOB_ENDING, MF_JOB_RUNNER_GONE, true, MF_JOB_ENDED, OVER },
		{ MF_JOB_ENDED, MF_JOB_RUNNER_GONE, true, MF_JOB_ENDED, 0 }, /* reported once only */
		{ MF_JOB_ENDED, MF_JOB_POPULATED, false, MF_JOB_ENDED, 0 },  /* never back */
		{ MF_JOB_ENDED, MF_JOB_RECORDED, false, MF_JOB_GONE, MF_JOB_FORGET },
		{ MF_JOB_GONE, MF_JOB_RECORDED, false, MF_JOB_GONE, 0 },
	};
	for (size_t i = 0; i < MF_COUNT(c); i++) {
		enum mf_job_state to = MF_JOB_STATE_COUNT;
		unsigned actions = 99;
		assert_int_equal(
		    mf_job_watch_step(c[i].from, c[i].event, c[i].tree, &to, &actions, NULL), MF_OK);
		assert_int_equal(to, c[i].to);
		assert_int_equal(actions, c[i].actions);
	}
}

/* Over the whole table: no way back from an end, one report per life, empty cells change nothing. */
static void
test_whole_table(void **state)
{
	MF_UNUSED(state);
	for (unsigned s = 0; s < MF_JOB_STATE_COUNT; s++) {
		for (unsigned e = 0; e < MF_JOB_EVENT_COUNT; e++) {
			for (unsigned tree = 0; tree < 2; tree++) {
				enum mf_job_state to = (enum mf_job_state)77;
				unsigned actions = 99;
				struct mf_err err = { 0 };
				enum mf_status r = mf_job_watch_step((enum mf_job_state)s,
				    (enum mf_job_event)e, tree == 1, &to, &actions, &err);
				if (r != MF_OK) {
					assert_int_equal(r, MF_E_STATE);
					assert_int_equal(to, 77);
					assert_int_equal(actions, 99);
					assert_non_null(
					    strstr(err.msg, mf_job_state_name((enum mf_job_state)s)));
					continue;
				}
				if (s >= MF_JOB_ENDED)
					assert_true(to >= MF_JOB_ENDED);
				assert_int_equal((actions & MF_JOB_REPORT_END) != 0,
				    s < MF_JOB_ENDED && to == MF_JOB_ENDED);
				if ((actions & MF_JOB_REPORT_END) != 0)
					assert_true((actions & OVER) == OVER);
				assert_int_equal(
				    (actions & MF_JOB_FORGET) != 0, s == MF_JOB_ENDED && to == MF_JOB_GONE);
			}
		}
	}
	enum mf_job_state to;
	unsigned actions;
	assert_int_equal(
	    mf_job_watch_step(MF_JOB_STATE_COUNT, MF_JOB_EMPTY, false, &to, &actions, NULL), MF_E_INTERNAL);
	assert_int_equal(
	    mf_job_watch_step(MF_JOB_LIVE, MF_JOB_EVENT_COUNT, false, &to, &actions, NULL), MF_E_INTERNAL);
	assert_string_equal(mf_job_state_name(MF_JOB_STATE_COUNT), "unknown");
	assert_string_equal(mf_job_event_name(MF_JOB_EVENT_COUNT), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_whole_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
