#include "log/frame.h"

#include "log/crc32c.h"

size_t
mf_frame_size(const struct mf_slice *records, size_t n)
{
	if (n == 0 || n > MF_LIM_WAL_BATCH)
		return 0;
	size_t sum = 0;
	for (size_t i = 0; i < n; i++) {
		if (records[i].n == 0 || records[i].n > MF_LIM_RECORD)
			return 0;
		sum += 2 + records[i].n;
	}
	if (sum > MF_LIM_WAL_FRAME)
		return 0;
	return MF_FRAME_HEAD + sum + MF_FRAME_TRAIL;
}

enum mf_status
mf_frame_encode(
    const struct mf_frame *f, const struct mf_slice *records, size_t n, struct mf_buf *to, struct mf_err *err)
{
	size_t size = mf_frame_size(records, n);
	if (size == 0)
		return MF_FAIL(err, MF_E_TOOBIG,
		    "frame: %zu records are none, too many, or one of them is empty or over %u bytes", n,
		    MF_LIM_RECORD);
	if ((f->flags & ~MF_FRAME_FLAGS_KNOWN) != 0 || f->first_index > UINT64_MAX / 2)
		return MF_FAIL(err, MF_E_INVALID, "frame: flags or index out of range");
	size_t start = to->n;
	mf_buf_put_u32be(to, MF_FRAME_MAGIC);
	mf_buf_put_u16be(to, MF_FRAME_VERSION);
	mf_buf_put_u16be(to, f->flags);
	mf_buf_put_u64be(to, f->first_index);
	mf_buf_put_u32be(to, (uint32_t)n);
	mf_buf_put_u32be(to, (uint32_t)(size - MF_FRAME_HEAD - MF_FRAME_TRAIL));
	mf_buf_put(to, f->prev, MF_HASH_SIZE);
	for (size_t i = 0; i < n; i++) {
		mf_buf_put_u16be(to, (uint16_t)records[i].n);
		mf_buf_put_slice(to, records[i]);
	}
	mf_buf_put_u64be(to, f->first_index + n);
	mf_buf_put(to, f->root, MF_HASH_SIZE);
	MF_TRY(mf_buf_check(to, err));
	mf_buf_put_u32be(to, mf_crc32c(mf_slice_sub(mf_buf_slice(to), start, to->n)));
	return mf_buf_check(to, err);
}

/* The head's fields; *ret_payload is the payload's length. */
static enum mf_status
read_head(struct mf_reader *r, struct mf_frame *f, uint32_t *ret_payload, struct mf_err *err)
{
	uint32_t magic = 0;
	uint16_t version = 0;
	if (!mf_read_u32be(r, &magic) || !mf_read_u16be(r, &version) || !mf_read_u16be(r, &f->flags) ||
	    !mf_read_u64be(r, &f->first_index) || !mf_read_u32be(r, &f->count) ||
	    !mf_read_u32be(r, ret_payload) || !mf_read_copy(r, f->prev, MF_HASH_SIZE))
		return MF_FAIL(err, MF_E_INVALID, "frame: shorter than its head");
	if (magic != MF_FRAME_MAGIC)
		return MF_FAIL(err, MF_E_INVALID, "frame: does not begin with the magic number");
	if (version != MF_FRAME_VERSION)
		return MF_FAIL(err, MF_E_INVALID, "frame: version %u, this program reads %u",
		    (unsigned)version, MF_FRAME_VERSION);
	if ((f->flags & ~MF_FRAME_FLAGS_KNOWN) != 0)
		return MF_FAIL(err, MF_E_INVALID, "frame: unknown flags");
	if (f->first_index > UINT64_MAX / 2)
		return MF_FAIL(err, MF_E_INVALID, "frame: index out of range");
	if (f->count == 0 || f->count > MF_LIM_WAL_BATCH || *ret_payload > MF_LIM_WAL_FRAME ||
	    *ret_payload / 3 < f->count)
		return MF_FAIL(err, MF_E_INVALID, "frame: %u records in %u bytes", f->count, *ret_payload);
	return MF_OK;
}

enum mf_status
mf_frame_peek(struct mf_slice head, size_t *ret_len, struct mf_err *err)
{
	struct mf_reader r = mf_reader(head);
	struct mf_frame f;
	uint32_t payload = 0;
	MF_TRY(read_head(&r, &f, &payload, err));
	*ret_len = MF_FRAME_HEAD + (size_t)payload + MF_FRAME_TRAIL;
	return MF_OK;
}

bool
mf_frame_next_record(struct mf_reader *payload, struct mf_slice *ret_record)
{
	uint16_t n = 0;
	struct mf_reader r = *payload;
	if (!mf_read_u16be(&r, &n) || n == 0 || n > MF_LIM_RECORD || !mf_read_bytes(&r, n, ret_record))
		return false;
	*payload = r;
	return true;
}

enum mf_status
mf_frame_decode(struct mf_slice in, struct mf_frame *ret_f, struct mf_err *err)
{
	struct mf_frame f;
	uint32_t payload = 0, crc = 0;
	struct mf_reader r = mf_reader(in);
	MF_TRY(read_head(&r, &f, &payload, err));
	if (!mf_read_bytes(&r, payload, &f.payload) || !mf_read_u64be(&r, &f.tree_size) ||
	    !mf_read_copy(&r, f.root, MF_HASH_SIZE) || !mf_read_u32be(&r, &crc))
		return MF_FAIL(err, MF_E_INVALID, "frame: shorter than it says");
	if (!mf_reader_end(&r))
		return MF_FAIL(err, MF_E_INVALID, "frame: longer than it says");
	/* The sum first: what follows then tells a wrong writer from a wrong disk. */
	if (crc != mf_crc32c(mf_slice_sub(in, 0, in.n - 4)))
		return MF_FAIL(err, MF_E_INVALID, "frame: checksum does not match its bytes");
	struct mf_reader p = mf_reader(f.payload);
	struct mf_slice rec;
	for (uint32_t i = 0; i < f.count; i++)
		if (!mf_frame_next_record(&p, &rec))
			return MF_FAIL(err, MF_E_INVALID, "frame: record %u is cut, empty or too long", i);
	if (!mf_reader_end(&p))
		return MF_FAIL(err, MF_E_INVALID, "frame: bytes after its last record");
	if (f.tree_size != f.first_index + f.count)
		return MF_FAIL(err, MF_E_INVALID, "frame: tree size is not first index plus count");
	*ret_f = f;
	return MF_OK;
}
