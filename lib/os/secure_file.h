/*
 * secure_file: files that hold keys, state or authority.
 *
 * Everything is relative to a directory descriptor that somebody trusted opened. Names are resolved by
 * openat2 below it: no symlink anywhere in the name, no "..", no other mount tricks. Nothing here caches, so
 * any thread may call it. Errors: MF_E_NOTFOUND, MF_E_EXISTS, MF_E_DENIED (owner, mode or kind is wrong: the
 * text says what to change), MF_E_TOOBIG, MF_E_IO.
 */
#ifndef MF_OS_SECURE_FILE_H
#define MF_OS_SECURE_FILE_H
#include <sys/types.h>

#include "base/buf.h"

/* Permission bits that must not be set. */
#define MF_FILE_PRIVATE 0077u	 /* nobody but the owner */
#define MF_FILE_NO_WRITERS 0022u /* all may read */

/*
 * open ${name} below ${dirfd} with open(2) ${flags} (O_CLOEXEC and O_NOFOLLOW are added) and ${mode} for
 * O_CREAT.
 */
MF_NODISCARD enum mf_status
mf_file_open(int dirfd, const char *name, int flags, mode_t mode, int *ret_fd, struct mf_err *err);
/*
 * ${fd} is a regular file with one name, owned by ${owner} or root, and none of the ${forbidden} bits set.
 * ${what} names it in the text.
 */
MF_NODISCARD enum mf_status
mf_file_check(int fd, const char *what, uid_t owner, mode_t forbidden, struct mf_err *err);
/* The whole file from its start, whatever the offset; ${ret_b} was initialised with the cap. */
MF_NODISCARD enum mf_status mf_file_read_all(int fd, struct mf_buf *ret_b, struct mf_err *err);
/* open + read_all. */
MF_NODISCARD enum mf_status
mf_file_read(int dirfd, const char *name, struct mf_buf *ret_b, struct mf_err *err);
/*
 * Replace ${name} by ${content} so that a crash leaves the old or the new file: a temporary file
 * (".NAME.new") is written, synced and renamed, then the directory is synced.
 */
MF_NODISCARD enum mf_status
mf_file_write(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err);
/* As write, but the name is not durable before mf_dir_sync: for many at a time. */
MF_NODISCARD enum mf_status
mf_file_write_one(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err);
MF_NODISCARD enum mf_status mf_dir_sync(int dirfd, struct mf_err *err);
/* As write without any sync: for what a restart of the process needs and a new boot does not. */
MF_NODISCARD enum mf_status
mf_file_write_of_boot(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err);
/* As write, but MF_E_EXISTS when ${name} is there: for keys, which are never overwritten. */
MF_NODISCARD enum mf_status
mf_file_write_new(int dirfd, const char *name, struct mf_slice content, mode_t mode, struct mf_err *err);
/* Unlink and sync the directory; a name that is not there is MF_OK. */
MF_NODISCARD enum mf_status mf_file_remove(int dirfd, const char *name, struct mf_err *err);

/*
 * Open the directory ${path}. With ${create}, make it and its missing parents (0755 for parents, ${mode} for
 * itself). It must be a directory, no symlink, owned by ${owner} or root. With root's power a directory owned
 * by root is given to ${owner}:${group}; its mode becomes ${mode}. One that was there and that others may write is
 * MF_E_DENIED, not repaired: somebody shares it (/tmp). *ret_fd is O_DIRECTORY and CLOEXEC.
 */
MF_NODISCARD enum mf_status mf_dir_open(
    const char *path, bool create, uid_t owner, gid_t group, mode_t mode, int *ret_fd, struct mf_err *err);
/* The same below ${dirfd}, one component. */
MF_NODISCARD enum mf_status mf_dir_open_at(int dirfd, const char *name, bool create, uid_t owner, gid_t group,
    mode_t mode, int *ret_fd, struct mf_err *err);
/* Make ${path} and its parents where they are missing, as 0755; what is there stays as it is. */
MF_NODISCARD enum mf_status mf_dir_make(const char *path, struct mf_err *err);
/*
 * Give what lies directly in ${dirfd} (regular files and directories, not their content, no symlinks) to
 * ${owner}:${group}: after a role's user changed. No-op without root's power.
 */
MF_NODISCARD enum mf_status mf_dir_give(int dirfd, uid_t owner, gid_t group, struct mf_err *err);
#endif
