/*
 * approvals: how signed admin acts pass through the notary's process: the signers file, the way to a worker (which does the
 * cryptography, approval.h) and back to the engine (which decides, admin_signers.c). State thread only.
 */
#ifndef MF_NOTARY_APPROVALS_H
#define MF_NOTARY_APPROVALS_H
#include "broker/notary/approval.h"
#include "broker/notary/crew.h"
#include "broker/notary/engine.h"

struct mf_approvals; /* opaque */

/*
 * ${required} 0: no act needs signatures. ${log}: the log's origin, copied. ${fd}: the signers file, the caller's; the engine
 * records it. Crew and engine outlive it.
 */
MF_NODISCARD enum mf_status mf_approvals_new(uint32_t required, const char *log, int fd, struct mf_crew *c,
    struct mf_engine *e, struct mf_approvals **ret_a, struct mf_err *err);
void mf_approvals_free(struct mf_approvals *a); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_approvals, mf_approvals_free)

/* The signers file came anew; ${fd} is closed. One with an error is told to the log, and what was in force stays. */
void mf_approvals_reload(struct mf_approvals *a, int fd);
/* An admin call came from the front. */
void mf_approvals_call(struct mf_approvals *a, const Mayfly__Roles__V1__AdminCall *call);
/* A worker has checked its signatures. */
void mf_approvals_checked(struct mf_approvals *a, const struct mf_approval_job *job);
#endif
