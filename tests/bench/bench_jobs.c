/*
 * bench_jobs [NODES]: what the state thread of the notary spends on one job of NODES (4096) instances that start at once,
 * on its announced end, on its end by the manager's word; and on one tick while 100,000 leases are open. The engine
 * alone: signers, log and network are the rig's, which only counts. Figures, nothing asserted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "engine_jobs.h"

#define KEY "slurm/c1/77.0"
#define WAVE 200u /* requests in work at a time, below the rig's bound */

static unsigned nodes = 4096;

static double
cpu(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void
report(const char *what, double ms, double each)
{
	printf("%-44s %10.2f ms  %8.2f us each\n", what, ms, ms * 1e3 / each);
}

static char (*names)[MF_STATE_ID_MAX];

static void
join_all(struct rig *r)
{
	for (unsigned k = 1; k <= nodes; k++) {
		mf_rig_join_with(r, k, k, NULL, NULL, names[k]);
		mf_rig_forget_answers(r);
	}
	mf_rig_join_with(r, nodes + 1, nodes + 1, "manager", "slurm/c1", names[0]);
	mf_rig_forget_answers(r);
}

/* One instance on each node: of the one job, or ${local} of their own. */
static void
attach_all(struct rig *r, unsigned first, bool local)
{
	char key[256];
	struct rig_attach a = { .key = key, .profile = "train", .user = "alice", .uid = 1000 };
	if (!local) {
		a.job_key = KEY;
		a.selector = "slurm.job_id:77";
	}
	for (unsigned k = 1; k <= nodes; k++) {
		mf_rig_instance_key(key, names[k], RIG_BOOT, first);
		(void)mf_rig_attach_as(r, k, k, &a);
		if (k % WAVE == 0)
			mf_rig_settle(r);
	}
	mf_rig_settle(r);
}

static void
bench(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	join_all(r);
	size_t before = r->log_n;
	for (size_t i = 0; i < r->log_n; i++)
		free(r->log[i].p);
	r->lean = true;
	double t = cpu();
	attach_all(r, 1, false);
	report("attach, one job (decide, record, release)", cpu() - t, nodes);
	printf("  %zu records, %zu answers (2 certificates each)\n", r->log_n - before, r->sent);
	t = cpu();
	(void)mf_rig_word_end(
	    r, nodes + 1, nodes + 1, KEY, MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_ANNOUNCED);
	mf_rig_settle(r);
	report("announced end (one record, a push a node)", cpu() - t, nodes);
	t = cpu();
	(void)mf_rig_word_end(
	    r, nodes + 1, nodes + 1, KEY, MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_FINAL);
	mf_rig_settle(r);
	report("final end (a record and a push an instance)", cpu() - t, nodes);
	unsigned rounds = 0;
	for (; mf_state_leases_open(mf_engine_state(r->e)) < 100000 && rounds < 400; rounds++)
		attach_all(r, 10 + rounds, true);
	printf("  %u leases open\n", mf_state_leases_open(mf_engine_state(r->e)));
	t = cpu();
	for (int i = 0; i < 1000; i++)
		mf_rig_advance(r, 1);
	report("1000 ticks with nothing due", cpu() - t, 1000);
	mf_rig_free(r);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bench) };
	if (argc > 1)
		nodes = (unsigned)strtoul(argv[1], NULL, 10);
	names = calloc(nodes + 2, sizeof(*names));
	if (names == NULL)
		return 1;
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(names);
	return rc;
}
