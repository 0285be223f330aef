/* Credentials and grants that were ended by themselves, while their lease goes on; and finding a credential by its id. */
#include <stdlib.h>

#include "broker/core/state_step.h"

const struct mf_final *
mf_lease_final(const struct mf_lease *l, const char *subject)
{
	MF_LIST_EACH(p, &l->finals)
	{
		const struct mf_final *f = MF_LIST_ITEM(p, struct mf_final, at);
		if (strcmp(f->subject, subject) == 0)
			return f;
	}
	return NULL;
}

bool
mf_cred_is_live(const struct mf_cred *c, const struct mf_lease *l)
{
	return mf_lease_may_renew(l->state) && c->epoch == l->epoch && c->ended_us == 0;
}

static void
final_free(struct mf_final *f)
{
	free(f->subject);
	free(f);
}

void
mf_state_free_finals(struct mf_lease *l)
{
	MF_LIST_EACH(p, &l->finals)
	{
		mf_list_del(p);
		final_free(MF_LIST_ITEM(p, struct mf_final, at));
	}
}

/* ---- the records ---- */

static void
end_svid(const struct step *a, struct mf_cred *c)
{
	if (c->ended_us != 0)
		return;
	c->ended_us = a->r->ts_us;
	c->ended_index = a->index;
}

static void
end_cloud(const struct step *a, struct mf_cloud_cred *c)
{
	mf_state_cloud_end(c, a->r->ts_us, a->index);
	c->asked = true;
}

enum mf_status
mf_state_credential_ended(const struct step *a)
{
	struct mf_cloud_cred *cloud = NULL;
	struct mf_slice id = str(a, MF_RS_SERIAL);
	HASH_FIND(hh, a->st->clouds, id.p, id.n, cloud);
	if (cloud != NULL) {
		end_cloud(a, cloud);
		return MF_OK;
	}
	struct mf_lease *l = find_lease(a);
	if (l == NULL)
		return broken(a, "no such lease");
	MF_LIST_EACH(p, &l->creds)
	{
		struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (!mf_slice_eq_str(id, c->serial))
			continue;
		end_svid(a, c);
		return MF_OK;
	}
	return broken(a, "no such credential");
}

static bool
is_grant_of(struct mf_slice subject, const struct mf_cloud_cred *c)
{
	const struct mf_slice kind = MF_SLICE_LIT("cloud:");
	return mf_slice_starts(subject, kind) &&
	       mf_slice_eq_str(mf_slice_sub(subject, kind.n, subject.n), c->grant);
}

/* What the lease has by it goes with it; in a snapshot each says so itself. */
static void
end_all(const struct step *a, struct mf_lease *l)
{
	MF_LIST_EACH(p, &l->creds)
	{
		struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (mf_slice_eq_str(str(a, MF_RS_SUBJECT), c->spiffe_id))
			end_svid(a, c);
	}
	MF_LIST_EACH(p, &l->clouds)
	{
		struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease);
		if (is_grant_of(str(a, MF_RS_SUBJECT), c) && c->state <= MF_CLOUD_SUPERSEDED)
			end_cloud(a, c);
	}
}

enum mf_status
mf_state_grant_ended(const struct step *a)
{
	struct mf_lease *l = find_lease(a);
	if (l == NULL)
		return broken(a, "no such lease");
	struct mf_final *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return no_memory(a);
	f->subject = mf_state_dup(str(a, MF_RS_SUBJECT));
	f->slot = mf_record_has_num(a->r, MF_RN_SLOT) ? a->r->n[MF_RN_SLOT] : -1;
	f->set_us = a->r->ts_us;
	f->index = a->index;
	if (f->subject == NULL) {
		free(f);
		return no_memory(a);
	}
	if (mf_lease_final(l, f->subject) != NULL) {
		final_free(f);
		return broken(a, "it was ended before");
	}
	mf_list_add_tail(&l->finals, &f->at);
	if (!a->st->loading)
		end_all(a, l);
	return MF_OK;
}

/* ---- snapshots ---- */

void
mf_state_put_ended(const struct mf_lease *l, struct mf_snapshot_out *out)
{
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		struct mf_record r = { .type = MF_REC_CREDENTIAL_ENDED };
		if (c->ended_us == 0)
			continue;
		mf_record_set_str(&r, MF_RS_ACTOR_KIND, "-");
		mf_record_set_str(&r, MF_RS_LEASE, l->id);
		mf_record_set_str(&r, MF_RS_JOB_ID, l->job->id);
		mf_record_set_str(&r, MF_RS_SERIAL, c->serial);
		mf_record_set_str(&r, MF_RS_CAUSE, "-");
		mf_record_set_num(&r, MF_RN_EXP, c->exp);
		out->line(out->to, c->ended_index, &r, c->ended_us);
	}
	MF_LIST_EACH(p, &l->finals)
	{
		const struct mf_final *f = MF_LIST_ITEM(p, struct mf_final, at);
		struct mf_record r = { .type = MF_REC_GRANT_ENDED };
		mf_record_set_str(&r, MF_RS_ACTOR_KIND, "-");
		mf_record_set_str(&r, MF_RS_LEASE, l->id);
		mf_record_set_str(&r, MF_RS_JOB_ID, l->job->id);
		mf_record_set_str(&r, MF_RS_SUBJECT, f->subject);
		mf_record_set_str(&r, MF_RS_CAUSE, "-");
		if (f->slot >= 0)
			mf_record_set_num(&r, MF_RN_SLOT, f->slot);
		out->line(out->to, f->index, &r, f->set_us);
	}
}

/* ---- finding ---- */

struct look {
	struct mf_slice typed;
	struct mf_found *found;
	size_t n;
	bool exact;
};

/* False: the very one was found before. */
static bool
fits(struct look *k, const char *id)
{
	struct mf_slice s = mf_slice_str(id);
	if (k->exact || !mf_slice_starts(s, k->typed))
		return false;
	k->exact = s.n == k->typed.n;
	k->n = k->exact ? 1 : k->n + 1;
	return true;
}

static void
look_through(struct look *k, const struct mf_list *creds, const struct mf_lease *l, const struct mf_node *n)
{
	MF_LIST_EACH(p, creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (fits(k, c->serial))
			*k->found = (struct mf_found) { .cred = c, .lease = l, .node = n };
	}
}

size_t
mf_state_find_cred(const struct mf_state *st, struct mf_slice typed, struct mf_found *ret)
{
	struct look k = { .typed = typed, .found = ret };
	if (typed.n == 0)
		return 0;
	MF_LIST_EACH(p, mf_state_clouds(st))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (fits(&k, c->id))
			*ret = (struct mf_found) { .cloud = c, .lease = c->lease };
	}
	for (const struct mf_lease *l = mf_state_next_lease(st, NULL); l != NULL;
	     l = mf_state_next_lease(st, l))
		look_through(&k, &l->creds, l, NULL);
	for (const struct mf_node *n = mf_state_next_node(st, NULL); n != NULL; n = mf_state_next_node(st, n))
		look_through(&k, &n->creds, NULL, n);
	look_through(&k, mf_state_broker_creds(st), NULL, NULL);
	return k.n;
}
