/*
 * sessions: the agents' side. NodeAgent/Session streams on the TLS listener, relayed to the notary byte for byte.
 *
 * A stream gets a session id (never used again by this process) and two directions of its own flow control. Up: while
 * too much waits for the notary, streams that send are paused. Down: the notary has a credit of sealed chunks for each
 * session, topped up as the stream takes them, so one agent that does not read costs a bounded queue. Frames pass
 * unread; only their kind and size are looked at.
 *
 * When the notary goes, every stream is ended (UNAVAILABLE) and every TLS connection stays: the agent opens a new
 * stream on it. Loop's thread.
 */
#ifndef MF_FRONT_SESSIONS_H
#define MF_FRONT_SESSIONS_H
#include "broker/front/notary_link.h"
#include "broker/front/peers.h"
#include "net/grpc_conn.h"

#define MF_SESSIONS_WINDOW 64u	   /* sealed chunks that the notary may have under way for a node */
#define MF_SESSIONS_WINDOW_LANE 8u /* and for a peer on the joining lane */
#define MF_SESSIONS_PER_CONN 2u	   /* streams: the session, and the one that replaces it */

struct mf_sessions; /* opaque */

struct mf_sessions_conf {
	int fd; /* listening; taken over on MF_OK */
	struct mf_notary_link *link;
	const char *trust_domain;
	struct mf_read_model *rm;
	struct mf_peers_limits peers;
	struct mf_net_limits net; /* 0: a default */
	uint32_t first_ms;	  /* from the stream's start to its handshake message; 0: 10 s */
	struct mf_net_counters *counters;
};

struct mf_sessions_stats {
	uint32_t sessions; /* now */
	uint64_t opened, frames_up, frames_down, bytes_up, bytes_down, bad_frames, paused;
	struct mf_peers_stats peers;
};

MF_NODISCARD enum mf_status mf_sessions_new(
    struct mf_loop *l, const struct mf_sessions_conf *conf, struct mf_sessions **ret_s, struct mf_err *err);
void mf_sessions_free(struct mf_sessions *s);
MF_DEFINE_CLEANUP(struct mf_sessions, mf_sessions_free)

/* Our certificate and key, from now on; nobody is accepted before the first. */
MF_NODISCARD enum mf_status mf_sessions_identity(
    struct mf_sessions *s, const struct mf_slice *chain, size_t n, struct mf_slice key, struct mf_err *err);
/* A document that is the same for all: kept, and sent to every session. The bundle also judges certificates. */
MF_NODISCARD enum mf_status
mf_sessions_document(struct mf_sessions *s, const Mayfly__Agent__V1__Document *doc, struct mf_err *err);
/* The bundle's DER and number; empty before the first. */
struct mf_slice mf_sessions_bundle(const struct mf_sessions *s, uint64_t *ret_number);

/* From the link. */
void mf_sessions_data(struct mf_sessions *s, uint64_t sid, bool handshake, struct mf_slice body);
void mf_sessions_close(struct mf_sessions *s, uint64_t sid, const char *reason);
/* The notary knows by the inner key whose session it is, whatever certificate the connection showed. */
void mf_sessions_node(struct mf_sessions *s, uint64_t sid, const char *node);
/* The node was evicted: its connections are closed once what waits for them has left. */
void mf_sessions_node_out(struct mf_sessions *s, const char *node);
void mf_sessions_room(struct mf_sessions *s);
void mf_sessions_link_gone(struct mf_sessions *s);

/* The notary has said that a session is this node's. */
bool mf_sessions_node_connected(const struct mf_sessions *s, const char *node);
struct mf_sessions_stats mf_sessions_stats(const struct mf_sessions *s);
/* No new connections; streams are ended, connections drained (GOAWAY in two steps). */
void mf_sessions_drain(struct mf_sessions *s);
bool mf_sessions_drained(const struct mf_sessions *s);
#endif
