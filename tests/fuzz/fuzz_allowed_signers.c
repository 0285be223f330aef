/* Files of allowed signers: whatever they hold, the counts agree. */
#include <stdlib.h>

#include "codec/allowed_signers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MF_AUTO(mf_signers_free) struct mf_signers *s = NULL;
	struct mf_err err;
	if (mf_signers_parse(mf_slice(data, size), "mayfly-admin", &s, &err) != MF_OK)
		return 0;
	if (mf_signers_persons(s, 1800000000) > MF_LIM_SIGNERS)
		abort();
	if (mf_signers_person(s, mf_slice(data, size), 1800000000) != NULL && size < 8)
		abort();
	return 0;
}
