#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define FIRST 960u /* many stay small; malloc has these at hand */
#define CHUNK 8192u

struct chunk {
	struct chunk *next;
	size_t used, size;
	alignas(max_align_t) uint8_t bytes[];
};

struct mf_arena {
	struct chunk *chunks; /* the one in use first */
	size_t total, max;
};

struct mf_arena *
mf_arena_new(size_t max)
{
	struct mf_arena *a = calloc(1, sizeof(*a));
	if (a != NULL)
		a->max = max;
	return a;
}

void
mf_arena_free(struct mf_arena *a)
{
	if (a == NULL)
		return;
	for (struct chunk *c = a->chunks, *next; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

void *
mf_arena_alloc(struct mf_arena *a, size_t n, size_t size)
{
	const size_t align = alignof(max_align_t);
	if (size != 0 && n > (SIZE_MAX - align) / size)
		return NULL;
	size_t want = n * size;
	want = want == 0 ? align : (want + align - 1) / align * align;
	if (want > a->max - a->total)
		return NULL;
	struct chunk *c = a->chunks;
	if (c == NULL || want > c->size - c->used) {
		size_t usual = c == NULL ? FIRST : CHUNK, room = want > usual ? want : usual;
		c = calloc(1, sizeof(*c) + room);
		if (c == NULL)
			return NULL;
		c->size = room;
		c->next = a->chunks;
		a->chunks = c;
	}
	void *p = c->bytes + c->used;
	c->used += want;
	a->total += want;
	return p;
}

char *
mf_arena_str(struct mf_arena *a, struct mf_slice s)
{
	if (s.n == SIZE_MAX)
		return NULL;
	char *c = mf_arena_alloc(a, s.n + 1, 1);
	if (c != NULL && s.n > 0)
		memcpy(c, s.p, s.n);
	return c;
}
