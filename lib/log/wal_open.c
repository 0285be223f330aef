/* Recovery (audit log, "Recovery"): what is on disk decides, page cache is not believed. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "log/wal_internal.h"

#define COPY_CHUNK 1048576u

struct replay {
	const struct mf_wal_opts *opts;
	struct mf_wal_recovery rec;
	struct mf_wal_place place;
	struct mf_wal_stop stop;
	bool torn;
};

static enum mf_status
head_differs(const struct mf_wal_head *h, struct mf_err *err)
{
	return MF_FAIL(err, MF_E_CORRUPT,
	    "the log's first %" PRIu64
	    " records are not those of the last signed head: records or files were "
	    "replaced; put back the newest copy of the log directory",
	    h->size);
}

/* Compare with the signed head when the replay stands exactly at its size. */
static enum mf_status
check_head(struct replay *p, const struct mf_wal_anchor *at, uint64_t before, struct mf_err *err)
{
	const struct mf_wal_head *h = p->opts->signed_head;
	if (h == NULL || p->rec.head_checked)
		return MF_OK;
	if (at->tree.size > h->size && before < h->size)
		return head_differs(h, err); /* heads are signed between frames only */
	if (at->tree.size != h->size)
		return MF_OK;
	uint8_t root[MF_HASH_SIZE];
	mf_merkle_root(&at->tree, root);
	if (memcmp(root, h->root, MF_HASH_SIZE) != 0)
		return head_differs(h, err);
	p->rec.head_checked = true;
	return MF_OK;
}

/* Read all frames. Changes nothing on disk. */
static enum mf_status
replay(struct mf_wal *w, struct replay *p, struct mf_err *err)
{
	MF_AUTO(mf_wal_reader_free) struct mf_wal_reader *r = NULL;
	struct mf_wal_anchor none = { 0 };
	const struct mf_wal_anchor *from = p->opts->from != NULL ? p->opts->from : &none;
	MF_TRY(mf_wal_reader_new(w->io, w->dirfd, from, &r, err));
	MF_TRY(check_head(p, from, from->tree.size, err));
	for (uint64_t seg = UINT64_MAX;;) {
		struct mf_frame f;
		enum mf_status s = mf_wal_reader_next(r, &f, err);
		p->place = mf_wal_reader_place(r);
		if (p->place.open && p->place.segment != seg) {
			seg = p->place.segment;
			p->rec.segments++;
		}
		if (s == MF_E_AGAIN)
			break;
		MF_TRY(s);
		MF_TRY(check_head(p, mf_wal_reader_anchor(r), f.first_index, err));
		if (p->opts->on_record != NULL)
			MF_TRY(mf_wal_reader_records(
			    r, &f, 0, UINT64_MAX, p->opts->on_record, p->opts->ctx, err));
		p->rec.records += f.count;
	}
	w->at = *mf_wal_reader_anchor(r);
	p->torn = mf_wal_reader_stop(r, &p->stop);
	const struct mf_wal_head *h = p->opts->signed_head;
	if (h != NULL && h->size > w->at.tree.size)
		return MF_FAIL(err, MF_E_CORRUPT,
		    "the log has %" PRIu64 " readable records but its last signed head has %" PRIu64
		    ": records were lost or an older copy was put back; restore the newest copy of the log "
		    "directory (nothing was changed)",
		    w->at.tree.size, h->size);
	return MF_OK;
}

/* Write [0, n) of ${from} to ${to} (which may be the same file: that makes its pages dirty again). */
static enum mf_status
copy(struct mf_wal *w, int from, int to, uint64_t begin, uint64_t n, struct mf_err *err)
{
	struct mf_buf b;
	mf_buf_init(&b, COPY_CHUNK);
	uint8_t *p = mf_buf_extend(&b, COPY_CHUNK);
	enum mf_status s = p == NULL ? mf_buf_check(&b, err) : MF_OK;
	for (uint64_t at = begin; s == MF_OK && at < n;) {
		size_t want = n - at < COPY_CHUNK ? (size_t)(n - at) : COPY_CHUNK;
		ssize_t got = mf_log_io_read(w->io, from, p, want, at);
		if (got < 0)
			s = mf_log_io_fail(err, "read", "segment");
		else if ((size_t)got != want)
			s = MF_FAIL(err, MF_E_IO, "segment became shorter while it was copied");
		for (size_t done = 0; s == MF_OK && done < want;) {
			ssize_t put = w->io->pwrite(w->io->ctx, to, p + done, want - done, at + done);
			if (put > 0)
				done += (size_t)put;
			else if (put == 0 || errno != EINTR)
				s = mf_log_io_fail(err, "write", "segment");
		}
		at += want;
	}
	mf_buf_fini(&b);
	return s;
}

/* The good prefix in a new file under the same name. */
static enum mf_status
copy_prefix(struct mf_wal *w, const char *name, uint64_t good, struct mf_err *err)
{
	int fd = w->io->open(w->io->ctx, w->dirfd, MF_WAL_RECOVER_TMP, O_RDWR | O_CREAT | O_TRUNC, 0640);
	if (fd < 0)
		return mf_log_io_fail(err, "create", MF_WAL_RECOVER_TMP);
	enum mf_status s = copy(w, w->fd, fd, 0, good, err);
	if (s == MF_OK && w->io->fsync(w->io->ctx, fd) != 0)
		s = mf_log_io_fail(err, "sync", MF_WAL_RECOVER_TMP);
	if (s == MF_OK && w->io->rename(w->io->ctx, w->dirfd, MF_WAL_RECOVER_TMP, name) != 0)
		s = mf_log_io_fail(err, "rename to", name);
	if (s != MF_OK) {
		(void)w->io->close(w->io->ctx, fd);
		(void)w->io->unlink(w->io->ctx, w->dirfd, MF_WAL_RECOVER_TMP);
		return s;
	}
	(void)w->io->close(w->io->ctx, w->fd);
	w->fd = fd;
	return MF_OK;
}

/*
 * Make the last segment hold the good frames and nothing else, and sure to be on disk. After a failed sync
 * the kernel may call pages clean that never were written; only what is written again is known to be there.
 * Frames before the last one were synced before the last one was begun.
 */
static enum mf_status
settle(struct mf_wal *w, struct replay *p, struct mf_err *err)
{
	char name[MF_SEGMENT_NAME_MAX];
	mf_segment_name(p->place.segment, name);
	w->fd = w->io->open(w->io->ctx, w->dirfd, name, O_RDWR, 0);
	if (w->fd < 0)
		return mf_log_io_fail(err, "open segment", name);
	w->end = p->place.good_bytes;
	if (!p->torn) {
		MF_TRY(copy(w, w->fd, w->fd, w->end - p->place.last_frame_bytes, w->end, err));
	} else {
		p->rec.truncated_bytes = p->stop.bytes;
		enum mf_status s = copy_prefix(w, name, w->end, err);
		if (s == MF_E_EXHAUSTED) {
			/* No room for a copy: the same bytes in the same place, then off with the rest. */
			MF_TRY(copy(w, w->fd, w->fd, 0, w->end, err));
			if (w->io->truncate(w->io->ctx, w->fd, w->end) != 0)
				return mf_log_io_fail(err, "truncate", name);
		} else {
			MF_TRY(s);
			p->rec.copied = true;
		}
	}
	if (w->io->fsync(w->io->ctx, w->fd) != 0)
		return mf_log_io_fail(err, "sync", name);
	if (w->io->fsync(w->io->ctx, w->dirfd) != 0)
		return mf_log_io_fail(err, "sync directory of", name);
	return mf_wal_allocate(w, err);
}

/* The reserve that an earlier life left, or a new one. A full disk leaves us without: no normal batches then.
 */
static enum mf_status
settle_reserve(struct mf_wal *w, struct mf_err *err)
{
	uint64_t size = 0;
	int fd = w->io->open(w->io->ctx, w->dirfd, MF_WAL_RESERVE_NAME, O_RDWR, 0);
	if (fd >= 0) {
		w->have_reserve = w->io->size(w->io->ctx, fd, &size) == 0 && size == 0 &&
				  (w->io->allocate(w->io->ctx, fd, w->reserve) == 0 || errno == EOPNOTSUPP ||
				      errno == ENOSYS);
		(void)w->io->close(w->io->ctx, fd);
		if (w->have_reserve)
			return MF_OK;
		(void)w->io->unlink(w->io->ctx, w->dirfd, MF_WAL_RESERVE_NAME);
	}
	enum mf_status s = mf_wal_make_reserve(w, err);
	return s == MF_E_EXHAUSTED ? MF_OK : s;
}

static enum mf_status
wal_new(int dirfd, const struct mf_wal_opts *o, struct mf_wal **ret_w, struct mf_err *err)
{
	struct mf_wal *w = calloc(1, sizeof(*w));
	if (w == NULL || pthread_mutex_init(&w->lock, NULL) != 0) {
		free(w);
		return MF_FAIL(err, MF_E_NOMEM, "log: out of memory");
	}
	*ret_w = w;
	w->io = o->io != NULL ? o->io : mf_log_io_system();
	w->fd = w->next_fd = w->dirfd = -1;
	w->segment = o->segment != 0 ? o->segment : MF_LIM_WAL_SEGMENT;
	w->tail_reserve = o->tail_reserve != 0 ? o->tail_reserve : MF_WAL_TAIL_RESERVE;
	w->reserve = o->reserve != 0 ? o->reserve : MF_WAL_RESERVE;
	w->preallocated = true;
	mf_buf_init(&w->frame, MF_FRAME_MAX);
	if (w->tail_reserve >= w->segment || w->segment > MF_LIM_WAL_SEGMENT || w->reserve > w->segment)
		return MF_FAIL(err, MF_E_INVALID,
		    "log: the reserves must be smaller than a segment of at most %u bytes",
		    MF_LIM_WAL_SEGMENT);
	w->dirfd = w->io->open(w->io->ctx, dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (w->dirfd < 0)
		return mf_log_io_fail(err, "open", "log directory");
	if (w->io->lock(w->io->ctx, w->dirfd) != 0) {
		if (errno == EWOULDBLOCK)
			return MF_FAIL(
			    err, MF_E_STATE, "log: another process writes it: stop that one first");
		return mf_log_io_fail(err, "lock", "log directory");
	}
	return MF_OK;
}

enum mf_status
mf_wal_open(int dirfd, const struct mf_wal_opts *opts, struct mf_wal **ret_wal,
    struct mf_wal_recovery *ret_recovery, struct mf_err *err)
{
	MF_AUTO(mf_wal_free) struct mf_wal *w = NULL;
	MF_TRY(wal_new(dirfd, opts, &w, err));
	struct replay p = { .opts = opts };
	MF_TRY(replay(w, &p, err));
	/* Only now: a log that is refused stays as it was found. */
	static const char *const temps[] = { MF_WAL_NEXT_TMP, MF_WAL_RESERVE_TMP, MF_WAL_RECOVER_TMP };
	for (size_t i = 0; i < MF_COUNT(temps); i++)
		if (w->io->unlink(w->io->ctx, w->dirfd, temps[i]) != 0 && errno != ENOENT)
			return mf_log_io_fail(err, "remove", temps[i]);
	if (p.place.open)
		MF_TRY(settle(w, &p, err));
	MF_TRY(settle_reserve(w, err));
	if (!p.place.open)
		MF_TRY(mf_wal_new_segment(w, err));
	w->on_rollover = opts->on_rollover;
	w->ctx = opts->ctx;
	mf_wal_look_ahead(w);
	mf_wal_publish(w);
	if (ret_recovery != NULL)
		*ret_recovery = p.rec;
	*ret_wal = MF_TAKE(w);
	return MF_OK;
}
