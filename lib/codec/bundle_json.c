#include "codec/bundle_json.h"

#include "base/text.h"
#include "codec/bundle.h"
#include "codec/der.h"
#include "codec/json.h"
#include "codec/jwks.h"
#include "codec/x509_peek.h"

#define USE_X509 "x509-svid"
#define USE_JWT "jwt-svid"
#define COORD 32

enum mf_status
mf_bundle_json_put(struct mf_slice bundle_der, const struct mf_jwk_set *jwt, uint64_t sequence,
    uint32_t refresh_hint_s, struct mf_buf *to, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	MF_TRY(mf_bundle_split(bundle_der, certs, MF_COUNT(certs), &n, err));
	if (sequence > INT64_MAX || refresh_hint_s == 0)
		return MF_FAIL(err, MF_E_INVALID, "bundle: sequence over 63 bits, or no refresh hint");
	struct mf_jw w;
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	/* BND-4: "The parameter keys MUST be present." */
	mf_jw_key(&w, "keys");
	mf_jw_array_begin(&w);
	for (size_t i = 0; i < n; i++) {
		struct mf_x509_peek p;
		MF_TRY(mf_x509_peek(certs[i], &p, err));
		/* X509-17: "The use parameter of each JWK entry MUST be set to x509-svid. Additionally, the kid
		 * parameter of each JWK entry MUST NOT be set." */
		if (!mf_jwk_cert_put(&w, p.spki, USE_X509, certs[i]))
			return MF_FAIL(err, MF_E_INVALID,
			    "bundle: the key of certificate %zu is neither RSA nor on P-256, P-384 or P-521",
			    i);
	}
	if (jwt != NULL)
		mf_jwk_set_put(
		    jwt, USE_JWT, &w); /* JWT-12: "the use parameter MUST be set to jwt-svid" and kid */
	mf_jw_array_end(&w);
	if (sequence > 0)
		mf_jw_kuint(&w, "spiffe_sequence", sequence);	/* BND-2 */
	mf_jw_kuint(&w, "spiffe_refresh_hint", refresh_hint_s); /* BND-3 */
	mf_jw_object_end(&w);
	return mf_jw_finish(&w, err);
}

void
mf_bundle_doc_fini(struct mf_bundle_doc *doc)
{
	mf_buf_fini(&doc->x509_der);
	*doc = (struct mf_bundle_doc) { 0 };
}

/* P-21: the JWK's own coordinates, where we can read them, are those of its certificate. */
static enum mf_status
check_same_key(const struct mf_json_value *jwk, struct mf_slice der, size_t i, struct mf_err *err)
{
	struct mf_x509_peek p;
	struct mf_slice point, crv, text;
	if (mf_x509_peek(der, &p, NULL) != MF_OK || !mf_x509_peek_point(&p, &point))
		return MF_OK; /* an RSA or P-384 authority: x5c is what counts */
	if (!mf_json_string(mf_json_get(jwk, "crv"), &crv) || !mf_slice_eq_str(crv, "P-256"))
		return MF_FAIL(err, MF_E_INVALID, "bundle: keys[%zu]: crv is not that of its certificate", i);
	static const char *const names[] = { "x", "y" };
	for (size_t c = 0; c < MF_COUNT(names); c++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, COORD);
		if (!mf_json_string(mf_json_get(jwk, names[c]), &text) ||
		    mf_base64url_get(text, &b, NULL) != MF_OK ||
		    !mf_slice_eq(mf_buf_slice(&b), mf_slice_sub(point, 1 + c * COORD, COORD)))
			return MF_FAIL(err, MF_E_INVALID,
			    "bundle: keys[%zu]: %s is not that of its certificate", i, names[c]);
	}
	return MF_OK;
}

/* Append the first certificate of x5c. */
static enum mf_status
take_x5c(const struct mf_json_value *jwk, struct mf_slice text, size_t i, struct mf_bundle_doc *doc,
    struct mf_err *err)
{
	if (doc->n_x509 == MF_LIM_BUNDLE_CERTS)
		return MF_FAIL(err, MF_E_TOOBIG, "bundle: more than %u certificates", MF_LIM_BUNDLE_CERTS);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
	mf_buf_init(&der, MF_LIM_CERT_DER);
	enum mf_status s = mf_base64_get(text, &der, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "bundle: keys[%zu]: x5c", i);
	struct mf_slice cert = mf_buf_slice(&der);
	MF_TRY(check_same_key(jwk, cert, i, err));
	s = mf_bundle_join(&cert, 1, &doc->x509_der, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "bundle: keys[%zu]", i);
	doc->n_x509++;
	return MF_OK;
}

static enum mf_status
take_key(const struct mf_json_value *jwk, size_t i, struct mf_bundle_doc *doc, struct mf_err *err)
{
	struct mf_slice kty, use, text;
	if (mf_json_type(jwk) != MF_JSON_OBJECT)
		return MF_FAIL(err, MF_E_INVALID, "bundle: keys[%zu] is not an object", i);
	/*
	 * BND-5: "Clients encountering an unknown key type MUST ignore the entire JWK element"; "Clients
	 * encountering either a missing use parameter or an unknown use value MUST ignore the entire JWK
	 * element". X509-18: "If x5c is not set, or is empty, then the entry MUST be ignored"; "all but the
	 * first MUST be ignored".
	 */
	const struct mf_json_value *x5c = mf_json_get(jwk, "x5c");
	if (!mf_json_string(mf_json_get(jwk, "kty"), &kty) ||
	    !(mf_slice_eq_str(kty, "EC") || mf_slice_eq_str(kty, "RSA") || mf_slice_eq_str(kty, "OKP")) ||
	    !mf_json_string(mf_json_get(jwk, "use"), &use) || !mf_slice_eq_str(use, USE_X509) ||
	    (mf_json_type(x5c) == MF_JSON_ARRAY && mf_json_size(x5c) == 0) ||
	    mf_json_type(x5c) == MF_JSON_ABSENT) {
		doc->n_ignored++;
		return MF_OK;
	}
	if (!mf_json_string(mf_json_at(x5c, 0), &text))
		return MF_FAIL(err, MF_E_INVALID, "bundle: keys[%zu]: x5c is not an array of strings", i);
	return take_x5c(jwk, text, i, doc, err);
}

/* An optional integer >= 0. */
static enum mf_status
take_uint(
    const struct mf_json_value *root, const char *name, bool *ret_has, uint64_t *ret_v, struct mf_err *err)
{
	const struct mf_json_value *v = mf_json_get(root, name);
	int64_t i = 0;
	*ret_has = v != NULL;
	if (v != NULL && (!mf_json_int(v, &i) || i < 0))
		return MF_FAIL(err, MF_E_INVALID, "bundle: %s is not an integer of 0 or more", name);
	*ret_v = (uint64_t)i;
	return MF_OK;
}

static enum mf_status
read_doc(const struct mf_json_value *root, struct mf_bundle_doc *doc, struct mf_err *err)
{
	/* BND-1: "implementations MUST NOT require their presence": other members are not looked at. */
	const struct mf_json_value *keys = mf_json_get(root, "keys");
	if (mf_json_type(keys) != MF_JSON_ARRAY)
		return MF_FAIL(err, MF_E_INVALID, "bundle: no array of keys: this is no SPIFFE bundle");
	if (mf_json_size(keys) > MF_LIM_BUNDLE_KEYS)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "bundle: %zu keys, at most %u", mf_json_size(keys), MF_LIM_BUNDLE_KEYS);
	/* BND-2: "its value MUST be a monotonically increasing integer"; BND-3: "its value MUST be an integer" */
	MF_TRY(take_uint(root, "spiffe_sequence", &doc->has_sequence, &doc->sequence, err));
	MF_TRY(take_uint(root, "spiffe_refresh_hint", &doc->has_refresh_hint, &doc->refresh_hint_s, err));
	for (size_t i = 0; i < mf_json_size(keys); i++)
		MF_TRY(take_key(mf_json_at(keys, i), i, doc, err));
	return MF_OK;
}

enum mf_status
mf_bundle_json_get(struct mf_slice in, struct mf_bundle_doc *ret_doc, struct mf_err *err)
{
	MF_AUTO(mf_json_free) struct mf_json *json = NULL;
	MF_TRY(mf_json_parse(in, MF_LIM_BUNDLE_JSON, &json, err));
	struct mf_bundle_doc doc = { 0 };
	mf_buf_init(&doc.x509_der, MF_LIM_BUNDLE_DER);
	enum mf_status s = read_doc(mf_json_root(json), &doc, err);
	if (s == MF_OK)
		*ret_doc = doc;
	else
		mf_bundle_doc_fini(&doc);
	return s;
}
