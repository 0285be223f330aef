/* A JWK Set of a bundle: any bytes, both kinds; what is read and written again is the same set. */
#include <stdlib.h>

#include "codec/jwk_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look(struct mf_slice in, enum mf_jwk_set_kind kind)
{
	struct mf_jwk_set *set = NULL, *back = NULL;
	struct mf_err err = { 0 };
	if (mf_jwk_set_read(in, kind, &set, &err) != MF_OK) {
		if (err.msg[0] == '\0' || set != NULL)
			abort();
		return;
	}
	struct mf_buf out;
	mf_buf_init(&out, 2 * MF_LIM_BUNDLE_JSON);
	if (mf_jwk_set_put_workload(set, &out, NULL) != MF_OK)
		abort();
	if (out.n <= MF_LIM_BUNDLE_JSON) {
		if (mf_jwk_set_read(mf_buf_slice(&out), MF_JWKS_WORKLOAD, &back, NULL) != MF_OK ||
		    mf_jwk_set_count(back) != mf_jwk_set_count(set))
			abort();
		for (size_t i = 0; i < mf_jwk_set_count(set); i++)
			if (!mf_slice_eq(mf_jwk_set_kid(set, i), mf_jwk_set_kid(back, i)))
				abort();
	}
	mf_buf_fini(&out);
	mf_jwk_set_free(set);
	mf_jwk_set_free(back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	look(mf_slice(data, size), MF_JWKS_SPIFFE);
	look(mf_slice(data, size), MF_JWKS_WORKLOAD);
	return 0;
}
