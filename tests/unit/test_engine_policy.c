/*
 * Policy in the engine: what a manifest says of a list survives in the record and decides renewals; obligations limit
 * certificates and jobs; another policy is told to those alone whom it changes; reviews are announced.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/notary/engine_internal.h"
#include "broker/policy/policy_load.h"
#include "engine_rig.h"

#define DENIED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED

static struct mf_policy *
load(const char *rules)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, said;
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new("p");
	struct mf_policy *p = NULL;
	struct mf_err err = { 0 };
	mf_buf_init(&text, 1 << 16);
	mf_buf_init(&said, 1 << 16);
	mf_buf_putf(&text,
	    "mayfly_policy: 1\nprofiles:\n  train: {purpose: p, owner: o, max_job: 1h, drain: 0s, "
	    "identities: [{path: "
	    "\"/t/{job}\", x509_ttl: 20m}]}\nrules:\n%s",
	    rules);
	if (mf_policy_load(mf_buf_slice(&text), problems, &p, &err) != MF_OK) {
		mf_problems_put(problems, &said);
		fail_msg("%s %s", err.msg, mf_buf_cstr(&said));
	}
	return p;
}

#define RULE "- {id: r, effect: permit, profile: train, owner: o, review_by: 2099-01-01, nodes: any, "

static void
set_policy(struct rig *r, const char *rules, char digest)
{
	char hex[65];
	memset(hex, digest, 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, load(rules), hex);
	mf_rig_commit(r);
}

static uint64_t
attach(struct rig *r, const char *key, const char *manifest)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Attach a = MAYFLY__AGENT__V1__ATTACH__INIT;
	uint8_t point[65] = { 4 };
	ProtobufCBinaryData points = { sizeof(point), point };
	char text[256], profile[] = "train", grade[] = "cgroup", selector[] = "unix.user:alice",
			*ps = selector;
	static uint8_t salt;
	point[1] = ++salt;
	(void)snprintf(text, sizeof(text), "%s", key);
	a.instance_key = text;
	a.profile = profile;
	a.grade = grade;
	a.n_selectors = 1;
	a.selectors = &ps;
	a.n_points = 1;
	a.points = &points;
	a.manifest = (ProtobufCBinaryData) { strlen(manifest), (uint8_t *)(uintptr_t)manifest };
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_ATTACH;
	up.attach = &a;
	uint64_t id = mf_rig_up(r, 1, 1, &up);
	mf_rig_settle(r);
	return id;
}

struct job {
	char key[300], lease[80];
	uint32_t epoch;
	int64_t exp, deadline;
};

static void
start(struct rig *r, const char *node, unsigned i, const char *manifest, struct job *j)
{
	mf_rig_instance_key(j->key, node, RIG_BOOT, i);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, attach(r, j->key, manifest));
	assert_non_null(g);
	(void)snprintf(j->lease, sizeof(j->lease), "%s", g->lease_id);
	j->epoch = g->epoch;
	j->exp = g->issued[0]->not_after;
	j->deadline = g->deadline;
}

static const Mayfly__Agent__V1__Refusal *
refusal(const struct rig *r, uint64_t request)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, 1, request);
	return d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL ? d->refusal : NULL;
}

/* How often the holder of ${lease} was asked to renew. */
static size_t
told(const struct rig *r, const char *lease)
{
	size_t n = 0;
	for (size_t i = 0; i < r->downs_n; i++)
		n += r->downs[i].down->body_case == MAYFLY__AGENT__V1__DOWN__BODY_RECONSIDER &&
		     strcmp(r->downs[i].down->reconsider->lease_id, lease) == 0;
	return n;
}

static struct rig *
joined(char *node)
{
	uint8_t value[16];
	struct rig *r = mf_rig_new();
	mf_rig_join(r, 1, 1, node, value);
	return r;
}

#define TWO                                                                            \
	"{\"dataset\":[{\"uri\":\"s3://r/a\",\"class\":\"public\"},{\"uri\":\"s3://r/" \
	"b\",\"class\":\"internal\"}]}"

/* Each element keeps its keys through record, replay and renewal. */
static void
test_lists_survive(void **state)
{
	MF_UNUSED(state);
	char node[128];
	struct job j;
	struct rig *r = joined(node);
	set_policy(r,
	    RULE
	    "when: {every: [manifest.dataset, {any: [{eq: [class, public]}, {under: [uri, s3://r/b]}]}]}}\n",
	    'b');
	start(r, node, 1, TWO, &j);
	uint64_t renew = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, renew));
	/* A renewal is decided on the state, which is a fold of the log: the same after a replay. */
	MF_AUTO(mf_state_free) struct mf_state *again = mf_rig_replay(r, r->log_n);
	char *a = mf_rig_snapshot(mf_engine_state(r->e)), *b = mf_rig_snapshot(again);
	assert_string_equal(a, b);
	assert_non_null(strstr(a, "dataset[1].class=internal"));
	free(a);
	free(b);
	/* Now the second element does not fit any more: named, with its number. */
	set_policy(r, RULE "when: {every: [manifest.dataset, {eq: [class, public]}]}}\n", 'c');
	renew = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Refusal *no = refusal(r, renew);
	assert_non_null(no);
	assert_int_equal(no->code, DENIED);
	assert_non_null(strstr(no->reason, "manifest.dataset[1].class is internal, must be public"));
	mf_rig_free(r);
}

static void
test_obligations(void **state)
{
	MF_UNUSED(state);
	char node[128];
	struct job j;
	struct rig *r = joined(node);
	int64_t now_s = r->now.wall_us / 1000000;
	set_policy(r, RULE "when: always, require: {max_ttl: 5m, max_job: 10m, ticket: true}}\n", 'b');
	mf_rig_instance_key(j.key, node, RIG_BOOT, 1);
	const Mayfly__Agent__V1__Refusal *no = refusal(r, attach(r, j.key, "{\"env\":\"dev\"}"));
	assert_non_null(no);
	assert_non_null(strstr(no->reason, "asks for manifest.ticket, which is missing"));
	assert_string_equal(no->rule, "r");
	start(r, node, 2, "{\"ticket\":\"CHG-1\"}", &j);
	assert_true(j.exp <= now_s + 300 && j.exp > now_s + 290);
	assert_true(j.deadline <= now_s + 600);
	/* At the renewal too, by today's policy. */
	set_policy(r, RULE "when: always, require: {max_ttl: 2m}}\n", 'c');
	uint64_t renew = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, renew));
	assert_true(mf_rig_grant(r, 1, renew)->issued[0]->not_after <= r->now.wall_us / 1000000 + 120);
	mf_rig_free(r);
}

/* Only who would be refused, or given something else, is asked to renew; each once. */
static void
test_only_changes_are_pushed(void **state)
{
	MF_UNUSED(state);
	char node[128];
	struct job dev, prod;
	struct rig *r = joined(node);
	set_policy(r, RULE "when: {in: [manifest.env, [dev, prod]]}}\n", 'b');
	start(r, node, 1, "{\"env\":\"dev\"}", &dev);
	start(r, node, 2, "{\"env\":\"prod\"}", &prod);
	/* The same rules in another file: nobody hears of it. */
	set_policy(r, RULE "when: {in: [manifest.env, [prod, dev]]}}\n", 'c');
	mf_rig_advance(r, 1000);
	assert_int_equal(told(r, dev.lease) + told(r, prod.lease), 0);
	set_policy(r, RULE "when: {eq: [manifest.env, dev]}}\n", 'd');
	mf_rig_advance(r, 1000);
	mf_rig_advance(r, 1000);
	assert_int_equal(told(r, dev.lease), 0);
	assert_int_equal(told(r, prod.lease), 1);
	assert_non_null(strstr(r->said, "1 of 2 live instances are asked to renew now"));
	/* A shorter life is a change for both of those that hold. */
	set_policy(r, RULE "when: {eq: [manifest.env, dev]}, require: {max_ttl: 1m}}\n", 'e');
	mf_rig_advance(r, 1000);
	assert_int_equal(told(r, dev.lease), 1);
	assert_int_equal(told(r, prod.lease), 1);
	mf_rig_free(r);
}

/* ${match}: of a job; of a reload the digest, NULL for none. */
static void
ask(struct rig *r, uint64_t id, Mayfly__Roles__V1__AdminCall__WhatCase what, char *match)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ReloadPolicyRequest reload = MAYFLY__ADMIN__V1__RELOAD_POLICY_REQUEST__INIT;
	Mayfly__Admin__V1__GetPolicyRequest get = MAYFLY__ADMIN__V1__GET_POLICY_REQUEST__INIT;
	Mayfly__Admin__V1__ExplainJobRequest explain = MAYFLY__ADMIN__V1__EXPLAIN_JOB_REQUEST__INIT;
	call.call_id = id;
	call.uid = 42;
	call.pid = 4711;
	call.loginuid = UINT32_MAX;
	call.what_case = what;
	if (what == MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_RELOAD_POLICY) {
		call.reload_policy = &reload;
		reload.sha256 = match == NULL ? reload.sha256 : match;
	} else if (what == MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_POLICY) {
		call.get_policy = &get;
	} else {
		explain.match = match;
		call.explain_job = &explain;
	}
	mf_engine_admin(r->e, r->now, &call);
}
#define RELOAD MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_RELOAD_POLICY

static void
test_reload(void **state)
{
	MF_UNUSED(state);
	char node[128], hex[65];
	struct rig *r = joined(node);
	set_policy(r, RULE "when: always}\n", 'b');
	size_t before = r->replies, loaded = mf_rig_count(r, MF_REC_POLICY_LOADED);
	ask(r, 7, RELOAD, NULL);
	assert_int_equal(r->asked, 1);
	assert_int_equal(r->replies, before);
	/* A second one meanwhile. */
	ask(r, 8, RELOAD, NULL);
	assert_int_equal(r->reply->call_id, 8);
	assert_non_null(strstr(r->reply->error, "another reload"));
	/* Answered when the change is on record, which says who asked. */
	before = r->replies;
	memset(hex, 'c', 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, load(RULE "when: {has: [node.x]}}\n"), hex);
	assert_int_equal(r->replies, before);
	mf_rig_commit(r);
	assert_int_equal(r->replies, before + 1);
	assert_int_equal(r->reply->call_id, 7);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_POLICY);
	assert_string_equal(r->reply->policy->sha256, hex);
	assert_int_equal(mf_rig_count(r, MF_REC_POLICY_LOADED), loaded + 1);
	char *last = mf_slice_dup_str(mf_slice(r->log[r->log_n - 1].p, r->log[r->log_n - 1].n));
	assert_non_null(strstr(last, "\"policy.loaded\""));
	assert_non_null(strstr(last, "\"uid\":42"));
	free(last);
	/* Refused: the policy in force stays, and says why it does. */
	ask(r, 9, RELOAD, NULL);
	mf_engine_policy_refused(r->e, r->now, "p.yaml:3:1: nonsense");
	assert_int_equal(r->reply->call_id, 9);
	assert_non_null(strstr(r->reply->error, "p.yaml:3:1: nonsense: the policy in force stays"));
	ask(r, 10, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_POLICY, NULL);
	assert_string_equal(r->reply->policy->sha256, hex);
	assert_string_equal(r->reply->policy->refused, "p.yaml:3:1: nonsense");
	/* The supervisor says nothing. */
	ask(r, 11, RELOAD, NULL);
	mf_rig_advance(r, 11000);
	assert_int_equal(r->reply->call_id, 11);
	assert_non_null(strstr(r->reply->error, "supervisor.reload"));
	ask(r, 12, RELOAD, NULL); /* freed with the engine */
	mf_rig_free(r);
}

/* A reload that names its file takes no other one, and with signers every reload names one. */
static void
test_reload_of(void **state)
{
	MF_UNUSED(state);
	char node[128], want[65], other[65], bad[] = "ABC";
	struct mf_err err = { 0 };
	struct rig *r = joined(node);
	set_policy(r, RULE "when: always}\n", 'b');
	memset(want, 'c', 64);
	memset(other, 'd', 64);
	want[64] = other[64] = '\0';
	assert_int_equal(
	    mf_engine_policy_expected(r->e, other, &err), MF_OK); /* SIGHUP: whatever lies there */
	ask(r, 7, RELOAD, bad);
	assert_int_equal(r->reply->call_id, 7);
	assert_non_null(strstr(r->reply->error, "64 letters of hex"));
	assert_int_equal(r->asked, 0);
	ask(r, 8, RELOAD, want);
	assert_int_equal(r->asked, 1);
	assert_int_equal(mf_engine_policy_expected(r->e, other, &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "another file"));
	assert_int_equal(mf_engine_policy_expected(r->e, want, &err), MF_OK);
	mf_engine_policy(r->e, r->now, load(RULE "when: {has: [node.x]}}\n"), want);
	mf_rig_commit(r);
	assert_int_equal(r->reply->call_id, 8);
	assert_string_equal(r->reply->policy->sha256, want);
	assert_int_equal(mf_engine_policy_expected(r->e, other, &err), MF_OK); /* nobody waits any more */
	/* Whatever the persons signed, it must say for which file. */
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ReloadPolicyRequest reload = MAYFLY__ADMIN__V1__RELOAD_POLICY_REQUEST__INIT;
	call.call_id = 9;
	call.what_case = RELOAD;
	call.reload_policy = &reload;
	mf_engine_signers(r->e, r->now, 1, 1, "ab");
	mf_engine_reload_policy(r->e, r->now, &call);
	assert_int_equal(r->reply->call_id, 9);
	assert_non_null(strstr(r->reply->error, "mayfly policy apply FILE --sign"));
	assert_int_equal(r->asked, 1);
	mf_rig_free(r);
}

static void
test_explain(void **state)
{
	MF_UNUSED(state);
	char node[128], none[] = "j-none";
	struct job j;
	struct rig *r = joined(node);
	set_policy(r, RULE "when: {contains: [attested.unix.user, alice]}}\n", 'b');
	start(r, node, 1, "{\"env\":\"dev\"}", &j);
	const struct mf_lease *l = mf_state_lease(mf_engine_state(r->e), mf_slice_str(j.lease));
	char id[MF_STATE_ID_MAX];
	memcpy(id, l->job->id, sizeof(id));
	ask(r, 5, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXPLAIN_JOB, id);
	assert_true(r->reply->explanation->permit);
	assert_string_equal(r->reply->explanation->given_by, "r");
	set_policy(r, RULE "when: {contains: [attested.unix.user, bob]}}\n", 'c');
	ask(r, 6, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXPLAIN_JOB, id);
	assert_false(r->reply->explanation->permit);
	assert_string_equal(r->reply->explanation->attribute, "attested.unix.user");
	/* An operator sees what the rule wants; the job was not told. */
	assert_non_null(strstr(r->reply->explanation->reason, "must contain bob"));
	uint64_t renew = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	assert_non_null(refusal(r, renew));
	assert_null(strstr(refusal(r, renew)->reason, "bob"));
	ask(r, 7, MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXPLAIN_JOB, none);
	assert_non_null(strstr(r->reply->error, "keeps no facts"));
	mf_rig_free(r);
}

/* A denial keeps what it was decided on. */
static void
test_denial_keeps_facts(void **state)
{
	MF_UNUSED(state);
	char node[128], key[300];
	struct rig *r = joined(node);
	set_policy(r, RULE "when: {eq: [manifest.env, dev]}}\n", 'b');
	mf_rig_instance_key(key, node, RIG_BOOT, 1);
	assert_non_null(refusal(r, attach(r, key, TWO)));
	char *last = mf_slice_dup_str(mf_slice(r->log[r->log_n - 1].p, r->log[r->log_n - 1].n));
	assert_non_null(strstr(last, "authz.denied"));
	assert_non_null(strstr(last, "\"dataset[1].uri=s3://r/b\""));
	assert_non_null(strstr(last, "\"unix.user:alice\""));
	free(last);
	mf_rig_free(r);
}

static void
test_reviews(void **state)
{
	MF_UNUSED(state);
	char node[128], rules[512], day[16];
	struct rig *r = joined(node);
	int y, mon, d, h, min, s;
	/* The day after tomorrow is the last one. */
	mf_civil(r->now.wall_us / 1000000 + 2 * 86400, &y, &mon, &d, &h, &min, &s);
	(void)snprintf(day, sizeof(day), "%04d-%02d-%02d", y, mon, d);
	(void)snprintf(rules, sizeof(rules),
	    "- {id: soon, effect: permit, profile: train, owner: team-x, review_by: %s, nodes: any, when: "
	    "always}\n",
	    day);
	set_policy(r, rules, 'b');
	mf_rig_advance(r, 1000);
	assert_non_null(strstr(r->said, "rule soon must be reviewed within 7 days: ask team-x"));
	r->said[0] = '\0';
	mf_rig_advance(r, 100000);
	assert_null(strstr(r->said, "soon")); /* once */
	for (unsigned i = 0; i < 4 * 24 * 16; i++)
		mf_rig_advance(r, 225 * 1000);
	assert_non_null(strstr(r->said, "within a day"));
	assert_non_null(strstr(r->said, "rule soon is past its review_by and permits nothing any more"));
	assert_null(strstr(strstr(r->said, "within a day") + 1, "within a day"));
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists_survive),
		cmocka_unit_test(test_obligations),
		cmocka_unit_test(test_only_changes_are_pushed),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_reload_of),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_denial_keeps_facts),
		cmocka_unit_test(test_reviews),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
