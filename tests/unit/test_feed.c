#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/front/feed.h"
#include "lib/record_kit.h"

/* Which record waits, and for what: nothing here looks at a clock. */

struct world {
	char dir[64];
	int dirfd, back;
	struct mf_read_model *rm;
	struct mf_loop *loop;
	struct mf_feed *feed;
	struct kit kit;
	uint64_t told; /* by the feed: what is applied */
	size_t tellings;
};

static void
on_applied(void *ctx, uint64_t size)
{
	struct world *w = ctx;
	w->told = size;
	w->tellings++;
	mf_feed_now(w->feed); /* whoever is told reads at once: that is nothing new */
}

static void
on_stuck(void *ctx, const struct mf_err *err)
{
	MF_UNUSED(ctx);
	fail_msg("%s", err->msg);
}

static const struct mf_feed_ops ops = { .applied = on_applied, .stuck = on_stuck };

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct mf_err err = { 0 }, why = { 0 };
	enum mf_rm_how how;
	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/mf-feed-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->dirfd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->dirfd >= 0 && w->back >= 0);
	kit_history(&w->kit);
	assert_int_equal(mf_loop_new(&w->loop, &err), MF_OK);
	assert_int_equal(mf_read_model_open(w->dirfd, &w->rm, &how, &why, &err), MF_OK);
	assert_int_equal(mf_feed_new(w->loop, w->rm, true, &ops, w, &w->feed, &err), MF_OK);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { MF_RM_FILE, MF_RM_FILE "-wal", MF_RM_FILE "-journal" };
	struct world *w = *state;
	mf_feed_free(w->feed);
	mf_read_model_free(w->rm);
	mf_loop_free(w->loop);
	for (size_t i = 0; i < MF_COUNT(names); i++)
		(void)unlinkat(w->dirfd, names[i], 0);
	assert_int_equal(fchdir(w->back), 0);
	assert_int_equal(rmdir(w->dir), 0);
	(void)close(w->dirfd);
	(void)close(w->back);
	kit_fini(&w->kit);
	free(w);
	return 0;
}

static bool
is_type(const struct world *w, size_t i, const char *type)
{
	char member[96];
	int n = snprintf(member, sizeof(member), "\"type\":\"%s\"", type);
	struct mf_slice r = w->kit.at[i];
	for (size_t at = 0; at + (size_t)n <= r.n; at++)
		if (memcmp(r.p + at, member, (size_t)n) == 0)
			return true;
	return false;
}

static size_t
first_of(const struct world *w, const char *type)
{
	size_t i = 0;
	while (i < w->kit.n && !is_type(w, i, type))
		i++;
	assert_true(i < w->kit.n);
	return i;
}

static void
take(struct world *w, size_t from, size_t to)
{
	mf_feed_take(w->feed, from, w->kit.at + from, to - from, to);
}

/* Up to the first job, and applied; answers where the job's own records are. */
static size_t
begin(struct world *w)
{
	size_t job = first_of(w, "job.started");
	struct mf_err err = { 0 };
	take(w, 0, job);
	assert_int_equal(mf_feed_readable(w->feed, &err), MF_OK);
	assert_int_equal(mf_read_model_applied(w->rm), job);
	return job;
}

static void
test_waits_for_a_reader(void **state)
{
	struct world *w = *state;
	struct mf_err err = { 0 };
	size_t job = begin(w), tellings = w->tellings;
	take(w, job, job + 1);
	take(w, job + 1, job + 2); /* its lease */
	assert_int_equal(mf_read_model_applied(w->rm), job);
	assert_int_equal(w->tellings, tellings);
	assert_int_equal(mf_feed_readable(w->feed, &err), MF_OK);
	assert_int_equal(mf_read_model_applied(w->rm), job + 2);
	assert_int_equal(w->told, job + 2);
	assert_int_equal(w->tellings, tellings + 1); /* one transaction for both */
}

static void
test_waits_not_longer_than_a_while(void **state)
{
	struct world *w = *state;
	struct mf_err err = { 0 };
	size_t job = begin(w);
	take(w, job, job + 1);
	while (mf_read_model_applied(w->rm) == job)
		assert_int_equal(mf_loop_turn(w->loop, true, &err), MF_OK);
	assert_int_equal(w->told, job + 1);
}

static void
test_wanted(void **state)
{
	struct world *w = *state;
	size_t job = begin(w);
	mf_feed_want(w->feed, job + 2); /* not there yet: applied when it comes */
	take(w, job, job + 1);
	assert_int_equal(mf_read_model_applied(w->rm), job);
	take(w, job + 1, job + 2);
	assert_int_equal(mf_read_model_applied(w->rm), job + 2);
	take(w, job + 2, job + 3);
	assert_int_equal(mf_read_model_applied(w->rm), job + 2);
	mf_feed_want(w->feed, job + 3); /* there: at once */
	assert_int_equal(mf_read_model_applied(w->rm), job + 3);
}

/* Whether a node may connect is decided by what is applied. */
static void
test_eviction_does_not_wait(void **state)
{
	struct world *w = *state;
	size_t at = first_of(w, "node.evicted");
	take(w, 0, at);
	take(w, at, at + 1);
	assert_int_equal(mf_read_model_applied(w->rm), at + 1);
}

static void
test_many_do_not_wait(void **state)
{
	struct world *w = *state;
	static const char renewal[] =
	    "{\"der\":\"x\",\"exp\":2,\"lease\":\"l\",\"nbf\":1,\"of\":1,\"serial\":\"01\",\"ts\":"
	    "\"2026-11-22T19:37:00.123456Z\",\"type\":\"svid.renewed\",\"v\":1}";
	const struct mf_slice r = mf_slice(renewal, sizeof(renewal) - 1);
	size_t at = begin(w), from = at, sent = 0;
	while (mf_read_model_applied(w->rm) == from) {
		mf_feed_take(w->feed, at, &r, 1, at + 1);
		at++;
		sent += r.n;
		assert_true(sent < MF_FEED_WAITING_MAX / 8);
	}
	assert_true(at - from > 16); /* but not one by one */
	assert_int_equal(mf_read_model_applied(w->rm), at);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_waits_for_a_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits_not_longer_than_a_while, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_eviction_does_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_do_not_wait, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
