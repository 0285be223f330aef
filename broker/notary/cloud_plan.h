/* cloud_plan: what one cloud token will be, decided before anybody is asked: part of the engine. */
#ifndef MF_NOTARY_CLOUD_PLAN_H
#define MF_NOTARY_CLOUD_PLAN_H
#include "broker/notary/engine_internal.h"

struct cloud_plan {
	struct mf_decision d;
	const struct mf_policy_cloud *grant;
	const Mayfly__Roles__V1__CloudTarget *target;
	const struct mf_token_backend *backend;
	const char *issuer, *audience;
	int64_t ttl_s;	     /* asked for; 0: the provider decides */
	int64_t not_after;   /* its permissions end then by the scope itself; 0: they do not */
	int64_t exp;	     /* the latest that it can work, whatever the provider says */
	bool may_outlive;    /* what is usable after the job's deadline is accounted for */
	struct mf_buf scope; /* the provider's form */
	char scope_hash[65];
};

enum cloud_no {
	CLOUD_YES,
	CLOUD_DENIED, /* by policy, for good until something changes */
	CLOUD_LATER
};
/*
 * Decide by today's policy, render the scope, and set the lifetimes (docs/internals/cloud.md). On no: ${ret_why}, for the
 * record and for who asks. ${ret_p} is fini'd in any case.
 */
enum cloud_no mf_cloud_plan(struct mf_engine *e, struct mf_now now, const struct mf_lease *l,
    const char *grant, struct cloud_plan *ret_p, char ret_why[MF_POLICY_REASON_MAX]);
/*
 * The lifetimes of a token of ${p}'s grant, target and backend for a job until ${deadline}: sets ttl_s, not_after, exp and
 * may_outlive.
 */
enum cloud_no
mf_cloud_lifetime(int64_t now_s, int64_t deadline, struct cloud_plan *p, char ret_why[MF_POLICY_REASON_MAX]);
void mf_cloud_plan_fini(struct cloud_plan *p);
const Mayfly__Roles__V1__CloudTarget *mf_cloud_target(const struct mf_engine *e, const char *name);
/* What signs assertions for ${t}. */
const char *mf_cloud_key_use(const Mayfly__Roles__V1__CloudTarget *t);
/* The subject of the broker's own assertions when it takes tokens back. */
#define MF_CLOUD_REVOKER "spiffe://%s/broker/revoker"
/* The value of mayfly-lease: instance and epoch. */
#define MF_CLOUD_LEASE_TAG (MF_STATE_ID_MAX + 12)
#endif
