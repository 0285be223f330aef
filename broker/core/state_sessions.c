/* All sessions of a role before a time (L3): by a person's word, over once the provider says so. */
#include <stdlib.h>

#include "broker/core/state_step.h"

/* One that no provider was told to forget, because it is not configured any more. */
#define KEPT_S (INT64_C(86400))

static void
sessions_free(struct mf_sessions *s)
{
	if (s == NULL)
		return;
	free(s->target);
	free(s->role);
	free(s->backend);
	free(s);
}

void
mf_state_free_sessions(struct mf_state *st)
{
	MF_LIST_EACH(p, &st->sessions)
	{
		mf_list_del(p);
		sessions_free(MF_LIST_ITEM(p, struct mf_sessions, at));
	}
}

static void
forget(struct mf_sessions *s)
{
	mf_list_del(&s->at);
	sessions_free(s);
}

const struct mf_list *
mf_state_sessions(const struct mf_state *st)
{
	return &st->sessions;
}

static struct mf_sessions *
find(const struct mf_state *st, struct mf_slice target, struct mf_slice role)
{
	MF_LIST_EACH(p, &st->sessions)
	{
		struct mf_sessions *s = MF_LIST_ITEM(p, struct mf_sessions, at);
		if (mf_slice_eq_str(target, s->target) && mf_slice_eq_str(role, s->role))
			return s;
	}
	return NULL;
}

const struct mf_sessions *
mf_state_sessions_of(const struct mf_state *st, const char *target, const char *role)
{
	return find(st, mf_slice_str(target), mf_slice_str(role));
}

bool
mf_sessions_meet(int64_t before, const struct mf_cloud_cred *c)
{
	return c->issued_us != 0 && c->issued_us / 1000000 + MF_CLOUD_SKEW_S < before;
}

bool
mf_sessions_hit(int64_t before, const struct mf_cloud_cred *c, int64_t now_s)
{
	if (c->effective <= now_s)
		return false;
	/* What is denied is dead; what was only left to expire is not. */
	if (c->state == MF_CLOUD_COMPLETED)
		return c->level < 2 && c->dead_at > now_s && mf_sessions_meet(before, c);
	return true;
}

/* Whoever asked for it is not known to have it: then it is ended by its tag, as soon as its outcome is known. */
static void
end(const struct step *a, int64_t before, struct mf_cloud_cred *c)
{
	if (!mf_sessions_hit(before, c, a->r->ts_us / 1000000))
		return;
	c->asked = true;
	mf_state_cloud_end(c, a->r->ts_us, a->index);
	if (c->state != MF_CLOUD_COMPLETED)
		return;
	c->state = MF_CLOUD_ENDED; /* more can be done than was */
	c->level = 0;
	c->dead_at = 0;
	c->completed_index = 0;
}

static void
forget_old(struct mf_state *st)
{
	MF_LIST_EACH(p, &st->sessions)
	{
		struct mf_sessions *s = MF_LIST_ITEM(p, struct mf_sessions, at);
		if (s->until + KEPT_S < st->last_us / 1000000)
			forget(s);
	}
}

enum mf_status
mf_state_sessions_ended(const struct step *a)
{
	struct mf_slice target = str(a, MF_RS_CLOUD_TARGET), role = str(a, MF_RS_CLOUD_ROLE);
	struct mf_sessions *former = find(a->st, target, role), *s;
	int64_t before = a->r->n[MF_RN_CLOUD_BEFORE];
	if (role.n == 0)
		return broken(a, "of no role");
	if (former != NULL && (a->st->loading || former->before > before))
		return broken(a, "one that goes further stands");
	s = calloc(1, sizeof(*s));
	if (s != NULL) {
		s->target = mf_state_dup(target);
		s->role = mf_state_dup(role);
		s->backend = mf_state_dup(str(a, MF_RS_CLOUD_BACKEND));
	}
	if (s == NULL || s->target == NULL || s->role == NULL || s->backend == NULL) {
		sessions_free(s);
		return no_memory(a);
	}
	s->before = before;
	s->until = a->r->n[MF_RN_UNTIL];
	s->set_us = a->r->ts_us;
	s->index = a->index;
	if (a->st->loading) { /* each credential says for itself what became of it */
		s->confirmed_index = (uint64_t)a->r->n[MF_RN_CLOUD_COMPLETED];
		s->dead_at = a->r->n[MF_RN_CLOUD_DEAD_AT];
		mf_list_add_tail(&a->st->sessions, &s->at);
		return MF_OK;
	}
	if (former != NULL)
		forget(former);
	forget_old(a->st);
	mf_list_add_tail(&a->st->sessions, &s->at);
	MF_LIST_EACH(p, &a->st->clouds_order)
	{
		struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (strcmp(c->target, s->target) == 0 && strcmp(c->role, s->role) == 0)
			end(a, before, c);
	}
	return MF_OK;
}

void
mf_state_sessions_heard(const struct step *a)
{
	struct mf_sessions *s = find(a->st, str(a, MF_RS_CLOUD_TARGET), str(a, MF_RS_CLOUD_ROLE));
	if (s == NULL)
		return;
	if (!mf_record_has_num(a->r, MF_RN_CLOUD_BEFORE)) {
		if (s->until <= a->r->ts_us / 1000000)
			forget(s); /* the list that was written has nothing of it any more */
	} else if (a->r->n[MF_RN_CLOUD_BEFORE] >= s->before) {
		s->confirmed_index = a->index;
		s->dead_at = a->r->n[MF_RN_CLOUD_DEAD_AT];
	}
}

void
mf_state_put_sessions(const struct mf_state *st, struct mf_snapshot_out *out)
{
	MF_LIST_EACH(p, &st->sessions)
	{
		const struct mf_sessions *s = MF_LIST_ITEM(p, struct mf_sessions, at);
		struct mf_record r = { .type = MF_REC_SESSIONS_ENDED };
		mf_record_set_str(&r, MF_RS_ACTOR_KIND, "-");
		mf_record_set_str(&r, MF_RS_CLOUD_TARGET, s->target);
		mf_record_set_str(&r, MF_RS_CLOUD_ROLE, s->role);
		mf_record_set_str(&r, MF_RS_CLOUD_BACKEND, s->backend);
		mf_record_set_num(&r, MF_RN_CLOUD_BEFORE, s->before);
		mf_record_set_num(&r, MF_RN_UNTIL, s->until);
		if (s->confirmed_index != 0) {
			mf_record_set_num(&r, MF_RN_CLOUD_COMPLETED, (int64_t)s->confirmed_index);
			mf_record_set_num(&r, MF_RN_CLOUD_DEAD_AT, s->dead_at);
		}
		out->line(out->to, s->index, &r, s->set_us);
	}
}
