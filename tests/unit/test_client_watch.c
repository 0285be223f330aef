/* Fetch and watch against an agent that behaves as each test wants. Times are hang limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <mayfly/workload.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake_agent.h"

#define HANG 60000

struct world {
	char dir[64], path[80], uri[100];
	struct fake_agent *agent;
	struct mint *mint, *other;
	struct wl_answer answer;
	mayfly_client *client;
	int64_t now;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/mayfly-client.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->path, sizeof(w->path), "%s/agent.sock", w->dir);
	(void)snprintf(w->uri, sizeof(w->uri), "unix://%s", w->path);
	w->now = mf_now().wall_us / 1000000;
	w->mint = mf_mint_new("td1", w->now);
	w->other = mf_mint_new("td2", w->now);
	w->agent = mf_fa_new(w->path);
	mf_wl_init(&w->answer);
	mf_wl_add(&w->answer, w->mint, "td1", "/a", "a", w->now, w->now + 600);
	assert_int_equal(mayfly_client_new(w->uri, &w->client, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_client_set_backoff(w->client, 1, 20, NULL), MAYFLY_OK);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	mf_fa_free(w->agent);
	mayfly_client_free(w->client);
	mf_wl_fini(&w->answer);
	mf_mint_free(w->mint);
	mf_mint_free(w->other);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

static void
answer_with(struct world *w, const char *path, int64_t not_after)
{
	mf_wl_fini(&w->answer);
	mf_wl_init(&w->answer);
	mf_wl_add(&w->answer, w->mint, "td1", path, "", w->now, not_after);
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
}

/* Until one of ${bits} is told. */
static unsigned
await(mayfly_watch *watch, unsigned bits, mayfly_error *err)
{
	unsigned changes = 0;
	do
		assert_int_equal(mayfly_watch_wait(watch, HANG, &changes, err), MAYFLY_OK);
	while ((changes & bits) == 0);
	return changes;
}

static void
assert_id(mayfly_watch *watch, const char *id)
{
	mayfly_x509 *x = mayfly_watch_x509(watch);
	if (id == NULL) {
		assert_null(x);
		return;
	}
	assert_non_null(x);
	assert_string_equal(mayfly_svid_id(mayfly_x509_at(x, 0)), id);
	mayfly_x509_unref(x);
}

static void
test_fetch(void **state)
{
	struct world *w = *state;
	mayfly_x509 *x = NULL;
	mayfly_error err;
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(mayfly_fetch_x509(w->client, HANG, &x, &err), MAYFLY_OK);
	assert_string_equal(mayfly_svid_id(mayfly_x509_at(x, 0)), "spiffe://td1/a");
	mayfly_x509_unref(x);
	assert_int_equal(mf_fa_unmarked(w->agent), 0);
	assert_int_equal(mf_fa_calls(w->agent, FA_X509), 1);
}

/* WEP-13: INVALID_ARGUMENT and UNIMPLEMENTED are reported at once, the others are tried again. */
static void
test_attempts(void **state)
{
	struct world *w = *state;
	mayfly_x509 *x = NULL;
	mayfly_bundles *b = NULL;
	mayfly_error err;
	unsigned calls = 0;
	mf_fa_status(w->agent, FA_X509, MF_GRPC_INVALID_ARGUMENT, "no");
	assert_int_equal(mayfly_fetch_x509(w->client, HANG, &x, &err), MAYFLY_E_INVALID);
	assert_int_equal(err.grpc_code, 3);
	assert_int_equal(mf_fa_calls(w->agent, FA_X509), ++calls);
	mf_fa_status(w->agent, FA_X509, MF_GRPC_UNIMPLEMENTED, "no");
	assert_int_equal(mayfly_fetch_x509(w->client, HANG, &x, &err), MAYFLY_E_UNSUPPORTED);
	assert_int_equal(mf_fa_calls(w->agent, FA_X509), ++calls);
	static const struct {
		enum mf_grpc_code code;
		mayfly_status want;
	} again[] = { { MF_GRPC_PERMISSION_DENIED, MAYFLY_E_DENIED },
		{ MF_GRPC_UNAVAILABLE, MAYFLY_E_UNAVAILABLE },
		{ MF_GRPC_RESOURCE_EXHAUSTED, MAYFLY_E_UNAVAILABLE },
		{ MF_GRPC_UNAUTHENTICATED, MAYFLY_E_DENIED } };
	/* 0: one attempt. First, because an attempt that was given up may be seen by the agent later. */
	for (size_t i = 0; i < MF_COUNT(again); i++) {
		mf_fa_status(w->agent, FA_X509, again[i].code, "no identity issued");
		assert_int_equal(mayfly_fetch_x509(w->client, 0, &x, &err), again[i].want);
		assert_null(strstr(err.text, "attempts"));
		/* One; an attempt that was given up at the end of the 300 ms may have come in only now. */
		assert_in_range(mf_fa_calls(w->agent, FA_X509), calls + 1, calls + 2);
		calls = mf_fa_calls(w->agent, FA_X509);
	}
	for (size_t i = 0; i < MF_COUNT(again); i++) {
		mf_fa_status(w->agent, FA_X509, again[i].code, "no identity issued");
		calls = mf_fa_calls(w->agent, FA_X509);
		assert_int_equal(mayfly_fetch_x509(w->client, 1000, &x, &err), again[i].want);
		assert_int_equal(err.grpc_code, (int)again[i].code);
		assert_non_null(strstr(err.text, "no identity issued"));
		assert_non_null(strstr(err.text, "attempts in 1000 ms"));
		assert_true(mf_fa_calls(w->agent, FA_X509) > calls + 1);
	}
	for (size_t i = 0; i < MF_COUNT(again); i++) {
		mf_fa_status(w->agent, FA_X509, again[i].code, "no identity issued");
		calls = mf_fa_calls(w->agent, FA_X509);
		assert_int_equal(mayfly_fetch_x509(w->client, 1000, &x, &err), again[i].want);
		assert_int_equal(err.grpc_code, (int)again[i].code);
		assert_non_null(strstr(err.text, "no identity issued"));
		assert_non_null(strstr(err.text, "attempts in 1000 ms"));
		assert_true(mf_fa_calls(w->agent, FA_X509) > calls + 1);
	}
	mf_fa_down(w->agent);
	assert_int_equal(mayfly_fetch_x509(w->client, 50, &x, &err), MAYFLY_E_UNAVAILABLE);
	assert_non_null(strstr(err.text, "is the agent running?"));
	assert_int_equal(err.grpc_code, 0);
	assert_int_equal(mayfly_fetch_bundles(w->client, 50, &b, &err), MAYFLY_E_UNAVAILABLE);
	assert_null(x);
}

static void
test_silent_agent(void **state)
{
	struct world *w = *state;
	mayfly_x509 *x = NULL;
	mayfly_error err;
	assert_int_equal(mayfly_fetch_x509(w->client, 100, &x, &err), MAYFLY_E_DEADLINE);
	assert_non_null(strstr(err.text, "did not answer"));
	mf_fa_status(w->agent, FA_X509, MF_GRPC_OK, "");
	assert_int_equal(mayfly_fetch_x509(w->client, 100, &x, &err), MAYFLY_E_UNAVAILABLE);
	assert_non_null(strstr(err.text, "without an answer"));
}

static void
test_bad_answer(void **state)
{
	struct world *w = *state;
	mayfly_x509 *x = NULL;
	mayfly_error err;
	w->answer.svid[0].x509_svid_key.len--;
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(mayfly_fetch_x509(w->client, 0, &x, &err), MAYFLY_E_INVALID);
	assert_non_null(strstr(err.text, "identity 0"));
	answer_with(w, "/a", w->now - 30);
	assert_int_equal(mayfly_fetch_x509(w->client, 0, &x, &err), MAYFLY_E_UNAVAILABLE);
	assert_non_null(strstr(err.text, "expired"));
	assert_null(x);
}

static void
test_bundles_only(void **state)
{
	struct world *w = *state;
	X509BundlesResponse r = X509_BUNDLES_RESPONSE__INIT;
	X509BundlesResponse__BundlesEntry e = X509_BUNDLES_RESPONSE__BUNDLES_ENTRY__INIT, *at = &e;
	struct mf_slice ca = mf_mint_ca(w->other);
	static char key[] = "spiffe://td2";
	mayfly_bundles *b = NULL;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	e.key = key, e.value = (ProtobufCBinaryData) { ca.n, (uint8_t *)(uintptr_t)ca.p };
	r.bundles = &at, r.n_bundles = 1;
	mf_fa_answer(w->agent, FA_BUNDLES, &r.base);
	assert_int_equal(mayfly_fetch_bundles(w->client, HANG, &b, &err), MAYFLY_OK);
	assert_string_equal(mayfly_bundles_trust_domain(b, 0), "td2");
	mayfly_bundles_unref(b);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_BUNDLES, &watch, &err), MAYFLY_OK);
	(void)await(watch, MAYFLY_UPDATED, &err);
	assert_null(mayfly_watch_x509(watch));
	b = mayfly_watch_bundles(watch);
	assert_int_equal(mayfly_bundles_count(b), 1);
	mayfly_bundles_unref(b);
	mf_fa_status(w->agent, FA_BUNDLES, MF_GRPC_PERMISSION_DENIED, "no identity issued");
	assert_true((await(watch, MAYFLY_DROPPED, &err) & MAYFLY_STOPPED) == 0);
	assert_null(mayfly_watch_bundles(watch));
	mayfly_watch_free(watch);
	assert_int_equal(mayfly_watch_new(w->client, (mayfly_watch_kind)7, &watch, &err), MAYFLY_E_INVALID);
}

/* Pushes replace the state (WAPI-6); the descriptor stays the same over a reconnect. WAPI-22 */
static void
test_watch(void **state)
{
	struct world *w = *state;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	mf_wl_federate(&w->answer, "spiffe://td2", mf_mint_ca(w->other));
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	int fd = mayfly_watch_fd(watch);
	assert_int_equal(await(watch, MAYFLY_UPDATED, &err), MAYFLY_UPDATED);
	mayfly_x509 *first = mayfly_watch_x509(watch);
	assert_int_equal(mayfly_bundles_count(mayfly_x509_bundles(first)), 2);
	answer_with(w, "/b", w->now + 700);
	(void)await(watch, MAYFLY_UPDATED, &err);
	assert_id(watch, "spiffe://td1/b");
	mayfly_bundles *b = mayfly_watch_bundles(watch);
	assert_int_equal(mayfly_bundles_count(b), 1); /* the foreign one is erased */
	mayfly_bundles_unref(b);
	/* who holds an older snapshot goes on holding it */
	assert_string_equal(mayfly_svid_id(mayfly_x509_at(first, 0)), "spiffe://td1/a");
	mayfly_x509_unref(first);
	unsigned calls = mf_fa_calls(w->agent, FA_X509);
	mf_fa_drop(w->agent);
	assert_int_equal(await(watch, MAYFLY_TROUBLE, &err) & MAYFLY_DROPPED, 0);
	assert_int_equal(err.status, MAYFLY_E_UNAVAILABLE);
	assert_id(watch, "spiffe://td1/b");
	(void)await(watch, MAYFLY_UPDATED, &err);
	assert_true(mf_fa_calls(w->agent, FA_X509) > calls);
	assert_int_equal(mayfly_watch_fd(watch), fd);
	mayfly_watch_free(watch);
	assert_int_equal(mf_fa_unmarked(w->agent), 0);
}

/* E-15: an agent that restarts; UNAVAILABLE, OK and CANCELLED (P-1, P-2) lose nothing. */
static void
test_keeps(void **state)
{
	struct world *w = *state;
	static const enum mf_grpc_code ends[] = { MF_GRPC_UNAVAILABLE, MF_GRPC_OK, MF_GRPC_CANCELLED,
		MF_GRPC_INTERNAL, MF_GRPC_UNKNOWN };
	mayfly_watch *watch = NULL;
	mayfly_error err;
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	(void)await(watch, MAYFLY_UPDATED, &err);
	for (size_t i = 0; i < MF_COUNT(ends); i++) {
		mf_fa_status(w->agent, FA_X509, ends[i], "restarting");
		unsigned changes = await(watch, MAYFLY_TROUBLE, &err);
		assert_int_equal(changes & (MAYFLY_DROPPED | MAYFLY_STOPPED), 0);
		assert_int_equal(err.grpc_code, (int)ends[i]);
		assert_id(watch, "spiffe://td1/a");
		mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
		(void)await(watch, MAYFLY_UPDATED, &err);
	}
	mf_fa_down(w->agent);
	for (int i = 0; i < 4; i++)
		(void)await(watch, MAYFLY_TROUBLE, &err);
	assert_id(watch, "spiffe://td1/a");
	mf_fa_up(w->agent);
	(void)await(watch, MAYFLY_UPDATED, &err);
	mayfly_watch_free(watch);
}

/* WAPI-14, P-4: no identity any more means none is used any more; when it comes back, it is taken. */
static void
test_denied(void **state)
{
	struct world *w = *state;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	(void)await(watch, MAYFLY_UPDATED, &err);
	mf_fa_status(w->agent, FA_X509, MF_GRPC_PERMISSION_DENIED, "no identity issued");
	unsigned changes = await(watch, MAYFLY_DROPPED, &err);
	assert_int_equal(changes, MAYFLY_DROPPED | MAYFLY_TROUBLE);
	assert_int_equal(err.status, MAYFLY_E_DENIED);
	assert_int_equal(err.grpc_code, 7);
	assert_non_null(strstr(err.text, "no identity issued"));
	assert_id(watch, NULL);
	assert_null(mayfly_watch_bundles(watch));
	/* told once, not at each further refusal */
	assert_int_equal(await(watch, MAYFLY_TROUBLE, &err), MAYFLY_TROUBLE);
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	(void)await(watch, MAYFLY_UPDATED, &err);
	assert_id(watch, "spiffe://td1/a");
	mayfly_watch_free(watch);

	mayfly_client_set_on_denied(w->client, MAYFLY_KEEP);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	(void)await(watch, MAYFLY_UPDATED, &err);
	mf_fa_status(w->agent, FA_X509, MF_GRPC_PERMISSION_DENIED, "no identity issued");
	assert_int_equal(await(watch, MAYFLY_TROUBLE, &err), MAYFLY_TROUBLE);
	assert_id(watch, "spiffe://td1/a");
	mayfly_watch_free(watch);
}

/* WEP-13, WAPI-2: one call, then none. */
static void
test_stops(void **state)
{
	struct world *w = *state;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	unsigned changes = 0;
	mf_fa_status(w->agent, FA_X509, MF_GRPC_UNIMPLEMENTED, "off");
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	assert_true((await(watch, MAYFLY_STOPPED, &err) & MAYFLY_TROUBLE) != 0);
	assert_int_equal(err.status, MAYFLY_E_UNSUPPORTED);
	assert_int_equal(mayfly_watch_wait(watch, 200, &changes, &err), MAYFLY_E_DEADLINE);
	assert_int_equal(mf_fa_calls(w->agent, FA_X509), 1);
	mayfly_watch_free(watch);
}

/* WAPI-8, P-6: an answer that breaks a rule is discarded and reported; the old state stays; asking goes on. */
static void
test_discards(void **state)
{
	struct world *w = *state;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	(void)await(watch, MAYFLY_UPDATED, &err);
	w->answer.svid[0].x509_svid_key.len = 0;
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(await(watch, MAYFLY_TROUBLE, &err), MAYFLY_TROUBLE);
	assert_int_equal(err.status, MAYFLY_E_INVALID);
	assert_non_null(strstr(err.text, "mandatory field"));
	assert_id(watch, "spiffe://td1/a");
	answer_with(w, "/c", w->now + 600);
	(void)await(watch, MAYFLY_UPDATED, &err);
	assert_id(watch, "spiffe://td1/c");
	mayfly_watch_free(watch);
}

/* Without an agent an identity is used until it expires, and not longer. */
static void
test_expires(void **state)
{
	struct world *w = *state;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	mf_wl_fini(&w->answer);
	mf_wl_init(&w->answer);
	w->now = mf_now().wall_us / 1000000;
	mf_wl_add(&w->answer, w->mint, "td1", "/short", "", w->now, w->now + 2);
	mf_wl_add(&w->answer, w->mint, "td1", "/longer", "", w->now, w->now + 5);
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	(void)await(watch, MAYFLY_UPDATED, &err);
	mayfly_x509 *first = mayfly_watch_x509(watch);
	mf_fa_down(w->agent);
	/* on a machine that is slow enough the first, or both, have expired meanwhile */
	if (first != NULL && mayfly_x509_count(first) == 2) {
		assert_string_equal(mayfly_svid_id(mayfly_x509_at(first, 0)), "spiffe://td1/short");
		unsigned changes = await(watch, MAYFLY_UPDATED | MAYFLY_DROPPED, &err);
		assert_true(mf_now().wall_us / 1000000 > w->now + 2);
		mayfly_x509 *left = mayfly_watch_x509(watch);
		if (left != NULL) {
			assert_int_equal(mayfly_x509_count(left), 1);
			assert_string_equal(mayfly_svid_id(mayfly_x509_at(left, 0)), "spiffe://td1/longer");
		}
		mayfly_x509_unref(left);
		if ((changes & MAYFLY_DROPPED) == 0)
			(void)await(watch, MAYFLY_DROPPED, &err);
	} else {
		(void)await(watch, MAYFLY_DROPPED, &err);
	}
	mayfly_x509_unref(first);
	assert_id(watch, NULL);
	assert_non_null(strstr(err.text, "expired"));
	assert_true(mf_now().wall_us / 1000000 > w->now + 5);
	mayfly_watch_free(watch);
}

/* Driven by somebody else's loop: poll the descriptor, dispatch when it is readable, and nothing else. */
static void
test_foreign_loop(void **state)
{
	struct world *w = *state;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	unsigned seen = 0, idle = 0;
	mf_fa_down(w->agent);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	for (int i = 0; (seen & MAYFLY_UPDATED) == 0; i++) {
		struct pollfd p = { mayfly_watch_fd(watch), POLLIN, 0 };
		unsigned changes = 0;
		assert_int_equal(poll(&p, 1, HANG), 1);
		assert_int_equal(mayfly_watch_dispatch(watch, &changes, &err), MAYFLY_OK);
		seen |= changes;
		if (i == 3)
			mf_fa_up(w->agent);
	}
	assert_true((seen & MAYFLY_TROUBLE) != 0);
	/* Nothing to do, nothing readable: a level-triggered loop does not spin. */
	for (int i = 0; i < 20; i++) {
		struct pollfd p = { mayfly_watch_fd(watch), POLLIN, 0 };
		unsigned changes = 0;
		if (poll(&p, 1, 5) == 0) {
			idle++;
			continue;
		}
		assert_int_equal(mayfly_watch_dispatch(watch, &changes, &err), MAYFLY_OK);
		assert_int_equal(changes, 0);
	}
	assert_true(idle >= 15);
	mayfly_watch_free(watch);
}

static void
test_forked_child(void **state)
{
	struct world *w = *state;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	(void)await(watch, MAYFLY_UPDATED, &err);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		unsigned changes;
		_exit(mayfly_watch_dispatch(watch, &changes, &err) == MAYFLY_E_STATE ? 0 : 1);
	}
	int st = -1;
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, 0);
	mayfly_watch_free(watch);
	mayfly_watch_free(NULL);
}

/* A child that only sleeps holds a copy of the lost connection: the parent's loop must not spin on it. */
static void
test_child_holds_fd(void **state)
{
	struct world *w = *state;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	unsigned idle = 0, changes = 0;
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	(void)await(watch, MAYFLY_UPDATED, &err);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	mf_fa_drop(w->agent);
	(void)await(watch, MAYFLY_UPDATED, &err);
	for (int i = 0; i < 20; i++) {
		struct pollfd p = { mayfly_watch_fd(watch), POLLIN, 0 };
		if (poll(&p, 1, 5) == 0)
			idle++;
		else
			assert_int_equal(mayfly_watch_dispatch(watch, &changes, &err), MAYFLY_OK);
	}
	assert_true(idle >= 15);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	mayfly_watch_free(watch);
}

/* The agent sees that nobody listens any more. */
static void
test_close(void **state)
{
	struct world *w = *state;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	mf_fa_answer(w->agent, FA_X509, &w->answer.r.base);
	assert_int_equal(mayfly_watch_new(w->client, MAYFLY_WATCH_X509, &watch, &err), MAYFLY_OK);
	(void)await(watch, MAYFLY_UPDATED, &err);
	assert_int_equal(mf_fa_open(w->agent, FA_X509), 1);
	mayfly_watch_free(watch);
	for (int i = 0; i < HANG && mf_fa_open(w->agent, FA_X509) > 0; i++)
		(void)poll(NULL, 0, 1);
	assert_int_equal(mf_fa_open(w->agent, FA_X509), 0);
}

int
main(void)
{
#define T(name, fn)                             \
	{                                       \
		name, fn, setup, teardown, NULL \
	}
	const struct CMUnitTest tests[] = {
		T("WEP-3 fetch", test_fetch),
		T("WEP-13 attempts", test_attempts),
		T("silent agent", test_silent_agent),
		T("WAPI-8 fetch", test_bad_answer),
		T("bundles alone", test_bundles_only),
		T("WAPI-6 watch", test_watch),
		T("P-1 P-2 E-15 keeps", test_keeps),
		T("WAPI-14 P-4 drops", test_denied),
		T("WAPI-2 WEP-13 stops", test_stops),
		T("WAPI-8 P-6 discards", test_discards),
		T("expires without an agent", test_expires),
		T("foreign loop", test_foreign_loop),
		T("forked child", test_forked_child),
		T("child holds the descriptor", test_child_holds_fd),
		T("close", test_close),
	};
	return cmocka_run_group_tests_name("client_watch", tests, NULL, NULL);
}
