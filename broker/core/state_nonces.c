/* Nonces of signed admin acts: each is used once, and remembered until its act could not be done any more anyway. */
#include <stdlib.h>

#include "broker/core/state_internal.h"

static struct mf_nonce *
find(const struct mf_state *st, struct mf_slice nonce)
{
	MF_LIST_EACH(p, &st->nonces)
	{
		struct mf_nonce *n = MF_LIST_ITEM(p, struct mf_nonce, at);
		if (mf_slice_eq_str(nonce, n->text))
			return n;
	}
	return NULL;
}

bool
mf_state_nonce(const struct mf_state *st, struct mf_slice nonce)
{
	return find(st, nonce) != NULL;
}

const struct mf_list *
mf_state_nonces(const struct mf_state *st)
{
	return &st->nonces;
}

/* Few at a time: people sign them. Those that are over go first. */
enum mf_status
mf_state_use_nonce(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	struct mf_slice text = r->s[MF_RS_NONCE];
	MF_LIST_EACH(p, &st->nonces)
	{
		struct mf_nonce *n = MF_LIST_ITEM(p, struct mf_nonce, at);
		if (!st->loading && n->expires * 1000000 < st->last_us) {
			mf_list_del(&n->at);
			free(n);
		}
	}
	if (find(st, text) != NULL)
		return MF_FAIL(
		    err, MF_E_CORRUPT, "record %llu: a nonce is used twice", (unsigned long long)index);
	struct mf_nonce *n = calloc(1, sizeof(*n));
	if (n == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "state: out of memory");
	if (!mf_state_copy(n->text, sizeof(n->text), text)) {
		free(n);
		return MF_FAIL(
		    err, MF_E_CORRUPT, "record %llu: a nonce is too long", (unsigned long long)index);
	}
	n->expires = r->n[MF_RN_EXPIRES];
	n->index = index;
	n->used_us = r->ts_us;
	mf_list_add_tail(&st->nonces, &n->at);
	return MF_OK;
}

void
mf_state_free_nonces(struct mf_state *st)
{
	MF_LIST_EACH(p, &st->nonces)
	{
		struct mf_nonce *n = MF_LIST_ITEM(p, struct mf_nonce, at);
		mf_list_del(&n->at);
		free(n);
	}
}
