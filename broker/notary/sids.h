/*
 * sids: names of sessions. The front numbers its sessions as it likes, begins at 1 again after a restart, and may be
 * hostile; what threads and timers still have in hand for an old session must never meet a new one. So every session
 * gets a number of ours that no other session of this process ever has, and only what is open here passes.
 *
 * It also keeps the credit that the front gives before the handshake begins the session. State thread only.
 */
#ifndef MF_NOTARY_SIDS_H
#define MF_NOTARY_SIDS_H
#include "base/err.h"

struct mf_sids; /* opaque */

/* At most ${max} sessions at a time. */
MF_NODISCARD enum mf_status mf_sids_new(size_t max, struct mf_sids **ret_s, struct mf_err *err);
void mf_sids_free(struct mf_sids *s); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_sids, mf_sids_free)

/* The front's session ${outer} begins. False: too many, or no memory. A second time changes nothing. */
MF_NODISCARD bool mf_sids_open(struct mf_sids *s, uint64_t outer);
/* Our number for it; 0 when it is not open. */
uint64_t mf_sids_inner(const struct mf_sids *s, uint64_t outer);
/* The front's number; false when the session is not open any more. */
MF_NODISCARD bool mf_sids_outer(const struct mf_sids *s, uint64_t inner, uint64_t *ret_outer);
/* Credit for a session that has not begun is kept (true); else it is the crew's. */
bool mf_sids_keep_credit(struct mf_sids *s, uint64_t inner, uint32_t chunks);
/* The handshake begins it: the credit kept. Again: 0. */
uint32_t mf_sids_begin(struct mf_sids *s, uint64_t inner);
void mf_sids_close(struct mf_sids *s, uint64_t inner); /* unknown: nothing */
void mf_sids_close_all(struct mf_sids *s);
size_t mf_sids_count(const struct mf_sids *s);
#endif
