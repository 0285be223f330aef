/* policy_cloud: the cloud grants of a profile, checked and copied (contract in policy.h). */
#include "broker/core/policy_internal.h"

#define TTL_MIN_MS UINT64_C(60000)
#define TTL_MAX_MS (UINT64_C(12) * 3600 * 1000)
#define ROLE_BYTES 2048u

static enum mf_status
check_role(const char *role, struct mf_err *err)
{
	size_t n = strlen(role);
	for (size_t i = 0; i < n; i++)
		if (role[i] <= ' ' || role[i] >= 0x7f || role[i] == '"' || role[i] == '\\')
			n = ROLE_BYTES + 1;
	if (n > ROLE_BYTES)
		return MF_FAIL(
		    err, MF_E_INVALID, "role is at most %u bytes, without blanks and quotes", ROLE_BYTES);
	return MF_OK;
}

static enum mf_status
check_grant(const struct mf_policy_profile *f, size_t i, struct mf_err *err)
{
	const struct mf_policy_cloud *c = &f->cloud[i];
	MF_TRY(mf_policy_check_name("a cloud grant's name", c->name, err));
	MF_TRY(mf_policy_check_name("target", c->target, err));
	MF_TRY(check_role(c->role, err));
	for (size_t k = 0; k < i; k++)
		if (strcmp(f->cloud[k].name, c->name) == 0)
			return MF_FAIL(err, MF_E_INVALID, "grant %s is there twice", c->name);
	if (c->ttl_ms < TTL_MIN_MS || c->ttl_ms > TTL_MAX_MS)
		return MF_FAIL(err, MF_E_INVALID, "ttl must be from 1m to 12h");
	if (c->max_residual_ms < TTL_MIN_MS || c->max_residual_ms > TTL_MAX_MS)
		return MF_FAIL(err, MF_E_INVALID, "max_residual must be from 1m to 12h");
	return mf_scope_check(c->scope, c->scope_n, c->models, c->models_n, err);
}

enum mf_status
mf_policy_check_cloud(const struct mf_policy_profile *f, struct mf_err *err)
{
	if (f->n_cloud > MF_LIM_CLOUD_GRANTS)
		return MF_FAIL(err, MF_E_INVALID, "more than %u cloud grants", MF_LIM_CLOUD_GRANTS);
	for (size_t i = 0; i < f->n_cloud; i++)
		if (check_grant(f, i, err) != MF_OK)
			return mf_err_wrap(err, MF_E_INVALID, "cloud[%zu]", i);
	return MF_OK;
}

static bool
copy_scope(struct mf_policy *p, struct mf_policy_cloud *c)
{
	struct mf_scope_statement *to = mf_arena_alloc(p->arena, c->scope_n, sizeof(*to));
	for (size_t i = 0; to != NULL && i < c->scope_n; i++) {
		to[i] = c->scope[i];
		if (!mf_policy_copy_list(p, &to[i].actions, to[i].actions_n) ||
		    !mf_policy_copy_list(p, &to[i].resources, to[i].resources_n))
			return false;
	}
	c->scope = to;
	return to != NULL;
}

bool
mf_policy_copy_cloud(struct mf_policy *p, struct mf_policy_profile *f)
{
	struct mf_policy_cloud *to = mf_arena_alloc(p->arena, f->n_cloud, sizeof(*to));
	for (size_t i = 0; to != NULL && i < f->n_cloud; i++) {
		to[i] = f->cloud[i];
		if (!mf_policy_copy_str(p, &to[i].name) || !mf_policy_copy_str(p, &to[i].target) ||
		    !mf_policy_copy_str(p, &to[i].role) ||
		    !mf_policy_copy_list(p, &to[i].models, to[i].models_n) || !copy_scope(p, &to[i]))
			return false;
	}
	f->cloud = to;
	return to != NULL;
}

const struct mf_policy_cloud *
mf_policy_cloud_find(const struct mf_policy_profile *f, struct mf_slice name)
{
	for (size_t i = 0; i < f->n_cloud; i++)
		if (mf_slice_eq_str(name, f->cloud[i].name))
			return &f->cloud[i];
	return NULL;
}
