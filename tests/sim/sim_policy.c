/* What policy gives, said twice: to the product in its own terms, and as a table that the observer believes. */
#include "sim_cloud.h"

static const struct {
	const char *id, *profile, *user, *pool;
	bool odd; /* in every second version only */
} rules[] = {
	{ "alice-trains", "train", "alice", "gpu", false },
	{ "bob-trains", "train", "bob", "cpu", true },
	{ "carol-looks", "shell", "carol", "gpu", false },
	{ "carol-trains", "train", "carol", "cpu", true },
};

static bool
in_force(size_t rule, unsigned version)
{
	return !rules[rule].odd || version % 2 == 0;
}

bool
sim_policy_permits(unsigned version, const char *pool, const char *user, const char *profile)
{
	for (size_t i = 0; i < MF_COUNT(rules); i++)
		if (in_force(i, version) && strcmp(rules[i].profile, profile) == 0 &&
		    strcmp(rules[i].user, user) == 0 && strcmp(rules[i].pool, pool) == 0)
			return true;
	return false;
}

/* ---- cloud grants ---- */

static const struct {
	const char *profile, *name, *target, *role;
	bool odd, expire, overhang;
} clouds[] = {
	{ "train", "data", "store", "reader", false, false, false },
	{ "train", "scratch", "store", "writer", false, true, false },
	{ "train", "model", "idp", "", true, false, true },
	{ "shell", "look", "store", "reader", true, false, false },
};

bool
sim_policy_grants(unsigned version, const char *profile, const char *grant)
{
	for (size_t i = 0; i < MF_COUNT(clouds); i++)
		if ((!clouds[i].odd || version % 2 == 0) && strcmp(clouds[i].profile, profile) == 0 &&
		    strcmp(clouds[i].name, grant) == 0)
			return sim->clouded;
	return false;
}

static size_t
put_grants(unsigned version, const char *profile, struct mf_policy_cloud *to)
{
	static const char *const actions[] = { "s3:GetObject" }, *const resources[] = {
		"arn:aws:s3:::models/runs/{run}/*"
	};
	static const struct mf_scope_statement objects = { actions, 1, resources, 1 },
					       names = { actions, 1, NULL, 0 };
	size_t n = 0;
	for (size_t i = 0; i < MF_COUNT(clouds); i++) {
		if (strcmp(clouds[i].profile, profile) != 0 ||
		    !sim_policy_grants(version, profile, clouds[i].name))
			continue;
		bool store = strcmp(clouds[i].target, "store") == 0;
		to[n++] = (struct mf_policy_cloud) { .name = clouds[i].name,
			.target = clouds[i].target,
			.role = clouds[i].role,
			.ttl_ms = SIM_CLOUD_TTL_S * 1000,
			.scope = store ? &objects : &names,
			.scope_n = 1,
			.allow_overhang = clouds[i].overhang,
			.on_end = clouds[i].expire ? MF_ON_END_EXPIRE : MF_ON_END_DENY,
			.max_residual_ms = SIM_RESIDUAL_S * 1000 };
	}
	return n;
}

bool
sim_policy_is_rule(const char *name, const char *pool, const char *user, const char *profile)
{
	for (size_t i = 0; i < MF_COUNT(rules); i++)
		if (strcmp(rules[i].id, name) == 0)
			return strcmp(rules[i].profile, profile) == 0 && strcmp(rules[i].user, user) == 0 &&
			       strcmp(rules[i].pool, pool) == 0;
	return false;
}

static void
permit(struct mf_policy *p, size_t i)
{
	const struct mf_slice who = mf_slice_str(rules[i].user), pool = mf_slice_str(rules[i].pool);
	const struct mf_policy_rule rule = { .id = rules[i].id,
		.owner = "sim",
		.profile = rules[i].profile,
		.review_by_s = INT64_C(4000000000),
		.nodes = MF_POLICY_EXPR,
		.when = MF_POLICY_EXPR };
	struct mf_err err = { 0 };
	if (mf_policy_rule_begin(p, &rule, &err) != MF_OK ||
	    mf_policy_push(p, MF_POLICY_EQ, MF_SLICE_LIT("node.pool"), &pool, 1, &err) != MF_OK ||
	    mf_policy_rule_nodes(p, &err) != MF_OK ||
	    mf_policy_push(p, MF_POLICY_CONTAINS, MF_SLICE_LIT("attested.unix.user"), &who, 1, &err) !=
		MF_OK ||
	    mf_policy_rule_end(p, &err) != MF_OK)
		sim_abort("policy: %s", err.msg);
}

struct mf_policy *
sim_policy_make(unsigned version)
{
	static const char *const audiences[] = { "vault.example" };
	struct mf_policy_cloud grants[MF_COUNT(clouds)];
	struct mf_policy_profile profile = { .name = "train",
		.purpose = "training",
		.owner = "sim",
		.max_job_ms = SIM_MAX_JOB_S * 1000,
		.drain_ms = SIM_DRAIN_S * 1000,
		.jwt_audiences = audiences,
		.n_jwt_audiences = 1,
		.n_identities = 2,
		.identities = { { .path = "/{tenant}/job/{job}",
				    .hint = "job",
				    .cn = "{job}",
				    .x509_ttl_ms = SIM_MAX_TTL_S * 1000,
				    .jwt_ttl_ms = SIM_JWT_TTL_S * 1000 },
		    { .path = "/{tenant}/run/{run}",
			.hint = "run",
			.cn = "",
			.x509_ttl_ms = SIM_MAX_TTL_S * 1000,
			.jwt_ttl_ms = SIM_JWT_TTL_S * 1000 } } };
	struct mf_policy *p = NULL;
	struct mf_err err = { 0 };
	profile.cloud = grants;
	profile.n_cloud = put_grants(version, profile.name, grants);
	enum mf_status s = mf_policy_new(&p, &err);
	if (s == MF_OK)
		s = mf_policy_add_profile(p, &profile, &err);
	profile.name = "shell";
	profile.n_identities = 1;
	profile.n_cloud = put_grants(version, profile.name, grants);
	if (s == MF_OK)
		s = mf_policy_add_profile(p, &profile, &err);
	for (size_t i = 0; s == MF_OK && i < MF_COUNT(rules); i++)
		if (in_force(i, version))
			permit(p, i);
	if (s == MF_OK)
		s = mf_policy_seal(p, &err);
	if (s != MF_OK)
		sim_abort("policy: %s", err.msg);
	return p;
}
