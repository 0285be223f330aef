/*
 * heap: timers by the thousand. A binary min-heap of nodes that lie inside their owners' structs: the earliest is at
 * hand at once, moving one costs O(log n). Keys are the caller's (milliseconds, microseconds). Not thread-safe.
 */
#ifndef MF_BASE_HEAP_H
#define MF_BASE_HEAP_H
#include "base/defs.h"

struct mf_heap_node {
	int64_t key;
	size_t place; /* 1 + where it stands; 0: in no heap. Zeroed memory is such a node */
};

struct mf_heap { /* zeroed memory is an empty heap */
	struct mf_heap_node **v;
	size_t n, room;
};

void mf_heap_fini(struct mf_heap *h); /* the nodes are their owners' */
/* Put ${n} in under ${key}, or move it there. False without memory (never when it only moves): nothing has changed. */
MF_NODISCARD bool mf_heap_set(struct mf_heap *h, struct mf_heap_node *n, int64_t key);
void mf_heap_del(struct mf_heap *h, struct mf_heap_node *n); /* no-op when it is in none */
/* The node with the smallest key; NULL when there is none. */
struct mf_heap_node *mf_heap_first(const struct mf_heap *h);
#define MF_HEAP_ITEM(n, type, member) MF_CONTAINER_OF(n, type, member)
#endif
