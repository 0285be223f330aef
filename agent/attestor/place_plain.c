/*
 * place_plain: every other cgroup: made by an operator, a script, OpenRC, a manager that we do not know. It is the
 * caller's own cgroup that counts, however deep. OpenRC's and elogind's shared ones are known by name.
 */
#include "agent/attestor/place.h"

static const char *const daemons[] = { "atd", "cron", "crond", "cronie", "dcron", "dropbear", "fcron", "gdm",
	"inetd", "lightdm", "sddm", "slurmd", "sshd", "supervisord", "xinetd", "display-manager" };

static bool
is_daemon(struct mf_slice part)
{
	const struct mf_slice openrc = MF_SLICE_LIT("openrc.");
	if (mf_slice_starts(part, openrc))
		part = mf_slice_sub(part, openrc.n, part.n - openrc.n);
	for (size_t i = 0; i < MF_COUNT(daemons); i++)
		if (mf_slice_eq_str(part, daemons[i]))
			return true;
	return false;
}

/* elogind names sessions "3" or "c3", at the top. */
static bool
is_session_number(struct mf_slice part)
{
	size_t from = part.n > 1 && part.p[0] == 'c' ? 1 : 0;
	for (size_t i = from; i < part.n; i++)
		if (part.p[i] < '0' || part.p[i] > '9')
			return false;
	return true;
}

static bool
match(struct mf_slice path, const struct mf_place_env *env, struct mf_place *ret_p)
{
	MF_UNUSED(env);
	size_t at = 0;
	struct mf_slice first = mf_place_part(path, &at);
	if (mf_slice_eq_str(first, "elogind") || is_daemon(first) || is_session_number(first))
		return true;
	ret_p->use = MF_CGROUP_OWN;
	ret_p->prefix = path.n;
	return true;
}

static const char *const selectors[] = { NULL };
const struct mf_classifier mf_place_plain = {
	.name = "cgroup",
	.summary = "any other cgroup, by its number and path",
	.selectors = selectors,
	.leaf = true,
	.match = match,
};
