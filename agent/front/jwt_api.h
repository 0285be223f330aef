/*
 * jwt_api: the JWT profile of the SPIFFE Workload API: FetchJWTSVID, FetchJWTBundles, ValidateJWTSVID.
 *
 * Tokens come from the entry's cache until half of their life is over (agent/core/jwt_cache.h); then one question goes
 * to the broker, however many callers wait for it. What the broker refuses is PERMISSION_DENIED with its reason, which
 * names an audience that the profile does not list; what is only missing now is UNAVAILABLE. A request that breaks a
 * rule is INVALID_ARGUMENT before anybody is asked who calls (E-5).
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_JWT_API_H
#define MF_AGENT_FRONT_JWT_API_H
#include "agent/front/bundles.h"
#include "agent/front/job_conn.h"

struct mf_jwt_api;

struct mf_jwt_api_config {
	struct mf_loop *loop;
	struct mf_attestor_link *link;
	struct mf_identities *ids;
	struct mf_bundles *bundles;
	uint64_t refusal_ms; /* a refusal is repeated for so long without asking again */
};

/* For /metrics. */
struct mf_jwt_api_stats {
	uint64_t fetches, served, minted, refused, unavailable, validated, invalid, messages, distrusted;
	size_t streams; /* gauge */
};

MF_NODISCARD enum mf_status
mf_jwt_api_new(const struct mf_jwt_api_config *cfg, struct mf_jwt_api **ret_j, struct mf_err *err);
/* The listener must be gone. */
void mf_jwt_api_free(struct mf_jwt_api *j);
MF_DEFINE_CLEANUP(struct mf_jwt_api, mf_jwt_api_free)
const struct mf_grpc_service *mf_jwt_api_service(const struct mf_jwt_api *j);
struct mf_jwt_api_stats mf_jwt_api_stats(const struct mf_jwt_api *j);

/* --- from the link --- */
void mf_jwt_api_on_answer(struct mf_jwt_api *j, const Mayfly__Roles__V1__InstanceJwt *m);
void mf_jwt_api_link_closed(struct mf_jwt_api *j);
/* There is a session again, or something else that calls may wait for. */
void mf_jwt_api_look(struct mf_jwt_api *j);
/* Tokens of these keys are served no more: who asks waits for a new one. */
void mf_jwt_api_distrust(struct mf_jwt_api *j, const struct mf_distrust *d);
/* The bundles changed: streams are pushed, who waits for keys is served. */
void mf_jwt_api_bundles_changed(struct mf_jwt_api *j);
/* End everything with UNAVAILABLE; what comes later too. */
void mf_jwt_api_shutdown(struct mf_jwt_api *j);
#endif
