/* cloud_offers: what a grant says of cloud tokens, into the cache of its instance. */
#ifndef MF_AGENT_FRONT_CLOUD_OFFERS_H
#define MF_AGENT_FRONT_CLOUD_OFFERS_H
#include "agent/core/svid_cache.h"

#include "agent.pb-c.h"

/* What cannot be taken is logged: the identities of the same grant are good without it. */
void mf_cloud_offers_take(struct mf_svid_entry *e, const Mayfly__Agent__V1__Grant *g);
#endif
