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

static void
tell_late(struct mf_engine *e, const struct mf_cloud_cred *oldest, uint32_t late, int64_t now_s)
{
	char text[768];
	(void)snprintf(text, sizeof(text),
	    "%u cloud token(s) that have ended are not confirmed dead at their provider; the oldest is %s, "
	    "at target %s, "
	    "for %lld s; it ends by itself in %lld s",
	    late, oldest->id, oldest->target, (long long)(now_s - oldest->ended_us / 1000000),
	    (long long)(oldest->effective - now_s));
	e->ops->event(e->ctx, "cloud.revoke_late", text);
}

void
mf_cloud_alarm_tick(struct mf_engine *e, struct mf_now now)
{
	struct cloud_alarms *a = &e->cloud.alarms;
	const struct mf_cloud_cred *oldest = NULL;
	int64_t now_s = now.wall_us / 1000000;
	uint32_t late = 0, pending = 0;
	if ((!e->cloud.waiting && a->pending == 0) || now.mono_ms - a->looked_ms < LOOK_MS)
		return;
	a->looked_ms = now.mono_ms;
	MF_LIST_EACH(p, mf_state_clouds(e->state))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (c->state != MF_CLOUD_ENDED || c->effective <= now_s)
			continue;
		pending++;
		if (now.wall_us - c->ended_us < INT64_C(1000000) * LATE_S)
			continue;
		late++;
		if (oldest == NULL || c->ended_us < oldest->ended_us)
			oldest = c;
	}
	if (a->late == 0 && late > 0)
		tell_late(e, oldest, late, now_s);
	else if (a->late > 0 && late == 0)
		e->ops->event(e->ctx, "cloud.revoke_done", "what was late is dead, or confirmed");
	a->late = late;
	a->pending = pending;
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
