/*
 * x509_ca: our own signing certificate, taken apart once at start: what every leaf repeats of it. It is
 * written by mf_x509_tbs_ca, self-signed or signed by an upstream CA; foreign certificates are judged in
 * codec/x509_read.h. Immutable, so threads may share it.
 */
#ifndef MF_CODEC_X509_CA_H
#define MF_CODEC_X509_CA_H
#include "codec/x509_write.h"

struct mf_ca; /* opaque */

/*
 * Take a self-signed P-256 signing certificate of ${trust_domain}: URI SAN spiffe://${trust_domain}, cA
 * TRUE, keyCertSign, a key identifier, its own signature good. MF_E_INVALID names what is missing. Dates
 * are not looked at.
 */
MF_NODISCARD enum mf_status
mf_ca_parse(struct mf_slice der, struct mf_slice trust_domain, struct mf_ca **ret_ca, struct mf_err *err);
/*
 * The same for one that an upstream CA signed: not self-signed, and its signature is not looked at here; who takes it
 * checks its path (codec/x509_upstream.h).
 */
MF_NODISCARD enum mf_status mf_ca_parse_issued(
    struct mf_slice der, struct mf_slice trust_domain, struct mf_ca **ret_ca, struct mf_err *err);
void mf_ca_free(struct mf_ca *ca); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_ca, mf_ca_free)

/* Slices live as long as ${ca}. */
struct mf_slice mf_ca_der(const struct mf_ca *ca);
struct mf_slice mf_ca_subject(const struct mf_ca *ca); /* DER Name: the issuer of leaves */
struct mf_slice mf_ca_serial(const struct mf_ca *ca);  /* its bytes; hex is the usual spelling */
const uint8_t *mf_ca_key_id(const struct mf_ca *ca);   /* MF_X509_KEY_ID_SIZE bytes: the AKI of leaves */
const uint8_t *mf_ca_point(const struct mf_ca *ca);    /* MF_P256_POINT_SIZE bytes */
int64_t mf_ca_not_before_s(const struct mf_ca *ca);
int64_t mf_ca_not_after_s(const struct mf_ca *ca); /* no leaf may outlive it */
#endif
