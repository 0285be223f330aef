#include "net/loop_internal.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct mf_loop_fd {
	struct mf_loop *l;
	struct event *ev; /* NULL while interest is 0 was never set: made with new */
	int fd;
	unsigned interest;
	void (*fn)(void *ctx, unsigned ready);
	void *ctx;
};

struct mf_loop_defer {
	struct event *ev;
	void (*fn)(void *ctx);
	void *ctx;
};

struct mf_loop_signal {
	struct mf_loop_fd *in;
	int fd;
	void (*fn)(void *ctx, int signo);
	void *ctx;
};

/* Libraries of ours do not print; what libevent warns of shows as failed calls. */
static void
quiet(int severity, const char *msg)
{
	MF_UNUSED(severity);
	MF_UNUSED(msg);
}

enum mf_status
mf_loop_new(struct mf_loop **ret_l, struct mf_err *err)
{
	struct mf_loop *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "event loop: out of memory");
	l->timer_fd = -1;
	event_set_log_callback(quiet);
	struct event_config *cfg = event_config_new();
	if (cfg != NULL) {
		/* One thread per loop; precise timers; nothing from the environment. */
		(void)event_config_set_flag(
		    cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_IGNORE_ENV);
		l->base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	if (l->base == NULL) {
		free(l);
		return MF_FAIL(err, MF_E_IO, "event loop: no epoll");
	}
	enum mf_status s = mf_loop_timers_init(l, err);
	if (s != MF_OK)
		mf_loop_free(l);
	else
		*ret_l = l;
	return s;
}

void
mf_loop_free(struct mf_loop *l)
{
	if (l == NULL)
		return;
	mf_loop_timers_fini(l);
	event_base_free(l->base);
	free(l);
}

struct event_base *
mf_loop_base(struct mf_loop *l)
{
	return l->base;
}

static enum mf_status
turn(struct mf_loop *l, int flags, struct mf_err *err)
{
	if (event_base_loop(l->base, flags) < 0)
		return MF_FAIL(err, MF_E_IO, "event loop: epoll failed");
	return MF_OK;
}

enum mf_status
mf_loop_run(struct mf_loop *l, struct mf_err *err)
{
	return turn(l, 0, err);
}

enum mf_status
mf_loop_turn(struct mf_loop *l, bool wait, struct mf_err *err)
{
	return turn(l, wait ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK, err);
}

void
mf_loop_stop(struct mf_loop *l)
{
	(void)event_base_loopexit(l->base, NULL);
}

struct mf_now
mf_loop_now(const struct mf_loop *l)
{
	MF_UNUSED(l);
	return mf_now();
}

/* --- descriptors --- */

static void
fd_ready(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_loop_fd *h = ctx;
	MF_UNUSED(fd);
	unsigned ready = ((what & EV_READ) != 0 ? (unsigned)MF_LOOP_READ : 0u) |
			 ((what & EV_WRITE) != 0 ? (unsigned)MF_LOOP_WRITE : 0u);
	h->fn(h->ctx, ready);
}

static short
events_of(unsigned interest)
{
	int e = EV_PERSIST;
	if ((interest & MF_LOOP_READ) != 0)
		e |= EV_READ;
	if ((interest & MF_LOOP_WRITE) != 0)
		e |= EV_WRITE;
	return (short)e;
}

enum mf_status
mf_loop_fd_new(struct mf_loop *l, int fd, unsigned interest, void (*fn)(void *ctx, unsigned ready), void *ctx,
    struct mf_loop_fd **ret_h, struct mf_err *err)
{
	MF_AUTO(mf_loop_fd_free) struct mf_loop_fd *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "event: out of memory");
	*h = (struct mf_loop_fd) { .l = l, .fd = fd, .fn = fn, .ctx = ctx };
	h->ev = event_new(l->base, fd, events_of(0), fd_ready, h);
	if (h->ev == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "event: out of memory");
	MF_TRY(mf_loop_fd_set(h, interest, err));
	*ret_h = MF_TAKE(h);
	return MF_OK;
}

enum mf_status
mf_loop_fd_set(struct mf_loop_fd *h, unsigned interest, struct mf_err *err)
{
	if (interest == h->interest)
		return MF_OK;
	if (h->interest != 0)
		(void)event_del(h->ev);
	h->interest = 0;
	if (interest == 0)
		return MF_OK;
	if (event_assign(h->ev, h->l->base, h->fd, events_of(interest), fd_ready, h) != 0 ||
	    event_add(h->ev, NULL) != 0)
		return MF_FAIL(err, MF_E_IO, "event: descriptor %d cannot be watched", h->fd);
	h->interest = interest;
	return MF_OK;
}

void
mf_loop_fd_free(struct mf_loop_fd *h)
{
	if (h == NULL)
		return;
	if (h->ev != NULL)
		event_free(h->ev); /* also takes it off the list of active ones */
	free(h);
}

/* --- deferred calls --- */

static void
defer_due(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_loop_defer *h = ctx;
	MF_UNUSED(fd);
	MF_UNUSED(what);
	h->fn(h->ctx);
}

enum mf_status
mf_loop_defer_new(
    struct mf_loop *l, void (*fn)(void *ctx), void *ctx, struct mf_loop_defer **ret_h, struct mf_err *err)
{
	struct mf_loop_defer *h = calloc(1, sizeof(*h));
	struct event *ev = h == NULL ? NULL : event_new(l->base, -1, 0, defer_due, h);
	if (ev == NULL) {
		free(h);
		return MF_FAIL(err, MF_E_NOMEM, "deferred call: out of memory");
	}
	*h = (struct mf_loop_defer) { .ev = ev, .fn = fn, .ctx = ctx };
	*ret_h = h;
	return MF_OK;
}

void
mf_loop_defer_set(struct mf_loop_defer *h)
{
	event_active(h->ev, EV_TIMEOUT, 1); /* once, however often */
}

void
mf_loop_defer_free(struct mf_loop_defer *h)
{
	if (h == NULL)
		return;
	event_free(h->ev);
	free(h);
}

/* --- signals --- */

static void
signal_ready(void *ctx, unsigned ready)
{
	struct mf_loop_signal *h = ctx;
	struct signalfd_siginfo si;
	MF_UNUSED(ready);
	if (read(h->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		h->fn(h->ctx, (int)si.ssi_signo);
}

enum mf_status
mf_loop_signal_new(struct mf_loop *l, int signo, void (*fn)(void *ctx, int signo), void *ctx,
    struct mf_loop_signal **ret_h, struct mf_err *err)
{
	MF_AUTO(mf_loop_signal_free) struct mf_loop_signal *h = calloc(1, sizeof(*h));
	sigset_t set;
	if (h == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "signal: out of memory");
	*h = (struct mf_loop_signal) { .fd = -1, .fn = fn, .ctx = ctx };
	if (sigemptyset(&set) != 0 || sigaddset(&set, signo) != 0 ||
	    pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return MF_FAIL(err, MF_E_INVALID, "signal %d cannot be blocked", signo);
	h->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (h->fd < 0)
		return MF_FAIL(err, MF_E_IO, "signalfd failed");
	MF_TRY(mf_loop_fd_new(l, h->fd, MF_LOOP_READ, signal_ready, h, &h->in, err));
	*ret_h = MF_TAKE(h);
	return MF_OK;
}

void
mf_loop_signal_free(struct mf_loop_signal *h)
{
	if (h == NULL)
		return;
	mf_loop_fd_free(h->in);
	if (h->fd >= 0)
		(void)close(h->fd);
	free(h);
}
