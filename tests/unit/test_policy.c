/* Policy decisions: operators, three-valued logic against a reference, effects and explanations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/policy_kit.h"

static void
test_operators(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *when, *known;
		char want;
	} cases[] = {
		{ "(eq manifest.env dev)", "manifest.env=dev", 'T' },
		{ "(eq manifest.env dev)", "manifest.env=prod", 'F' },
		{ "(eq manifest.env dev)", "", 'U' },
		{ "(eq manifest.env dev)", "manifest.env=dev manifest.env=prod", 'U' },
		{ "(eq manifest.env dev)", "manifest.env", 'U' },
		{ "(eq manifest.env dev)", "submitter.env=dev", 'U' },
		{ "(eq manifest.env dev)", "manifest.env=devel", 'F' },
		{ "(ne manifest.env dev)", "manifest.env=dev", 'F' },
		{ "(ne manifest.env dev)", "manifest.env=prod", 'T' },
		{ "(ne manifest.env dev)", "", 'U' },
		{ "(ne node.tag x)", "node.tag=y node.tag=z", 'U' },
		{ "(in node.pool a b)", "node.pool=b", 'T' },
		{ "(in node.pool b a)", "node.pool=a", 'T' },
		{ "(in node.pool a b)", "node.pool=c", 'F' },
		{ "(in node.pool a b)", "", 'U' },
		{ "(has manifest.env)", "manifest.env=x", 'T' },
		{ "(has manifest.env)", "manifest.env", 'T' },
		{ "(has manifest.env)", "manifest.envy=x", 'F' },
		{ "(contains attested.u alice)", "attested.u=alice attested.u=bob", 'T' },
		{ "(contains attested.u alice)", "attested.u=bob", 'F' },
		{ "(contains attested.u alice)", "attested.u", 'F' },
		{ "(contains attested.u alice)", "", 'U' },
		{ "(contains node.pool a)", "node.pool=a", 'T' },
		{ "(not (has node.x))", "", 'T' },
		{ "(not (eq node.x a))", "", 'U' },
		{ "(not (eq node.x a))", "node.x=a", 'F' },
		{ "(not (not (eq node.x a)))", "node.x=a", 'T' },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++)
		if (truth(cases[i].when, cases[i].known) != cases[i].want)
			fail_msg("%s with %s is %c", cases[i].when, cases[i].known,
			    truth(cases[i].when, cases[i].known));
}

/* The strong Kleene tables, all nine cells each. node.t = true, node.f = false, node.u = unknown. */
static void
test_kleene_tables(void **state)
{
	MF_UNUSED(state);
	static const char letters[] = "TFU";
	static const char all[3][4] = { "TFU", "FFF", "UFU" }, any[3][4] = { "TTT", "TFU", "TUU" };
	static const char *const leaf[] = { "(eq node.t 1)", "(eq node.f 1)", "(eq node.u 1)" };
	for (size_t i = 0; i < 3; i++) {
		for (size_t k = 0; k < 3; k++) {
			char when[64];
			(void)snprintf(when, sizeof(when), "(all %s %s)", leaf[i], leaf[k]);
			assert_int_equal(truth(when, "node.t=1 node.f=0"), all[i][k]);
			(void)snprintf(when, sizeof(when), "(any %s %s)", leaf[i], leaf[k]);
			assert_int_equal(truth(when, "node.t=1 node.f=0"), any[i][k]);
		}
		char when[64];
		(void)snprintf(when, sizeof(when), "(not %s)", leaf[i]);
		assert_int_equal(truth(when, "node.t=1 node.f=0"), "FTU"[i]);
		(void)snprintf(when, sizeof(when), "(all %s)", leaf[i]);
		assert_int_equal(truth(when, "node.t=1 node.f=0"), letters[i]);
	}
}

static uint64_t rng_state;

static size_t
rnd(size_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (size_t)(rng_state % below);
}

static struct tree *
random_tree(size_t depth)
{
	static const char *const attrs[] = { "node.p", "node.q", "manifest.m", "submitter.s", "attested.a" };
	static const enum mf_policy_op ops[] = { MF_POLICY_EQ, MF_POLICY_NE, MF_POLICY_IN, MF_POLICY_HAS,
		MF_POLICY_CONTAINS, MF_POLICY_ALL, MF_POLICY_ANY_OF, MF_POLICY_NOT };
	struct tree *t = new_tree(ops[rnd(depth <= 1 ? 5 : MF_COUNT(ops))]);
	if (t->op >= MF_POLICY_ALL) {
		t->n_kids = t->op == MF_POLICY_NOT ? 1 : 1 + rnd(3);
		for (size_t i = 0; i < t->n_kids; i++)
			t->kids[i] = random_tree(depth - 1);
		return t;
	}
	bool sets_too = t->op == MF_POLICY_HAS || t->op == MF_POLICY_CONTAINS;
	(void)snprintf(t->attr, sizeof(t->attr), "%s", attrs[rnd(sets_too ? 5 : 4)]);
	t->n_values = t->op == MF_POLICY_HAS ? 0 : t->op == MF_POLICY_IN ? 1 + rnd(3) : 1;
	for (size_t i = 0; i < t->n_values; i++)
		(void)snprintf(t->values[i], sizeof(t->values[i]), "v%zu", rnd(3));
	return t;
}

/* What is known, the test's own way: bit i of set[] for value vi; known[] apart. */
static struct {
	const char *attr;
	bool known;
	unsigned set;
} world[] = { { "node.p", 0, 0 }, { "node.q", 0, 0 }, { "manifest.m", 0, 0 }, { "submitter.s", 0, 0 },
	{ "attested.a", 0, 0 } };

/* The reference: -1 false, 0 unknown, 1 true, by the words of policy.h. */
static int
reference(const struct tree *t)
{
	int out;
	switch (t->op) {
	case MF_POLICY_NOT:
		return -reference(t->kids[0]);
	case MF_POLICY_ALL:
	case MF_POLICY_ANY_OF: {
		bool some[3] = { false, false, false };
		for (size_t i = 0; i < t->n_kids; i++)
			some[reference(t->kids[i]) + 1] = true;
		if (t->op == MF_POLICY_ALL)
			return some[0] ? -1 : some[1] ? 0 : 1;
		return some[2] ? 1 : some[1] ? 0 : -1;
	}
	default:
		break;
	}
	size_t a = 0;
	while (strcmp(world[a].attr, t->attr) != 0)
		a++;
	unsigned asked = 0, set = world[a].set;
	for (size_t i = 0; i < t->n_values; i++)
		asked |= 1u << (t->values[i][1] - '0');
	if (t->op == MF_POLICY_HAS)
		return world[a].known ? 1 : -1;
	if (!world[a].known)
		return 0;
	if (t->op == MF_POLICY_CONTAINS)
		return (set & asked) != 0 ? 1 : -1;
	if (set != 1 && set != 2 && set != 4)
		return 0;
	out = (set & asked) != 0 ? 1 : -1;
	return t->op == MF_POLICY_NE ? -out : out;
}

static void
random_world(char *text, size_t room)
{
	text[0] = '\0';
	for (size_t a = 0; a < MF_COUNT(world); a++) {
		world[a].known = rnd(3) != 0;
		world[a].set = world[a].known ? (rnd(3) == 0 ? (unsigned)rnd(8) : 1u << rnd(3)) : 0;
		size_t used = strlen(text);
		if (world[a].known && world[a].set == 0)
			(void)snprintf(text + used, room - used, "%s ", world[a].attr);
		for (unsigned v = 0; v < 3; v++) {
			used = strlen(text);
			if ((world[a].set & 1u << v) != 0)
				(void)snprintf(text + used, room - used, "%s=v%u ", world[a].attr, v);
		}
	}
}

static void
test_against_reference(void **state)
{
	MF_UNUSED(state);
	rng_state = 0x6d6179666c79;
	size_t seen[3] = { 0 };
	for (int i = 0; i < 5000; i++) {
		MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
		pool_used = 0;
		struct tree *t = random_tree(1 + rnd(5));
		struct mf_policy_rule r = { .id = "p",
			.owner = "o",
			.profile = "a",
			.review_by_s = REVIEW,
			.nodes = MF_POLICY_ANY,
			.when = MF_POLICY_EXPR };
		assert_int_equal(mf_policy_rule_begin(p, &r, NULL), MF_OK);
		assert_int_equal(push(p, t, NULL), MF_OK);
		assert_int_equal(mf_policy_rule_end(p, NULL), MF_OK);
		r.id = "f", r.profile = "b", r.forbid = true;
		assert_int_equal(mf_policy_rule_begin(p, &r, NULL), MF_OK);
		assert_int_equal(push(p, t, NULL), MF_OK);
		assert_int_equal(mf_policy_rule_end(p, NULL), MF_OK);
		r = (struct mf_policy_rule) { .id = "all-b",
			.owner = "o",
			.profile = "b",
			.review_by_s = REVIEW,
			.nodes = MF_POLICY_ANY,
			.when = MF_POLICY_ANY };
		assert_int_equal(mf_policy_rule_begin(p, &r, NULL), MF_OK);
		assert_int_equal(mf_policy_rule_end(p, NULL), MF_OK);
		assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
		for (int k = 0; k < 8; k++) {
			char known[512];
			random_world(known, sizeof(known));
			int want = reference(t);
			assert_int_equal(decide(p, "a", known, BEFORE).permit, want == 1);
			assert_int_equal(decide(p, "b", known, BEFORE).permit, want == -1);
			seen[want + 1]++;
		}
	}
	assert_true(seen[0] > 1000 && seen[1] > 1000 && seen[2] > 1000); /* the generator reaches all three */
}

static void
test_effects(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	assert_int_equal(
	    add_rule(p, "z-gpu", false, "a", "(in node.pool g1 g2)", "(eq manifest.env dev)", NULL), MF_OK);
	assert_int_equal(add_rule(p, "b-any", false, "b", "any", "(contains attested.u bob)", NULL), MF_OK);
	assert_int_equal(add_rule(p, "a-also", false, "a", "any", "(contains attested.u root)", NULL), MF_OK);
	assert_int_equal(add_rule(p, "no-prod", true, "*", NULL,
			     "(all (has manifest.kind) (eq manifest.kind notebook))", NULL),
	    MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	static const struct {
		const char *profile, *known, *got, *rule, *reason;
	} cases[] = {
		{ "a", "node.pool=g1 manifest.env=dev", "a", "z-gpu", "rule z-gpu permits profile a" },
		{ "a", "node.pool=g1 manifest.env=dev attested.u=root", "a", "a-also",
		    "rule a-also permits profile a" },
		{ "a", "node.pool=c1 manifest.env=dev attested.u=x", NULL, NULL,
		    "no rule permits profile a: rule a-also: attested.u is x, must contain root (run it as "
		    "somebody who has "
		    "it, or ask team-nlp); rule z-gpu: node.pool is c1, must be one of g1, g2 (run it on "
		    "another node, or "
		    "ask team-nlp)" },
		{ "b", "manifest.env=dev", NULL, NULL,
		    "no rule permits profile b: rule b-any: attested.u is not known, must contain bob (run "
		    "it as somebody "
		    "who has it, or ask team-nlp)" },
		{ "c", "", NULL, NULL,
		    "no rule permits profile c: there is no permit for it (ask team-nlp)" },
		{ "b", "attested.u=bob manifest.kind=notebook", NULL, "no-prod",
		    "rule no-prod forbids it: manifest.kind is notebook (ask team-nlp)" },
		{ "d", "", NULL, NULL, "there is no such profile (the broker's policy file lists them)" },
		{ "training", "", NULL, NULL,
		    "there is no such profile (the broker's policy file lists them)" },
		{ "", "attested.u=bob", "b", "b-any", "rule b-any permits profile b" },
		{ "", "attested.u=bob attested.u=root", NULL, NULL,
		    "several profiles are permitted: a, b; name one, with --profile or in the manifest" },
		{ "", "attested.u=eve", NULL, NULL,
		    "no rule permits this job any profile; name the one you want, with --profile or in the "
		    "manifest, to be "
		    "told what is missing" },
		{ "", "attested.u=bob manifest.kind=notebook", NULL, NULL,
		    "no rule permits this job any profile; name the one you want, with --profile or in the "
		    "manifest, to be "
		    "told what is missing" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_decision d = decide(p, cases[i].profile, cases[i].known, BEFORE);
		assert_string_equal(d.reason, cases[i].reason);
		assert_int_equal(d.permit, cases[i].got != NULL);
		if (cases[i].got != NULL)
			assert_string_equal(d.profile->name, cases[i].got);
		if (cases[i].rule == NULL)
			assert_null(d.rule);
		else
			assert_string_equal(d.rule, cases[i].rule);
	}
}

static void
test_forbid_on_unknown_says_so(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	assert_int_equal(add_rule(p, "ok", false, "a", "any", "always", NULL), MF_OK);
	assert_int_equal(add_rule(p, "sec", true, "a", NULL, "(eq submitter.kind ci)", NULL), MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	struct mf_decision d = decide(p, "a", "", BEFORE);
	assert_false(d.permit);
	assert_string_equal(d.reason, "rule sec forbids it: submitter.kind is not known, and a forbid also "
				      "holds for what is not known (ask "
				      "team-nlp)");
	assert_true(decide(p, "a", "submitter.kind=person", BEFORE).permit);
}

static void
test_unprintable_is_not_shown(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	assert_int_equal(add_rule(p, "ok", false, "a", "any", "(eq manifest.env dev)", NULL), MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	struct mf_decision d = decide(p, "a", "manifest.env=\x1b[2J", BEFORE);
	assert_null(strchr(d.reason, '\x1b'));
	assert_non_null(strstr(d.reason, "manifest.env is something else, must be dev"));
}

static void
test_review_by(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	assert_int_equal(add_rule(p, "perm", false, "a", "any", "always", NULL), MF_OK);
	assert_int_equal(add_rule(p, "forb", true, "b", NULL, "always", NULL), MF_OK);
	assert_int_equal(add_rule(p, "b-ok", false, "b", "any", "always", NULL), MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	assert_true(decide(p, "a", "", REVIEW + DAY - 1).permit); /* the day itself is included */
	struct mf_decision d = decide(p, "a", "", REVIEW + DAY);
	assert_false(d.permit);
	assert_string_equal(d.reason,
	    "no rule permits profile a: rule perm is past its review_by (ask team-nlp to review it)");
	/* Time takes access away, it never adds any. */
	d = decide(p, "b", "", REVIEW + 100 * DAY);
	assert_false(d.permit);
	assert_string_equal(d.rule, "forb");
}

static void
test_interactive(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	struct mf_policy_profile f = profile("shell");
	f.interactive = true;
	assert_int_equal(mf_policy_add_profile(p, &f, NULL), MF_OK);
	assert_int_equal(add_rule(p, "r1", false, "a", "any", "always", NULL), MF_OK);
	assert_int_equal(add_rule(p, "r2", false, "shell", "any", "always", NULL), MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	assert_true(decide(p, "a", "", BEFORE).permit);
	assert_true(decide(p, "a", "attested.interactive=false", BEFORE).permit);
	struct mf_decision d = decide(p, "a", "attested.interactive=true", BEFORE);
	assert_false(d.permit);
	assert_string_equal(d.reason, "profile a refuses interactive callers (run it as a job, or ask "
				      "team-nlp for interactive: allow)");
	d = decide(p, "a", "attested.interactive=true attested.interactive=tty", BEFORE);
	assert_false(d.permit);
	assert_string_equal(d.reason,
	    "profile a refuses interactive callers, and this one has a terminal (run it as a "
	    "job, or ask team-nlp for interactive: allow)");
	assert_true(decide(p, "shell", "attested.interactive=tty", BEFORE).permit);
	assert_string_equal(decide(p, "", "attested.interactive=true", BEFORE).profile->name, "shell");
}

static void
test_order_of_file_means_nothing(void **state)
{
	MF_UNUSED(state);
	static const char *const ids[] = { "r1", "r2", "r3" };
	static const size_t orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 },
		{ 2, 1, 0 } };
	for (size_t o = 0; o < MF_COUNT(orders); o++) {
		MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(
			    add_rule(p, ids[orders[o][i]], false, "a", "any", "(has node.id)", NULL), MF_OK);
		assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
		assert_string_equal(decide(p, "a", "node.id=n", BEFORE).rule, "r1");
		assert_string_equal(mf_policy_rule_at(p, 2)->id, "r3");
		assert_string_equal(mf_policy_profile_at(p, 0)->name, "a");
		assert_null(mf_policy_rule_at(p, 3));
		assert_null(mf_policy_profile_at(p, 3));
		assert_int_equal(mf_policy_profile_count(p), 3);
		assert_ptr_equal(mf_policy_profile(p, mf_slice_str("b")), mf_policy_profile_at(p, 1));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operators),
		cmocka_unit_test(test_kleene_tables),
		cmocka_unit_test(test_against_reference),
		cmocka_unit_test(test_effects),
		cmocka_unit_test(test_forbid_on_unknown_says_so),
		cmocka_unit_test(test_unprintable_is_not_shown),
		cmocka_unit_test(test_review_by),
		cmocka_unit_test(test_interactive),
		cmocka_unit_test(test_order_of_file_means_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
