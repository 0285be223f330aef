/*
 * bundle_map: bundles of several trust domains in one document (SPIFFE Trust Domain and Bundle, section 5): an object
 * `trust_domains` whose members are SPIFFE bundle documents by trust domain name. The name is the only thing that says
 * whose a bundle is (BND-8).
 */
#ifndef MF_CODEC_BUNDLE_MAP_H
#define MF_CODEC_BUNDLE_MAP_H
#include "codec/bundle_json.h"
#include "codec/jwk_set.h"

struct mf_bundle_entry {
	struct mf_slice trust_domain; /* valid during the call */
	struct mf_slice x509_der;     /* concatenated; may be empty */
	struct mf_jwk_set *jwt;	      /* the callee may take a reference */
	struct mf_slice document;     /* the bundle as JSON, as it stands in ours */
};
/* A failure of the callee ends the reading. */
typedef enum mf_status mf_bundle_map_cb(void *ctx, const struct mf_bundle_entry *entry, struct mf_err *err);
/*
 * Read all of ${in} (at most ${max} bytes), in the order of the document. Duplicate names are refused (BND-10), as are
 * names that are not trust domains, or not in lower case. One bad bundle fails all: the text names its trust domain.
 */
MF_NODISCARD enum mf_status
mf_bundle_map_read(struct mf_slice in, size_t max, mf_bundle_map_cb *cb, void *ctx, struct mf_err *err);

/* The same for one bundle document that is not in a map: ${td} says whose it is. At most MF_LIM_BUNDLE_JSON bytes. */
MF_NODISCARD enum mf_status mf_bundle_entry_read(
    struct mf_slice td, struct mf_slice document, mf_bundle_map_cb *cb, void *ctx, struct mf_err *err);

/* Writing: begin, then each bundle (a SPIFFE bundle document that was read without failure), then end. */
void mf_bundle_map_begin(struct mf_buf *to);
void mf_bundle_map_put(struct mf_buf *to, bool first, struct mf_slice trust_domain, struct mf_slice document);
void mf_bundle_map_end(struct mf_buf *to);
/* MF_OK when ${td} may be a foreign trust domain's name as we write it: folded, valid (SPIFFE-ID 2.1). */
MF_NODISCARD enum mf_status mf_trust_domain_check_name(struct mf_slice td, struct mf_err *err);
#endif
