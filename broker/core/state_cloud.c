/* What the records of cloud tokens do to the tables. A token outlives its lease: until it is dead and that is recorded. */
#include <stdlib.h>

#include "broker/core/state_step.h"

/* Of every intent so many older ones are looked at, whether they can be forgotten. */
#define LOOKS 4u
/* One that was ended, and whose completion nobody recorded, is kept for so long after its own end. */
#define KEPT_S (INT64_C(86400))

static const char *const states[MF_CLOUD_STATES] = { "intent", "active", "superseded", "ended", "completed" };

const char *
mf_cloud_state_name(enum mf_cloud_state s)
{
	return (unsigned)s < MF_CLOUD_STATES ? states[s] : "unknown";
}

void
mf_cloud_cred_free(struct mf_cloud_cred *c)
{
	if (c == NULL)
		return;
	free(c->grant);
	free(c->target);
	free(c->backend);
	free(c->role);
	free(c->session);
	free(c->principal);
	free(c->provider_session);
	free(c);
}

void
mf_state_free_clouds(struct mf_state *st)
{
	struct mf_cloud_cred *c, *tmp;
	HASH_ITER(hh, st->clouds, c, tmp)
	{
		HASH_DELETE(hh, st->clouds, c);
		mf_cloud_cred_free(c);
	}
}

const struct mf_cloud_cred *
mf_state_cloud(const struct mf_state *st, struct mf_slice id)
{
	struct mf_cloud_cred *c = NULL;
	HASH_FIND(hh, st->clouds, id.p, id.n, c);
	return c;
}

const struct mf_list *
mf_state_clouds(const struct mf_state *st)
{
	return &st->clouds_order;
}

bool
mf_cloud_may_work(const struct mf_cloud_cred *c, int64_t now_s)
{
	return now_s < c->effective && (c->state != MF_CLOUD_COMPLETED || now_s < c->dead_at);
}

static void
forget(struct mf_state *st, struct mf_cloud_cred *c)
{
	HASH_DELETE(hh, st->clouds, c);
	mf_list_del(&c->at);
	mf_list_del(&c->at_lease);
	mf_cloud_cred_free(c);
}

void
mf_state_cloud_orphan(struct mf_lease *l)
{
	MF_LIST_EACH(p, &l->clouds)
	{
		MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease)->lease = NULL;
		mf_list_del(p);
	}
}

/* The newest one of a lease that goes on says that its grant was given: it stays. */
static bool
is_over(const struct mf_cloud_cred *c, int64_t now_s)
{
	switch (c->state) {
	case MF_CLOUD_SUPERSEDED:
		return c->exp < now_s;
	case MF_CLOUD_ENDED:
		return c->exp + KEPT_S < now_s;
	case MF_CLOUD_COMPLETED: /* a deny list needs it until the provider lets it go by itself */
		return c->exp + MF_CLOUD_CLOCK_S < now_s && c->dead_at < now_s;
	case MF_CLOUD_INTENT:
	case MF_CLOUD_ACTIVE:
	case MF_CLOUD_STATES:
		break;
	}
	return false;
}

/*
 * A few at every intent, the rest another time: the cost does not grow with what is there, and the order, which a
 * snapshot keeps, says which are next, so that every replay forgets the same.
 */
static void
forget_some(struct mf_state *st)
{
	for (unsigned i = 0; i < LOOKS && !mf_list_empty(&st->clouds_order); i++) {
		struct mf_cloud_cred *c = MF_LIST_ITEM(st->clouds_order.next, struct mf_cloud_cred, at);
		if (is_over(c, st->last_us / 1000000)) {
			forget(st, c);
			continue;
		}
		mf_list_del(&c->at);
		mf_list_add_tail(&st->clouds_order, &c->at);
	}
}

static struct mf_cloud_cred *
find(const struct step *a)
{
	struct mf_cloud_cred *c = NULL;
	HASH_FIND(hh, a->st->clouds, str(a, MF_RS_SERIAL).p, str(a, MF_RS_SERIAL).n, c);
	return c;
}

static enum mf_status
replace(const struct step *a, char **to, enum mf_record_str f)
{
	char *v = mf_state_dup(str(a, f));
	if (v == NULL)
		return no_memory(a);
	free(*to);
	*to = v;
	return MF_OK;
}

/* What is known of the token itself: of cloud.issued, cloud.reconciled and cloud.kept. */
static enum mf_status
take_outcome(const struct step *a, struct mf_cloud_cred *c)
{
	c->exp = a->r->n[MF_RN_EXP];
	c->effective =
	    mf_record_has_num(a->r, MF_RN_CLOUD_EFFECTIVE) ? a->r->n[MF_RN_CLOUD_EFFECTIVE] : c->exp;
	c->handle = a->r->n[MF_RN_CLOUD_HANDLE] != 0;
	c->by_itself = mf_slice_eq_str(str(a, MF_RS_CLOUD_TOKEN_FORMAT), "jwt");
	if (!mf_state_copy(c->token_hash, sizeof(c->token_hash), str(a, MF_RS_SHA256)))
		return broken(a, "a value is too long");
	MF_TRY(replace(a, &c->principal, MF_RS_CLOUD_PRINCIPAL));
	return replace(a, &c->provider_session, MF_RS_CLOUD_PROVIDER_SESSION);
}

static enum mf_status
fill(const struct step *a, struct mf_cloud_cred *c)
{
	c->epoch = (uint32_t)a->r->n[MF_RN_EPOCH];
	c->generation = (uint32_t)a->r->n[MF_RN_CLOUD_GENERATION];
	c->intent_us = a->r->ts_us;
	c->index = a->index;
	c->exp = c->effective = a->r->n[MF_RN_EXP];
	c->deny_on_end = mf_slice_eq_str(str(a, MF_RS_ON_END), "deny");
	MF_TRY(replace(a, &c->grant, MF_RS_CLOUD_GRANT));
	MF_TRY(replace(a, &c->target, MF_RS_CLOUD_TARGET));
	MF_TRY(replace(a, &c->backend, MF_RS_CLOUD_BACKEND));
	MF_TRY(replace(a, &c->role, MF_RS_CLOUD_ROLE));
	MF_TRY(replace(a, &c->session, MF_RS_CLOUD_SESSION));
	MF_TRY(take_outcome(a, c));
	if (!mf_state_copy(c->id, sizeof(c->id), str(a, MF_RS_SERIAL)) ||
	    !mf_state_copy(c->job_id, sizeof(c->job_id), str(a, MF_RS_JOB_ID)) ||
	    !mf_state_copy(c->lease_id, sizeof(c->lease_id), str(a, MF_RS_LEASE)) ||
	    !mf_state_copy(c->scope_hash, sizeof(c->scope_hash), str(a, MF_RS_CLOUD_SCOPE_SHA256)))
		return broken(a, "a value is too long");
	return MF_OK;
}

static enum mf_status
add(const struct step *a, struct mf_lease *l, struct mf_cloud_cred **ret_c)
{
	struct mf_cloud_cred *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return no_memory(a);
	mf_list_init(&c->at);
	mf_list_init(&c->at_lease);
	enum mf_status s = fill(a, c);
	if (s == MF_OK) {
		HASH_ADD_KEYPTR(hh, a->st->clouds, c->id, strlen(c->id), c);
		if (c->map_oom)
			s = no_memory(a);
	}
	if (s != MF_OK) {
		mf_cloud_cred_free(c);
		return s;
	}
	mf_list_add_tail(&a->st->clouds_order, &c->at);
	c->lease = l;
	if (l != NULL)
		mf_list_add_tail(&l->clouds, &c->at_lease);
	*ret_c = c;
	return MF_OK;
}

static enum mf_status
intent(const struct step *a)
{
	struct mf_cloud_cred *c;
	struct mf_lease *l = find_lease(a);
	if (find(a) != NULL)
		return broken(a, "the credential exists");
	if (l == NULL || !mf_lease_may_renew(l->state) || (uint32_t)a->r->n[MF_RN_EPOCH] != l->epoch ||
	    !mf_slice_eq_str(str(a, MF_RS_JOB_ID), l->job->id))
		return broken(a, "asked for a lease that is not open in this epoch");
	forget_some(a->st);
	return add(a, l, &c);
}

/* A test token: of no lease, and over from the beginning, for nobody gets it. */
static enum mf_status
probe(const struct step *a)
{
	struct mf_cloud_cred *c;
	if (find(a) != NULL)
		return broken(a, "the credential exists");
	if (find_lease(a) != NULL)
		return broken(a, "a test token belongs to no lease");
	forget_some(a->st);
	MF_TRY(add(a, NULL, &c));
	c->ended_us = a->r->ts_us;
	return MF_OK;
}

static enum mf_status
issued(const struct step *a)
{
	struct mf_cloud_cred *c = find(a);
	if (c == NULL || c->state != MF_CLOUD_INTENT)
		return broken(a, "no intent stands for it");
	if (c->ended_us != 0 || c->lease == NULL || !mf_lease_may_renew(c->lease->state) ||
	    c->lease->epoch != c->epoch)
		return broken(a, "issued for a lease that is over: it could only be reconciled");
	MF_TRY(take_outcome(a, c));
	MF_LIST_EACH(p, &c->lease->clouds)
	{
		struct mf_cloud_cred *old = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease);
		if (old->state == MF_CLOUD_ACTIVE && strcmp(old->grant, c->grant) == 0)
			old->state = MF_CLOUD_SUPERSEDED;
	}
	c->state = MF_CLOUD_ACTIVE;
	c->issued_us = a->r->ts_us;
	c->issued_index = a->index;
	return MF_OK;
}

static enum mf_status
failed(const struct step *a)
{
	struct mf_cloud_cred *c = find(a);
	if (c == NULL || c->state != MF_CLOUD_INTENT)
		return broken(a, "no intent stands for it");
	forget(a->st, c);
	return MF_OK;
}

static enum mf_status
reconciled(const struct step *a)
{
	struct mf_cloud_cred *c = find(a);
	if (c == NULL || c->state != MF_CLOUD_INTENT)
		return broken(a, "no intent stands for it");
	MF_TRY(take_outcome(a, c));
	c->state = MF_CLOUD_ENDED;
	c->orphan = true;
	if (c->ended_us == 0) {
		c->ended_us = a->r->ts_us;
		c->ended_index = a->index;
	}
	return MF_OK;
}

static enum mf_status
kept(const struct step *a)
{
	struct mf_cloud_cred *c;
	unsigned s = 0;
	while (s < MF_CLOUD_STATES && !mf_slice_eq_str(str(a, MF_RS_CLOUD_STATE), states[s]))
		s++;
	if (!a->st->loading || find(a) != NULL || s == MF_CLOUD_STATES)
		return broken(a, "it stands in snapshots only, once");
	MF_TRY(add(a, find_lease(a), &c));
	c->state = (enum mf_cloud_state)s;
	c->issued_us = a->r->n[MF_RN_CLOUD_ISSUED_US];
	c->ended_us = a->r->n[MF_RN_CLOUD_ENDED_US];
	c->orphan = mf_slice_starts(str(a, MF_RS_CAUSE), MF_SLICE_LIT("orphan"));
	c->asked = mf_slice_eq_str(str(a, MF_RS_CAUSE), "asked") ||
		   mf_slice_eq_str(str(a, MF_RS_CAUSE), "orphan,asked");
	c->issued_index = (uint64_t)a->r->n[MF_RN_CLOUD_ISSUED];
	c->ended_index = (uint64_t)a->r->n[MF_RN_CLOUD_ENDED];
	c->completed_index = (uint64_t)a->r->n[MF_RN_CLOUD_COMPLETED];
	c->level = (uint32_t)a->r->n[MF_RN_CLOUD_LEVEL];
	c->dead_at = a->r->n[MF_RN_CLOUD_DEAD_AT];
	return MF_OK;
}

/* Certificates and JWTs are completed too; nothing of them is kept for it. */
static enum mf_status
completed(const struct step *a)
{
	struct mf_cloud_cred *c = find(a);
	if (c == NULL)
		return MF_OK;
	if (c->state != MF_CLOUD_ENDED && c->state != MF_CLOUD_COMPLETED)
		return broken(a, "completed, and was not ended");
	c->state = MF_CLOUD_COMPLETED;
	c->level = (uint32_t)a->r->n[MF_RN_CLOUD_LEVEL];
	c->dead_at = a->r->n[MF_RN_CLOUD_DEAD_AT];
	c->completed_index = a->index;
	return MF_OK;
}

enum mf_status
mf_state_apply_cloud(const struct step *a)
{
	switch (a->r->type) {
	case MF_REC_CLOUD_INTENT:
		return intent(a);
	case MF_REC_CLOUD_PROBE:
		return probe(a);
	case MF_REC_CLOUD_ISSUED:
		return issued(a);
	case MF_REC_CLOUD_FAILED:
		return failed(a);
	case MF_REC_CLOUD_RECONCILED:
		return reconciled(a);
	case MF_REC_CLOUD_KEPT:
		return kept(a);
	case MF_REC_REVOKE_COMPLETED:
		return completed(a);
	default: /* revoke.cloud: what it says of each credential stands in revoke.completed */
		mf_state_sessions_heard(a);
		return MF_OK;
	}
}

void
mf_state_cloud_end(struct mf_cloud_cred *c, int64_t ts_us, uint64_t index)
{
	if (c->ended_us == 0) {
		c->ended_us = ts_us;
		c->ended_index = index;
	}
	/* An intent's outcome is still to come; what is expired needs nobody to take it back. */
	if (c->state == MF_CLOUD_ACTIVE || c->state == MF_CLOUD_SUPERSEDED)
		c->state = c->exp * 1000000 <= ts_us ? MF_CLOUD_COMPLETED : MF_CLOUD_ENDED;
	if (c->state == MF_CLOUD_COMPLETED && c->dead_at == 0)
		c->dead_at = c->exp;
}

void
mf_state_cloud_lease_over(struct mf_lease *l, int64_t ts_us, uint64_t index)
{
	MF_LIST_EACH(p, &l->clouds)
	mf_state_cloud_end(MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease), ts_us, index);
}

/* ---- snapshots ---- */

static void
put_index(struct mf_record *r, enum mf_record_num f, uint64_t index)
{
	if (index != 0)
		mf_record_set_num(r, f, (int64_t)index);
}

static void
put_cloud(const struct mf_cloud_cred *c, struct mf_snapshot_out *out)
{
	struct mf_record r = { .type = MF_REC_CLOUD_KEPT };
	mf_record_set_str(&r, MF_RS_LEASE, c->lease_id);
	mf_record_set_str(&r, MF_RS_JOB_ID, c->job_id);
	mf_record_set_str(&r, MF_RS_SERIAL, c->id);
	mf_record_set_str(&r, MF_RS_CLOUD_GRANT, c->grant);
	mf_record_set_str(&r, MF_RS_CLOUD_TARGET, c->target);
	mf_record_set_str(&r, MF_RS_CLOUD_BACKEND, c->backend);
	mf_record_set_str(&r, MF_RS_CLOUD_ROLE, c->role);
	mf_record_set_str(&r, MF_RS_CLOUD_SESSION, c->session);
	mf_record_set_str(&r, MF_RS_CLOUD_SCOPE_SHA256, c->scope_hash);
	mf_record_set_str(&r, MF_RS_CLOUD_STATE, mf_cloud_state_name(c->state));
	mf_record_set_str(&r, MF_RS_CLOUD_PRINCIPAL, c->principal);
	mf_record_set_str(&r, MF_RS_CLOUD_PROVIDER_SESSION, c->provider_session);
	mf_record_set_str(&r, MF_RS_SHA256, c->token_hash);
	mf_record_set_str(&r, MF_RS_CLOUD_TOKEN_FORMAT, c->by_itself ? "jwt" : "");
	mf_record_set_str(&r, MF_RS_CAUSE,
	    c->orphan  ? c->asked ? "orphan,asked" : "orphan"
	    : c->asked ? "asked"
		       : "");
	mf_record_set_str(&r, MF_RS_ON_END, c->deny_on_end ? "deny" : "");
	mf_record_set_num(&r, MF_RN_EPOCH, c->epoch);
	mf_record_set_num(&r, MF_RN_CLOUD_GENERATION, c->generation);
	mf_record_set_num(&r, MF_RN_EXP, c->exp);
	mf_record_set_num(&r, MF_RN_CLOUD_EFFECTIVE, c->effective);
	mf_record_set_num(&r, MF_RN_CLOUD_HANDLE, c->handle);
	put_index(&r, MF_RN_CLOUD_ISSUED, c->issued_index);
	put_index(&r, MF_RN_CLOUD_ENDED, c->ended_index);
	put_index(&r, MF_RN_CLOUD_COMPLETED, c->completed_index);
	if (c->issued_us != 0)
		mf_record_set_num(&r, MF_RN_CLOUD_ISSUED_US, c->issued_us);
	if (c->ended_us != 0)
		mf_record_set_num(&r, MF_RN_CLOUD_ENDED_US, c->ended_us);
	if (c->state == MF_CLOUD_COMPLETED) {
		mf_record_set_num(&r, MF_RN_CLOUD_LEVEL, c->level);
		mf_record_set_num(&r, MF_RN_CLOUD_DEAD_AT, c->dead_at);
	}
	out->line(out->to, c->index, &r, c->intent_us);
}

void
mf_state_put_clouds(const struct mf_state *st, struct mf_snapshot_out *out)
{
	MF_LIST_EACH(p, &st->clouds_order)
	put_cloud(MF_LIST_ITEM(p, struct mf_cloud_cred, at), out);
}
