/* A broker that was restored from a backup: what its log.restored does to the tables. */
#include <stdlib.h>

#include "broker/core/state_internal.h"

uint64_t
mf_state_restored(const struct mf_state *st, bool *ret_tail_missing)
{
	if (ret_tail_missing != NULL)
		*ret_tail_missing = st->tail_missing;
	return st->restored;
}

bool
mf_job_waits(const struct mf_job *j)
{
	return j->voided || mf_job_has_manager(j);
}

void
mf_state_free_instance(struct mf_state *st, struct mf_lease *l)
{
	/* A snapshot tells of the lease that came after before it tells of this one's end. */
	if (mf_state_lease_by_key(st, mf_slice_str(l->key)) == l)
		HASH_DELETE(hh_key, st->leases_by_key, l);
}

/* The lost records may have spent them. */
static void
drop_tokens(struct mf_state *st)
{
	struct mf_token *t, *tmp;
	HASH_ITER(hh, st->tokens, t, tmp)
	{
		HASH_DELETE(hh, st->tokens, t);
		mf_token_free(t);
	}
}

/* Keys signed what nobody knows of any more: they stay in the bundle until that is dead, too. */
static void
keep_keys(struct mf_state *st, int64_t until_s)
{
	MF_LIST_EACH(p, &st->keys)
	{
		struct mf_key *k = MF_LIST_ITEM(p, struct mf_key, at);
		if (k->state != MF_KEY_GONE && k->last_exp < until_s)
			k->last_exp = until_s;
	}
}

enum mf_status
mf_state_apply_restored(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	char *origin = mf_state_dup(r->s[MF_RS_ORIGIN]);
	if (origin == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "log record %llu: out of memory", (unsigned long long)index);
	if (!mf_slice_eq_str(r->s[MF_RS_PREVIOUS_ORIGIN], mf_state_origin(st)) ||
	    (uint64_t)r->n[MF_RN_PREVIOUS_SIZE] != index || strcmp(origin, mf_state_origin(st)) == 0) {
		free(origin);
		return MF_FAIL(err, MF_E_CORRUPT,
		    "log record %llu (log.restored): it does not continue this log",
		    (unsigned long long)index);
	}
	free(st->origin);
	st->origin = origin;
	st->restored = index;
	st->tail_missing = !mf_slice_eq_str(r->s[MF_RS_CAUSE], MF_CAUSE_WHOLE);
	/* Agents may hold later numbers than this log knows: seconds are ahead of any count of changes. */
	for (unsigned i = MF_KEY_IN_NONE + 1; i < MF_KEY_BUNDLES; i++)
		if (st->bundle[i] < (uint64_t)(r->ts_us / 1000000))
			st->bundle[i] = (uint64_t)(r->ts_us / 1000000);
	for (struct mf_node *n = st->nodes; n != NULL; n = n->hh.next)
		mf_state_forget_session(n);
	if (st->tail_missing) {
		drop_tokens(st);
		keep_keys(st, (r->ts_us + MF_STATE_LOST_US) / 1000000);
	}
	return MF_OK;
}
