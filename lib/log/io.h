/*
 * io: every system call of the log, as a table, so that tests and the simulation can fail, cut or count
 * each of them. Members behave like the calls they are named for: -1 and errno on failure.
 *
 * All file access of lib/log is relative to a directory descriptor.
 */
#ifndef MF_LOG_IO_H
#define MF_LOG_IO_H
#include <fcntl.h>
#include <sys/types.h>

#include "base/buf.h"

struct mf_log_io {
	void *ctx;
	int (*open)(void *ctx, int dirfd, const char *name, int flags,
	    mode_t mode); /* O_CLOEXEC|O_NOFOLLOW are added */
	int (*close)(void *ctx, int fd);
	int (*lock)(void *ctx, int fd); /* flock, exclusive, without waiting */
	ssize_t (*pread)(void *ctx, int fd, void *to, size_t n, uint64_t at);
	ssize_t (*pwrite)(void *ctx, int fd, const void *from, size_t n, uint64_t at);
	int (*fdatasync)(void *ctx, int fd);
	int (*fsync)(void *ctx, int fd);		/* files and directories */
	int (*allocate)(void *ctx, int fd, uint64_t n); /* blocks for [0, n); the file's size stays */
	int (*truncate)(void *ctx, int fd, uint64_t n);
	int (*size)(void *ctx, int fd, uint64_t *ret_n);
	int (*rename)(void *ctx, int dirfd, const char *from, const char *to);
	int (*unlink)(void *ctx, int dirfd, const char *name);
	/* Calls ${each} for every name in the directory but . and .. ; ends early when it returns false. */
	int (*list)(void *ctx, int dirfd, bool (*each)(void *arg, const char *name), void *arg);
	int (*mkdir)(void *ctx, int dirfd, const char *name, mode_t mode);
};

/* The system's. Static; its ctx is NULL. */
const struct mf_log_io *mf_log_io_system(void);

/* "${what} ${name}: <strerror>", MF_E_NOTFOUND for ENOENT, MF_E_EXHAUSTED for a full disk or quota, else
 * MF_E_IO. */
enum mf_status mf_log_io_fail(struct mf_err *err, const char *what, const char *name);
/* True when errno says that there is no room (ENOSPC, EDQUOT). */
bool mf_log_io_full(void);
/* All ${n} bytes, retrying EINTR and short reads; fewer only at the end of the file. -1 on failure. */
ssize_t mf_log_io_read(const struct mf_log_io *io, int fd, void *to, size_t n, uint64_t at);
/*
 * Replace ${name} by ${content}: temp file, fsync, rename, fsync of the directory. MF_OK means that the new
 * content is on disk; a failure leaves the old or the new one, whole.
 */
MF_NODISCARD enum mf_status mf_log_io_replace(
    const struct mf_log_io *io, int dirfd, const char *name, struct mf_slice content, struct mf_err *err);
/* The whole file, at most what ${to} may hold. MF_E_NOTFOUND when there is none. */
MF_NODISCARD enum mf_status mf_log_io_load(
    const struct mf_log_io *io, int dirfd, const char *name, struct mf_buf *to, struct mf_err *err);
#endif
