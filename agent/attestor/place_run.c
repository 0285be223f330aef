/* place_run: the cgroups that the attestor made for `mayfly run`, "<base>/<name>". See place.h. */
#include "agent/attestor/place.h"

static bool
match(struct mf_slice path, const struct mf_place_env *env, struct mf_place *ret_p)
{
	if (env->base.n <= 1 || !mf_slice_starts(path, env->base) ||
	    (path.n > env->base.n && path.p[env->base.n] != '/'))
		return false;
	size_t at = env->base.n;
	if (path.n == env->base.n) /* the base itself holds no job */
		return true;
	(void)mf_place_part(path, &at);
	ret_p->use = MF_CGROUP_OURS;
	ret_p->prefix = at;
	return true;
}

static const char *const selectors[] = { NULL };
const struct mf_classifier mf_place_run = {
	.name = "run",
	.summary = "a job of `mayfly run`, in a cgroup that the attestor made below its own directory",
	.selectors = selectors,
	.match = match,
};
