/* The agent's front: questions to the attestor are few at a time, and users take turns with theirs. Counted, not timed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "front_rig.h"

#define STORM 20u
#define EACH 2u /* MF_LOOKS_EACH */
#define OTHER 4099u

static struct rig *
rig(void **state)
{
	return *state;
}

static int
setup(void **state)
{
	struct rig *r = mf_frig_new();
	r->cfg.hold_ms = RIG_HANG_MS;
	r->who = RIG_SILENT;
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	mf_frig_free(*state);
	return 0;
}

static void
storm(struct rig *r, struct rig_client *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mf_frig_open(r, &c[i], &mf_frig_fetch);
	mf_frig_settle(r);
}

/* What the attestor answers about connection ${id}: nobody we know. */
static void
nobody(struct rig *r, uint64_t id)
{
	Mayfly__Roles__V1__Caller m = MAYFLY__ROLES__V1__CALLER__INIT;
	char why[] = "nobody";
	m.conn_id = id;
	m.reason = why;
	mf_frig_send(r, MF_MSG_CALLER, &m.base);
	mf_frig_settle(r);
}

static void
test_few_are_out(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c[STORM];
	mf_frig_start(r);
	storm(r, c, STORM);
	assert_int_equal(r->who_is, EACH);
	for (unsigned i = 1; i <= STORM - EACH; i++) { /* one answered, one more asked */
		nobody(r, i);
		assert_int_equal(r->who_is, EACH + i);
		assert_int_equal(r->conn_id, EACH + i); /* in the order of their coming */
		assert_int_equal(mf_frig_end(&c[i - 1]), MF_GRPC_PERMISSION_DENIED);
	}
	nobody(r, STORM - 1);
	nobody(r, STORM);
	assert_int_equal(r->who_is, STORM);
	for (size_t i = 0; i < STORM; i++)
		mf_frig_close(&c[i]);
}

/* Another user's question goes out although twenty of the first's wait; and then they take turns. */
static void
test_users_take_turns(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a[STORM], b[3];
	if (geteuid() != 0) {
		print_message("skipped: needs root: it connects as two users\n");
		return;
	}
	mf_frig_start(r);
	assert_int_equal(chmod(r->dir, 0755), 0);
	assert_int_equal(chmod(r->path, 0666), 0);
	storm(r, a, STORM);
	assert_int_equal(seteuid(OTHER), 0);
	for (size_t i = 0; i < MF_COUNT(b); i++)
		mf_frig_open(r, &b[i], &mf_frig_fetch);
	assert_int_equal(seteuid(0), 0);
	mf_frig_settle(r);
	assert_int_equal(r->who_is, 2 * EACH); /* its own two, at once */
	assert_int_equal(r->conn_id, STORM + 2);
	nobody(r, STORM + 1);
	assert_int_equal(r->conn_id, STORM + 3);
	for (size_t i = 0; i < STORM; i++)
		mf_frig_close(&a[i]);
	for (size_t i = 0; i < MF_COUNT(b); i++)
		mf_frig_close(&b[i]);
}

/* Who closes before its turn costs the attestor nothing, and who closes after being asked about holds nobody up. */
static void
test_gone_before_its_turn(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c[STORM], last;
	mf_frig_start(r);
	storm(r, c, STORM);
	for (size_t i = 0; i < STORM; i++)
		mf_frig_close(&c[i]);
	mf_frig_settle(r);
	assert_int_equal(r->who_is, EACH);
	mf_frig_open(r, &last, &mf_frig_fetch);
	mf_frig_settle(r);
	assert_int_equal(r->who_is, EACH); /* both answers are still to come */
	nobody(r, 1);
	assert_int_equal(r->who_is, EACH + 1);
	assert_int_equal(r->conn_id, STORM + 1);
	mf_frig_close(&last);
}

/* A new attestor knows no questions: all are asked again, as few at a time. */
static void
test_a_new_attestor(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c[STORM];
	mf_frig_start(r);
	storm(r, c, STORM);
	r->who_is = 0;
	mf_frig_attestor_dies(r);
	mf_frig_settle(r);
	mf_frig_attestor(r);
	mf_frig_settle(r);
	assert_int_equal(r->who_is, EACH);
	r->who = RIG_KNOWN; /* the others at once, when one is answered */
	nobody(r, 1);
	for (size_t i = 2; i < STORM; i++)
		if (mf_frig_next(&c[i]) == NULL)
			fail_msg("not served, but %s: %s", mf_grpc_code_name(c[i].code), c[i].text);
	assert_int_equal(r->who_is, STORM);
	for (size_t i = 0; i < STORM; i++)
		mf_frig_close(&c[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_few_are_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_users_take_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_before_its_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_new_attestor, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
