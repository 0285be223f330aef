/*
 * policy: who may have which profile. Pure: no I/O, no clock, no library.
 *
 * A policy is profiles (what a job may get) and rules (which facts may have it). Rules are permits and forbids; their
 * order means nothing. Conditions are three-valued (Kleene): an attribute that is not known makes a comparison
 * *unknown*. A permit needs true; a forbid fires on true and on unknown. Any forbid that fires denies; without a
 * permit the answer is no.
 *
 * Operators:
 *   eq, ne [attr, value]     the attribute's one value; unknown when there is none, or more than one
 *   in     [attr, [values]]  eq to any of them
 *   contains [attr, value]   the set holds it; unknown when the attribute is not known
 *   has    [attr]            known at all: true or false, never unknown
 *   le, ge [attr, value]     at most, at least: both are whole numbers, or both are times (RFC 3339, UTC); else unknown
 *   under  [attr, path]      the path itself or below it, segment by segment; a value in a spelling that could mean
 *                            another path (.., %, *, //, capitals before the first /) is unknown
 *   glob   [attr, pattern]   one *, which stands for text without /; where it would have to span one, unknown
 *   subset [attr, [values]]  every value of the set is one of these; none given: the set is empty
 *   every, some [list, condition]  over the elements of a list or set; the condition speaks of an element's keys
 *                            (manifest.dataset: uri, version, digest, class), or of `value` where elements are texts
 *   all, any, not            at least one operand; nesting <= MF_LIM_POLICY_DEPTH
 * What speaks of one value (eq, ne, in, le, ge, under, glob) is unknown when there is none, or more than one; a partial
 * set (facts.h) holds values that nobody knows. attested.* are sets: what speaks of one value is refused on them at
 * load. `nodes` of a rule may name node.* only; it is mandatory on permits (MF_POLICY_ANY must be written out) and
 * joined to `when` by all.
 *
 * Obligations of a permit (`require`): limits on what it gives, and fields that the manifest must have. All permits
 * that hold are merged to the strictest: least lifetimes, all fields. A field that is missing denies, by name.
 *
 * review_by is the last UTC day of a permit: after it the rule gives nothing. A forbid stays in force after its day
 * (time must not add access); lint reports it.
 *
 * Build: mf_policy_new; all profiles; then each rule: mf_policy_rule_begin, its expressions, mf_policy_rule_end; then
 * mf_policy_seal. Expressions are pushed operands first: a group takes the last N pushed. A failed call leaves the
 * policy as it was, except that the open rule is dropped, so a loader can report all errors at once; a policy that
 * saw an error cannot be sealed. All strings are copied. Sealed, it never changes, and threads may share it.
 */
#ifndef MF_CORE_POLICY_H
#define MF_CORE_POLICY_H
#include "base/limits.h"
#include "broker/core/facts.h"
#include "broker/core/scope.h"
#include "codec/manifest.h"

struct mf_policy; /* opaque */

enum mf_policy_on_end { MF_ON_END_DENY, MF_ON_END_EXPIRE };

struct mf_policy_identity {
	const char *path;	/* template (codec/template.h) */
	const char *hint;	/* Workload API hint, unique in the profile; "" for none */
	const char *cn;		/* template; "" for none */
	const char *const *dns; /* templates */
	size_t n_dns;
	uint64_t x509_ttl_ms, jwt_ttl_ms; /* 0 is refused */
};

/* A cloud token that jobs of the profile may ask for by its name (docs/internals/cloud.md). */
struct mf_policy_cloud {
	const char *name, *target;
	const char *role; /* at the provider, as its backend wants it; "" for none */
	uint64_t ttl_ms;
	const struct mf_scope_statement *scope;
	size_t scope_n;
	const char *const *models; /* actions of the scope that may invoke models */
	size_t models_n;
	bool allow_overhang; /* it may outlive the job where nothing can end it sooner */
	enum mf_policy_on_end on_end;
	uint64_t max_residual_ms; /* with MF_ON_END_EXPIRE: its permissions end so soon by themselves */
};

struct mf_policy_profile {
	const char *name, *purpose, *owner;
	uint64_t max_job_ms; /* when no manager sets a deadline */
	uint64_t drain_ms;
	bool interactive; /* attested.interactive callers are served */
	enum mf_policy_on_end on_end;
	struct mf_policy_identity identities[MF_LIM_IDENTITIES];
	size_t n_identities;
	const char *const *jwt_audiences;
	size_t n_jwt_audiences;
	bool jwt_rs256; /* its JWT-SVIDs are signed with RS256; false: ES256 */
	const struct mf_policy_cloud *cloud;
	size_t n_cloud;
};
/* NULL: it has no grant of that name. */
const struct mf_policy_cloud *mf_policy_cloud_find(const struct mf_policy_profile *f, struct mf_slice name);

/* What permits ask for. {0} asks for nothing. */
struct mf_obligations {
	uint64_t max_ttl_ms; /* no credential lives longer; 0: no limit */
	uint64_t max_job_ms; /* nor a job; 0: no limit */
	uint32_t fields;     /* bit i: the manifest must have field i (mf_manifest_field) */
};
_Static_assert(MF_MANIFEST_FIELDS <= 32, "the fields are a bit mask");
/* The strictest of both. */
struct mf_obligations mf_obligations_merge(struct mf_obligations a, struct mf_obligations b);

enum mf_policy_where {
	MF_POLICY_EXPR,	  /* an expression is pushed */
	MF_POLICY_ANY,	  /* nodes: any / when: always */
	MF_POLICY_ABSENT, /* forbids may leave out nodes */
};

struct mf_policy_rule {
	const char *id, *owner;
	const char *profile; /* "*" (forbids only) for all */
	bool forbid;
	int64_t review_by_s; /* 00:00 UTC of the day, seconds since 1970 */
	enum mf_policy_where nodes, when;
	struct mf_obligations require; /* permits only */
};

enum mf_policy_op {
	MF_POLICY_EQ,
	MF_POLICY_NE,
	MF_POLICY_IN,
	MF_POLICY_HAS,
	MF_POLICY_CONTAINS,
	MF_POLICY_LE,
	MF_POLICY_GE,
	MF_POLICY_UNDER,
	MF_POLICY_GLOB,
	MF_POLICY_SUBSET,
	MF_POLICY_ALL, /* from here on: over other operators */
	MF_POLICY_ANY_OF,
	MF_POLICY_NOT,
	MF_POLICY_EVERY,
	MF_POLICY_SOME,
	MF_POLICY_OP_COUNT
};
static inline bool
mf_policy_is_group(enum mf_policy_op op)
{
	return op >= MF_POLICY_ALL;
}
static inline bool
mf_policy_is_quantifier(enum mf_policy_op op)
{
	return op == MF_POLICY_EVERY || op == MF_POLICY_SOME;
}
/* "eq", "all", ...: as in the file. */
const char *mf_policy_op_name(enum mf_policy_op op);

MF_NODISCARD enum mf_status mf_policy_new(struct mf_policy **ret_p, struct mf_err *err);
void mf_policy_free(struct mf_policy *p); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_policy, mf_policy_free)
/* Checks names, templates, lifetimes and counts. */
MF_NODISCARD enum mf_status
mf_policy_add_profile(struct mf_policy *p, const struct mf_policy_profile *profile, struct mf_err *err);
/* MF_E_NOTFOUND when the profile does not exist. */
MF_NODISCARD enum mf_status
mf_policy_rule_begin(struct mf_policy *p, const struct mf_policy_rule *rule, struct mf_err *err);
/*
 * A comparison; ${n} values: 1 for eq, ne, contains, le, ge, under, glob; 1 or more for in; any for subset; 0 for has.
 * ${attribute} with its namespace; after mf_policy_quantify a key of the element, without.
 */
MF_NODISCARD enum mf_status mf_policy_push(struct mf_policy *p, enum mf_policy_op op,
    struct mf_slice attribute, const struct mf_slice *values, size_t n, struct mf_err *err);
/*
 * What mf_policy_push checks of one comparison; ${in_nodes}: it stands under `nodes`; ${list}: under every or some of
 * this list; empty: it does not. For loaders that report all.
 */
MF_NODISCARD enum mf_status mf_policy_check(enum mf_policy_op op, bool in_nodes, struct mf_slice list,
    struct mf_slice attribute, const struct mf_slice *values, size_t n, struct mf_err *err);
/* May every and some range over ${list}? */
MF_NODISCARD enum mf_status mf_policy_check_list(bool in_nodes, struct mf_slice list, struct mf_err *err);
/* Before the condition of an every or some: what is pushed until its mf_policy_push_group speaks of elements of ${list}. */
MF_NODISCARD enum mf_status mf_policy_quantify(struct mf_policy *p, struct mf_slice list, struct mf_err *err);
/* all, any, not, every, some over the last ${n} pushed (exactly 1 for the last three). */
MF_NODISCARD enum mf_status
mf_policy_push_group(struct mf_policy *p, enum mf_policy_op op, size_t n, struct mf_err *err);
/* Exactly one tree must be there: it becomes the rule's `nodes` expression. Only when rule->nodes is MF_POLICY_EXPR. */
MF_NODISCARD enum mf_status mf_policy_rule_nodes(struct mf_policy *p, struct mf_err *err);
/* Takes the tree that is left as `when` (MF_POLICY_EXPR). */
MF_NODISCARD enum mf_status mf_policy_rule_end(struct mf_policy *p, struct mf_err *err);
/* Forget the open rule, if any. */
void mf_policy_rule_drop(struct mf_policy *p);
MF_NODISCARD enum mf_status mf_policy_seal(struct mf_policy *p, struct mf_err *err);

/* NULL when there is none. Profiles are in byte order of their names, rules of their ids, once sealed. */
const struct mf_policy_profile *mf_policy_profile(const struct mf_policy *p, struct mf_slice name);
size_t mf_policy_profile_count(const struct mf_policy *p);
const struct mf_policy_profile *mf_policy_profile_at(const struct mf_policy *p, size_t i);
size_t mf_policy_rule_count(const struct mf_policy *p);
const struct mf_policy_rule *mf_policy_rule_at(const struct mf_policy *p, size_t i);

struct mf_policy_request {
	struct mf_slice profile;      /* wanted; empty: the only one that is permitted */
	const struct mf_facts *facts; /* sealed */
	int64_t wall_s;
};

#define MF_POLICY_REASON_MAX 512
#define MF_POLICY_ATTRIBUTE_MAX 160
#define MF_POLICY_CURE_MAX 384

struct mf_decision {
	bool permit;
	/*
	 * Permit: what is given, its lifetimes cut to what the obligations allow; points into the policy, or to ${given}
	 * of this very struct. Deny: the profile that was asked for, or NULL.
	 */
	const struct mf_policy_profile *profile;
	struct mf_obligations must; /* of all permits that hold */
	/* The permit (the first in byte order of ids, when several hold) or the forbid that decided; NULL: no rule. */
	const char *rule;
	/* For people: names rule, attribute and cure; never shows a value of the request that is not printable. */
	char reason[MF_POLICY_REASON_MAX];
	/*
	 * The same for whoever asked. It leaves out what is not his to see: what rules want of attested.*, node.* and
	 * submitter.* (other people's names, the shape of the cluster), and what is known of node.* and submitter.*.
	 */
	char told[MF_POLICY_REASON_MAX];
	char attribute[MF_POLICY_ATTRIBUTE_MAX]; /* the first that it failed at, "manifest.env"; "" */
	char cure[MF_POLICY_CURE_MAX];		 /* for whoever asked; "" */
	struct mf_policy_profile given;		 /* see ${profile} */
};

/*
 * Always gives an answer; allocates nothing, needs 16 KiB of stack. ${p} must be sealed (an unsealed one denies). A copy
 * of *ret_d must not outlive it.
 */
void
mf_policy_decide(const struct mf_policy *p, const struct mf_policy_request *req, struct mf_decision *ret_d);

/* How near the day is on which rule ${i} (mf_policy_rule_at) must have been reviewed. */
enum mf_policy_review {
	MF_REVIEW_FAR,
	MF_REVIEW_14_DAYS, /* at most 14 days are left */
	MF_REVIEW_7_DAYS,
	MF_REVIEW_1_DAY,
	MF_REVIEW_PAST /* a permit gives nothing any more; a forbid stays in force */
};
enum mf_policy_review mf_policy_review(const struct mf_policy *p, size_t i, int64_t wall_s);

/*
 * As the file would say them, in one line and one spelling: equal texts are equal rules. ${i} as mf_policy_rule_at.
 * Values lose control characters.
 */
void mf_policy_rule_put(const struct mf_policy *p, size_t i, struct mf_buf *to);
void mf_policy_profile_put(const struct mf_policy_profile *profile, struct mf_buf *to);
void mf_obligations_put(struct mf_obligations o, struct mf_buf *to);

enum mf_lint_level { MF_LINT_NOTE, MF_LINT_WARNING, MF_LINT_ERROR };
/* ${subject} is "rule x" or "profile y". The strings live during the call. */
typedef void mf_policy_lint_cb(void *ctx, enum mf_lint_level level, const char *subject, const char *text);
/*
 * What is legal but suspicious; returns the number of errors. A policy with lint errors should not be applied.
 * ${wall_s}: lapsed and soon lapsing rules.
 */
size_t mf_policy_lint(const struct mf_policy *p, int64_t wall_s, mf_policy_lint_cb *cb, void *ctx);
#endif
