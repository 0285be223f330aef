/* Join tokens: any bytes; what decodes must encode to the same text. */
#include <stdlib.h>

#include "codec/join_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_join_token *t = NULL;
	struct mf_err err = { 0 };
	struct mf_slice text = mf_slice(data, size);
	if (mf_join_token_decode(text, &t, &err) != MF_OK) {
		if (err.msg[0] == '\0' || t != NULL)
			abort();
		return 0;
	}
	struct mf_buf out;
	mf_buf_init(&out, MF_LIM_JOIN_TOKEN);
	if (mf_join_token_encode(t, &out, NULL) != MF_OK || !mf_slice_eq(mf_buf_slice(&out), text))
		abort();
	mf_buf_fini(&out);
	mf_join_token_free(t);
	return 0;
}
