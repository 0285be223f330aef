/*
 * job_share: how the connections that one user may have are shared between that user's jobs. See job_conn.h.
 *
 * Attested connections may take all places but a few; those few are the lobby, where newcomers wait for the attestor. In the
 * lobby the process that has most connections makes room, else the oldest: a newcomer always gets in, and is not pushed out by
 * the haste of another. When it is attested and the places are full, the job that has
 * most of them gives one up: an idle one, else its newest; if that job is the newcomer's own, the newcomer goes.
 *
 * A connection with a call that was answered and is not about an identity stays: it is a runner's, whose loss would end
 * its job.
 */
#include <stdlib.h>

#include "agent/front/job_conn_internal.h"
#include "os/jlog.h"

#define LOBBY_PART 16u /* of a user's places */
#define TELL_MS 60000u

/* Who makes room for a newcomer: the smallest goes first, and of these the oldest. */
enum { LEAVING, IDLE_UNKNOWN, IDLE_KNOWN, ASKING, STAYS };

static uid_t
uid_of(const struct mf_job_conn *c)
{
	return mf_net_conn_peer(c->net).uid;
}

static bool
stays(const struct mf_job_conn *c)
{
	MF_LIST_EACH(n, &c->calls)
	{
		const struct mf_job_call *j = MF_LIST_ITEM(n, struct mf_job_call, on_conn);
		if (!j->identity && !j->held)
			return true;
	}
	return false;
}

static int
rank(const struct mf_job_conn *c)
{
	bool idle = mf_list_empty(&c->calls);
	if (c->leaving)
		return LEAVING;
	if (stays(c))
		return STAYS;
	if (c->state == KNOWN)
		return idle ? IDLE_KNOWN : STAYS;
	return idle ? IDLE_UNKNOWN : ASKING;
}

static int
by_value(const void *x, const void *y)
{
	uintptr_t a = *(const uintptr_t *)x, b = *(const uintptr_t *)y;
	return a < b ? -1 : a > b;
}

/*
 * The value that comes most often among ${n}, how often, and how much oftener than any other; of two alike ${own}, if it is
 * one of them. Sorts them.
 */
static uintptr_t
most_often(uintptr_t *of, size_t n, uintptr_t own, size_t *ret_times, size_t *ret_ahead)
{
	uintptr_t best = 0;
	size_t second = 0;
	*ret_times = 0;
	qsort(of, n, sizeof(*of), by_value);
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i; k < n && of[k] == of[i]; k++)
			continue;
		if (k - i > *ret_times || (k - i == *ret_times && of[i] == own)) {
			second = *ret_times;
			*ret_times = k - i;
			best = of[i];
		} else if (k - i > second) {
			second = k - i;
		}
	}
	*ret_ahead = *ret_times - second;
	return best;
}

static bool
waits(const struct mf_job_conn *c, uid_t uid)
{
	int r = rank(c);
	return uid_of(c) == uid && (r == IDLE_UNKNOWN || r == ASKING);
}

/*
 * The process (by the kernel's word at the connect) with most connections in the lobby, if that are several; else 0. Who is far
 * ahead stays it for a while: with each question it loses one connection and another gets one, so it is counted anew only
 * when it may have been caught up with, or when a connection left, or waits no more, for another reason.
 */
static pid_t
hastiest(struct mf_job_conns *a, uid_t uid)
{
	struct mf_job_conn *c, *next;
	size_t n = 0, times = 0, ahead = 0;
	if (a->hasty.good_for > 0 && a->hasty.uid == uid) {
		a->hasty.good_for--;
		return a->hasty.pid;
	}
	uintptr_t *of = calloc(HASH_COUNT(a->by_id), sizeof(*of));
	if (of == NULL)
		return 0;
	HASH_ITER(hh, a->by_id, c, next)
	{
		if (waits(c, uid))
			of[n++] = (uintptr_t)mf_net_conn_peer(c->net).pid;
	}
	pid_t pid = (pid_t)most_often(of, n, 0, &times, &ahead);
	free(of);
	a->hasty = (struct mf_job_hasty) { uid, pid, times > 1 && ahead > 2 ? (ahead - 1) / 2 : 0 };
	return times > 1 ? pid : 0;
}

/* Which of ${uid}'s goes for a newcomer: of ${pid} those that wait, unless it is 0. */
static struct mf_job_conn *
who_goes(struct mf_job_conns *a, uid_t uid, pid_t pid)
{
	struct mf_job_conn *c, *next, *first = NULL;
	int lowest = STAYS;
	HASH_ITER(hh, a->by_id, c, next) /* oldest first */
	{
		int r = rank(c);
		bool one = pid == 0 || (waits(c, uid) && mf_net_conn_peer(c->net).pid == pid);
		if (uid_of(c) != uid || r >= lowest || (r != LEAVING && !one))
			continue;
		first = c;
		lowest = r;
		if (r == LEAVING || (r == IDLE_UNKNOWN && a->n_leaving == 0))
			break; /* nothing goes before it */
	}
	return first;
}

struct mf_net_conn *
mf_job_share_room(void *ctx, const struct mf_net_conn *newcomer)
{
	struct mf_job_conns *a = ctx;
	uid_t uid = mf_net_conn_peer(newcomer).uid;
	struct mf_job_conn *first = who_goes(a, uid, hastiest(a, uid));
	a->goes = first;
	return first == NULL ? NULL : first->net;
}

void
mf_job_share_left(struct mf_job_conn *c)
{
	if (c->all->goes != c)
		c->all->hasty.good_for = 0; /* nobody asked: those that wait are others now */
	c->all->goes = NULL;
}

static size_t
places(const struct mf_job_conns *a)
{
	size_t n = a->cfg.per_uid, lobby = n < LOBBY_PART ? 1 : n / LOBBY_PART;
	return n <= 1 ? 1 : n - lobby;
}

static bool
attested(const struct mf_job_conn *c, uid_t uid)
{
	return c->state == KNOWN && !c->leaving && uid_of(c) == uid;
}

/* As many attested connections of its user as ${n}, or more? */
static bool
as_many_as(const struct mf_job_conn *c, size_t n)
{
	struct mf_job_conns *a = c->all;
	struct mf_job_conn *o, *next;
	uid_t uid = uid_of(c);
	size_t seen = 0;
	if (HASH_COUNT(a->by_id) < n)
		return false; /* nearly always */
	HASH_ITER(hh, a->by_id, o, next)
	{
		seen += attested(o, uid);
	}
	return seen >= n;
}

bool
mf_job_share_full(const struct mf_job_conn *c)
{
	return as_many_as(c, places(c->all));
}

/* The instance with most connections that can give way: that of ${c} if none has more. 0: there is no such connection. */
static uintptr_t
biggest(const struct mf_job_conn *c)
{
	struct mf_job_conns *a = c->all;
	struct mf_job_conn *o, *next;
	uintptr_t own = (uintptr_t)c->watch.entry;
	size_t n = 0, times = 0, ahead = 0;
	uintptr_t *of = calloc(HASH_COUNT(a->by_id), sizeof(*of));
	if (of == NULL)
		return own;
	HASH_ITER(hh, a->by_id, o, next)
	{
		if (attested(o, uid_of(c)) && !stays(o))
			of[n++] = (uintptr_t)o->watch.entry;
	}
	uintptr_t best = most_often(of, n, own, &times, &ahead);
	free(of);
	return best;
}

static struct mf_job_conn *
who_gives_way(struct mf_job_conn *c)
{
	struct mf_job_conn *o, *next, *newest = NULL;
	uintptr_t e = biggest(c);
	HASH_ITER(hh, c->all->by_id, o, next)
	{
		if (!attested(o, uid_of(c)) || (uintptr_t)o->watch.entry != e || stays(o))
			continue;
		if (mf_list_empty(&o->calls))
			return o;
		newest = o;
	}
	return (uintptr_t)c->watch.entry == e && !stays(c) ? c : newest;
}

static void
tell(const struct mf_job_conn *c)
{
	struct mf_job_conns *a = c->all;
	uint64_t now = mf_loop_now(a->cfg.loop).mono_ms;
	if (a->crowd_told_ms != 0 && now - a->crowd_told_ms < TELL_MS)
		return;
	a->crowd_told_ms = now;
	MF_LOG(MF_LOG_WARN, "job.crowd",
	    "a user's connections are used up; the job that has most gives them up", mf_ju("uid", uid_of(c)),
	    mf_js("instance", c->caller.instance_key), mf_ju("connections", places(a)));
}

bool
mf_job_share_keep(struct mf_job_conn *c)
{
	if (!as_many_as(c, places(c->all) + 1))
		return true;
	struct mf_job_conn *who = who_gives_way(c);
	if (who == NULL)
		return true;
	tell(who);
	mf_job_conn_give_way(who,
	    "the connections of this user are used up, most of them by this job: close some, or call on one");
	return who != c;
}
