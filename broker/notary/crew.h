/*
 * crew: the notary's worker threads. They do all cryptography: a session of the inner protocol belongs to one worker
 * for its life (so its nonces have one order), certificates go to whoever is next.
 *
 * Calls come from the state thread and never block; answers come as items in the state thread's mailbox
 * (struct mf_crew_event), in order per session.
 */
#ifndef MF_NOTARY_CREW_H
#define MF_NOTARY_CREW_H
#include "broker/notary/approval.h"
#include "broker/notary/engine.h"
#include "broker/notary/jwt_signer.h"
#include "broker/notary/mailbox.h"
#include "broker/keys/ca_key.h"
#include "crypto/x25519.h"

struct mf_crew; /* opaque */

enum mf_crew_event_kind {
	MF_CREW_UP,	   /* a message: up, remote */
	MF_CREW_HANDSHAKE, /* bytes for the peer */
	MF_CREW_SEALED,
	MF_CREW_DEAD,	 /* the session is over on our side: reason */
	MF_CREW_SIGNED,	 /* ticket, ok, bytes = chain, der_sha256 */
	MF_CREW_JWT,	 /* ticket, bytes = the token; empty: it could not be made */
	MF_CREW_CHECKED, /* job, with its result */
	MF_CREW_DONE	 /* an errand: arg */
};
struct mf_crew_event {
	struct mf_list at;
	enum mf_crew_event_kind kind;
	uint64_t sid;
	uint8_t remote[32], hash[32]; /* hash: of the handshake */
	Mayfly__Agent__V1__Up *up; /* taken over by the receiver of the event: mf_crew_event_free frees it */
	struct mf_buf bytes;
	const char *reason; /* static */
	uint64_t ticket;
	bool ok;
	uint8_t der_sha256[32];
	struct mf_approval_job *job; /* freed with the event */
	void *arg;		     /* MF_CREW_DONE: the receiver's again */
};
void mf_crew_event_free(struct mf_crew_event *ev);

struct mf_crew_conf {
	size_t threads;
	const struct mf_x25519 *inner; /* keys outlive the crew */
	struct mf_slice prologue;      /* copied */
	size_t max_sessions;
	uint64_t patience_ms;	  /* for a first message, and for a peer to take the last ones; 0: 30 s */
	struct mf_mailbox *inbox; /* of the state thread */
	bool by_hand;		  /* workers without threads: mf_crew_turn does their work (simulation) */
};

MF_NODISCARD enum mf_status
mf_crew_new(const struct mf_crew_conf *conf, struct mf_crew **ret_c, struct mf_err *err);
void mf_crew_free(struct mf_crew *c); /* stops and joins the threads */
MF_DEFINE_CLEANUP(struct mf_crew, mf_crew_free)

/*
 * What was given so far reaches the workers now. Without it up to 32 tasks of a worker wait for more, so that a busy notary wakes no
 * thread for each: call it at the end of every turn, from the one thread that gives.
 */
void mf_crew_push(struct mf_crew *c);
/*
 * Before that: where nothing else is under way and what was given are one or two short tasks, they are done in the calling thread
 * (a notary with one request in hand would do nothing but wake threads). True: so it was, and the answers are in the inbox. No task
 * is left behind or overtaken.
 */
bool mf_crew_here(struct mf_crew *c);
/* Of a crew made by hand: worker ${i} (below conf.threads) does what was given to it. */
void mf_crew_turn(struct mf_crew *c, size_t i);

/* A handshake message or a sealed chunk of the peer. An unknown ${sid} begins a session. Bytes are copied. */
void mf_crew_data(struct mf_crew *c, uint64_t sid, bool handshake, struct mf_slice body);
/* Queue a message for the peer. */
void mf_crew_send(
    struct mf_crew *c, uint64_t sid, struct mf_slice down, enum mf_engine_lane lane, uint64_t coalesce);
/* The front can take ${chunks} more. */
void mf_crew_credit(struct mf_crew *c, uint64_t sid, uint32_t chunks);
/* ${flush}: after what is queued has left (MF_CREW_DEAD tells); else at once and silently. */
void mf_crew_close(struct mf_crew *c, uint64_t sid, bool flush);
/* Every session, at once and silently: the front is gone. */
void mf_crew_close_all(struct mf_crew *c);
/*
 * A key for requests that name it, from here on. ${k} is copied. Requests that were given before mf_crew_drop_key are
 * still signed; later ones fail.
 */
MF_NODISCARD enum mf_status
mf_crew_add_key(struct mf_crew *c, const char *trust_domain, const struct mf_ca_key *k, struct mf_err *err);
void mf_crew_drop_key(struct mf_crew *c, const char *id);
/*
 * Run ${errand} in a worker; MF_CREW_DONE with ${arg} tells when it has. At the crew's end it may never run. ${signers} are the
 * worker's own, for an errand that signs.
 */
typedef void (*mf_crew_errand_fn)(void *arg, struct mf_jwt_signer *signers);
void mf_crew_errand(struct mf_crew *c, mf_crew_errand_fn errand, void *arg);
/* Takes ${req}. */
void mf_crew_sign(struct mf_crew *c, struct mf_sign_request *req);
void mf_crew_sign_jwt(struct mf_crew *c, struct mf_jwt_request *req);
/* Takes ${job}. */
void mf_crew_check(struct mf_crew *c, struct mf_approval_job *job);
#endif
