#include "broker/front/session_nodes.h"

#include <stdlib.h>

struct mf_session_node *
mf_session_node_get(struct mf_session_node **nodes, const char *id)
{
	struct mf_session_node *n = NULL;
	size_t len = strlen(id);
	if (len == 0 || len >= MF_RM_ID_MAX)
		return NULL;
	HASH_FIND_STR(*nodes, id, n);
	if (n == NULL) {
		n = calloc(1, sizeof(*n));
		if (n == NULL)
			return NULL;
		memcpy(n->id, id, len + 1);
		HASH_ADD_STR(*nodes, id, n);
		if (n->map_oom) {
			free(n);
			return NULL;
		}
	}
	n->sessions++;
	return n;
}

void
mf_session_node_put(struct mf_session_node **nodes, struct mf_session_node *n)
{
	if (n == NULL || --n->sessions > 0)
		return;
	HASH_DEL(*nodes, n);
	free(n);
}

bool
mf_session_node_there(struct mf_session_node *nodes, const char *id)
{
	struct mf_session_node *n = NULL;
	HASH_FIND_STR(nodes, id, n);
	return n != NULL;
}
