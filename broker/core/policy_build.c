/* policy_build: making a policy, checked at each step (contract in policy.h). */
#include <stdlib.h>

#include "base/suggest.h"
#include "base/text.h"
#include "broker/core/policy_internal.h"
#include "codec/template.h"

#define POLICY_BYTES (64u * 1024u * 1024u) /* everything copied from one file of at most MF_LIM_YAML */
#define NAME_BYTES 64u			   /* of a profile, rule id, hint */
#define TEXT_BYTES 256u			   /* of an owner, purpose, audience */
#define AUDIENCES_MAX 32u
#define TTL_MAX_MS (UINT64_C(24) * 3600 * 1000)
#define MAX_JOB_MS (UINT64_C(366) * 24 * 3600 * 1000)
#define MAX_TTL_MIN_MS UINT64_C(1000) /* an obligation shorter than this gives nothing */
#define DRAIN_MAX_MS (UINT64_C(24) * 3600 * 1000)

const char *
mf_policy_op_name(enum mf_policy_op op)
{
	static const char *const names[] = { [MF_POLICY_EQ] = "eq",
		[MF_POLICY_NE] = "ne",
		[MF_POLICY_IN] = "in",
		[MF_POLICY_HAS] = "has",
		[MF_POLICY_CONTAINS] = "contains",
		[MF_POLICY_LE] = "le",
		[MF_POLICY_GE] = "ge",
		[MF_POLICY_UNDER] = "under",
		[MF_POLICY_GLOB] = "glob",
		[MF_POLICY_SUBSET] = "subset",
		[MF_POLICY_ALL] = "all",
		[MF_POLICY_ANY_OF] = "any",
		[MF_POLICY_NOT] = "not",
		[MF_POLICY_EVERY] = "every",
		[MF_POLICY_SOME] = "some" };
	return (size_t)op < MF_COUNT(names) ? names[op] : "unknown";
}

enum mf_status
mf_policy_new(struct mf_policy **ret_p, struct mf_err *err)
{
	MF_AUTO(mf_policy_free) struct mf_policy *p = calloc(1, sizeof(*p));
	if (p == NULL || (p->arena = mf_arena_new(POLICY_BYTES)) == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "policy: out of memory");
	*ret_p = MF_TAKE(p);
	return MF_OK;
}

void
mf_policy_free(struct mf_policy *p)
{
	if (p == NULL)
		return;
	mf_arena_free(p->arena);
	free(p);
}

/* Letters, digits and . - _ : names that go into records, commands and templates. */
static bool
is_name(const char *s)
{
	size_t n = s == NULL ? 0 : strlen(s);
	if (n == 0 || n > NAME_BYTES || s[0] == '.' || s[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
			(s[i] >= '0' && s[i] <= '9') || s[i] == '.' || s[i] == '-' || s[i] == '_'))
			return false;
	return true;
}

static enum mf_status
check_text(const char *what, const char *s, struct mf_err *err)
{
	size_t n = s == NULL ? 0 : strlen(s);
	if (n == 0 || n > TEXT_BYTES || !mf_utf8_ok(mf_slice(s, n)))
		return MF_FAIL(err, MF_E_INVALID, "%s must be 1 to %u bytes of text", what, TEXT_BYTES);
	return MF_OK;
}

enum mf_status
mf_policy_check_name(const char *what, const char *s, struct mf_err *err)
{
	if (!is_name(s))
		return MF_FAIL(err, MF_E_INVALID,
		    "%s must be 1 to %u letters, digits, . - _ and begin with a letter, digit or _", what,
		    NAME_BYTES);
	return MF_OK;
}

enum mf_status
mf_policy_broke(struct mf_policy *p, enum mf_status s)
{
	p->broken = true;
	mf_policy_rule_drop(p);
	return s;
}

static enum mf_status
check_identity(const struct mf_policy_profile *profile, size_t i, struct mf_err *err)
{
	const struct mf_policy_identity *id = &profile->identities[i];
	if (mf_template_check(mf_slice_str(id->path), MF_TEMPLATE_PATH, err) != MF_OK)
		return mf_err_wrap(err, MF_E_INVALID, "identities[%zu].path", i);
	if (id->cn[0] != '\0' && mf_template_check(mf_slice_str(id->cn), MF_TEMPLATE_CN, err) != MF_OK)
		return mf_err_wrap(err, MF_E_INVALID, "identities[%zu].cn", i);
	if (id->n_dns > MF_LIM_DNS_NAMES)
		return MF_FAIL(
		    err, MF_E_INVALID, "identities[%zu].dns: more than %u names", i, MF_LIM_DNS_NAMES);
	for (size_t k = 0; k < id->n_dns; k++)
		if (mf_template_check(mf_slice_str(id->dns[k]), MF_TEMPLATE_DNS, err) != MF_OK)
			return mf_err_wrap(err, MF_E_INVALID, "identities[%zu].dns[%zu]", i, k);
	if (id->hint[0] != '\0')
		MF_TRY(mf_policy_check_name("hint", id->hint, err));
	if (id->x509_ttl_ms == 0 || id->x509_ttl_ms > TTL_MAX_MS || id->jwt_ttl_ms == 0 ||
	    id->jwt_ttl_ms > TTL_MAX_MS)
		return MF_FAIL(err, MF_E_INVALID,
		    "identities[%zu]: x509_ttl and jwt_ttl must be over 0 and at most 24h", i);
	for (size_t k = 0; k < i; k++) {
		const struct mf_policy_identity *other = &profile->identities[k];
		if (strcmp(other->path, id->path) == 0)
			return MF_FAIL(
			    err, MF_E_INVALID, "identities[%zu] and [%zu] have the same path", k, i);
		if (id->hint[0] != '\0' && strcmp(other->hint, id->hint) == 0)
			return MF_FAIL(err, MF_E_INVALID,
			    "identities[%zu] and [%zu] have the same hint: give each its own", k, i);
	}
	return MF_OK;
}

static enum mf_status
check_profile(const struct mf_policy *p, const struct mf_policy_profile *profile, struct mf_err *err)
{
	MF_TRY(mf_policy_check_name("the profile's name", profile->name, err));
	if (mf_policy_profile(p, mf_slice_str(profile->name)) != NULL)
		return MF_FAIL(err, MF_E_EXISTS, "profile %s is there twice", profile->name);
	if (p->n_profiles == MF_LIM_POLICY_PROFILES)
		return MF_FAIL(err, MF_E_TOOBIG, "more than %u profiles", MF_LIM_POLICY_PROFILES);
	MF_TRY(check_text("purpose", profile->purpose, err));
	MF_TRY(check_text("owner", profile->owner, err));
	if (profile->max_job_ms == 0 || profile->max_job_ms > MAX_JOB_MS)
		return MF_FAIL(err, MF_E_INVALID, "max_job must be over 0 and at most 366d");
	if (profile->drain_ms > DRAIN_MAX_MS)
		return MF_FAIL(err, MF_E_INVALID, "drain must be at most 24h");
	if (profile->n_identities == 0 || profile->n_identities > MF_LIM_IDENTITIES)
		return MF_FAIL(err, MF_E_INVALID, "a profile needs 1 to %u identities", MF_LIM_IDENTITIES);
	for (size_t i = 0; i < profile->n_identities; i++)
		MF_TRY(check_identity(profile, i, err));
	if (profile->n_jwt_audiences > AUDIENCES_MAX)
		return MF_FAIL(err, MF_E_INVALID, "more than %u jwt_audiences", AUDIENCES_MAX);
	for (size_t i = 0; i < profile->n_jwt_audiences; i++)
		MF_TRY(check_text("an audience", profile->jwt_audiences[i], err));
	return mf_policy_check_cloud(profile, err);
}

bool
mf_policy_copy_str(struct mf_policy *p, const char **s)
{
	*s = mf_arena_str(p->arena, mf_slice_str(*s));
	return *s != NULL;
}

bool
mf_policy_copy_list(struct mf_policy *p, const char *const **list, size_t n)
{
	const char **to = mf_arena_alloc(p->arena, n, sizeof(*to));
	for (size_t i = 0; to != NULL && i < n; i++)
		if ((to[i] = mf_arena_str(p->arena, mf_slice_str((*list)[i]))) == NULL)
			return false;
	*list = to;
	return to != NULL;
}

enum mf_status
mf_policy_add_profile(struct mf_policy *p, const struct mf_policy_profile *profile, struct mf_err *err)
{
	if (p->sealed)
		return MF_FAIL(err, MF_E_STATE, "policy: sealed");
	enum mf_status s = check_profile(p, profile, err);
	if (s != MF_OK)
		return mf_policy_broke(p, s);
	struct mf_policy_profile copy = *profile;
	bool ok = mf_policy_copy_str(p, &copy.name) && mf_policy_copy_str(p, &copy.purpose) &&
		  mf_policy_copy_str(p, &copy.owner) &&
		  mf_policy_copy_list(p, &copy.jwt_audiences, copy.n_jwt_audiences) &&
		  mf_policy_copy_cloud(p, &copy);
	for (size_t i = 0; ok && i < copy.n_identities; i++) {
		struct mf_policy_identity *id = &copy.identities[i];
		ok = mf_policy_copy_str(p, &id->path) && mf_policy_copy_str(p, &id->hint) &&
		     mf_policy_copy_str(p, &id->cn) && mf_policy_copy_list(p, &id->dns, id->n_dns);
	}
	if (!ok)
		return mf_policy_broke(p, MF_FAIL(err, MF_E_NOMEM, "policy: out of memory"));
	p->profiles[p->n_profiles++] = copy;
	return MF_OK;
}

static enum mf_status
check_require(const struct mf_policy_rule *r, struct mf_err *err)
{
	const struct mf_obligations *m = &r->require;
	if (r->forbid && (m->max_ttl_ms != 0 || m->max_job_ms != 0 || m->fields != 0))
		return MF_FAIL(
		    err, MF_E_INVALID, "require belongs to a permit: a forbid gives nothing to limit");
	if (m->max_ttl_ms != 0 && (m->max_ttl_ms < MAX_TTL_MIN_MS || m->max_ttl_ms > TTL_MAX_MS))
		return MF_FAIL(err, MF_E_INVALID, "max_ttl must be from 1s to 24h");
	if (m->max_job_ms != 0 && (m->max_job_ms < MAX_TTL_MIN_MS || m->max_job_ms > MAX_JOB_MS))
		return MF_FAIL(err, MF_E_INVALID, "max_job must be from 1s to 366d");
	if (m->fields >> (MF_MANIFEST_FIELDS - 1) > 1)
		return MF_FAIL(err, MF_E_INVALID, "evidence names a field that manifests do not have");
	return MF_OK;
}

static enum mf_status
check_rule(const struct mf_policy *p, const struct mf_policy_rule *r, struct mf_err *err)
{
	MF_TRY(mf_policy_check_name("a rule's id", r->id, err));
	for (size_t i = 0; i < p->n_rules; i++)
		if (strcmp(p->rules[i]->head.id, r->id) == 0)
			return MF_FAIL(err, MF_E_EXISTS, "rule %s is there twice", r->id);
	if (p->n_rules == MF_LIM_POLICY_RULES)
		return MF_FAIL(err, MF_E_TOOBIG, "more than %u rules", MF_LIM_POLICY_RULES);
	MF_TRY(check_text("owner", r->owner, err));
	if (r->review_by_s <= 0)
		return MF_FAIL(err, MF_E_INVALID, "review_by is missing");
	if (r->nodes == MF_POLICY_ABSENT && !r->forbid)
		return MF_FAIL(err, MF_E_INVALID,
		    "a permit must say on which nodes: add nodes: {in: [node.pool, [...]]}, or write out "
		    "nodes: any");
	if (r->when == MF_POLICY_ABSENT)
		return MF_FAIL(
		    err, MF_E_INVALID, "when is missing: add a condition, or write out when: always");
	MF_TRY(check_require(r, err));
	if (r->profile == NULL || (strcmp(r->profile, "*") == 0 && !r->forbid))
		return MF_FAIL(err, MF_E_INVALID, "a permit must name one profile");
	if (strcmp(r->profile, "*") == 0 || mf_policy_profile(p, mf_slice_str(r->profile)) != NULL)
		return MF_OK;
	const char *names[MF_LIM_POLICY_PROFILES];
	for (size_t i = 0; i < p->n_profiles; i++)
		names[i] = p->profiles[i].name;
	const char *near = mf_suggest(mf_slice_str(r->profile), names, p->n_profiles);
	if (near != NULL)
		return MF_FAIL(err, MF_E_NOTFOUND, "no such profile; did you mean `%s`?", near);
	return MF_FAIL(err, MF_E_NOTFOUND, "no such profile: add it under profiles");
}

enum mf_status
mf_policy_rule_begin(struct mf_policy *p, const struct mf_policy_rule *rule, struct mf_err *err)
{
	if (p->sealed || p->open)
		return MF_FAIL(err, MF_E_STATE, "policy: sealed, or the last rule was not ended");
	enum mf_status s = check_rule(p, rule, err);
	if (s != MF_OK)
		return mf_policy_broke(p, s);
	p->draft =
	    (struct policy_rule) { .head = *rule, .profile = NONE, .nodes_root = NONE, .when_root = NONE };
	if (!mf_policy_copy_str(p, &p->draft.head.id) || !mf_policy_copy_str(p, &p->draft.head.owner) ||
	    !mf_policy_copy_str(p, &p->draft.head.profile))
		return mf_policy_broke(p, MF_FAIL(err, MF_E_NOMEM, "policy: out of memory"));
	p->open = true;
	p->in_item = false;
	p->n_stack = 0;
	return MF_OK;
}

enum mf_status
mf_policy_rule_nodes(struct mf_policy *p, struct mf_err *err)
{
	if (!p->open || p->draft.head.nodes != MF_POLICY_EXPR || p->draft.nodes_root != NONE || p->in_item ||
	    p->n_stack != 1)
		return mf_policy_broke(p, MF_FAIL(err, MF_E_STATE, "policy: nodes must be one condition"));
	p->draft.nodes_root = p->stack[0];
	p->n_stack = 0;
	return MF_OK;
}

/* The comparisons that must all be true for the rule to be: those under nothing but `all`. */
static void
mark_required(struct policy_rule *r)
{
	if (r->nodes_root != NONE)
		r->nodes[r->nodes_root].required = true;
	if (r->when_root != NONE)
		r->nodes[r->when_root].required = true;
	for (uint32_t i = r->n_nodes; i-- > 0;) /* groups stand after their operands */
		if (r->nodes[i].required && r->nodes[i].op == MF_POLICY_ALL)
			for (uint32_t c = r->nodes[i].child; c != NONE; c = r->nodes[c].next)
				r->nodes[c].required = true;
}

enum mf_status
mf_policy_rule_end(struct mf_policy *p, struct mf_err *err)
{
	struct policy_rule *d = &p->draft;
	if (!p->open || (d->head.nodes == MF_POLICY_EXPR && d->nodes_root == NONE))
		return mf_policy_broke(
		    p, MF_FAIL(err, MF_E_STATE, "policy: no rule is open, or its nodes were not given"));
	if (p->in_item || p->n_stack != (d->head.when == MF_POLICY_EXPR ? 1 : 0))
		return mf_policy_broke(p, MF_FAIL(err, MF_E_STATE, "policy: when must be one condition"));
	if (d->head.when == MF_POLICY_EXPR)
		d->when_root = p->stack[0];
	struct policy_rule *r = mf_arena_alloc(p->arena, 1, sizeof(*r));
	struct policy_node *nodes = mf_arena_alloc(p->arena, d->n_nodes, sizeof(*nodes));
	if (r == NULL || nodes == NULL)
		return mf_policy_broke(p, MF_FAIL(err, MF_E_NOMEM, "policy: out of memory"));
	if (d->n_nodes > 0)
		memcpy(nodes, p->draft_nodes, d->n_nodes * sizeof(*nodes));
	*r = *d;
	r->nodes = nodes;
	mark_required(r);
	p->rules[p->n_rules++] = r;
	p->open = false;
	return MF_OK;
}

void
mf_policy_rule_drop(struct mf_policy *p)
{
	p->open = false;
	p->in_item = false;
	p->n_stack = 0;
}

static int
profile_order(const void *a, const void *b)
{
	return strcmp(
	    ((const struct mf_policy_profile *)a)->name, ((const struct mf_policy_profile *)b)->name);
}

static int
rule_order(const void *a, const void *b)
{
	return strcmp((*(struct policy_rule *const *)a)->head.id, (*(struct policy_rule *const *)b)->head.id);
}

enum mf_status
mf_policy_seal(struct mf_policy *p, struct mf_err *err)
{
	if (p->sealed || p->open || p->broken)
		return MF_FAIL(err, MF_E_STATE, "policy: %s",
		    p->sealed ? "already sealed"
		    : p->open ? "a rule was not ended"
			      : "an earlier error was not cured");
	qsort(p->profiles, p->n_profiles, sizeof(p->profiles[0]), profile_order);
	qsort(p->rules, p->n_rules, sizeof(p->rules[0]), rule_order);
	for (size_t k = 0; k < p->n_rules; k++)
		for (size_t i = 0; i < p->n_profiles; i++)
			if (strcmp(p->rules[k]->head.profile, p->profiles[i].name) == 0)
				p->rules[k]->profile = (uint32_t)i;
	for (size_t i = 0; i < p->n_profiles; i++) {
		size_t n = 0;
		for (size_t k = 0; k < p->n_rules; k++)
			n += p->rules[k]->profile == i || p->rules[k]->profile == NONE;
		p->by_profile[i] = mf_arena_alloc(p->arena, n, sizeof(p->by_profile[i][0]));
		if (p->by_profile[i] == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "policy: out of memory");
		p->n_by_profile[i] = n;
		n = 0;
		for (size_t k = 0; k < p->n_rules; k++)
			if (p->rules[k]->profile == i || p->rules[k]->profile == NONE)
				p->by_profile[i][n++] = p->rules[k];
	}
	p->sealed = true;
	return MF_OK;
}

const struct mf_policy_profile *
mf_policy_profile(const struct mf_policy *p, struct mf_slice name)
{
	for (size_t i = 0; i < p->n_profiles; i++)
		if (mf_slice_eq_str(name, p->profiles[i].name))
			return &p->profiles[i];
	return NULL;
}

size_t
mf_policy_profile_count(const struct mf_policy *p)
{
	return p->n_profiles;
}

const struct mf_policy_profile *
mf_policy_profile_at(const struct mf_policy *p, size_t i)
{
	return i < p->n_profiles ? &p->profiles[i] : NULL;
}

size_t
mf_policy_rule_count(const struct mf_policy *p)
{
	return p->n_rules;
}

const struct mf_policy_rule *
mf_policy_rule_at(const struct mf_policy *p, size_t i)
{
	return i < p->n_rules ? &p->rules[i]->head : NULL;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

struct mf_obligations
mf_obligations_merge(struct mf_obligations a, struct mf_obligations b)
{
	return (struct mf_obligations) { .max_ttl_ms = least(a.max_ttl_ms, b.max_ttl_ms),
		.max_job_ms = least(a.max_job_ms, b.max_job_ms),
		.fields = a.fields | b.fields };
}

enum mf_policy_review
mf_policy_review(const struct mf_policy *p, size_t i, int64_t wall_s)
{
	static const int64_t day = 86400;
	int64_t left = policy_lapses_s(p->rules[i]) - wall_s;
	return left <= 0	  ? MF_REVIEW_PAST
	       : left <= day	  ? MF_REVIEW_1_DAY
	       : left <= 7 * day  ? MF_REVIEW_7_DAYS
	       : left <= 14 * day ? MF_REVIEW_14_DAYS
				  : MF_REVIEW_FAR;
}
