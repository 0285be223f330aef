/*
 * peers: the TLS connections of agents: who may connect, on which lane, and which nodes are there.
 *
 * A certificate is optional. One that is shown must be an X.509-SVID of a node in our trust domain and verify against
 * the bundle, else the connection is refused; a node that the read model knows as evicted is refused as well. Without
 * one the peer is a joining or re-attesting node: it gets a lane with its own small limits and a bounded life. This
 * is admission control, not authority: the inner session decides who the node is.
 *
 * Loop's thread.
 */
#ifndef MF_FRONT_PEERS_H
#define MF_FRONT_PEERS_H
#include "base/list.h"
#include "base/map.h"
#include "broker/front/read_model.h"
#include "net/grpc_conn.h"

struct mf_peers; /* opaque */
struct mf_peers_node;
struct mf_peers_source;

/* One connection. The structs are open for reading; sessions.c keeps its list and user in it. */
struct mf_peer {
	struct mf_net_conn *conn;
	char node[MF_RM_ID_MAX]; /* "": joining */
	struct mf_list sessions; /* of sessions.c */
	size_t n_sessions;
	struct mf_peers *peers;
	struct mf_peers_node *of;	/* its node; NULL: joining */
	struct mf_peers_source *source; /* joining: where from */
	struct mf_list at_node;
	struct mf_loop_timer *life; /* joining */
};

struct mf_peers_limits {      /* 0: the default */
	uint32_t lane;	      /* joining connections: 256 */
	uint32_t lane_per_ip; /* from one IPv4 address or IPv6 /64: 64 */
	uint32_t lane_ms;     /* how long one may last: 1 min */
	uint32_t per_node;    /* connections of one node; the oldest goes: 4 */
};

struct mf_peers_conf {
	const char *trust_domain;
	struct mf_read_model *rm;
	struct mf_peers_limits limits;
	void (*lane_over)(void *ctx, struct mf_peer *p); /* its time is up: end it */
	void *ctx;
};

struct mf_peers_stats {
	uint32_t nodes, joining; /* now */
	uint64_t joined_lane, refused_certificate, refused_evicted, refused_lane, replaced;
};

MF_NODISCARD enum mf_status mf_peers_new(
    struct mf_loop *l, const struct mf_peers_conf *conf, struct mf_peers **ret_p, struct mf_err *err);
/* After the last connection is gone. */
void mf_peers_free(struct mf_peers *p);
MF_DEFINE_CLEANUP(struct mf_peers, mf_peers_free)

/* The CA certificates that nodes' certificates must lead to. */
MF_NODISCARD enum mf_status mf_peers_bundle(struct mf_peers *p, struct mf_slice bundle, struct mf_err *err);
/*
 * The verify functions of net/tls.h for ${conn}, ${leaf} NULL for a client without certificate: on MF_OK mf_net_conn_user is its struct mf_peer, until
 * mf_peers_gone.
 */
MF_NODISCARD enum mf_status mf_peers_verify(struct mf_peers *p, struct mf_net_conn *conn,
    struct x509_st *leaf, struct stack_st_X509 *sent, struct mf_err *err);
/* The connection ends; NULL is a no-op. */
void mf_peers_gone(struct mf_peer *peer);
/* Take leave of the connections that showed this node's certificate: no new streams on them. */
void mf_peers_drain_node(struct mf_peers *p, const char *node);
struct mf_peers_stats mf_peers_stats(const struct mf_peers *p);
#endif
