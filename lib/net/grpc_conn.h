/*
 * grpc_conn: gRPC connections on an event loop: Unix sockets that show the sender of every byte, and
 * TLS over TCP.
 *
 * Unix: the listening socket has SO_PASSCRED and, where the kernel has it, SO_PASSPIDFD, so that each
 * recvmsg tells who wrote these bytes; on_sender sees it before the bytes are parsed and may refuse.
 * Caps and deadlines are in struct mf_net_limits; on EMFILE accepting pauses and a reserve descriptor lets
 * the waiting peer be told (closed) instead of left hanging. All on the loop's thread; a callback may
 * call everything, also mf_net_conn_close of its own connection.
 */
#ifndef MF_NET_GRPC_CONN_H
#define MF_NET_GRPC_CONN_H
#include <sys/types.h>

#include "net/loop.h"
#include "net/tls.h"
#include "rpc/grpc.h"

struct mf_net_conn;
struct mf_net_listener;

struct mf_net_limits {		 /* 0: the default of limits.h */
	uint32_t conns;		 /* connections of one listener */
	uint32_t conns_per_peer; /* of one uid (Unix) or one address (TCP) */
	uint32_t handshake_ms;	 /* TLS done */
	uint32_t first_call_ms;	 /* from the accept (TLS: from the handshake) to the first call */
	uint32_t idle_ms;	 /* without an open call */
	uint32_t write_queue;	 /* bytes waiting for the socket; at most 128 KiB */
	uint32_t stall_ms;	 /* output waiting, and the socket took nothing */
	uint32_t handshakes;	 /* TLS handshakes at one time; more wait, and silent ones are then shed */
				 /* A client has no first_call and idle deadline unless they are set here. */
};

struct mf_net_sender {
	pid_t pid; /* in our pid namespace; 0: not visible */
	uid_t uid;
	gid_t gid;
	int pidfd; /* -1: the kernel does not pass it. Closed after the callback: dup to keep. */
};

enum mf_net_why { /* why a connection ended */
	MF_NET_PEER_CLOSED,
	MF_NET_CLOSED,	 /* by us, or drained */
	MF_NET_REFUSED,	 /* on_open or on_sender said no */
	MF_NET_PROTOCOL, /* HTTP/2 or TLS broken */
	MF_NET_CALM,	 /* flooded us */
	MF_NET_DEADLINE, /* handshake, first call, idle, stall, keepalive */
	MF_NET_IO,
	MF_NET_NOMEM,
	MF_NET_WHY_COUNT
};

/* Ended for what the peer sent: worth a line in the log. */
static inline bool
mf_net_why_abuse(enum mf_net_why why)
{
	return why == MF_NET_PROTOCOL || why == MF_NET_CALM;
}

struct mf_net_counters {
	struct mf_grpc_counters grpc;
	uint64_t accepted, refused_cap, refused_peer_cap, made_room, accept_paused, handshakes,
	    handshakes_failed;
	uint64_t closed[MF_NET_WHY_COUNT];
	uint64_t open; /* gauge */
};

/*
 * Members are optional. On TLS the verify function of the mf_tls_ctx runs before on_open; its ${conn} is
 * the struct mf_net_conn, so it may keep what it learnt by mf_net_conn_set_user.
 */
struct mf_net_conn_ops {
	/*
	 * The connection is there (TLS: authenticated). Set mf_net_conn_set_user here. false: close it.
	 * The server's calls see the same value as mf_grpc_call_peer: it is the struct mf_net_conn.
	 */
	bool (*on_open)(void *ctx, struct mf_net_conn *c);
	/*
	 * The peer of ${newcomer} (mf_net_conn_peer) has all the connections that it may have. Which of them gives way:
	 * it is told to go away and ends inside this call's caller. NULL: the newcomer is refused.
	 */
	struct mf_net_conn *(*on_peer_cap)(void *ctx, const struct mf_net_conn *newcomer);
	/* Unix: who sent the bytes that come next. Runs for every recvmsg. false: close, unparsed. */
	bool (*on_sender)(void *ctx, struct mf_net_conn *c, const struct mf_net_sender *s);
	/*
	 * Last; after it ${c} is dead. Calls were ended before it. Also after a refusing on_open, and
	 * without on_open when connecting or the handshake failed.
	 */
	void (*on_close)(void *ctx, struct mf_net_conn *c, enum mf_net_why why, const struct mf_err *err);
};

struct mf_net_listener_config {
	int fd;	  /* listening, non-blocking; taken over on success (closed with the listener) */
	bool tls; /* TCP with TLS; needs a context: mf_net_listener_set_tls */
	/* Unix: connections are read user by user in rotation, a few in each turn of the loop: whoever opens hundreds at once
	 * waits, and nobody else does. */
	bool take_turns;
	const struct mf_grpc_server *server; /* outlives the listener; server->counters is replaced by ours */
	struct mf_net_limits limits;
	const struct mf_net_conn_ops *ops;
	void *ctx;
	struct mf_net_counters *counters;
};

/* Bind and listen. A stale Unix socket file is replaced only when nobody answers on it. */
MF_NODISCARD enum mf_status
mf_net_listen_unix(const char *path, mode_t mode, int *ret_fd, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_net_listen_tcp(const char *address, uint16_t port, int *ret_fd, struct mf_err *err);

MF_NODISCARD enum mf_status mf_net_listener_new(struct mf_loop *l, const struct mf_net_listener_config *cfg,
    struct mf_net_listener **ret_l, struct mf_err *err);
/* For connections accepted from now on; the listener takes a count of its own. */
void mf_net_listener_set_tls(struct mf_net_listener *ln, struct mf_tls_ctx *tls);
/* Stop accepting and drain every connection (GOAWAY in two steps). */
void mf_net_listener_drain(struct mf_net_listener *ln);
size_t mf_net_listener_conns(const struct mf_net_listener *ln);
/* Every connection, until ${fn} returns false; ${fn} may close the one it is given. */
void
mf_net_listener_each(struct mf_net_listener *ln, bool (*fn)(void *ctx, struct mf_net_conn *c), void *ctx);
/* Closes what is left. Not from a callback of one of its connections. */
void mf_net_listener_free(struct mf_net_listener *ln);
MF_DEFINE_CLEANUP(struct mf_net_listener, mf_net_listener_free)

/* --- client; reconnecting is the caller's --- */
struct mf_net_client_config {
	const char *unix_path; /* or: */
	const char *address;   /* IP literal, with tls */
	uint16_t port;
	struct mf_tls_ctx *tls; /* NULL for unix_path */
	const struct mf_grpc_client *client;
	struct mf_net_limits limits; /* handshake_ms covers the connect */
	const struct mf_net_conn_ops
	    *ops; /* on_open when calls can be made; on_close also for a failed connect */
	void *ctx;
	struct mf_net_counters *counters;
};
MF_NODISCARD enum mf_status mf_net_connect(struct mf_loop *l, const struct mf_net_client_config *cfg,
    struct mf_net_conn **ret_c, struct mf_err *err);

/* --- a connection --- */
struct mf_grpc_conn *mf_net_conn_grpc(const struct mf_net_conn *c); /* NULL before on_open */
void *mf_net_conn_user(const struct mf_net_conn *c);
void mf_net_conn_set_user(struct mf_net_conn *c, void *user);
/* Unix: the descriptor, to be passed to the attestor. It stays the connection's. */
int mf_net_conn_fd(const struct mf_net_conn *c);
/* Unix: who connected (SO_PEERCRED); TCP: zeros. */
struct mf_net_sender mf_net_conn_peer(const struct mf_net_conn *c);
/* "unix:uid=1000" or "192.0.2.1:4711": for logs. */
const char *mf_net_conn_name(const struct mf_net_conn *c);
/* Pause or resume reading from the socket (a caller that is not yet known is held this way). */
void mf_net_conn_hold(struct mf_net_conn *c, bool hold);
/* Drop it: open calls end, on_close(MF_NET_CLOSED) runs soon, not inside this call. */
void mf_net_conn_close(struct mf_net_conn *c);
/* GOAWAY in two steps; closes when the last call ended. */
void mf_net_conn_drain(struct mf_net_conn *c);
#endif
