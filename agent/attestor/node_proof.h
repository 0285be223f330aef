/*
 * node_proof: the node's own certificate and key (agent.yaml, join.x509pop), and what they say in a Join: the chain, and a
 * signature over the hash of the handshake that it is for. The key stays in wiped memory and is never written.
 * Thread rule: one thread.
 */
#ifndef MF_ATTESTOR_NODE_PROOF_H
#define MF_ATTESTOR_NODE_PROOF_H
#include "base/buf.h"
#include "base/limits.h"

#include "agent.pb-c.h"

struct mf_node_proof; /* opaque */
/* Both PEM. MF_E_INVALID: not a chain of 1 to 4 certificates, not a key that can prove, or the two do not fit. */
MF_NODISCARD enum mf_status mf_node_proof_new(
    struct mf_slice cert_pem, struct mf_slice key_pem, struct mf_node_proof **ret_p, struct mf_err *err);
void mf_node_proof_free(struct mf_node_proof *p);
MF_DEFINE_CLEANUP(struct mf_node_proof, mf_node_proof_free)
/* Fill ${join}'s evidence for the handshake ${hash}; it points into ${p} until the next call. */
MF_NODISCARD enum mf_status mf_node_proof_fill(
    struct mf_node_proof *p, const uint8_t hash[32], Mayfly__Agent__V1__Join *join, struct mf_err *err);
#endif
