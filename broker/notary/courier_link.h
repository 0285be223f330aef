/*
 * courier_link: the notary's second socket. The courier, which speaks to clouds, has this link and no other; its
 * table is mf_link_courier. Until cloud tokens are built nothing is ever asked of it, so every result it sends is one
 * that nobody waits for: noted and dropped, never acted on.
 *
 * State thread only.
 */
#ifndef MF_NOTARY_COURIER_LINK_H
#define MF_NOTARY_COURIER_LINK_H
#include "base/err.h"

struct mf_courier_link; /* opaque */

/* ${build_id} outlives it. */
MF_NODISCARD enum mf_status
mf_courier_link_new(const char *build_id, struct mf_courier_link **ret_l, struct mf_err *err);
void mf_courier_link_free(struct mf_courier_link *l);
MF_DEFINE_CLEANUP(struct mf_courier_link, mf_courier_link_free)
/* A new end, from the supervisor. Takes ${fd}. */
MF_NODISCARD enum mf_status mf_courier_link_connect(struct mf_courier_link *l, int fd, struct mf_err *err);
int mf_courier_link_fd(const struct mf_courier_link *l); /* -1: not connected */
/* The courier said hello and is of our build. */
bool mf_courier_link_open(const struct mf_courier_link *l);
/* Results that nobody waited for. */
uint64_t mf_courier_link_unasked(const struct mf_courier_link *l);
void mf_courier_link_read(struct mf_courier_link *l);
#endif
