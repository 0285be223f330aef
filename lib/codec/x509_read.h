/*
 * x509_read: judging X.509-SVIDs of others, by libcrypto: the rules of a leaf, and its path to an anchor
 * of its own trust domain (X509-SVID standard, section 5); and client certificates of another CA, which carry no
 * SPIFFE ID (RFC 5280).
 *
 * Thread rule: struct mf_anchors is immutable and may be shared; a struct mf_svid belongs to its caller.
 */
#ifndef MF_CODEC_X509_READ_H
#define MF_CODEC_X509_READ_H
#include "codec/spiffe_id.h"
#include "codec/x509_crl.h"
#include "crypto/hash.h"
#include "crypto/p256.h"

/* What a leaf says that obeys the rules of an X.509-SVID leaf. Embedded; mf_svid_fini when done. */
struct mf_svid {
	struct mf_spiffe_id *id;
	char serial[2 * 20 + 1]; /* lowercase hex, as in records */
	int64_t not_before_s, not_after_s;
	bool p256; /* the key is on P-256: then ${point} holds it, else zeros */
	uint8_t point[MF_P256_POINT_SIZE];
	uint8_t sha256[MF_SHA256_SIZE]; /* of the DER */
};
void mf_svid_fini(struct mf_svid *svid); /* zeroed or initialised; leaves it zeroed */

/*
 * Read one leaf and check the rules that it can break by itself; no signature, no dates. MF_E_INVALID names
 * the rule. *ret_svid is written on MF_OK only.
 */
MF_NODISCARD enum mf_status mf_svid_read(struct mf_slice der, struct mf_svid *ret_svid, struct mf_err *err);

struct mf_anchors; /* the signing certificates of one trust domain; opaque */
/*
 * ${bundle_der}: concatenated DER, at most MF_LIM_BUNDLE_CERTS, each a signing certificate (MF_E_INVALID
 * else). It may be empty: then nothing of the trust domain verifies. ${trust_domain} is in its folded form.
 */
MF_NODISCARD enum mf_status mf_anchors_new(struct mf_slice trust_domain, struct mf_slice bundle_der,
    struct mf_anchors **ret_anchors, struct mf_err *err);
void mf_anchors_free(struct mf_anchors *anchors); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_anchors, mf_anchors_free)

/*
 * Verify a chain (leaf first, up to MF_LIM_CHAIN certificates, DER) at the time ${now_s}. Of the ${n_sets}
 * sets of anchors only that of the leaf's own trust domain is looked at. MF_E_INVALID: not an X.509-SVID
 * chain; MF_E_UNAUTH: one, but not trusted (no bundle, dates, signature, path rules).
 */
MF_NODISCARD enum mf_status
mf_svid_verify(const struct mf_slice *chain, size_t n_chain, const struct mf_anchors *const *sets,
    size_t n_sets, int64_t now_s, struct mf_svid *ret_svid, struct mf_err *err);
/*
 * The same for certificates that libcrypto has decoded already (its X509 and STACK_OF(X509), here without its headers),
 * since decoding one costs more than a signature's verification. ${sent}: all that the peer sent, leaf included.
 */
struct x509_st;
struct stack_st_X509;
MF_NODISCARD enum mf_status
mf_svid_verify_decoded(struct x509_st *leaf, struct stack_st_X509 *sent, const struct mf_anchors *const *sets,
    size_t n_sets, int64_t now_s, struct mf_svid *ret_svid, struct mf_err *err);

struct mf_svid_rules {
	int64_t now_s;
	const struct mf_crls *crls; /* borrowed; NULL: none */
	bool need_crl;		    /* a leaf whose issuer gave no CRL that is valid now is not trusted */
};
/* The same, with revocation: a path with a certificate that its own issuer's CRL lists is MF_E_UNAUTH. */
MF_NODISCARD enum mf_status
mf_svid_verify_by(const struct mf_slice *chain, size_t n_chain, const struct mf_anchors *const *sets,
    size_t n_sets, const struct mf_svid_rules *rules, struct mf_svid *ret_svid, struct mf_err *err);

/* A client certificate that need not be an SVID. */
struct mf_client_cert {
	uint8_t sha256[MF_SHA256_SIZE];	       /* of the DER */
	char subject[MF_LIM_CERT_SUBJECT + 1]; /* RFC 2253, UTF-8; longer ones are refused */
	int64_t not_after_s;
};
/*
 * Verify a chain as above against ${ca} (mf_anchors_new with an empty trust domain) for use as a TLS client: RFC 5280
 * path validation, an extended key usage if present allows it, the leaf is no CA and no anchor itself. MF_E_INVALID,
 * MF_E_UNAUTH.
 */
MF_NODISCARD enum mf_status mf_client_cert_verify(const struct mf_slice *chain, size_t n_chain,
    const struct mf_anchors *ca, int64_t now_s, struct mf_client_cert *ret_cert, struct mf_err *err);
#endif
