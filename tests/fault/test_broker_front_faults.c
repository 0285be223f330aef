/*
 * The broker's whole front, between an agent and the notary's link: each call on a socket and of the event loop that it makes for a session
 * fails once. The agent's session comes about or it is told, and the next agent is served. What passes by is not even seen; for a link
 * that the kernel broke while the notary lives the front asks to be started over, as the supervisor then does.
 */
#include <errno.h>

#include "call_fail.h"
#include "front_world.h"

#define ROUNDS 500 /* more calls than a session makes: a hang limit */

static const struct failure {
	enum mf_call call;
	int how;
	bool passing; /* nothing may come of it */
} failures[] = {
	{ MF_CALL_ACCEPT, EINTR, true },
	{ MF_CALL_ACCEPT, EMFILE, false },
	{ MF_CALL_RECV, EINTR, true },
	{ MF_CALL_RECV, EAGAIN, true },
	{ MF_CALL_RECV, MF_CALL_SHORT, true },
	{ MF_CALL_RECV, ECONNRESET, false },
	{ MF_CALL_RECVMSG, EINTR, true },
	{ MF_CALL_RECVMSG, EAGAIN, true },
	{ MF_CALL_RECVMSG, ENOBUFS, false },
	{ MF_CALL_SEND, EAGAIN, true },
	{ MF_CALL_SEND, MF_CALL_SHORT, true },
	{ MF_CALL_SEND, EPIPE, false },
	{ MF_CALL_SEND, ENOBUFS, false },
	{ MF_CALL_SENDMMSG, EINTR, true },
	{ MF_CALL_SENDMMSG, EAGAIN, true },
	{ MF_CALL_SENDMMSG, ECONNRESET, false },
	{ MF_CALL_SENDMMSG, ENOBUFS, false },
	{ MF_CALL_EPOLL_CTL, ENOMEM, false },
	{ MF_CALL_EPOLL_WAIT, EINTR, true },
};

static struct fw_client client;
static struct fw_stream stream;

static size_t
opens(const struct fw *w)
{
	return mf_fn_count(w, MF_MSG_SESSION_OPEN);
}

static void
new_link(struct fw *w)
{
	mf_call_spare_fd(-1);
	mf_fn_link(w);
	mf_call_spare_fd(mf_seqpacket_fd(w->n.pkt));
}

static long starts;

static void
start_over(struct fw *w)
{
	starts++;
	mf_call_spare_fd(-1);
	mf_fw_stop_front(w);
	mf_fn_forget(w);
	mf_fw_serve(w);
}

static bool
settled(const struct fw *w, size_t before)
{
	return opens(w) > before || stream.over || client.over || w->n.closed;
}

/* True: the notary heard of the session, and the agent of the bundle. */
static bool
session(struct fw *w)
{
	size_t before = opens(w);
	memset(&stream, 0, sizeof(stream));
	mf_call_spare_fd(-1);
	mf_call_spare_fd(mf_seqpacket_fd(w->n.pkt));
	bool was = mf_call_spare(true);
	mf_fw_dial(w, &client, NULL, "/mayfly/node/n-1", 0);
	mf_call_spare_fd(mf_net_conn_fd(client.conn));
	(void)mf_call_spare(was);
	FW_UNTIL(w, client.open || client.over || w->n.closed);
	if (client.open && !client.over) {
		mf_fw_open(&client, &stream);
		FW_UNTIL(w, settled(w, before));
		FW_UNTIL(w, stream.n > 0 || stream.over || client.over || w->n.closed);
	}
	bool all = stream.n > 0 && opens(w) > before;
	(void)mf_call_spare(true);
	mf_fw_hang_up(w, &client);
	mf_fw_settle(w);
	if (w->left != -1)
		start_over(w);
	else if (w->n.closed)
		new_link(w);
	mf_fw_settle(w);
	(void)mf_call_spare(was);
	return all;
}

static bool
round_of(struct fw *w, const struct failure *f, long n)
{
	long before = starts;
	mf_call_fail(f->call, n, f->how);
	bool all = session(w);
	bool reached = mf_call_failed();
	mf_call_fail(f->call, 0, 0);
	mf_fn_forget(w);
	if ((!all || starts != before) && (!reached || f->passing))
		fail_msg("%s number %ld, errno %d: the agent was cut off", mf_call_name(f->call), n, f->how);
	if (!session(w) && !session(w))
		fail_msg(
		    "%s number %ld, errno %d: the next one is not served", mf_call_name(f->call), n, f->how);
	mf_fn_forget(w);
	return reached;
}

static void
test_each_call(void **state)
{
	struct fw *w = malloc(sizeof(*w));
	long places = 0;
	(void)state;
	assert_non_null(w);
	mf_fw_init(w);
	mf_fw_serve(w);
	assert_true(session(w));
	int before = mf_call_open_fds();
	for (size_t i = 0; i < MF_COUNT(failures); i++) {
		long n = 1;
		while (n < ROUNDS && round_of(w, &failures[i], n))
			n++;
		assert_true(n < ROUNDS);
		places += n - 1;
		assert_int_equal(mf_call_open_fds(), before);
	}
	print_message("at %ld places\n", places);
	assert_true(places > 20);
	mf_call_spare_fd(-1);
	mf_fw_fini(w);
	free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_call) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
