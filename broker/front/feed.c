#include "broker/front/feed.h"

#include <stdlib.h>

#include "base/list.h"
#include "os/jlog.h"

#define RETRY_MS 1000u
#define LATER_MS 50u
#define BATCH_BYTES (128u * 1024u) /* so long a batch stays the loop for some 5 ms */

struct waiting {
	struct mf_list at;
	uint64_t first;
	size_t n, bytes;
	struct mf_slice v[]; /* of one allocation, the bytes behind them */
};

struct mf_feed {
	struct mf_read_model *rm;
	const struct mf_feed_ops *ops;
	void *ctx;
	struct mf_loop_timer
	    *again; /* of the oldest that waits: until its batch, or the next try after trouble */
	struct mf_list queue;
	size_t queued, queued_n; /* bytes, records */
	uint64_t log_size;
	uint64_t wanted; /* whoever waits for a table's answer needs so many records */
	bool fresh, stuck, unreadable;
	struct mf_err trouble; /* msg "" when there is none */
};

static void
drop_queue(struct mf_feed *f)
{
	MF_LIST_EACH(p, &f->queue)
	{
		mf_list_del(p);
		free(MF_LIST_ITEM(p, struct waiting, at));
	}
	f->queued = f->queued_n = 0;
	mf_loop_timer_clear(f->again);
}

static void
be_stuck(struct mf_feed *f, const struct mf_err *err)
{
	drop_queue(f);
	if (f->stuck)
		return;
	f->stuck = true;
	f->ops->stuck(f->ctx, err);
}

/* The log and the file disagree. */
static void
rebuild(struct mf_feed *f, const struct mf_err *why)
{
	struct mf_err err = { 0 };
	f->trouble = *why;
	if (f->fresh) {
		mf_jlog_err(MF_LOG_ERROR, "read_model.unreadable",
		    "cannot be built from this log: reading is off", why);
		drop_queue(f);
		f->unreadable = true;
		return;
	}
	mf_jlog_err(MF_LOG_ERROR, "read_model.rebuild", "deleted, to be built anew from the log", why);
	if (mf_read_model_reset(f->rm, &err) != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "read_model.reset", "could not be deleted", &err);
	be_stuck(f, why);
}

static enum mf_status
apply(struct mf_feed *f, uint64_t first, const struct mf_slice *v, size_t n)
{
	struct mf_err err = { 0 };
	enum mf_status s = mf_read_model_apply(f->rm, first, v, n, &err);
	if (s == MF_OK) {
		if (f->trouble.msg[0] != '\0')
			MF_LOG(MF_LOG_INFO, "read_model.resumed", "records are applied again",
			    mf_ju("first", first));
		f->trouble.msg[0] = '\0';
		drop_queue(f); /* before: who is told may read at once */
		f->ops->applied(f->ctx, mf_read_model_applied(f->rm));
		return s;
	}
	if (s == MF_E_IO || s == MF_E_NOMEM) {
		if (f->trouble.msg[0] == '\0')
			mf_jlog_err(MF_LOG_ERROR, "read_model.behind",
			    "records wait: trying again every second", &err);
		f->trouble = err;
		return MF_E_AGAIN;
	}
	rebuild(f, &err);
	return s;
}

/* All that waits, in one transaction: pages that many records touch are written once. */
static void
apply_queue(struct mf_feed *f)
{
	if (mf_list_empty(&f->queue))
		return;
	uint64_t first = MF_LIST_ITEM(f->queue.next, struct waiting, at)->first;
	size_t n = 0;
	struct mf_slice *v = malloc(f->queued_n * sizeof(*v));
	if (v == NULL) {
		mf_loop_timer_set(f->again, RETRY_MS);
		return;
	}
	MF_LIST_EACH(p, &f->queue)
	{
		const struct waiting *w = MF_LIST_ITEM(p, struct waiting, at);
		memcpy(v + n, w->v, w->n * sizeof(*v));
		n += w->n;
	}
	enum mf_status s = apply(f, first, v, n);
	free(v);
	if (s == MF_E_AGAIN)
		mf_loop_timer_set(f->again, RETRY_MS); /* else the queue is gone */
}

static void
on_again(void *ctx)
{
	apply_queue(ctx);
}

/* False: nothing is kept, and the feed is stuck. */
static bool
keep(struct mf_feed *f, uint64_t first, const struct mf_slice *v, size_t n)
{
	size_t bytes = sizeof(struct waiting) + n * sizeof(*v);
	for (size_t i = 0; i < n; i++)
		bytes += v[i].n;
	struct waiting *w = f->queued + bytes > MF_FEED_WAITING_MAX ? NULL : malloc(bytes);
	if (w == NULL) {
		struct mf_err err = f->trouble;
		(void)mf_err_wrap(&err, MF_E_EXHAUSTED, "too many records wait for the read model");
		be_stuck(f, &err);
		return false;
	}
	*w = (struct waiting) { .first = first, .n = n, .bytes = bytes };
	uint8_t *to = (uint8_t *)(w->v + n);
	for (size_t i = 0; i < n; i++) {
		w->v[i] = mf_slice(to, v[i].n);
		if (v[i].n > 0)
			memcpy(to, v[i].p, v[i].n);
		to += v[i].n;
	}
	mf_list_add_tail(&f->queue, &w->at);
	f->queued += bytes;
	f->queued_n += n;
	if (!mf_loop_timer_pending(f->again))
		mf_loop_timer_set(f->again, LATER_MS);
	return true;
}

/* Somebody waits for them, they are many, or they are about what is decided here: whether a node may connect. */
static bool
urgent(const struct mf_feed *f, uint64_t first, const struct mf_slice *v, size_t n)
{
	uint64_t applied = mf_read_model_applied(f->rm);
	if (f->queued >= BATCH_BYTES || (f->wanted > applied && first + n >= f->wanted))
		return true;
	for (size_t i = 0; i < n; i++)
		if (!mf_read_model_may_wait(v[i]))
			return true;
	return false;
}

void
mf_feed_take(struct mf_feed *f, uint64_t first, const struct mf_slice *records, size_t n, uint64_t log_size)
{
	f->log_size = log_size;
	if (f->stuck || f->unreadable)
		return;
	if (n > 0 && keep(f, first, records, n) && f->trouble.msg[0] == '\0' && urgent(f, first, records, n))
		apply_queue(f);
}

void
mf_feed_want(struct mf_feed *f, uint64_t size)
{
	f->wanted = size > f->wanted ? size : f->wanted;
	if (mf_read_model_applied(f->rm) < size)
		mf_feed_now(f);
}

void
mf_feed_begin(struct mf_feed *f)
{
	drop_queue(f);
}

void
mf_feed_now(struct mf_feed *f)
{
	if (f->trouble.msg[0] == '\0')
		apply_queue(f);
}

enum mf_status
mf_feed_readable(struct mf_feed *f, struct mf_err *err)
{
	mf_feed_now(f);
	if (!f->unreadable)
		return MF_OK;
	return MF_FAIL(err, MF_E_UNAVAILABLE, "the tables cannot be read: %.250s", f->trouble.msg);
}

const char *
mf_feed_trouble(const struct mf_feed *f)
{
	return f->trouble.msg[0] == '\0' ? NULL : f->trouble.msg;
}

uint64_t
mf_feed_log_size(const struct mf_feed *f)
{
	return f->log_size;
}

enum mf_status
mf_feed_new(struct mf_loop *l, struct mf_read_model *rm, bool fresh, const struct mf_feed_ops *ops, void *ctx,
    struct mf_feed **ret_f, struct mf_err *err)
{
	struct mf_feed *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	f->rm = rm;
	f->fresh = fresh;
	f->ops = ops;
	f->ctx = ctx;
	f->log_size = mf_read_model_applied(rm);
	mf_list_init(&f->queue);
	enum mf_status s = mf_loop_timer_new(l, on_again, f, &f->again, err);
	if (s != MF_OK) {
		free(f);
		return s;
	}
	*ret_f = f;
	return MF_OK;
}

void
mf_feed_free(struct mf_feed *f)
{
	if (f == NULL)
		return;
	drop_queue(f);
	mf_loop_timer_free(f->again);
	free(f);
}
