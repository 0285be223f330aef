/* The text of a signed manifest, and issuers. What is taken is what a good one says: names, sizes, URLs that are plain. */
#include <stdlib.h>

#include "log/published.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_slice in = mf_slice(data, size);
	struct mf_published p;
	if (mf_published_parse(in, &p)) {
		if (mf_issuer_check(mf_slice_str(p.issuer)) != NULL ||
		    mf_issuer_check(mf_slice_str(p.x5c_issuer)) != NULL)
			abort();
	}
	if (mf_issuer_check(in) == NULL && (size > MF_LIM_ISSUER || memchr(data, '?', size) != NULL ||
					       data[size - 1] == '/' || memchr(data, '\0', size) != NULL))
		abort();
	return 0;
}
