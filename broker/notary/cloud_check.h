/*
 * cloud_check: what can be said of a cloud grant without asking anybody, and what a test token of it would be. Part of the
 * engine.
 */
#ifndef MF_NOTARY_CLOUD_CHECK_H
#define MF_NOTARY_CLOUD_CHECK_H
#include "broker/notary/cloud_report.h"

/* A test token: of a job that there is not, with the grant's scope whose permissions are over already, as short as can be. */
struct cloud_test {
	const struct mf_policy_profile *profile; /* of the policy in force: not kept */
	const struct mf_policy_cloud *grant;
	const Mayfly__Roles__V1__CloudTarget *target;
	const struct mf_token_backend *backend;
	const char *issuer, *audience;
	char job[MF_STATE_ID_MAX], run[MF_STATE_ID_MAX];
	char subject[MF_LIM_SPIFFE_ID + 1];
	int64_t ttl_s;	   /* asked for; 0: the provider decides */
	int64_t not_after; /* 0: the scope cannot say it */
	int64_t exp;	   /* the latest that it can be alive */
	struct mf_buf scope;
	char scope_hash[65];
};

/* The profile; NULL: it is said why there is nothing to test. */
const struct mf_policy_profile *
mf_check_profile(const struct mf_engine *e, const char *name, struct cloud_report *r);
/* False: a token of it could not even be asked for, and ${r} says why. ${ret_t} is fini'd in any case. */
bool mf_check_grant(struct mf_engine *e, struct mf_now now, const struct mf_policy_profile *profile,
    const char *grant, struct cloud_test *ret_t, struct cloud_report *r);
void mf_cloud_test_fini(struct cloud_test *t);
/* What was read at the issuer's URL, against the key of ${use} that signs. ${res} NULL: nobody answered. */
void mf_check_documents(struct mf_engine *e, const char *issuer, const char *use,
    const Mayfly__Roles__V1__CloudFetchResult *res, struct cloud_report *r);
/* The name of `mayfly setup`'s kind for ${backend}, for cures. */
const char *mf_check_setup_kind(const char *backend);
#endif
