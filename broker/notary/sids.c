#include "broker/notary/sids.h"

#include <stdlib.h>

#include "base/map.h"

struct sid {
	uint64_t inner, outer;
	uint32_t credit;
	bool begun;
	bool map_oom;
	UT_hash_handle hh, hh_outer;
};

struct mf_sids {
	struct sid *by_inner, *by_outer;
	size_t max;
	uint64_t last;
};

enum mf_status
mf_sids_new(size_t max, struct mf_sids **ret_s, struct mf_err *err)
{
	struct mf_sids *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "sessions: out of memory");
	s->max = max;
	*ret_s = s;
	return MF_OK;
}

void
mf_sids_close_all(struct mf_sids *s)
{
	struct sid *x, *t;
	HASH_CLEAR(hh_outer, s->by_outer);
	HASH_ITER(hh, s->by_inner, x, t)
	{
		HASH_DELETE(hh, s->by_inner, x);
		free(x);
	}
}

void
mf_sids_free(struct mf_sids *s)
{
	if (s == NULL)
		return;
	mf_sids_close_all(s);
	free(s);
}

static struct sid *
find(const struct mf_sids *s, uint64_t inner)
{
	struct sid *x = NULL;
	HASH_FIND(hh, s->by_inner, &inner, sizeof(inner), x);
	return x;
}

uint64_t
mf_sids_inner(const struct mf_sids *s, uint64_t outer)
{
	struct sid *x = NULL;
	HASH_FIND(hh_outer, s->by_outer, &outer, sizeof(outer), x);
	return x == NULL ? 0 : x->inner;
}

bool
mf_sids_open(struct mf_sids *s, uint64_t outer)
{
	if (mf_sids_inner(s, outer) != 0)
		return true;
	struct sid *x = HASH_COUNT(s->by_inner) >= s->max ? NULL : calloc(1, sizeof(*x));
	if (x == NULL)
		return false;
	x->inner = ++s->last;
	x->outer = outer;
	HASH_ADD(hh, s->by_inner, inner, sizeof(x->inner), x);
	if (x->map_oom) {
		free(x);
		return false;
	}
	HASH_ADD(hh_outer, s->by_outer, outer, sizeof(x->outer), x);
	if (x->map_oom) {
		HASH_DELETE(hh, s->by_inner, x);
		free(x);
		return false;
	}
	return true;
}

bool
mf_sids_outer(const struct mf_sids *s, uint64_t inner, uint64_t *ret_outer)
{
	const struct sid *x = find(s, inner);
	if (x != NULL)
		*ret_outer = x->outer;
	return x != NULL;
}

bool
mf_sids_keep_credit(struct mf_sids *s, uint64_t inner, uint32_t chunks)
{
	struct sid *x = find(s, inner);
	if (x == NULL || x->begun)
		return false;
	x->credit = chunks > UINT32_MAX - x->credit ? UINT32_MAX : x->credit + chunks;
	return true;
}

uint32_t
mf_sids_begin(struct mf_sids *s, uint64_t inner)
{
	struct sid *x = find(s, inner);
	if (x == NULL || x->begun)
		return 0;
	x->begun = true;
	return x->credit;
}

void
mf_sids_close(struct mf_sids *s, uint64_t inner)
{
	struct sid *x = find(s, inner);
	if (x == NULL)
		return;
	HASH_DELETE(hh, s->by_inner, x);
	HASH_DELETE(hh_outer, s->by_outer, x);
	free(x);
}

size_t
mf_sids_count(const struct mf_sids *s)
{
	return HASH_COUNT(s->by_inner);
}
