/*
 * bundle_json: the SPIFFE bundle document of a trust domain (SPIFFE Trust Domain and Bundle, section 4): a
 * JWK Set with spiffe_sequence and spiffe_refresh_hint. The trust domain's name is not in it and is never
 * guessed from it (BND-8).
 */
#ifndef MF_CODEC_BUNDLE_JSON_H
#define MF_CODEC_BUNDLE_JSON_H
#include "base/buf.h"
#include "base/limits.h"
#include "codec/jwk_set.h"

/*
 * Append the document: the certificates of ${bundle_der} (concatenated, may be empty) as x509-svid keys, then the keys
 * of ${jwt} (NULL: none) as jwt-svid keys. ${sequence} goes up with every change of the content and fits 63 bits, 0
 * leaves it out; ${refresh_hint_s} > 0. MF_E_INVALID for a certificate whose key is neither RSA nor on P-256, 384, 521.
 */
MF_NODISCARD enum mf_status mf_bundle_json_put(struct mf_slice bundle_der, const struct mf_jwk_set *jwt,
    uint64_t sequence, uint32_t refresh_hint_s, struct mf_buf *to, struct mf_err *err);

/* What was read. Embedded; mf_bundle_doc_fini when done. */
struct mf_bundle_doc {
	struct mf_buf x509_der; /* concatenated; empty: the trust domain has no X.509-SVIDs now */
	size_t n_x509;
	size_t n_ignored; /* elements of other kinds and uses, and without x5c */
	bool has_sequence, has_refresh_hint;
	uint64_t sequence;
	uint64_t refresh_hint_s; /* as written: the user of it clamps */
};
void mf_bundle_doc_fini(struct mf_bundle_doc *doc); /* zeroed or initialised */

/*
 * Read a document, of ours or of others; at most MF_LIM_BUNDLE_JSON bytes. Whole or not at all: a bad
 * certificate in it is MF_E_INVALID, never a smaller bundle. The certificates are cut and their DER frame
 * is checked; mf_anchors_new judges them.
 */
MF_NODISCARD enum mf_status
mf_bundle_json_get(struct mf_slice in, struct mf_bundle_doc *ret_doc, struct mf_err *err);
#endif
