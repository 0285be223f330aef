#include "codec/assertion.h"

#include "base/limits.h"
#include "codec/json_write.h"
#include "codec/jws.h"

static enum mf_status
check(const struct mf_assertion_fields *f, struct mf_err *err)
{
	if (f->iss.n == 0 || f->sub.n == 0 || f->aud.n == 0 || f->jti.n == 0)
		return MF_FAIL(err, MF_E_INVALID, "assertion: issuer, subject, audience and id are needed");
	if (f->iat_s < 0 || f->exp_s <= f->iat_s || f->exp_s - f->iat_s > MF_ASSERTION_MAX_S)
		return MF_FAIL(err, MF_E_INVALID, "assertion: it lives 1 to %d s", MF_ASSERTION_MAX_S);
	if (f->tags_n > MF_ASSERTION_TAGS)
		return MF_FAIL(err, MF_E_INVALID, "assertion: more than %u tags", MF_ASSERTION_TAGS);
	return MF_OK;
}

static void
put_tags(struct mf_jw *w, const struct mf_assertion_fields *f)
{
	mf_jw_key(w, "https://aws.amazon.com/tags");
	mf_jw_object_begin(w);
	mf_jw_key(w, "principal_tags");
	mf_jw_object_begin(w);
	for (size_t i = 0; i < f->tags_n; i++) {
		if (f->tags[i].value.n == 0)
			continue;
		mf_jw_key_slice(w, f->tags[i].name);
		mf_jw_array_begin(w);
		mf_jw_string(w, f->tags[i].value);
		mf_jw_array_end(w);
	}
	mf_jw_object_end(w);
	mf_jw_key(w, "transitive_tag_keys");
	mf_jw_array_begin(w);
	for (size_t i = 0; i < f->tags_n; i++)
		if (f->tags[i].value.n > 0)
			mf_jw_string(w, f->tags[i].name);
	mf_jw_array_end(w);
	mf_jw_object_end(w);
}

enum mf_status
mf_assertion_put(const struct mf_assertion_fields *f, const struct mf_jws_key *key,
    struct mf_jws_signer *signer, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf claims;
	mf_buf_init(&claims, MF_LIM_JWT);
	MF_TRY(check(f, err));
	mf_jw_init(&w, &claims, true);
	mf_jw_object_begin(&w);
	mf_jw_kstring(&w, "aud", f->aud); /* a text, not a list: what every provider takes */
	mf_jw_kint(&w, "exp", f->exp_s);
	if (f->source_identity.n > 0)
		mf_jw_kstring(&w, "https://aws.amazon.com/source_identity", f->source_identity);
	if (f->tags_n > 0)
		put_tags(&w, f);
	mf_jw_kint(&w, "iat", f->iat_s);
	mf_jw_kstring(&w, "iss", f->iss);
	mf_jw_kstring(&w, "jti", f->jti);
	mf_jw_kint(&w, "nbf", f->iat_s);
	mf_jw_kstring(&w, "sub", f->sub);
	mf_jw_object_end(&w);
	MF_TRY(mf_jw_finish(&w, err));
	return mf_jws_put(
	    mf_jws_key_alg(key), mf_slice_str(mf_jws_key_kid(key)), mf_buf_slice(&claims), signer, to, err);
}
