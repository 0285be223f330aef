#include "agent/attestor/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/attestor/cgroup_internal.h"
#include "agent/attestor/pidfd.h"
#include "agent/attestor/procfile.h"

#define MOUNTINFO_MAX (1024u * 1024u)
#define EVENTS_MAX 256u
#define CGROUP2_MAGIC 0x63677270
#define FILEID_KERNFS 0xfe

void
mf_cgroup_fini(struct mf_cgroup *c)
{
	mf_fd_close(&c->fd);
	free(c->path);
	c->path = NULL;
}

/* mountinfo escapes space, tab, newline and backslash as three octal digits. */
static void
unescape(struct mf_slice in, struct mf_buf *to)
{
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] != '\\' || in.n - i < 4) {
			mf_buf_put_u8(to, in.p[i]);
			continue;
		}
		unsigned v = 0;
		bool octal = true;
		for (size_t k = 1; k <= 3; k++) {
			octal = octal && in.p[i + k] >= '0' && in.p[i + k] <= '7';
			v = v * 8 + (unsigned)(in.p[i + k] - '0');
		}
		mf_buf_put_u8(to, octal && v < 256 ? (uint8_t)v : in.p[i]);
		if (octal && v < 256)
			i += 3;
	}
}

enum mf_status
mf_cgroup_find_mount(
    struct mf_slice mountinfo, struct mf_buf *to_point, struct mf_buf *to_root, struct mf_err *err)
{
	struct mf_slice line, rest = mountinfo, best_root = { 0 }, best_point = { 0 };
	while (mf_procfile_line(&rest, &line)) {
		struct mf_slice w, root = { 0 }, point = { 0 };
		bool dash = false;
		/* id parent dev root point options [optional...] - type source superoptions */
		for (int i = 0; i < 6 && mf_procfile_word(&line, &w); i++) {
			if (i == 3)
				root = w;
			else if (i == 4)
				point = w;
		}
		while (!dash && mf_procfile_word(&line, &w))
			dash = mf_slice_eq_str(w, "-");
		if (!dash || !mf_procfile_word(&line, &w) || !mf_slice_eq_str(w, "cgroup2"))
			continue;
		if (best_point.n == 0 || (mf_slice_eq_str(root, "/") && !mf_slice_eq_str(best_root, "/"))) {
			best_root = root;
			best_point = point;
		}
	}
	if (best_point.n == 0)
		return MF_FAIL(err, MF_E_NOTFOUND,
		    "no cgroup2 is mounted; mount -t cgroup2 none /sys/fs/cgroup/unified (or boot with "
		    "cgroup v2)");
	if (best_point.p[0] != '/' || best_root.p[0] != '/')
		return MF_FAIL(err, MF_E_INVALID, "mountinfo: cgroup2 line is malformed");
	unescape(best_point, to_point);
	if (!mf_slice_eq_str(best_root, "/"))
		unescape(best_root, to_root);
	MF_TRY(mf_buf_check(to_point, err));
	return mf_buf_check(to_root, err);
}

bool
mf_cgroup_path_ok(struct mf_slice path)
{
	if (path.n == 0 || path.n > MF_CGROUP_PATH_MAX || path.p[0] != '/')
		return false;
	if (path.n == 1)
		return true;
	size_t from = 1;
	for (size_t i = 1; i <= path.n; i++) {
		if (i < path.n && path.p[i] == '\0')
			return false;
		if (i < path.n && path.p[i] != '/')
			continue;
		struct mf_slice part = mf_slice_sub(path, from, i - from);
		if (part.n == 0 || mf_slice_eq_str(part, ".") || mf_slice_eq_str(part, ".."))
			return false;
		from = i + 1;
	}
	return true;
}

enum mf_status
mf_cgroup_parse_events(struct mf_slice file, bool *ret_populated, struct mf_err *err)
{
	struct mf_slice line, rest = file, key, value;
	while (mf_procfile_line(&rest, &line)) {
		if (!mf_procfile_word(&line, &key) || !mf_slice_eq_str(key, "populated"))
			continue;
		if (!mf_procfile_word(&line, &value) || value.n != 1 || (value.p[0] | 1) != '1')
			break;
		*ret_populated = value.p[0] == '1';
		return MF_OK;
	}
	return MF_FAIL(err, MF_E_INVALID, "cgroup.events: no populated line");
}

static enum mf_status
read_own(struct mf_cgroup_fs *fs, int proc_fd, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_PROC_FILE_MAX);
	struct mf_slice path = { 0 };
	MF_TRY(mf_procfile_read(proc_fd, "self/cgroup", &b, err));
	enum mf_status s = mf_procfile_cgroup(mf_buf_slice(&b), &path, err);
	if (s == MF_E_NOMEM)
		return s;
	fs->own = s == MF_OK && mf_cgroup_path_ok(path) ? mf_slice_dup_str(path)
							: mf_slice_dup_str(mf_slice_str(""));
	return fs->own == NULL ? MF_FAIL(err, MF_E_NOMEM, "cgroup: out of memory") : MF_OK;
}

enum mf_status
mf_cgroup_fs_open(int proc_fd, struct mf_cgroup_fs **ret_fs, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf info = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf point = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf root = { 0 };
	mf_buf_init(&info, MOUNTINFO_MAX);
	mf_buf_init(&point, MF_CGROUP_PATH_MAX);
	mf_buf_init(&root, MF_CGROUP_PATH_MAX);
	MF_TRY(mf_procfile_read(proc_fd, "self/mountinfo", &info, err));
	MF_TRY(mf_cgroup_find_mount(mf_buf_slice(&info), &point, &root, err));

	MF_AUTO(mf_cgroup_fs_free) struct mf_cgroup_fs *fs = calloc(1, sizeof(*fs));
	if (fs == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "cgroup: out of memory");
	fs->mount_fd = fs->base_fd = -1;
	fs->point = mf_slice_dup_str(mf_buf_slice(&point));
	fs->root = mf_slice_dup_str(mf_buf_slice(&root));
	fs->base = mf_slice_dup_str(mf_slice_str(""));
	if (fs->point == NULL || fs->root == NULL || fs->base == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "cgroup: out of memory");
	fs->mount_fd = open(fs->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs sfs;
	struct stat st;
	if (fs->mount_fd < 0 || fstatfs(fs->mount_fd, &sfs) < 0 || fstat(fs->mount_fd, &st) < 0)
		return MF_FAIL(err, MF_E_IO, "open %s: %s", fs->point, strerror(errno));
	if ((uint64_t)sfs.f_type != CGROUP2_MAGIC)
		return MF_FAIL(err, MF_E_IO,
		    "%s is covered by another mount; mount cgroup2 where it can be seen", fs->point);
	fs->root_id = st.st_ino;
	MF_TRY(read_own(fs, proc_fd, err));
	*ret_fs = MF_TAKE(fs);
	return MF_OK;
}

void
mf_cgroup_fs_free(struct mf_cgroup_fs *fs)
{
	if (fs == NULL)
		return;
	mf_fd_close(&fs->mount_fd);
	mf_fd_close(&fs->base_fd);
	free(fs->point);
	free(fs->root);
	free(fs->own);
	free(fs->base);
	free(fs);
}

const char *
mf_cgroup_mount_point(const struct mf_cgroup_fs *fs)
{
	return fs->point;
}

uint64_t
mf_cgroup_root_id(const struct mf_cgroup_fs *fs)
{
	return fs->root_id;
}

const char *
mf_cgroup_own_path(const struct mf_cgroup_fs *fs)
{
	return fs->own;
}

const char *
mf_cgroup_base_path(const struct mf_cgroup_fs *fs)
{
	return fs->base;
}

/* May somebody who is not root put processes in here? The directory's owner may make children that can. */
static bool
others_may_write(int dirfd)
{
	static const char *const files[] = { ".", "cgroup.procs", "cgroup.threads" };
	for (size_t i = 0; i < MF_COUNT(files); i++) {
		struct stat st;
		if (fstatat(dirfd, files[i], &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_uid != 0 ||
		    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
			return true;
	}
	return false;
}

/*
 * To move a process into cgroup D the kernel wants write permission on D and on the common ancestor. When no
 * level from D up to the root is writable for others, none can come in from outside; one writable level above
 * makes it possible for a process that is below that level, so all levels count.
 */
bool
mf_cgroup_delegated(const struct mf_cgroup_fs *fs, const struct mf_cgroup *c)
{
	MF_AUTO_IN(mf_fd_close) int at = openat(c->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned depth = 0; at >= 0 && depth < MF_CGROUP_DEPTH_MAX; depth++) {
		struct stat st;
		if (fstat(at, &st) < 0 || others_may_write(at))
			return true;
		if (st.st_ino == fs->root_id)
			return false;
		int up = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		mf_fd_close(&at);
		at = up;
	}
	return true;
}

enum mf_status
mf_cgroup_take(int dirfd, const char *path, struct mf_cgroup *ret_c, struct mf_err *err)
{
	struct stat st;
	if (fstat(dirfd, &st) < 0)
		return MF_FAIL(err, MF_E_IO, "stat of a cgroup: %s", strerror(errno));
	char *copy = path == NULL ? NULL : mf_slice_dup_str(mf_slice_str(path));
	if (path != NULL && copy == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "cgroup: out of memory");
	*ret_c = (struct mf_cgroup) { .fd = dirfd, .id = st.st_ino, .path = copy };
	return MF_OK;
}

/* Open the hierarchy's ${path} through our mount. The mount may show only the part below fs->root. */
static int
open_path(const struct mf_cgroup_fs *fs, const char *path)
{
	size_t skip = strlen(fs->root);
	if (strncmp(path, fs->root, skip) != 0 || (path[skip] != '/' && path[skip] != '\0')) {
		errno = ENOENT;
		return -1;
	}
	const char *rel = path + skip;
	while (*rel == '/')
		rel++;
	return openat(
	    fs->mount_fd, *rel == '\0' ? "." : rel, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

enum mf_status
mf_cgroup_reopen(
    const struct mf_cgroup_fs *fs, const char *path, uint64_t id, struct mf_cgroup *ret_c, struct mf_err *err)
{
	if (!mf_cgroup_path_ok(mf_slice_str(path)))
		return MF_FAIL(err, MF_E_INVALID, "cgroup: path with empty or dot parts");
	MF_AUTO_IN(mf_fd_close) int fd = open_path(fs, path);
	struct stat st;
	if (fd < 0)
		return MF_FAIL(
		    err, errno == ENOENT ? MF_E_NOTFOUND : MF_E_IO, "open cgroup: %s", strerror(errno));
	if (fstat(fd, &st) < 0 || (id != 0 && st.st_ino != id))
		return MF_FAIL(err, MF_E_NOTFOUND, "another cgroup has that name now");
	struct mf_cgroup c;
	MF_TRY(mf_cgroup_take(fd, path, &c, err));
	fd = -1;
	*ret_c = c;
	return MF_OK;
}

/* The directory with inode ${id}, or -1 with errno. */
static int
open_by_id(const struct mf_cgroup_fs *fs, uint64_t id)
{
	union {
		struct file_handle h;
		unsigned char room[sizeof(struct file_handle) + sizeof(uint64_t)];
	} u;
	memset(&u, 0, sizeof(u));
	u.h.handle_bytes = sizeof(id);
	u.h.handle_type = FILEID_KERNFS;
	memcpy(u.h.f_handle, &id, sizeof(id));
	return open_by_handle_at(fs->mount_fd, &u.h, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The hierarchy's path of an open directory, by the kernel's own name of the descriptor. */
static enum mf_status
path_of(const struct mf_cgroup_fs *fs, int fd, struct mf_buf *to, struct mf_err *err)
{
	char link[64], where[MF_CGROUP_PATH_MAX];
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, where, sizeof(where));
	size_t skip = strcmp(fs->point, "/") == 0 ? 0 : strlen(fs->point);
	if (n < 0 || (size_t)n >= sizeof(where))
		return MF_FAIL(err, MF_E_IO, "cgroup: its path is not to be had");
	struct mf_slice got = mf_slice(where, (size_t)n);
	if (!mf_slice_starts(got, mf_slice(fs->point, skip)) || (got.n > skip && got.p[skip] != '/'))
		return MF_FAIL(err, MF_E_NOTFOUND, "cgroup: outside of what the mount shows");
	mf_buf_put_str(to, fs->root);
	mf_buf_put_slice(to, mf_slice_sub(got, skip, got.n));
	if (to->n == 0)
		mf_buf_put_u8(to, '/');
	if (mf_buf_cstr(to) == NULL)
		return mf_buf_check(to, err);
	return MF_OK;
}

enum mf_status
mf_cgroup_resolve(const struct mf_cgroup_fs *fs, uint64_t id, struct mf_slice hint, struct mf_cgroup *ret_c,
    struct mf_err *err)
{
	/* The name first: what is found there must have the inode, and most callers are where they say. */
	if (mf_cgroup_path_ok(hint)) {
		char *path = mf_slice_dup_str(hint);
		if (path == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "cgroup: out of memory");
		enum mf_status s = mf_cgroup_reopen(fs, path, id, ret_c, err);
		free(path);
		if (s != MF_E_NOTFOUND || id == 0)
			return s;
	}
	MF_AUTO_IN(mf_fd_close) int fd = id == 0 ? -1 : open_by_id(fs, id);
	if (fd < 0)
		return MF_FAIL(err, MF_E_NOTFOUND,
		    "the caller's cgroup is gone or cannot be named from here; run the agent in the host's "
		    "cgroup "
		    "namespace");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf path = { 0 };
	mf_buf_init(&path, MF_CGROUP_PATH_MAX);
	MF_TRY(path_of(fs, fd, &path, err));
	/* A removed directory reads "... (deleted)", which is also a lawful name: ask the path again. */
	return mf_cgroup_reopen(fs, mf_buf_cstr(&path), id, ret_c, err);
}

enum mf_status
mf_cgroup_events_open(const struct mf_cgroup *c, int *ret_fd, struct mf_err *err)
{
	int fd = openat(c->fd, "cgroup.events", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return MF_FAIL(err, errno == ENOENT || errno == ENODEV ? MF_E_NOTFOUND : MF_E_IO,
		    "open cgroup.events: %s", strerror(errno));
	*ret_fd = fd;
	return MF_OK;
}

enum mf_status
mf_cgroup_events_read(int events_fd, bool *ret_populated, struct mf_err *err)
{
	char b[EVENTS_MAX];
	ssize_t n;
	do {
		n = pread(events_fd, b, sizeof(b), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return MF_FAIL(err, errno == ENODEV ? MF_E_NOTFOUND : MF_E_IO, "read cgroup.events: %s",
		    strerror(errno));
	return mf_cgroup_parse_events(mf_slice(b, (size_t)n), ret_populated, err);
}
