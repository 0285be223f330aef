/* Handles on a real disk: written whole, opened by nobody else's key or name, found again after a restart, swept and expired. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/notary/handles.h"
#include "rig_handles.h"
#include "store_kit.h"

#define HANG_MS 60000
#define FAR (INT64_MAX - 100)
#define C1 "0190a000-0000-7000-8000-000000000001"
#define C2 "0190a000-0000-7000-8000-000000000002"
#define C3 "0190a000-0000-7000-8000-000000000003"

struct world {
	char top[64];
	int dir;
	struct mf_kek *kek;
	struct mf_handles *h;
	size_t kept, failed, opened;
	enum mf_status s;
	char secret[128], why[MF_ERR_MSG_MAX];
};

static void
on_kept(void *ctx, const char *cred, const struct mf_err *why)
{
	struct world *w = ctx;
	MF_UNUSED(cred);
	w->kept += why == NULL;
	w->failed += why != NULL;
	if (why != NULL)
		(void)snprintf(w->why, sizeof(w->why), "%s", why->msg);
}

static void
on_opened(void *ctx, const char *cred, enum mf_status s, struct mf_slice secret)
{
	struct world *w = ctx;
	MF_UNUSED(cred);
	w->opened++;
	w->s = s;
	memset(w->secret, 0, sizeof(w->secret));
	assert_true(secret.n < sizeof(w->secret));
	if (secret.n > 0)
		memcpy(w->secret, secret.p, secret.n);
}

static const struct mf_handles_ops ops = { .kept = on_kept, .opened = on_opened };

static void
start(struct world *w)
{
	struct mf_err err = { 0 };
	if (mf_handles_new(w->dir, "b1", w->kek, &ops, w, &w->h, &err) != MF_OK)
		fail_msg("%s", err.msg);
}

static void
restart(struct world *w)
{
	mf_handles_free(w->h);
	start(w);
}

static void
open_world(struct world *w)
{
	*w = (struct world) { 0 };
	(void)snprintf(w->top, sizeof(w->top), "/tmp/mf-handles-XXXXXX");
	assert_non_null(mkdtemp(w->top));
	w->dir = open(w->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->dir >= 0);
	w->kek = mf_store_kit_kek(1);
	start(w);
}

static void
close_world(struct world *w)
{
	char cmd[128];
	mf_handles_free(w->h);
	mf_kek_free(w->kek);
	(void)close(w->dir);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", w->top);
	assert_int_equal(system(cmd), 0); /* NOLINT: a fixed command of a test */
}

/* So many answers have come in all. */
static void
wait_for(struct world *w, size_t answers)
{
	while (w->kept + w->failed + w->opened < answers) {
		struct pollfd p = { mf_handles_fd(w->h), POLLIN, 0 };
		assert_int_equal(poll(&p, 1, HANG_MS), 1);
		mf_handles_turn(w->h, mf_now());
	}
}

static void
keep(struct world *w, const char *cred, const char *secret, int64_t until)
{
	size_t n = w->kept + w->failed + w->opened;
	assert_true(mf_handles_keep(w->h, cred, mf_slice_str(secret), until));
	wait_for(w, n + 1);
}

static const char *
read_back(struct world *w, const char *cred)
{
	size_t n = w->kept + w->failed + w->opened;
	assert_true(mf_handles_open(w->h, cred));
	wait_for(w, n + 1);
	return w->s == MF_OK ? w->secret : NULL;
}

/* Names in the directory. */
static size_t
files(const struct world *w)
{
	size_t n = 0;
	DIR *d = opendir(w->top);
	assert_non_null(d);
	for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	(void)closedir(d);
	return n;
}

/* What was asked before is done when this returns. */
static void
settle(struct world *w)
{
	(void)read_back(w, C3);
}

static void
test_keep_open_drop(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct stat st;
	char text[4096] = "";
	open_world(&w);
	keep(&w, C1, "token-one", FAR);
	assert_int_equal(w.kept, 1);
	assert_true(mf_handles_has(w.h, C1));
	assert_false(mf_handles_has(w.h, C2));
	assert_int_equal(fstatat(w.dir, C1, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_string_equal(read_back(&w, C1), "token-one");
	int fd = openat(w.dir, C1, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	(void)close(fd);
	assert_null(strstr(text, "token-one"));
	assert_non_null(strstr(text, "purpose cloud-handle\nid b1." C1 "\n"));
	/* One that is not there; one that would not open. */
	assert_null(read_back(&w, C2));
	assert_int_equal(w.s, MF_E_NOTFOUND);
	assert_int_equal(renameat(w.dir, C1, w.dir, C2), 0);
	assert_null(read_back(&w, C2)); /* another's file serves nobody */
	assert_int_equal(w.s, MF_E_INVALID);
	assert_int_equal(renameat(w.dir, C2, w.dir, C1), 0);
	mf_handles_drop(w.h, C1);
	mf_handles_drop(w.h, C1);
	assert_false(mf_handles_has(w.h, C1));
	settle(&w);
	assert_int_equal(files(&w), 0);
	close_world(&w);
}

/* A restart finds them, and removes what a crash left half made; another KEK opens none. */
static void
test_restart(void **state)
{
	MF_UNUSED(state);
	struct world w;
	open_world(&w);
	keep(&w, C1, "token-one", FAR);
	int fd = openat(w.dir, "." C2 ".new", O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
	assert_true(fd >= 0);
	(void)close(fd);
	restart(&w);
	assert_int_equal(files(&w), 1);
	assert_int_equal(mf_handles_count(w.h), 1);
	assert_true(mf_handles_has(w.h, C1));
	assert_string_equal(read_back(&w, C1), "token-one");
	mf_kek_free(w.kek);
	w.kek = mf_store_kit_kek(2);
	restart(&w);
	assert_null(read_back(&w, C1));
	assert_int_equal(w.s, MF_E_CORRUPT);
	/* Cut, and too long. */
	assert_int_equal(fchmodat(w.dir, C1, 0600, 0), 0);
	fd = openat(w.dir, C1, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0 && ftruncate(fd, 40) == 0);
	assert_null(read_back(&w, C1));
	assert_int_equal(w.s, MF_E_INVALID);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	(void)close(fd);
	assert_null(read_back(&w, C1));
	assert_int_equal(w.s, MF_E_CORRUPT);
	close_world(&w);
}

/* A passphrase works as a key of bytes does, over restarts that each have a salt of their own. */
static void
test_passphrase(void **state)
{
	MF_UNUSED(state);
	struct world w;
	open_world(&w);
	mf_kek_free(w.kek);
	w.kek = NULL;
	assert_int_equal(
	    mf_kek_passphrase(MF_SLICE_LIT("a passphrase of some length"), NULL, &w.kek, NULL), MF_OK);
	restart(&w);
	keep(&w, C1, "token-one", FAR);
	restart(&w);
	keep(&w, C2, "token-two", FAR);
	assert_string_equal(read_back(&w, C1), "token-one");
	assert_string_equal(read_back(&w, C2), "token-two");
	close_world(&w);
}

/* One that is over is removed without anybody asking; what is too large is not kept. */
static void
test_until(void **state)
{
	MF_UNUSED(state);
	struct world w;
	open_world(&w);
	struct mf_now now = mf_now();
	int64_t now_s = now.wall_us / 1000000;
	keep(&w, C1, "short", now_s + 10);
	keep(&w, C2, "long", now_s + 1000);
	now.mono_ms += 61000;
	now.wall_us += INT64_C(61) * 1000000;
	mf_handles_turn(w.h, now);
	assert_true(mf_handles_has(w.h, C1)); /* a provider's clock may lag */
	now.mono_ms += 61000;
	now.wall_us += INT64_C(61) * 1000000;
	mf_handles_turn(w.h, now);
	assert_false(mf_handles_has(w.h, C1));
	assert_true(mf_handles_has(w.h, C2));
	settle(&w);
	assert_int_equal(files(&w), 1);
	static char large[MF_LIM_KEYFILE_SECRET + 2];
	memset(large, 'x', sizeof(large) - 1);
	keep(&w, C3, large, now_s + 1000);
	assert_int_equal(w.failed, 1);
	assert_false(mf_handles_has(w.h, C3));
	close_world(&w);
}

/* Many that wait together, in the order in which they were asked for. */
static void
test_many(void **state)
{
	MF_UNUSED(state);
	enum { N = 300 };
	struct world w;
	char cred[64];
	open_world(&w);
	for (unsigned i = 0; i < N; i++) {
		(void)snprintf(cred, sizeof(cred), "0190a000-0000-7000-8000-%012u", i);
		assert_true(mf_handles_keep(w.h, cred, mf_slice_str(cred), FAR));
		assert_true(mf_handles_open(w.h, cred));
		if (i % 2 == 0)
			mf_handles_drop(w.h, cred);
	}
	wait_for(&w, 2 * N);
	settle(&w);
	assert_int_equal(w.kept, N);
	assert_int_equal(w.opened, N + 1);
	assert_int_equal(files(&w), N / 2);
	/* And what was asked is done before the end. */
	assert_true(mf_handles_keep(w.h, C3, MF_SLICE_LIT("x"), FAR));
	restart(&w);
	assert_true(mf_handles_has(w.h, C3));
	close_world(&w);
}

static struct rig_cloud cloud;
static struct rig_handles disk;
static struct rig_job job;

/* At the start: those of tokens that may still have to be ended stay, and only they. */
static void
test_sweep(void **state)
{
	MF_UNUSED(state);
	struct world w;
	assert_int_equal(mf_jws_key_generate(MF_JWS_RS256, &mf_rig_assertion_key, NULL), MF_OK);
	struct rig *r = mf_rig_with_handles(&cloud, &disk, &job);
	char ids[2][MF_STATE_ID_MAX];
	for (unsigned i = 0; i < 2; i++) {
		(void)mf_rig_mint_cloud(r, &job, i == 0 ? "data" : "short");
		mf_rig_settle(r);
		mf_rig_assert_all(r, true);
		assert_true(mf_rig_bring(r));
		mf_rig_keep_all(r, true);
		mf_rig_settle(r);
		memcpy(ids[i], disk.all[i].cred, sizeof(ids[i]));
	}
	open_world(&w);
	keep(&w, ids[0], "a", FAR);
	keep(&w, ids[1], "b", FAR);
	keep(&w, C1, "of nobody", FAR);
	restart(&w);
	mf_handles_sweep(w.h, mf_engine_state(r->e));
	assert_int_equal(mf_handles_count(w.h), 2);
	mf_handles_turn(w.h, r->now); /* until when is as the state says */
	assert_int_equal(mf_handles_count(w.h), 2);
	/* "short" is completed when the job ends, for it expires; "data" is to be ended. */
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	mf_rig_settle(r);
	restart(&w);
	mf_handles_sweep(w.h, mf_engine_state(r->e));
	settle(&w);
	assert_true(mf_handles_has(w.h, ids[0]));
	assert_int_equal(files(&w), 1);
	close_world(&w);
	mf_rig_cloud_free(r);
	mf_jws_key_free(mf_rig_assertion_key);
	mf_rig_assertion_key = NULL;
	mf_rig_free_spares();
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_keep_open_drop),
		cmocka_unit_test(test_restart), cmocka_unit_test(test_passphrase),
		cmocka_unit_test(test_until), cmocka_unit_test(test_many), cmocka_unit_test(test_sweep) };
	return cmocka_run_group_tests_name("handles", tests, NULL, NULL);
}
