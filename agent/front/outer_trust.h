/*
 * outer_trust: whether the server at the other end of the outer session is our broker.
 *
 * Before the node has joined: its chain must hold the CA certificate whose SHA-256 stands in the join token, and lead
 * to it. One that shows another CA certificate of our trust domain, and leads to that, is alarmed and goes on: the token
 * may be older than the broker's CA key, and its secret goes to the pinned notary key alone. Any other is refused. Afterwards: it must verify against the trust domain's bundle; if it
 * does not, that is alarmed, but the session goes on: it is admission control only, the inner session proves the notary
 * and may bring the bundle that explains the server's new certificate (design 6). Either way the leaf must be
 * spiffe://<trust domain>/mayfly/broker/<name>, a path that policy gives to nobody.
 * Thread rule: one thread.
 */
#ifndef MF_AGENT_FRONT_OUTER_TRUST_H
#define MF_AGENT_FRONT_OUTER_TRUST_H
#include "codec/x509_read.h"

struct mf_outer_trust;

/* ${pin}: SHA-256 of the CA's DER; empty: none (the node has joined before). */
MF_NODISCARD enum mf_status mf_outer_trust_new(
    const char *trust_domain, struct mf_slice pin, struct mf_outer_trust **ret_t, struct mf_err *err);
void mf_outer_trust_free(struct mf_outer_trust *t);
MF_DEFINE_CLEANUP(struct mf_outer_trust, mf_outer_trust_free)
/* The bundle that the attestor verified. On failure the old one stays. */
MF_NODISCARD enum mf_status
mf_outer_trust_set_bundle(struct mf_outer_trust *t, struct mf_slice der, struct mf_err *err);
/* False: there is neither pin nor bundle, so no server could be judged. */
bool mf_outer_trust_usable(const struct mf_outer_trust *t);
/*
 * MF_OK: go on; *ret_alarm says that it is in spite of a certificate that does not verify, ${err} then says why.
 * Else: end the handshake.
 */
MF_NODISCARD enum mf_status mf_outer_trust_judge(const struct mf_outer_trust *t, const struct mf_slice *chain,
    size_t n, int64_t now_s, bool *ret_alarm, struct mf_err *err);
#endif
