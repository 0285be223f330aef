/*
 * key_use: what the broker's signing keys are for. A JWT key's use names its set and its algorithm, so that of each use
 * one key at most is active. Pure; a const table.
 */
#ifndef MF_BROKER_KEY_USE_H
#define MF_BROKER_KEY_USE_H
#include "base/slice.h"

#define MF_KEY_USE_X509 "x509"
#define MF_KEY_USE_JWT_ES256 "jwt-svid-es256"
#define MF_KEY_USE_JWT_RS256 "jwt-svid-rs256"
#define MF_KEY_USE_ASSERTION_RS256 \
	"jwt-assertion-rs256" /* what providers are shown, unless they want ES256 */
#define MF_KEY_USE_ASSERTION_ES256 "jwt-assertion-es256"
#define MF_KEY_USES 7u

/* Which document makes its public half known. Each has numbers of its own. */
enum mf_key_bundle { MF_KEY_IN_NONE, MF_KEY_IN_X509, MF_KEY_IN_JWT, MF_KEY_IN_OIDC, MF_KEY_BUNDLES };

struct mf_key_use {
	const char *name;
	enum mf_key_bundle bundle;
	bool scheduled;	 /* false: only operators prepare and activate */
	const char *alg; /* of JWTs, as a JWK says it; NULL: not of JWTs */
};

/* NULL: no use that this release knows. */
const struct mf_key_use *mf_key_use_find(struct mf_slice name);
/* Every use: ${i} from 0 to MF_KEY_USES - 1. */
const struct mf_key_use *mf_key_use_at(size_t i);
static inline bool
mf_key_use_is_x509(const struct mf_key_use *u)
{
	return u->bundle == MF_KEY_IN_X509;
}
#endif
