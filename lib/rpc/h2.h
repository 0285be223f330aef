/*
 * h2: one HTTP/2 connection (RFC 9113), server or client, without any I/O.
 *
 * Bytes from the peer go in by mf_h2_recv, bytes for the peer come out by mf_h2_pull; time is an
 * argument. The only wrapper of nghttp2. It adds what nghttp2 1.52 lacks: header rules checked by
 * hand (so that any :authority is answered on a Unix socket), a cap on the header list, byte caps on
 * queued output, and a frame counter in front of the parser with two token buckets against floods;
 * who runs them dry gets GOAWAY(ENHANCE_YOUR_CALM) and is closed.
 *
 * Receiving is flow-controlled by reading: what ops->data was given counts against both windows
 * until mf_h2_consume.
 *
 * One thread per connection. Callbacks run inside mf_h2_recv, mf_h2_pull, and mf_h2_free; they may
 * call everything but these three. Services use rpc/grpc.h; this header is for it and for tests.
 */
#ifndef MF_RPC_H2_H
#define MF_RPC_H2_H
#include "base/buf.h"

struct mf_h2;
struct mf_h2_stream;

/* Error codes of RFC 9113 7 that we use by name. */
enum mf_h2_code {
	MF_H2_NO_ERROR = 0,
	MF_H2_PROTOCOL_ERROR = 1,
	MF_H2_INTERNAL_ERROR = 2,
	MF_H2_FLOW_CONTROL_ERROR = 3,
	MF_H2_REFUSED_STREAM = 7,
	MF_H2_CANCEL = 8,
	MF_H2_ENHANCE_YOUR_CALM = 11,
};

struct mf_h2_limits {			  /* 0: the default of limits.h */
	uint32_t streams;		  /* concurrent streams that the peer may open, or that we open */
	uint32_t header_list;		  /* bytes of one header list, RFC 9113 6.5.2 counting */
	uint32_t stream_window;		  /* bytes the peer may send unread on one stream */
	uint32_t conn_window;		  /* the same for the connection */
	uint32_t stream_out;		  /* bytes queued for one stream */
	uint32_t conn_out;		  /* bytes queued for all streams */
	uint32_t calm_burst, calm_rate;	  /* control frames: tokens, tokens per second */
	uint32_t reset_burst, reset_rate; /* resets of unanswered streams, by either side */
};

/* Added to, never reset. One struct may serve all connections of a thread; for /metrics. */
struct mf_h2_counters {
	uint64_t bytes_in, bytes_out;
	uint64_t frames_in, rst_in, rst_out, ping_in, settings_in, priority_in, empty_data_in,
	    window_update_in, unknown_in, continuation_in;
	uint64_t streams;	  /* opened */
	uint64_t calm;		  /* connections closed by a token bucket */
	uint64_t bad_heads;	  /* streams reset for malformed headers */
	uint64_t protocol_errors; /* connections ended by a protocol error of the peer */
};

struct mf_h2_ops {
	/*
	 * A head is complete, before any body: the request's (server), the response's or ${trailers}
	 * (client; 1xx are skipped). ${end}: nothing follows. A request whose header list is over the
	 * cap comes with mf_h2_head_too_big true and holds what fitted. On a server, request
	 * trailers are checked and dropped.
	 */
	void (*head)(void *ctx, struct mf_h2_stream *s, bool trailers, bool end);
	void (*data)(void *ctx, struct mf_h2_stream *s, struct mf_slice bytes);
	void (*end)(void *ctx, struct mf_h2_stream *s);	     /* END_STREAM after a head without it */
	void (*writable)(void *ctx, struct mf_h2_stream *s); /* room again after MF_E_AGAIN */
	void (*closed)(void *ctx, struct mf_h2_stream *s, uint32_t code); /* last; ${s} dies */
	void (*wake)(void *ctx); /* output appeared outside mf_h2_recv: pull soon */
	void (*ping_ack)(void *ctx, const uint8_t data[8]); /* optional; ${data} as it was sent */
	void (*goaway)(void *ctx, uint32_t code);	    /* optional: the peer takes no new streams */
};

struct mf_h2_config {
	bool server;
	bool any_authority; /* server on a Unix socket: any, empty or no :authority */
	struct mf_h2_limits limits;
	const struct mf_h2_ops *ops;
	void *ctx;
	struct mf_h2_counters *counters; /* outlives the connection */
};

struct mf_h2_field {
	struct mf_slice name, value; /* lowercase name */
};

MF_NODISCARD enum mf_status
mf_h2_new(const struct mf_h2_config *cfg, uint64_t now_ms, struct mf_h2 **ret_h, struct mf_err *err);
/* Runs ops->closed for every stream that is left. NULL is a no-op. */
void mf_h2_free(struct mf_h2 *h);
MF_DEFINE_CLEANUP(struct mf_h2, mf_h2_free)

/*
 * Bytes from the peer, in any portions. Anything but MF_OK means that the connection is over: pull
 * what is left (a GOAWAY, or a short HTTP/1.1 refusal), send it, close. MF_E_INVALID: the peer broke
 * the protocol; MF_E_EXHAUSTED: it was asked to calm down; MF_E_CLOSED: it was over before.
 */
MF_NODISCARD enum mf_status
mf_h2_recv(struct mf_h2 *h, struct mf_slice in, uint64_t now_ms, struct mf_err *err);
/*
 * Append output to ${to} until it holds about ${enough} bytes. Frames are not split: the cap of ${to}
 * must leave 20 KiB above ${enough}. A connection error of the peer that nghttp2 found shows here:
 * the GOAWAY comes out, and then mf_h2_fate is MF_E_INVALID.
 */
MF_NODISCARD enum mf_status mf_h2_pull(struct mf_h2 *h, struct mf_buf *to, size_t enough, struct mf_err *err);
bool mf_h2_wants_write(const struct mf_h2 *h);
/* True when nothing can be read or written any more: close the transport. */
bool mf_h2_done(const struct mf_h2 *h);
/* MF_OK while it lives; then why it ended: MF_E_CLOSED, MF_E_INVALID, MF_E_EXHAUSTED, MF_E_NOMEM. */
enum mf_status mf_h2_fate(const struct mf_h2 *h); /* lint: nodiscard: a getter */
/* GOAWAY with ${code} and no more input; pull, send, close. */
void mf_h2_terminate(struct mf_h2 *h, uint32_t code);
/* Two-step drain (RFC 9113 6.8): first announce, one round trip later refuse new streams. */
void mf_h2_drain_announce(struct mf_h2 *h);
void mf_h2_drain_close(struct mf_h2 *h);
void mf_h2_ping(struct mf_h2 *h);
/* The same with ${data} in it, which the acknowledgement brings back. */
void mf_h2_ping_with(struct mf_h2 *h, const uint8_t data[8]);
size_t mf_h2_streams(const struct mf_h2 *h); /* open ones */
bool mf_h2_peer_draining(const struct mf_h2 *h);
size_t mf_h2_queued(const struct mf_h2 *h); /* bytes of body waiting for the peer's windows */
size_t mf_h2_stream_queued(const struct mf_h2_stream *s);

/* Client: open a stream. Fails with MF_E_CLOSED after GOAWAY, MF_E_EXHAUSTED over limits.streams. */
MF_NODISCARD enum mf_status mf_h2_request(struct mf_h2 *h, const struct mf_h2_field *fields, size_t n,
    bool end, void *user, struct mf_h2_stream **ret_s, struct mf_err *err);
/* Server: the response head, once. */
MF_NODISCARD enum mf_status mf_h2_respond(
    struct mf_h2_stream *s, const struct mf_h2_field *fields, size_t n, bool end, struct mf_err *err);
/*
 * Queue body bytes: all of them, or MF_E_AGAIN and none when the queue has no room (ops->writable
 * follows).
 */
MF_NODISCARD enum mf_status mf_h2_write(struct mf_h2_stream *s, struct mf_slice bytes, struct mf_err *err);
/* After the queue: END_STREAM, or trailers with END_STREAM. Once. */
MF_NODISCARD enum mf_status mf_h2_end(struct mf_h2_stream *s, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_h2_trailers(struct mf_h2_stream *s, const struct mf_h2_field *fields, size_t n, struct mf_err *err);
/* RST_STREAM; what is queued is dropped. ops->closed still follows. */
void mf_h2_reset(struct mf_h2_stream *s, uint32_t code);
/* ${n} bytes given to ops->data were dealt with: the peer may send as many more. */
void mf_h2_consume(struct mf_h2_stream *s, size_t n);

void *mf_h2_user(const struct mf_h2_stream *s);
void mf_h2_set_user(struct mf_h2_stream *s, void *user);
/* The latest head. Fields come in order; pseudo fields first. Valid until the next head or the end. */
size_t mf_h2_head_count(const struct mf_h2_stream *s);
struct mf_h2_field mf_h2_head_at(const struct mf_h2_stream *s, size_t i);
/* How many fields are called ${name}; the first one's value in *ret_v (may be NULL) if any. */
size_t mf_h2_head_get(const struct mf_h2_stream *s, const char *name, struct mf_slice *ret_v);
bool mf_h2_head_too_big(const struct mf_h2_stream *s);
#endif
