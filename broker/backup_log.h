/*
 * backup_log: a log up to its signed head, read and checked frame by frame, as files: which segments, how much of the last
 * one. Beside a broker that writes it or without one; never writes. Blocking; one thread.
 */
#ifndef MF_BROKER_BACKUP_LOG_H
#define MF_BROKER_BACKUP_LOG_H
#include "broker/core/key.h"
#include "log/checkpoint.h"

#define MF_BACKUP_KEYS 24u /* CA keys that live at a time; the engine makes 16 at most */

/* A CA key that the log knows at its head, and whose file a backup therefore has. */
struct mf_backup_key {
	char id[MF_KEY_ID_MAX];
	bool first; /* the generation of init: its file is ca.key */
	bool signs; /* active or prepared: without its file the broker does not start, or loses it */
};

struct mf_backup_log {
	struct mf_note_key key; /* of the file vkey; its name is the log's origin */
	struct mf_buf note;	/* the signed head as it lies there */
	struct mf_wal_head head;
	struct mf_backup_segment {
		uint64_t first, bytes;
	} * segments;
	size_t segments_n, segments_cap;
	struct mf_backup_key keys[MF_BACKUP_KEYS];
	size_t keys_n;
	int64_t last_us; /* of the last record under the head */
	uint64_t bytes;
};

void mf_backup_log_fini(struct mf_backup_log *l); /* {0} is an empty one */
/*
 * The log in ${log_dirfd}. ${whole}: nothing may stand after the head (a backup), else MF_E_CORRUPT. MF_E_NOTFOUND: no signed
 * head; MF_E_CORRUPT, MF_E_UNAUTH as the verifier says.
 */
MF_NODISCARD enum mf_status
mf_backup_log_read(int log_dirfd, bool whole, struct mf_backup_log *ret_l, struct mf_err *err);
#endif
