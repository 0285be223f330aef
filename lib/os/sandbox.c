#include "os/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os/confine_parts.h"

int
mf_confine_fd(const struct mf_confine_env *env, const char *name)
{
	for (size_t i = 0; i < env->fd_count; i++)
		if (strcmp(env->fds[i].name, name) == 0)
			return env->fds[i].fd;
	return -1;
}

/* seccomp and Landlock bind the calling thread only. */
static enum mf_status
one_thread(struct mf_err *err)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return MF_OK; /* no /proc: nothing to look at */
	ssize_t n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n < 0 ? 0 : n] = '\0';
	const char *at = strstr(text, "\nThreads:\t");
	if (at != NULL && strncmp(at, "\nThreads:\t1\n", 12) != 0 && !mf_instrumented(NULL))
		return MF_FAIL(err, MF_E_STATE, "a role must be confined before it makes threads");
	return MF_OK;
}

static enum mf_status
set_limits(const struct mf_confinement *c, struct mf_err *err)
{
	struct rlimit none = { 0, 0 };
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return MF_FAIL(err, MF_E_IO, "RLIMIT_CORE: %s", strerror(errno));
	for (size_t i = 0; i < c->rlimit_count; i++) {
		const struct mf_rlimit_rule *r = &c->rlimits[i];
		struct rlimit now;
		/* Sanitizers map terabytes that they never touch. */
		if (r->resource == RLIMIT_AS && mf_instrumented(NULL))
			continue;
		if (getrlimit((__rlimit_resource_t)r->resource, &now) != 0)
			return MF_FAIL(err, MF_E_IO, "RLIMIT_%s: %s", r->name, strerror(errno));
		if (now.rlim_max > r->most)
			now.rlim_max = r->most;
		now.rlim_cur = now.rlim_max;
		if (setrlimit((__rlimit_resource_t)r->resource, &now) != 0)
			return MF_FAIL(err, MF_E_IO, "RLIMIT_%s: %s", r->name, strerror(errno));
	}
	return MF_OK;
}

static enum mf_status
drop_caps(const struct mf_confinement *c, struct mf_err *err)
{
	bool root = geteuid() == 0;
	if (root && !c->keeps_root)
		return MF_FAIL(
		    err, MF_E_DENIED, "role %s must not run as root: let its supervisor start it", c->role);
	capng_select_t which = CAPNG_SELECT_CAPS;
	if (capng_get_caps_process() != 0)
		return MF_FAIL(err, MF_E_IO, "cannot read own capabilities");
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0)
		which = CAPNG_SELECT_BOTH; /* the bounding set too; without the right no_new_privs must do */
	bool keep[64] = { false };
	for (const int *k = c->keep_caps; k != NULL && *k >= 0; k++)
		keep[*k & 63] = capng_have_capability(CAPNG_PERMITTED, (unsigned)*k) != 0;
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned i = 0; i < MF_COUNT(keep); i++)
		if (keep[i] && capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, i) != 0)
			return MF_FAIL(err, MF_E_IO, "cannot keep capability %u", i);
	int rc = capng_apply(which);
	if (rc != 0)
		return MF_FAIL(err, MF_E_IO, "cannot drop capabilities (%d): %s", rc, strerror(errno));
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
		return MF_FAIL(err, MF_E_IO, "cannot clear ambient capabilities: %s", strerror(errno));
	return MF_OK;
}

enum mf_status
mf_confine(const struct mf_confinement *c, const struct mf_confine_env *env, struct mf_confined *ret_done,
    struct mf_err *err)
{
	struct mf_confined done = { 0 };
	bool wide = mf_instrumented(&done.instrumented);
	MF_TRY(one_thread(err));
	MF_TRY(set_limits(c, err));
	if (c->own_mounts && !wide)
		MF_TRY(mf_confine_own_mounts(c, env, &done.own_mounts, err));
	MF_TRY(drop_caps(c, err));
	/* Leak checkers stop their own process by ptrace. */
	if (!wide && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return MF_FAIL(err, MF_E_IO, "PR_SET_DUMPABLE: %s", strerror(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return MF_FAIL(err, MF_E_IO, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
	if (!c->own_mounts && !wide)
		MF_TRY(mf_confine_landlock(c, env, &done.landlock_abi, err));
	done.root = geteuid() == 0;
	MF_TRY(mf_confine_seccomp(c, env, err));
	*ret_done = done;
	return MF_OK;
}

bool
mf_instrumented(const char **ret_name)
{
#ifdef MF_INSTRUMENTED
	if (ret_name != NULL)
		*ret_name = MF_INSTRUMENTED;
	return true;
#else
	if (ret_name != NULL)
		*ret_name = NULL;
	return false;
#endif
}

static void
print_rule(const struct mf_syscall_rule *r, struct mf_buf *to)
{
	mf_buf_putf(to, "`%s`", r->name);
	if (r->when != NULL)
		mf_buf_putf(to, " (%s)", r->when);
	if (r->answer != 0)
		mf_buf_putf(to, " → %s", strerrorname_np(r->answer));
}

void
mf_confinement_print_group(const struct mf_syscall_group *g, struct mf_buf *to)
{
	mf_buf_putf(to, "**%s**: %s.\n", g->name, g->reason);
	for (size_t i = 0; i < g->count; i++) {
		mf_buf_put_str(to, i == 0 ? "" : ", ");
		print_rule(&g->rules[i], to);
	}
	mf_buf_put_str(to, "\n\n");
}

static void
print_caps(const struct mf_confinement *c, struct mf_buf *to)
{
	mf_buf_put_str(to, "| capabilities | ");
	if (c->keep_caps == NULL || c->keep_caps[0] < 0)
		mf_buf_put_str(to, "none");
	for (const int *k = c->keep_caps; k != NULL && *k >= 0; k++)
		mf_buf_putf(
		    to, "%s%s", k == c->keep_caps ? "" : ", ", capng_capability_to_name((unsigned)*k));
	mf_buf_put_str(to, " |\n");
}

static void
print_files(const struct mf_confinement *c, struct mf_buf *to)
{
	for (size_t i = 0; i < c->fs_count; i++)
		mf_buf_putf(to, "| directory `%s` | %s: %s |\n", c->fs[i].fd_name,
		    (c->fs[i].access & MF_FS_WRITE) != 0 ? "read and write" : "read", c->fs[i].reason);
	if (c->own_mounts)
		mf_buf_put_str(
		    to, "| other files | read-only, no devices: own mount namespace (as root) |\n");
	else
		mf_buf_put_str(to, "| other files | none: Landlock |\n");
}

void
mf_confinement_print(const struct mf_confinement *c, struct mf_buf *to)
{
	mf_buf_putf(to, "### %s\n\n%s\n\n| what | table |\n|---|---|\n", c->role, c->summary);
	mf_buf_putf(
	    to, "| user | %s |\n", c->keeps_root ? "root, when started by root" : "its own, never root");
	print_caps(c, to);
	print_files(c, to);
	mf_buf_putf(
	    to, "| TCP | %s |\n", c->connects ? "connects to the broker's port only" : "no connect, no bind");
	mf_buf_put_str(to, "| limits | CORE 0");
	for (size_t i = 0; i < c->rlimit_count; i++)
		mf_buf_putf(to, ", %s %llu", c->rlimits[i].name, (unsigned long long)c->rlimits[i].most);
	mf_buf_put_str(to, " |\n| system calls | ");
	for (const struct mf_syscall_group *const *g = c->groups; *g != NULL; g++)
		mf_buf_putf(to, "%s%s", g == c->groups ? "" : ", ", (*g)->name);
	mf_buf_put_str(to, " |\n\n");
}
