/* policy_expr: see policy_expr.h. Nesting is bounded, so the walk keeps its own stack. */
#include "broker/policy/policy_expr.h"

#include "base/suggest.h"

struct frame {
	enum mf_policy_op op;
	const struct mf_yaml_node *at;	 /* the operator's value, for places */
	const struct mf_yaml_node *next; /* operand to visit next */
	size_t n;
};

struct walk {
	struct mf_policy *policy; /* NULL once something is wrong */
	struct mf_problems *problems;
	bool in_nodes, ok;
	struct mf_slice list; /* what every or some ranges over; empty: outside of them */
	struct frame stack[MF_LIM_POLICY_DEPTH];
	size_t depth;
};

static void
wrong(struct walk *w, const struct mf_yaml_node *at, const char *text)
{
	mf_problems_add(w->problems, mf_yaml_place(at), "%s", text);
	w->ok = false;
	w->policy = NULL;
}

static void
builder_said(struct walk *w, const struct mf_yaml_node *at, enum mf_status s, const struct mf_err *err)
{
	if (s != MF_OK)
		wrong(w, at, err->msg);
}

static bool
find_op(struct mf_slice key, enum mf_policy_op *ret)
{
	for (unsigned o = 0; o < MF_POLICY_OP_COUNT; o++) {
		if (mf_slice_eq_str(key, mf_policy_op_name((enum mf_policy_op)o))) {
			*ret = (enum mf_policy_op)o;
			return true;
		}
	}
	return false;
}

static void
unknown_op(struct walk *w, const struct mf_yaml_node *n)
{
	const char *names[MF_POLICY_OP_COUNT];
	for (unsigned o = 0; o < MF_POLICY_OP_COUNT; o++)
		names[o] = mf_policy_op_name((enum mf_policy_op)o);
	const char *near = mf_suggest(n->key, names, MF_POLICY_OP_COUNT);
	mf_problems_add(w->problems, mf_yaml_key_place(n),
	    "unknown operator `%.*s`%s%s%s (known: eq, ne, in, has, contains, le, ge, under, glob, subset, "
	    "all, any, "
	    "not, every, some)",
	    mf_suggest_printable(n->key) ? (int)n->key.n : 0, (const char *)n->key.p,
	    near == NULL ? "" : "; did you mean `", near == NULL ? "" : near, near == NULL ? "" : "`?");
	w->ok = false;
	w->policy = NULL;
}

/* The values after the attribute; more than the limit are counted, not kept: the check refuses them. */
static bool
take_values(struct walk *w, enum mf_policy_op op, const struct mf_yaml_node *args, struct mf_slice *values,
    size_t *ret_n)
{
	const struct mf_yaml_node *v = args->first->next;
	size_t n = args->n - 1;
	bool list = op == MF_POLICY_IN || op == MF_POLICY_SUBSET;
	if (list && n == 1 && v->kind == MF_YAML_LIST) {
		n = v->n;
		v = v->first;
	} else if (list) {
		wrong(w, args,
		    op == MF_POLICY_IN
			? "in takes an attribute and a list of values: in: [node.pool, [gpu-a, gpu-b]]"
			: "subset takes an attribute and a list of values: subset: [manifest.egress, "
			  "[s3.example]]; [] for none at all");
		return false;
	}
	for (size_t i = 0; v != NULL; v = v->next, i++) {
		if (v->kind != MF_YAML_TEXT) {
			wrong(w, v, "a value must be a text");
			return false;
		}
		if (i < MF_LIM_POLICY_VALUES)
			values[i] = v->text;
	}
	*ret_n = n;
	return true;
}

static void
comparison(struct walk *w, enum mf_policy_op op, const struct mf_yaml_node *args)
{
	struct mf_slice values[MF_LIM_POLICY_VALUES], attribute = args->text;
	size_t n = 0;
	if (args->kind == MF_YAML_TEXT && op == MF_POLICY_HAS && args->text.n > 0) {
		/* has: manifest.env is as clear as has: [manifest.env] */
	} else if (args->kind != MF_YAML_LIST || args->n == 0 || args->first->kind != MF_YAML_TEXT) {
		char text[96] = "must be a list: [attribute, value]";
		if (op == MF_POLICY_HAS)
			memcpy(text, "must be a list: [attribute]", sizeof("must be a list: [attribute]"));
		wrong(w, args, text);
		return;
	} else {
		attribute = args->first->text;
		if (!take_values(w, op, args, values, &n))
			return;
	}
	struct mf_err err;
	enum mf_status s = n > MF_LIM_POLICY_VALUES
			       ? MF_FAIL(&err, MF_E_TOOBIG, "more than %u values", MF_LIM_POLICY_VALUES)
			       : mf_policy_check(op, w->in_nodes, w->list, attribute, values, n, &err);
	builder_said(w, args, s, &err);
	if (w->policy != NULL)
		builder_said(w, args, mf_policy_push(w->policy, op, attribute, values, n, &err), &err);
}

/* every: [manifest.dataset, {under: [uri, s3://data]}] */
static void
quantifier(struct walk *w, enum mf_policy_op op, const struct mf_yaml_node *args)
{
	struct mf_err err;
	if (args->kind != MF_YAML_LIST || args->n != 2 || args->first->kind != MF_YAML_TEXT ||
	    args->first->next->kind != MF_YAML_MAP) {
		wrong(w, args,
		    "every and some take a list and a condition on its elements: every: [manifest.dataset, "
		    "{in: "
		    "[class, [public]]}]");
		return;
	}
	if (w->list.n > 0) {
		wrong(w, args, "every and some cannot stand in one another");
		return;
	}
	enum mf_status s = mf_policy_check_list(w->in_nodes, args->first->text, &err);
	builder_said(w, args->first, s, &err);
	if (s != MF_OK)
		return;
	if (w->policy != NULL)
		builder_said(w, args, mf_policy_quantify(w->policy, args->first->text, &err), &err);
	w->list = args->first->text;
	w->stack[w->depth++] = (struct frame) { op, args, args->first->next, 1 };
}

/* One condition: a map with one operator. Comparisons are done at once, groups become a frame. */
static void
enter(struct walk *w, const struct mf_yaml_node *n)
{
	enum mf_policy_op op = MF_POLICY_OP_COUNT;
	if (n->kind != MF_YAML_MAP || n->n != 1) {
		wrong(w, n,
		    "a condition must be a map with one operator, like {eq: [manifest.env, dev]}; join "
		    "several with all");
		return;
	}
	const struct mf_yaml_node *args = n->first;
	if (!find_op(args->key, &op)) {
		unknown_op(w, args);
		return;
	}
	if (!mf_policy_is_group(op)) {
		comparison(w, op, args);
		return;
	}
	if (w->depth == MF_LIM_POLICY_DEPTH - 1) {
		wrong(w, args, "nested deeper than 8 operators: split the rule");
		return;
	}
	if (mf_policy_is_quantifier(op)) {
		quantifier(w, op, args);
		return;
	}
	if (op == MF_POLICY_NOT ? args->kind != MF_YAML_MAP : args->kind != MF_YAML_LIST || args->n == 0) {
		wrong(w, args,
		    op == MF_POLICY_NOT ? "not takes one condition: not: {has: [manifest.env]}"
					: "all and any take a list of at least one condition");
		return;
	}
	bool one = op == MF_POLICY_NOT;
	w->stack[w->depth++] = (struct frame) { op, args, one ? args : args->first, one ? 1 : args->n };
}

bool
mf_policy_expr(
    const struct mf_yaml_node *root, bool in_nodes, struct mf_policy *policy, struct mf_problems *problems)
{
	struct walk w = { .policy = policy, .problems = problems, .in_nodes = in_nodes, .ok = true };
	struct mf_err err;
	enter(&w, root);
	while (w.depth > 0) {
		struct frame *f = &w.stack[w.depth - 1];
		const struct mf_yaml_node *operand = f->next;
		if (operand != NULL) {
			/* A condition under `not`, every or some is the value itself, and has no neighbours of its own. */
			f->next = f->n == 1 ? NULL : operand->next;
			enter(&w, operand);
			continue;
		}
		w.depth--;
		if (mf_policy_is_quantifier(f->op))
			w.list = mf_slice(NULL, 0);
		if (w.policy != NULL)
			builder_said(&w, f->at, mf_policy_push_group(w.policy, f->op, f->n, &err), &err);
	}
	return w.ok;
}
