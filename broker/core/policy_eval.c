/* policy_eval: what the rules say about one request (contract in policy.h). Why: policy_explain.c. */
#include <stdio.h>

#include "base/suggest.h"
#include "broker/core/policy_internal.h"

/* ---- one rule ---- */

void
mf_policy_eval_begin(struct policy_eval *e, const struct mf_policy *p, const struct mf_facts *f)
{
	e->p = p;
	e->f = f;
	memset(e->looked, 0, p->n_attrs * sizeof(e->looked[0]));
}

const struct mf_facts_view *
mf_policy_view(struct policy_eval *e, size_t attr)
{
	const struct policy_attr *a = &e->p->attrs[attr];
	if (!e->looked[attr]) {
		e->views[attr] = mf_facts_look(e->f, (enum mf_fact_ns)a->ns, a->name);
		e->looked[attr] = true;
	}
	return &e->views[attr];
}

static enum truth
truth_of(bool b)
{
	return b ? YES : NO;
}

/* Is ${v} one of the node's values? They are sorted. */
static bool
listed(const struct policy_node *n, struct mf_slice v)
{
	size_t lo = 0, hi = n->n_values;
	if (hi == 1)
		return mf_slice_eq(n->values[0], v);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = mf_slice_cmp(n->values[mid], v);
		if (c == 0)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* Comparisons with one value that is known. */
static enum truth
compare_one(const struct policy_node *n, struct mf_slice v)
{
	int64_t number;
	switch ((enum mf_policy_op)n->op) {
	case MF_POLICY_NE:
		return truth_of(!listed(n, v));
	case MF_POLICY_LE:
	case MF_POLICY_GE:
		if (mf_policy_number(v, &number) != (enum policy_kind)n->kind)
			return UNKNOWN;
		return truth_of(n->op == MF_POLICY_LE ? number <= n->number : number >= n->number);
	case MF_POLICY_UNDER:
		return mf_policy_under(v, n->values[0]);
	case MF_POLICY_GLOB:
		return mf_policy_glob(v, n->values[0], (size_t)n->number);
	default: /* eq, in; contains and subset of one element */
		return truth_of(listed(n, v));
	}
}

static enum truth
eval_set(const struct policy_eval *e, const struct policy_node *n, const struct mf_facts_view *v)
{
	bool subset = n->op == MF_POLICY_SUBSET;
	for (size_t i = 0; i < v->n; i++)
		if (listed(n, mf_facts_at(e->f, v->from + i)) != subset)
			return subset ? NO : YES;
	return !v->known || v->partial ? UNKNOWN : truth_of(subset);
}

static enum truth
eval_leaf(struct policy_eval *e, const struct policy_node *n)
{
	const struct mf_facts_view *v = mf_policy_view(e, n->attr);
	if (n->op == MF_POLICY_HAS)
		return truth_of(v->known);
	if (n->op == MF_POLICY_CONTAINS || n->op == MF_POLICY_SUBSET)
		return eval_set(e, n, v);
	/* All else speaks of one value: none or several is not known. */
	return v->n != 1 || v->partial ? UNKNOWN : compare_one(n, mf_facts_at(e->f, v->from));
}

static enum truth
eval_group(const struct policy_rule *r, const struct policy_node *n, const uint8_t *vals)
{
	if (n->op == MF_POLICY_NOT)
		return (enum truth)(YES - vals[n->child]);
	uint8_t v = n->op == MF_POLICY_ALL ? YES : NO;
	for (uint32_t c = n->child; c != NONE; c = r->nodes[c].next)
		if (n->op == MF_POLICY_ALL ? vals[c] < v : vals[c] > v)
			v = vals[c];
	return (enum truth)v;
}

size_t
mf_policy_elements(struct policy_eval *e, const struct policy_node *q)
{
	const struct policy_attr *a = &e->p->attrs[q->attr];
	return a->objects ? mf_facts_items(e->f, (enum mf_fact_ns)a->ns, a->name)
			  : mf_policy_view(e, q->attr)->n;
}

bool
mf_policy_element_value(
    struct policy_eval *e, const struct policy_node *n, size_t i, struct mf_slice *ret_value)
{
	const struct policy_attr *a = &e->p->attrs[n->attr];
	if (a->objects)
		return mf_facts_item(e->f, (enum mf_fact_ns)a->ns, a->name, i, n->key, ret_value);
	*ret_value = mf_facts_at(e->f, mf_policy_view(e, n->attr)->from + i);
	return true;
}

enum truth
mf_policy_eval_element(struct policy_eval *e, const struct policy_rule *r, uint32_t at, size_t i)
{
	const struct policy_node *q = &r->nodes[at];
	for (uint32_t k = q->first; k < at; k++) {
		const struct policy_node *n = &r->nodes[k];
		struct mf_slice v;
		if (mf_policy_is_group((enum mf_policy_op)n->op))
			e->vals[k] = (uint8_t)eval_group(r, n, e->vals);
		else if (!mf_policy_element_value(e, n, i, &v))
			e->vals[k] = n->op == MF_POLICY_HAS ? NO : UNKNOWN;
		else
			e->vals[k] = (uint8_t)(n->op == MF_POLICY_HAS ? YES : compare_one(n, v));
	}
	return (enum truth)e->vals[q->child];
}

/* Kleene's all or any over the elements; what nobody knows of them is one more, unknown. */
static enum truth
eval_quantifier(struct policy_eval *e, const struct policy_rule *r, uint32_t at)
{
	const struct policy_node *q = &r->nodes[at];
	const struct mf_facts_view *v = mf_policy_view(e, q->attr);
	bool every = q->op == MF_POLICY_EVERY;
	enum truth out = !v->known || v->partial ? UNKNOWN : truth_of(every);
	size_t n = v->known ? mf_policy_elements(e, q) : 0;
	for (size_t i = 0; i < n && out != truth_of(!every); i++) {
		enum truth t = mf_policy_eval_element(e, r, at, i);
		if (every ? t < out : t > out)
			out = t;
	}
	return out;
}

/* False when a node is false that the rule cannot do without, and that is enough. */
static bool
eval_nodes(struct policy_eval *e, const struct policy_rule *r, uint32_t from, uint32_t to, bool whole)
{
	for (uint32_t i = from; i < to; i++) {
		const struct policy_node *n = &r->nodes[i];
		if (n->in_item)
			continue; /* once for each element, when its quantifier's turn comes */
		if (!mf_policy_is_group((enum mf_policy_op)n->op))
			e->vals[i] = (uint8_t)eval_leaf(e, n);
		else if (mf_policy_is_quantifier((enum mf_policy_op)n->op))
			e->vals[i] = (uint8_t)eval_quantifier(e, r, i);
		else
			e->vals[i] = (uint8_t)eval_group(r, n, e->vals);
		if (n->required && e->vals[i] == NO && !whole)
			return false;
	}
	return true;
}

enum truth
mf_policy_eval_rule(struct policy_eval *e, const struct policy_rule *r, bool whole)
{
	uint32_t split = r->nodes_root == NONE ? 0 : r->nodes_root + 1;
	if (!eval_nodes(e, r, 0, split, whole))
		return NO; /* another node's rule: most are */
	uint8_t a = split == 0 ? YES : e->vals[r->nodes_root];
	if (!eval_nodes(e, r, split, r->n_nodes, whole))
		return NO;
	uint8_t b = r->when_root == NONE ? YES : e->vals[r->when_root];
	return (enum truth)(a < b ? a : b);
}

/* ---- all rules of one profile ---- */

size_t
mf_policy_missing_field(const struct mf_facts *f, uint32_t fields)
{
	for (size_t i = 0; i < MF_MANIFEST_FIELDS; i++) {
		enum mf_manifest_form form;
		const char *name = mf_manifest_field(i, &form);
		if ((fields & UINT32_C(1) << i) == 0 || name == NULL)
			continue;
		struct mf_facts_view v = mf_facts_look(f, MF_FACT_MANIFEST, mf_slice_str(name));
		bool there = v.known && !v.partial && v.n > 0;
		if (form == MF_MANIFEST_LIST)
			there = v.known; /* none at all is a statement */
		else if (form == MF_MANIFEST_OBJECTS)
			there = mf_facts_items(f, MF_FACT_MANIFEST, mf_slice_str(name)) > 0;
		if (!there)
			return i;
	}
	return MF_MANIFEST_FIELDS;
}

static bool
is_interactive(const struct mf_facts *f)
{
	const struct mf_slice name = MF_SLICE_LIT("interactive");
	size_t n = mf_facts_count(f, MF_FACT_ATTESTED, name);
	for (size_t i = 0; i < n; i++)
		if (!mf_slice_eq_str(mf_facts_value(f, MF_FACT_ATTESTED, name, i), "false"))
			return true;
	return false;
}

/* What the agent saw: the value beside "true". */
static const char *
interactive_cause(const struct mf_facts *f)
{
	static const struct {
		const char *value, *says;
	} causes[] = { { "tty", ", and this one has a terminal" },
		{ "exec", ", and this one was put into the container from outside" },
		{ "slurm-extern", ", and this one came by ssh, in Slurm's extern step" } };
	for (size_t i = 0; i < MF_COUNT(causes); i++)
		if (mf_facts_contains(
			f, MF_FACT_ATTESTED, MF_SLICE_LIT("interactive"), mf_slice_str(causes[i].value)))
			return causes[i].says;
	return "";
}

/* Rules stand in order of their ids, so the answer does not hang on the file. */
struct verdict {
	const struct policy_rule *forbid, *permit;
	struct mf_obligations must; /* of all permits that hold */
	bool interactive_refused, field_missing;
};

/* ${why}: the forbid is wanted for the explanation even where there is no permit. */
static struct verdict
judge(struct policy_eval *e, size_t profile, const struct mf_policy_request *req, bool why)
{
	const struct mf_policy *p = e->p;
	struct verdict v = { .permit = NULL };
	for (size_t i = 0; i < p->n_by_profile[profile]; i++) {
		const struct policy_rule *r = p->by_profile[profile][i];
		if (r->head.forbid || policy_lapsed(r, req->wall_s) ||
		    mf_policy_eval_rule(e, r, false) != YES)
			continue;
		if (v.permit == NULL)
			v.permit = r;
		v.must = mf_obligations_merge(v.must, r->head.require);
	}
	v.interactive_refused = !p->profiles[profile].interactive && is_interactive(req->facts);
	v.field_missing =
	    v.must.fields != 0 && mf_policy_missing_field(req->facts, v.must.fields) < MF_MANIFEST_FIELDS;
	if (v.permit == NULL && !why)
		return v;
	for (size_t i = 0; i < p->n_by_profile[profile] && v.forbid == NULL; i++) {
		const struct policy_rule *r = p->by_profile[profile][i];
		if (r->head.forbid && mf_policy_eval_rule(e, r, false) != NO)
			v.forbid = r;
	}
	return v;
}

static uint64_t
at_most(uint64_t v, uint64_t limit)
{
	return limit != 0 && limit < v ? limit : v;
}

/* What the profile gives under the obligations. */
static void
give(const struct mf_policy_profile *profile, struct mf_decision *d)
{
	d->profile = profile;
	if (d->must.max_ttl_ms == 0 && d->must.max_job_ms == 0)
		return;
	d->given = *profile;
	d->given.max_job_ms = at_most(profile->max_job_ms, d->must.max_job_ms);
	for (size_t i = 0; i < d->given.n_identities; i++) {
		struct mf_policy_identity *id = &d->given.identities[i];
		id->x509_ttl_ms = at_most(id->x509_ttl_ms, d->must.max_ttl_ms);
		id->jwt_ttl_ms = at_most(id->jwt_ttl_ms, d->must.max_ttl_ms);
	}
	d->profile = &d->given;
}

static void
decide_one(struct policy_eval *e, size_t profile, const struct mf_policy_request *req, struct mf_decision *d)
{
	struct verdict v = judge(e, profile, req, true);
	d->profile = &e->p->profiles[profile];
	d->must = v.must;
	if (v.forbid != NULL) {
		d->rule = v.forbid->head.id;
		mf_policy_explain_forbid(e, v.forbid, d);
	} else if (v.interactive_refused) {
		(void)snprintf(d->attribute, sizeof(d->attribute), "attested.interactive");
		(void)snprintf(d->cure, sizeof(d->cure), "run it as a job, or ask %s for interactive: allow",
		    d->profile->owner);
		mf_policy_say(d, "profile %s refuses interactive callers%s (%s)", d->profile->name,
		    interactive_cause(req->facts), d->cure);
	} else if (v.permit == NULL) {
		mf_policy_explain_no_permit(e, profile, req->wall_s, d);
	} else if (v.field_missing) {
		d->rule = v.permit->head.id;
		mf_policy_explain_fields(e, profile, req->wall_s, d);
	} else {
		d->permit = true;
		d->rule = v.permit->head.id;
		mf_policy_say(d, "rule %s permits profile %s", d->rule, d->profile->name);
		give(&e->p->profiles[profile], d);
	}
}

/* No profile was named: there must be exactly one that may be had. */
static void
decide_any(struct policy_eval *e, const struct mf_policy_request *req, struct mf_decision *d)
{
	const struct mf_policy *p = e->p;
	size_t found = 0, last = 0, refused = p->n_profiles; /* the first that only refuses who looks in */
	for (size_t i = 0; i < p->n_profiles; i++) {
		struct verdict v = judge(e, i, req, false);
		if (v.forbid != NULL || v.permit == NULL || v.field_missing)
			continue;
		if (v.interactive_refused) {
			refused = refused < i ? refused : i;
			continue;
		}
		mf_policy_say(
		    d, "%s%s", found == 0 ? "several profiles are permitted: " : ", ", p->profiles[i].name);
		last = i;
		found++;
	}
	if (found == 1) {
		d->reason[0] = d->told[0] = '\0';
		decide_one(e, last, req, d);
	} else if (found > 1) {
		(void)snprintf(d->cure, sizeof(d->cure), "name one, with --profile or in the manifest");
		mf_policy_say(d, "; %s", d->cure);
	} else if (p->n_profiles == 1 || refused < p->n_profiles) {
		decide_one(e, p->n_profiles == 1 ? 0 : refused, req, d);
	} else {
		(void)snprintf(d->cure, sizeof(d->cure),
		    "name the one you want, with --profile or in the manifest, to be told what is missing");
		mf_policy_say(d, "no rule permits this job any profile; %s", d->cure);
	}
}

static size_t
profile_index(const struct mf_policy *p, struct mf_slice name)
{
	const struct mf_policy_profile *found = mf_policy_profile(p, name);
	return found == NULL ? p->n_profiles : (size_t)(found - p->profiles);
}

void
mf_policy_decide(const struct mf_policy *p, const struct mf_policy_request *req, struct mf_decision *ret_d)
{
	struct policy_eval e;
	*ret_d = (struct mf_decision) { 0 };
	if (!p->sealed) {
		mf_policy_say(ret_d, "the policy is not complete");
		return;
	}
	mf_policy_eval_begin(&e, p, req->facts);
	if (req->profile.n == 0) {
		decide_any(&e, req, ret_d);
		return;
	}
	size_t i = profile_index(p, req->profile);
	if (i < p->n_profiles) {
		decide_one(&e, i, req, ret_d);
		return;
	}
	/* Near names only: the list is not for everybody who asks. */
	const char *names[MF_LIM_POLICY_PROFILES];
	for (size_t k = 0; k < p->n_profiles; k++)
		names[k] = p->profiles[k].name;
	const char *near = mf_suggest(req->profile, names, p->n_profiles);
	mf_policy_say(ret_d, "there is no such profile");
	if (near != NULL)
		(void)snprintf(ret_d->cure, sizeof(ret_d->cure), "did you mean `%s`?", near);
	else
		(void)snprintf(ret_d->cure, sizeof(ret_d->cure), "the broker's policy file lists them");
	mf_policy_say(ret_d, "%s%s%s", near != NULL ? "; " : " (", ret_d->cure, near != NULL ? "" : ")");
}
