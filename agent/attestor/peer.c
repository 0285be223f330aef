#include "agent/attestor/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/attestor/pidfd.h"
#include "base/text.h"

#define EXE_MAX 1024u /* longer paths are not told */
/*
 * Without pidfs (before Linux 6.9) a process is told apart by start time and number: no number comes round
 * within one tick. The top bit keeps these apart from pidfs inodes.
 */
#define PROC_ID_MADE (UINT64_C(1) << 63)
#define PROC_ID_TICKS ((UINT64_C(1) << 41) - 1)

void
mf_caller_fini(struct mf_caller *c)
{
	mf_fd_close(&c->pidfd);
	mf_cgroup_fini(&c->cgroup);
	free(c->exe);
	free(c->groups);
	*c = (struct mf_caller)MF_CALLER_NONE;
}

static enum mf_status
read_number(int proc_fd, const char *path, uint32_t *ret_v, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, 64);
	uint64_t v = 0;
	struct mf_slice line = { 0 };
	MF_TRY(mf_procfile_read(proc_fd, path, &b, err));
	struct mf_slice rest = mf_buf_slice(&b);
	if (!mf_procfile_line(&rest, &line) || !mf_parse_u64(line, &v) || v > UINT32_MAX)
		return MF_FAIL(err, MF_E_INVALID, "%s: not a number", path);
	*ret_v = (uint32_t)v;
	return MF_OK;
}

static uint64_t
ns_inode(int procdir, const char *name)
{
	struct stat st;
	return fstatat(procdir, name, &st, 0) == 0 ? (uint64_t)st.st_ino : 0;
}

enum mf_status
mf_peer_env_init(struct mf_peer_env *ret_env, const char *listen_path, int proc_fd,
    const struct mf_cgroup_fs *cgroups, struct mf_err *err)
{
	struct mf_peer_env e = { .listen_path = listen_path, .proc_fd = proc_fd, .cgroups = cgroups };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf uids = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf gids = { 0 };
	mf_buf_init(&uids, MF_PROC_FILE_MAX);
	mf_buf_init(&gids, MF_PROC_FILE_MAX);
	MF_TRY(mf_procfile_read(proc_fd, "self/uid_map", &uids, err));
	MF_TRY(mf_procfile_read(proc_fd, "self/gid_map", &gids, err));
	e.ids_whole =
	    mf_procfile_map_is_whole(mf_buf_slice(&uids)) && mf_procfile_map_is_whole(mf_buf_slice(&gids));
	MF_TRY(read_number(proc_fd, "sys/kernel/overflowuid", &e.overflow_uid, err));
	MF_TRY(read_number(proc_fd, "sys/kernel/overflowgid", &e.overflow_gid, err));
	e.ns_user = ns_inode(proc_fd, "self/ns/user");
	e.runc_dir = "/run/runc";
	*ret_env = e;
	return MF_OK;
}

/* Ours to judge: an accepted stream socket of our listening path, nothing that somebody made up. */
static enum mf_status
check_socket(const struct mf_peer_env *env, int sock, struct mf_err *err)
{
	int domain = 0, type = 0, listening = 1;
	socklen_t n = sizeof(int);
	struct sockaddr_un a;
	socklen_t an = sizeof(a);
	memset(&a, 0, sizeof(a));
	if (getsockopt(sock, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 || domain != AF_UNIX ||
	    getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM ||
	    getsockopt(sock, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0 || listening != 0)
		return MF_FAIL(err, MF_E_INVALID, "peer: not a connected unix stream socket");
	if (getsockname(sock, (struct sockaddr *)&a, &an) < 0 || an > sizeof(a) ||
	    an <= offsetof(struct sockaddr_un, sun_path))
		return MF_FAIL(err, MF_E_INVALID, "peer: the socket is not bound");
	size_t len = an - offsetof(struct sockaddr_un, sun_path);
	if (a.sun_path[0] != '\0') /* a path, not an abstract name: up to its NUL */
		len = strnlen(a.sun_path, len);
	if (!mf_slice_eq_str(mf_slice(a.sun_path, len), env->listen_path))
		return MF_FAIL(
		    err, MF_E_INVALID, "peer: the socket was not accepted on %s", env->listen_path);
	return MF_OK;
}

/* A process that runs with other ids than its user's, or with ids that mean nothing here, gets nothing. */
static enum mf_status
check_ids(const struct mf_peer_env *env, const struct mf_pid_info *i, struct mf_err *err)
{
	if (i->ruid != i->euid || i->suid != i->euid || i->fsuid != i->euid)
		return MF_FAIL(err, MF_E_DENIED,
		    "the caller runs set-uid (real %u, effective %u); drop the privilege for good before "
		    "asking",
		    i->ruid, i->euid);
	if (i->rgid != i->egid || i->sgid != i->egid || i->fsgid != i->egid)
		return MF_FAIL(err, MF_E_DENIED,
		    "the caller runs set-gid (real %u, effective %u); drop the privilege for good before "
		    "asking",
		    i->rgid, i->egid);
	if (!env->ids_whole && (i->euid == env->overflow_uid || i->egid == env->overflow_gid))
		return MF_FAIL(err, MF_E_DENIED,
		    "the caller's ids are not mapped in the agent's user namespace; run the agent in the "
		    "host's");
	return MF_OK;
}

/* Weak or optional facts: what cannot be read is not told. */
static void
read_extras(int procdir, struct mf_caller *c)
{
	char exe[EXE_MAX + 1];
	c->ns_user = ns_inode(procdir, "ns/user");
	ssize_t n = readlinkat(procdir, "exe", exe, sizeof(exe));
	if (n > 0 && (size_t)n <= EXE_MAX && mf_utf8_ok(mf_slice(exe, (size_t)n)))
		c->exe = mf_slice_dup_str(mf_slice(exe, (size_t)n));
}

static enum mf_status
read_groups(
    const struct mf_peer_env *env, const struct mf_proc_status *st, struct mf_caller *c, struct mf_err *err)
{
	c->groups = calloc(st->n_groups + 1, sizeof(*c->groups));
	if (c->groups == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "peer: out of memory");
	for (size_t i = 0; i < st->n_groups; i++)
		if (env->ids_whole || st->groups[i] != env->overflow_gid)
			c->groups[c->n_groups++] = st->groups[i];
	return MF_OK;
}

static enum mf_status
read_cgroup(const struct mf_peer_env *env, int procdir, const struct mf_pid_info *info, struct mf_caller *c,
    struct mf_err *err)
{
	struct mf_slice hint = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_PROC_FILE_MAX);
	if (env->cgroups == NULL)
		return MF_OK;
	MF_TRY(mf_procfile_read(procdir, "cgroup", &b, err));
	enum mf_status s = mf_procfile_cgroup(mf_buf_slice(&b), &hint, err);
	if (s != MF_OK && s != MF_E_NOTFOUND)
		return s;
	c->cgroup_id = info->cgroup_id;
	s = mf_cgroup_resolve(env->cgroups, info->cgroup_id, hint, &c->cgroup, err);
	if (s == MF_OK)
		c->cgroup_id = c->cgroup.id;
	/* A cgroup that cannot be named from here is no refusal: the caller counts as a single process. */
	return s == MF_E_NOTFOUND || s == MF_E_INVALID ? MF_OK : s;
}

static bool
same_info(const struct mf_pid_info *a, const struct mf_pid_info *b)
{
	return a->pid == b->pid && a->ruid == b->ruid && a->euid == b->euid && a->suid == b->suid &&
	       a->fsuid == b->fsuid && a->rgid == b->rgid && a->egid == b->egid && a->sgid == b->sgid &&
	       a->fsgid == b->fsgid && a->cgroup_id == b->cgroup_id && a->by_kernel == b->by_kernel;
}

/* The reads of /proc, between the two looks at the process. */
static enum mf_status
read_proc(
    const struct mf_peer_env *env, const struct mf_pid_info *info, struct mf_caller *c, struct mf_err *err)
{
	char name[24];
	struct mf_proc_stat stat = { 0 };
	struct mf_proc_status status;
	(void)snprintf(name, sizeof(name), "%d", (int)info->pid);
	MF_AUTO_IN(mf_fd_close) int dir = openat(env->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return MF_FAIL(err, errno == ENOENT ? MF_E_NOTFOUND : MF_E_IO, "open /proc/%s: %s", name,
		    strerror(errno));
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_PROC_FILE_MAX);
	MF_TRY(mf_procfile_read(dir, "stat", &b, err));
	MF_TRY(mf_procfile_stat(mf_buf_slice(&b), &stat, err));
	mf_buf_reset(&b);
	MF_TRY(mf_procfile_read(dir, "status", &b, err));
	MF_TRY(mf_procfile_status(mf_buf_slice(&b), &status, err));
	if (stat.pid != info->pid || status.pid != info->pid || status.euid != info->euid ||
	    status.egid != info->egid || status.ruid != info->ruid || status.rgid != info->rgid)
		return MF_FAIL(err, MF_E_AGAIN, "the caller's ids changed while they were read");
	c->pid = info->pid;
	c->ppid = info->ppid;
	c->uid = info->euid;
	c->gid = info->egid;
	c->start_time = stat.start_time;
	c->interactive = stat.tty_nr != 0 ? MF_INTERACTIVE_TTY : MF_INTERACTIVE_NO;
	c->ns_levels = status.ns_levels;
	c->ns_inside = status.ns_inside;
	MF_TRY(read_groups(env, &status, c, err));
	MF_TRY(read_cgroup(env, dir, info, c, err));
	read_extras(dir, c);
	return MF_OK;
}

/* Before Linux 6.13 the cgroup comes from /proc only: look a second time. */
static enum mf_status
cgroup_again(const struct mf_peer_env *env, const struct mf_pid_info *info, const struct mf_caller *c,
    struct mf_err *err)
{
	char name[40];
	struct mf_caller now = MF_CALLER_NONE;
	if (info->cgroup_id != 0 || env->cgroups == NULL)
		return MF_OK;
	(void)snprintf(name, sizeof(name), "%d", (int)info->pid);
	MF_AUTO_IN(mf_fd_close) int dir = openat(env->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "the caller is gone");
	enum mf_status s = read_cgroup(env, dir, info, &now, err);
	uint64_t id = now.cgroup_id;
	mf_caller_fini(&now);
	MF_TRY(s);
	return id == c->cgroup_id ? MF_OK : MF_FAIL(err, MF_E_AGAIN, "the caller changed its cgroup");
}

/* One pass of the sandwich. MF_E_AGAIN: the facts moved. Takes ${pidfd} whatever happens. */
static enum mf_status
one_pass(const struct mf_peer_env *env, int pidfd, const struct ucred *cred, struct mf_caller *ret_c,
    struct mf_err *err)
{
	struct mf_pid_info first, again;
	ret_c->pidfd = pidfd;
	ret_c->grade = MF_GRADE_PIDFD;
	MF_TRY(mf_pidfd_info(pidfd, env->proc_fd, env->no_ioctl, &first, err));
	if (cred != NULL && (cred->pid != first.pid || cred->uid != first.euid || cred->gid != first.egid))
		return MF_FAIL(err, MF_E_UNAUTH,
		    "the caller connected as uid %u and is uid %u now; connect again", cred->uid, first.euid);
	MF_TRY(check_ids(env, &first, err));
	MF_TRY(read_proc(env, &first, ret_c, err));
	MF_TRY(cgroup_again(env, &first, ret_c, err));
	MF_TRY(mf_pidfd_inode(pidfd, &ret_c->proc_id, err));
	if (ret_c->proc_id == 0)
		ret_c->proc_id =
		    PROC_ID_MADE | (ret_c->start_time & PROC_ID_TICKS) << 22 | (uint32_t)first.pid;
	MF_TRY(mf_pidfd_info(pidfd, env->proc_fd, env->no_ioctl, &again, err));
	if (!mf_pidfd_alive(pidfd))
		return MF_FAIL(err, MF_E_NOTFOUND, "the caller is gone");
	if (!same_info(&first, &again))
		return MF_FAIL(err, MF_E_AGAIN, "the caller's ids or cgroup changed while they were read");
	return MF_OK;
}

static enum mf_status
peer_cred(int sock, struct ucred *ret_cred, struct mf_err *err)
{
	socklen_t n = sizeof(*ret_cred);
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, ret_cred, &n) < 0 || n != sizeof(*ret_cred))
		return MF_FAIL(err, MF_E_IO, "SO_PEERCRED: %s", strerror(errno));
	if (ret_cred->pid == 0 && ret_cred->uid == (uid_t)-1)
		return MF_FAIL(err, MF_E_INVALID, "peer: the socket is not connected");
	return MF_OK;
}

/* The pidfd of the peer, or, where that is allowed, one made from its number. */
static enum mf_status
peer_pidfd(const struct mf_peer_env *env, int sock, const struct ucred *cred, int *ret_pidfd,
    bool *ret_legacy, struct mf_err *err)
{
	*ret_legacy = false;
	enum mf_status s = env->no_peerpidfd
			       ? MF_FAIL(err, MF_E_UNSUPPORTED, "no SO_PEERPIDFD; set legacy_peercred")
			       : mf_pidfd_of_peer(sock, ret_pidfd, err);
	if (s != MF_E_UNSUPPORTED || !env->legacy_peercred)
		return s;
	*ret_legacy = true;
	return mf_pidfd_open(cred->pid, ret_pidfd, err);
}

static enum mf_status
finish(enum mf_status s, struct mf_caller *c, struct mf_caller *ret_c, struct mf_err *err)
{
	if (s == MF_OK) {
		*ret_c = *c;
		return MF_OK;
	}
	mf_caller_fini(c);
	if (s == MF_E_AGAIN)
		return MF_FAIL(
		    err, MF_E_UNAUTH, "the caller's ids or cgroup keep changing; ask again when they rest");
	return s;
}

enum mf_status
mf_peer_attest(const struct mf_peer_env *env, int sock, struct mf_caller *ret_c, struct mf_err *err)
{
	enum mf_status s = MF_E_AGAIN;
	struct mf_caller c = MF_CALLER_NONE;
	struct ucred cred = { 0 };
	MF_TRY(check_socket(env, sock, err));
	MF_TRY(peer_cred(sock, &cred, err));
	for (int turn = 0; turn < 2 && s == MF_E_AGAIN; turn++) {
		int pidfd = -1;
		bool legacy = false;
		mf_caller_fini(&c);
		MF_TRY(peer_pidfd(env, sock, &cred, &pidfd, &legacy, err));
		s = one_pass(env, pidfd, &cred, &c, err);
		if (legacy)
			c.grade = MF_GRADE_LEGACY;
	}
	return finish(s, &c, ret_c, err);
}

enum mf_status
mf_peer_attest_pidfd(const struct mf_peer_env *env, int pidfd, struct mf_caller *ret_c, struct mf_err *err)
{
	enum mf_status s = MF_E_AGAIN;
	struct mf_caller c = MF_CALLER_NONE;
	for (int turn = 0; turn < 2 && s == MF_E_AGAIN; turn++) {
		mf_caller_fini(&c);
		int own = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
		if (own < 0)
			return MF_FAIL(err, MF_E_IO, "pidfd: %s", strerror(errno));
		s = one_pass(env, own, NULL, &c, err);
	}
	return finish(s, &c, ret_c, err);
}

bool
mf_peer_sender_ok(const struct mf_caller *c, pid_t pid, uint32_t uid, int pidfd)
{
	if (c->pidfd < 0 || pid <= 0 || pid != c->pid || uid != c->uid || !mf_pidfd_alive(c->pidfd))
		return false;
	if (pidfd < 0)
		return true; /* the number cannot have been reused: its process is unreaped */
	uint64_t theirs = 0;
	if (mf_pidfd_inode(pidfd, &theirs, NULL) != MF_OK || !mf_pidfd_alive(pidfd))
		return false;
	return theirs == 0 || theirs == c->proc_id;
}
