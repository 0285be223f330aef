/*
 * front_rig: the agent's front in this process, on a real socket, with a fake attestor at the other end of its role
 * link (it speaks the true table, decides by the fields below, and mints with a throw-away CA). One thread: mf_frig_until
 * turns the front's loop and lets the fake answer until something is so.
 */
#ifndef MF_TESTS_FRONT_RIG_H
#define MF_TESTS_FRONT_RIG_H
#include "agent/front/front.h"
#include "agent/front/known.h"
#include "mint.h"
#include "os/seqpacket.h"
#include "rpc/grpc_sync.h"
#include "rpc/role_links.h"

#include "job.pb-c.h"
#include "roles.pb-c.h"
#include "workload.pb-c.h"

#define RIG_TD "example.org"
#define RIG_BUILD "test-build"
#define RIG_HANG_MS 60000u /* a hang limit, never an expectation */
#define RIG_REFUSAL_MS 300u
#define RIG_POINTS 4096u

enum rig_who { RIG_KNOWN, RIG_STRANGER, RIG_NOT_YET, RIG_SILENT };
enum rig_answer { RIG_GRANT, RIG_REFUSE, RIG_BUSY, RIG_MUTE, RIG_BAD_GRANT };

struct rig {
	char dir[64], path[96];
	struct mf_loop *loop;
	struct mf_front *front; /* NULL: it is another process, to be given links by give_link */
	void (*give_link)(struct rig *r, int fd);
	void *ctx;	   /* the test's */
	const char *build; /* RIG_BUILD */
	struct mint *mint;
	struct mf_front_config cfg;
	/* --- the fake attestor: how it answers --- */
	struct mf_seqpacket *fake; /* NULL: not there */
	bool fake_open;
	bool no_hello, no_trust, no_session; /* what it leaves out at the start */
	enum rig_who who, sender;
	enum rig_answer answer;
	uint64_t handle;
	char key[128];
	int32_t pid;	/* the caller that it attests; 0: this process */
	uint64_t inode; /* pidfs inode it tells; 0: none */
	struct mf_known_look look;
	uint32_t refusal_ms; /* a refusal is remembered for so long; 0: RIG_REFUSAL_MS */
	bool looks, looked;  /* it tells what the kernel says of the peer, so that it may be recognised */
	uint64_t foreign;    /* handle for SenderIs; 0: the caller's */
	uint32_t identities; /* of a grant */
	int64_t ttl_s;
	uint32_t refusal; /* code for RIG_REFUSE */
	const char *hint; /* of every identity */
	uint32_t placement;
	bool start_fails, place_fails;
	struct mint *ca; /* mints; NULL: ${mint} */
	/* --- what it saw --- */
	unsigned hellos, who_is, sender_is, conn_gone, attach, renew, start, place, runner_gone, tree_empty;
	unsigned outer_opened, outer_closed, outer_key, documents, credits;
	unsigned mints; /* MintInstanceJwt */
	/* cloud grants of a grant, and how the attestor answers for sockets and tokens */
	Mayfly__Agent__V1__CloudOffer *offers[4];
	size_t n_offers;
	bool peer_foreign, peer_over, peer_late,
	    peer_plain; /* plain: the instance has no cgroup of its own */
	unsigned cloud_mints, find_peers;
	/* Answers one; NULL: nobody does. */
	void (*on_cloud)(struct rig *r, const Mayfly__Roles__V1__MintInstanceCloud *m);
	unsigned explains;
	uint64_t explain_id; /* of the last ExplainJob */
	/* Answers one; NULL: nobody does. */
	void (*on_explain)(struct rig *r, const Mayfly__Roles__V1__ExplainJob *m);
	/* Answers one; NULL: nobody does. */
	void (*on_mint)(struct rig *r, const Mayfly__Roles__V1__MintInstanceJwt *m);
	unsigned fd_ok;	 /* WhoIs with a connected Unix socket */
	unsigned pidfds; /* SenderIs with a pidfd */
	uint64_t conn_id, start_id, sid;
	size_t last_points;
	char profile[64];
	uint8_t points[RIG_POINTS][65]; /* all that were ever offered */
	size_t n_points;
	bool point_twice;
	uint8_t outer_point[65];
	struct mf_buf outer_in; /* bodies from the broker, joined */
	bool broken;		/* the front broke the table */
};

struct rig *mf_frig_new(void);
/* Make the front: after fields of cfg were changed. Then mf_frig_attestor. */
void mf_frig_start(struct rig *r);
void mf_frig_free(struct rig *r);
/* A (new) fake attestor on a new link; the old one is closed first. */
void mf_frig_attestor(struct rig *r);
void mf_frig_attestor_dies(struct rig *r);
/* One turn: the loop, then the fake. */
void mf_frig_turn(struct rig *r);
/* Turn until ${done}; false when the hang limit passed. */
bool mf_frig_until(struct rig *r, bool (*done)(void *ctx), void *ctx);
/* Some turns in which something that must not happen could. */
void mf_frig_settle(struct rig *r);

/* Send as the attestor. */
void mf_frig_send(struct rig *r, uint16_t type, const ProtobufCMessage *m);
void mf_frig_trust(struct rig *r, struct mint *ca, uint64_t number);
void mf_frig_session(struct rig *r, bool ready);
void mf_frig_ended(struct rig *r, uint64_t handle, bool suspended);

/* --- a client of the job socket --- */
struct rig_client {
	struct rig *r;
	struct mf_grpc_sync *s;
	bool shared; /* ${s} is another client's */
	struct mf_grpc_sync_stream *st;
	ProtobufCMessage *msg; /* the last one */
	enum mf_grpc_code code;
	bool ended;
	char text[MF_ERR_MSG_MAX];
};
extern const struct mf_grpc_method mf_frig_fetch, mf_frig_bundles, mf_frig_nope, mf_frig_whoami, mf_frig_run;
/* Connect (a connection of its own) and open a call; the request is empty and half-closed unless it is bidi. */
void mf_frig_open(struct rig *r, struct rig_client *c, const struct mf_grpc_method *m);
/* The same with this request. */
void mf_frig_ask(
    struct rig *r, struct rig_client *c, const struct mf_grpc_method *m, const ProtobufCMessage *request);
/* Another call on the connection of ${like}. */
void mf_frig_open_on(struct rig_client *like, struct rig_client *c, const struct mf_grpc_method *m);
void mf_frig_close(struct rig_client *c);
/* The next message, waiting for it: NULL when the call ended instead (see code, text), or at the hang limit. */
ProtobufCMessage *mf_frig_next(struct rig_client *c);
/* Without waiting or turning: a new message (in c->msg), or the end, is there. */
bool mf_frig_poll(struct rig_client *c);
/* Nothing more came yet. */
bool mf_frig_quiet(struct rig_client *c);
/* The call's end: its status. Messages before it are dropped. */
enum mf_grpc_code mf_frig_end(struct rig_client *c);
#endif
