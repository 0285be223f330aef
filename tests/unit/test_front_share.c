/* The agent's front: one user's connections, shared between that user's jobs. A job that takes all it can get keeps no other out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "front_rig.h"
#include "rpc/grpc_health.h"

#define PER_UID 8u
#define ATTESTED 7u /* one place is the lobby */

static struct rig *
rig(void **state)
{
	return *state;
}

static int
setup(void **state)
{
	struct rig *r = mf_frig_new();
	r->cfg.conns_per_uid = PER_UID;
	r->cfg.hold_ms = RIG_HANG_MS;
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	mf_frig_free(*state);
	return 0;
}

static int
silent(const struct rig *r)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", r->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* From now on the attestor names this job. */
static void
caller_is(struct rig *r, uint64_t handle)
{
	r->handle = handle;
	(void)snprintf(r->key, sizeof(r->key), "local/n-test/boot/p-%llu", (unsigned long long)handle);
}

static void
served(struct rig *r, struct rig_client *c)
{
	mf_frig_open(r, c, &mf_frig_fetch);
	if (mf_frig_next(c) == NULL)
		fail_msg("not served, but %s: %s", mf_grpc_code_name(c->code), c->text);
}

static void
refused(struct rig *r, struct rig_client *c)
{
	mf_frig_open(r, c, &mf_frig_fetch);
	assert_int_equal(mf_frig_end(c), MF_GRPC_UNAVAILABLE);
	mf_frig_close(c);
}

static size_t
still_open(struct rig_client *c, size_t n)
{
	size_t open = 0;
	for (size_t i = 0; i < n; i++)
		open += mf_frig_quiet(&c[i]);
	return open;
}

static void
close_all(struct rig_client *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mf_frig_close(&c[i]);
}

static bool
counts(struct rig *r, const char *line)
{
	struct mf_buf page;
	mf_buf_init(&page, 65536);
	assert_int_equal(mf_front_pages(r->front)[0].fill(r->front, &page), 200);
	bool found = strstr(mf_buf_cstr(&page), line) != NULL;
	mf_buf_fini(&page);
	return found;
}

/* Connections that say nothing, many times as many as there are places: who asks is served, and stays served. */
static void
test_idle_gives_way(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a, b;
	int fd[12 * PER_UID];
	mf_frig_start(r);
	served(r, &a);
	for (size_t i = 0; i < MF_COUNT(fd); i++) {
		fd[i] = silent(r);
		mf_frig_turn(r);
	}
	mf_frig_settle(r);
	served(r, &b);
	assert_true(mf_frig_quiet(&a));
	for (size_t i = 0; i < MF_COUNT(fd); i++) {
		char some[256];
		ssize_t n;
		while ((n = recv(fd[i], some, sizeof(some), MSG_DONTWAIT)) > 0)
			continue; /* SETTINGS, GOAWAY */
		bool over = n == 0;
		assert_int_equal(over, i < MF_COUNT(fd) - (PER_UID - 2)); /* the oldest went */
		(void)close(fd[i]);
	}
	assert_true(counts(r, "net_made_room_total{listener=\"jobs\"} 90\n"));
	mf_frig_close(&b);
	mf_frig_close(&a);
}

/* Health watchers need no attestation, so they hold no place either. */
static void
test_watchers_give_way(void **state)
{
	struct rig *r = rig(state);
	struct rig_client w[PER_UID], a;
	mf_frig_start(r);
	for (size_t i = 0; i < PER_UID; i++) {
		mf_frig_open(r, &w[i], &mf_grpc_health_watch);
		assert_non_null(mf_frig_next(&w[i]));
	}
	served(r, &a);
	assert_int_equal(mf_frig_end(&w[0]), MF_GRPC_UNAVAILABLE);
	assert_int_equal(still_open(w + 1, PER_UID - 1), PER_UID - 1);
	mf_frig_close(&a);
	close_all(w, PER_UID);
}

/* A job with open streams on every place: another one of its user gets half, and the first does not get them back. */
static void
test_streams_are_shared(void **state)
{
	struct rig *r = rig(state);
	struct rig_client greedy[ATTESTED], other[4], more;
	mf_frig_start(r);
	for (size_t i = 0; i < ATTESTED; i++)
		served(r, &greedy[i]);
	refused(r, &more); /* its own newest goes, and that is this one */
	assert_int_equal(still_open(greedy, ATTESTED), ATTESTED);
	caller_is(r, 8);
	for (size_t i = 0; i < 3; i++) {
		served(r, &other[i]);
		assert_int_equal(still_open(greedy, ATTESTED), ATTESTED - 1 - i);
	}
	refused(r, &other[3]); /* four and four is as many as the first has */
	caller_is(r, 7);
	for (size_t i = 0; i < 3 * PER_UID; i++)
		refused(r, &more);
	assert_int_equal(still_open(greedy, ATTESTED), 4);
	assert_int_equal(still_open(other, 3), 3);
	assert_true(counts(r, "connections_gave_way_total 29\n"));
	close_all(other, 3);
	close_all(greedy, ATTESTED);
}

/* Who gives way hears why. */
static void
test_words(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c[ATTESTED], more;
	mf_frig_start(r);
	for (size_t i = 0; i < ATTESTED; i++)
		served(r, &c[i]);
	mf_frig_open(r, &more, &mf_frig_fetch);
	assert_int_equal(mf_frig_end(&more), MF_GRPC_UNAVAILABLE);
	if (strstr(more.text, "the connections of this user are used up") == NULL)
		fail_msg("%s", more.text);
	mf_frig_close(&more);
	close_all(c, ATTESTED);
}

/* One that is slow to ask is not pushed out by another process's haste, however often that one connects. */
static void
test_haste_pushes_nobody_out(void **state)
{
	struct rig *r = rig(state);
	int fd[3 * PER_UID], said[2], go[2], status = -1;
	char byte;
	assert_int_equal(pipe(said), 0);
	assert_int_equal(pipe(go), 0);
	mf_frig_start(r);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int mine = silent(r);
		(void)!write(said[1], "c", 1);
		(void)!read(go[0], &byte, 1);
		char some[256];
		ssize_t n;
		while ((n = recv(mine, some, sizeof(some), MSG_DONTWAIT)) > 0)
			continue;
		_exit(n == 0 ? 1 : 0);
	}
	assert_int_equal(read(said[0], &byte, 1), 1);
	for (size_t i = 0; i < MF_COUNT(fd); i++) {
		fd[i] = silent(r);
		mf_frig_turn(r);
	}
	mf_frig_settle(r);
	assert_int_equal(write(go[1], "g", 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	for (size_t i = 0; i < MF_COUNT(fd); i++)
		(void)close(fd[i]);
	for (size_t i = 0; i < 2; i++) {
		(void)close(said[i]);
		(void)close(go[i]);
	}
}

/* What is attested and idle goes before anybody's stream. */
static void
test_idle_before_streams(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c[ATTESTED], other;
	mf_frig_start(r);
	for (size_t i = 0; i < ATTESTED; i++)
		mf_frig_open(r, &c[i], i == 2 ? &mf_frig_whoami : &mf_frig_fetch);
	for (size_t i = 0; i < ATTESTED; i++)
		assert_non_null(mf_frig_next(&c[i]));
	assert_int_equal(mf_frig_end(&c[2]), MF_GRPC_OK); /* answered; the connection stays */
	caller_is(r, 8);
	served(r, &other);
	for (size_t i = 0; i < ATTESTED; i++)
		assert_true(i == 2 || mf_frig_quiet(&c[i]));
	mf_frig_close(&other);
	close_all(c, ATTESTED);
}

/* A runner's connection is its job's life: no crowd of its user takes it away. */
static void
test_runners_stay(void **state)
{
	struct rig *r = rig(state);
	struct rig_client run, c[3 * PER_UID];
	Mayfly__Job__V1__StartRequest m = MAYFLY__JOB__V1__START_REQUEST__INIT;
	Mayfly__Job__V1__StartSpec spec = MAYFLY__JOB__V1__START_SPEC__INIT;
	int fd[3 * PER_UID];
	mf_frig_start(r);
	spec.profile = (char *)(uintptr_t) "dev";
	m.body_case = MAYFLY__JOB__V1__START_REQUEST__BODY_SPEC;
	m.spec = &spec;
	mf_frig_open(r, &run, &mf_frig_run);
	struct mf_err err = { 0 };
	assert_int_equal(mf_grpc_sync_send(run.st, &m.base, &err), MF_OK);
	assert_non_null(mf_frig_next(&run));
	caller_is(r, 8);
	for (size_t i = 0; i < MF_COUNT(c); i++)
		mf_frig_open(r, &c[i], &mf_frig_fetch);
	for (size_t i = 0; i < MF_COUNT(fd); i++) {
		fd[i] = silent(r);
		mf_frig_turn(r);
	}
	mf_frig_settle(r);
	assert_int_equal(r->runner_gone, 0);
	assert_true(counts(r, "mayfly_agent_runs 1\n"));
	for (size_t i = 0; i < MF_COUNT(fd); i++)
		(void)close(fd[i]);
	close_all(c, MF_COUNT(c));
	mf_frig_close(&run);
}

/* The attestor says nothing for a while: the places turn over, oldest first, and who came last is served when it speaks. */
static void
test_waiting_gives_way(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c[2 * PER_UID], last;
	r->who = RIG_SILENT;
	mf_frig_start(r);
	for (size_t i = 0; i < MF_COUNT(c); i++) {
		mf_frig_open(r, &c[i], &mf_frig_fetch);
		mf_frig_settle(r);
	}
	for (size_t i = 0; i < PER_UID; i++)
		assert_int_equal(mf_frig_end(&c[i]), MF_GRPC_UNAVAILABLE);
	assert_int_equal(still_open(c + PER_UID, PER_UID), PER_UID);
	r->who = RIG_KNOWN;
	mf_frig_attestor(r);
	mf_frig_open(r, &last, &mf_frig_fetch);
	size_t got = 0;
	for (size_t i = PER_UID + 1; i < MF_COUNT(c); i++)
		got += mf_frig_next(&c[i]) != NULL;
	assert_int_equal(got, ATTESTED);
	assert_int_equal(mf_frig_end(&last), MF_GRPC_UNAVAILABLE); /* of the same job */
	mf_frig_close(&last);
	close_all(c, MF_COUNT(c));
}

/* Another process was far ahead of all others and then closed everything: who comes next is let in all the same. */
static void
test_a_crowd_leaves_by_itself(void **state)
{
	struct rig *r = rig(state);
	int said[2], go[2], status = 0, fd[3 * PER_UID];
	char byte = 0;
	struct rig_client a;
	assert_int_equal(pipe(said), 0);
	assert_int_equal(pipe(go), 0);
	mf_frig_start(r);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		for (size_t i = 0; i < PER_UID; i++)
			(void)silent(r);
		(void)!write(said[1], "c", 1);
		(void)!read(go[0], &byte, 1);
		_exit(0);
	}
	assert_int_equal(read(said[0], &byte, 1), 1);
	mf_frig_settle(r);
	fd[0] = silent(r); /* one of the crowd goes for it */
	mf_frig_settle(r);
	assert_true(counts(r, "net_made_room_total{listener=\"jobs\"} 1\n"));
	assert_int_equal(write(go[1], "g", 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	mf_frig_settle(r);
	for (size_t i = 1; i < MF_COUNT(fd); i++) {
		fd[i] = silent(r);
		mf_frig_turn(r);
	}
	mf_frig_settle(r);
	assert_false(counts(r, "net_over_cap_total{")); /* nobody was refused */
	served(r, &a);
	mf_frig_close(&a);
	for (size_t i = 0; i < MF_COUNT(fd); i++)
		(void)close(fd[i]);
	for (size_t i = 0; i < 2; i++) {
		(void)close(said[i]);
		(void)close(go[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_idle_gives_way),
		TEST(test_a_crowd_leaves_by_itself),
		TEST(test_watchers_give_way),
		TEST(test_streams_are_shared),
		TEST(test_words),
		TEST(test_idle_before_streams),
		TEST(test_haste_pushes_nobody_out),
		TEST(test_runners_stay),
		TEST(test_waiting_gives_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
