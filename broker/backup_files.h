/*
 * backup_files: files and directories on their way into a backup and out of it. Whatever is written is synced; names are
 * those of backup_list.h, relative to a directory descriptor, no links anywhere. Blocking; one thread.
 */
#ifndef MF_BROKER_BACKUP_FILES_H
#define MF_BROKER_BACKUP_FILES_H
#include <sys/types.h>

#include "broker/backup_list.h"

/* The directories of a state directory that a backup has, parents first; NULL at the end. */
extern const char *const mf_backup_dirs[];

/* The SHA-256 of ${name} as it is read now. */
MF_NODISCARD enum mf_status
mf_backup_sum(int dirfd, const char *name, uint8_t ret_sha256[MF_SHA256_SIZE], struct mf_err *err);
/*
 * Copy the first ${bytes} of ${name} (UINT64_MAX: all) from ${from} to ${to}, where it must not exist, and sync it. MF_E_NOTFOUND
 * when there is none; MF_E_IO when it is shorter.
 */
MF_NODISCARD enum mf_status mf_backup_copy(int from, int to, const char *name, uint64_t bytes, mode_t mode,
    uint8_t ret_sha256[MF_SHA256_SIZE], struct mf_err *err);
/* Make ${path} (its parent is there) and mf_backup_dirs in it; an empty directory is taken. MF_E_EXISTS: it is not empty. */
MF_NODISCARD enum mf_status mf_backup_make_dirs(const char *path, int *ret_fd, struct mf_err *err);
/* Sync all of mf_backup_dirs and ${fd} itself. */
MF_NODISCARD enum mf_status mf_backup_sync_dirs(int fd, struct mf_err *err);
/* The directory that ${path} lies in: synced, so that a new name in it stays. */
MF_NODISCARD enum mf_status mf_backup_sync_parent(const char *path, struct mf_err *err);
/*
 * Calls ${each} for every regular file directly in ${dir} ("." for ${fd} itself); ends at its first failure. A directory that
 * is not there is empty.
 */
MF_NODISCARD enum mf_status mf_backup_each(int fd, const char *dir,
    enum mf_status (*each)(void *ctx, const char *name, struct mf_err *err), void *ctx, struct mf_err *err);
/* Is there nothing in ${fd}? */
bool mf_backup_is_empty(int fd);
#endif
