/* What stands in one frame of the log: a decision waits for the certificate that it leads to, and nobody waits for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/engine_rig.h"
#include "lib/store_kit.h"

static uint64_t
attach(struct rig *r, const char *node, unsigned i)
{
	char key[256];
	mf_rig_instance_key(key, node, RIG_BOOT, i);
	return mf_rig_attach(r, 1, 1, key, "train", "alice");
}

static void
test_may_wait(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	char node[MF_STATE_ID_MAX];
	uint8_t value[16];
	mf_rig_join(r, 1, 1, node, value);
	mf_rig_settle(r);
	assert_false(mf_engine_log_may_wait(r->e, r->log_n)); /* nothing is being signed */
	uint64_t from = r->log_n, first = attach(r, node, 1);
	assert_int_equal(r->log_n - from, 2); /* job.started, lease.opened */
	assert_true(mf_engine_log_may_wait(r->e, from));
	/* The certificates are there: the grant waits for the log now. */
	mf_rig_sign(r, true);
	assert_int_equal(r->log_n - from, 4);
	assert_false(mf_engine_log_may_wait(r->e, from));
	/* The next decision need not go with it. */
	uint64_t next = r->log_n, second = attach(r, node, 2);
	assert_false(mf_engine_log_may_wait(r->e, from));
	assert_true(mf_engine_log_may_wait(r->e, next));
	/* No signature: refused, and what was recorded stays no longer than that. */
	mf_rig_sign(r, false);
	assert_false(mf_engine_log_may_wait(r->e, next));
	mf_rig_commit(r);
	assert_non_null(mf_rig_grant(r, 1, first));
	assert_null(mf_rig_grant(r, 1, second));
	/* An end of the broker waits for nothing. */
	from = r->log_n;
	(void)attach(r, node, 3);
	assert_true(mf_engine_log_may_wait(r->e, from));
	mf_engine_stop(r->e, r->now);
	assert_false(mf_engine_log_may_wait(r->e, from));
	mf_rig_free(r);
}

/* Many are being signed: what waits for the log waits for more of them, up to a frame's worth. */
static void
test_crowd(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	char node[MF_STATE_ID_MAX];
	uint8_t value[16];
	mf_rig_join(r, 1, 1, node, value);
	mf_rig_settle(r);
	uint64_t first = attach(r, node, 1);
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, first);
	char lease[MF_STATE_ID_MAX];
	(void)snprintf(lease, sizeof(lease), "%s", g->lease_id);
	uint32_t epoch = g->epoch;
	uint64_t from = r->log_n;
	(void)mf_rig_renew(r, 1, 1, lease, epoch);
	mf_rig_sign(r, true);
	assert_true(r->log_n > from);
	assert_false(mf_engine_log_may_wait(r->e, from)); /* alone: at once */
	for (unsigned i = 0; i < 40; i++)
		(void)mf_rig_renew(r, 1, 1, lease, epoch);
	assert_true(mf_engine_log_may_wait(r->e, from));
	/* Decisions fill the frame, too. */
	unsigned n = 0;
	for (; n < 64 && mf_engine_log_may_wait(r->e, from); n++)
		(void)attach(r, node, 2 + n);
	assert_in_range(r->log_n - from, 64, 65);
	/* The last signatures are not waited for. */
	mf_rig_sign(r, true);
	assert_false(mf_engine_log_may_wait(r->e, from));
	mf_rig_free(r);
}

/* What is held goes as one frame; a removal takes what is before it along. */
static void
test_hold(void **state)
{
	MF_UNUSED(state);
	struct store_kit k;
	uint64_t from = 0;
	mf_store_kit_init(&k);
	assert_int_equal(mf_store_kit_open(&k, 1 << 20, NULL), MF_OK);
	mf_store_kit_run(&k);
	assert_false(mf_committer_holds(k.c, &from));
	uint64_t before = mf_committer_stats(k.c).batches, first = k.posted;
	for (int i = 0; i < 3; i++)
		mf_committer_hold(k.c, k.posted++, MF_SLICE_LIT("{\"held\":true}"), false);
	assert_true(mf_committer_holds(k.c, &from));
	assert_int_equal(from, first);
	mf_committer_push(k.c);
	assert_false(mf_committer_holds(k.c, &from));
	mf_store_kit_settle(&k);
	assert_int_equal(mf_committer_stats(k.c).batches, before + 1);
	assert_int_equal(k.durable, first + 3);
	mf_committer_hold(k.c, k.posted++, MF_SLICE_LIT("{\"held\":true}"), false);
	mf_committer_hold(k.c, k.posted++, MF_SLICE_LIT("{\"removal\":true}"), true);
	assert_false(mf_committer_holds(k.c, &from));
	mf_store_kit_settle(&k);
	/* What is held at the end is written. */
	mf_committer_hold(k.c, k.posted++, MF_SLICE_LIT("{\"held\":true}"), false);
	mf_committer_free(k.c);
	k.c = NULL;
	mf_store_kit_poll(&k, 0);
	assert_int_equal(k.durable, first + 6);
	assert_false(k.failed || k.disordered);
	mf_store_kit_fini(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_may_wait),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
