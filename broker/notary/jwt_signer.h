/*
 * jwt_signer: makes JWT-SVIDs from fields, in one worker's thread. It keeps a signer for each of the last few keys, so
 * that a key is prepared once and not for every token: of RSA that costs as much as the signature. Belongs to one thread.
 */
#ifndef MF_NOTARY_JWT_SIGNER_H
#define MF_NOTARY_JWT_SIGNER_H
#include "broker/notary/engine.h"

struct mf_jwt_signer; /* opaque */

MF_NODISCARD enum mf_status mf_jwt_signer_new(struct mf_jwt_signer **ret_s, struct mf_err *err);
void mf_jwt_signer_free(struct mf_jwt_signer *s); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_jwt_signer, mf_jwt_signer_free)
/* Append the token to ${to}; after a failure ${to} may hold a part. */
MF_NODISCARD enum mf_status mf_jwt_signer_make(
    struct mf_jwt_signer *s, const struct mf_jwt_request *req, struct mf_buf *to, struct mf_err *err);
/* The signer of ${key}, for other tokens than SVIDs. It is ours, and good until the next call. */
MF_NODISCARD enum mf_status mf_jwt_signer_of(
    struct mf_jwt_signer *s, struct mf_jws_key *key, struct mf_jws_signer **ret_signer, struct mf_err *err);
#endif
