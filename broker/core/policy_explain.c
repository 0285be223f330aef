/*
 * policy_explain: why a decision is what it is, for people: rule, attribute, cure (contract in policy.h).
 *
 * Two texts are written side by side: `reason` for records and operators, and `told` for whoever asked, which leaves
 * out what is not his to see.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/suggest.h"
#include "base/text.h"
#include "broker/core/policy_internal.h"

#define TOLD_RULES 3u  /* of a profile whose permits all failed */
#define TOLD_VALUES 4u /* of one condition */

/* Append; cut when it is full, and then between letters: it goes into records and messages. */
MF_PRINTF(2, 0) static void append(char *to, const char *fmt, va_list ap)
{
	size_t used = strlen(to), room = MF_POLICY_REASON_MAX - used;
	int n = vsnprintf(to + used, room, fmt, ap);
	if (n < 0 || (size_t)n >= room)
		to[mf_utf8_cut(mf_slice_str(to), MF_POLICY_REASON_MAX)] = '\0';
}

void
mf_policy_say(struct mf_decision *d, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	append(d->reason, fmt, ap);
	va_end(ap);
	va_start(ap, fmt);
	append(d->told, fmt, ap);
	va_end(ap);
}

/* To one of the two texts only. */
static void say_in(char *to, const char *fmt, ...) MF_PRINTF(2, 3);
static void
say_in(char *to, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	append(to, fmt, ap);
	va_end(ap);
}

/* ---- what made a condition what it is ---- */

struct culprit {
	const struct policy_rule *r;
	const struct policy_node *n;
	size_t element; /* of what stands under every or some */
};

/* The element that gave quantifier ${at} its value; false when none did: nothing is known, or there is none. */
static bool
element_of(struct policy_eval *e, const struct policy_rule *r, uint32_t at, size_t *ret_i)
{
	uint8_t want = e->vals[at];
	size_t n = mf_policy_elements(e, &r->nodes[at]);
	for (size_t i = 0; i < n; i++) {
		*ret_i = i;
		if (mf_policy_eval_element(e, r, at, i) == (enum truth)want)
			return true;
	}
	return false;
}

/* Descends while one operand can be named. */
static struct culprit
culprit(struct policy_eval *e, const struct policy_rule *r, uint32_t at, size_t element)
{
	struct culprit c = { r, &r->nodes[at], element };
	for (;;) {
		enum mf_policy_op op = (enum mf_policy_op)c.n->op;
		if (mf_policy_is_quantifier(op)) {
			if (!element_of(e, r, at, &c.element))
				return c;
			at = c.n->child;
		} else if (op == MF_POLICY_ALL || op == MF_POLICY_ANY_OF) {
			uint8_t want = e->vals[at];
			for (at = c.n->child;
			     e->vals[at] != want;) /* least or greatest: one operand has it */
				at = r->nodes[at].next;
		} else {
			return c;
		}
		c.n = &r->nodes[at];
	}
}

/* "manifest.env", "manifest.dataset[2].class" */
static void
put_attribute(struct policy_eval *e, const struct culprit *c, char to[MF_POLICY_ATTRIBUTE_MAX])
{
	const struct policy_attr *a = &e->p->attrs[c->n->attr];
	const char *ns = mf_fact_ns_name((enum mf_fact_ns)a->ns);
	bool key = c->n->in_item && a->objects;
	if (key)
		(void)snprintf(to, MF_POLICY_ATTRIBUTE_MAX, "%s.%.*s[%zu].%.*s", ns, (int)a->name.n,
		    (const char *)a->name.p, c->element, (int)c->n->key.n, (const char *)c->n->key.p);
	else
		(void)snprintf(
		    to, MF_POLICY_ATTRIBUTE_MAX, "%s.%.*s", ns, (int)a->name.n, (const char *)a->name.p);
	to[mf_utf8_cut(mf_slice_str(to), MF_POLICY_ATTRIBUTE_MAX)] = '\0';
}

/* ---- saying it ---- */

static void
put_value(char *to, size_t room, struct mf_slice v)
{
	if (mf_suggest_printable(v))
		(void)snprintf(to, room, "is %.*s", (int)v.n, (const char *)v.p);
	else
		(void)snprintf(to, room, "is something else");
}

/* "manifest.env is prod", or what else is known of it. */
static void
say_found(struct policy_eval *e, const struct culprit *c, struct mf_decision *d)
{
	const struct policy_attr *a = &e->p->attrs[c->n->attr];
	bool secret = a->ns == MF_FACT_NODE || a->ns == MF_FACT_SUBMITTER;
	char name[MF_POLICY_ATTRIBUTE_MAX], value[MF_SUGGEST_WORD_MAX + 16];
	struct mf_slice v = MF_SLICE_LIT("");
	put_attribute(e, c, name);
	if (d->attribute[0] == '\0')
		memcpy(d->attribute, name, sizeof(name));
	const struct mf_facts_view *view = mf_policy_view(e, c->n->attr);
	bool one = c->n->in_item;
	if (!view->known || (one && !mf_policy_element_value(e, c->n, c->element, &v))) {
		mf_policy_say(d, "%s is not known", name);
		return;
	}
	if (!one && view->partial) {
		mf_policy_say(d, "%s is not known of each", name);
		return;
	}
	size_t n = one ? 1 : a->objects ? mf_policy_elements(e, c->n) : view->n;
	if (!one && n > 0)
		v = mf_facts_at(e->f, view->from);
	if (n == 0)
		(void)snprintf(value, sizeof(value), "is empty");
	else if (n == 1 && !a->objects)
		put_value(value, sizeof(value), v);
	else if (one)
		put_value(value, sizeof(value), v);
	else
		(void)snprintf(value, sizeof(value), "has %zu values", n);
	say_in(d->reason, "%s %s", name, value);
	say_in(d->told, "%s %s", name, secret ? "does not fit" : value);
}

static void
say_values(char *to, const struct policy_node *n)
{
	for (size_t i = 0; i < n->n_values && i < TOLD_VALUES; i++)
		say_in(to, "%s%.*s", i == 0 ? "" : ", ", (int)mf_utf8_cut(n->values[i], 64),
		    (const char *)n->values[i].p);
	if (n->n_values > TOLD_VALUES)
		say_in(to, ", ...");
}

static void
say_wanted(struct policy_eval *e, const struct culprit *c, struct mf_decision *d)
{
	static const char *const wants[MF_POLICY_OP_COUNT] = { [MF_POLICY_EQ] = "must be ",
		[MF_POLICY_NE] = "must be one value other than ",
		[MF_POLICY_IN] = "must be one of ",
		[MF_POLICY_HAS] = "must be known",
		[MF_POLICY_CONTAINS] = "must contain ",
		[MF_POLICY_LE] = "must be at most ",
		[MF_POLICY_GE] = "must be at least ",
		[MF_POLICY_UNDER] = "must be, plainly spelt, a path under ",
		[MF_POLICY_GLOB] = "must be (* without /) like ",
		[MF_POLICY_SUBSET] = "must hold nothing but ",
		[MF_POLICY_EVERY] = "must be a list of what the rule allows",
		[MF_POLICY_SOME] = "must have an element that the rule asks for" };
	const char *want = wants[c->n->op];
	if (c->n->op == MF_POLICY_SUBSET && c->n->n_values == 0)
		want = "must be given, and empty";
	/* What rules want of others than the manifest tells of other people, and of the cluster. */
	bool open = e->p->attrs[c->n->attr].ns == MF_FACT_MANIFEST;
	say_in(d->reason, ", %s", want);
	say_values(d->reason, c->n);
	if (!open && c->n->op != MF_POLICY_HAS)
		return;
	say_in(d->told, ", %s", want);
	say_values(d->told, c->n);
}

static const char *
what_cures(const struct policy_attr *a)
{
	switch ((enum mf_fact_ns)a->ns) {
	case MF_FACT_MANIFEST:
		return "set it in the manifest";
	case MF_FACT_NODE:
		return "run it on another node";
	default: /* the selector that only jobs of `mayfly run` have */
		return mf_slice_eq(a->name, MF_SLICE_LIT("mayfly.run")) ? "start it with 'mayfly run'"
									: "run it as somebody who has it";
	}
}

/* The cure of the first failure is the decision's. */
static void
say_cure(struct policy_eval *e, const struct culprit *c, struct mf_decision *d)
{
	char cure[MF_POLICY_CURE_MAX];
	(void)snprintf(
	    cure, sizeof(cure), "%s, or ask %s", what_cures(&e->p->attrs[c->n->attr]), c->r->head.owner);
	mf_policy_say(d, " (%s)", cure);
	if (d->cure[0] == '\0')
		memcpy(d->cure, cure, sizeof(cure));
}

static void
ask_owner(const struct policy_rule *r, struct mf_decision *d)
{
	if (d->cure[0] == '\0')
		(void)snprintf(d->cure, sizeof(d->cure), "ask %s", r->head.owner);
	mf_policy_say(d, " (ask %s)", r->head.owner);
}

static bool
is_comparison(const struct culprit *c)
{
	return !mf_policy_is_group((enum mf_policy_op)c->n->op) ||
	       mf_policy_is_quantifier((enum mf_policy_op)c->n->op);
}

/* Why ${r}, a permit, did not hold. */
static void
say_permit_failed(struct policy_eval *e, const struct policy_rule *r, struct mf_decision *d)
{
	bool by_nodes = r->nodes_root != NONE && e->vals[r->nodes_root] != YES;
	struct culprit c = culprit(e, r, by_nodes ? r->nodes_root : r->when_root, 0);
	mf_policy_say(d, "rule %s: ", r->head.id);
	if (c.n->op == MF_POLICY_NOT) {
		c = culprit(e, r, c.n->child, c.element);
		mf_policy_say(d, "a condition under `not` holds or is not known");
		if (is_comparison(&c)) {
			mf_policy_say(d, ": ");
			say_found(e, &c, d);
		}
		ask_owner(r, d);
		return;
	}
	say_found(e, &c, d);
	say_wanted(e, &c, d);
	say_cure(e, &c, d);
}

void
mf_policy_explain_forbid(struct policy_eval *e, const struct policy_rule *r, struct mf_decision *d)
{
	(void)mf_policy_eval_rule(e, r, true);
	mf_policy_say(d, "rule %s forbids it", r->head.id);
	uint32_t root = r->when_root;
	/* When `nodes` is what is not known, that is the news. */
	if (r->nodes_root != NONE && (root == NONE || e->vals[r->nodes_root] < e->vals[root]))
		root = r->nodes_root;
	if (root != NONE) {
		bool unknown = e->vals[root] == UNKNOWN;
		struct culprit c = culprit(e, r, root, 0);
		if (c.n->op == MF_POLICY_NOT)
			c = culprit(e, r, c.n->child, c.element);
		if (is_comparison(&c)) {
			mf_policy_say(d, ": ");
			say_found(e, &c, d);
		}
		if (unknown)
			mf_policy_say(d, ", and a forbid also holds for what is not known");
	}
	ask_owner(r, d);
}

/* No permit held: say of the first few what was missing. */
void
mf_policy_explain_no_permit(struct policy_eval *e, size_t profile, int64_t wall_s, struct mf_decision *d)
{
	const struct mf_policy *p = e->p;
	size_t told = 0, more = 0;
	mf_policy_say(d, "no rule permits profile %s", p->profiles[profile].name);
	for (size_t i = 0; i < p->n_by_profile[profile]; i++) {
		const struct policy_rule *r = p->by_profile[profile][i];
		if (r->head.forbid)
			continue;
		if (told == TOLD_RULES) {
			more++;
			continue;
		}
		mf_policy_say(d, "%s", told++ == 0 ? ": " : "; ");
		if (policy_lapsed(r, wall_s)) {
			mf_policy_say(d, "rule %s is past its review_by (ask %s to review it)", r->head.id,
			    r->head.owner);
			if (d->cure[0] == '\0')
				(void)snprintf(
				    d->cure, sizeof(d->cure), "ask %s to review the rule", r->head.owner);
			continue;
		}
		(void)mf_policy_eval_rule(e, r, true);
		say_permit_failed(e, r, d);
	}
	if (told == 0) {
		(void)snprintf(d->cure, sizeof(d->cure), "ask %s", p->profiles[profile].owner);
		mf_policy_say(d, ": there is no permit for it (%s)", d->cure);
	}
	if (more > 0)
		mf_policy_say(d, "; and %zu rules more", more);
}

/* A permit holds, but asks for fields that are not there: name them, and the first rule that asks for the first one. */
void
mf_policy_explain_fields(struct policy_eval *e, size_t profile, int64_t wall_s, struct mf_decision *d)
{
	const struct mf_policy *p = e->p;
	uint32_t left = d->must.fields;
	size_t first = mf_policy_missing_field(e->f, left), n = 0;
	enum mf_manifest_form form = MF_MANIFEST_NONE;
	for (size_t i = 0; i < p->n_by_profile[profile]; i++) {
		const struct policy_rule *r = p->by_profile[profile][i];
		if (r->head.forbid || (r->head.require.fields & UINT32_C(1) << first) == 0 ||
		    policy_lapsed(r, wall_s) || mf_policy_eval_rule(e, r, true) != YES)
			continue;
		d->rule = r->head.id;
		(void)snprintf(d->cure, sizeof(d->cure), "add it to the manifest, or ask %s", r->head.owner);
		break;
	}
	(void)snprintf(d->attribute, sizeof(d->attribute), "manifest.%s", mf_manifest_field(first, &form));
	mf_policy_say(d, "rule %s asks for ", d->rule);
	for (size_t i = first; i < MF_MANIFEST_FIELDS; i = mf_policy_missing_field(e->f, left)) {
		mf_policy_say(d, "%smanifest.%s", n++ == 0 ? "" : ", ", mf_manifest_field(i, &form));
		left &= ~(UINT32_C(1) << i);
	}
	mf_policy_say(d, ", which %s missing%s (%s)", n == 1 ? "is" : "are",
	    form == MF_MANIFEST_KEY ? " in at least one entry" : "", d->cure);
}
