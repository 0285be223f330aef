/* PKCS#8 of a hostile agent: what is read is kept byte for byte. */
#include <stdlib.h>

#include "codec/svid_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_slice in = mf_slice(data, size);
	struct mf_svid_key *key = NULL;
	if (mf_svid_key_new(in, &key, NULL) == MF_OK) {
		if (!mf_slice_eq(mf_svid_key_pkcs8(key), in) || mf_svid_key_evp(key) == NULL)
			abort();
		mf_svid_key_free(key);
	}
	return 0;
}
