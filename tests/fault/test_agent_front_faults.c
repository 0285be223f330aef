/*
 * The agent's whole front, between a job and the attestor's link: each call on a socket and of the event loop that it makes for a fetch
 * fails once. The job gets its identity or a status, the front lives, and the next job is served; a link that broke is replaced, as
 * the supervisor does it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>

#include "call_fail.h"
#include "front_rig.h"

#define ROUNDS 500 /* more calls than a fetch makes: a hang limit */

static const struct failure {
	enum mf_call call;
	int how;
	bool passing; /* nothing may come of it */
} failures[] = {
	{ MF_CALL_ACCEPT, EINTR, true },
	{ MF_CALL_ACCEPT, EMFILE, false },
	{ MF_CALL_RECVMSG, EINTR, true },
	{ MF_CALL_RECVMSG, EAGAIN, true },
	{ MF_CALL_RECVMSG, MF_CALL_SHORT, false }, /* a cut packet ends a link */
	{ MF_CALL_RECVMSG, ECONNRESET, false },
	{ MF_CALL_RECVMSG, ENOBUFS, false },
	{ MF_CALL_SEND, EAGAIN, true },
	{ MF_CALL_SEND, MF_CALL_SHORT, true },
	{ MF_CALL_SEND, EPIPE, false },
	{ MF_CALL_SEND, ENOBUFS, false },
	{ MF_CALL_SENDMMSG, EINTR, true },
	{ MF_CALL_SENDMMSG, EAGAIN, true },
	{ MF_CALL_SENDMMSG, ECONNRESET, false },
	{ MF_CALL_SENDMMSG, ENOBUFS, false },
	{ MF_CALL_DUP, EMFILE, false },
	{ MF_CALL_EPOLL_CTL, ENOMEM, false },
	{ MF_CALL_EPOLL_WAIT, EINTR, true },
};

/* What the front does may fail; what the client and the fake attestor do may not. */
static void
turn(struct rig *r)
{
	(void)mf_call_spare(false);
	assert_int_equal(mf_loop_turn(r->loop, false, NULL), MF_OK);
	(void)mf_call_spare(true);
	mf_frig_turn(r);
	if (r->fake == NULL)
		mf_frig_attestor(r);
}

/* True: it got an identity. Otherwise it was told something. */
static bool
fetch(struct rig *r)
{
	struct rig_client c;
	uint64_t end = mf_now().mono_ms + RIG_HANG_MS;
	mf_frig_open(r, &c, &mf_frig_fetch);
	while (!mf_frig_poll(&c)) {
		if (mf_now().mono_ms > end)
			fail_msg("neither an answer nor an end");
		turn(r);
		(void)poll(NULL, 0, 1);
	}
	bool got = !c.ended;
	mf_frig_close(&c);
	for (int i = 0; i < 5; i++)
		turn(r); /* the connection's end */
	return got;
}

static bool
round_of(struct rig *r, const struct failure *f, long n)
{
	mf_call_fail(f->call, n, f->how);
	bool got = fetch(r);
	bool reached = mf_call_failed();
	mf_call_fail(f->call, 0, 0);
	if (!got && (!reached || f->passing))
		fail_msg("%s number %ld, errno %d: the job got nothing", mf_call_name(f->call), n, f->how);
	/* What was held for an attestor that came anew may be told to try again, once. */
	if (!fetch(r) && !fetch(r) && !fetch(r))
		fail_msg(
		    "%s number %ld, errno %d: the next one gets nothing", mf_call_name(f->call), n, f->how);
	return reached;
}

static void
test_each_call(void **state)
{
	long places = 0;
	(void)state;
	for (size_t i = 0; i < MF_COUNT(failures); i++) {
		int before = mf_call_open_fds();
		struct rig *r = mf_frig_new();
		long n = 1;
		(void)mf_call_spare(true);
		mf_frig_start(r);
		assert_true(fetch(r));
		int running = mf_call_open_fds();
		while (n < ROUNDS && round_of(r, &failures[i], n))
			n++;
		assert_true(n < ROUNDS);
		places += n - 1;
		mf_frig_settle(r);
		assert_int_equal(mf_call_open_fds(), running);
		mf_frig_free(r);
		(void)mf_call_spare(false);
		assert_int_equal(mf_call_open_fds(), before);
	}
	print_message("at %ld places\n", places);
	assert_true(places > 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_call) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
