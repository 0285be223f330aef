/* Runs: the line of jobs that continue one another. A run outlives its jobs, so that one may come back to it. */
#include <stdlib.h>

#include "broker/core/job_key.h"
#include "broker/core/state_internal.h"

static enum mf_status
no_memory(uint64_t index, struct mf_err *err)
{
	return MF_FAIL(err, MF_E_NOMEM, "log record %llu: out of memory", (unsigned long long)index);
}

void
mf_run_free(struct mf_run *r)
{
	if (r == NULL)
		return;
	free(r->tenant);
	free(r->person);
	free(r->profile);
	free(r->line);
	free(r);
}

const struct mf_run *
mf_state_run(const struct mf_state *st, struct mf_slice id)
{
	struct mf_run *r = NULL;
	HASH_FIND(hh, st->runs, id.p, id.n, r);
	return r;
}

const struct mf_run *
mf_state_run_by_last(const struct mf_state *st, struct mf_slice job)
{
	struct mf_run *r = NULL;
	HASH_FIND(hh_last, st->runs_by_last, job.p, job.n, r);
	return r;
}

const struct mf_run *
mf_state_run_by_line(const struct mf_state *st, struct mf_slice line)
{
	struct mf_run *r = NULL;
	HASH_FIND(hh_line, st->runs_by_line, line.p, line.n, r);
	return r;
}

const struct mf_run *
mf_state_next_run(const struct mf_state *st, const struct mf_run *after)
{
	return after == NULL ? st->runs : after->hh.next;
}

bool
mf_run_is_of(const struct mf_run *r, const char *tenant, const char *person, const char *profile)
{
	return strcmp(r->tenant, tenant) == 0 && strcmp(r->person, person) == 0 &&
	       strcmp(r->profile, profile) == 0;
}

static void
unlink_line(struct mf_state *st, struct mf_run *r)
{
	struct mf_run *there = NULL;
	HASH_FIND(hh_line, st->runs_by_line, r->line, strlen(r->line), there);
	if (there == r && r->line[0] != '\0')
		HASH_DELETE(hh_line, st->runs_by_line, r);
}

static void
forget_run(struct mf_state *st, struct mf_run *r)
{
	mf_list_del(&r->idle);
	HASH_DELETE(hh, st->runs, r);
	HASH_DELETE(hh_last, st->runs_by_last, r);
	unlink_line(st, r);
	mf_run_free(r);
}

/* Takes ${line}. The newest run of a line is the one that a requeue goes on with. */
static bool
set_line(struct mf_state *st, struct mf_run *r, char *line)
{
	struct mf_run *other = NULL;
	if (line == NULL)
		return false;
	if (r->line != NULL)
		unlink_line(st, r);
	free(r->line);
	r->line = line;
	if (line[0] == '\0')
		return true;
	HASH_FIND(hh_line, st->runs_by_line, line, strlen(line), other);
	if (other != NULL)
		HASH_DELETE(hh_line, st->runs_by_line, other);
	HASH_ADD_KEYPTR(hh_line, st->runs_by_line, r->line, strlen(r->line), r);
	return !r->map_oom;
}

static char *
line_of(struct mf_slice key)
{
	struct mf_job_key k;
	return mf_state_dup(mf_job_key_parse(key, &k, NULL) == MF_OK ? k.line : mf_slice(NULL, 0));
}

static bool
set_last(struct mf_state *st, struct mf_run *r, struct mf_slice job)
{
	if (r->last_job[0] != '\0')
		HASH_DELETE(hh_last, st->runs_by_last, r);
	if (!mf_state_copy(r->last_job, sizeof(r->last_job), job))
		return false;
	HASH_ADD_KEYPTR(hh_last, st->runs_by_last, r->last_job, strlen(r->last_job), r);
	return !r->map_oom;
}

static struct mf_run *
add_run(struct mf_state *st, const struct mf_record *rec)
{
	struct mf_run *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	mf_list_init(&r->idle);
	r->tenant = mf_state_dup(rec->s[MF_RS_TENANT]);
	r->person = mf_state_dup(rec->s[MF_RS_PERSON]);
	r->profile = mf_state_dup(rec->s[MF_RS_JOB_PROFILE]);
	if (r->tenant == NULL || r->person == NULL || r->profile == NULL ||
	    !mf_state_copy(r->id, sizeof(r->id), rec->s[MF_RS_JOB_RUN])) {
		mf_run_free(r);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, st->runs, r->id, strlen(r->id), r);
	if (r->map_oom) {
		mf_run_free(r);
		return NULL;
	}
	return r;
}

/* Idle runs stand in the order in which they are forgotten. */
static void
idle(struct mf_state *st, struct mf_run *r)
{
	struct mf_list *at = st->runs_idle.prev;
	mf_list_del(&r->idle);
	if (at == &r->idle) /* it was the tail */
		at = st->runs_idle.prev;
	while (at != &st->runs_idle && MF_LIST_ITEM(at, struct mf_run, idle)->used_us > r->used_us)
		at = at->prev;
	mf_list_add_head(at, &r->idle);
}

static struct mf_run *
find(struct mf_state *st, struct mf_slice id)
{
	struct mf_run *r = NULL;
	HASH_FIND(hh, st->runs, id.p, id.n, r);
	return r;
}

enum mf_status
mf_state_run_begins(struct mf_state *st, uint64_t index, const struct mf_record *rec, struct mf_err *err)
{
	struct mf_run *r = find(st, rec->s[MF_RS_JOB_RUN]);
	bool kept = r != NULL && st->loading; /* run.kept has said what is the latest of it */
	if (r == NULL && (r = add_run(st, rec)) == NULL)
		return no_memory(index, err);
	if (!mf_slice_eq_str(rec->s[MF_RS_TENANT], r->tenant) ||
	    !mf_slice_eq_str(rec->s[MF_RS_PERSON], r->person) ||
	    !mf_slice_eq_str(rec->s[MF_RS_JOB_PROFILE], r->profile))
		return MF_FAIL(err, MF_E_CORRUPT,
		    "log record %llu (job.started): the run is another person's, tenant's or profile's",
		    (unsigned long long)index);
	r->live++;
	mf_list_del(&r->idle);
	if (kept)
		return MF_OK;
	r->index = index;
	r->used_us = rec->ts_us;
	return set_last(st, r, rec->s[MF_RS_JOB_ID]) && set_line(st, r, line_of(rec->s[MF_RS_JOB_KEY]))
		   ? MF_OK
		   : no_memory(index, err);
}

void
mf_state_run_ends(struct mf_state *st, const struct mf_job *j)
{
	struct mf_run *r = find(st, mf_slice_str(j->run));
	if (r == NULL)
		return;
	if (j->ended_us > r->used_us)
		r->used_us = j->ended_us;
	if (--r->live == 0)
		idle(st, r);
}

enum mf_status
mf_state_apply_run(struct mf_state *st, uint64_t index, const struct mf_record *rec, struct mf_err *err)
{
	if (!st->loading || find(st, rec->s[MF_RS_JOB_RUN]) != NULL)
		return MF_FAIL(err, MF_E_CORRUPT,
		    "log record %llu (run.kept): it stands in snapshots only, once",
		    (unsigned long long)index);
	struct mf_run *r = add_run(st, rec);
	if (r == NULL)
		return no_memory(index, err);
	r->index = index;
	r->used_us = rec->ts_us;
	idle(st, r);
	return set_last(st, r, rec->s[MF_RS_JOB_ID]) && set_line(st, r, mf_state_dup(rec->s[MF_RS_JOB_KEY]))
		   ? MF_OK
		   : no_memory(index, err);
}

void
mf_state_forget_runs(struct mf_state *st)
{
	while (!mf_list_empty(&st->runs_idle)) {
		struct mf_run *r = MF_LIST_ITEM(st->runs_idle.next, struct mf_run, idle);
		if (r->used_us >= st->last_us - MF_STATE_RUN_US)
			return;
		forget_run(st, r);
	}
}

void
mf_state_free_runs(struct mf_state *st)
{
	struct mf_run *r, *t;
	HASH_CLEAR(hh_last, st->runs_by_last);
	HASH_CLEAR(hh_line, st->runs_by_line);
	HASH_ITER(hh, st->runs, r, t)
	{
		HASH_DELETE(hh, st->runs, r);
		mf_run_free(r);
	}
}
