/* Notes, vkeys and checkpoint texts. What parses as a vkey or a checkpoint is written back as it was. */
#include <stdlib.h>

#include "log/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char vkey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
	struct mf_slice in = mf_slice(data, size), text;
	const struct mf_note_key *by;
	struct mf_note_key known, key;
	struct mf_checkpoint cp;
	struct mf_err err = { 0 };
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_NOTE);
	if (mf_note_key_parse(mf_slice_str(vkey), &known, &err) != MF_OK)
		abort();
	if (mf_note_open(in, &known, 1, &text, &by, &err) == MF_OK && by != &known)
		abort();
	if (mf_note_key_parse(in, &key, &err) == MF_OK) {
		mf_note_key_put(&key, &b);
		if (!mf_slice_starts(in, mf_buf_slice(&b)))
			abort();
	}
	mf_buf_reset(&b);
	if (mf_checkpoint_parse(in, &cp, &err) == MF_OK) {
		mf_checkpoint_put(&cp, &b);
		if (!mf_slice_starts(in, mf_buf_slice(&b)))
			abort();
	}
	mf_buf_fini(&b);
	return 0;
}
