#include "agent/attestor/classify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "agent/attestor/interactive.h"
#include "agent/attestor/pidfd.h"
#include "base/limits.h"
#include "base/text.h"

/* /run/runc/<name> is root's: nobody else makes one. */
static bool
runc_has(void *ctx, struct mf_slice name)
{
	const struct mf_peer_env *env = ctx;
	char path[512];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s/%.*s", env->runc_dir, (int)name.n, (const char *)name.p);
	return n > 0 && (size_t)n < sizeof(path) && lstat(env->runc_dir, &st) == 0 && st.st_uid == 0 &&
	       lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == 0;
}

struct mf_place_env
mf_classify_places(const struct mf_peer_env *env)
{
	if (env->cgroups == NULL)
		return (struct mf_place_env) { 0 };
	return (struct mf_place_env) { .own = mf_slice_str(mf_cgroup_own_path(env->cgroups)),
		.base = mf_slice_str(mf_cgroup_base_path(env->cgroups)),
		.runc_has = env->runc_dir == NULL ? NULL : runc_has,
		.ctx = (void *)(uintptr_t)env };
}

/* The groups of the first caller stand in the selectors: compare with what this one's would be. */
static bool
same_groups(const struct mf_instance *i, const struct mf_caller *c)
{
	size_t have = 0;
	struct mf_slice line, rest = mf_slice_str(i->selectors);
	while (mf_procfile_line(&rest, &line))
		have += mf_slice_starts(line, MF_SLICE_LIT("unix.sup_gid:")) ? 1u : 0u;
	if (have != c->n_groups)
		return false;
	for (size_t k = 0; k < c->n_groups; k++) {
		char want[40];
		bool found = false;
		(void)snprintf(want, sizeof(want), "unix.sup_gid:%u", c->groups[k]);
		rest = mf_slice_str(i->selectors);
		while (!found && mf_procfile_line(&rest, &line))
			found = mf_slice_eq_str(line, want);
		if (!found)
			return false;
	}
	return true;
}

bool
mf_classify_may_share(const struct mf_instance *i, const struct mf_caller *c)
{
	return i->uid == c->uid && i->gid == c->gid &&
	       (i->interactive || c->interactive == MF_INTERACTIVE_NO) && same_groups(i, c);
}

static enum mf_grade
weakest(enum mf_grade a, enum mf_grade b)
{
	return a < b ? a : b;
}

static bool
any_tree(struct mf_instances *table)
{
	MF_INSTANCES_EACH(i, table)
	{
		if (i->kind == MF_INSTANCE_TREE && i->state < MF_JOB_ENDED)
			return true;
	}
	return false;
}

/* The living tree whose runner is an ancestor of ${c}, or NULL. All ancestors on the way are held by pidfd. */
static struct mf_instance *
find_tree(const struct mf_peer_env *env, struct mf_instances *table, const struct mf_caller *c)
{
	int held[MF_TREE_DEPTH_MAX];
	size_t n = 0;
	struct mf_instance *found = NULL;
	int at = c->pidfd;
	while (
	    found == NULL && n < MF_TREE_DEPTH_MAX && mf_ancestry_parent(env, at, &held[n], NULL) == MF_OK) {
		uint64_t id = 0;
		at = held[n++];
		if (mf_pidfd_inode(at, &id, NULL) != MF_OK || id == 0)
			break;
		found = mf_instances_by_process(table, id);
		if (found != NULL && (found->kind != MF_INSTANCE_TREE || found->state >= MF_JOB_ENDED))
			found = NULL;
	}
	/* Only what still holds at the end of the walk counts: the runner and everyone between are alive. */
	for (size_t i = 0; i < n; i++) {
		if (found != NULL && !mf_pidfd_alive(held[i]))
			found = NULL;
		mf_fd_close(&held[i]);
	}
	return mf_pidfd_alive(c->pidfd) ? found : NULL;
}

/* The cgroup that ${prefix} bytes of the caller's path lead to, when that is another than its own. */
static bool
open_top(const struct mf_peer_env *env, const struct mf_caller *c, size_t prefix, struct mf_cgroup *ret_top)
{
	char *path = mf_slice_dup_str(mf_slice(c->cgroup.path, prefix));
	bool found = path != NULL && mf_cgroup_reopen(env->cgroups, path, 0, ret_top, NULL) == MF_OK;
	free(path);
	return found;
}

/*
 * Its number, the instance that it is, and the grade of one that is new: whether others may put processes in is looked at
 * once, level by level, when the instance begins, not with each caller.
 */
static bool
take_top(const struct mf_peer_env *env, struct mf_instances *table, const struct mf_caller *c, size_t prefix,
    struct mf_class *k)
{
	struct mf_cgroup other = MF_CGROUP_NONE;
	bool own = c->cgroup.path[prefix] == '\0';
	if (!own && !open_top(env, c, prefix, &other))
		return false;
	const struct mf_cgroup *top = own ? &c->cgroup : &other;
	k->id = top->id;
	k->known = mf_instances_by_cgroup(table, top->id);
	if (k->known == NULL && c->grade == MF_GRADE_PIDFD)
		k->grade =
		    mf_cgroup_delegated(env->cgroups, top) ? MF_GRADE_CGROUP_DELEGATED : MF_GRADE_CGROUP;
	mf_cgroup_fini(&other);
	return true;
}

enum mf_status
mf_classify(const struct mf_peer_env *env, struct mf_instances *table, const struct mf_caller *c,
    struct mf_class *ret_k, struct mf_err *err)
{
	struct mf_class k = { .kind = MF_INSTANCE_PROCESS, .id = c->proc_id, .grade = c->grade };
	struct mf_place place = { .use = MF_CGROUP_SHARED };
	if (c->cgroup.fd >= 0 && c->cgroup.path != NULL) {
		struct mf_place_env places = mf_classify_places(env);
		mf_place_of(mf_slice_str(c->cgroup.path), &places, &place);
	}
	if (place.use != MF_CGROUP_SHARED) {
		struct mf_class in = k;
		if (!take_top(env, table, c, place.prefix, &in))
			return MF_FAIL(err, MF_E_NOTFOUND, "the caller's job is gone");
		if (in.known == NULL || mf_classify_may_share(in.known, c)) {
			in.kind = in.known != NULL ? in.known->kind : MF_INSTANCE_CGROUP;
			in.prefix = place.prefix;
			*ret_k = in;
			return MF_OK;
		}
	}
	/* An exact process before a tree: what was attested as itself stays itself. A tree's runner is in it. */
	k.known = mf_instances_by_process(table, c->proc_id);
	if (k.known == NULL || k.known->kind == MF_INSTANCE_TREE) {
		struct mf_instance *tree = k.known;
		k.known = NULL;
		if (tree == NULL && any_tree(table))
			tree = find_tree(env, table, c);
		if (tree != NULL && mf_classify_may_share(tree, c)) {
			k = (struct mf_class) { .kind = MF_INSTANCE_TREE,
				.id = tree->proc_id,
				.grade = weakest(c->grade, MF_GRADE_TREE),
				.known = tree };
		}
	}
	*ret_k = k;
	return MF_OK;
}

/* Text that may stand in a selector: UTF-8, printable, and short enough with its key. */
static bool
text_ok(const char *s, size_t key)
{
	struct mf_slice v = mf_slice_str(s);
	if (v.n == 0 || v.n + key + 1 > MF_LIM_SELECTOR || !mf_utf8_ok(v))
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 0x20 || v.p[i] == 0x7f)
			return false;
	return true;
}

static void
put_text(struct mf_buf *to, const char *key, const char *value)
{
	if (value == NULL || !text_ok(value, strlen(key)))
		return;
	mf_buf_put_str(to, key);
	mf_buf_put_u8(to, ':');
	mf_buf_put_str(to, value);
	mf_buf_put_u8(to, '\n');
}

/* Ids are the host's; that the caller sees others is a fact of its own. */
static const char *
userns_of(const struct mf_peer_env *env, const struct mf_caller *c)
{
	if (c->ns_user == 0 || env->ns_user == 0)
		return "unknown";
	return c->ns_user == env->ns_user ? NULL : "other";
}

enum mf_status
mf_selectors_put(
    struct mf_buf *to, const struct mf_peer_env *env, const struct mf_selected *what, struct mf_err *err)
{
	const struct mf_caller *c = what->caller;
	struct mf_place_env places = mf_classify_places(env);
	struct mf_place place = { 0 };
	mf_buf_putf(to, "unix.uid:%u\nunix.gid:%u\n", c->uid, c->gid);
	put_text(to, "unix.user", what->user);
	for (size_t i = 0; i < c->n_groups; i++)
		mf_buf_putf(to, "unix.sup_gid:%u\n", c->groups[i]);
	put_text(to, "unix.userns", userns_of(env, c));
	if (what->cgroup_id != 0 && what->kind != MF_INSTANCE_RUN) {
		mf_buf_putf(to, "cgroup.id:%" PRIu64 "\n", what->cgroup_id);
		put_text(to, "cgroup.path", what->cgroup_path);
		/* Where the caller is, not only the instance's cgroup: a job of Slurm shows by its steps. */
		if (c->cgroup.path != NULL)
			mf_place_of(mf_slice_str(c->cgroup.path), &places, &place);
	}
	for (size_t i = 0; i < place.n_facts; i++)
		(void)mf_place_fact_put(to, &place.facts[i]);
	if (what->kind == MF_INSTANCE_RUN || what->kind == MF_INSTANCE_TREE ||
	    (what->kind == MF_INSTANCE_PROCESS && what->run_name != NULL))
		put_text(to, "mayfly.run",
		    what->run_name == NULL || what->run_name[0] == '\0' ? "unnamed" : what->run_name);
	if (c->interactive != MF_INTERACTIVE_NO)
		mf_buf_putf(to, "interactive:true\ninteractive:%s\n", mf_interactive_name(c->interactive));
	if (what->kind == MF_INSTANCE_PROCESS)
		put_text(to, "process.exe", c->exe);
	return mf_buf_check(to, err);
}
