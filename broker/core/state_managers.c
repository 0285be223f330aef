/* What managers said of jobs, beside what became of the jobs themselves. */
#include <stdlib.h>

#include "broker/core/state_internal.h"

/* A word of a job that never came is kept so long; then policy alone decides on it. */
#define WAITING_US (INT64_C(7) * 86400 * 1000000)

static enum mf_status
broken(uint64_t index, const struct mf_record *r, const char *why, struct mf_err *err)
{
	return MF_FAIL(err, MF_E_CORRUPT, "log record %llu (%s): %s", (unsigned long long)index,
	    mf_record_type_name(r->type), why);
}

void
mf_managed_free(struct mf_managed *m)
{
	if (m == NULL)
		return;
	mf_state_free_list(m->nodes, m->nodes_n);
	free(m->key);
	free(m->by);
	free(m->cause);
	free(m);
}

void
mf_state_forget_managed(struct mf_state *st, struct mf_managed *m)
{
	if (m == NULL)
		return;
	if (m->over)
		st->managed_over_n--;
	mf_list_del(&m->at);
	HASH_DELETE(hh, st->managed, m);
	mf_managed_free(m);
}

const struct mf_managed *
mf_state_managed(const struct mf_state *st, struct mf_slice key)
{
	struct mf_managed *m = NULL;
	HASH_FIND(hh, st->managed, key.p, key.n, m);
	return m;
}

size_t
mf_state_managed_count(const struct mf_state *st)
{
	return HASH_COUNT(st->managed);
}

const struct mf_managed *
mf_state_next_managed(const struct mf_state *st, const struct mf_managed *after)
{
	return after == NULL ? st->managed : after->hh.next;
}

static struct mf_managed *
find_or_add(struct mf_state *st, struct mf_slice key)
{
	struct mf_managed *m = NULL;
	HASH_FIND(hh, st->managed, key.p, key.n, m);
	if (m != NULL)
		return m;
	m = calloc(1, sizeof(*m));
	if (m == NULL || (m->key = mf_state_dup(key)) == NULL) {
		free(m);
		return NULL;
	}
	mf_list_init(&m->at);
	HASH_ADD_KEYPTR(hh, st->managed, m->key, strlen(m->key), m);
	if (m->map_oom) {
		mf_managed_free(m);
		return NULL;
	}
	mf_list_add_tail(&st->managed_waiting, &m->at);
	return m;
}

static enum mf_status
no_memory(uint64_t index, struct mf_err *err)
{
	return MF_FAIL(err, MF_E_NOMEM, "log record %llu: out of memory", (unsigned long long)index);
}

static enum mf_status
started(
    struct mf_state *st, struct mf_managed *m, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	char **nodes = mf_state_dup_list(r->attributes, r->attributes_n),
	     *by = mf_state_dup(r->s[MF_RS_NODE_ID]);
	if (nodes == NULL || by == NULL) {
		mf_state_free_list(nodes, r->attributes_n);
		free(by);
		return no_memory(index, err);
	}
	MF_UNUSED(st);
	mf_state_free_list(m->nodes, m->nodes_n);
	free(m->by);
	m->nodes = nodes;
	m->nodes_n = r->attributes_n;
	m->by = by;
	m->owner_known = mf_record_has_num(r, MF_RN_OWNER);
	m->owner = m->owner_known ? (uint32_t)r->n[MF_RN_OWNER] : 0;
	m->deadline = r->n[MF_RN_DEADLINE];
	return MF_OK;
}

static enum mf_status
over(struct mf_state *st, struct mf_managed *m, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	char *cause = mf_state_dup(r->s[MF_RS_CAUSE]), *by = mf_state_dup(r->s[MF_RS_NODE_ID]);
	if (cause == NULL || by == NULL) {
		free(cause);
		free(by);
		return no_memory(index, err);
	}
	free(m->cause);
	free(m->by);
	m->cause = cause;
	m->by = by;
	mf_list_del(&m->at);
	mf_list_add_tail(&st->managed_over, &m->at);
	if (!m->over)
		st->managed_over_n++;
	m->over = true;
	/* Of ends of jobs that nobody ever saw, the oldest goes first: they cost memory and protect nothing that ran. */
	if (!st->loading && st->managed_over_n > MF_LIM_MANAGED)
		mf_state_forget_managed(st, MF_LIST_ITEM(st->managed_over.next, struct mf_managed, at));
	return MF_OK;
}

enum mf_status
mf_state_apply_manager(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	bool ends = r->type == MF_REC_MANAGER_ENDED;
	const struct mf_job *j = mf_state_job_by_key(st, r->s[MF_RS_JOB_KEY]);
	struct mf_managed *m = find_or_add(st, r->s[MF_RS_JOB_KEY]);
	if (m == NULL)
		return no_memory(index, err);
	if (j != NULL && (ends || j->ended) && !st->loading)
		return broken(
		    index, r, ends ? "the job is there: its own records end it" : "the job has ended", err);
	if (m->over && !ends && !st->loading)
		return broken(index, r, "its manager said that it is over", err);
	m->index = index;
	m->said_us = r->ts_us;
	if (ends)
		return over(st, m, index, r, err);
	if (j == NULL) { /* said again: it waits anew */
		mf_list_del(&m->at);
		mf_list_add_tail(&st->managed_waiting, &m->at);
	}
	return started(st, m, index, r, err);
}

/* Its job is here: the word lives as long as the job. False when it may not begin. */
bool
mf_state_managed_begins(struct mf_state *st, const struct mf_job *j)
{
	struct mf_managed *m = NULL;
	HASH_FIND(hh, st->managed, j->key, strlen(j->key), m);
	if (m == NULL)
		return true;
	mf_list_del(&m->at);
	return !m->over;
}

void
mf_state_managed_ends(struct mf_state *st, const struct mf_job *j)
{
	struct mf_managed *m = NULL;
	HASH_FIND(hh, st->managed, j->key, strlen(j->key), m);
	mf_state_forget_managed(st, m);
}

static void
forget_before(struct mf_state *st, struct mf_list *list, int64_t us)
{
	while (!mf_list_empty(list)) {
		struct mf_managed *m = MF_LIST_ITEM(list->next, struct mf_managed, at);
		if (m->said_us >= us)
			return;
		mf_state_forget_managed(st, m);
	}
}

void
mf_state_forget_old_managed(struct mf_state *st)
{
	forget_before(st, &st->managed_over, st->last_us - MF_STATE_TOMBSTONE_US);
	forget_before(st, &st->managed_waiting, st->last_us - WAITING_US);
}

void
mf_state_free_managed(struct mf_state *st)
{
	struct mf_managed *m, *t;
	HASH_ITER(hh, st->managed, m, t)
	{
		HASH_DELETE(hh, st->managed, m);
		mf_managed_free(m);
	}
}
