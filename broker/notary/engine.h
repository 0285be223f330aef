/*
 * engine: the notary's decisions, without I/O. Messages, signatures, syncs and time come in; records, signing
 * requests and answers go out through struct mf_engine_ops. The process (main.c) and the simulation drive the same
 * object. One thread (the state thread) owns it; no op may call back into it.
 *
 * The rule that everything else serves (invariant 1): an answer that carries a credential, or that says "done", waits
 * in the release queue until the record it depends on is durable, and is looked at once more when it leaves: what has
 * ended meanwhile is not sent (invariant 3). release.c is the only place that calls ops->send with a Grant.
 */
#ifndef MF_NOTARY_ENGINE_H
#define MF_NOTARY_ENGINE_H
#include "base/clock.h"
#include "base/rand.h"
#include "broker/core/policy.h"
#include "broker/core/state.h"
#include "crypto/jws_key.h"
#include "broker/backends/token_backend.h"
#include "broker/notary/approval.h"

#include "agent.pb-c.h"
#include "roles.pb-c.h"

#define MF_CLOUD_TAGS 6u

struct mf_engine; /* opaque */

/* One certificate to make: fields, never bytes to sign. Owned by whoever holds it. */
struct mf_sign_request {
	uint64_t ticket;
	uint8_t serial[16]; /* positive, random */
	uint8_t point[65];
	int64_t nbf, exp;	 /* unix seconds */
	char key[MF_KEY_ID_MAX]; /* which CA key signs */
	char *spiffe_id;
	char *cn; /* "" for none */
	char **dns;
	size_t dns_n;
};
void mf_sign_request_free(struct mf_sign_request *r);

struct mf_sign_result {
	uint64_t ticket;
	bool ok;
	struct mf_slice chain;	/* DER, leaf first; valid during the call */
	uint8_t der_sha256[32]; /* of the leaf */
};

/* One JWT-SVID to make: fields and the key that signs. Owned by whoever holds it. */
struct mf_jwt_request {
	uint64_t ticket;
	struct mf_jws_key *key; /* a reference */
	char jti[33];		/* 32 lowercase hex digits */
	int64_t iat, exp;	/* unix seconds */
	char *spiffe_id;
	char **audiences;
	size_t audiences_n;
};
void mf_jwt_request_free(struct mf_jwt_request *r);
/* One assertion to make, and our own authentication at the token endpoint where the target wants one. As above. */
struct mf_assertion_request {
	uint64_t ticket;
	struct mf_jws_key *key; /* a reference */
	int64_t iat, exp;	/* unix seconds */
	char *iss, *sub, *aud;
	char jti[37];
	const char *tag_names[MF_CLOUD_TAGS]; /* static */
	char *tag_values[MF_CLOUD_TAGS];
	size_t tags_n;
	char *source_identity;
	char *client_id, *client_aud; /* NULL: none is wanted */
	char client_jti[37];
};
void mf_assertion_request_free(struct mf_assertion_request *r);
/* One key to make: keys are made, sealed and synced outside of the state thread, before the record that names them. */
struct mf_key_order {
	uint64_t ticket;
	const struct mf_key_use *use;
	int64_t nbf, exp; /* what its certificate should say; an upstream CA may end it earlier */
	int64_t outlive;  /* when it would not end after this it is of no use; 0: it is */
};
struct mf_key_made {
	uint64_t ticket;
	bool ok;
	const char *why; /* when not */
	bool later;	 /* and trying again soon would not help */
	const struct mf_key_use *use;
	const char *id;
	struct mf_slice certificate, anchor; /* as in struct mf_key; valid during the call */
	struct mf_slice jwk;		     /* of a JWT key, instead */
	int64_t nbf, exp;
};

/* What the OIDC documents are made from. Valid during the call. */
struct mf_oidc_set {
	uint64_t number, revision; /* of the set; index of the record that it follows from */
	struct mf_slice jwks;	   /* every published key, the one that signs RS256 first */
	const char *x5c;	   /* that one's id: its certificate is published, too; "": there is none */
	int64_t x5c_nbf;
};

enum mf_engine_lane { MF_ENGINE_NORMAL, MF_ENGINE_REMOVAL };

struct mf_attest_conf;

struct mf_engine_ops {
	/*
	 * Have this evidence looked at; answered by mf_engine_verified, once, later, whatever happens. False: too much is
	 * under way. NULL: there are no verifiers. ${e} is valid during the call.
	 */
	bool (*verify)(void *ctx, uint64_t ticket, const Mayfly__Roles__V1__VerifyEvidence *e);
	/* Sign; takes ${req}. Answered by mf_engine_signed, later. */
	void (*sign)(void *ctx, struct mf_sign_request *req);
	/* The JWT key with this kid, as a reference for the caller; NULL: its file is not there. */
	struct mf_jws_key *(*jwt_key)(void *ctx, const char *kid);
	/* Sign; takes ${req}. Answered by mf_engine_jwt_signed, later. */
	void (*sign_jwt)(void *ctx, struct mf_jwt_request *req);
	/* The same of the keys that sign assertions; NULL: no cloud tokens are minted. */
	struct mf_jws_key *(*assertion_key)(void *ctx, const char *kid);
	/* Sign; takes ${req}. Answered by mf_engine_assertion_signed, later. */
	void (*sign_assertion)(void *ctx, struct mf_assertion_request *req);
	/* To the courier; answered by mf_engine_minted, if at all. False: it certainly did not go. */
	bool (*mint)(void *ctx, const Mayfly__Roles__V1__MintRequest *req);
	/* Likewise; answered by mf_engine_revoked. */
	bool (*revoke)(void *ctx, const Mayfly__Roles__V1__CloudRevokeRequest *req);
	/* Likewise; answered by mf_engine_probed. NULL: providers are not asked whether a token is dead. */
	bool (*probe)(void *ctx, const Mayfly__Roles__V1__CloudProbeRequest *req);
	/*
	 * Keep on disk what the revocation of ${cred} needs, until ${until} (unix seconds); answered by mf_engine_handle_kept. False: it
	 * is not. NULL: nothing is kept, and such tokens expire.
	 */
	bool (*keep_handle)(void *ctx, const char *cred, struct mf_slice secret, int64_t until);
	/* Read it; answered by mf_engine_handle_opened. False: it cannot be asked for now. */
	bool (*open_handle)(void *ctx, const char *cred);
	void (*drop_handle)(void *ctx, const char *cred); /* none there: nothing */
	bool (*has_handle)(void *ctx, const char *cred);
	/* The backend of that name; NULL: there is none. */
	const struct mf_token_backend *(*backend)(void *ctx, const char *name);
	/* Append to the log; answered by mf_engine_durable. Indices are contiguous. ${record} is copied. */
	void (*append)(void *ctx, uint64_t index, struct mf_slice record, bool removal);
	/* Queue a packed Down for the session. ${coalesce} not 0: replaces an unsent one with that key. */
	void (*send)(
	    void *ctx, uint64_t sid, struct mf_slice down, enum mf_engine_lane lane, uint64_t coalesce);
	/* Close the session after what is queued has left. */
	void (*close)(void *ctx, uint64_t sid, const char *reason);
	/* The session is that node's; the node is put out: the front should know. NULL: nobody needs to be told. */
	void (*session_node)(void *ctx, uint64_t sid, const char *node_id);
	void (*node_out)(void *ctx, const char *node_id);
	void (*admin_reply)(void *ctx, const Mayfly__Roles__V1__AdminReply *reply);
	void (*server_certificate)(void *ctx, struct mf_slice chain, int64_t not_after);
	/* A removal takes effect now: keep ${what} (text, one line) across a crash... */
	void (*removal_kept)(void *ctx, struct mf_slice what);
	/* ...until record ${index}, its last, is durable... */
	void (*removal_settled)(void *ctx, uint64_t index);
	/* ...which is when ${size} passes it. */
	void (*removal_recorded)(void *ctx, uint64_t size);
	/* Make a key and write it to disk. Answered by mf_engine_key_made, later. */
	void (*make_key)(void *ctx, const struct mf_key_order *order);
	/* Nothing will be signed with it any more, and that is durable (or it never came into use): remove its file. */
	void (*forget_key)(void *ctx, const char *use, const char *id);
	/* The trust domain's bundle: concatenated DER; its record is durable. */
	void (*publish)(void *ctx, uint64_t number, struct mf_slice bundle_der);
	/* Its JWT bundle, a JWK Set; likewise. Sessions hear of its hash from the engine. */
	void (*jwt_bundle)(void *ctx, uint64_t number, struct mf_slice jwks);
	/* The keys of assertions, likewise; answered by mf_engine_oidc_written, later. NULL: nobody is told, which is done. */
	void (*oidc)(void *ctx, const struct mf_oidc_set *set);
	/* Answer this call with the OIDC documents that are on disk. NULL: there are none. */
	void (*oidc_documents)(void *ctx, uint64_t call_id);
	/*
	 * Have the public issuer's documents read, as a provider would; answered by mf_engine_issuer_fetched, later. False: it
	 * cannot be asked now. May be NULL.
	 */
	bool (*fetch_issuer)(void *ctx, uint64_t fetch_id);
	/* Likewise those of any ${issuer}; ${loopback}: it may be on this machine. NULL: nobody can be asked. */
	bool (*fetch_documents)(void *ctx, uint64_t fetch_id, const char *issuer, bool loopback);
	/* The key ids (20 bytes each) that no certificate should be signed by: the front's own is to be renewed. */
	void (*distrusted)(void *ctx, struct mf_slice ids);
	/* Ask the supervisor to open the policy file anew; false: it cannot be asked. May be NULL. */
	bool (*ask_policy)(void *ctx);
	/* An event for the daemon's log: a stable word and a text. Never secret. */
	void (*event)(void *ctx, const char *event, const char *text);
};

/* When keys follow one another: those of the CA, and those of JWT-SVIDs. Seconds. */
struct mf_key_times {
	uint64_t ttl_s;
	uint64_t publish_s;	    /* a key has been in the bundle for so long before it signs */
	bool scheduled;		    /* false: only operators prepare and activate */
	uint64_t prepare_before_s;  /* so long before the active key's end the next one is prepared */
	uint64_t activate_before_s; /* and so long before it is activated */
};

struct mf_engine_conf {
	const char *trust_domain, *broker_id, *origin, *release;
	const char *address;	 /* what a join token names by default */
	const char *policy_path; /* where the supervisor opens the policy, for people; NULL: not known */
	uint64_t lease_ttl_ms, heartbeat_ms;
	uint64_t
	    manager_wait_ms; /* a managed job without live instances waits so long for its manager's word */
	uint64_t node_ttl_s, server_ttl_s; /* lifetimes of outer certificates */
	uint64_t backdate_s;		   /* not_before lies this far back, for clocks that lag */
	uint8_t inner_public[32];
	struct mf_key_made
	    first[MF_KEY_USES]; /* of `mayfly-broker init`, for a log that names none of their use yet */
	size_t first_n;
	struct mf_key_times ca;
	struct mf_rand rand;
	const char *watch_issuer;	     /* an issuer whose documents others serve for us; NULL: none */
	uint32_t max_pending;		     /* requests in work at a time; above: UNAVAILABLE */
	const struct mf_attest_conf *attest; /* outlives the engine; NULL: join tokens only */
};

/*
 * ${state} (replayed from the log) belongs to the engine on MF_OK; ${conf}'s strings are copied. Issues nothing before
 * mf_engine_policy and mf_engine_start.
 */
MF_NODISCARD enum mf_status mf_engine_new(const struct mf_engine_conf *conf, const struct mf_engine_ops *ops,
    void *ctx, struct mf_state *state, struct mf_engine **ret_e, struct mf_err *err);
void mf_engine_free(struct mf_engine *e);
MF_DEFINE_CLEANUP(struct mf_engine, mf_engine_free)

/* Every event carries the time; it must not go back in mono_ms. */
/*
 * A new boot: finishes what a crash cut in two, records broker.started; every lease gets its full TTL again. Before
 * any other event.
 */
void mf_engine_start(struct mf_engine *e, struct mf_now now, const char *boot);
/* Finish a removal that was kept across a crash (the line that removal_kept was given). Before start's agents. */
void mf_engine_redo_removal(struct mf_engine *e, struct mf_now now, struct mf_slice what);
/*
 * Takes ${policy}; records policy.loaded when the digest is new, and then tells the holders whose next renewal it changes.
 */
void
mf_engine_policy(struct mf_engine *e, struct mf_now now, struct mf_policy *policy, const char *sha256_hex);
/* A policy file was not taken, and why: the one in force stays. */
/* Was this file asked for? MF_E_INVALID: a reload that waits names another one. */
MF_NODISCARD enum mf_status
mf_engine_policy_expected(const struct mf_engine *e, const char *sha256_hex, struct mf_err *err);
void mf_engine_policy_refused(struct mf_engine *e, struct mf_now now, const char *why);
/* A message of a session, already opened and checked; ${remote} is the static key that Noise proved. */
void mf_engine_up(struct mf_engine *e, struct mf_now now, uint64_t sid, const uint8_t remote[32],
    const Mayfly__Agent__V1__Up *up);
/* Before the first message of a session: what its handshake's hash is. Later ones change nothing. */
void
mf_engine_session_begun(struct mf_engine *e, uint64_t sid, const uint8_t remote[32], const uint8_t hash[32]);
/* A verifier has spoken; ${said} NULL: it died, took too long, or broke its protocol: ${why}. */
void mf_engine_verified(struct mf_engine *e, struct mf_now now, uint64_t ticket,
    const Mayfly__Roles__V1__Verified *said, const char *why);
void mf_engine_session_gone(struct mf_engine *e, struct mf_now now, uint64_t sid);
/* The front is gone, and every session with it. */
void mf_engine_all_sessions_gone(struct mf_engine *e, struct mf_now now);
void mf_engine_signed(struct mf_engine *e, struct mf_now now, const struct mf_sign_result *res);
/* ${token}: the JWT, empty when it could not be made; valid during the call. */
void mf_engine_jwt_signed(struct mf_engine *e, struct mf_now now, uint64_t ticket, struct mf_slice token);
/*
 * What the operator configured of clouds; copied. NULL, or without targets: nothing is minted. What is under way goes on by
 * what it began with. After mf_engine_new; a target that a grant of the policy names and that is not there is an event.
 */
MF_NODISCARD enum mf_status
mf_engine_cloud(struct mf_engine *e, const Mayfly__Roles__V1__CloudConf *conf, struct mf_err *err);
/* ${token} empty: it could not be made. Valid during the call. */
void mf_engine_assertion_signed(
    struct mf_engine *e, struct mf_now now, uint64_t ticket, struct mf_slice token, struct mf_slice client);
/* The courier's word, which is not believed beyond what it can know. */
void mf_engine_minted(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__MintResult *res);
void
mf_engine_revoked(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudRevokeResult *res);
void mf_engine_probed(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudProbeResult *res);
/* ${why} NULL: the handle of ${cred} is on disk, and its name, too. */
void mf_engine_handle_kept(struct mf_engine *e, struct mf_now now, const char *cred, const char *why);
/*
 * MF_OK: ${secret}, valid during the call. MF_E_IO, MF_E_NOMEM, MF_E_EXHAUSTED: not now. Anything else: there is none that opens.
 */
void mf_engine_handle_opened(
    struct mf_engine *e, struct mf_now now, const char *cred, enum mf_status s, struct mf_slice secret);
/* A courier is there, perhaps a new one: what waits to be taken back is asked for now, however often it failed before. */
void mf_engine_courier_here(struct mf_engine *e, struct mf_now now);
/* Its link is gone: nobody knows what became of what it was asked. */
void mf_engine_courier_gone(struct mf_engine *e, struct mf_now now);
/*
 * What is the same for all nodes, beside the trust domain's bundle: every session is told its number and hash, now and
 * when it is ready. A ${number} that grows with every change. No-op for kinds that are not kept here.
 */
void mf_engine_document(
    struct mf_engine *e, Mayfly__Agent__V1__DocumentKind kind, uint64_t number, struct mf_slice body);
/* Records below ${size} are durable. */
void mf_engine_durable(struct mf_engine *e, struct mf_now now, uint64_t size);
/* The log has room for what adds access (true) or only for removals. */
void mf_engine_log_room(struct mf_engine *e, bool room);
/* Without signatures of persons, or where none are needed. */
void mf_engine_admin(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
/*
 * With them, as a worker found them: ${why} not NULL refuses the call with that. The engine looks at their number, date,
 * policy and nonce, and records them before the act.
 */
void mf_engine_admin_checked(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call,
    const struct mf_approval *approval, const struct mf_err *why);
/* Acts that add access need ${required} of ${persons}; recorded. After mf_engine_start. */
void mf_engine_signers(
    struct mf_engine *e, struct mf_now now, uint32_t required, uint32_t persons, const char *sha256_hex);
/* What the courier read at the issuer's URL. An answer that nobody waits for changes nothing. */
void mf_engine_issuer_fetched(
    struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudFetchResult *r);
/* "same", "stale", "foreign", "away", "unseen"; "": nobody looks. */
const char *mf_engine_issuer_state(const struct mf_engine *e);
/* What is wrong with it, and the cure; "": nothing. Lives until the next look. */
const char *mf_engine_issuer_text(const struct mf_engine *e);
/* The OIDC documents of this number, or of a later one, are on disk. */
void mf_engine_oidc_written(struct mf_engine *e, uint64_t number);
void mf_engine_key_made(struct mf_engine *e, struct mf_now now, const struct mf_key_made *made);
/* Its file is not there or does not open: it will not sign. Before mf_engine_start. */
void mf_engine_key_lost(struct mf_engine *e, const char *id);
void mf_engine_certify_server(struct mf_engine *e, struct mf_now now, struct mf_slice point);
/* Timers: call at least once a second. */
void mf_engine_tick(struct mf_engine *e, struct mf_now now);
/*
 * Whether nobody waits yet for the records from ${from} on: certificates are being signed, whose records will stand in one
 * frame with them. Once one of those is there it says no, and so it does when the last signature has come. While many are being
 * signed, records wait for more of them, up to a frame's worth: who asks in a crowd waits for so many signatures at most.
 */
bool mf_engine_log_may_wait(const struct mf_engine *e, uint64_t from);
/* The snapshot file of ${size} records is durable: its hash goes into the log. */
void
mf_engine_snapshot_written(struct mf_engine *e, struct mf_now now, uint64_t size, const uint8_t sha256[32]);
/* After mf_engine_start. */
void mf_engine_recovered(struct mf_engine *e, struct mf_now now, uint64_t truncated_bytes);
/* Orderly end: records broker.stopped; nothing is issued afterwards. */
void mf_engine_stop(struct mf_engine *e, struct mf_now now);

const struct mf_state *mf_engine_state(const struct mf_engine *e);
struct mf_engine_status {
	bool issuing;
	const char *reason; /* why not: static or owned by the engine */
	uint32_t sessions, pending;
	uint64_t issued, renewed, refused, suspended, ended;
	uint32_t cloud_failing;		    /* targets that do not answer */
	const char *cloud_failing_name;	    /* one of them; the engine's; NULL: there is none */
	uint64_t cloud_unknown;		    /* outcomes that nobody knew, since the start */
	uint32_t cloud_pending, cloud_late; /* tokens that have ended and are not confirmed dead; for long */
	const char *issuer, *issuer_why;    /* mf_engine_issuer_state, mf_engine_issuer_text */
};
struct mf_engine_status mf_engine_status(const struct mf_engine *e, struct mf_now now);
#endif
