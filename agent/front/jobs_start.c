/* jobs_api, the part that serves Start: one stream for one mayfly run. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/front/cloud_env.h"
#include "agent/front/jobs_internal.h"
#include "os/jlog.h"
#include "rpc/pb_check.h"

enum phase {
	SPEC,	  /* nothing came yet */
	CALLER,	  /* the spec waits until the caller is known */
	STARTING, /* StartJob is out */
	CREATED,  /* the job has its place */
};

struct run {
	struct mf_job_call job; /* the runner */
	struct mf_jobs_api *api;
	struct mf_list node;
	struct mf_identity_watch watch; /* the job's instance */
	struct mf_identity_use use;
	enum phase phase;
	uint64_t start_id;
	uint32_t generation; /* of the link that knows start_id */
	char *profile, *name;
	struct mf_buf manifest;
	int32_t place; /* child that waits to be placed; 0: none */
	bool place_asked, placed, tree_empty, gone_told;
	/* What has yet to be sent, in this order; then the stream ends. */
	bool say_created, say_placed, say_state;
	Mayfly__Job__V1__Placement placement;
	char *cgroup_path, *instance_key, *reason;
	bool weak;
	enum mf_svid_state told;   /* the last state that was sent */
	struct mf_cloud_keep keep; /* the job's cloud tokens, for its files */
	bool say_cloud;
	struct {
		char grant[MF_CLOUD_NAME_MAX + 1];
		uint64_t version; /* that was told last */
	} clouds[MF_CLOUD_GRANTS];
};

/* --- its end --- */

static void
tell_gone(struct run *r, bool tree_empty)
{
	struct mf_attestor_link *k = r->api->cfg.link;
	if (r->gone_told || r->start_id == 0 || r->generation != mf_attestor_link_generation(k))
		return; /* a later attestor adopted the job and watches the runner itself */
	struct mf_err err = { 0 };
	Mayfly__Roles__V1__RunnerGone m = MAYFLY__ROLES__V1__RUNNER_GONE__INIT;
	m.start_id = r->start_id;
	m.tree_empty = tree_empty;
	if (mf_attestor_link_send(k, MF_MSG_RUNNER_GONE, &m.base, -1, &err) == MF_OK)
		r->gone_told = true;
	else if (mf_attestor_link_open(k))
		mf_jlog_err(MF_LOG_WARN, "run.end_not_told", "the end of a runner could not be told", &err);
}

static void
run_free(struct run *r)
{
	tell_gone(r, false);
	mf_cloud_keep_end(&r->keep);
	mf_identity_use_set(r->api->cfg.ids, &r->use, NULL, false, false);
	mf_identity_watch_set(r->api->cfg.ids, &r->watch, NULL);
	mf_job_call_end(&r->job);
	mf_list_del(&r->node);
	r->api->n_runs--;
	free(r->profile);
	free(r->name);
	mf_buf_fini(&r->manifest);
	free(r->cgroup_path);
	free(r->instance_key);
	free(r->reason);
	free(r);
}

static void
finish(struct run *r, enum mf_grpc_code code, const char *text)
{
	struct mf_grpc_call *c = r->job.call;
	char copy[MF_SVID_TEXT_MAX + 1]; /* ${text} may be the run's own */
	mf_svid_text(copy, mf_slice_str(text));
	run_free(r);
	mf_grpc_finish(c, code, copy);
}

/* --- events --- */

static const char *
refusal_word(uint32_t code)
{
	static const char *const words[] = { "unspecified", "denied", "unavailable", "ended", "suspended",
		"invalid", "node_evicted", "node_unknown", "clone", "version", "token" };
	return code < MF_COUNT(words) ? words[code] : "unspecified";
}

static enum mf_status
send_created(struct run *r, struct mf_err *err)
{
	Mayfly__Job__V1__StartEvent m = MAYFLY__JOB__V1__START_EVENT__INIT;
	Mayfly__Job__V1__Created b = MAYFLY__JOB__V1__CREATED__INIT;
	b.placement = r->placement;
	b.cgroup_path = r->cgroup_path;
	b.instance_key = r->instance_key;
	b.weak = r->weak;
	b.reason = r->reason;
	m.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_CREATED;
	m.created = &b;
	return mf_grpc_send(r->job.call, &m.base, err);
}

static enum mf_status
send_placed(struct run *r, struct mf_err *err)
{
	Mayfly__Job__V1__StartEvent m = MAYFLY__JOB__V1__START_EVENT__INIT;
	Mayfly__Job__V1__Placed b = MAYFLY__JOB__V1__PLACED__INIT;
	m.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_PLACED;
	m.placed = &b;
	return mf_grpc_send(r->job.call, &m.base, err);
}

/* What was last told of this grant; NULL: there are more than there can be. */
static uint64_t *
told_version(struct run *r, const char *grant)
{
	for (size_t k = 0; k < MF_CLOUD_GRANTS; k++) {
		if (r->clouds[k].grant[0] == '\0')
			(void)snprintf(r->clouds[k].grant, sizeof(r->clouds[k].grant), "%s", grant);
		if (strcmp(r->clouds[k].grant, grant) == 0)
			return &r->clouds[k].version;
	}
	return NULL;
}

static enum mf_status
send_cloud(struct run *r, const struct mf_cloud_item *i, struct mf_err *err)
{
	Mayfly__Job__V1__StartEvent m = MAYFLY__JOB__V1__START_EVENT__INIT;
	Mayfly__Job__V1__CloudNews b = MAYFLY__JOB__V1__CLOUD_NEWS__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf body, name; /* wiped */
	mf_buf_init(&body, MF_CLOUD_TOKEN_MAX);
	mf_buf_init(&name, 128);
	MF_TRY(mf_cloud_bearer_put(i, &body, err));
	mf_buf_putf(&name, "token-%s", i->grant);
	const char *file = mf_buf_cstr(&name);
	b.grant = (char *)(uintptr_t)i->grant; /* packing reads only */
	if (i->kind == MF_CLOUD_BEARER && file != NULL)
		b.file = (char *)(uintptr_t)file;
	b.body = (ProtobufCBinaryData) { body.n, body.p };
	b.ended = i->token.n == 0;
	b.reason = (char *)(uintptr_t)i->reason;
	b.may_come_again = !i->over;
	m.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_CLOUD_NEWS;
	m.cloud_news = &b;
	return mf_grpc_send(r->job.call, &m.base, err);
}

static enum mf_status
send_clouds(struct run *r, struct mf_svid_entry *e, struct mf_err *err)
{
	MF_LIST_EACH(p, &e->clouds.items)
	{
		const struct mf_cloud_item *i = MF_LIST_ITEM(p, struct mf_cloud_item, at);
		uint64_t *told = told_version(r, i->grant);
		if (told == NULL || *told == i->version)
			continue;
		MF_TRY(send_cloud(r, i, err));
		*told = i->version;
	}
	return MF_OK;
}

static void flush(struct run *r);

static void
on_cloud(struct mf_cloud_keep *k, const struct mf_cloud_item *i)
{
	MF_UNUSED(i);
	struct run *r = MF_CONTAINER_OF(k, struct run, keep);
	r->say_cloud = true;
	flush(r);
}

static void
keep_clouds(struct run *r, struct mf_svid_entry *e)
{
	if (r->keep.entry != NULL || e->clouds.n == 0)
		return;
	r->keep.changed = on_cloud;
	mf_clouds_keep(r->api->cfg.clouds, &r->keep, e);
}

static enum mf_status
send_state(struct run *r, struct mf_svid_entry *e, struct mf_err *err)
{
	MF_AUTO(mf_pb_free) ProtobufCMessage *environment = NULL;
	Mayfly__Job__V1__StartEvent m = MAYFLY__JOB__V1__START_EVENT__INIT;
	Mayfly__Job__V1__Granted granted = MAYFLY__JOB__V1__GRANTED__INIT;
	Mayfly__Job__V1__Refused refused = MAYFLY__JOB__V1__REFUSED__INIT;
	Mayfly__Job__V1__Ended ended = MAYFLY__JOB__V1__ENDED__INIT;
	char *ids[MF_LIM_IDENTITIES];
	if (e->state == MF_SVID_GRANTED) {
		for (size_t i = 0; i < e->n_identities; i++)
			ids[i] = e->identities[i].spiffe_id;
		granted.job_id = e->job.job_id;
		granted.run_id = e->job.run_id;
		granted.profile = e->job.profile;
		granted.spiffe_ids = ids;
		granted.n_spiffe_ids = e->n_identities;
		if (e->clouds.n > 0)
			MF_TRY(mf_cloud_env(r->api->cfg.http, e, &granted.cloud, err));
		environment = granted.cloud == NULL ? NULL : &granted.cloud->base;
		m.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_GRANTED;
		m.granted = &granted;
	} else if (e->state == MF_SVID_REFUSED) {
		refused.code = (char *)(uintptr_t)refusal_word(e->refusal_code);
		refused.reason = (char *)(uintptr_t)e->reason;
		refused.rule = (char *)(uintptr_t)e->refusal_rule;
		m.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_REFUSED;
		m.refused = &refused;
	} else {
		ended.cause = (char *)(uintptr_t)e->reason;
		m.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_ENDED;
		m.ended = &ended;
	}
	return mf_grpc_send(r->job.call, &m.base, err);
}

/* Send what is due. MF_E_AGAIN: the runner is slow, on_writable goes on. */
static enum mf_status
send_due(struct run *r, struct mf_err *err)
{
	struct mf_svid_entry *e = r->watch.entry;
	if (r->say_created)
		MF_TRY(send_created(r, err));
	r->say_created = false;
	if (r->say_placed)
		MF_TRY(send_placed(r, err));
	r->say_placed = false;
	if (r->say_state && e != NULL) {
		MF_TRY(send_state(r, e, err));
		r->told = e->state;
	}
	r->say_state = false;
	if (r->told != MF_SVID_GRANTED || e == NULL)
		return MF_OK;
	keep_clouds(r, e);
	if (r->say_cloud)
		MF_TRY(send_clouds(r, e, err));
	r->say_cloud = false;
	return MF_OK;
}

/* May end the run. */
static void
flush(struct run *r)
{
	struct mf_err err = { 0 };
	enum mf_status s = send_due(r, &err);
	if (s == MF_E_AGAIN)
		return;
	if (s != MF_OK) {
		finish(r, MF_GRPC_INTERNAL, err.msg);
		return;
	}
	if (r->told == MF_SVID_ENDED)
		finish(r, MF_GRPC_OK, "");
}

static void
on_entry(struct mf_identity_watch *w)
{
	struct run *r = MF_CONTAINER_OF(w, struct run, watch);
	const struct mf_svid_entry *e = w->entry;
	bool final = e->state == MF_SVID_GRANTED || e->state == MF_SVID_REFUSED || e->state == MF_SVID_ENDED;
	if (!final || e->state == r->told)
		return;
	r->say_state = true;
	if (e->state == MF_SVID_REFUSED)
		mf_jobs_remember(r->api, mf_job_call_caller(&r->job)->uid, r->profile, e);
	/* The job's own processes hold streams from now on; the runner's wait is over. */
	mf_identity_use_set(r->api->cfg.ids, &r->use, w->entry, false, false);
	flush(r);
}

/* --- what the runner asks for --- */

static void
start(struct run *r)
{
	struct mf_err err = { 0 };
	struct mf_attestor_link *k = r->api->cfg.link;
	Mayfly__Roles__V1__StartJob m = MAYFLY__ROLES__V1__START_JOB__INIT;
	if (!mf_attestor_link_open(k))
		return; /* held: the link's opening lets us look again */
	r->start_id = ++r->api->last_start;
	r->generation = mf_attestor_link_generation(k);
	m.start_id = r->start_id;
	m.conn_id = mf_job_call_conn_id(&r->job);
	m.profile = r->profile;
	m.name = r->name;
	m.manifest = (ProtobufCBinaryData) { r->manifest.n, r->manifest.p };
	r->phase = STARTING;
	if (mf_attestor_link_send(k, MF_MSG_START_JOB, &m.base, -1, &err) != MF_OK) {
		r->start_id = 0;
		finish(r, mf_grpc_code_of(err.code), err.msg);
		return;
	}
	mf_buf_fini(&r->manifest);
}

/* May end the run. */
static void
place(struct run *r)
{
	struct mf_err err = { 0 };
	Mayfly__Roles__V1__PlaceChild m = MAYFLY__ROLES__V1__PLACE_CHILD__INIT;
	if (r->place == 0 || r->place_asked)
		return;
	r->place_asked = true;
	m.start_id = r->start_id;
	m.pid = r->place;
	if (r->generation != mf_attestor_link_generation(r->api->cfg.link) ||
	    mf_attestor_link_send(r->api->cfg.link, MF_MSG_PLACE_CHILD, &m.base, -1, &err) != MF_OK)
		finish(r, MF_GRPC_UNAVAILABLE, "the agent's attestor was started again; run the job again");
}

/* What was asked is done when who asked is known. May end the run. */
static void
look(struct run *r)
{
	enum mf_job_view view = mf_job_call_view(&r->job);
	if (view == MF_JOB_WAIT)
		return;
	if (view == MF_JOB_DENIED) {
		finish(r, MF_GRPC_PERMISSION_DENIED, "no identity issued");
		return;
	}
	if (r->phase == CALLER) {
		start(r);
		return;
	}
	if (r->tree_empty)
		tell_gone(r, true);
	place(r);
}

enum mf_status
mf_jobs_claims_check(const char *profile, const char *name, size_t manifest_n, struct mf_err *err)
{
	if (strlen(profile) > 256 || strlen(name) > 256)
		return MF_FAIL(err, MF_E_TOOBIG, "profile and name have at most 256 bytes");
	if (manifest_n > MF_LIM_MANIFEST)
		return MF_FAIL(err, MF_E_TOOBIG, "the manifest has %zu bytes, at most %u are taken",
		    manifest_n, MF_LIM_MANIFEST);
	return MF_OK;
}

static enum mf_status
take_spec(struct run *r, const Mayfly__Job__V1__StartSpec *s, struct mf_err *err)
{
	if (r->phase != SPEC)
		return MF_FAIL(err, MF_E_STATE, "a second StartSpec: one stream starts one job");
	MF_TRY(mf_jobs_claims_check(s->profile, s->name, s->manifest.len, err));
	r->profile = mf_slice_dup_str(mf_slice_str(s->profile));
	r->name = mf_slice_dup_str(mf_slice_str(s->name));
	mf_buf_put(&r->manifest, s->manifest.data, s->manifest.len);
	if (r->profile == NULL || r->name == NULL || r->manifest.failed != MF_OK)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	r->phase = CALLER;
	return MF_OK;
}

static enum mf_status
take_request(struct run *r, const Mayfly__Job__V1__StartRequest *m, struct mf_err *err)
{
	switch (m->body_case) {
	case MAYFLY__JOB__V1__START_REQUEST__BODY_SPEC:
		return take_spec(r, m->spec, err);
	case MAYFLY__JOB__V1__START_REQUEST__BODY_PLACE:
		if (r->phase != CREATED || r->place != 0)
			return MF_FAIL(err, MF_E_STATE, "Place comes once, after Created");
		if (m->place->pid <= 0)
			return MF_FAIL(err, MF_E_INVALID, "Place: %d is no process", m->place->pid);
		r->place = m->place->pid;
		return MF_OK;
	case MAYFLY__JOB__V1__START_REQUEST__BODY_TREE_EMPTY:
		if (r->phase != CREATED || r->placement != MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_SUBREAPER)
			return MF_FAIL(err, MF_E_STATE, "TreeEmpty is for a subreaper's job");
		r->tree_empty = true;
		return MF_OK;
	default:
		return MF_FAIL(err, MF_E_INVALID, "a StartRequest without a body");
	}
}

/* --- callbacks --- */

static void
job_changed(struct mf_job_call *j)
{
	look(MF_CONTAINER_OF(j, struct run, job));
}

static void
job_timeout(struct mf_job_call *j, const char *why)
{
	char text[MF_SVID_TEXT_MAX + 64];
	(void)snprintf(text, sizeof(text), "the job could not be started: %.400s; try again", why);
	finish(MF_CONTAINER_OF(j, struct run, job), MF_GRPC_UNAVAILABLE, text);
}

static const struct mf_job_call_ops job_ops = { job_changed, job_timeout };

static void
on_open(struct mf_grpc_call *c)
{
	struct mf_jobs_api *api = mf_grpc_call_ctx(c);
	struct run *r = calloc(1, sizeof(*r));
	if (r == NULL || api->down) {
		free(r);
		mf_grpc_finish(
		    c, MF_GRPC_UNAVAILABLE, r == NULL ? "out of memory" : "the agent is going down");
		return;
	}
	r->api = api;
	r->watch.changed = on_entry;
	mf_buf_init(&r->manifest, MF_LIM_MANIFEST);
	mf_list_init(&r->node);
	mf_list_add_tail(&api->runs, &r->node);
	api->n_runs++;
	mf_grpc_call_set_user(c, r);
	mf_job_call_begin(&r->job, c, &job_ops, false);
}

static void
on_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct run *r = mf_grpc_call_user(c);
	struct mf_err err = { 0 };
	if (take_request(r, (const void *)msg, &err) != MF_OK)
		finish(r, mf_grpc_code_of(err.code), err.msg);
	else
		look(r);
}

static void
on_writable(struct mf_grpc_call *c)
{
	struct run *r = mf_grpc_call_user(c);
	if (r != NULL)
		flush(r);
}

static void
on_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(why);
	struct run *r = mf_grpc_call_user(c);
	if (r != NULL)
		run_free(r);
}

const struct mf_grpc_server_ops mf_jobs_start_ops = {
	.on_open = on_open,
	.on_message = on_message,
	.on_writable = on_writable,
	.on_cancel = on_cancel,
};

/* --- from the link --- */

static struct run *
run_of(struct mf_jobs_api *j, uint64_t start_id)
{
	MF_LIST_EACH(n, &j->runs)
	{
		struct run *r = MF_LIST_ITEM(n, struct run, node);
		if (r->start_id == start_id && r->generation == mf_attestor_link_generation(j->cfg.link))
			return r;
	}
	return NULL;
}

static enum mf_status
take_created(struct run *r, const Mayfly__Roles__V1__JobCreated *m, struct mf_err *err)
{
	struct mf_svid_entry *e = NULL;
	r->cgroup_path = mf_slice_dup_str(mf_slice_str(m->cgroup_path));
	r->instance_key = mf_slice_dup_str(mf_slice_str(m->instance_key));
	r->reason = mf_slice_dup_str(mf_slice_str(m->reason));
	if (r->cgroup_path == NULL || r->instance_key == NULL || r->reason == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	if (m->placement == 0 || m->placement > MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_INSIDE)
		return MF_FAIL(err, MF_E_INTERNAL, "the attestor said placement %u", m->placement);
	MF_TRY(mf_identities_bind(
	    r->api->cfg.ids, m->instance_key, m->handle, mf_job_call_caller(&r->job)->uid, &e, err));
	r->placement = (Mayfly__Job__V1__Placement)m->placement;
	r->weak = m->weak;
	r->phase = CREATED;
	r->say_created = true;
	/* The identity is asked for while the child still waits for its place. */
	mf_identity_watch_set(r->api->cfg.ids, &r->watch, e);
	mf_identity_use_set(r->api->cfg.ids, &r->use, e, true, false);
	return MF_OK;
}

void
mf_jobs_api_on_created(struct mf_jobs_api *j, const Mayfly__Roles__V1__JobCreated *m)
{
	struct run *r = run_of(j, m->start_id);
	struct mf_err err = { 0 };
	if (r == NULL || r->phase != STARTING)
		return; /* the runner went meanwhile, and was told gone */
	mf_job_call_settled(&r->job);
	if (m->failed) {
		r->gone_told = true; /* there is nothing to end */
		finish(r, MF_GRPC_FAILED_PRECONDITION, m->reason);
		return;
	}
	if (take_created(r, m, &err) != MF_OK) {
		finish(r, mf_grpc_code_of(err.code), err.msg);
		return;
	}
	MF_LOG(MF_LOG_INFO, "run.created", "a job was made", mf_js("instance", m->instance_key),
	    mf_ju("placement", m->placement), mf_jb("weak", m->weak));
	if (r->watch.entry->state == MF_SVID_GRANTED || r->watch.entry->state == MF_SVID_REFUSED)
		r->say_state = true; /* INSIDE: the manager's job has it already */
	flush(r);
}

void
mf_jobs_api_on_placed(struct mf_jobs_api *j, const Mayfly__Roles__V1__JobPlaced *m)
{
	struct run *r = run_of(j, m->start_id);
	if (r == NULL || !r->place_asked)
		return;
	if (!m->done) {
		finish(r, MF_GRPC_FAILED_PRECONDITION, m->reason);
		return;
	}
	r->placed = r->say_placed = true;
	flush(r);
}

void
mf_jobs_api_link_closed(struct mf_jobs_api *j)
{
	mf_jobs_explain_drop(j, true, "the agent's attestor was started again; ask again");
	MF_LIST_EACH(n, &j->runs)
	{
		struct run *r = MF_LIST_ITEM(n, struct run, node);
		/* Nobody would ask for it again: the child that waits for its identity has no connection of its own. */
		bool waits = r->phase == CREATED && r->told == MF_SVID_UNKNOWN && !r->say_state;
		bool places = r->place_asked && !r->placed;
		if (r->phase == STARTING || waits || places)
			finish(r, MF_GRPC_UNAVAILABLE,
			    "the agent's attestor was started again; run the job again");
	}
}

void
mf_jobs_api_shutdown(struct mf_jobs_api *j)
{
	j->down = true;
	mf_jobs_explain_drop(j, false, "the agent is going down");
	MF_LIST_EACH(n, &j->runs)
	{
		struct run *r = MF_LIST_ITEM(n, struct run, node);
		r->gone_told = true; /* the runner is not gone, we are */
		finish(r, MF_GRPC_UNAVAILABLE, "the agent is going down");
	}
}
