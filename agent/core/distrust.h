/*
 * distrust: the keys that nothing held should be signed by (mayfly.agent.v1.Distrust): CA keys by their subject key
 * identifiers, JWT keys by their kids. What such a key signed still works, until the key is taken out of the bundle: it
 * is to be renewed before. Pure; one thread.
 */
#ifndef MF_AGENT_CORE_DISTRUST_H
#define MF_AGENT_CORE_DISTRUST_H
#include "base/buf.h"
#include "base/limits.h"

#define MF_DISTRUST_ID 20u  /* bytes */
#define MF_DISTRUST_KID 64u /* with its NUL */

struct mf_distrust {
	uint8_t ids[MF_LIM_BUNDLE_CERTS][MF_DISTRUST_ID];
	size_t n;
	uint32_t spread_ms; /* over which renewals are spread */
	char kids[MF_LIM_BUNDLE_CERTS][MF_DISTRUST_KID];
	size_t n_kids;
};

/* The next id of a new list; MF_E_INVALID: not of 20 bytes, MF_E_TOOBIG: more than MF_LIM_BUNDLE_CERTS. */
MF_NODISCARD enum mf_status mf_distrust_add(struct mf_distrust *d, struct mf_slice id, struct mf_err *err);
/* The same of JWT keys; MF_E_INVALID: empty, or longer than a kid of ours. */
MF_NODISCARD enum mf_status
mf_distrust_add_kid(struct mf_distrust *d, struct mf_slice kid, struct mf_err *err);
/* Is ${token}, a compact JWS, signed by one of them? False for what is none. */
bool mf_distrust_covers_token(const struct mf_distrust *d, struct mf_slice token);
/* Is the first certificate of ${chain} (DER, concatenated) signed by one of them? False for what is no certificate. */
bool mf_distrust_covers(const struct mf_distrust *d, struct mf_slice chain);
#endif
