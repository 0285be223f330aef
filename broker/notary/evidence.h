/*
 * evidence: what the notary needs to have node evidence looked at: the operator's node CA and attribute mappings, and the
 * verifiers (verifiers.h). Nothing of it is made when broker.yaml has no node_attestors.
 *
 * State thread only.
 */
#ifndef MF_NOTARY_EVIDENCE_H
#define MF_NOTARY_EVIDENCE_H
#include <poll.h>

#include "broker/attestors/node_attestor.h"
#include "broker/notary/verifiers.h"
#include "os/role_start.h"

struct mf_evidence; /* opaque */

/*
 * ${ca_fd}: the CA file, stays the caller's; ${rules}: "NAME=SOURCE,..." or NULL. ${done} as in verifiers.h.
 * MF_E_INVALID, MF_E_TOOBIG: the configuration is not good.
 */
MF_NODISCARD enum mf_status
mf_evidence_new(struct mf_role *role, const char *build_id, int ca_fd, const char *rules,
    void (*done)(void *ctx, uint64_t ticket, const Mayfly__Roles__V1__Verified *said, const char *why),
    void *ctx, struct mf_evidence **ret_e, struct mf_err *err);
void mf_evidence_free(struct mf_evidence *e); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_evidence, mf_evidence_free)
/* For the engine; lives as long as ${e}. NULL for NULL. */
const struct mf_attest_conf *mf_evidence_conf(const struct mf_evidence *e);
/* Everything below does nothing for NULL. */
bool mf_evidence_verify(
    struct mf_evidence *e, uint64_t ticket, const Mayfly__Roles__V1__VerifyEvidence *v, struct mf_now now);
/* A message of the supervisor: a verifier's link, or the CA file anew. True: it was that, and its descriptor is taken. */
bool mf_evidence_control(struct mf_evidence *e, const struct mf_control_msg *m);
/* What to poll: at most MF_VERIFIERS_RUN; the number. */
nfds_t mf_evidence_poll(const struct mf_evidence *e, struct pollfd *to);
void mf_evidence_turn(struct mf_evidence *e, struct mf_now now);
#endif
