/*
 * place_systemd: units of systemd, below a chain of slices that begins at the root, or below a user's own manager
 * (/user.slice/user-U.slice/user@U.service). The instance is the unit's cgroup, whatever the unit makes below it.
 * Sessions, slices, managers and the daemons that start others' work are nobody's own.
 */
#include "agent/attestor/place.h"

/* They start the work of others without giving it a cgroup: two jobs of one user would be one. */
static const char *const daemons[] = { "anacron", "atd", "chronos", "cron", "crond", "cronie", "dcron",
	"dropbear", "fcron", "gdm", "lightdm", "sddm", "slurmd", "ssh", "sshd", "supervisor", "supervisord",
	"systemd-logind", "xinetd", "inetd", "display-manager" };

static bool
is_daemon(struct mf_slice unit)
{
	if (!mf_place_ends(unit, ".service"))
		return false;
	unit = mf_slice_sub(unit, 0, unit.n - 8);
	size_t at = 0;
	while (at < unit.n && unit.p[at] != '@') /* templates: sshd@..., getty@... */
		at++;
	struct mf_slice stem = mf_slice_sub(unit, 0, at);
	if (at < unit.n && (mf_place_ends(stem, "getty") || mf_slice_eq_str(stem, "user")))
		return true;
	for (size_t i = 0; i < MF_COUNT(daemons); i++)
		if (mf_slice_eq_str(stem, daemons[i]))
			return true;
	return false;
}

static bool
is_session(struct mf_slice part)
{
	return mf_slice_starts(part, MF_SLICE_LIT("session-")) && mf_place_ends(part, ".scope");
}

static bool
is_unit(struct mf_slice part)
{
	static const char *const kinds[] = { ".service", ".scope", ".socket", ".mount", ".swap" };
	for (size_t i = 0; i < MF_COUNT(kinds); i++)
		if (part.n > strlen(kinds[i]) && mf_place_ends(part, kinds[i]))
			return true;
	return false;
}

/* systemd puts '_' before a name that the kernel could take for one of its files. */
static struct mf_slice
unescape(struct mf_slice part)
{
	return part.n > 1 && part.p[0] == '_' ? mf_slice_sub(part, 1, part.n - 1) : part;
}

static bool
match(struct mf_slice path, const struct mf_place_env *env, struct mf_place *ret_p)
{
	MF_UNUSED(env);
	size_t at = 0;
	struct mf_slice owner = { 0 }, slice = { 0 }, part;
	bool user = mf_place_user_manager(path, &at, &owner);
	for (part = mf_place_part(path, &at); mf_place_ends(part, ".slice"); part = mf_place_part(path, &at))
		slice = part;
	if (part.n == 0) /* slices only */
		return user || slice.n > 0;
	if (slice.n == 0 && !user)
		return mf_slice_eq_str(part, "init.scope");
	if (is_session(part) || mf_slice_eq_str(part, "init.scope") || is_daemon(part))
		return true;
	if (!is_unit(part))
		return false;
	ret_p->use = MF_CGROUP_OWN;
	ret_p->prefix = at;
	mf_place_say(ret_p, "systemd.unit", owner, unescape(part));
	if (slice.n > 0)
		mf_place_say(ret_p, "systemd.slice", owner, unescape(slice));
	mf_place_say(ret_p, "systemd.scope", mf_slice_sub(owner, 0, 0),
	    user ? MF_SLICE_LIT("user") : MF_SLICE_LIT("system"));
	return true;
}

static const char *const selectors[] = { "systemd.unit", "systemd.slice", "systemd.scope", NULL };
const struct mf_classifier mf_place_systemd = {
	.name = "systemd",
	.summary = "a unit of systemd: a service or scope below a slice, or below a user's own manager",
	.selectors = selectors,
	.match = match,
};
