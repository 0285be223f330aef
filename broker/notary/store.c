#include "broker/notary/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "broker/core/snapshot.h"
#include "crypto/hash.h"

#define HEAD "mayfly-snapshot-file-1"
#define NAME_LEN 21 /* 16 digits and ".snap" */

static void
snap_name(uint64_t size, char *to)
{
	(void)snprintf(to, 32, "%016llu.snap", (unsigned long long)size);
}

/* A directory of the log, open. */
struct dir {
	const struct mf_log_io *io;
	int fd; /* -1: not open */
};

static enum mf_status
open_dir(struct dir *d, const struct mf_log_io *io, int log_dirfd, const char *name, bool create,
    struct mf_err *err)
{
	d->io = io == NULL ? mf_log_io_system() : io;
	if (create && d->io->mkdir(d->io->ctx, log_dirfd, name, 0700) != 0 && errno != EEXIST)
		return MF_FAIL(err, MF_E_IO, "log/%s: cannot be made (errno %d)", name, errno);
	d->fd = d->io->open(d->io->ctx, log_dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	if (d->fd < 0)
		return MF_FAIL(err, errno == ENOENT ? MF_E_NOTFOUND : MF_E_IO,
		    "log/%s: cannot be opened (errno %d)", name, errno);
	return MF_OK;
}

static void
dir_fini(struct dir *d)
{
	if (d->fd >= 0)
		(void)d->io->close(d->io->ctx, d->fd);
}

/* The 16 digits, leading zeros and all. */
static bool
size_of_name(const char *name, uint64_t *ret_size)
{
	uint64_t v = 0;
	for (size_t i = 0; i < 16; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(name[i] - '0');
	}
	*ret_size = v;
	return true;
}

struct search {
	uint64_t below, best;
};

static bool
consider(void *arg, const char *name)
{
	struct search *s = arg;
	uint64_t size;
	char want[32];
	if (strlen(name) != NAME_LEN || !size_of_name(name, &size))
		return true;
	snap_name(size, want);
	if (strcmp(want, name) == 0 && size < s->below && size > s->best)
		s->best = size;
	return true;
}

/* The newest snapshot with a size in [1, below); 0 when there is none. */
static uint64_t
newest(const struct dir *snaps, uint64_t below)
{
	struct search s = { .below = below };
	return snaps->io->list(snaps->io->ctx, snaps->fd, consider, &s) == 0 ? s.best : 0;
}

/* ---- the file: head line, edge, then the state ---- */

static enum mf_status
write_file(const struct dir *snaps, const struct mf_state *st, const struct mf_wal_anchor *at,
    uint8_t ret_sha256[32], struct mf_err *err)
{
	char name[32];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, edge;
	mf_buf_init(&text, MF_SNAPSHOT_MAX);
	mf_buf_init(&edge, MF_MERKLE_CODED_MAX);
	mf_merkle_put(&at->tree, &edge);
	mf_buf_put_str(&text, HEAD " ");
	mf_hex_put(&text, mf_buf_slice(&edge));
	mf_buf_put_u8(&text, ' ');
	mf_hex_put(&text, mf_slice(at->frame_hash, sizeof(at->frame_hash)));
	mf_buf_put_u8(&text, '\n');
	MF_TRY(mf_snapshot_write(st, &text, err));
	mf_sha256(mf_buf_slice(&text), ret_sha256);
	snap_name(at->tree.size, name);
	MF_TRY(mf_buf_check(&text, err));
	return mf_log_io_replace(snaps->io, snaps->fd, name, mf_buf_slice(&text), err);
}

static bool
cut(struct mf_slice *rest, uint8_t sep, struct mf_slice *ret_word)
{
	const uint8_t *at = rest->n == 0 ? NULL : memchr(rest->p, sep, rest->n);
	if (at == NULL)
		return false;
	size_t n = (size_t)(at - rest->p);
	*ret_word = mf_slice(rest->p, n);
	*rest = mf_slice_sub(*rest, n + 1, rest->n);
	return true;
}

static enum mf_status
read_file(const struct dir *snaps, uint64_t size, struct mf_state **ret_st, struct mf_wal_anchor *ret_at,
    char ret_hex[65], struct mf_err *err)
{
	char name[32];
	uint8_t sha[32];
	struct mf_slice rest, head, edge_hex, frame_hex;
	MF_AUTO(mf_state_free) struct mf_state *st = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, edge, frame;
	mf_buf_init(&text, MF_SNAPSHOT_MAX);
	mf_buf_init(&edge, MF_MERKLE_CODED_MAX);
	mf_buf_init(&frame, MF_HASH_SIZE);
	snap_name(size, name);
	MF_TRY(mf_log_io_load(snaps->io, snaps->fd, name, &text, err));
	mf_sha256(mf_buf_slice(&text), sha);
	rest = mf_buf_slice(&text);
	if (!cut(&rest, ' ', &head) || !mf_slice_eq_str(head, HEAD) || !cut(&rest, ' ', &edge_hex) ||
	    !cut(&rest, '\n', &frame_hex))
		return MF_FAIL(err, MF_E_CORRUPT, "snapshot %s: bad head", name);
	MF_TRY(mf_hex_get(edge_hex, &edge, err));
	MF_TRY(mf_hex_get(frame_hex, &frame, err));
	MF_TRY(mf_merkle_get(mf_buf_slice(&edge), &ret_at->tree, err));
	if (frame.n != MF_HASH_SIZE || ret_at->tree.size != size)
		return MF_FAIL(err, MF_E_CORRUPT, "snapshot %s: its head is another's", name);
	memcpy(ret_at->frame_hash, frame.p, MF_HASH_SIZE);
	MF_TRY(mf_state_new(&st, err));
	MF_TRY(mf_snapshot_read(rest, st, err));
	if (mf_state_size(st) != size)
		return MF_FAIL(err, MF_E_CORRUPT, "snapshot %s: its state is of another size", name);
	mf_buf_reset(&edge);
	mf_hex_put(&edge, mf_slice(sha, sizeof(sha)));
	memcpy(ret_hex, mf_buf_cstr(&edge), 65);
	*ret_st = MF_TAKE(st);
	return MF_OK;
}

/* ---- replay ---- */

struct replay {
	struct mf_state *st;
	uint64_t count;
	const char *want_hex; /* the snapshot's hash, to be found in the tail; NULL: none */
	uint64_t want_size;
	bool found;
};

static enum mf_status
replay_record(void *ctx, const struct mf_wal_record *rec, struct mf_err *err)
{
	struct replay *r = ((struct mf_store_hook *)ctx)->replay;
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *doc = NULL;
	if (mf_record_decode(rec->bytes, &doc, err) != MF_OK)
		return mf_err_wrap(err, MF_E_CORRUPT, "log record %llu", (unsigned long long)rec->index);
	const struct mf_record *m = mf_record_doc_get(doc);
	if (r->want_hex != NULL && m->type == MF_REC_SNAPSHOT_WRITTEN &&
	    (uint64_t)m->n[MF_RN_SIZE] == r->want_size && mf_slice_eq_str(m->s[MF_RS_SHA256], r->want_hex))
		r->found = true;
	r->count++;
	return mf_state_apply(r->st, rec->index, m, err);
}

static void
rolled_over(void *ctx, const struct mf_wal_anchor *anchor)
{
	struct mf_store_hook *h = ctx;
	if (h->on_rollover != NULL)
		h->on_rollover(h->ctx, anchor);
}

static enum mf_status
try_open(const struct mf_store_conf *conf, struct mf_store_hook *hook, const struct dir *wal_dir,
    const struct dir *snaps, uint64_t snapshot, struct mf_store_opened *o, struct mf_err *err)
{
	struct mf_wal_anchor at = { 0 };
	struct mf_wal_recovery rec;
	char hex[65];
	struct replay r = { .want_size = snapshot };
	MF_AUTO(mf_state_free) struct mf_state *st = NULL;
	MF_AUTO(mf_wal_free) struct mf_wal *wal = NULL;
	if (snapshot > 0) {
		MF_TRY(read_file(snaps, snapshot, &st, &at, hex, err));
		r.want_hex = hex;
	} else {
		MF_TRY(mf_state_new(&st, err));
	}
	r.st = st;
	/* The reserves keep the proportions that they have by default. */
	struct mf_wal_opts opts = { .io = conf->io,
		.segment = conf->segment,
		.tail_reserve = conf->segment / 8,
		.reserve = conf->segment / 4,
		.from = snapshot > 0 ? &at : NULL,
		.signed_head = o->has_head ? &o->signed_head : NULL,
		.on_record = replay_record,
		.on_rollover = rolled_over,
		.ctx = hook };
	hook->replay = &r;
	enum mf_status s = mf_wal_open(wal_dir->fd, &opts, &wal, &rec, err);
	hook->replay = NULL;
	MF_TRY(s);
	/* Also when this snapshot is not believed: the next try finds the tail mended already. */
	o->truncated_bytes += rec.truncated_bytes;
	if (snapshot > 0 && (!r.found || (o->has_head && !rec.head_checked)))
		return MF_FAIL(err, MF_E_NOTFOUND, "snapshot %llu is not vouched for by the log",
		    (unsigned long long)snapshot);
	o->from_snapshot = snapshot;
	o->replayed = r.count;
	o->wal = MF_TAKE(wal);
	o->state = MF_TAKE(st);
	return MF_OK;
}

static enum mf_status
load_head(const struct mf_store_conf *conf, struct mf_store_opened *o, struct mf_err *err)
{
	struct mf_checkpoint cp;
	enum mf_status s = mf_checkpoint_load(conf->io, conf->log_dirfd, conf->key, &cp, err);
	if (s == MF_E_NOTFOUND)
		return MF_OK;
	if (s != MF_OK)
		return s;
	o->signed_head = cp.head;
	o->has_head = true;
	return MF_OK;
}

enum mf_status
mf_store_open(const struct mf_store_conf *conf, struct mf_store_hook *hook, struct mf_store_opened *ret_o,
    struct mf_err *err)
{
	struct mf_store_opened o = { 0 };
	MF_AUTO_IN(dir_fini) struct dir wal = { .fd = -1 };
	MF_AUTO_IN(dir_fini) struct dir snaps = { .fd = -1 };
	MF_TRY(open_dir(&wal, conf->io, conf->log_dirfd, "wal", false, err));
	MF_TRY(open_dir(&snaps, conf->io, conf->log_dirfd, "snapshots", true, err));
	MF_TRY(load_head(conf, &o, err));
	uint64_t below = UINT64_MAX;
	enum mf_status s;
	do {
		/* A snapshot that cannot be believed costs time, never truth: the next older one, then none. */
		struct mf_err why = { 0 };
		below = newest(&snaps, below);
		s = try_open(conf, hook, &wal, &snaps, below, &o, &why);
		if (s != MF_OK && err != NULL)
			*err = why;
	} while (s != MF_OK && below > 0);
	if (s == MF_OK)
		*ret_o = o;
	return s;
}

/* ---- making one ---- */

static void
remove_older(const struct dir *snaps, uint64_t keep_below)
{
	/* The one before stays: should the new one turn out bad, a start needs only one more segment. */
	uint64_t size = newest(snaps, keep_below);
	while (size > 0 && (size = newest(snaps, size)) > 0) {
		char name[32];
		snap_name(size, name);
		if (snaps->io->unlink(snaps->io->ctx, snaps->fd, name) != 0)
			return; /* it only takes space */
	}
}

/* The log's state after ${size} records, from the snapshot of ${base} records (0: from the beginning). */
static enum mf_status
fold(const struct dir *wal, const struct dir *snaps, uint64_t base, uint64_t size, struct mf_state **ret_st,
    struct mf_err *err)
{
	MF_AUTO(mf_state_free) struct mf_state *st = NULL;
	struct mf_wal_anchor from;
	char hex[65];
	uint64_t next;
	struct replay r = { .want_size = base };
	if (base > 0) {
		MF_TRY(read_file(snaps, base, &st, &from, hex, err));
		r.want_hex = hex;
	} else {
		MF_TRY(mf_state_new(&st, err));
	}
	r.st = st;
	struct mf_store_hook hook = { .replay = &r };
	MF_TRY(mf_wal_read(wal->io, wal->fd, base, size, replay_record, &hook, &next, err));
	if (base > 0 && !r.found)
		return MF_FAIL(err, MF_E_NOTFOUND, "snapshot %llu is not vouched for by the log",
		    (unsigned long long)base);
	if (mf_state_size(st) != size)
		return MF_FAIL(err, MF_E_CORRUPT, "snapshot: the log ends before its own rollover");
	*ret_st = MF_TAKE(st);
	return MF_OK;
}

enum mf_status
mf_store_write(const struct mf_log_io *io, int log_dirfd, const struct mf_state *st,
    const struct mf_wal_anchor *at, uint8_t ret_sha256[32], struct mf_err *err)
{
	MF_AUTO_IN(dir_fini) struct dir snaps = { .fd = -1 };
	MF_TRY(open_dir(&snaps, io, log_dirfd, "snapshots", true, err));
	MF_TRY(write_file(&snaps, st, at, ret_sha256, err));
	remove_older(&snaps, at->tree.size);
	return MF_OK;
}

enum mf_status
mf_store_snapshot(const struct mf_log_io *io, int log_dirfd, const struct mf_wal_anchor *to,
    uint8_t ret_sha256[32], struct mf_err *err)
{
	MF_AUTO_IN(dir_fini) struct dir wal = { .fd = -1 };
	MF_AUTO_IN(dir_fini) struct dir snaps = { .fd = -1 };
	MF_AUTO(mf_state_free) struct mf_state *st = NULL;
	MF_TRY(open_dir(&wal, io, log_dirfd, "wal", false, err));
	MF_TRY(open_dir(&snaps, io, log_dirfd, "snapshots", true, err));
	uint64_t base = newest(&snaps, to->tree.size);
	/* What we write gets its record: nothing goes into it that has none. */
	while (base > 0 && fold(&wal, &snaps, base, to->tree.size, &st, NULL) != MF_OK)
		base = newest(&snaps, base);
	if (base == 0)
		MF_TRY(fold(&wal, &snaps, 0, to->tree.size, &st, err));
	return mf_store_write(io, log_dirfd, st, to, ret_sha256, err);
}
