#include "os/secure_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_LIMIT 256u

static void
close_fd(const int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		(void)close(*fd);
	errno = saved;
}

static enum mf_status
status_of_errno(void)
{
	switch (errno) {
	case ENOENT:
		return MF_E_NOTFOUND;
	case EEXIST:
		return MF_E_EXISTS;
	case EACCES:
	case EPERM:
	case ELOOP:
	case EXDEV:
		return MF_E_DENIED;
	default:
		return MF_E_IO;
	}
}

/* ELOOP and EXDEV are what openat2 answers to a link and to a way out: say so. */
static const char *
why(void)
{
	if (errno == ELOOP)
		return "a symbolic link is in the name: use the file itself";
	if (errno == EXDEV)
		return "the name leads out of its directory";
	return strerror(errno);
}

enum mf_status
mf_file_open(int dirfd, const char *name, int flags, mode_t mode, int *ret_fd, struct mf_err *err)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW |
					      ((flags & O_PATH) != 0 ? 0 : O_NOCTTY)),
		.mode = (flags & O_CREAT) != 0 ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;
	do
		fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	if (fd < 0)
		return MF_FAIL(err, status_of_errno(), "open %s: %s", name, why());
	*ret_fd = (int)fd;
	return MF_OK;
}

enum mf_status
mf_file_check(int fd, const char *what, uid_t owner, mode_t forbidden, struct mf_err *err)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return MF_FAIL(err, MF_E_IO, "stat %s: %s", what, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return MF_FAIL(err, MF_E_DENIED, "%s is no regular file", what);
	if (st.st_nlink > 1)
		return MF_FAIL(err, MF_E_DENIED, "%s has %lu names (hard links): remove the others", what,
		    (unsigned long)st.st_nlink);
	if (st.st_uid != owner && st.st_uid != 0)
		return MF_FAIL(err, MF_E_DENIED,
		    "%s belongs to uid %u; it must belong to uid %u or root: chown it", what, st.st_uid,
		    owner);
	if ((st.st_mode & forbidden) != 0)
		return MF_FAIL(err, MF_E_DENIED, "%s has mode %04o: chmod %04o it", what, st.st_mode & 07777u,
		    st.st_mode & 07777u & ~forbidden);
	return MF_OK;
}

enum mf_status
mf_file_read_all(int fd, struct mf_buf *ret_b, struct mf_err *err)
{
	mf_buf_reset(ret_b);
	for (off_t at = 0;;) {
		uint8_t piece[8192];
		ssize_t n = pread(fd, piece, sizeof(piece), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return MF_FAIL(err, MF_E_IO, "read: %s", strerror(errno));
		if (n == 0)
			return mf_buf_check(ret_b, err);
		mf_buf_put(ret_b, piece, (size_t)n);
		MF_TRY(mf_buf_check(ret_b, err));
		at += n;
	}
}

enum mf_status
mf_file_read(int dirfd, const char *name, struct mf_buf *ret_b, struct mf_err *err)
{
	MF_AUTO_IN(close_fd) int fd = -1;
	MF_TRY(mf_file_open(dirfd, name, O_RDONLY | O_NONBLOCK, 0, &fd, err));
	enum mf_status s = mf_file_read_all(fd, ret_b, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "%s", name);
	return MF_OK;
}

enum mf_status
mf_dir_sync(int dirfd, struct mf_err *err)
{
	if (fsync(dirfd) != 0)
		return MF_FAIL(err, MF_E_IO, "sync of a directory: %s", strerror(errno));
	return MF_OK;
}

static enum mf_status
write_whole(int fd, struct mf_slice content, bool sync, struct mf_err *err)
{
	for (size_t at = 0; at < content.n;) {
		ssize_t n = write(fd, content.p + at, content.n - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return MF_FAIL(err, MF_E_IO, "write: %s", strerror(errno));
		at += (size_t)n;
	}
	if (sync && fsync(fd) != 0)
		return MF_FAIL(err, MF_E_IO, "sync: %s", strerror(errno));
	return MF_OK;
}

enum sync { SYNC_NOTHING, SYNC_FILE, SYNC_BOTH };

static enum mf_status
replace(int dirfd, const char *name, struct mf_slice content, mode_t mode, unsigned how, enum sync sync,
    struct mf_err *err)
{
	char temp[NAME_LIMIT];
	int len = snprintf(temp, sizeof(temp), ".%s.new", name);
	if (len < 0 || (size_t)len >= sizeof(temp) || strchr(name, '/') != NULL)
		return MF_FAIL(err, MF_E_INVALID, "%s is no plain file name", name);
	if (unlinkat(dirfd, temp, 0) != 0 && errno != ENOENT)
		return MF_FAIL(err, status_of_errno(), "remove the left-over %s: %s", temp, strerror(errno));
	MF_AUTO_IN(close_fd) int fd = -1;
	MF_TRY(mf_file_open(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL, mode, &fd, err));
	enum mf_status s = write_whole(fd, content, sync != SYNC_NOTHING, err);
	if (s == MF_OK && fchmod(fd, mode) != 0)
		s = MF_FAIL(err, MF_E_IO, "chmod: %s", strerror(errno));
	if (s == MF_OK && syscall(SYS_renameat2, dirfd, temp, dirfd, name, how) != 0)
		s = MF_FAIL(err, status_of_errno(), "rename: %s", strerror(errno));
	if (s != MF_OK) {
		(void)unlinkat(dirfd, temp, 0);
		return mf_err_wrap(err, s, "%s", name);
	}
	return sync == SYNC_BOTH ? mf_dir_sync(dirfd, err) : MF_OK;
}

enum mf_status
mf_file_write(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err)
{
	return replace(dirfd, name, content, mode, 0, SYNC_BOTH, err);
}

enum mf_status
mf_file_write_one(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err)
{
	return replace(dirfd, name, content, mode, 0, SYNC_FILE, err);
}

enum mf_status
mf_file_write_of_boot(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err)
{
	return replace(dirfd, name, content, mode, 0, SYNC_NOTHING, err);
}

enum mf_status
mf_file_write_new(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err)
{
	return replace(dirfd, name, content, mode, RENAME_NOREPLACE, SYNC_BOTH, err);
}

enum mf_status
mf_file_remove(int dirfd, const char *name, struct mf_err *err)
{
	if (unlinkat(dirfd, name, 0) != 0) {
		if (errno == ENOENT)
			return MF_OK;
		return MF_FAIL(err, status_of_errno(), "remove %s: %s", name, strerror(errno));
	}
	return mf_dir_sync(dirfd, err);
}

static enum mf_status
settle_dir(int fd, const char *path, uid_t owner, gid_t group, mode_t mode, struct mf_err *err)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return MF_FAIL(err, MF_E_IO, "stat %s: %s", path, strerror(errno));
	if (st.st_uid != owner && st.st_uid != 0)
		return MF_FAIL(err, MF_E_DENIED,
		    "%s belongs to uid %u, not to uid %u: chown it or choose another", path, st.st_uid,
		    owner);
	if ((st.st_mode & 0022u & ~mode) != 0)
		return MF_FAIL(err, MF_E_DENIED,
		    "%s has mode %04o, others may write it: choose a directory of Mayfly's own", path,
		    st.st_mode & 07777u);
	if (geteuid() == 0 && (st.st_uid != owner || st.st_gid != group) && fchown(fd, owner, group) != 0)
		return MF_FAIL(err, MF_E_IO, "give %s to uid %u: %s", path, owner, strerror(errno));
	if ((st.st_mode & 07777u) != mode && fchmod(fd, mode) != 0)
		return MF_FAIL(err, MF_E_DENIED, "%s has mode %04o and chmod %04o failed: %s", path,
		    st.st_mode & 07777u, mode, strerror(errno));
	return MF_OK;
}

static enum mf_status
open_dir(int dirfd, const char *path, bool create, uid_t owner, gid_t group, mode_t mode, int *ret_fd,
    struct mf_err *err)
{
	if (create && mkdirat(dirfd, path, mode & 0700u) != 0 && errno != EEXIST)
		return MF_FAIL(err, status_of_errno(), "make directory %s: %s", path, strerror(errno));
	MF_AUTO_IN(close_fd) int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return MF_FAIL(err, errno == ENOTDIR ? MF_E_DENIED : status_of_errno(),
		    "open directory %s: %s", path, why());
	MF_TRY(settle_dir(fd, path, owner, group, mode, err));
	*ret_fd = fd;
	fd = -1;
	return MF_OK;
}

/* Parents of ${path} that are missing; they belong to us and all may pass. */
static enum mf_status
make_parents(const char *path, struct mf_err *err)
{
	char part[4096];
	size_t n = strlen(path);
	if (n >= sizeof(part))
		return MF_FAIL(err, MF_E_INVALID, "directory name of %zu bytes", n);
	for (size_t i = 1; i < n; i++) {
		if (path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return MF_FAIL(
			    err, status_of_errno(), "make directory %s: %s", part, strerror(errno));
	}
	return MF_OK;
}

enum mf_status
mf_dir_make(const char *path, struct mf_err *err)
{
	MF_TRY(make_parents(path, err));
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		return MF_FAIL(err, status_of_errno(), "make directory %s: %s", path, strerror(errno));
	return MF_OK;
}

enum mf_status
mf_dir_open(
    const char *path, bool create, uid_t owner, gid_t group, mode_t mode, int *ret_fd, struct mf_err *err)
{
	if (create)
		MF_TRY(make_parents(path, err));
	return open_dir(AT_FDCWD, path, create, owner, group, mode, ret_fd, err);
}

enum mf_status
mf_dir_open_at(int dirfd, const char *name, bool create, uid_t owner, gid_t group, mode_t mode, int *ret_fd,
    struct mf_err *err)
{
	if (strchr(name, '/') != NULL || strcmp(name, "..") == 0)
		return MF_FAIL(err, MF_E_INVALID, "%s is no plain directory name", name);
	return open_dir(dirfd, name, create, owner, group, mode, ret_fd, err);
}

static enum mf_status
give_one(int dirfd, const char *name, uid_t owner, gid_t group, struct mf_err *err)
{
	MF_AUTO_IN(close_fd) int fd = -1;
	struct stat st;
	/* O_PATH, so that a pipe or device left there is looked at, not opened. */
	MF_TRY(mf_file_open(dirfd, name, O_PATH, 0, &fd, err));
	if (fstat(fd, &st) != 0)
		return MF_FAIL(err, MF_E_IO, "stat %s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return MF_FAIL(err, MF_E_DENIED, "%s is neither file nor directory: remove it", name);
	if (S_ISREG(st.st_mode) && st.st_nlink > 1)
		return MF_FAIL(err, MF_E_DENIED, "%s has hard links elsewhere: remove them", name);
	if ((st.st_uid != owner || st.st_gid != group) && fchownat(fd, "", owner, group, AT_EMPTY_PATH) != 0)
		return MF_FAIL(err, MF_E_IO, "give %s to uid %u: %s", name, owner, strerror(errno));
	return MF_OK;
}

static void
close_dir(DIR *const *d)
{
	if (*d != NULL)
		(void)closedir(*d);
}

enum mf_status
mf_dir_give(int dirfd, uid_t owner, gid_t group, struct mf_err *err)
{
	if (geteuid() != 0)
		return MF_OK;
	int own = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MF_AUTO_IN(close_dir) DIR *d = own < 0 ? NULL : fdopendir(own);
	if (d == NULL) {
		close_fd(&own);
		return MF_FAIL(err, MF_E_IO, "read a directory: %s", strerror(errno));
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		MF_TRY(give_one(dirfd, e->d_name, owner, group, err));
	}
	return MF_OK;
}
