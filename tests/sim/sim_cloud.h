/*
 * Cloud tokens in the simulation: a courier, two providers, and what is true of their tokens. One provider, "store", carries
 * tags, denies by them some seconds after it said so, and ends permissions at a given second; the other, "idp", can do none of it.
 */
#ifndef MF_SIM_CLOUD_H
#define MF_SIM_CLOUD_H
#include "broker/core/revocations.h"
#include "sim.h"

#define SIM_TOKENS 2048u
#define SIM_DENY_LATENCY_S 4 /* that the store documents */
#define SIM_IDP_TTL_S 45
#define SIM_CLOUD_TTL_S 150
#define SIM_RESIDUAL_S 60

/* A token at a provider. Times are seconds of the provider's clock, which is right. */
struct sim_token {
	char cred[MF_STATE_ID_MAX];
	char job[MF_STATE_ID_MAX], lease[MF_DENY_VALUE]; /* its tags; "": it carries none */
	char role[32], hash[65];
	bool store;
	int64_t exp, not_after; /* not_after 0: until exp */
	uint64_t pushed_us;	/* when its entry had to leave the list for want of room; 0: never */
};

/* ---- sim_provider.c ---- */
struct sim_provider;
struct sim_provider *sim_provider_new(void);
void sim_provider_free(struct sim_provider *p); /* NULL is a no-op */
int64_t sim_provider_s(void);			/* its clock */
void sim_provider_away(uint64_t us);
/* Fill the result; ${token} is what its bytes are in. */
void sim_provider_mint(
    const Mayfly__Roles__V1__MintRequest *q, Mayfly__Roles__V1__MintResult *r, struct mf_buf *token);
/* ${text}: where the entries of the result lie. */
void
sim_provider_revoke(const Mayfly__Roles__V1__CloudRevokeRequest *q, Mayfly__Roles__V1__CloudRevokeResult *r);
bool sim_provider_usable(const struct sim_token *t); /* now */
size_t sim_provider_tokens(void);
struct sim_token *sim_provider_token(size_t i);
const struct sim_token *sim_provider_find(const char *cred); /* NULL: none was made */

/* ---- sim_courier.c ---- */
struct sim_courier;
struct sim_courier *sim_courier_new(void);
void sim_courier_free(struct sim_courier *c); /* NULL is a no-op */
bool sim_courier_mint(const Mayfly__Roles__V1__MintRequest *q);
bool sim_courier_revoke(const Mayfly__Roles__V1__CloudRevokeRequest *q);
void sim_courier_crash(void); /* starts again by itself */
void sim_courier_notary_gone(void);
void sim_courier_notary_back(void);

/* ---- sim_cloud_ops.c: what the engine asks for ---- */
struct sim_notary;
void sim_cloud_start(struct sim_notary *n); /* after its engine has begun */
void sim_cloud_minted(const Mayfly__Roles__V1__MintResult *r);
void sim_cloud_revoked(const Mayfly__Roles__V1__CloudRevokeResult *r);
void sim_cloud_courier_gone(void);

/* ---- sim_policy.c ---- */
/* Is there, by that version, such a grant in the profile? */
bool sim_policy_grants(unsigned version, const char *profile, const char *grant);

/* ---- sim_tokens.c: the observer's part ---- */
struct obs_clouds;
struct obs_clouds *sim_clouds_new(void);
void sim_clouds_free(struct obs_clouds *o); /* NULL is a no-op */
void sim_saw_cloud_record(uint64_t index, const struct mf_record *r, struct mf_slice bytes);
void sim_saw_mint_request(const Mayfly__Roles__V1__MintRequest *q);
void sim_saw_minted(const struct sim_token *t);
struct obs_job;
/* The answer to what was asked for ${j}, by policies from ${policy} on. */
void sim_saw_cloud_grant(struct obs_job *j, unsigned policy, const Mayfly__Agent__V1__CloudGrant *g);
void sim_saw_clouds_restart(uint64_t size); /* the log has so many records */
void sim_saw_clouds_lost(uint64_t size);    /* and what came after them is lost for good */
void sim_saw_clouds_peace(void);
/* A job's process was handed this token. */
void sim_saw_token_used(const char *key, const char *cred);
#endif
