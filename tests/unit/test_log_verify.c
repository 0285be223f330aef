/* The verifier against every way to change a log that we could think of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "log/idset.h"
#include "log/verify.h"
#include "memdisk.h"

#define DIRFD 3
#define T0 INT64_C(1790000000000000)

static const struct mf_wal_opts sizes = { .segment = 4096, .tail_reserve = 1024, .reserve = 2048 };

struct fixture {
	struct memdisk *d;
	struct mf_ed25519 *key;
	struct mf_note_key vkey;
	struct mf_wal *wal;
	struct mf_checkpointer *cp;
};

static struct mf_ed25519 *
key_of(uint8_t fill)
{
	uint8_t seed[32];
	memset(seed, fill, sizeof(seed));
	struct mf_ed25519 *k = NULL;
	assert_int_equal(mf_ed25519_new(mf_slice(seed, sizeof(seed)), &k, NULL), MF_OK);
	return k;
}

static void
setup(struct fixture *x)
{
	struct mf_wal_opts o = sizes;
	uint8_t pub[32];
	x->d = mf_memdisk_new(1 << 20, 1);
	x->key = key_of(5);
	mf_ed25519_public(x->key, pub);
	assert_int_equal(mf_note_key_init(MF_SLICE_LIT("example.org/log"), pub, &x->vkey, NULL), MF_OK);
	o.io = mf_memdisk_io(x->d);
	assert_int_equal(mf_wal_open(DIRFD, &o, &x->wal, NULL, NULL), MF_OK);
	assert_int_equal(
	    mf_checkpointer_new(o.io, DIRFD, MF_SLICE_LIT("example.org/log"), x->key, NULL, &x->cp, NULL),
	    MF_OK);
}

static void
teardown(struct fixture *x)
{
	mf_checkpointer_free(x->cp);
	mf_wal_free(x->wal);
	mf_ed25519_free(x->key);
	mf_memdisk_free(x->d);
}

static void
put_record(struct mf_buf *b, const char *type, uint64_t id, int64_t ts_us)
{
	mf_buf_reset(b);
	mf_buf_putf(b, "{\"id\":\"r-%llu\",\"ts\":\"", (unsigned long long)id);
	mf_time_put_us(b, ts_us);
	mf_buf_putf(b, "\",\"type\":\"%s\",\"v\":1}", type);
}

static void
append_raw(struct mf_wal *w, struct mf_slice rec)
{
	uint64_t first;
	assert_int_equal(mf_wal_append_batch(w, &rec, 1, MF_WAL_NORMAL, &first, NULL), MF_OK);
}

/* ${n} batches of 1 to 4 records, a second apart. */
static void
append(struct mf_wal *w, size_t n)
{
	struct mf_buf b[4];
	struct mf_slice rec[4];
	for (size_t i = 0; i < 4; i++)
		mf_buf_init(&b[i], 1000);
	for (size_t k = 0; k < n; k++) {
		uint64_t at = mf_wal_durable(w), first;
		size_t m = k % 4 + 1;
		for (size_t i = 0; i < m; i++) {
			put_record(&b[i], "svid.issued", at + i, T0 + (int64_t)(at + i) * 1000000);
			rec[i] = mf_buf_slice(&b[i]);
		}
		assert_int_equal(mf_wal_append_batch(w, rec, m, MF_WAL_NORMAL, &first, NULL), MF_OK);
	}
	for (size_t i = 0; i < 4; i++)
		mf_buf_fini(&b[i]);
}

static void
sign(struct fixture *x)
{
	struct mf_wal_head h = mf_wal_head(x->wal);
	assert_int_equal(mf_checkpointer_publish(x->cp, &h, NULL), MF_OK);
}

struct seen {
	uint64_t records, signed_below;
};

static enum mf_status
on_record(void *ctx, const struct mf_verify_record *r, struct mf_err *err)
{
	struct seen *s = ctx;
	MF_UNUSED(err);
	assert_true(r->rec->index == s->records);
	assert_true(r->id.n > 0 && r->ts_us >= T0 && mf_json_type(r->json) == MF_JSON_OBJECT);
	s->records++;
	return MF_OK;
}

static enum mf_status
on_signed(void *ctx, uint64_t size, struct mf_err *err)
{
	struct seen *s = ctx;
	MF_UNUSED(err);
	assert_true(size <= s->records && size >= s->signed_below);
	s->signed_below = size;
	return MF_OK;
}

static struct mf_verifier *
verifier(struct fixture *x, struct seen *s)
{
	struct mf_verifier *v = NULL;
	struct mf_verify_opts o = {
		.io = mf_memdisk_io(x->d), .log_dirfd = DIRFD, .wal_dirfd = DIRFD, .key = &x->vkey
	};
	if (s != NULL) {
		*s = (struct seen) { 0 };
		o.on_record = on_record;
		o.on_signed = on_signed;
		o.ctx = s;
	}
	assert_int_equal(mf_verifier_new(&o, &v, NULL), MF_OK);
	return v;
}

static void
test_good(void **state)
{
	MF_UNUSED(state);
	struct fixture x;
	struct seen s;
	setup(&x);
	struct mf_verifier *v = verifier(&x, &s);
	const struct mf_verify_report *rep = mf_verifier_report(v);
	bool moved = false;
	assert_int_equal(mf_verifier_head(v, &moved, NULL), MF_E_NOTFOUND);
	sign(&x); /* the empty log has a head too */
	assert_int_equal(mf_verifier_head(v, &moved, NULL), MF_OK);
	assert_true(moved && rep->have_head && rep->head.head.size == 0);
	append(x.wal, 60);
	assert_int_equal(mf_verifier_head(v, &moved, NULL), MF_OK);
	assert_true(!moved && rep->records == 0);
	/* Not signed yet: chained, and told apart. */
	assert_int_equal(mf_verifier_tail(v, NULL), MF_OK);
	assert_true(rep->records == 150 && s.records == 150 && s.signed_below == 0);
	assert_true(rep->first_unsigned_ts_us == T0 && !rep->unfinished);
	/* A head at a place that was passed, then one at the end. */
	sign(&x);
	append(x.wal, 2);
	assert_int_equal(mf_verifier_tail(v, NULL), MF_OK);
	assert_int_equal(mf_verifier_head(v, &moved, NULL), MF_OK);
	assert_true(moved && s.signed_below == 150 && rep->records == 153);
	assert_true(rep->first_unsigned_ts_us == T0 + INT64_C(150000000));
	sign(&x);
	assert_int_equal(mf_verifier_head(v, &moved, NULL), MF_OK);
	assert_true(moved && s.signed_below == 153 && rep->first_unsigned_ts_us == 0);
	/* And one that is ahead of what was read. */
	append(x.wal, 7);
	sign(&x);
	assert_int_equal(mf_verifier_head(v, &moved, NULL), MF_OK);
	assert_true(moved && s.signed_below == 169 && rep->records == 169);
	assert_string_equal(rep->head.origin, "example.org/log");
	mf_verifier_free(v);
	teardown(&x);
}

/* What a fresh verifier says. */
static enum mf_status
judge(struct fixture *x, struct mf_verify_report *rep, struct mf_err *err)
{
	MF_AUTO(mf_verifier_free) struct mf_verifier *v = verifier(x, NULL);
	bool moved;
	*err = (struct mf_err) { 0 };
	enum mf_status s = mf_verifier_head(v, &moved, err);
	if (s == MF_OK)
		s = mf_verifier_tail(v, err);
	*rep = *mf_verifier_report(v);
	return s;
}

static void
expect_bad(struct fixture *x, uint64_t index)
{
	struct mf_verify_report rep;
	struct mf_err err;
	char want[64];
	if (judge(x, &rep, &err) != MF_E_CORRUPT)
		fail_msg("not found bad at %llu: %s", (unsigned long long)index, err.msg);
	(void)snprintf(want, sizeof(want), "first bad index %llu:", (unsigned long long)index);
	if (!rep.bad_index_known || rep.bad_index != index || strstr(err.msg, want) == NULL)
		fail_msg("expected %s got %llu: %s", want, (unsigned long long)rep.bad_index, err.msg);
}

/* Every byte of a signed log, changed: refused, at the frame that it stands in. */
static void
test_every_byte(void **state)
{
	MF_UNUSED(state);
	struct fixture x;
	setup(&x);
	append(x.wal, 8);
	sign(&x);
	size_t n = 0, len = 0;
	uint8_t *p = mf_memdisk_file(x.d, "0000000000000000.seg", &n);
	assert_non_null(p);
	uint64_t index = 0;
	for (size_t at = 0; at < n; at += len) {
		struct mf_frame f;
		assert_int_equal(mf_frame_peek(mf_slice(p + at, n - at), &len, NULL), MF_OK);
		assert_int_equal(mf_frame_decode(mf_slice(p + at, len), &f, NULL), MF_OK);
		index = f.first_index;
		for (size_t i = at; i < at + len; i++) {
			p[i] ^= 0x40;
			expect_bad(&x, index);
			p[i] ^= 0x40;
		}
	}
	assert_true(n > 2000);
	struct mf_verify_report rep;
	struct mf_err err;
	assert_int_equal(judge(&x, &rep, &err), MF_OK);
	teardown(&x);
}

/* A copy of the disk's files in another fixture with the same key. */
static void
copy_file(struct memdisk *from, struct memdisk *to, const char *name, size_t upto)
{
	size_t n = 0;
	const uint8_t *p = mf_memdisk_file(from, name, &n);
	const struct mf_log_io *io = mf_memdisk_io(to);
	if (p == NULL)
		return;
	int fd = io->open(io->ctx, DIRFD, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	size_t m = n < upto ? n : upto;
	assert_int_equal(io->pwrite(io->ctx, fd, p, m, 0), m);
	(void)io->close(io->ctx, fd);
}

static void
copy_log(struct memdisk *from, struct memdisk *to)
{
	for (uint64_t i = 0; i < 400; i++) {
		char name[MF_SEGMENT_NAME_MAX];
		mf_segment_name(i, name);
		copy_file(from, to, name, SIZE_MAX);
	}
	copy_file(from, to, MF_CHECKPOINT_NAME, SIZE_MAX);
}

/* An older copy under a newer head; a longer log under a shorter head; one that was written anew. */
static void
test_rollback_and_rewrite(void **state)
{
	MF_UNUSED(state);
	struct fixture x;
	struct mf_verify_report rep;
	struct mf_err err;
	setup(&x);
	append(x.wal, 40);
	sign(&x);
	uint64_t size = mf_wal_durable(x.wal);
	struct memdisk *old = mf_memdisk_new(1 << 20, 2), *now = x.d;
	copy_log(now, old);
	append(x.wal, 40);
	sign(&x);
	/* A head that was seen is not forgotten when an older one is put in its place. */
	struct mf_verifier *v = verifier(&x, NULL);
	bool moved;
	assert_int_equal(mf_verifier_head(v, &moved, NULL), MF_OK);
	struct memdisk *newer = mf_memdisk_new(1 << 20, 5);
	copy_file(now, newer, MF_CHECKPOINT_NAME, SIZE_MAX);
	copy_file(old, now, MF_CHECKPOINT_NAME, SIZE_MAX);
	assert_int_equal(mf_verifier_head(v, &moved, &err), MF_E_CORRUPT);
	assert_non_null(strstr(err.msg, "the signed head went back"));
	assert_int_equal(mf_verifier_tail(v, &err), MF_E_CORRUPT); /* once bad, always bad */
	mf_verifier_free(v);
	copy_file(newer, now, MF_CHECKPOINT_NAME, SIZE_MAX);
	copy_file(newer, old, MF_CHECKPOINT_NAME, SIZE_MAX);
	mf_memdisk_free(newer);
	x.d = old;
	expect_bad(&x, size);
	mf_memdisk_free(old);
	x.d = now;

	struct mf_wal_head h = mf_wal_head(x.wal);
	struct memdisk *forged = mf_memdisk_new(1 << 20, 3);

	/* The whole log written anew by somebody who has everything but the key: only the range is known. */
	struct mf_wal_opts o = sizes;
	struct mf_wal *w = NULL;
	o.io = mf_memdisk_io(forged);
	assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, NULL), MF_OK);
	struct mf_buf b;
	mf_buf_init(&b, 1000);
	put_record(&b, "svid.issued", 999999, T0);
	append_raw(w, mf_buf_slice(&b));
	while (mf_wal_durable(w) < h.size) {
		put_record(&b, "svid.issued", mf_wal_durable(w), T0);
		append_raw(w, mf_buf_slice(&b));
	}
	copy_file(now, forged, MF_CHECKPOINT_NAME, SIZE_MAX);
	x.d = forged;
	assert_int_equal(judge(&x, &rep, &err), MF_E_CORRUPT);
	assert_false(rep.bad_index_known);
	assert_non_null(strstr(err.msg, "records were rewritten between index 0 and"));
	/* And signed, by another key. */
	struct mf_ed25519 *thief = key_of(9);
	struct mf_checkpointer *c = NULL;
	assert_int_equal(
	    mf_checkpointer_new(o.io, DIRFD, MF_SLICE_LIT("example.org/log"), thief, NULL, &c, NULL), MF_OK);
	assert_int_equal(mf_checkpointer_publish(c, &h, NULL), MF_OK);
	assert_int_equal(judge(&x, &rep, &err), MF_E_UNAUTH);
	mf_checkpointer_free(c);
	mf_ed25519_free(thief);
	mf_wal_free(w);
	mf_memdisk_free(forged);
	x.d = now;
	mf_buf_fini(&b);
	teardown(&x);
}

/* Cut at every length of the last segment: below the head it is refused, at the right index. */
static void
test_cut(void **state)
{
	MF_UNUSED(state);
	struct fixture x;
	setup(&x);
	append(x.wal, 9);
	sign(&x);
	struct memdisk *whole = x.d;
	size_t n = 0, len = 0;
	const uint8_t *p = mf_memdisk_file(whole, "0000000000000000.seg", &n);
	assert_non_null(p);
	for (size_t cut = 0; cut < n; cut += 7) {
		uint64_t index = 0;
		for (size_t at = 0; at < n; at += len) {
			struct mf_frame f;
			assert_int_equal(mf_frame_peek(mf_slice(p + at, n - at), &len, NULL), MF_OK);
			assert_int_equal(mf_frame_decode(mf_slice(p + at, len), &f, NULL), MF_OK);
			if (at + len > cut)
				break;
			index = f.tree_size;
		}
		x.d = mf_memdisk_new(1 << 20, 4);
		copy_file(whole, x.d, "0000000000000000.seg", cut);
		copy_file(whole, x.d, MF_CHECKPOINT_NAME, SIZE_MAX);
		expect_bad(&x, index);
		mf_memdisk_free(x.d);
	}
	x.d = whole;
	teardown(&x);
}

/* What a broker must not write, even rightly chained and signed. */
static void
test_record_rules(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *rec;
		bool good;
	} cases[] = {
		{ "{\"id\":\"a\",\"ts\":\"2026-11-01T00:00:00.000000Z\",\"type\":\"x\",\"v\":1}", true },
		{ "{\"id\":\"r-1\",\"ts\":\"2026-11-01T00:00:00.000000Z\",\"type\":\"x\",\"v\":1}", false },
		{ "{\"ts\":\"2026-11-01T00:00:00.000000Z\",\"type\":\"x\",\"v\":1}", false },
		{ "{\"ts\":\"2026-11-01T00:00:00.000000Z\",\"type\":\"svid.renewed\",\"v\":1}", true },
		{ "{\"id\":\"a\",\"ts\":\"2026-11-01\",\"type\":\"x\",\"v\":1}", false },
		{ "{\"id\":\"a\",\"ts\":\"2026-11-01T00:00:00.000000Z\",\"v\":1}", false },
		{ "{\"id\":\"a\",\"ts\":\"2026-11-01T00:00:00.000000Z\",\"type\":\"x\"}", false },
		{ "{\"id\":\"a\",\"ts\":\"2026-11-01T00:00:00.000000Z\",\"type\":\"x\",\"v\":1", false },
		{ "[]", false },
		{ "\xff", false },
		/* The clock: an issuance may not stand an hour before its predecessor; an end may. */
		{ "{\"id\":\"a\",\"ts\":\"2026-09-21T13:00:00.000000Z\",\"type\":\"svid.issued\",\"v\":1}",
		    false },
		{ "{\"id\":\"a\",\"ts\":\"2026-09-21T13:00:00.000000Z\",\"type\":\"svid.renewed\",\"v\":1}",
		    false },
		{ "{\"id\":\"a\",\"ts\":\"2026-09-21T13:00:00.000000Z\",\"type\":\"lease.ended\",\"v\":1}",
		    true },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct fixture x;
		struct mf_verify_report rep;
		struct mf_err err;
		setup(&x);
		append(x.wal, 3); /* records 0 to 5; the last at T0 + 5 s = 2026-09-21T14:13:25Z */
		append_raw(x.wal, mf_slice_str(cases[i].rec));
		sign(&x);
		if (!cases[i].good) {
			expect_bad(&x, 6);
		} else if (judge(&x, &rep, &err) != MF_OK) {
			fail_msg("case %zu: %s", i, err.msg);
		} else {
			assert_true(rep.clock_steps == (i == MF_COUNT(cases) - 1));
		}
		teardown(&x);
	}
}

static void
test_idset(void **state)
{
	MF_UNUSED(state);
	struct mf_idset s;
	mf_idset_init(&s);
	bool fresh = false;
	for (int round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 5000; i++) {
			struct mf_slice id = mf_slice(&i, sizeof(i));
			assert_true(mf_idset_has(&s, id) == (round == 1));
			assert_int_equal(mf_idset_add(&s, id, &fresh, NULL), MF_OK);
			assert_true(fresh == (round == 0));
		}
	assert_int_equal(s.n, 5000);
	mf_idset_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_rollback_and_rewrite),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_record_rules),
		cmocka_unit_test(test_idset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
