/*
 * The receiver's plaintext parser: input is a sequence of u16 length | chunk. Checked beside memory
 * safety: what comes out is what went in, joined per lane by an independent few lines.
 */
#include <stdlib.h>

#include "crypto/inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_inner_join j;
	struct mf_buf want[2];
	struct mf_reader r = mf_reader(mf_slice(data, size));
	struct mf_slice chunk, msg;
	enum mf_inner_lane lane;
	uint16_t n;
	mf_inner_join_init(&j);
	mf_buf_init(&want[0], MF_LIM_INNER_MESSAGE);
	mf_buf_init(&want[1], MF_LIM_INNER_MESSAGE);
	while (mf_read_u16be(&r, &n) && mf_read_bytes(&r, n, &chunk)) {
		struct mf_err err = { 0 };
		enum mf_status st = mf_inner_join_feed(&j, chunk, &lane, &msg, &err);
		if (st != MF_OK && st != MF_E_AGAIN) {
			if (err.msg[0] == '\0')
				abort();
			break;
		}
		struct mf_buf *w = &want[(chunk.p[0] & 2) != 0 ? 1 : 0];
		mf_buf_put(w, chunk.p + 1, chunk.n - 1);
		if ((chunk.p[0] & 1) != (st == MF_OK ? 1 : 0))
			abort();
		if (st == MF_E_AGAIN)
			continue;
		if (&want[lane] != w || !mf_slice_eq(msg, mf_buf_slice(w)) || msg.n == 0)
			abort();
		mf_buf_reset(w);
	}
	mf_buf_fini(&want[0]);
	mf_buf_fini(&want[1]);
	mf_inner_join_fini(&j);
	return 0;
}
