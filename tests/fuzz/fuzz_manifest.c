/* Whatever the manifest reader takes keeps its own promises: names known, values without control characters. */
#include <stdlib.h>

#include "base/text.h"
#include "codec/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_manifest *m = NULL;
	struct mf_err err;
	int64_t us;
	if (mf_manifest_parse(mf_slice(data, size), &m, &err) != MF_OK)
		return 0;
	for (size_t i = 0; i < mf_manifest_count(m); i++) {
		struct mf_manifest_attr a = mf_manifest_at(m, i);
		if (a.name[0] == '\0' || !mf_utf8_ok(a.value) || (a.value.p != NULL && a.value.n == 0))
			abort();
		for (size_t k = 0; k < a.value.n; k++)
			if (a.value.p[k] < 0x20)
				abort();
	}
	if (mf_manifest_deadline(m, &us) && mf_manifest_get(m, "deadline").n == 0)
		abort();
	mf_manifest_free(m);
	return 0;
}
