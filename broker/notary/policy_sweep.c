/*
 * After a change of policy: whose next renewal would be refused, or give something else? They are told to renew now; nobody
 * else hears of it. A part of the leases at each tick, so that the state thread is never long away. And the reviews of rules.
 */
#include <stdio.h>

#include "broker/core/request_facts.h"
#include "broker/notary/engine_internal.h"

#define SWEEP_AT_ONCE 256u /* leases of one tick: some milliseconds */
#define REVIEW_EVERY_S 60

/* ---- leases ---- */

void
mf_engine_policy_changed(struct mf_engine *e, struct mf_now now, struct mf_policy *former, bool new)
{
	struct policy_care *c = &e->care;
	MF_UNUSED(now);
	if (!new || former == NULL) {
		mf_policy_free(former);
		return;
	}
	memset(c->review_said, 0, sizeof(c->review_said));
	c->reviewed_s = 0;
	/* A change during a sweep: what was in force before the first one is what they may still hold. */
	if (c->former == NULL)
		c->former = former;
	else
		mf_policy_free(former);
	free(c->ids);
	c->n_ids = c->next_id = 0;
	c->holders = 0;
	size_t n = mf_state_leases_open(e->state);
	c->ids = calloc(n + 1, sizeof(*c->ids));
	for (const struct mf_lease *l = mf_state_next_lease(e->state, NULL);
	     l != NULL && c->ids != NULL && c->n_ids < n; l = mf_state_next_lease(e->state, l))
		if (l->state == MF_LEASE_OPEN)
			memcpy(c->ids[c->n_ids++], l->id, sizeof(c->ids[0]));
	if (c->ids == NULL)
		e->ops->event(
		    e->ctx, "policy.sweep", "out of memory: holders learn of the policy when they renew");
	if (c->n_ids == 0)
		mf_policy_free(MF_TAKE(c->former)); /* nobody holds anything by it */
}

/* The same certificates, under the same names, for as long? */
static bool
same_grant(const struct mf_decision *a, const struct mf_decision *b)
{
	if (a->permit != b->permit || !a->permit)
		return a->permit == b->permit;
	if (a->profile->n_identities != b->profile->n_identities)
		return false;
	for (size_t i = 0; i < a->profile->n_identities; i++) {
		const struct mf_policy_identity *x = &a->profile->identities[i],
						*y = &b->profile->identities[i];
		if (strcmp(x->path, y->path) != 0 || strcmp(x->hint, y->hint) != 0 ||
		    strcmp(x->cn, y->cn) != 0 || x->x509_ttl_ms != y->x509_ttl_ms ||
		    x->jwt_ttl_ms != y->jwt_ttl_ms || x->n_dns != y->n_dns)
			return false;
		for (size_t k = 0; k < x->n_dns; k++)
			if (strcmp(x->dns[k], y->dns[k]) != 0)
				return false;
	}
	return true;
}

static void
tell(struct mf_engine *e, const struct mf_lease *l)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Reconsider r = MAYFLY__AGENT__V1__RECONSIDER__INIT;
	char id[MF_STATE_ID_MAX];
	const struct pulse *p = mf_engine_pulse(e, l->node->id);
	const struct session *s = p == NULL || p->sid == 0 ? NULL : mf_engine_session(e, p->sid);
	if (s == NULL || s->phase != PHASE_READY)
		return; /* it renews when it is back */
	memcpy(id, l->id, sizeof(id));
	r.lease_id = id;
	r.instance_key = l->key;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_RECONSIDER;
	down.reconsider = &r;
	e->care.holders++;
	mf_send_down(e, s->sid, &down, MF_ENGINE_NORMAL, 0);
}

static void
look_at(struct mf_engine *e, const struct mf_lease *l, int64_t wall_s)
{
	MF_AUTO(mf_facts_free) struct mf_facts *f = NULL;
	struct mf_err err = { 0 };
	struct mf_decision before, after;
	if (mf_request_lease(l, &f, &err) != MF_OK)
		return;
	const struct mf_policy_request req = { mf_slice_str(l->job->profile), f, wall_s };
	mf_policy_decide(e->care.former, &req, &before);
	mf_policy_decide(e->policy, &req, &after);
	if (!same_grant(&before, &after))
		tell(e, l);
}

void
mf_engine_policy_sweep(struct mf_engine *e, struct mf_now now)
{
	struct policy_care *c = &e->care;
	if (c->former == NULL)
		return;
	for (size_t i = 0; i < SWEEP_AT_ONCE && c->next_id < c->n_ids; i++) {
		const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(c->ids[c->next_id++]));
		if (l != NULL && l->state == MF_LEASE_OPEN)
			look_at(e, l, mf_engine_wall(e, now) / 1000000);
	}
	if (c->next_id < c->n_ids)
		return;
	char text[96];
	(void)snprintf(
	    text, sizeof(text), "%u of %zu live instances are asked to renew now", c->holders, c->n_ids);
	e->ops->event(e->ctx, "policy.sweep", text);
	mf_policy_free(MF_TAKE(c->former));
	free(MF_TAKE(c->ids));
	c->n_ids = c->next_id = 0;
}

/* ---- reviews ---- */

/* Once for each threshold and rule; again after a restart, or when the policy changed. */
void
mf_engine_policy_reviews(struct mf_engine *e, struct mf_now now)
{
	static const char *const left[] = { [MF_REVIEW_14_DAYS] = "within 14 days",
		[MF_REVIEW_7_DAYS] = "within 7 days",
		[MF_REVIEW_1_DAY] = "within a day" };
	int64_t wall_s = mf_engine_wall(e, now) / 1000000;
	if (e->policy == NULL || wall_s < e->care.reviewed_s + REVIEW_EVERY_S)
		return;
	e->care.reviewed_s = wall_s;
	for (size_t i = 0; i < mf_policy_rule_count(e->policy); i++) {
		const struct mf_policy_rule *r = mf_policy_rule_at(e->policy, i);
		enum mf_policy_review at = mf_policy_review(e->policy, i, wall_s);
		char text[512];
		if (at == MF_REVIEW_FAR || (uint8_t)at <= e->care.review_said[i])
			continue;
		e->care.review_said[i] = (uint8_t)at;
		if (at == MF_REVIEW_PAST)
			(void)snprintf(text, sizeof(text),
			    "rule %s is past its review_by and %s: ask %s to review it and to set a new date",
			    r->id, r->forbid ? "still forbids" : "permits nothing any more", r->owner);
		else
			(void)snprintf(text, sizeof(text), "rule %s must be reviewed %s: ask %s", r->id,
			    left[at], r->owner);
		e->ops->event(e->ctx, at == MF_REVIEW_PAST ? "policy.lapsed" : "policy.review", text);
	}
}
