#include "log/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "crypto/hash.h"

#define WINDOW 262144u /* bytes read ahead */
/* What a segment may hold after its last good frame for us to look whether a good frame follows. */
#define REST_MAX (2u * MF_LIM_WAL_SEGMENT)

struct mf_wal_reader {
	const struct mf_log_io *io;
	int dirfd;
	int fd; /* -1: no segment yet */
	bool anchored, have_prev, have_stop, dead;
	uint64_t next;	    /* index that comes next */
	uint64_t seg;	    /* first index of the open segment */
	uint64_t good;	    /* bytes of good frames in it */
	uint64_t last_len;  /* of the frame given last */
	uint64_t window_at; /* file offset of the window */
	struct mf_buf window;
	struct mf_wal_anchor at;
	struct mf_wal_stop stop;
	struct mf_err dead_err;
	uint8_t (*leaf)[MF_HASH_SIZE]; /* of the frame given last; anchored only */
};

void
mf_segment_name(uint64_t first, char ret_name[MF_SEGMENT_NAME_MAX])
{
	(void)snprintf(
	    ret_name, MF_SEGMENT_NAME_MAX, "%016" PRIu64 ".seg", first % UINT64_C(10000000000000000));
}

bool
mf_segment_parse(const char *name, uint64_t *ret_first)
{
	if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0)
		return false;
	size_t zeros = 0;
	while (zeros < 15 && name[zeros] == '0')
		zeros++;
	return mf_parse_u64(mf_slice(name + zeros, 16 - zeros), ret_first);
}

/* The smallest segment after ${after} (or of all), and the largest not over ${upto}. */
struct listing {
	bool any, with_after, have_later, have_upto;
	uint64_t after, upto, later, best;
};

static bool
list_one(void *arg, const char *name)
{
	struct listing *l = arg;
	uint64_t first = 0;
	if (!mf_segment_parse(name, &first))
		return true;
	l->any = true;
	if ((!l->with_after || first > l->after) && (!l->have_later || first < l->later)) {
		l->have_later = true;
		l->later = first;
	}
	if (first <= l->upto && (!l->have_upto || first > l->best)) {
		l->have_upto = true;
		l->best = first;
	}
	return true;
}

static enum mf_status
list(const struct mf_wal_reader *r, struct listing *l, struct mf_err *err)
{
	if (r->io->list(r->io->ctx, r->dirfd, list_one, l) != 0)
		return mf_log_io_fail(err, "list", "log directory");
	return MF_OK;
}

static enum mf_status
open_segment(struct mf_wal_reader *r, uint64_t first, struct mf_err *err)
{
	char name[MF_SEGMENT_NAME_MAX];
	mf_segment_name(first, name);
	int fd = r->io->open(r->io->ctx, r->dirfd, name, O_RDONLY, 0);
	if (fd < 0)
		return mf_log_io_fail(err, "open segment", name);
	if (r->fd >= 0)
		(void)r->io->close(r->io->ctx, r->fd);
	r->fd = fd;
	r->seg = first;
	mf_buf_reset(&r->window);
	return MF_OK;
}

static enum mf_status
reader_new(const struct mf_log_io *io, int dirfd, struct mf_wal_reader **ret_r, struct mf_err *err)
{
	struct mf_wal_reader *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "log reader: out of memory");
	r->io = io == NULL ? mf_log_io_system() : io;
	r->dirfd = dirfd;
	r->fd = -1;
	mf_buf_init(&r->window, MF_FRAME_MAX + WINDOW);
	*ret_r = r;
	return MF_OK;
}

enum mf_status
mf_wal_reader_new(const struct mf_log_io *io, int dirfd, const struct mf_wal_anchor *anchor,
    struct mf_wal_reader **ret_r, struct mf_err *err)
{
	MF_AUTO(mf_wal_reader_free) struct mf_wal_reader *r = NULL;
	MF_TRY(reader_new(io, dirfd, &r, err));
	r->leaf = calloc(MF_LIM_WAL_BATCH, sizeof(*r->leaf));
	if (r->leaf == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "log reader: out of memory");
	r->anchored = r->have_prev = true;
	r->at = *anchor;
	r->next = anchor->tree.size;
	struct mf_err why = { 0 };
	enum mf_status s = open_segment(r, r->next, &why);
	if (s == MF_E_NOTFOUND && r->next > 0)
		return MF_FAIL(err, s, "log: no segment begins at index %" PRIu64, r->next);
	if (s != MF_OK && s != MF_E_NOTFOUND) {
		if (err != NULL)
			*err = why;
		return s;
	}
	*ret_r = MF_TAKE(r);
	return MF_OK;
}

enum mf_status
mf_wal_reader_new_at(
    const struct mf_log_io *io, int dirfd, uint64_t index, struct mf_wal_reader **ret_r, struct mf_err *err)
{
	MF_AUTO(mf_wal_reader_free) struct mf_wal_reader *r = NULL;
	MF_TRY(reader_new(io, dirfd, &r, err));
	struct listing l = { .upto = index };
	MF_TRY(list(r, &l, err));
	if (l.any && !l.have_upto)
		return MF_FAIL(
		    err, MF_E_NOTFOUND, "log: begins at index %" PRIu64 ", after %" PRIu64, l.later, index);
	if (l.any) {
		MF_TRY(open_segment(r, l.best, err));
		r->next = l.best;
	}
	r->have_prev = r->next == 0; /* the first frame's is all zeros */
	*ret_r = MF_TAKE(r);
	return MF_OK;
}

void
mf_wal_reader_free(struct mf_wal_reader *r)
{
	if (r == NULL)
		return;
	if (r->fd >= 0)
		(void)r->io->close(r->io->ctx, r->fd);
	mf_buf_fini(&r->window);
	free(r->leaf);
	free(r);
}

/* What is there of [good, good + want): shorter at the file's end only. */
static enum mf_status
fill(struct mf_wal_reader *r, size_t want, struct mf_slice *ret, struct mf_err *err)
{
	size_t skip = (size_t)(r->good - r->window_at);
	if (r->good < r->window_at || skip > r->window.n) {
		mf_buf_reset(&r->window);
		r->window_at = r->good;
		skip = 0;
	}
	if (r->window.n - skip < want) {
		mf_buf_consume(&r->window, skip);
		r->window_at = r->good;
		skip = 0;
		size_t have = r->window.n;
		size_t more = want - have > WINDOW ? want - have : WINDOW;
		uint8_t *to = mf_buf_extend(&r->window, more);
		if (to == NULL)
			return mf_buf_check(&r->window, err);
		ssize_t got = mf_log_io_read(r->io, r->fd, to, more, r->window_at + have);
		if (got < 0) {
			mf_buf_reset(&r->window);
			return mf_log_io_fail(err, "read", "segment");
		}
		r->window.n = have + (size_t)got;
	}
	*ret = mf_slice_sub(mf_buf_slice(&r->window), skip, want);
	return MF_OK;
}

static enum mf_status
corrupt(const struct mf_wal_reader *r, struct mf_err *err, const char *why)
{
	return MF_FAIL(err, MF_E_CORRUPT,
	    "segment %016" PRIu64 ".seg, offset %" PRIu64 ", first bad index %" PRIu64 ": %s", r->seg,
	    r->good, r->next, why);
}

/* Chain, order and root of a well-formed frame; on success the reader stands behind it. */
static enum mf_status
accept_frame(struct mf_wal_reader *r, struct mf_slice bytes, const struct mf_frame *f, struct mf_err *err)
{
	if (f->first_index != r->next)
		return corrupt(
		    r, err, "the frame there has another index: frames were cut, moved or repeated");
	if (r->have_prev && memcmp(f->prev, r->at.frame_hash, MF_HASH_SIZE) != 0)
		return corrupt(r, err, "the frame there does not continue the one before it");
	if (r->anchored) {
		struct mf_merkle t = r->at.tree;
		struct mf_reader p = mf_reader(f->payload);
		struct mf_slice rec;
		for (uint32_t i = 0; i < f->count && mf_frame_next_record(&p, &rec); i++) {
			mf_merkle_leaf(rec, r->leaf[i]);
			mf_merkle_append(&t, r->leaf[i]);
		}
		uint8_t root[MF_HASH_SIZE];
		mf_merkle_root(&t, root);
		if (t.size != f->tree_size || memcmp(root, f->root, MF_HASH_SIZE) != 0)
			return corrupt(r, err, "the frame's root is not that of the records");
		r->at.tree = t;
	}
	mf_sha256(bytes, r->at.frame_hash);
	r->have_prev = true;
	r->next = f->tree_size;
	r->good += bytes.n;
	r->last_len = bytes.n;
	return MF_OK;
}

/* MF_OK; MF_E_AGAIN: the segment ends here; MF_E_INVALID: bytes that are no frame; else fatal. */
static enum mf_status
try_frame(struct mf_wal_reader *r, struct mf_frame *ret_f, struct mf_err *err)
{
	struct mf_slice in = { 0 };
	size_t len = 0;
	MF_TRY(fill(r, MF_FRAME_HEAD, &in, err));
	if (in.n == 0)
		return MF_FAIL(err, MF_E_AGAIN, "end of the segment");
	MF_TRY(mf_frame_peek(in, &len, err));
	MF_TRY(fill(r, len, &in, err));
	MF_TRY(mf_frame_decode(in, ret_f, err));
	return accept_frame(r, in, ret_f, err);
}

/*
 * Does a good frame stand anywhere after the bytes at ${good} that are none? Then no crash explains them: a
 * frame is begun only when the one before it is on disk. Refusing is the safe answer, also for a rest that
 * was made to be slow to search.
 */
static bool
frame_follows(struct mf_slice rest)
{
	static const uint8_t magic[4] = { 0xff, 'M', 'F', 'W' };
	size_t budget = REST_MAX;
	for (size_t i = 1; i < rest.n; i++) {
		const uint8_t *hit = memchr(rest.p + i, magic[0], rest.n - i);
		if (hit == NULL)
			return false;
		i = (size_t)(hit - rest.p);
		struct mf_slice in = mf_slice_sub(rest, i, rest.n);
		size_t len = 0;
		struct mf_frame f;
		if (in.n < MF_FRAME_HEAD || memcmp(in.p, magic, sizeof(magic)) != 0 ||
		    mf_frame_peek(in, &len, NULL) != MF_OK || len > in.n)
			continue;
		if (len > budget || mf_frame_decode(mf_slice_sub(in, 0, len), &f, NULL) == MF_OK)
			return true;
		budget -= len;
	}
	return false;
}

/* The last segment has bytes that are no frame: an unfinished write, or damage? */
static enum mf_status
judge_tail(struct mf_wal_reader *r, const struct mf_err *why, struct mf_err *err)
{
	uint64_t size = 0;
	if (r->io->size(r->io->ctx, r->fd, &size) != 0)
		return mf_log_io_fail(err, "stat", "segment");
	uint64_t n = size > r->good ? size - r->good : 0;
	if (n > REST_MAX)
		return corrupt(r, err, "more bytes after it than a segment holds");
	struct mf_buf rest;
	mf_buf_init(&rest, REST_MAX);
	uint8_t *to = mf_buf_extend(&rest, (size_t)n);
	ssize_t got = to == NULL && n > 0 ? -1 : mf_log_io_read(r->io, r->fd, to, (size_t)n, r->good);
	bool follows = got > 0 && frame_follows(mf_slice_sub(mf_buf_slice(&rest), 0, (size_t)got));
	enum mf_status failed = rest.failed;
	mf_buf_fini(&rest);
	if (failed != MF_OK)
		return MF_FAIL(err, failed, "log reader: out of memory");
	if (got < 0)
		return mf_log_io_fail(err, "read", "segment");
	if (follows)
		return corrupt(r, err, why->msg);
	r->have_stop = true;
	r->stop = (struct mf_wal_stop) { .index = r->next, .segment = r->seg, .offset = r->good, .bytes = n };
	(void)snprintf(r->stop.why, sizeof(r->stop.why), "%.*s", (int)sizeof(r->stop.why) - 1, why->msg);
	return MF_FAIL(err, MF_E_AGAIN, "the log ends with an unfinished frame");
}

/*
 * Nothing more in this segment. MF_OK: look again (another segment is open, or the same one anew, because a
 * writer may have gone on between our read and our listing; ${retried} is set); else the answer.
 */
static enum mf_status
at_end(
    struct mf_wal_reader *r, enum mf_status seen, const struct mf_err *why, bool *retried, struct mf_err *err)
{
	struct listing l = { .with_after = r->fd >= 0, .after = r->seg };
	MF_TRY(list(r, &l, err));
	if (seen == MF_E_AGAIN && l.have_later && l.later == r->next) {
		MF_TRY(open_segment(r, l.later, err));
		r->good = r->window_at = 0;
		*retried = false;
		return MF_OK;
	}
	if (!*retried && r->fd >= 0) {
		*retried = true;
		/* By name: recovery puts a new file in its place. */
		return open_segment(r, r->seg, err);
	}
	if (l.have_later && seen == MF_E_AGAIN) {
		char text[128];
		(void)snprintf(text, sizeof(text),
		    "the next segment is %016" PRIu64 ".seg: one is missing or does not belong here",
		    l.later);
		return corrupt(r, err, text);
	}
	if (l.have_later)
		return corrupt(r, err, why->msg);
	if (seen == MF_E_AGAIN)
		return MF_FAIL(err, MF_E_AGAIN, "end of the log");
	return judge_tail(r, why, err);
}

enum mf_status
mf_wal_reader_next(struct mf_wal_reader *r, struct mf_frame *ret_f, struct mf_err *err)
{
	struct mf_err why = { 0 }, end = { 0 };
	enum mf_status s = MF_E_AGAIN;
	r->have_stop = false;
	for (bool retried = false; !r->dead;) {
		why = (struct mf_err) { 0 };
		s = r->fd < 0 ? MF_E_AGAIN : try_frame(r, ret_f, &why);
		if (s == MF_OK)
			return MF_OK;
		if (s == MF_E_AGAIN || s == MF_E_INVALID) {
			end = (struct mf_err) { 0 };
			s = at_end(r, s, &why, &retried, &end);
			if (s == MF_OK)
				continue;
			why = end;
		}
		if (s == MF_E_CORRUPT) {
			r->dead = true;
			r->dead_err = why;
			break;
		}
		mf_buf_reset(&r->window); /* what was read may be read anew, changed */
		if (err != NULL)
			*err = why;
		return s;
	}
	if (err != NULL)
		*err = r->dead_err;
	return MF_E_CORRUPT;
}

bool
mf_wal_reader_stop(const struct mf_wal_reader *r, struct mf_wal_stop *ret_stop)
{
	if (r->have_stop)
		*ret_stop = r->stop;
	return r->have_stop;
}

const struct mf_wal_anchor *
mf_wal_reader_anchor(const struct mf_wal_reader *r)
{
	return &r->at;
}

uint64_t
mf_wal_reader_index(const struct mf_wal_reader *r)
{
	return r->next;
}

struct mf_wal_place
mf_wal_reader_place(const struct mf_wal_reader *r)
{
	return (struct mf_wal_place) { r->fd >= 0, r->seg, r->good, r->good == 0 ? 0 : r->last_len };
}

enum mf_status
mf_wal_reader_records(const struct mf_wal_reader *r, const struct mf_frame *f, uint64_t from, uint64_t to,
    mf_wal_record_fn *fn, void *ctx, struct mf_err *err)
{
	struct mf_reader p = mf_reader(f->payload);
	struct mf_wal_record rec = { .removal = (f->flags & MF_FRAME_REMOVALS) != 0 };
	for (uint32_t i = 0; i < f->count && mf_frame_next_record(&p, &rec.bytes); i++) {
		rec.index = f->first_index + i;
		if (rec.index < from || rec.index >= to)
			continue;
		if (r->anchored)
			memcpy(rec.leaf, r->leaf[i], MF_HASH_SIZE);
		else
			mf_merkle_leaf(rec.bytes, rec.leaf);
		MF_TRY(fn(ctx, &rec, err));
	}
	return MF_OK;
}

enum mf_status
mf_wal_read(const struct mf_log_io *io, int dirfd, uint64_t from, uint64_t to, mf_wal_record_fn *fn,
    void *ctx, uint64_t *ret_next, struct mf_err *err)
{
	MF_AUTO(mf_wal_reader_free) struct mf_wal_reader *r = NULL;
	MF_TRY(mf_wal_reader_new_at(io, dirfd, from, &r, err));
	uint64_t next = from;
	while (next < to) {
		struct mf_frame f;
		enum mf_status s = mf_wal_reader_next(r, &f, err);
		if (s == MF_E_AGAIN)
			break;
		MF_TRY(s);
		MF_TRY(mf_wal_reader_records(r, &f, from, to, fn, ctx, err));
		if (f.tree_size > next)
			next = f.tree_size < to ? f.tree_size : to;
	}
	*ret_next = next;
	return MF_OK;
}
