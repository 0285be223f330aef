/*
 * bundle: the CA certificates of one trust domain, as the Workload API carries them: DER certificates
 * one after the other, nothing between. Also how a chain is carried (leaf first). Cut by their own
 * lengths; what is inside is not looked at. Pure; needs no libcrypto.
 */
#ifndef MF_CODEC_BUNDLE_H
#define MF_CODEC_BUNDLE_H
#include "base/buf.h"
#include "base/limits.h"

/*
 * Cut ${der} into at most ${max} certificates. The slices point into it. No input is no certificate:
 * MF_OK and 0; whether that may be is the caller's rule. MF_E_INVALID, or MF_E_TOOBIG when there are
 * more, one is longer than MF_LIM_CERT_DER, or all of it than MF_LIM_BUNDLE_DER.
 */
MF_NODISCARD enum mf_status mf_bundle_split(
    struct mf_slice der, struct mf_slice *ret_certs, size_t max, size_t *ret_n, struct mf_err *err);
/* The first of them; empty when there is none, or it is no DER SEQUENCE. */
struct mf_slice mf_bundle_first(struct mf_slice der);
/* Append the certificates; each must be exactly one DER SEQUENCE. ${to} is unchanged unless MF_OK. */
MF_NODISCARD enum mf_status
mf_bundle_join(const struct mf_slice *certs, size_t n, struct mf_buf *to, struct mf_err *err);
#endif
