/*
 * policy_kit: conditions as text for the tests of policy, "(all (eq manifest.env dev) (has node.pool))", and facts as
 * "node.pool=a manifest.env=dev". Included after cmocka.h; each test program has its own copy.
 */
#ifndef MF_TEST_POLICY_KIT_H
#define MF_TEST_POLICY_KIT_H
#include <stdio.h>

#include "broker/core/policy.h"
#include "broker/core/request_facts.h"

#define DAY INT64_C(86400)
#define REVIEW (20000 * DAY) /* review_by of the rules here */
#define BEFORE (19990 * DAY)

/*
 * Conditions in the tests are written as (op attr value...) and (op condition...). A small tree of our own feeds the
 * builder and, independently, the reference evaluator below.
 */
struct tree {
	enum mf_policy_op op;
	char attr[40], values[4][48];
	size_t n_values;
	struct tree *kids[4];
	size_t n_kids;
};

static struct tree pool[512];
static size_t pool_used;

static inline struct tree *
new_tree(enum mf_policy_op op)
{
	assert_true(pool_used < MF_COUNT(pool));
	pool[pool_used] = (struct tree) { .op = op };
	return &pool[pool_used++];
}

static inline const char *
word(const char *s, char *to, size_t room)
{
	while (*s == ' ')
		s++;
	size_t n = strcspn(s, " ()");
	assert_true(n < room);
	memcpy(to, s, n);
	to[n] = '\0';
	return s + n;
}

static inline const char *
parse(const char *s, struct tree **ret)
{
	char op[16];
	assert_int_equal(*s, '(');
	s = word(s + 1, op, sizeof(op));
	unsigned o = 0;
	while (o < MF_POLICY_OP_COUNT && strcmp(op, mf_policy_op_name((enum mf_policy_op)o)) != 0)
		o++;
	assert_int_not_equal(o, MF_POLICY_OP_COUNT);
	struct tree *t = new_tree((enum mf_policy_op)o);
	while (*s == ' ')
		s++;
	if (!mf_policy_is_group(t->op) || mf_policy_is_quantifier(t->op))
		s = word(s, t->attr, sizeof(t->attr));
	while (*s != ')') {
		while (*s == ' ')
			s++;
		if (*s == '(')
			s = parse(s, &t->kids[t->n_kids++]);
		else if (*s != ')')
			s = word(s, t->values[t->n_values++], sizeof(t->values[0]));
	}
	*ret = t;
	return s + 1;
}

static inline enum mf_status
push(struct mf_policy *p, const struct tree *t, struct mf_err *err)
{
	struct mf_slice values[4];
	if (mf_policy_is_quantifier(t->op))
		MF_TRY(mf_policy_quantify(p, mf_slice_str(t->attr), err));
	for (size_t i = 0; i < t->n_kids; i++)
		MF_TRY(push(p, t->kids[i], err));
	if (mf_policy_is_group(t->op))
		return mf_policy_push_group(p, t->op, t->n_kids, err);
	for (size_t i = 0; i < t->n_values; i++)
		values[i] = mf_slice_str(t->values[i]);
	return mf_policy_push(p, t->op, mf_slice_str(t->attr), values, t->n_values, err);
}

static inline enum mf_status
push_text(struct mf_policy *p, const char *text, struct mf_err *err)
{
	struct tree *t = NULL;
	pool_used = 0;
	(void)parse(text, &t);
	return push(p, t, err);
}

static inline struct mf_policy_profile
profile(const char *name)
{
	return (struct mf_policy_profile) { .name = name,
		.purpose = "training",
		.owner = "team-nlp",
		.max_job_ms = 3600000,
		.drain_ms = 60000,
		.identities = { { .path = "/t/job/{job}",
		    .hint = "job",
		    .cn = "{job}",
		    .x509_ttl_ms = 1200000,
		    .jwt_ttl_ms = 300000 } },
		.n_identities = 1 };
}

static inline enum mf_status
add_rule_must(struct mf_policy *p, const char *id, bool forbid, const char *prof, const char *nodes,
    const char *when, struct mf_obligations require, struct mf_err *err)
{
	struct mf_policy_rule r = { .id = id,
		.owner = "team-nlp",
		.profile = prof,
		.forbid = forbid,
		.review_by_s = REVIEW,
		.require = require,
		.nodes = nodes == NULL		     ? MF_POLICY_ABSENT
			 : strcmp(nodes, "any") == 0 ? MF_POLICY_ANY
						     : MF_POLICY_EXPR,
		.when = when == NULL		      ? MF_POLICY_ABSENT
			: strcmp(when, "always") == 0 ? MF_POLICY_ANY
						      : MF_POLICY_EXPR };
	MF_TRY(mf_policy_rule_begin(p, &r, err));
	if (r.nodes == MF_POLICY_EXPR) {
		MF_TRY(push_text(p, nodes, err));
		MF_TRY(mf_policy_rule_nodes(p, err));
	}
	if (r.when == MF_POLICY_EXPR)
		MF_TRY(push_text(p, when, err));
	return mf_policy_rule_end(p, err);
}

static inline enum mf_status
add_rule(struct mf_policy *p, const char *id, bool forbid, const char *prof, const char *nodes,
    const char *when, struct mf_err *err)
{
	return add_rule_must(p, id, forbid, prof, nodes, when, (struct mf_obligations) { 0 }, err);
}

/* A policy with profiles a, b, c. */
static inline struct mf_policy *
policy_abc(void)
{
	struct mf_policy *p = NULL;
	assert_int_equal(mf_policy_new(&p, NULL), MF_OK);
	static const char *const names[] = { "c", "a", "b" };
	for (size_t i = 0; i < 3; i++) {
		struct mf_policy_profile f = profile(names[i]);
		assert_int_equal(mf_policy_add_profile(p, &f, NULL), MF_OK);
	}
	return p;
}

/* "node.pool=gpu-a manifest.dataset[0].class=public attested.x" : the last one is declared empty. */
static inline struct mf_facts *
facts(const char *text)
{
	struct mf_facts *f = NULL;
	char w[96];
	assert_int_equal(mf_facts_new(&f, NULL), MF_OK);
	while (text = word(text, w, sizeof(w)), w[0] != '\0') {
		enum mf_fact_ns ns = MF_FACT_NODE;
		struct mf_slice name;
		char *eq = strchr(w, '=');
		if (strncmp(w, "manifest.", 9) == 0 && eq != NULL) {
			assert_int_equal(mf_request_manifest(f, mf_slice_str(w + 9), NULL), MF_OK);
			continue;
		}
		if (eq != NULL)
			*eq = '\0';
		assert_true(mf_fact_split(mf_slice_str(w), &ns, &name));
		if (eq == NULL)
			assert_int_equal(mf_facts_declare(f, ns, name, NULL), MF_OK);
		else
			assert_int_equal(mf_facts_add(f, ns, name, mf_slice_str(eq + 1), NULL), MF_OK);
	}
	mf_facts_seal(f);
	return f;
}

static inline struct mf_decision
decide(const struct mf_policy *p, const char *prof, const char *known, int64_t wall_s)
{
	MF_AUTO(mf_facts_free) struct mf_facts *f = facts(known);
	const struct mf_policy_request req = { mf_slice_str(prof), f, wall_s };
	struct mf_decision d;
	memset(&d, 0xff, sizeof(d));
	mf_policy_decide(p, &req, &d);
	assert_true(strlen(d.reason) > 0 && strlen(d.reason) < sizeof(d.reason));
	assert_true(!d.permit || (d.profile != NULL && d.rule != NULL));
	return d;
}

/* T, F or U: told apart by a permit (true only) and a forbid (true and unknown) of the same condition. */
static inline char
truth(const char *when, const char *known)
{
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	assert_int_equal(add_rule(p, "p", false, "a", "any", when, NULL), MF_OK);
	assert_int_equal(add_rule(p, "always", false, "b", "any", "always", NULL), MF_OK);
	assert_int_equal(add_rule(p, "f", true, "b", NULL, when, NULL), MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	bool permitted = decide(p, "a", known, BEFORE).permit;
	bool forbidden = !decide(p, "b", known, BEFORE).permit;
	assert_true(forbidden || !permitted);
	return permitted ? 'T' : forbidden ? 'U' : 'F';
}

#endif
