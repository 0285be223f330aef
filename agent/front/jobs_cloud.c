/* GetCloudToken and GetCloudEnvironment: cloud credentials for those who do not ask the endpoint (the CLI). */
#include <stdio.h>
#include <stdlib.h>

#include "agent/front/cloud_env.h"
#include "agent/front/jobs_internal.h"
#include "rpc/pb_check.h"

#define TOKEN_HOLD_MS 30000u
#define LAST_WORD_MS 500u /* before the caller's deadline */

struct ask {
	struct mf_job_call job;
	struct mf_cloud_wait wait;
	struct mf_jobs_api *api;
	bool environment, begun;
	char grant[MF_CLOUD_NAME_MAX + 1];
};

static void
ask_free(struct ask *a)
{
	mf_cloud_wait_cancel(&a->wait);
	mf_job_call_end(&a->job);
	free(a);
}

static void
finish(struct ask *a, enum mf_grpc_code code, const char *text)
{
	struct mf_grpc_call *c = a->job.call;
	char copy[MF_SVID_TEXT_MAX + 1]; /* ${text} may be the entry's own */
	mf_svid_text(copy, mf_slice_str(text));
	ask_free(a);
	mf_grpc_finish(c, code, copy);
}

static void
reply_environment(struct ask *a, struct mf_svid_entry *e)
{
	Mayfly__Job__V1__CloudEnvironment *m = NULL;
	struct mf_grpc_call *c = a->job.call;
	struct mf_err err = { 0 };
	enum mf_status s = mf_cloud_env(a->api->cfg.http, e, &m, &err);
	if (s == MF_OK)
		mf_grpc_reply(c, &m->base);
	else
		mf_grpc_fail(c, s, &err);
	mf_pb_free(m == NULL ? NULL : &m->base);
	ask_free(a);
}

static void
reply_token(struct ask *a, const struct mf_cloud_item *i)
{
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	Mayfly__Job__V1__GetCloudTokenResponse m = MAYFLY__JOB__V1__GET_CLOUD_TOKEN_RESPONSE__INIT;
	struct mf_grpc_call *c = a->job.call;
	struct mf_err err = { 0 };
	enum mf_status s =
	    mf_pb_unpack(&mayfly__roles__v1__cloud_token__descriptor, mf_buf_slice(&i->token), &msg, &err);
	if (s != MF_OK) {
		mf_grpc_fail(c, s, &err);
		ask_free(a);
		return;
	}
	const Mayfly__Roles__V1__CloudToken *t = (const void *)msg;
	m.grant = (char *)(uintptr_t)i->grant; /* packing reads only */
	m.kind = (char *)(uintptr_t)mf_cloud_kind_name(i->kind);
	m.credential_id = (char *)(uintptr_t)i->credential_id;
	m.expires = i->effective_s;
	m.region = (char *)(uintptr_t)i->region;
	m.service_endpoint = (char *)(uintptr_t)i->service_endpoint;
	m.access_key_id = t->access_key_id;
	m.secret_access_key = t->secret_access_key;
	m.session_token = t->session_token;
	m.access_token = t->access_token;
	m.token_type = t->token_type;
	mf_grpc_reply(c, &m.base);
	ask_free(a);
}

static void
on_token(struct mf_cloud_wait *w, const struct mf_cloud_answer *r)
{
	struct ask *a = MF_CONTAINER_OF(w, struct ask, wait);
	if (r->result == MF_CLOUD_GIVEN)
		reply_token(a, r->item);
	else if (r->result == MF_CLOUD_LATER)
		finish(a, MF_GRPC_UNAVAILABLE, r->reason);
	else
		finish(a, r->result == MF_CLOUD_NO_GRANT ? MF_GRPC_NOT_FOUND : MF_GRPC_PERMISSION_DENIED,
		    r->reason);
}

/* Empty: the profile's only one. */
static bool
name_grant(struct ask *a, struct mf_svid_entry *e)
{
	if (a->grant[0] != '\0' || e->clouds.n != 1)
		return a->grant[0] != '\0';
	(void)snprintf(a->grant, sizeof(a->grant), "%s",
	    MF_LIST_ITEM(e->clouds.items.next, struct mf_cloud_item, at)->grant);
	return true;
}

/* An answer that says why comes before the caller has given up. */
static uint64_t
patience(const struct ask *a)
{
	uint64_t now = mf_now().mono_ms, at = mf_grpc_call_deadline(a->job.call);
	uint64_t left = at <= now + LAST_WORD_MS ? 0 : at - now - LAST_WORD_MS;
	return left < TOKEN_HOLD_MS ? left : TOKEN_HOLD_MS;
}

static void
look(struct ask *a)
{
	enum mf_job_view view = mf_job_call_view(&a->job);
	if (view == MF_JOB_WAIT || a->begun)
		return;
	struct mf_svid_entry *e = mf_job_call_entry(&a->job);
	if (view == MF_JOB_DENIED || e == NULL) {
		finish(a, MF_GRPC_PERMISSION_DENIED, "no identity issued");
		return;
	}
	if (e->state == MF_SVID_REFUSED || e->state == MF_SVID_ENDED) {
		finish(a, MF_GRPC_PERMISSION_DENIED, e->reason);
		return;
	}
	if (!e->clouds.offered)
		return; /* held until the identity, and what else the profile gives, is there */
	if (a->environment) {
		reply_environment(a, e);
		return;
	}
	if (!name_grant(a, e)) {
		finish(a, MF_GRPC_INVALID_ARGUMENT,
		    e->clouds.n == 0 ? "the job's profile has no cloud grant"
				     : "the job has several cloud grants: name one (`mayfly token ls`)");
		return;
	}
	a->begun = true;
	a->wait.done = on_token;
	mf_job_call_settled(&a->job);
	mf_clouds_get(a->api->cfg.clouds, &a->wait, e, mf_slice_str(a->grant), patience(a));
}

static void
on_changed(struct mf_job_call *j)
{
	look(MF_CONTAINER_OF(j, struct ask, job));
}

static void
on_timeout(struct mf_job_call *j, const char *why)
{
	char text[MF_SVID_TEXT_MAX + 64];
	(void)snprintf(text, sizeof(text), "no identity yet: %.400s; try again", why);
	finish(MF_CONTAINER_OF(j, struct ask, job), MF_GRPC_UNAVAILABLE, text);
}

static const struct mf_job_call_ops job_ops = { on_changed, on_timeout };

static void
begin(struct mf_grpc_call *c, bool environment, const char *grant)
{
	struct mf_jobs_api *api = mf_grpc_call_ctx(c);
	if (strlen(grant) > MF_CLOUD_NAME_MAX) {
		mf_grpc_finish(c, MF_GRPC_INVALID_ARGUMENT, "the grant's name is longer than any");
		return;
	}
	struct ask *a = api->down ? NULL : calloc(1, sizeof(*a));
	if (a == NULL) {
		mf_grpc_finish(c, MF_GRPC_UNAVAILABLE,
		    api->down ? "the agent is going down" : "out of memory; try again");
		return;
	}
	a->api = api;
	a->environment = environment;
	memcpy(a->grant, grant, strlen(grant) + 1);
	mf_grpc_call_set_user(c, a);
	mf_job_call_begin(&a->job, c, &job_ops, true);
	look(a);
}

static void
token_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	begin(c, false, ((const Mayfly__Job__V1__GetCloudTokenRequest *)(const void *)msg)->grant);
}

static void
environment_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(msg);
	begin(c, true, "");
}

static void
on_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(why);
	struct ask *a = mf_grpc_call_user(c);
	if (a != NULL)
		ask_free(a);
}

const struct mf_grpc_server_ops mf_jobs_cloud_token_ops = { .on_message = token_message,
	.on_cancel = on_cancel };
const struct mf_grpc_server_ops mf_jobs_cloud_env_ops = { .on_message = environment_message,
	.on_cancel = on_cancel };
