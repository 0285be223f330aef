/* policy_cond: the conditions of a rule, checked and pushed operands first (contract in policy.h). */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "broker/core/policy_internal.h"

static int
slice_order(const void *a, const void *b)
{
	return mf_slice_cmp(*(const struct mf_slice *)a, *(const struct mf_slice *)b);
}

/* ---- checks ---- */

/* Speaks of one value; a set has many. */
static bool
of_one_value(enum mf_policy_op op)
{
	return op == MF_POLICY_EQ || op == MF_POLICY_NE || op == MF_POLICY_IN || op == MF_POLICY_LE ||
	       op == MF_POLICY_GE || op == MF_POLICY_UNDER || op == MF_POLICY_GLOB;
}

static bool
is_objects(enum mf_fact_ns ns, struct mf_slice name)
{
	return ns == MF_FACT_MANIFEST && mf_manifest_field_form(name, NULL) == MF_MANIFEST_OBJECTS;
}

static enum mf_status
split(bool in_nodes, struct mf_slice attribute, enum mf_fact_ns *ret_ns, struct mf_slice *ret_name,
    struct mf_err *err)
{
	if (!mf_fact_split(attribute, ret_ns, ret_name) || !mf_utf8_ok(*ret_name))
		return MF_FAIL(err, MF_E_INVALID,
		    "an attribute must begin with attested., node., manifest. or submitter.");
	if (in_nodes && *ret_ns != MF_FACT_NODE)
		return MF_FAIL(err, MF_E_INVALID, "nodes may ask about node.* only: move this to when");
	return MF_OK;
}

enum mf_status
mf_policy_check_list(bool in_nodes, struct mf_slice list, struct mf_err *err)
{
	enum mf_fact_ns ns;
	struct mf_slice name;
	return split(in_nodes, list, &ns, &name, err);
}

/* A key of the elements of ${list}. */
static enum mf_status
check_key(struct mf_slice list, struct mf_slice key, struct mf_err *err)
{
	enum mf_fact_ns ns;
	struct mf_slice name;
	char full[128];
	if (!mf_fact_split(list, &ns, &name))
		return MF_FAIL(err, MF_E_INVALID, "every and some need a list");
	if (!is_objects(ns, name))
		return mf_slice_eq_str(key, POLICY_VALUE_KEY)
			   ? MF_OK
			   : MF_FAIL(err, MF_E_INVALID,
				 "under every and some of a set of texts the element is called value: {glob: "
				 "[value, \"*.example\"]}");
	int n = snprintf(full, sizeof(full), "%.*s.%.*s", (int)name.n, (const char *)name.p, (int)key.n,
	    (const char *)key.p);
	if (n > 0 && (size_t)n < sizeof(full) &&
	    mf_manifest_field_form(mf_slice(full, (size_t)n), NULL) == MF_MANIFEST_KEY)
		return MF_OK;
	return MF_FAIL(err, MF_E_INVALID,
	    "an element of manifest.dataset has uri, version, digest and class; other attributes belong "
	    "beside "
	    "every or some, joined by all");
}

static enum mf_status
check_attribute(enum mf_policy_op op, bool in_nodes, struct mf_slice attribute, struct mf_err *err)
{
	enum mf_fact_ns ns;
	struct mf_slice name;
	MF_TRY(split(in_nodes, attribute, &ns, &name, err));
	if (ns == MF_FACT_ATTESTED && of_one_value(op))
		return MF_FAIL(err, MF_E_INVALID, "attested.* are sets: use contains instead of %s%s",
		    mf_policy_op_name(op),
		    op == MF_POLICY_EQ || op == MF_POLICY_NE || op == MF_POLICY_IN
			? ""
			: ", or some: [attested.x, {...: [value, ...]}]");
	if (is_objects(ns, name) && op != MF_POLICY_HAS)
		return MF_FAIL(err, MF_E_INVALID,
		    "manifest.dataset is a list of objects: use every or some, or name a key, like "
		    "manifest.dataset.uri");
	return MF_OK;
}

static enum mf_status
check_count(enum mf_policy_op op, size_t n, struct mf_err *err)
{
	if (n > MF_LIM_POLICY_VALUES)
		return MF_FAIL(err, MF_E_TOOBIG, "more than %u values", MF_LIM_POLICY_VALUES);
	if (op == MF_POLICY_SUBSET || (op == MF_POLICY_HAS ? n == 0 : op == MF_POLICY_IN ? n > 0 : n == 1))
		return MF_OK;
	return MF_FAIL(err, MF_E_INVALID, "%s takes an attribute and %s", mf_policy_op_name(op),
	    op == MF_POLICY_HAS	 ? "nothing else"
	    : op == MF_POLICY_IN ? "a list of at least one value"
				 : "one value");
}

static enum mf_status
check_value(enum mf_policy_op op, struct mf_slice v, struct mf_err *err)
{
	int64_t number;
	if (v.n > MF_LIM_SELECTOR || !mf_utf8_ok(v))
		return MF_FAIL(
		    err, MF_E_INVALID, "a value must be at most %u bytes of text", MF_LIM_SELECTOR);
	if ((op == MF_POLICY_LE || op == MF_POLICY_GE) && mf_policy_number(v, &number) == POLICY_KIND_NONE)
		return MF_FAIL(err, MF_E_INVALID,
		    "%s compares with a whole number or a time in UTC like 2027-02-01T00:00:00Z",
		    mf_policy_op_name(op));
	if (op == MF_POLICY_UNDER && !mf_policy_path_plain(v))
		return MF_FAIL(err, MF_E_INVALID,
		    "under takes a plain path like s3://bucket/top or /data: without .., %%, *, ? and empty "
		    "segments, and in small letters before the path begins");
	const uint8_t *star = v.n == 0 ? NULL : memchr(v.p, '*', v.n);
	if (op == MF_POLICY_GLOB &&
	    (star == NULL || memchr(star + 1, '*', v.n - (size_t)(star - v.p) - 1) != NULL))
		return MF_FAIL(
		    err, MF_E_INVALID, "glob takes a pattern with exactly one *; for a path, use under");
	return MF_OK;
}

enum mf_status
mf_policy_check(enum mf_policy_op op, bool in_nodes, struct mf_slice list, struct mf_slice attribute,
    const struct mf_slice *values, size_t n, struct mf_err *err)
{
	if (mf_policy_is_group(op))
		return MF_FAIL(err, MF_E_INVALID, "%s is not a comparison", mf_policy_op_name(op));
	if (list.n > 0)
		MF_TRY(check_key(list, attribute, err));
	else
		MF_TRY(check_attribute(op, in_nodes, attribute, err));
	MF_TRY(check_count(op, n, err));
	for (size_t i = 0; i < n; i++)
		MF_TRY(check_value(op, values[i], err));
	return MF_OK;
}

/* ---- attributes, each once ---- */

static size_t
attr_hash(enum mf_fact_ns ns, struct mf_slice name)
{
	uint32_t h = 2166136261u ^ (uint32_t)ns;
	for (size_t i = 0; i < name.n; i++)
		h = (h ^ name.p[i]) * 16777619u;
	return h % POLICY_ATTR_SLOTS;
}

static enum mf_status
intern(struct mf_policy *p, struct mf_slice attribute, uint16_t *ret_i, struct mf_err *err)
{
	enum mf_fact_ns ns = MF_FACT_NODE;
	struct mf_slice name = attribute;
	(void)mf_fact_split(attribute, &ns, &name); /* was checked */
	size_t slot = attr_hash(ns, name);
	for (; p->attr_slots[slot] != 0; slot = (slot + 1) % POLICY_ATTR_SLOTS) {
		size_t i = p->attr_slots[slot] - 1u;
		*ret_i = (uint16_t)i;
		if (p->attrs[i].ns == (uint8_t)ns && mf_slice_eq(p->attrs[i].name, name))
			return MF_OK;
	}
	if (p->n_attrs == MF_LIM_POLICY_ATTRS)
		return MF_FAIL(err, MF_E_TOOBIG, "more than %u different attributes", MF_LIM_POLICY_ATTRS);
	const char *copy = mf_arena_str(p->arena, name);
	if (copy == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "policy: out of memory");
	*ret_i = (uint16_t)p->n_attrs;
	p->attrs[p->n_attrs++] = (struct policy_attr) {
		.ns = (uint8_t)ns, .objects = is_objects(ns, name), .name = mf_slice(copy, name.n)
	};
	p->attr_slots[slot] = (uint16_t)p->n_attrs;
	return MF_OK;
}

/* ---- pushing ---- */

static bool
in_nodes(const struct mf_policy *p)
{
	return p->draft.head.nodes == MF_POLICY_EXPR && p->draft.nodes_root == NONE;
}

static enum mf_status
add_node(struct mf_policy *p, const struct policy_node *node, struct mf_err *err)
{
	if (p->draft.n_nodes == MF_LIM_POLICY_EXPR)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "more than %u operators in one rule: split it", MF_LIM_POLICY_EXPR);
	p->draft_nodes[p->draft.n_nodes] = *node;
	p->stack[p->n_stack++] = p->draft.n_nodes++;
	return MF_OK;
}

static enum mf_status
copy_values(struct mf_policy *p, struct policy_node *node, const struct mf_slice *values, size_t n,
    struct mf_err *err)
{
	struct mf_slice *copy = mf_arena_alloc(p->arena, n, sizeof(*copy));
	bool ok = copy != NULL;
	for (size_t i = 0; ok && i < n; i++) {
		const char *v = mf_arena_str(p->arena, values[i]);
		ok = v != NULL;
		copy[i] = mf_slice(v, values[i].n);
	}
	if (!ok)
		return MF_FAIL(err, MF_E_NOMEM, "policy: out of memory");
	if (n > 1)
		qsort(copy, n, sizeof(*copy), slice_order);
	node->values = copy;
	node->n_values = n;
	return MF_OK;
}

/* The list that is quantified over as it is written in the file, "manifest.dataset". */
static struct mf_slice
scope(const struct mf_policy *p, char *to, size_t room)
{
	if (!p->in_item)
		return mf_slice(NULL, 0);
	const struct policy_attr *a = &p->attrs[p->item_attr];
	int n = snprintf(to, room, "%s.%.*s", mf_fact_ns_name((enum mf_fact_ns)a->ns), (int)a->name.n,
	    (const char *)a->name.p);
	return mf_slice(to, n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1);
}

static enum mf_status
fill(struct mf_policy *p, struct policy_node *node, struct mf_slice attribute, const struct mf_slice *values,
    size_t n, struct mf_err *err)
{
	char list[512];
	enum mf_policy_op op = (enum mf_policy_op)node->op;
	MF_TRY(mf_policy_check(op, in_nodes(p), scope(p, list, sizeof(list)), attribute, values, n, err));
	if (p->in_item) {
		const char *key = mf_arena_str(p->arena, attribute);
		if (key == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "policy: out of memory");
		node->in_item = true;
		node->attr = p->item_attr;
		node->key = mf_slice(key, attribute.n);
	} else {
		MF_TRY(intern(p, attribute, &node->attr, err));
	}
	MF_TRY(copy_values(p, node, values, n, err));
	node->kind = (uint8_t)POLICY_KIND_NONE;
	if (op == MF_POLICY_LE || op == MF_POLICY_GE)
		node->kind = (uint8_t)mf_policy_number(node->values[0], &node->number);
	if (op == MF_POLICY_GLOB)
		node->number =
		    (const uint8_t *)memchr(node->values[0].p, '*', node->values[0].n) - node->values[0].p;
	return MF_OK;
}

enum mf_status
mf_policy_push(struct mf_policy *p, enum mf_policy_op op, struct mf_slice attribute,
    const struct mf_slice *values, size_t n, struct mf_err *err)
{
	if (!p->open)
		return MF_FAIL(err, MF_E_STATE, "policy: no rule is open");
	struct policy_node node = {
		.op = (uint8_t)op, .depth = 1, .child = NONE, .next = NONE, .first = p->draft.n_nodes
	};
	enum mf_status s = fill(p, &node, attribute, values, n, err);
	if (s == MF_OK)
		s = add_node(p, &node, err);
	return s == MF_OK ? MF_OK : mf_policy_broke(p, s);
}

enum mf_status
mf_policy_quantify(struct mf_policy *p, struct mf_slice list, struct mf_err *err)
{
	if (!p->open)
		return MF_FAIL(err, MF_E_STATE, "policy: no rule is open");
	enum mf_status s = p->in_item
			       ? MF_FAIL(err, MF_E_INVALID, "every and some cannot stand in one another")
			       : mf_policy_check_list(in_nodes(p), list, err);
	if (s == MF_OK)
		s = intern(p, list, &p->item_attr, err);
	if (s != MF_OK)
		return mf_policy_broke(p, s);
	p->in_item = true;
	return MF_OK;
}

static enum mf_status
check_group(const struct mf_policy *p, enum mf_policy_op op, size_t n, struct mf_err *err)
{
	bool one = op == MF_POLICY_NOT || mf_policy_is_quantifier(op);
	if (!mf_policy_is_group(op) || op >= MF_POLICY_OP_COUNT)
		return MF_FAIL(err, MF_E_INVALID, "%s is not a group", mf_policy_op_name(op));
	if (n == 0 || (one && n != 1))
		return MF_FAIL(err, MF_E_INVALID, "%s needs %s", mf_policy_op_name(op),
		    one ? "exactly one condition" : "at least one condition");
	if (n > p->n_stack)
		return MF_FAIL(err, MF_E_STATE, "policy: a group of more than what was pushed");
	if (mf_policy_is_quantifier(op) && (!p->in_item || !p->draft_nodes[p->stack[p->n_stack - 1]].in_item))
		return MF_FAIL(err, MF_E_STATE, "policy: no list was named before the condition");
	return MF_OK;
}

enum mf_status
mf_policy_push_group(struct mf_policy *p, enum mf_policy_op op, size_t n, struct mf_err *err)
{
	if (!p->open)
		return MF_FAIL(err, MF_E_STATE, "policy: no rule is open");
	enum mf_status s = check_group(p, op, n, err);
	if (s != MF_OK)
		return mf_policy_broke(p, s);
	struct policy_node node = { .op = (uint8_t)op,
		.child = p->stack[p->n_stack - n],
		.next = NONE,
		.in_item = p->in_item,
		.attr = p->item_attr };
	node.first = p->draft_nodes[node.child].first;
	for (size_t i = p->n_stack - n; i < p->n_stack; i++) {
		struct policy_node *c = &p->draft_nodes[p->stack[i]];
		/* What was pushed before the list was named is not a condition on its elements. */
		if (c->in_item != p->in_item)
			return mf_policy_broke(p,
			    MF_FAIL(err, MF_E_STATE, "policy: a group across the border of every or some"));
		c->next = i + 1 < p->n_stack ? p->stack[i + 1] : NONE;
		if (c->depth > node.depth)
			node.depth = c->depth;
	}
	if (++node.depth > MF_LIM_POLICY_DEPTH)
		return mf_policy_broke(
		    p, MF_FAIL(err, MF_E_TOOBIG, "nested deeper than %u operators", MF_LIM_POLICY_DEPTH));
	if (mf_policy_is_quantifier(op))
		p->in_item = node.in_item = false;
	p->n_stack -= n;
	s = add_node(p, &node, err);
	return s == MF_OK ? MF_OK : mf_policy_broke(p, s);
}
