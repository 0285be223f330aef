/*
 * arena: many small allocations that die together. Memory is zeroed and aligned for any type; it is
 * never moved, so pointers stay valid until the arena is freed. Not thread-safe; not for secrets.
 */
#ifndef MF_BASE_ARENA_H
#define MF_BASE_ARENA_H
#include "base/slice.h"

struct mf_arena; /* opaque */

/* Holds at most ${max} bytes in all. NULL when out of memory. */
struct mf_arena *mf_arena_new(size_t max);
void mf_arena_free(struct mf_arena *a); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_arena, mf_arena_free)
/* ${n} * ${size} zero bytes; NULL when out of memory or over the cap. ${n} may be 0. */
void *mf_arena_alloc(struct mf_arena *a, size_t n, size_t size);
/* A NUL-terminated copy; NULL as above. */
char *mf_arena_str(struct mf_arena *a, struct mf_slice s);
#endif
