/*
 * place_runc: containers of plain runc, whose cgroup is "/<name>" with a name that says nothing. It counts as a
 * container only while root's runc keeps a state of that name (env->runc_has), which no user can make. See place.h.
 */
#include "agent/attestor/place.h"

/* The names that runc takes: letters, digits, '_', '+', '-', '.', but no dots alone. */
static bool
name_ok(struct mf_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			c == '_' || c == '+' || c == '-' || c == '.'))
			return false;
	}
	return s.n > 0 && s.p[0] != '.';
}

static bool
match(struct mf_slice path, const struct mf_place_env *env, struct mf_place *ret_p)
{
	size_t at = 0;
	const struct mf_slice none = { 0 };
	struct mf_slice name = mf_place_part(path, &at);
	if (env->runc_has == NULL || !name_ok(name) || !env->runc_has(env->ctx, name))
		return false;
	ret_p->use = MF_CGROUP_OWN;
	ret_p->prefix = at;
	mf_place_say(ret_p, "container.runtime", none, MF_SLICE_LIT("runc"));
	mf_place_say(ret_p, "container.id", none, name);
	return true;
}

static const char *const selectors[] = { "container.runtime", "container.id", NULL };
const struct mf_classifier mf_place_runc = {
	.name = "runc",
	.summary = "a container that root started with runc, in runc's own cgroup path",
	.selectors = selectors,
	.match = match,
};
