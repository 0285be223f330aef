/*
 * cgroup_make: the cgroups of `mayfly run` jobs: made, filled, killed, removed. See cgroup.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/attestor/cgroup.h"
#include "agent/attestor/cgroup_internal.h"
#include "agent/attestor/pidfd.h"
#include "agent/attestor/procfile.h"
#include "base/text.h"

#define REMOVE_MAX 4096u /* directories inside one job's cgroup */

static bool
name_ok(const char *name)
{
	size_t n = strlen(name);
	if (n == 0 || n > 64 || name[0] == '.')
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

static enum mf_status
write_file(int dirfd, const char *file, const char *text, struct mf_err *err)
{
	MF_AUTO_IN(mf_fd_close) int fd = openat(dirfd, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
	if (n == (ssize_t)strlen(text))
		return MF_OK;
	int e = errno;
	return MF_FAIL(err,
	    e == ESRCH				      ? MF_E_NOTFOUND
	    : e == EACCES || e == EPERM || e == EROFS ? MF_E_DENIED
						      : MF_E_IO,
	    "write %s: %s", file, n < 0 ? strerror(e) : "cut short");
}

/* mkdir and open ${name} below ${parent}; an old one is taken only when it is ours alone. */
static enum mf_status
base_at(int parent, const char *name, int *ret_fd, struct mf_err *err)
{
	if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
		return MF_FAIL(err,
		    errno == EACCES || errno == EPERM || errno == EROFS ? MF_E_DENIED : MF_E_IO,
		    "make cgroup %s: %s", name, strerror(errno));
	MF_AUTO_IN(mf_fd_close)
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return MF_FAIL(err, MF_E_IO, "open cgroup %s: %s", name, strerror(errno));
	if (st.st_uid != geteuid())
		return MF_FAIL(err, MF_E_DENIED, "cgroup %s belongs to uid %u", name, (unsigned)st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return MF_FAIL(err, MF_E_INVALID, "cgroup %s can be written by others; chmod 0755 it", name);
	*ret_fd = fd;
	fd = -1;
	return MF_OK;
}

/* ${name} below the cgroup ${above} of the hierarchy becomes the base. */
static enum mf_status
base_below(struct mf_cgroup_fs *fs, const char *above, const char *name, struct mf_err *err)
{
	struct mf_cgroup parent = MF_CGROUP_NONE;
	char *path = NULL;
	int fd = -1;
	MF_TRY(mf_cgroup_reopen(fs, above, 0, &parent, err));
	enum mf_status s = base_at(parent.fd, name, &fd, err);
	mf_cgroup_fini(&parent);
	MF_TRY(s);
	if (asprintf(&path, "%s/%s", strcmp(above, "/") == 0 ? "" : above, name) < 0) {
		mf_fd_close(&fd);
		return MF_FAIL(err, MF_E_NOMEM, "cgroup: out of memory");
	}
	mf_fd_close(&fs->base_fd);
	free(fs->base);
	fs->base_fd = fd;
	fs->base = path;
	return MF_OK;
}

/* A path in the file system, as it stands in the configuration. */
static enum mf_status
base_by_path(struct mf_cgroup_fs *fs, const char *path, struct mf_err *err)
{
	size_t skip = strlen(fs->point);
	const char *last = strrchr(path, '/');
	if (strncmp(path, fs->point, skip) != 0 || path[skip] != '/' || !name_ok(last + 1))
		return MF_FAIL(err, MF_E_INVALID, "cgroup %s is not a directory below %s", path, fs->point);
	char *above = NULL;
	if (asprintf(&above, "%s%.*s", fs->root, (int)(last - (path + skip)), path + skip) < 0)
		return MF_FAIL(err, MF_E_NOMEM, "cgroup: out of memory");
	enum mf_status s = base_below(fs, above[0] == '\0' ? "/" : above, last + 1, err);
	free(above);
	return s;
}

enum mf_status
mf_cgroup_base(struct mf_cgroup_fs *fs, const char *name, struct mf_err *err)
{
	if (name[0] == '/')
		return base_by_path(fs, name, err);
	if (!name_ok(name))
		return MF_FAIL(err, MF_E_INVALID, "cgroup: bad name");
	enum mf_status s = base_below(fs, fs->root[0] == '\0' ? "/" : fs->root, name, err);
	if (s == MF_E_DENIED && fs->own[0] != '\0' && strcmp(fs->own, "/") != 0)
		s = base_below(fs, fs->own, name, err);
	return s;
}

enum mf_status
mf_cgroup_make(const struct mf_cgroup_fs *fs, const char *name, struct mf_cgroup *ret_c, struct mf_err *err)
{
	char path[MF_CGROUP_PATH_MAX];
	if (fs->base_fd < 0)
		return MF_FAIL(err, MF_E_STATE, "cgroup: there is no place to make one");
	if (!name_ok(name))
		return MF_FAIL(err, MF_E_INVALID, "cgroup: bad name");
	int n = snprintf(path, sizeof(path), "%s/%s", fs->base, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return MF_FAIL(err, MF_E_TOOBIG, "cgroup: path too long");
	if (mkdirat(fs->base_fd, name, 0755) < 0)
		return MF_FAIL(err,
		    errno == EEXIST			? MF_E_EXISTS
		    : errno == EACCES || errno == EROFS ? MF_E_DENIED
							: MF_E_IO,
		    "make cgroup %s: %s", name, strerror(errno));
	MF_AUTO_IN(mf_fd_close)
	int fd = openat(fs->base_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "open cgroup %s: %s", name, strerror(errno));
	/* The umask may have been stricter than 0755: reading cgroup.events is harmless, a job may do it. */
	(void)fchmod(fd, 0755);
	MF_TRY(mf_cgroup_take(fd, path, ret_c, err));
	fd = -1;
	return MF_OK;
}

/* Whoever is in ${c} although the process that we meant is not: out, to the base, where nobody is a job. */
static void
evict_strangers(const struct mf_cgroup_fs *fs, const struct mf_cgroup *c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_PROC_FILE_MAX);
	if (mf_procfile_read(c->fd, "cgroup.procs", &b, NULL) != MF_OK)
		return;
	struct mf_slice line, rest = mf_buf_slice(&b);
	while (mf_procfile_line(&rest, &line)) {
		uint64_t pid = 0;
		char text[24];
		if (!mf_parse_u64(line, &pid) || pid == 0)
			continue;
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)pid);
		if (write_file(fs->base_fd, "cgroup.procs", text, NULL) != MF_OK)
			continue; /* it left by itself */
	}
}

/* The cgroup of a process by whatever this kernel offers: 0 when it cannot be told. */
static uint64_t
cgroup_of(const struct mf_cgroup_fs *fs, int proc_fd, const struct mf_pid_info *info)
{
	if (info->cgroup_id != 0)
		return info->cgroup_id;
	char name[32];
	struct mf_slice path = { 0 };
	struct mf_cgroup c = MF_CGROUP_NONE;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_PROC_FILE_MAX);
	(void)snprintf(name, sizeof(name), "%d/cgroup", (int)info->pid);
	if (mf_procfile_read(proc_fd, name, &b, NULL) != MF_OK ||
	    mf_procfile_cgroup(mf_buf_slice(&b), &path, NULL) != MF_OK ||
	    mf_cgroup_resolve(fs, 0, path, &c, NULL) != MF_OK)
		return 0;
	uint64_t id = c.id;
	mf_cgroup_fini(&c);
	return id;
}

enum mf_status
mf_cgroup_move(
    const struct mf_cgroup_fs *fs, const struct mf_cgroup *c, int pidfd, int proc_fd, struct mf_err *err)
{
	struct mf_pid_info before, after;
	char text[24];
	MF_TRY(mf_pidfd_info(pidfd, proc_fd, false, &before, err));
	(void)snprintf(text, sizeof(text), "%d", (int)before.pid);
	MF_TRY(write_file(c->fd, "cgroup.procs", text, err));
	enum mf_status s = mf_pidfd_info(pidfd, proc_fd, false, &after, err);
	if (s == MF_OK && after.pid == before.pid && cgroup_of(fs, proc_fd, &after) == c->id &&
	    mf_pidfd_alive(pidfd))
		return MF_OK;
	evict_strangers(fs, c);
	return s != MF_OK ? s : MF_FAIL(err, MF_E_UNAUTH, "the process left while it was being moved");
}

enum mf_status
mf_cgroup_kill(const struct mf_cgroup *c, struct mf_err *err)
{
	return write_file(c->fd, "cgroup.kill", "1", err);
}

/* The first directory inside ${dirfd}, or MF_E_NOTFOUND. */
static enum mf_status
first_child(int dirfd, char *ret_name, size_t n, struct mf_err *err)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (d == NULL) {
		mf_fd_close(&copy);
		return MF_FAIL(err, MF_E_IO, "read cgroup: %s", strerror(errno));
	}
	enum mf_status s = MF_E_NOTFOUND;
	for (struct dirent *e = readdir(d); e != NULL && s == MF_E_NOTFOUND; e = readdir(d)) {
		if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		s = snprintf(ret_name, n, "%s", e->d_name) < (int)n ? MF_OK : MF_E_TOOBIG;
	}
	(void)closedir(d);
	return s == MF_OK ? MF_OK : MF_FAIL(err, s, "cgroup: no directory inside");
}

/* rmdir the deepest first directory below ${parent}/${name}. MF_E_NOTFOUND: ${name} itself was it. */
static enum mf_status
remove_one(int parent, const char *name, bool *ret_last, struct mf_err *err)
{
	char child[256], below[256];
	MF_AUTO_IN(mf_fd_close) int at = dup(parent);
	(void)snprintf(child, sizeof(child), "%s", name);
	for (unsigned depth = 0; at >= 0; depth++) {
		MF_AUTO_IN(mf_fd_close)
		int next = openat(at, child, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		enum mf_status s = next < 0 ? MF_E_NOTFOUND : first_child(next, below, sizeof(below), NULL);
		if (s != MF_OK) {
			*ret_last = depth == 0;
			if (unlinkat(at, child, AT_REMOVEDIR) == 0 || errno == ENOENT)
				return MF_OK;
			return MF_FAIL(err, errno == EBUSY ? MF_E_AGAIN : MF_E_IO, "remove cgroup %s: %s",
			    child, strerror(errno));
		}
		mf_fd_close(&at);
		at = next;
		next = -1;
		memcpy(child, below, sizeof(child));
	}
	return MF_FAIL(err, MF_E_IO, "remove cgroup %s: %s", name, strerror(errno));
}

enum mf_status
mf_cgroup_remove(const struct mf_cgroup_fs *fs, const char *name, uint64_t id, struct mf_err *err)
{
	struct stat st;
	if (fs->base_fd < 0 || !name_ok(name))
		return MF_FAIL(err, MF_E_INVALID, "cgroup: not one of ours");
	if (fstatat(fs->base_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != id)
		return MF_OK;
	bool last = false;
	for (unsigned i = 0; i < REMOVE_MAX && !last; i++)
		MF_TRY(remove_one(fs->base_fd, name, &last, err));
	return last ? MF_OK : MF_FAIL(err, MF_E_AGAIN, "cgroup %s has too many inside", name);
}

size_t
mf_cgroup_sweep(const struct mf_cgroup_fs *fs, const char *prefix, bool (*keep)(void *ctx, uint64_t id),
    void *ctx, size_t *ret_left)
{
	int copy = fs->base_fd < 0 ? -1 : openat(fs->base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	size_t done = 0;
	*ret_left = 0;
	if (d == NULL) {
		mf_fd_close(&copy);
		return 0;
	}
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		struct stat st;
		if (e->d_type != DT_DIR || strncmp(e->d_name, prefix, strlen(prefix)) != 0 ||
		    !name_ok(e->d_name) || fstatat(fs->base_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    keep(ctx, st.st_ino))
			continue;
		if (mf_cgroup_remove(fs, e->d_name, st.st_ino, NULL) == MF_OK)
			done++;
		else
			(*ret_left)++;
	}
	(void)closedir(d);
	return done;
}
