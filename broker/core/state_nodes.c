/* Nodes that come again: with a new key, or after an eviction. */
#include <stdlib.h>

#include "broker/core/state_step.h"

void
mf_state_forget_session(struct mf_node *n)
{
	n->has_session = n->has_previous = n->confirmed = false;
	n->session_index = n->previous_index = n->confirmed_index = 0;
	memset(n->session, 0, sizeof(n->session));
	memset(n->boot, 0, sizeof(n->boot));
	memset(n->previous, 0, sizeof(n->previous));
	memset(n->previous_boot, 0, sizeof(n->previous_boot));
}

/* The same evidence, another inner key. What its evidence says of it today is what it is. */
enum mf_status
mf_state_node_reattested(const struct step *a)
{
	struct mf_node *n = find_node(a);
	if (n == NULL || (n->evicted && !a->st->loading) ||
	    !mf_slice_eq_str(str(a, MF_RS_EVIDENCE), n->evidence) ||
	    mf_state_node_by_inner(a->st, str(a, MF_RS_INNER)) != NULL)
		return broken(a, "no such node, evicted, of other evidence, or the key is another node's");
	char **attributes = mf_state_dup_list(a->r->attributes, a->r->attributes_n);
	if (attributes == NULL)
		return no_memory(a);
	HASH_DELETE(hh_inner, a->st->nodes_by_inner, n);
	memcpy(n->former, n->inner, sizeof(n->former));
	bool fits = mf_state_copy(n->inner, sizeof(n->inner), str(a, MF_RS_INNER));
	mf_state_free_list(n->attributes, n->attributes_n);
	n->attributes = attributes;
	n->attributes_n = a->r->attributes_n;
	n->reattested_index = a->index;
	mf_state_forget_session(n);
	HASH_ADD_KEYPTR(hh_inner, a->st->nodes_by_inner, n->inner, strlen(n->inner), n);
	return n->map_oom ? no_memory(a) : fits ? MF_OK : broken(a, "the key is too long");
}

/*
 * Its leases stay ended. No session value is known of it any more: the next one it shows is taken, once. A key that was
 * replaced may come again: the operator vouches for whoever comes.
 */
enum mf_status
mf_state_node_readmitted(const struct step *a)
{
	struct mf_node *n = find_node(a);
	if (n == NULL || !n->evicted)
		return broken(a, "no such node, or not evicted");
	free(n->evict_reason);
	n->evict_reason = NULL;
	n->evicted = false;
	n->evicted_us = 0;
	n->evicted_index = n->reattested_index = 0;
	memset(n->former, 0, sizeof(n->former));
	mf_state_forget_session(n);
	return MF_OK;
}
