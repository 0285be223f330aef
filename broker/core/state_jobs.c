/* What announced ends and moved deadlines do to jobs and their leases. */
#include <stdlib.h>

#include "base/clock.h"

#include "broker/core/state_internal.h"

static enum mf_status
broken(uint64_t index, const struct mf_record *r, const char *why, struct mf_err *err)
{
	return MF_FAIL(err, MF_E_CORRUPT, "log record %llu (%s): %s", (unsigned long long)index,
	    mf_record_type_name(r->type), why);
}

bool
mf_job_has_manager(const struct mf_job *j)
{
	return strncmp(j->key, "local/", 6) != 0;
}

int64_t
mf_job_stop(const struct mf_job *j)
{
	/* Certificates know whole seconds: a drain of half a one is one. */
	return j->ending ? j->until : j->deadline + (j->drain_ms + 999) / 1000;
}

bool
mf_job_declared_deadline(const struct mf_job *j, int64_t *ret_s)
{
	int64_t us;
	for (size_t i = 0; i < j->attributes_n; i++) {
		if (strncmp(j->attributes[i], "deadline=", 9) != 0 ||
		    mf_time_get(mf_slice_str(j->attributes[i] + 9), &us, NULL) != MF_OK)
			continue;
		*ret_s = us / 1000000;
		return true;
	}
	return false;
}

void
mf_state_job_deadline(struct mf_job *j, const struct mf_lease *first)
{
	if (j->deadline != 0)
		return;
	j->drain_ms = first->drain_ms;
	j->deadline = first->deadline - (first->drain_ms + 999) / 1000;
}

/* The leases that are not over: no certificate of theirs outlives ${stop} any more. */
static void
set_stop(struct mf_job *j, int64_t stop)
{
	MF_LIST_EACH(p, &j->leases)
	{
		struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_job);
		if (l->state != MF_LEASE_ENDED)
			l->deadline = stop;
	}
}

static enum mf_status
ending(struct mf_state *st, struct mf_job *j, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	if (j->ending)
		return broken(index, r, "its end was announced before", err);
	j->ending_cause = mf_state_dup(r->s[MF_RS_CAUSE]);
	j->ending_reason = mf_state_dup(r->s[MF_RS_REASON]);
	if (j->ending_cause == NULL || j->ending_reason == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "log record %llu: out of memory", (unsigned long long)index);
	j->ending = true;
	j->ending_us = r->ts_us;
	j->ending_index = index;
	j->until = r->n[MF_RN_UNTIL];
	MF_LIST_EACH(p, &j->leases)
	{
		struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_job);
		if (l->state != MF_LEASE_OPEN)
			continue;
		l->state = mf_lease_next(l->state, MF_LEASE_EV_BEGIN_END);
		l->changed_us = r->ts_us;
		l->changed_index = index;
		st->open--;
	}
	set_stop(j, j->until);
	return MF_OK;
}

enum mf_status
mf_state_apply_job(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	struct mf_job *j = NULL;
	struct mf_slice id = r->s[MF_RS_JOB_ID];
	if (r->type == MF_REC_ADMIN_APPROVED)
		return mf_state_use_nonce(
		    st, index, r, err); /* state_apply.c has no room for a row's function */
	if (r->type == MF_REC_RUN_KEPT)
		return mf_state_apply_run(st, index, r, err);
	if (r->type == MF_REC_MANAGER_STARTED || r->type == MF_REC_MANAGER_ENDED)
		return mf_state_apply_manager(st, index, r, err);
	HASH_FIND(hh, st->jobs, id.p, id.n, j);
	if (j == NULL || (j->ended && !st->loading))
		return broken(index, r, "no such job, or it has ended", err);
	if (r->type == MF_REC_JOB_ENDING)
		return ending(st, j, index, r, err);
	if (j->ending)
		return broken(index, r, "the end was announced: the deadline moves no more", err);
	if ((r->n[MF_RN_DEADLINE] > j->deadline) != (r->type == MF_REC_JOB_EXTENDED))
		return broken(index, r, "it does not say what it does to the deadline", err);
	j->deadline = r->n[MF_RN_DEADLINE];
	set_stop(j, mf_job_stop(j));
	return MF_OK;
}

/*
 * A job whose only record is its start, because a crash came before its lease, and which the next start has ended. Its
 * key must be free again: the same instance asks anew.
 */
void
mf_state_forget_stillborn(struct mf_state *st)
{
	struct mf_job *j, *tmp;
	HASH_ITER(hh, st->jobs, j, tmp)
	{
		if (!j->ended || !mf_list_empty(&j->leases))
			continue;
		HASH_DELETE(hh, st->jobs, j);
		HASH_DELETE(hh_key, st->jobs_by_key, j);
		mf_job_free(j);
	}
}
