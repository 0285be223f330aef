#include "broker/backup_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/secure_file.h"

#define CHUNK 4096u

const char *const mf_backup_dirs[] = { "keys", "handles", "log", "log/wal", "log/snapshots", NULL };

static void
close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static void
close_dir(DIR *const *d)
{
	if (*d != NULL)
		(void)closedir(*d);
}

/* ---- one file ---- */

static enum mf_status
open_regular(int dirfd, const char *name, int *ret_fd, struct mf_err *err)
{
	struct stat st;
	int fd = -1;
	MF_TRY(mf_file_open(dirfd, name, O_RDONLY | O_NONBLOCK, 0, &fd, err));
	enum mf_status s = MF_OK;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		s = MF_FAIL(err, MF_E_DENIED, "%s is no regular file", name);
	if (s != MF_OK)
		(void)close(fd);
	else
		*ret_fd = fd;
	return s;
}

static enum mf_status
write_all(int fd, const uint8_t *p, size_t n, const char *name, struct mf_err *err)
{
	for (size_t at = 0; at < n;) {
		ssize_t w = write(fd, p + at, n - at);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return MF_FAIL(err, errno == ENOSPC || errno == EDQUOT ? MF_E_EXHAUSTED : MF_E_IO,
			    "write %s: %s", name, strerror(errno));
		at += (size_t)w;
	}
	return MF_OK;
}

/* From the place of ${fd}, at most ${bytes}, into the sum and into ${to} (-1: nowhere). *ret_n: how many. */
static enum mf_status
pour(int fd, int to, uint64_t bytes, const char *name, uint8_t ret_sha256[MF_SHA256_SIZE], uint64_t *ret_n,
    struct mf_err *err)
{
	MF_AUTO(mf_sha256_ctx_free) struct mf_sha256_ctx *sum = NULL;
	uint8_t piece[CHUNK];
	uint64_t done = 0;
	MF_TRY(mf_sha256_ctx_new(&sum, err));
	while (done < bytes) {
		size_t want = bytes - done < sizeof(piece) ? (size_t)(bytes - done) : sizeof(piece);
		ssize_t n = read(fd, piece, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return MF_FAIL(err, MF_E_IO, "read %s: %s", name, strerror(errno));
		if (n == 0)
			break;
		mf_sha256_update(sum, mf_slice(piece, (size_t)n));
		if (to >= 0)
			MF_TRY(write_all(to, piece, (size_t)n, name, err));
		done += (uint64_t)n;
	}
	mf_sha256_final(sum, ret_sha256);
	*ret_n = done;
	return MF_OK;
}

enum mf_status
mf_backup_sum(int dirfd, const char *name, uint8_t ret_sha256[MF_SHA256_SIZE], struct mf_err *err)
{
	MF_AUTO_IN(close_fd) int fd = -1;
	uint64_t n;
	MF_TRY(open_regular(dirfd, name, &fd, err));
	return pour(fd, -1, UINT64_MAX, name, ret_sha256, &n, err);
}

enum mf_status
mf_backup_copy(int from, int to, const char *name, uint64_t bytes, mode_t mode,
    uint8_t ret_sha256[MF_SHA256_SIZE], struct mf_err *err)
{
	MF_AUTO_IN(close_fd) int in = -1;
	MF_AUTO_IN(close_fd) int out = -1;
	uint64_t n;
	MF_TRY(open_regular(from, name, &in, err));
	MF_TRY(mf_file_open(to, name, O_WRONLY | O_CREAT | O_EXCL, 0600, &out, err));
	MF_TRY(pour(in, out, bytes, name, ret_sha256, &n, err));
	if (bytes != UINT64_MAX && n != bytes)
		return MF_FAIL(err, MF_E_IO, "%s became shorter while it was copied", name);
	if (fchmod(out, mode) != 0 || fsync(out) != 0)
		return MF_FAIL(err, MF_E_IO, "sync %s: %s", name, strerror(errno));
	return MF_OK;
}

/* ---- directories ---- */

/* A stream over the directory ${dir} of ${fd}; NULL with errno. */
static DIR *
open_dir(int fd, const char *dir)
{
	int own = openat(fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = own < 0 ? NULL : fdopendir(own);
	if (d == NULL)
		close_fd(&own);
	return d;
}

static bool
is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

bool
mf_backup_is_empty(int fd)
{
	MF_AUTO_IN(close_dir) DIR *d = open_dir(fd, ".");
	struct dirent *e;
	while (d != NULL && (e = readdir(d)) != NULL)
		if (!is_dots(e->d_name))
			return false;
	return d != NULL;
}

enum mf_status
mf_backup_each(int fd, const char *dir,
    enum mf_status (*each)(void *ctx, const char *name, struct mf_err *err), void *ctx, struct mf_err *err)
{
	MF_AUTO_IN(close_dir) DIR *d = open_dir(fd, dir);
	if (d == NULL)
		return errno == ENOENT ? MF_OK : MF_FAIL(err, MF_E_IO, "open %s: %s", dir, strerror(errno));
	for (;;) {
		struct stat st;
		errno = 0;
		struct dirent *e = readdir(d);
		if (e == NULL)
			return errno == 0 ? MF_OK
					  : MF_FAIL(err, MF_E_IO, "read %s: %s", dir, strerror(errno));
		/* What vanishes meanwhile is not there. */
		if (is_dots(e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		MF_TRY(each(ctx, e->d_name, err));
	}
}

enum mf_status
mf_backup_make_dirs(const char *path, int *ret_fd, struct mf_err *err)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return MF_FAIL(err, MF_E_IO, "make directory %s: %s", path, strerror(errno));
	int fd = -1;
	MF_TRY(mf_dir_open(path, false, geteuid(), getegid(), 0700, &fd, err));
	enum mf_status s = mf_backup_is_empty(fd)
			       ? MF_OK
			       : MF_FAIL(err, MF_E_EXISTS, "%s is not empty: name a new directory", path);
	for (size_t i = 0; s == MF_OK && mf_backup_dirs[i] != NULL; i++)
		if (mkdirat(fd, mf_backup_dirs[i], 0700) != 0)
			s = MF_FAIL(err, MF_E_IO, "make directory %s/%s: %s", path, mf_backup_dirs[i],
			    strerror(errno));
	if (s != MF_OK)
		(void)close(fd);
	else
		*ret_fd = fd;
	return s;
}

enum mf_status
mf_backup_sync_dirs(int fd, struct mf_err *err)
{
	for (size_t i = 0; mf_backup_dirs[i] != NULL; i++) {
		MF_AUTO_IN(close_fd)
		int sub = openat(fd, mf_backup_dirs[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (sub < 0 || fsync(sub) != 0)
			return MF_FAIL(err, MF_E_IO, "sync %s: %s", mf_backup_dirs[i], strerror(errno));
	}
	return fsync(fd) == 0 ? MF_OK : MF_FAIL(err, MF_E_IO, "sync: %s", strerror(errno));
}

enum mf_status
mf_backup_sync_parent(const char *path, struct mf_err *err)
{
	char dir[4096] = ".";
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
	if (n >= sizeof(dir))
		return MF_FAIL(err, MF_E_TOOBIG, "%s: the path is too long", path);
	if (n > 0) {
		memcpy(dir, path, n);
		dir[n] = '\0';
	}
	MF_AUTO_IN(close_fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		return MF_FAIL(err, MF_E_IO, "sync %s: %s", dir, strerror(errno));
	return MF_OK;
}
