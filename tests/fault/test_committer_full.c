/*
 * The notary's committer on a disk that fills: it says so while what is in flight still fits, writes removals on,
 * and finds by itself that there is room again. Nothing of this ends it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "broker/notary/committer.h"
#include "memdisk.h"

#define HANG_MS 60000
#define FULL (8192 + 3 * 32768 + 100)

struct fixture {
	struct memdisk *disk;
	struct mf_ed25519 *key;
	struct mf_mailbox *inbox;
	struct mf_committer *c;
	char dir[40];
	int dirfd;
	uint64_t posted, durable, rooms;
	bool room, failed;
};

/* Take what the committer says until ${done}. */
static void
wait_for(struct fixture *x, bool (*done)(const struct fixture *x))
{
	uint64_t end = mf_now().mono_ms + HANG_MS;
	while (!done(x)) {
		struct mf_list got;
		mf_list_init(&got);
		assert_true(mf_now().mono_ms < end);
		(void)mf_mailbox_wait(x->inbox, &got, 1000);
		MF_LIST_EACH(p, &got)
		{
			struct mf_commit_event *ev = MF_LIST_ITEM(p, struct mf_commit_event, at);
			mf_list_del(p);
			if (ev->kind == MF_COMMIT_DURABLE)
				x->durable = ev->size;
			if (ev->kind == MF_COMMIT_ROOM)
				x->room = ev->room;
			x->rooms += ev->kind == MF_COMMIT_ROOM;
			x->failed = x->failed || ev->kind == MF_COMMIT_FAILED;
			free(ev);
		}
		assert_false(x->failed);
	}
}

static bool
all_durable(const struct fixture *x)
{
	return x->durable == x->posted;
}

static bool
has_room(const struct fixture *x)
{
	return x->room;
}

static void
post(struct fixture *x, bool removal)
{
	char text[200];
	int n =
	    snprintf(text, sizeof(text), "{\"n\":%llu,\"pad\":\"%0150d\"}", (unsigned long long)x->posted, 1);
	mf_committer_append(x->c, x->posted, mf_slice(text, (size_t)n), removal);
	x->posted++;
}

static void
test_full_and_back(void **state)
{
	MF_UNUSED(state);
	struct fixture x = { .room = true, .dir = "/tmp/mayfly-test-commit-XXXXXX" };
	assert_non_null(mkdtemp(x.dir));
	x.dirfd = open(x.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	x.disk = mf_memdisk_new(FULL, 1);
	struct mf_wal_opts o = {
		.io = mf_memdisk_io(x.disk), .segment = 32768, .tail_reserve = 4096, .reserve = 8192
	};
	struct mf_wal *wal = NULL;
	assert_int_equal(mf_wal_open(3, &o, &wal, NULL, NULL), MF_OK);
	assert_int_equal(mf_ed25519_generate(NULL, &x.key, NULL), MF_OK);
	assert_int_equal(mf_mailbox_new(false, &x.inbox, NULL), MF_OK);
	struct mf_committer_conf conf = { .log_dirfd = x.dirfd,
		.origin = MF_SLICE_LIT("example.org/log"),
		.key = x.key,
		.inbox = x.inbox };
	assert_int_equal(mf_committer_new(&conf, wal, &x.c, NULL), MF_OK);
	/* Ten at a time until it says that room ends; then what was on its way still goes in. */
	while (x.room) {
		for (int i = 0; i < 10; i++)
			post(&x, false);
		wait_for(&x, all_durable);
		assert_true(x.posted < 1000);
	}
	for (int i = 0; i < 10; i++)
		post(&x, false);
	wait_for(&x, all_durable);
	for (int i = 0; i < 30; i++)
		post(&x, true);
	wait_for(&x, all_durable);
	assert_false(x.room);
	/* Nobody writes anything, and yet: */
	mf_memdisk_capacity(x.disk, 10 * FULL);
	wait_for(&x, has_room);
	assert_int_equal(x.rooms, 2);
	for (int i = 0; i < 100; i++)
		post(&x, false);
	wait_for(&x, all_durable);
	mf_committer_free(x.c);
	MF_AUTO(mf_wal_free) struct mf_wal *again = NULL;
	struct mf_wal_recovery rec;
	assert_int_equal(mf_wal_open(3, &o, &again, &rec, NULL), MF_OK);
	assert_true(rec.records == x.posted);
	mf_wal_free(MF_TAKE(again));
	mf_mailbox_free(x.inbox);
	mf_ed25519_free(x.key);
	mf_memdisk_free(x.disk);
	(void)close(x.dirfd);
	char cmd[100];
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", x.dir);
	assert_int_equal(system(cmd), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_and_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
