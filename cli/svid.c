#include "cli/svid.h"

#include "base/text.h"
#include "codec/bundle.h"
#include "codec/pem.h"
#include "codec/x509_peek.h"
#include "workload.pb-c.h"

void
mf_svids_fini(struct mf_svids *s)
{
	mf_pb_free(MF_TAKE(s->msg));
	s->n = 0;
}

static struct mf_slice
bytes(ProtobufCBinaryData b)
{
	return mf_slice(b.data, b.len);
}

static enum mf_status
look(const X509SVID *m, struct mf_svid *ret, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	struct mf_x509_peek leaf;
	size_t n = 0;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf hex;
	mf_buf_init(&hex, sizeof(ret->serial) - 1);
	MF_TRY(mf_bundle_split(bytes(m->x509_svid), certs, MF_COUNT(certs), &n, err));
	if (n == 0 || m->x509_svid_key.len == 0)
		return MF_FAIL(err, MF_E_INVALID, "an identity without certificate or key");
	MF_TRY(mf_x509_peek(certs[0], &leaf, err));
	if (!mf_slice_eq_str(leaf.uri, m->spiffe_id))
		return MF_FAIL(err, MF_E_INVALID, "the certificate is not one of its SPIFFE ID");
	mf_hex_put(&hex, leaf.serial);
	MF_TRY(mf_buf_check(&hex, err));
	*ret = (struct mf_svid) { .spiffe_id = m->spiffe_id,
		.hint = m->hint,
		.not_before = leaf.not_before_s,
		.not_after = leaf.not_after_s,
		.chain = bytes(m->x509_svid),
		.key = bytes(m->x509_svid_key),
		.bundle = bytes(m->bundle) };
	memcpy(ret->serial, hex.p, hex.n);
	return MF_OK;
}

enum mf_status
mf_svids_take(ProtobufCMessage *msg, struct mf_svids *ret, struct mf_err *err)
{
	const X509SVIDResponse *r = (const X509SVIDResponse *)(const void *)msg;
	struct mf_svids s = { .msg = msg };
	if (r->n_svids == 0 || r->n_svids > MF_COUNT(s.v))
		return MF_FAIL(err, MF_E_INVALID,
		    "the agent answered with %zu identities: is it of another release?", r->n_svids);
	for (; s.n < r->n_svids; s.n++)
		if (look(r->svids[s.n], &s.v[s.n], err) != MF_OK)
			return mf_err_wrap(err, MF_E_INVALID, "the agent's answer");
	*ret = s;
	return MF_OK;
}

static const struct mf_col cols[] = {
	{ .head = "SPIFFE ID",
	    .key = "spiffe_id",
	    .type = MF_COL_STR,
	    .at = offsetof(struct mf_svid, spiffe_id) },
	{ .head = "HINT", .key = "hint", .type = MF_COL_STR, .at = offsetof(struct mf_svid, hint) },
	{ .head = "UNTIL", .type = MF_COL_TIME_S, .at = offsetof(struct mf_svid, not_after) },
	{ .head = "LEFT", .type = MF_COL_LEFT_S, .at = offsetof(struct mf_svid, not_after) },
};

static void
json_one(struct mf_jw *w, const struct mf_svid *v, bool with_key)
{
	static const struct mf_col times[] = {
		{ .key = "not_before", .type = MF_COL_TIME_S, .at = offsetof(struct mf_svid, not_before) },
		{ .key = "not_after", .type = MF_COL_TIME_S, .at = offsetof(struct mf_svid, not_after) },
	};
	mf_jw_object_begin(w);
	mf_show_object(w, MF_COLS(cols), v);
	mf_jw_kstr(w, "serial", v->serial);
	mf_show_object(w, MF_COLS(times), v);
	mf_show_pem_json(w, "chain", v->chain);
	mf_show_pem_json(w, "bundle", v->bundle);
	if (with_key) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf pem; /* wiped */
		mf_buf_init(&pem, 16384);
		mf_pem_put(&pem, MF_PEM_PRIVATE_KEY, v->key);
		mf_jw_kstring(w, "key", mf_buf_slice(&pem));
	}
	mf_jw_object_end(w);
}

enum mf_status
mf_svids_show(const struct mf_cli *c, const char *kind, const struct mf_svids *s, bool with_key,
    struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	if (c->json) {
		mf_show_json_begin(&w, to, kind);
		for (size_t i = 0; i < s->n; i++)
			json_one(&w, &s->v[i], with_key);
		return mf_show_json_end(&w, err);
	}
	/* Serials are too long for a column that everybody has to read past. */
	const void *items[MF_LIM_IDENTITIES];
	for (size_t i = 0; i < s->n; i++)
		items[i] = &s->v[i];
	MF_TRY(mf_show_table(to, "", MF_COLS(cols), items, s->n, mf_now(), err));
	for (size_t i = 0; i < s->n; i++)
		mf_buf_putf(to, "serial %s\n", s->v[i].serial);
	return mf_buf_check(to, err);
}
