/* One function per record type: what it does to the tables. Every entry is checked against what came before. */
#include <stdlib.h>

#include "broker/core/state_step.h"

static struct mf_job *
find_job(const struct step *a)
{
	struct mf_job *j = NULL;
	HASH_FIND(hh, a->st->jobs, str(a, MF_RS_JOB_ID).p, str(a, MF_RS_JOB_ID).n, j);
	return j;
}

static enum mf_status
log_opened(const struct step *a)
{
	if (a->st->origin != NULL && !a->st->loading)
		return broken(a, "a log opens once");
	free(a->st->origin);
	free(a->st->trust_domain);
	a->st->origin = mf_state_dup(str(a, MF_RS_ORIGIN));
	a->st->trust_domain = mf_state_dup(str(a, MF_RS_TRUST_DOMAIN));
	if (a->st->loading) {
		a->st->bundle[MF_KEY_IN_X509] = (uint64_t)a->r->n[MF_RN_BUNDLE];
		a->st->bundle[MF_KEY_IN_JWT] = (uint64_t)a->r->n[MF_RN_JWT_BUNDLE];
		a->st->restored = (uint64_t)a->r->n[MF_RN_SIZE];
		a->st->tail_missing = mf_slice_eq_str(str(a, MF_RS_CAUSE), MF_CAUSE_TAIL);
		a->st->bundle[MF_KEY_IN_OIDC] = (uint64_t)a->r->n[MF_RN_OIDC_BUNDLE];
	}
	return a->st->origin == NULL || a->st->trust_domain == NULL ? no_memory(a) : MF_OK;
}

static enum mf_status
policy_loaded(const struct step *a)
{
	if (!mf_state_copy(a->st->policy, sizeof(a->st->policy), str(a, MF_RS_SHA256)))
		return broken(a, "sha256 is too long");
	return MF_OK;
}

static enum mf_status
token_created(const struct step *a)
{
	struct mf_token *t = NULL;
	HASH_FIND(hh, a->st->tokens, str(a, MF_RS_TOKEN_ID).p, str(a, MF_RS_TOKEN_ID).n, t);
	if (t != NULL)
		return broken(a, "the token exists");
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return no_memory(a);
	t->attributes_n = a->r->attributes_n;
	t->attributes = mf_state_dup_list(a->r->attributes, t->attributes_n);
	t->uses = (uint32_t)a->r->n[MF_RN_USES];
	t->expires = a->r->n[MF_RN_EXPIRES];
	t->created_us = a->r->ts_us;
	t->index = a->index;
	bool fits = mf_state_copy(t->id, sizeof(t->id), str(a, MF_RS_TOKEN_ID)) &&
		    mf_state_copy(t->hash, sizeof(t->hash), str(a, MF_RS_TOKEN_HASH));
	if (t->attributes == NULL || !fits) {
		mf_token_free(t);
		return fits ? no_memory(a) : broken(a, "an id is too long");
	}
	HASH_ADD_KEYPTR(hh, a->st->tokens, t->id, strlen(t->id), t);
	if (t->map_oom) {
		mf_token_free(t);
		return no_memory(a);
	}
	return MF_OK;
}

/* The token that this registration spends; NULL while a snapshot is read. */
static enum mf_status
find_token(const struct step *a, struct mf_token **ret_t)
{
	struct mf_token *t = NULL;
	HASH_FIND(hh, a->st->tokens, str(a, MF_RS_TOKEN_ID).p, str(a, MF_RS_TOKEN_ID).n, t);
	if (!a->st->loading && (t == NULL || t->uses == 0))
		return broken(a, "the token is spent");
	*ret_t = a->st->loading ? NULL : t;
	return MF_OK;
}

/*
 * One use is one node: the count goes down in the very record that registers it. Last, because the record's texts may
 * lie in the token.
 */
static void
spend_token(const struct step *a, struct mf_token *t)
{
	if (t == NULL || --t->uses > 0)
		return;
	HASH_DELETE(hh, a->st->tokens, t);
	mf_token_free(t);
}

static enum mf_status
node_registered(const struct step *a)
{
	if (find_node(a) != NULL || mf_state_node_by_inner(a->st, str(a, MF_RS_INNER)) != NULL)
		return broken(a, "the node exists");
	struct mf_token *t = NULL;
	if (str(a, MF_RS_TOKEN_ID).n > 0)
		MF_TRY(find_token(a, &t));
	else if (str(a, MF_RS_EVIDENCE).n == 0 ||
		 mf_state_node_by_evidence(a->st, str(a, MF_RS_EVIDENCE)) != NULL)
		return broken(a, "a node without token or evidence, or the evidence is another node's");
	struct mf_node *n = calloc(1, sizeof(*n));
	if (n == NULL)
		return no_memory(a);
	mf_list_init(&n->leases);
	mf_list_init(&n->creds);
	n->attributes_n = a->r->attributes_n;
	n->attributes = mf_state_dup_list(a->r->attributes, n->attributes_n);
	n->spiffe_id = mf_state_dup(str(a, MF_RS_SPIFFE_ID));
	n->hostname = mf_state_dup(str(a, MF_RS_HOSTNAME));
	n->registered_us = a->r->ts_us;
	n->index = a->index;
	bool fits =
	    mf_state_copy(n->id, sizeof(n->id), str(a, MF_RS_NODE_ID)) &&
	    mf_state_copy(n->inner, sizeof(n->inner), str(a, MF_RS_INNER)) &&
	    mf_state_copy(n->evidence, sizeof(n->evidence), str(a, MF_RS_EVIDENCE)) &&
	    mf_state_copy(n->attestor, sizeof(n->attestor),
		str(a, MF_RS_ATTESTOR).n == 0 ? MF_SLICE_LIT("join_token") : str(a, MF_RS_ATTESTOR)) &&
	    mf_state_copy(n->token_id, sizeof(n->token_id), str(a, MF_RS_TOKEN_ID));
	if (n->attributes == NULL || n->spiffe_id == NULL || n->hostname == NULL || !fits) {
		mf_node_free(n);
		return fits ? no_memory(a) : broken(a, "an id is too long");
	}
	HASH_ADD_KEYPTR(hh, a->st->nodes, n->id, strlen(n->id), n);
	if (n->map_oom) {
		mf_node_free(n);
		return no_memory(a);
	}
	HASH_ADD_KEYPTR(hh_inner, a->st->nodes_by_inner, n->inner, strlen(n->inner), n);
	if (n->map_oom)
		return no_memory(a);
	if (n->evidence[0] != '\0')
		HASH_ADD_KEYPTR(hh_evidence, a->st->nodes_by_evidence, n->evidence, strlen(n->evidence), n);
	if (n->map_oom)
		return no_memory(a);
	spend_token(a, t);
	return MF_OK;
}

static enum mf_status
node_session(const struct step *a)
{
	struct mf_node *n = find_node(a);
	if (n == NULL || (n->evicted && !a->st->loading))
		return broken(a, "no such node, or evicted");
	/* Accepted are the latest, and the last one that is known to be stored: an offer that never arrived must not
	 * push out the value that the attestor still holds. */
	if (n->has_session && n->confirmed) {
		memcpy(n->previous, n->session, sizeof(n->previous));
		memcpy(n->previous_boot, n->boot, sizeof(n->previous_boot));
		n->previous_index = n->session_index;
		n->has_previous = true;
	}
	if (!mf_state_copy(n->session, sizeof(n->session), str(a, MF_RS_SESSION)) ||
	    !mf_state_copy(n->boot, sizeof(n->boot), str(a, MF_RS_NODE_BOOT)))
		return broken(a, "a value is too long");
	n->has_session = true;
	n->confirmed = false;
	n->session_index = a->index;
	return MF_OK;
}

static enum mf_status
node_confirmed(const struct step *a)
{
	struct mf_node *n = find_node(a);
	if (n == NULL || !n->has_session || !mf_slice_eq_str(str(a, MF_RS_SESSION), n->session))
		return broken(a, "confirms a value that was not given");
	n->confirmed = true;
	n->confirmed_index = a->index;
	n->has_previous = false;
	n->previous_index = 0;
	memset(n->previous, 0, sizeof(n->previous));
	memset(n->previous_boot, 0, sizeof(n->previous_boot));
	return MF_OK;
}

static enum mf_status
node_evicted(const struct step *a)
{
	struct mf_node *n = find_node(a);
	if (n == NULL || n->evicted)
		return broken(a, "no such node, or evicted before");
	n->evicted = true;
	n->evicted_us = a->r->ts_us;
	n->evicted_index = a->index;
	n->evict_reason = mf_state_dup(str(a, MF_RS_REASON));
	return n->evict_reason == NULL ? no_memory(a) : MF_OK;
}

static enum mf_status
job_started(const struct step *a)
{
	if (find_job(a) != NULL || mf_state_job_by_key(a->st, str(a, MF_RS_JOB_KEY)) != NULL)
		return broken(a, "the job exists");
	struct mf_job *j = calloc(1, sizeof(*j));
	if (j == NULL)
		return no_memory(a);
	mf_list_init(&j->leases);
	j->attributes_n = a->r->attributes_n;
	j->attributes = mf_state_dup_list(a->r->attributes, j->attributes_n);
	j->key = mf_state_dup(str(a, MF_RS_JOB_KEY));
	j->tenant = mf_state_dup(str(a, MF_RS_TENANT));
	j->person = mf_state_dup(str(a, MF_RS_PERSON));
	j->profile = mf_state_dup(str(a, MF_RS_JOB_PROFILE));
	j->rule = mf_state_dup(str(a, MF_RS_RULE));
	j->name = mf_state_dup(str(a, MF_RS_JOB_NAME));
	j->started_us = a->r->ts_us;
	j->index = a->index;
	j->instances = (uint32_t)a->r->n[MF_RN_INSTANCE]; /* only in snapshots */
	j->deadline = a->r->n[MF_RN_DEADLINE];
	j->drain_ms = a->r->n[MF_RN_DRAIN_MS];
	bool fits = mf_state_copy(j->id, sizeof(j->id), str(a, MF_RS_JOB_ID)) &&
		    mf_state_copy(j->run, sizeof(j->run), str(a, MF_RS_JOB_RUN)) &&
		    mf_state_copy(j->manifest, sizeof(j->manifest), str(a, MF_RS_JOB_MANIFEST));
	if (!fits || j->attributes == NULL || j->key == NULL || j->tenant == NULL || j->person == NULL ||
	    j->profile == NULL || j->rule == NULL || j->name == NULL) {
		mf_job_free(j);
		return fits ? no_memory(a) : broken(a, "an id is too long");
	}
	HASH_ADD_KEYPTR(hh, a->st->jobs, j->id, strlen(j->id), j);
	if (j->map_oom) {
		mf_job_free(j);
		return no_memory(a);
	}
	HASH_ADD_KEYPTR(hh_key, a->st->jobs_by_key, j->key, strlen(j->key), j);
	if (j->map_oom)
		return no_memory(a);
	if (!mf_state_managed_begins(a->st, j) && !a->st->loading)
		return broken(a, "its manager said that it is over");
	return mf_state_run_begins(a->st, a->index, a->r, a->err);
}

static enum mf_status
job_ended(const struct step *a)
{
	struct mf_job *j = find_job(a);
	if (j == NULL || j->ended)
		return broken(a, "no such job, or ended before");
	if (j->live > 0)
		return broken(a, "it has instances that are not ended");
	j->ended = true;
	j->ended_us = a->r->ts_us;
	j->ended_index = a->index;
	j->cause = mf_state_dup(str(a, MF_RS_CAUSE));
	j->reason = mf_state_dup(str(a, MF_RS_REASON));
	mf_state_managed_ends(a->st, j);
	mf_state_run_ends(a->st, j);
	return j->cause == NULL || j->reason == NULL ? no_memory(a) : MF_OK;
}

static enum mf_status
fill_lease(const struct step *a, struct mf_lease *l)
{
	const struct mf_record *r = a->r;
	l->key = mf_state_dup(str(a, MF_RS_INSTANCE_KEY));
	l->grade = mf_state_dup(str(a, MF_RS_GRADE));
	l->rule = mf_state_dup(str(a, MF_RS_RULE));
	l->policy = mf_state_dup(str(a, MF_RS_POLICY));
	l->selectors_n = r->selectors_n;
	l->selectors = mf_state_dup_list(r->selectors, r->selectors_n);
	l->epoch = (uint32_t)r->n[MF_RN_EPOCH];
	l->n = (uint32_t)r->n[MF_RN_INSTANCE];
	l->deadline = r->n[MF_RN_DEADLINE];
	l->drain_ms = r->n[MF_RN_DRAIN_MS];
	l->opened_us = l->changed_us = r->ts_us;
	l->index = l->changed_index = a->index;
	l->state = MF_LEASE_OPEN;
	if (l->key == NULL || l->grade == NULL || l->rule == NULL || l->policy == NULL ||
	    l->selectors == NULL)
		return no_memory(a);
	if (!mf_state_copy(l->id, sizeof(l->id), str(a, MF_RS_LEASE)) ||
	    !mf_state_copy(l->boot, sizeof(l->boot), str(a, MF_RS_NODE_BOOT)))
		return broken(a, "an id is too long");
	return MF_OK;
}

static struct mf_lease *
by_key(const struct step *a)
{
	struct mf_lease *l = NULL;
	HASH_FIND(
	    hh_key, a->st->leases_by_key, str(a, MF_RS_INSTANCE_KEY).p, str(a, MF_RS_INSTANCE_KEY).n, l);
	return l;
}

static enum mf_status
lease_opened(const struct step *a)
{
	struct mf_node *n = find_node(a);
	struct mf_job *j = find_job(a);
	if (n == NULL || j == NULL || (!a->st->loading && (n->evicted || j->ended || j->ending)))
		return broken(a, "no such node or job, or it is over");
	struct mf_lease *other = by_key(a);
	if (find_lease(a) != NULL || (other != NULL && !a->st->loading))
		return broken(a, "the lease exists");
	if (other != NULL)
		mf_state_free_instance(a->st, other); /* a void one, whose end follows in the snapshot */
	struct mf_lease *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return no_memory(a);
	mf_list_init(&l->creds);
	mf_list_init(&l->clouds);
	mf_list_init(&l->finals);
	mf_list_init(&l->at_node);
	mf_list_init(&l->at_job);
	mf_list_init(&l->at_ended);
	enum mf_status s = fill_lease(a, l);
	if (s == MF_OK)
		HASH_ADD_KEYPTR(hh, a->st->leases, l->id, strlen(l->id), l);
	if (s != MF_OK || l->map_oom) {
		mf_lease_free(l);
		return s != MF_OK ? s : no_memory(a);
	}
	HASH_ADD_KEYPTR(hh_key, a->st->leases_by_key, l->key, strlen(l->key), l);
	l->job = j;
	l->node = n;
	mf_list_add_tail(&n->leases, &l->at_node);
	mf_list_add_tail(&j->leases, &l->at_job);
	n->live++;
	j->live++;
	if (l->n > j->instances)
		j->instances = l->n;
	j->empty_us = 0;
	mf_state_job_deadline(j, l);
	a->st->open++;
	return l->map_oom ? no_memory(a) : MF_OK;
}

static enum mf_status
move_lease(const struct step *a, struct mf_lease *l, enum mf_lease_event ev)
{
	enum mf_lease_state next = mf_lease_next(l->state, ev);
	if (a->st->loading && ev == MF_LEASE_EV_RESUME)
		next = MF_LEASE_OPEN; /* a snapshot tells the outcome, not the way */
	if (next == MF_LEASE_NONE)
		return broken(a, "the lease is in a state that does not allow this");
	bool was_open = l->state == MF_LEASE_OPEN, is_open = next == MF_LEASE_OPEN;
	a->st->open += is_open && !was_open;
	a->st->open -= was_open && !is_open;
	l->state = next;
	l->changed_us = a->r->ts_us;
	l->changed_index = a->index;
	return MF_OK;
}

static enum mf_status
lease_resumed(const struct step *a)
{
	struct mf_lease *l = find_lease(a);
	if (l == NULL || (uint32_t)a->r->n[MF_RN_EPOCH] <= l->epoch)
		return broken(a, "no such lease, or the epoch does not grow");
	MF_TRY(move_lease(a, l, MF_LEASE_EV_RESUME));
	l->epoch = (uint32_t)a->r->n[MF_RN_EPOCH];
	memset(l->slot_used, 0, sizeof(l->slot_used));
	memset(l->slot_index, 0, sizeof(l->slot_index));
	l->creds_due_us = 0;
	char *rule = mf_state_dup(str(a, MF_RS_RULE)), *policy = mf_state_dup(str(a, MF_RS_POLICY));
	if (rule == NULL || policy == NULL) {
		free(rule);
		free(policy);
		return no_memory(a);
	}
	free(l->rule);
	free(l->policy);
	l->rule = rule;
	l->policy = policy;
	return MF_OK;
}

static enum mf_status
lease_suspended(const struct step *a)
{
	struct mf_lease *l = find_lease(a);
	if (l == NULL || l->state != MF_LEASE_OPEN || (uint32_t)a->r->n[MF_RN_EPOCH] != l->epoch)
		return broken(a, "no such open lease in this epoch");
	mf_state_cloud_lease_over(l, a->r->ts_us, a->index);
	return move_lease(a, l, MF_LEASE_EV_SUSPEND);
}

static enum mf_status
lease_ended(const struct step *a)
{
	struct mf_lease *l = find_lease(a);
	if (l == NULL)
		return broken(a, "no such lease");
	MF_TRY(move_lease(a, l, MF_LEASE_EV_END));
	mf_state_cloud_lease_over(l, a->r->ts_us, a->index);
	l->cause = mf_state_dup(str(a, MF_RS_CAUSE));
	l->reason = mf_state_dup(str(a, MF_RS_REASON));
	mf_list_add_tail(&a->st->ended, &l->at_ended);
	l->node->live--;
	l->job->voided = mf_slice_eq_str(str(a, MF_RS_CAUSE), MF_CAUSE_RESTORED);
	if (l->job->voided)
		mf_state_free_instance(a->st, l);
	if (--l->job->live == 0)
		l->job->empty_us = a->r->ts_us;
	return l->cause == NULL || l->reason == NULL ? no_memory(a) : MF_OK;
}

/* ---- credentials ---- */

static enum mf_status
changes_nothing(const struct step *a)
{
	MF_UNUSED(a);
	return MF_OK;
}

static enum mf_status
job_changed(const struct step *a)
{
	return mf_state_apply_job(a->st, a->index, a->r, a->err);
}

static enum mf_status
freeze_changed(const struct step *a)
{
	return mf_state_apply_freeze(a->st, a->index, a->r, a->err);
}

static enum mf_status
log_restored(const struct step *a)
{
	return mf_state_apply_restored(a->st, a->index, a->r, a->err);
}

/* NULL: a record of keys (state_keys.c). */
static enum mf_status (*const apply[MF_RECORD_TYPES])(const struct step *) = {
	[MF_REC_LOG_OPENED] = log_opened,
	[MF_REC_LOG_RECOVERED] = changes_nothing,
	[MF_REC_BROKER_STARTED] = changes_nothing,
	[MF_REC_BROKER_STOPPED] = changes_nothing,
	[MF_REC_POLICY_LOADED] = policy_loaded,
	[MF_REC_SNAPSHOT_WRITTEN] = changes_nothing,
	[MF_REC_TOKEN_CREATED] = token_created,
	[MF_REC_NODE_REGISTERED] = node_registered,
	[MF_REC_NODE_SESSION] = node_session,
	[MF_REC_NODE_CONFIRMED] = node_confirmed,
	[MF_REC_NODE_EVICTED] = node_evicted,
	[MF_REC_NODE_READMITTED] = mf_state_node_readmitted,
	[MF_REC_NODE_REATTESTED] = mf_state_node_reattested,
	[MF_REC_NODE_REFUSED] = changes_nothing,
	[MF_REC_JOB_STARTED] = job_started,
	[MF_REC_JOB_ENDED] = job_ended,
	[MF_REC_LEASE_OPENED] = lease_opened,
	[MF_REC_LEASE_RESUMED] = lease_resumed,
	[MF_REC_LEASE_SUSPENDED] = lease_suspended,
	[MF_REC_LEASE_ENDED] = lease_ended,
	[MF_REC_SVID_ISSUED] = mf_state_svid_issued,
	[MF_REC_SVID_RENEWED] = mf_state_svid_renewed,
	[MF_REC_AUTHZ_DENIED] = changes_nothing,
	[MF_REC_REVOKE_REQUESTED] = changes_nothing,
	[MF_REC_CLOCK_REFUSED] = changes_nothing,
	[MF_REC_JOB_ENDING] = job_changed,
	[MF_REC_JOB_EXTENDED] = job_changed,
	[MF_REC_JOB_SHORTENED] = job_changed,
	[MF_REC_JWT_ISSUED] = mf_state_jwt_issued,
	[MF_REC_SIGNERS_LOADED] = changes_nothing,
	[MF_REC_ADMIN_APPROVED] = job_changed, /* no job's, but kept in a file of its own as well */
	[MF_REC_CLOCK_CONFIRMED] = changes_nothing,
	[MF_REC_MANAGER_STARTED] = job_changed,
	[MF_REC_MANAGER_ENDED] = job_changed,
	[MF_REC_RUN_KEPT] = job_changed,
	[MF_REC_FREEZE_SET] = freeze_changed,
	[MF_REC_FREEZE_LIFTED] = freeze_changed,
	[MF_REC_LOG_RESTORED] = log_restored,
	[MF_REC_CLOUD_INTENT] = mf_state_apply_cloud,
	[MF_REC_CLOUD_PROBE] = mf_state_apply_cloud,
	[MF_REC_CLOUD_ISSUED] = mf_state_apply_cloud,
	[MF_REC_CLOUD_FAILED] = mf_state_apply_cloud,
	[MF_REC_CLOUD_RECONCILED] = mf_state_apply_cloud,
	[MF_REC_CLOUD_KEPT] = mf_state_apply_cloud,
	[MF_REC_REVOKE_CLOUD] = mf_state_apply_cloud,
	[MF_REC_REVOKE_COMPLETED] = mf_state_apply_cloud,
	[MF_REC_CREDENTIAL_ENDED] = mf_state_credential_ended,
	[MF_REC_SESSIONS_ENDED] = mf_state_sessions_ended,
	[MF_REC_GRANT_ENDED] = mf_state_grant_ended,
};

/* Tombstones and spent time: by the records' own clock, so that every replay forgets at the same record. */
static void
forget_old(struct mf_state *st)
{
	while (!mf_list_empty(&st->ended)) {
		struct mf_lease *l = MF_LIST_ITEM(st->ended.next, struct mf_lease, at_ended);
		if (l->changed_us >= st->last_us - MF_STATE_TOMBSTONE_US)
			return;
		if (l->job->live == 0 && !l->job->ended)
			return; /* its job's end is still to be recorded */
		mf_state_forget_lease(st, l);
	}
}

enum mf_status
mf_state_apply(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	struct step a = { st, r, index, err };
	if ((unsigned)r->type >= MF_RECORD_TYPES)
		return broken(&a, "unknown type");
	if (!st->loading && index != st->size)
		return broken(&a, "out of order");
	MF_TRY(apply[r->type] != NULL ? apply[r->type](&a) : mf_state_apply_key(st, index, r, err));
	if (st->loading)
		return MF_OK;
	st->size = index + 1;
	if (r->ts_us > st->last_us)
		st->last_us = r->ts_us;
	/* Only here, so that whoever walks leases to end them never has one freed under his feet. */
	if (r->type == MF_REC_LEASE_OPENED || r->type == MF_REC_BROKER_STARTED) {
		forget_old(st);
		mf_state_forget_runs(st);
		mf_state_forget_old_managed(st);
	}
	if (r->type == MF_REC_BROKER_STARTED)
		mf_state_forget_stillborn(st);
	if (r->type == MF_REC_TOKEN_CREATED)
		mf_state_forget_tokens(st);
	if (r->type == MF_REC_KEY_ACTIVATED || r->type == MF_REC_BROKER_STARTED)
		mf_state_forget_keys(st);
	return MF_OK;
}
