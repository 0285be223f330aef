/*
 * The observer of cloud tokens: what the log says of each, held against what its provider would still take. A token that
 * works has its records on disk; it is over when a record says so, and no later.
 */
#include "sim_cloud.h"
#include "sim_observer.h"

#include <stdlib.h>

#define OBS_CLOUDS 2048u
#define SLACK_US (2 * SIM_S)   /* seconds are rounded, clocks drift */
#define PUSHED_US (60 * SIM_S) /* for want of room: what was said of it is said anew, when that is known */
#define PATIENCE_US (120 * SIM_S)
#define TAKEN_US (85 * SIM_S) /* when all is whole, nothing takes longer */

struct obs_cloud {
	char cred[MF_STATE_ID_MAX];
	struct obs_job *job;
	char lease[MF_DENY_VALUE]; /* its mayfly-lease tag */
	bool store;
	uint64_t intent, outcome, completed; /* indices of records; NEVER */
	struct mf_buf intent_record, outcome_record;
	bool asked, issued, granted;
	/* The latest that it may work by the record, and how far the broker's clock was off then. */
	int64_t exp, skew_s, intent_exp, intent_skew_s;
	uint64_t began_us, over_us;
	uint64_t dead_us;	 /* when the latest revoke.completed says that it is dead */
	struct sim_token *token; /* NULL: no provider made one */
};

struct obs_clouds {
	struct obs_cloud v[OBS_CLOUDS];
	size_t n;
	uint64_t up_us;	  /* since when the notary is up */
	uint64_t lost_us; /* when a part of the log was lost */
};

static void watch(void *arg, uint64_t x);

struct obs_clouds *
sim_clouds_new(void)
{
	struct obs_clouds *o = sim_alloc(sizeof(*o));
	sim_after(SIM_S, watch, o, 0, NULL);
	return o;
}

void
sim_clouds_free(struct obs_clouds *o)
{
	for (size_t i = 0; o != NULL && i < o->n; i++) {
		mf_buf_fini(&o->v[i].intent_record);
		mf_buf_fini(&o->v[i].outcome_record);
	}
	free(o);
}

static struct obs_cloud *
find(struct mf_slice cred)
{
	struct obs_clouds *o = sim->clouds;
	for (size_t i = o->n; i-- > 0;)
		if (mf_slice_eq_str(cred, o->v[i].cred))
			return &o->v[i];
	return NULL;
}

static void
keep(struct mf_buf *to, struct mf_slice bytes)
{
	mf_buf_fini(to);
	mf_buf_init(to, MF_LIM_RECORD);
	mf_buf_put_slice(to, bytes);
}

/* The moment at which the providers' clock says so. */
static uint64_t
us_of(int64_t provider_s)
{
	int64_t us = provider_s * 1000000 - SIM_EPOCH_US;
	return us < 0 ? 0 : (uint64_t)us;
}

static bool
lease_over(const struct obs_cloud *c)
{
	return c->job == NULL || c->job->ended != NEVER || c->job->suspended != NEVER;
}

/* ---- records ---- */

static void
intent(uint64_t index, const struct mf_record *r, struct mf_slice bytes)
{
	struct obs_clouds *o = sim->clouds;
	if (o->n == OBS_CLOUDS)
		sim_abort("more cloud credentials than a history has");
	struct obs_cloud *c = &o->v[o->n++];
	*c = (struct obs_cloud) { .job = obs_job_by_lease(r->s[MF_RS_LEASE]),
		.store = mf_slice_eq_str(r->s[MF_RS_CLOUD_TARGET], "store"),
		.intent = index,
		.outcome = NEVER,
		.completed = NEVER,
		.exp = r->n[MF_RN_EXP],
		.skew_s = obs_wall_s() - sim_provider_s(),
		.began_us = sim->t_us };
	c->intent_exp = c->exp;
	c->intent_skew_s = c->skew_s;
	(void)snprintf(
	    c->cred, sizeof(c->cred), "%.*s", (int)r->s[MF_RS_SERIAL].n, (const char *)r->s[MF_RS_SERIAL].p);
	(void)snprintf(c->lease, sizeof(c->lease), "%.*s/%llu", (int)r->s[MF_RS_LEASE].n,
	    (const char *)r->s[MF_RS_LEASE].p, (unsigned long long)r->n[MF_RN_EPOCH]);
	keep(&c->intent_record, bytes);
	if (lease_over(c))
		sim_violated(3, "record %llu means to get %s for a lease that is over",
		    (unsigned long long)index, c->cred);
}

static void
outcome(uint64_t index, const struct mf_record *r, struct mf_slice bytes, struct obs_cloud *c)
{
	if (c->outcome != NEVER)
		sim_violated(1, "record %llu closes the intent of %s, which record %llu closed",
		    (unsigned long long)index, c->cred, (unsigned long long)c->outcome);
	c->outcome = index;
	keep(&c->outcome_record, bytes);
	c->issued = r->type == MF_REC_CLOUD_ISSUED;
	if (c->issued && lease_over(c))
		sim_violated(
		    3, "record %llu issues %s for a lease that is over", (unsigned long long)index, c->cred);
	if (r->type == MF_REC_CLOUD_FAILED && c->token != NULL)
		sim_violated(1, "%s failed by the record, and a provider made it", c->cred);
	if (c->issued) {
		c->exp = r->n[MF_RN_EXP];
		c->skew_s = 0; /* it is the provider's word */
	} else if (r->type == MF_REC_CLOUD_RECONCILED) {
		c->exp = r->n[MF_RN_EXP] > c->exp ? r->n[MF_RN_EXP] : c->exp;
		c->over_us = sim->t_us;
	}
}

static void
completed(uint64_t index, const struct mf_record *r, struct obs_cloud *c)
{
	int64_t dead_at = r->n[MF_RN_CLOUD_DEAD_AT], left_s = dead_at - obs_wall_s();
	uint64_t by_broker = left_s <= 0 ? sim->t_us : sim->t_us + (uint64_t)left_s * SIM_S;
	sim_counts.completed++;
	c->completed = index;
	/* A denial counts from the broker's word; what ends by itself, by the provider's clock. */
	c->dead_us = us_of(dead_at - c->skew_s);
	if (r->n[MF_RN_CLOUD_LEVEL] >= 2 && by_broker > c->dead_us)
		c->dead_us = by_broker;
	if (!c->issued && r->n[MF_RN_CLOUD_LEVEL] < 2 && by_broker > c->dead_us)
		c->dead_us = by_broker;
}

void
sim_saw_cloud_record(uint64_t index, const struct mf_record *r, struct mf_slice bytes)
{
	struct obs_cloud *c = sim->clouds == NULL ? NULL : find(r->s[MF_RS_SERIAL]);
	if (sim->clouds == NULL)
		return;
	switch (r->type) {
	case MF_REC_CLOUD_INTENT:
		intent(index, r, bytes);
		break;
	case MF_REC_CLOUD_ISSUED:
	case MF_REC_CLOUD_FAILED:
	case MF_REC_CLOUD_RECONCILED:
		if (c == NULL)
			sim_violated(
			    1, "record %llu closes an intent that nobody had", (unsigned long long)index);
		else
			outcome(index, r, bytes, c);
		break;
	case MF_REC_REVOKE_COMPLETED:
		if (c != NULL)
			completed(index, r, c);
		break;
	default:
		break;
	}
}

/* ---- on the way ---- */

void
sim_saw_mint_request(const Mayfly__Roles__V1__MintRequest *q)
{
	struct obs_cloud *c = find(mf_slice_str(q->credential_id));
	if (c == NULL || c->intent == NEVER || !obs_durable(&c->intent_record)) {
		sim_violated(
		    1, "the courier is asked for %s, and its intent is not on disk", q->credential_id);
		return;
	}
	c->asked = true;
	if (c->outcome != NEVER)
		sim_violated(1, "the courier is asked for %s, whose intent is closed", c->cred);
	obs_check_dead(c->job, "an assertion");
	if (c->job->suspended != NEVER)
		sim_violated(3, "the courier is asked for %s, whose lease is suspended", c->cred);
}

void
sim_saw_minted(const struct sim_token *t)
{
	struct obs_cloud *c = find(mf_slice_str(t->cred));
	sim_counts.tokens++;
	if (c == NULL && sim->clouds->lost_us != 0 && sim->t_us < sim->clouds->lost_us + 60 * SIM_S)
		return; /* asked for before, and on its way all the time */
	if (c == NULL || c->intent == NEVER || !obs_durable(&c->intent_record)) {
		sim_violated(1, "there is a token %s, and the log knows nothing of it", t->cred);
		return;
	}
	for (size_t i = 0; i < sim_provider_tokens(); i++)
		if (strcmp(sim_provider_token(i)->cred, t->cred) == 0)
			c->token = sim_provider_token(i);
	if (c->outcome != NEVER && !c->issued &&
	    memmem(c->outcome_record.p, c->outcome_record.n, "cloud.failed", 12) != NULL)
		sim_violated(1, "%s failed by the record, and a provider made it", c->cred);
	if (t->store && (strcmp(t->lease, c->lease) != 0 || strcmp(t->job, c->job->job) != 0))
		sim_violated(
		    4, "token %s is tagged %s, %s, and is of %s", t->cred, t->job, t->lease, c->lease);
}

static bool
granted(const struct obs_job *j, const char *grant, unsigned from)
{
	for (unsigned v = from; v <= sim->observer->policy; v++)
		if (sim_policy_grants(v, j->profile, grant))
			return true;
	return false;
}

void
sim_saw_cloud_grant(struct obs_job *j, unsigned policy, const Mayfly__Agent__V1__CloudGrant *g)
{
	struct obs_cloud *c = find(mf_slice_str(g->credential_id));
	if (c == NULL || c->token == NULL || c->job != j) {
		sim_violated(
		    4, "cloud token %s goes to %s, and was made for nobody there", g->credential_id, j->key);
		return;
	}
	if (!c->issued || !obs_durable(&c->outcome_record) || !obs_durable(&c->intent_record))
		sim_violated(1, "cloud token %s leaves, and its records are not on disk", c->cred);
	else if (memmem(c->outcome_record.p, c->outcome_record.n, c->token->hash, 64) == NULL)
		sim_violated(1, "cloud token %s leaves, and its record names another", c->cred);
	c->granted = true;
	obs_check_dead(j, "a cloud token");
	if (j->suspended != NEVER)
		sim_violated(3, "cloud token %s leaves, and its lease is suspended", c->cred);
	if (!granted(j, g->grant, policy))
		sim_violated(
		    4, "%s gets a token of %s, which profile %s does not have", j->key, g->grant, j->profile);
	if (g->expires != c->token->exp || g->effective_expires > g->expires)
		sim_violated(2, "cloud token %s works until %lld, and the grant says otherwise", c->cred,
		    (long long)c->token->exp);
	if (!c->store)
		return; /* it may outlive its job: its policy says so */
	if (g->effective_expires > j->granted_s + SIM_MAX_JOB_S + SIM_DRAIN_S + 1)
		sim_violated(2, "cloud token %s outlives the longest life of its job", c->cred);
	if (j->ending != NEVER && c->intent > j->ending && g->effective_expires > j->ending_until)
		sim_violated(2, "cloud token %s outlives the drain of its job", c->cred);
}

void
sim_saw_token_used(const char *key, const char *cred)
{
	const struct obs_cloud *c = find(mf_slice_str(cred));
	const char *name = strrchr(key, '/');
	if (c == NULL && sim->clouds->lost_us != 0)
		return; /* of the lost part of the log: it expires */
	if (c == NULL || c->job == NULL || name == NULL || strcmp(strrchr(c->job->key, '/'), name) != 0)
		sim_violated(5, "a process of %s is handed cloud token %s of %s", key, cred,
		    c == NULL || c->job == NULL ? "nobody" : c->job->key);
}

/* ---- what works, and until when ---- */

static void
check(const struct obs_cloud *c)
{
	if (c->token == NULL || !sim_provider_usable(c->token))
		return;
	bool pushed = c->token->pushed_us != 0 && sim->t_us < c->token->pushed_us + PUSHED_US;
	if (c->completed != NEVER && sim->t_us > c->dead_us + SLACK_US && !pushed)
		sim_violated(2, "cloud token %s works, and the log says that it is dead since %.1f s",
		    c->cred, (double)(sim->t_us - c->dead_us) / 1e6);
	if (sim->t_us > us_of(c->exp - c->skew_s) + SLACK_US)
		sim_violated(2, "cloud token %s works longer than any record says", c->cred);
}

static void
watch(void *arg, uint64_t x)
{
	struct obs_clouds *o = arg;
	MF_UNUSED(x);
	sim_after(SIM_S, watch, o, 0, NULL);
	if (!sim_notary_up(sim->notary))
		o->up_us = sim->t_us;
	for (size_t i = 0; i < o->n; i++) {
		struct obs_cloud *c = &o->v[i];
		check(c);
		if (c->over_us == 0 && lease_over(c))
			c->over_us = sim->t_us;
		if (c->intent != NEVER && c->outcome == NEVER && sim->t_us > c->began_us + PATIENCE_US &&
		    sim->t_us > o->up_us + PATIENCE_US / 2)
			sim_violated(
			    2, "the intent of %s is open, and nobody does anything about it", c->cred);
	}
}

void
sim_saw_clouds_peace(void)
{
	const struct obs_clouds *o = sim->clouds;
	for (size_t i = 0; o != NULL && i < o->n; i++) {
		const struct obs_cloud *c = &o->v[i];
		if (c->token != NULL && c->over_us != 0 && sim->t_us > c->over_us + TAKEN_US &&
		    c->completed == NEVER && lease_over(c) && sim_provider_usable(c->token))
			sim_violated(7, "cloud token %s is to be taken back for %.1f s, and works", c->cred,
			    (double)(sim->t_us - c->over_us) / 1e6);
	}
}

/* ---- a new life ---- */

void
sim_saw_clouds_lost(uint64_t size)
{
	struct obs_clouds *o = sim->clouds;
	o->lost_us = sim->t_us;
	for (size_t i = 0; i < o->n; i++) {
		struct obs_cloud *c = &o->v[i];
		if (c->intent >= size)
			c->asked = c->granted = false; /* it expires, and nobody knows of it */
		if (c->outcome != NEVER && c->outcome >= size) {
			c->granted = false;
			c->exp = c->intent_exp;
			c->skew_s = c->intent_skew_s;
		}
	}
	sim_saw_clouds_restart(size);
}

void
sim_saw_clouds_restart(uint64_t size)
{
	struct obs_clouds *o = sim->clouds;
	size_t kept = 0;
	for (size_t i = 0; o != NULL && i < o->n; i++) {
		struct obs_cloud *c = &o->v[i];
		if (c->outcome != NEVER && c->outcome >= size) {
			if (c->granted)
				sim_violated(1,
				    "cloud token %s was handed out, and after a crash the log knows nothing "
				    "of it",
				    c->cred);
			c->outcome = NEVER;
			c->issued = false;
			c->over_us = 0;
		}
		if (c->completed != NEVER && c->completed >= size)
			c->completed = NEVER;
		if (c->intent >= size) {
			if (c->asked)
				sim_violated(1,
				    "%s was asked for, and after a crash the log knows nothing of it",
				    c->cred);
			mf_buf_fini(&c->intent_record);
			mf_buf_fini(&c->outcome_record);
			continue;
		}
		if (kept != i)
			o->v[kept] = *c;
		kept++;
	}
	if (o != NULL)
		o->n = kept;
}
