/*
 * upstream: the outer session: TLS 1.3 to the broker, one gRPC stream NodeAgent/Session on it, and on that the bytes
 * that attestor and notary exchange, which are opaque here.
 *
 * It connects while the attestor's link is open, and again after every loss with full-jitter backoff. The TLS
 * connection outlives streams (a notary's restart, a new handshake after a day) and the attestor's link. It shows
 * the front's certificate when there is a good one, else it goes by the lane of joining nodes. The attestor may have
 * MF_UPSTREAM_WINDOW sealed chunks under way; it gets a credit for each that the stream took, half a window at a time.
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_UPSTREAM_H
#define MF_AGENT_FRONT_UPSTREAM_H
#include "agent/front/address.h"
#include "agent/front/attestor_link.h"
#include "agent/front/outer_key.h"
#include "agent/front/outer_trust.h"
#include "net/grpc_conn.h"

#define MF_UPSTREAM_WINDOW 16u

struct mf_upstream;

struct mf_upstream_config {
	struct mf_loop *loop;
	struct mf_attestor_link *link;
	/*
	 * Borrowed. Its hosts are tried in turn, at once; a round in which none answered waits for the next. A name is looked
	 * up for each round.
	 */
	const struct mf_front_address *broker;
	/* Look up the broker's name: mf_upstream_resolved brings the answer, not from inside. Only for a name. */
	void (*resolve)(void *ctx, const char *name);
	void *ctx;
	uint64_t connect_ms; /* 0: the default of limits.h */
	uint64_t retry_ms,
	    retry_max_ms; /* ceilings of the random wait: the first, and the highest; 0: 200 ms, 30 s */
	struct mf_outer_trust *trust; /* borrowed */
	struct mf_outer_key *key;     /* borrowed */
	struct mf_net_counters *counters;
};

/* For /metrics. */
struct mf_upstream_stats {
	uint64_t dials, failures, streams, alarms, frames_in, frames_out, documents;
	uint64_t lookups, lookups_failed;
	bool connected, streaming, with_certificate; /* now */
};

MF_NODISCARD enum mf_status
mf_upstream_new(const struct mf_upstream_config *cfg, struct mf_upstream **ret_u, struct mf_err *err);
/* Stop first, and let the loop run until mf_upstream_stopped. */
void mf_upstream_free(struct mf_upstream *u);
MF_DEFINE_CLEANUP(struct mf_upstream, mf_upstream_free)
void mf_upstream_stop(struct mf_upstream *u);
bool mf_upstream_stopped(const struct mf_upstream *u);
struct mf_upstream_stats mf_upstream_stats(const struct mf_upstream *u);

/* The answer to resolve: ${n} addresses; 0: none, ${why}. Those of before are tried then. */
void mf_upstream_resolved(struct mf_upstream *u, const char *const *addresses, size_t n, const char *why);

/* --- from the link --- */
void mf_upstream_link_opened(struct mf_upstream *u);
void mf_upstream_link_closed(struct mf_upstream *u);
void mf_upstream_link_room(struct mf_upstream *u);
void mf_upstream_trust_changed(struct mf_upstream *u); /* a server can be judged now */
void mf_upstream_session(struct mf_upstream *u, bool ready);
/* The front has its certificate: a connection on the joining lane, which is narrow, is left for one that shows it. */
void mf_upstream_certified(struct mf_upstream *u);
void mf_upstream_on_data(struct mf_upstream *u, const Mayfly__Roles__V1__OuterData *m);
void mf_upstream_on_close(struct mf_upstream *u, const Mayfly__Roles__V1__OuterClosed *m);
#endif
