/*
 * Every allocation fails once while configuration, policy, manifest, JSON, tokens and foreign bundles are read: an error with a text (or
 * success, where the allocation was for a text only), no output written, nothing leaked, no crash. The allocator is
 * ours in the whole program, so those of the libraries count as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc_fail.h"

#include "broker/notary/approval.h"
#include "agent/front/bundles.h"
#include "broker/notary/foreign.h"
#include "broker/policy/policy_load.h"
#include "codec/allowed_signers.h"
#include "codec/json.h"
#include "codec/jws.h"
#include "codec/manifest.h"
#include "conf/admins_conf.h"
#include "conf/agent_conf.h"
#include "conf/broker_conf.h"
#include "rpc/admin_text.h"

#ifdef MF_INSTRUMENTED
int
main(void)
{
	printf("skipped: the sanitizer's allocator cannot be replaced\n");
	return 0;
}
#else

#define KEY "AAAAC3NzaC1lZDI1NTE5AAAAILYJS5fS55Y6ltIdIA18ECtL0GRrRXzVxYt0hsW+eIKm"
#define ROUNDS 5000 /* more allocations than any operation makes: a hang limit */

static enum mf_status
op_broker(struct mf_err *err)
{
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("f");
	MF_AUTO(mf_broker_conf_free) struct mf_broker_conf *c = NULL;
	char e[] = "MAYFLY_LISTEN=127.0.0.1:1", a[] = "--users-front=x";
	char *env[] = { e, NULL }, *argv[] = { a, NULL };
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	return mf_broker_conf_load(
	    MF_SLICE_LIT("trust_domain: example.org\nadmin_uids: [1, 2]\nkek: {credential: k}\n"), env, argv,
	    NULL, p, &c, err);
}

static enum mf_status
op_agent(struct mf_err *err)
{
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("f");
	MF_AUTO(mf_agent_conf_free) struct mf_agent_conf *c = NULL;
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	return mf_agent_conf_load(MF_SLICE_LIT("broker: b:1\nhold: 1s\n"), NULL, NULL, NULL, p, &c, err);
}

static enum mf_status
op_policy(struct mf_err *err)
{
	static const char text[] = "mayfly_policy: 1\nprofiles: {a: {purpose: p, owner: o, jwt_audiences: "
				   "[x], identities: [{path: \"/g/{job}\", "
				   "dns: [\"{job}.x\"], cn: \"{job}\"}]}}\nrules:\n- {id: r, effect: permit, "
				   "profile: a, owner: o, review_by: "
				   "2027-02-01, nodes: {in: [node.pool, [b, a]]}, when: {all: [{has: "
				   "manifest.kind}, {eq: [manifest.kind, x]}]}}\n";
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("f");
	MF_AUTO(mf_policy_free) struct mf_policy *policy = NULL;
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	return mf_policy_load(mf_slice_str(text), p, &policy, err);
}

static enum mf_status
op_facts(struct mf_err *err)
{
	MF_AUTO(mf_facts_free) struct mf_facts *f = NULL;
	MF_TRY(mf_facts_new(&f, err));
	for (size_t i = 0; i < 200; i++) {
		char v[16];
		(void)snprintf(v, sizeof(v), "v%zu", i);
		MF_TRY(mf_facts_add(f, MF_FACT_NODE, MF_SLICE_LIT("n"), mf_slice_str(v), err));
	}
	return MF_OK;
}

static enum mf_status
op_json(struct mf_err *err)
{
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	return mf_json_parse(MF_SLICE_LIT("{\"a\":[1,\"x\",{\"b\":null}],\"c\":\"d\"}"), 0, &doc, err);
}

static enum mf_status
op_manifest(struct mf_err *err)
{
	MF_AUTO(mf_manifest_free) struct mf_manifest *m = NULL;
	return mf_manifest_parse(
	    MF_SLICE_LIT("{\"tenant\":\"t\",\"dataset\":[{\"uri\":\"u\"}],\"egress\":[]}"), &m, err);
}

static enum mf_status
op_admins(struct mf_err *err)
{
	static const char text[] =
	    "mayfly_admins: 1\nca: /a\nbundles: {b.example: {file: /b}}\nadmins:\n- {role: "
	    "viewer, spiffe_id: \"spiffe://b.example/x\"}\n- {role: admin, subject: CN=a}\n";
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("f");
	MF_AUTO(mf_admins_conf_free) struct mf_admins_conf *c = NULL;
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	return mf_admins_conf_load(mf_slice_str(text), p, &c, err);
}

static enum mf_status
op_signers(struct mf_err *err)
{
	MF_AUTO(mf_signers_free) struct mf_signers *s = NULL;
	return mf_signers_parse(
	    MF_SLICE_LIT("alice namespaces=\"mayfly-admin\" ssh-ed25519 " KEY "\n"), "mayfly-admin", &s, err);
}

/* A text without a parameter would be another act: it must fail, never come out short. */
static enum mf_status
op_act_text(struct mf_err *err)
{
	static char key[] = "pool", value[] = "gpu";
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry
	    a = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__ATTRIBUTES_ENTRY__INIT,
	    *p = &a;
	const struct mf_admin_head head = { "log", "", "00112233445566778899aabbccddeeff", 1 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_ADMIN_TEXT);
	a.key = key;
	a.value = value;
	q.uses = 2;
	q.n_attributes = 1;
	q.attributes = &p;
	MF_TRY(mf_admin_text(&head, &q.base, &b, err));
	assert_non_null(strstr(mf_buf_cstr(&b) == NULL ? "" : (const char *)b.p, "[\"pool\"]: \"gpu\"\n"));
	return MF_OK;
}

static enum mf_status
op_approval_job(struct mf_err *err)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ConfirmClockRequest q = MAYFLY__ADMIN__V1__CONFIRM_CLOCK_REQUEST__INIT;
	MF_AUTO(mf_approval_job_free) struct mf_approval_job *j = NULL;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CONFIRM_CLOCK;
	call.confirm_clock = &q;
	return mf_approval_job_new(&call, MF_SLICE_LIT("alice ssh-ed25519 " KEY), "log", 1, &j, err);
}

static enum mf_status
op_jws(struct mf_err *err)
{
	static const char token[] =
	    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9"
	    "hIn0.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-P"
	    "w";
	MF_AUTO(mf_jws_free) struct mf_jws *j = NULL;
	enum mf_status s = mf_jws_parse(mf_slice_str(token), &j, err);
	assert_int_equal(j != NULL, s == MF_OK);
	return s;
}

/* A bundle map, from the files of foreign trust domains to what the agent's front takes of it. */
static enum mf_status
op_foreign(struct mf_err *err)
{
	static const char bundle[] =
	    "{\"keys\":[{\"kty\":\"AKP\",\"n\":[1,{\"x\":true}]}],\"spiffe_sequence\":1}";
	MF_AUTO_IN(mf_buf_fini) struct mf_buf files, map;
	MF_AUTO(mf_bundles_free) struct mf_bundles *b = NULL;
	Mayfly__Roles__V1__TrustDocument m = MAYFLY__ROLES__V1__TRUST_DOCUMENT__INIT;
	Mayfly__Agent__V1__Document d = MAYFLY__AGENT__V1__DOCUMENT__INIT;
	bool changed = false;
	mf_buf_init(&files, 4096);
	mf_buf_init(&map, MF_LIM_DOCUMENT);
	for (int i = 0; i < 2; i++) {
		mf_buf_put_u32be(&files, 5);
		mf_buf_put_str(&files, i == 0 ? "a.org" : "b.org");
		mf_buf_put_u32be(&files, sizeof(bundle) - 1);
		mf_buf_put_str(&files, bundle);
	}
	MF_TRY(mf_buf_check(&files, err));
	MF_TRY(mf_foreign_document(mf_buf_slice(&files), "example.org", &map, err));
	MF_TRY(mf_bundles_new("example.org", &b, err));
	d.kind = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES;
	d.body = (ProtobufCBinaryData) { map.n, map.p };
	m.document = &d;
	enum mf_status s = mf_bundles_on_document(b, &m, &changed, err);
	assert_int_equal(changed, s == MF_OK);
	assert_int_equal(mf_bundles_foreign_count(b), s == MF_OK ? 2 : 0);
	return s;
}

static void fail_each(enum mf_status (*op)(struct mf_err *err))
{
	assert_int_equal(op(NULL), MF_OK); /* what is made once per process is made here */
	long rounds = 0, before = mf_alloc_live();
	do {
		struct mf_err err = { .msg = "" };
		mf_alloc_fail(++rounds);
		enum mf_status s = op(&err);
		mf_alloc_fail(0);
		assert_int_equal(mf_alloc_live(), before);
		if (s != MF_OK)
			assert_true(err.msg[0] != '\0');
		if (!mf_alloc_failed())
			assert_int_equal(s, MF_OK);
	} while (mf_alloc_failed() && rounds < ROUNDS);
	assert_false(mf_alloc_failed());
	assert_true(rounds > 2);
}

static void
test_conf(void **state)
{
	MF_UNUSED(state);
	fail_each(op_broker);
	fail_each(op_agent);
}

static void
test_policy(void **state)
{
	MF_UNUSED(state);
	fail_each(op_policy);
	fail_each(op_facts);
}

static void
test_codec(void **state)
{
	MF_UNUSED(state);
	fail_each(op_json);
	fail_each(op_manifest);
	fail_each(op_jws);
	fail_each(op_foreign);
}

static void
test_admin(void **state)
{
	MF_UNUSED(state);
	fail_each(op_admins);
	fail_each(op_signers);
	fail_each(op_act_text);
	fail_each(op_approval_job);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conf),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_codec),
		cmocka_unit_test(test_admin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
