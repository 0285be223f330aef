/*
 * engine_rig: the notary's engine with everything around it in memory: a log that becomes durable when the test says
 * so, signers that answer when told, sessions whose answers are kept. Time and randomness are the test's.
 */
#ifndef MF_TEST_ENGINE_RIG_H
#define MF_TEST_ENGINE_RIG_H
#include "broker/attestors/node_attestor.h"
#include <stdio.h>

#include "broker/notary/engine.h"

/* alloc_fail.h, where the test has it: what the rig does for itself, within a call of the engine, does not fail. */
__attribute__((weak)) bool mf_alloc_spare(bool on);
static inline bool
mf_rig_spare(bool on)
{
	return mf_alloc_spare != NULL && mf_alloc_spare(on);
}

struct rig_record {
	uint8_t *p;
	size_t n;
	bool removal;
};
struct rig_down {
	uint64_t sid;
	Mayfly__Agent__V1__Down *down;
};

struct rig {
	struct mf_engine *e;
	struct mf_now now;
	uint64_t seed;
	struct rig_record *log;
	size_t log_n, log_cap;
	uint64_t durable; /* told to the engine */
	struct mf_sign_request *signing[1024];
	size_t signing_n;
	struct mf_jwt_request *jwts[256]; /* tokens that wait for their signer */
	size_t jwts_n;
	struct rig_down *downs; /* everything sent, in order */
	size_t downs_n, downs_cap;
	uint64_t closed[64];
	size_t closed_n;
	Mayfly__Roles__V1__AdminReply *reply; /* the last one */
	size_t replies;
	char kept[128]; /* the removal kept last */
	uint64_t next_request;
	/* the rule that every Grant and every Welcome must obey; set by the rig */
	bool sent_undurable;
	void (*tee)(void *ctx, struct mf_slice record,
	    bool removal); /* every record goes there, too; NULL: nowhere */
	void *tee_ctx;
	const struct mf_attest_conf *attest;	     /* NULL: tokens only */
	uint64_t ticket;			     /* of the evidence that came last */
	Mayfly__Roles__V1__VerifyEvidence *evidence; /* and what it was */
	bool no_verifiers;			     /* it is refused */
	struct mf_key_order order;		     /* the key to be made; ticket 0: none */
	char forgotten[MF_KEY_ID_MAX];		     /* the last key whose file is to go */
	size_t forgotten_n;
	uint64_t bundle_number; /* as it is out */
	uint8_t bundle_sha256[32];
	size_t bundle_certs, distrusted_n;
	uint64_t jwt_number; /* of the JWT bundle as it is out */
	char *jwt_bundle;
	uint64_t oidc_number, oidc_revision; /* of the OIDC documents as they were given out last */
	char *oidc_jwks, oidc_x5c[MF_KEY_ID_MAX];
	bool no_courier;   /* nobody can be asked to */
	uint64_t fetch_id; /* the courier was asked to read the issuer; 0: it was not */
	bool oidc_hold;	   /* they do not reach the disk */
	bool features;	   /* nodes say in Hello what they can */
	bool scheduled;	   /* CA keys follow the schedule; before the engine is made */
	char said[1024];   /* events of policy, one after another */
	char alarms[1024]; /* names of events of cloud tokens, likewise */
	size_t asked;	   /* how often the supervisor was asked for the policy file */
	bool lean;	   /* for benches: records and answers are counted, neither kept nor looked at */
	size_t sent;
	struct rig_cloud *cloud; /* engine_rig_cloud.h; NULL: no courier */
	bool may_break, broken;	 /* unless it may, a broken engine fails the test */
};

/* The engine's ask_policy: counted, and said to be done. */
static inline bool
mf_rig_asked(void *ctx)
{
	((struct rig *)ctx)->asked++;
	return true;
}

/* Events of policy are kept. True: the engine is broken. */
static inline bool
mf_rig_heard(struct rig *r, const char *event, const char *text)
{
	size_t n = strlen(r->said);
	if (strncmp(event, "policy.", 7) == 0)
		(void)snprintf(r->said + n, sizeof(r->said) - n, "%s\n", text);
	n = strlen(r->alarms);
	if (strncmp(event, "cloud.", 6) == 0 && strcmp(event, "cloud.revoke_retry") != 0)
		(void)snprintf(r->alarms + n, sizeof(r->alarms) - n, "%s\n", event);
	return strcmp(event, "engine.broken") == 0;
}

/* The policy: profile train for alice on nodes of pool gpu; profile shell for carol, there. */
struct mf_policy *mf_rig_policy(bool shell_interactive);
/* The same with another max_job. */
struct mf_policy *mf_rig_policy_max(uint64_t max_job_ms);

/* A new engine over ${log} (NULL: a fresh one with its first record), started, with the test policy. */
struct rig *mf_rig_new(void);
struct rig *mf_rig_new_with(const struct mf_attest_conf *attest);
void mf_rig_free(struct rig *r);
/* A second engine that has replayed the same log, as after kill -9. The first is freed; what was not durable is cut. */
void mf_rig_crash(struct rig *r);
void mf_rig_commit(struct rig *r);		 /* everything appended is durable */
void mf_rig_sign(struct rig *r, bool ok);	 /* the signers answer everything */
void mf_rig_settle(struct rig *r);		 /* sign and commit until nothing moves */
void mf_rig_advance(struct rig *r, uint64_t ms); /* both clocks, then tick */

/* Sessions: node ${k} has its own inner key; sid is the caller's. */
void mf_rig_key(unsigned k, uint8_t ret_key[32]);
uint64_t mf_rig_up(struct rig *r, uint64_t sid, unsigned k, Mayfly__Agent__V1__Up *up); /* its request id */
/* Hello (token NULL) or Join; returns the answer, NULL when none came. */
const Mayfly__Agent__V1__Down *mf_rig_hello(struct rig *r, uint64_t sid, unsigned k, const char *boot,
    const uint8_t *value, size_t value_n, const char *token);
/* Join by a fresh token, stored, resynced with nothing: ready. The node's id in ${ret_node}. */
void mf_rig_join(struct rig *r, uint64_t sid, unsigned k, char *ret_node, uint8_t ret_value[16]);
char *mf_rig_token(struct rig *r, uint32_t uses, uint32_t ttl_s); /* the token's text; the caller's */
/* Resync naming ${n} instances. */
const Mayfly__Agent__V1__Down *mf_rig_resync(struct rig *r, uint64_t sid, unsigned k, const char *const *keys,
    const char *const *leases, const uint32_t *epochs, size_t n);
uint64_t mf_rig_attach(
    struct rig *r, uint64_t sid, unsigned k, const char *key, const char *profile, const char *user);
uint64_t mf_rig_renew(struct rig *r, uint64_t sid, unsigned k, const char *lease, uint32_t epoch);
void mf_rig_sign_jwts(struct rig *r, bool ok); /* a part of mf_rig_sign */
/* Ask for a token of ${spiffe_id} for ${n} audiences. */
uint64_t mf_rig_mint(struct rig *r, uint64_t sid, unsigned k, const char *lease, uint32_t epoch,
    const char *spiffe_id, const char *const *audiences, size_t n);
uint64_t mf_rig_end(struct rig *r, uint64_t sid, unsigned k, const char *key, const char *lease);
/* The answer to ${request}, NULL while there is none. */
const Mayfly__Agent__V1__Down *mf_rig_answer(const struct rig *r, uint64_t sid, uint64_t request);
const Mayfly__Agent__V1__Grant *mf_rig_grant(const struct rig *r, uint64_t sid, uint64_t request);
Mayfly__Agent__V1__RefusalCode
mf_rig_refusal(const struct rig *r, uint64_t sid, uint64_t request); /* 0: none */
void mf_rig_instance_key(char *to, const char *node, const char *boot, unsigned i);
/* Records of ${type} in the log. */
size_t mf_rig_count(const struct rig *r, enum mf_record_type type);
/* The state's snapshot as text: equal states have equal text. The caller frees. */
char *mf_rig_snapshot(const struct mf_state *st);
/* Replay records [0, n) from zero. */
struct mf_state *mf_rig_replay(const struct rig *r, size_t n);

/* engine_rig_keys.c */
extern const uint8_t mf_rig_first_der[5];
/*
 * JWT keys that engines begin with, for ES256 and RS256; NULL: none. The test's, set before mf_rig_new, for all of its rigs.
 */
extern struct mf_jws_key *mf_rig_jwt_keys[2];
/* One more ES256 key that the key maker may answer with; the rig's for the process. */
struct mf_jws_key *mf_rig_spare_jwt(unsigned i);
#define RIG_SPARE_JWTS 32u
struct mf_jws_key *mf_rig_jwt_key(const char *kid); /* a reference, of any of them */
void mf_rig_free_spares(void);
void mf_rig_first_keys(struct mf_engine_conf *c);
void mf_rig_op_jwt_bundle(void *ctx, uint64_t number, struct mf_slice jwks);
bool mf_rig_op_fetch_issuer(void *ctx, uint64_t fetch_id);
bool mf_rig_op_fetch_documents(void *ctx, uint64_t fetch_id, const char *issuer, bool loopback);
/* Engines that are made now look at this issuer; NULL: at none. */
extern const char *mf_rig_watch_issuer;
void mf_rig_op_oidc(void *ctx, const struct mf_oidc_set *set);
void mf_rig_op_make_key(void *ctx, const struct mf_key_order *order);
void mf_rig_op_forget_key(void *ctx, const char *use, const char *id);
void mf_rig_op_publish(void *ctx, uint64_t number, struct mf_slice bundle_der);
/* engine_rig_cloud.c */
struct mf_jws_key *mf_rig_op_assertion_key(void *ctx, const char *kid);
void mf_rig_op_sign_assertion(void *ctx, struct mf_assertion_request *req);
bool mf_rig_op_revoke(void *ctx, const Mayfly__Roles__V1__CloudRevokeRequest *req);
bool mf_rig_op_probe(void *ctx, const Mayfly__Roles__V1__CloudProbeRequest *req);
bool mf_rig_op_keep_handle(void *ctx, const char *cred, struct mf_slice secret, int64_t until);
bool mf_rig_op_open_handle(void *ctx, const char *cred);
void mf_rig_op_drop_handle(void *ctx, const char *cred);
bool mf_rig_op_has_handle(void *ctx, const char *cred);
bool mf_rig_op_mint(void *ctx, const Mayfly__Roles__V1__MintRequest *req);
const struct mf_token_backend *mf_rig_op_backend(void *ctx, const char *name);
/* The key that engines begin with for assertions; NULL: none. The test's, set before the rig is made. */
extern struct mf_jws_key *mf_rig_assertion_key, *mf_rig_assertion_es256;
/* engine_rig_log.c */
void mf_rig_op_server_certificate(void *ctx, struct mf_slice chain, int64_t not_after);

void mf_rig_op_distrusted(void *ctx, struct mf_slice ids);
#define MF_RIG_KEY_OPS                                                                                      \
	.make_key = mf_rig_op_make_key, .forget_key = mf_rig_op_forget_key, .publish = mf_rig_op_publish,   \
	.jwt_bundle = mf_rig_op_jwt_bundle, .oidc = mf_rig_op_oidc, .fetch_issuer = mf_rig_op_fetch_issuer, \
	.fetch_documents = mf_rig_op_fetch_documents, .distrusted = mf_rig_op_distrusted

#define RIG_FIRST_CA "0000000000000000000000000000000000000001"
#define RIG_BOOT "11111111-1111-4111-8111-111111111111"
#define RIG_BOOT_2 "22222222-2222-4222-8222-222222222222"
#endif
