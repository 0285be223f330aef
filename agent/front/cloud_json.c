/* cloud_http, the bodies: what AWS SDKs and users of bearer tokens read. */
#include "agent/front/cloud_http.h"
#include "codec/json_write.h"
#include "rpc/pb_check.h"

static void
put_aws(struct mf_jw *w, const Mayfly__Roles__V1__CloudToken *t, int64_t until_s)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf until;
	mf_buf_init(&until, 64);
	mf_time_put_s(&until, until_s);
	mf_jw_kstr(w, "AccessKeyId", t->access_key_id);
	mf_jw_kstr(w, "SecretAccessKey", t->secret_access_key);
	mf_jw_kstr(w, "Token", t->session_token);
	if (t->account_id[0] != '\0')
		mf_jw_kstr(w, "AccountId", t->account_id);
	mf_jw_kstring(w, "Expiration", mf_buf_slice(&until));
}

static void
put_bearer(struct mf_jw *w, const Mayfly__Roles__V1__CloudToken *t, int64_t left_s, int64_t until_s)
{
	mf_jw_kstr(w, "access_token", t->access_token);
	mf_jw_kstr(w, "token_type", t->token_type[0] == '\0' ? "Bearer" : t->token_type);
	mf_jw_kint(w, "expires_in", left_s);
	mf_jw_kint(w, "expires_on", until_s);
	if (t->scope[0] != '\0')
		mf_jw_kstr(w, "scope", t->scope);
}

enum mf_status
mf_cloud_json(const struct mf_cloud_item *i, enum mf_cloud_kind as, int64_t now_s, struct mf_buf *to,
    struct mf_err *err)
{
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_jw w;
	if (i->kind != as)
		return MF_FAIL(
		    err, MF_E_INVALID, "the grant is of kind %s: ask for that", mf_cloud_kind_name(i->kind));
	MF_TRY(mf_pb_unpack(&mayfly__roles__v1__cloud_token__descriptor, mf_buf_slice(&i->token), &msg, err));
	const Mayfly__Roles__V1__CloudToken *t = (const void *)msg;
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	if (as == MF_CLOUD_AWS)
		put_aws(&w, t, i->effective_s);
	else
		put_bearer(&w, t, i->effective_s - now_s, i->effective_s);
	mf_jw_object_end(&w);
	return mf_jw_finish(&w, err);
}

enum mf_status
mf_cloud_json_kept(struct mf_cloud_item *i, enum mf_cloud_kind as, int64_t now_s, struct mf_slice *ret_body,
    struct mf_err *err)
{
	int64_t made_s = as == MF_CLOUD_BEARER ? now_s : 0;
	if (i->kind != as || i->answer.n == 0 || i->answer_s != made_s) {
		mf_buf_fini(&i->answer); /* wiped */
		enum mf_status s = mf_cloud_json(i, as, now_s, &i->answer, err);
		if (s != MF_OK) {
			mf_buf_fini(&i->answer);
			return s;
		}
		i->answer_s = made_s;
	}
	*ret_body = mf_buf_slice(&i->answer);
	return MF_OK;
}
