/* policy_load: see policy_load.h. Conditions are read in policy_expr.c. */
#include "broker/policy/policy_load.h"

#include "base/suggest.h"
#include "broker/policy/policy_expr.h"
#include "codec/template.h"
#include "conf/schema.h"

#define SECOND 1000
#define HOUR (INT64_C(3600) * SECOND)
#define LOAD_BYTES (64u * 1024u * 1024u)

/* The file as the schema reads it; the core's own structs are made from these. */
struct identity {
	const struct mf_yaml_node *self;
	const char *path, *hint, *cn;
	struct mf_conf_strings dns;
	uint64_t x509_ttl_ms, jwt_ttl_ms;
};
struct statement {
	struct mf_conf_strings actions, resources;
};
struct grant {
	const struct mf_yaml_node *self;
	const char *name, *target, *role;
	uint64_t ttl_ms, max_residual_ms;
	int on_end;
	bool allow_overhang;
	struct mf_conf_items scope;
	struct mf_conf_strings models;
};
struct profile {
	const struct mf_yaml_node *self;
	const char *name, *purpose, *owner;
	uint64_t max_job_ms, drain_ms;
	int interactive, on_end, jwt_alg;
	struct mf_conf_items identities, cloud;
	struct mf_conf_strings jwt_audiences;
};
struct require {
	const struct mf_yaml_node *self;
	uint64_t max_ttl_ms, max_job_ms;
	bool ticket;
	struct mf_conf_strings evidence;
};
struct rule {
	const struct mf_yaml_node *self, *nodes, *when;
	struct require require;
	const char *id, *profile, *owner;
	int64_t review_by_s;
	int effect;
};
struct file {
	int64_t version;
	struct mf_conf_items profiles, rules;
};

#define FIELD(type_, struct_, member, ...)                                    \
	{                                                                     \
		.type = (type_), .at = offsetof(struct_, member), __VA_ARGS__ \
	}

static const struct mf_conf_field identity_fields[] = {
	FIELD(MF_CONF_SELF, struct identity, self, .key = NULL),
	FIELD(MF_CONF_STRING, struct identity, path, .key = "path", .required = true, .min = 1,
	    .help = "like \"/{tenant}/train/{env}/job/{job}\""),
	FIELD(MF_CONF_STRING, struct identity, hint, .key = "hint", .max = 64),
	FIELD(MF_CONF_STRING, struct identity, cn, .key = "cn", .max = 256),
	FIELD(MF_CONF_STRINGS, struct identity, dns, .key = "dns", .max = MF_LIM_DNS_NAMES),
	FIELD(MF_CONF_DURATION, struct identity, x509_ttl_ms, .key = "x509_ttl", .min = SECOND,
	    .max = 24 * HOUR, .def = "20m"),
	FIELD(MF_CONF_DURATION, struct identity, jwt_ttl_ms, .key = "jwt_ttl", .min = SECOND,
	    .max = 24 * HOUR, .def = "5m"),
};
static const struct mf_conf_schema identity_schema = MF_CONF_SCHEMA(identity_fields, struct identity);

static const char *const interactive_words[] = { "refuse", "allow", NULL };
static const char *const jwt_alg_words[] = { "ES256", "RS256", NULL };
static const char *const on_end_words[] = { "deny", "expire", NULL };
static const char *const grant_end_words[] = { "profile", "deny", "expire", NULL };
static const char *const effect_words[] = { "permit", "forbid", NULL };

static const struct mf_conf_field statement_fields[] = {
	FIELD(MF_CONF_STRINGS, struct statement, actions, .key = "actions", .required = true, .min = 1,
	    .max = MF_SCOPE_ACTIONS, .help = "like [\"s3:GetObject\"]"),
	FIELD(MF_CONF_STRINGS, struct statement, resources, .key = "resources", .max = MF_SCOPE_RESOURCES,
	    .help = "like [\"arn:aws:s3:::lab/runs/{run}/*\"]"),
};
static const struct mf_conf_schema statement_schema = MF_CONF_SCHEMA(statement_fields, struct statement);

static const struct mf_conf_field grant_fields[] = {
	FIELD(MF_CONF_SELF, struct grant, self, .key = NULL),
	FIELD(MF_CONF_STRING, struct grant, name, .key = "name", .required = true, .min = 1, .max = 64,
	    .help = "what jobs ask for it by"),
	FIELD(MF_CONF_STRING, struct grant, target, .key = "target", .required = true, .min = 1, .max = 64,
	    .help = "a name of cloud_targets in broker.yaml"),
	FIELD(MF_CONF_STRING, struct grant, role, .key = "role", .max = 2048,
	    .help = "whom the provider makes of the job, like arn:aws:iam::123456789012:role/train"),
	FIELD(MF_CONF_DURATION, struct grant, ttl_ms, .key = "ttl", .min = 60 * SECOND, .max = 12 * HOUR,
	    .def = "1h"),
	FIELD(MF_CONF_OBJECTS, struct grant, scope, .key = "scope", .required = true, .min = 1,
	    .max = MF_SCOPE_STATEMENTS, .sub = &statement_schema,
	    .help = "a list of {actions: [...], resources: [...]}"),
	FIELD(MF_CONF_STRINGS, struct grant, models, .key = "models", .max = MF_SCOPE_ACTIONS,
	    .help = "the actions of scope that may invoke models"),
	FIELD(MF_CONF_BOOL, struct grant, allow_overhang, .key = "allow_overhang",
	    .help = "it may outlive the job where nothing can end it sooner"),
	FIELD(
	    MF_CONF_ENUM, struct grant, on_end, .key = "on_end", .words = grant_end_words, .def = "profile"),
	FIELD(MF_CONF_DURATION, struct grant, max_residual_ms, .key = "max_residual", .min = 60 * SECOND,
	    .max = 12 * HOUR, .def = "15m"),
};
static const struct mf_conf_schema grant_schema = MF_CONF_SCHEMA(grant_fields, struct grant);

static const struct mf_conf_field profile_fields[] = {
	FIELD(MF_CONF_SELF, struct profile, self, .key = NULL),
	FIELD(MF_CONF_NAME, struct profile, name, .key = NULL),
	FIELD(MF_CONF_STRING, struct profile, purpose, .key = "purpose", .required = true, .min = 1,
	    .max = 256, .help = "what its jobs do: training, finetune, eval, ..."),
	FIELD(MF_CONF_STRING, struct profile, owner, .key = "owner", .required = true, .min = 1, .max = 256,
	    .help = "who answers for it"),
	FIELD(MF_CONF_DURATION, struct profile, max_job_ms, .key = "max_job", .min = SECOND,
	    .max = 366 * 24 * HOUR, .def = "24h"),
	FIELD(MF_CONF_DURATION, struct profile, drain_ms, .key = "drain", .min = 0, .max = 24 * HOUR,
	    .def = "60s"),
	FIELD(MF_CONF_ENUM, struct profile, interactive, .key = "interactive", .words = interactive_words,
	    .def = "refuse"),
	FIELD(MF_CONF_ENUM, struct profile, on_end, .key = "on_end", .words = on_end_words, .def = "deny"),
	FIELD(MF_CONF_OBJECTS, struct profile, identities, .key = "identities", .required = true, .min = 1,
	    .max = MF_LIM_IDENTITIES, .sub = &identity_schema,
	    .help = "a list with at least one {path: ...}"),
	FIELD(MF_CONF_OBJECTS, struct profile, cloud, .key = "cloud", .max = MF_LIM_CLOUD_GRANTS,
	    .sub = &grant_schema, .help = "cloud tokens that its jobs may have"),
	FIELD(MF_CONF_STRINGS, struct profile, jwt_audiences, .key = "jwt_audiences", .max = 32),
	FIELD(
	    MF_CONF_ENUM, struct profile, jwt_alg, .key = "jwt_alg", .words = jwt_alg_words, .def = "ES256"),
};
static const struct mf_conf_schema profile_schema = MF_CONF_SCHEMA(profile_fields, struct profile);

static const struct mf_conf_field require_fields[] = {
	FIELD(MF_CONF_SELF, struct require, self, .key = NULL),
	FIELD(MF_CONF_DURATION, struct require, max_ttl_ms, .key = "max_ttl", .min = SECOND, .max = 24 * HOUR,
	    .help = "no credential lives longer"),
	FIELD(MF_CONF_DURATION, struct require, max_job_ms, .key = "max_job", .min = SECOND,
	    .max = 366 * 24 * HOUR, .help = "no job lives longer"),
	FIELD(MF_CONF_BOOL, struct require, ticket, .key = "ticket", .help = "the manifest must name one"),
	FIELD(MF_CONF_STRINGS, struct require, evidence, .key = "evidence", .max = MF_MANIFEST_FIELDS,
	    .help = "fields that the manifest must have, like [config, dataset.digest]"),
};
static const struct mf_conf_schema require_schema = MF_CONF_SCHEMA(require_fields, struct require);

static const struct mf_conf_field rule_fields[] = {
	FIELD(MF_CONF_SELF, struct rule, self, .key = NULL),
	FIELD(MF_CONF_STRING, struct rule, id, .key = "id", .required = true, .min = 1, .max = 64,
	    .help = "a name that records cite"),
	FIELD(MF_CONF_ENUM, struct rule, effect, .key = "effect", .required = true, .words = effect_words,
	    .help = "permit or forbid"),
	FIELD(MF_CONF_STRING, struct rule, profile, .key = "profile", .required = true, .min = 1, .max = 64,
	    .help = "the profile it is about; \"*\" for a forbid of all"),
	FIELD(MF_CONF_STRING, struct rule, owner, .key = "owner", .required = true, .min = 1, .max = 256,
	    .help = "who answers for it"),
	FIELD(MF_CONF_DATE, struct rule, review_by_s, .key = "review_by", .required = true,
	    .help = "the last day before somebody must look at it again, like 2027-02-01"),
	FIELD(MF_CONF_TREE, struct rule, nodes, .key = "nodes"),
	FIELD(MF_CONF_TREE, struct rule, when, .key = "when"),
	FIELD(MF_CONF_OBJECT, struct rule, require, .key = "require", .sub = &require_schema),
};
static const struct mf_conf_schema rule_schema = MF_CONF_SCHEMA(rule_fields, struct rule);

static const struct mf_conf_field file_fields[] = {
	FIELD(MF_CONF_INT, struct file, version, .key = "mayfly_policy", .required = true, .min = 1, .max = 1,
	    .help = "the version of the format: 1"),
	FIELD(MF_CONF_MAP, struct file, profiles, .key = "profiles", .required = true,
	    .max = MF_LIM_POLICY_PROFILES, .sub = &profile_schema, .help = "a map of names to profiles"),
	FIELD(MF_CONF_OBJECTS, struct file, rules, .key = "rules", .required = true,
	    .max = MF_LIM_POLICY_RULES, .sub = &rule_schema, .help = "a list of rules"),
};
static const struct mf_conf_schema file_schema = MF_CONF_SCHEMA(file_fields, struct file);

struct loading {
	struct mf_policy *policy;
	struct mf_problems *problems;
	const struct file *file;
	struct mf_arena *arena;
};

/* The place of ${key} in a struct, or of the struct itself. */
static struct mf_place
place_of(const struct mf_yaml_node *self, const char *key)
{
	const struct mf_yaml_node *n = mf_yaml_get(self, key);
	return mf_yaml_place(n == NULL ? self : n);
}

static void
check_template(struct loading *l, const struct mf_yaml_node *at, const char *key, const char *text,
    enum mf_template_kind kind)
{
	struct mf_err err;
	if (text[0] == '\0' || mf_template_check(mf_slice_str(text), kind, &err) == MF_OK)
		return;
	mf_problems_add(l->problems, mf_yaml_place(at), "`%s`: %s", key, err.msg);
}

static void
check_identity(struct loading *l, const struct identity *id)
{
	check_template(l, mf_yaml_get(id->self, "path"), "path", id->path, MF_TEMPLATE_PATH);
	check_template(l, mf_yaml_get(id->self, "cn"), "cn", id->cn, MF_TEMPLATE_CN);
	const struct mf_yaml_node *dns = mf_yaml_get(id->self, "dns");
	const struct mf_yaml_node *at = dns == NULL ? NULL : dns->first;
	for (size_t i = 0; i < id->dns.n && at != NULL; i++, at = at->next)
		check_template(l, at, "dns", id->dns.v[i], MF_TEMPLATE_DNS);
}

/* False: told. The scope's statements go into the arena. */
static bool
read_grant(struct loading *l, const struct profile *p, const struct grant *g, struct mf_policy_cloud *ret_c)
{
	struct mf_err err;
	const struct statement *st = g->scope.v;
	struct mf_scope_statement *to = mf_arena_alloc(l->arena, g->scope.n, sizeof(*to));
	for (size_t i = 0; to != NULL && i < g->scope.n; i++)
		to[i] = (struct mf_scope_statement) { st[i].actions.v, st[i].actions.n, st[i].resources.v,
			st[i].resources.n };
	int on_end = g->on_end == 0 ? p->on_end : g->on_end - 1;
	*ret_c = (struct mf_policy_cloud) { .name = g->name,
		.target = g->target,
		.role = g->role,
		.ttl_ms = g->ttl_ms,
		.scope = to,
		.scope_n = to == NULL ? 0 : g->scope.n,
		.models = g->models.v,
		.models_n = g->models.n,
		.allow_overhang = g->allow_overhang,
		.on_end = on_end == 1 ? MF_ON_END_EXPIRE : MF_ON_END_DENY,
		.max_residual_ms = g->max_residual_ms };
	if (g->scope.n == 0 ||
	    mf_scope_check(to, ret_c->scope_n, ret_c->models, ret_c->models_n, &err) == MF_OK)
		return g->scope.n > 0;
	mf_problems_add(l->problems, place_of(g->self, "scope"), "cloud grant `%s`: %s", g->name, err.msg);
	return false;
}

static void
read_cloud(struct loading *l, const struct profile *p, struct mf_policy_profile *to)
{
	const struct grant *g = p->cloud.v;
	struct mf_policy_cloud *c = mf_arena_alloc(l->arena, p->cloud.n, sizeof(*c));
	for (size_t i = 0; c != NULL && i < p->cloud.n; i++)
		to->n_cloud += read_grant(l, p, &g[i], &c[to->n_cloud]);
	to->cloud = c;
}

static void
add_profile(struct loading *l, const struct profile *p, bool schema_ok)
{
	size_t before = mf_problems_count(l->problems);
	const struct identity *ids = p->identities.v;
	struct mf_policy_profile out = { .name = p->name,
		.purpose = p->purpose,
		.owner = p->owner,
		.max_job_ms = p->max_job_ms,
		.drain_ms = p->drain_ms,
		.interactive = p->interactive == 1,
		.on_end = p->on_end == 1 ? MF_ON_END_EXPIRE : MF_ON_END_DENY,
		.n_identities = p->identities.n,
		.jwt_audiences = p->jwt_audiences.v,
		.n_jwt_audiences = p->jwt_audiences.n,
		.jwt_rs256 = p->jwt_alg == 1 };
	for (size_t i = 0; i < p->identities.n; i++) {
		check_identity(l, &ids[i]);
		out.identities[i] = (struct mf_policy_identity) { .path = ids[i].path,
			.hint = ids[i].hint,
			.cn = ids[i].cn,
			.dns = ids[i].dns.v,
			.n_dns = ids[i].dns.n,
			.x509_ttl_ms = ids[i].x509_ttl_ms,
			.jwt_ttl_ms = ids[i].jwt_ttl_ms };
	}
	read_cloud(l, p, &out);
	struct mf_err err;
	bool complete = p->purpose[0] != '\0' && p->owner[0] != '\0' && p->identities.n > 0;
	if (mf_problems_count(l->problems) > before || (!schema_ok && !complete))
		return; /* told already */
	if (mf_policy_add_profile(l->policy, &out, &err) != MF_OK)
		mf_problems_add(
		    l->problems, mf_yaml_key_place(p->self), "profile `%s`: %s", p->name, err.msg);
}

static enum mf_policy_where
where_of(struct loading *l, const struct mf_yaml_node *n, const char *key, const char *word)
{
	if (n == NULL)
		return MF_POLICY_ABSENT;
	if (n->kind == MF_YAML_MAP)
		return MF_POLICY_EXPR;
	if (n->kind == MF_YAML_TEXT && mf_slice_eq_str(n->text, word))
		return MF_POLICY_ANY;
	mf_problems_add(l->problems, mf_yaml_place(n),
	    "`%s` must be a condition like {eq: [%s, value]}, or the word `%s`", key,
	    strcmp(key, "nodes") == 0 ? "node.pool" : "manifest.env", word);
	return MF_POLICY_ANY;
}

/* A rule that cannot begin because its profile was wrong has had its problem told there. */
static bool
told_at_profile(const struct loading *l, const char *name)
{
	const struct profile *p = l->file->profiles.v;
	for (size_t i = 0; i < l->file->profiles.n; i++)
		if (strcmp(p[i].name, name) == 0)
			return true;
	return false;
}

static void
rule_problem(struct loading *l, const struct rule *r, enum mf_status s, const struct mf_err *err)
{
	bool incomplete =
	    r->id[0] == '\0' || r->profile[0] == '\0' || r->owner[0] == '\0' || r->review_by_s == 0;
	if (incomplete || (s == MF_E_NOTFOUND && told_at_profile(l, r->profile)))
		return;
	struct mf_place at = s == MF_E_EXISTS	  ? place_of(r->self, "id")
			     : s == MF_E_NOTFOUND ? place_of(r->self, "profile")
						  : mf_yaml_place(r->self);
	mf_problems_add(l->problems, at, "rule `%s`: %s", r->id, err->msg);
}

/* The fields of `require`, each wrong one told at its place. */
static struct mf_obligations
obligations(struct loading *l, const struct require *q)
{
	struct mf_obligations o = { .max_ttl_ms = q->max_ttl_ms, .max_job_ms = q->max_job_ms };
	const struct mf_yaml_node *list = q->self == NULL ? NULL : mf_yaml_get(q->self, "evidence");
	const struct mf_yaml_node *at = list == NULL ? NULL : list->first;
	const char *names[MF_MANIFEST_FIELDS];
	enum mf_manifest_form form;
	size_t field;
	for (size_t i = 0; i < MF_MANIFEST_FIELDS; i++)
		names[i] = mf_manifest_field(i, &form);
	if (q->ticket && mf_manifest_field_form(MF_SLICE_LIT("ticket"), &field) != MF_MANIFEST_NONE)
		o.fields |= UINT32_C(1) << field;
	for (size_t i = 0; i < q->evidence.n && at != NULL; i++, at = at->next) {
		struct mf_slice name = mf_slice_str(q->evidence.v[i]);
		if (mf_manifest_field_form(name, &field) != MF_MANIFEST_NONE) {
			o.fields |= UINT32_C(1) << field;
			continue;
		}
		const char *near = mf_suggest(name, names, MF_COUNT(names));
		mf_problems_add(l->problems, mf_yaml_place(at),
		    "evidence: manifests have no field `%.*s`%s%s%s (write it without `manifest.`)",
		    mf_suggest_printable(name) ? (int)name.n : 0, (const char *)name.p,
		    near == NULL ? "" : "; did you mean `", near == NULL ? "" : near,
		    near == NULL ? "" : "`?");
	}
	return o;
}

static void
add_rule(struct loading *l, const struct rule *r)
{
	struct mf_err err = { .msg = "" };
	if (r->self->kind != MF_YAML_MAP)
		return; /* told already */
	const struct mf_policy_rule head = { .id = r->id,
		.owner = r->owner,
		.profile = r->profile,
		.forbid = r->effect == 1,
		.review_by_s = r->review_by_s,
		.nodes = where_of(l, r->nodes, "nodes", "any"),
		.when = where_of(l, r->when, "when", "always"),
		.require = obligations(l, &r->require) };
	enum mf_status s = mf_policy_rule_begin(l->policy, &head, &err);
	if (s != MF_OK)
		rule_problem(l, r, s, &err);
	bool push = s == MF_OK;
	if (head.nodes == MF_POLICY_EXPR) {
		push = mf_policy_expr(r->nodes, true, push ? l->policy : NULL, l->problems) && push;
		if (push && (s = mf_policy_rule_nodes(l->policy, &err)) != MF_OK)
			rule_problem(l, r, s, &err);
		push = push && s == MF_OK;
	}
	if (head.when == MF_POLICY_EXPR)
		push = mf_policy_expr(r->when, false, push ? l->policy : NULL, l->problems) && push;
	if (!push)
		mf_policy_rule_drop(l->policy);
	else if ((s = mf_policy_rule_end(l->policy, &err)) != MF_OK)
		rule_problem(l, r, s, &err);
}

enum mf_status
mf_policy_load(
    struct mf_slice file, struct mf_problems *problems, struct mf_policy **ret_p, struct mf_err *err)
{
	MF_AUTO(mf_yaml_free) struct mf_yaml *doc = NULL;
	MF_AUTO(mf_arena_free) struct mf_arena *arena = mf_arena_new(LOAD_BYTES);
	MF_AUTO(mf_policy_free) struct mf_policy *policy = NULL;
	struct file read;
	if (arena == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "policy: out of memory");
	MF_TRY(mf_yaml_parse(file, problems, &doc, err));
	MF_TRY(mf_conf_read(&file_schema, mf_yaml_root(doc), arena, problems, &read, err));
	MF_TRY(mf_policy_new(&policy, err));
	bool schema_ok = mf_problems_count(problems) == 0;
	struct loading l = { policy, problems, &read, arena };
	const struct profile *profiles = read.profiles.v;
	for (size_t i = 0; i < read.profiles.n; i++)
		add_profile(&l, &profiles[i], schema_ok);
	const struct rule *rules = read.rules.v;
	for (size_t i = 0; i < read.rules.n; i++)
		add_rule(&l, &rules[i]);
	MF_TRY(mf_problems_check(problems, err));
	MF_TRY(mf_policy_seal(policy, err));
	*ret_p = MF_TAKE(policy);
	return MF_OK;
}
