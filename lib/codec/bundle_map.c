#include "codec/bundle_map.h"

#include "codec/json.h"
#include "codec/json_write.h"
#include "codec/spiffe_id.h"

enum mf_status
mf_trust_domain_check_name(struct mf_slice td, struct mf_err *err)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	MF_TRY(mf_spiffe_id_build(td, mf_slice(NULL, 0), &id, err));
	if (!mf_slice_eq(mf_spiffe_id_trust_domain(id), td))
		return MF_FAIL(err, MF_E_INVALID, "a trust domain's name is written in lower case");
	return MF_OK;
}

/* The members that a bundle has for us, written again: a bundle inside a map is a document of its own for its readers. */
static void
put_value(struct mf_jw *w, const struct mf_json_value *v, unsigned depth)
{
	struct mf_slice s;
	int64_t n;
	bool b;
	const struct mf_json_value *member;
	struct mf_json_iter it = mf_json_iter(v);
	switch (mf_json_type(v)) {
	case MF_JSON_STRING:
		if (mf_json_string(v, &s))
			mf_jw_string(w, s);
		break;
	case MF_JSON_INT:
		if (mf_json_int(v, &n))
			mf_jw_int(w, n);
		break;
	case MF_JSON_BOOL:
		if (mf_json_bool(v, &b))
			mf_jw_bool(w, b);
		break;
	case MF_JSON_ARRAY:
		mf_jw_array_begin(w);
		for (size_t i = 0; depth > 0 && i < mf_json_size(v); i++)
			put_value(w, mf_json_at(v, i), depth - 1);
		mf_jw_array_end(w);
		break;
	case MF_JSON_OBJECT:
		mf_jw_object_begin(w);
		while (depth > 0 && mf_json_next(&it, &s, &member)) {
			mf_jw_key_slice(w, s);
			put_value(w, member, depth - 1);
		}
		mf_jw_object_end(w);
		break;
	case MF_JSON_ABSENT:
	case MF_JSON_NULL:
	case MF_JSON_REAL: /* no member of a bundle that is read is one */
		mf_jw_null(w);
		break;
	}
}

static enum mf_status
read_one(struct mf_slice td, const struct mf_json_value *bundle, mf_bundle_map_cb *cb, void *ctx,
    struct mf_err *err)
{
	struct mf_jw w;
	struct mf_bundle_doc doc = { 0 };
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *jwt = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&text, MF_LIM_BUNDLE_JSON);
	MF_TRY(mf_trust_domain_check_name(td, err));
	mf_jw_init(&w, &text, false);
	put_value(&w, bundle, MF_LIM_JSON_DEPTH);
	MF_TRY(mf_jw_finish(&w, err));
	MF_TRY(mf_jwk_set_read(mf_buf_slice(&text), MF_JWKS_SPIFFE, &jwt, err));
	MF_TRY(mf_bundle_json_get(mf_buf_slice(&text), &doc, err));
	const struct mf_bundle_entry e = { td, mf_buf_slice(&doc.x509_der), jwt, mf_buf_slice(&text) };
	enum mf_status s = cb(ctx, &e, err);
	mf_bundle_doc_fini(&doc);
	return s;
}

enum mf_status
mf_bundle_entry_read(
    struct mf_slice td, struct mf_slice document, mf_bundle_map_cb *cb, void *ctx, struct mf_err *err)
{
	MF_AUTO(mf_json_free) struct mf_json *json = NULL;
	MF_TRY(mf_json_parse(document, MF_LIM_BUNDLE_JSON, &json, err));
	return read_one(td, mf_json_root(json), cb, ctx, err);
}

enum mf_status
mf_bundle_map_read(struct mf_slice in, size_t max, mf_bundle_map_cb *cb, void *ctx, struct mf_err *err)
{
	struct mf_slice td;
	const struct mf_json_value *bundle;
	MF_AUTO(mf_json_free) struct mf_json *json = NULL;
	MF_TRY(mf_json_parse(in, max, &json, err));
	const struct mf_json_value *all = mf_json_get(mf_json_root(json), "trust_domains");
	/* BND-9: the object must be there and may be empty. */
	if (mf_json_type(all) != MF_JSON_OBJECT)
		return MF_FAIL(err, MF_E_INVALID, "bundle map: no object trust_domains");
	struct mf_json_iter it = mf_json_iter(all);
	while (mf_json_next(&it, &td, &bundle)) {
		enum mf_status s = read_one(td, bundle, cb, ctx, err);
		if (s != MF_OK)
			return mf_err_wrap(
			    err, s, "bundle map: %.*s", (int)(td.n < 255 ? td.n : 255), (const char *)td.p);
	}
	return MF_OK;
}

void
mf_bundle_map_begin(struct mf_buf *to)
{
	mf_buf_put_str(to, "{\"trust_domains\":{");
}

void
mf_bundle_map_put(struct mf_buf *to, bool first, struct mf_slice trust_domain, struct mf_slice document)
{
	mf_buf_put_str(to, first ? "\"" : ",\"");
	mf_buf_put_slice(to, trust_domain); /* checked: letters that JSON need not escape */
	mf_buf_put_str(to, "\":");
	mf_buf_put_slice(to, document);
}

void
mf_bundle_map_end(struct mf_buf *to)
{
	mf_buf_put_str(to, "}}");
}
