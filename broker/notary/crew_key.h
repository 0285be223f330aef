/*
 * crew_key: a CA key as one worker of the crew signs with it: its own copy, so that no two threads share a libcrypto key.
 * Thread rule: one thread at a time.
 */
#ifndef MF_NOTARY_CREW_KEY_H
#define MF_NOTARY_CREW_KEY_H
#include "base/list.h"
#include "broker/keys/ca_key.h"
#include "broker/notary/engine.h"
#include "codec/x509_ca.h"

struct mf_crew_key {
	struct mf_list at; /* the worker's */
	char id[MF_CA_KEY_ID + 1];
	struct mf_p256_signer *signer;
	struct mf_ca *ca;
	struct mf_buf
	    rest; /* what follows the leaf in its chain: the intermediates; empty under an own root */
};

/* ${from} is copied. */
MF_NODISCARD enum mf_status mf_crew_key_new(
    const char *trust_domain, const struct mf_ca_key *from, struct mf_crew_key **ret_k, struct mf_err *err);
void mf_crew_key_free(struct mf_crew_key *k); /* leaves its list; NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_crew_key, mf_crew_key_free)
/* Append the chain of a certificate with the fields of ${r}, and the digest of its leaf. False: it could not be made. */
bool mf_crew_key_make(
    struct mf_crew_key *k, const struct mf_sign_request *r, struct mf_buf *chain, uint8_t ret_der_sha256[32]);
#endif
