/*
 * cloud_http: the endpoint at which unmodified SDKs of a job find their cloud credentials.
 *
 *   GET /v1/aws/GRANT     as the AWS SDKs ask a container's credential endpoint
 *   GET /v1/token/GRANT   {"access_token", "token_type", "expires_in"}
 *
 * One listening socket serves 127.0.0.0/8; every instance has an address there and a secret of its own (cloud_secret.h).
 * A request gets something if it comes from a socket of the instance's own cgroup, shows the secret, came to the
 * instance's address, names that address and port literally as its Host, and shows no sign of a proxy or a browser.
 *
 * What will pass in a moment is held, not answered. What is over is 403 with a JSON body: SDKs do not repeat that, and
 * show it. Every answer says when the credential ends.
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_CLOUD_HTTP_H
#define MF_AGENT_FRONT_CLOUD_HTTP_H
#include "agent/front/cloud_secret.h"
#include "agent/front/clouds.h"

struct mf_cloud_http;

struct mf_cloud_http_config {
	struct mf_loop *loop;
	struct mf_attestor_link *link;
	struct mf_identities *ids;
	struct mf_clouds *clouds;
	int fd;		    /* listening TCP socket; taken over on success */
	int diag_fd;	    /* NETLINK_SOCK_DIAG; borrowed */
	const uint8_t *key; /* MF_CLOUD_KEY bytes; copied */
	uint64_t hold_ms;   /* 0: 55 s */
	int most_fds;	    /* as in net/http_server.h */
};

/* For /metrics. */
struct mf_cloud_http_stats {
	uint64_t requests, again, answered, denied, foreign, find_peer, abandoned;
	size_t open; /* gauge */
};

MF_NODISCARD enum mf_status
mf_cloud_http_new(const struct mf_cloud_http_config *cfg, struct mf_cloud_http **ret_h, struct mf_err *err);
void mf_cloud_http_free(struct mf_cloud_http *h);
MF_DEFINE_CLEANUP(struct mf_cloud_http, mf_cloud_http_free)
struct mf_cloud_http_stats mf_cloud_http_stats(const struct mf_cloud_http *h);
void mf_cloud_http_drain(struct mf_cloud_http *h);
bool mf_cloud_http_idle(const struct mf_cloud_http *h);

/* What a job must know. */
uint16_t mf_cloud_http_port(const struct mf_cloud_http *h);
const uint8_t *mf_cloud_http_key(const struct mf_cloud_http *h);

/* --- from the link --- */
void mf_cloud_http_on_peer(struct mf_cloud_http *h, const Mayfly__Roles__V1__PeerFound *m);
void mf_cloud_http_ended(struct mf_cloud_http *h, const Mayfly__Roles__V1__InstanceEnded *m);
void mf_cloud_http_link_closed(struct mf_cloud_http *h);
void mf_cloud_http_link_opened(struct mf_cloud_http *h);

/* The body of an answer; for the endpoint and for what the CLI asks. */
MF_NODISCARD enum mf_status mf_cloud_json(const struct mf_cloud_item *i, enum mf_cloud_kind as, int64_t now_s,
    struct mf_buf *to, struct mf_err *err);
/* As mf_cloud_json, made once for each token (and second, where the answer says how many are left) and kept with it. */
MF_NODISCARD enum mf_status mf_cloud_json_kept(struct mf_cloud_item *i, enum mf_cloud_kind as, int64_t now_s,
    struct mf_slice *ret_body, struct mf_err *err);
#endif
