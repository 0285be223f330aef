#include "agent/core/instances.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What parses must say the same when it is written and parsed again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_instances *t = NULL;
	if (mf_instances_parse(mf_slice(data, size), "0f3c9e6a-0000-4000-8000-000000000001", &t, NULL) !=
	    MF_OK)
		return 0;
	struct mf_buf b;
	mf_buf_init(&b, MF_INSTANCES_FILE_MAX);
	mf_instances_put(&b, t);
	if (!mf_slice_eq(mf_buf_slice(&b), mf_slice(data, size)))
		abort();
	mf_buf_fini(&b);
	mf_instances_free(t);
	return 0;
}
