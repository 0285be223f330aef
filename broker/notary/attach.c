/* A new instance: facts, decision, job, lease. The certificates follow in issue.c. */
#include <stdio.h>

#include "broker/core/request_facts.h"
#include "broker/notary/engine_internal.h"
#include "codec/manifest.h"

#define TENANT "default"
#define DENIED_PER_MINUTE 60u
#define EXPLAINED_PER_MINUTE 60u
#define DENIAL_REST 4096u /* of authz.denied without its lists, reason and escapes included */
/* Of all fields of a manifest as they stand in job.started; the rest of that record is small. */
#define ATTRIBUTES_MAX (MF_LIM_RECORD - 8192u)

struct asked {
	const Mayfly__Agent__V1__Attach *a;
	struct session *s;
	const struct mf_node *node;
	const char *job_key; /* the manager's, or its own instance's */
	struct mf_facts *facts;
	struct mf_manifest *manifest; /* NULL: none was given */
	char manifest_hex[65];
	char person[128], run[MF_STATE_ID_MAX]; /* run: of a new job */
	struct mf_slice *attributes; /* "kind=finetune": what of the manifest is kept for renewals */
	char **texts;
	size_t attributes_n;
};

static void
asked_fini(struct asked *q)
{
	mf_facts_free(q->facts);
	mf_manifest_free(q->manifest);
	for (size_t i = 0; i < q->attributes_n; i++)
		free(q->texts[i]);
	free(q->texts);
	free(q->attributes);
}

static void
refuse(struct mf_engine *e, struct session *s, uint64_t request_id, Mayfly__Agent__V1__RefusalCode code,
    const char *reason)
{
	mf_send_refusal(e, s->sid, request_id, code, reason, NULL);
}

static enum mf_status
keep_attribute(struct asked *q, const struct mf_manifest_attr *attr, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_RECORD);
	mf_manifest_attr_put(attr, &b);
	MF_TRY(mf_buf_check(&b, err));
	char *text = mf_slice_dup_str(mf_buf_slice(&b));
	if (text == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	q->texts[q->attributes_n] = text;
	q->attributes[q->attributes_n++] = mf_slice(text, b.n);
	/* From the very bytes that stand in the record: a renewal must see what this decision sees. */
	return mf_request_manifest(q->facts, mf_buf_slice(&b), err);
}

static enum mf_status
manifest_facts(struct asked *q, struct mf_err *err)
{
	struct mf_slice bytes = mf_slice(q->a->manifest.data, q->a->manifest.len);
	if (bytes.n == 0)
		return MF_OK;
	if (mf_manifest_parse(bytes, &q->manifest, err) != MF_OK)
		return mf_err_wrap(err, MF_E_INVALID, "manifest");
	mf_engine_sha256_hex(bytes, q->manifest_hex);
	size_t n = mf_manifest_count(q->manifest), all = 0;
	for (size_t i = 0; i < n; i++) {
		struct mf_manifest_attr attr = mf_manifest_at(q->manifest, i);
		all += strlen(attr.name) + (attr.list != NULL ? 5 : 1) + mf_engine_text_cost(attr.value);
	}
	if (all > ATTRIBUTES_MAX)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "manifest: its fields are more than a record holds (24 KiB)");
	q->texts = calloc(n + 1, sizeof(*q->texts));
	q->attributes = calloc(n + 1, sizeof(*q->attributes));
	if (q->texts == NULL || q->attributes == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		struct mf_manifest_attr attr = mf_manifest_at(q->manifest, i);
		MF_TRY(keep_attribute(q, &attr, err));
	}
	return MF_OK;
}

static enum mf_status
gather(struct asked *q, const struct mf_job *j, struct mf_err *err)
{
	const Mayfly__Agent__V1__Attach *a = q->a;
	MF_TRY(mf_facts_new(&q->facts, err));
	MF_TRY(mf_request_node(q->facts, q->node, err));
	for (size_t i = 0; i < a->n_selectors; i++)
		MF_TRY(mf_request_selector(q->facts, mf_slice_str(a->selectors[i]), err));
	MF_TRY(mf_request_grade(q->facts, mf_slice_str(a->grade), err));
	if (a->interactive)
		MF_TRY(mf_facts_add(
		    q->facts, MF_FACT_ATTESTED, MF_SLICE_LIT("interactive"), MF_SLICE_LIT("true"), err));
	MF_TRY(mf_request_job(q->facts, q->job_key, err));
	MF_TRY(manifest_facts(q, err));
	/* An instance that brings none is decided on its job's, as its renewals are. */
	for (size_t i = 0; q->manifest == NULL && j != NULL && i < j->attributes_n; i++)
		MF_TRY(mf_request_manifest(q->facts, mf_slice_str(j->attributes[i]), err));
	mf_facts_seal(q->facts);
	if (a->unix_user[0] != '\0')
		(void)snprintf(q->person, sizeof(q->person), "unix:%s", a->unix_user);
	else
		(void)snprintf(q->person, sizeof(q->person), "uid:%u", a->unix_uid);
	return MF_OK;
}

static void
free_slices(struct mf_slice **v)
{
	free(*v);
}

/*
 * What the denial was decided on, so that another policy can be tried on it (`mayfly policy diff --against-log`): all of
 * it or nothing, for a record holds 32 KiB. The caller frees the answer, which the record points into.
 */
static struct mf_slice *
facts_of_denial(const struct asked *q, struct mf_record *r)
{
	size_t n = q->a->n_selectors, cost = DENIAL_REST;
	struct mf_slice *v = calloc(n + 1, sizeof(*v));
	for (size_t i = 0; v != NULL && i < n; i++) {
		v[i] = mf_slice_str(q->a->selectors[i]);
		cost += mf_engine_text_cost(v[i]);
	}
	for (size_t i = 0; i < q->attributes_n; i++)
		cost += mf_engine_text_cost(q->attributes[i]);
	if (v == NULL || cost > MF_LIM_RECORD)
		return v;
	if (q->a->interactive)
		v[n++] = MF_SLICE_LIT("interactive:true");
	r->selectors = v;
	r->selectors_n = n;
	r->attributes = q->attributes;
	r->attributes_n = q->attributes_n;
	return v;
}

/* The denial is durable before it is told; a job that asks in a loop fills no disk. */
static void
deny(struct mf_engine *e, struct mf_now now, const struct asked *q, uint64_t request_id,
    const struct mf_decision *d)
{
	struct pulse *p = mf_engine_pulse(e, q->s->node_id);
	if (p == NULL || !mf_bucket_take(&p->denied, now, DENIED_PER_MINUTE)) {
		mf_send_refusal(e, q->s->sid, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED,
		    d->told, d->rule);
		return;
	}
	struct mf_record r = { .type = MF_REC_AUTHZ_DENIED };
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "agent");
	mf_record_set_str(&r, MF_RS_NODE_ID, q->s->node_id);
	mf_record_set_str(&r, MF_RS_INSTANCE_KEY, q->a->instance_key);
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, d->profile != NULL ? d->profile->name : q->a->profile);
	mf_record_set_str(&r, MF_RS_JOB_MANIFEST, q->manifest_hex);
	mf_record_set_str(&r, MF_RS_REASON, d->reason);
	mf_record_set_str(&r, MF_RS_EFFECT, "deny");
	mf_record_set_str(&r, MF_RS_POLICY, e->policy_hex);
	mf_record_set_str(&r, MF_RS_RULE, d->rule != NULL ? d->rule : "");
	mf_record_set_str(&r, MF_RS_TENANT, TENANT);
	mf_record_set_str(&r, MF_RS_PERSON, q->person);
	mf_record_set_str(&r, MF_RS_GRADE, q->a->grade);
	MF_AUTO_IN(free_slices) struct mf_slice *selectors = facts_of_denial(q, &r);
	MF_UNUSED(selectors); /* the record points into it */
	uint64_t index = mf_engine_record(e, now, &r);
	if (index == UINT64_MAX) {
		refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE,
		    "the broker could not record its decision");
		return;
	}

	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Refusal refusal = MAYFLY__AGENT__V1__REFUSAL__INIT;
	char reason[MF_POLICY_REASON_MAX], rule[MF_STATE_ID_MAX];
	(void)snprintf(reason, sizeof(reason), "%s", d->told);
	(void)snprintf(rule, sizeof(rule), "%s", d->rule != NULL ? d->rule : "");
	refusal.code = MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED;
	refusal.reason = reason;
	refusal.rule = rule;
	down.request_id = request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL;
	down.refusal = &refusal;
	e->count.refused++;
	(void)mf_release_down(e, now, index, q->s->sid, &down, MF_ENGINE_NORMAL);
}

/* min(profile, manifest, manager's word), the drain not included. Seconds. */
static int64_t
deadline_of(
    const struct mf_engine *e, const struct asked *q, const struct mf_policy_profile *p, struct mf_now now)
{
	int64_t now_s = now.wall_us / 1000000, end = now_s + (int64_t)(p->max_job_ms / 1000);
	const struct mf_managed *m = mf_state_managed(e->state, mf_slice_str(q->job_key));
	int64_t declared;
	if (q->manifest != NULL && mf_manifest_deadline(q->manifest, &declared) && declared / 1000000 < end)
		end = declared / 1000000;
	if (m != NULL && m->deadline != 0 && m->deadline < end)
		end = m->deadline;
	return end;
}

static uint64_t
open_job(
    struct mf_engine *e, struct mf_now now, const struct asked *q, const struct mf_decision *d, char *ret_job)
{
	struct mf_record r = { .type = MF_REC_JOB_STARTED };
	mf_engine_new_id(e, "j-", 20, ret_job);
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "agent");
	mf_record_set_str(&r, MF_RS_NODE_ID, q->s->node_id);
	mf_record_set_str(&r, MF_RS_JOB_ID, ret_job);
	mf_record_set_str(&r, MF_RS_JOB_KEY, q->job_key); /* a local job is its one instance */
	mf_record_set_str(&r, MF_RS_JOB_RUN, q->run);
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, d->profile->name);
	mf_record_set_str(&r, MF_RS_JOB_NAME, q->a->name);
	mf_record_set_str(&r, MF_RS_JOB_MANIFEST, q->manifest_hex);
	mf_record_set_str(&r, MF_RS_EFFECT, "permit");
	mf_record_set_str(&r, MF_RS_POLICY, e->policy_hex);
	mf_record_set_str(&r, MF_RS_RULE, d->rule);
	mf_record_set_str(&r, MF_RS_TENANT, TENANT);
	mf_record_set_str(&r, MF_RS_PERSON, q->person);
	mf_record_set_str(&r, MF_RS_GRADE, q->a->grade);
	mf_record_set_num(&r, MF_RN_DEADLINE, deadline_of(e, q, d->profile, now));
	mf_record_set_num(&r, MF_RN_DRAIN_MS, (int64_t)d->profile->drain_ms);
	r.attributes = q->attributes;
	r.attributes_n = q->attributes_n;
	return mf_engine_record(e, now, &r);
}

static const struct mf_lease *
open_lease(struct mf_engine *e, struct mf_now now, const struct asked *q, const struct mf_decision *d)
{
	char job[MF_STATE_ID_MAX], lease[MF_STATE_ID_MAX], prefix[32];
	size_t n = q->a->n_selectors;
	struct mf_slice *selectors = calloc(n + 1, sizeof(*selectors));
	const struct mf_job *j = mf_state_job_by_key(e->state, mf_slice_str(q->job_key));
	if (j != NULL)
		memcpy(job, j->id, sizeof(job));
	if (selectors == NULL || (j == NULL && open_job(e, now, q, d, job) == UINT64_MAX)) {
		free(selectors);
		return NULL;
	}
	bool said = false;
	for (size_t i = 0; i < n; i++) {
		selectors[i] = mf_slice_str(q->a->selectors[i]);
		said |= mf_slice_eq_str(selectors[i], "interactive:true");
	}
	if (q->a->interactive && !said) /* renewals are decided on what is recorded */
		selectors[n++] = MF_SLICE_LIT("interactive:true");
	(void)snprintf(prefix, sizeof(prefix), "l-%.8s-", e->broker_id); /* svid.renewed: 250 bytes */
	mf_engine_new_id(e, prefix, 16, lease);
	struct mf_record r = { .type = MF_REC_LEASE_OPENED };
	mf_record_set_str(&r, MF_RS_LEASE, lease);
	mf_record_set_str(&r, MF_RS_JOB_ID, job);
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, d->profile->name);
	mf_record_set_str(&r, MF_RS_INSTANCE_KEY, q->a->instance_key);
	mf_record_set_str(&r, MF_RS_NODE_ID, q->s->node_id);
	mf_record_set_str(&r, MF_RS_NODE_BOOT, q->s->boot);
	mf_record_set_str(&r, MF_RS_EFFECT, "permit");
	mf_record_set_str(&r, MF_RS_POLICY, e->policy_hex);
	mf_record_set_str(&r, MF_RS_RULE, d->rule);
	mf_record_set_str(&r, MF_RS_ON_END, d->profile->on_end == MF_ON_END_DENY ? "deny" : "expire");
	mf_record_set_str(&r, MF_RS_TENANT, TENANT);
	mf_record_set_str(&r, MF_RS_PERSON, q->person);
	mf_record_set_str(&r, MF_RS_GRADE, q->a->grade);
	mf_record_set_num(&r, MF_RN_EPOCH, 1);
	j = mf_state_job(e->state, mf_slice_str(job));
	mf_record_set_num(&r, MF_RN_INSTANCE, (int64_t)j->instances + 1);
	mf_record_set_num(&r, MF_RN_DEADLINE, mf_job_stop(j));
	mf_record_set_num(&r, MF_RN_DRAIN_MS, j->drain_ms);
	r.selectors = selectors;
	r.selectors_n = n;
	uint64_t index = mf_engine_record(e, now, &r);
	free(selectors);
	return index == UINT64_MAX ? NULL : mf_state_lease(e->state, mf_slice_str(lease));
}

static bool
resume_lease(struct mf_engine *e, struct mf_now now, const struct asked *q, const struct mf_lease *l,
    const struct mf_decision *d)
{
	struct mf_record r = { .type = MF_REC_LEASE_RESUMED };
	mf_record_set_str(&r, MF_RS_LEASE, l->id);
	mf_record_set_str(&r, MF_RS_JOB_ID, l->job->id);
	mf_record_set_str(&r, MF_RS_NODE_ID, q->s->node_id);
	mf_record_set_str(&r, MF_RS_EFFECT, "permit");
	mf_record_set_str(&r, MF_RS_POLICY, e->policy_hex);
	mf_record_set_str(&r, MF_RS_RULE, d->rule);
	mf_record_set_str(&r, MF_RS_TENANT, TENANT);
	mf_record_set_str(&r, MF_RS_PERSON, q->person);
	mf_record_set_str(&r, MF_RS_GRADE, q->a->grade);
	mf_record_set_num(&r, MF_RN_EPOCH, l->epoch + 1);
	return mf_engine_record(e, now, &r) != UINT64_MAX;
}

/* The lease that this request may be served under, or NULL when it was answered. */
static const struct mf_lease *
lease_for(struct mf_engine *e, struct mf_now now, const struct asked *q, uint64_t request_id,
    const struct mf_decision *d)
{
	const struct mf_lease *l = mf_state_lease_by_key(e->state, mf_slice_str(q->a->instance_key));
	if (l == NULL) {
		if (q->node->live >= MF_LIM_NODE_INSTANCES) {
			refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE,
			    "this node holds as many live instances as a node may");
			return NULL;
		}
		l = open_lease(e, now, q, d);
	} else if (l->state == MF_LEASE_SUSPENDED && !resume_lease(e, now, q, l, d)) {
		l = NULL;
	}
	if (l == NULL)
		refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE,
		    "the broker could not record the lease");
	return l;
}

/* Who runs it: users and groups of the first caller, as they stand in its lease. */
static bool
is_owner(const char *selector)
{
	return strncmp(selector, "unix.uid:", 9) == 0 || strncmp(selector, "unix.gid:", 9) == 0 ||
	       strncmp(selector, "unix.sup_gid:", 13) == 0;
}

static size_t
owners(char *const *v, size_t n)
{
	size_t have = 0;
	for (size_t i = 0; i < n; i++)
		have += is_owner(v[i]) ? 1u : 0u;
	return have;
}

/*
 * An instance stays its owner's. Processes of several users in one cgroup have one instance key, whoever is seen first, and an attestor
 * that lost its table may see another one first: that one has no part in the lease.
 */
static bool
same_owner(const struct mf_lease *l, const Mayfly__Agent__V1__Attach *a)
{
	if (owners(l->selectors, l->selectors_n) != owners(a->selectors, a->n_selectors))
		return false;
	for (size_t i = 0; i < a->n_selectors; i++) {
		bool found = !is_owner(a->selectors[i]);
		for (size_t k = 0; !found && k < l->selectors_n; k++)
			found = strcmp(a->selectors[i], l->selectors[k]) == 0;
		if (!found)
			return false;
	}
	return true;
}

/* True when an older lease of this instance settles the matter. */
static bool
is_over(struct mf_engine *e, const struct asked *q, uint64_t request_id)
{
	const struct mf_lease *l = mf_state_lease_by_key(e->state, mf_slice_str(q->a->instance_key));
	if (mf_session_is_gone(q->s, q->a->instance_key)) {
		refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED,
		    "this instance is over");
		return true;
	}
	const char *over = l == NULL ? mf_engine_job_over(e, q->job_key) : NULL;
	if (over != NULL)
		refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED, over);
	if (l == NULL)
		return over != NULL;
	if (strcmp(l->job->key, q->job_key) != 0) {
		refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID,
		    "that instance is part of another job");
		return true;
	}
	if (strcmp(l->node->id, q->s->node_id) != 0 || strcmp(l->boot, q->s->boot) != 0) {
		refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID,
		    "that instance is another node's");
		return true;
	}
	if (l->state != MF_LEASE_ENDED && !same_owner(l, q->a)) {
		refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID,
		    "that instance began with another user or other groups: start each one's work in a "
		    "cgroup of its own");
		return true;
	}
	if (l->state != MF_LEASE_ENDED) /* one that drains may ask again for what it had */
		return false;
	refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED,
	    l->reason != NULL && l->reason[0] != '\0' ? l->reason : "this job is over");
	return true;
}

/* What policy, and what is known of its job, its run and its deadline, say: of a real request and of a dry run alike. */
static void
decide(struct mf_engine *e, struct mf_now now, struct asked *q, struct mf_decision *d)
{
	const struct mf_lease *l = mf_state_lease_by_key(e->state, mf_slice_str(q->a->instance_key));
	struct mf_policy_request req = { mf_slice_str(q->a->profile), q->facts, now.wall_us / 1000000 };
	const struct mf_job *j = mf_state_job_by_key(e->state, mf_slice_str(q->job_key));
	if (req.profile.n == 0 && q->manifest != NULL)
		req.profile = mf_manifest_get(q->manifest, "profile");
	/* A job keeps the profile it began with. */
	if (j != NULL)
		req.profile = mf_slice_str(j->profile);
	mf_policy_decide(e->policy, &req, d);
	mf_engine_check_frozen(e, TENANT, q->person, d);
	if (d->permit && q->a->interactive && !d->profile->interactive)
		mf_engine_overrule(d, "attested.interactive",
		    "run it as a job, or set interactive: allow in the profile",
		    "the profile refuses interactive callers");
	const struct joining join = { q->job_key, TENANT, q->person, q->manifest_hex, q->node,
		q->a->unix_uid };
	if (d->permit && l == NULL)
		mf_engine_check_joining(e, &join, d);
	if (d->permit && j == NULL)
		mf_engine_find_run(e, &join,
		    q->manifest == NULL ? mf_slice(NULL, 0) : mf_manifest_get(q->manifest, "run"), d, q->run);
	if (d->permit && j == NULL && deadline_of(e, q, d->profile, now) <= now.wall_us / 1000000)
		mf_engine_overrule(d, "manifest.deadline", "set another one",
		    "the deadline that the manifest, or the manager, sets has passed");
}

static void
decide_and_issue(struct mf_engine *e, struct mf_now now, struct asked *q, uint64_t request_id)
{
	struct mf_decision d;
	decide(e, now, q, &d);
	if (!d.permit) {
		deny(e, now, q, request_id, &d);
		return;
	}
	const struct mf_lease *l = lease_for(e, now, q, request_id, &d);
	if (l != NULL)
		mf_engine_issue(e, now, q->s, request_id,
		    l->state == MF_LEASE_ENDING ? WORK_RENEW : WORK_ATTACH, l, d.profile, q->a->points,
		    q->a->n_points);
}

/* False when it was answered: the request cannot be decided. ${points}: it brings keys. */
static bool
may_decide(struct mf_engine *e, struct mf_now now, struct asked *q, uint64_t request_id, bool points)
{
	const Mayfly__Agent__V1__Attach *a = q->a;
	struct mf_err err = { 0 };
	const char *why = mf_engine_why_not(e, now);
	q->node = mf_state_node(e->state, mf_slice_str(q->s->node_id));
	q->job_key = a->job_key[0] != '\0' ? a->job_key : a->instance_key;
	if (why != NULL || q->node == NULL) {
		refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE,
		    why != NULL ? why : "no such node");
		return false;
	}
	why = mf_engine_attach_trouble(q->s, a, points);
	if (why != NULL) {
		refuse(e, q->s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID, why);
		return false;
	}
	if (is_over(e, q, request_id))
		return false;
	if (gather(q, mf_state_job_by_key(e->state, mf_slice_str(q->job_key)), &err) == MF_OK)
		return true;
	refuse(e, q->s, request_id,
	    err.code == MF_E_NOMEM ? MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
				   : MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID,
	    err.msg);
	return false;
}

void
mf_engine_attach(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Attach *a)
{
	struct asked q __attribute__((cleanup(asked_fini))) = { .a = a, .s = s };
	if (may_decide(e, now, &q, request_id, true))
		decide_and_issue(e, now, &q, request_id);
}

static void
explained(struct mf_engine *e, const struct asked *q, uint64_t request_id, const struct mf_decision *d)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Explained x = MAYFLY__AGENT__V1__EXPLAINED__INIT;
	char text[3][MF_STATE_ID_MAX], told[MF_POLICY_REASON_MAX], cure[MF_POLICY_CURE_MAX],
	    attribute[MF_POLICY_ATTRIBUTE_MAX];
	(void)snprintf(text[0], sizeof(text[0]), "%s", d->rule == NULL ? "" : d->rule);
	(void)snprintf(text[1], sizeof(text[1]), "%s", d->profile != NULL ? d->profile->name : q->a->profile);
	(void)snprintf(text[2], sizeof(text[2]), "%s", e->policy_hex);
	memcpy(told, d->told, sizeof(told));
	memcpy(cure, d->cure, sizeof(cure));
	memcpy(attribute, d->attribute, sizeof(attribute));
	x.permit = d->permit;
	x.rule = text[0];
	x.profile = text[1];
	x.policy_sha256 = text[2];
	x.reason = told;
	x.cure = cure;
	x.attribute = attribute;
	down.request_id = request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_EXPLAINED;
	down.explained = &x;
	mf_send_down(e, q->s->sid, &down, MF_ENGINE_NORMAL, 0);
}

/* A dry run. It gives nothing, so it is not recorded; and as it tells what policy says, it is not told without end. */
void
mf_engine_explain(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Explain *x)
{
	struct asked q __attribute__((cleanup(asked_fini))) = { .a = x->attach, .s = s };
	struct pulse *p = mf_engine_pulse(e, s->node_id);
	struct mf_decision d;
	if (x->attach == NULL) {
		refuse(e, s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID, "explain what?");
		return;
	}
	if (p == NULL || !mf_bucket_take(&p->explained, now, EXPLAINED_PER_MINUTE)) {
		refuse(e, s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE,
		    "this node has asked too often what policy would say: try again in a minute");
		return;
	}
	if (!may_decide(e, now, &q, request_id, false))
		return;
	decide(e, now, &q, &d);
	explained(e, &q, request_id, &d);
}
