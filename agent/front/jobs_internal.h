/*
 * jobs_internal: what jobs_api.c (the service, WhoAmI), jobs_start.c (Start) and jobs_bundle.c (GetBundle) share.
 */
#ifndef MF_AGENT_FRONT_JOBS_INTERNAL_H
#define MF_AGENT_FRONT_JOBS_INTERNAL_H
#include "agent/front/jobs_api.h"

#include "job.pb-c.h"

/* The last refusal of one user: for `mayfly why`, after the runner that was refused is gone. */
struct mf_past_refusal {
	bool there;
	uint32_t uid;
	int64_t at_us;
	char profile[MF_SVID_TEXT_MAX + 1], reason[MF_SVID_TEXT_MAX + 1], rule[MF_SVID_TEXT_MAX + 1];
};
#define MF_PAST_REFUSALS 64u /* users; beyond, the oldest goes */

/* Questions of one user by Explain since ${since_ms}. */
struct mf_explain_count {
	uint32_t uid, n; /* n 0: nobody's */
	uint64_t since_ms;
};
#define MF_EXPLAIN_USERS 64u

struct mf_jobs_api {
	struct mf_jobs_api_config cfg;
	struct mf_grpc_service service;
	struct mf_list runs; /* struct run.node of jobs_start.c */
	size_t n_runs;
	uint64_t last_start;
	struct mf_list explains; /* struct explain.node of jobs_explain.c */
	uint64_t last_explain;
	struct mf_explain_count explained[MF_EXPLAIN_USERS];
	bool down;
	char node_id[256];
	struct mf_past_refusal past[MF_PAST_REFUSALS];
};

void
mf_jobs_remember(struct mf_jobs_api *j, uint32_t uid, const char *profile, const struct mf_svid_entry *e);

extern const struct mf_grpc_server_ops mf_jobs_start_ops, mf_jobs_explain_ops, mf_jobs_bundle_ops,
    mf_jobs_cloud_token_ops, mf_jobs_cloud_env_ops;
/* What a caller may say about a job at all. */
MF_NODISCARD enum mf_status
mf_jobs_claims_check(const char *profile, const char *name, size_t manifest_n, struct mf_err *err);
/* jobs_explain.c: finish those that wait, ${asked_only}: for an answer of the attestor. */
void mf_jobs_explain_drop(struct mf_jobs_api *j, bool asked_only, const char *why);
#endif
