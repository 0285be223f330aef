/* Which identities of its profile a lease has, and which it may be given now. */
#include "broker/notary/engine_internal.h"

/* The name that a slot began with stays its name: a renewal never changes who somebody is. */
const char *
mf_engine_name_of_slot(const struct mf_lease *l, size_t slot)
{
	if (!l->slot_used[slot])
		return NULL;
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (c->index == l->slot_index[slot])
			return c->spiffe_id;
	}
	return NULL;
}

/* Of ${n} identities: after the announced end only those that were granted before it. */
size_t
mf_engine_grantable(const struct mf_lease *l, size_t n)
{
	size_t had = 0;
	while (had < n && l->slot_used[had])
		had++;
	return l->state == MF_LEASE_ENDING ? had : n;
}

static const struct mf_final *
final_of_slot(const struct mf_lease *l, size_t slot)
{
	MF_LIST_EACH(p, &l->finals)
	{
		const struct mf_final *f = MF_LIST_ITEM(p, struct mf_final, at);
		if (f->slot == (int64_t)slot)
			return f;
	}
	return NULL;
}

/* Of the first ${n} slots those that may be given: not those whose identity was ended for good. */
size_t
mf_engine_open_slots(
    const struct mf_lease *l, size_t n, size_t ret_slots[MF_LIM_IDENTITIES], char *ret_why, size_t cap)
{
	size_t out = 0;
	for (size_t i = 0; i < n; i++) {
		const struct mf_final *f = final_of_slot(l, i);
		if (f == NULL || !mf_engine_is_final(l, f->subject, ret_why, cap))
			ret_slots[out++] = i;
	}
	return out;
}
