/*
 * The frame decoder: whatever decodes encodes to the same bytes (there is one spelling per frame). Each
 * input is tried as it is and with its checksum made right, so that the fuzzer gets past it.
 */
#include <stdlib.h>

#include "log/crc32c.h"
#include "log/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(struct mf_slice in)
{
	struct mf_frame f;
	size_t len = 0;
	struct mf_err err = { 0 };
	enum mf_status peek = mf_frame_peek(in, &len, &err);
	if (mf_frame_decode(in, &f, &err) != MF_OK)
		return;
	if (peek != MF_OK || len != in.n)
		abort();
	struct mf_slice *rec = calloc(f.count, sizeof(*rec));
	if (rec == NULL)
		return;
	struct mf_reader p = mf_reader(f.payload);
	for (uint32_t i = 0; i < f.count; i++)
		if (!mf_frame_next_record(&p, &rec[i]))
			abort();
	struct mf_buf b;
	mf_buf_init(&b, MF_FRAME_MAX);
	if (mf_frame_encode(&f, rec, f.count, &b, &err) != MF_OK || !mf_slice_eq(mf_buf_slice(&b), in))
		abort();
	mf_buf_fini(&b);
	free(rec);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(mf_slice(data, size));
	if (size < 4)
		return 0;
	uint8_t *copy = malloc(size);
	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	uint32_t crc = mf_crc32c(mf_slice(copy, size - 4));
	for (size_t i = 0; i < 4; i++)
		copy[size - 1 - i] = (uint8_t)(crc >> (8 * i));
	check(mf_slice(copy, size));
	free(copy);
	return 0;
}
