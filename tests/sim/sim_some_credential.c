/* One of the credentials that the notary counts as live, for operators that end one. */
#include <stdio.h>

#include "sim_notary.h"

static uint64_t
each_credential(const struct mf_state *st, uint64_t k, char ret_id[MF_STATE_ID_MAX])
{
	uint64_t n = 0;
	for (const struct mf_lease *l = mf_state_next_lease(st, NULL); l != NULL;
	     l = mf_state_next_lease(st, l)) {
		MF_LIST_EACH(p, &l->creds)
		if (n++ == k)
			(void)snprintf(
			    ret_id, MF_STATE_ID_MAX, "%s", MF_LIST_ITEM(p, struct mf_cred, at)->serial);
		MF_LIST_EACH(p, &l->clouds)
		if (n++ == k)
			(void)snprintf(ret_id, MF_STATE_ID_MAX, "%s",
			    MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease)->id);
	}
	return n;
}

bool
sim_notary_credential(const struct sim_notary *n, uint64_t k, char ret_id[MF_STATE_ID_MAX])
{
	const struct mf_state *st = n->engine == NULL ? NULL : mf_engine_state(n->engine);
	uint64_t all = st == NULL ? 0 : each_credential(st, UINT64_MAX, ret_id);
	return all > 0 && each_credential(st, k % all, ret_id) == all;
}
