/*
 * published: what a directory of documents for others holds, signed: the OIDC documents of the broker, as they lie in
 * STATE/public and in whatever bucket they are copied to.
 *
 *   openid-configuration, keys          for everybody; the keys are what may be uploaded to a provider, too
 *   x5c-openid-configuration, x5c-keys  for stores that read a certificate instead of numbers, and one key only
 *   manifest                            a signed note by the log's key: revision, issuers, size and SHA-256 of each file
 *
 * Its first line is no log's name, so that no head of a log is ever taken for one, nor the reverse. The files are
 * written first, the manifest last: files that are not the manifest's are a copy under way, or somebody else's.
 *
 * Pure. What is opened is hostile bytes, at most MF_LIM_NOTE.
 */
#ifndef MF_LOG_PUBLISHED_H
#define MF_LOG_PUBLISHED_H
#include "codec/issuer.h"
#include "crypto/hash.h"
#include "log/note.h"

#define MF_PUBLISHED_MANIFEST "manifest"
#define MF_PUBLISHED_DIR "public" /* below the state directory */

enum mf_published_file {
	MF_PUBLISHED_DISCOVERY,
	MF_PUBLISHED_KEYS,
	MF_PUBLISHED_X5C_DISCOVERY,
	MF_PUBLISHED_X5C_KEYS,
	MF_PUBLISHED_FILES
};
const char *mf_published_name(enum mf_published_file f);
/* The path below the issuer's own at which relying parties ask for it. */
const char *mf_published_path(enum mf_published_file f);

struct mf_published {
	uint64_t revision; /* index of the record that it follows from */
	char issuer[MF_LIM_ISSUER + 1], x5c_issuer[MF_LIM_ISSUER + 1];
	struct {
		uint64_t size;
		uint8_t sha256[MF_SHA256_SIZE];
	} files[MF_PUBLISHED_FILES];
};

/* Size and hash of ${content}. */
void mf_published_add(struct mf_published *p, enum mf_published_file f, struct mf_slice content);
bool mf_published_is(const struct mf_published *p, enum mf_published_file f, struct mf_slice content);
/* Append the signed note. */
MF_NODISCARD enum mf_status mf_published_sign(const struct mf_published *p, struct mf_slice origin,
    const struct mf_ed25519 *key, struct mf_buf *to, struct mf_err *err);
/* The text of an opened note. False: it is none, or another release's. */
MF_NODISCARD bool mf_published_parse(struct mf_slice text, struct mf_published *ret_p);
/* MF_E_UNAUTH: not signed by ${key}; MF_E_INVALID: it is none, or another release's. */
MF_NODISCARD enum mf_status mf_published_open(
    struct mf_slice note, const struct mf_note_key *key, struct mf_published *ret_p, struct mf_err *err);
#endif
