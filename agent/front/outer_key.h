/*
 * outer_key: the front's own TLS key and the certificate that the notary gives it, under /mayfly/ of the trust domain.
 *
 * Asked for as soon as the inner session is ready, renewed with a new key at half-life. It lives in this process only:
 * a front that was started again goes through the lane without client certificate until it has a new one.
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_OUTER_KEY_H
#define MF_AGENT_FRONT_OUTER_KEY_H
#include "agent/front/attestor_link.h"
#include "base/limits.h"

struct mf_outer_key;

MF_NODISCARD enum mf_status mf_outer_key_new(struct mf_loop *l, struct mf_attestor_link *link,
    const char *trust_domain, struct mf_outer_key **ret_k, struct mf_err *err);
void mf_outer_key_free(struct mf_outer_key *k);
MF_DEFINE_CLEANUP(struct mf_outer_key, mf_outer_key_free)

/* A certificate is asked for while the session is ready. */
void mf_outer_key_session(struct mf_outer_key *k, bool ready);
MF_NODISCARD enum mf_status mf_outer_key_on_certificate(
    struct mf_outer_key *k, const Mayfly__Roles__V1__OuterCertificate *m, struct mf_err *err);

struct mf_outer_identity {
	struct mf_slice chain[MF_LIM_CHAIN];
	size_t n;
	struct mf_slice key; /* PKCS#8 */
};
/* What to show now; false: nothing, or it has expired. Valid until the next call of this module. */
bool mf_outer_key_current(const struct mf_outer_key *k, struct mf_outer_identity *ret_id);
struct mf_distrust;
/* When one of these CA keys signed what is held, another is asked for. */
void mf_outer_key_distrust(struct mf_outer_key *k, const struct mf_distrust *d);
int64_t mf_outer_key_expires_s(const struct mf_outer_key *k); /* 0: none */
#endif
