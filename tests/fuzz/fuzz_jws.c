/* A compact JWS: any bytes; what is taken has one spelling, so its parts encode to the same token. */
#include <stdlib.h>

#include "base/text.h"
#include "codec/jws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_jws *j = NULL;
	struct mf_err err = { 0 };
	struct mf_slice token = mf_slice(data, size);
	if (mf_jws_parse(token, &j, &err) != MF_OK) {
		if (err.msg[0] == '\0' || j != NULL)
			abort();
		return 0;
	}
	struct mf_buf again;
	mf_buf_init(&again, MF_LIM_JWT);
	struct mf_slice in = mf_jws_input(j);
	const uint8_t *dot = memchr(in.p, '.', in.n);
	if (dot == NULL || mf_jws_kid(j).n == 0 || (unsigned)mf_jws_alg(j) >= MF_JWS_ALGS)
		abort();
	mf_buf_put(&again, in.p, (size_t)(dot - in.p) + 1);
	mf_base64url_put(&again, mf_jws_payload(j));
	mf_buf_put_u8(&again, '.');
	mf_base64url_put(&again, mf_jws_sig(j));
	if (!mf_slice_eq(mf_buf_slice(&again), token))
		abort();
	mf_buf_fini(&again);
	mf_jws_free(j);
	return 0;
}
