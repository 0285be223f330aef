#include "broker/notary/cloud_alarm.h"

#include <stdio.h>

#include "broker/notary/cloud_plan.h"

#define FAILURES 3u /* in a row */
#define LATE_S 60   /* without a confirmation */
#define LOOK_MS 5000u

/* ---- providers ---- */

static struct cloud_sight *
sight_of(struct cloud_alarms *a, const char *target)
{
	for (size_t i = 0; i < a->sights_n; i++)
		if (strcmp(a->sights[i].target, target) == 0)
			return &a->sights[i];
	if (a->sights_n == MF_COUNT(a->sights) || strlen(target) >= sizeof(a->sights[0].target))
		return NULL;
	struct cloud_sight *s = &a->sights[a->sights_n++];
	*s = (struct cloud_sight) { .failures = 0 };
	(void)snprintf(s->target, sizeof(s->target), "%s", target);
	return s;
}

void
mf_cloud_heard(struct mf_engine *e, const char *target, const char *error, const char *reason)
{
	struct cloud_sight *s = sight_of(&e->cloud.alarms, target);
	char text[768];
	if (s == NULL || strcmp(error, "throttled") == 0)
		return;
	bool failed = strcmp(error, "transient") == 0 || strcmp(error, "unknown") == 0;
	if (!failed) {
		if (s->failures >= FAILURES) {
			(void)snprintf(text, sizeof(text), "cloud target %s answers again", target);
			e->ops->event(e->ctx, "cloud.reachable", text);
		}
		s->failures = 0;
		return;
	}
	if (s->failures < FAILURES && ++s->failures == FAILURES) {
		(void)snprintf(text, sizeof(text),
		    "cloud target %s gives no answer that can be used, %u times in a row: no tokens of it "
		    "are had "
		    "and none are taken back there until it does; identities go on: %.400s",
		    target, FAILURES, mf_engine_plain(reason) ? reason : "");
		e->ops->event(e->ctx, "cloud.unreachable", text);
	}
}

/* ---- outcomes ---- */

void
mf_cloud_unknown(struct mf_engine *e, const char *target, const char *credential)
{
	char text[512];
	e->cloud.alarms.unknown++;
	(void)snprintf(text, sizeof(text),
	    "cloud target %s may have made the token %s, which nobody has: it is taken back, and counts as "
	    "live "
	    "until then",
	    target, credential);
	e->ops->event(e->ctx, "cloud.unknown", text);
}

/* ---- what should be dead ---- */

struct late {
	uint32_t late, pending;
	const struct mf_cloud_cred *oldest;
	const struct mf_sessions *role; /* one that is late; NULL: none */
};

/* What the provider says, and what to do about it. */
static void
tell_late(struct mf_engine *e, const struct late *k, int64_t now_s)
{
	char text[1200];
	const struct mf_cloud_cred *c = k->oldest;
	const char *target = k->role != NULL ? k->role->target : c->target,
		   *role = k->role != NULL ? k->role->role : c->role,
		   *why = mf_engine_revoke_trouble(e, target, role, 0);
	int n =
	    k->role != NULL
		? snprintf(text, sizeof(text),
		      "the sessions of role %.200s at target %s were ended %lld s ago, and the provider does "
		      "not confirm it: they work until %lld s from now",
		      role, target, (long long)(now_s - k->role->set_us / 1000000),
		      (long long)(k->role->until - now_s))
		: snprintf(text, sizeof(text),
		      "%u cloud token(s) that have ended are not confirmed dead at their provider; the "
		      "oldest is %s, at target %s, for %lld s; it ends by itself in %lld s",
		      k->late, c->id, target, (long long)(now_s - c->ended_us / 1000000),
		      (long long)(c->effective - now_s));
	if (n > 0 && (size_t)n < sizeof(text))
		(void)snprintf(text + n, sizeof(text) - (size_t)n,
		    ". The last answer: %.400s. It is tried again every minute at most; `mayfly doctor "
		    "--profile P` says which side is wrong",
		    why == NULL || why[0] == '\0' ? "none" : why);
	e->ops->event(e->ctx, "cloud.revoke_late", text);
}

static void
count_cred(struct late *k, const struct mf_cloud_cred *c, struct mf_now now)
{
	if (c->state != MF_CLOUD_ENDED || c->effective <= now.wall_us / 1000000)
		return;
	k->pending++;
	if (now.wall_us - c->ended_us < INT64_C(1000000) * LATE_S)
		return;
	k->late++;
	if (k->oldest == NULL || c->ended_us < k->oldest->ended_us)
		k->oldest = c;
}

static void
count_role(struct late *k, const struct mf_sessions *s, struct mf_now now)
{
	if (s->confirmed_index != 0 || s->until <= now.wall_us / 1000000)
		return;
	k->pending++;
	if (now.wall_us - s->set_us < INT64_C(1000000) * LATE_S)
		return;
	k->late++;
	if (k->role == NULL)
		k->role = s;
}

void
mf_cloud_alarm_tick(struct mf_engine *e, struct mf_now now)
{
	struct cloud_alarms *a = &e->cloud.alarms;
	struct late k = { 0 };
	if ((!e->cloud.waiting && a->pending == 0) || now.mono_ms - a->looked_ms < LOOK_MS)
		return;
	a->looked_ms = now.mono_ms;
	MF_LIST_EACH(p, mf_state_clouds(e->state))
	count_cred(&k, MF_LIST_ITEM(p, struct mf_cloud_cred, at), now);
	MF_LIST_EACH(p, mf_state_sessions(e->state))
	count_role(&k, MF_LIST_ITEM(p, struct mf_sessions, at), now);
	if (a->late == 0 && k.late > 0)
		tell_late(e, &k, now.wall_us / 1000000);
	else if (a->late > 0 && k.late == 0)
		e->ops->event(e->ctx, "cloud.revoke_done", "what was late is dead, or confirmed");
	a->late = k.late;
	a->pending = k.pending;
}

void
mf_cloud_alarm_status(const struct mf_engine *e, struct mf_engine_status *s)
{
	const struct cloud_alarms *a = &e->cloud.alarms;
	s->cloud_unknown = a->unknown;
	s->cloud_pending = a->pending;
	s->cloud_late = a->late;
	for (size_t i = 0; i < a->sights_n; i++) /* what is not configured any more is nobody's trouble */
		if (a->sights[i].failures >= FAILURES && mf_cloud_target(e, a->sights[i].target) != NULL) {
			s->cloud_failing++;
			s->cloud_failing_name = a->sights[i].target;
		}
}
