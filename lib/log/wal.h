/*
 * wal: the writer of the log. One batch is one frame, one write and one fdatasync; a record is acknowledged
 * only when mf_wal_append_batch has returned MF_OK. Format and rules: frame.h; files, in the directory given:
 *
 *   <16-digit first index>.seg   frames, append-only; preallocated, so that a full disk strikes at a rollover
 *   reserve                      preallocated, empty: becomes the next segment when only removals may go on
 *   *.tmp                        files in the making; deleted at open
 *
 * Full disk: when no further segment can be had, batches of class normal fail with MF_E_EXHAUSTED (nothing
 * was written, the log stays as it was) while removals use the end of the current segment and then the
 * reserve. Every later normal batch (or mf_wal_make_room) tries again, so that the log recovers by itself
 * when space returns. A normal batch is taken only while a whole reserve exists.
 *
 * A failed or short write and a failed sync poison the writer: nothing is known about the disk any more,
 * all later calls fail with MF_E_IO, and the caller must exit without answering what it has not yet
 * acknowledged. Nothing is retried after a failed sync; the next open trusts no page cache.
 *
 * Thread rule: mf_wal_open, _append_batch, _make_room, _free by one thread at a time (the committer);
 * mf_wal_durable, mf_wal_head, mf_wal_get_anchor, mf_wal_space and mf_wal_poisoned by any.
 */
#ifndef MF_LOG_WAL_H
#define MF_LOG_WAL_H
#include "log/reader.h"

#define MF_WAL_TAIL_RESERVE (8u * 1024u * 1024u) /* of each segment, for removals */
#define MF_WAL_RESERVE (16u * 1024u * 1024u)	 /* the reserve file */

enum mf_wal_class {
	MF_WAL_NORMAL,
	MF_WAL_REMOVAL /* every record of the batch takes access away, or says that space ran out or came back
			*/
};

/* What a signed head says, and what the log says about itself. */
struct mf_wal_head {
	uint64_t size; /* records, that is the next index */
	uint8_t root[MF_HASH_SIZE];
};

struct mf_wal_opts {
	const struct mf_log_io *io; /* NULL: the system's; must outlive the writer */
	/* Sizes in bytes; 0 takes MF_LIM_WAL_SEGMENT, MF_WAL_TAIL_RESERVE, MF_WAL_RESERVE. */
	uint64_t segment, tail_reserve, reserve;
	/*
	 * Where a checked snapshot ends; NULL: from the beginning. A segment must begin there (what
	 * on_rollover gives is such a point), else MF_E_NOTFOUND: open again without it.
	 */
	const struct mf_wal_anchor *from;
	/*
	 * The last signed head that is known (NULL: none). The log must hold at least that many records and
	 * have that root there, else MF_E_CORRUPT with the cure. One that is older than ${from} is not
	 * checked: recovery.head_checked tells.
	 */
	const struct mf_wal_head *signed_head;
	/* Called during open for each record from ${from} on, in order; a failure ends the open with it. */
	mf_wal_record_fn *on_record;
	/*
	 * Called inside mf_wal_append_batch when a new segment is in place and nothing of it is written: the
	 * moment for a snapshot of the state after ${anchor}->tree.size records. Must not call the writer.
	 */
	void (*on_rollover)(void *ctx, const struct mf_wal_anchor *anchor);
	void *ctx;
};

struct mf_wal_recovery {
	uint64_t records;	  /* found, from opts.from on */
	uint64_t segments;	  /* read */
	uint64_t truncated_bytes; /* of an unfinished last frame: not 0 asks for a record log.recovered */
	bool head_checked;	  /* opts.signed_head was compared */
	bool copied;		  /* the last segment was rewritten into a new file */
};

struct mf_wal_space {
	bool normal_ok;		/* the last attempt found room for normal batches */
	bool preallocated;	/* the file system allocates ahead; without it there is no real reserve */
	uint64_t removal_bytes; /* room for removals that needs nothing from the disk */
};

struct mf_wal; /* opaque */

/*
 * Open the log in ${dirfd} (the caller's; not used after the call), or begin one when it has no segments.
 * Every frame from opts.from on is checked. An unfinished frame at the very end is dropped and the good
 * prefix of its segment is copied to a new file; a bad frame elsewhere is MF_E_CORRUPT, naming segment and
 * first bad index, and nothing is changed. MF_E_STATE when another writer has the log.
 */
MF_NODISCARD enum mf_status mf_wal_open(int dirfd, const struct mf_wal_opts *opts, struct mf_wal **ret_wal,
    struct mf_wal_recovery *ret_recovery, struct mf_err *err);
/* Closes without syncing: what was acknowledged is durable already. NULL is a no-op. */
void mf_wal_free(struct mf_wal *wal);
MF_DEFINE_CLEANUP(struct mf_wal, mf_wal_free)

/*
 * Append ${n} records (1..MF_LIM_WAL_BATCH of 1..MF_LIM_RECORD bytes, MF_LIM_WAL_FRAME in all, lengths
 * included) and wait until they are on disk. On MF_OK the first has index *ret_first. MF_E_EXHAUSTED and
 * MF_E_TOOBIG: nothing was written, the writer is as before. MF_E_IO: poisoned, see above.
 */
MF_NODISCARD enum mf_status mf_wal_append_batch(struct mf_wal *wal, const struct mf_slice *records, size_t n,
    enum mf_wal_class cls, uint64_t *ret_first, struct mf_err *err);
/*
 * While mf_wal_space says that normal batches end: try again, every second or so. MF_OK: they may go on.
 * MF_E_EXHAUSTED, or MF_E_IO (poisoned by an earlier call).
 */
MF_NODISCARD enum mf_status mf_wal_make_room(struct mf_wal *wal, struct mf_err *err);
/* The largest prefix of ${records} that one batch may hold: at least 1 for legal records. */
size_t mf_wal_batch_fits(const struct mf_slice *records, size_t n);

/* Records below this index are on disk. Wait-free; may be asked on the way to every release. */
uint64_t mf_wal_durable(const struct mf_wal *wal);
/* The durable head: sign this (after the sync, never before). */
struct mf_wal_head mf_wal_head(struct mf_wal *wal);
/* The durable tree edge and last frame hash, for snapshots. */
void mf_wal_get_anchor(struct mf_wal *wal, struct mf_wal_anchor *ret_anchor);
struct mf_wal_space mf_wal_space(struct mf_wal *wal);
bool mf_wal_poisoned(struct mf_wal *wal);
#endif
