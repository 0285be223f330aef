/*
 * state: what the notary knows, as a fold over the log.
 *
 * mf_state_apply is the only way to change it, live and at a start alike, so that a snapshot plus the tail of the log
 * equals a replay from zero at every record (tests/unit/test_state.c). Pure: time comes from the records alone; an
 * ended lease is a tombstone for MF_STATE_TOMBSTONE_US of record time, then it is forgotten.
 *
 * The structs are open for reading; nobody but state.c writes them. Pointers to entities stay valid until the next
 * apply. Single-threaded: the state thread owns it.
 */
#ifndef MF_BROKER_STATE_H
#define MF_BROKER_STATE_H
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "broker/core/key.h"
#include "broker/core/lease.h"
#include "broker/core/record.h"

#define MF_CAUSE_RESTORED "restored" /* of lease.ended: void, because the broker was restored from a backup */
#define MF_CAUSE_WHOLE "whole"	     /* of log.restored: the last head was shown, nothing is missing */
#define MF_CAUSE_TAIL "tail_may_be_missing"
#define MF_STATE_LOST_US \
	(INT64_C(86400) * 1000000) /* no credential lives longer (policy): so long may lost ones */
#define MF_STATE_TOMBSTONE_US (INT64_C(86400) * 1000000)
#define MF_STATE_RUN_US (INT64_C(30) * 86400 * 1000000) /* a run is remembered so long after its last job */
#define MF_STATE_ID_MAX 72				/* bytes of every id with its NUL */

struct mf_cred {
	char serial[41]; /* lowercase hex */
	char *spiffe_id,
	    *hint;	  /* of a renewed one: of the first, which stays as long as something continues it */
	int64_t nbf, exp; /* unix seconds */
	uint64_t index;	  /* its record */
	uint64_t of;	  /* the svid.issued it continues; its own index when it is one */
	uint64_t key;	  /* index of the key.prepared of the key that signed it; 0: of a log without keys */
	uint32_t slot, epoch;
	bool superseded; /* a newer generation of the same slot exists */
	union {
		struct {
			char der[44], spki[44]; /* of a certificate: base64url SHA-256 */
		};
		char sha256[65]; /* of a JWT-SVID: hex, of the token */
	};
	char kid[44]; /* of a JWT-SVID: the key that signed it; "" for a certificate. Its serial is the jti */
	char **aud;   /* of a JWT-SVID: its audiences */
	size_t aud_n;
	int64_t issued_us;
	int64_t ended_us;     /* it was ended by itself, not with its lease; 0: it was not */
	uint64_t ended_index; /* and that record */
	struct mf_list at;    /* in its holder's list, oldest first */
};

struct mf_node {
	char id[MF_STATE_ID_MAX];
	char token_id[MF_STATE_ID_MAX];
	char *spiffe_id;
	char *hostname;
	char inner[65];	   /* hex of its static inner key */
	char former[65];   /* the one before the last re-attestation: refused for good; "" */
	char evidence[65]; /* hex SHA-256 of what is this node; "" when it joined by a token */
	char attestor[16]; /* "join_token", "x509pop" */
	char **attributes; /* "key=value" */
	size_t attributes_n;
	int64_t registered_us, evicted_us;
	uint64_t index, session_index, previous_index, confirmed_index, evicted_index, reattested_index;
	bool evicted, has_session, has_previous, confirmed;
	char *evict_reason;
	char session[65], previous[65]; /* hex SHA-256 of the session values that are accepted */
	char boot[40];
	char previous_boot[40];
	struct mf_list leases; /* struct mf_lease.at_node, every state */
	struct mf_list creds;  /* node SVIDs */
	uint32_t live;	       /* leases that are not ended */
	bool map_oom;
	UT_hash_handle hh, hh_inner, hh_evidence;
};

struct mf_token {
	char id[MF_STATE_ID_MAX];
	char hash[65];
	uint32_t uses;	 /* left */
	int64_t expires; /* unix seconds */
	char **attributes;
	size_t attributes_n;
	int64_t created_us;
	uint64_t index;
	bool map_oom;
	UT_hash_handle hh;
};

struct mf_job {
	char id[MF_STATE_ID_MAX];
	char run[MF_STATE_ID_MAX];
	char manifest[65];
	char *key, *tenant, *person, *profile, *rule, *name;
	bool ended;
	char *cause, *reason;
	char **attributes; /* the manifest's facts, "kind=finetune": renewals are decided on them anew */
	size_t attributes_n;
	int64_t started_us, ended_us;
	uint64_t index, ended_index;
	int64_t deadline; /* unix seconds: its end is announced then, by the broker itself */
	int64_t drain_ms; /* of its profile when it began */
	bool ending;	  /* the end was announced: no new instance, nothing new for those that are there */
	char *ending_cause, *ending_reason;
	int64_t ending_us, until; /* until: unix seconds, the drain is over */
	uint64_t ending_index;
	int64_t empty_us; /* when its last live instance ended; 0: one lives, or none came yet */
	bool voided;	  /* that was a restore's doing: its instances may come back */
	uint32_t instances, live;
	struct mf_list leases; /* struct mf_lease.at_job */
	bool map_oom;
	UT_hash_handle hh, hh_key;
};

/* What its manager said of a job, until that has ended. */
struct mf_managed {
	char *key, *by; /* by: the node that said it */
	char **nodes;	/* ids or node.name of those that may attach; none: any */
	size_t nodes_n;
	uint32_t owner;
	bool owner_known;
	int64_t deadline; /* unix seconds; 0: none */
	bool over;	  /* it ends, and no instance of it ever attached */
	char *cause;
	int64_t said_us;
	uint64_t index;
	struct mf_list
	    at; /* in managed_waiting or managed_over, oldest word first; in none while its job is there */
	bool map_oom;
	UT_hash_handle hh;
};

/* The line of jobs that continue one another: one tenant, one person, one profile. */
struct mf_run {
	char id[MF_STATE_ID_MAX], last_job[MF_STATE_ID_MAX];
	char *tenant, *person, *profile;
	char *line; /* "slurm/c1/77" when its last job may be requeued, else "" */
	uint32_t live;
	int64_t used_us;
	uint64_t index;	     /* job.started of the last one */
	struct mf_list idle; /* while no job of it lives */
	bool map_oom;
	UT_hash_handle hh, hh_last, hh_line;
};

/* A grant that was ended for one lease, in every epoch of it. */
struct mf_final {
	char *subject; /* "cloud:data"; of an identity its SPIFFE ID */
	int64_t slot;  /* of an identity, in its profile; else -1 */
	int64_t set_us;
	uint64_t index;
	struct mf_list at;
};

struct mf_lease {
	char id[MF_STATE_ID_MAX]; /* stem; the epoch stands beside it */
	char boot[40];
	char *key; /* instance key */
	char *grade, *rule, *policy, *cause, *reason;
	char **selectors;
	size_t selectors_n;
	uint32_t epoch, n;
	enum mf_lease_state state;
	struct mf_job *job;
	struct mf_node *node;
	int64_t opened_us, changed_us; /* changed: the last state change */
	uint64_t index, changed_index;
	int64_t
	    deadline; /* unix seconds: no certificate outlives it. The job's deadline and drain, or what is left */
	int64_t drain_ms;
	uint64_t slot_index[MF_LIM_IDENTITIES]; /* svid.issued of the slot in this epoch */
	bool slot_used[MF_LIM_IDENTITIES];
	struct mf_list creds;
	uint32_t creds_n;
	int64_t creds_due_us;  /* before it none of them is to be forgotten */
	struct mf_list clouds; /* struct mf_cloud_cred.at_lease, in no order */
	struct mf_list finals; /* struct mf_final.at: what it is given no more, oldest first */
	struct mf_list at_node, at_job, at_ended;
	bool map_oom;
	UT_hash_handle hh, hh_key;
};

/*
 * INTENT      asked for, outcome not on record: counts as live until ${exp}. With ended_us, its lease is over already
 * ACTIVE      the latest of its grant
 * SUPERSEDED  a later one is there; it works until ${exp} all the same
 * ENDED       its lease is over or suspended, or somebody revoked it, or nobody got it: to be taken back
 * COMPLETED   as far as it can be taken back: ${level} and ${dead_at}
 */
enum mf_cloud_state {
	MF_CLOUD_INTENT,
	MF_CLOUD_ACTIVE,
	MF_CLOUD_SUPERSEDED,
	MF_CLOUD_ENDED,
	MF_CLOUD_COMPLETED,
	MF_CLOUD_STATES
};

/* One cloud token, from its intent until it is dead and that is on record; it may outlive its lease. */
/* So far may our clock be ahead of a provider's (more than that nothing is issued): a token works that much longer. */
#define MF_CLOUD_CLOCK_S 300

struct mf_cloud_cred {
	char id[MF_STATE_ID_MAX]; /* its mayfly-cred tag */
	char lease_id[MF_STATE_ID_MAX], job_id[MF_STATE_ID_MAX];
	struct mf_lease *lease; /* NULL: forgotten */
	char *grant, *target, *backend, *role, *session;
	char *principal, *provider_session; /* "" until they are known */
	char scope_hash[65], token_hash[65];
	uint32_t epoch, generation;
	enum mf_cloud_state state;
	bool orphan; /* nobody got it, if there is one: cloud.reconciled */
	bool handle; /* a secret for its revocation is kept sealed */
	bool
	    by_itself; /* a JWT: who verifies it by itself accepts it until ${exp}, whatever the provider says */
	bool deny_on_end;  /* the grant's on_end; explicit revocations deny in any case */
	bool asked;	   /* it was ended by itself, by a person or by policy */
	int64_t exp;	   /* unix seconds: as the provider says, or the latest that it can be */
	int64_t effective; /* its permissions end then; at most ${exp} */
	int64_t intent_us, issued_us, ended_us; /* 0: not yet */
	uint32_t level;
	int64_t dead_at;				     /* unix seconds, when COMPLETED */
	uint64_t index;					     /* of its intent */
	uint64_t issued_index, ended_index, completed_index; /* of the records that say so; 0: none does */
	struct mf_list at, at_lease;
	bool map_oom;
	UT_hash_handle hh;
};
const char *mf_cloud_state_name(enum mf_cloud_state s);

/*
 * All sessions of a role that began before a time, whoever has them: over, by a person's word (L3). They carry no tag of ours
 * for it: the provider goes by its own clock. Forgotten when the provider's list was written without it, after ${until}.
 */
#define MF_CLOUD_SKEW_S 2 /* so far may our clock and the provider's be apart for it */
struct mf_sessions {
	char *target, *role, *backend;
	int64_t before; /* unix seconds, of the provider's clock */
	int64_t until;	/* unix seconds: the last of them is over by itself */
	int64_t set_us;
	uint64_t index;
	uint64_t confirmed_index; /* of the record of the provider's word; 0: it did not say so yet */
	int64_t dead_at;	  /* unix seconds, then */
	struct mf_list at;
};

/* Of the signatures of an admin act: it is used once. */
struct mf_nonce {
	char text[40];
	int64_t expires; /* unix seconds: after it the signatures count no more anyway */
	int64_t used_us;
	uint64_t index;
	struct mf_list at;
};

/* What nothing is issued for. */
struct mf_freeze {
	char *subject;	/* "profile:NAME", "rule:ID", "person:P", "tenant:T" or "all" */
	char *reason;	/* as the one who froze it said */
	int64_t set_us; /* wall clock of its record */
	int64_t until;	/* unix seconds; 0: until it is lifted by hand */
	uint64_t index;
	struct mf_list at;
};

struct mf_state; /* opaque: the tables */

MF_NODISCARD enum mf_status mf_state_new(struct mf_state **ret_st, struct mf_err *err);
void mf_state_free(struct mf_state *st);
MF_DEFINE_CLEANUP(struct mf_state, mf_state_free)

/*
 * Apply the record with log index ${index}. MF_E_CORRUPT when it does not follow from what came before (the text
 * names the index): a live caller has a bug, a start refuses the log. MF_E_NOMEM leaves the state unusable.
 */
MF_NODISCARD enum mf_status
mf_state_apply(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err);

/*
 * Has identity ${slot} of ${l} a token for exactly these audiences, in any order? While its job is ending also one that
 * has expired since the end was announced counts: what was granted then may be renewed. Bounded by the tokens that a
 * lease may have at once.
 */
bool mf_lease_had_audiences(const struct mf_lease *l, uint32_t slot, char *const *aud, size_t n);

/* Records applied so far = the index of the next one. */
uint64_t mf_state_size(const struct mf_state *st);
int64_t mf_state_last_us(const struct mf_state *st); /* wall clock of the last record; 0 when none */
const char *mf_state_origin(const struct mf_state *st);
const char *mf_state_trust_domain(const struct mf_state *st);
/* Oldest first: struct mf_freeze.at. */
const struct mf_list *mf_state_freezes(const struct mf_state *st);
/* NULL: that is not frozen. */
const struct mf_freeze *mf_state_freeze(const struct mf_state *st, struct mf_slice subject);
/* The first that covers what has this profile, rule, person and tenant; NULL: none. */
const struct mf_freeze *mf_state_frozen(
    const struct mf_state *st, const char *profile, const char *rule, const char *person, const char *tenant);
/*
 * The index of the last log.restored, 0: none. Leases of before it are void. *ret_tail_missing (may be NULL): nobody has
 * shown that nothing is missing before it.
 */
uint64_t mf_state_restored(const struct mf_state *st, bool *ret_tail_missing);
const char *mf_state_policy(const struct mf_state *st); /* sha256 hex of the last policy.loaded, or "" */

/* Look-ups by full id or key; NULL when there is none. */
const struct mf_node *mf_state_node(const struct mf_state *st, struct mf_slice id);
const struct mf_node *mf_state_node_by_inner(const struct mf_state *st, struct mf_slice inner_hex);
const struct mf_node *mf_state_node_by_evidence(const struct mf_state *st, struct mf_slice evidence_hex);
const struct mf_token *mf_state_token(const struct mf_state *st, struct mf_slice id);
const struct mf_job *mf_state_job(const struct mf_state *st, struct mf_slice id);
const struct mf_job *mf_state_job_by_key(const struct mf_state *st, struct mf_slice key);
const struct mf_lease *mf_state_lease(const struct mf_state *st, struct mf_slice id);
const struct mf_lease *mf_state_lease_by_key(const struct mf_state *st, struct mf_slice instance_key);

bool mf_state_nonce(const struct mf_state *st, struct mf_slice nonce); /* it was used */
const struct mf_list *mf_state_nonces(const struct mf_state *st);      /* struct mf_nonce.at */

/* Iteration: start with NULL; the order is that of insertion. No apply in between. */
const struct mf_node *mf_state_next_node(const struct mf_state *st, const struct mf_node *after);
const struct mf_token *mf_state_next_token(const struct mf_state *st, const struct mf_token *after);
const struct mf_job *mf_state_next_job(const struct mf_state *st, const struct mf_job *after);
const struct mf_lease *mf_state_next_lease(const struct mf_state *st, const struct mf_lease *after);
/* Keys, oldest first, tombstones too. */
const struct mf_key *mf_state_next_key(const struct mf_state *st, const struct mf_key *after);
const struct mf_key *mf_state_key(const struct mf_state *st, struct mf_slice id);
const struct mf_key *mf_state_active_key(const struct mf_state *st, const char *use); /* NULL: none */
const struct mf_key *mf_state_prepared_key(const struct mf_state *st, const char *use);
/* Number of the last change of that bundle; 0: there is no key yet. Grows strictly, over restarts too. */
uint64_t mf_state_bundle(const struct mf_state *st, enum mf_key_bundle which);
/* Something that turned up where it should not be: what is known of it. */
struct mf_leak {
	struct mf_slice sha256;	   /* 32 bytes: of a certificate's DER, or of a token's text */
	const char *access_key_id; /* of a cloud's session; "" */
};
struct mf_leaked {
	const char *kind;	    /* "x509-svid", "jwt-svid", "cloud-token" */
	const char *id;		    /* serial, jti, credential id */
	const struct mf_job *job;   /* whose it is; NULL: a node's */
	const struct mf_node *node; /* NULL: a job's */
};
/* Of all that has not expired, ended or not. Looks at every credential: for emergencies. False: it is not one of them. */
bool mf_state_find_leaked(const struct mf_state *st, const struct mf_leak *what, struct mf_leaked *ret);

/* A credential of any kind, as a person names it. Exactly one of the first two is set. */
struct mf_found {
	const struct mf_cred *cred;
	const struct mf_cloud_cred *cloud;
	const struct mf_lease
	    *lease; /* NULL: a node's or the broker's own, or a cloud token whose lease is forgotten */
	const struct mf_node *node; /* whose own it is; NULL: a job's, or the broker's */
};
/*
 * The one whose id is ${typed}, else the only one whose id begins so. How many there are: with more than one, ${ret} is
 * one of them. Looks at every credential: for people.
 */
size_t mf_state_find_cred(const struct mf_state *st, struct mf_slice typed, struct mf_found *ret);
/* A certificate or token of ${l} that goes on: superseded or not, expired or not. */
bool mf_cred_is_live(const struct mf_cred *c, const struct mf_lease *l);
/* NULL: it may still be given to this lease. */
const struct mf_final *mf_lease_final(const struct mf_lease *l, const char *subject);
const struct mf_cloud_cred *mf_state_cloud(const struct mf_state *st, struct mf_slice id);
const struct mf_list *mf_state_clouds(const struct mf_state *st);   /* struct mf_cloud_cred.at, in no order */
const struct mf_list *mf_state_sessions(const struct mf_state *st); /* struct mf_sessions.at, oldest first */
/* NULL: nobody ended the sessions of that role, or it is over. */
const struct mf_sessions *
mf_state_sessions_of(const struct mf_state *st, const char *target, const char *role);
/* Did the session of ${c}, of that role, surely begin before ${before}? One that is not known to exist did not. */
bool mf_sessions_meet(int64_t before, const struct mf_cloud_cred *c);
/* Does such an act at ${now_s} end this one, of that role: may it still work, and did nothing stronger end it? */
bool mf_sessions_hit(int64_t before, const struct mf_cloud_cred *c, int64_t now_s);
/* Can it still do something at its provider, as far as the log knows? */
bool mf_cloud_may_work(const struct mf_cloud_cred *c, int64_t now_s);
const struct mf_list *mf_state_broker_creds(const struct mf_state *st); /* struct mf_cred.at */
/* Ended leases, oldest end first (struct mf_lease.at_ended). */
const struct mf_list *mf_state_ended(const struct mf_state *st);
uint32_t mf_state_leases_open(const struct mf_state *st);

const struct mf_managed *mf_state_managed(const struct mf_state *st, struct mf_slice key);
const struct mf_managed *mf_state_next_managed(const struct mf_state *st, const struct mf_managed *after);
size_t mf_state_managed_count(const struct mf_state *st);
const struct mf_run *mf_state_run(const struct mf_state *st, struct mf_slice id);
/* The run whose last job has this id; the newest run with a job of this line ("slurm/c1/77"). */
const struct mf_run *mf_state_run_by_last(const struct mf_state *st, struct mf_slice job);
const struct mf_run *mf_state_run_by_line(const struct mf_state *st, struct mf_slice line);
const struct mf_run *mf_state_next_run(const struct mf_state *st, const struct mf_run *after);
bool mf_run_is_of(const struct mf_run *r, const char *tenant, const char *person, const char *profile);
/* The deadline that its manifest declares, unix seconds; false: none. */
bool mf_job_declared_deadline(const struct mf_job *j, int64_t *ret_s);

/* Unix seconds: the deadline and the drain, or the end of a drain that has begun. No credential outlives it. */
int64_t mf_job_stop(const struct mf_job *j);
/* A job with a manager (Slurm, Kubernetes) does not end with its instances. */
bool mf_job_has_manager(const struct mf_job *j);
/* Nor does one whose instances a restore has voided: both wait for a word. */
bool mf_job_waits(const struct mf_job *j);

/* For snapshot.c only: no forgetting while a snapshot is read back, then the counters it names. */
void mf_state_loading(struct mf_state *st, bool on);
void mf_state_set_position(struct mf_state *st, uint64_t size, int64_t last_us);
#endif
