/* The receiver of the chunk layer: opened chunks in, whole messages out. No cryptography here. */
#include "crypto/inner.h"

#define FLAG_LAST 0x01u
#define FLAG_REMOVAL 0x02u

void
mf_inner_join_init(struct mf_inner_join *j)
{
	for (size_t i = 0; i < MF_COUNT(j->lane); i++)
		mf_buf_init(&j->lane[i], MF_LIM_INNER_MESSAGE);
	j->done = NULL;
	j->max = MF_LIM_INNER_MESSAGE;
}

void
mf_inner_join_fini(struct mf_inner_join *j)
{
	for (size_t i = 0; i < MF_COUNT(j->lane); i++)
		mf_buf_fini(&j->lane[i]);
	j->done = NULL;
}

enum mf_status
mf_inner_join_feed(struct mf_inner_join *j, struct mf_slice chunk, enum mf_inner_lane *ret_lane,
    struct mf_slice *ret_message, struct mf_err *err)
{
	if (j->done != NULL) { /* what was given out last is the caller's no longer */
		mf_buf_fini(j->done);
		j->done = NULL;
	}
	struct mf_reader r = mf_reader(chunk);
	uint8_t flags = 0;
	if (!mf_read_u8(&r, &flags))
		return MF_FAIL(err, MF_E_INVALID, "inner chunk: no flag byte");
	if ((flags & ~(FLAG_LAST | FLAG_REMOVAL)) != 0)
		return MF_FAIL(err, MF_E_INVALID, "inner chunk: unknown flags 0x%02x", (unsigned)flags);
	bool last = (flags & FLAG_LAST) != 0;
	if (r.n == 0 || r.n > MF_LIM_INNER_CHUNK)
		return MF_FAIL(
		    err, MF_E_INVALID, "inner chunk: %zu bytes, not 1 to %u", r.n, MF_LIM_INNER_CHUNK);
	if (!last && r.n != MF_LIM_INNER_CHUNK)
		return MF_FAIL(err, MF_E_INVALID,
		    "inner chunk: %zu bytes, but more follow: only the last may be short", r.n);
	enum mf_inner_lane lane = (flags & FLAG_REMOVAL) != 0 ? MF_INNER_REMOVAL : MF_INNER_BOUNDED;
	struct mf_buf *b = &j->lane[lane];
	if (r.n > j->max || b->n > j->max - r.n)
		return MF_FAIL(err, MF_E_TOOBIG, "inner message: more than %zu bytes", j->max);
	mf_buf_put(b, r.p, r.n);
	MF_TRY(mf_buf_check(b, err));
	if (!last)
		return MF_E_AGAIN;
	j->done = b;
	*ret_lane = lane;
	*ret_message = mf_buf_slice(b);
	return MF_OK;
}
