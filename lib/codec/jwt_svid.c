#include "codec/jwt_svid.h"

#include <stdlib.h>

#include "base/text.h"
#include "codec/json_write.h"

#define DATE_MAX INT64_C(253402300799) /* the end of the year 9999: any date fits a double and a struct tm */

struct mf_jwt_svid {
	struct mf_json *claims;
	struct mf_spiffe_id *id;
	int64_t exp_s;
};

/* ---- writing ---- */

enum mf_status
mf_jwt_audience_check(struct mf_slice aud, struct mf_err *err)
{
	if (aud.n == 0)
		return MF_FAIL(err, MF_E_INVALID, "an audience is empty");
	if (aud.n > MF_LIM_JWT_AUDIENCE)
		return MF_FAIL(err, MF_E_TOOBIG, "an audience has more than %u bytes", MF_LIM_JWT_AUDIENCE);
	if (!mf_utf8_ok(aud))
		return MF_FAIL(err, MF_E_INVALID, "an audience is not UTF-8, or has a NUL");
	return MF_OK;
}

static enum mf_status
check_fields(const struct mf_jwt_svid_fields *f, struct mf_err *err)
{
	/* JWT-7: "at least one value must be present" */
	if (f->aud_n == 0 || f->aud_n > MF_LIM_JWT_AUDIENCES)
		return MF_FAIL(
		    err, MF_E_INVALID, "jwt-svid: 1 to %u audiences are needed", MF_LIM_JWT_AUDIENCES);
	for (size_t i = 0; i < f->aud_n; i++)
		MF_TRY(mf_jwt_audience_check(f->aud[i], err));
	if (f->kid.n == 0 || f->jti.n == 0 || f->iat_s < 0 || f->exp_s <= f->iat_s || f->exp_s > DATE_MAX)
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: kid, jti and dates are needed");
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	MF_TRY(mf_spiffe_id_parse(f->spiffe_id, &id, err));
	if (!mf_slice_eq(mf_spiffe_id_uri(id), f->spiffe_id))
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: the SPIFFE ID is not in its folded form");
	return MF_OK;
}

enum mf_status
mf_jwt_svid_put(
    const struct mf_jwt_svid_fields *f, struct mf_jws_signer *signer, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf claims;
	mf_buf_init(&claims, MF_LIM_JWT);
	MF_TRY(check_fields(f, err));
	mf_jw_init(&w, &claims, true);
	mf_jw_object_begin(&w);
	mf_jw_key(&w, "aud");
	mf_jw_array_begin(&w);
	for (size_t i = 0; i < f->aud_n; i++)
		mf_jw_string(&w, f->aud[i]);
	mf_jw_array_end(&w);
	mf_jw_kint(&w, "exp", f->exp_s); /* P-14: "numeric dates as JSON integers" */
	mf_jw_kint(&w, "iat", f->iat_s);
	mf_jw_kstring(&w, "jti", f->jti);
	mf_jw_kstring(&w, "sub", f->spiffe_id);
	mf_jw_object_end(&w);
	MF_TRY(mf_jw_finish(&w, err));
	size_t start = to->n;
	MF_TRY(mf_jws_put(f->alg, f->kid, mf_buf_slice(&claims), signer, to, err));
	if (to->n - start > MF_LIM_JWT)
		return MF_FAIL(err, MF_E_TOOBIG, "jwt-svid: more than %u bytes", MF_LIM_JWT);
	return MF_OK;
}

/* ---- validating ---- */

void
mf_jwt_svid_free(struct mf_jwt_svid *svid)
{
	if (svid == NULL)
		return;
	mf_json_free(svid->claims);
	mf_spiffe_id_free(svid->id);
	free(svid);
}

/* A string, or an array of strings with at least one (RFC 7519 4.1.3). JWT-8: "MUST be present in the aud claim". */
static enum mf_status
check_aud(const struct mf_json_value *claims, struct mf_slice want, struct mf_err *err)
{
	struct mf_slice s;
	bool found = false;
	const struct mf_json_value *aud = mf_json_get(claims, "aud");
	size_t n = mf_json_size(aud);
	if (mf_json_string(aud, &s)) {
		found = mf_slice_eq(s, want);
		n = s.n;
	} else if (mf_json_type(aud) != MF_JSON_ARRAY) {
		n = 0;
	}
	if (n == 0)
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: aud is missing or empty");
	for (size_t i = 0; i < mf_json_size(aud); i++) {
		if (!mf_json_string(mf_json_at(aud, i), &s) || s.n == 0)
			return MF_FAIL(
			    err, MF_E_INVALID, "jwt-svid: aud holds something that is not an audience");
		found |= mf_slice_eq(s, want);
	}
	return found ? MF_OK : MF_FAIL(err, MF_E_INVALID, "jwt-svid: it is for another audience");
}

/* A whole number of seconds; a fraction, an exponent or a far future is nobody's date. */
static enum mf_status
date(const struct mf_json_value *claims, const char *name, bool *ret_has, int64_t *ret_s, struct mf_err *err)
{
	const struct mf_json_value *v = mf_json_get(claims, name);
	*ret_has = v != NULL;
	if (v != NULL && (!mf_json_int(v, ret_s) || *ret_s < 0 || *ret_s > DATE_MAX))
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: %s is not a date in whole seconds", name);
	return MF_OK;
}

static enum mf_status
check_dates(const struct mf_json_value *claims, const struct mf_jwt_svid_check *c, int64_t *ret_exp,
    struct mf_err *err)
{
	bool has;
	int64_t exp = 0, nbf = 0, iat = 0;
	int64_t leeway = c->leeway_s < MF_JWT_LEEWAY_MAX_S ? c->leeway_s : MF_JWT_LEEWAY_MAX_S;
	MF_TRY(date(claims, "exp", &has, &exp, err));
	/* JWT-9: "This claim MUST be set, and MUST be validated" */
	if (!has)
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: no exp");
	if (exp <= c->now_s - leeway)
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: it has expired");
	MF_TRY(date(claims, "nbf", &has, &nbf, err));
	if (has && nbf > c->now_s + leeway)
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: it is not valid yet");
	MF_TRY(
	    date(claims, "iat", &has, &iat, err)); /* must be a date, and bounds nothing (RFC 7519 4.1.6) */
	*ret_exp = exp;
	return MF_OK;
}

/* JWT-11: with the keys of the trust domain that the subject is of, and no other. */
static enum mf_status
check_signature(const struct mf_jws *jws, const struct mf_jwt_svid *s, const struct mf_jwt_svid_check *c,
    struct mf_err *err)
{
	const struct mf_jwk_set *keys = c->keys_of(c->ctx, mf_spiffe_id_trust_domain(s->id));
	if (keys == NULL)
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: its trust domain is not known here");
	const struct mf_jws_pub *pub = mf_jwk_set_find(keys, mf_jws_kid(jws), mf_jws_alg(jws));
	if (pub == NULL)
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: its trust domain has no key of that kid for %s",
		    mf_jws_alg_name(mf_jws_alg(jws)));
	enum mf_status r = mf_jws_pub_verify(pub, mf_jws_alg(jws), mf_jws_input(jws), mf_jws_sig(jws), err);
	return r == MF_OK ? r : mf_err_wrap(err, r, "jwt-svid");
}

enum mf_status
mf_jwt_svid_validate(struct mf_slice token, const struct mf_jwt_svid_check *check,
    struct mf_jwt_svid **ret_svid, struct mf_err *err)
{
	struct mf_slice sub;
	MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
	MF_AUTO(mf_jwt_svid_free) struct mf_jwt_svid *s = NULL;
	if (check->audience.n == 0)
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: no audience to look for");
	MF_TRY(mf_jws_parse(token, &jws, err));
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "jwt-svid: out of memory");
	enum mf_status r = mf_json_parse(mf_jws_payload(jws), MF_LIM_JWT, &s->claims, err);
	if (r != MF_OK)
		return mf_err_wrap(err, r, "jwt-svid: claims");
	const struct mf_json_value *claims = mf_json_root(s->claims);
	/* JWT-6: "The sub claim MUST be set to the SPIFFE ID of the workload" */
	if (mf_json_type(claims) != MF_JSON_OBJECT || !mf_json_string(mf_json_get(claims, "sub"), &sub))
		return MF_FAIL(err, MF_E_INVALID, "jwt-svid: no sub");
	r = mf_spiffe_id_parse(sub, &s->id, err);
	if (r != MF_OK)
		return mf_err_wrap(err, r == MF_E_NOMEM ? r : MF_E_INVALID, "jwt-svid: sub");
	MF_TRY(check_signature(jws, s, check, err));
	MF_TRY(check_dates(claims, check, &s->exp_s, err));
	MF_TRY(check_aud(claims, check->audience, err));
	*ret_svid = MF_TAKE(s);
	return MF_OK;
}

const struct mf_spiffe_id *
mf_jwt_svid_id(const struct mf_jwt_svid *svid)
{
	return svid->id;
}

const struct mf_json_value *
mf_jwt_svid_claims(const struct mf_jwt_svid *svid)
{
	return mf_json_root(svid->claims);
}

int64_t
mf_jwt_svid_exp_s(const struct mf_jwt_svid *svid)
{
	return svid->exp_s;
}
