/* A job's deadline: what it may be at most, and who moves it. Later adds access; sooner takes it away. */
#include <stdio.h>

#include "broker/notary/engine_internal.h"

#define REASON_MAX 512u

int64_t
mf_engine_latest_deadline(const struct mf_engine *e, const struct mf_job *j)
{
	const struct mf_policy_profile *p =
	    e->policy == NULL ? NULL : mf_policy_profile(e->policy, mf_slice_str(j->profile));
	return p == NULL ? j->deadline : (j->started_us + (int64_t)p->max_job_ms * 1000) / 1000000;
}

static void
tell_deadline(struct mf_engine *e, struct mf_now now, const struct mf_lease *l, uint64_t index)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__LeaseDeadline m = MAYFLY__AGENT__V1__LEASE_DEADLINE__INIT;
	char id[MF_STATE_ID_MAX];
	memcpy(id, l->id, sizeof(id));
	m.lease_id = id;
	m.instance_key = l->key;
	m.deadline = l->deadline;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_LEASE_DEADLINE;
	down.lease_deadline = &m;
	mf_engine_push(e, now, l, index, &down, MF_ENGINE_NORMAL);
}

uint64_t
mf_engine_set_deadline(
    struct mf_engine *e, struct mf_now now, const struct mf_job *j, int64_t deadline, struct mf_record *r)
{
	bool later = deadline > j->deadline;
	r->type = later ? MF_REC_JOB_EXTENDED : MF_REC_JOB_SHORTENED;
	mf_record_set_str(r, MF_RS_JOB_ID, j->id);
	mf_record_set_str(r, MF_RS_JOB_KEY, j->key);
	mf_record_set_str(r, MF_RS_TENANT, j->tenant);
	mf_record_set_str(r, MF_RS_PERSON, j->person);
	mf_record_set_num(r, MF_RN_DEADLINE, deadline);
	uint64_t index = mf_engine_record(e, now, r);
	if (index == UINT64_MAX || !later)
		return index;
	/* Only when it is on disk: what they renew then lives longer. */
	MF_LIST_EACH(p, &j->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_job);
		if (l->state == MF_LEASE_OPEN)
			tell_deadline(e, now, l, index);
	}
	return index;
}

/* NULL, or why ${j} may not run until ${deadline}. ${text} holds what must be made up. */
static const char *
extension_trouble(struct mf_engine *e, struct mf_now now, const struct mf_job *j, int64_t deadline,
    char text[MF_ERR_MSG_MAX])
{
	int64_t latest = mf_engine_latest_deadline(e, j);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf at;
	mf_buf_init(&at, 64);
	if (j->ended)
		return "the job has ended: an end is final";
	if (j->ending)
		return "the job's end was announced: nothing extends it any more";
	if (deadline <= j->deadline || deadline * 1000000 <= now.wall_us)
		return "that is no later than the deadline it has: to end it sooner use 'mayfly job end'";
	if (deadline <= latest)
		return NULL;
	mf_time_put_s(&at, latest);
	(void)snprintf(text, MF_ERR_MSG_MAX,
	    "profile %.64s lets a job run until %s (its start and max_job): raise max_job in the policy "
	    "first",
	    j->profile, mf_buf_cstr(&at) == NULL ? "then" : (const char *)at.p);
	return text;
}

void
mf_engine_extend(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const Mayfly__Admin__V1__ExtendJobRequest *q = call->extend_job;
	const struct mf_job *j = mf_state_job(e->state, mf_slice_str(q->match));
	const char *why = mf_engine_why_not(e, now);
	char text[MF_ERR_MSG_MAX];
	if (j == NULL) {
		mf_engine_admin_fail(
		    e, call->call_id, MF_E_NOTFOUND, "no such job: see 'mayfly job ls --all'");
		return;
	}
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_UNAVAILABLE, why);
		return;
	}
	if ((q->by_s > 0) == (q->until > 0) || q->by_s < 0 || q->by_s > INT32_MAX || q->until < 0)
		why = "either --by or --until is needed, and a time to come";
	else if (strlen(q->reason) > REASON_MAX || !mf_engine_plain(q->reason))
		why = "the reason is longer than 512 bytes, or holds a control character";
	int64_t before = j->deadline, deadline = q->by_s > 0 ? before + q->by_s : q->until;
	if (why == NULL)
		why = extension_trouble(e, now, j, deadline, text);
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_DENIED, why);
		return;
	}
	struct mf_record r = { .n_set = 0 };
	mf_engine_actor(&r, call);
	mf_record_set_str(&r, MF_RS_CAUSE, "operator");
	mf_record_set_str(&r, MF_RS_REASON, q->reason);
	uint64_t index = mf_engine_set_deadline(e, now, j, deadline, &r);
	if (index == UINT64_MAX) {
		mf_engine_admin_fail(e, call->call_id, MF_E_UNAVAILABLE, "the broker could not record it");
		return;
	}
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__ExtendJobResponse x = MAYFLY__ADMIN__V1__EXTEND_JOB_RESPONSE__INIT;
	char id[MF_STATE_ID_MAX];
	memcpy(id, j->id, sizeof(id));
	x.job_id = id;
	x.deadline = deadline;
	x.stop = mf_job_stop(j);
	x.before = before;
	x.record_index = index;
	reply.call_id = call->call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_EXTENDED;
	reply.extended = &x;
	mf_release_admin(e, now, index, &reply);
}
