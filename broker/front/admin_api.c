#include "broker/front/admin_api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "broker/front/admin_remote.h"
#include "os/jlog.h"

#define CALL_MS 10000u
#define APPLIED_MS 2000u
#define PREFIX "/mayfly.admin.v1.Admin/"

/* What is being done for a caller, in two steps: the notary answers, the read model catches up. */
struct act {
	struct mf_admin_api *api;
	struct mf_list at;
	struct mf_grpc_call *call;
	struct mf_notary_call *asked; /* NULL: answered */
	void (*done)(struct act *t, const Mayfly__Roles__V1__AdminReply *r);
	void (*failed)(struct act *t, enum mf_status s, const struct mf_err *err);
	Mayfly__Roles__V1__AdminReply__WhatCase want; /* of mf_admin_act */
	const ProtobufCMessage *(*pick)(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index);
	mf_admin_finish *finish; /* NULL: ${pick} */
	uint32_t patience_ms;	 /* 0: as configured */
	char id[MF_RM_ID_MAX];	 /* what it is about, in full */
	char page[32];
	/* The second step. */
	struct mf_loop_timer *timer;
	uint64_t wait_for; /* until so many records are applied */
	const ProtobufCMessageDescriptor *kind;
	struct mf_buf answer; /* packed */
};

static enum mf_grpc_code
admit(void *ctx, struct mf_grpc_call *c, struct mf_err *why)
{
	return mf_admin_admit(ctx, c, why);
}

/* ---- an act's life ---- */

static void
act_free(struct act *t)
{
	mf_grpc_call_set_user(t->call, NULL);
	if (t->asked != NULL)
		mf_notary_call_cancel(t->asked);
	mf_loop_timer_free(t->timer);
	mf_list_del(&t->at);
	mf_buf_fini(&t->answer);
	free(t);
}

static struct act *
act_new(struct mf_admin_api *a, struct mf_grpc_call *c)
{
	struct act *t = calloc(1, sizeof(*t));
	if (t == NULL) {
		mf_grpc_finish(c, MF_GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return NULL;
	}
	t->api = a;
	t->call = c;
	mf_buf_init(&t->answer, MF_LIM_GRPC_MESSAGE);
	mf_list_add_tail(&a->acts, &t->at);
	mf_grpc_call_set_user(c, t);
	return t;
}

static void
act_fail(struct act *t, enum mf_status s, const struct mf_err *err)
{
	struct mf_grpc_call *c = t->call;
	act_free(t);
	mf_grpc_fail(c, s, err);
}

static void
act_reply(struct act *t)
{
	struct mf_err err = { 0 };
	struct mf_grpc_call *c = t->call;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	enum mf_status s = mf_pb_unpack(t->kind, mf_buf_slice(&t->answer), &msg, &err);
	act_free(t);
	if (s == MF_OK)
		mf_grpc_reply(c, msg);
	else
		mf_grpc_fail(c, s, &err);
}

static void
on_waited(void *ctx)
{
	act_reply(ctx); /* done and recorded all the same: only the tables lag */
}

/* Answer ${msg} when the tables have record ${index}. */
static void
reply_when_applied(struct act *t, const ProtobufCMessage *msg, uint64_t index)
{
	struct mf_err err = { 0 };
	t->kind = msg->descriptor;
	enum mf_status s = mf_pb_pack(msg, &t->answer, &err);
	if (s == MF_OK)
		s = mf_loop_timer_new(t->api->loop, on_waited, t, &t->timer, &err);
	if (s != MF_OK) {
		act_fail(t, s, &err);
		return;
	}
	t->wait_for = index == UINT64_MAX ? 0 : index + 1;
	mf_feed_want(t->api->conf.feed, t->wait_for);
	if (mf_read_model_applied(t->api->conf.rm) >= t->wait_for)
		act_reply(t);
	else
		mf_loop_timer_set(t->timer, t->api->conf.applied_ms);
}

void
mf_admin_api_applied(struct mf_admin_api *a, uint64_t size)
{
	MF_LIST_EACH(p, &a->acts)
	{
		struct act *t = MF_LIST_ITEM(p, struct act, at);
		if (t->timer != NULL && size >= t->wait_for)
			act_reply(t);
	}
}

/* ---- asking the notary ---- */

static void
on_answer(void *ctx, enum mf_status s, const struct mf_err *err, const Mayfly__Roles__V1__AdminReply *r)
{
	struct act *t = ctx;
	t->asked = NULL;
	if (s == MF_OK)
		t->done(t, r);
	else
		t->failed(t, s, err);
}

/* Any answer but the one that fits what was asked is the notary's bug. */
static void
wrong_answer(struct act *t)
{
	struct mf_err err = { 0 };
	t->failed(t, MF_FAIL(&err, MF_E_INTERNAL, "the notary answered something else"), &err);
}

static uint32_t
patience(const struct act *t)
{
	uint64_t now = mf_loop_now(t->api->loop).mono_ms, at = mf_grpc_call_deadline(t->call);
	uint64_t left = at <= now ? 0 : at - now;
	uint32_t most = t->patience_ms == 0 ? t->api->conf.call_ms : t->patience_ms;
	return left < most ? (uint32_t)left : most;
}

static void
ask(struct act *t, Mayfly__Roles__V1__AdminCall *call)
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_pb_free) ProtobufCMessage *approval = NULL;
	mf_admin_fill(t->api, mf_admin_peer_of(t->call), call);
	enum mf_status s = mf_admin_approval(t->call, call, &approval, &err);
	if (s == MF_OK)
		s = mf_notary_link_call(t->api->conf.link, call, patience(t), on_answer, t, &t->asked, &err);
	if (s != MF_OK)
		t->failed(t, s, &err);
}

void
mf_admin_on_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(why);
	struct act *t = mf_grpc_call_user(c);
	if (t != NULL)
		act_free(t); /* the notary does it all the same; nobody waits */
}

static void
log_act(const struct act *t, const char *what)
{
	const struct mf_admin_peer *p = mf_admin_peer_of(t->call);
	if (p->remote)
		MF_LOG(MF_LOG_INFO, "admin.act", what, mf_js("admin", mf_admin_id_name(&p->id)),
		    mf_js("cert_sha256", p->id.cert), mf_js("subject", t->id));
	else
		MF_LOG(MF_LOG_INFO, "admin.act", what, mf_ju("uid", p->uid), mf_ju("pid", p->pid),
		    mf_js("subject", t->id));
}

/* ---- acts: one question for the notary, its answer when the tables have it ---- */

static void
act_done(struct act *t, const Mayfly__Roles__V1__AdminReply *r)
{
	uint64_t index = UINT64_MAX;
	if (t->finish != NULL && r->what_case == t->want) {
		struct mf_admin_api *a = t->api;
		struct mf_grpc_call *c = t->call;
		mf_admin_finish *finish = t->finish;
		act_free(t);
		finish(a, c, r);
		return;
	}
	const ProtobufCMessage *m = r->what_case == t->want ? t->pick(r, &index) : NULL;
	if (m != NULL)
		reply_when_applied(t, m, index);
	else
		wrong_answer(t);
}

static void
begin(struct mf_grpc_call *c, const struct mf_admin_act *how, const char *match, void *ctx,
    mf_admin_finish *finish, uint32_t patience_ms)
{
	struct mf_admin_api *a = mf_grpc_call_ctx(c);
	struct mf_err err = { 0 };
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	struct act *t = act_new(a, c);
	if (t == NULL)
		return;
	t->done = act_done;
	t->failed = act_fail;
	t->want = how->want;
	t->pick = how->pick;
	t->finish = finish;
	t->patience_ms = patience_ms;
	enum mf_status s = how->match == NULL ? MF_OK : mf_feed_readable(a->conf.feed, &err);
	if (s == MF_OK && how->match != NULL)
		s = how->match(a->conf.rm, match, t->id, &err);
	if (s != MF_OK) {
		act_fail(t, s, &err);
		return;
	}
	log_act(t, how->what);
	how->fill(&call, t->id, ctx);
	ask(t, &call);
}

void
mf_admin_act(struct mf_grpc_call *c, const struct mf_admin_act *how, const char *match, void *ctx)
{
	begin(c, how, match, ctx, NULL, 0);
}

void
mf_admin_act_for(struct mf_grpc_call *c, const struct mf_admin_act *how, const char *match, void *ctx,
    uint32_t patience_ms)
{
	begin(c, how, match, ctx, NULL, patience_ms);
}

void
mf_admin_ask(struct mf_grpc_call *c, const struct mf_admin_act *how, void *ctx, mf_admin_finish *finish)
{
	begin(c, how, "", ctx, finish, 0);
}

/* ---- removals ---- */

const ProtobufCMessage *
mf_admin_pick_removal(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = r->removal->recorded ? r->removal->record_index : UINT64_MAX;
	return &r->removal->base;
}

static void
fill_evict(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE;
	call->evict_node = ctx;
	call->evict_node->match = id;
}

static void
fill_end(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_JOB;
	call->end_job = ctx;
	call->end_job->match = id;
}

#define REMOVAL MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL, mf_admin_pick_removal
/* ${node}: evict, else end a job. */
static void
remove_access(struct mf_grpc_call *c, const char *match, char *reason, bool node, bool drain)
{
	static const struct mf_admin_act evict_act = { "evict node", mf_read_model_match_node, fill_evict,
		REMOVAL },
					 end_act = { "end job", mf_read_model_match_job, fill_end, REMOVAL };
	Mayfly__Admin__V1__EndJobRequest job = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	Mayfly__Admin__V1__EvictNodeRequest evict = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	job.reason = evict.reason = reason;
	job.drain = drain;
	if (node)
		mf_admin_act(c, &evict_act, match, &evict);
	else
		mf_admin_act(c, &end_act, match, &job);
}

static void
end_job(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	const Mayfly__Admin__V1__EndJobRequest *q = (const void *)msg;
	remove_access(c, q->match, q->reason, false, q->drain);
}

static void
evict_node(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	const Mayfly__Admin__V1__EvictNodeRequest *q = (const void *)msg;
	remove_access(c, q->match, q->reason, true, false);
}

static void
revoke(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	const Mayfly__Admin__V1__RevokeRequest *q = (const void *)msg;
	switch (q->what_case) {
	case MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_JOB:
		remove_access(c, q->job, q->reason, false, false);
		break;
	case MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_NODE:
		remove_access(c, q->node, q->reason, true, false);
		break;
	case MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_CREDENTIAL:
		mf_admin_end_credential(c, q);
		break;
	default:
		mf_admin_freeze(c, q);
		break;
	}
}

/* ---- credentials, status: what the notary knows ---- */

static void
credentials_done(struct act *t, const Mayfly__Roles__V1__AdminReply *r)
{
	struct mf_grpc_call *c = t->call;
	if (r->what_case != MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CREDENTIALS) {
		wrong_answer(t);
		return;
	}
	act_free(t);
	mf_grpc_reply(c, &r->credentials->base);
}

static void
ask_credentials(struct act *t, const Mayfly__Admin__V1__ListCredentialsRequest *like)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ListCredentialsRequest q = *like;
	q.job = t->id;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_LIST_CREDENTIALS;
	call.list_credentials = &q;
	ask(t, &call);
}

static void
list_credentials(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct mf_admin_api *a = mf_grpc_call_ctx(c);
	const Mayfly__Admin__V1__ListCredentialsRequest *q = (const void *)msg;
	struct mf_err err = { 0 };
	struct act *t = act_new(a, c);
	if (t == NULL)
		return;
	t->done = credentials_done;
	t->failed = act_fail;
	enum mf_status s = q->job[0] == '\0' ? MF_OK : mf_feed_readable(a->conf.feed, &err);
	if (s == MF_OK && q->job[0] != '\0')
		s = mf_read_model_match_job(a->conf.rm, q->job, t->id, &err);
	if (s != MF_OK)
		act_fail(t, s, &err);
	else
		ask_credentials(t, q);
}

/* The answer about a job ends the act: the call is dead after it. */
static void
job_answer(struct act *t, const Mayfly__Admin__V1__ListCredentialsResponse *creds, const char *missing)
{
	struct mf_admin_api *a = t->api;
	struct mf_grpc_call *c = t->call;
	char id[MF_RM_ID_MAX], page[sizeof(t->page)];
	memcpy(id, t->id, sizeof(id));
	memcpy(page, t->page, sizeof(page));
	act_free(t);
	mf_admin_get_job(a, c, id, page, creds, missing);
}

static void
job_done(struct act *t, const Mayfly__Roles__V1__AdminReply *r)
{
	if (r->what_case != MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CREDENTIALS)
		wrong_answer(t);
	else
		job_answer(t, r->credentials, NULL);
}

static void
job_failed(struct act *t, enum mf_status s, const struct mf_err *err)
{
	/* The rest is known, and is said with what is missing. NOTFOUND: ended so long ago that the notary forgot it. */
	bool none = s == MF_E_NOTFOUND;
	job_answer(t, NULL, none ? NULL : err->msg);
}

static void
get_job(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct mf_admin_api *a = mf_grpc_call_ctx(c);
	const Mayfly__Admin__V1__GetJobRequest *q = (const void *)msg;
	Mayfly__Admin__V1__ListCredentialsRequest every = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_REQUEST__INIT;
	struct mf_err err = { 0 };
	every.all = true;
	struct act *t = act_new(a, c);
	if (t == NULL)
		return;
	t->done = job_done;
	t->failed = job_failed;
	enum mf_status s = mf_feed_readable(a->conf.feed, &err);
	if (s == MF_OK)
		s = mf_read_model_match_job(a->conf.rm, q->match, t->id, &err);
	if (s == MF_OK && strlen(q->page) >= sizeof(t->page))
		s = MF_FAIL(&err, MF_E_INVALID, "page: give back next_page as it came");
	if (s != MF_OK) {
		act_fail(t, s, &err);
		return;
	}
	(void)snprintf(t->page, sizeof(t->page), "%s", q->page);
	if (t->page[0] == '\0')
		ask_credentials(t, &every);
	else
		job_answer(t, NULL, NULL); /* a later page of instances */
}

static void
status_done(struct act *t, const Mayfly__Roles__V1__AdminReply *r)
{
	struct mf_admin_api *a = t->api;
	struct mf_grpc_call *c = t->call;
	if (r->what_case != MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_STATUS) {
		wrong_answer(t);
		return;
	}
	act_free(t);
	mf_admin_get_status(a, c, r->status, NULL);
}

static void
status_failed(struct act *t, enum mf_status s, const struct mf_err *err)
{
	struct mf_admin_api *a = t->api;
	struct mf_grpc_call *c = t->call;
	MF_UNUSED(s);
	act_free(t);
	mf_admin_get_status(a, c, NULL, err->msg);
}

static void
get_status(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(msg);
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__GetStatusRequest q = MAYFLY__ADMIN__V1__GET_STATUS_REQUEST__INIT;
	struct act *t = act_new(mf_grpc_call_ctx(c), c);
	if (t == NULL)
		return;
	t->done = status_done;
	t->failed = status_failed;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_STATUS;
	call.get_status = &q;
	ask(t, &call);
}

/* ---- reading ---- */

static void
list_jobs(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	mf_admin_list_jobs(mf_grpc_call_ctx(c), c, (const void *)msg);
}

static void
list_nodes(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	mf_admin_list_nodes(mf_grpc_call_ctx(c), c, (const void *)msg);
}

static void
get_node(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	mf_admin_get_node(mf_grpc_call_ctx(c), c, (const void *)msg);
}

static void
get_bundle(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(msg);
	mf_admin_get_bundle(mf_grpc_call_ctx(c), c);
}

#define OPS(fn)                                                               \
	static const struct mf_grpc_server_ops fn##_ops = { .on_message = fn, \
		.on_cancel = mf_admin_on_cancel }
OPS(get_status);
OPS(list_jobs);
OPS(get_job);
OPS(end_job);
OPS(revoke);
OPS(list_nodes);
OPS(evict_node);
OPS(list_credentials);
OPS(get_bundle);
OPS(get_node);
#define ACT(fn, on)                                                           \
	static const struct mf_grpc_server_ops fn##_ops = { .on_message = on, \
		.on_cancel = mf_admin_on_cancel }
ACT(create_join_token, mf_admin_create_join_token);
ACT(confirm_clock, mf_admin_confirm_clock);
ACT(readmit_node, mf_admin_readmit_node);
ACT(get_policy, mf_admin_get_policy);
ACT(reload_policy, mf_admin_reload_policy);
ACT(explain_job, mf_admin_explain_job);
ACT(extend_job, mf_admin_extend_job);
ACT(unfreeze, mf_admin_unfreeze);
ACT(list_freezes, mf_admin_list_freezes);
ACT(get_credential, mf_admin_get_credential);
ACT(probe_cloud, mf_admin_probe_cloud);
ACT(get_oidc_documents, mf_admin_get_oidc_documents);

#define METHOD(name, q, r, fn)                                                                             \
	{                                                                                                  \
		PREFIX name, &mayfly__admin__v1__##q##__descriptor, &mayfly__admin__v1__##r##__descriptor, \
		    MF_GRPC_UNARY, &fn##_ops, 0                                                            \
	}
static const struct mf_grpc_method methods[] = {
	METHOD("GetStatus", get_status_request, status, get_status),
	METHOD("ListJobs", list_jobs_request, list_jobs_response, list_jobs),
	METHOD("GetJob", get_job_request, get_job_response, get_job),
	METHOD("EndJob", end_job_request, removal_response, end_job),
	METHOD("Revoke", revoke_request, removal_response, revoke),
	METHOD("ListNodes", list_nodes_request, list_nodes_response, list_nodes),
	METHOD("CreateJoinToken", create_join_token_request, create_join_token_response, create_join_token),
	METHOD("EvictNode", evict_node_request, removal_response, evict_node),
	METHOD("ListCredentials", list_credentials_request, list_credentials_response, list_credentials),
	METHOD("GetBundle", get_bundle_request, get_bundle_response, get_bundle),
	METHOD("ConfirmClock", confirm_clock_request, confirm_clock_response, confirm_clock),
	METHOD("GetNode", get_node_request, node, get_node),
	METHOD("ExtendJob", extend_job_request, extend_job_response, extend_job),
	METHOD("ReadmitNode", readmit_node_request, readmit_node_response, readmit_node),
	METHOD("GetPolicy", get_policy_request, policy, get_policy),
	METHOD("ReloadPolicy", reload_policy_request, policy, reload_policy),
	METHOD("ExplainJob", explain_job_request, explanation, explain_job),
	METHOD("Unfreeze", unfreeze_request, unfreeze_response, unfreeze),
	METHOD("GetCredential", get_credential_request, credential_detail, get_credential),
	METHOD("ListFreezes", list_freezes_request, list_freezes_response, list_freezes),
	METHOD("ProbeCloud", probe_cloud_request, cloud_probe, probe_cloud),
	METHOD("GetOidcDocuments", get_oidc_documents_request, oidc_documents, get_oidc_documents),
};

/* ---- life ---- */

static enum mf_status
listen_on(struct mf_admin_api *a, struct mf_loop *l, struct mf_err *err)
{
	const int on = 1;
	/* Without it no message would tell its sender; accepted sockets inherit it. */
	if (setsockopt(a->conf.fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
		return MF_FAIL(err, MF_E_IO, "admin socket: SO_PASSCRED: %s", strerror(errno));
	struct mf_net_listener_config lc = { .fd = a->conf.fd,
		.server = &a->server,
		.limits = a->conf.net,
		.ops = &mf_admin_local_ops,
		.ctx = a,
		.counters = a->conf.counters };
	return mf_net_listener_new(l, &lc, &a->listener, err);
}

enum mf_status
mf_admin_api_new(
    struct mf_loop *l, const struct mf_admin_conf *conf, struct mf_admin_api **ret_a, struct mf_err *err)
{
	MF_AUTO(mf_admin_api_free) struct mf_admin_api *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	a->loop = l;
	a->conf = *conf;
	a->conf.call_ms = conf->call_ms == 0 ? CALL_MS : conf->call_ms;
	a->conf.applied_ms = conf->applied_ms == 0 ? APPLIED_MS : conf->applied_ms;
	mf_list_init(&a->acts);
	mf_list_init(&a->asking);
	MF_TRY(mf_grpc_health_new(&a->health, err));
	MF_TRY(mf_grpc_health_set(a->health, "", MF_GRPC_HEALTH_NOT_SERVING, err));
	MF_TRY(mf_grpc_health_set(a->health, "mayfly.admin.v1.Admin", MF_GRPC_HEALTH_SERVING, err));
	a->service = (struct mf_grpc_service) { methods, MF_COUNT(methods), a };
	a->services[0] = &a->service;
	a->keys = (struct mf_grpc_service) { mf_admin_key_methods, mf_admin_key_methods_n, a };
	a->services[1] = &a->keys;
	a->services[2] = mf_grpc_health_service(a->health);
	MF_TRY(mf_grpc_reflect_new(a->services, MF_COUNT(a->services), &a->reflect, err));
	a->services[3] = mf_grpc_reflect_service(a->reflect);
	a->server = (struct mf_grpc_server) { .services = a->services,
		.n_services = MF_COUNT(a->services),
		.admit = admit,
		.ctx = a,
		.any_authority = true };
	MF_TRY(listen_on(a, l, err));
	const struct mf_admin_remote_conf rc = { .fd = conf->remote_fd,
		.trust_domain = conf->trust_domain,
		.server = &a->server,
		.net = conf->remote_net,
		.counters = conf->remote_counters };
	if (conf->remote_fd >= 0)
		MF_TRY(mf_admin_remote_new(l, &rc, &a->remote, err));
	*ret_a = MF_TAKE(a);
	return MF_OK;
}

void
mf_admin_api_ready(struct mf_admin_api *a, bool ready)
{
	struct mf_err err = { 0 };
	enum mf_grpc_health_state s = ready ? MF_GRPC_HEALTH_SERVING : MF_GRPC_HEALTH_NOT_SERVING;
	if (mf_grpc_health_set(a->health, "", s, &err) != MF_OK)
		mf_jlog_err(MF_LOG_WARN, "admin.health", "watchers were not told", &err);
}

void
mf_admin_api_drain(struct mf_admin_api *a)
{
	a->draining = true;
	mf_grpc_health_shutdown(a->health);
	mf_grpc_reflect_shutdown(a->reflect);
	mf_net_listener_drain(a->listener);
	mf_admin_remote_drain(a->remote);
}

bool
mf_admin_api_drained(const struct mf_admin_api *a)
{
	return mf_list_empty(&a->acts) && mf_net_listener_conns(a->listener) == 0 &&
	       mf_admin_remote_conns(a->remote) == 0;
}

void
mf_admin_api_free(struct mf_admin_api *a)
{
	if (a == NULL)
		return;
	mf_net_listener_free(a->listener); /* ends the calls, and the acts with them */
	mf_admin_remote_free(a->remote);
	mf_grpc_health_free(a->health);
	mf_grpc_reflect_free(a->reflect);
	free(a);
}
