/*
 * lineage: the names that one log has had. A log that was restored from a copy goes on under another name (origin): its
 * record log.restored says which log it continues, how many records of it, and their root. So who trusts the key of the
 * former name, or holds a head of it, can follow. Pure; memory for each restore.
 */
#ifndef MF_LOG_LINEAGE_H
#define MF_LOG_LINEAGE_H
#include "codec/json.h"
#include "log/checkpoint.h"

struct mf_lineage_link {
	uint64_t index; /* of the log.restored: so many records of the former log are continued */
	char from[MF_LIM_NOTE_NAME + 1], to[MF_LIM_NOTE_NAME + 1];
	bool whole; /* nothing is missing, it says */
};

struct mf_lineage {
	struct mf_lineage_link *v;
	size_t n, cap;
};

void mf_lineage_fini(struct mf_lineage *l); /* {0} is an empty one */
/*
 * The record log.restored with this index; ${root}: of the records before it; ${key}: the log's public key, under any of its
 * names. MF_E_CORRUPT: it does not continue what stands before it, or names another key.
 */
MF_NODISCARD enum mf_status mf_lineage_add(struct mf_lineage *l, const struct mf_json_value *record,
    uint64_t index, const uint8_t root[MF_HASH_SIZE], const struct mf_note_key *key, struct mf_err *err);
/* Has the log had that name? ${last}: of a log without restores. */
bool mf_lineage_knows(const struct mf_lineage *l, const char *name, const char *last);
/* Its name at ${size} records; ${last}: of a log without restores. */
const char *mf_lineage_name(const struct mf_lineage *l, uint64_t size, const char *last);
/*
 * Does the log go on from the head ${held}, which somebody kept? MF_E_CORRUPT, with the cure: it was restored from a copy
 * that is older.
 */
MF_NODISCARD enum mf_status
mf_lineage_continues(const struct mf_lineage *l, const struct mf_checkpoint *held, struct mf_err *err);
/* A signed head by ${key}, whatever name of the log it bears: whether it had that name is still to be asked. */
MF_NODISCARD enum mf_status mf_lineage_open_head(
    struct mf_slice note, const struct mf_note_key *key, struct mf_checkpoint *ret_cp, struct mf_err *err);
#endif
