/*
 * swarm: many honest agents in one thread, over real TLS and HTTP/2 to a real broker: each has its own inner key, its own
 * Noise session and its own source address (127.A.B.C), joins by a token of many uses, gets its node's certificate and comes back with it, as
 * agents do. What it carries is the caller's: requests out, answers to one function. For benches: nothing is checked
 * beyond what a broken broker would break; a failure ends the process with a word.
 */
#ifndef MF_TEST_SWARM_H
#define MF_TEST_SWARM_H
#include <sys/socket.h>

#include "codec/join_token.h"
#include "crypto/inner.h"
#include "crypto/p256.h"
#include "net/grpc_conn.h"

#include "agent.pb-c.h"

#define SWARM_BOOT "33333333-3333-4333-8333-333333333333"

struct swarm;

enum swarm_phase { SWARM_OUT, SWARM_DIALLING, SWARM_GREETING, SWARM_RESYNCING, SWARM_READY };

struct swarm_agent {
	struct swarm *of;
	unsigned n; /* from 0 */
	struct mf_net_conn *conn;
	struct mf_grpc_call *call;
	struct mf_x25519 *key;
	struct mf_noise *noise;
	struct mf_inner *inner;
	struct mf_tls_ctx *tls; /* with its certificate; NULL until it has one */
	struct mf_p256_key *outer;
	enum swarm_phase phase;
	bool full; /* the stream took nothing: on_writable goes on */
	char node[80];
	uint8_t value[16];
	size_t value_n;
	uint64_t last_id;
	void *user;
};

/* One answer of the broker to a request of ours; ${id} 0: a push. */
typedef void swarm_answer_fn(void *ctx, struct swarm_agent *a, uint64_t id, const Mayfly__Agent__V1__Down *d);

struct swarm {
	struct mf_loop *loop;
	struct mf_join_token *token;
	struct mf_net_counters counters;
	struct mf_tls_ctx *lane; /* without a certificate */
	struct swarm_agent *agents;
	unsigned n, ready;
	uint64_t readied;	/* how often an agent got ready */
	uint64_t refused, lost; /* dials and streams that failed and were tried again */
	swarm_answer_fn *answer;
	void *ctx;
	struct mf_loop_timer *beat; /* so that turns end */
};

/* ${n} agents, none of them connected. ${token_file} has the join token. */
struct swarm *mf_swarm_new(const char *token_file, unsigned n, swarm_answer_fn *answer, void *ctx);
void mf_swarm_free(struct swarm *s);
void mf_swarm_turn(struct swarm *s);
/* Join those that have not joined, ${at_a_time}, and let each come back with its certificate; returns when all are ready. */
void mf_swarm_join(struct swarm *s, unsigned at_a_time);
void mf_swarm_dial(struct swarm_agent *a);
void mf_swarm_hang_up(struct swarm_agent *a); /* and forget the session */
/* All of them at once; returns when all are ready again. */
void mf_swarm_return(struct swarm *s);
/* Send ${up} on the session; its request id is set here and returned. */
uint64_t mf_swarm_send(struct swarm_agent *a, Mayfly__Agent__V1__Up *up);
/*
 * What a program's own connect() does: agents are on machines of their own, because the broker has limits for each address, so while one
 * dials it is bound to an address of its own (127.1.0.0 and its number).
 */
int mf_swarm_connect(int fd, const struct sockaddr *to, socklen_t n);
/* Ask for an instance, number ${k} on that node, as this process's user. ${ret_key}: its key; may be NULL. */
void mf_swarm_attach(struct swarm_agent *a, unsigned k, const char *profile, char ret_key[256]);
/* A new P-256 public key. */
void mf_swarm_point(uint8_t ret_point[MF_P256_POINT_SIZE]);
#endif
