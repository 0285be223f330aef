/* What grpc.c (connection), grpc_server.c and grpc_client.c share. Nobody else includes it. */
#ifndef MF_RPC_GRPC_INTERNAL_H
#define MF_RPC_GRPC_INTERNAL_H
#include "base/list.h"
#include "rpc/grpc.h"
#include "rpc/grpc_frame.h"
#include "rpc/h2_head.h"

#define MF_GRPC_NEVER UINT64_MAX

enum mf_grpc_drain_state { MF_GRPC_LIVE, MF_GRPC_ANNOUNCED, MF_GRPC_DRAINING };

struct mf_grpc_conn {
	struct mf_h2 *h2;
	const struct mf_grpc_server *srv; /* or */
	const struct mf_grpc_client *cl;
	struct mf_grpc_transport transport;
	struct mf_grpc_counters *counters;
	void *user;
	struct mf_list calls; /* until their stream is closed */
	size_t n_open;
	uint64_t n_calls, last_call_ms, last_recv_ms, now_ms;
	uint64_t next_deadline; /* a lower bound */
	uint32_t keepalive_ms, keepalive_timeout_ms;
	uint64_t ping_ms; /* when the unanswered PING was sent; NEVER: none is */
	enum mf_grpc_drain_state drain;
	uint8_t challenge[8];
	void (*answered)(void *user); /* NULL: no challenge is out */
	uint64_t drain_ms;	      /* when the second step is due at the latest */
	size_t in_bytes;	      /* of unfinished messages, all calls */
	struct mf_buf scratch;
	unsigned busy;
	bool closing; /* inside mf_grpc_conn_free */
};

struct mf_grpc_call {
	struct mf_grpc_conn *conn;
	struct mf_h2_stream *stream;
	struct mf_list link;
	const struct mf_grpc_method *method;
	void *ctx, *user;
	uint64_t deadline; /* of the call; once it is over: when its stream is reset at the latest */
	struct mf_grpc_frames in;
	struct mf_buf held; /* bytes that came while paused: not consumed */
	bool open;	    /* the owner has the pointer */
	bool paused, feeding;
	bool peer_ended;	  /* END_STREAM was seen */
	bool head_sent;		  /* server: response head; client: always */
	bool half_closed;	  /* client: we sent END_STREAM */
	size_t messages;	  /* that came */
	ProtobufCMessage *single; /* server: the one message, kept until the half-close */
	const struct mf_grpc_client_ops *ops;
	bool has_status; /* client: status and text are what on_status will be told */
	enum mf_grpc_code status;
	char *text;
};

struct mf_grpc_call *mf_grpc_call_new(struct mf_grpc_conn *c);
void mf_grpc_call_free(struct mf_grpc_call *c);
uint64_t mf_grpc_now(struct mf_grpc_conn *c);
void mf_grpc_set_deadline(struct mf_grpc_call *c, uint64_t at_ms);
/* The call is over for its owner: counted, its input let go, its stream gets a last deadline. */
void mf_grpc_call_over(struct mf_grpc_call *c, enum mf_grpc_code code);
/* Bytes of the body: held, or taken apart into messages. */
void mf_grpc_take(struct mf_grpc_call *c, struct mf_slice bytes);

/* The role's half of each event. */
void mf_grpc_server_head(struct mf_grpc_conn *c, struct mf_h2_stream *s, bool end);
void mf_grpc_server_message(struct mf_grpc_call *c, ProtobufCMessage *msg); /* takes ${msg} */
void mf_grpc_server_end(struct mf_grpc_call *c);
/* End the call from outside: on_cancel, and the status for the client. */
void mf_grpc_server_refuse(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text);
void mf_grpc_server_closed(struct mf_grpc_call *c, uint32_t h2_code);
void mf_grpc_client_head(struct mf_grpc_call *c, bool trailers, bool end);
void mf_grpc_client_message(struct mf_grpc_call *c, ProtobufCMessage *msg);
void mf_grpc_client_end(struct mf_grpc_call *c);
/* The end of the call by us: the stream is reset. */
void mf_grpc_client_fail(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text);
void mf_grpc_client_closed(struct mf_grpc_call *c, uint32_t h2_code);

/* A head to be sent: strings are copied in, then sent in order. */
struct mf_grpc_head {
	struct mf_h2_head list;
	bool failed;
};
void mf_grpc_head_put(struct mf_grpc_head *h, const char *name, struct mf_slice value);
void mf_grpc_head_meta(struct mf_grpc_head *h, const struct mf_grpc_meta *meta, size_t n);
#define MF_GRPC_HEAD_FIELDS 40u
/* The fields as an array of at most MF_GRPC_HEAD_FIELDS; false: it did not fit. */
bool mf_grpc_head_fields(const struct mf_grpc_head *h, struct mf_h2_field to[MF_GRPC_HEAD_FIELDS]);
#endif
