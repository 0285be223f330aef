/*
 * trim: memory that was freed goes back to the system a moment after the work that needed it. The allocator keeps a page as long as
 * anything behind it lives, so that a thousand connections that came and went would be paid for ever. Once for all that ends in
 * that moment; with nothing to do nothing wakes up. Loop's thread.
 */
#ifndef MF_NET_TRIM_H
#define MF_NET_TRIM_H
#include "net/loop.h"

#define MF_TRIM_AFTER_MS 2000u

struct mf_trim; /* opaque */
/* ${after_ms} 0: MF_TRIM_AFTER_MS. */
MF_NODISCARD enum mf_status
mf_trim_new(struct mf_loop *l, uint64_t after_ms, struct mf_trim **ret_t, struct mf_err *err);
void mf_trim_free(struct mf_trim *t); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_trim, mf_trim_free)
/* Something ended. Cheap. */
void mf_trim_soon(struct mf_trim *t);
/* How often it was done. */
uint64_t mf_trim_count(const struct mf_trim *t);
#endif
