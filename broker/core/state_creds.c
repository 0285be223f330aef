/* What the records of credentials do to the tables. */
#include <stdlib.h>

#include "broker/core/state_step.h"

/* Does something that is still there continue ${c}? A snapshot must be able to say what it continues. */
static bool
is_continued(const struct mf_list *creds, const struct mf_cred *c)
{
	MF_LIST_EACH(p, creds)
	{
		const struct mf_cred *x = MF_LIST_ITEM(p, struct mf_cred, at);
		if (x != c && x->of == c->index)
			return true;
	}
	return false;
}

static bool
has_all(char *const *list, char *const *of, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;
		while (k < n && strcmp(list[k], of[i]) != 0)
			k++;
		if (k == n)
			return false;
	}
	return true;
}

/* The same audiences, in any order. */
static bool
is_for(const struct mf_cred *c, char *const *aud, size_t n)
{
	return c->kid[0] != '\0' && n > 0 && c->aud_n == n && has_all(c->aud, aud, n) &&
	       has_all(aud, c->aud, n);
}

bool
mf_lease_had_audiences(const struct mf_lease *l, uint32_t slot, char *const *aud, size_t n)
{
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (c->slot == slot && is_for(c, aud, n) &&
		    (!l->job->ending || c->exp * 1000000 >= l->job->ending_us))
			return true;
	}
	return false;
}

/* While a job is ending, the latest token of each kind that it had is what says that another may be made. */
static bool
speaks_for_renewal(const struct mf_list *creds, const struct mf_lease *l, const struct mf_cred *c)
{
	if (l == NULL || l->state != MF_LEASE_ENDING || c->kid[0] == '\0' ||
	    c->exp * 1000000 < l->job->ending_us)
		return false;
	MF_LIST_EACH(p, creds)
	{
		const struct mf_cred *x = MF_LIST_ITEM(p, struct mf_cred, at);
		if (x->index > c->index && x->slot == c->slot && is_for(x, c->aud, c->aud_n))
			return false;
	}
	return true;
}

static bool
is_head(const struct mf_lease *l, const struct mf_cred *c)
{
	return l != NULL && c->slot < MF_LIM_IDENTITIES && l->slot_used[c->slot] &&
	       l->slot_index[c->slot] == c->index;
}

/*
 * What has expired is forgotten, but for the svid.issued that later generations of its slot continue, and what an
 * ending job's renewals rest on. True: looking again at the same time may find more.
 */
static bool
drop_expired(struct mf_list *creds, const struct mf_lease *l, int64_t now_us)
{
	bool more = false;
	MF_LIST_EACH(p, creds)
	{
		struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (c->exp * 1000000 >= now_us || is_head(l, c))
			continue;
		more = true;
		if ((c->of == c->index && is_continued(creds, c)) || speaks_for_renewal(creds, l, c))
			continue;
		mf_list_del(p);
		mf_cred_free(c);
	}
	return more;
}

/* As drop_expired, which need not look as long as the first of them has not expired, and no slot has another head. */
static void
drop_expired_of(struct mf_lease *l, int64_t now_us)
{
	if (now_us <= l->creds_due_us)
		return;
	bool more = drop_expired(&l->creds, l, now_us);
	l->creds_n = 0;
	l->creds_due_us = INT64_MAX;
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		l->creds_n++;
		if (!is_head(l, c) && c->exp * 1000000 < l->creds_due_us)
			l->creds_due_us = c->exp * 1000000;
	}
	if (more)
		l->creds_due_us = 0;
}

static enum mf_status
new_cred(const struct step *a, struct mf_cred **ret_c)
{
	struct mf_cred *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return no_memory(a);
	mf_list_init(&c->at);
	c->nbf = a->r->n[MF_RN_NBF];
	c->exp = a->r->n[MF_RN_EXP];
	c->index = c->of = a->index;
	c->issued_us = a->r->ts_us;
	if (!mf_state_copy(c->serial, sizeof(c->serial), str(a, MF_RS_SERIAL)) ||
	    (a->r->type == MF_REC_JWT_ISSUED
		    ? !mf_state_copy(c->sha256, sizeof(c->sha256), str(a, MF_RS_SHA256))
		    : !mf_state_copy(c->der, sizeof(c->der), str(a, MF_RS_DER)) ||
			  !mf_state_copy(c->spki, sizeof(c->spki), str(a, MF_RS_SPKI)))) {
		mf_cred_free(c);
		return broken(a, "a value is too long");
	}
	enum mf_status s = mf_state_signed_by(a->st, a->index, a->r, c, a->err);
	if (s != MF_OK)
		mf_cred_free(c);
	else
		*ret_c = c;
	return s;
}

static void
add_generation(const struct step *a, struct mf_lease *l, struct mf_cred *c)
{
	if (!a->st->loading)
		drop_expired_of(l, a->r->ts_us);
	/* The one before it has superseded all others. A token is no generation: it is good until its own time is over. */
	for (struct mf_list *p = l->creds.prev; p != &l->creds && c->kid[0] == '\0'; p = p->prev) {
		struct mf_cred *old = MF_LIST_ITEM(p, struct mf_cred, at);
		if (old->slot != c->slot || old->kid[0] != '\0')
			continue;
		old->superseded = true;
		break;
	}
	mf_list_add_tail(&l->creds, &c->at);
	l->creds_n++;
	if (c->exp * 1000000 < l->creds_due_us)
		l->creds_due_us = c->exp * 1000000;
}

enum mf_status
mf_state_svid_issued(const struct step *a)
{
	struct mf_cred *c;
	struct mf_list *creds = &a->st->broker_creds;
	struct mf_lease *l = NULL;
	uint64_t slot = (uint64_t)a->r->n[MF_RN_SLOT];
	if (mf_slice_eq_str(str(a, MF_RS_HOLDER), "job")) {
		l = find_lease(a);
		if (l == NULL || slot >= MF_LIM_IDENTITIES || !mf_record_has_num(a->r, MF_RN_EPOCH))
			return broken(a, "no such lease or slot");
		if (!a->st->loading && (!mf_lease_may_grant(l->state) || a->r->n[MF_RN_EPOCH] != l->epoch))
			return broken(a, "issued for a lease that is not open in this epoch");
	} else if (mf_slice_eq_str(str(a, MF_RS_HOLDER), "node")) {
		struct mf_node *n = find_node(a);
		if (n == NULL || (n->evicted && !a->st->loading))
			return broken(a, "issued for an unknown or evicted node");
		creds = &n->creds;
	}
	MF_TRY(new_cred(a, &c));
	c->slot = (uint32_t)slot;
	c->epoch = mf_record_has_num(a->r, MF_RN_EPOCH) ? (uint32_t)a->r->n[MF_RN_EPOCH] : 0;
	c->spiffe_id = mf_state_dup(str(a, MF_RS_SPIFFE_ID));
	c->hint = mf_state_dup(str(a, MF_RS_HINT));
	if (c->spiffe_id == NULL || c->hint == NULL) {
		mf_cred_free(c);
		return no_memory(a);
	}
	if (l != NULL) {
		if (c->epoch == l->epoch) {
			l->slot_used[slot] = true;
			l->slot_index[slot] = a->index;
			l->creds_due_us = 0; /* the head before it may be forgotten */
		}
		add_generation(a, l, c);
	} else {
		if (!a->st->loading)
			(void)drop_expired(creds, NULL, a->r->ts_us);
		mf_list_add_tail(creds, &c->at);
	}
	return MF_OK;
}

enum mf_status
mf_state_svid_renewed(const struct step *a)
{
	struct mf_lease *l = find_lease(a);
	if (l == NULL || (!a->st->loading && !mf_lease_may_renew(l->state)))
		return broken(a, "renewed for a lease that is not open");
	const struct mf_cred *first = NULL;
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (c->index != (uint64_t)a->r->n[MF_RN_OF] || c->of != c->index)
			continue;
		first = c;
		break;
	}
	if (first == NULL || (!a->st->loading && first->epoch != l->epoch))
		return broken(a, "continues a certificate that this lease does not have");
	struct mf_cred *c;
	MF_TRY(new_cred(a, &c));
	c->of = first->index;
	c->slot = first->slot;
	c->epoch = first->epoch;
	c->spiffe_id = first->spiffe_id;
	c->hint = first->hint;
	add_generation(a, l, c);
	return MF_OK;
}

enum mf_status
mf_state_jwt_issued(const struct step *a)
{
	struct mf_cred *c;
	struct mf_lease *l = find_lease(a);
	uint64_t slot = (uint64_t)a->r->n[MF_RN_SLOT];
	if (l == NULL || slot >= MF_LIM_IDENTITIES)
		return broken(a, "no such lease or slot");
	if (!a->st->loading && (!mf_lease_may_renew(l->state) || a->r->n[MF_RN_EPOCH] != l->epoch))
		return broken(a, "issued for a lease that is not open in this epoch");
	MF_TRY(new_cred(a, &c));
	c->slot = (uint32_t)slot;
	c->epoch = (uint32_t)a->r->n[MF_RN_EPOCH];
	c->spiffe_id = mf_state_dup(str(a, MF_RS_SPIFFE_ID));
	c->hint = mf_state_dup(str(a, MF_RS_HINT));
	c->aud = mf_state_dup_list(a->r->aud, a->r->aud_n);
	c->aud_n = c->aud == NULL ? 0 : a->r->aud_n;
	bool fits = mf_state_copy(c->kid, sizeof(c->kid), str(a, MF_RS_KID));
	if (c->spiffe_id == NULL || c->hint == NULL || !fits || c->aud_n != a->r->aud_n) {
		mf_cred_free(c);
		return fits ? no_memory(a) : broken(a, "a value is too long");
	}
	add_generation(a, l, c);
	return MF_OK;
}
