/* Dry runs: the decision of a real request, and nothing of what follows it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine_rig.h"

struct ask {
	const char *key, *profile, *user, *manifest;
	bool keys, interactive, no_attach;
};

static char grade[] = "pidfd+cgroup";

static uint64_t
explain(struct rig *r, struct ask q)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Explain x = MAYFLY__AGENT__V1__EXPLAIN__INIT;
	Mayfly__Agent__V1__Attach a = MAYFLY__AGENT__V1__ATTACH__INIT;
	uint8_t bytes[65] = { 4 };
	ProtobufCBinaryData point = { sizeof(bytes), bytes };
	char selector[128], *list[] = { selector };
	(void)snprintf(selector, sizeof(selector), "unix.user:%s", q.user);
	a.instance_key = (char *)(uintptr_t)q.key;
	a.profile = (char *)(uintptr_t)q.profile;
	a.unix_user = (char *)(uintptr_t)q.user;
	a.grade = grade;
	a.n_selectors = 1;
	a.selectors = list;
	a.interactive = q.interactive;
	a.n_points = q.keys ? 1 : 0;
	a.points = &point;
	if (q.manifest != NULL)
		a.manifest = (ProtobufCBinaryData) { strlen(q.manifest), (uint8_t *)(uintptr_t)q.manifest };
	x.attach = q.no_attach ? NULL : &a;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_EXPLAIN;
	up.explain = &x;
	return mf_rig_up(r, 1, 1, &up);
}

static const Mayfly__Agent__V1__Explained *
explained(const struct rig *r, uint64_t request)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, 1, request);
	assert_non_null(d);
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL)
		fail_msg("refused: %s", d->refusal->reason);
	assert_int_equal(d->body_case, MAYFLY__AGENT__V1__DOWN__BODY_EXPLAINED);
	return d->explained;
}

static void
test_decisions(void **state)
{
	MF_UNUSED(state);
	char node[128], key[256];
	uint8_t value[16];
	struct rig *r = mf_rig_new();
	mf_rig_join(r, 1, 1, node, value);
	mf_rig_instance_key(key, node, RIG_BOOT, 1);
	const Mayfly__Agent__V1__Explained *x;
	/* The same engine's own words for a real request. */
	uint64_t real = mf_rig_attach(r, 1, 1, key, "train", "mallory");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Down *no = mf_rig_answer(r, 1, real);
	assert_int_equal(no->body_case, MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL);
	size_t records = r->log_n;
	char *before = mf_rig_snapshot(mf_engine_state(r->e));
	x = explained(r, explain(r, (struct ask) { .key = key, .profile = "train", .user = "mallory" }));
	assert_false(x->permit);
	assert_string_equal(x->reason, no->refusal->reason);
	assert_string_equal(x->profile, "train");
	assert_string_equal(x->attribute, "attested.unix.user");
	assert_true(x->cure[0] != '\0');
	assert_int_equal(strlen(x->policy_sha256), 64);
	x = explained(r, explain(r, (struct ask) { .key = key, .profile = "train", .user = "alice" }));
	assert_true(x->permit);
	assert_true(x->rule[0] != '\0');
	assert_string_equal(x->profile, "train");
	x = explained(
	    r, explain(
		   r, (struct ask) { .key = key, .profile = "train", .user = "alice", .interactive = true }));
	assert_false(x->permit);
	assert_string_equal(x->attribute, "attested.interactive");
	x = explained(r, explain(r, (struct ask) { .key = key,
					.profile = "train",
					.user = "alice",
					.manifest = "{\"deadline\":\"2001-01-01T00:00:00Z\"}" }));
	assert_false(x->permit);
	assert_string_equal(x->attribute, "manifest.deadline");
	/* A manifest may name the profile; what the request itself names goes before it. */
	static const char named[] = "{\"profile\":\"shell\"}";
	x = explained(
	    r, explain(r, (struct ask) { .key = key, .profile = "", .user = "alice", .manifest = named }));
	assert_false(x->permit);
	assert_string_equal(x->profile, "shell");
	x = explained(r,
	    explain(r, (struct ask) { .key = key, .profile = "train", .user = "alice", .manifest = named }));
	assert_true(x->permit);
	assert_string_equal(x->profile, "train");
	/* It gave nothing, so there is nothing of it. */
	mf_rig_settle(r);
	assert_int_equal(r->log_n, records);
	char *after = mf_rig_snapshot(mf_engine_state(r->e));
	assert_string_equal(before, after);
	free(before);
	free(after);
	/* And the instance that was only thought of can still be opened. */
	real = mf_rig_attach(r, 1, 1, key, "train", "alice");
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, real));
	mf_rig_free(r);
}

static void
test_refused(void **state)
{
	MF_UNUSED(state);
	char node[128], key[256];
	uint8_t value[16];
	struct rig *r = mf_rig_new();
	mf_rig_join(r, 1, 1, node, value);
	mf_rig_instance_key(key, node, RIG_BOOT, 1);
	const struct ask good = { .key = key, .profile = "train", .user = "alice" };
	struct ask bad = good;
	bad.keys = true;
	assert_int_equal(
	    mf_rig_refusal(r, 1, explain(r, bad)), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID);
	bad = good;
	bad.no_attach = true;
	assert_int_equal(
	    mf_rig_refusal(r, 1, explain(r, bad)), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID);
	bad = good;
	bad.key = "local/n-other/" RIG_BOOT "/p-1"; /* another node's */
	assert_int_equal(
	    mf_rig_refusal(r, 1, explain(r, bad)), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID);
	bad = good;
	bad.manifest = "{";
	assert_int_equal(
	    mf_rig_refusal(r, 1, explain(r, bad)), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID);
	/* A node that asks in a loop is told to wait; a minute later it may again. */
	unsigned told = 0;
	Mayfly__Agent__V1__RefusalCode code = 0;
	for (; told < 1000 && (code = mf_rig_refusal(r, 1, explain(r, good))) == 0; told++)
		;
	assert_int_equal(code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	assert_true(told > 10 && told <= 60);
	mf_rig_advance(r, 61000);
	assert_int_equal(mf_rig_refusal(r, 1, explain(r, good)), 0);
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_refused) };
	return cmocka_run_group_tests_name("engine_explain", tests, NULL, NULL);
}
