/*
 * The end that is announced: what was granted is served and renewed until the drain is over or the last process is
 * gone; nothing new is granted. One record for the whole job, however many nodes it has.
 */
#include <stdio.h>

#include "broker/notary/engine_internal.h"

void
mf_engine_push(struct mf_engine *e, struct mf_now now, const struct mf_lease *l, uint64_t index,
    const Mayfly__Agent__V1__Down *down, enum mf_engine_lane lane)
{
	struct pulse *p = NULL;
	HASH_FIND(hh, e->pulses, l->node->id, strlen(l->node->id), p);
	const struct session *s = p == NULL || p->sid == 0 ? NULL : mf_engine_session(e, p->sid);
	if (s == NULL || s->phase != PHASE_READY) /* the resync tells it */
		return;
	if (index == UINT64_MAX)
		mf_send_down(e, s->sid, down, lane, 0);
	else
		(void)mf_release_down(e, now, index, s->sid, down, lane);
}

static void
tell_ending(struct mf_engine *e, const struct mf_lease *l, int64_t until, const char *cause,
    const char *reason, uint64_t sid)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__LeaseEnding m = MAYFLY__AGENT__V1__LEASE_ENDING__INIT;
	char id[MF_STATE_ID_MAX], text[MF_POLICY_REASON_MAX];
	memcpy(id, l->id, sizeof(id));
	(void)snprintf(text, sizeof(text), "%s", reason);
	text[mf_utf8_cut(mf_slice_str(text), sizeof(text))] = '\0';
	m.lease_id = id;
	m.instance_key = l->key;
	m.until = until;
	m.cause = mf_end_cause_of(cause);
	m.reason = text;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDING;
	down.lease_ending = &m;
	if (sid != 0)
		mf_send_down(e, sid, &down, MF_ENGINE_NORMAL, 0); /* behind the resync's answer */
	else
		mf_engine_push(e, (struct mf_now) { 0, 0 }, l, UINT64_MAX, &down, MF_ENGINE_REMOVAL);
}

void
mf_engine_tell_endings(struct mf_engine *e, const struct session *s)
{
	const struct mf_node *n = mf_state_node(e->state, mf_slice_str(s->node_id));
	MF_LIST_EACH(p, &n->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_node);
		const struct mf_job *j = l->job;
		if (l->state == MF_LEASE_ENDING)
			tell_ending(e, l, j->until, j->ending_cause, j->ending_reason, s->sid);
	}
}

static uint64_t
record_ending(struct mf_engine *e, struct mf_now now, const struct mf_job *j, int64_t until,
    const struct end_reason *why)
{
	struct mf_record r = { .type = MF_REC_JOB_ENDING };
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, why->actor);
	mf_record_set_str(&r, MF_RS_JOB_ID, j->id);
	mf_record_set_str(&r, MF_RS_JOB_KEY, j->key);
	mf_record_set_str(&r, MF_RS_CAUSE, mf_engine_cause_name(why->cause));
	mf_record_set_str(&r, MF_RS_REASON, why->reason);
	mf_record_set_str(&r, MF_RS_TENANT, j->tenant);
	mf_record_set_str(&r, MF_RS_PERSON, j->person);
	mf_record_set_num(&r, MF_RN_UNTIL, until);
	return mf_engine_record(e, now, &r);
}

uint64_t
mf_engine_announce(
    struct mf_engine *e, struct mf_now now, const struct mf_job *j, const struct end_reason *why)
{
	int64_t wall = mf_engine_wall(e, now), until = (wall + j->drain_ms * 1000 + 999999) / 1000000;
	if (j->ended || j->ending)
		return j->ended ? j->ended_index : j->ending_index;
	if (until > mf_job_stop(j))
		until = mf_job_stop(j);
	/* What is suspended holds nothing that could be served, and may not come back. */
	uint64_t index = 0;
	MF_LIST_EACH(p, &j->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_job);
		if (l->state == MF_LEASE_SUSPENDED)
			index = mf_engine_end_lease(e, now, l, why, true);
	}
	if (j->ended)
		return index;
	if (j->live == 0 || j->drain_ms == 0 || until * 1000000 <= wall)
		return mf_engine_end_job(e, now, j, why);
	index = record_ending(e, now, j, until, why);
	if (index == UINT64_MAX)
		return index;
	MF_LIST_EACH(p, &j->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_job);
		if (l->state == MF_LEASE_ENDING)
			tell_ending(e, l, until, mf_engine_cause_name(why->cause), why->reason, 0);
	}
	return index;
}

uint64_t
mf_engine_finish_ending(struct mf_engine *e, struct mf_now now, const struct mf_job *j)
{
	char reason[MF_POLICY_REASON_MAX];
	const struct end_reason why = { mf_end_cause_of(j->ending_cause), reason, 0, "broker" };
	(void)snprintf(reason, sizeof(reason), "%s", j->ending_reason);
	return mf_engine_end_job(e, now, j, &why);
}
