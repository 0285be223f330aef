/*
 * cgroup: the cgroup2 tree, found by mountinfo, addressed by inode.
 *
 * A cgroup is its inode number (the "cgroup id" of PIDFD_GET_INFO); names are reused, inodes of one boot are
 * not. Paths are those of the hierarchy: "/" is its root, "/a/b" a cgroup; they may hold any byte but NUL and
 * newline and are never trusted to be text. Jobs of `mayfly run` live below "<base>/mayfly", which stays the
 * agent's own: root's directories, mode 0755, so that no process of a job can join or leave.
 * Thread rule: a struct mf_cgroup_fs is not changed after mf_cgroup_base; until then one thread.
 */
#ifndef MF_ATTESTOR_CGROUP_H
#define MF_ATTESTOR_CGROUP_H
#include <sys/types.h>

#include "base/buf.h"

#define MF_CGROUP_PATH_MAX 4096u
#define MF_CGROUP_DEPTH_MAX 64u /* deeper ones are not followed upwards and count as delegated */

struct mf_cgroup_fs; /* opaque */

struct mf_cgroup {
	int fd;	     /* the directory (O_RDONLY), owned */
	uint64_t id; /* its inode */
	char *path;  /* owned, NUL-terminated; NULL: not known */
};
/* Closes and frees the contents; an all-zero struct must have fd = -1 set first (MF_CGROUP_NONE). */
void mf_cgroup_fini(struct mf_cgroup *c);
#define MF_CGROUP_NONE   \
	{                \
		.fd = -1 \
	}

/*
 * Find the mount of type cgroup2 in ${mountinfo}: its mount point and the part of the hierarchy that it shows
 * (usually "/"), unescaped. A mount that shows all wins over one that shows a part. Pure.
 * Errors: MF_E_NOTFOUND (none; the text says how to mount one), MF_E_INVALID, MF_E_TOOBIG.
 */
MF_NODISCARD enum mf_status mf_cgroup_find_mount(
    struct mf_slice mountinfo, struct mf_buf *to_point, struct mf_buf *to_root, struct mf_err *err);
/* False when a component is empty, "." or "..", or the path does not begin with "/": not followed. Pure. */
bool mf_cgroup_path_ok(struct mf_slice path);
/* "populated" of a cgroup.events file. Pure. */
MF_NODISCARD enum mf_status
mf_cgroup_parse_events(struct mf_slice file, bool *ret_populated, struct mf_err *err);

/* The tree of this machine, by the mountinfo below ${proc_fd} (a descriptor of /proc, borrowed). */
MF_NODISCARD enum mf_status mf_cgroup_fs_open(int proc_fd, struct mf_cgroup_fs **ret_fs, struct mf_err *err);
void mf_cgroup_fs_free(struct mf_cgroup_fs *fs);
MF_DEFINE_CLEANUP(struct mf_cgroup_fs, mf_cgroup_fs_free)
const char *mf_cgroup_mount_point(const struct mf_cgroup_fs *fs);
uint64_t mf_cgroup_root_id(const struct mf_cgroup_fs *fs);
/* The path of the agent's own cgroup as it was at open; "" when not known. */
const char *mf_cgroup_own_path(const struct mf_cgroup_fs *fs);

/*
 * The cgroup with inode ${id}: at ${hint} (a path as /proc/PID/cgroup gives it; may be empty) if what is there has
 * that inode, or else by file handle (which needs privilege: for an agent that the kernel shows other paths than its
 * own). With ${id} 0 the hint alone decides and the id is what was found. ret_c->path is verified to lead to the
 * inode. Errors: MF_E_NOTFOUND (removed, or not to be seen from here), MF_E_INVALID, MF_E_IO.
 */
MF_NODISCARD enum mf_status mf_cgroup_resolve(const struct mf_cgroup_fs *fs, uint64_t id,
    struct mf_slice hint, struct mf_cgroup *ret_c, struct mf_err *err);
/* Open ${path} and fail with MF_E_NOTFOUND unless it has inode ${id}: for re-adoption. */
MF_NODISCARD enum mf_status mf_cgroup_reopen(const struct mf_cgroup_fs *fs, const char *path, uint64_t id,
    struct mf_cgroup *ret_c, struct mf_err *err);

/* Whether it, or one above it, may be written by somebody who is not root: now, by looking at each level. */
bool mf_cgroup_delegated(const struct mf_cgroup_fs *fs, const struct mf_cgroup *c);

/* A new CLOEXEC descriptor of the cgroup's cgroup.events. */
MF_NODISCARD enum mf_status mf_cgroup_events_open(const struct mf_cgroup *c, int *ret_fd, struct mf_err *err);
/* Read it now. MF_E_NOTFOUND: the directory was removed (ENODEV). */
MF_NODISCARD enum mf_status mf_cgroup_events_read(int events_fd, bool *ret_populated, struct mf_err *err);

/*
 * Make or find the directory below which jobs get their cgroups: ${name} below the root, or, where the agent
 * may not write there, below the agent's own cgroup; a ${name} that begins with "/" is the path of the
 * directory itself, below the mount point. Errors: MF_E_DENIED (neither may be written: jobs then
 * run under a subreaper), MF_E_INVALID (it is there and others may write it), MF_E_IO.
 */
MF_NODISCARD enum mf_status mf_cgroup_base(struct mf_cgroup_fs *fs, const char *name, struct mf_err *err);
/* Its path ("/mayfly"), or "" before mf_cgroup_base. */
const char *mf_cgroup_base_path(const struct mf_cgroup_fs *fs);

/* A new cgroup ${name} (letters, digits, '-', '_', '.') below the base; MF_E_EXISTS when there is one. */
MF_NODISCARD enum mf_status
mf_cgroup_make(const struct mf_cgroup_fs *fs, const char *name, struct mf_cgroup *ret_c, struct mf_err *err);
/*
 * Move the process of ${pidfd} in. Numbers are reused, so afterwards the process must be alive and must be in
 * ${c}; a stranger who was hit instead is moved to the base, which is no job, and the call fails (MF_E_UNAUTH).
 * MF_E_NOTFOUND: the process is gone. MF_E_DENIED: the kernel does not let us move it.
 */
MF_NODISCARD enum mf_status mf_cgroup_move(
    const struct mf_cgroup_fs *fs, const struct mf_cgroup *c, int pidfd, int proc_fd, struct mf_err *err);
/*
 * Whether ${id} is ${c} or lies below it. Not found within 8 levels and 1024 directories: it does not, for nobody's
 * tree may cost us more.
 */
bool mf_cgroup_holds(const struct mf_cgroup *c, uint64_t id);
/* SIGKILL for all that is inside (cgroup.kill, Linux 5.14). */
MF_NODISCARD enum mf_status mf_cgroup_kill(const struct mf_cgroup *c, struct mf_err *err);
/*
 * Remove an empty cgroup below the base and what it has inside, if the name still leads to inode ${id}.
 * MF_OK too when it is gone already; MF_E_AGAIN while somebody is in.
 */
MF_NODISCARD enum mf_status
mf_cgroup_remove(const struct mf_cgroup_fs *fs, const char *name, uint64_t id, struct mf_err *err);
/*
 * Remove every empty cgroup below the base whose name begins with ${prefix} (several agents may share a base) and
 * whose inode ${keep} does not want; returns how many. *ret_left: so many are not wanted, and somebody is in.
 */
size_t mf_cgroup_sweep(const struct mf_cgroup_fs *fs, const char *prefix,
    bool (*keep)(void *ctx, uint64_t id), void *ctx, size_t *ret_left);
#endif
