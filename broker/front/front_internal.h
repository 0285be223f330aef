/* What front.c and status_pages.c share. */
#ifndef MF_FRONT_FRONT_INTERNAL_H
#define MF_FRONT_FRONT_INTERNAL_H
#include "broker/front/front.h"
#include "broker/front/server_cert.h"
#include "net/http_status.h"

struct mf_broker_front {
	struct mf_loop *loop;
	struct mf_broker_front_conf conf;
	struct mf_read_model *rm;
	struct mf_feed *feed;
	struct mf_notary_link *link;
	struct mf_server_cert *cert;
	struct mf_sessions *sessions;
	struct mf_admin_api *admin;
	struct mf_http_status *http;
	struct mf_loop_timer *relink; /* runs while there is no link */
	struct mf_loop_timer *stop;   /* looks whether all is drained */
	uint64_t stop_by_ms, idle_ms; /* at the latest; when a call was last open */
	bool stopping, left, ready;
	/* The notary's last word about itself. */
	struct {
		bool known, issuing;
		char reason[256];
		char issuer[16], issuer_why[MF_ERR_MSG_MAX]; /* the public OIDC issuer; "": nobody looks */
		uint64_t log_size, batches, signatures, issued, refused;
		uint32_t sessions, leases_open;
		uint64_t cloud_unknown;
		uint32_t cloud_failing, cloud_pending, cloud_late;
	} notary;
	uint64_t links; /* opened so far */
	struct mf_net_counters agents, admins, remote_admins;
};

/* /metrics, /healthz, /readyz on ${fd}. */
MF_NODISCARD enum mf_status mf_broker_front_pages(struct mf_broker_front *f, int fd, struct mf_err *err);
/* NULL: ready; else why not. */
const char *mf_broker_front_not_ready(const struct mf_broker_front *f);
/* The metrics page. */
void mf_broker_front_metrics(const struct mf_broker_front *f, struct mf_buf *to);
#endif
