/* credentials: what administrators are shown of them, and the lists in the answers to removals. */
#ifndef MF_NOTARY_CREDENTIALS_H
#define MF_NOTARY_CREDENTIALS_H
#include "broker/notary/engine_internal.h"

#define MF_LISTING_MAX 1000u

struct removal_listing {
	Mayfly__Admin__V1__Credential *v[MF_LISTING_MAX];
	size_t n;
};
/* Everything of ${l} that has not expired; ${all} false: only what is live. What does not fit is left out. */
void
mf_removal_list_lease(struct removal_listing *out, const struct mf_lease *l, struct mf_now now, bool all);
/* One of them. ${f} with a lease, a node, or neither (the broker's own). */
void mf_removal_list_found(struct removal_listing *out, const struct mf_found *f);
/* "x509-svid", "jwt-svid", "cloud:GRANT" in ${to}. */
void mf_found_kind(const struct mf_found *f, char *to, size_t cap);
const char *mf_found_id(const struct mf_found *f);

/* Admin acts. */
void mf_engine_list_credentials(struct mf_engine *e, struct mf_now now, uint64_t call_id,
    const Mayfly__Admin__V1__ListCredentialsRequest *q);
/* credential_show.c */
void mf_engine_get_credential(struct mf_engine *e, struct mf_now now, uint64_t call_id,
    const Mayfly__Admin__V1__GetCredentialRequest *q);
/* The only one that ${typed} names; MF_E_NOTFOUND, MF_E_INVALID when several begin so. */
MF_NODISCARD enum mf_status
mf_engine_find_cred(const struct mf_engine *e, const char *typed, struct mf_found *ret_f, struct mf_err *err);
#endif
