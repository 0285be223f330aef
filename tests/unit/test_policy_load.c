/* The policy file: the example of the design, and everything that is refused, with places and cures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/policy/policy_load.h"

static const char example[] =
    "mayfly_policy: 1\n"
    "profiles:\n"
    "  train:\n"
    "    purpose: training\n"
    "    owner: team-nlp\n"
    "    max_job: 30d              # when no manager sets a deadline\n"
    "    drain: 60s                # after the end was announced: finish the checkpoint\n"
    "    identities:\n"
    "      - {path: \"/{tenant}/train/{env}/job/{job}\", hint: job, x509_ttl: 20m, jwt_ttl: 5m, cn: "
    "\"{job}\"}\n"
    "      - {path: \"/{tenant}/train/{env}/run/{run}\", hint: run, x509_ttl: 20m, jwt_ttl: 5m}\n"
    "    jwt_audiences: [\"vault.example\", \"spiffe://example.org/tracking\"]\n"
    "    on_end: deny              # or: expire\n"
    "rules:\n"
    "  - id: nlp-train\n"
    "    effect: permit\n"
    "    profile: train\n"
    "    owner: team-nlp\n"
    "    review_by: 2027-02-01\n"
    "    nodes: {in: [node.pool, [gpu-a, gpu-b]]}\n"
    "    when: {all: [{contains: [attested.unix.user, alice]}, {eq: [manifest.kind, finetune]}, {eq: "
    "[manifest.env, "
    "dev]}]}\n";

static char *
told(struct mf_problems *p)
{
	struct mf_buf b;
	mf_buf_init(&b, 1 << 20);
	mf_problems_put(p, &b);
	char *s = mf_slice_dup_str(mf_buf_slice(&b));
	mf_buf_fini(&b);
	assert_non_null(s);
	return s;
}

/* NULL, and the problems as one text, when it cannot be loaded. */
static struct mf_policy *
load(const char *text, char **ret_told)
{
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("p.yaml");
	struct mf_policy *policy = NULL;
	struct mf_err err;
	enum mf_status s = mf_policy_load(mf_slice_str(text), p, &policy, &err);
	assert_int_equal(s == MF_OK, policy != NULL);
	assert_int_equal(s == MF_OK, mf_problems_count(p) == 0);
	*ret_told = told(p);
	return policy;
}

static void
test_example(void **state)
{
	MF_UNUSED(state);
	char *problems = NULL;
	MF_AUTO(mf_policy_free) struct mf_policy *p = load(example, &problems);
	assert_string_equal(problems, "");
	free(problems);
	const struct mf_policy_profile *f = mf_policy_profile(p, mf_slice_str("train"));
	assert_string_equal(f->purpose, "training");
	assert_int_equal(f->max_job_ms, INT64_C(30) * 86400000);
	assert_int_equal(f->drain_ms, 60000);
	assert_int_equal(f->n_identities, 2);
	assert_string_equal(f->identities[0].path, "/{tenant}/train/{env}/job/{job}");
	assert_string_equal(f->identities[0].cn, "{job}");
	assert_string_equal(f->identities[1].hint, "run");
	assert_int_equal(f->identities[1].x509_ttl_ms, 1200000);
	assert_int_equal(f->n_jwt_audiences, 2);
	assert_string_equal(f->jwt_audiences[1], "spiffe://example.org/tracking");
	assert_false(f->interactive);
	assert_int_equal(f->on_end, MF_ON_END_DENY);
	const struct mf_policy_rule *r = mf_policy_rule_at(p, 0);
	assert_string_equal(r->id, "nlp-train");
	assert_int_equal(r->review_by_s, 1801440000); /* date -u -d 2027-02-01 +%s */

	MF_AUTO(mf_facts_free) struct mf_facts *facts = NULL;
	assert_int_equal(mf_facts_new(&facts, NULL), MF_OK);
#define ADD(ns, name, value) \
	assert_int_equal(mf_facts_add(facts, ns, MF_SLICE_LIT(name), MF_SLICE_LIT(value), NULL), MF_OK)
	ADD(MF_FACT_NODE, "pool", "gpu-b");
	ADD(MF_FACT_ATTESTED, "unix.user", "alice");
	ADD(MF_FACT_MANIFEST, "kind", "finetune");
	ADD(MF_FACT_MANIFEST, "env", "dev");
#undef ADD
	mf_facts_seal(facts);
	struct mf_policy_request req = { mf_slice_str("train"), facts, 1790000000 };
	struct mf_decision d;
	mf_policy_decide(p, &req, &d);
	assert_true(d.permit);
	assert_string_equal(d.rule, "nlp-train");
	req.profile = mf_slice(NULL, 0);
	mf_policy_decide(p, &req, &d);
	assert_true(d.permit);
	req.wall_s = 1801440000 + 86400;
	mf_policy_decide(p, &req, &d);
	assert_false(d.permit);
}

static void
test_json_is_a_subset(void **state)
{
	MF_UNUSED(state);
	char *problems = NULL;
	MF_AUTO(mf_policy_free)
	struct mf_policy *p =
	    load("{\"mayfly_policy\":1,\"profiles\":{\"dev\":{\"purpose\":\"try\",\"owner\":\"me\","
		 "\"interactive\":\"allow\","
		 "\"on_end\":\"expire\",\"identities\":[{\"path\":\"/dev/{job}\",\"dns\":[\"{job}.x\"]}]}},"
		 "\"rules\":[{\"id\":\"d\",\"effect\":\"permit\",\"profile\":\"dev\",\"owner\":\"me\","
		 "\"review_by\":\"2027-02-01\",\"nodes\":\"any\",\"when\":{\"has\":\"attested.unix.uid\"}},"
		 "{\"id\":\"f\",\"effect\":\"forbid\",\"profile\":\"*\",\"owner\":\"me\",\"review_by\":"
		 "\"2027-02-01\","
		 "\"when\":{\"any\":[{\"not\":{\"has\":[\"node.id\"]}},{\"ne\":[\"node.id\",\"n1\"]}]}}]}",
		&problems);
	assert_string_equal(problems, "");
	free(problems);
	const struct mf_policy_profile *f = mf_policy_profile_at(p, 0);
	assert_true(f->interactive);
	assert_int_equal(f->on_end, MF_ON_END_EXPIRE);
	assert_int_equal(f->identities[0].x509_ttl_ms, 1200000);
	assert_int_equal(f->identities[0].jwt_ttl_ms, 300000);
	assert_int_equal(f->max_job_ms, 86400000);
	assert_int_equal(mf_policy_rule_count(p), 2);
}

static void
test_all_problems_at_once(void **state)
{
	MF_UNUSED(state);
	char *problems = NULL;
	assert_null(load(
	    "mayfly_policy: 2\n"
	    "profiles:\n"
	    "  train:\n"
	    "    purpose: training\n"
	    "    identities:\n"
	    "      - {path: \"/{tennant}/x\", x509_tll: 20m, dns: [ok.x, BAD.x]}\n"
	    "      - {path: \"/mayfly/x\", cn: \"a/b\"}\n"
	    "  eval:\n"
	    "    purpose: eval\n"
	    "    owner: me\n"
	    "    identities: [{path: \"/e/{job}\"}, {path: \"/e/{job}\"}]\n"
	    "  good: {purpose: p, owner: me, identities: [{path: /g}]}\n"
	    "  a b: {purpose: p, owner: me, identities: [{path: /g}]}\n"
	    "rules:\n"
	    "  - {id: r1, effect: permit, profile: train, owner: me, review_by: 2027-02-01, when: always}\n"
	    "  - {id: r2, effect: permit, profile: god, owner: me, review_by: 2027-02-01, nodes: any, when: "
	    "always}\n"
	    "  - {id: r2, effect: allow, profile: good, owner: me, review_by: soon, nodes: all, when: yes}\n"
	    "  - id: r3\n"
	    "    effect: permit\n"
	    "    profile: good\n"
	    "    owner: me\n"
	    "    review_by: 2027-02-01\n"
	    "    nodes: {all: [{eq: [manifest.env, x]}, {eq: [node.pool]}, {inn: [node.pool, [a]]}]}\n"
	    "    when: {all: [{eq: [attested.unix.user, x]}, {in: [manifest.env, a]}, {not: []}, {any: []}, "
	    "{has: [manifest.env, x]}, {eq: manifest.env}, [a], {eq: [manifest.a, [x]]}, {eq: [env, x], ne: "
	    "[a, "
	    "b]}]}\n"
	    "  - {id: r4, effect: permit, profile: good, owner: me, review_by: 2027-02-01, nodes: any}\n"
	    "  - {id: r5, effect: permit, profile: \"*\", owner: me, review_by: 2027-02-01, nodes: any, "
	    "when: always}\n"
	    "  - rule\n"
	    "extra: 1\n",
	    &problems));
	assert_string_equal(problems,
	    "p.yaml:1:16: `mayfly_policy` must be 1, this is 2\n"
	    "p.yaml:4:5: `owner` is missing: add it (who answers for it)\n"
	    "p.yaml:6:16: `path`: unknown variable; did you mean {tenant}?\n"
	    "p.yaml:6:32: unknown key `x509_tll`; did you mean `x509_ttl`?\n"
	    "p.yaml:6:59: `dns`: a byte that may not stand in a DNS name (allowed: a-z, digits, - . and "
	    "{variables})\n"
	    "p.yaml:7:16: `path`: /mayfly is reserved: begin with another word\n"
	    "p.yaml:7:33: `cn`: a byte that may not stand in a cn (allowed: letters, digits, . - _ and "
	    "{variables})\n"
	    "p.yaml:8:3: profile `eval`: identities[0] and [1] have the same path\n"
	    "p.yaml:13:3: profile `a b`: the profile's name must be 1 to 64 letters, digits, . - _ and begin "
	    "with a letter, digit or _\n"
	    "p.yaml:15:5: rule `r1`: a permit must say on which nodes: add nodes: {in: [node.pool, [...]]}, "
	    "or write out nodes: any\n"
	    "p.yaml:16:39: rule `r2`: no such profile; did you mean `good`?\n"
	    "p.yaml:17:22: `effect` must be `permit` or `forbid` (here: allow)\n"
	    "p.yaml:17:66: `review_by` must be a date like 2027-02-01 (here: soon)\n"
	    "p.yaml:17:79: `nodes` must be a condition like {eq: [node.pool, value]}, or the word `any`\n"
	    "p.yaml:17:90: `when` must be a condition like {eq: [manifest.env, value]}, or the word "
	    "`always`\n"
	    "p.yaml:23:24: nodes may ask about node.* only: move this to when\n"
	    "p.yaml:23:49: eq takes an attribute and one value\n"
	    "p.yaml:23:64: unknown operator `inn`; did you mean `in`? (known: eq, ne, in, has, contains, "
	    "le, ge, under, glob, subset, all, any, not, every, some)\n"
	    "p.yaml:24:23: attested.* are sets: use contains instead of eq\n"
	    "p.yaml:24:54: in takes an attribute and a list of values: in: [node.pool, [gpu-a, gpu-b]]\n"
	    "p.yaml:24:80: not takes one condition: not: {has: [manifest.env]}\n"
	    "p.yaml:24:91: all and any take a list of at least one condition\n"
	    "p.yaml:24:102: has takes an attribute and nothing else\n"
	    "p.yaml:24:127: must be a list: [attribute, value]\n"
	    "p.yaml:24:142: a condition must be a map with one operator, like {eq: [manifest.env, dev]}; "
	    "join several with all\n"
	    "p.yaml:24:165: a value must be a text\n"
	    "p.yaml:24:172: a condition must be a map with one operator, like {eq: [manifest.env, dev]}; "
	    "join several with all\n"
	    "p.yaml:25:5: rule `r4`: when is missing: add a condition, or write out when: always\n"
	    "p.yaml:26:5: rule `r5`: a permit must name one profile\n"
	    "p.yaml:27:5: must be a map (key: value), this is a text\n"
	    "p.yaml:28:1: unknown key `extra`: remove it (known here: mayfly_policy, profiles, rules)\n");
	free(problems);
}

/* Every operator and obligation, as the file writes them; and what is refused of them, in one go. */
#define HEAD                                                                                                 \
	"mayfly_policy: 1\nprofiles: {a: {purpose: p, owner: o, identities: [{path: /g}]}}\nrules:\n- {id: " \
	"r, "                                                                                                \
	"effect: permit, profile: a, owner: o, review_by: 2027-02-01, nodes: any, "

static void
test_language(void **state)
{
	MF_UNUSED(state);
	char *problems = NULL;
	MF_AUTO(mf_policy_free)
	struct mf_policy *p = load(HEAD
	    "require: {max_ttl: 10m, max_job: 8h, ticket: true, evidence: [config, dataset.digest]}, when: "
	    "{all: [{ge: "
	    "[node.gpus, 4]}, {le: [manifest.deadline, \"2027-02-01T00:00:00Z\"]}, {under: [manifest.image, "
	    "registry.example/ft]}, {glob: [manifest.name, \"ft-*\"]}, {subset: [manifest.egress, []]}, "
	    "{subset: "
	    "[manifest.mounts, [/a, /b]]}, {every: [manifest.dataset, {all: [{in: [class, [public]]}, {not: "
	    "{under: "
	    "[uri, s3://x]}}]}]}, {some: [attested.unix.gid, {ge: [value, 1000]}]}, {has: manifest.env}]}}\n",
	    &problems);
	assert_string_equal(problems, "");
	free(problems);
	const struct mf_policy_rule *r = mf_policy_rule_at(p, 0);
	size_t ticket = 0, config = 0, digest = 0;
	(void)mf_manifest_field_form(MF_SLICE_LIT("ticket"), &ticket);
	(void)mf_manifest_field_form(MF_SLICE_LIT("config"), &config);
	(void)mf_manifest_field_form(MF_SLICE_LIT("dataset.digest"), &digest);
	assert_int_equal(r->require.max_ttl_ms, 600000);
	assert_int_equal(r->require.max_job_ms, 8 * 3600000);
	assert_int_equal(r->require.fields, 1u << ticket | 1u << config | 1u << digest);

	assert_null(
	    load(HEAD "require: {max_ttl: 48h, ticket: maybe, evidence: [manifest.config, datset.digest], "
		      "approvals: 2}, when: "
		      "{all: [{every: [manifest.dataset]}, {every: [dataset, {has: [uri]}]}, {some: "
		      "[manifest.dataset, {some: "
		      "[manifest.egress, {has: [value]}]}]}, {subset: [manifest.egress, x]}, {every: "
		      "[manifest.dataset, {eq: "
		      "[colour, x]}, {has: [uri]}]}, {every: [manifest.dataset, {eq: [colour, x]}]}]}}\n",
		&problems));
	static const char *const want[] = { "`max_ttl` must be", "`ticket` must be",
		"manifests have no field `manifest.config` (write it without `manifest.`)",
		"manifests have no field `datset.digest`; did you mean `dataset.digest`?",
		"unknown key `approvals`", "every and some take a list and a condition on its elements",
		"an attribute must begin with", "every and some cannot stand in one another",
		"subset takes an attribute and a list of values", "an element of manifest.dataset has uri" };
	for (size_t i = 0; i < MF_COUNT(want); i++)
		if (strstr(problems, want[i]) == NULL)
			fail_msg("not among the problems: %s\n%s", want[i], problems);
	free(problems);
}

static void
test_missing(void **state)
{
	MF_UNUSED(state);
	char *problems = NULL;
	assert_null(load("", &problems));
	assert_string_equal(problems,
	    "p.yaml:1:1: `mayfly_policy` is missing: add it (the version of the format: 1)\n"
	    "p.yaml:1:1: `profiles` is missing: add it (a map of names to profiles)\n"
	    "p.yaml:1:1: `rules` is missing: add it (a list of rules)\n");
	free(problems);
	assert_null(load("mayfly_policy: 1\nprofiles: {}\nrules:\n- {}\n", &problems));
	assert_string_equal(problems,
	    "p.yaml:4:3: `id` is missing: add it (a name that records cite)\n"
	    "p.yaml:4:3: `effect` is missing: add it (permit or forbid)\n"
	    "p.yaml:4:3: `profile` is missing: add it (the profile it is about; \"*\" for a forbid of all)\n"
	    "p.yaml:4:3: `owner` is missing: add it (who answers for it)\n"
	    "p.yaml:4:3: `review_by` is missing: add it (the last day before somebody must look at it again, "
	    "like "
	    "2027-02-01)\n");
	free(problems);
}

static void
test_depth(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *when;
		bool ok;
	} cases[] = {
		{ "{not: {not: {not: {not: {not: {not: {not: {has: node.x}}}}}}}}", true },
		{ "{not: {not: {not: {not: {not: {not: {not: {not: {has: node.x}}}}}}}}}", false },
		{ "{all: [{any: [{all: [{any: [{all: [{any: [{not: {has: node.x}}]}]}]}]}]}, {has: node.y}]}",
		    true },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_buf b;
		char *problems = NULL;
		mf_buf_init(&b, 1 << 16);
		mf_buf_putf(&b,
		    "mayfly_policy: 1\nprofiles: {a: {purpose: p, owner: o, identities: [{path: "
		    "/g}]}}\nrules:\n- {id: r, "
		    "effect: forbid, profile: a, owner: o, review_by: 2027-02-01, when: %s}\n",
		    cases[i].when);
		MF_AUTO(mf_policy_free) struct mf_policy *p = load(mf_buf_cstr(&b), &problems);
		if (cases[i].ok)
			assert_string_equal(problems, "");
		else
			assert_non_null(strstr(problems, "nested deeper than 8 operators: split the rule"));
		assert_int_equal(p != NULL, cases[i].ok);
		free(problems);
		mf_buf_fini(&b);
	}
}

static const char with_cloud[] = "mayfly_policy: 1\n"
				 "profiles:\n"
				 "  train:\n"
				 "    purpose: training\n"
				 "    owner: team-nlp\n"
				 "    on_end: expire\n"
				 "    identities: [{path: \"/job/{job}\"}]\n"
				 "    cloud:\n"
				 "      - {name: data, target: lab, role: \"arn:aws:iam::1:role/r\", ttl: "
				 "30m, scope: [{actions: [\"s3:GetObject\"], "
				 "resources: [\"arn:aws:s3:::{dataset}*\"]}]}\n"
				 "      - {name: llm, target: lab, scope: [{actions: [%s]%s}], models: "
				 "[\"bedrock:InvokeModel\"], on_end: deny, "
				 "allow_overhang: true%s}\n"
				 "rules: []\n";

static void
test_cloud_grants(void **state)
{
	char text[2048], *said;
	struct mf_buf b;
	MF_UNUSED(state);
	(void)snprintf(text, sizeof(text), with_cloud, "\"bedrock:InvokeModel\"", "", "");
	struct mf_policy *p = load(text, &said);
	assert_string_equal(said, "");
	assert_non_null(p);
	const struct mf_policy_profile *f = mf_policy_profile(p, MF_SLICE_LIT("train"));
	assert_int_equal(f->n_cloud, 2);
	const struct mf_policy_cloud *c = mf_policy_cloud_find(f, MF_SLICE_LIT("data"));
	assert_non_null(c);
	assert_null(mf_policy_cloud_find(f, MF_SLICE_LIT("dat")));
	assert_string_equal(c->target, "lab");
	assert_string_equal(c->role, "arn:aws:iam::1:role/r");
	assert_int_equal(c->ttl_ms, 1800000);
	assert_int_equal(c->on_end, MF_ON_END_EXPIRE); /* the profile's */
	assert_int_equal(c->max_residual_ms, 900000);
	assert_string_equal(c->scope[0].resources[0], "arn:aws:s3:::{dataset}*");
	c = mf_policy_cloud_find(f, MF_SLICE_LIT("llm"));
	assert_int_equal(c->on_end, MF_ON_END_DENY);
	assert_true(c->allow_overhang);
	assert_int_equal(c->ttl_ms, 3600000);
	mf_buf_init(&b, 4096);
	mf_policy_profile_put(f, &b);
	assert_non_null(strstr(mf_buf_cstr(&b),
	    "cloud: [{name: data, target: lab, role: arn:aws:iam::1:role/r, ttl: 30m, scope: [{actions: ["
	    "s3:GetObject], resources: [\"arn:aws:s3:::{dataset}*\"]}], allow_overhang: false, on_end: "
	    "expire, "
	    "max_residual: 15m}, {name: llm,"));
	mf_buf_fini(&b);
	mf_policy_free(p);
	free(said);
	static const struct {
		const char *actions, *resources, *more, *told;
	} wrong[] = { { "\"bedrock:*\"", "", "", "list it under `models`" },
		{ "\"s3:Get\"", ", resources: [\"runs/{run}*\"]", "", "match its siblings too" },
		{ "\"s3:Get\"", ", resources: [\"{nobody}/\"]", "", "what can stand in braces" },
		{ "", "", "", "actions" }, { "\"s3:Get\"", "", ", ttl: 13h", "ttl" },
		{ "\"s3:Get\"", "", ", colour: red", "colour" } };
	for (size_t i = 0; i < MF_COUNT(wrong); i++) {
		(void)snprintf(
		    text, sizeof(text), with_cloud, wrong[i].actions, wrong[i].resources, wrong[i].more);
		p = load(text, &said);
		if (p != NULL || strstr(said, wrong[i].told) == NULL)
			fail_msg("%zu: %s", i, said);
		free(said);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cloud_grants),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_json_is_a_subset),
		cmocka_unit_test(test_all_problems_at_once),
		cmocka_unit_test(test_language),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_depth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
