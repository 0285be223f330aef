/*
 * reader: the frames of a log directory in order, for recovery, followers and the verifier. May run beside
 * the writer, in the same or another process: it has descriptors of its own and never writes.
 *
 * A reader that begins with an anchor (the empty log is one) checks everything that needs no key: frame
 * form, checksum, chain, contiguous indices, tree size and root of each frame. A reader that begins at some
 * index checks all of that but the roots. Not thread-safe; each reader belongs to one caller.
 */
#ifndef MF_LOG_READER_H
#define MF_LOG_READER_H
#include "log/frame.h"
#include "log/io.h"

#define MF_SEGMENT_NAME_MAX 24 /* "0000000000000042.seg" and its NUL, rounded up */

/* A point of the log at which everything before it was checked: at open, from a snapshot; the empty log is
 * all zeros. */
struct mf_wal_anchor {
	struct mf_merkle tree;		  /* tree.size is the next index */
	uint8_t frame_hash[MF_HASH_SIZE]; /* of the last frame before it */
};

struct mf_wal_record {
	uint64_t index;
	struct mf_slice bytes; /* valid during the callback */
	uint8_t leaf[MF_HASH_SIZE];
	bool removal; /* stands in a batch of removals */
};

/* Where the readable log stops, when it does not stop at a clean end. */
struct mf_wal_stop {
	uint64_t index;	  /* first index that cannot be read */
	uint64_t segment; /* first index of the segment, that is its name */
	uint64_t offset;  /* in the segment */
	uint64_t bytes;	  /* from there to the segment's end */
	char why[128];
};

struct mf_wal_reader; /* opaque */

/* "<16-digit first index>.seg"; parse returns false for every other name. */
void mf_segment_name(uint64_t first, char ret_name[MF_SEGMENT_NAME_MAX]);
bool mf_segment_parse(const char *name, uint64_t *ret_first);

/*
 * A reader from ${anchor}, at whose size a segment must begin (or the log be empty and the anchor too);
 * MF_E_NOTFOUND otherwise. ${dirfd} and ${io} (NULL: the system's) must outlive the reader.
 */
MF_NODISCARD enum mf_status mf_wal_reader_new(const struct mf_log_io *io, int dirfd,
    const struct mf_wal_anchor *anchor, struct mf_wal_reader **ret_r, struct mf_err *err);
/*
 * A reader without roots, from the first frame of the segment that holds ${index} (its earlier frames are
 * given too). MF_E_NOTFOUND when the log begins after it.
 */
MF_NODISCARD enum mf_status mf_wal_reader_new_at(
    const struct mf_log_io *io, int dirfd, uint64_t index, struct mf_wal_reader **ret_r, struct mf_err *err);
void mf_wal_reader_free(struct mf_wal_reader *r); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_wal_reader, mf_wal_reader_free)

/*
 * The next frame; its slices live until the next call. MF_E_AGAIN at the end of what is written: clean, or
 * with an unfinished frame that nothing follows (mf_wal_reader_stop tells); ask again later. MF_E_CORRUPT
 * when a frame is bad and something stands after it, or chain, order or root do not hold: the text names
 * segment and first bad index. After MF_E_CORRUPT the reader stays there.
 */
MF_NODISCARD enum mf_status
mf_wal_reader_next(struct mf_wal_reader *r, struct mf_frame *ret_f, struct mf_err *err);
/* After MF_E_AGAIN or MF_E_CORRUPT: true, and ${ret_stop} filled, when the last segment has bytes that are no
 * frame. */
bool mf_wal_reader_stop(const struct mf_wal_reader *r, struct mf_wal_stop *ret_stop);
/* The position after the last frame given. The tree is kept by anchored readers only. */
const struct mf_wal_anchor *mf_wal_reader_anchor(const struct mf_wal_reader *r);
/* Next index, also without an anchor. */
uint64_t mf_wal_reader_index(const struct mf_wal_reader *r);
/* The segment that is being read (its name), the bytes of good frames in it, and how long the last frame
 * given was. */
struct mf_wal_place {
	bool open; /* false: no segment yet */
	uint64_t segment, good_bytes, last_frame_bytes;
};
struct mf_wal_place mf_wal_reader_place(const struct mf_wal_reader *r);
typedef enum mf_status mf_wal_record_fn(void *ctx, const struct mf_wal_record *rec, struct mf_err *err);
/* Calls ${fn} for each record of the frame given last whose index is in [from, to); stops at its first
 * failure. */
MF_NODISCARD enum mf_status mf_wal_reader_records(const struct mf_wal_reader *r, const struct mf_frame *f,
    uint64_t from, uint64_t to, mf_wal_record_fn *fn, void *ctx, struct mf_err *err);
/*
 * Records [from, to) that are there now (to = the durable index, so that nothing undurable is followed;
 * UINT64_MAX: all). *ret_next is where to go on. An unfinished frame at the end is the end.
 */
MF_NODISCARD enum mf_status mf_wal_read(const struct mf_log_io *io, int dirfd, uint64_t from, uint64_t to,
    mf_wal_record_fn *fn, void *ctx, uint64_t *ret_next, struct mf_err *err);
#endif
