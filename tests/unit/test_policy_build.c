/* Policy: what the builder refuses, limits, lint; and the facts that decisions read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/policy_kit.h"

struct found {
	char text[4096];
};

static void
on_lint(void *ctx, enum mf_lint_level level, const char *subject, const char *text)
{
	struct found *f = ctx;
	size_t used = strlen(f->text);
	(void)snprintf(f->text + used, sizeof(f->text) - used, "%c %s: %s\n", "NWE"[level], subject, text);
}

static const struct {
	bool forbid;
	const char *nodes, *when;
	int64_t now;
	size_t errors;
	const char *want; /* must be among the findings; NULL: none about rule r */
} lint_cases[] = {
	{ false, "(in node.pool a)", "(eq manifest.env x)", REVIEW - 60 * DAY, 0, NULL },
	{ false, "any", "(has node.id)", REVIEW - 14 * DAY, 0, "W rule r: nodes: any lets every node" },
	{ false, "(has node.id)", "always", REVIEW - 14 * DAY, 0,
	    "W rule r: when: always gives the profile" },
	{ true, NULL, "(eq manifest.env x)", REVIEW - 60 * DAY, 1,
	    "E rule r: forbids whoever has no manifest.env" },
	{ true, NULL, "(all (has manifest.env) (eq manifest.env x))", REVIEW - 60 * DAY, 0, NULL },
	{ true, NULL, "(any (not (has manifest.env)) (ne manifest.env x))", REVIEW - 60 * DAY, 0, NULL },
	{ true, NULL, "(any (has manifest.env) (eq manifest.env x))", REVIEW - 60 * DAY, 1,
	    "E rule r: forbids" },
	{ true, NULL, "(not (all (has manifest.env) (eq manifest.env x)))", REVIEW - 60 * DAY, 0, NULL },
	{ true, NULL, "(not (eq manifest.env x))", REVIEW - 60 * DAY, 1, "E rule r: forbids" },
	{ true, "(eq node.id n)", "(has manifest.env)", REVIEW - 60 * DAY, 0, NULL },
	{ true, "(eq node.pool n)", "(has manifest.env)", REVIEW - 60 * DAY, 1,
	    "E rule r: forbids whoever has no node.pool" },
	{ true, NULL, "(contains attested.u x)", REVIEW - 60 * DAY, 1,
	    "E rule r: forbids whoever has no attested.u" },
	{ false, "(eq node.id x)", "(all (eq manifest.env a) (eq manifest.env b))", REVIEW - 60 * DAY, 1,
	    "E rule r: can never hold: its conditions on manifest.env" },
	{ false, "(eq node.id x)", "(all (eq manifest.env a) (all (in manifest.env c b) (has node.z)))",
	    REVIEW - 60 * DAY, 1, "E rule r: can never hold" },
	{ false, "(eq node.id x)", "(all (eq manifest.env a) (ne manifest.env a))", REVIEW - 60 * DAY, 1,
	    "E rule r: can never hold" },
	{ false, "(eq node.id x)", "(any (eq manifest.env a) (eq manifest.env b))", REVIEW - 60 * DAY, 0,
	    NULL },
	{ false, "(eq node.id x)", "(all (in manifest.env a b) (in manifest.env b c))", REVIEW - 60 * DAY, 0,
	    NULL },
	{ false, "(eq node.pool x)", "(in node.pool y z)", REVIEW - 60 * DAY, 1, "E rule r: can never hold" },
	{ false, "(eq node.id x)", "(has node.y)", REVIEW - 10 * DAY, 0,
	    "W rule r: must be reviewed within 11 days" },
	{ false, "(eq node.id x)", "(has node.y)", REVIEW + DAY, 0,
	    "W rule r: is past its review_by and permits nothing" },
	{ true, NULL, "always", REVIEW + DAY, 1, "W rule r: is past its review_by and still forbids" },
	{ false, "(eq node.id x)", "(has node.y)", REVIEW - 91 * DAY, 0,
	    "N rule r: review_by is more than 90 days away" },
	{ false, "any", "(has node.y)", REVIEW - 15 * DAY, 0,
	    "N rule r: review_by is more than 14 days away" },
	{ false, "(eq node.id x)", "(eq manifest.evn x)", REVIEW - 60 * DAY, 1,
	    "E rule r: manifest.evn is not a field of manifests; did you mean manifest.env?" },
	{ false, "(eq node.id x)", "(eq manifest.egress x)", REVIEW - 60 * DAY, 0,
	    "W rule r: eq speaks of one value, and manifest.egress may have many" },
	{ false, "(eq node.id x)", "(under manifest.dataset.uri s3://x)", REVIEW - 60 * DAY, 0,
	    "W rule r: under speaks of one value, and manifest.dataset.uri may" },
	{ true, NULL, "(some manifest.dataset (eq class x))", REVIEW - 60 * DAY, 2,
	    "E rule r: forbids whoever has no class of manifest.dataset at all: write {all: [{has: "
	    "[class]}" },
	{ true, NULL, "(some manifest.dataset (all (has class) (eq class x)))", REVIEW - 60 * DAY, 1,
	    "E rule r: forbids whoever has no manifest.dataset at all" },
	{ true, NULL, "(all (has manifest.dataset) (some manifest.dataset (all (has class) (eq class x))))",
	    REVIEW - 60 * DAY, 0, NULL },
	{ true, NULL, "(all (has manifest.dataset.class) (contains manifest.dataset.class x))",
	    REVIEW - 60 * DAY, 1, "E rule r: forbids by manifest.dataset.class, which is not known" },
	{ true, NULL, "(all (has manifest.egress) (some manifest.egress (glob value x*)))", REVIEW - 60 * DAY,
	    0, NULL },
};

static void
test_lint(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_COUNT(lint_cases); i++) {
		MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
		struct found f = { "" };
		assert_int_equal(add_rule(p, "r", lint_cases[i].forbid, "a", lint_cases[i].nodes,
				     lint_cases[i].when, NULL),
		    MF_OK);
		if (lint_cases[i].forbid)
			assert_int_equal(
			    add_rule(p, "ok", false, "a", "(has node.id)", "(has node.id)", NULL), MF_OK);
		assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
		size_t errors = mf_policy_lint(p, lint_cases[i].now, on_lint, &f);
		if (errors != lint_cases[i].errors ||
		    (lint_cases[i].want == NULL ? strstr(f.text, "rule r:") != NULL
						: strstr(f.text, lint_cases[i].want) == NULL))
			fail_msg("case %zu: %zu errors, findings:\n%s", i, errors, f.text);
		assert_non_null(strstr(f.text, "W profile b: no rule permits it"));
	}
}

/* Rows of what push and push_group refuse of the newer operators. */
static void
test_refused_operators(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *when, *want;
	} cases[] = {
		{ "(le node.x many)", "le compares with a whole number or a time" },
		{ "(ge node.x)", "ge takes an attribute and one value" },
		{ "(under manifest.image s3://a/../b)", "under takes a plain path" },
		{ "(under manifest.image S3://a)", "under takes a plain path" },
		{ "(glob manifest.image a)", "exactly one *" },
		{ "(glob manifest.image a*b*)", "exactly one *" },
		{ "(le attested.unix.uid 5)", "or some: [attested.x" },
		{ "(eq manifest.dataset x)", "manifest.dataset is a list of objects" },
		{ "(contains manifest.dataset x)", "manifest.dataset is a list of objects" },
		{ "(every manifest.dataset (eq value x))", "has uri, version, digest and class" },
		{ "(every manifest.dataset (eq manifest.env x))", "joined by all" },
		{ "(some manifest.egress (eq uri x))", "the element is called value" },
		{ "(some egress (eq value x))", "an attribute must begin with" },
		{ "(some manifest.egress (some manifest.mounts (has value)))",
		    "cannot stand in one another" },
		{ "(some manifest.egress (not (not (not (not (not (not (not (has value)))))))))",
		    "nested deeper than 8" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
		struct mf_err err = { 0 };
		assert_int_not_equal(add_rule(p, "r", false, "a", "any", cases[i].when, &err), MF_OK);
		if (strstr(err.msg, cases[i].want) == NULL)
			fail_msg("%s: %s", cases[i].when, err.msg);
		assert_int_equal(mf_policy_seal(p, NULL), MF_E_STATE);
	}
	/* A builder that mixes up what belongs to an element and what does not. */
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	const struct mf_policy_rule r = { .id = "r",
		.owner = "o",
		.profile = "a",
		.review_by_s = REVIEW,
		.nodes = MF_POLICY_ANY,
		.when = MF_POLICY_EXPR };
	const struct mf_slice v = MF_SLICE_LIT("x");
	assert_int_equal(mf_policy_rule_begin(p, &r, NULL), MF_OK);
	assert_int_equal(mf_policy_push(p, MF_POLICY_EQ, MF_SLICE_LIT("node.x"), &v, 1, NULL), MF_OK);
	assert_int_equal(mf_policy_quantify(p, MF_SLICE_LIT("manifest.egress"), NULL), MF_OK);
	assert_int_equal(mf_policy_push_group(p, MF_POLICY_SOME, 1, NULL), MF_E_STATE);
	assert_int_equal(mf_policy_rule_begin(p, &r, NULL), MF_OK);
	assert_int_equal(mf_policy_push(p, MF_POLICY_EQ, MF_SLICE_LIT("node.x"), &v, 1, NULL), MF_OK);
	assert_int_equal(mf_policy_quantify(p, MF_SLICE_LIT("manifest.egress"), NULL), MF_OK);
	assert_int_equal(mf_policy_push(p, MF_POLICY_EQ, MF_SLICE_LIT("value"), &v, 1, NULL), MF_OK);
	assert_int_equal(mf_policy_push_group(p, MF_POLICY_ALL, 2, NULL), MF_E_STATE);
	assert_int_equal(mf_policy_rule_begin(p, &r, NULL), MF_OK);
	assert_int_equal(mf_policy_quantify(p, MF_SLICE_LIT("manifest.egress"), NULL), MF_OK);
	assert_int_equal(mf_policy_push(p, MF_POLICY_EQ, MF_SLICE_LIT("value"), &v, 1, NULL), MF_OK);
	assert_int_equal(mf_policy_rule_end(p, NULL), MF_E_STATE);
}

/* One policy speaks of a bounded number of attributes: a decision looks each up once, on its stack. */
static void
test_attributes_cap(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	struct mf_err err = { 0 };
	char id[16], when[64];
	for (unsigned i = 0; i <= MF_LIM_POLICY_ATTRS; i++) {
		(void)snprintf(id, sizeof(id), "r%u", i);
		(void)snprintf(when, sizeof(when), "(all (has node.a%u) (eq node.a%u x))", i, i);
		enum mf_status s = add_rule(p, id, false, "a", "any", when, &err);
		assert_int_equal(s, i < MF_LIM_POLICY_ATTRS ? MF_OK : MF_E_TOOBIG);
	}
	assert_non_null(strstr(err.msg, "different attributes"));
}

static void
test_lint_profiles(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	struct mf_policy_profile shared = profile("shared");
	shared.identities[0].path = "/svc/{tenant}";
	struct found f = { "" };
	assert_int_equal(mf_policy_add_profile(p, &shared, NULL), MF_OK);
	assert_int_equal(add_rule(p, "r1", false, "a", "any", "(has node.x)", NULL), MF_OK);
	assert_int_equal(add_rule(p, "r2", false, "a", "any", "(has node.x)", NULL), MF_OK);
	assert_int_equal(add_rule(p, "r3", true, "a", NULL, "always", NULL), MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	assert_int_equal(mf_policy_lint(p, BEFORE, on_lint, &f), 1);
	assert_non_null(strstr(f.text, "W profile a: has more than one permit (r1, r2)"));
	assert_non_null(strstr(f.text, "E profile a: cannot be reached: rule r3 forbids it always"));
	assert_non_null(strstr(f.text, "W profile shared: identity /svc/{tenant} is shared by all its jobs"));
	assert_non_null(strstr(f.text, "W profile b: identity /t/job/{job} is also given by profile a"));
	assert_int_equal(mf_policy_lint(p, BEFORE, NULL, NULL), 1);
}

static void
test_rules_refused(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *id, *profile, *nodes, *when;
		bool forbid;
		const char *msg;
	} cases[] = {
		{ "x", "a", NULL, "always", false,
		    "a permit must say on which nodes: add nodes: {in: [node.pool, [...]]}, or write out "
		    "nodes: any" },
		{ "x", "a", "any", NULL, false,
		    "when is missing: add a condition, or write out when: always" },
		{ "x", "*", "any", "always", false, "a permit must name one profile" },
		{ "x", "aa", "any", "always", false, "no such profile: add it under profiles" },
		{ "x", "other", "any", "always", true, "no such profile: add it under profiles" },
		{ "", "a", "any", "always", false,
		    "a rule's id must be 1 to 64 letters, digits, . - _ and begin with a letter, digit or "
		    "_" },
		{ "a b", "a", "any", "always", false,
		    "a rule's id must be 1 to 64 letters, digits, . - _ and begin with a letter, digit or "
		    "_" },
		{ "x", "a", "(eq manifest.env x)", "always", false,
		    "nodes may ask about node.* only: move this to when" },
		{ "x", "a", "any", "(eq attested.u x)", false,
		    "attested.* are sets: use contains instead of eq" },
		{ "x", "a", "any", "(in attested.u x)", false,
		    "attested.* are sets: use contains instead of in" },
		{ "x", "a", "any", "(eq user x)", false,
		    "an attribute must begin with attested., node., manifest. or submitter." },
		{ "x", "a", "any", "(eq node. x)", false,
		    "an attribute must begin with attested., node., manifest. or submitter." },
		{ "x", "a", "any", "(eq node.x)", false, "eq takes an attribute and one value" },
		{ "x", "a", "any", "(contains node.x a b)", false,
		    "contains takes an attribute and one value" },
		{ "x", "a", "any", "(has node.x a)", false, "has takes an attribute and nothing else" },
		{ "x", "a", "any", "(in node.x)", false,
		    "in takes an attribute and a list of at least one value" },
		{ "x", "a", "any", "(all)", false, "all needs at least one condition" },
		{ "x", "a", "any", "(not (has node.a) (has node.b))", false,
		    "not needs exactly one condition" },
		{ "x", "a", "any", "(not (not (not (not (not (not (not (not (has node.a)))))))))", false,
		    "nested deeper than 8 operators" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
		struct mf_err err = { 0 };
		assert_int_not_equal(add_rule(p, cases[i].id, cases[i].forbid, cases[i].profile,
					 cases[i].nodes, cases[i].when, &err),
		    MF_OK);
		assert_string_equal(err.msg, cases[i].msg);
		/* The next rule can still be read, but nothing comes of it. */
		assert_int_equal(add_rule(p, "good", false, "a", "any", "always", &err), MF_OK);
		assert_int_equal(mf_policy_rule_count(p), 1);
		assert_int_equal(mf_policy_seal(p, &err), MF_E_STATE);
		assert_false(decide(p, "a", "", BEFORE).permit);
	}
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	struct mf_err err = { 0 };
	assert_int_equal(add_rule(p, "x", false, "a", "any", "always", NULL), MF_OK);
	assert_int_equal(add_rule(p, "x", false, "b", "any", "always", &err), MF_E_EXISTS);
	assert_string_equal(err.msg, "rule x is there twice");
	/* Names that are nearly right. */
	MF_AUTO(mf_policy_free) struct mf_policy *t = policy_abc();
	struct mf_policy_profile train = profile("train");
	assert_int_equal(mf_policy_add_profile(t, &train, NULL), MF_OK);
	assert_int_equal(mf_policy_seal(t, NULL), MF_OK);
	assert_string_equal(
	    decide(t, "trian", "", BEFORE).reason, "there is no such profile; did you mean `train`?");
	MF_AUTO(mf_policy_free) struct mf_policy *u = policy_abc();
	assert_int_equal(mf_policy_add_profile(u, &train, NULL), MF_OK);
	assert_int_equal(add_rule(u, "x", false, "trai", "any", "always", &err), MF_E_NOTFOUND);
	assert_string_equal(err.msg, "no such profile; did you mean `train`?");
	/* Eight levels are allowed. */
	MF_AUTO(mf_policy_free) struct mf_policy *q = policy_abc();
	assert_int_equal(add_rule(q, "x", false, "a", "any",
			     "(not (not (not (not (not (not (not (has node.a))))))))", NULL),
	    MF_OK);
}

/* WAPI-13, P-12 */
static void
test_profiles_refused(void **state)
{
	MF_UNUSED(state);
	static const char *const bad_dns[] = { "-x" };
	static const char *const aud[] = { "" };
	static char hint[1026]; /* one more than anybody supports */
	memset(hint, 'h', sizeof(hint) - 1);
	struct mf_policy_profile ok = profile("p"), bad[13];
	const char *msg[13];
	size_t n = 0;
#define BAD(change, text) bad[n] = ok, bad[n].change, msg[n++] = text
	BAD(name = "a/b",
	    "the profile's name must be 1 to 64 letters, digits, . - _ and begin with a letter, digit or _");
	BAD(purpose = "", "purpose must be 1 to 256 bytes of text");
	BAD(owner = NULL, "owner must be 1 to 256 bytes of text");
	BAD(max_job_ms = 0, "max_job must be over 0 and at most 366d");
	BAD(n_identities = 0, "a profile needs 1 to 4 identities");
	BAD(identities[0].path = "/mayfly/x",
	    "identities[0].path: /mayfly is reserved: begin with another word");
	BAD(identities[0].cn = "{nmae}", "identities[0].cn: unknown variable; did you mean {name}?");
	BAD(identities[0].dns = bad_dns;
	    bad[n].identities[0].n_dns = 1, "identities[0].dns[0]: a label begins or ends with '-'");
	BAD(identities[0].hint = hint,
	    "hint must be 1 to 64 letters, digits, . - _ and begin with a letter, digit or _");
	BAD(identities[0].x509_ttl_ms = 0,
	    "identities[0]: x509_ttl and jwt_ttl must be over 0 and at most 24h");
	BAD(n_identities = 2;
	    bad[n].identities[1] = ok.identities[0], "identities[0] and [1] have the same path");
	BAD(n_identities = 2; bad[n].identities[1] = ok.identities[0];
	    bad[n].identities[1].path = "/y", "identities[0] and [1] have the same hint: give each its own");
	BAD(jwt_audiences = aud; bad[n].n_jwt_audiences = 1, "an audience must be 1 to 256 bytes of text");
#undef BAD
	for (size_t i = 0; i < n; i++) {
		MF_AUTO(mf_policy_free) struct mf_policy *p = NULL;
		struct mf_err err = { 0 };
		assert_int_equal(mf_policy_new(&p, NULL), MF_OK);
		assert_int_not_equal(mf_policy_add_profile(p, &bad[i], &err), MF_OK);
		assert_string_equal(err.msg, msg[i]);
		assert_int_equal(mf_policy_seal(p, NULL), MF_E_STATE);
	}
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	struct mf_policy_profile again = profile("a");
	assert_int_equal(mf_policy_add_profile(p, &again, NULL), MF_E_EXISTS);
}

static void
test_limits(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	struct mf_err err = { 0 };
	char id[16];
	for (unsigned i = 0; i < MF_LIM_POLICY_RULES; i++) {
		(void)snprintf(id, sizeof(id), "r%u", i);
		assert_int_equal(add_rule(p, id, false, "a", "any", "(has node.x)", NULL), MF_OK);
	}
	assert_int_equal(add_rule(p, "more", false, "a", "any", "(has node.x)", &err), MF_E_TOOBIG);

	MF_AUTO(mf_policy_free) struct mf_policy *q = policy_abc();
	struct mf_policy_rule r = { .id = "x",
		.owner = "o",
		.profile = "a",
		.review_by_s = REVIEW,
		.nodes = MF_POLICY_ANY,
		.when = MF_POLICY_EXPR };
	assert_int_equal(mf_policy_rule_begin(q, &r, NULL), MF_OK);
	for (unsigned i = 0; i < MF_LIM_POLICY_EXPR; i++)
		assert_int_equal(
		    mf_policy_push(q, MF_POLICY_HAS, mf_slice_str("node.x"), NULL, 0, NULL), MF_OK);
	assert_int_equal(mf_policy_push_group(q, MF_POLICY_ALL, MF_LIM_POLICY_EXPR, &err), MF_E_TOOBIG);
	assert_string_equal(err.msg, "more than 256 operators in one rule: split it");
	/* The rule is gone: what follows has none to go to. */
	assert_int_equal(mf_policy_push(q, MF_POLICY_HAS, mf_slice_str("node.x"), NULL, 0, NULL), MF_E_STATE);

	/* Stray calls. */
	MF_AUTO(mf_policy_free) struct mf_policy *s = policy_abc();
	assert_int_equal(mf_policy_rule_end(s, NULL), MF_E_STATE);
	assert_int_equal(mf_policy_rule_nodes(s, NULL), MF_E_STATE);
	mf_policy_free(NULL);
}

static void
test_facts(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_facts_free) struct mf_facts *f = NULL;
	struct mf_slice a = MF_SLICE_LIT("a"), v = MF_SLICE_LIT("v"), none = { 0 };
	assert_int_equal(mf_facts_new(&f, NULL), MF_OK);
	assert_int_equal(mf_facts_add(f, MF_FACT_NODE, a, MF_SLICE_LIT("w"), NULL), MF_OK);
	assert_int_equal(mf_facts_add(f, MF_FACT_NODE, a, v, NULL), MF_OK);
	assert_int_equal(mf_facts_add(f, MF_FACT_NODE, a, v, NULL), MF_OK);
	assert_int_equal(mf_facts_add(f, MF_FACT_NODE, MF_SLICE_LIT("e"), none, NULL), MF_OK);
	assert_int_equal(mf_facts_declare(f, MF_FACT_MANIFEST, a, NULL), MF_OK);
	assert_int_equal(mf_facts_count(f, MF_FACT_NODE, a), 0); /* not sealed: knows nothing */
	assert_false(mf_facts_contains(f, MF_FACT_NODE, a, v));
	mf_facts_seal(f);
	mf_facts_seal(f);
	assert_int_equal(mf_facts_count(f, MF_FACT_NODE, a), 2);
	assert_true(mf_slice_eq_str(mf_facts_value(f, MF_FACT_NODE, a, 1), "w"));
	assert_int_equal(mf_facts_value(f, MF_FACT_NODE, a, 2).n, 0);
	assert_int_equal(mf_facts_value(f, MF_FACT_SUBMITTER, a, 0).n, 0);
	assert_true(mf_facts_contains(f, MF_FACT_NODE, a, v));
	assert_false(
	    mf_facts_contains(f, MF_FACT_MANIFEST, a, none)); /* declared empty is not an empty value */
	assert_true(mf_facts_contains(f, MF_FACT_NODE, MF_SLICE_LIT("e"), none));
	assert_true(mf_facts_known(f, MF_FACT_MANIFEST, a));
	assert_int_equal(mf_facts_count(f, MF_FACT_MANIFEST, a), 0);
	assert_int_equal(mf_facts_add(f, MF_FACT_NODE, a, v, NULL), MF_E_STATE);

	MF_AUTO(mf_facts_free) struct mf_facts *g = NULL;
	char big[MF_LIM_SELECTOR + 1] = "";
	memset(big, 'x', sizeof(big));
	assert_int_equal(mf_facts_new(&g, NULL), MF_OK);
	assert_int_equal(mf_facts_add(g, MF_FACT_NODE, none, v, NULL), MF_E_INVALID);
	assert_int_equal(mf_facts_add(g, MF_FACT_NODE, mf_slice(big, 129), v, NULL), MF_E_INVALID);
	assert_int_equal(mf_facts_add(g, MF_FACT_NODE, a, mf_slice(big, sizeof(big)), NULL), MF_E_TOOBIG);
	assert_int_equal(mf_facts_add(g, MF_FACT_NODE, a, MF_SLICE_LIT("x\0y"), NULL), MF_E_INVALID);
	assert_int_equal(mf_facts_add(g, MF_FACT_NS_COUNT, a, v, NULL), MF_E_INVALID);
	for (unsigned i = 0; i < MF_LIM_FACTS; i++)
		assert_int_equal(mf_facts_add(g, MF_FACT_NODE, a, mf_slice(big, i % 1024), NULL), MF_OK);
	assert_int_equal(mf_facts_add(g, MF_FACT_NODE, a, v, NULL), MF_E_TOOBIG);
	mf_facts_seal(g);
	assert_int_equal(mf_facts_count(g, MF_FACT_NODE, a), 1024);
	mf_facts_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lint),
		cmocka_unit_test(test_refused_operators),
		cmocka_unit_test(test_attributes_cap),
		cmocka_unit_test(test_lint_profiles),
		cmocka_unit_test(test_rules_refused),
		cmocka_unit_test(test_profiles_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_facts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
