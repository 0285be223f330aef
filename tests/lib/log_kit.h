/*
 * log_kit: a log with records of the usual shape, in a real directory: DIR/{checkpoint,vkey,wal/}. For tests of
 * programs that read logs.
 */
#ifndef MF_TEST_LOG_KIT_H
#define MF_TEST_LOG_KIT_H
#include "log/checkpoint.h"

struct log_kit {
	int dirfd, waldirfd;
	struct mf_ed25519 *key;
	struct mf_note_key vkey;
	struct mf_wal *wal;
	struct mf_checkpointer *cp;
	int64_t ts_us; /* of the next record */
	uint64_t next;
};

/* Makes ${dir} and begins the log; ${start_us} is the first record's time. Aborts on failure, as all of these. */
void mf_log_kit_open(struct log_kit *k, const char *dir, int64_t start_us, uint64_t segment);
void mf_log_kit_close(struct log_kit *k);
/* ${n} records in batches of ${batch}: jobs of seven records each, from lease.opened to lease.ended. */
void mf_log_kit_append(struct log_kit *k, uint64_t n, uint64_t batch);
void mf_log_kit_sign(struct log_kit *k);
#endif
