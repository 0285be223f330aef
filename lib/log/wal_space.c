/* Space for the writer: segments and the reserve, taken ahead; who may use what when the disk is full. */
#include <errno.h>

#include "log/wal_internal.h"

/* Blocks [0, n) of a file. A file system that cannot allocate ahead is taken as it is, and told by
 * mf_wal_space. */
static enum mf_status
allocate(struct mf_wal *w, int fd, uint64_t n, const char *name, struct mf_err *err)
{
	int r;
	do
		r = w->io->allocate(w->io->ctx, fd, n);
	while (r != 0 && errno == EINTR);
	if (r == 0)
		return MF_OK;
	if (errno == EOPNOTSUPP || errno == ENOSYS) {
		w->preallocated = false;
		return MF_OK;
	}
	return mf_log_io_fail(err, "allocate", name);
}

/* A new file of ${n} allocated bytes on disk, under a temporary name: its descriptor. */
static enum mf_status
create_file(struct mf_wal *w, const char *tmp, uint64_t n, int *ret_fd, struct mf_err *err)
{
	int fd = w->io->open(w->io->ctx, w->dirfd, tmp, O_RDWR | O_CREAT | O_TRUNC, 0640);
	if (fd < 0)
		return mf_log_io_fail(err, "create", tmp);
	enum mf_status s = allocate(w, fd, n, tmp, err);
	if (s == MF_OK && w->io->fsync(w->io->ctx, fd) != 0)
		s = mf_log_io_fail(err, "sync", tmp);
	if (s == MF_OK) {
		*ret_fd = fd;
		return MF_OK;
	}
	(void)w->io->close(w->io->ctx, fd);
	(void)w->io->unlink(w->io->ctx, w->dirfd, tmp);
	return s;
}

/* Give it its name. After MF_E_EXHAUSTED it has still the old one; MF_E_IO also when a full disk fails the sync. */
static enum mf_status
place_file(struct mf_wal *w, const char *tmp, const char *name, struct mf_err *err)
{
	if (w->io->rename(w->io->ctx, w->dirfd, tmp, name) != 0)
		return mf_log_io_fail(err, "rename to", name);
	if (w->io->fsync(w->io->ctx, w->dirfd) == 0)
		return MF_OK;
	(void)mf_log_io_fail(err, "sync directory of", name);
	return MF_E_IO;
}

enum mf_status
mf_wal_make_reserve(struct mf_wal *w, struct mf_err *err)
{
	if (w->have_reserve)
		return MF_OK;
	int fd = -1;
	MF_TRY(create_file(w, MF_WAL_RESERVE_TMP, w->reserve, &fd, err));
	(void)w->io->close(w->io->ctx, fd);
	MF_TRY(place_file(w, MF_WAL_RESERVE_TMP, MF_WAL_RESERVE_NAME, err));
	w->have_reserve = true;
	return MF_OK;
}

/* The next segment's file, ahead of its time: a full disk is known before it strikes. */
static enum mf_status
prepare_next(struct mf_wal *w, struct mf_err *err)
{
	return w->next_fd >= 0 ? MF_OK : create_file(w, MF_WAL_NEXT_TMP, w->segment, &w->next_fd, err);
}

/* ${fd} is the current segment from now on. */
static void
switch_to(struct mf_wal *w, int fd, uint64_t cap, bool removal_only)
{
	if (w->fd >= 0)
		(void)w->io->close(w->io->ctx, w->fd); /* synced after its last frame */
	w->fd = fd;
	w->end = 0;
	w->cap = cap;
	w->removal_only = removal_only;
	if (w->on_rollover != NULL)
		w->on_rollover(w->ctx, &w->at);
}

enum mf_status
mf_wal_new_segment(struct mf_wal *w, struct mf_err *err)
{
	char name[MF_SEGMENT_NAME_MAX];
	mf_segment_name(w->at.tree.size, name);
	MF_TRY(prepare_next(w, err));
	MF_TRY(place_file(w, MF_WAL_NEXT_TMP, name, err));
	int fd = w->next_fd;
	w->next_fd = -1;
	switch_to(w, fd, w->segment, false);
	return MF_OK;
}

enum mf_status
mf_wal_allocate(struct mf_wal *w, struct mf_err *err)
{
	w->removal_only = false;
	w->cap = w->end > w->segment ? w->end : w->segment; /* segments may have been larger once */
	enum mf_status s = allocate(w, w->fd, w->cap, "segment", err);
	if (s == MF_OK)
		return MF_OK;
	if (s != MF_E_EXHAUSTED)
		return s;
	/* It may be a former reserve, whose blocks are there. */
	w->removal_only = true;
	w->cap = w->end;
	s = w->end <= w->reserve ? allocate(w, w->fd, w->reserve, "segment", err) : MF_E_EXHAUSTED;
	if (s == MF_OK)
		w->cap = w->reserve;
	return s == MF_E_EXHAUSTED ? MF_OK : s;
}

static bool
normal_fits(const struct mf_wal *w, uint64_t len)
{
	return w->have_reserve && !w->removal_only && w->end + len + w->tail_reserve <= w->cap;
}

/* Blocks for a segment that could not have them all before. */
static enum mf_status
extend(struct mf_wal *w, struct mf_err *err)
{
	if (!w->removal_only || w->end >= w->segment)
		return MF_OK;
	MF_TRY(allocate(w, w->fd, w->segment, "segment", err));
	w->cap = w->segment;
	w->removal_only = false;
	return MF_OK;
}

/* Room for a normal frame of ${len} bytes, or MF_E_EXHAUSTED with nothing changed but maybe a new reserve. */
static enum mf_status
make_room(struct mf_wal *w, uint64_t len, struct mf_err *err)
{
	if (normal_fits(w, len))
		return MF_OK;
	enum mf_status s = mf_wal_make_reserve(w, err);
	if (s == MF_OK && w->end + len + w->tail_reserve <= w->segment)
		s = extend(w, err);
	if (s == MF_OK && !normal_fits(w, len))
		s = mf_wal_new_segment(w, err);
	if (s != MF_OK)
		w->full = true;
	return s;
}

void
mf_wal_look_ahead(struct mf_wal *w)
{
	uint64_t ahead = (w->segment - w->tail_reserve) / 4;
	enum mf_status s = mf_wal_make_reserve(w, NULL);
	if (s == MF_OK)
		s = extend(w, NULL);
	if (s == MF_OK && (w->removal_only || w->end + ahead + w->tail_reserve > w->cap))
		s = prepare_next(w, NULL);
	/* Whatever failed is tried again; where it matters, at the rollover, its error is told. */
	w->full = s != MF_OK;
}

enum mf_status
mf_wal_use_reserve(struct mf_wal *w, struct mf_err *err)
{
	char name[MF_SEGMENT_NAME_MAX];
	mf_segment_name(w->at.tree.size, name);
	int fd = w->io->open(w->io->ctx, w->dirfd, MF_WAL_RESERVE_NAME, O_RDWR, 0);
	if (fd < 0)
		return mf_log_io_fail(err, "open", MF_WAL_RESERVE_NAME);
	if (w->io->rename(w->io->ctx, w->dirfd, MF_WAL_RESERVE_NAME, name) != 0) {
		enum mf_status s = mf_log_io_fail(err, "rename reserve to", name);
		(void)w->io->close(w->io->ctx, fd);
		return s;
	}
	w->have_reserve = false;
	if (w->io->fsync(w->io->ctx, w->dirfd) != 0) {
		(void)mf_log_io_fail(err, "sync directory of", name);
		(void)w->io->close(w->io->ctx, fd);
		return MF_E_IO;
	}
	switch_to(w, fd, w->reserve, true);
	return MF_OK;
}

enum mf_status
mf_wal_room_for(struct mf_wal *w, uint64_t len, enum mf_wal_class cls, struct mf_err *err)
{
	/* Removals do not wait for a disk that was full a moment ago. */
	bool removal = cls == MF_WAL_REMOVAL;
	if (removal && w->full && w->end + len <= w->cap)
		return MF_OK;
	enum mf_status s = make_room(w, len, err);
	if (s != MF_E_EXHAUSTED)
		return s;
	if (!removal)
		return MF_FAIL(err, s, MF_WAL_FULL_NORMAL);
	if (w->end + len <= w->cap)
		return MF_OK;
	if (!w->have_reserve || len > w->reserve)
		return MF_FAIL(err, s, MF_WAL_FULL_REMOVAL);
	s = mf_wal_use_reserve(w, err);
	return s == MF_E_EXHAUSTED ? MF_FAIL(err, s, MF_WAL_FULL_REMOVAL) : s;
}
