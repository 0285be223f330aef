/* What parses is folded, parses again to itself, and is built again from its parts. */
#include <stdlib.h>

#include "codec/spiffe_id.h"

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static bool
lookup(void *ctx, struct mf_slice name, struct mf_slice *ret_value)
{
	const struct mf_slice *all = ctx;
	if (mf_slice_eq_str(name, "x"))
		return false;
	*ret_value = mf_slice_sub(*all, 0, name.n);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_slice in = mf_slice(data, size);
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *a = NULL, *b = NULL, *c = NULL, *d = NULL;
	if (mf_spiffe_id_parse(in, &a, NULL) == MF_OK) {
		struct mf_slice td = mf_spiffe_id_trust_domain(a), path = mf_spiffe_id_path(a);
		check(mf_spiffe_id_uri(a).n == size && td.n >= 1 && td.n <= MF_LIM_TRUST_DOMAIN);
		check(strlen(mf_spiffe_id_str(a)) == size);
		for (size_t i = 0; i < td.n; i++)
			check(td.p[i] < 'A' || td.p[i] > 'Z');
		check(path.n == 0 || (path.p[0] == '/' && path.p[path.n - 1] != '/'));
		check(mf_spiffe_id_parse(mf_spiffe_id_uri(a), &b, NULL) == MF_OK && mf_spiffe_id_eq(a, b));
		check(mf_spiffe_id_build(td, path, &c, NULL) == MF_OK && mf_spiffe_id_eq(a, c));
	}
	struct mf_buf out;
	mf_buf_init(&out, MF_LIM_SPIFFE_ID);
	if (mf_spiffe_path_render(in, lookup, &in, &out, NULL) == MF_OK) {
		/* the longest path may not fit beside a name */
		enum mf_status s = mf_spiffe_id_build(MF_SLICE_LIT("td"), mf_buf_slice(&out), &d, NULL);
		check(s == MF_OK || s == MF_E_TOOBIG);
	}
	mf_buf_reset(&out);
	if (mf_spiffe_segment_render(in, lookup, &in, &out, NULL) == MF_OK)
		check(mf_spiffe_segment_ok(mf_buf_slice(&out)));
	mf_buf_fini(&out);
	(void)!mf_trust_domain_check_strict(in, NULL);
	return 0;
}
