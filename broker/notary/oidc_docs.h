/*
 * oidc_docs: the OIDC documents as bytes: discovery and keys, the same for readers of certificates (x5c), and the signed
 * manifest over them (log/published.h). Pure.
 */
#ifndef MF_NOTARY_OIDC_DOCS_H
#define MF_NOTARY_OIDC_DOCS_H
#include "broker/notary/engine.h"
#include "log/published.h"

struct mf_oidc_docs_conf {
	const char *issuer, *x5c_issuer; /* passed mf_issuer_check */
	struct mf_slice origin;		 /* of the log, whose key signs */
	const struct mf_ed25519 *log_key;
};

struct mf_oidc_docs {
	struct mf_buf files[MF_PUBLISHED_FILES];
	struct mf_buf manifest;
};
void mf_oidc_docs_init(struct mf_oidc_docs *d);
void mf_oidc_docs_fini(struct mf_oidc_docs *d);
/* ${x5c}: the key that ${set} names for it; NULL: that document holds no key. Into an empty ${d}. */
MF_NODISCARD enum mf_status mf_oidc_docs_make(const struct mf_oidc_docs_conf *c,
    const struct mf_oidc_set *set, const struct mf_jws_key *x5c, struct mf_oidc_docs *d, struct mf_err *err);
#endif
