#include "agent/attestor/interactive.h"

#include <stdio.h>
#include <unistd.h>

#include "agent/attestor/classify.h"
#include "agent/attestor/pidfd.h"

const char *
mf_interactive_name(enum mf_interactive i)
{
	static const char *const names[MF_INTERACTIVE_COUNT] = { "no", "tty", "exec", "slurm-extern" };
	return (unsigned)i < MF_INTERACTIVE_COUNT ? names[i] : "unknown";
}

enum mf_status
mf_ancestry_parent(const struct mf_peer_env *env, int pidfd, int *ret_parent, struct mf_err *err)
{
	struct mf_pid_info before, after;
	for (int turn = 0; turn < 4; turn++) { /* a parent that dies hands its child on */
		MF_AUTO_IN(mf_fd_close) int up = -1;
		MF_TRY(mf_pidfd_info(pidfd, env->proc_fd, env->no_ioctl, &before, err));
		if (before.ppid <= 1)
			return MF_FAIL(err, MF_E_NOTFOUND, "the chain of parents ends");
		if (mf_pidfd_open(before.ppid, &up, NULL) != MF_OK)
			continue;
		MF_TRY(mf_pidfd_info(pidfd, env->proc_fd, env->no_ioctl, &after, err));
		if (after.ppid != before.ppid || !mf_pidfd_alive(up))
			continue;
		*ret_parent = up;
		up = -1;
		return MF_OK;
	}
	return MF_FAIL(err, MF_E_AGAIN, "the chain of parents keeps changing");
}

/* How deep in PID namespaces the process of ${pidfd} is, and its number in the first one below ours. */
static enum mf_status
levels_of(
    const struct mf_peer_env *env, int pidfd, unsigned *ret_levels, pid_t *ret_inside, struct mf_err *err)
{
	char name[40];
	struct mf_pid_info info;
	struct mf_proc_status st;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_PROC_FILE_MAX);
	MF_TRY(mf_pidfd_info(pidfd, env->proc_fd, env->no_ioctl, &info, err));
	(void)snprintf(name, sizeof(name), "%d/status", (int)info.pid);
	MF_TRY(mf_procfile_read(env->proc_fd, name, &b, err));
	MF_TRY(mf_procfile_status(mf_buf_slice(&b), &st, err));
	if (!mf_pidfd_alive(pidfd))
		return MF_FAIL(err, MF_E_NOTFOUND, "the process is gone");
	*ret_levels = st.ns_levels;
	*ret_inside = st.ns_inside;
	return MF_OK;
}

/*
 * Up from the caller to the last process that is still inside the namespace below ours. A container's own processes
 * lead to its first one, number 1; who was put in from outside (runc exec, nsenter) has a parent outside.
 */
static enum mf_status
came_from_outside(
    const struct mf_peer_env *env, const struct mf_caller *c, bool *ret_outside, struct mf_err *err)
{
	MF_AUTO_IN(mf_fd_close) int at = -1;
	unsigned levels = c->ns_levels;
	pid_t inside = c->ns_inside;
	for (unsigned depth = 0; levels > 1 && inside != 1; depth++) {
		int up = -1;
		enum mf_status s = mf_ancestry_parent(env, at < 0 ? c->pidfd : at, &up, err);
		if (s != MF_OK && s != MF_E_NOTFOUND)
			return s;
		unsigned above = 0;
		pid_t there = 0;
		if (s == MF_OK)
			s = levels_of(env, up, &above, &there, err);
		if (s != MF_OK || above <= 1 || depth == MF_TREE_DEPTH_MAX) {
			mf_fd_close(&up);
			*ret_outside = true;
			return s == MF_E_NOMEM || s == MF_E_IO ? s : MF_OK;
		}
		mf_fd_close(&at);
		at = up;
		levels = above;
		inside = there;
	}
	*ret_outside = false;
	return MF_OK;
}

enum mf_status
mf_interactive_look(const struct mf_peer_env *env, struct mf_caller *c, struct mf_err *err)
{
	bool outside = false;
	if (c->cgroup.path != NULL && c->interactive == MF_INTERACTIVE_NO) {
		struct mf_place place;
		struct mf_place_env places = mf_classify_places(env);
		mf_place_of(mf_slice_str(c->cgroup.path), &places, &place);
		if (place.interactive)
			c->interactive = MF_INTERACTIVE_EXTERN;
	}
	if (c->interactive != MF_INTERACTIVE_NO)
		return MF_OK;
	MF_TRY(came_from_outside(env, c, &outside, err));
	if (!mf_pidfd_alive(c->pidfd))
		return MF_FAIL(err, MF_E_NOTFOUND, "the caller is gone");
	if (outside)
		c->interactive = MF_INTERACTIVE_EXEC;
	return MF_OK;
}
