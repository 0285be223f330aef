#include "base/heap.h"

#include <stdlib.h>

static void
put(struct mf_heap *h, size_t at, struct mf_heap_node *n)
{
	h->v[at] = n;
	n->place = at + 1;
}

static void
up(struct mf_heap *h, struct mf_heap_node *n)
{
	size_t at = n->place - 1;
	while (at > 0 && h->v[(at - 1) / 2]->key > n->key) {
		put(h, at, h->v[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(h, at, n);
}

static void
down(struct mf_heap *h, struct mf_heap_node *n)
{
	size_t at = n->place - 1;
	for (;;) {
		size_t child = 2 * at + 1;
		if (child + 1 < h->n && h->v[child + 1]->key < h->v[child]->key)
			child++;
		if (child >= h->n || h->v[child]->key >= n->key)
			break;
		put(h, at, h->v[child]);
		at = child;
	}
	put(h, at, n);
}

void
mf_heap_fini(struct mf_heap *h)
{
	for (size_t i = 0; i < h->n; i++)
		h->v[i]->place = 0;
	free(h->v);
	*h = (struct mf_heap) { .n = 0 };
}

bool
mf_heap_set(struct mf_heap *h, struct mf_heap_node *n, int64_t key)
{
	if (n->place == 0) {
		if (h->n == h->room) {
			size_t room = h->room == 0 ? 64 : h->room * 2;
			struct mf_heap_node **v = reallocarray(h->v, room, sizeof(*v));
			if (v == NULL)
				return false;
			h->v = v;
			h->room = room;
		}
		put(h, h->n++, n);
	}
	n->key = key;
	up(h, n);
	down(h, n);
	return true;
}

void
mf_heap_del(struct mf_heap *h, struct mf_heap_node *n)
{
	if (n->place == 0)
		return;
	struct mf_heap_node *last = h->v[--h->n];
	if (last != n) {
		put(h, n->place - 1, last);
		up(h, last);
		down(h, last);
	}
	n->place = 0;
}

struct mf_heap_node *
mf_heap_first(const struct mf_heap *h)
{
	return h->n == 0 ? NULL : h->v[0];
}
