/* What is due by itself: deadlines, ends of drains, silence of managers and of nodes. Two heaps; nothing is scanned. */
#include <stdio.h>

#include "broker/notary/engine_internal.h"

static void
no_memory(struct mf_engine *e)
{
	mf_engine_break(e, "out of memory for a timer");
}

/* ---- jobs ---- */

/* The next moment at which ${j} changes by itself, microseconds of the wall clock; false: never. */
static bool
job_due(const struct mf_engine *e, const struct mf_job *j, int64_t *ret_us)
{
	if (j->ended || (j->deadline == 0 && !j->ending))
		return false; /* without a deadline only between job.started and the first lease of an old log */
	*ret_us = (j->ending ? j->until : j->deadline) * 1000000;
	if (j->empty_us == 0 || !mf_job_waits(j))
		return true;
	int64_t patience = j->empty_us + (int64_t)e->conf.manager_wait_ms * 1000;
	if (patience < *ret_us)
		*ret_us = patience;
	return true;
}

static void
drop_job_timer(struct mf_engine *e, struct job_timer *t)
{
	mf_heap_del(&e->jobs_due, &t->at);
	HASH_DELETE(hh, e->job_timers, t);
	free(t);
}

static void
set_job_timer(struct mf_engine *e, const struct mf_job *j)
{
	struct job_timer *t = NULL;
	int64_t due;
	HASH_FIND(hh, e->job_timers, j->id, strlen(j->id), t);
	if (!job_due(e, j, &due)) {
		if (t != NULL)
			drop_job_timer(e, t);
		return;
	}
	if (t == NULL) {
		t = calloc(1, sizeof(*t));
		if (t == NULL) {
			no_memory(e);
			return;
		}
		memcpy(t->job, j->id, sizeof(t->job));
		HASH_ADD_KEYPTR(hh, e->job_timers, t->job, strlen(t->job), t);
		if (t->map_oom) {
			free(t);
			no_memory(e);
			return;
		}
	}
	if (!mf_heap_set(&e->jobs_due, &t->at, due))
		no_memory(e);
}

static void
job_is_due(struct mf_engine *e, struct mf_now now, const struct mf_job *j)
{
	const struct end_reason late = { MAYFLY__AGENT__V1__END_CAUSE__END_DEADLINE,
		"the job's deadline has passed", 0, "broker" };
	const struct end_reason silent = { MAYFLY__AGENT__V1__END_CAUSE__END_MANAGER_SILENT,
		"all its instances had ended, and its manager did not say that it goes on", 0, "broker" };
	const struct end_reason lost = { MAYFLY__AGENT__V1__END_CAUSE__END_RESTORED,
		"the broker was restored from a backup, and none of its instances came back", 0, "broker" };
	if (j->ending)
		(void)mf_engine_finish_ending(e, now, j);
	else if (now.wall_us >= j->deadline * 1000000)
		(void)mf_engine_announce(e, now, j, &late);
	else
		(void)mf_engine_end_job(e, now, j, j->voided ? &lost : &silent);
}

static void
run_jobs(struct mf_engine *e, struct mf_now now)
{
	for (struct mf_heap_node *n; !e->broken && (n = mf_heap_first(&e->jobs_due)) != NULL;) {
		struct job_timer *t = MF_HEAP_ITEM(n, struct job_timer, at);
		const struct mf_job *j = mf_state_job(e->state, mf_slice_str(t->job));
		if (n->key > now.wall_us)
			return;
		if (j == NULL || j->ended)
			drop_job_timer(e, t);
		else
			job_is_due(e, now, j); /* its record sets the timer anew */
	}
}

/* ---- nodes: silent for longer than the TTL, and their leases are suspended ---- */

static void
set_node_timer(struct mf_engine *e, const char *node_id)
{
	struct pulse *p = mf_engine_pulse(e, node_id);
	if (p == NULL || (p->silent.place == 0 && !mf_heap_set(&e->nodes_due, &p->silent,
						      (int64_t)(p->heard_ms + e->conf.lease_ttl_ms))))
		no_memory(e);
}

/* A timer is not moved at each word of the node, but when it runs out. */
static void
run_nodes(struct mf_engine *e, struct mf_now now)
{
	for (struct mf_heap_node *n; !e->broken && (n = mf_heap_first(&e->nodes_due)) != NULL;) {
		struct pulse *p = MF_HEAP_ITEM(n, struct pulse, silent);
		const struct mf_node *node = mf_state_node(e->state, mf_slice_str(p->node_id));
		if (n->key >= (int64_t)now.mono_ms)
			return;
		int64_t due = (int64_t)(p->heard_ms + e->conf.lease_ttl_ms);
		if (node != NULL && node->live > 0 && due >= (int64_t)now.mono_ms) {
			if (!mf_heap_set(&e->nodes_due, n, due))
				no_memory(e);
			continue;
		}
		mf_heap_del(&e->nodes_due, n); /* the next lease that it opens or resumes sets it again */
		if (node != NULL && node->live > 0)
			mf_engine_suspend_node(e, now, node);
	}
}

/* ---- both ---- */

void
mf_engine_timers_start(struct mf_engine *e, struct mf_now now)
{
	MF_UNUSED(now);
	for (const struct mf_job *j = mf_state_next_job(e->state, NULL); j != NULL;
	     j = mf_state_next_job(e->state, j))
		set_job_timer(e, j);
	for (const struct mf_node *n = mf_state_next_node(e->state, NULL); n != NULL;
	     n = mf_state_next_node(e->state, n))
		if (n->live > 0)
			set_node_timer(e, n->id);
}

void
mf_engine_timers_after(struct mf_engine *e, const struct mf_record *r)
{
	switch (r->type) {
	case MF_REC_LEASE_OPENED:
	case MF_REC_LEASE_RESUMED:
	case MF_REC_LEASE_ENDED:
	case MF_REC_JOB_STARTED:
	case MF_REC_JOB_ENDED:
	case MF_REC_JOB_ENDING:
	case MF_REC_JOB_EXTENDED:
	case MF_REC_JOB_SHORTENED:
		break;
	default:
		return;
	}
	const struct mf_job *j = mf_state_job(e->state, r->s[MF_RS_JOB_ID]);
	if (j != NULL)
		set_job_timer(e, j);
	const struct mf_node *n = mf_state_node(e->state, r->s[MF_RS_NODE_ID]);
	if (n != NULL && (r->type == MF_REC_LEASE_OPENED || r->type == MF_REC_LEASE_RESUMED))
		set_node_timer(e, n->id);
}

void
mf_engine_timers_run(struct mf_engine *e, struct mf_now now)
{
	run_nodes(e, now);
	if (mf_engine_clock_believed(e, now))
		run_jobs(e, now);
}

void
mf_engine_timers_fini(struct mf_engine *e)
{
	struct job_timer *t, *tmp;
	mf_heap_fini(&e->jobs_due);
	mf_heap_fini(&e->nodes_due);
	HASH_ITER(hh, e->job_timers, t, tmp)
	{
		HASH_DELETE(hh, e->job_timers, t);
		free(t);
	}
}
