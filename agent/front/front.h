/*
 * front: the agent's exposed role as one object, without process matters: main.c and the tests make it alike.
 *
 * It serves the job socket (SPIFFE Workload API, mayfly.job.v1, grpc.health.v1), keeps the outer session to the broker,
 * and asks the attestor over the role link for everything that must be so. Losing the link or the broker ends nothing
 * that is served already.
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_FRONT_H
#define MF_AGENT_FRONT_FRONT_H
#include "agent/front/address.h"
#include "net/grpc_conn.h"
#include "net/http_status.h"

struct mf_front;

struct mf_front_config {
	struct mf_loop *loop;
	const char *build_id;	  /* borrowed, as all strings here */
	const char *trust_domain; /* folded */
	int workload_fd;	  /* listening Unix socket; taken over, also on failure */
	struct mf_front_address broker;
	/* Ask for a process that looks up the broker's name (resolve.h); NULL: nobody can be asked. */
	enum mf_status (*start_resolver)(void *resolver_ctx, struct mf_err *err);
	void *resolver_ctx;
	struct mf_slice ca_pin;					/* 32 bytes, or empty */
	uint64_t hold_ms, refusal_ms, adopt_ms;			/* 0: 5 s, 5 s, 60 s */
	uint64_t answer_ms, connect_ms, retry_ms, retry_max_ms; /* see identities.h, upstream.h */
	size_t max_instances;
	uint32_t conns_per_uid;	   /* 0: MF_FRONT_CONNS_PER_UID */
	uint32_t streams_per_conn; /* 0: MF_FRONT_STREAMS */
	bool
	    cloud; /* there is a cloud endpoint (cloud_http.h): its socket is taken over on success, the rest is borrowed */
	int cloud_fd, cloud_diag_fd;
	const uint8_t *cloud_key;
	uint64_t cloud_hold_ms; /* 0: 55 s */
	bool no_pidfds;		/* do as if the kernel passed none (caller_check: legacy) */
	bool no_known;		/* recognise nobody (caller_check: procfs, legacy) */
};
#define MF_FRONT_CONNS_PER_UID 512u
#define MF_FRONT_STREAMS 128u

MF_NODISCARD enum mf_status
mf_front_new(const struct mf_front_config *cfg, struct mf_front **ret_f, struct mf_err *err);
/* Closes what is left. After mf_front_stop and some turns of the loop that is little. */
void mf_front_free(struct mf_front *f);
MF_DEFINE_CLEANUP(struct mf_front, mf_front_free)

/* A new end of the link to the attestor; taken over, also on failure. */
MF_NODISCARD enum mf_status mf_front_link(struct mf_front *f, int fd, struct mf_err *err);
/* Such a process has started; takes ${fd}. */
void mf_front_resolver(struct mf_front *f, int fd);
/* End streams with UNAVAILABLE, drain; ${done} runs when nothing is left or after ${within_ms}. Once. */
void mf_front_stop(struct mf_front *f, uint64_t within_ms, void (*done)(void *ctx), void *ctx);

/* Pages for net/http_status: /metrics, /healthz, /readyz. The array lives as long as ${f}. */
#define MF_FRONT_PAGES 3u
const struct mf_http_status_page *mf_front_pages(struct mf_front *f);
#endif
