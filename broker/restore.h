/*
 * restore: `mayfly-broker restore`: a state directory from a backup.
 *
 * The backup is checked as backup.h says, copied beside the state directory, its keys opened, its log replayed and given one
 * more record: log.restored, the first of a new log (a new origin) that names the old one, its size and root. The next start
 * finds that record and does the rest (broker/notary/restored.c). Only then the new directory takes the old one's place, in
 * one step: a crash leaves the old state or the new one. The old one stays beside it, as STATE.before-restore-<time>.
 * Blocking; one thread.
 */
#ifndef MF_BROKER_RESTORE_H
#define MF_BROKER_RESTORE_H
#include <sys/types.h>

#include "broker/backup.h"
#include "crypto/kek.h"

#define MF_RESTORE_PATH 1024u /* bytes of the paths of state directories with their NUL */

struct mf_restore_conf {
	const char *trust_domain, *broker_id;
	const char *state_dir; /* no slash at its end */
	const char *from;      /* the backup */
	const char *head;      /* file: the last head that the log signed; NULL: nobody has it */
	const char *stamp;     /* for the name of the old state */
	const char *kek_file;  /* "": the KEK is no file. One in the state directory is copied */
	struct mf_kek *kek;
	uint64_t segment; /* bytes of a segment */
	bool force;	  /* there is a broker already: put it aside */
	uid_t notary_uid, front_uid;
	gid_t notary_gid, front_gid;
};

struct mf_restore_report {
	struct mf_backup_report backup;
	char origin[MF_LIM_NOTE_NAME + 1]; /* of the new log */
	bool whole;			   /* the head shows that nothing is missing */
	bool put_aside;			   /* the old state is in aside */
	char aside[MF_RESTORE_PATH];
};
void mf_restore_report_fini(struct mf_restore_report *r);

/*
 * MF_E_EXISTS: there is a broker, and no ${force}; MF_E_STATE: one runs there, or ${head} shows that records are missing;
 * MF_E_INVALID: it is another broker's backup, or ${head} another log's head. Nothing was changed then.
 */
MF_NODISCARD enum mf_status
mf_broker_restore(const struct mf_restore_conf *conf, struct mf_restore_report *ret_r, struct mf_err *err);
#endif
