/* jobs_api, the part that serves Explain: what would `mayfly run` of the caller get? */
#include <stdio.h>
#include <stdlib.h>

#include "agent/front/jobs_internal.h"
#include "base/limits.h"

#define PER_MINUTE 20u /* of one user: the broker's patience is the whole node's */

struct explain {
	struct mf_job_call job;
	struct mf_jobs_api *api;
	struct mf_list node; /* of api->explains */
	uint64_t id;	     /* 0: not asked yet */
	uint32_t generation; /* of the link that knows id */
	char *profile, *name;
	struct mf_buf manifest;
};

static void
explain_free(struct explain *x)
{
	mf_job_call_end(&x->job);
	mf_list_del(&x->node);
	free(x->profile);
	free(x->name);
	mf_buf_fini(&x->manifest);
	free(x);
}

static void
finish(struct explain *x, enum mf_grpc_code code, const char *text)
{
	struct mf_grpc_call *c = x->job.call;
	char copy[MF_SVID_TEXT_MAX + 1];
	mf_svid_text(copy, mf_slice_str(text));
	explain_free(x);
	mf_grpc_finish(c, code, copy);
}

/* One user's questions in this minute; the user who asked the longest ago is forgotten first. */
static bool
may_ask(struct mf_jobs_api *j, uint32_t uid)
{
	uint64_t now = mf_now().mono_ms;
	struct mf_explain_count *p = &j->explained[0];
	for (size_t i = 0; i < MF_EXPLAIN_USERS; i++) {
		struct mf_explain_count *q = &j->explained[i];
		if (q->n > 0 && q->uid == uid) {
			p = q;
			break;
		}
		if (p->n > 0 && (q->n == 0 || q->since_ms < p->since_ms))
			p = q;
	}
	if (p->n == 0 || p->uid != uid || now - p->since_ms >= 60000)
		*p = (struct mf_explain_count) { .uid = uid, .since_ms = now };
	return ++p->n <= PER_MINUTE;
}

static void
ask(struct explain *x)
{
	struct mf_err err = { 0 };
	struct mf_attestor_link *k = x->api->cfg.link;
	Mayfly__Roles__V1__ExplainJob m = MAYFLY__ROLES__V1__EXPLAIN_JOB__INIT;
	if (!mf_attestor_link_open(k) || !mf_identities_ready(x->api->cfg.ids))
		return; /* held: we look again when there is a session, or the time is over */
	if (!may_ask(x->api, mf_job_call_caller(&x->job)->uid)) {
		finish(x, MF_GRPC_RESOURCE_EXHAUSTED,
		    "this user has asked 20 times in a minute: wait for the next");
		return;
	}
	x->id = ++x->api->last_explain;
	x->generation = mf_attestor_link_generation(k);
	m.explain_id = x->id;
	m.conn_id = mf_job_call_conn_id(&x->job);
	m.profile = x->profile;
	m.name = x->name;
	m.manifest = (ProtobufCBinaryData) { x->manifest.n, x->manifest.p };
	if (mf_attestor_link_send(k, MF_MSG_EXPLAIN_JOB, &m.base, -1, &err) != MF_OK)
		finish(x, mf_grpc_code_of(err.code), err.msg);
}

static void
look(struct explain *x)
{
	enum mf_job_view view = mf_job_call_view(&x->job);
	if (view == MF_JOB_DENIED)
		finish(x, MF_GRPC_PERMISSION_DENIED, "no identity issued");
	else if (view == MF_JOB_KNOWN && x->id == 0)
		ask(x);
}

void
mf_jobs_explain_look(struct mf_jobs_api *j)
{
	MF_LIST_EACH(n, &j->explains)
	look(MF_LIST_ITEM(n, struct explain, node));
}

static void
on_changed(struct mf_job_call *j)
{
	look(MF_CONTAINER_OF(j, struct explain, job));
}

static void
on_timeout(struct mf_job_call *j, const char *why)
{
	struct explain *x = MF_CONTAINER_OF(j, struct explain, job);
	finish(x, MF_GRPC_UNAVAILABLE,
	    x->id != 0				    ? "the broker has not answered in time: ask again"
	    : !mf_identities_ready(x->api->cfg.ids) ? "the broker cannot be reached now: ask again"
						    : why);
}

static const struct mf_job_call_ops job_ops = { on_changed, on_timeout };

static enum mf_status
take(struct explain *x, const Mayfly__Job__V1__ExplainRequest *q, struct mf_err *err)
{
	MF_TRY(mf_jobs_claims_check(q->profile, q->name, q->manifest.len, err));
	x->profile = mf_slice_dup_str(mf_slice_str(q->profile));
	x->name = mf_slice_dup_str(mf_slice_str(q->name));
	mf_buf_put(&x->manifest, q->manifest.data, q->manifest.len);
	if (x->profile == NULL || x->name == NULL || x->manifest.failed != MF_OK)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	return MF_OK;
}

static void
on_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct mf_jobs_api *api = mf_grpc_call_ctx(c);
	struct mf_err err = { 0 };
	struct explain *x = calloc(1, sizeof(*x));
	if (x == NULL || api->down) {
		free(x);
		mf_grpc_finish(
		    c, MF_GRPC_UNAVAILABLE, x == NULL ? "out of memory" : "the agent is going down");
		return;
	}
	x->api = api;
	mf_buf_init(&x->manifest, MF_LIM_MANIFEST);
	mf_list_add_tail(&api->explains, &x->node);
	mf_grpc_call_set_user(c, x);
	mf_job_call_begin(&x->job, c, &job_ops, false);
	if (take(x, (const void *)msg, &err) == MF_OK)
		look(x);
	else
		finish(x, mf_grpc_code_of(err.code), err.msg);
}

static void
on_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(why);
	struct explain *x = mf_grpc_call_user(c);
	if (x != NULL)
		explain_free(x);
}

const struct mf_grpc_server_ops mf_jobs_explain_ops = { .on_message = on_message, .on_cancel = on_cancel };

void
mf_jobs_api_on_explained(struct mf_jobs_api *j, const Mayfly__Roles__V1__JobExplained *m)
{
	struct explain *x = NULL;
	MF_LIST_EACH(n, &j->explains)
	{
		struct explain *at = MF_LIST_ITEM(n, struct explain, node);
		if (at->id == m->explain_id && at->generation == mf_attestor_link_generation(j->cfg.link))
			x = at;
	}
	if (x == NULL)
		return; /* who asked has gone */
	const Mayfly__Agent__V1__Explained *e = m->explained;
	if (e == NULL) {
		bool later = m->refusal == NULL ||
			     m->refusal->code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE;
		finish(x, later ? MF_GRPC_UNAVAILABLE : MF_GRPC_FAILED_PRECONDITION,
		    m->refusal == NULL ? "no answer" : m->refusal->reason);
		return;
	}
	Mayfly__Job__V1__ExplainResponse r = MAYFLY__JOB__V1__EXPLAIN_RESPONSE__INIT;
	struct mf_grpc_call *c = x->job.call;
	r.permit = e->permit;
	r.profile = e->profile;
	r.rule = e->rule;
	r.attribute = e->attribute;
	r.reason = e->reason;
	r.cure = e->cure;
	r.policy_sha256 = e->policy_sha256;
	explain_free(x);
	mf_grpc_reply(c, &r.base);
}

void
mf_jobs_explain_drop(struct mf_jobs_api *j, bool asked_only, const char *why)
{
	MF_LIST_EACH(n, &j->explains)
	{
		struct explain *x = MF_LIST_ITEM(n, struct explain, node);
		if (!asked_only || x->id != 0)
			finish(x, MF_GRPC_UNAVAILABLE, why);
	}
}
