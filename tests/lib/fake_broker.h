/*
 * fake_broker: a server on loopback that speaks NodeAgent/Session over TLS, with a certificate of a test CA. It answers
 * a handshake frame with "answer", counts the rest, and notes what the client shows.
 */
#ifndef MF_TESTS_FAKE_BROKER_H
#define MF_TESTS_FAKE_BROKER_H
#include "mint.h"
#include "net/grpc_conn.h"

#include "agent.pb-c.h"

struct fake_broker {
	struct mf_loop *loop;
	struct mint *ca;
	struct mf_buf chain, key;
	struct mf_tls_ctx *tls;
	struct mf_net_listener *ln;
	struct mf_net_counters counters;
	struct mf_grpc_service service;
	const struct mf_grpc_service *services[1];
	struct mf_grpc_server server;
	uint16_t port;
	struct mf_grpc_call *call; /* the open session */
	bool deaf;		   /* reads nothing of new sessions */
	bool refuses;		   /* every client certificate */
	unsigned sessions, with_certificate, without, frames;
	size_t bytes;
	char client[128]; /* the last client certificate's name */
};

/* Listens on a free port of 127.0.0.1 as spiffe://.../mayfly/broker/b1, its chain showing the CA. */
struct fake_broker *mf_fake_broker_new(struct mf_loop *l, struct mint *ca);
void mf_fake_broker_free(struct fake_broker *b);
/* A server certificate of ${b->ca} with the name ${path}; ${root}: the chain shows the CA. For new connections. */
void mf_fake_broker_certify(struct fake_broker *b, const char *path, bool root);
/* ${b->ln} was freed: listen on the same port again. */
void mf_fake_broker_back(struct fake_broker *b);
/* On the open session: a frame of this kind (MAYFLY__AGENT__V1__FRAME__KIND_*). */
void mf_fake_broker_send(struct fake_broker *b, unsigned kind, const char *text);
#endif
