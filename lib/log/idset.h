/*
 * idset: a set of 128-bit digests of strings, for telling duplicates among millions of ids. It only grows.
 * Not thread-safe.
 */
#ifndef MF_LOG_IDSET_H
#define MF_LOG_IDSET_H
#include "base/slice.h"

struct mf_idset {
	uint8_t (*slot)[16];
	size_t cap, n;
	bool zero; /* the digest of 16 zero bytes, which marks an empty slot, is in it */
};

void mf_idset_init(struct mf_idset *s);
void mf_idset_fini(struct mf_idset *s);
bool mf_idset_has(const struct mf_idset *s, struct mf_slice id);
/* *ret_new: it was not in it before. Fails with MF_E_NOMEM only. */
MF_NODISCARD enum mf_status
mf_idset_add(struct mf_idset *s, struct mf_slice id, bool *ret_new, struct mf_err *err);
#endif
