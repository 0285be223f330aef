/*
 * judge: reads the evidence of one node that wants to join, and says typed facts. The notary decides.
 *
 * What is here is everything but the process: messages in, one message out. It trusts nothing but the anchors that the
 * notary gives; a hostile evidence can at worst make this process lie about that evidence, or end. One thread.
 */
#ifndef MF_VERIFIER_JUDGE_H
#define MF_VERIFIER_JUDGE_H
#include "rpc/role_links.h"

#include "roles.pb-c.h"

struct mf_judge; /* opaque */
MF_NODISCARD enum mf_status mf_judge_new(struct mf_judge **ret_v, struct mf_err *err);
void mf_judge_free(struct mf_judge *v);
MF_DEFINE_CLEANUP(struct mf_judge, mf_judge_free)

/* Kinds of evidence: a table, as at the notary (broker/attestors). */
struct mf_judge_kind {
	const char *name;
	/* MF_OK: good, the lines "NAME=VALUE\n" in ${facts}. Else ${err} says why not. */
	enum mf_status (*verify)(const Mayfly__Roles__V1__VerifyAnchors *anchors,
	    const Mayfly__Roles__V1__VerifyEvidence *e, struct mf_buf *facts, struct mf_err *err);
};
extern const struct mf_judge_kind *const mf_judge_kinds[]; /* NULL-terminated */
extern const struct mf_judge_kind mf_judge_x509pop;

/*
 * One datagram of the notary. MF_OK with *ret_answer false: more is to come. True: ${answer} holds the payload of
 * Verified, and the work is done. Any error: the notary broke the protocol (or there is no memory): end.
 */
MF_NODISCARD enum mf_status mf_judge_take(struct mf_judge *v, uint16_t type, struct mf_slice payload,
    bool has_fd, bool *ret_answer, struct mf_buf *answer, struct mf_err *err);
#endif
