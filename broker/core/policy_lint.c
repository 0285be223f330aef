/* policy_lint: what is legal but suspicious (contract in policy.h). */
#include <stdarg.h>
#include <stdio.h>

#include "base/suggest.h"
#include "broker/core/policy_internal.h"
#include "codec/template.h"

#define DAY_S 86400
#define REVIEW_SOON_DAYS 14
#define REVIEW_FAR_DAYS 90	/* a review date further out reviews nothing */
#define REVIEW_FAR_DAYS_WILD 14 /* for rules that say `any` */

struct lint {
	const struct mf_policy *p;
	int64_t wall_s;
	mf_policy_lint_cb *cb;
	void *ctx;
	size_t errors;
};

static void report(struct lint *l, enum mf_lint_level level, const char *kind, const char *name,
    const char *fmt, ...) MF_PRINTF(5, 6);
static void
report(struct lint *l, enum mf_lint_level level, const char *kind, const char *name, const char *fmt, ...)
{
	char subject[96], text[512];
	va_list ap;
	(void)snprintf(subject, sizeof(subject), "%s %s", kind, name);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (level == MF_LINT_ERROR)
		l->errors++;
	if (l->cb != NULL)
		l->cb(l->ctx, level, subject, text);
}

/* Sets of possible truth values, for "what if": bit 0 no, bit 1 unknown, bit 2 yes. */
enum { CAN_NO = 1, CAN_UNKNOWN = 2, CAN_YES = 4 };

static uint8_t
set_not(uint8_t s)
{
	return (uint8_t)((s & CAN_UNKNOWN) | (s & CAN_NO ? CAN_YES : 0) | (s & CAN_YES ? CAN_NO : 0));
}

/* All values that the least (all) or greatest (any) of one of ${a} and one of ${b} can be. */
static uint8_t
set_join(uint8_t a, uint8_t b, bool least)
{
	uint8_t out = 0;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; k < 3; k++)
			if ((a & 1u << i) && (b & 1u << k))
				out |= (uint8_t)(1u << ((least ? i < k : i > k) ? i : k));
	return out;
}

/* The attribute as the file spells it; a key of list elements as "class of manifest.dataset". */
static const char *
spelt(const struct lint *l, const struct policy_node *n, char to[256])
{
	const struct policy_attr *a = &l->p->attrs[n->attr];
	(void)snprintf(to, 256, "%.*s%s%s.%.*s", (int)n->key.n, (const char *)n->key.p,
	    n->in_item ? " of " : "", mf_fact_ns_name((enum mf_fact_ns)a->ns), (int)a->name.n,
	    (const char *)a->name.p);
	return to;
}

static bool
same_attribute(const struct policy_node *a, const struct policy_node *b)
{
	return a->attr == b->attr && a->in_item == b->in_item && mf_slice_eq(a->key, b->key);
}

/* What the rule can come to when the attribute of ${missing} is not known and all others are. */
static uint8_t
outcomes_without(const struct policy_rule *r, const struct policy_node *missing)
{
	uint8_t sets[MF_LIM_POLICY_EXPR];
	for (uint32_t i = 0; i < r->n_nodes; i++) {
		const struct policy_node *n = &r->nodes[i];
		if (n->op == MF_POLICY_NOT) {
			sets[i] = set_not(sets[n->child]);
		} else if (mf_policy_is_quantifier((enum mf_policy_op)n->op)) {
			uint8_t none = n->op == MF_POLICY_EVERY ? CAN_YES : CAN_NO;
			sets[i] = same_attribute(n, missing) ? CAN_UNKNOWN : (uint8_t)(sets[n->child] | none);
		} else if (mf_policy_is_group((enum mf_policy_op)n->op)) {
			sets[i] = sets[n->child];
			for (uint32_t c = r->nodes[n->child].next; c != NONE; c = r->nodes[c].next)
				sets[i] = set_join(sets[i], sets[c], n->op == MF_POLICY_ALL);
		} else if (same_attribute(n, missing)) {
			sets[i] = n->op == MF_POLICY_HAS ? CAN_NO : CAN_UNKNOWN;
		} else {
			sets[i] = CAN_NO | CAN_YES;
		}
	}
	uint8_t out = CAN_YES;
	if (r->nodes_root != NONE)
		out = set_join(out, sets[r->nodes_root], true);
	if (r->when_root != NONE)
		out = set_join(out, sets[r->when_root], true);
	return out;
}

static bool
speaks(const struct policy_node *n)
{
	enum mf_policy_op op = (enum mf_policy_op)n->op;
	return !mf_policy_is_group(op) || mf_policy_is_quantifier(op);
}

/* Was it told of this attribute already, or is there nothing to tell? */
static bool
is_told(const struct lint *l, const struct policy_rule *r, uint32_t i)
{
	const struct policy_node *n = &r->nodes[i];
	const struct policy_attr *a = &l->p->attrs[n->attr];
	/* node.id is always there; an element that is a text always has a value. */
	if (!speaks(n) || n->op == MF_POLICY_HAS || (n->in_item && !a->objects) ||
	    (a->ns == MF_FACT_NODE &&
		(mf_slice_eq_str(a->name, "id") || mf_slice_eq_str(a->name, "attestor"))))
		return true;
	for (uint32_t k = 0; k < i; k++)
		if (speaks(&r->nodes[k]) && r->nodes[k].op != MF_POLICY_HAS &&
		    same_attribute(&r->nodes[k], n))
			return true;
	return false;
}

/* A forbid that fires only because an attribute is missing surprises: it must ask `has` first. */
static void
lint_forbid_unknown(struct lint *l, const struct policy_rule *r)
{
	char name[256];
	for (uint32_t i = 0; i < r->n_nodes; i++) {
		const struct policy_node *n = &r->nodes[i];
		const struct policy_attr *a = &l->p->attrs[n->attr];
		if (is_told(l, r, i))
			continue;
		if (!n->in_item && a->ns == MF_FACT_MANIFEST &&
		    mf_manifest_field_form(a->name, NULL) == MF_MANIFEST_KEY)
			report(l, MF_LINT_ERROR, "rule", r->head.id,
			    "forbids by %s, which is not known where one entry lacks it: write {some: "
			    "[manifest.dataset, {all: [{has: [KEY]}, ...]}]}",
			    spelt(l, n, name));
		else if (outcomes_without(r, n) & CAN_UNKNOWN)
			report(l, MF_LINT_ERROR, "rule", r->head.id,
			    "forbids whoever has no %s at all: write {all: [{has: [%s]}, ...]}, or any: "
			    "[{not: "
			    "{has: ...}}, ...] when that is meant",
			    spelt(l, n, name), n->in_item ? (const char *)n->key.p : name);
	}
}

/* What manifests cannot say is never known: a misspelt name would permit nothing, and forbid everything. */
static void
lint_fields(struct lint *l, const struct policy_rule *r)
{
	const char *names[MF_MANIFEST_FIELDS];
	enum mf_manifest_form form;
	for (size_t i = 0; i < MF_MANIFEST_FIELDS; i++)
		names[i] = mf_manifest_field(i, &form);
	for (uint32_t i = 0; i < r->n_nodes; i++) {
		const struct policy_node *n = &r->nodes[i];
		const struct policy_attr *a = &l->p->attrs[n->attr];
		char name[256];
		if (!speaks(n) || n->in_item || a->ns != MF_FACT_MANIFEST)
			continue;
		form = mf_manifest_field_form(a->name, NULL);
		const char *near = mf_suggest(a->name, names, MF_COUNT(names));
		if (form == MF_MANIFEST_NONE)
			report(l, MF_LINT_ERROR, "rule", r->head.id, "%s is not a field of manifests%s%s%s",
			    spelt(l, n, name), near == NULL ? "" : "; did you mean manifest.",
			    near == NULL ? "" : near, near == NULL ? "" : "?");
	}
}

/* A list compared like one value is unknown as soon as it has two. */
static void
lint_lists(struct lint *l, const struct policy_rule *r)
{
	for (uint32_t i = 0; i < r->n_nodes; i++) {
		const struct policy_node *n = &r->nodes[i];
		const struct policy_attr *a = &l->p->attrs[n->attr];
		char name[256];
		if (!speaks(n) || n->in_item || n->op == MF_POLICY_HAS || n->op == MF_POLICY_CONTAINS ||
		    n->op == MF_POLICY_SUBSET || mf_policy_is_quantifier((enum mf_policy_op)n->op) ||
		    a->ns != MF_FACT_MANIFEST)
			continue;
		enum mf_manifest_form form = mf_manifest_field_form(a->name, NULL);
		if (form == MF_MANIFEST_LIST || form == MF_MANIFEST_KEY)
			report(l, MF_LINT_WARNING, "rule", r->head.id,
			    "%s speaks of one value, and %s may have many, which is then not known: use "
			    "contains, "
			    "subset, every or some",
			    mf_policy_op_name((enum mf_policy_op)n->op), spelt(l, n, name));
	}
}

static bool
allows(const struct policy_node *n, struct mf_slice value)
{
	bool listed = false;
	for (size_t i = 0; i < n->n_values && !listed; i++)
		listed = mf_slice_eq(n->values[i], value);
	return n->op == MF_POLICY_NE ? !listed : listed;
}

/* Two required comparisons of one single-valued attribute that no value meets. */
static bool
contradict(const struct policy_node *a, const struct policy_node *b)
{
	bool a_lists = a->op == MF_POLICY_EQ || a->op == MF_POLICY_IN;
	bool b_compares = b->op == MF_POLICY_EQ || b->op == MF_POLICY_IN || b->op == MF_POLICY_NE;
	if (!a_lists || !b_compares || a->in_item || b->in_item || !same_attribute(a, b))
		return false;
	for (size_t i = 0; i < a->n_values; i++)
		if (allows(b, a->values[i]))
			return false;
	return true;
}

static void
lint_unreachable(struct lint *l, const struct policy_rule *r)
{
	for (uint32_t i = 0; i < r->n_nodes; i++)
		for (uint32_t k = 0; k < r->n_nodes; k++)
			if (r->nodes[i].required && r->nodes[k].required && i != k &&
			    contradict(&r->nodes[i], &r->nodes[k])) {
				char name[256];
				report(l, MF_LINT_ERROR, "rule", r->head.id,
				    "can never hold: its conditions on %s exclude one another",
				    spelt(l, &r->nodes[i], name));
				return;
			}
}

static void
lint_review(struct lint *l, const struct policy_rule *r)
{
	int64_t left = policy_lapses_s(r) - l->wall_s;
	bool wild = r->head.nodes == MF_POLICY_ANY || r->head.when == MF_POLICY_ANY;
	int far = wild ? REVIEW_FAR_DAYS_WILD : REVIEW_FAR_DAYS;
	if (left <= 0)
		report(l, MF_LINT_WARNING, "rule", r->head.id,
		    "is past its review_by and %s: review it and set a new date",
		    r->head.forbid ? "still forbids" : "permits nothing");
	else if (left <= (int64_t)REVIEW_SOON_DAYS * DAY_S)
		report(l, MF_LINT_WARNING, "rule", r->head.id, "must be reviewed within %d days",
		    (int)(left / DAY_S));
	else if (!r->head.forbid && left > ((int64_t)far + 1) * DAY_S)
		report(l, MF_LINT_NOTE, "rule", r->head.id, "review_by is more than %d days away%s", far,
		    wild ? ", and the rule says `any` or `always`" : "");
}

static void
lint_rule(struct lint *l, const struct policy_rule *r)
{
	lint_review(l, r);
	if (!r->head.forbid && r->head.nodes == MF_POLICY_ANY)
		report(l, MF_LINT_WARNING, "rule", r->head.id,
		    "nodes: any lets every node of the trust domain claim jobs for it, a stolen one "
		    "included: name the "
		    "nodes");
	if (!r->head.forbid && r->head.when == MF_POLICY_ANY)
		report(l, MF_LINT_WARNING, "rule", r->head.id,
		    "when: always gives the profile to every process on its nodes");
	if (r->head.forbid)
		lint_forbid_unknown(l, r);
	lint_fields(l, r);
	lint_lists(l, r);
	lint_unreachable(l, r);
}

/* The name of an earlier profile with an identity of the same path. */
static const char *
same_path_elsewhere(const struct mf_policy *p, size_t before, const char *path)
{
	for (size_t i = 0; i < before; i++)
		for (size_t k = 0; k < p->profiles[i].n_identities; k++)
			if (strcmp(p->profiles[i].identities[k].path, path) == 0)
				return p->profiles[i].name;
	return NULL;
}

/* A wildcard that no value of the job stands before is shared by all its jobs. */
static void
lint_cloud(struct lint *l, const char *profile, const struct mf_policy_cloud *c)
{
	for (size_t i = 0; i < c->scope_n; i++)
		for (size_t k = 0; k < c->scope[i].resources_n; k++) {
			const char *star = strchr(c->scope[i].resources[k], '*');
			const char *value = strchr(c->scope[i].resources[k], '{');
			if (star != NULL && (value == NULL || star < value))
				report(l, MF_LINT_NOTE, "profile", profile,
				    "cloud grant %s: %s is shared by all its jobs: put {run}, {job} or "
				    "{dataset} "
				    "before the *, if that is not meant",
				    c->name, c->scope[i].resources[k]);
		}
	if (c->allow_overhang)
		report(l, MF_LINT_NOTE, "profile", profile,
		    "cloud grant %s: allow_overhang lets a token work after its job is over", c->name);
}

static void
lint_profile(struct lint *l, size_t i)
{
	const struct mf_policy_profile *profile = &l->p->profiles[i];
	const char *first = NULL, *blocked = NULL;
	size_t permits = 0;
	for (size_t k = 0; k < l->p->n_by_profile[i]; k++) {
		const struct policy_rule *r = l->p->by_profile[i][k];
		if (r->head.forbid && r->nodes_root == NONE && r->when_root == NONE)
			blocked = r->head.id;
		if (r->head.forbid)
			continue;
		first = permits++ == 0 ? r->head.id : first;
		if (permits == 2)
			report(l, MF_LINT_WARNING, "profile", profile->name,
			    "has more than one permit (%s, %s): either one is enough, so conditions of the "
			    "other do not "
			    "bind; extra conditions belong in a forbid",
			    first, r->head.id);
	}
	if (permits == 0)
		report(
		    l, MF_LINT_WARNING, "profile", profile->name, "no rule permits it: nobody can have it");
	else if (blocked != NULL)
		report(l, MF_LINT_ERROR, "profile", profile->name,
		    "cannot be reached: rule %s forbids it always, so its permits do nothing", blocked);
	for (size_t k = 0; k < profile->n_identities; k++) {
		struct mf_slice path = mf_slice_str(profile->identities[k].path);
		if (!mf_template_uses(path, "job") && !mf_template_uses(path, "run"))
			report(l, MF_LINT_WARNING, "profile", profile->name,
			    "identity %s is shared by all its jobs: put {job} or {run} into the path",
			    profile->identities[k].path);
		const char *other = same_path_elsewhere(l->p, i, profile->identities[k].path);
		if (other != NULL)
			report(l, MF_LINT_WARNING, "profile", profile->name,
			    "identity %s is also given by profile %s: servers cannot tell the two apart",
			    profile->identities[k].path, other);
	}
	for (size_t k = 0; k < profile->n_cloud; k++)
		lint_cloud(l, profile->name, &profile->cloud[k]);
}

size_t
mf_policy_lint(const struct mf_policy *p, int64_t wall_s, mf_policy_lint_cb *cb, void *ctx)
{
	struct lint l = { .p = p, .wall_s = wall_s, .cb = cb, .ctx = ctx };
	for (size_t i = 0; i < p->n_profiles; i++)
		lint_profile(&l, i);
	for (size_t i = 0; i < p->n_rules; i++)
		lint_rule(&l, p->rules[i]);
	return l.errors;
}
