/* Bundles as DER and as JSON: what is cut joins to the same bytes; what is read is within its caps. */
#include <stdlib.h>

#include "codec/bundle.h"
#include "codec/bundle_json.h"

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
check_der(struct mf_slice in)
{
	struct mf_slice certs[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	if (mf_bundle_split(in, certs, MF_COUNT(certs), &n, NULL) != MF_OK)
		return;
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_BUNDLE_DER);
	check(mf_bundle_join(certs, n, &b, NULL) == MF_OK && mf_slice_eq(mf_buf_slice(&b), in));
	mf_buf_reset(&b);
	b.max = MF_LIM_BUNDLE_JSON;
	if (mf_bundle_json_put(in, NULL, 7, 300, &b, NULL) == MF_OK) {
		struct mf_bundle_doc doc = { 0 };
		check(mf_bundle_json_get(mf_buf_slice(&b), &doc, NULL) == MF_OK);
		check(doc.n_x509 == n && mf_slice_eq(mf_buf_slice(&doc.x509_der), in));
		mf_bundle_doc_fini(&doc);
	}
	mf_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_slice in = mf_slice(data, size), certs[MF_LIM_BUNDLE_CERTS];
	check_der(in);
	struct mf_bundle_doc doc = { 0 };
	if (mf_bundle_json_get(in, &doc, NULL) == MF_OK) {
		size_t n = 0;
		check(doc.n_x509 + doc.n_ignored <= MF_LIM_BUNDLE_KEYS);
		check(
		    mf_bundle_split(mf_buf_slice(&doc.x509_der), certs, MF_COUNT(certs), &n, NULL) == MF_OK &&
		    n == doc.n_x509);
		mf_bundle_doc_fini(&doc);
	}
	return 0;
}
