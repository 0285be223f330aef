/*
 * revocations: what providers must be asked so that what has ended is dead there too. Pure: it follows from the state
 * alone, so a crash loses none of it (docs/internals/cloud.md).
 */
#ifndef MF_BROKER_REVOCATIONS_H
#define MF_BROKER_REVOCATIONS_H
#include "broker/core/state.h"

#define MF_DENY_VALUE 160u /* bytes of a tag's value with its NUL */

/* A tag that tokens carry, and that a provider denies. */
struct mf_deny {
	const char *tag; /* "mayfly-job", "mayfly-lease", "mayfly-cred" */
	char value[MF_DENY_VALUE];
	int64_t until;	 /* unix seconds: the last token that it meets is dead by itself then */
	unsigned weight; /* of what is left until then, by powers of two; 0: nothing, by our clock */
	bool asked;	 /* by a person: stays when there is no room for all */
	bool
	    stands; /* a token that it meets was said to be denied: stays before what is new and not much longer */
};

/* The value of mayfly-lease: one instance in one epoch. */
void mf_deny_lease_value(const char *lease_id, uint32_t epoch, char to[MF_DENY_VALUE]);
/*
 * The one tag that meets this token and as little else as possible that goes on: its job's when the job is over, else its
 * lease's when that is over or in another epoch, else its own.
 */
void mf_deny_of(const struct mf_state *st, const struct mf_cloud_cred *c, struct mf_deny *ret_d);

enum mf_take_back {
	MF_TAKE_NOTHING, /* it goes on, is completed, or nobody knows yet whether there is one */
	MF_TAKE_SINGLE,	 /* itself, and nothing else (L1) */
	MF_TAKE_DENY,	 /* by its tag (L2) */
	MF_TAKE_WAIT,	 /* nobody can or shall be asked: it ends by itself */
};
/* ${levels}: enum mf_revoke_level bits of its backend; MF_REVOKE_CREDENTIAL only where what that needs is at hand. */
enum mf_take_back
mf_take_back(const struct mf_state *st, const struct mf_cloud_cred *c, unsigned levels, int64_t now_s);

/*
 * Sessions of ${role} that began before this are to be denied, all of them, in every list that is written: unix seconds; 0: nobody
 * ended them, or they are over by themselves.
 */
int64_t mf_denies_before(const struct mf_state *st, const char *target, const char *role, int64_t now_s);
/* Is there something about ${s} that its provider is still to be told: to deny them, or that they are over? NULL: no. */
bool mf_sessions_to_tell(const struct mf_sessions *s, int64_t now_s);
/*
 * Everything that must stand in the deny list of ${target} and ${role} at ${now_s}: of tokens that have ended and may still
 * work by the provider's clock (MF_CLOUD_CLOCK_S), completed or not, and of intents whose lease is over; but for those that
 * go with all sessions of their role. Without duplicates; those asked for by persons first, then the longest residuals; of about the
 * same length (a power of two) those that stand. Returns their number; at most ${cap} are written.
 */
size_t mf_denies(const struct mf_state *st, const char *target, const char *role, unsigned levels,
    int64_t now_s, struct mf_deny *ret_v, size_t cap);
#endif
