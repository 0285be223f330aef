#include "agent/front/cloud_env.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/text.h"
#include "rpc/pb_check.h"

#define SET_MAX (16u + 4u * MF_CLOUD_GRANTS)
#define FILES_MAX (1u + MF_CLOUD_GRANTS)

/* What an SDK would look at first, or would go on to when it is refused. */
static const char *const unset_aws[] = { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_ENDPOINT_URL_S3",
	"AWS_ENDPOINT_URL_STS", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" };

/* Built with borrowed strings, packed and unpacked: so it has one owner, and protobuf-c's own way to be freed. */
struct draft {
	Mayfly__Job__V1__CloudEnvironment m;
	Mayfly__Job__V1__EnvVariable set[SET_MAX], *set_list[SET_MAX];
	Mayfly__Job__V1__CloudFile files[FILES_MAX], *file_list[FILES_MAX];
	struct mf_buf text; /* all strings, NUL-terminated; never grows past its first size */
	struct mf_buf bodies[FILES_MAX];
	char *unset[MF_COUNT(unset_aws)];
};

#define TEXT_MAX 65536u

static char *
keep(struct draft *d, const char *s)
{
	size_t at = d->text.n;
	mf_buf_put(&d->text, s, strlen(s) + 1);
	return d->text.failed != MF_OK ? (char *)(uintptr_t) "" : (char *)d->text.p + at;
}

static void
set(struct draft *d, const char *name, const char *value, const char *file)
{
	if (d->m.n_set == SET_MAX)
		return;
	Mayfly__Job__V1__EnvVariable *v = &d->set[d->m.n_set];
	*v = (Mayfly__Job__V1__EnvVariable)MAYFLY__JOB__V1__ENV_VARIABLE__INIT;
	v->name = keep(d, name);
	v->value = keep(d, value);
	v->file = keep(d, file);
	d->set_list[d->m.n_set++] = v;
}

static void
file(struct draft *d, const char *name, const char *grant, struct mf_slice body)
{
	size_t n = d->m.n_files;
	Mayfly__Job__V1__CloudFile *f = &d->files[n];
	*f = (Mayfly__Job__V1__CloudFile)MAYFLY__JOB__V1__CLOUD_FILE__INIT;
	f->name = keep(d, name);
	f->grant = keep(d, grant);
	mf_buf_init(&d->bodies[n], MF_CLOUD_TOKEN_MAX);
	mf_buf_put_slice(&d->bodies[n], body);
	f->body = (ProtobufCBinaryData) { d->bodies[n].n, d->bodies[n].p };
	d->file_list[n] = f;
	d->m.n_files++;
}

/* "train-data" is TRAIN_DATA in a variable's name. */
static void
put_upper(struct mf_buf *to, const char *grant)
{
	for (const char *p = grant; *p != '\0'; p++) {
		bool lower = *p >= 'a' && *p <= 'z',
		     word = (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
		mf_buf_put_u8(to, lower ? (uint8_t)(*p - 'a' + 'A') : word ? (uint8_t)*p : (uint8_t)'_');
	}
}

static void
set_for(struct draft *d, const char *prefix, const char *grant, const char *value, const char *of_file)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf name;
	mf_buf_init(&name, 256);
	mf_buf_put_str(&name, prefix);
	put_upper(&name, grant);
	const char *text = mf_buf_cstr(&name);
	if (text != NULL)
		set(d, text, value, of_file);
}

enum mf_status
mf_cloud_bearer_put(const struct mf_cloud_item *i, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	if (i->kind != MF_CLOUD_BEARER || i->token.n == 0)
		return MF_OK;
	MF_TRY(mf_pb_unpack(&mayfly__roles__v1__cloud_token__descriptor, mf_buf_slice(&i->token), &msg, err));
	mf_buf_put_str(to, ((const Mayfly__Roles__V1__CloudToken *)(const void *)msg)->access_token);
	return mf_buf_check(to, err);
}

static void
first_aws(struct draft *d, const struct mf_cloud_item *i, const char *uri)
{
	set(d, "AWS_CONTAINER_CREDENTIALS_FULL_URI", uri, "");
	set(d, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "", MF_CLOUD_SECRET_FILE);
	set(d, "AWS_EC2_METADATA_DISABLED", "true", "");
	set(d, "AWS_CONFIG_FILE", "/dev/null", "");
	set(d, "AWS_SHARED_CREDENTIALS_FILE", "/dev/null", "");
	if (i->region[0] != '\0') {
		set(d, "AWS_REGION", i->region, "");
		set(d, "AWS_DEFAULT_REGION", i->region, "");
	}
	if (i->service_endpoint[0] != '\0')
		set(d, "AWS_ENDPOINT_URL", i->service_endpoint, "");
	for (size_t k = 0; k < MF_COUNT(unset_aws); k++)
		d->unset[k] = (char *)(uintptr_t)unset_aws[k]; /* packing reads only */
	d->m.unset = d->unset;
	d->m.n_unset = MF_COUNT(unset_aws);
}

static enum mf_status
put_item(struct draft *d, const struct mf_cloud_item *i, const char *base, bool *aws, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf uri, name, body;
	bool is_aws = i->kind == MF_CLOUD_AWS;
	mf_buf_init(&uri, 256);
	mf_buf_init(&name, 256);
	mf_buf_init(&body, MF_CLOUD_TOKEN_MAX);
	mf_buf_putf(&uri, "%s/v1/%s/%s", base, is_aws ? "aws" : "token", i->grant);
	mf_buf_putf(&name, "token-%s", i->grant);
	const char *at = mf_buf_cstr(&uri), *of = mf_buf_cstr(&name);
	if (at == NULL || of == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	if (base[0] != '\0' && is_aws && !*aws)
		first_aws(d, i, at);
	if (base[0] != '\0')
		set_for(d, is_aws ? "MAYFLY_AWS_URI_" : "MAYFLY_TOKEN_URI_", i->grant, at, "");
	*aws |= is_aws;
	if (is_aws)
		return MF_OK;
	MF_TRY(mf_cloud_bearer_put(i, &body, err));
	set_for(d, "MAYFLY_TOKEN_FILE_", i->grant, "", of);
	file(d, of, i->grant, mf_buf_slice(&body));
	return MF_OK;
}

static enum mf_status
fill(struct draft *d, const struct mf_cloud_http *http, struct mf_svid_entry *e, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf base, secret;
	char ip[INET_ADDRSTRLEN];
	bool aws = false;
	mf_buf_init(&base, 128);
	mf_buf_init(&secret, MF_CLOUD_SECRET_MAX);
	if (e->clouds.n > 0 && http != NULL) {
		struct in_addr a = mf_cloud_address(mf_cloud_http_key(http), e->key);
		mf_buf_putf(&base, "http://%s:%u", inet_ntop(AF_INET, &a, ip, sizeof(ip)),
		    (unsigned)mf_cloud_http_port(http));
		mf_cloud_secret_put(mf_cloud_http_key(http), e->key, &secret);
		file(d, MF_CLOUD_SECRET_FILE, "", mf_buf_slice(&secret));
		set(d, "MAYFLY_CLOUD_SECRET_FILE", "", MF_CLOUD_SECRET_FILE);
	}
	const char *at = mf_buf_cstr(&base);
	if (at == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	MF_LIST_EACH(p, &e->clouds.items)
	MF_TRY(put_item(d, MF_LIST_ITEM(p, struct mf_cloud_item, at), at, &aws, err));
	return mf_buf_check(&d->text, err);
}

enum mf_status
mf_cloud_env(const struct mf_cloud_http *http, struct mf_svid_entry *e,
    Mayfly__Job__V1__CloudEnvironment **ret_m, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf packed; /* wiped */
	mf_buf_init(&packed, 1u << 20);
	ProtobufCMessage *msg = NULL;
	struct draft *d = calloc(1, sizeof(*d));
	if (d == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	mf_buf_init(&d->text, TEXT_MAX);
	enum mf_status s = MF_OK;
	if (mf_buf_extend(&d->text, TEXT_MAX) == NULL)
		s = MF_FAIL(err, MF_E_NOMEM, "out of memory");
	else
		mf_buf_reset(&d->text); /* the memory stays, and never moves */
	d->m = (Mayfly__Job__V1__CloudEnvironment)MAYFLY__JOB__V1__CLOUD_ENVIRONMENT__INIT;
	d->m.set = d->set_list;
	d->m.files = d->file_list;
	if (s == MF_OK)
		s = fill(d, http, e, err);
	if (s == MF_OK)
		s = mf_pb_pack(&d->m.base, &packed, err);
	if (s == MF_OK)
		s = mf_pb_unpack(
		    &mayfly__job__v1__cloud_environment__descriptor, mf_buf_slice(&packed), &msg, err);
	for (size_t k = 0; k < d->m.n_files; k++)
		mf_buf_fini(&d->bodies[k]);
	mf_buf_fini(&d->text);
	free(d);
	if (s == MF_OK)
		*ret_m = (Mayfly__Job__V1__CloudEnvironment *)(void *)msg;
	return s;
}
