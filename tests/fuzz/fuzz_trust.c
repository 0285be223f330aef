#include "agent/attestor/store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What parses must say the same when it is written again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_trust t;
	struct mf_buf b;
	mf_trust_init(&t);
	mf_buf_init(&b, MF_LIM_BUNDLE_DER + 4096);
	if (mf_trust_parse(mf_slice(data, size), &t, NULL) == MF_OK) {
		mf_trust_put(&b, &t);
		if (!mf_slice_eq(mf_buf_slice(&b), mf_slice(data, size)))
			abort();
	}
	mf_buf_fini(&b);
	mf_trust_fini(&t);
	return 0;
}
