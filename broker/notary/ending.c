/* Everything that takes access away: ends, suspensions, evictions. It never waits for issuance. */
#include <stdio.h>

#include "broker/notary/engine_internal.h"

static const char *const causes[] = {
	[MAYFLY__AGENT__V1__END_CAUSE__END_UNSPECIFIED] = "unspecified",
	[MAYFLY__AGENT__V1__END_CAUSE__END_EMPTY] = "empty",
	[MAYFLY__AGENT__V1__END_CAUSE__END_PROCESS] = "process",
	[MAYFLY__AGENT__V1__END_CAUSE__END_RUNNER] = "runner",
	[MAYFLY__AGENT__V1__END_CAUSE__END_WHILE_AWAY] = "while_away",
	[MAYFLY__AGENT__V1__END_CAUSE__END_REBOOT] = "reboot",
	[MAYFLY__AGENT__V1__END_CAUSE__END_OPERATOR] = "operator",
	[MAYFLY__AGENT__V1__END_CAUSE__END_NODE_EVICTED] = "node_evicted",
	[MAYFLY__AGENT__V1__END_CAUSE__END_DEADLINE] = "deadline",
	[MAYFLY__AGENT__V1__END_CAUSE__END_UNKNOWN_AT_RESYNC] = "unknown_at_resync",
	[MAYFLY__AGENT__V1__END_CAUSE__END_KEPT_NO_MORE] = "kept_no_more",
	[MAYFLY__AGENT__V1__END_CAUSE__END_MANAGER] = "manager",
	[MAYFLY__AGENT__V1__END_CAUSE__END_MANAGER_SILENT] = "manager_silent",
	[MAYFLY__AGENT__V1__END_CAUSE__END_REQUEUED] = "requeued",
	[MAYFLY__AGENT__V1__END_CAUSE__END_OWNER] = "owner",
	[MAYFLY__AGENT__V1__END_CAUSE__END_RESTORED] = MF_CAUSE_RESTORED,
};

const char *
mf_engine_cause_name(Mayfly__Agent__V1__EndCause c)
{
	return (size_t)c < MF_COUNT(causes) ? causes[c] : "unspecified";
}

Mayfly__Agent__V1__EndCause
mf_end_cause_of(const char *name)
{
	for (size_t i = 0; i < MF_COUNT(causes); i++)
		if (strcmp(causes[i], name) == 0)
			return (Mayfly__Agent__V1__EndCause)i;
	return MAYFLY__AGENT__V1__END_CAUSE__END_UNSPECIFIED;
}

/* What it holds that has not expired: it is in the record that ends it. The array is the caller's. */
static struct mf_record_cred *
held(const struct mf_lease *l, int64_t wall_us, size_t *ret_n)
{
	size_t n = 0, i = 0;
	MF_LIST_EACH(p, &l->creds)
	n++;
	MF_LIST_EACH(p, &l->clouds)
	n++;
	struct mf_record_cred *c = calloc(n + 1, sizeof(*c));
	*ret_n = 0;
	if (c == NULL)
		return NULL;
	MF_LIST_EACH(p, &l->clouds)
	{
		const struct mf_cloud_cred *x = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease);
		if (x->ended_us == 0 && x->exp * 1000000 > wall_us && i < MF_ENGINE_LIVE_MAX)
			c[i++] = (struct mf_record_cred) { mf_slice_str(x->id), x->exp };
	}
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *x = MF_LIST_ITEM(p, struct mf_cred, at);
		if (x->exp * 1000000 > wall_us && i < MF_ENGINE_LIVE_MAX)
			c[i++] = (struct mf_record_cred) { mf_slice_str(x->serial), x->exp };
	}
	*ret_n = i;
	return c;
}

static void
tell(struct mf_engine *e, const struct mf_lease *l, const char *reason, Mayfly__Agent__V1__EndCause cause,
    bool suspended)
{
	struct pulse *p = NULL;
	HASH_FIND(hh, e->pulses, l->node->id, strlen(l->node->id), p);
	if (p == NULL || p->sid == 0)
		return;
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__LeaseEnded m = MAYFLY__AGENT__V1__LEASE_ENDED__INIT;
	char id[MF_STATE_ID_MAX], text[MF_POLICY_REASON_MAX];
	memcpy(id, l->id, sizeof(id));
	(void)snprintf(text, sizeof(text), "%s", reason);
	m.lease_id = id;
	m.instance_key = l->key;
	m.cause = cause;
	m.reason = text;
	m.suspended = suspended;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDED;
	down.lease_ended = &m;
	mf_send_down(e, p->sid, &down, MF_ENGINE_REMOVAL, 0);
}

uint64_t
mf_engine_record_job_end(
    struct mf_engine *e, struct mf_now now, const struct mf_job *j, const struct end_reason *why)
{
	struct mf_record r = { .type = MF_REC_JOB_ENDED };
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, why->actor);
	mf_record_set_str(&r, MF_RS_JOB_ID, j->id);
	mf_record_set_str(&r, MF_RS_JOB_KEY, j->key);
	mf_record_set_str(&r, MF_RS_CAUSE, mf_engine_cause_name(why->cause));
	mf_record_set_str(&r, MF_RS_REASON, why->reason);
	mf_record_set_str(&r, MF_RS_TENANT, j->tenant);
	mf_record_set_str(&r, MF_RS_PERSON, j->person);
	return mf_engine_record(e, now, &r);
}

uint64_t
mf_engine_end_lease(struct mf_engine *e, struct mf_now now, const struct mf_lease *l,
    const struct end_reason *why, bool tell_node)
{
	if (l->state == MF_LEASE_ENDED)
		return l->changed_index;
	size_t n;
	struct mf_record_cred *creds = held(l, mf_engine_wall(e, now), &n);
	struct mf_record r = { .type = MF_REC_LEASE_ENDED };
	const struct mf_job *j = l->job;
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, why->actor);
	mf_record_set_str(&r, MF_RS_LEASE, l->id);
	mf_record_set_str(&r, MF_RS_JOB_ID, j->id);
	mf_record_set_str(&r, MF_RS_NODE_ID, l->node->id);
	mf_record_set_str(&r, MF_RS_INSTANCE_KEY, l->key);
	mf_record_set_str(&r, MF_RS_CAUSE, mf_engine_cause_name(why->cause));
	mf_record_set_str(&r, MF_RS_REASON, why->reason);
	mf_record_set_str(&r, MF_RS_TENANT, j->tenant);
	mf_record_set_str(&r, MF_RS_PERSON, j->person);
	mf_record_set_str(&r, MF_RS_GRADE, l->grade);
	mf_record_set_num(&r, MF_RN_EPOCH, l->epoch);
	if (why->detected_us > 0)
		mf_record_set_num(&r, MF_RN_DETECTED_US, why->detected_us);
	r.creds = creds;
	r.creds_n = n;
	if (tell_node)
		tell(e, l, why->reason, why->cause, false);
	uint64_t index = mf_engine_record(e, now, &r);
	free(creds);
	if (index == UINT64_MAX)
		return index;
	e->count.ended++;
	/* A local job ends with its instance; one that waits does not, unless its end was announced. */
	if (j->live == 0 && !j->ended && j->ending && strcmp(why->actor, "agent") == 0)
		index = mf_engine_finish_ending(e, now, j);
	else if (j->live == 0 && !j->ended && (j->ending || !mf_job_waits(j)))
		index = mf_engine_record_job_end(e, now, j, why);
	return index;
}

uint64_t
mf_engine_end_job(
    struct mf_engine *e, struct mf_now now, const struct mf_job *j, const struct end_reason *why)
{
	uint64_t index = j->ended_index;
	MF_LIST_EACH(p, &j->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_job);
		if (l->state != MF_LEASE_ENDED)
			index = mf_engine_end_lease(e, now, l, why, true);
	}
	if (!j->ended)
		index = mf_engine_record_job_end(e, now, j, why);
	return index;
}

void
mf_engine_suspend_node(struct mf_engine *e, struct mf_now now, const struct mf_node *n)
{
	static const char reason[] = "its node was silent for longer than the lease's TTL";
	MF_LIST_EACH(p, &n->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_node);
		const struct end_reason why = { MAYFLY__AGENT__V1__END_CAUSE__END_KEPT_NO_MORE, reason, 0,
			"broker" };
		if (l->state == MF_LEASE_ENDING)
			(void)mf_engine_end_lease(e, now, l, &why, true);
		if (l->state != MF_LEASE_OPEN)
			continue;
		size_t count;
		struct mf_record_cred *creds = held(l, mf_engine_wall(e, now), &count);
		struct mf_record r = { .type = MF_REC_LEASE_SUSPENDED };
		mf_record_set_str(&r, MF_RS_LEASE, l->id);
		mf_record_set_str(&r, MF_RS_JOB_ID, l->job->id);
		mf_record_set_str(&r, MF_RS_NODE_ID, n->id);
		mf_record_set_str(&r, MF_RS_CAUSE, "silence");
		mf_record_set_str(&r, MF_RS_REASON, reason);
		mf_record_set_str(&r, MF_RS_TENANT, l->job->tenant);
		mf_record_set_str(&r, MF_RS_PERSON, l->job->person);
		mf_record_set_str(&r, MF_RS_GRADE, l->grade);
		mf_record_set_num(&r, MF_RN_EPOCH, l->epoch);
		r.creds = creds;
		r.creds_n = count;
		tell(e, l, reason, MAYFLY__AGENT__V1__END_CAUSE__END_UNSPECIFIED, true);
		(void)mf_engine_record(e, now, &r);
		free(creds);
		e->count.suspended++;
	}
}

bool
mf_session_is_gone(const struct session *s, const char *key)
{
	struct gone_key *g = NULL;
	HASH_FIND(hh, s->gone, key, strlen(key), g);
	return g != NULL;
}

void
mf_session_forget_gone(struct session *s)
{
	struct gone_key *g, *t;
	HASH_ITER(hh, s->gone, g, t)
	{
		HASH_DELETE(hh, s->gone, g);
		free(g->key);
		free(g);
	}
}

/* True when the key is remembered; when not, the agent is not told that its end counts. */
static bool
remember_gone(struct session *s, const char *key)
{
	if (mf_session_is_gone(s, key))
		return true;
	if (HASH_COUNT(s->gone) >= MF_LIM_NODE_INSTANCES) {
		struct gone_key *oldest = s->gone;
		HASH_DELETE(hh, s->gone, oldest);
		free(oldest->key);
		free(oldest);
	}
	struct gone_key *g = calloc(1, sizeof(*g));
	if (g == NULL || (g->key = strdup(key)) == NULL) {
		free(g);
		return false;
	}
	HASH_ADD_KEYPTR(hh, s->gone, g->key, strlen(g->key), g);
	if (!g->map_oom)
		return true;
	free(g->key);
	free(g);
	return false;
}

/* An agent's statement. Ended or unknown already: recorded, so that the agent may forget it. */
void
mf_engine_end(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__End *end)
{
	const struct mf_lease *l = mf_state_lease_by_key(e->state, mf_slice_str(end->instance_key));
	struct end_reason why = { end->cause, "", end->detected_us, "agent" };
	uint64_t index = 0;
	if (end->cause > MAYFLY__AGENT__V1__END_CAUSE__END_REBOOT)
		why.cause =
		    MAYFLY__AGENT__V1__END_CAUSE__END_UNSPECIFIED; /* the others are the broker's to say */
	if (l != NULL && strcmp(l->node->id, s->node_id) == 0)
		index = mf_engine_end_lease(e, now, l, &why, false);
	else if (mf_engine_own_key(s, end->instance_key) && !remember_gone(s, end->instance_key))
		return; /* out of memory: it will be said again */
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__EndAnswer answer = MAYFLY__AGENT__V1__END_ANSWER__INIT;
	answer.instance_key = end->instance_key;
	answer.recorded = true;
	down.request_id = request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_END_ANSWER;
	down.end_answer = &answer;
	if (index == UINT64_MAX)
		return; /* broken: the agent keeps it and says it again */
	(void)mf_release_down(e, now, index, s->sid, &down, MF_ENGINE_REMOVAL);
	mf_release_due(e, now);
}

static uint64_t
end_leases_of(
    struct mf_engine *e, struct mf_now now, const struct mf_node *n, const char *actor, uint64_t index)
{
	const struct end_reason why = { MAYFLY__AGENT__V1__END_CAUSE__END_NODE_EVICTED,
		"its node was evicted", 0, actor };
	MF_LIST_EACH(p, &n->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_node);
		if (l->state != MF_LEASE_ENDED)
			index = mf_engine_end_lease(e, now, l, &why, true);
	}
	return index;
}

uint64_t
mf_engine_evict(
    struct mf_engine *e, struct mf_now now, const struct mf_node *n, const char *reason, const char *actor)
{
	uint64_t index = n->evicted_index;
	if (!n->evicted) {
		struct mf_record r = { .type = MF_REC_NODE_EVICTED };
		mf_record_set_str(&r, MF_RS_NODE_ID, n->id);
		mf_record_set_str(&r, MF_RS_ACTOR_KIND, actor);
		mf_record_set_str(&r, MF_RS_REASON, reason);
		index = mf_engine_record(e, now, &r);
	}
	index = end_leases_of(e, now, n, actor, index);
	struct pulse *p = NULL;
	HASH_FIND(hh, e->pulses, n->id, strlen(n->id), p);
	struct session *s = p == NULL || p->sid == 0 ? NULL : mf_engine_session(e, p->sid);
	if (s != NULL) {
		mf_send_refusal(e, s->sid, 0, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_NODE_EVICTED,
		    "this node was evicted: an operator may let it in again by 'mayfly node readmit'", NULL);
		s->phase = PHASE_CLOSED; /* nothing that waits for the log leaves any more */
		e->ops->close(e->ctx, s->sid, "node evicted");
	}
	if (p != NULL)
		p->sid = 0;
	if (e->ops->node_out != NULL)
		e->ops->node_out(e->ctx, n->id);
	return index;
}

void
mf_engine_finish_cut(struct mf_engine *e, struct mf_now now)
{
	const struct end_reason why = { MAYFLY__AGENT__V1__END_CAUSE__END_UNSPECIFIED,
		"the broker stopped while this was recorded", 0, "broker" };
	for (const struct mf_node *n = mf_state_next_node(e->state, NULL); n != NULL;
	     n = mf_state_next_node(e->state, n))
		if (n->evicted && n->live > 0)
			(void)end_leases_of(e, now, n, "broker", 0);
	for (const struct mf_job *j = mf_state_next_job(e->state, NULL); j != NULL;
	     j = mf_state_next_job(e->state, j))
		if (!j->ended && j->live == 0 && (j->ending || !mf_job_waits(j)))
			(void)mf_engine_record_job_end(e, now, j, &why);
}
