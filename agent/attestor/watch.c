#include "agent/attestor/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/attestor/pidfd.h"
#include "base/list.h"

#define RECHECK_MS 20u /* the kernel's throttle is 10 ms, measured to 17.6 */
#define SWEEP_MS 5000u
#define EVENTS_PER_TURN 64

/* A directory whose removals we hear of, shared by the cgroups in it. */
struct parent {
	struct mf_list link;	/* in set->parents */
	struct mf_list watches; /* mf_watch.sibling */
	int wd;
};

struct mf_watch {
	struct mf_list link;	/* in set->all, or set->dead */
	struct mf_list sibling; /* in parent->watches */
	struct mf_list young;	/* in set->young until its first second look */
	struct mf_watch_set *set;
	struct parent *parent; /* NULL for processes */
	char *name;	       /* last part of the cgroup's path; NULL: not known */
	int fd;		       /* cgroup.events, or a pidfd */
	bool process, armed, done, deleted;
	uint64_t handle;
	uint64_t due_ms; /* of the second look */
};

struct mf_watch_set {
	int epoll, inotify, timer;
	mf_watch_fn fn;
	void *ctx;
	struct mf_list all, young, dead, parents;
	size_t count;
	uint64_t sweep_ms;
	bool running, sweeping;
};

static uint64_t
mono_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void
rearm(struct mf_watch_set *set)
{
	uint64_t due = set->sweep_ms;
	if (!mf_list_empty(&set->young)) {
		const struct mf_watch *w = MF_LIST_ITEM(set->young.next, struct mf_watch, young);
		if (w->due_ms < due)
			due = w->due_ms;
	}
	struct itimerspec t = { .it_value = { .tv_sec = (time_t)(due / 1000),
				    .tv_nsec = (long)(due % 1000) * 1000000 } };
	if (due == 0)
		t.it_value.tv_nsec = 1;
	(void)timerfd_settime(set->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static bool
epoll_add(int epoll, int fd, uint32_t events, void *ptr)
{
	struct epoll_event e = { .events = events, .data = { .ptr = ptr } };
	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

enum mf_status
mf_watch_set_new(mf_watch_fn fn, void *ctx, struct mf_watch_set **ret_set, struct mf_err *err)
{
	MF_AUTO(mf_watch_set_free) struct mf_watch_set *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "watch: out of memory");
	mf_list_init(&s->all);
	mf_list_init(&s->young);
	mf_list_init(&s->dead);
	mf_list_init(&s->parents);
	s->fn = fn;
	s->ctx = ctx;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	s->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->epoll < 0 || s->inotify < 0 || s->timer < 0 ||
	    !epoll_add(s->epoll, s->inotify, EPOLLIN, &s->inotify) ||
	    !epoll_add(s->epoll, s->timer, EPOLLIN, &s->timer))
		return MF_FAIL(err, MF_E_IO, "watch: %s", strerror(errno));
	s->sweep_ms = mono_ms() + SWEEP_MS;
	rearm(s);
	*ret_set = MF_TAKE(s);
	return MF_OK;
}

static void
watch_free(struct mf_watch *w)
{
	mf_fd_close(&w->fd);
	free(w->name);
	free(w);
}

static void
bury(struct mf_watch_set *set)
{
	MF_LIST_EACH(i, &set->dead)
	{
		struct mf_watch *w = MF_LIST_ITEM(i, struct mf_watch, link);
		mf_list_del(&w->link);
		watch_free(w);
	}
}

void
mf_watch_set_free(struct mf_watch_set *set)
{
	if (set == NULL)
		return;
	set->running = false;
	while (!mf_list_empty(&set->all))
		mf_watch_del(MF_LIST_ITEM(set->all.next, struct mf_watch, link));
	bury(set);
	mf_fd_close(&set->epoll);
	mf_fd_close(&set->inotify);
	mf_fd_close(&set->timer);
	free(set);
}

int
mf_watch_set_fd(const struct mf_watch_set *set)
{
	return set->epoll;
}

size_t
mf_watch_count(const struct mf_watch_set *set)
{
	return set->count;
}

static struct mf_watch *
watch_new(struct mf_watch_set *set, uint64_t handle)
{
	struct mf_watch *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->set = set;
	w->fd = -1;
	w->handle = handle;
	mf_list_init(&w->sibling);
	mf_list_init(&w->young);
	mf_list_add_tail(&set->all, &w->link);
	set->count++;
	return w;
}

/* Leave epoll and the lists of those that are looked at: nothing more is reported. */
static void
silence(struct mf_watch *w)
{
	struct mf_watch_set *set = w->set;
	struct parent *p = w->parent;
	if (w->fd >= 0)
		(void)epoll_ctl(set->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	mf_list_del(&w->young);
	mf_list_del(&w->sibling);
	w->parent = NULL;
	w->done = true;
	if (p != NULL && mf_list_empty(&p->watches)) {
		(void)inotify_rm_watch(set->inotify, p->wd);
		mf_list_del(&p->link);
		free(p);
	}
}

void
mf_watch_del(struct mf_watch *w)
{
	if (w == NULL || w->deleted)
		return;
	struct mf_watch_set *set = w->set;
	silence(w);
	w->deleted = true;
	mf_list_del(&w->link);
	set->count--;
	/* The turn that is under way may still hold an event with this pointer. */
	mf_list_add_tail(&set->dead, &w->link);
	if (!set->running)
		bury(set);
}

static void
report(struct mf_watch *w, enum mf_watch_cause cause)
{
	if (cause != MF_WATCH_POPULATED)
		silence(w);
	w->set->fn(w->set->ctx, w->handle, cause);
}

/* Decide on the value that is there now, whatever made us look. */
static void
look(struct mf_watch *w)
{
	bool populated = false;
	if (w->done)
		return;
	if (w->process) {
		if (!mf_pidfd_alive(w->fd))
			report(w, MF_WATCH_EXITED);
		return;
	}
	enum mf_status s = mf_cgroup_events_read(w->fd, &populated, NULL);
	if (s == MF_E_NOTFOUND) {
		report(w, MF_WATCH_REMOVED);
	} else if (s == MF_OK && populated && w->armed) {
		w->armed = false;
		report(w, MF_WATCH_POPULATED);
	} else if (s == MF_OK && !populated && !w->armed) {
		report(w, MF_WATCH_EMPTY);
	}
}

static enum mf_status
join_parent(struct mf_watch *w, const struct mf_cgroup *c, struct mf_err *err)
{
	char link[64];
	MF_AUTO_IN(mf_fd_close) int up = openat(c->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (up < 0)
		return MF_FAIL(err, errno == ENOENT ? MF_E_NOTFOUND : MF_E_IO, "open cgroup's parent: %s",
		    strerror(errno));
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", up);
	int wd = inotify_add_watch(w->set->inotify, link, IN_DELETE | IN_ONLYDIR);
	if (wd < 0)
		return MF_FAIL(err, errno == ENOSPC ? MF_E_EXHAUSTED : MF_E_IO,
		    "inotify: %s (see fs.inotify.max_user_watches)", strerror(errno));
	MF_LIST_EACH(i, &w->set->parents)
	{
		struct parent *p = MF_LIST_ITEM(i, struct parent, link);
		if (p->wd == wd) {
			w->parent = p;
			break;
		}
	}
	if (w->parent == NULL) {
		struct parent *p = calloc(1, sizeof(*p));
		if (p == NULL) {
			(void)inotify_rm_watch(w->set->inotify, wd);
			return MF_FAIL(err, MF_E_NOMEM, "watch: out of memory");
		}
		p->wd = wd;
		mf_list_init(&p->watches);
		mf_list_add_tail(&w->set->parents, &p->link);
		w->parent = p;
	}
	mf_list_add_tail(&w->parent->watches, &w->sibling);
	return MF_OK;
}

static enum mf_status
start_cgroup(struct mf_watch *w, const struct mf_cgroup *c, bool *ret_populated, struct mf_err *err)
{
	MF_TRY(mf_cgroup_events_open(c, &w->fd, err));
	const char *slash = c->path == NULL ? NULL : strrchr(c->path, '/');
	if (slash != NULL) {
		w->name = mf_slice_dup_str(mf_slice_str(slash + 1));
		if (w->name == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "watch: out of memory");
	}
	MF_TRY(join_parent(w, c, err));
	if (!epoll_add(w->set->epoll, w->fd, EPOLLPRI, w))
		return MF_FAIL(err, errno == ENOSPC ? MF_E_EXHAUSTED : MF_E_IO, "watch: %s", strerror(errno));
	/* Only now read: what changes from here on is reported. */
	return mf_cgroup_events_read(w->fd, ret_populated, err);
}

enum mf_status
mf_watch_cgroup(struct mf_watch_set *set, const struct mf_cgroup *c, uint64_t handle, bool armed,
    struct mf_watch **ret_w, bool *ret_populated, struct mf_err *err)
{
	bool populated = false;
	struct mf_watch *w = watch_new(set, handle);
	if (w == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "watch: out of memory");
	w->armed = armed;
	enum mf_status s = start_cgroup(w, c, &populated, err);
	if (s != MF_OK) {
		mf_watch_del(w);
		return s;
	}
	if (populated)
		w->armed = false;
	else if (!armed)
		silence(w);
	if (!w->done) {
		w->due_ms = mono_ms() + RECHECK_MS;
		mf_list_add_tail(&set->young, &w->young);
		rearm(set);
	}
	*ret_w = w;
	*ret_populated = populated;
	return MF_OK;
}

enum mf_status
mf_watch_process(
    struct mf_watch_set *set, int pidfd, uint64_t handle, struct mf_watch **ret_w, struct mf_err *err)
{
	struct mf_watch *w = watch_new(set, handle);
	if (w == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "watch: out of memory");
	w->process = true;
	w->fd = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
	if (w->fd < 0 || !epoll_add(set->epoll, w->fd, EPOLLIN, w)) {
		int e = errno;
		mf_watch_del(w);
		return MF_FAIL(err, e == EMFILE || e == ENFILE || e == ENOSPC ? MF_E_EXHAUSTED : MF_E_IO,
		    "watch: %s", strerror(e));
	}
	*ret_w = w;
	return MF_OK;
}

void
mf_watch_sweep(struct mf_watch_set *set)
{
	bool nested = set->running;
	if (set->sweeping)
		return;
	set->running = set->sweeping = true;
	/*
	 * A callback may delete any watch, the next one too: restart at the head after a report would be
	 * quadratic, so each round walks with a marker that callbacks cannot remove.
	 */
	struct mf_list mark;
	mf_list_add_head(&set->all, &mark);
	while (mark.next != &set->all) {
		struct mf_watch *w = MF_LIST_ITEM(mark.next, struct mf_watch, link);
		mf_list_del(&mark);
		mf_list_add_head(&w->link, &mark); /* behind w */
		look(w);
	}
	mf_list_del(&mark);
	set->sweeping = false;
	set->running = nested;
	if (!nested)
		bury(set);
}

static void
on_timer(struct mf_watch_set *set)
{
	uint64_t ticks = 0, now = mono_ms();
	if (read(set->timer, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		return;
	while (!mf_list_empty(&set->young)) {
		struct mf_watch *w = MF_LIST_ITEM(set->young.next, struct mf_watch, young);
		if (w->due_ms > now)
			break;
		mf_list_del(&w->young);
		look(w);
	}
	if (now >= set->sweep_ms) {
		set->sweep_ms = now + SWEEP_MS;
		mf_watch_sweep(set);
	}
	rearm(set);
}

/* Something was removed from a directory: look at those of our cgroups that it may have been. */
static void
on_removed(struct mf_watch_set *set, int wd, const char *name)
{
	struct mf_watch *hit[EVENTS_PER_TURN];
	size_t n = 0;
	MF_LIST_EACH(i, &set->parents)
	{
		struct parent *p = MF_LIST_ITEM(i, struct parent, link);
		if (p->wd != wd)
			continue;
		MF_LIST_EACH(k, &p->watches)
		{
			struct mf_watch *w = MF_LIST_ITEM(k, struct mf_watch, sibling);
			if ((w->name == NULL || strcmp(w->name, name) == 0) && n < MF_COUNT(hit))
				hit[n++] = w;
		}
		break;
	}
	for (size_t i = 0; i < n; i++) /* a callback may delete others of them: they stay readable, done */
		look(hit[i]);
}

static void
on_inotify(struct mf_watch_set *set)
{
	union {
		struct inotify_event e;
		char room[4096];
	} u;
	for (;;) {
		ssize_t n = read(set->inotify, &u, sizeof(u));
		if (n <= 0)
			return;
		for (size_t at = 0; at + sizeof(struct inotify_event) <= (size_t)n;) {
			struct inotify_event e;
			memcpy(&e, u.room + at, sizeof(e));
			const char *name = u.room + at + sizeof(e);
			at += sizeof(e) + e.len;
			if (at > (size_t)n)
				return;
			if ((e.mask & IN_Q_OVERFLOW) != 0)
				mf_watch_sweep(set);
			else if ((e.mask & IN_DELETE) != 0 && e.len > 0)
				on_removed(set, e.wd, name);
		}
	}
}

enum mf_status
mf_watch_run(struct mf_watch_set *set, struct mf_err *err)
{
	struct epoll_event ev[EVENTS_PER_TURN];
	int n = epoll_wait(set->epoll, ev, EVENTS_PER_TURN, 0);
	if (n < 0)
		return errno == EINTR ? MF_OK : MF_FAIL(err, MF_E_IO, "watch: %s", strerror(errno));
	set->running = true;
	for (int i = 0; i < n; i++) {
		if (ev[i].data.ptr == &set->timer)
			on_timer(set);
		else if (ev[i].data.ptr == &set->inotify)
			on_inotify(set);
		else
			look(ev[i].data.ptr);
	}
	set->running = false;
	bury(set);
	return MF_OK;
}
