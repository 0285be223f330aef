/*
 * list: intrusive doubly linked list. A node is in at most one list; mf_list_del on a node that is
 * in none is a no-op once it was initialised. Not thread-safe.
 */
#ifndef MF_BASE_LIST_H
#define MF_BASE_LIST_H
#include "base/defs.h"

struct mf_list {
	struct mf_list *next, *prev;
};

static inline void
mf_list_init(struct mf_list *l)
{
	l->next = l->prev = l;
}
static inline bool
mf_list_empty(const struct mf_list *l)
{
	return l->next == l;
}
static inline void
mf_list_add_tail(struct mf_list *head, struct mf_list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}
static inline void
mf_list_add_head(struct mf_list *head, struct mf_list *n)
{
	mf_list_add_tail(head->next, n);
}
static inline void
mf_list_del(struct mf_list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	mf_list_init(n);
}
/* The body may delete the current node. */
#define MF_LIST_EACH(pos, head)                                                             \
	for (struct mf_list *pos = (head)->next, *mf_next_##pos = pos->next; pos != (head); \
	     pos = mf_next_##pos, mf_next_##pos = pos->next)
#define MF_LIST_ITEM(pos, type, member) MF_CONTAINER_OF(pos, type, member)
#endif
