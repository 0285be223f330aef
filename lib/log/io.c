#include "log/io.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int
sys_open(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	MF_UNUSED(ctx);
	return openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
}

static int
sys_close(void *ctx, int fd)
{
	MF_UNUSED(ctx);
	return close(fd);
}

static int
sys_lock(void *ctx, int fd)
{
	MF_UNUSED(ctx);
	return flock(fd, LOCK_EX | LOCK_NB);
}

static ssize_t
sys_pread(void *ctx, int fd, void *to, size_t n, uint64_t at)
{
	MF_UNUSED(ctx);
	return pread(fd, to, n, (off_t)at);
}

static ssize_t
sys_pwrite(void *ctx, int fd, const void *from, size_t n, uint64_t at)
{
	MF_UNUSED(ctx);
	return pwrite(fd, from, n, (off_t)at);
}

static int
sys_fdatasync(void *ctx, int fd)
{
	MF_UNUSED(ctx);
	return fdatasync(fd);
}

static int
sys_fsync(void *ctx, int fd)
{
	MF_UNUSED(ctx);
	return fsync(fd);
}

static int
sys_allocate(void *ctx, int fd, uint64_t n)
{
	MF_UNUSED(ctx);
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)n);
}

static int
sys_truncate(void *ctx, int fd, uint64_t n)
{
	MF_UNUSED(ctx);
	return ftruncate(fd, (off_t)n);
}

static int
sys_size(void *ctx, int fd, uint64_t *ret_n)
{
	MF_UNUSED(ctx);
	struct stat st;
	if (fstat(fd, &st) != 0)
		return -1;
	*ret_n = (uint64_t)st.st_size;
	return 0;
}

static int
sys_rename(void *ctx, int dirfd, const char *from, const char *to)
{
	MF_UNUSED(ctx);
	return renameat(dirfd, from, dirfd, to);
}

static int
sys_unlink(void *ctx, int dirfd, const char *name)
{
	MF_UNUSED(ctx);
	return unlinkat(dirfd, name, 0);
}

static int
sys_list(void *ctx, int dirfd, bool (*each)(void *arg, const char *name), void *arg)
{
	MF_UNUSED(ctx);
	/* An own description: the caller's keeps its position. */
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	DIR *d = fdopendir(fd);
	if (d == NULL) {
		(void)close(fd);
		return -1;
	}
	int r = 0;
	for (;;) {
		errno = 0;
		const struct dirent *e = readdir(d);
		if (e == NULL) {
			r = errno == 0 ? 0 : -1;
			break;
		}
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (!each(arg, e->d_name))
			break;
	}
	int saved = errno;
	(void)closedir(d);
	errno = saved;
	return r;
}

static int
sys_mkdir(void *ctx, int dirfd, const char *name, mode_t mode)
{
	MF_UNUSED(ctx);
	return mkdirat(dirfd, name, mode);
}

const struct mf_log_io *
mf_log_io_system(void)
{
	static const struct mf_log_io io = { NULL, sys_open, sys_close, sys_lock, sys_pread, sys_pwrite,
		sys_fdatasync, sys_fsync, sys_allocate, sys_truncate, sys_size, sys_rename, sys_unlink,
		sys_list, sys_mkdir };
	return &io;
}

bool
mf_log_io_full(void)
{
	return errno == ENOSPC || errno == EDQUOT;
}

enum mf_status
mf_log_io_fail(struct mf_err *err, const char *what, const char *name)
{
	char text[128];
	enum mf_status s = errno == ENOENT ? MF_E_NOTFOUND : mf_log_io_full() ? MF_E_EXHAUSTED : MF_E_IO;
	return MF_FAIL(err, s, "%s %s: %s", what, name, strerror_r(errno, text, sizeof(text)));
}

ssize_t
mf_log_io_read(const struct mf_log_io *io, int fd, void *to, size_t n, uint64_t at)
{
	size_t have = 0;
	while (have < n) {
		ssize_t r = io->pread(io->ctx, fd, (uint8_t *)to + have, n - have, at + have);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		have += (size_t)r;
	}
	return (ssize_t)have;
}

/* Content on disk under the temp name, not yet renamed. Keeps errno of the first failure. */
static bool
write_temp(const struct mf_log_io *io, int dirfd, const char *tmp, struct mf_slice content)
{
	int fd = io->open(io->ctx, dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0640);
	if (fd < 0)
		return false;
	size_t done = 0;
	bool ok = true;
	while (ok && done < content.n) {
		ssize_t w = io->pwrite(io->ctx, fd, content.p + done, content.n - done, done);
		if (w < 0 && errno == EINTR)
			continue;
		ok = w > 0;
		done += w > 0 ? (size_t)w : 0;
	}
	ok = ok && io->fsync(io->ctx, fd) == 0;
	int saved = errno;
	if (io->close(io->ctx, fd) != 0 && ok)
		return false;
	errno = saved;
	return ok;
}

enum mf_status
mf_log_io_replace(
    const struct mf_log_io *io, int dirfd, const char *name, struct mf_slice content, struct mf_err *err)
{
	char tmp[64];
	int n = snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return MF_FAIL(err, MF_E_INVALID, "replace: name too long");
	if (!write_temp(io, dirfd, tmp, content)) {
		enum mf_status s = mf_log_io_fail(err, "write", tmp);
		(void)io->unlink(io->ctx, dirfd, tmp);
		return s;
	}
	if (io->rename(io->ctx, dirfd, tmp, name) != 0) {
		enum mf_status s = mf_log_io_fail(err, "rename to", name);
		(void)io->unlink(io->ctx, dirfd, tmp);
		return s;
	}
	if (io->fsync(io->ctx, dirfd) != 0)
		return mf_log_io_fail(err, "sync directory of", name);
	return MF_OK;
}

enum mf_status
mf_log_io_load(const struct mf_log_io *io, int dirfd, const char *name, struct mf_buf *to, struct mf_err *err)
{
	int fd = io->open(io->ctx, dirfd, name, O_RDONLY, 0);
	if (fd < 0)
		return mf_log_io_fail(err, "open", name);
	uint64_t size = 0;
	enum mf_status s = MF_OK;
	if (io->size(io->ctx, fd, &size) != 0) {
		s = mf_log_io_fail(err, "stat", name);
	} else if (size > to->max) {
		s = MF_FAIL(err, MF_E_TOOBIG, "%s: more than %zu bytes", name, to->max);
	} else {
		uint8_t *at = mf_buf_extend(to, (size_t)size);
		ssize_t got = at == NULL ? 0 : mf_log_io_read(io, fd, at, (size_t)size, 0);
		if (at == NULL)
			s = mf_buf_check(to, err);
		else if (got < 0)
			s = mf_log_io_fail(err, "read", name);
		else
			to->n -= (size_t)size - (size_t)got;
	}
	(void)io->close(io->ctx, fd);
	return s;
}
