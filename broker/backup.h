/*
 * backup: `mayfly-broker backup`: a copy of a broker's state that a restore begins with.
 *
 *   DIR/FORMAT  DIR/keys/ (as sealed)  DIR/handles/  DIR/log/{checkpoint,vkey,wal/,snapshots/}  DIR/SHA256SUMS
 *
 * The log is there up to a signed head and ends with it. Keys are read before and after the log, so that none is missing that
 * the log names. Not in it: db (made from the log), the key that seals the keys, configuration. Runs beside a broker that
 * serves. All of it is synced, and read back. Blocking; one thread.
 */
#ifndef MF_BROKER_BACKUP_H
#define MF_BROKER_BACKUP_H
#include "broker/backup_list.h"
#include "broker/backup_log.h"

struct mf_backup_report {
	struct mf_backup_log log;
	uint64_t snapshot; /* its size; 0: none */
	size_t files, keys;
};
void mf_backup_report_fini(struct mf_backup_report *r); /* {0} is an empty one */

/*
 * Copy ${state_dir} to ${to}, a new or empty directory. MF_E_EXISTS: it is not empty. After a failure ${to} has no list of
 * files: no restore takes it; remove it.
 */
MF_NODISCARD enum mf_status
mf_broker_backup(const char *state_dir, const char *to, struct mf_backup_report *ret_r, struct mf_err *err);
/*
 * Is ${fd} a backup, and whole? Every file named in its list is read; nothing else is in it; its log is checked to its end.
 * MF_E_NOTFOUND: it has no list; MF_E_CORRUPT names what is wrong.
 */
MF_NODISCARD enum mf_status
mf_backup_check(int fd, struct mf_backup_list *ret_l, struct mf_backup_report *ret_r, struct mf_err *err);
#endif
