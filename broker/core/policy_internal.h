/* policy_internal: the shape that the files of policy share. Nobody else includes this. */
#ifndef MF_CORE_POLICY_INTERNAL_H
#define MF_CORE_POLICY_INTERNAL_H
#include "base/arena.h"
#include "broker/core/policy.h"

#define NONE UINT32_MAX
#define POLICY_VALUE_KEY "value" /* what an element that is a text is called under every and some */

/* Ordered so that `all` is the least and `any` the greatest of its operands (strong Kleene logic). */
enum truth { NO = 0, UNKNOWN = 1, YES = 2 };

/* An attribute that some rule speaks of: looked up once per decision, however many do. */
struct policy_attr {
	uint8_t ns;   /* enum mf_fact_ns */
	bool objects; /* a list of objects */
	struct mf_slice name;
};

enum policy_kind { POLICY_KIND_INT, POLICY_KIND_TIME, POLICY_KIND_NONE };

/* One operator. The nodes of a rule stand operands first, so one pass in order evaluates them. */
struct policy_node {
	uint8_t op;    /* enum mf_policy_op */
	uint8_t depth; /* 1 for a comparison */
	uint8_t kind;  /* le, ge: enum policy_kind of ${number} */
	bool in_item;  /* under every or some: ${key} of an element of ${attr} */
	bool required; /* under nothing but all: when it is false, so is the rule */
	uint16_t attr; /* index in mf_policy.attrs; not of all, any, not */
	struct mf_slice key;
	const struct mf_slice *values; /* sorted */
	size_t n_values;
	int64_t number; /* le, ge: the value; glob: where the * stands */
	uint32_t child,
	    next;	/* first operand; next operand of the same group; indexes within the rule, NONE */
	uint32_t first; /* where the operands of the whole subtree begin */
};

struct policy_rule {
	struct mf_policy_rule head;
	uint32_t profile; /* index, NONE for "*"; set by seal */
	struct policy_node *nodes;
	uint32_t n_nodes;
	uint32_t nodes_root, when_root; /* NONE: no expression, counts as true */
};

#define POLICY_ATTR_SLOTS (2 * MF_LIM_POLICY_ATTRS)

struct mf_policy {
	struct mf_arena *arena;
	struct mf_policy_profile profiles[MF_LIM_POLICY_PROFILES];
	size_t n_profiles;
	struct policy_rule *rules[MF_LIM_POLICY_RULES];
	size_t n_rules;
	struct policy_attr attrs[MF_LIM_POLICY_ATTRS];
	size_t n_attrs;
	uint16_t attr_slots[POLICY_ATTR_SLOTS]; /* hash table of 1 + index */
	bool sealed, broken;
	/* Rules by profile, forbids of "*" in each: by_profile[i] has n_by_profile[i] rules, in order of their ids. */
	const struct policy_rule **by_profile[MF_LIM_POLICY_PROFILES];
	size_t n_by_profile[MF_LIM_POLICY_PROFILES];
	/* The rule being built. */
	bool open, in_item;
	uint16_t item_attr;
	struct policy_rule draft;
	struct policy_node draft_nodes[MF_LIM_POLICY_EXPR];
	uint32_t stack[MF_LIM_POLICY_EXPR]; /* roots not yet taken */
	size_t n_stack;
};

/* policy_build.c: a failed build call: nothing changed, but the policy can no longer be sealed. */
MF_NODISCARD enum mf_status mf_policy_broke(struct mf_policy *p, enum mf_status s);

/* policy_compare.c: what comparisons mean for one value. */
/* A whole number or a time; POLICY_KIND_NONE for all else. */
enum policy_kind mf_policy_number(struct mf_slice s, int64_t *ret_v);
/* Spelt so that it can mean one path only. */
bool mf_policy_path_plain(struct mf_slice path);
enum truth mf_policy_under(struct mf_slice path, struct mf_slice top);
/* ${star}: where the * of ${pattern} stands. */
enum truth mf_policy_glob(struct mf_slice s, struct mf_slice pattern, size_t star);

/* One decision's look at the facts. */
struct policy_eval {
	const struct mf_policy *p;
	const struct mf_facts *f;
	uint8_t vals[MF_LIM_POLICY_EXPR]; /* of the rule evaluated last: enum truth of each node */
	bool looked[MF_LIM_POLICY_ATTRS];
	struct mf_facts_view views[MF_LIM_POLICY_ATTRS];
};

/* policy_eval.c */
void mf_policy_eval_begin(struct policy_eval *e, const struct mf_policy *p, const struct mf_facts *f);
/* ${whole}: every node gets its value, for the explanation; else it stops when the answer is clear. */
enum truth mf_policy_eval_rule(struct policy_eval *e, const struct policy_rule *r, bool whole);
const struct mf_facts_view *mf_policy_view(struct policy_eval *e, size_t attr);
/* Elements that the quantifier ${q} ranges over. */
size_t mf_policy_elements(struct policy_eval *e, const struct policy_node *q);
/* The condition of quantifier ${at} for element ${i}; vals[] keeps the values under it. */
enum truth mf_policy_eval_element(struct policy_eval *e, const struct policy_rule *r, uint32_t at, size_t i);
/* What the node, which speaks of an element, finds there. */
bool mf_policy_element_value(
    struct policy_eval *e, const struct policy_node *n, size_t i, struct mf_slice *ret_value);
/* A field that obligations ask for and the manifest lacks: its number, MF_MANIFEST_FIELDS when there is none. */
size_t mf_policy_missing_field(const struct mf_facts *f, uint32_t fields);

/* policy_build.c */
MF_NODISCARD enum mf_status mf_policy_check_name(const char *what, const char *s, struct mf_err *err);
bool mf_policy_copy_str(struct mf_policy *p, const char **s);
bool mf_policy_copy_list(struct mf_policy *p, const char *const **list, size_t n);
/* policy_cloud.c */
MF_NODISCARD enum mf_status mf_policy_check_cloud(const struct mf_policy_profile *f, struct mf_err *err);
bool mf_policy_copy_cloud(struct mf_policy *p, struct mf_policy_profile *f);

/* policy_explain.c */
void mf_policy_say(struct mf_decision *d, const char *fmt, ...) MF_PRINTF(2, 3);
void
mf_policy_explain_no_permit(struct policy_eval *e, size_t profile, int64_t wall_s, struct mf_decision *d);
void mf_policy_explain_forbid(struct policy_eval *e, const struct policy_rule *r, struct mf_decision *d);
void mf_policy_explain_fields(struct policy_eval *e, size_t profile, int64_t wall_s, struct mf_decision *d);

/* Seconds since 1970 after which ${r} is past its review. */
static inline int64_t
policy_lapses_s(const struct policy_rule *r)
{
	return r->head.review_by_s + 86400;
}
/* A permit that gives nothing any more. */
static inline bool
policy_lapsed(const struct policy_rule *r, int64_t wall_s)
{
	return !r->head.forbid && wall_s >= policy_lapses_s(r);
}
#endif
