/*
 * verifiers: the notary's end of the processes that read evidence, one for each (broker/verifier). A few at a time, the
 * rest waits; each has its time. Whatever a verifier does (dies, hangs, says rubbish or too much), its evidence alone is
 * not judged.
 *
 * State thread only.
 */
#ifndef MF_NOTARY_VERIFIERS_H
#define MF_NOTARY_VERIFIERS_H
#include "base/clock.h"
#include "rpc/role_links.h"

#include "roles.pb-c.h"

#define MF_VERIFIERS_RUN 4u    /* processes at a time; the supervisor has the same limit */
#define MF_VERIFIERS_WAIT 64u  /* evidence that waits for one */
#define MF_VERIFIERS_MS 10000u /* from its start to its answer */

struct mf_verifiers; /* opaque */

struct mf_verifiers_conf {
	const char *build_id;
	struct mf_slice anchors;      /* the node CA, PEM; as read, not looked at; copied */
	const struct mf_slice *rules; /* attribute mappings */
	size_t rules_n;
	/* Ask the supervisor for a process; its link comes by mf_verifiers_link. False: it cannot be asked. */
	bool (*start)(void *start_ctx);
	void *start_ctx;
	/* ${said} NULL: not judged, ${why}. Once for each ticket, never inside mf_verifiers_submit. */
	void (*done)(void *ctx, uint64_t ticket, const Mayfly__Roles__V1__Verified *said, const char *why);
	void *ctx;
};

/* ${conf}'s rules outlive the object. */
MF_NODISCARD enum mf_status
mf_verifiers_new(const struct mf_verifiers_conf *conf, struct mf_verifiers **ret_v, struct mf_err *err);
void mf_verifiers_free(struct mf_verifiers *v); /* tells nobody */
MF_DEFINE_CLEANUP(struct mf_verifiers, mf_verifiers_free)

/* The CA file anew: what is under way is judged by the one before. MF_E_TOOBIG, MF_E_NOMEM: that one stays. */
MF_NODISCARD enum mf_status
mf_verifiers_anchors(struct mf_verifiers *v, struct mf_slice anchors, struct mf_err *err);
/* False: too much waits already, or no memory. ${e} is copied. */
bool mf_verifiers_submit(
    struct mf_verifiers *v, uint64_t ticket, const Mayfly__Roles__V1__VerifyEvidence *e, struct mf_now now);
/* A process has started; takes ${fd}. */
void mf_verifiers_link(struct mf_verifiers *v, int fd, struct mf_now now);
/* Descriptors to poll for reading: at most MF_VERIFIERS_RUN; the number written. */
size_t mf_verifiers_fds(const struct mf_verifiers *v, int ret_fds[MF_VERIFIERS_RUN]);
/* Read what is there, look at the time, begin what waits. */
void mf_verifiers_turn(struct mf_verifiers *v, struct mf_now now);
#endif
