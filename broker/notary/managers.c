/*
 * A manager's word (Slurm, Kubernetes): owner, deadline, nodes, end. It comes as a statement of an attestor whose node
 * speaks for that manager, never through the front; what it takes away never waits.
 */
#include <stdio.h>

#include "broker/core/job_key.h"
#include "broker/notary/engine_internal.h"

#define REFUSED_PER_MINUTE 20u
#define REASON_MAX 512u
#define REFUSED(x) MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_##x

static void
refuse(struct mf_engine *e, const struct session *s, uint64_t request_id, Mayfly__Agent__V1__RefusalCode code,
    const char *why)
{
	mf_send_refusal(e, s->sid, request_id, code, why, NULL);
}

/* A node that speaks for a manager it was not given is either misconfigured or stolen: on record, a few each minute. */
static void
not_a_speaker(struct mf_engine *e, struct mf_now now, const struct session *s, uint64_t request_id)
{
	static const char why[] =
	    "this node does not speak for that manager: its attribute node.manager must name "
	    "it, e.g. slurm/c1 (mayfly node token --attribute manager=slurm/c1)";
	struct pulse *p = mf_engine_pulse(e, s->node_id);
	refuse(e, s, request_id, REFUSED(DENIED), why);
	if (p == NULL || mf_engine_why_not(e, now) != NULL ||
	    !mf_bucket_take(&p->refused, now, REFUSED_PER_MINUTE))
		return;
	struct mf_record r = { .type = MF_REC_NODE_REFUSED };
	mf_record_set_str(&r, MF_RS_NODE_ID, s->node_id);
	mf_record_set_str(&r, MF_RS_REASON, why);
	(void)mf_engine_record(e, now, &r);
}

static bool
speaks(const struct mf_engine *e, const struct session *s, const struct mf_job_key *k)
{
	const struct mf_node *n = mf_state_node(e->state, mf_slice_str(s->node_id));
	for (size_t i = 0; n != NULL && i < n->attributes_n; i++)
		if (strncmp(n->attributes[i], "manager=", 8) == 0 &&
		    mf_slice_eq_str(k->speaker, n->attributes[i] + 8))
			return true;
	return false;
}

/* False: answered. */
static bool
may_speak(
    struct mf_engine *e, struct mf_now now, const struct session *s, uint64_t request_id, const char *key)
{
	struct mf_job_key k;
	struct mf_err err = { 0 };
	if (mf_job_key_parse(mf_slice_str(key), &k, &err) != MF_OK) {
		refuse(e, s, request_id, REFUSED(INVALID), err.msg);
		return false;
	}
	if (speaks(e, s, &k))
		return true;
	not_a_speaker(e, now, s, request_id);
	return false;
}

static void
answer(struct mf_engine *e, struct mf_now now, const struct session *s, uint64_t request_id, char *key,
    uint64_t index)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__ManagerAnswer m = MAYFLY__AGENT__V1__MANAGER_ANSWER__INIT;
	const struct mf_job *j = mf_state_job_by_key(e->state, mf_slice_str(key));
	char id[MF_STATE_ID_MAX] = "";
	if (j != NULL)
		memcpy(id, j->id, sizeof(id));
	m.job_key = key;
	m.job_id = id;
	down.request_id = request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_MANAGER_ANSWER;
	down.manager_answer = &m;
	if (index == UINT64_MAX)
		return; /* broken, or no room: it is said again */
	(void)mf_release_down(e, now, index, s->sid, &down, MF_ENGINE_REMOVAL);
	mf_release_due(e, now);
}

/* ---- it runs ---- */

static bool
same_word(const struct mf_managed *m, const Mayfly__Agent__V1__ManagerStarted *w)
{
	if (m == NULL || m->over || m->owner_known != (bool)w->owner_known || m->deadline != w->deadline ||
	    (m->owner_known && m->owner != w->owner_uid) || m->nodes_n != w->n_nodes)
		return false;
	for (size_t i = 0; i < m->nodes_n; i++)
		if (strcmp(m->nodes[i], w->nodes[i]) != 0)
			return false;
	return true;
}

static const char *
word_trouble(const Mayfly__Agent__V1__ManagerStarted *w)
{
	size_t all = 0;
	if (w->n_nodes > MF_LIM_JOB_INSTANCES)
		return "more nodes than a job may have instances";
	for (size_t i = 0; i < w->n_nodes; i++) {
		size_t n = strlen(w->nodes[i]);
		if (n == 0 || n >= MF_STATE_ID_MAX || !mf_engine_plain(w->nodes[i]))
			return "a node's name is empty, longer than 71 bytes or holds a control character";
		all += mf_engine_text_cost(mf_slice_str(w->nodes[i]));
	}
	/* Names of a 4,096-node job are more than one record: then policy alone says which nodes may claim it. */
	if (all > MF_LIM_RECORD - 4096u)
		return "the nodes' names are more than a record holds (28 KiB): name none";
	return w->deadline < 0 || w->deadline > INT64_MAX / 1000000 ? "the deadline is no time" : NULL;
}

static uint64_t
record_word(struct mf_engine *e, struct mf_now now, const struct session *s,
    const Mayfly__Agent__V1__ManagerStarted *w)
{
	struct mf_record r = { .type = MF_REC_MANAGER_STARTED };
	struct mf_slice *nodes = calloc(w->n_nodes + 1, sizeof(*nodes));
	if (nodes == NULL)
		return UINT64_MAX;
	for (size_t i = 0; i < w->n_nodes; i++)
		nodes[i] = mf_slice_str(w->nodes[i]);
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "manager");
	mf_record_set_str(&r, MF_RS_JOB_KEY, w->job_key);
	mf_record_set_str(&r, MF_RS_NODE_ID, s->node_id);
	if (w->owner_known)
		mf_record_set_num(&r, MF_RN_OWNER, w->owner_uid);
	if (w->deadline != 0)
		mf_record_set_num(&r, MF_RN_DEADLINE, w->deadline);
	r.attributes = nodes;
	r.attributes_n = w->n_nodes;
	uint64_t index = mf_engine_record(e, now, &r);
	free(nodes);
	return index;
}

/* min(the manager's, the manifest's, what the profile allows). */
static int64_t
deadline_by(const struct mf_engine *e, const struct mf_job *j, int64_t word)
{
	int64_t latest = mf_engine_latest_deadline(e, j), declared;
	if (mf_job_declared_deadline(j, &declared) && declared < latest)
		latest = declared;
	return word != 0 && word < latest ? word : latest;
}

static uint64_t
move_deadline(struct mf_engine *e, struct mf_now now, const struct mf_job *j, int64_t word)
{
	struct mf_record r = { .n_set = 0 };
	int64_t want = deadline_by(e, j, word);
	if (j->ended || j->ending || want == j->deadline)
		return j->index;
	if (want > j->deadline && mf_engine_why_not(e, now) != NULL)
		return UINT64_MAX;
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "manager");
	mf_record_set_str(&r, MF_RS_CAUSE, "manager");
	return mf_engine_set_deadline(e, now, j, want, &r);
}

static bool
is_of(const struct mf_lease *l, uint32_t uid)
{
	char want[32];
	(void)snprintf(want, sizeof(want), "unix.uid:%u", uid);
	bool says = false;
	for (size_t i = 0; i < l->selectors_n; i++) {
		if (strcmp(l->selectors[i], want) == 0)
			return true;
		says |= strncmp(l->selectors[i], "unix.uid:", 9) == 0;
	}
	return !says;
}

/* Who attached before the word came, and is not the owner, has nothing to look for here. */
static void
end_strangers(struct mf_engine *e, struct mf_now now, const struct mf_job *j, uint32_t owner)
{
	const struct end_reason why = { MAYFLY__AGENT__V1__END_CAUSE__END_OWNER,
		"the job's manager names another owner", 0, "manager" };
	MF_LIST_EACH(p, &j->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_job);
		if (l->state != MF_LEASE_ENDED && !is_of(l, owner))
			(void)mf_engine_end_lease(e, now, l, &why, true);
	}
}

void
mf_engine_manager_started(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__ManagerStarted *w)
{
	if (!may_speak(e, now, s, request_id, w->job_key))
		return;
	const struct mf_job *j = mf_state_job_by_key(e->state, mf_slice_str(w->job_key));
	const struct mf_managed *m = mf_state_managed(e->state, mf_slice_str(w->job_key));
	const char *why = word_trouble(w);
	if (why != NULL || (j != NULL && j->ended) || (m != NULL && m->over)) {
		refuse(e, s, request_id, why != NULL ? REFUSED(INVALID) : REFUSED(ENDED),
		    why != NULL ? why : "that job is over: an end is final");
		return;
	}
	if (same_word(m, w)) {
		answer(e, now, s, request_id, w->job_key, m->index);
		return;
	}
	/* What the word takes away comes first: it does not wait for room in the log. */
	if (j != NULL && w->owner_known)
		end_strangers(e, now, j, w->owner_uid);
	if (j != NULL && !j->ended && deadline_by(e, j, w->deadline) < j->deadline)
		(void)move_deadline(e, now, j, w->deadline);
	why = mf_engine_why_not(e, now);
	if (why == NULL && m == NULL && mf_state_managed_count(e->state) >= MF_LIM_MANAGED)
		why = "there are as many jobs of managers that nobody attached to as the broker keeps";
	if (why != NULL) {
		refuse(e, s, request_id, REFUSED(UNAVAILABLE), why);
		return;
	}
	uint64_t index = record_word(e, now, s, w);
	if (index != UINT64_MAX && j != NULL)
		(void)move_deadline(e, now, j, w->deadline);
	answer(e, now, s, request_id, w->job_key, index);
}

/* ---- it ends ---- */

static uint64_t
record_unseen_end(struct mf_engine *e, struct mf_now now, const struct session *s,
    const Mayfly__Agent__V1__ManagerEnd *w, const char *cause)
{
	const struct mf_managed *m = mf_state_managed(e->state, mf_slice_str(w->job_key));
	if (m != NULL && m->over)
		return m->index;
	struct mf_record r = { .type = MF_REC_MANAGER_ENDED };
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "manager");
	mf_record_set_str(&r, MF_RS_JOB_KEY, w->job_key);
	mf_record_set_str(&r, MF_RS_NODE_ID, s->node_id);
	mf_record_set_str(&r, MF_RS_CAUSE, cause);
	mf_record_set_str(&r, MF_RS_REASON, w->reason);
	return mf_engine_record(e, now, &r);
}

void
mf_engine_manager_end(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__ManagerEnd *w)
{
	if (!may_speak(e, now, s, request_id, w->job_key))
		return;
	bool announced = w->kind == MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_ANNOUNCED;
	bool requeued = w->kind == MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_REQUEUED;
	if ((!announced && !requeued && w->kind != MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_FINAL) ||
	    strlen(w->reason) > REASON_MAX || !mf_engine_plain(w->reason)) {
		refuse(e, s, request_id, REFUSED(INVALID),
		    "an end is announced, final or requeued; its reason has at most 512 bytes, no control "
		    "characters");
		return;
	}
	const struct end_reason why = { requeued ? MAYFLY__AGENT__V1__END_CAUSE__END_REQUEUED
						 : MAYFLY__AGENT__V1__END_CAUSE__END_MANAGER,
		w->reason, 0, "manager" };
	const struct mf_job *j = mf_state_job_by_key(e->state, mf_slice_str(w->job_key));
	uint64_t index;
	if (j == NULL)
		index = record_unseen_end(
		    e, now, s, w, announced ? "announced" : mf_engine_cause_name(why.cause));
	else if (announced)
		index = mf_engine_announce(e, now, j, &why);
	else
		index = j->ended ? j->ended_index : mf_engine_end_job(e, now, j, &why);
	answer(e, now, s, request_id, w->job_key, index);
}
