/*
 * allowed_signers: the file that says whose signatures count, in OpenSSH's format (ssh-keygen(1), ALLOWED SIGNERS), one
 * person and one key a line:
 *
 *   alice@example.org namespaces="mayfly-admin",valid-before="20271231Z" ssh-ed25519 AAAA... comment
 *
 * Narrower than OpenSSH on purpose: the principal is one person (no patterns, no lists), cert-authority is refused, dates
 * are in UTC ("Z"). A person may have several keys; a key belongs to one person. Pure.
 */
#ifndef MF_CODEC_ALLOWED_SIGNERS_H
#define MF_CODEC_ALLOWED_SIGNERS_H
#include "base/buf.h"
#include "base/limits.h"

struct mf_signers; /* opaque; never changes once made, so threads may share it */

/* ${name_space}: lines whose namespaces leave it out are skipped. MF_E_INVALID names the line and the cure. */
MF_NODISCARD enum mf_status
mf_signers_parse(struct mf_slice text, const char *name_space, struct mf_signers **ret_s, struct mf_err *err);
void mf_signers_free(struct mf_signers *s); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_signers, mf_signers_free)

/* Whose key this is at the time ${now_s}; NULL: nobody's. The string lives as long as ${s}. */
const char *mf_signers_person(const struct mf_signers *s, struct mf_slice key_blob, int64_t now_s);
/* Different persons with a key that counts at the time ${now_s}. */
size_t mf_signers_persons(const struct mf_signers *s, int64_t now_s);
#endif
