#include "broker/core/revocations.h"

#include <stdio.h>
#include <stdlib.h>

#define L1 (1u << 1)
#define L2 (1u << 2)

/* Ends that somebody ordered: they deny, whatever the grant's on_end says. */
static const char *const ordered[] = { "operator", "node_evicted", "owner" };

void
mf_deny_lease_value(const char *lease_id, uint32_t epoch, char to[MF_DENY_VALUE])
{
	(void)snprintf(to, MF_DENY_VALUE, "%s/%u", lease_id, epoch);
}

static bool
is_ordered(const char *cause)
{
	for (size_t i = 0; cause != NULL && i < MF_COUNT(ordered); i++)
		if (strcmp(cause, ordered[i]) == 0)
			return true;
	return false;
}

/* NULL: forgotten, so it was over long ago. */
static const struct mf_job *
job_of(const struct mf_state *st, const struct mf_cloud_cred *c)
{
	return c->lease != NULL ? c->lease->job : mf_state_job(st, mf_slice_str(c->job_id));
}

static bool
job_is_over(const struct mf_state *st, const struct mf_cloud_cred *c)
{
	const struct mf_job *j = job_of(st, c);
	return j == NULL || j->ended;
}

/* The lease that it was given to, in that epoch. */
static bool
lease_is_over(const struct mf_cloud_cred *c)
{
	return c->lease == NULL || !mf_lease_may_renew(c->lease->state) || c->lease->epoch != c->epoch;
}

static bool
was_asked(const struct mf_state *st, const struct mf_cloud_cred *c)
{
	const struct mf_job *j = job_of(st, c);
	if (c->asked || (!job_is_over(st, c) && !lease_is_over(c)))
		return true; /* itself was revoked, or nobody got it */
	return (j != NULL && is_ordered(j->cause)) || (c->lease != NULL && is_ordered(c->lease->cause));
}

void
mf_deny_of(const struct mf_state *st, const struct mf_cloud_cred *c, struct mf_deny *ret_d)
{
	*ret_d = (struct mf_deny) { .until = c->effective,
		.asked = was_asked(st, c),
		.stands = c->state == MF_CLOUD_COMPLETED && c->level >= 2 };
	if (job_is_over(st, c)) {
		ret_d->tag = "mayfly-job";
		(void)snprintf(ret_d->value, sizeof(ret_d->value), "%s", c->job_id);
	} else if (lease_is_over(c)) {
		ret_d->tag = "mayfly-lease";
		mf_deny_lease_value(c->lease_id, c->epoch, ret_d->value);
	} else {
		ret_d->tag = "mayfly-cred";
		(void)snprintf(ret_d->value, sizeof(ret_d->value), "%s", c->id);
	}
}

/* Over, or an intent that may have become a token after its lease was over. */
static bool
is_taken(const struct mf_cloud_cred *c)
{
	return c->state == MF_CLOUD_ENDED || c->state == MF_CLOUD_COMPLETED ||
	       (c->state == MF_CLOUD_INTENT && c->ended_us != 0);
}

/* Not left to expire: by its grant, by a person, or because nobody should ever have had it. */
static bool
is_wanted(const struct mf_state *st, const struct mf_cloud_cred *c)
{
	return c->deny_on_end || c->orphan || was_asked(st, c);
}

static bool
is_denied(const struct mf_state *st, const struct mf_cloud_cred *c, unsigned levels)
{
	return (levels & L2) != 0 && is_wanted(st, c);
}

enum mf_take_back
mf_take_back(const struct mf_state *st, const struct mf_cloud_cred *c, unsigned levels, int64_t now_s)
{
	if (c->state != MF_CLOUD_ENDED)
		return MF_TAKE_NOTHING;
	if (c->effective <= now_s)
		return MF_TAKE_WAIT;
	if ((levels & L1) != 0 && is_wanted(st, c))
		return MF_TAKE_SINGLE;
	return is_denied(st, c, levels) ? MF_TAKE_DENY : MF_TAKE_WAIT;
}

static int
by_weight(const void *a, const void *b)
{
	const struct mf_deny *x = a, *y = b;
	if (x->asked != y->asked)
		return x->asked ? -1 : 1;
	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	if (x->stands != y->stands)
		return x->stands ? -1 : 1;
	if (x->until != y->until)
		return x->until > y->until ? -1 : 1;
	int t = strcmp(x->tag, y->tag);
	return t != 0 ? t : strcmp(x->value, y->value);
}

static int
by_name(const void *a, const void *b)
{
	const struct mf_deny *x = a, *y = b;
	int t = strcmp(x->tag, y->tag);
	return t != 0 ? t : strcmp(x->value, y->value);
}

/* Equal names become one, with the latest end. */
static size_t
join(struct mf_deny *v, size_t n)
{
	size_t out = 0;
	qsort(v, n, sizeof(*v), by_name);
	for (size_t i = 0; i < n; i++) {
		if (out == 0 || by_name(&v[out - 1], &v[i]) != 0) {
			v[out++] = v[i];
			continue;
		}
		if (v[i].until > v[out - 1].until)
			v[out - 1].until = v[i].until;
		v[out - 1].asked = v[out - 1].asked || v[i].asked;
		v[out - 1].stands = v[out - 1].stands || v[i].stands;
	}
	return out;
}

/* A minute that is nearly over does not keep an hour out; nor is anything pushed out for a little more. */
static unsigned
weight_of(int64_t left)
{
	unsigned bits = 0;
	for (; left > 0; left /= 2)
		bits++;
	return bits;
}

int64_t
mf_denies_before(const struct mf_state *st, const char *target, const char *role, int64_t now_s)
{
	const struct mf_sessions *s = mf_state_sessions_of(st, target, role);
	return s == NULL || s->until <= now_s ? 0 : s->before;
}

bool
mf_sessions_to_tell(const struct mf_sessions *s, int64_t now_s)
{
	return s != NULL && (s->confirmed_index == 0 || s->until <= now_s);
}

size_t
mf_denies(const struct mf_state *st, const char *target, const char *role, unsigned levels, int64_t now_s,
    struct mf_deny *ret_v, size_t cap)
{
	size_t n = 0, size = 0;
	struct mf_deny *all = NULL;
	const struct mf_sessions *s = mf_state_sessions_of(st, target, role);
	MF_LIST_EACH(p, mf_state_clouds(st))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (!is_taken(c) || c->effective + MF_CLOUD_CLOCK_S <= now_s || !is_denied(st, c, levels) ||
		    strcmp(c->target, target) != 0 || strcmp(c->role, role) != 0 ||
		    (s != NULL && mf_sessions_meet(s->before, c)))
			continue;
		if (n == size) {
			struct mf_deny *more = realloc(all, (size = size * 2 + 16) * sizeof(*all));
			if (more == NULL)
				break; /* what is missing is not completed, and is asked for again */
			all = more;
		}
		mf_deny_of(st, c, &all[n++]);
	}
	n = n == 0 ? 0 : join(all, n);
	for (size_t i = 0; i < n; i++)
		all[i].weight = weight_of(all[i].until - now_s);
	if (n > 0)
		qsort(all, n, sizeof(*all), by_weight);
	if (n > 0)
		memcpy(ret_v, all, (n < cap ? n : cap) * sizeof(*all));
	free(all);
	return n;
}
