/* The log's writer and reader on a disk in memory: what is written comes back, and nothing else is believed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "log/crc32c.h"
#include "log/wal.h"
#include "log_kit.h"
#include "memdisk.h"

#define SEG 4096
#define TAIL 1024
#define RESERVE 2048
#define DIRFD 3 /* memdisk has one directory and does not look */

static struct mf_wal_opts
opts_on(struct memdisk *d)
{
	return (struct mf_wal_opts) {
		.io = mf_memdisk_io(d), .segment = SEG, .tail_reserve = TAIL, .reserve = RESERVE
	};
}

static struct mf_wal *
must_open(const struct mf_wal_opts *o, struct mf_wal_recovery *rec)
{
	struct mf_wal *w = NULL;
	struct mf_err err = { 0 };
	if (mf_wal_open(DIRFD, o, &w, rec, &err) != MF_OK)
		fail_msg("open: %s", err.msg);
	return w;
}

/* Record ${i}: its content follows from its index, so that any record can be checked. */
static struct mf_slice
record(uint64_t i, char buf[200])
{
	int n =
	    snprintf(buf, 200, "{\"id\":%llu,\"pad\":\"%.*s\"}", (unsigned long long)i, (int)(i * 37 % 120),
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxx");
	return mf_slice(buf, (size_t)n);
}

static enum mf_status
append(struct mf_wal *w, uint64_t from, size_t n, enum mf_wal_class cls)
{
	static char buf[64][200];
	struct mf_slice rec[64];
	for (size_t i = 0; i < n; i++)
		rec[i] = record(from + i, buf[i]);
	uint64_t first = 0;
	enum mf_status s = mf_wal_append_batch(w, rec, n, cls, &first, NULL);
	if (s == MF_OK) {
		assert_true(first == from);
		assert_true(mf_wal_durable(w) == from + n);
	}
	return s;
}

/* Batches of 1 to 7 records until there are ${n}. */
static void
fill_log(struct mf_wal *w, uint64_t n)
{
	for (uint64_t at = mf_wal_durable(w), k = 1; at < n; k = k % 7 + 1) {
		uint64_t m = n - at < k ? n - at : k;
		assert_int_equal(append(w, at, m, MF_WAL_NORMAL), MF_OK);
		at += m;
	}
}

struct seen {
	uint64_t next;
	struct mf_merkle tree;
};

static enum mf_status
see(void *ctx, const struct mf_wal_record *rec, struct mf_err *err)
{
	MF_UNUSED(err);
	struct seen *s = ctx;
	char buf[200];
	assert_true(rec->index == s->next);
	assert_true(mf_slice_eq(rec->bytes, record(rec->index, buf)));
	uint8_t leaf[MF_HASH_SIZE];
	mf_merkle_leaf(rec->bytes, leaf);
	assert_memory_equal(leaf, rec->leaf, MF_HASH_SIZE);
	mf_merkle_append(&s->tree, leaf);
	s->next++;
	return MF_OK;
}

static void
assert_holds(struct memdisk *d, uint64_t n)
{
	struct seen s = { 0 };
	uint64_t next = 0;
	struct mf_err err = { 0 };
	if (mf_wal_read(mf_memdisk_io(d), DIRFD, 0, UINT64_MAX, see, &s, &next, &err) != MF_OK)
		fail_msg("read: %s", err.msg);
	assert_true(s.next == n && next == n);
}

static void
test_append_and_read(void **state)
{
	MF_UNUSED(state);
	struct memdisk *d = mf_memdisk_new(1 << 20, 1);
	struct mf_wal_opts o = opts_on(d);
	struct mf_wal *w = must_open(&o, NULL);
	assert_true(mf_wal_head(w).size == 0 && mf_wal_durable(w) == 0);
	assert_holds(d, 0);
	fill_log(w, 200);
	assert_holds(d, 200);
	struct seen s = { 0 };
	struct mf_wal_recovery rec;
	struct mf_wal_head head = mf_wal_head(w);
	/* Only one writer. */
	struct mf_wal *second = NULL;
	assert_int_equal(mf_wal_open(DIRFD, &o, &second, &rec, NULL), MF_E_STATE);
	mf_wal_free(w);
	o.on_record = see;
	o.ctx = &s;
	o.signed_head = &head;
	w = must_open(&o, &rec);
	assert_true(rec.records == 200 && rec.segments > 5 && rec.truncated_bytes == 0 && rec.head_checked);
	assert_true(s.next == 200);
	uint8_t root[MF_HASH_SIZE];
	mf_merkle_root(&s.tree, root);
	struct mf_wal_head again = mf_wal_head(w);
	assert_memory_equal(again.root, root, MF_HASH_SIZE);
	assert_memory_equal(head.root, root, MF_HASH_SIZE);
	fill_log(w, 300);
	assert_holds(d, 300);
	/* A part, up to a limit, and nothing past the end. */
	s = (struct seen) { .next = 77 };
	uint64_t next = 0;
	assert_int_equal(mf_wal_read(o.io, DIRFD, 77, 150, see, &s, &next, NULL), MF_OK);
	assert_true(s.next == 150 && next == 150);
	assert_int_equal(mf_wal_read(o.io, DIRFD, 300, UINT64_MAX, see, &s, &next, NULL), MF_OK);
	assert_true(next == 300);
	mf_wal_free(w);
	mf_memdisk_free(d);
}

static void
test_bad_batches(void **state)
{
	MF_UNUSED(state);
	struct memdisk *d = mf_memdisk_new(1 << 20, 1);
	struct mf_wal_opts o = opts_on(d);
	struct mf_wal *w = must_open(&o, NULL);
	static uint8_t big[MF_LIM_RECORD + 1];
	struct mf_slice rec[2] = { mf_slice(big, 1), mf_slice(big, 0) };
	uint64_t first = 99;
	uint64_t calls = mf_memdisk_calls(d);
	assert_int_equal(mf_wal_append_batch(w, rec, 0, MF_WAL_NORMAL, &first, NULL), MF_E_TOOBIG);
	assert_int_equal(mf_wal_append_batch(w, rec, 2, MF_WAL_NORMAL, &first, NULL), MF_E_TOOBIG);
	rec[1].n = sizeof(big);
	assert_int_equal(mf_wal_append_batch(w, rec, 2, MF_WAL_NORMAL, &first, NULL), MF_E_TOOBIG);
	rec[1].n = SEG; /* legal, but more than this small segment holds */
	assert_int_equal(mf_wal_append_batch(w, rec, 2, MF_WAL_NORMAL, &first, NULL), MF_E_TOOBIG);
	assert_true(first == 99 && mf_memdisk_calls(d) == calls);
	assert_int_equal(append(w, 0, 1, MF_WAL_NORMAL), MF_OK);
	mf_wal_free(w);
	o.tail_reserve = SEG;
	assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, NULL), MF_E_INVALID);
	o = opts_on(d);
	o.segment = (uint64_t)MF_LIM_WAL_SEGMENT * 2;
	assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, NULL), MF_E_INVALID);
	mf_memdisk_free(d);
	static struct mf_slice many[MF_LIM_WAL_BATCH + 9];
	for (size_t i = 0; i < MF_COUNT(many); i++)
		many[i] = mf_slice(big, 1);
	assert_int_equal(mf_wal_batch_fits(many, MF_COUNT(many)), MF_LIM_WAL_BATCH);
	for (size_t i = 0; i < MF_COUNT(many); i++)
		many[i] = mf_slice(big, MF_LIM_RECORD);
	assert_int_equal(mf_wal_batch_fits(many, MF_COUNT(many)), MF_LIM_WAL_FRAME / (MF_LIM_RECORD + 2));
}

static struct mf_wal_anchor rolled[64];
static size_t n_rolled;

static void
on_rollover(void *ctx, const struct mf_wal_anchor *anchor)
{
	MF_UNUSED(ctx);
	assert_true(n_rolled < MF_COUNT(rolled));
	rolled[n_rolled++] = *anchor;
}

/* A start from a snapshot at a rollover reads the rest only, and ends at the same head. */
static void
test_anchored_open(void **state)
{
	MF_UNUSED(state);
	struct memdisk *d = mf_memdisk_new(1 << 20, 1);
	struct mf_wal_opts o = opts_on(d);
	n_rolled = 0;
	o.on_rollover = on_rollover;
	struct mf_wal *w = must_open(&o, NULL);
	assert_int_equal(n_rolled, 0);
	fill_log(w, 150);
	assert_true(n_rolled > 3);
	struct mf_wal_head head = mf_wal_head(w), early;
	mf_wal_free(w);
	o.on_rollover = NULL;
	o.on_record = see;
	for (size_t i = 0; i < n_rolled; i++) {
		struct seen s = { .next = rolled[i].tree.size, .tree = rolled[i].tree };
		struct mf_wal_recovery rec;
		o.from = &rolled[i];
		o.signed_head = &head;
		o.ctx = &s;
		w = must_open(&o, &rec);
		assert_true(rec.head_checked && s.next == 150 && rec.records == 150 - rolled[i].tree.size);
		assert_int_equal(rec.segments, n_rolled - i);
		struct mf_wal_head got = mf_wal_head(w);
		assert_memory_equal(got.root, head.root, MF_HASH_SIZE);
		mf_wal_free(w);
		/* A head from before the snapshot cannot be compared; the answer says so. */
		early = (struct mf_wal_head) { .size = rolled[i].tree.size - 1 };
		o.signed_head = &early;
		s = (struct seen) { .next = rolled[i].tree.size };
		w = must_open(&o, &rec);
		assert_false(rec.head_checked);
		mf_wal_free(w);
	}
	/* A snapshot of another log, or one where no segment begins. */
	struct mf_wal_anchor foreign = rolled[1];
	foreign.frame_hash[0] ^= 1;
	o.from = &foreign;
	o.signed_head = NULL;
	o.on_record = NULL;
	assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, NULL), MF_E_CORRUPT);
	foreign.tree.size++;
	assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, NULL), MF_E_NOTFOUND);
	mf_memdisk_free(d);
}

/* The head of an older day, of another log, and of a longer one. */
static void
test_signed_head(void **state)
{
	MF_UNUSED(state);
	struct memdisk *d = mf_memdisk_new(1 << 20, 1);
	struct mf_wal_opts o = opts_on(d);
	struct mf_wal *w = must_open(&o, NULL);
	struct mf_wal_head empty = mf_wal_head(w);
	fill_log(w, 21);
	struct mf_wal_head middle = mf_wal_head(w);
	fill_log(w, 60);
	mf_wal_free(w);
	struct mf_wal_recovery rec;
	const struct mf_wal_head *good[] = { &empty, &middle };
	for (size_t i = 0; i < MF_COUNT(good); i++) {
		o.signed_head = good[i];
		w = must_open(&o, &rec);
		assert_true(rec.head_checked);
		mf_wal_free(w);
	}
	struct mf_wal_head bad = middle;
	struct mf_err err = { 0 };
	o.signed_head = &bad;
	bad.root[5] ^= 1;
	assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, &err), MF_E_CORRUPT);
	assert_non_null(strstr(err.msg, "not those of the last signed head"));
	bad = middle;
	bad.size = 23; /* inside a batch: no head is ever signed there */
	assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, &err), MF_E_CORRUPT);
	bad.size = 61;
	assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, &err), MF_E_CORRUPT);
	assert_non_null(strstr(err.msg, "60 readable records but its last signed head has 61"));
	mf_memdisk_free(d);
}

/* A copy of the log's files, cut or damaged at will, opened on a disk of its own. */
struct image {
	char name[16][MF_SEGMENT_NAME_MAX];
	uint8_t *p[16];
	size_t len[16];
	size_t n;
};

static void
take_image(struct memdisk *d, struct image *im)
{
	memset(im, 0, sizeof(*im));
	for (uint64_t i = 0; i < 1000; i++) {
		char name[MF_SEGMENT_NAME_MAX];
		size_t n = 0;
		mf_segment_name(i, name);
		const uint8_t *p = mf_memdisk_file(d, name, &n);
		if (p == NULL)
			continue;
		assert_true(im->n < 16);
		memcpy(im->name[im->n], name, sizeof(name));
		im->p[im->n] = malloc(n + 1);
		assert_non_null(im->p[im->n]);
		memcpy(im->p[im->n], p, n);
		im->len[im->n++] = n;
	}
}

static void
free_image(struct image *im)
{
	for (size_t i = 0; i < im->n; i++)
		free(im->p[i]);
}

static void
put_file(const struct mf_log_io *io, const char *name, const uint8_t *p, size_t n)
{
	int fd = io->open(io->ctx, DIRFD, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io->pwrite(io->ctx, fd, p, n, 0), n);
	assert_int_equal(io->fsync(io->ctx, fd), 0);
	assert_int_equal(io->fsync(io->ctx, io->open(io->ctx, DIRFD, ".", O_RDONLY, 0)), 0);
}

static struct memdisk *
put_image(const struct image *im)
{
	struct memdisk *d = mf_memdisk_new(1 << 20, 7);
	for (size_t i = 0; i < im->n; i++)
		put_file(mf_memdisk_io(d), im->name[i], im->p[i], im->len[i]);
	mf_memdisk_exit(d);
	return d;
}

/* Opens, goes on, loses the power, and still holds everything. */
static void
assert_recovers(struct memdisk *d, uint64_t n, uint64_t truncated)
{
	struct mf_wal_opts o = opts_on(d);
	struct mf_wal_recovery rec;
	struct seen s = { 0 };
	o.on_record = see;
	o.ctx = &s;
	struct mf_wal *w = must_open(&o, &rec);
	assert_true(rec.records == n && s.next == n);
	assert_true(rec.truncated_bytes == truncated && rec.copied == (truncated > 0));
	fill_log(w, n + 3);
	mf_wal_free(w); /* writes nothing */
	mf_memdisk_power_loss(d);
	assert_holds(d, n + 3);
}

/* The last frame cut at every byte, with nothing, zeros or garbage after the cut. */
static void
test_torn_tail_everywhere(void **state)
{
	MF_UNUSED(state);
	struct memdisk *d = mf_memdisk_new(1 << 20, 1);
	struct mf_wal_opts o = opts_on(d);
	struct mf_wal *w = must_open(&o, NULL);
	fill_log(w, 40);
	struct image im;
	take_image(d, &im);
	size_t last = im.n - 1, before = im.len[last];
	assert_int_equal(append(w, 40, 3, MF_WAL_NORMAL), MF_OK);
	mf_wal_free(w);
	free_image(&im);
	take_image(d, &im);
	assert_int_equal(last, im.n - 1); /* the frame did not begin a segment */
	size_t whole = im.len[last];
	mf_memdisk_free(d);
	uint8_t *full = im.p[last];
	uint8_t *p = malloc(whole + 100);
	assert_non_null(p);
	im.p[last] = p;
	for (size_t cut = before; cut < whole; cut++) {
		for (int tail = 0; tail < 3; tail++) {
			memcpy(p, full, cut);
			size_t extra = tail == 0 ? 0 : whole - cut + (cut % 90);
			for (size_t i = 0; i < extra; i++)
				p[cut + i] = tail == 1 ? 0 : (uint8_t)((cut + i) * 131 % 251);
			im.len[last] = cut + extra;
			d = put_image(&im);
			assert_recovers(d, 40, cut + extra - before);
			mf_memdisk_free(d);
		}
	}
	/* The whole frame is there: it counts, whatever was acknowledged. */
	memcpy(p, full, whole);
	im.len[last] = whole;
	d = put_image(&im);
	assert_recovers(d, 43, 0);
	mf_memdisk_free(d);
	free(full);
	free_image(&im);
}

static void
expect_corrupt(const struct image *im, const char *segment, uint64_t index)
{
	struct memdisk *d = put_image(im);
	struct mf_wal_opts o = opts_on(d);
	struct mf_wal *w = NULL;
	struct mf_err err = { 0 };
	char want[64];
	assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, &err), MF_E_CORRUPT);
	if (segment != NULL && strstr(err.msg, segment) == NULL)
		fail_msg("segment %s not named: %s", segment, err.msg);
	(void)snprintf(want, sizeof(want), "first bad index %llu:", (unsigned long long)index);
	if (strstr(err.msg, want) == NULL)
		fail_msg("%s not in: %s", want, err.msg);
	/* Refused means untouched. */
	for (size_t i = 0; i < im->n; i++) {
		size_t n = 0;
		const uint8_t *p = mf_memdisk_file(d, im->name[i], &n);
		assert_non_null(p);
		assert_int_equal(n, im->len[i]);
		assert_memory_equal(p, im->p[i], n);
	}
	mf_memdisk_free(d);
}

/* Frame ${k} of a segment: where it begins, how long it is, its first index. */
static struct mf_slice
nth_frame(const struct image *im, size_t seg, size_t k, uint64_t *ret_index)
{
	struct mf_slice all = mf_slice(im->p[seg], im->len[seg]);
	struct mf_frame f;
	size_t len = 0;
	for (size_t i = 0;; i++) {
		assert_int_equal(mf_frame_peek(all, &len, NULL), MF_OK);
		assert_int_equal(mf_frame_decode(mf_slice_sub(all, 0, len), &f, NULL), MF_OK);
		if (i == k)
			break;
		all = mf_slice_sub(all, len, all.n);
	}
	*ret_index = f.first_index;
	return mf_slice_sub(all, 0, len);
}

/* Any damage that is not at the end is refused, by segment and first bad index. */
static void
test_damage_refused(void **state)
{
	MF_UNUSED(state);
	struct memdisk *d = mf_memdisk_new(1 << 20, 1);
	struct mf_wal_opts o = opts_on(d);
	struct mf_wal *w = must_open(&o, NULL);
	fill_log(w, 100);
	assert_int_equal(append(w, 100, 2, MF_WAL_NORMAL), MF_OK);
	assert_int_equal(append(w, 102, 2, MF_WAL_NORMAL), MF_OK);
	mf_wal_free(w);
	struct image im;
	take_image(d, &im);
	mf_memdisk_free(d);
	assert_true(im.n > 3);
	uint64_t index = 0;

	/* Each byte of the first segment's second frame, and of the last segment's frame before the last. */
	struct mf_slice f = nth_frame(&im, 0, 1, &index);
	for (size_t i = 0; i < f.n; i++) {
		uint8_t *at = im.p[0] + (f.p - im.p[0]) + i;
		*at ^= 0x11;
		expect_corrupt(&im, im.name[0], index);
		*at ^= 0x11;
	}
	size_t last = im.n - 1, frames = 0;
	for (size_t at = 0, len = 0; at < im.len[last]; at += len, frames++)
		assert_int_equal(
		    mf_frame_peek(mf_slice(im.p[last] + at, im.len[last] - at), &len, NULL), MF_OK);
	assert_true(frames >= 2);
	f = nth_frame(&im, last, frames - 2, &index);
	for (size_t i = 0; i < f.n; i++) {
		uint8_t *at = im.p[last] + (f.p - im.p[last]) + i;
		*at ^= 0x11;
		expect_corrupt(&im, im.name[last], index);
		*at ^= 0x11;
	}

	/* A segment missing at the beginning, in the middle; the middle one twice under another name. */
	struct image less = im;
	uint64_t first = 0;
	memmove(less.name[0], less.name[1], sizeof(less.name[0]) * (im.n - 1));
	memmove(&less.p[0], &less.p[1], sizeof(less.p[0]) * (im.n - 1));
	memmove(&less.len[0], &less.len[1], sizeof(less.len[0]) * (im.n - 1));
	less.n--;
	expect_corrupt(&less, NULL, 0);
	less = im;
	assert_true(mf_segment_parse(im.name[1], &first));
	memmove(less.name[1], less.name[2], sizeof(less.name[0]) * (im.n - 2));
	memmove(&less.p[1], &less.p[2], sizeof(less.p[0]) * (im.n - 2));
	memmove(&less.len[1], &less.len[2], sizeof(less.len[0]) * (im.n - 2));
	less.n--;
	expect_corrupt(&less, im.name[0], first);
	struct image more = im;
	mf_segment_name(first + 1, more.name[more.n]);
	more.p[more.n] = im.p[1];
	more.len[more.n++] = im.len[1];
	assert_true(mf_segment_parse(im.name[2], &index));
	expect_corrupt(&more, im.name[1], index);

	/* Two segments under each other's names. */
	more = im;
	memcpy(more.name[1], im.name[2], sizeof(more.name[0]));
	memcpy(more.name[2], im.name[1], sizeof(more.name[0]));
	expect_corrupt(&more, im.name[1], first);
	/* A segment that lost its last frame, whole. */
	uint64_t cut = 0;
	size_t k = 0;
	for (size_t at = 0, len = 0; at < im.len[1]; at += len, k++)
		assert_int_equal(mf_frame_peek(mf_slice(im.p[1] + at, im.len[1] - at), &len, NULL), MF_OK);
	more = im;
	more.len[1] -= nth_frame(&im, 1, k - 1, &cut).n;
	expect_corrupt(&more, im.name[1], cut);
	free_image(&im);
}

/* Frames that are good each by itself, in the wrong order, twice, or left out, in the last segment. */
static void
test_moved_frames_refused(void **state)
{
	MF_UNUSED(state);
	struct memdisk *d = mf_memdisk_new(1 << 20, 1);
	struct mf_wal_opts o = opts_on(d);
	struct mf_wal *w = must_open(&o, NULL);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(append(w, 2 * i, 2, MF_WAL_NORMAL), MF_OK);
	mf_wal_free(w);
	struct image im;
	take_image(d, &im);
	mf_memdisk_free(d);
	assert_int_equal(im.n, 1);
	static const struct {
		size_t order[5], n;
		uint64_t bad;
	} cases[] = { { { 0, 2, 1, 3 }, 4, 2 }, { { 0, 1, 1, 2, 3 }, 5, 4 }, { { 0, 1, 3 }, 3, 4 },
		{ { 1, 2, 3 }, 3, 0 }, { { 0, 1, 2, 3, 0 }, 5, 8 }, { { 3, 2, 1, 0 }, 4, 0 } };
	struct image cut = im;
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		cut.p[0] = malloc(2 * im.len[0]);
		assert_non_null(cut.p[0]);
		cut.len[0] = 0;
		for (size_t k = 0; k < cases[i].n; k++) {
			uint64_t index;
			struct mf_slice f = nth_frame(&im, 0, cases[i].order[k], &index);
			memcpy(cut.p[0] + cut.len[0], f.p, f.n);
			cut.len[0] += f.n;
		}
		expect_corrupt(&cut, im.name[0], cases[i].bad);
		free(cut.p[0]);
	}
	/* Well-formed, rightly chained, but the root is a lie. */
	uint64_t index;
	struct mf_slice f = nth_frame(&im, 0, 3, &index);
	uint8_t *end = im.p[0] + im.len[0];
	end[-5] ^= 1;
	uint32_t crc = mf_crc32c(mf_slice(end - f.n, f.n - 4));
	for (size_t i = 0; i < 4; i++)
		end[-1 - (ptrdiff_t)i] = (uint8_t)(crc >> (8 * i));
	expect_corrupt(&im, im.name[0], 6);
	free_image(&im);
}

/* Followers on a real file system while the writer goes through rollovers: what is durable can be read. */
#define FOLLOWED 600

struct follower {
	struct log_kit *k;
	uint64_t next;
	bool failed;
};

static enum mf_status
follow_one(void *ctx, const struct mf_wal_record *rec, struct mf_err *err)
{
	MF_UNUSED(err);
	struct follower *f = ctx;
	f->failed = f->failed || rec->index != f->next;
	f->next++;
	return MF_OK;
}

static void *
follow(void *arg)
{
	struct follower *f = arg;
	while (f->next < FOLLOWED && !f->failed) {
		uint64_t to = mf_wal_durable(f->k->wal), next = 0;
		struct mf_wal_anchor at;
		mf_wal_get_anchor(f->k->wal, &at);
		struct mf_wal_head h = mf_wal_head(f->k->wal);
		f->failed =
		    f->failed || at.tree.size < to || h.size < at.tree.size || mf_wal_poisoned(f->k->wal);
		(void)mf_wal_space(f->k->wal);
		if (mf_wal_read(NULL, f->k->waldirfd, f->next, to, follow_one, f, &next, NULL) != MF_OK ||
		    next != to)
			f->failed = true;
	}
	return NULL;
}

static void
test_followers(void **state)
{
	MF_UNUSED(state);
	struct log_kit k;
	char dir[] = "/tmp/mayfly-test-wal-XXXXXX", cmd[100];
	assert_non_null(mkdtemp(dir));
	mf_log_kit_open(&k, dir, 0, 8192);
	struct follower f[3];
	pthread_t t[3];
	for (size_t i = 0; i < MF_COUNT(f); i++) {
		f[i] = (struct follower) { .k = &k };
		assert_int_equal(pthread_create(&t[i], NULL, follow, &f[i]), 0);
	}
	for (uint64_t i = 0; i < FOLLOWED; i += 4)
		mf_log_kit_append(&k, 4, 1 + i % 4);
	for (size_t i = 0; i < MF_COUNT(f); i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_false(f[i].failed);
		assert_true(f[i].next == FOLLOWED);
	}
	mf_log_kit_close(&k);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_read),
		cmocka_unit_test(test_bad_batches),
		cmocka_unit_test(test_anchored_open),
		cmocka_unit_test(test_signed_head),
		cmocka_unit_test(test_torn_tail_everywhere),
		cmocka_unit_test(test_damage_refused),
		cmocka_unit_test(test_moved_frames_refused),
		cmocka_unit_test(test_followers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
