/*
 * front_internal: what front.c and front_status.c share.
 */
#ifndef MF_AGENT_FRONT_FRONT_INTERNAL_H
#define MF_AGENT_FRONT_FRONT_INTERNAL_H
#include "agent/front/cloud_http.h"
#include "agent/front/front.h"
#include "agent/front/jobs_api.h"
#include "agent/front/jwt_api.h"
#include "agent/front/upstream.h"
#include "agent/front/workload_api.h"
#include "agent/front/resolve.h"
#include "rpc/grpc_health.h"
#include "rpc/grpc_reflect.h"

struct mf_front {
	struct mf_front_config cfg;
	struct mf_attestor_link *link;
	struct mf_identities *ids;
	struct mf_job_conns *conns;
	struct mf_bundles *bundles;
	struct mf_workload_api *workload;
	struct mf_jwt_api *jwts;
	struct mf_clouds *clouds;
	struct mf_cloud_http *cloud_http; /* NULL: no endpoint here */
	struct mf_jobs_api *jobs;
	struct mf_outer_trust *trust;
	struct mf_outer_key *key;
	struct mf_upstream *upstream;
	struct mf_grpc_health *health;
	struct mf_grpc_reflect *reflect;
	const struct mf_grpc_service *services[5];
	struct mf_grpc_server server;
	struct mf_net_listener *listener;
	struct mf_resolve *resolve;
	struct mf_net_counters jobs_net, broker_net;
	struct mf_loop_timer *stop_timer;
	uint64_t stop_by;
	void (*stopped)(void *ctx);
	void *stopped_ctx;
	uint64_t link_losses;
	bool session_told, session_ready; /* what the log was told last */
	char session_reason[MF_SVID_TEXT_MAX + 1];
	struct mf_http_status_page pages[MF_FRONT_PAGES];
};

void mf_front_status_init(struct mf_front *f); /* fills pages */
#endif
