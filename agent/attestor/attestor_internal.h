/*
 * attestor_internal: what the files of the attestor share. life.c: instances from first sight to forgotten;
 * adopt.c: after a restart; serve.c: the front's questions; starts.c: `mayfly run`; session.c: the broker;
 * attestor.c: making it, the link, the turn.
 */
#ifndef MF_ATTESTOR_INTERNAL_H
#define MF_ATTESTOR_INTERNAL_H
#include "agent.pb-c.h"
#include "agent/core/distrust.h"
#include "agent/attestor/attestor.h"
#include "agent/attestor/classify.h"
#include "agent/attestor/watch.h"
#include "agent/core/manager_file.h"
#include "crypto/inner.h"
#include "os/seqpacket.h"
#include "roles.pb-c.h"
#include "rpc/role_links.h"

#define MF_ATTESTOR_CONNS_MAX 16384u
#define MF_ATTESTOR_LINK_QUEUE (8u * 1024u * 1024u)
#define MF_TEXT_REASON 1024u /* bytes of a reason from elsewhere that is passed on */

/* A connection of a job, by the front's number. */
struct mf_conn {
	uint64_t id, handle; /* 0: it belongs to no instance */
	struct mf_caller caller;
	bool map_oom;
	UT_hash_handle hh;
};

/* A `mayfly run` under way. */
struct mf_start {
	uint64_t id, handle, conn_id;
	int runner; /* pidfd, owned */
	pid_t runner_pid;
	uint32_t uid;
	bool map_oom;
	UT_hash_handle hh;
};

/* What the attestor holds beside an instance's entry in the table (mf_instance.owner). */
struct mf_live {
	struct mf_watch *watch;
	struct mf_cgroup cgroup; /* fd -1: none */
};

/* A document beside the bundle: what came in clear, and what the session vouched for (documents.c). */
#define MF_ATTESTOR_DOCUMENTS 2u
struct mf_document_slot {
	uint8_t vouched[32];
	bool has_vouch, believed; /* believed: the body is what was vouched for */
	uint64_t number;
	struct mf_buf seen, body;
};

/* A JWT-SVID or a cloud token that the front asked for (mint.c, cloud.c). */
struct mf_mint {
	uint64_t tag, mint_id, handle;
	bool map_oom;
	UT_hash_handle hh;
};

struct mf_attestor {
	char *listen_path, *build_id, *release, *hostname;
	int state_fd, run_fd, proc_fd;
	struct mf_cgroup_fs *cgroups; /* NULL: none */
	struct mf_peer_env env;
	struct mf_users *users;
	struct mf_instances *table;
	struct mf_watch_set *watches;
	bool dirty; /* the table differs from its file, which has to be right before the turn's messages go */
	uint64_t
	    stale_ms; /* it differs in what a restart finds out by itself: stored at the latest then (mono) */
	char run_prefix[24]; /* "run-<of our key>-": of whom a cgroup below the base is */
	uint64_t sweep_ms;   /* when to try again to remove cgroups of jobs that are over */

	struct mf_seqpacket *link; /* NULL: none */
	enum mf_link_state link_state;
	bool link_broken; /* drop it at the end of the turn */
	struct mf_conn *conns;
	struct mf_start *starts;

	struct mf_x25519 *key;
	struct mf_trust trust;
	struct mf_distrust distrust;   /* as the session said last */
	bool keys_told, jwt_keys_told; /* the notary takes BundleHeld; that of JWT bundles too */
	bool explains;		       /* and Explain */
	bool mints_cloud;	       /* and MintCloud */
	struct mf_join_token *token;   /* NULL: none */
	struct mf_node_proof *proof;   /* NULL: none */
	uint8_t handshake_hash[MF_NOISE_HASH];
	uint8_t session_value[MF_IC_SESSION_VALUE];
	bool have_session_value;
	struct mf_inner_client *ic;
	uint64_t sid; /* of the outer session; 0: none */
	bool outer;
	struct mf_noise *noise;	  /* during the handshake */
	uint64_t handshake_ms;	  /* and until then (mono) */
	struct mf_inner *inner;	  /* after it */
	uint32_t credit;	  /* sealed chunks that the front takes */
	const char *close_reason; /* a literal, close_text, or NULL: end the session at the end of the turn */
	char close_text[MF_TEXT_REASON / 4];
	bool key_unknown; /* the broker does not know our key: join with the next session */
	uint8_t outer_point[65];
	bool want_outer; /* certify outer_point when the session is ready */
	uint8_t vouch_sha256[32];
	uint64_t vouch_number;	/* 0: none */
	struct mf_buf document; /* the last bundle that came in clear, not yet vouched for */
	uint64_t document_number;
	struct mf_document_slot documents[MF_ATTESTOR_DOCUMENTS];
	struct mf_mint *mints;
	uint64_t last_mint;
	int sim_fd;	     /* directory of a simulated manager; -1: none */
	uint64_t sim_due_ms; /* when to look for a word there */
	bool sim_asked;	     /* one is with the broker */
};

/* ---- attestor.c ---- */
/* Queue a message for the front; a link that is full or gone is dropped at the end of the turn. */
void mf_attestor_tell(struct mf_attestor *a, uint16_t type, const ProtobufCMessage *msg);
/* What is queued goes now, and not at the end of the turn: a removal does not wait for what else the turn does. */
void mf_attestor_flush(struct mf_attestor *a);
/* What changed in the table is stored soon, with what else has changed by then. */
void mf_attestor_stale(struct mf_attestor *a);
/* "local/<node>/<boot>/<name>" into ${to} (empty node part before the first Welcome). */
void mf_attestor_key(const struct mf_attestor *a, const struct mf_instance *i, struct mf_buf *to);

/* ---- life.c ---- */
void mf_life_on_watch(void *ctx, uint64_t handle, enum mf_watch_cause cause);
/* Feed one event to ${i}'s state and do what follows; ${i} may be gone afterwards. */
void
mf_life_event(struct mf_attestor *a, struct mf_instance *i, enum mf_job_event e, enum mf_end_cause cause);
/* The instance of an attested caller: found, or made and watched. MF_E_STATE: it has ended. */
MF_NODISCARD enum mf_status mf_life_find(struct mf_attestor *a, const struct mf_caller *c, bool make,
    struct mf_instance **ret_i, struct mf_err *err);
/* Fill ids, selectors and user of a new instance from its first caller. */
MF_NODISCARD enum mf_status
mf_life_facts(struct mf_attestor *a, struct mf_instance *i, const struct mf_caller *c, struct mf_err *err);
/* The same, for an instance of the table. */
MF_NODISCARD enum mf_status
mf_life_describe(struct mf_attestor *a, struct mf_instance *i, const struct mf_caller *c, struct mf_err *err);
/* Watch ${i} by ${pidfd}, or by ${cgroup}, which is taken on MF_OK. MF_E_NOTFOUND: over already. */
MF_NODISCARD enum mf_status mf_life_watch(struct mf_attestor *a, struct mf_instance *i, int pidfd,
    struct mf_cgroup *cgroup, bool armed, struct mf_err *err);
/* Remove it from the table with all that belongs to it. */
void mf_life_forget(struct mf_attestor *a, struct mf_instance *i);
/* Its credentials are void, it may attach again. */
void mf_life_suspend(struct mf_attestor *a, struct mf_instance *i, const char *cause);
/* Remove what cgroups of jobs are left and empty. */
void mf_life_sweep(struct mf_attestor *a);

/* ---- adopt.c ---- */
/* Go through the table that was read: watch what lives, end what does not. */
void mf_adopt_all(struct mf_attestor *a);

/* ---- serve.c ---- */
void mf_serve_who_is(struct mf_attestor *a, const Mayfly__Roles__V1__WhoIs *m, int fd);
void mf_serve_sender_is(struct mf_attestor *a, const Mayfly__Roles__V1__SenderIs *m, int fd);
void mf_serve_conn_gone(struct mf_attestor *a, const Mayfly__Roles__V1__ConnGone *m);
void mf_serve_attach(struct mf_attestor *a, const Mayfly__Roles__V1__AttachInstance *m);
/* What an Attach says of ${i}, its keys apart; it points into ${i} and ${p}. False: no memory. */
struct mf_attach_parts {
	struct mf_buf key, grade;
	char *lines[MF_LIM_SELECTORS], *text;
	struct mf_manager_file *claim;
};
bool mf_serve_fill(struct mf_attestor *a, const struct mf_instance *i, struct mf_attach_parts *p,
    Mayfly__Agent__V1__Attach *at);
void mf_attach_parts_fini(struct mf_attach_parts *p);
void mf_serve_renew(struct mf_attestor *a, const Mayfly__Roles__V1__RenewInstance *m);
struct mf_conn *mf_serve_conn(struct mf_attestor *a, uint64_t id);
void mf_serve_drop_conns(struct mf_attestor *a);
void mf_serve_refuse(
    struct mf_attestor *a, uint64_t handle, Mayfly__Agent__V1__RefusalCode code, const char *reason);

/* ---- mint.c ---- */
void mf_mint_ask(struct mf_attestor *a, const Mayfly__Roles__V1__MintInstanceJwt *m);
void mf_mint_granted(struct mf_attestor *a, uint64_t request_id, Mayfly__Agent__V1__JwtGrant *g);
/* The answer to the request with this tag is a refusal; what it says about the lease is believed. */
void mf_mint_refused(struct mf_attestor *a, uint64_t tag, Mayfly__Agent__V1__Refusal *r);
/* There will be no answer. */
void mf_mint_lost(struct mf_attestor *a, uint64_t tag);
void mf_mint_drop_all(struct mf_attestor *a);

/* What is out is known by its tag. NULL: no memory. */
struct mf_mint *mf_mint_remember(struct mf_attestor *a, uint64_t mint_id, uint64_t handle);
/* False: no such; else it is forgotten and *ret_m is its copy. */
bool mf_mint_take(struct mf_attestor *a, uint64_t tag, struct mf_mint *ret_m);
/* A refusal says that the lease is over, or suspended: it is. */
void mf_mint_believe(struct mf_attestor *a, uint64_t handle, Mayfly__Agent__V1__RefusalCode code);

/* ---- cloud.c ---- */
void mf_cloud_ask(struct mf_attestor *a, const Mayfly__Roles__V1__MintInstanceCloud *m);
void mf_cloud_granted(struct mf_attestor *a, uint64_t request_id, Mayfly__Agent__V1__CloudGrant *g);
/* The answer to the request with this tag is a refusal; ${r} NULL: there will be none. */
void mf_cloud_refused(struct mf_attestor *a, uint64_t tag, Mayfly__Agent__V1__Refusal *r);
void mf_cloud_ended(struct mf_attestor *a, const Mayfly__Agent__V1__CloudEnded *m);
/* Whose socket is that? */
void mf_cloud_find_peer(struct mf_attestor *a, const Mayfly__Roles__V1__FindPeer *m);

/* ---- explain.c ---- */
/* What would a job that this connection starts get? */
void mf_explain_ask(struct mf_attestor *a, const Mayfly__Roles__V1__ExplainJob *m);
void mf_explain_answered(struct mf_attestor *a, uint64_t request_id, Mayfly__Agent__V1__Explained *x);
/* The answer to the request with this tag is a refusal; ${r} NULL: there will be none. */
void mf_explain_refused(struct mf_attestor *a, uint64_t tag, Mayfly__Agent__V1__Refusal *r);

/* ---- documents.c ---- */
void mf_documents_init(struct mf_attestor *a);
void mf_documents_fini(struct mf_attestor *a);
MF_NODISCARD enum mf_status
mf_documents_vouch(struct mf_attestor *a, const Mayfly__Agent__V1__Vouch *v, struct mf_err *err);
void mf_documents_seen(struct mf_attestor *a, const Mayfly__Agent__V1__Document *d);
void mf_documents_greet_front(struct mf_attestor *a);

/* ---- starts.c ---- */
void mf_starts_start(struct mf_attestor *a, const Mayfly__Roles__V1__StartJob *m);
void mf_starts_place(struct mf_attestor *a, const Mayfly__Roles__V1__PlaceChild *m);
void mf_starts_gone(struct mf_attestor *a, const Mayfly__Roles__V1__RunnerGone *m);
/* The front is gone and with it every Start stream. */
void mf_starts_drop(struct mf_attestor *a);

/* ---- sim_manager.c ---- */
void mf_sim_open(struct mf_attestor *a);
/* The job that ${i} is a part of, as the manager says; NULL: none. The caller's. */
struct mf_manager_file *mf_sim_claim(struct mf_attestor *a, const struct mf_instance *i);
/* The word that is with the broker: ${again} keeps it; else it is done, or ${refused} says why not. */
void mf_sim_answered(struct mf_attestor *a, const char *refused, bool again);
void mf_sim_turn(struct mf_attestor *a, struct mf_now now);

/* ---- session.c ---- */
extern const struct mf_ic_ops mf_session_ops;
void mf_session_opened(struct mf_attestor *a, const Mayfly__Roles__V1__OuterOpened *m);
void mf_session_data(struct mf_attestor *a, const Mayfly__Roles__V1__OuterData *m);
void mf_session_closed(struct mf_attestor *a, const Mayfly__Roles__V1__OuterClosed *m);
void mf_session_credit(struct mf_attestor *a, const Mayfly__Roles__V1__OuterCredit *m);
void mf_session_outer_key(struct mf_attestor *a, const Mayfly__Roles__V1__OuterKey *m);
void mf_session_document(struct mf_attestor *a, const Mayfly__Roles__V1__DocumentSeen *m);
/* End the session now, without a word to the front when ${tell} is false. */
void mf_session_drop(struct mf_attestor *a, const char *reason, bool tell);
/* Seal and hand over as much as the front takes. */
void mf_session_recalled(struct mf_attestor *a, const Mayfly__Agent__V1__Down *d);
void mf_session_pump(struct mf_attestor *a);
/* Send ${up} (its request_id is set). Failing to queue ends the session. */
/* lease_news.c */
void mf_session_lease_ended(struct mf_attestor *a, const Mayfly__Agent__V1__LeaseEnded *m);
void mf_session_lease_ending(struct mf_attestor *a, const Mayfly__Agent__V1__LeaseEnding *in);
void mf_session_lease_deadline(struct mf_attestor *a, const Mayfly__Agent__V1__LeaseDeadline *in);
/* session.c */
void mf_session_send(struct mf_attestor *a, enum mf_inner_lane lane, const Mayfly__Agent__V1__Up *up);
/* The bundle that is trusted, to the front. */
void mf_session_tell_trust(struct mf_attestor *a);

/* ---- session_keys.c ---- */
#define MF_SESSION_FEATURE_EXPLAIN "explain.1" /* dry runs are answered */
#define MF_SESSION_FEATURE_CLOUD "cloud.1"     /* cloud tokens are minted */
#define MF_SESSION_FEATURE_KEYS "keys.1"       /* bundles are confirmed, distrusted keys are heard */
#define MF_SESSION_FEATURE_JWT_KEYS "keys.2"   /* the same of the JWT bundle and its keys */
void mf_session_features(struct mf_attestor *a, const Mayfly__Agent__V1__Welcome *w);
void mf_session_outer_certificate(
    struct mf_attestor *a, uint64_t id, const Mayfly__Agent__V1__OuterCertificate *c);
/* Tell the notary that the bundle which it vouches for is stored, if it is. */
void mf_session_say_held(struct mf_attestor *a);
void mf_session_say_jwt_held(struct mf_attestor *a, uint64_t number);
MF_NODISCARD enum mf_status
mf_session_distrust(struct mf_attestor *a, const Mayfly__Agent__V1__Distrust *m, struct mf_err *err);
struct mf_distrust_refs {
	ProtobufCBinaryData ids[MF_LIM_BUNDLE_CERTS];
	char *kids[MF_LIM_BUNDLE_CERTS];
};
/* What ${m} points to afterwards is in ${refs} and in ${a}. */
void
mf_session_put_distrust(struct mf_attestor *a, Mayfly__Roles__V1__Trust *m, struct mf_distrust_refs *refs);

/* ---- session.c ---- */
/* State and trust for a front that is new. */
void mf_session_greet_front(struct mf_attestor *a);
#endif
