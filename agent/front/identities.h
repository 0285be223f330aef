/*
 * identities: the credentials of the instances of this node: keys are made here, asked for through the attestor,
 * renewed while somebody cares, and wiped when they end. Joins agent/core/svid_cache and agent/core/rotation to the
 * loop and the link; knows nothing of connections: who wants to hear of a change watches.
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_IDENTITIES_H
#define MF_AGENT_FRONT_IDENTITIES_H
#include "agent/core/distrust.h"
#include "agent/core/svid_cache.h"
#include "agent/front/attestor_link.h"
#include "agent/front/cloud_offers.h"

struct mf_identities;

struct mf_identities_config {
	struct mf_loop *loop;
	struct mf_attestor_link *link;
	const char *trust_domain;
	size_t max_instances; /* 0: MF_LIM_NODE_INSTANCES */
	uint64_t answer_ms;   /* how long the broker may take for one answer; 0: MF_ROTATION_ANSWER_MS */
	uint64_t refusal_ms;  /* a refusal is final for so long; then who asks is asked for again */
	uint64_t adopt_ms; /* after the attestor's restart: what nobody has shown to live is wiped by then */
};

/* For /metrics. */
struct mf_identities_stats {
	uint64_t asked, granted, refused, unavailable, ended, suspended, lapsed, bad_grants, unanswered,
	    hurried;
	size_t instances, served; /* gauges */
};

MF_NODISCARD enum mf_status
mf_identities_new(const struct mf_identities_config *cfg, struct mf_identities **ret_i, struct mf_err *err);
/* Watchers must be gone. Wipes everything. */
void mf_identities_free(struct mf_identities *i);
MF_DEFINE_CLEANUP(struct mf_identities, mf_identities_free)
struct mf_svid_cache *mf_identities_cache(struct mf_identities *i);
struct mf_identities_stats mf_identities_stats(const struct mf_identities *i);

/* The entry of user ${uid}'s instance that the attestor named on the present link. As mf_svid_cache_bind, mf_svid_set_uid. */
MF_NODISCARD enum mf_status mf_identities_bind(struct mf_identities *i, const char *instance_key,
    uint64_t handle, uint32_t uid, struct mf_svid_entry **ret_e, struct mf_err *err);

/* Told of every change of one entry (state, identities, bundle). An entry that is watched is not forgotten. */
struct mf_identity_watch {
	struct mf_list node;
	struct mf_svid_entry *entry; /* NULL: watches nothing */
	/* May end watches, its own and others, and change uses, of any entry. */
	void (*changed)(struct mf_identity_watch *w);
};
void mf_identity_watch_set(
    struct mf_identities *i, struct mf_identity_watch *w, struct mf_svid_entry *e); /* e NULL: stop */

/* A use: one call's share in the reasons to ask and to renew. Zeroed at first. */
struct mf_identity_use {
	struct mf_svid_entry *entry;
	bool waiting; /* held for an answer */
	bool stream;  /* open and served */
};
/* Only with a watch on ${e}; ${e} NULL ends the use. Who begins to wait asks anew after an old refusal. */
void mf_identity_use_set(
    struct mf_identities *i, struct mf_identity_use *u, struct mf_svid_entry *e, bool waiting, bool stream);
/* It was handed out just now. */
void mf_identities_fetched(struct mf_identities *i, struct mf_svid_entry *e);
bool mf_identities_servable(struct mf_identities *i, const struct mf_svid_entry *e);

/* --- from the link --- */
void mf_identities_link_opened(struct mf_identities *i);
void mf_identities_link_closed(struct mf_identities *i);
void mf_identities_session(struct mf_identities *i, bool ready, const char *reason);
bool mf_identities_ready(const struct mf_identities *i);	  /* link open and session resynced */
const char *mf_identities_why_not(const struct mf_identities *i); /* for people; "" when ready */
void mf_identities_on_grant(struct mf_identities *i, const Mayfly__Roles__V1__InstanceGrant *m);
void mf_identities_on_refused(struct mf_identities *i, const Mayfly__Roles__V1__InstanceRefused *m);
/* Renew soon, as if half-life had come. */
void mf_identities_on_hurry(struct mf_identities *i, const Mayfly__Roles__V1__InstanceHurry *m);
void mf_identities_on_ended(struct mf_identities *i, const Mayfly__Roles__V1__InstanceEnded *m);
/* What such keys signed is renewed, spread over spread_ms. The list in place of the last one. */
void mf_identities_distrust(struct mf_identities *i, const struct mf_distrust *d);
/* The end was announced: what is held is served and renewed on. */
void mf_identities_on_ending(struct mf_identities *i, const Mayfly__Roles__V1__InstanceEnding *m);
/* It may run longer: what the old deadline cut short is renewed now. */
void mf_identities_on_deadline(struct mf_identities *i, const Mayfly__Roles__V1__InstanceDeadline *m);
/* Verified by the attestor. *ret_changed: the bytes are new; watchers were told. */
MF_NODISCARD enum mf_status mf_identities_on_trust(
    struct mf_identities *i, const Mayfly__Roles__V1__Trust *m, bool *ret_changed, struct mf_err *err);
#endif
