/*
 * Every system call of the log fails, once each, in every way; the disk fills; the power goes. What must
 * hold: what was acknowledged is there afterwards, nothing else is but the one batch in flight, in order,
 * and the log verifies. A failed batch that says "nothing was written" means it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "log/wal.h"
#include "memdisk.h"

#define DIRFD 3
#define BATCHES 36
#define BATCH 3

static const struct mf_wal_opts sizes = { .segment = 2048, .tail_reserve = 512, .reserve = 1024 };

struct run {
	struct memdisk *d;
	uint64_t acked;		 /* records below this were acknowledged */
	uint64_t attempted;	 /* records below this may be in the log */
	struct mf_wal_head head; /* the last head signed */
	bool have_head;
	const char *what;
	uint64_t nth;
};

static struct mf_slice
record(uint64_t i, char buf[160])
{
	int n = snprintf(
	    buf, 160, "{\"id\":%llu,\"pad\":\"%0*d\"}", (unsigned long long)i, (int)(i * 41 % 90), 7);
	return mf_slice(buf, (size_t)n);
}

static enum mf_status
see(void *ctx, const struct mf_wal_record *rec, struct mf_err *err)
{
	MF_UNUSED(err);
	uint64_t *next = ctx;
	char buf[160];
	if (rec->index != *next || !mf_slice_eq(rec->bytes, record(rec->index, buf)))
		return MF_E_INTERNAL;
	(*next)++;
	return MF_OK;
}

static enum mf_status
append(struct run *r, struct mf_wal *w, enum mf_wal_class cls)
{
	char buf[BATCH][160];
	struct mf_slice rec[BATCH];
	uint64_t first = 0, at = mf_wal_durable(w);
	for (size_t i = 0; i < BATCH; i++)
		rec[i] = record(at + i, buf[i]);
	r->attempted = at + BATCH;
	enum mf_status s = mf_wal_append_batch(w, rec, BATCH, cls, &first, NULL);
	if (s == MF_OK) {
		assert_true(first == at);
		r->acked = at + BATCH;
	} else if (s == MF_E_EXHAUSTED) {
		r->attempted = at; /* it promised that nothing was written */
		assert_true(mf_wal_durable(w) == at);
	} else {
		/* Poisoned: it stays so. */
		assert_int_equal(s, MF_E_IO);
		assert_true(mf_wal_poisoned(w));
		uint64_t calls = mf_memdisk_calls(r->d);
		assert_int_equal(mf_wal_append_batch(w, rec, 1, MF_WAL_REMOVAL, &first, NULL), MF_E_IO);
		assert_int_equal(mf_wal_make_room(w, NULL), MF_E_IO);
		assert_true(mf_memdisk_calls(r->d) == calls);
	}
	return s;
}

/* A life of the process: open, check what is there, append until ${upto} records or a failure. */
static enum mf_status
life(struct run *r, uint64_t upto)
{
	MF_AUTO(mf_wal_free) struct mf_wal *w = NULL;
	struct mf_wal_opts o = sizes;
	uint64_t next = 0;
	struct mf_err err = { 0 };
	o.io = mf_memdisk_io(r->d);
	o.on_record = see;
	o.ctx = &next;
	o.signed_head = r->have_head ? &r->head : NULL;
	struct mf_wal_recovery rec;
	enum mf_status s = mf_wal_open(DIRFD, &o, &w, &rec, &err);
	if (s == MF_E_CORRUPT || s == MF_E_INTERNAL || s == MF_E_STATE || s == MF_E_INVALID)
		fail_msg("%s at call %llu: open says %s: %s", r->what, (unsigned long long)r->nth,
		    mf_status_name(s), err.msg);
	if (s != MF_OK)
		return s;
	if (next < r->acked || next > r->attempted)
		fail_msg("%s at call %llu: acknowledged %llu, found %llu, attempted %llu", r->what,
		    (unsigned long long)r->nth, (unsigned long long)r->acked, (unsigned long long)next,
		    (unsigned long long)r->attempted);
	assert_true(rec.records == next && mf_wal_durable(w) == next);
	/* What recovery keeps it has made durable: from here on it counts as acknowledged. */
	r->acked = r->attempted = next;
	for (uint64_t i = next / BATCH; r->acked < upto && s == MF_OK; i++) {
		s = append(r, w, i % 5 == 4 ? MF_WAL_REMOVAL : MF_WAL_NORMAL);
		if (s == MF_OK && i % 3 == 0) {
			r->head = mf_wal_head(w);
			r->have_head = true;
		}
	}
	return s;
}

static void
after(struct run *r, bool power)
{
	mf_memdisk_arm(r->d, 0, MEMDISK_NONE);
	if (power)
		mf_memdisk_power_loss(r->d);
	else
		mf_memdisk_exit(r->d);
}

static const char *const fault_name[] = { "none", "EIO", "ENOSPC", "short", "power before", "power after" };

/*
 * Fail the nth call of a life that fills several segments; then either the process alone is gone (the page
 * cache stays, and lies) or the power too; go on; lose the power; all is there. False when the life has
 * fewer calls than that.
 */
static bool
one_fault(enum mf_memdisk_fault fault, uint64_t nth, bool power, uint64_t seed)
{
	struct run r = { .d = mf_memdisk_new(1 << 20, seed), .what = fault_name[fault], .nth = nth };
	mf_memdisk_arm(r.d, nth, fault);
	enum mf_status s = life(&r, BATCHES * BATCH);
	bool struck = mf_memdisk_struck(r.d);
	/* A single ENOSPC, or a short read, need not end the life. */
	if (s == MF_E_EXHAUSTED) {
		after(&r, power);
		s = life(&r, BATCHES * BATCH);
		assert_int_equal(s, MF_OK);
	}
	after(&r, power || fault >= MEMDISK_POWER_BEFORE);
	s = life(&r, r.acked + 2 * BATCH);
	assert_int_equal(s, MF_OK);
	after(&r, true);
	uint64_t had = r.acked;
	s = life(&r, had + BATCH);
	assert_int_equal(s, MF_OK);
	assert_true(r.acked == had + BATCH);
	mf_memdisk_free(r.d);
	return struck;
}

static void
test_every_call_fails(void **state)
{
	MF_UNUSED(state);
	uint64_t total = 0;
	for (int f = MEMDISK_EIO; f < MEMDISK_FAULTS; f++)
		for (int power = 0; power < 2; power++) {
			uint64_t nth = 1;
			while (one_fault((enum mf_memdisk_fault)f, nth, power != 0, nth * 7 + 1))
				nth++;
			assert_true(nth > 2 * BATCHES);
			total += nth;
		}
	print_message("%llu faults\n", (unsigned long long)total);
}

/* The same inside recovery: a torn log is opened, and each call of that open fails. */
static void
test_recovery_fails(void **state)
{
	MF_UNUSED(state);
	uint64_t total = 0, torn = 0;
	for (uint64_t seed = 1; seed <= 40; seed++)
		for (int f = MEMDISK_EIO; f < MEMDISK_FAULTS; f++)
			for (uint64_t nth = 1;; nth++) {
				struct run r = {
					.d = mf_memdisk_new(1 << 20, seed), .what = fault_name[f], .nth = nth
				};
				mf_memdisk_arm(r.d, 25 + seed * 2, MEMDISK_POWER_AFTER);
				assert_int_not_equal(life(&r, BATCHES * BATCH), MF_OK);
				after(&r, true);
				mf_memdisk_arm(r.d, nth, (enum mf_memdisk_fault)f);
				uint64_t upto = r.acked;
				(void)life(&r, upto); /* opens, appends nothing */
				bool struck = mf_memdisk_struck(r.d);
				after(&r, f >= MEMDISK_POWER_BEFORE || nth % 2 == 0);
				assert_int_equal(life(&r, r.acked + BATCH), MF_OK);
				after(&r, true);
				assert_int_equal(life(&r, r.acked + BATCH), MF_OK);
				mf_memdisk_free(r.d);
				total++;
				if (!struck)
					break;
				torn += f == MEMDISK_EIO;
			}
	assert_true(total > 1000);
	print_message("%llu faults in recovery\n", (unsigned long long)total);
	assert_true(torn > 0);
}

/* A failed sync that the page cache hides: the restarted process must not believe what it reads. */
static void
test_failed_sync_is_not_believed(void **state)
{
	MF_UNUSED(state);
	struct run r = { .d = mf_memdisk_new(1 << 20, 3), .what = "sync", .nth = 0 };
	uint64_t found = 0;
	for (uint64_t nth = 1; nth < 200; nth++) {
		mf_memdisk_free(r.d);
		r = (struct run) { .d = mf_memdisk_new(1 << 20, nth), .what = "sync", .nth = nth };
		assert_int_equal(life(&r, 4 * BATCH), MF_OK);
		after(&r, false);
		mf_memdisk_arm(r.d, nth, MEMDISK_EIO);
		enum mf_status s = life(&r, 8 * BATCH);
		if (!mf_memdisk_struck(r.d))
			break;
		uint64_t acked = r.acked, attempted = r.attempted;
		after(&r, false);
		/* The batch in flight may be read from the cache: then it must survive the power loss that
		 * follows. */
		assert_int_equal(life(&r, acked), MF_OK);
		found += s == MF_E_IO && r.acked == attempted && attempted > acked;
		after(&r, true);
		assert_int_equal(life(&r, r.acked + BATCH), MF_OK);
		after(&r, true);
	}
	assert_true(found > 0); /* the case did occur */
	mf_memdisk_free(r.d);
}

/*
 * The disk is full: normal batches stop and change nothing, removals go on through the segment's end and the
 * reserve, a restart in that state works, and all resumes by itself when there is space.
 */
static void
test_full_disk(void **state)
{
	MF_UNUSED(state);
	for (int restart = 0; restart < 3; restart++) {
		struct run r = { .d = mf_memdisk_new(1024 + 3 * 2048 + 100, 5), .what = "full", .nth = 0 };
		struct mf_wal_opts o = sizes;
		o.io = mf_memdisk_io(r.d);
		struct mf_wal *w = NULL;
		assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, NULL), MF_OK);
		uint64_t warned = 0;
		while (append(&r, w, MF_WAL_NORMAL) == MF_OK)
			warned += !mf_wal_space(w).normal_ok;
		assert_true(warned > 0); /* it was told before it struck */
		assert_false(mf_wal_poisoned(w));
		struct mf_wal_space sp = mf_wal_space(w);
		assert_false(sp.normal_ok);
		assert_true(sp.removal_bytes >= sizes.reserve);
		uint64_t removals = 0;
		for (enum mf_status s = MF_OK; s == MF_OK;) {
			if (removals == 2 && restart > 0) {
				mf_wal_free(w);
				after(&r, restart == 2);
				assert_int_equal(mf_wal_open(DIRFD, &o, &w, NULL, NULL), MF_OK);
				assert_true(mf_wal_durable(w) == r.acked);
			}
			assert_int_equal(append(&r, w, MF_WAL_NORMAL), MF_E_EXHAUSTED);
			assert_int_equal(mf_wal_make_room(w, NULL), MF_E_EXHAUSTED);
			s = append(&r, w, MF_WAL_REMOVAL);
			removals += s == MF_OK;
			assert_true(s == MF_OK || s == MF_E_EXHAUSTED);
		}
		/* The reserve was used, not only the segment's end. */
		assert_true(removals * BATCH * 60 > sizes.tail_reserve);
		size_t n = 0;
		assert_null(mf_memdisk_file(r.d, "reserve", &n));
		assert_true(mf_wal_space(w).removal_bytes < 600);
		assert_false(mf_wal_poisoned(w));
		/* Space for the reserve alone is not enough for normal batches; for both it is. */
		mf_memdisk_capacity(r.d, 1024 + 3 * 2048 + 100 + 1100);
		assert_int_equal(append(&r, w, MF_WAL_NORMAL), MF_E_EXHAUSTED);
		assert_int_equal(append(&r, w, MF_WAL_REMOVAL), MF_OK);
		mf_memdisk_capacity(r.d, 1 << 20);
		assert_int_equal(mf_wal_make_room(w, NULL), MF_OK);
		assert_int_equal(append(&r, w, MF_WAL_NORMAL), MF_OK);
		assert_true(mf_wal_space(w).normal_ok && mf_wal_space(w).preallocated);
		assert_non_null(mf_memdisk_file(r.d, "reserve", &n));
		mf_wal_free(w);
		after(&r, true);
		assert_int_equal(life(&r, r.acked + 10 * BATCH), MF_OK);
		mf_memdisk_free(r.d);
	}
}

/* The same on a real file system of one mebibyte, in a mount namespace of a child's own. */
enum { CANNOT = 77 };

static int
fill_tmpfs(const char *dir)
{
	static uint8_t filler[400 * 1024];
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", dir, "tmpfs", 0, "size=1m") != 0)
		return CANNOT;
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct mf_err err = { 0 };
	struct mf_wal_opts o = { .segment = 262144, .tail_reserve = 32768, .reserve = 65536 };
	struct mf_wal *w = NULL;
	if (mf_log_io_replace(mf_log_io_system(), dirfd, "filler", mf_slice(filler, sizeof(filler)), &err) !=
		MF_OK ||
	    mf_wal_open(dirfd, &o, &w, NULL, &err) != MF_OK) {
		print_message("%s\n", err.msg);
		return 1;
	}
	struct run r = { .d = NULL };
	uint64_t normal = 0, removals = 0;
	while (append(&r, w, MF_WAL_NORMAL) == MF_OK)
		normal++;
	while (append(&r, w, MF_WAL_REMOVAL) == MF_OK)
		removals++;
	bool full = !mf_wal_space(w).normal_ok && mf_wal_make_room(w, NULL) == MF_E_EXHAUSTED;
	if (!full || normal < 300 || removals * BATCH * 70 < 65536 || mf_wal_poisoned(w) ||
	    unlinkat(dirfd, "filler", 0) != 0)
		return 2;
	if (mf_wal_make_room(w, NULL) != MF_OK || append(&r, w, MF_WAL_NORMAL) != MF_OK ||
	    append(&r, w, MF_WAL_REMOVAL) != MF_OK)
		return 3;
	mf_wal_free(w);
	uint64_t next = 0;
	o.on_record = see;
	o.ctx = &next;
	if (mf_wal_open(dirfd, &o, &w, NULL, &err) != MF_OK || next != r.acked)
		return 4;
	mf_wal_free(w);
	return 0;
}

static void
test_full_tmpfs(void **state)
{
	MF_UNUSED(state);
	char dir[] = "/tmp/mayfly-test-full-XXXXXX";
	assert_non_null(mkdtemp(dir));
	(void)fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fill_tmpfs(dir));
	int status = 0;
	assert_true(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	assert_int_equal(rmdir(dir), 0);
	if (WEXITSTATUS(status) == CANNOT) {
		print_message("skipped: mounting a tmpfs needs root\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A full disk and a torn tail at once: there is no room for the copy. */
static void
test_torn_and_full(void **state)
{
	MF_UNUSED(state);
	uint64_t tried = 0;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct run r = { .d = mf_memdisk_new(1 << 20, seed), .what = "torn and full", .nth = seed };
		mf_memdisk_arm(r.d, 40 + seed, MEMDISK_POWER_AFTER);
		assert_int_not_equal(life(&r, BATCHES * BATCH), MF_OK);
		after(&r, true);
		mf_memdisk_capacity(r.d, 0);
		MF_AUTO(mf_wal_free) struct mf_wal *w = NULL;
		struct mf_wal_opts o = sizes;
		struct mf_wal_recovery rec;
		uint64_t next = 0;
		o.io = mf_memdisk_io(r.d);
		o.on_record = see;
		o.ctx = &next;
		enum mf_status s = mf_wal_open(DIRFD, &o, &w, &rec, NULL);
		if (s == MF_OK) {
			assert_true(next >= r.acked && next <= r.attempted);
			r.acked = r.attempted = next;
			tried += rec.truncated_bytes > 0 && !rec.copied;
			s = append(&r, w, MF_WAL_REMOVAL);
			assert_true(s == MF_OK || s == MF_E_EXHAUSTED);
			mf_wal_free(MF_TAKE(w));
		} else {
			assert_int_equal(s, MF_E_EXHAUSTED); /* not even a first segment */
		}
		after(&r, true);
		mf_memdisk_capacity(r.d, 1 << 20);
		assert_int_equal(life(&r, r.acked + 4 * BATCH), MF_OK);
		mf_memdisk_free(r.d);
	}
	assert_true(tried > 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_call_fails),
		cmocka_unit_test(test_recovery_fails),
		cmocka_unit_test(test_failed_sync_is_not_believed),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_full_tmpfs),
		cmocka_unit_test(test_torn_and_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
