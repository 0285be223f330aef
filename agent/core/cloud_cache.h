/*
 * cloud_cache: the cloud tokens that the agent's front holds for one instance: one for each grant that the broker offers
 * it. Pure: no I/O, no clock of its own, no randomness of its own.
 *
 * A token is served until 5 s before its permissions end, whether or not broker and cloud can be reached. From half of
 * its life on (moved by a tenth, so that a fleet does not renew together) a new one is due: whoever asks then makes it be
 * asked for, one question at a time for each grant. What did not work for the moment is tried again after a growing time.
 * An end, a refusal for good and a grant that is offered no more are final: the token is wiped, the reason stays.
 *
 * Embedded; zeroed memory is a cache that needs mf_cloud_cache_init. One thread.
 */
#ifndef MF_AGENT_CORE_CLOUD_CACHE_H
#define MF_AGENT_CORE_CLOUD_CACHE_H
#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"

#define MF_CLOUD_GRANTS 16u	  /* of one instance */
#define MF_CLOUD_NAME_MAX 64u	  /* bytes of a grant's name */
#define MF_CLOUD_TEXT_MAX 512u	  /* of a region, an endpoint, an id; reasons are cut to it */
#define MF_CLOUD_TOKEN_MAX 32768u /* bytes, packed */
#define MF_CLOUD_LAST_S 5	  /* not served for so long before its end */
#define MF_CLOUD_RETRY_MS 500u
#define MF_CLOUD_RETRY_MAX_MS 15000u
#define MF_CLOUD_ANSWER_MS 60000u /* a question without answer is given up after so long */

enum mf_cloud_kind {
	MF_CLOUD_AWS = 1,
	MF_CLOUD_BEARER,
};
const char *mf_cloud_kind_name(enum mf_cloud_kind k); /* "aws", "bearer"; never NULL */

/* As the broker offers it. Slices are borrowed. */
struct mf_cloud_offer {
	struct mf_slice grant, kind, target, region, service_endpoint;
};

struct mf_cloud_item {
	struct mf_list at;
	char grant[MF_CLOUD_NAME_MAX + 1];
	enum mf_cloud_kind kind;
	char target[MF_CLOUD_TEXT_MAX + 1], region[MF_CLOUD_TEXT_MAX + 1],
	    service_endpoint[MF_CLOUD_TEXT_MAX + 1];
	/* what is held */
	struct mf_buf token; /* packed; empty: none */
	/* The token as it was given last, for whoever serves it: kept and wiped with it. */
	struct mf_buf answer;
	int64_t answer_s; /* the second for which that was made */
	char credential_id[MF_CLOUD_TEXT_MAX + 1];
	int64_t expires_s, effective_s, renew_s; /* unix seconds */
	uint64_t version;			 /* moves when the token does, or is over */
	/* the question that is out; 0: none */
	uint64_t mint_id, asked_ms;
	uint64_t not_before_ms; /* no question earlier than this */
	unsigned failures;	/* in a row */
	bool over;		/* for good: nothing is asked any more */
	bool denied;		/* the last answer was a no that may change: repeated until not_before_ms */
	char reason[MF_CLOUD_TEXT_MAX + 1]; /* why there is nothing, or nothing new; else "" */
};

struct mf_cloud_cache {
	struct mf_list items; /* in the broker's order */
	size_t n;
	bool offered; /* an offer was taken: what is not in it is not granted */
};

void mf_cloud_cache_init(struct mf_cloud_cache *c);
/* Everything is wiped and gone; the cache may be used again. */
void mf_cloud_cache_wipe(struct mf_cloud_cache *c);
/*
 * What is offered now, in place of what was: tokens of grants that are offered on are kept, the others wiped.
 * MF_E_INVALID: a name twice, or more than MF_CLOUD_GRANTS; nothing changes. A kind that this release does not know is left out,
 * and so is a name that cannot stand in a path and a file's name (other than letters, digits and -_.). MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_cloud_cache_offer(
    struct mf_cloud_cache *c, const struct mf_cloud_offer *offers, size_t n, struct mf_err *err);
struct mf_cloud_item *mf_cloud_cache_find(struct mf_cloud_cache *c, struct mf_slice grant); /* or NULL */
struct mf_cloud_item *mf_cloud_cache_by_mint(struct mf_cloud_cache *c, uint64_t mint_id);
/* No question is out any more: the link they went by is gone. */
void mf_cloud_cache_void(struct mf_cloud_cache *c);

enum mf_cloud_view {
	MF_CLOUD_NONE,	/* nothing to serve */
	MF_CLOUD_STALE, /* may be served; a new one is due */
	MF_CLOUD_FRESH
};
enum mf_cloud_view mf_cloud_item_view(const struct mf_cloud_item *i, struct mf_now now);
/* Whether a question may go out now. Gives up one that was never answered. */
bool mf_cloud_item_may_ask(struct mf_cloud_item *i, struct mf_now now);
void mf_cloud_item_asked(struct mf_cloud_item *i, uint64_t mint_id, struct mf_now now);

struct mf_cloud_granted {
	struct mf_slice grant, kind, credential_id, token;
	int64_t issued_s, expires_s, effective_s;
};
/*
 * The answer. ${random} moves the renewal. MF_E_INVALID: for another grant or of another kind, no token, or one that is
 * over already (do the clocks agree?); what was held stays, and the question counts as failed.
 */
MF_NODISCARD enum mf_status mf_cloud_item_grant(struct mf_cloud_item *i, const struct mf_cloud_granted *g,
    struct mf_now now, uint64_t random, struct mf_err *err);
/* It did not work for the moment: what is held stays. */
void
mf_cloud_item_failed(struct mf_cloud_item *i, struct mf_slice reason, struct mf_now now, uint64_t random);
/* No, until somebody asks again after ${hold_ms}: what is held is wiped. */
void mf_cloud_item_deny(struct mf_cloud_item *i, struct mf_slice reason, uint64_t hold_ms, struct mf_now now);
/*
 * The credential ${id} (empty: whichever) is over. Its token is wiped; without ${may_ask_again} for good. False: that one
 * is not held, and nothing changes.
 */
bool
mf_cloud_item_end(struct mf_cloud_item *i, struct mf_slice id, struct mf_slice reason, bool may_ask_again);
#endif
