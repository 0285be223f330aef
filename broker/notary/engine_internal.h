/* What the files of the engine share. Nobody else includes this. */
#ifndef MF_NOTARY_ENGINE_INTERNAL_H
#define MF_NOTARY_ENGINE_INTERNAL_H
#include <stdlib.h>

#include "base/heap.h"
#include "base/text.h"
#include "broker/attestors/node_attestor.h"
#include "broker/notary/engine.h"
#include "broker/notary/issuer_judge.h"

#define MF_JOB_ID_LEN 22 /* "j-" and 20 letters */
/* Certificates of one lease that have not expired: as many as the record that ends it may name. */
#define MF_ENGINE_LIVE_MAX 256u

enum phase {
	PHASE_NEW,     /* nothing verified yet */
	PHASE_PROVING, /* its evidence is with a verifier */
	PHASE_WELCOME, /* Welcome waits for its record or is on its way */
	PHASE_STORED,  /* the value is stored; ends may come, then the resync */
	PHASE_READY,   /* everything */
	PHASE_CLOSED
};

/* An end may overtake the attach of the same instance (removal lane): the attach then finds its key here. */
struct gone_key {
	char *key;
	bool map_oom;
	UT_hash_handle hh;
};

struct session {
	uint64_t sid;
	uint8_t remote[32];
	char remote_hex[65];
	uint8_t hash[32]; /* of the handshake; what evidence is bound to */
	bool has_hash;
	enum phase phase;
	char node_id[MF_STATE_ID_MAX]; /* from PHASE_WELCOME on */
	char boot[40];
	char value_hash[65];	       /* of the session value given in this session */
	bool confirms[MF_KEY_BUNDLES]; /* it says which bundle it holds */
	uint64_t held[MF_KEY_BUNDLES]; /* numbers that it confirmed */
	uint64_t vouched;	       /* number of the X.509 bundle that it was told of */
	struct gone_key *gone;	       /* at most MF_LIM_NODE_INSTANCES */
	bool map_oom;
	UT_hash_handle hh;
};

/* So many a minute. */
struct bucket {
	uint64_t since_ms;
	uint32_t taken;
};

/* What is known of a node beside the log: volatile, made anew at every start. */
struct pulse {
	char node_id[MF_STATE_ID_MAX];
	uint64_t heard_ms;
	uint64_t sid; /* its session, 0 none */
	struct bucket denied, refused, hellos, reattests, explained;
	struct mf_heap_node silent; /* in nodes_due while it may hold open leases; mono_ms */
	bool map_oom;
	UT_hash_handle hh;
};

/* When something of a job is due: its deadline, the end of its drain, the end of our patience with its manager. */
struct job_timer {
	char job[MF_STATE_ID_MAX];
	struct mf_heap_node at; /* in jobs_due; wall_us */
	bool map_oom;
	UT_hash_handle hh;
};

/* A Join whose evidence is with a verifier. */
struct proving {
	uint64_t ticket, sid, request_id;
	const struct mf_node_attestor *how;
	struct mf_attested attested; /* its evidence only, until the verifier has spoken */
	char hostname[256];
	struct mf_list at; /* oldest first */
};

/* A request whose certificates are being signed. */
enum work_kind { WORK_ATTACH, WORK_RENEW, WORK_OUTER, WORK_SERVER };
struct work {
	uint64_t id;
	enum work_kind kind;
	uint64_t sid, request_id;
	char node_id[MF_STATE_ID_MAX];
	char lease[MF_STATE_ID_MAX];
	uint32_t epoch;
	size_t n, done;
	bool failed, no_memory;
	struct {
		struct mf_sign_request *fields; /* a copy of what was asked, for the record */
		size_t slot;			/* which identity of the profile */
		uint8_t *chain;
		size_t chain_n;
		uint8_t der[32];
		char *hint;
	} part[MF_LIM_IDENTITIES];
	char profile[MF_STATE_ID_MAX];
	uint64_t drain_ms;
	bool map_oom;
	UT_hash_handle hh;
};

/* A document beside the bundle, as sessions are told of it (documents.c). */
#define MF_ENGINE_DOCUMENTS 2u
struct vouched {
	uint64_t number; /* 0: none yet */
	uint8_t sha256[32];
};

/* What a person should look at (cloud_alarm.h). */
struct cloud_sight {
	char target[MF_STATE_ID_MAX];
	unsigned failures; /* in a row */
};
struct cloud_alarms {
	struct cloud_sight sights[MF_LIM_CLOUD_TARGETS];
	size_t sights_n;
	uint64_t unknown; /* outcomes, since the start */
	uint32_t pending, late;
	uint64_t looked_ms;
};

/* Cloud tokens: the configuration, and what is being minted (cloud_mint.c). */
struct cloud_work;
struct single;
struct spare;
struct cloud_room {
	Mayfly__Roles__V1__CloudConf *conf; /* NULL: none */
	struct cloud_work *works;
	struct mf_list errands;		  /* cloud_revoke.c: one for each target and role */
	struct mf_list mouths;		  /* cloud_single.c: one for each target */
	struct single *singles;		  /* likewise: by credential */
	struct spare *spares;		  /* likewise: handles that are on no disk */
	char (*touched)[MF_STATE_ID_MAX]; /* tokens that ended since the last run */
	size_t touched_n, touched_cap;
	bool look, waiting; /* all must be looked at; something has not been confirmed */
	uint64_t looked_ms;
	uint64_t unasked; /* results that nobody waited for */
	struct cloud_alarms alarms;
	struct mf_list probes; /* cloud_probe.c */
	unsigned probes_n;
	struct bucket probed;
};

struct jwt_work; /* a JWT that is being signed (mint.c) */

/* An answer that waits for the log. */
enum release_kind {
	REL_DOWN,
	REL_GRANT,
	REL_ADMIN,
	REL_SERVER,
	REL_BUNDLE,
	REL_JWT_BUNDLE,
	REL_FORGET,
	REL_CLOUD,
	REL_HANDLE, /* the credential named in ${lease} needs its handle no more */
	REL_PROBE,
	REL_OIDC
};
struct release {
	struct mf_list at;
	enum release_kind kind;
	uint64_t index; /* goes when this record is durable */
	uint64_t first; /* REL_GRANT: what it gives is of records [first, index] */
	uint64_t sid, request_id;
	char lease[MF_STATE_ID_MAX]; /* REL_GRANT: must still be renewable in this epoch */
	uint32_t epoch;
	enum mf_engine_lane lane;
	uint64_t since_ms;
	const char *use;		      /* REL_FORGET: of the key named in ${lease} */
	bool said_effective;		      /* REL_ADMIN: "not recorded yet" was answered */
	bool whole;			      /* REL_ADMIN: it takes effect with its record: no early word */
	Mayfly__Roles__V1__AdminReply *reply; /* REL_ADMIN; unpacked, ours */
	int64_t not_after;
	uint8_t *bytes; /* packed Down, or the server's chain; wiped when freed */
	size_t bytes_n;
};

#define MF_ENGINE_LOST_MAX 8u
/* The keys beside what the log says of them (keys.c). */
struct key_room {
	uint64_t ticket; /* of the order under way; 0: none */
	uint64_t last_ticket;
	const struct mf_key_use *use; /* of the key that is made */
	uint64_t call_id;	      /* who waits for it; 0: the schedule */
	struct key_actor {
		const char *kind;			  /* "operator", "broker" */
		const Mayfly__Roles__V1__AdminCall *call; /* who; NULL: not known, or the broker itself */
		char reason[1024];
	} actor;
	Mayfly__Roles__V1__AdminCall *call; /* the copy that actor points to while a key is made */
	uint64_t not_before_ms;		    /* the schedule's next try after a failure */
	uint64_t looked_ms;
	/* the bundles that are on disk and out */
	uint64_t number[MF_KEY_BUNDLES];
	uint8_t sha256[32]; /* of the X.509 one */
	char lost[MF_ENGINE_LOST_MAX][MF_KEY_ID_MAX];
	size_t lost_n;
};

/* The public issuer as providers see it (issuer.c). */
struct issuer_room {
	uint64_t fetch_id, asked_ms; /* asked_ms 0: nothing is under way */
	bool looked;
	uint64_t looked_ms, seen_ms;
	struct mf_issuer_seen seen, was; /* was: before the last look */
};

/* What goes with the policy in force (policy_acts.c, policy_sweep.c). */
struct policy_care {
	char *path;
	Mayfly__Roles__V1__AdminCall *by; /* who waits for a reload; NULL: nobody */
	uint64_t until_ms;
	char refused[2048]; /* why the last file was not taken */
	/* The sweep over what lives after a change; ids NULL: none is under way. */
	struct mf_policy *former; /* NULL: not known */
	char (*ids)[MF_STATE_ID_MAX];
	size_t n_ids, next_id;
	uint32_t holders, recalled;
	uint8_t review_said[MF_LIM_POLICY_RULES]; /* enum mf_policy_review that was told of each rule */
	int64_t reviewed_s;
};

struct mf_engine {
	struct mf_engine_conf conf;
	char *trust_domain, *broker_id, *origin, *release, *address;
	const struct mf_engine_ops *ops;
	void *ctx;
	struct mf_state *state;
	struct mf_policy *policy;
	struct policy_care care;
	char policy_hex[65];
	char boot[37];
	struct session *sessions;
	struct pulse *pulses;
	struct mf_list proving; /* struct proving */
	uint32_t proving_n;
	uint64_t last_proving;
	struct work *works;
	uint32_t works_n;
	uint64_t next_work;
	struct mf_heap jobs_due, nodes_due;
	struct job_timer *job_timers;
	struct mf_buf record;	 /* where one is written: its memory is used again */
	struct mf_list releases; /* by index */
	uint64_t durable;
	uint64_t start_ms;
	bool started, stopped, log_room, broken;
	bool policy_unsaid; /* policy.loaded waits for room in the log */
	char why_not[MF_ERR_MSG_MAX];
	/* clock guard */
	int64_t offset_us; /* wall - mono at the last look */
	bool offset_known, jumped;
	uint64_t jumped_ms;
	uint32_t agreeing;
	struct mf_engine_status count;
	struct jwt_work *jwt_works;
	struct vouched documents[MF_ENGINE_DOCUMENTS];
	uint32_t signers_required, signers_persons; /* required 0: no act needs signatures */
	struct key_room keys;
	struct cloud_room cloud;
	char *issuer_url; /* whose documents others serve; NULL: nobody looks at them */
	struct issuer_room issuer;
};

/* admin_nodes.c */
void mf_engine_readmit(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);

/* engine.c */
void mf_engine_new_id(struct mf_engine *e, const char *prefix, size_t letters, char *ret_id);
/*
 * Encode, append, apply. The index; UINT64_MAX when it was not done: the record cannot be written as it is, or the
 * engine is broken (it then refuses everything). The caller answers "unavailable".
 */
uint64_t mf_engine_record(struct mf_engine *e, struct mf_now now, struct mf_record *r);
/* The wall clock in microseconds, or what it was before a jump that nobody has confirmed. */
int64_t mf_engine_wall(const struct mf_engine *e, struct mf_now now);
/* NULL when it may issue, else the reason. */
const char *mf_engine_why_not(struct mf_engine *e, struct mf_now now);
/* Only a restart helps: no memory for an answer, or a state that may not be the log's. Nothing is issued any more. */
void mf_engine_break(struct mf_engine *e, const char *why);
struct session *mf_engine_session(struct mf_engine *e, uint64_t sid);
struct pulse *mf_engine_pulse(struct mf_engine *e, const char *node_id);
/* False when ${per_minute} were taken in the last minute. */
bool mf_bucket_take(struct bucket *b, struct mf_now now, uint32_t per_minute);
void mf_engine_sha256_hex(struct mf_slice in, char ret_hex[65]);
void mf_engine_hex(struct mf_slice in, char *ret_hex);
const char *mf_engine_cause_name(Mayfly__Agent__V1__EndCause c);
Mayfly__Agent__V1__EndCause mf_end_cause_of(const char *name);

/* timers.c: nothing here is looked at before it is due, however many there are. */
void mf_engine_timers_start(struct mf_engine *e, struct mf_now now);
/* After ${r} was applied: what is due next for its job and its node. */
void mf_engine_timers_after(struct mf_engine *e, const struct mf_record *r);
void mf_engine_timers_run(struct mf_engine *e, struct mf_now now);
void mf_engine_timers_fini(struct mf_engine *e);
/* Does it believe its wall clock? A clock that nobody believes ends no job. */
bool mf_engine_clock_believed(const struct mf_engine *e, struct mf_now now);

/* release.c */
/*
 * Queue a Down for when record ${index} is durable. The message is packed here. NULL when ${index} is UINT64_MAX, or
 * without memory: the engine is broken then, because an answer is lost.
 */
struct release *mf_release_down(struct mf_engine *e, struct mf_now now, uint64_t index, uint64_t sid,
    const Mayfly__Agent__V1__Down *down, enum mf_engine_lane lane);
struct release *mf_release_bytes(
    struct mf_engine *e, struct mf_now now, enum release_kind kind, uint64_t index, struct mf_slice bytes);
struct release *mf_release_admin(
    struct mf_engine *e, struct mf_now now, uint64_t index, const Mayfly__Roles__V1__AdminReply *reply);
void mf_release_due(struct mf_engine *e, struct mf_now now);
void mf_release_free(struct release *r);
/* At once, nothing to wait for (refusals). */
void mf_send_refusal(struct mf_engine *e, uint64_t sid, uint64_t request_id,
    Mayfly__Agent__V1__RefusalCode code, const char *reason, const char *rule);
void mf_send_down(struct mf_engine *e, uint64_t sid, const Mayfly__Agent__V1__Down *down,
    enum mf_engine_lane lane, uint64_t coalesce);

/* admin_actor.c */
/* Who asked, into the record of an admin act: every one has it. The strings are ${call}'s. */
void mf_engine_actor(struct mf_record *r, const Mayfly__Roles__V1__AdminCall *call);
/* What this caller's role is too low for is refused here too, whatever the front said. NULL: it may. */
MF_NODISCARD enum mf_status mf_engine_admin_may(const Mayfly__Roles__V1__AdminCall *call, struct mf_err *err);

/* admin_signers.c */
/* Enough signatures, where the act needs them; then they are used up, recorded. ${a}: as a worker found them, or NULL. */
MF_NODISCARD enum mf_status mf_engine_admin_approved(struct mf_engine *e, struct mf_now now,
    const Mayfly__Roles__V1__AdminCall *call, const struct mf_approval *a, struct mf_err *err);
/* admin_clock.c */
void
mf_engine_confirm_clock(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
/* engine.c: the wall clock is believed from now on. */
void mf_engine_believe_clock(struct mf_engine *e, struct mf_now now);
/* admin.c */
void mf_engine_admin_fail(struct mf_engine *e, uint64_t call_id, enum mf_status code, const char *text);
/* What a removal did, for its answer. */
struct removal {
	uint32_t jobs, leases;
	struct removal_listing *creds; /* what was live; NULL: without memory, or not wanted */
	uint64_t index;		       /* of its last record */
	int64_t until;		       /* a drain has begun; 0: the end is final */
	uint32_t ended;		       /* credentials, by themselves */
	const char *grant;	       /* ended for good with them; NULL: none */
	const Mayfly__Admin__V1__EndedSessions *sessions; /* of a role, while jobs go on; NULL: none */
};
struct removal_listing *mf_removal_listing_new(void);
void mf_removal_listing_free(struct removal_listing *l); /* NULL is a no-op */
/* An operator's end of ${j}; adds to ${out}. */
void mf_removal_end_job(struct mf_engine *e, struct mf_now now, const struct mf_job *j, const char *reason,
    bool drain, struct removal *out);
/* revoke.requested; UINT64_MAX: it could not be recorded. */
uint64_t mf_removal_record_request(struct mf_engine *e, struct mf_now now,
    const Mayfly__Roles__V1__AdminCall *call, const char *subject, const char *reason);
/* Answered when its last record is durable. */
void mf_removal_answer(struct mf_engine *e, struct mf_now now, uint64_t call_id, const struct removal *done,
    const char *subject);

/* freeze.c: what nothing is issued for */
/* Overrules ${d} when what it would give is frozen, by that name. */
void mf_engine_check_frozen(
    const struct mf_engine *e, const char *tenant, const char *person, struct mf_decision *d);
bool mf_engine_freeze_admin(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
/* As mf_engine_redo_removal: "freeze <until> <subject>". */
void mf_engine_redo_freeze(struct mf_engine *e, struct mf_now now, struct mf_slice what, uint64_t *ret_index);
/* What a crash left alive of what is frozen. */
void mf_engine_freeze_sweep(struct mf_engine *e, struct mf_now now);
/* Freezes whose time is over. */
void mf_engine_freeze_tick(struct mf_engine *e, struct mf_now now);

/* attest.c */
/*
 * Join of a key that nobody has registered. The node, registered just now; NULL: the session was turned away, or waits
 * for a verifier.
 */
const struct mf_node *mf_engine_attest(struct mf_engine *e, struct mf_now now, struct session *s,
    uint64_t request_id, const Mayfly__Agent__V1__Hello *h, const Mayfly__Agent__V1__Join *join);
void mf_engine_forget_proving(struct mf_engine *e, uint64_t sid); /* UINT64_MAX: all */

/* sessions.c */
/* Refuse, record (${n}: a few each minute), close. */
void mf_engine_turn_away(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    Mayfly__Agent__V1__RefusalCode code, const char *reason, const struct mf_node *n);
/* The session is this node's: welcome it. */
void mf_engine_admit(
    struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id, const struct mf_node *n);
void mf_engine_hello(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Hello *h, const Mayfly__Agent__V1__Join *join);
void mf_engine_stored(struct mf_engine *e, struct mf_now now, struct session *s);
void mf_engine_resync(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Resync *r);
void mf_engine_drop_session(struct mf_engine *e, struct session *s);

/* policy_acts.c */
/* Records the policy in force when the log does not have it: the record's index, or UINT64_MAX. */
uint64_t mf_engine_say_policy(struct mf_engine *e, struct mf_now now);
void mf_engine_get_policy(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
void
mf_engine_reload_policy(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
void mf_engine_explain_job(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
void mf_engine_policy_tick(struct mf_engine *e, struct mf_now now);
void mf_engine_policy_care_free(struct mf_engine *e);
/* policy_sweep.c */
/* Takes ${former}, the policy that is about to be replaced (may be NULL); ${new}: by another one. */
void mf_engine_policy_changed(struct mf_engine *e, struct mf_now now, struct mf_policy *former, bool new);
void mf_engine_policy_sweep(struct mf_engine *e, struct mf_now now);
void mf_engine_policy_reviews(struct mf_engine *e, struct mf_now now);

/* attach_limits.c */
/* NULL, or what is wrong with it. */
const char *
mf_engine_attach_trouble(const struct session *s, const Mayfly__Agent__V1__Attach *a, bool points);
/* A node speaks for its own instances of its own boot only: their keys begin with its name. */
bool mf_engine_own_key(const struct session *s, const char *key);
/* No control characters. */
bool mf_engine_plain(const char *s);
size_t mf_engine_text_cost(struct mf_slice s);

/* attach.c */
void mf_engine_attach(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Attach *a);
void mf_engine_explain(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Explain *x);

/* keys.c: the life of keys */
#define MF_ENGINE_COALESCE_BUNDLE 1u
#define MF_ENGINE_COALESCE_DISTRUST 2u
/* NULL: nothing can be signed. */
const struct mf_key *mf_engine_signer(const struct mf_engine *e);
void mf_engine_keys_start(struct mf_engine *e, struct mf_now now);
void mf_engine_keys_tick(struct mf_engine *e, struct mf_now now);
void mf_engine_keys_fini(struct mf_engine *e);
/* Order a key. NULL, or why not. ${outlive}: as in the order. */
const char *mf_engine_order_key(struct mf_engine *e, struct mf_now now, const struct mf_key_use *use,
    uint64_t call_id, int64_t outlive, const struct key_actor *by);
/* NULL when the prepared key may sign from now on; else what is missing, in ${text}. */
const char *mf_engine_activation_trouble(
    const struct mf_engine *e, struct mf_now now, const struct mf_key *k, char *text, size_t cap);
bool mf_engine_is_lost(const struct mf_engine *e, const struct mf_key *k);
/* What is missing may be passed over: it is a key, and its bundle is on disk and out. */
bool mf_engine_may_force(const struct mf_engine *e, struct mf_now now, const struct mf_key *k);
/* Record one step of ${k}; the index, or UINT64_MAX. */
uint64_t mf_engine_key_step(struct mf_engine *e, struct mf_now now, enum mf_record_type type,
    const struct mf_key *k, const struct key_actor *by);
void mf_engine_key_agents(
    const struct mf_engine *e, const struct mf_key *k, uint32_t *ret_all, uint32_t *ret_held);

/* restored.c: the first start after a restore, and whatever of it a crash left undone */
/* Every lease of before ends; its instance may attach anew. */
void mf_engine_void_leases(struct mf_engine *e, struct mf_now now);
/* The tail may be missing: another CA key, at once, and the ones of before are tainted. */
void mf_engine_replace_ca(struct mf_engine *e, struct mf_now now);

/* keys_told.c: what others are told of the keys */
/* What the bundle holds of it. */
struct mf_slice mf_key_anchor(const struct mf_key *k);
/* The one of it that its certificate's path ends in. */
struct mf_slice mf_key_root(const struct mf_key *k);
/* Does another published key keep that in the bundle? */
bool mf_engine_root_is_shared(const struct mf_engine *e, const struct mf_key *k);
void mf_engine_keys_told_start(struct mf_engine *e);
/* An agent holds a bundle, and has given it to whoever has a stream. */
void
mf_engine_bundle_held(const struct mf_engine *e, struct session *s, const Mayfly__Agent__V1__BundleHeld *h);
/* The bundle as it is now goes out when record ${index} is durable. */
void mf_engine_publish(struct mf_engine *e, struct mf_now now, enum mf_key_bundle which, uint64_t index);
/* issuer.c. Has the public issuer looked at when it is time. */
void mf_engine_issuer_tick(struct mf_engine *e, struct mf_now now);
/* True, and a text with the cure, when it does not show ${k}. */
bool mf_engine_issuer_trouble(const struct mf_engine *e, const struct mf_key *k, char *text, size_t cap);
/* Whoever asks about keys may just have copied the documents: look again soon. */
void mf_engine_issuer_hurry(struct mf_engine *e, struct mf_now now);
/* Why no token is asked for with an assertion of ${issuer}; NULL: that is no reason. Lives until the next look. */
const char *mf_engine_issuer_why_not(const struct mf_engine *e, const char *issuer);
/* REL_OIDC: its record is durable. */
void mf_engine_oidc_out(struct mf_engine *e, const struct release *r);
/* A bundle's record is durable: hand it out. */
void
mf_engine_published(struct mf_engine *e, enum mf_key_bundle which, uint64_t number, struct mf_slice bytes);
/* What a session is told: the bundle since its Welcome, and which keys are distrusted. */
void mf_engine_keys_stored(struct mf_engine *e, struct session *s);
void mf_engine_keys_ready(struct mf_engine *e, struct session *s);
/* ${one}: that session only; NULL: all, and the front. */
void mf_engine_tell_distrust(struct mf_engine *e, struct session *one);

/* keys_admin.c: what operators ask about keys */
bool mf_engine_key_admin(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
void mf_engine_key_prepared(struct mf_engine *e, struct mf_now now, uint64_t call_id, const char *id,
    uint64_t index, const char *why_not);
/* *ret_index: of its record; unchanged when there is nothing to do. */
void mf_engine_redo_key(struct mf_engine *e, struct mf_now now, struct mf_slice what, uint64_t *ret_index);
/* admin.c */
void mf_engine_admin_fail(struct mf_engine *e, uint64_t call_id, enum mf_status code, const char *text);
void mf_engine_keep_removal(struct mf_engine *e, const char *what, const char *id);

/* issue.c */
void mf_engine_renew(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Renew *r);
void mf_engine_certify_outer(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__CertifyOuter *c);
/* Begin signing the identities of ${p} for ${l}: answers the request, one way or the other. */
void mf_engine_issue(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    enum work_kind kind, const struct mf_lease *l, const struct mf_policy_profile *p,
    const ProtobufCBinaryData *points, size_t points_n);
void mf_work_free(struct work *w);
/* slots.c */
/* The name that slot ${slot} of ${l} began with; NULL: it has none. */
const char *mf_engine_name_of_slot(const struct mf_lease *l, size_t slot);
/* Of its first ${n} identities: after the announced end only those that were granted before it. */
size_t mf_engine_grantable(const struct mf_lease *l, size_t n);
/* Of its first ${n} slots those that may be given: not those whose identity was ended for good (${ret_why} says it). */
size_t mf_engine_open_slots(
    const struct mf_lease *l, size_t n, size_t ret_slots[MF_LIM_IDENTITIES], char *ret_why, size_t cap);
/* mint.c: JWT-SVIDs */
void mf_engine_mint_jwt(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__MintJwt *m);
void mf_engine_jwt_fini(struct mf_engine *e);
/* NULL, or why this session may have no token of ${l} in ${epoch}. */
const char *mf_engine_token_trouble(const struct session *s, const struct mf_lease *l, uint32_t epoch,
    Mayfly__Agent__V1__RefusalCode *ret_code);
/* Recorded and durable before it is told; who asks in a loop fills no disk. ${rule} may be NULL. */
void mf_engine_deny_token(struct mf_engine *e, struct mf_now now, const struct session *s,
    uint64_t request_id, const struct mf_lease *l, const char *reason, const char *told, const char *rule);
/* cloud_mint.c */
void mf_engine_mint_cloud(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__MintCloud *m);
/* REL_CLOUD: the intent of work ${id} is durable. */
void mf_engine_cloud_go(struct mf_engine *e, struct mf_now now, uint64_t id);
void mf_engine_cloud_start(struct mf_engine *e, struct mf_now now);
void mf_engine_cloud_tick(struct mf_engine *e, struct mf_now now);
void mf_engine_cloud_fini(struct mf_engine *e);
/* cloud_revoke.c: taking back */
/* After ${r} was applied. */
void mf_engine_revoke_after(struct mf_engine *e, const struct mf_record *r);
/* Ask for what is due. */
void mf_engine_revoke_run(struct mf_engine *e, struct mf_now now);
/* False: that ticket is not one of its own. */
bool mf_engine_revoke_asserted(
    struct mf_engine *e, struct mf_now now, uint64_t ticket, struct mf_slice token, struct mf_slice client);
void mf_engine_revoke_courier_gone(struct mf_engine *e, struct mf_now now);
void mf_engine_revoke_fini(struct mf_engine *e);
/* Why the errand to ${target} and ${role} failed since ${since_ms}; NULL: it did not. Lives until it fails again. */
const char *
mf_engine_revoke_trouble(const struct mf_engine *e, const char *target, const char *role, uint64_t since_ms);
/* cloud_sessions.c: all sessions of a role. False: that is another act. */
bool
mf_engine_sessions_admin(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
/* As mf_engine_redo_removal: "sessions <before> <until> <backend> <target> <role>". */
void
mf_engine_redo_sessions(struct mf_engine *e, struct mf_now now, struct mf_slice what, uint64_t *ret_index);
/* A token that was made now might be one of those that were ended: why it is not. */
bool mf_cloud_held(const struct mf_engine *e, struct mf_now now, const char *target, const char *role,
    char *ret_why, size_t cap);
/* "role:TARGET:ROLE"; NULL: nothing of such a name was ended, or it is long over. */
const struct mf_sessions *mf_sessions_of_subject(const struct mf_engine *e, const char *subject);
/* ended.c: the agent serves ${c} no more, and may ask for another. Its lease is there. */
void mf_engine_tell_cloud_ended(struct mf_engine *e, const struct mf_cloud_cred *c, const char *told);
/* cloud_assertion.c: of the broker itself for ${t}, about ${sub}; without key and tags. NULL: no memory. */
struct mf_assertion_request *mf_cloud_assertion(struct mf_engine *e, struct mf_now now, uint64_t ticket,
    const Mayfly__Roles__V1__CloudTarget *t, const struct mf_token_backend *b, const char *sub);
/* cloud_probe.c: `mayfly doctor --profile`. False: that id is not one of its own. */
void mf_engine_probe(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
bool
mf_engine_probe_fetched(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudFetchResult *r);
void mf_engine_probe_go(struct mf_engine *e, struct mf_now now, uint64_t id); /* REL_PROBE */
bool mf_engine_probe_asserted(
    struct mf_engine *e, struct mf_now now, uint64_t ticket, struct mf_slice token, struct mf_slice client);
bool mf_engine_probe_minted(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__MintResult *res);
bool mf_engine_probe_revoked(
    struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudRevokeResult *res);
void mf_engine_probe_courier_gone(struct mf_engine *e, struct mf_now now);
void mf_engine_probe_tick(struct mf_engine *e, struct mf_now now);
void mf_engine_probe_fini(struct mf_engine *e);
/* Are there targets, and somebody to ask? */
bool mf_engine_cloud_on(const struct mf_engine *e);
/* What jobs of ${f} may ask for. The offers' texts are the policy's and the configuration's. */
size_t mf_engine_cloud_offers(const struct mf_engine *e, const struct mf_policy_profile *f,
    Mayfly__Agent__V1__CloudOffer ret_offers[MF_LIM_CLOUD_GRANTS]);
/* Grants of ${p} that name a target which is not configured: an event each. */
void mf_engine_cloud_check(struct mf_engine *e, const struct mf_policy *p);

/* ended.c: what is ended while its lease goes on */
struct cred_end {
	const char *actor;			  /* "operator", "broker" */
	const Mayfly__Roles__V1__AdminCall *call; /* who; NULL: not known, or the broker itself */
	const char *cause;			  /* "operator", "policy" */
	const char *reason;			  /* into the record; "" */
	const char *told;			  /* to the job */
};
/*
 * End ${c}, a token of a lease that goes on: recorded, its node told, the provider asked. No-op when it is over. The index of its record;
 * UINT64_MAX when it could not be recorded.
 */
uint64_t mf_engine_end_cloud(
    struct mf_engine *e, struct mf_now now, const struct mf_cloud_cred *c, const struct cred_end *why);
void mf_engine_end_one(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
/* *ret_index: of its record; unchanged when there is nothing to do. */
void
mf_engine_redo_credential(struct mf_engine *e, struct mf_now now, struct mf_slice what, uint64_t *ret_index);
/* ${s}'s node may have missed what was ended while it was away. */
void mf_engine_tell_ended(struct mf_engine *e, struct mf_now now, const struct session *s);
/* Is ${subject} ("cloud:data", a SPIFFE ID) given to this lease no more? Then why, for whoever asks. */
bool mf_engine_is_final(const struct mf_lease *l, const char *subject, char *ret_why, size_t cap);

/* documents.c */
/* Tell a session that became ready of every document. */
void mf_engine_vouch_documents(struct mf_engine *e, const struct session *s);

/* ending.c */
struct end_reason {
	Mayfly__Agent__V1__EndCause cause;
	const char *reason; /* may be "" */
	int64_t detected_us;
	const char *actor; /* "agent", "operator", "broker", "manager" */
};
/* End the lease (no-op when ended) and its job when that was its last instance. The index of the last record. */
uint64_t mf_engine_end_lease(struct mf_engine *e, struct mf_now now, const struct mf_lease *l,
    const struct end_reason *why, bool tell_node);
uint64_t mf_engine_end_job(
    struct mf_engine *e, struct mf_now now, const struct mf_job *j, const struct end_reason *why);
/* attach_job.c */
/* One who asks to be part of a job. */
struct joining {
	const char *job_key, *tenant, *person, *manifest_hex; /* "" when none was given */
	const struct mf_node *node;
	uint32_t uid;
};
/* Policy permits it, but it cannot be had. */
void mf_engine_overrule(struct mf_decision *d, const char *attribute, const char *cure, const char *why);
/* NULL, or what is wrong with the claim of a manager's job. */
const char *mf_engine_claim_trouble(const Mayfly__Agent__V1__Attach *a);
/* NULL, or why no instance joins that job any more. Points into the state. */
const char *mf_engine_job_over(const struct mf_engine *e, const char *job_key);
/* Overrules ${d} when ${q} may not join its job. */
void mf_engine_check_joining(const struct mf_engine *e, const struct joining *q, struct mf_decision *d);
/* The run that a new job continues, or a new one; overrules ${d} when ${named} (the manifest's) may not be continued. */
void mf_engine_find_run(struct mf_engine *e, const struct joining *q, struct mf_slice named,
    struct mf_decision *d, char ret_run[MF_STATE_ID_MAX]);

/* managers.c */
void mf_engine_manager_started(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__ManagerStarted *w);
void mf_engine_manager_end(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__ManagerEnd *w);

/* drain.c */
/*
 * Announce the end of ${j}: its leases drain, and whatever is due then is the timers'. At once final when there is
 * nothing to drain. Told already: no-op. The index of the last record.
 */
uint64_t mf_engine_announce(
    struct mf_engine *e, struct mf_now now, const struct mf_job *j, const struct end_reason *why);
/* The announced end is due, or nothing of it is left. */
uint64_t mf_engine_finish_ending(struct mf_engine *e, struct mf_now now, const struct mf_job *j);
/* ${s}'s node missed the announcements while it was away. */
void mf_engine_tell_endings(struct mf_engine *e, const struct session *s);
/* An unsent push that the node's session gets, or nothing without one. ${index}: after that record; UINT64_MAX: now. */
void mf_engine_push(struct mf_engine *e, struct mf_now now, const struct mf_lease *l, uint64_t index,
    const Mayfly__Agent__V1__Down *down, enum mf_engine_lane lane);
uint64_t mf_engine_record_job_end(
    struct mf_engine *e, struct mf_now now, const struct mf_job *j, const struct end_reason *why);

/* deadline.c */
void mf_engine_extend(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call);
/* The latest deadline that ${j} may have under today's policy; unix seconds. */
int64_t mf_engine_latest_deadline(const struct mf_engine *e, const struct mf_job *j);
/* Move the deadline; ${r} says who and why. UINT64_MAX when it was not done. */
uint64_t mf_engine_set_deadline(
    struct mf_engine *e, struct mf_now now, const struct mf_job *j, int64_t deadline, struct mf_record *r);

void mf_engine_suspend_node(struct mf_engine *e, struct mf_now now, const struct mf_node *n);
bool mf_session_is_gone(const struct session *s, const char *key);
void mf_session_forget_gone(struct session *s);
void mf_engine_end(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__End *end);
/* A crash may have cut the records of one removal, or of one new job, in two: say the rest. */
void mf_engine_finish_cut(struct mf_engine *e, struct mf_now now);
uint64_t mf_engine_evict(
    struct mf_engine *e, struct mf_now now, const struct mf_node *n, const char *reason, const char *actor);
#endif
