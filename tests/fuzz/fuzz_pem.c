/* One spelling: blocks that read back are written again byte for byte. */
#include <stdlib.h>

#include "codec/pem.h"

static void
check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_slice in = mf_slice(data, size);
	struct mf_buf out, again;
	mf_buf_init(&out, 1 << 20);
	mf_buf_init(&again, 2 << 20);
	while (in.n > 0) {
		struct mf_slice before = in;
		mf_buf_reset(&out);
		if (mf_pem_get(&in, MF_PEM_CERTIFICATE, &out, NULL) != MF_OK)
			break;
		mf_buf_reset(&again);
		mf_pem_put(&again, MF_PEM_CERTIFICATE, mf_buf_slice(&out));
		check(mf_slice_eq(mf_buf_slice(&again), mf_slice_sub(before, 0, before.n - in.n)));
	}
	mf_buf_fini(&out);
	mf_buf_fini(&again);
	return 0;
}
