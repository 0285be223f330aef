/*
 * publish: the document of foreign bundles for all agents: made here, its hash told in each session by the engine, its
 * bytes handed to the front. State thread.
 */
#ifndef MF_NOTARY_PUBLISH_H
#define MF_NOTARY_PUBLISH_H
#include "broker/notary/engine.h"
#include "broker/notary/front_link.h"

/*
 * Whom jobs may know beside our own trust domain (foreign.h), from ${fd}, which stays the caller's; -1: nobody, and that
 * is said, too. On failure what was published before stays.
 */
MF_NODISCARD enum mf_status mf_publish_foreign(struct mf_engine *e, struct mf_front_link *front,
    const char *own_trust_domain, int fd, struct mf_err *err);
#endif
