#include "log/wal.h"

#include <errno.h>
#include <stdlib.h>

#include "crypto/hash.h"
#include "log/wal_internal.h"

/* A step failed after which the disk's content is unknown. ${err} may hold why already. */
static enum mf_status
poison(struct mf_wal *w, const char *what, struct mf_err *err)
{
	w->dead = true;
	mf_wal_publish(w);
	(void)mf_err_wrap(
	    err, MF_E_IO, "log: %s failed, nothing may be acknowledged any more, restart", what);
	if (err != NULL)
		err->code = MF_E_IO;
	return MF_E_IO;
}

/*
 * One write of the encoded frame. MF_E_EXHAUSTED when the disk took nothing of it (file systems that
 * promise blocks and do not have them).
 */
static enum mf_status
write_frame(struct mf_wal *w, struct mf_err *err)
{
	ssize_t n;
	do
		n = w->io->pwrite(w->io->ctx, w->fd, w->frame.p, w->frame.n, w->end);
	while (n < 0 && errno == EINTR);
	uint64_t size = 0;
	/* Nothing taken: the log is as it was. */
	if (n < 0 && mf_log_io_full() && w->io->size(w->io->ctx, w->fd, &size) == 0 && size == w->end) {
		w->cap = w->end;
		w->removal_only = w->full = true;
		return MF_FAIL(err, MF_E_EXHAUSTED, MF_WAL_FULL_NORMAL);
	}
	if (n >= 0 && (size_t)n != w->frame.n)
		errno = ENOSPC; /* why else would a regular file take a part */
	if (n < 0 || (size_t)n != w->frame.n) {
		(void)mf_log_io_fail(err, "write", "segment");
		return poison(w, "a write", err);
	}
	if (w->io->fdatasync(w->io->ctx, w->fd) != 0) {
		(void)mf_log_io_fail(err, "sync", "segment");
		return poison(w, "a sync", err);
	}
	return MF_OK;
}

/* Room, then the write. A removal that the disk refuses after all goes to the reserve. */
static enum mf_status
place_frame(struct mf_wal *w, enum mf_wal_class cls, struct mf_err *err)
{
	enum mf_status s = mf_wal_room_for(w, w->frame.n, cls, err);
	if (s == MF_OK)
		s = write_frame(w, err);
	if (s == MF_E_EXHAUSTED && cls == MF_WAL_REMOVAL && w->have_reserve && w->frame.n <= w->reserve) {
		s = mf_wal_use_reserve(w, err);
		if (s == MF_OK)
			s = write_frame(w, err);
	}
	if (s != MF_OK && s != MF_E_EXHAUSTED && !w->dead)
		return poison(w, "making a segment", err);
	return s;
}

static enum mf_status
encode(struct mf_wal *w, const struct mf_slice *records, size_t n, enum mf_wal_class cls,
    struct mf_wal_anchor *next, struct mf_err *err)
{
	struct mf_frame f = { .first_index = w->at.tree.size,
		.flags = cls == MF_WAL_REMOVAL ? MF_FRAME_REMOVALS : 0 };
	next->tree = w->at.tree;
	for (size_t i = 0; i < n; i++) {
		uint8_t leaf[MF_HASH_SIZE];
		mf_merkle_leaf(records[i], leaf);
		mf_merkle_append(&next->tree, leaf);
	}
	memcpy(f.prev, w->at.frame_hash, MF_HASH_SIZE);
	mf_merkle_root(&next->tree, f.root);
	mf_buf_reset(&w->frame);
	MF_TRY(mf_frame_encode(&f, records, n, &w->frame, err));
	mf_sha256(mf_buf_slice(&w->frame), next->frame_hash);
	return MF_OK;
}

enum mf_status
mf_wal_append_batch(struct mf_wal *w, const struct mf_slice *records, size_t n, enum mf_wal_class cls,
    uint64_t *ret_first, struct mf_err *err)
{
	if (w->dead)
		return MF_FAIL(err, MF_E_IO, "log: an earlier write or sync failed: restart");
	size_t len = mf_frame_size(records, n);
	if (len == 0 || len + w->tail_reserve > w->segment)
		return MF_FAIL(err, MF_E_TOOBIG,
		    "log: a batch of %zu records is empty or over a cap (%u bytes a record, %u a batch)", n,
		    MF_LIM_RECORD, MF_LIM_WAL_FRAME);
	struct mf_wal_anchor next;
	MF_TRY(encode(w, records, n, cls, &next, err));
	enum mf_status s = place_frame(w, cls, err);
	if (s == MF_OK) {
		*ret_first = w->at.tree.size;
		w->at = next;
		w->end += len;
		/* Removals do not wait for a disk that was full a moment ago. */
		if (cls == MF_WAL_NORMAL || !w->full)
			mf_wal_look_ahead(w);
	}
	mf_wal_publish(w);
	return s;
}

enum mf_status
mf_wal_make_room(struct mf_wal *w, struct mf_err *err)
{
	if (w->dead)
		return MF_FAIL(err, MF_E_IO, "log: an earlier write or sync failed: restart");
	mf_wal_look_ahead(w);
	mf_wal_publish(w);
	return w->full ? MF_FAIL(err, MF_E_EXHAUSTED, MF_WAL_FULL_NORMAL) : MF_OK;
}

void
mf_wal_publish(struct mf_wal *w)
{
	(void)pthread_mutex_lock(&w->lock);
	w->pub_at = w->at;
	w->pub_dead = w->dead;
	w->pub_space = (struct mf_wal_space) { !w->full, w->preallocated,
		w->cap - w->end + (w->have_reserve ? w->reserve : 0) };
	(void)pthread_mutex_unlock(&w->lock);
	atomic_store_explicit(&w->durable, w->at.tree.size, memory_order_release);
}

size_t
mf_wal_batch_fits(const struct mf_slice *records, size_t n)
{
	size_t sum = 0, i = 0;
	for (; i < n && i < MF_LIM_WAL_BATCH; i++) {
		if (sum + 2 + records[i].n > MF_LIM_WAL_FRAME)
			break;
		sum += 2 + records[i].n;
	}
	return i;
}

uint64_t
mf_wal_durable(const struct mf_wal *w)
{
	return atomic_load_explicit(&w->durable, memory_order_acquire);
}

void
mf_wal_get_anchor(struct mf_wal *w, struct mf_wal_anchor *ret_anchor)
{
	(void)pthread_mutex_lock(&w->lock);
	*ret_anchor = w->pub_at;
	(void)pthread_mutex_unlock(&w->lock);
}

struct mf_wal_head
mf_wal_head(struct mf_wal *w)
{
	struct mf_wal_anchor at;
	mf_wal_get_anchor(w, &at);
	struct mf_wal_head h = { .size = at.tree.size };
	mf_merkle_root(&at.tree, h.root);
	return h;
}

struct mf_wal_space
mf_wal_space(struct mf_wal *w)
{
	(void)pthread_mutex_lock(&w->lock);
	struct mf_wal_space s = w->pub_space;
	(void)pthread_mutex_unlock(&w->lock);
	return s;
}

bool
mf_wal_poisoned(struct mf_wal *w)
{
	(void)pthread_mutex_lock(&w->lock);
	bool p = w->pub_dead;
	(void)pthread_mutex_unlock(&w->lock);
	return p;
}

void
mf_wal_free(struct mf_wal *w)
{
	if (w == NULL)
		return;
	if (w->fd >= 0)
		(void)w->io->close(w->io->ctx, w->fd);
	if (w->next_fd >= 0)
		(void)w->io->close(w->io->ctx, w->next_fd);
	if (w->dirfd >= 0)
		(void)w->io->close(w->io->ctx, w->dirfd);
	mf_buf_fini(&w->frame);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}
