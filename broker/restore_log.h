/* restore_log: the log of a restored state gets its new name. For restore.c alone. */
#ifndef MF_BROKER_RESTORE_LOG_H
#define MF_BROKER_RESTORE_LOG_H
#include "broker/backup_log.h"
#include "broker/keys/broker_keys.h"

struct mf_restore_log_conf {
	const char *trust_domain, *broker_id;
	const struct mf_backup_log *log; /* what was read and checked of it */
	struct mf_broker_keys *keys;
	const struct mf_ca_key_conf *ca;
	uint64_t segment;
	bool whole;
};

/* MF_E_INVALID: it is another broker's log. */
MF_NODISCARD enum mf_status mf_restore_log_is_ours(
    const char *trust_domain, const char *broker_id, const struct mf_backup_log *l, struct mf_err *err);
/*
 * Replay the log in ${log_dirfd}, open the CA keys that it says are in use, append log.restored under a new origin, sign that
 * head, and keep the former one as checkpoint-<16-digit size>.
 */
MF_NODISCARD enum mf_status mf_restore_log(int log_dirfd, const struct mf_restore_log_conf *conf,
    char ret_origin[MF_LIM_NOTE_NAME + 1], struct mf_err *err);
#endif
