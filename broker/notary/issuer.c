/*
 * The public issuer as providers see it: looked at now and then, and before a key of assertions may sign. Where its documents
 * are a copy that somebody else must bring up to date, a key that the copy does not show would be good for nothing.
 */
#include <stdio.h>

#include "broker/notary/engine_internal.h"

#define CALM_MS 600000u	   /* all is well */
#define HURRY_MS 60000u	   /* something is to be waited for */
#define ASKED_MS 5000u	   /* somebody asks */
#define PATIENCE_MS 90000u /* for an answer */

static bool
watched(const struct mf_engine *e)
{
	return e->issuer_url != NULL && e->ops->fetch_issuer != NULL;
}

static bool
waits(const struct mf_engine *e)
{
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k))
		if (k->use->bundle == MF_KEY_IN_OIDC && k->state == MF_KEY_PREPARED)
			return true;
	return false;
}

void
mf_engine_issuer_tick(struct mf_engine *e, struct mf_now now)
{
	struct issuer_room *i = &e->issuer;
	if (!watched(e) || (i->asked_ms != 0 && now.mono_ms - i->asked_ms < PATIENCE_MS))
		return;
	bool hurry = i->seen.sight != MF_ISSUER_SAME || waits(e);
	if (i->looked && now.mono_ms - i->looked_ms < (hurry ? HURRY_MS : CALM_MS))
		return;
	/* Without a courier (yet) it is tried again at the next tick. */
	i->looked = e->ops->fetch_issuer(e->ctx, ++i->fetch_id);
	i->looked_ms = now.mono_ms;
	i->asked_ms = i->looked ? now.mono_ms : 0;
}

static void
tell(struct mf_engine *e, const struct mf_issuer_seen *was)
{
	const struct mf_issuer_seen *s = &e->issuer.seen;
	char event[32];
	if (s->sight == was->sight && strcmp(s->why, was->why) == 0)
		return;
	(void)snprintf(event, sizeof(event), "oidc.%s", mf_issuer_sight_name(s->sight));
	e->ops->event(e->ctx, event, s->why[0] == '\0' ? "the public issuer shows our keys" : s->why);
}

void
mf_engine_issuer_fetched(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudFetchResult *r)
{
	struct issuer_room *i = &e->issuer;
	if (mf_engine_probe_fetched(e, now, r))
		return;
	if (i->asked_ms == 0 || r->fetch_id != i->fetch_id)
		return; /* an answer that nobody waits for any more */
	i->asked_ms = 0;
	i->was = i->seen;
	if (r->error[0] != '\0') {
		/* What was seen before is what providers may still hold: the keys stay known. */
		i->seen.sight = i->seen.sight == MF_ISSUER_FOREIGN ? MF_ISSUER_FOREIGN : MF_ISSUER_AWAY;
		if (i->seen.sight == MF_ISSUER_AWAY)
			(void)snprintf(i->seen.why, sizeof(i->seen.why),
			    "%s cannot be read (%.100s): see that it answers from outside", e->issuer_url,
			    r->reason);
	} else {
		mf_issuer_judge(e->state, e->issuer_url, mf_slice(r->discovery.data, r->discovery.len),
		    mf_slice(r->jwks.data, r->jwks.len), &i->seen);
		i->seen_ms = now.mono_ms;
	}
	tell(e, &i->was);
}

void
mf_engine_issuer_hurry(struct mf_engine *e, struct mf_now now)
{
	struct issuer_room *i = &e->issuer;
	if (i->looked && now.mono_ms - i->looked_ms > ASKED_MS)
		i->looked = false;
}

bool
mf_engine_issuer_trouble(const struct mf_engine *e, const struct mf_key *k, char *text, size_t cap)
{
	const struct issuer_room *i = &e->issuer;
	if (!watched(e) || (i->seen.sight != MF_ISSUER_FOREIGN && mf_issuer_shows(&i->seen, k->id)))
		return false;
	if (i->seen.sight == MF_ISSUER_UNSEEN)
		(void)snprintf(text, cap,
		    "%s has not been looked at yet: a key signs when the public issuer shows it; try again "
		    "in a minute",
		    e->issuer_url);
	else
		(void)snprintf(text, cap, "key %s: %s", k->id,
		    i->seen.why[0] != '\0' ? i->seen.why : "the public issuer does not show it yet");
	return true;
}

const char *
mf_engine_issuer_why_not(const struct mf_engine *e, const char *issuer)
{
	const struct mf_issuer_seen *s = &e->issuer.seen;
	if (!watched(e))
		return NULL;
	/* Whoever wrote it has a key that clouds take for ours: another issuer of ours is no comfort. */
	if (s->sight == MF_ISSUER_FOREIGN)
		return s->why;
	const struct mf_key *k = mf_state_active_key(e->state, MF_KEY_USE_ASSERTION_RS256);
	bool lacks = s->sight == MF_ISSUER_STALE && k != NULL && !mf_issuer_shows(s, k->id);
	return lacks && strcmp(issuer, e->issuer_url) == 0 ? s->why : NULL;
}

const char *
mf_engine_issuer_state(const struct mf_engine *e)
{
	return watched(e) ? mf_issuer_sight_name(e->issuer.seen.sight) : "";
}

const char *
mf_engine_issuer_text(const struct mf_engine *e)
{
	return watched(e) ? e->issuer.seen.why : "";
}
