/* engine_rig_cloud: a courier in memory for engine_rig, and a backend whose powers the test sets. */
#ifndef MF_TEST_ENGINE_RIG_CLOUD_H
#define MF_TEST_ENGINE_RIG_CLOUD_H
#include "engine_jobs.h"

#define RIG_MINTS 512u

struct rig_cloud {
	struct mf_token_backend backend;
	struct mf_assertion_request *signing[RIG_MINTS];
	size_t signing_n;
	Mayfly__Roles__V1__MintRequest *asked[RIG_MINTS]; /* what the courier has, in its order */
	size_t asked_n;
	size_t asked_in_all;
	Mayfly__Roles__V1__CloudRevokeRequest *revoking[RIG_MINTS]; /* likewise */
	size_t revoking_n, revoked_in_all;
	struct rig_handles *handles; /* rig_handles.h; NULL: tokens need none */
	bool es256;		     /* the target wants it */
	bool away;		     /* the courier is not there */
	bool undurable;		     /* it was asked before the intent was on disk */
};

/* alice's job with the grants "data" (ends by denial), "short" (expires) and "other" at the target "lab". */
struct rig *mf_rig_with_cloud(struct rig_cloud *c, struct rig_job *j);
void mf_rig_cloud_backend(
    struct rig_cloud *c); /* the backend that targets have, as it is without a test's wishes */
void mf_rig_cloud_free(struct rig *r);
void mf_rig_cloud_conf(struct rig *r); /* as after a crash */
/* That policy, ${ttl} of "data", and ${who} may have it. */
struct mf_policy *mf_rig_cloud_policy(const char *ttl, const char *who);
uint64_t mf_rig_mint_cloud(struct rig *r, const struct rig_job *j, const char *grant);
void mf_rig_assert_all(struct rig *r, bool ok); /* the crew signs what waits */
/* The courier brings a good token for the oldest request; false: it was asked nothing. */
bool mf_rig_bring(struct rig *r);
/* The courier answers the oldest revocation; false: there is none. ${error} NULL: confirmed, dead at ${dead_at}. */
bool mf_rig_revoked(struct rig *r, const char *error, int64_t dead_at);
/* A result that fits ${q}; texts are static. */
Mayfly__Roles__V1__MintResult
mf_rig_good_result(const struct rig *r, const Mayfly__Roles__V1__MintRequest *q, uint8_t token[256]);
void mf_rig_forget_asked(struct rig *r);    /* the oldest one */
void mf_rig_forget_revoking(struct rig *r); /* likewise */
const Mayfly__Agent__V1__CloudGrant *mf_rig_cloud_grant(const struct rig *r, uint64_t request);
/* For cmocka_run_group_tests: the key of assertions (RS256), which is dear to make. */
int mf_rig_cloud_setup(void **state);
int mf_rig_cloud_teardown(void **state);
#endif
