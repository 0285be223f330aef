/*
 * removals: operators' removals that are effective but perhaps not yet recorded, in a memfd that the supervisor
 * keeps over the notary's restarts. Lines "<what>\n"; dropped as a whole when they are recorded.
 */
#ifndef MF_NOTARY_REMOVALS_H
#define MF_NOTARY_REMOVALS_H
#include "base/buf.h"

struct mf_removals; /* opaque */

/* ${fd} is the memfd, -1: none (kept in memory only). Taken. */
MF_NODISCARD enum mf_status mf_removals_new(int fd, struct mf_removals **ret_r, struct mf_err *err);
void mf_removals_free(struct mf_removals *r);
MF_DEFINE_CLEANUP(struct mf_removals, mf_removals_free)
void mf_removals_keep(struct mf_removals *r, struct mf_slice what);
/* The removals kept so far are recorded once record ${index} is. */
void mf_removals_settle(struct mf_removals *r, uint64_t index);
/* Everything that depends on records below ${size} is recorded. */
void mf_removals_recorded(struct mf_removals *r, uint64_t size);
/* What an earlier life left. ${fn} gets one ${what} at a time; they stay until recorded. */
void mf_removals_each(struct mf_removals *r, void (*fn)(void *ctx, struct mf_slice what), void *ctx);
#endif
