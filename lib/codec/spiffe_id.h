/*
 * spiffe_id: an immutable, validated SPIFFE ID (SPIFFE-ID standard, section 2), and the rendering of
 * path templates.
 *
 * Input is hostile bytes (a SAN, a gRPC field, a line of configuration): it needs no NUL and may hold
 * one. Scheme and trust domain compare case-insensitively in the standard's 2.1 and are lowercase in
 * its 2.4; here the one parser folds them, and only the folded form is ever compared or emitted. The
 * path compares byte for byte. Objects never change once made, so threads may share them.
 */
#ifndef MF_CODEC_SPIFFE_ID_H
#define MF_CODEC_SPIFFE_ID_H
#include "base/buf.h"
#include "base/limits.h"

struct mf_spiffe_id; /* opaque */

/*
 * Parse ${in}. On MF_OK *ret_id is a new object of the caller. ${err} names the broken rule and the
 * byte offset, never the bytes. MF_E_INVALID, MF_E_TOOBIG or MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status
mf_spiffe_id_parse(struct mf_slice in, struct mf_spiffe_id **ret_id, struct mf_err *err);
/* "spiffe://${td}${path}", by the same rules. ${path} is empty or starts with a slash. */
MF_NODISCARD enum mf_status mf_spiffe_id_build(
    struct mf_slice td, struct mf_slice path, struct mf_spiffe_id **ret_id, struct mf_err *err);
void mf_spiffe_id_free(struct mf_spiffe_id *id); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_spiffe_id, mf_spiffe_id_free)

/* The slices and the string live as long as ${id}. The path is "" or "/a/b". */
struct mf_slice mf_spiffe_id_uri(const struct mf_spiffe_id *id);
const char *mf_spiffe_id_str(const struct mf_spiffe_id *id); /* the URI with a NUL; none inside */
struct mf_slice mf_spiffe_id_trust_domain(const struct mf_spiffe_id *id);
struct mf_slice mf_spiffe_id_path(const struct mf_spiffe_id *id);
bool mf_spiffe_id_eq(const struct mf_spiffe_id *a, const struct mf_spiffe_id *b);

/*
 * What a trust domain of our own must obey beyond the standard, checked when it is set up: Go's x509
 * refuses a URI host with an empty label, and names that can never be DNS names trip other tools. So:
 * lowercase, labels of 1 to 63 bytes, at most 253 in all.
 */
MF_NODISCARD enum mf_status mf_trust_domain_check_strict(struct mf_slice td, struct mf_err *err);

/* One path segment: 1 or more of [A-Za-z0-9._-], neither "." nor "..". */
bool mf_spiffe_segment_ok(struct mf_slice s);

/* Says what ${name} stands for; false when there is no such name (or no value). */
typedef bool (*mf_spiffe_lookup)(void *ctx, struct mf_slice name, struct mf_slice *ret_value);

/*
 * Render a template such as "/{tenant}/train/{env}/job/{job}" and append it to ${to}. Each value must
 * be exactly one segment by itself, so that no value can reach another place in the tree, and the
 * result must be a valid non-empty path. MF_E_NOTFOUND: a name without value. MF_E_INVALID: anything
 * else. The text names the placeholder, never its value. ${to} is unchanged unless MF_OK.
 */
MF_NODISCARD enum mf_status mf_spiffe_path_render(
    struct mf_slice tmpl, mf_spiffe_lookup lookup, void *ctx, struct mf_buf *to, struct mf_err *err);
/* The same for one segment, e.g. the subject CN "{job}" or "run-{run}". */
MF_NODISCARD enum mf_status mf_spiffe_segment_render(
    struct mf_slice tmpl, mf_spiffe_lookup lookup, void *ctx, struct mf_buf *to, struct mf_err *err);
#endif
