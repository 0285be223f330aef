/*
 * svid_internal: what svid_cache.c and svid_grant.c share.
 */
#ifndef MF_AGENT_CORE_SVID_INTERNAL_H
#define MF_AGENT_CORE_SVID_INTERNAL_H
#include "agent/core/svid_cache.h"

void mf_svid_identity_wipe(struct mf_svid_identity *i); /* leaves it zeroed */
void mf_svid_job_fini(struct mf_svid_job *j);		/* likewise */
#endif
