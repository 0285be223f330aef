/*
 * oidc_files: the OIDC documents on disk, in STATE/public: written and synced by a worker of the crew, one set at a time;
 * of sets that come meanwhile the last one is written next. A set that cannot be written is tried again, for ever: the
 * engine activates no key that is not there. State thread.
 */
#ifndef MF_NOTARY_OIDC_FILES_H
#define MF_NOTARY_OIDC_FILES_H
#include "broker/notary/crew.h"
#include "broker/notary/oidc_docs.h"

struct mf_oidc_files; /* opaque */

/*
 * ${dirfd} and what ${conf} points to outlive it. ${dirfd} -1 or no issuer: nothing is written, and every set is done.
 * ${written} hears the number of a set that is on disk.
 */
MF_NODISCARD enum mf_status mf_oidc_files_new(const struct mf_oidc_docs_conf *conf, int dirfd,
    void (*written)(void *ctx, uint64_t number), void *ctx, struct mf_oidc_files **ret_f, struct mf_err *err);
void mf_oidc_files_free(struct mf_oidc_files *f);
MF_DEFINE_CLEANUP(struct mf_oidc_files, mf_oidc_files_free)

/* ${x5c}: a reference of the key that ${set} names for it, or NULL; taken. */
void mf_oidc_files_write(
    struct mf_oidc_files *f, struct mf_crew *c, const struct mf_oidc_set *set, struct mf_jws_key *x5c);
/* MF_CREW_DONE with ${arg}; false: it is not of these. */
bool mf_oidc_files_done(struct mf_oidc_files *f, struct mf_crew *c, void *arg);
/* What is on disk now; NULL: nothing yet. Lives until the next done. */
const struct mf_oidc_docs *mf_oidc_files_last(const struct mf_oidc_files *f);
/* Now and then: tries again what failed. */
void mf_oidc_files_turn(struct mf_oidc_files *f, struct mf_crew *c);
#endif
