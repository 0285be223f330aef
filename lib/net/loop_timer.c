/*
 * Timers of a loop: one timerfd and a binary heap. Not libevent's own, because arming those may need
 * memory, and a deadline that cannot be set is no deadline; and because theirs stand still while the
 * machine sleeps.
 */
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "net/loop_internal.h"

#define IDLE SIZE_MAX

struct mf_loop_timer {
	struct mf_loop *l;
	uint64_t due;
	size_t at; /* in the heap; IDLE: not armed */
	void (*fn)(void *ctx);
	void *ctx;
};

static void
put(struct mf_loop *l, size_t at, struct mf_loop_timer *t)
{
	l->heap[at] = t;
	t->at = at;
}

static void
up(struct mf_loop *l, size_t at)
{
	struct mf_loop_timer *t = l->heap[at];
	for (; at > 0 && l->heap[(at - 1) / 2]->due > t->due; at = (at - 1) / 2)
		put(l, at, l->heap[(at - 1) / 2]);
	put(l, at, t);
}

static void
down(struct mf_loop *l, size_t at)
{
	struct mf_loop_timer *t = l->heap[at];
	for (;;) {
		size_t kid = 2 * at + 1;
		if (kid >= l->armed)
			break;
		if (kid + 1 < l->armed && l->heap[kid + 1]->due < l->heap[kid]->due)
			kid++;
		if (l->heap[kid]->due >= t->due)
			break;
		put(l, at, l->heap[kid]);
		at = kid;
	}
	put(l, at, t);
}

/* Wake up for the earliest. An earlier setting that is now too early costs one empty turn, once. */
static void
set_clock(struct mf_loop *l)
{
	if (l->armed == 0 || (l->set_for != 0 && l->set_for <= l->heap[0]->due))
		return;
	uint64_t due = l->heap[0]->due;
	due = due == 0 ? 1 : due;
	const struct itimerspec at = { .it_value = { .tv_sec = (time_t)(due / 1000),
					   .tv_nsec = (long)(due % 1000) * 1000000 } };
	if (timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) != 0)
		abort(); /* without its deadlines the process is not safe */
	l->set_for = due;
}

static void
take_out(struct mf_loop *l, struct mf_loop_timer *t)
{
	size_t at = t->at;
	if (at == IDLE)
		return;
	t->at = IDLE;
	struct mf_loop_timer *last = l->heap[--l->armed];
	if (last == t)
		return;
	put(l, at, last);
	up(l, at);
	down(l, last->at);
}

static void
on_clock(void *ctx, unsigned ready)
{
	struct mf_loop *l = ctx;
	uint64_t ticks;
	MF_UNUSED(ready);
	if (read(l->timer_fd, &ticks, sizeof(ticks)) != (ssize_t)sizeof(ticks))
		return;
	l->set_for = 0;
	/* Those due now; what a callback arms for now comes in the next turn, so that I/O gets its share. */
	uint64_t now = mf_now().mono_ms;
	size_t most = l->armed;
	for (size_t i = 0; i < most && l->armed > 0 && l->heap[0]->due <= now; i++) {
		struct mf_loop_timer *t = l->heap[0];
		take_out(l, t);
		t->fn(t->ctx);
	}
	set_clock(l);
}

enum mf_status
mf_loop_timers_init(struct mf_loop *l, struct mf_err *err)
{
	l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->timer_fd < 0)
		return MF_FAIL(err, MF_E_IO, "event loop: no timerfd (too many open files?)");
	return mf_loop_fd_new(l, l->timer_fd, MF_LOOP_READ, on_clock, l, &l->timer_io, err);
}

void
mf_loop_timers_fini(struct mf_loop *l)
{
	mf_loop_fd_free(l->timer_io);
	if (l->timer_fd >= 0)
		(void)close(l->timer_fd);
	free(l->heap);
}

enum mf_status
mf_loop_timer_new(
    struct mf_loop *l, void (*fn)(void *ctx), void *ctx, struct mf_loop_timer **ret_h, struct mf_err *err)
{
	if (l->made == l->room) {
		size_t room = l->room == 0 ? 16 : l->room * 2;
		struct mf_loop_timer **heap = realloc(l->heap, room * sizeof(struct mf_loop_timer *));
		if (heap == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "timer: out of memory");
		l->heap = heap;
		l->room = room;
	}
	struct mf_loop_timer *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "timer: out of memory");
	*t = (struct mf_loop_timer) { .l = l, .at = IDLE, .fn = fn, .ctx = ctx };
	l->made++;
	*ret_h = t;
	return MF_OK;
}

void
mf_loop_timer_set(struct mf_loop_timer *t, uint64_t after_ms)
{
	const uint64_t year = UINT64_C(366) * 86400000;
	struct mf_loop *l = t->l;
	t->due = mf_now().mono_ms + (after_ms < year ? after_ms : year);
	if (t->at == IDLE)
		put(l, l->armed++, t);
	up(l, t->at);
	down(l, t->at);
	set_clock(l);
}

void
mf_loop_timer_clear(struct mf_loop_timer *t)
{
	take_out(t->l, t);
}

bool
mf_loop_timer_pending(const struct mf_loop_timer *t)
{
	return t->at != IDLE;
}

void
mf_loop_timer_free(struct mf_loop_timer *t)
{
	if (t == NULL)
		return;
	take_out(t->l, t);
	t->l->made--;
	free(t);
}
