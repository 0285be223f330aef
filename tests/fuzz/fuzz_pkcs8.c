/* PKCS#8 in: whatever is taken is written back in the one spelling, byte for byte. */
#include <stdlib.h>

#include "crypto/p256.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *key = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *back = NULL;
	if (mf_p256_from_pkcs8(mf_slice(data, size), &key, NULL) != MF_OK)
		return 0;
	if (mf_p256_to_pkcs8(key, &back, NULL) != MF_OK ||
	    !mf_slice_eq(mf_secret_slice(back), mf_slice(data, size)))
		abort();
	return 0;
}
