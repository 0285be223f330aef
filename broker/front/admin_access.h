/*
 * admin_access: which certificate may administer, and as what: the assignments and authorities that the supervisor
 * read from broker.yaml (mayfly.roles.v1.AdminAccess), with the bundle of our own trust domain.
 *
 * An X.509-SVID counts when its trust domain is ours or one of the foreign bundles; every other certificate when it
 * leads to the admin CA. Names under /mayfly/ of our own trust domain are nodes and brokers, never administrators.
 * No I/O; loop's thread.
 */
#ifndef MF_FRONT_ADMIN_ACCESS_H
#define MF_FRONT_ADMIN_ACCESS_H
#include "base/limits.h"
#include "base/slice.h"
#include "broker/core/admin_roles.h"

struct mf_admin_access; /* opaque */

/* Who showed a certificate that verifies. */
struct mf_admin_id {
	char cert[65];			       /* hex SHA-256 */
	char spiffe_id[MF_LIM_SPIFFE_ID + 1];  /* "": no SVID */
	char subject[MF_LIM_CERT_SUBJECT + 1]; /* "" for an SVID */
	int64_t not_after_s;
};

/* ${packed}: an AdminAccess; empty: nobody. MF_E_INVALID names what is wrong. ${trust_domain} is ours. */
MF_NODISCARD enum mf_status mf_admin_access_new(
    struct mf_slice packed, const char *trust_domain, struct mf_admin_access **ret_a, struct mf_err *err);
void mf_admin_access_free(struct mf_admin_access *a);
MF_DEFINE_CLEANUP(struct mf_admin_access, mf_admin_access_free)
/* The CA certificates of our own trust domain: DER, concatenated. */
MF_NODISCARD enum mf_status
mf_admin_access_bundle(struct mf_admin_access *a, struct mf_slice bundle, struct mf_err *err);

/* ${chain}: DER, leaf first. MF_E_UNAUTH or MF_E_INVALID: nobody that can have a role. */
MF_NODISCARD enum mf_status mf_admin_access_verify(const struct mf_admin_access *a,
    const struct mf_slice *chain, size_t n, int64_t now_s, struct mf_admin_id *ret_id, struct mf_err *err);
/* The highest role that an assignment gives; MF_ADMIN_NOBODY. */
enum mf_admin_role mf_admin_access_role(const struct mf_admin_access *a, const struct mf_admin_id *id);
/* For people: the SPIFFE ID, the subject, or the certificate's hash. */
const char *mf_admin_id_name(const struct mf_admin_id *id);
size_t mf_admin_access_count(const struct mf_admin_access *a); /* assignments */
#endif
