/*
 * backup_list: what a backup holds, file by file: its file SHA256SUMS, as sha256sum(1) writes and checks it:
 *
 *   <64 hex letters><two blanks><name>\n
 *
 * A name is FORMAT, or one plain file in log, log/wal, log/snapshots, keys or handles. Written last, so that a backup that
 * has it is whole. Pure but for memory.
 */
#ifndef MF_BROKER_BACKUP_LIST_H
#define MF_BROKER_BACKUP_LIST_H
#include "base/buf.h"
#include "crypto/hash.h"

#define MF_BACKUP_LIST "SHA256SUMS"
#define MF_BACKUP_NAME 80u /* bytes of a name with its NUL */
#define MF_BACKUP_LIST_MAX \
	(16u * 1024u * 1024u) /* bytes of the file: 100,000 segments, that is 6 TiB of log */

struct mf_backup_file {
	char name[MF_BACKUP_NAME];
	uint8_t sha256[MF_SHA256_SIZE];
};

struct mf_backup_list {
	struct mf_backup_file *v;
	size_t n, cap;
};

void mf_backup_list_fini(struct mf_backup_list *l); /* leaves an empty one; {0} is one */
/* Replaces the sum when the name is there. MF_E_INVALID: no such name may be in a backup. */
MF_NODISCARD enum mf_status mf_backup_list_add(
    struct mf_backup_list *l, const char *name, const uint8_t sha256[MF_SHA256_SIZE], struct mf_err *err);
/* NULL when it is not there. */
const struct mf_backup_file *mf_backup_list_find(const struct mf_backup_list *l, const char *name);
void mf_backup_list_put(const struct mf_backup_list *l, struct mf_buf *to);
/* The whole of ${text}, each name once, or MF_E_INVALID; adds to an empty ${l}. */
MF_NODISCARD enum mf_status
mf_backup_list_parse(struct mf_slice text, struct mf_backup_list *l, struct mf_err *err);
#endif
