/* policy_print: rules and profiles as text, the same for the same meaning (contract in policy.h). */
#include "base/clock.h"
#include "base/text.h"
#include "broker/core/policy_internal.h"

struct open_group {
	uint32_t next; /* operand to print next, or NONE */
	const char *close;
};

static void
put_value(struct mf_buf *to, struct mf_slice v)
{
	bool plain = v.n > 0;
	for (size_t i = 0; i < v.n && plain; i++)
		plain = (v.p[i] >= 'a' && v.p[i] <= 'z') || (v.p[i] >= 'A' && v.p[i] <= 'Z') ||
			(v.p[i] >= '0' && v.p[i] <= '9') || (i > 0 && memchr("._/-@:*", v.p[i], 7) != NULL);
	mf_buf_put_str(to, plain ? "" : "\"");
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < 0x20 || v.p[i] == 0x7f)
			mf_buf_putf(to, "\\x%02x", v.p[i]);
		else if (v.p[i] == '"' || v.p[i] == '\\')
			mf_buf_putf(to, "\\%c", v.p[i]);
		else
			mf_buf_put_u8(to, v.p[i]);
	}
	mf_buf_put_str(to, plain ? "" : "\"");
}

static void
put_attribute(const struct mf_policy *p, const struct policy_node *n, bool key, struct mf_buf *to)
{
	const struct policy_attr *a = &p->attrs[n->attr];
	if (key) {
		mf_buf_put_slice(to, n->key);
		return;
	}
	mf_buf_putf(to, "%s.", mf_fact_ns_name((enum mf_fact_ns)a->ns));
	mf_buf_put_slice(to, a->name);
}

static void
put_comparison(const struct mf_policy *p, const struct policy_node *n, struct mf_buf *to)
{
	bool list = n->op == MF_POLICY_IN || n->op == MF_POLICY_SUBSET;
	mf_buf_putf(to, "{%s: [", mf_policy_op_name((enum mf_policy_op)n->op));
	put_attribute(p, n, n->in_item, to);
	mf_buf_put_str(to, list ? ", [" : n->n_values > 0 ? ", " : "");
	for (size_t i = 0; i < n->n_values; i++) {
		mf_buf_put_str(to, i == 0 ? "" : ", ");
		put_value(to, n->values[i]);
	}
	mf_buf_put_str(to, list ? "]]}" : "]}");
}

/* Opens a group, or prints a comparison and opens nothing. */
static void
open_node(const struct mf_policy *p, const struct policy_rule *r, uint32_t at, struct open_group *stack,
    size_t *depth, struct mf_buf *to)
{
	const struct policy_node *n = &r->nodes[at];
	enum mf_policy_op op = (enum mf_policy_op)n->op;
	if (!mf_policy_is_group(op)) {
		put_comparison(p, n, to);
		return;
	}
	mf_buf_putf(to, "{%s: ", mf_policy_op_name(op));
	if (mf_policy_is_quantifier(op)) {
		mf_buf_put_u8(to, '[');
		put_attribute(p, n, false, to);
		mf_buf_put_str(to, ", ");
	} else if (op != MF_POLICY_NOT) {
		mf_buf_put_u8(to, '[');
	}
	stack[(*depth)++] = (struct open_group) { n->child, op == MF_POLICY_NOT ? "}" : "]}" };
}

static void
put_tree(const struct mf_policy *p, const struct policy_rule *r, uint32_t root, struct mf_buf *to)
{
	struct open_group stack[MF_LIM_POLICY_DEPTH + 1];
	size_t depth = 0;
	open_node(p, r, root, stack, &depth, to);
	while (depth > 0) {
		struct open_group *g = &stack[depth - 1];
		uint32_t at = g->next;
		if (at == NONE) {
			mf_buf_put_str(to, g->close);
			depth--;
			if (depth > 0 && stack[depth - 1].next != NONE)
				mf_buf_put_str(to, ", ");
			continue;
		}
		g->next = r->nodes[at].next;
		size_t before = depth;
		open_node(p, r, at, stack, &depth, to);
		if (depth == before && g->next != NONE)
			mf_buf_put_str(to, ", ");
	}
}

static void
put_duration(struct mf_buf *to, uint64_t ms)
{
	static const struct {
		uint64_t ms;
		const char *unit;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" } };
	for (size_t i = 0; i < MF_COUNT(units); i++) {
		if (ms % units[i].ms != 0 && i + 1 < MF_COUNT(units))
			continue;
		mf_buf_putf(to, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].unit);
		return;
	}
}

void
mf_obligations_put(struct mf_obligations o, struct mf_buf *to)
{
	const char *sep = "";
	enum mf_manifest_form form;
	mf_buf_put_u8(to, '{');
	if (o.max_ttl_ms != 0) {
		mf_buf_put_str(to, "max_ttl: ");
		put_duration(to, o.max_ttl_ms);
		sep = ", ";
	}
	if (o.max_job_ms != 0) {
		mf_buf_putf(to, "%smax_job: ", sep);
		put_duration(to, o.max_job_ms);
		sep = ", ";
	}
	if (o.fields != 0) {
		mf_buf_putf(to, "%sevidence: [", sep);
		sep = "";
		for (size_t i = 0; i < MF_MANIFEST_FIELDS; i++) {
			if ((o.fields & UINT32_C(1) << i) == 0)
				continue;
			mf_buf_putf(to, "%s%s", sep, mf_manifest_field(i, &form));
			sep = ", ";
		}
		mf_buf_put_u8(to, ']');
	}
	mf_buf_put_u8(to, '}');
}

void
mf_policy_rule_put(const struct mf_policy *p, size_t i, struct mf_buf *to)
{
	const struct policy_rule *r = p->rules[i];
	int y, mon, d, h, min, s;
	mf_civil(r->head.review_by_s, &y, &mon, &d, &h, &min, &s);
	mf_buf_putf(to, "{id: %s, effect: %s, profile: ", r->head.id, r->head.forbid ? "forbid" : "permit");
	put_value(to, mf_slice_str(r->head.profile));
	mf_buf_put_str(to, ", owner: ");
	put_value(to, mf_slice_str(r->head.owner));
	mf_buf_putf(to, ", review_by: %04d-%02d-%02d", y, mon, d);
	if (r->head.nodes != MF_POLICY_ABSENT)
		mf_buf_put_str(to, r->nodes_root == NONE ? ", nodes: any" : ", nodes: ");
	if (r->nodes_root != NONE)
		put_tree(p, r, r->nodes_root, to);
	mf_buf_put_str(to, r->when_root == NONE ? ", when: always" : ", when: ");
	if (r->when_root != NONE)
		put_tree(p, r, r->when_root, to);
	if (r->head.require.max_ttl_ms != 0 || r->head.require.max_job_ms != 0 ||
	    r->head.require.fields != 0) {
		mf_buf_put_str(to, ", require: ");
		mf_obligations_put(r->head.require, to);
	}
	mf_buf_put_u8(to, '}');
}

static void
put_list(struct mf_buf *to, const char *key, const char *const *v, size_t n)
{
	if (n == 0)
		return;
	mf_buf_putf(to, ", %s: [", key);
	for (size_t i = 0; i < n; i++) {
		mf_buf_put_str(to, i == 0 ? "" : ", ");
		put_value(to, mf_slice_str(v[i]));
	}
	mf_buf_put_u8(to, ']');
}

static void
put_grant(struct mf_buf *to, const struct mf_policy_cloud *c)
{
	mf_buf_putf(to, "{name: %s, target: %s, role: ", c->name, c->target);
	put_value(to, mf_slice_str(c->role));
	mf_buf_put_str(to, ", ttl: ");
	put_duration(to, c->ttl_ms);
	mf_buf_put_str(to, ", scope: [");
	for (size_t i = 0; i < c->scope_n; i++) {
		const struct mf_scope_statement *s = &c->scope[i];
		mf_buf_put_str(to, i == 0 ? "{" : ", {");
		mf_buf_put_str(to, "actions: [");
		for (size_t k = 0; k < s->actions_n; k++) {
			mf_buf_put_str(to, k == 0 ? "" : ", ");
			put_value(to, mf_slice_str(s->actions[k]));
		}
		mf_buf_put_u8(to, ']');
		put_list(to, "resources", s->resources, s->resources_n);
		mf_buf_put_u8(to, '}');
	}
	mf_buf_put_u8(to, ']');
	put_list(to, "models", c->models, c->models_n);
	mf_buf_putf(to,
	    ", allow_overhang: %s, on_end: %s, max_residual: ", c->allow_overhang ? "true" : "false",
	    c->on_end == MF_ON_END_DENY ? "deny" : "expire");
	put_duration(to, c->max_residual_ms);
	mf_buf_put_u8(to, '}');
}

void
mf_policy_profile_put(const struct mf_policy_profile *f, struct mf_buf *to)
{
	mf_buf_putf(to, "%s: {purpose: ", f->name);
	put_value(to, mf_slice_str(f->purpose));
	mf_buf_put_str(to, ", owner: ");
	put_value(to, mf_slice_str(f->owner));
	mf_buf_put_str(to, ", max_job: ");
	put_duration(to, f->max_job_ms);
	mf_buf_put_str(to, ", drain: ");
	put_duration(to, f->drain_ms);
	mf_buf_putf(to, ", interactive: %s, on_end: %s, jwt_alg: %s, identities: [",
	    f->interactive ? "allow" : "refuse", f->on_end == MF_ON_END_DENY ? "deny" : "expire",
	    f->jwt_rs256 ? "RS256" : "ES256");
	for (size_t i = 0; i < f->n_identities; i++) {
		const struct mf_policy_identity *id = &f->identities[i];
		mf_buf_putf(to, "%s{path: \"%s\", hint: \"%s\", cn: \"%s\", x509_ttl: ", i == 0 ? "" : ", ",
		    id->path, id->hint, id->cn);
		put_duration(to, id->x509_ttl_ms);
		mf_buf_put_str(to, ", jwt_ttl: ");
		put_duration(to, id->jwt_ttl_ms);
		put_list(to, "dns", id->dns, id->n_dns);
		mf_buf_put_u8(to, '}');
	}
	mf_buf_put_u8(to, ']');
	put_list(to, "jwt_audiences", f->jwt_audiences, f->n_jwt_audiences);
	for (size_t i = 0; i < f->n_cloud; i++) {
		mf_buf_put_str(to, i == 0 ? ", cloud: [" : ", ");
		put_grant(to, &f->cloud[i]);
	}
	mf_buf_put_str(to, f->n_cloud > 0 ? "]}" : "}");
}
