/*
 * checkpoint: the signed head of the log (C2SP tlog-checkpoint): a note whose text is
 *
 *   <origin>\n<size, decimal>\n<base64 root>\n
 *
 * in the file `checkpoint` of the log's directory (beside wal/). It is signed only for what is durable: a
 * head signed before the sync could outlive the records and later look like a fork.
 */
#ifndef MF_LOG_CHECKPOINT_H
#define MF_LOG_CHECKPOINT_H
#include "log/note.h"
#include "log/wal.h"

#define MF_CHECKPOINT_NAME "checkpoint"
#define MF_VKEY_NAME "vkey"

struct mf_checkpoint {
	char origin[MF_LIM_NOTE_NAME + 1];
	struct mf_wal_head head;
};

/* The note's text. */
void mf_checkpoint_put(const struct mf_checkpoint *cp, struct mf_buf *to);
/* Strict; lines after the root (extensions) must not be empty and are ignored. MF_E_INVALID. */
MF_NODISCARD enum mf_status
mf_checkpoint_parse(struct mf_slice text, struct mf_checkpoint *ret_cp, struct mf_err *err);
/* A signed checkpoint, by ${key}, whose name must be the origin. Fails as mf_note_open, or MF_E_INVALID. */
MF_NODISCARD enum mf_status mf_checkpoint_open(
    struct mf_slice note, const struct mf_note_key *key, struct mf_checkpoint *ret_cp, struct mf_err *err);
/*
 * The file in ${dirfd}; MF_E_NOTFOUND when there is none. A file that is no checkpoint of ${key} is
 * MF_E_CORRUPT or MF_E_UNAUTH, with the cure.
 */
MF_NODISCARD enum mf_status mf_checkpoint_load(const struct mf_log_io *io, int dirfd,
    const struct mf_note_key *key, struct mf_checkpoint *ret_cp, struct mf_err *err);
/* The same, opened by ${open} (mf_checkpoint_open, or one that takes more). */
typedef enum mf_status mf_checkpoint_open_fn(
    struct mf_slice note, const struct mf_note_key *key, struct mf_checkpoint *ret_cp, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_checkpoint_load_by(const struct mf_log_io *io, int dirfd, mf_checkpoint_open_fn *open,
    const struct mf_note_key *key, struct mf_checkpoint *ret_cp, struct mf_err *err);

/*
 * The signer: remembers the last head it signed and refuses every other one that is not an extension in
 * size (MF_E_STATE): a log must not sign inconsistent heads. One thread at a time.
 */
struct mf_checkpointer; /* opaque */
/*
 * ${dirfd}, ${io} (NULL: the system's) and ${key} must outlive it. ${last} is the head that mf_checkpoint_load
 * gave and mf_wal_open compared (NULL: a new log). Prepares the file for the next head, so that a full disk
 * does not stop the signing of removals.
 */
MF_NODISCARD enum mf_status mf_checkpointer_new(const struct mf_log_io *io, int dirfd, struct mf_slice origin,
    const struct mf_ed25519 *key, const struct mf_wal_head *last, struct mf_checkpointer **ret_c,
    struct mf_err *err);
void mf_checkpointer_free(struct mf_checkpointer *c); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_checkpointer, mf_checkpointer_free)
/*
 * Sign ${head} (of mf_wal_head: durable) and put it in place: temp file, fsync, rename, fsync of the
 * directory. Does nothing when it was signed already. After MF_E_EXHAUSTED or MF_E_IO the old or the new
 * head stands there, whole; the call may be repeated.
 */
MF_NODISCARD enum mf_status
mf_checkpointer_publish(struct mf_checkpointer *c, const struct mf_wal_head *head, struct mf_err *err);
#endif
