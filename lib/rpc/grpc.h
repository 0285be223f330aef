/*
 * grpc: gRPC over HTTP/2, server and client, unary and streaming, without any I/O.
 *
 * A connection (struct mf_grpc_conn) is fed with bytes and time and yields bytes; lib/net and
 * rpc/grpc_sync.h do the reading and writing. Messages are checked (rpc/pb_check.h) before a handler
 * sees them. One thread per connection. Callbacks run inside mf_grpc_recv, mf_grpc_pull,
 * mf_grpc_tick and mf_grpc_conn_free and may call everything but these four.
 *
 * Life of a call, server: on_open, on_message*, on_half_close, then the handler ends it by
 * mf_grpc_finish, or it is ended from outside and on_cancel tells (peer's reset, deadline, bad
 * message, lost connection). Exactly one of the two; after either the call pointer is dead.
 * Life of a call, client: mf_grpc_open, on_message*, on_status; or mf_grpc_cancel, after which no
 * callback runs. After on_status or mf_grpc_cancel the pointer is dead.
 */
#ifndef MF_RPC_GRPC_H
#define MF_RPC_GRPC_H
#include "rpc/grpc_status.h"
#include "rpc/h2.h"
#include "rpc/pb_check.h"

struct mf_grpc_conn;
struct mf_grpc_call;

enum mf_grpc_flags {
	MF_GRPC_UNARY = 0,
	MF_GRPC_CLIENT_STREAM = 1,
	MF_GRPC_SERVER_STREAM = 2,
	MF_GRPC_BIDI = 3,
};

/* Every member is optional but on_cancel where on_open or on_message keeps something. */
struct mf_grpc_server_ops {
	/* The head was accepted; the body has not arrived. May finish the call at once. */
	void (*on_open)(struct mf_grpc_call *c);
	/*
	 * A whole, checked message; freed after the callback. Methods without CLIENT_STREAM get exactly
	 * one, when the client has half-closed; any other number was answered with INTERNAL.
	 */
	void (*on_message)(struct mf_grpc_call *c, const ProtobufCMessage *msg);
	void (*on_half_close)(struct mf_grpc_call *c); /* CLIENT_STREAM methods only */
	void (*on_writable)(struct mf_grpc_call *c);   /* room again after mf_grpc_send said MF_E_AGAIN */
	void (*on_cancel)(struct mf_grpc_call *c, enum mf_grpc_code why);
};

struct mf_grpc_method {
	const char *path; /* "/package.Service/Method" */
	const ProtobufCMessageDescriptor *request, *response;
	unsigned flags;			      /* enum mf_grpc_flags */
	const struct mf_grpc_server_ops *ops; /* server only */
	uint32_t max_message;		      /* bytes of one received message; 0: MF_LIM_GRPC_MESSAGE */
};

/* A group of methods that share a context. Static or owned by whoever owns the server. */
struct mf_grpc_service {
	const struct mf_grpc_method *methods;
	size_t n_methods;
	void *ctx;
};

struct mf_grpc_counters {
	struct mf_h2_counters h2;
	uint64_t calls;			       /* heads seen (server) or calls opened (client) */
	uint64_t finished[MF_GRPC_CODE_COUNT]; /* by status, whoever set it */
	uint64_t messages_in, messages_out;
	uint64_t bad_messages; /* refused by framing or by the check */
	uint64_t open;	       /* gauge */
};

/* What all connections of one listener share. Must outlive them. */
struct mf_grpc_server {
	const struct mf_grpc_service *const *services;
	size_t n_services;
	/*
	 * Optional. Runs when a head is complete, before the method is looked up and before the body:
	 * mf_grpc_call_method is NULL for an unknown one. Return MF_GRPC_OK to go on; any other code is
	 * the answer, with the text that was put into ${why} (no text: the code alone).
	 */
	enum mf_grpc_code (*admit)(void *ctx, struct mf_grpc_call *c, struct mf_err *why);
	void *ctx;
	bool any_authority;	       /* Unix sockets */
	uint32_t keepalive_ms;	       /* PING when nothing came for so long; 0: never */
	uint32_t keepalive_timeout_ms; /* then as long for an answer; 0: 20 s */
	struct mf_h2_limits limits;
	struct mf_grpc_counters *counters;
};

struct mf_grpc_client_ops {
	void (*on_message)(struct mf_grpc_call *c, const ProtobufCMessage *msg); /* freed after it */
	/* Instead of on_message: the handler owns ${msg} (mf_pb_free). */
	void (*take_message)(struct mf_grpc_call *c, ProtobufCMessage *msg);
	void (*on_writable)(struct mf_grpc_call *c);
	/* Last. ${text} is the peer's message or ours, NUL-terminated, never NULL, valid UTF-8. */
	void (*on_status)(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text);
};

struct mf_grpc_client {
	const char *authority; /* :authority; NULL: "localhost" */
	bool tls;	       /* :scheme https */
	uint32_t keepalive_ms, keepalive_timeout_ms;
	struct mf_h2_limits limits;
	struct mf_grpc_counters *counters;
};

struct mf_grpc_transport { /* both optional */
	/* Output appeared, or a deadline came nearer, outside recv, pull and tick: see to both soon. */
	void (*wake)(void *ctx);
	/* The time now; without it, the latest that recv or tick were given (for tests). */
	uint64_t (*now_ms)(void *ctx);
	void *ctx;
};

/* ${user} is the peer: mf_grpc_conn_user. */
MF_NODISCARD enum mf_status
mf_grpc_conn_new_server(const struct mf_grpc_server *srv, const struct mf_grpc_transport *t, void *user,
    uint64_t now_ms, struct mf_grpc_conn **ret_c, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_grpc_conn_new_client(const struct mf_grpc_client *cl, const struct mf_grpc_transport *t, void *user,
    uint64_t now_ms, struct mf_grpc_conn **ret_c, struct mf_err *err);
/* Ends every call (server: on_cancel UNAVAILABLE; client: on_status UNAVAILABLE). NULL is a no-op. */
void mf_grpc_conn_free(struct mf_grpc_conn *c);
MF_DEFINE_CLEANUP(struct mf_grpc_conn, mf_grpc_conn_free)

/* As mf_h2_recv: not MF_OK means pull, send, close. */
MF_NODISCARD enum mf_status
mf_grpc_recv(struct mf_grpc_conn *c, struct mf_slice in, uint64_t now_ms, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_grpc_pull(struct mf_grpc_conn *c, struct mf_buf *to, size_t enough, struct mf_err *err);
bool mf_grpc_wants_write(const struct mf_grpc_conn *c);
bool mf_grpc_done(const struct mf_grpc_conn *c);
enum mf_status mf_grpc_fate(const struct mf_grpc_conn *c); /* lint: nodiscard: as mf_h2_fate */
/*
 * Deadlines, keepalive, the drain's second step. Call it at mf_grpc_next_timeout or later. Not MF_OK
 * (MF_E_DEADLINE: the peer did not answer a PING): pull, send, close.
 */
MF_NODISCARD enum mf_status mf_grpc_tick(struct mf_grpc_conn *c, uint64_t now_ms, struct mf_err *err);
/* The time on the caller's clock at which mf_grpc_tick has work; UINT64_MAX: none. */
uint64_t mf_grpc_next_timeout(const struct mf_grpc_conn *c);
/*
 * Send a PING with ${nonce} (not all zero), and run ${answered} with the connection's user when its acknowledgement
 * came back: whoever wrote those bytes has read what was sent. A later challenge replaces an earlier one.
 */
void mf_grpc_challenge(struct mf_grpc_conn *c, const uint8_t nonce[8], void (*answered)(void *user));
/*
 * No new calls: GOAWAY in two steps. Open calls go on; handlers end their streams themselves
 * (UNAVAILABLE). mf_grpc_done is true once the last one ended.
 */
void mf_grpc_drain(struct mf_grpc_conn *c);
/* GOAWAY with an HTTP/2 error code and no more input; pull, send, close. */
void mf_grpc_abort(struct mf_grpc_conn *c, uint32_t h2_code);
void *mf_grpc_conn_user(const struct mf_grpc_conn *c);

/* For the deadlines that the transport keeps (first request, idle). */
struct mf_grpc_conn_stats {
	uint64_t calls;	       /* opened so far */
	size_t open;	       /* now */
	uint64_t last_call_ms; /* when the last call opened or ended, or the connection began */
	uint64_t last_recv_ms; /* when bytes last came */
	bool draining;	       /* either side sent GOAWAY */
};
struct mf_grpc_conn_stats mf_grpc_conn_stats(const struct mf_grpc_conn *c);

/* --- a call, both sides --- */
struct mf_grpc_conn *mf_grpc_call_conn(const struct mf_grpc_call *c);
void *mf_grpc_call_peer(const struct mf_grpc_call *c); /* mf_grpc_conn_user of its connection */
void *mf_grpc_call_ctx(const struct mf_grpc_call *c);  /* the service's (server) */
void *mf_grpc_call_user(const struct mf_grpc_call *c); /* the handler's own; NULL at first */
void mf_grpc_call_set_user(struct mf_grpc_call *c, void *user);
const struct mf_grpc_method *mf_grpc_call_method(const struct mf_grpc_call *c);
struct mf_slice mf_grpc_call_path(const struct mf_grpc_call *c);
uint64_t mf_grpc_call_deadline(const struct mf_grpc_call *c); /* the caller's clock; UINT64_MAX: none */
/*
 * Metadata (lowercase ${name}) of the latest head: the number of values, the first in *ret_v (may be
 * NULL). A rule that wants exactly one value compares the number with 1.
 */
size_t mf_grpc_metadata(const struct mf_grpc_call *c, const char *name, struct mf_slice *ret_v);
/*
 * Pack and queue a message. MF_E_AGAIN: no room, nothing was queued, on_writable will tell.
 * MF_E_TOOBIG: over MF_LIM_GRPC_MESSAGE. MF_E_CLOSED: the call is ending.
 */
MF_NODISCARD enum mf_status
mf_grpc_send(struct mf_grpc_call *c, const ProtobufCMessage *msg, struct mf_err *err);
size_t mf_grpc_call_queued(const struct mf_grpc_call *c); /* bytes not yet sent */
/* While paused no message is delivered and the windows fill: the peer has to stop. */
void mf_grpc_pause(struct mf_grpc_call *c);
void mf_grpc_resume(struct mf_grpc_call *c);

/* --- server --- */
/* After the queued messages: the status. ${text} (may be NULL) is for people; UTF-8. */
void mf_grpc_finish(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text);
/* With trailers; a value of a "-bin" name is encoded here. */
struct mf_grpc_meta {
	const char *name;
	struct mf_slice value;
};
void mf_grpc_finish_with(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text,
    const struct mf_grpc_meta *meta, size_t n);
/* One message and OK: the whole answer of a unary method. */
void mf_grpc_reply(struct mf_grpc_call *c, const ProtobufCMessage *msg);
/* The code and text of a failure of ours. */
void mf_grpc_fail(struct mf_grpc_call *c, enum mf_status s, const struct mf_err *err);

/* --- client --- */
/*
 * Open a call of ${m} (static; path, request, response and flags are used). ${timeout_ms} 0: none.
 * Fails with MF_E_CLOSED (connection draining or over), MF_E_EXHAUSTED, MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_grpc_open(struct mf_grpc_conn *c, const struct mf_grpc_method *m,
    const struct mf_grpc_client_ops *ops, void *user, const struct mf_grpc_meta *meta, size_t n_meta,
    uint64_t timeout_ms, struct mf_grpc_call **ret_call, struct mf_err *err);
void mf_grpc_half_close(struct mf_grpc_call *c);
/* RST_STREAM(CANCEL); no callback follows. */
void mf_grpc_cancel(struct mf_grpc_call *c);
#endif
