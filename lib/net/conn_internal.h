/* What grpc_conn.c (a connection), conn_io.c (its socket) and listener.c share. */
#ifndef MF_NET_CONN_INTERNAL_H
#define MF_NET_CONN_INTERNAL_H
#include "base/fair.h"
#include "base/list.h"
#include "net/grpc_conn.h"

#define MF_NET_NAME 80u

enum mf_net_state {
	MF_NET_CONNECTING,
	MF_NET_HANDSHAKE,
	MF_NET_OPEN,
	MF_NET_FLUSHING, /* over: what is queued is still sent, nothing is read */
};

struct mf_net_conn {
	struct mf_loop *loop;
	struct mf_net_listener *ln; /* NULL: a client */
	struct mf_list link;	    /* of the listener */
	struct mf_fair_item turn;   /* it has bytes, and waits to be read */
	enum mf_net_state state;
	int fd;
	bool is_unix;
	struct mf_loop_fd *io;
	struct mf_loop_timer *timer;
	struct mf_loop_defer *kick;
	struct mf_tls_ctx *tls_ctx; /* a client's until the connect is done */
	struct mf_tls *tls;
	struct mf_grpc_client client;
	struct mf_grpc_conn *grpc;
	struct mf_net_limits limits;
	const struct mf_net_conn_ops *ops;
	void *ctx, *user;
	struct mf_net_counters *counters;
	struct mf_net_sender peer;
	uint8_t address[16]; /* TCP: for the cap per peer */
	char name[MF_NET_NAME];
	struct mf_buf out;    /* for the socket */
	struct mf_buf plain;  /* between gRPC and TLS */
	uint64_t began_ms;    /* of the present state */
	uint64_t progress_ms; /* the socket last took bytes, or nothing waited */
	bool hold;
	bool opened;  /* on_open ran and said yes */
	bool closing; /* the end is on its way: kick destroys it */
	bool shaken;  /* no handshake is going on any more */
	bool tls_closed;
	enum mf_net_why why;
	struct mf_err err;
};

struct mf_net_conn *mf_net_conn_new(struct mf_loop *l, int fd, bool is_unix, struct mf_err *err);
/* The socket is connected: handshake or on_open. */
void mf_net_conn_start(struct mf_net_conn *c);
/* End it for ${why}: at once if nothing can be sent, else after a flush. The first reason stays. */
void mf_net_conn_end(struct mf_net_conn *c, enum mf_net_why why, const struct mf_err *err);
void mf_net_conn_destroy(struct mf_net_conn *c);
/* Now, with a GOAWAY if the socket takes one. Not from one of its callbacks. */
void mf_net_conn_evict(struct mf_net_conn *c);
void mf_net_fill_limits(struct mf_net_limits *l, bool client);
/* After anything happened: send, find out whether it is over, set interest and timer. */
void mf_net_conn_settle(struct mf_net_conn *c);
uint64_t mf_net_now(void);

/* conn_io.c */
void mf_net_read(struct mf_net_conn *c);
/* Queue what TLS and gRPC have to say, and write it. False: the socket is broken. */
bool mf_net_flush(struct mf_net_conn *c);
bool mf_net_wants_write(const struct mf_net_conn *c);

/* listener.c: there are bytes: true, they are read when their turn comes; false: now. */
bool mf_net_listener_turn(struct mf_net_listener *ln, struct mf_net_conn *c);
/* A connection of it has gone, or a handshake ended. */
void mf_net_listener_gone(struct mf_net_listener *ln, struct mf_net_conn *c);
void mf_net_listener_shaken(struct mf_net_listener *ln);
const struct mf_grpc_server *mf_net_listener_server(const struct mf_net_listener *ln);
#endif
