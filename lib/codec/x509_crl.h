/*
 * x509_crl: certificate revocation lists (RFC 5280, section 5) consulted for a path that is otherwise valid.
 *
 * A list counts for the certificates of the authority that signed it and for no others, so that a federated
 * trust domain cannot revoke what is not its own; a list that nobody in the path signed is ignored. A list that
 * has expired still revokes what it lists: taking access away never waits for a fresh list.
 *
 * Thread rule: a struct mf_crls is filled by one thread, then immutable and shared.
 */
#ifndef MF_CODEC_X509_CRL_H
#define MF_CODEC_X509_CRL_H
#include "base/limits.h"
#include "base/slice.h"

struct mf_crls;	      /* opaque */
struct stack_st_X509; /* libcrypto's STACK_OF(X509) */

MF_NODISCARD enum mf_status mf_crls_new(struct mf_crls **ret_crls, struct mf_err *err);
void mf_crls_free(struct mf_crls *crls); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_crls, mf_crls_free)
/* Add one list in DER. MF_E_INVALID: not one; MF_E_TOOBIG: over MF_LIM_CRL_DER bytes or MF_LIM_CRLS lists. */
MF_NODISCARD enum mf_status mf_crls_add(struct mf_crls *crls, struct mf_slice der, struct mf_err *err);
size_t mf_crls_count(const struct mf_crls *crls); /* 0 for NULL */

/*
 * For codec/x509_read.c. ${path}: leaf first, each signed by the next. MF_E_UNAUTH: one is revoked, or
 * ${need} and no list of the leaf's issuer is complete and valid at ${now_s}. NULL ${crls}: no lists.
 */
MF_NODISCARD enum mf_status mf_crls_check(const struct mf_crls *crls, const struct stack_st_X509 *path,
    int64_t now_s, bool need, struct mf_err *err);
#endif
