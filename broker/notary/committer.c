#include "broker/notary/committer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "broker/notary/store.h"

#define HEAD_EVERY_MS 500u	 /* signed at most a second after the sync, with room to spare */
#define RUN_BYTES (512u * 1024u) /* of one frame: the smallest segment takes it */
#define ROOM_EVERY_MS 1000u	 /* how often a full disk is tried again */

struct entry {
	struct mf_list at;
	bool removal;
	uint64_t index;
	size_t n;
	uint8_t bytes[];
};

struct mf_committer {
	struct mf_committer_conf conf;
	struct mf_wal *wal;
	struct mf_checkpointer *heads;
	struct mf_mailbox *box;
	struct mf_list held; /* of the thread that appends */
	pthread_t thread, snapshots;
	bool running, snapshots_running, failed;
	uint64_t unsigned_since; /* mono_ms; 0: the head is signed */
	bool room;
	uint64_t room_tried; /* mono_ms */
	/* the snapshot thread's one order: the newest rollover */
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	bool stop, have_anchor;
	struct mf_wal_anchor anchor;
	atomic_uint_least64_t batches, records, signed_heads;
};

static struct mf_commit_event *
event(enum mf_commit_event_kind kind)
{
	struct mf_commit_event *ev = calloc(1, sizeof(*ev));
	if (ev == NULL)
		abort();
	ev->kind = kind;
	mf_list_init(&ev->at);
	return ev;
}

static void
post(struct mf_committer *c, struct mf_commit_event *ev)
{
	mf_mailbox_post(c->conf.inbox, &ev->at);
}

static void
fail(struct mf_committer *c, const struct mf_err *err)
{
	struct mf_commit_event *ev = event(MF_COMMIT_FAILED);
	ev->err = *err;
	c->failed = true;
	post(c, ev);
}

static void
tell_room(struct mf_committer *c)
{
	bool room = mf_wal_space(c->wal).normal_ok;
	if (room == c->room)
		return;
	c->room = room;
	struct mf_commit_event *ev = event(MF_COMMIT_ROOM);
	ev->room = room;
	post(c, ev);
}

/* Nothing normal is written while there is no room, so nobody else would find out that there is again. */
static void
try_room(struct mf_committer *c)
{
	uint64_t now = mf_now().mono_ms;
	if (c->room || now - c->room_tried < ROOM_EVERY_MS)
		return;
	c->room_tried = now;
	if (mf_wal_make_room(c->wal, NULL) == MF_OK)
		tell_room(c);
}

static void
sign_head(struct mf_committer *c)
{
	struct mf_wal_head head = mf_wal_head(c->wal);
	struct mf_err err = { 0 };
	enum mf_status s = mf_checkpointer_publish(c->heads, &head, &err);
	if (s == MF_OK)
		c->unsigned_since = 0;
	else if (s != MF_E_EXHAUSTED && s != MF_E_IO)
		fail(c, &err);
	else
		c->unsigned_since = mf_now().mono_ms; /* again in a while */
	if (s == MF_OK)
		atomic_fetch_add(&c->signed_heads, 1);
}

/* A run of one class, in one frame per call of the writer. ${index}: what the state calls its first record. */
static void
write_run(struct mf_committer *c, const struct mf_slice *run, size_t n, bool removal, uint64_t index)
{
	struct mf_err err = { 0 };
	while (n > 0 && !c->failed) {
		size_t take = mf_wal_batch_fits(run, n);
		uint64_t first = mf_wal_durable(c->wal);
		if (first != index) {
			(void)MF_FAIL(&err, MF_E_INTERNAL, "log: record %llu would stand at index %llu",
			    (unsigned long long)index, (unsigned long long)first);
			fail(c, &err);
			return;
		}
		if (mf_wal_append_batch(
			c->wal, run, take, removal ? MF_WAL_REMOVAL : MF_WAL_NORMAL, &first, &err) != MF_OK) {
			fail(c, &err);
			return;
		}
		atomic_fetch_add(&c->batches, 1);
		atomic_fetch_add(&c->records, take);
		if (c->unsigned_since == 0)
			c->unsigned_since = mf_now().mono_ms;
		struct mf_commit_event *ev = event(MF_COMMIT_DURABLE);
		ev->size = first + take;
		post(c, ev);
		run += take;
		index += take;
		n -= take;
	}
}

static void
write_all(struct mf_committer *c, struct mf_list *todo)
{
	struct mf_slice run[512];
	struct mf_list done;
	mf_list_init(&done);
	while (!mf_list_empty(todo)) {
		size_t n = 0, bytes = 0;
		bool removal = MF_LIST_ITEM(todo->next, struct entry, at)->removal;
		uint64_t index = MF_LIST_ITEM(todo->next, struct entry, at)->index;
		MF_LIST_EACH(p, todo)
		{
			struct entry *e = MF_LIST_ITEM(p, struct entry, at);
			if (n == MF_COUNT(run) || e->removal != removal ||
			    (n > 0 && bytes + e->n > RUN_BYTES))
				break;
			bytes += e->n;
			run[n++] = mf_slice(e->bytes, e->n);
			mf_list_del(p);
			mf_list_add_tail(&done, p);
		}
		write_run(c, run, n, removal, index);
		MF_LIST_EACH(p, &done)
		{
			mf_list_del(p);
			free(MF_LIST_ITEM(p, struct entry, at));
		}
	}
	if (!c->failed)
		tell_room(c);
}

/* After a wait: ${todo} is what came. */
static void
turn(struct mf_committer *c, struct mf_list *todo)
{
	write_all(c, todo);
	if (!c->failed)
		try_room(c);
	if (!c->failed && c->unsigned_since != 0 && mf_now().mono_ms - c->unsigned_since >= HEAD_EVERY_MS)
		sign_head(c);
}

static void *
run_thread(void *arg)
{
	struct mf_committer *c = arg;
	struct mf_list todo;
	mf_list_init(&todo);
	tell_room(c); /* the disk may be full from the start */
	for (;;) {
		uint64_t now = mf_now().mono_ms, wait = UINT64_MAX;
		if (c->unsigned_since != 0)
			wait = now - c->unsigned_since >= HEAD_EVERY_MS
				   ? 0
				   : HEAD_EVERY_MS - (now - c->unsigned_since);
		if (!c->room && wait > ROOM_EVERY_MS)
			wait = ROOM_EVERY_MS;
		bool some = mf_mailbox_wait(c->box, &todo, wait);
		turn(c, &todo);
		if (!some && mf_mailbox_closed(c->box))
			break;
	}
	if (!c->failed)
		sign_head(c);
	return NULL;
}

/* ---- snapshots ---- */

void
mf_committer_rollover(void *ctx, const struct mf_wal_anchor *anchor)
{
	struct mf_committer *c = ctx;
	(void)pthread_mutex_lock(&c->lock);
	c->anchor = *anchor;
	c->have_anchor = true;
	(void)pthread_cond_signal(&c->wanted);
	(void)pthread_mutex_unlock(&c->lock);
}

static void
make_snapshot(struct mf_committer *c, const struct mf_wal_anchor *at)
{
	struct mf_err err = { 0 };
	struct mf_commit_event *ev = event(MF_COMMIT_SNAPSHOT);
	ev->size = at->tree.size;
	/* Without a snapshot the next start reads more: no reason to stop. */
	if (mf_store_snapshot(c->conf.io, c->conf.log_dirfd, at, ev->sha256, &err) == MF_OK)
		post(c, ev);
	else
		free(ev);
}

static void *
run_snapshots(void *arg)
{
	struct mf_committer *c = arg;
	for (;;) {
		struct mf_wal_anchor at;
		(void)pthread_mutex_lock(&c->lock);
		while (!c->stop && !c->have_anchor)
			(void)pthread_cond_wait(&c->wanted, &c->lock);
		bool stop = c->stop;
		at = c->anchor;
		c->have_anchor = false;
		(void)pthread_mutex_unlock(&c->lock);
		if (stop)
			return NULL;
		make_snapshot(c, &at);
	}
}

void
mf_committer_turn(struct mf_committer *c)
{
	struct mf_list todo;
	mf_list_init(&todo);
	(void)mf_mailbox_take(c->box, &todo);
	if (!c->failed)
		turn(c, &todo);
	MF_LIST_EACH(p, &todo)
	{
		mf_list_del(p);
		free(MF_LIST_ITEM(p, struct entry, at));
	}
	bool wanted = c->have_anchor && !c->failed;
	c->have_anchor = false;
	if (wanted)
		make_snapshot(c, &c->anchor);
}

/* ---- life ---- */

enum mf_status
mf_committer_new(
    const struct mf_committer_conf *conf, struct mf_wal *wal, struct mf_committer **ret_c, struct mf_err *err)
{
	struct mf_committer *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "committer: out of memory");
	c->conf = *conf;
	mf_list_init(&c->held);
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->wanted, NULL);
	enum mf_status s = mf_mailbox_new(false, &c->box, err);
	if (s == MF_OK)
		s = mf_checkpointer_new(
		    conf->io, conf->log_dirfd, conf->origin, conf->key, conf->last_signed, &c->heads, err);
	c->wal = wal;
	c->room = true;
	c->unsigned_since = mf_now().mono_ms; /* what a crash left unsigned is signed soon */
	/* The writer last: without it nothing touches ${wal}, which then stays the caller's. */
	if (s == MF_OK && conf->by_hand) {
		*ret_c = c;
		return MF_OK;
	}
	if (s == MF_OK &&
	    (c->snapshots_running = pthread_create(&c->snapshots, NULL, run_snapshots, c) == 0) &&
	    (c->running = pthread_create(&c->thread, NULL, run_thread, c) == 0)) {
		*ret_c = c;
		return MF_OK;
	}
	if (s == MF_OK)
		s = MF_FAIL(err, MF_E_NOMEM, "committer: no thread");
	c->wal = NULL; /* stays the caller's */
	mf_committer_free(c);
	return s;
}

void
mf_committer_free(struct mf_committer *c)
{
	if (c == NULL)
		return;
	if (c->running) {
		mf_committer_push(c);
		mf_mailbox_close(c->box);
		(void)pthread_join(c->thread, NULL);
	}
	if (c->snapshots_running) {
		(void)pthread_mutex_lock(&c->lock);
		c->stop = true;
		(void)pthread_cond_signal(&c->wanted);
		(void)pthread_mutex_unlock(&c->lock);
		(void)pthread_join(c->snapshots, NULL);
	}
	struct mf_list left;
	mf_list_init(&left);
	if (c->box != NULL) { /* made by hand, and ended in the middle */
		mf_committer_push(c);
		(void)mf_mailbox_take(c->box, &left);
	}
	MF_LIST_EACH(p, &left)
	free(MF_LIST_ITEM(p, struct entry, at));
	mf_checkpointer_free(c->heads);
	mf_wal_free(c->wal);
	mf_mailbox_free(c->box);
	(void)pthread_cond_destroy(&c->wanted);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

void
mf_committer_push(struct mf_committer *c)
{
	mf_mailbox_post_all(c->box, &c->held);
}

bool
mf_committer_holds(const struct mf_committer *c, uint64_t *ret_from)
{
	if (mf_list_empty(&c->held))
		return false;
	*ret_from = MF_LIST_ITEM(c->held.next, struct entry, at)->index;
	return true;
}

void
mf_committer_append(struct mf_committer *c, uint64_t index, struct mf_slice record, bool removal)
{
	mf_committer_hold(c, index, record, removal);
	mf_committer_push(c);
}

void
mf_committer_hold(struct mf_committer *c, uint64_t index, struct mf_slice record, bool removal)
{
	struct entry *e = malloc(sizeof(*e) + record.n);
	if (e == NULL)
		abort(); /* the state has it already and the log would not: start over from the log */
	mf_list_init(&e->at);
	e->removal = removal;
	e->index = index;
	e->n = record.n;
	memcpy(e->bytes, record.p, record.n);
	mf_list_add_tail(&c->held, &e->at);
	if (removal)
		mf_committer_push(c);
}

struct mf_committer_stats
mf_committer_stats(const struct mf_committer *c)
{
	return (struct mf_committer_stats) { atomic_load(&c->batches), atomic_load(&c->records),
		atomic_load(&c->signed_heads) };
}
