#include "broker/notary/foreign.h"

#include "codec/bundle_map.h"

struct making {
	struct mf_buf *to;
	size_t n;
};

static enum mf_status
put_entry(void *ctx, const struct mf_bundle_entry *e, struct mf_err *err)
{
	struct making *m = ctx;
	MF_UNUSED(err);
	mf_bundle_map_put(m->to, m->n++ == 0, e->trust_domain, e->document);
	return MF_OK;
}

static bool
read_text(struct mf_reader *r, struct mf_slice *ret_s)
{
	uint32_t n;
	return mf_read_u32be(r, &n) && mf_read_bytes(r, n, ret_s);
}

enum mf_status
mf_foreign_document(
    struct mf_slice files, const char *own_trust_domain, struct mf_buf *to, struct mf_err *err)
{
	struct mf_reader r = mf_reader(files);
	struct making m = { to, 0 };
	struct mf_slice td, text;
	mf_bundle_map_begin(to);
	while (!mf_reader_end(&r)) {
		if (!read_text(&r, &td) || !read_text(&r, &text))
			return MF_FAIL(
			    err, MF_E_INVALID, "foreign bundles: not as the supervisor writes them");
		if (m.n == MF_LIM_FOREIGN)
			return MF_FAIL(
			    err, MF_E_TOOBIG, "more than %u foreign trust domains", MF_LIM_FOREIGN);
		if (mf_slice_eq_str(td, own_trust_domain))
			return MF_FAIL(err, MF_E_INVALID, "%s is our own trust domain", own_trust_domain);
		enum mf_status s = mf_bundle_entry_read(td, text, put_entry, &m, err);
		if (s != MF_OK)
			return mf_err_wrap(
			    err, s, "the bundle of %.*s", (int)(td.n < 255 ? td.n : 255), (const char *)td.p);
	}
	mf_bundle_map_end(to);
	enum mf_status s = mf_buf_check(to, err);
	return s == MF_E_TOOBIG
		   ? MF_FAIL(err, s, "foreign bundles: more than %u bytes in all", MF_LIM_DOCUMENT)
		   : s;
}
