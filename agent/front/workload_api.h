/*
 * workload_api: the SPIFFE Workload API: FetchX509SVID and FetchX509Bundles as streams that stay open. The JWT
 * methods are jwt_api.h's; every other one is not listed, so the server answers UNIMPLEMENTED (WAPI-2).
 *
 * Each message is the complete state, is sent at once when it is there, and again when it changed. A stream ends with
 * UNAVAILABLE (not known yet, or we are going down) or PERMISSION_DENIED with the text "no identity issued" (refused,
 * or over), never with OK or CANCELLED: clients stop watching for good on these.
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_WORKLOAD_API_H
#define MF_AGENT_FRONT_WORKLOAD_API_H
#include "agent/front/bundles.h"
#include "agent/front/job_conn.h"

#define MF_NO_IDENTITY "no identity issued" /* rust-spiffe looks for these words */

struct mf_workload_api;

/* For /metrics. */
struct mf_workload_api_stats {
	uint64_t fetches, messages, denied, unavailable;
	size_t streams; /* gauge */
};

MF_NODISCARD enum mf_status mf_workload_api_new(struct mf_identities *ids, const struct mf_bundles *bundles,
    struct mf_workload_api **ret_w, struct mf_err *err);
/* The listener must be gone. */
void mf_workload_api_free(struct mf_workload_api *w);
MF_DEFINE_CLEANUP(struct mf_workload_api, mf_workload_api_free)
const struct mf_grpc_service *mf_workload_api_service(const struct mf_workload_api *w);
struct mf_workload_api_stats mf_workload_api_stats(const struct mf_workload_api *w);
/* Foreign bundles changed: streams are pushed. */
void mf_workload_api_bundles_changed(struct mf_workload_api *w);
/* End all streams with UNAVAILABLE; those that come later too. */
void mf_workload_api_shutdown(struct mf_workload_api *w);

/*
 * struct mf_grpc_server.admit for the job socket: exactly one metadata workload.spiffe.io with the value true, on
 * every method, known or not, reflection too (SPIRE exempts that one: we do not, P-19), before the body and before
 * anyone is asked who calls; grpc.health.v1 alone needs none.
 */
enum mf_grpc_code mf_workload_api_admit(void *ctx, struct mf_grpc_call *c, struct mf_err *why);
#endif
