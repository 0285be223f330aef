/*
 * jobs_api: mayfly.job.v1.Jobs: Start (mayfly run; the stream lives as long as the runner), WhoAmI,
 * Explain and GetBundle.
 *
 * Start: the attestor makes the job's place (Created); the identity is asked for at once, while the child still waits
 * for its place; Placed, then Granted or Refused, Ended. The end of the stream is told to the attestor (RunnerGone).
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_JOBS_API_H
#define MF_AGENT_FRONT_JOBS_API_H
#include "agent/front/bundles.h"
#include "agent/front/cloud_http.h"
#include "agent/front/job_conn.h"

struct mf_jobs_api;

struct mf_jobs_api_config {
	struct mf_attestor_link *link;
	struct mf_identities *ids;
	const struct mf_bundles *bundles;
	struct mf_clouds *clouds;
	const struct mf_cloud_http *http; /* NULL: no cloud endpoint here */
};

MF_NODISCARD enum mf_status
mf_jobs_api_new(const struct mf_jobs_api_config *cfg, struct mf_jobs_api **ret_j, struct mf_err *err);
/* The listener must be gone. */
void mf_jobs_api_free(struct mf_jobs_api *j);
MF_DEFINE_CLEANUP(struct mf_jobs_api, mf_jobs_api_free)
const struct mf_grpc_service *mf_jobs_api_service(const struct mf_jobs_api *j);
size_t mf_jobs_api_runs(const struct mf_jobs_api *j);		       /* open Start streams */
void mf_jobs_api_set_node(struct mf_jobs_api *j, const char *node_id); /* for WhoAmI */
/* End all streams with UNAVAILABLE. Jobs go on: the attestor watches their runners itself. */
void mf_jobs_api_shutdown(struct mf_jobs_api *j);

/* --- from the link --- */
/* What was under way is failed; jobs that run go on under the next attestor. */
void mf_jobs_api_link_closed(struct mf_jobs_api *j);
void mf_jobs_api_on_created(struct mf_jobs_api *j, const Mayfly__Roles__V1__JobCreated *m);
void mf_jobs_api_on_explained(struct mf_jobs_api *j, const Mayfly__Roles__V1__JobExplained *m);
/* There is a session with the broker: what waits for one is asked. */
void mf_jobs_explain_look(struct mf_jobs_api *j);
void mf_jobs_api_on_placed(struct mf_jobs_api *j, const Mayfly__Roles__V1__JobPlaced *m);
#endif
