/* What the records of keys do to the tables. */
#include <stdlib.h>

#include "base/text.h"
#include "broker/core/state_internal.h"

static const char *const names[] = {
	[MF_KEY_PREPARED] = "prepared",
	[MF_KEY_ACTIVE] = "active",
	[MF_KEY_RETIRED] = "retired",
	[MF_KEY_TAINTED] = "tainted",
	[MF_KEY_REVOKED] = "revoked",
	[MF_KEY_GONE] = "gone",
};

const char *
mf_key_state_name(enum mf_key_state s)
{
	return (unsigned)s < MF_KEY_STATES ? names[s] : "unknown";
}

bool
mf_key_published(const struct mf_key *k)
{
	return k->state <= MF_KEY_TAINTED && k->use->bundle != MF_KEY_IN_NONE;
}

bool
mf_key_distrusted(const struct mf_key *k)
{
	return k->state == MF_KEY_TAINTED || k->state == MF_KEY_REVOKED;
}

void
mf_key_free(struct mf_key *k)
{
	if (k == NULL)
		return;
	free(k->certificate);
	free(k->anchor);
	free(k->jwk);
	free(k);
}

/* ---- look-ups ---- */

const struct mf_key *
mf_state_next_key(const struct mf_state *st, const struct mf_key *after)
{
	struct mf_list *p = after == NULL ? st->keys.next : after->at.next;
	return p == &st->keys ? NULL : MF_LIST_ITEM(p, struct mf_key, at);
}

const struct mf_key *
mf_state_key(const struct mf_state *st, struct mf_slice id)
{
	for (const struct mf_key *k = mf_state_next_key(st, NULL); k != NULL; k = mf_state_next_key(st, k))
		if (mf_slice_eq_str(id, k->id))
			return k;
	return NULL;
}

static struct mf_key *
in_state(const struct mf_state *st, const struct mf_key_use *use, enum mf_key_state s)
{
	MF_LIST_EACH(p, &st->keys)
	{
		struct mf_key *k = MF_LIST_ITEM(p, struct mf_key, at);
		if (k->state == s && k->use == use)
			return k;
	}
	return NULL;
}

const struct mf_key *
mf_state_active_key(const struct mf_state *st, const char *use)
{
	return in_state(st, mf_key_use_find(mf_slice_str(use)), MF_KEY_ACTIVE);
}

const struct mf_key *
mf_state_prepared_key(const struct mf_state *st, const char *use)
{
	return in_state(st, mf_key_use_find(mf_slice_str(use)), MF_KEY_PREPARED);
}

uint64_t
mf_state_bundle(const struct mf_state *st, enum mf_key_bundle which)
{
	return st->bundle[which];
}

static bool
has_jwt_keys(const struct mf_state *st)
{
	for (const struct mf_key *k = mf_state_next_key(st, NULL); k != NULL; k = mf_state_next_key(st, k))
		if (k->use->bundle == MF_KEY_IN_JWT)
			return true;
	return false;
}

/* A token names its key. NULL and MF_OK: a log of a release that did not record JWT keys. */
static enum mf_status
signer_of_token(
    struct mf_state *st, uint64_t index, struct mf_slice kid, struct mf_key **ret_k, struct mf_err *err)
{
	*ret_k = NULL;
	MF_LIST_EACH(p, &st->keys)
	{
		struct mf_key *k = MF_LIST_ITEM(p, struct mf_key, at);
		if (k->use->bundle == MF_KEY_IN_JWT && k->state == MF_KEY_ACTIVE &&
		    mf_slice_eq_str(kid, k->id))
			*ret_k = k;
	}
	if (*ret_k == NULL && has_jwt_keys(st))
		return MF_FAIL(err, MF_E_CORRUPT, "log record %llu: a token of a key that is not active",
		    (unsigned long long)index);
	return MF_OK;
}

/* By the key that is active at this place of the log: the order of the log says who signed a certificate. */
enum mf_status
mf_state_signed_by(
    struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_cred *c, struct mf_err *err)
{
	struct mf_key *k = in_state(st, mf_key_use_find(MF_SLICE_LIT(MF_KEY_USE_X509)), MF_KEY_ACTIVE);
	bool says = mf_record_has_num(r, MF_RN_CA);
	if (st->loading) {
		c->key = says ? (uint64_t)r->n[MF_RN_CA] : 0;
		return MF_OK;
	}
	if (r->type == MF_REC_JWT_ISSUED)
		MF_TRY(signer_of_token(st, index, r->s[MF_RS_KID], &k, err));
	c->key = k == NULL ? 0 : k->index;
	if (says && (uint64_t)r->n[MF_RN_CA] != c->key)
		return MF_FAIL(err, MF_E_CORRUPT,
		    "log record %llu (%s): signed by a key that is not the active one",
		    (unsigned long long)index, mf_record_type_name(r->type));
	if (k != NULL && c->exp > k->last_exp)
		k->last_exp = c->exp;
	return MF_OK;
}

/* ---- records ---- */

struct key_step {
	struct mf_state *st;
	const struct mf_record *r;
	uint64_t index;
	struct mf_err *err;
	struct mf_key *k; /* NULL: key.prepared */
};

static enum mf_status
broken(const struct key_step *a, const char *why)
{
	return MF_FAIL(a->err, MF_E_CORRUPT, "log record %llu (%s): %s", (unsigned long long)a->index,
	    mf_record_type_name(a->r->type), why);
}

static enum mf_status
no_memory(const struct key_step *a)
{
	return MF_FAIL(a->err, MF_E_NOMEM, "log record %llu: out of memory", (unsigned long long)a->index);
}

/* A bundle's number is never given twice: it grows with every change, over restarts as well. */
static enum mf_status
number_bundle(const struct key_step *a, const struct mf_key_use *use)
{
	uint64_t n = (uint64_t)a->r->n[MF_RN_BUNDLE], *last = &a->st->bundle[use->bundle];
	/* A release that published no OIDC documents numbered none. */
	if (use->bundle == MF_KEY_IN_OIDC && n == 0 && *last == 0)
		return MF_OK;
	if (use->bundle == MF_KEY_IN_NONE)
		return n == 0 ? MF_OK : broken(a, "a key of this use is in no bundle");
	if (!a->st->loading && n <= *last)
		return broken(a, "the bundle's number does not grow");
	if (n > *last)
		*last = n;
	return MF_OK;
}

static enum mf_status
take_der(const struct key_step *a, enum mf_record_str f, uint8_t **ret_p, size_t *ret_n)
{
	struct mf_buf b;
	if (a->r->s[f].n == 0)
		return MF_OK;
	mf_buf_init(&b, MF_LIM_RECORD);
	if (mf_base64url_get(a->r->s[f], &b, NULL) != MF_OK || mf_buf_check(&b, NULL) != MF_OK || b.n == 0) {
		mf_buf_fini(&b);
		return broken(a, "a certificate is not base64url");
	}
	*ret_p = malloc(b.n);
	if (*ret_p != NULL)
		memcpy(*ret_p, b.p, b.n);
	*ret_n = b.n;
	mf_buf_fini(&b);
	return *ret_p == NULL ? no_memory(a) : MF_OK;
}

static enum mf_status
fill(const struct key_step *a, struct mf_key *k)
{
	const struct mf_record *r = a->r;
	bool x509 = mf_key_use_is_x509(k->use);
	if (!mf_state_copy(k->id, sizeof(k->id), r->s[MF_RS_KEY_ID]))
		return broken(a, "an id is too long");
	if ((r->s[MF_RS_CERTIFICATE].n > 0) != x509 || (r->s[MF_RS_JWK].n > 0) == x509 ||
	    (r->s[MF_RS_ANCHOR].n > 0 && !x509))
		return broken(a, "its public half is not of the kind that its use has");
	if (!x509 && (!mf_slice_starts(r->s[MF_RS_JWK], MF_SLICE_LIT("{\"")) ||
			 r->s[MF_RS_JWK].p[r->s[MF_RS_JWK].n - 1] != '}'))
		return broken(a, "its jwk is not an object");
	k->nbf = r->n[MF_RN_NBF];
	k->exp = r->n[MF_RN_EXP];
	k->last_exp = r->n[MF_RN_LAST_EXP];
	k->bundle = (uint64_t)r->n[MF_RN_BUNDLE];
	k->prepared_us = r->ts_us;
	k->index = a->index;
	if (!x509 && (k->jwk = mf_state_dup(r->s[MF_RS_JWK])) == NULL)
		return no_memory(a);
	MF_TRY(take_der(a, MF_RS_CERTIFICATE, &k->certificate, &k->certificate_n));
	return take_der(a, MF_RS_ANCHOR, &k->anchor, &k->anchor_n);
}

static enum mf_status
prepared(const struct key_step *a)
{
	const struct mf_key_use *use = mf_key_use_find(a->r->s[MF_RS_KEY_USE]);
	if (use == NULL)
		return broken(a, "a use that this release does not know");
	if (mf_state_key(a->st, a->r->s[MF_RS_KEY_ID]) != NULL)
		return broken(a, "the key exists");
	if (!a->st->loading && in_state(a->st, use, MF_KEY_PREPARED) != NULL)
		return broken(a, "another key is prepared already");
	struct mf_key *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return no_memory(a);
	mf_list_init(&k->at);
	k->use = use;
	enum mf_status s = fill(a, k);
	if (s == MF_OK)
		s = number_bundle(a, use);
	if (s != MF_OK) {
		mf_key_free(k);
		return s;
	}
	mf_list_add_tail(&a->st->keys, &k->at);
	return MF_OK;
}

static enum mf_status
activated(const struct key_step *a)
{
	struct mf_key *old = in_state(a->st, a->k->use, MF_KEY_ACTIVE);
	if (a->k->state != MF_KEY_PREPARED)
		return broken(a, "the key is not prepared");
	if (old != NULL)
		old->state = MF_KEY_RETIRED;
	a->k->state = MF_KEY_ACTIVE;
	a->k->activated_us = a->r->ts_us;
	a->k->activated_index = a->index;
	return MF_OK;
}

static enum mf_status
tainted(const struct key_step *a)
{
	if (a->k->state != MF_KEY_RETIRED && a->k->state != MF_KEY_PREPARED)
		return broken(a, "only a retired or a prepared key is tainted");
	a->k->state = MF_KEY_TAINTED;
	a->k->tainted_us = a->r->ts_us;
	a->k->tainted_index = a->index;
	return MF_OK;
}

static enum mf_status
revoked(const struct key_step *a)
{
	if (a->k->state != MF_KEY_TAINTED)
		return broken(a, "only a tainted key is revoked");
	MF_TRY(number_bundle(a, a->k->use));
	a->k->state = MF_KEY_REVOKED;
	a->k->revoked_us = a->r->ts_us;
	a->k->revoked_index = a->index;
	a->k->gone_bundle = (uint64_t)a->r->n[MF_RN_BUNDLE];
	return MF_OK;
}

static enum mf_status
removed(const struct key_step *a)
{
	if (a->k->state == MF_KEY_GONE || (a->k->state <= MF_KEY_ACTIVE && !a->st->loading))
		return broken(a, "a key that is in use, or gone, does not go");
	if (mf_key_published(a->k)) {
		MF_TRY(number_bundle(a, a->k->use));
		a->k->gone_bundle = (uint64_t)a->r->n[MF_RN_BUNDLE];
	}
	a->k->state = MF_KEY_GONE;
	a->k->gone_us = a->r->ts_us;
	a->k->gone_index = a->index;
	return MF_OK;
}

enum mf_status
mf_state_apply_key(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	struct mf_key *k = NULL;
	MF_LIST_EACH(p, &st->keys)
	if (mf_slice_eq_str(r->s[MF_RS_KEY_ID], MF_LIST_ITEM(p, struct mf_key, at)->id))
		k = MF_LIST_ITEM(p, struct mf_key, at);
	struct key_step a = { st, r, index, err, k };
	if (r->type == MF_REC_KEY_PREPARED)
		return prepared(&a);
	if (k == NULL || !mf_slice_eq_str(r->s[MF_RS_KEY_USE], k->use->name))
		return broken(&a, "no such key");
	switch (r->type) {
	case MF_REC_KEY_ACTIVATED:
		return activated(&a);
	case MF_REC_KEY_TAINTED:
		return tainted(&a);
	case MF_REC_KEY_REVOKED:
		return revoked(&a);
	default:
		return removed(&a);
	}
}

void
mf_state_forget_keys(struct mf_state *st)
{
	MF_LIST_EACH(p, &st->keys)
	{
		struct mf_key *k = MF_LIST_ITEM(p, struct mf_key, at);
		if (k->state != MF_KEY_GONE || k->gone_us >= st->last_us - MF_STATE_TOMBSTONE_US)
			continue;
		mf_list_del(p);
		mf_key_free(k);
	}
}

/* ---- the same as lines of a snapshot ---- */

static void
put_step(struct mf_snapshot_out *out, enum mf_record_type type, const struct mf_key *k, uint64_t index,
    int64_t ts_us, uint64_t bundle)
{
	struct mf_record r = { .type = type };
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "-");
	mf_record_set_str(&r, MF_RS_KEY_ID, k->id);
	mf_record_set_str(&r, MF_RS_KEY_USE, k->use->name);
	if (bundle != 0 || type == MF_REC_KEY_REVOKED)
		mf_record_set_num(&r, MF_RN_BUNDLE, (int64_t)bundle);
	out->line(out->to, index, &r, ts_us);
}

static void
put_prepared(struct mf_snapshot_out *out, const struct mf_key *k)
{
	struct mf_record r = { .type = MF_REC_KEY_PREPARED };
	struct mf_buf cert, anchor;
	mf_buf_init(&cert, MF_LIM_RECORD);
	mf_buf_init(&anchor, MF_LIM_RECORD);
	mf_base64url_put(&cert, mf_slice(k->certificate, k->certificate_n));
	mf_base64url_put(&anchor, mf_slice(k->anchor, k->anchor_n));
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "-");
	mf_record_set_str(&r, MF_RS_KEY_ID, k->id);
	mf_record_set_str(&r, MF_RS_KEY_USE, k->use->name);
	mf_record_set(&r, MF_RS_CERTIFICATE, mf_buf_slice(&cert));
	mf_record_set(&r, MF_RS_ANCHOR, mf_buf_slice(&anchor));
	if (k->jwk != NULL)
		mf_record_set_str(&r, MF_RS_JWK, k->jwk);
	mf_record_set_num(&r, MF_RN_NBF, k->nbf);
	mf_record_set_num(&r, MF_RN_EXP, k->exp);
	mf_record_set_num(&r, MF_RN_BUNDLE, (int64_t)k->bundle);
	if (k->last_exp != 0)
		mf_record_set_num(&r, MF_RN_LAST_EXP, k->last_exp);
	if (cert.failed != MF_OK || anchor.failed != MF_OK)
		out->to->failed = MF_E_NOMEM;
	else
		out->line(out->to, k->index, &r, k->prepared_us);
	mf_buf_fini(&cert);
	mf_buf_fini(&anchor);
}

/* The activations in their order: each retires the one before. */
static void
put_activations(struct mf_snapshot_out *out, const struct mf_state *st)
{
	for (uint64_t done = 0;;) {
		const struct mf_key *next = NULL;
		for (const struct mf_key *k = mf_state_next_key(st, NULL); k != NULL;
		     k = mf_state_next_key(st, k))
			if (k->activated_index > done &&
			    (next == NULL || k->activated_index < next->activated_index))
				next = k;
		if (next == NULL)
			return;
		put_step(out, MF_REC_KEY_ACTIVATED, next, next->activated_index, next->activated_us, 0);
		done = next->activated_index;
	}
}

void
mf_state_put_keys(const struct mf_state *st, struct mf_snapshot_out *out)
{
	for (const struct mf_key *k = mf_state_next_key(st, NULL); k != NULL; k = mf_state_next_key(st, k))
		put_prepared(out, k);
	put_activations(out, st);
	for (const struct mf_key *k = mf_state_next_key(st, NULL); k != NULL; k = mf_state_next_key(st, k)) {
		if (k->tainted_index != 0)
			put_step(out, MF_REC_KEY_TAINTED, k, k->tainted_index, k->tainted_us, 0);
		if (k->revoked_index != 0)
			put_step(out, MF_REC_KEY_REVOKED, k, k->revoked_index, k->revoked_us, k->gone_bundle);
		if (k->gone_index != 0)
			put_step(out, MF_REC_KEY_REMOVED, k, k->gone_index, k->gone_us,
			    k->revoked_index != 0 ? 0 : k->gone_bundle);
	}
}
