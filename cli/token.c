/* token: `mayfly token get`: a cloud token of this job, for those who do not ask the SDK endpoint. */
#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "job.pb-c.h"

typedef Mayfly__Job__V1__GetCloudTokenResponse answer;

static void
put_until(struct mf_jw *w, const char *key, int64_t until_s)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 64);
	mf_time_put_s(&b, until_s);
	mf_jw_kstring(w, key, mf_buf_slice(&b));
}

static bool
is_aws(const answer *a)
{
	return strcmp(a->kind, "aws") == 0;
}

/* As AWS SDKs read it from the program that credential_process names. */
static enum mf_status
put_process(const answer *a, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	if (!is_aws(a))
		return MF_FAIL(
		    err, MF_E_INVALID, "grant %s is of kind %s: no AWS credentials", a->grant, a->kind);
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	mf_jw_kint(&w, "Version", 1);
	mf_jw_kstr(&w, "AccessKeyId", a->access_key_id);
	mf_jw_kstr(&w, "SecretAccessKey", a->secret_access_key);
	mf_jw_kstr(&w, "SessionToken", a->session_token);
	put_until(&w, "Expiration", a->expires);
	mf_jw_object_end(&w);
	MF_TRY(mf_jw_finish(&w, err));
	mf_buf_put_u8(to, '\n');
	return mf_buf_check(to, err);
}

static enum mf_status
put_json(const answer *a, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	mf_show_json_begin(&w, to, "CloudToken");
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "grant", a->grant);
	mf_jw_kstr(&w, "kind", a->kind);
	mf_jw_kstr(&w, "credential", a->credential_id);
	if (is_aws(a)) {
		mf_jw_kstr(&w, "access_key_id", a->access_key_id);
		mf_jw_kstr(&w, "secret_access_key", a->secret_access_key);
		mf_jw_kstr(&w, "session_token", a->session_token);
	} else {
		mf_jw_kstr(&w, "access_token", a->access_token);
		mf_jw_kstr(&w, "token_type", a->token_type);
	}
	put_until(&w, "expires", a->expires);
	mf_jw_kstr(&w, "region", a->region);
	mf_jw_kstr(&w, "service_endpoint", a->service_endpoint);
	mf_jw_object_end(&w);
	return mf_show_json_end(&w, err);
}

/* Fixed keys: they are not renewed. For programs that can read nothing else. */
static enum mf_status
put_env(const answer *a, struct mf_buf *to, struct mf_err *err)
{
	if (!is_aws(a)) {
		mf_show_export(to, "MAYFLY_TOKEN", a->access_token);
		return mf_buf_check(to, err);
	}
	mf_show_export(to, "AWS_ACCESS_KEY_ID", a->access_key_id);
	mf_show_export(to, "AWS_SECRET_ACCESS_KEY", a->secret_access_key);
	mf_show_export(to, "AWS_SESSION_TOKEN", a->session_token);
	if (a->region[0] != '\0') {
		mf_show_export(to, "AWS_REGION", a->region);
		mf_show_export(to, "AWS_DEFAULT_REGION", a->region);
	}
	if (a->service_endpoint[0] != '\0')
		mf_show_export(to, "AWS_ENDPOINT_URL", a->service_endpoint);
	return mf_buf_check(to, err);
}

static enum mf_status
put_bare(const answer *a, struct mf_buf *to, struct mf_err *err)
{
	if (is_aws(a))
		return MF_FAIL(err, MF_E_INVALID,
		    "grant %s is of kind aws, which has no single token: -o env, credential-process or json",
		    a->grant);
	mf_buf_put_str(to, a->access_token);
	mf_buf_put_u8(to, '\n');
	return mf_buf_check(to, err);
}

static const struct {
	const char *name;
	enum mf_status (*put)(const answer *a, struct mf_buf *to, struct mf_err *err);
} formats[] = { { "token", put_bare }, { "env", put_env }, { "credential-process", put_process },
	{ "json", put_json } };

int
mf_cli_token_get(struct mf_cli *c)
{
	Mayfly__Job__V1__GetCloudTokenRequest req = MAYFLY__JOB__V1__GET_CLOUD_TOKEN_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL; /* wiped */
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;	  /* likewise */
	struct mf_err err = { 0 };
	const char *format = mf_cli_get(c, "output");
	size_t k = 0;
	mf_buf_init(&out, MF_SHOW_MAX);
	while (format != NULL && k < MF_COUNT(formats) && strcmp(format, formats[k].name) != 0)
		k++;
	if (k == MF_COUNT(formats))
		return mf_cli_usage(c, "--output is token, env, credential-process or json");
	if (c->argc > 0)
		req.grant = c->argv[0];
	int rc = mf_cli_ask_agent(c, &mf_cli_cloud_token, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	if (formats[k].put((const answer *)(const void *)msg, &out, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&out));
	return MF_EXIT_OK;
}
