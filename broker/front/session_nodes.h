/*
 * session_nodes: which nodes have a session here, as the notary says. A node that has just joined is on a connection
 * without certificate, and one that was taken over shows the certificate of before: only the inner session knows.
 *
 * A table that counts. The caller owns the head pointer, NULL when empty. Loop's thread.
 */
#ifndef MF_FRONT_SESSION_NODES_H
#define MF_FRONT_SESSION_NODES_H
#include "base/map.h"
#include "broker/front/read_model.h"

struct mf_session_node {
	char id[MF_RM_ID_MAX];
	uint32_t sessions;
	bool map_oom;
	UT_hash_handle hh;
};

/* One session more of ${id}; NULL without memory, or when that is no id. */
struct mf_session_node *mf_session_node_get(struct mf_session_node **nodes, const char *id);
/* One less; NULL is a no-op. */
void mf_session_node_put(struct mf_session_node **nodes, struct mf_session_node *n);
bool mf_session_node_there(struct mf_session_node *nodes, const char *id);
#endif
