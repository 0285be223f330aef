/*
 * frame: one batch of records as it lies in a segment of the write-ahead log. All integers are big-endian.
 *
 *   magic u32 | version u16 | flags u16 | first_index u64 | count u32 | payload_len u32 | prev[32]
 *   payload: count times (length u16 | record)
 *   tree_size u64 | root[32] | crc32c u32 of all bytes before it
 *
 * prev is the SHA-256 of the whole previous frame (zeros in the first of a log); root is the RFC 6962 root
 * after this batch. There is no signature inside: heads are signed after the sync (checkpoint.h). The magic
 * begins with a byte that UTF-8 does not allow there, so that no record can look like a frame.
 * Pure: no I/O. The decoder is strict: one spelling per frame, every byte accounted for.
 */
#ifndef MF_LOG_FRAME_H
#define MF_LOG_FRAME_H
#include "base/buf.h"
#include "base/limits.h"
#include "log/merkle.h"

#define MF_FRAME_MAGIC 0xff4d4657u /* "\xffMFW" */
#define MF_FRAME_VERSION 1u
#define MF_FRAME_HEAD 56u  /* bytes before the payload */
#define MF_FRAME_TRAIL 44u /* bytes after it */
#define MF_FRAME_MAX (MF_FRAME_HEAD + MF_LIM_WAL_FRAME + MF_FRAME_TRAIL)

#define MF_FRAME_REMOVALS 0x0001u /* the batch holds removals only: it may stand in the reserve */
#define MF_FRAME_FLAGS_KNOWN MF_FRAME_REMOVALS

struct mf_frame {
	uint16_t flags;
	uint32_t count;
	uint64_t first_index;
	uint64_t tree_size;	 /* first_index + count */
	struct mf_slice payload; /* take it apart with mf_frame_next_record */
	uint8_t prev[MF_HASH_SIZE];
	uint8_t root[MF_HASH_SIZE];
};

/* Bytes that a frame with these records takes, or 0 when a record or the sum is over a cap (or n is 0). */
size_t mf_frame_size(const struct mf_slice *records, size_t n);
/*
 * Append the frame to ${to}. first_index, flags, prev and root of ${f} are used; count, tree_size and
 * payload come from the records, which must be 1..MF_LIM_RECORD bytes each. Fails with MF_E_TOOBIG,
 * MF_E_INVALID or what the buffer says.
 */
MF_NODISCARD enum mf_status mf_frame_encode(const struct mf_frame *f, const struct mf_slice *records,
    size_t n, struct mf_buf *to, struct mf_err *err);

/* The length of the frame that begins with ${head} (at least MF_FRAME_HEAD bytes), or MF_E_INVALID. */
MF_NODISCARD enum mf_status mf_frame_peek(struct mf_slice head, size_t *ret_len, struct mf_err *err);
/* Exactly one frame; ret_f->payload points into ${in}. MF_E_INVALID names the broken rule. */
MF_NODISCARD enum mf_status mf_frame_decode(struct mf_slice in, struct mf_frame *ret_f, struct mf_err *err);
/* The next record of a decoded frame's payload; false at its end. */
MF_NODISCARD bool mf_frame_next_record(struct mf_reader *payload, struct mf_slice *ret_record);
#endif
