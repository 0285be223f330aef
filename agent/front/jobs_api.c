#include "agent/front/jobs_api.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/front/jobs_internal.h"
#include "base/limits.h"
#include "base/rand.h"

/* A WhoAmI that waits for its answer. */
struct who {
	struct mf_job_call job;
	struct mf_jobs_api *api;
};

static void
put_identities(Mayfly__Job__V1__WhoAmIResponse *m, const struct mf_svid_entry *e,
    Mayfly__Job__V1__Identity *ids, Mayfly__Job__V1__Identity **list)
{
	for (size_t i = 0; i < e->n_identities; i++) {
		const struct mf_svid_identity *id = &e->identities[i];
		ids[i] = (Mayfly__Job__V1__Identity)MAYFLY__JOB__V1__IDENTITY__INIT;
		ids[i].spiffe_id = id->spiffe_id;
		ids[i].hint = id->hint;
		ids[i].serial = (char *)(uintptr_t)id->serial; /* packing reads only */
		ids[i].not_before = id->not_before_s;
		ids[i].not_after = id->not_after_s;
		list[i] = &ids[i];
	}
	m->identities = list;
	m->n_identities = e->n_identities;
}

static void
put_job(Mayfly__Job__V1__WhoAmIResponse *m, const struct mf_svid_job *j, char *instance_id, size_t n)
{
	if (j->job_id == NULL)
		return;
	m->job_id = j->job_id;
	m->job_key = j->job_key;
	m->run_id = j->run_id;
	m->tenant = j->tenant;
	m->profile = j->profile;
	m->rule = j->rule;
	m->deadline = j->deadline_s;
	(void)snprintf(instance_id, n, "%s/n%u", j->job_id, j->instance);
	m->instance_id = instance_id;
}

static void
put_clouds(Mayfly__Job__V1__WhoAmIResponse *m, const struct mf_svid_entry *e,
    Mayfly__Job__V1__CloudState *states, Mayfly__Job__V1__CloudState **list)
{
	struct mf_now now = mf_now();
	MF_LIST_EACH(p, &e->clouds.items)
	{
		struct mf_cloud_item *i = MF_LIST_ITEM(p, struct mf_cloud_item, at);
		Mayfly__Job__V1__CloudState *s = &states[m->n_cloud];
		*s = (Mayfly__Job__V1__CloudState)MAYFLY__JOB__V1__CLOUD_STATE__INIT;
		s->grant = i->grant;
		s->kind = (char *)(uintptr_t)mf_cloud_kind_name(i->kind); /* packing reads only */
		s->target = i->target;
		s->expires = mf_cloud_item_view(i, now) == MF_CLOUD_NONE ? 0 : i->effective_s;
		s->credential_id = i->credential_id;
		s->reason = i->reason;
		list[m->n_cloud++] = s;
	}
	m->cloud = list;
}

/* Only a user's own: whose else it was is not told. */
static struct mf_past_refusal *
past_of(struct mf_jobs_api *j, uint32_t uid)
{
	for (size_t i = 0; i < MF_PAST_REFUSALS; i++)
		if (j->past[i].there && j->past[i].uid == uid)
			return &j->past[i];
	return NULL;
}

void
mf_jobs_remember(struct mf_jobs_api *j, uint32_t uid, const char *profile, const struct mf_svid_entry *e)
{
	struct mf_past_refusal *p = past_of(j, uid);
	if (p == NULL) {
		p = &j->past[0];
		for (size_t i = 1; i < MF_PAST_REFUSALS; i++)
			if (p->there && (!j->past[i].there || j->past[i].at_us < p->at_us))
				p = &j->past[i];
	}
	p->there = true;
	p->uid = uid;
	p->at_us = mf_now().wall_us;
	mf_svid_text(p->profile, mf_slice_str(profile == NULL ? "" : profile));
	mf_svid_text(p->reason, mf_slice_str(e->reason));
	mf_svid_text(p->rule, mf_slice_str(e->refusal_rule));
}

/* Answer by what is known now; ${why} when it is not everything. */
static void
reply(struct who *w, const char *why)
{
	Mayfly__Job__V1__WhoAmIResponse m = MAYFLY__JOB__V1__WHO_AM_IRESPONSE__INIT;
	Mayfly__Job__V1__Identity ids[MF_LIM_IDENTITIES], *list[MF_LIM_IDENTITIES];
	Mayfly__Job__V1__CloudState states[MF_CLOUD_GRANTS], *state_list[MF_CLOUD_GRANTS];
	char instance_id[MF_SVID_TEXT_MAX + 16], reason[MF_SVID_TEXT_MAX + 1];
	const struct mf_job_caller *caller = mf_job_call_caller(&w->job);
	enum mf_job_view view = mf_job_call_view(&w->job);
	const struct mf_svid_entry *e = view == MF_JOB_KNOWN ? mf_job_call_entry(&w->job) : NULL;
	struct mf_jobs_api *api = w->api;
	struct mf_grpc_call *c = w->job.call;

	mf_svid_text(reason, mf_slice_str(why));
	m.state = (char *)(uintptr_t)(view == MF_JOB_DENIED ? "refused" : "pending");
	if (view == MF_JOB_DENIED)
		mf_svid_text(reason, mf_slice_str(caller->reason));
	if (e != NULL) {
		if (e->state != MF_SVID_UNKNOWN)
			m.state = (char *)(uintptr_t)mf_svid_state_name(e->state);
		if (e->state == MF_SVID_GRANTED && e->ending_until_s != 0) {
			m.state = (char *)(uintptr_t) "ending";
			m.ending_until = e->ending_until_s;
		}
		if (e->reason[0] != '\0')
			mf_svid_text(reason, mf_slice_str(e->reason));
		put_job(&m, &e->job, instance_id, sizeof(instance_id));
		put_identities(&m, e, ids, list);
		put_clouds(&m, e, states, state_list);
		if (e->state == MF_SVID_REFUSED)
			m.rule = (char *)(uintptr_t)e->refusal_rule;
	}
	m.reason = reason;
	m.grade = (char *)(uintptr_t)caller->grade;
	m.selectors = (char **)(uintptr_t)caller->selectors;
	m.n_selectors = caller->n_selectors;
	m.uid = caller->uid;
	m.pid = caller->pid;
	m.trust_domain = (char *)(uintptr_t)mf_svid_cache_trust_domain(mf_identities_cache(api->cfg.ids));
	m.node_id = api->node_id;
	m.broker_reachable = mf_identities_ready(api->cfg.ids);
	Mayfly__Job__V1__PastRefusal past = MAYFLY__JOB__V1__PAST_REFUSAL__INIT;
	struct mf_past_refusal *p = view == MF_JOB_DENIED ? NULL : past_of(api, caller->uid);
	if (p != NULL) {
		past.at_us = p->at_us;
		past.profile = p->profile;
		past.reason = p->reason;
		past.rule = p->rule;
		m.last_refusal = &past;
	}
	mf_grpc_reply(c, &m.base);
	mf_job_call_end(&w->job);
	free(w);
}

static void
look(struct who *w)
{
	enum mf_job_view view = mf_job_call_view(&w->job);
	if (view == MF_JOB_WAIT)
		return;
	const struct mf_svid_entry *e = mf_job_call_entry(&w->job);
	if (view == MF_JOB_DENIED ||
	    (e != NULL && e->state != MF_SVID_UNKNOWN && e->state != MF_SVID_PENDING))
		reply(w, "");
}

static void
who_changed(struct mf_job_call *j)
{
	look(MF_CONTAINER_OF(j, struct who, job));
}

static void
who_timeout(struct mf_job_call *j, const char *why)
{
	reply(MF_CONTAINER_OF(j, struct who, job), why);
}

static const struct mf_job_call_ops who_job_ops = { who_changed, who_timeout };

static void
who_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(msg);
	struct mf_jobs_api *api = mf_grpc_call_ctx(c);
	struct who *w = calloc(1, sizeof(*w));
	if (w == NULL || api->down) {
		free(w);
		mf_grpc_finish(
		    c, MF_GRPC_UNAVAILABLE, w == NULL ? "out of memory" : "the agent is going down");
		return;
	}
	w->api = api;
	mf_grpc_call_set_user(c, w);
	mf_job_call_begin(&w->job, c, &who_job_ops, true);
	look(w);
}

static void
who_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(why);
	struct who *w = mf_grpc_call_user(c);
	if (w == NULL)
		return;
	mf_job_call_end(&w->job);
	free(w);
}

static const struct mf_grpc_server_ops who_ops = { .on_message = who_message, .on_cancel = who_cancel };

static const struct mf_grpc_method methods[] = {
	{ .path = "/mayfly.job.v1.Jobs/Start",
	    .request = &mayfly__job__v1__start_request__descriptor,
	    .response = &mayfly__job__v1__start_event__descriptor,
	    .flags = MF_GRPC_BIDI,
	    .ops = &mf_jobs_start_ops,
	    .max_message = MF_LIM_MANIFEST + 4096 },
	{ .path = "/mayfly.job.v1.Jobs/Explain",
	    .request = &mayfly__job__v1__explain_request__descriptor,
	    .response = &mayfly__job__v1__explain_response__descriptor,
	    .flags = MF_GRPC_UNARY,
	    .ops = &mf_jobs_explain_ops,
	    .max_message = MF_LIM_MANIFEST + 4096 },
	{ .path = "/mayfly.job.v1.Jobs/WhoAmI",
	    .request = &mayfly__job__v1__who_am_irequest__descriptor,
	    .response = &mayfly__job__v1__who_am_iresponse__descriptor,
	    .flags = MF_GRPC_UNARY,
	    .ops = &who_ops,
	    .max_message = 4096 },
	{ .path = "/mayfly.job.v1.Jobs/GetCloudToken",
	    .request = &mayfly__job__v1__get_cloud_token_request__descriptor,
	    .response = &mayfly__job__v1__get_cloud_token_response__descriptor,
	    .flags = MF_GRPC_UNARY,
	    .ops = &mf_jobs_cloud_token_ops,
	    .max_message = 4096 },
	{ .path = "/mayfly.job.v1.Jobs/GetCloudEnvironment",
	    .request = &mayfly__job__v1__get_cloud_environment_request__descriptor,
	    .response = &mayfly__job__v1__cloud_environment__descriptor,
	    .flags = MF_GRPC_UNARY,
	    .ops = &mf_jobs_cloud_env_ops,
	    .max_message = 4096 },
	{ .path = "/mayfly.job.v1.Jobs/GetBundle",
	    .request = &mayfly__job__v1__get_bundle_request__descriptor,
	    .response = &mayfly__job__v1__get_bundle_response__descriptor,
	    .flags = MF_GRPC_UNARY,
	    .ops = &mf_jobs_bundle_ops,
	    .max_message = 4096 },
};

enum mf_status
mf_jobs_api_new(const struct mf_jobs_api_config *cfg, struct mf_jobs_api **ret_j, struct mf_err *err)
{
	struct mf_jobs_api *j = calloc(1, sizeof(*j));
	if (j == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "jobs api: out of memory");
	j->cfg = *cfg;
	j->service = (struct mf_grpc_service) { methods, MF_COUNT(methods), j };
	mf_list_init(&j->runs);
	mf_list_init(&j->explains);
	/* An answer that was for the front before us is nobody's. */
	mf_rand_bytes(&j->last_explain, sizeof(j->last_explain));
	j->last_explain >>= 1; /* never 0 again */
	*ret_j = j;
	return MF_OK;
}

void
mf_jobs_api_free(struct mf_jobs_api *j)
{
	free(j);
}

const struct mf_grpc_service *
mf_jobs_api_service(const struct mf_jobs_api *j)
{
	return &j->service;
}

size_t
mf_jobs_api_runs(const struct mf_jobs_api *j)
{
	return j->n_runs;
}

void
mf_jobs_api_set_node(struct mf_jobs_api *j, const char *node_id)
{
	(void)snprintf(j->node_id, sizeof(j->node_id), "%s", node_id);
}
