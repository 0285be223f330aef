/*
 * issuer_judge: what the public issuer shows, against the keys of the log. The documents are what a provider would read at the
 * issuer's URL: hostile bytes, parsed strictly, none of them in a text. Pure.
 */
#ifndef MF_NOTARY_ISSUER_JUDGE_H
#define MF_NOTARY_ISSUER_JUDGE_H
#include "broker/core/state.h"

enum mf_issuer_sight {
	MF_ISSUER_UNSEEN,  /* nobody has looked yet */
	MF_ISSUER_AWAY,	   /* it cannot be read */
	MF_ISSUER_STALE,   /* ours, but not as we are now: a key is missing, or one that has gone is there */
	MF_ISSUER_FOREIGN, /* it shows a key that is not ours, or speaks for another issuer */
	MF_ISSUER_SAME,
	MF_ISSUER_SIGHTS
};
const char *mf_issuer_sight_name(enum mf_issuer_sight s); /* "same" ... */

#define MF_ISSUER_KEYS_MAX 100u /* that providers read, and we look at */

struct mf_issuer_seen {
	enum mf_issuer_sight sight;
	char why[MF_ERR_MSG_MAX];		      /* "" when it is the same */
	char kids[MF_ISSUER_KEYS_MAX][MF_KEY_ID_MAX]; /* of ours that it shows */
	size_t kids_n;
};

/* A key is one of ours by its numbers; the kid that stands beside them must be theirs, too. */
void mf_issuer_judge(const struct mf_state *st, const char *issuer, struct mf_slice discovery,
    struct mf_slice jwks, struct mf_issuer_seen *ret);
bool mf_issuer_shows(const struct mf_issuer_seen *s, const char *kid);
#endif
