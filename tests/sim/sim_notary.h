/* What sim_notary.c (the process) and sim_ops.c (what its engine asks for) share. */
#ifndef MF_SIM_NOTARY_H
#define MF_SIM_NOTARY_H
#include "broker/keys/ca_key.h"
#include "broker/notary/approvals.h"
#include "broker/notary/assertions.h"
#include "broker/notary/committer.h"
#include "broker/notary/crew.h"
#include "broker/notary/removals.h"
#include "broker/notary/sids.h"
#include "broker/notary/store.h"
#include "crypto/jws_key.h"
#include "sim.h"

#define WORKERS 2u
/* Small, for many snapshots; but all that an operator freezes at once is one batch, which must fit. */
#define SEGMENT (sim->clouded ? 131072u : 65536u)
#define KEYS 64u
#define TICK_MS 250u
#define LEASE_TTL_MS 20000u
#define HEARTBEAT_MS 4000u

struct sim_notary {
	struct sim_host host;
	uint64_t life; /* moves when the process dies */
	struct sim_disk *disk;
	/* Kept over its lives: keys, and what the supervisor keeps. */
	struct mf_x25519 *inner;
	struct mf_ed25519 *log;
	struct mf_ca_key *ca[KEYS], *first;
	struct mf_jws_key *jwt[KEYS];
	char first_kid[MF_JWS_KID_SIZE], assertion_kid[MF_JWS_KID_SIZE];
	struct mf_buf first_jwk, assertion_jwk;
	struct mf_buf origin, prologue;
	struct mf_note_key note;
	int memfd;
	unsigned policy;
	bool began, restoring;
	struct sim_disk *backup; /* NULL: none was taken */
	/* Of one life. */
	struct mf_engine *engine; /* NULL: down */
	struct mf_crew *crew;
	struct mf_committer *committer;
	struct mf_mailbox *crew_box, *commit_box;
	struct mf_removals *removals;
	struct mf_sids *sids;
	struct mf_approvals *approvals;
	struct mf_assertions *assertions;
	struct mf_store_hook hook;
	bool failed, starting, power_armed;
	bool worker_due[WORKERS], commit_due, crew_box_due, commit_box_due;
	uint64_t slow_us, slow_until_us;
	/* What the front has of it. */
	struct mf_buf bundle;
	uint64_t bundle_number;
	struct mf_buf jwt_bundle;
	uint64_t jwt_number, jwt_us; /* and when that was given out */
	/* Of its signed heads: how many records the last one has; since when there are others that are on disk. */
	uint64_t head_size, durable_size, unsigned_us;
};

extern const struct mf_engine_ops sim_engine_ops;
void sim_op_jwt_bundle(void *ctx, uint64_t number, struct mf_slice jwks); /* sim_bundles.c */
/* sim_restore.c */
void sim_restore_plan(struct sim_notary *n);
/* sim_heads.c */
void sim_heads_durable(struct sim_notary *n, uint64_t size);
void sim_heads_check(struct sim_notary *n); /* after a turn of the committer */
/* sim_cloud_ops.c */
struct mf_jws_key *sim_op_assertion_key(void *ctx, const char *kid);
void sim_op_sign_assertion(void *ctx, struct mf_assertion_request *req);
bool sim_op_mint(void *ctx, const Mayfly__Roles__V1__MintRequest *q);
bool sim_op_revoke(void *ctx, const Mayfly__Roles__V1__CloudRevokeRequest *q);
const struct mf_token_backend *sim_op_backend(void *ctx, const char *name);
struct mf_jws_key *sim_op_jwt_key(void *ctx, const char *kid);
void sim_notary_enter(struct sim_notary *n);
struct mf_now sim_notary_now(const struct sim_notary *n);
/* Something was given to the threads. */
void sim_notary_kick(struct sim_notary *n);
#endif
