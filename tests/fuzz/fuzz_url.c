/* codec/url.h: what parses stays within its text, and decoding undoes encoding. */
#include "codec/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_url u;
	struct mf_slice in = mf_slice(data, size);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf a, b;
	mf_buf_init(&a, 3 * MF_URL_MAX);
	mf_buf_init(&b, MF_URL_MAX);
	if (mf_url_parse(in, &u, NULL) == MF_OK && (u.host.n == 0 || u.port == 0 || u.authority.n < u.host.n))
		abort();
	(void)!mf_url_decode(mf_slice_sub(in, 0, MF_URL_MAX), &b, NULL);
	mf_buf_reset(&b);
	mf_url_encode(&a, mf_slice_sub(in, 0, MF_URL_MAX));
	if (mf_url_decode(mf_buf_slice(&a), &b, NULL) != MF_OK ||
	    !mf_slice_eq(mf_buf_slice(&b), mf_slice_sub(in, 0, MF_URL_MAX)))
		abort();
	return 0;
}
