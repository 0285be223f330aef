/*
 * mayfly/workload.h: a watch. One stream of the agent, opened again after a pause when it ends; the latest good
 * snapshot in a slot. An epoll descriptor holds the connection and a timer, so that the owner's loop sees one
 * descriptor that never changes.
 */
#include <errno.h>
#include <mayfly/workload.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/fetch.h"
#include "client/link.h"
#include "client/methods.h"
#include "client/status.h"
#include "client/take.h"

#define NEVER UINT64_MAX
#define PER_DISPATCH 8u		/* messages taken in one call: the owner's loop has other work */
#define LONGEST_SLEEP_MS 60000u /* then the wall clock is looked at again: it may have been set */

struct mayfly_watch {
	int pid, ep, timer;
	mayfly_watch_kind kind;
	struct mf_endpoint endpoint;
	mayfly_on_denied on_denied;
	struct mf_backoff pause;
	struct mf_slot *slot;
	struct mf_link *link;	  /* NULL: between two attempts */
	uint32_t link_events;	  /* that epoll waits for; 0: not registered */
	uint64_t next_attempt_ms; /* while there is no link */
	bool stopped;
	int64_t expiry_s; /* of the first identity of the snapshot; INT64_MAX: none */
};

static int64_t
wall_s(void)
{
	return mf_now().wall_us / 1000000;
}

static enum mf_status
start(mayfly_watch *w, struct mf_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = -1 };
	w->ep = epoll_create1(EPOLL_CLOEXEC);
	w->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (w->ep < 0 || w->timer < 0 || epoll_ctl(w->ep, EPOLL_CTL_ADD, w->timer, &ev) != 0)
		return MF_FAIL(err, MF_E_IO, "watch: no descriptors left?");
	return mf_slot_new(&w->slot, err);
}

/* At ${at_ms} of the monotonic clock, or at once when that is past. */
static void
arm(mayfly_watch *w, uint64_t at_ms)
{
	uint64_t now = mf_now().mono_ms, wait = at_ms <= now ? 0 : at_ms - now;
	if (wait > LONGEST_SLEEP_MS)
		wait = LONGEST_SLEEP_MS;
	struct itimerspec t = { .it_value = { (time_t)(wait / 1000), (long)(wait % 1000) * 1000000 } };
	if (wait == 0)
		t.it_value.tv_nsec = 1;
	(void)timerfd_settime(w->timer, 0, &t, NULL);
}

mayfly_status
mayfly_watch_new(
    const mayfly_client *client, mayfly_watch_kind kind, mayfly_watch **ret_watch, mayfly_error *err)
{
	struct mf_err e = { 0 };
	if (kind != MAYFLY_WATCH_X509 && kind != MAYFLY_WATCH_BUNDLES && kind != MAYFLY_WATCH_JWT_BUNDLES)
		return mf_pub(MF_FAIL(&e, MF_E_INVALID, "watch: no such kind"), &e, err);
	mayfly_watch *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return mf_pub(MF_FAIL(&e, MF_E_NOMEM, "watch: out of memory"), &e, err);
	w->pid = (int)getpid();
	w->ep = w->timer = -1;
	w->kind = kind;
	w->endpoint = client->endpoint;
	w->on_denied = client->on_denied;
	w->pause = (struct mf_backoff) { client->first_ms, client->most_ms, 0, mf_rand_system() };
	w->expiry_s = INT64_MAX;
	enum mf_status s = start(w, &e);
	if (s != MF_OK) {
		mayfly_watch_free(w);
		return mf_pub(s, &e, err);
	}
	arm(w, 0);
	*ret_watch = w;
	return MAYFLY_OK;
}

void
mayfly_watch_free(mayfly_watch *watch)
{
	if (watch == NULL)
		return;
	if (watch->slot != NULL)
		mf_slot_set(watch->slot,
		    (struct mf_snapshot) { 0 }); /* TLS contexts that still have it find nothing */
	mf_slot_unref(watch->slot);
	mf_link_free(watch->link);
	if (watch->ep >= 0)
		(void)close(watch->ep);
	if (watch->timer >= 0)
		(void)close(watch->timer);
	free(watch);
}

int
mayfly_watch_fd(const mayfly_watch *watch)
{
	return watch->ep;
}

struct mf_slot *
mf_watch_slot(mayfly_watch *w)
{
	return w->slot;
}

mayfly_watch_kind
mf_watch_kind_of(const mayfly_watch *w)
{
	return w->kind;
}

mayfly_x509 *
mayfly_watch_x509(mayfly_watch *watch)
{
	return mf_slot_x509(watch->slot, wall_s());
}

mayfly_bundles *
mayfly_watch_bundles(mayfly_watch *watch)
{
	return mf_slot_bundles(watch->slot);
}

mayfly_jwt_bundles *
mayfly_watch_jwt_bundles(mayfly_watch *watch)
{
	return mf_slot_jwt_bundles(watch->slot);
}

/* --- the connection --- */

static void
hang_up(mayfly_watch *w)
{
	/* Closing alone does not take it out of the set while a forked child has it open, too. */
	if (w->link_events != 0)
		(void)epoll_ctl(w->ep, EPOLL_CTL_DEL, mf_link_fd(w->link), NULL);
	mf_link_free(MF_TAKE(w->link));
	w->link_events = 0;
	w->next_attempt_ms = mf_now().mono_ms + mf_backoff_next(&w->pause);
}

static enum mf_status
await_link(mayfly_watch *w, struct mf_err *err)
{
	uint32_t want = EPOLLIN | (mf_link_wants_write(w->link) ? (uint32_t)EPOLLOUT : 0u);
	struct epoll_event ev = { .events = want, .data.fd = 0 };
	if (want == w->link_events)
		return MF_OK;
	if (epoll_ctl(w->ep, w->link_events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, mf_link_fd(w->link), &ev) !=
	    0)
		return MF_FAIL(err, MF_E_IO, "watch: epoll refuses the connection");
	w->link_events = want;
	return MF_OK;
}

static enum mf_status
connect_now(mayfly_watch *w, struct mf_err *err)
{
	switch (w->kind) {
	case MAYFLY_WATCH_X509:
		return mf_link_open(&w->endpoint, &mf_wl_fetch_x509, mf_wl_x509_request, &w->link, err);
	case MAYFLY_WATCH_BUNDLES:
		return mf_link_open(&w->endpoint, &mf_wl_fetch_bundles, mf_wl_bundles_request, &w->link, err);
	case MAYFLY_WATCH_JWT_BUNDLES:
		break;
	}
	return mf_link_open(&w->endpoint, &mf_wl_fetch_jwt_bundles, mf_wl_jwt_bundles_request, &w->link, err);
}

/* --- what came --- */

static void
publish(mayfly_watch *w, struct mf_snapshot now)
{
	w->expiry_s = mf_x509_first_expiry(now.x509);
	mf_slot_set(w->slot, now);
}

static void
publish_x509(mayfly_watch *w, mayfly_x509 *x)
{
	publish(w, (struct mf_snapshot) { .x509 = x, .bundles = mayfly_bundles_ref(x->bundles) });
}

/* WAPI-6: the message is the whole state. */
static enum mf_status
take(mayfly_watch *w, const ProtobufCMessage *msg, struct mf_err *err)
{
	if (w->kind != MAYFLY_WATCH_X509) {
		struct mf_snapshot now = { 0 };
		MF_TRY(w->kind == MAYFLY_WATCH_BUNDLES ? mf_take_bundles(msg, &now.bundles, err)
						       : mf_take_jwt_bundles(msg, &now.jwt_bundles, err));
		publish(w, now);
		return MF_OK;
	}
	MF_AUTO(mf_x509_drop) mayfly_x509 *all = NULL;
	mayfly_x509 *x = NULL;
	MF_TRY(mf_take_x509(msg, &all, err));
	enum mf_status s = mf_x509_prune(all, wall_s(), &x, err);
	if (s == MF_E_NOTFOUND)
		return MF_FAIL(
		    err, MF_E_INVALID, "agent: every identity it gave has expired (is its clock right?)");
	MF_TRY(s);
	publish_x509(w, x);
	return MF_OK;
}

/* What the end of a stream means for the snapshot. */
static unsigned
ended(mayfly_watch *w, enum mf_status s, enum mf_grpc_code code)
{
	unsigned changes = MAYFLY_TROUBLE;
	bool final = !mf_worth_retrying(s, code);
	bool denied = code == MF_GRPC_PERMISSION_DENIED || code == MF_GRPC_UNAUTHENTICATED;
	/* WAPI-14. UNAVAILABLE and a lost connection change nothing: entitlement is merely unknown (P-2). */
	if (((denied && w->on_denied == MAYFLY_DROP) || final) && !mf_slot_is_empty(w->slot)) {
		publish(w, (struct mf_snapshot) { 0 });
		changes |= MAYFLY_DROPPED;
	}
	if (final) {
		w->stopped = true;
		changes |= MAYFLY_STOPPED;
	}
	return changes;
}

/* One message or the end of the link. MF_E_AGAIN: nothing more now. */
static enum mf_status
step(mayfly_watch *w, unsigned *changes, mayfly_error *err)
{
	struct mf_err e = { 0 };
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	enum mf_status s = mf_link_step(w->link, &msg, &e);
	if (s == MF_E_AGAIN)
		return s;
	if (s == MF_OK) {
		s = take(w, msg, &e);
		if (s == MF_OK) {
			mf_backoff_reset(&w->pause);
			*changes |= MAYFLY_UPDATED;
			*changes &= ~MAYFLY_DROPPED;
			return MF_OK;
		}
		/* WAPI-8: discarded and reported; the state stays. Asking anew may bring a better answer. */
		(void)mf_pub(s, &e, err);
		*changes |= MAYFLY_TROUBLE;
		hang_up(w);
		return MF_E_AGAIN;
	}
	enum mf_grpc_code code = mf_link_code(w->link);
	(void)mf_pub_answer(s, code, &e, err);
	*changes |= ended(w, s, code);
	hang_up(w);
	return MF_E_AGAIN;
}

static void
try_connect(mayfly_watch *w, unsigned *changes, mayfly_error *err)
{
	struct mf_err e = { 0 };
	enum mf_status s = connect_now(w, &e);
	if (s == MF_OK)
		return;
	(void)mf_pub(s, &e, err);
	*changes |= MAYFLY_TROUBLE;
	hang_up(w);
}

/* Identities that expired without an agent that renews them. */
static enum mf_status
expire(mayfly_watch *w, unsigned *changes, mayfly_error *err)
{
	struct mf_err e = { 0 };
	mayfly_x509 *left = NULL;
	if (wall_s() <= w->expiry_s)
		return MF_OK;
	/* not mayfly_watch_x509, which shows nothing of what has expired */
	MF_AUTO(mf_x509_drop) mayfly_x509 *x = mf_slot_x509(w->slot, INT64_MIN);
	enum mf_status s = mf_x509_prune(x, wall_s(), &left, &e);
	if (s == MF_OK) {
		publish_x509(w, left);
		*changes |= MAYFLY_UPDATED;
	} else if (s == MF_E_NOTFOUND) {
		publish(w, (struct mf_snapshot) { 0 });
		*changes |= MAYFLY_DROPPED;
		(void)mf_pub(
		    MF_FAIL(&e, MF_E_UNAVAILABLE, "the identity has expired, and no agent renewed it"), &e,
		    err);
	} else {
		(void)mf_pub(s, &e, err);
		return s;
	}
	return MF_OK;
}

static void
plan(mayfly_watch *w)
{
	struct mf_now now = mf_now();
	uint64_t at = NEVER;
	if (w->link != NULL)
		at = mf_link_wakeup(w->link);
	else if (!w->stopped)
		at = w->next_attempt_ms;
	if (w->expiry_s != INT64_MAX) {
		int64_t left_s = w->expiry_s + 1 - now.wall_us / 1000000;
		uint64_t then = now.mono_ms + (left_s <= 0 ? 0 : (uint64_t)left_s * 1000);
		at = then < at ? then : at;
	}
	if (at != NEVER)
		arm(w, at);
}

mayfly_status
mayfly_watch_dispatch(mayfly_watch *watch, unsigned *ret_changes, mayfly_error *err)
{
	mayfly_watch *w = watch;
	struct mf_err e = { 0 };
	uint64_t ticks;
	unsigned changes = 0;
	enum mf_status s = mf_same_process(w->pid, &e);
	if (s != MF_OK)
		return mf_pub(s, &e, err);
	(void)!read(w->timer, &ticks, sizeof(ticks)); /* quiet until armed again */
	if (w->link == NULL && !w->stopped && mf_now().mono_ms >= w->next_attempt_ms)
		try_connect(w, &changes, err);
	for (unsigned i = 0; w->link != NULL && i < PER_DISPATCH; i++)
		if (step(w, &changes, err) == MF_E_AGAIN)
			break;
	s = expire(w, &changes, err);
	if (s == MF_OK && w->link != NULL && (s = await_link(w, &e)) != MF_OK)
		hang_up(w);
	plan(w);
	*ret_changes = changes;
	return changes == 0 ? mf_pub(s, &e, err) : MAYFLY_OK;
}

mayfly_status
mayfly_watch_wait(mayfly_watch *watch, int timeout_ms, unsigned *ret_changes, mayfly_error *err)
{
	uint64_t now = mf_now().mono_ms, until = timeout_ms < 0 ? NEVER : now + (uint64_t)timeout_ms;
	struct mf_err e = { 0 };
	for (;;) {
		unsigned changes = 0;
		mayfly_status s = mayfly_watch_dispatch(watch, &changes, err);
		if (s != MAYFLY_OK)
			return s;
		if (changes != 0) {
			*ret_changes = changes;
			return MAYFLY_OK;
		}
		now = mf_now().mono_ms;
		if (now >= until)
			return mf_pub(MF_FAIL(&e, MF_E_DEADLINE, "nothing changed"), &e, err);
		uint64_t wait = until - now;
		struct pollfd p = { .fd = watch->ep, .events = POLLIN };
		if (poll(&p, 1, until == NEVER ? -1 : wait > 60000 ? 60000 : (int)wait) < 0 && errno != EINTR)
			return mf_pub(MF_FAIL(&e, MF_E_IO, "watch: poll fails"), &e, err);
	}
}
