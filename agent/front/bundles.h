/*
 * bundles: the JWT keys by which tokens are judged, and the bundles of foreign trust domains, as the attestor believes
 * them. What cannot be read leaves the old one in force. Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_BUNDLES_H
#define MF_AGENT_FRONT_BUNDLES_H
#include "codec/jwk_set.h"

#include "roles.pb-c.h"

struct mf_bundles; /* opaque */

/* One foreign trust domain. */
struct mf_foreign {
	char *id;	    /* "spiffe://td" */
	char *trust_domain; /* "td" */
	struct mf_buf x509; /* DER, concatenated; empty: it has no X.509-SVIDs */
	struct mf_jwk_set *jwt;
};

MF_NODISCARD enum mf_status
mf_bundles_new(const char *trust_domain, struct mf_bundles **ret_b, struct mf_err *err);
void mf_bundles_free(struct mf_bundles *b); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_bundles, mf_bundles_free)
/* *ret_changed: what jobs see is new. MF_E_INVALID names what is wrong with the document; nothing changed then. */
MF_NODISCARD enum mf_status mf_bundles_on_document(
    struct mf_bundles *b, const Mayfly__Roles__V1__TrustDocument *m, bool *ret_changed, struct mf_err *err);

/* The number of our own X.509 bundle, as the notary gave it. */
void mf_bundles_set_number(struct mf_bundles *b, uint64_t number);
/*
 * spiffe_sequence of our own bundle: grows with every change of its certificates and of its JWT keys, and is the same
 * at every agent, since both numbers are the notary's. 0: not known yet.
 */
uint64_t mf_bundles_sequence(const struct mf_bundles *b);

/* The keys of our own trust domain; NULL before the first document. */
const struct mf_jwk_set *mf_bundles_own(const struct mf_bundles *b);
/* Of any trust domain; NULL: not known. For mf_jwt_svid_check: ${ctx} is the struct mf_bundles. */
const struct mf_jwk_set *mf_bundles_keys_of(void *ctx, struct mf_slice trust_domain);
size_t mf_bundles_foreign_count(const struct mf_bundles *b);
const struct mf_foreign *mf_bundles_foreign(const struct mf_bundles *b, size_t i);
/* Move with every change: of JWT keys (own and foreign), of foreign X.509 bundles. */
uint64_t mf_bundles_jwt_version(const struct mf_bundles *b);
uint64_t mf_bundles_x509_version(const struct mf_bundles *b);
#endif
