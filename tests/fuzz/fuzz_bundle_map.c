/* A bundle map: any bytes; what is read and written again is read as the same. */
#include <stdlib.h>

#include "codec/bundle_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t n;
	struct mf_buf again;
};

static enum mf_status
take(void *ctx, const struct mf_bundle_entry *e, struct mf_err *err)
{
	struct seen *s = ctx;
	MF_UNUSED(err);
	mf_bundle_map_put(&s->again, s->n == 0, e->trust_domain, e->document);
	s->n++;
	return MF_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen a = { 0 }, b = { 0 };
	struct mf_err err = { 0 };
	mf_buf_init(&a.again, 16 * MF_LIM_BUNDLE_JSON);
	mf_buf_init(&b.again, 16 * MF_LIM_BUNDLE_JSON);
	mf_bundle_map_begin(&a.again);
	enum mf_status s = mf_bundle_map_read(mf_slice(data, size), MF_LIM_DOCUMENT, take, &a, &err);
	mf_bundle_map_end(&a.again);
	if (s != MF_OK && err.msg[0] == '\0')
		abort();
	if (s == MF_OK && a.again.n <= MF_LIM_DOCUMENT &&
	    (mf_bundle_map_read(mf_buf_slice(&a.again), MF_LIM_DOCUMENT, take, &b, &err) != MF_OK ||
		a.n != b.n))
		abort();
	mf_buf_fini(&a.again);
	mf_buf_fini(&b.again);
	return 0;
}
