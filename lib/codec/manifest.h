/*
 * manifest: what a submitter declares about a job (design 9), strict JSON, as a flat list of attributes.
 *
 * The object may hold: mayfly_manifest (1), tenant, name, kind, env, profile, owner, run, image, code{repo, commit},
 * dataset[{uri, version, digest, class}], base_model{name, version, digest}, config, prompt_lineage, mounts[],
 * egress[], deadline (RFC 3339 UTC), ticket. All are optional; an unknown key is refused, so that a misspelt one never
 * passes for absent. Values are texts of 1 to 1024 bytes without control characters; tenant, name, kind, env, profile
 * and run are names (letters, digits, . - _, at most 64, no ".."); digests are sha256:, sha384: or sha512: and
 * lowercase hex. An element of dataset says at least one of its keys. At most MF_LIM_MANIFEST bytes and 64 elements in
 * a list. It is a claim: it narrows, and grants nothing.
 *
 * The bytes are hashed as submitted, by the caller. Never changes once parsed; threads may share it.
 */
#ifndef MF_CODEC_MANIFEST_H
#define MF_CODEC_MANIFEST_H
#include "base/buf.h"

struct mf_manifest; /* opaque */

/* MF_E_INVALID names the key and the cure, never a value; MF_E_TOOBIG, MF_E_NOMEM. */
MF_NODISCARD enum mf_status
mf_manifest_parse(struct mf_slice in, struct mf_manifest **ret_m, struct mf_err *err);
void mf_manifest_free(struct mf_manifest *m); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_manifest, mf_manifest_free)

struct mf_manifest_attr {
	const char *name;      /* "kind", "code.repo", "dataset.uri": policy calls it manifest.NAME */
	struct mf_slice value; /* p is NULL for a list that was given empty */
	const char *list;      /* "dataset" when it is a key of an element of that list; else NULL */
	size_t item;	       /* which element, from 0 */
};
/* One entry per value: a list gives its name once for each element. Slices live as long as ${m}. */
size_t mf_manifest_count(const struct mf_manifest *m);
struct mf_manifest_attr mf_manifest_at(const struct mf_manifest *m, size_t i);
/* The first value of ${name}; empty when there is none. */
struct mf_slice mf_manifest_get(const struct mf_manifest *m, const char *name);
/*
 * The attribute as records keep it, so that elements stay apart: "kind=finetune", "dataset[0].uri=s3://x"; "egress="
 * for a list that was given empty.
 */
void mf_manifest_attr_put(const struct mf_manifest_attr *attr, struct mf_buf *to);
/* False when no deadline was given. */
MF_NODISCARD bool mf_manifest_deadline(const struct mf_manifest *m, int64_t *ret_wall_us);

/* What a manifest may say, for those who speak about manifests: policy, its lint. */
enum mf_manifest_form {
	MF_MANIFEST_NONE,    /* no such field */
	MF_MANIFEST_TEXT,    /* one value */
	MF_MANIFEST_LIST,    /* a list of texts */
	MF_MANIFEST_OBJECTS, /* a list of objects: nothing can be compared with it as a whole */
	MF_MANIFEST_KEY	     /* a key of such objects, "dataset.uri": one value for each element */
};
#define MF_MANIFEST_FIELDS 24u
/* Field ${i} in the order of the text above; NULL at the end. */
const char *mf_manifest_field(size_t i, enum mf_manifest_form *ret_form);
/* *ret_i (may be NULL): its number. */
enum mf_manifest_form mf_manifest_field_form(struct mf_slice name, size_t *ret_i);
#endif
