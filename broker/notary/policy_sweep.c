/*
 * After a change of policy: whose next renewal would be refused, or give something else? They are told to renew now; nobody
 * else hears of it. Cloud tokens that it does not give any more are taken back. A part of the leases at each tick, so that the state thread is never long away. And the reviews of rules.
 */
#include <stdio.h>

#include "broker/core/request_facts.h"
#include "broker/notary/engine_internal.h"

#define SWEEP_AT_ONCE 256u /* leases of one tick: some milliseconds */
#define REVIEW_EVERY_S 60

/* ---- leases ---- */

/* At a start nothing is known of what was in force before; a sweep of tokens may have been cut by a crash. */
static bool
is_swept(const struct policy_care *c, const struct mf_lease *l)
{
	return mf_lease_may_renew(l->state) && (c->former != NULL || !mf_list_empty(&l->clouds));
}

void
mf_engine_policy_changed(struct mf_engine *e, struct mf_now now, struct mf_policy *former, bool new)
{
	struct policy_care *c = &e->care;
	MF_UNUSED(now);
	if (!new) {
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
	c->holders = c->recalled = 0;
	size_t n = 0;
	for (const struct mf_lease *l = mf_state_next_lease(e->state, NULL); l != NULL;
	     l = mf_state_next_lease(e->state, l))
		n += is_swept(c, l);
	c->ids = calloc(n + 1, sizeof(*c->ids));
	for (const struct mf_lease *l = mf_state_next_lease(e->state, NULL); l != NULL && c->ids != NULL;
	     l = mf_state_next_lease(e->state, l))
		if (is_swept(c, l))
			memcpy(c->ids[c->n_ids++], l->id, sizeof(c->ids[0]));
	if (c->ids == NULL)
		e->ops->event(
		    e->ctx, "policy.sweep", "out of memory: holders learn of the policy when they renew");
	if (c->n_ids == 0) {
		mf_policy_free(MF_TAKE(c->former)); /* nobody holds anything by it */
		free(MF_TAKE(c->ids));
	}
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

static bool
same_texts(const char *const *a, size_t n, const char *const *b, size_t m)
{
	for (size_t i = 0; i < n && n == m; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return n == m;
}

static bool
same_scope(const struct mf_policy_cloud *a, const struct mf_policy_cloud *b)
{
	for (size_t i = 0; i < a->scope_n && a->scope_n == b->scope_n; i++)
		if (!same_texts(a->scope[i].actions, a->scope[i].actions_n, b->scope[i].actions,
			b->scope[i].actions_n) ||
		    !same_texts(a->scope[i].resources, a->scope[i].resources_n, b->scope[i].resources,
			b->scope[i].resources_n))
			return false;
	return a->scope_n == b->scope_n;
}

static const struct mf_policy_cloud *
grant_of(const struct mf_policy *p, const struct mf_policy_request *req, const char *name)
{
	struct mf_decision d;
	mf_policy_decide(p, req, &d);
	return d.permit ? mf_policy_cloud_find(d.profile, mf_slice_str(name)) : NULL;
}

/*
 * Would the policy in force have given this token, at the time when it was asked for? (A rule that has lapsed since is no change of
 * policy.) What it may do must be the same too, as far as what was in force before is known.
 */
static bool
still_given(struct mf_engine *e, const struct mf_cloud_cred *c, const struct mf_lease *l, struct mf_facts *f)
{
	const struct mf_policy_request req = { mf_slice_str(l->job->profile), f, c->intent_us / 1000000 };
	const struct mf_policy_cloud *g = grant_of(e->policy, &req, c->grant);
	if (g == NULL || strcmp(g->target, c->target) != 0 || strcmp(g->role, c->role) != 0)
		return false;
	const struct mf_policy_cloud *was =
	    e->care.former == NULL ? NULL : grant_of(e->care.former, &req, c->grant);
	return was == NULL || same_scope(was, g);
}

/* Tokens of a grant that is no more, or is another one: taken back like all others. */
static void
recall(struct mf_engine *e, struct mf_now now, const struct mf_lease *l, struct mf_facts *f)
{
	const struct cred_end why = { "broker", NULL, "policy",
		"the policy in force does not give it any more",
		"the policy in force does not give this token any more" };
	MF_LIST_EACH(p, &l->clouds)
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease);
		if (c->state > MF_CLOUD_SUPERSEDED || c->ended_us != 0 ||
		    c->effective * 1000000 <= now.wall_us || still_given(e, c, l, f))
			continue;
		e->care.recalled += mf_engine_end_cloud(e, now, c, &why) != UINT64_MAX;
	}
}

static void
look_at(struct mf_engine *e, struct mf_now now, const struct mf_lease *l)
{
	MF_AUTO(mf_facts_free) struct mf_facts *f = NULL;
	struct mf_err err = { 0 };
	struct mf_decision before, after;
	if (mf_request_lease(l, &f, &err) != MF_OK)
		return;
	recall(e, now, l, f);
	if (e->care.former == NULL || l->state != MF_LEASE_OPEN)
		return;
	const struct mf_policy_request req = { mf_slice_str(l->job->profile), f,
		mf_engine_wall(e, now) / 1000000 };
	mf_policy_decide(e->care.former, &req, &before);
	mf_policy_decide(e->policy, &req, &after);
	if (!same_grant(&before, &after))
		tell(e, l);
}

void
mf_engine_policy_sweep(struct mf_engine *e, struct mf_now now)
{
	struct policy_care *c = &e->care;
	if (c->ids == NULL)
		return;
	for (size_t i = 0; i < SWEEP_AT_ONCE && c->next_id < c->n_ids; i++) {
		const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(c->ids[c->next_id++]));
		if (l != NULL && mf_lease_may_renew(l->state))
			look_at(e, now, l);
	}
	if (c->next_id < c->n_ids)
		return;
	char text[128];
	(void)snprintf(text, sizeof(text),
	    "%u of %zu live instances are asked to renew now; %u cloud tokens are taken back", c->holders,
	    c->n_ids, c->recalled);
	if (c->former != NULL || c->recalled > 0)
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
