/*
 * clouds: the cloud tokens of the instances of this node: from the cache of each (agent/core/cloud_cache), or by one
 * question to the broker for all who wait. Joins that cache to the loop and the link; knows nothing of HTTP or gRPC.
 *
 * Who asks while a new token is due waits for it a moment (MF_CLOUDS_PATIENCE_MS), then has the old one. Without a token
 * a call is held until there is one, a no, or its time is over.
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_CLOUDS_H
#define MF_AGENT_FRONT_CLOUDS_H
#include "agent/front/identities.h"

#define MF_CLOUDS_PATIENCE_MS 400u /* AWS clients in C++ and Java give a try one second */

struct mf_clouds;

struct mf_clouds_config {
	struct mf_loop *loop;
	struct mf_attestor_link *link;
	struct mf_identities *ids;
	uint64_t refusal_ms; /* a no is repeated for so long without asking again */
};

/* For /metrics. */
struct mf_clouds_stats {
	uint64_t asked, granted, refused, unavailable, ended, served, served_old;
	size_t waiting; /* gauge */
};

MF_NODISCARD enum mf_status
mf_clouds_new(const struct mf_clouds_config *cfg, struct mf_clouds **ret_c, struct mf_err *err);
/* Waits and watches must be gone. */
void mf_clouds_free(struct mf_clouds *c);
MF_DEFINE_CLEANUP(struct mf_clouds, mf_clouds_free)
struct mf_clouds_stats mf_clouds_stats(const struct mf_clouds *c);

enum mf_cloud_result {
	MF_CLOUD_GIVEN,	   /* ${item} may be served */
	MF_CLOUD_NO_GRANT, /* the profile has no such grant */
	MF_CLOUD_REFUSED,  /* no, and asking again at once would not help */
	MF_CLOUD_ENDED,	   /* the job, or this grant, is over */
	MF_CLOUD_LATER	   /* its time was over before there was an answer */
};
const char *mf_cloud_result_code(enum mf_cloud_result r); /* a word for machines */
struct mf_cloud_answer {
	enum mf_cloud_result result;
	const struct mf_cloud_item *item; /* GIVEN */
	const char *reason;		  /* else */
};

/* One call that wants a token; embedded, zeroed at first. */
struct mf_cloud_wait {
	struct mf_clouds *clouds;
	struct mf_list node;
	struct mf_identity_watch watch;
	struct mf_identity_use use;
	struct mf_svid_entry *entry;
	char grant[MF_CLOUD_NAME_MAX + 1];
	uint64_t began_ms, until_ms, round;
	bool there;
	/* The answer; ${w} is no longer known by then. */
	void (*done)(struct mf_cloud_wait *w, const struct mf_cloud_answer *a);
};
/* Calls done, now or later, at the latest after ${hold_ms}. */
void mf_clouds_get(struct mf_clouds *c, struct mf_cloud_wait *w, struct mf_svid_entry *e,
    struct mf_slice grant, uint64_t hold_ms);
/*
 * What mf_clouds_get would give at once, and need not be renewed yet: counted as served, borrowed until the next call. NULL: call
 * that.
 */
struct mf_cloud_item *mf_clouds_ready(struct mf_clouds *c, struct mf_svid_entry *e, struct mf_slice grant);
void mf_cloud_wait_cancel(struct mf_cloud_wait *w); /* done is not called; a no-op when it is over */

/*
 * Whoever keeps tokens of one instance elsewhere (files): bearer tokens are renewed for it as they become due, and it
 * hears of every change of an item, ends too. Embedded, zeroed at first.
 */
struct mf_cloud_keep {
	struct mf_clouds *clouds;
	struct mf_list node;
	struct mf_svid_entry *entry;
	void (*changed)(struct mf_cloud_keep *k, const struct mf_cloud_item *i);
};
void mf_clouds_keep(
    struct mf_clouds *c, struct mf_cloud_keep *k, struct mf_svid_entry *e); /* with a watch on ${e} */
void mf_cloud_keep_end(struct mf_cloud_keep *k);

/* --- from the link --- */
void mf_clouds_on_answer(struct mf_clouds *c, const Mayfly__Roles__V1__InstanceCloud *m);
void mf_clouds_on_ended(struct mf_clouds *c, const Mayfly__Roles__V1__InstanceCloudEnded *m);
void mf_clouds_link_closed(struct mf_clouds *c);
void mf_clouds_look(struct mf_clouds *c); /* there is a session again */
#endif
