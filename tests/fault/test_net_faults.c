/*
 * Each call on a socket, and of the event loop, fails once, at every place where it is made: connections by Unix socket and by TLS, the role
 * links' packets, the loop's own descriptors. What a kernel says in passing (EINTR, EAGAIN, fewer bytes) changes nothing at all.
 * What is an error ends at most what it met: each call is told its end once, no descriptor is lost, and whoever
 * comes next is served.
 */
#include <signal.h>

#include "unit/net_world.h"

#include "broker/notary/mailbox.h"
#include "call_fail.h"
#include "os/seqpacket.h"

#define ROUNDS 2000 /* more calls than a round makes: a hang limit */

struct failure {
	enum mf_call call;
	int how;
	bool passing; /* nothing may come of it */
};

static const struct failure failures[] = {
	{ MF_CALL_ACCEPT, EINTR, true },
	{ MF_CALL_ACCEPT, EAGAIN, true },
	{ MF_CALL_ACCEPT, ECONNABORTED, true },
	{ MF_CALL_ACCEPT, EMFILE, false }, /* the waiting peer is told to come again */
	{ MF_CALL_ACCEPT, ENFILE, false },
	{ MF_CALL_ACCEPT, ENOBUFS, false },
	{ MF_CALL_ACCEPT, ENOMEM, false },
	{ MF_CALL_ACCEPT, EPERM, true }, /* a firewall's word on one connection: it is asked for again */
	{ MF_CALL_RECV, EINTR, true },
	{ MF_CALL_RECV, EAGAIN, true },
	{ MF_CALL_RECV, MF_CALL_SHORT, true },
	{ MF_CALL_RECV, ECONNRESET, false },
	{ MF_CALL_RECV, ENOMEM, false },
	{ MF_CALL_RECVMSG, EINTR, true },
	{ MF_CALL_RECVMSG, EAGAIN, true },
	{ MF_CALL_RECVMSG, MF_CALL_SHORT, true },
	{ MF_CALL_RECVMSG, ECONNRESET, false },
	{ MF_CALL_RECVMSG, ENOBUFS, false },
	{ MF_CALL_SEND, EINTR, true },
	{ MF_CALL_SEND, EAGAIN, true },
	{ MF_CALL_SEND, MF_CALL_SHORT, true },
	{ MF_CALL_SEND, ECONNRESET, false },
	{ MF_CALL_SEND, EPIPE, false },
	{ MF_CALL_SEND, ENOBUFS, false },
	{ MF_CALL_SEND, ENOMEM, false },
	{ MF_CALL_SOCKET, EMFILE, false },
	{ MF_CALL_SOCKET, ENOBUFS, false },
	{ MF_CALL_CONNECT, EAGAIN, false }, /* a Unix socket's queue is full */
	{ MF_CALL_CONNECT, ECONNREFUSED, false },
	{ MF_CALL_EPOLL_CTL, ENOMEM, false },
	{ MF_CALL_EPOLL_CTL, ENOSPC, false },
	{ MF_CALL_EPOLL_WAIT, EINTR, true },
};

static const char *
describe(const struct failure *f, long n)
{
	static char text[128];
	(void)snprintf(text, sizeof(text), "%s number %ld: %s", mf_call_name(f->call), n,
	    f->how == MF_CALL_SHORT ? "short" : strerror(f->how));
	return text;
}

/* ---- connections ---- */

static bool down; /* what the server says of itself: it changes it for each client */

/* Two calls, one of them a stream that is pushed to. True: all of it came. */
static bool
converse(struct world *w)
{
	static const struct mf_grpc_client client = { 0 };
	struct mf_net_client_config cfg = { .client = &client, .ops = &c_ops, .ctx = w, .counters = &w->cc };
	struct mf_err err = { 0 };
	if (w->tls) {
		cfg.address = "127.0.0.1";
		cfg.port = w->port;
		cfg.tls = w->ctls;
	} else {
		cfg.unix_path = w->path;
	}
	int opens = w->c_opens, closes = w->c_closes, messages = w->messages, statuses = w->statuses;
	if (mf_net_connect(w->l, &cfg, &w->conn, &err) != MF_OK) {
		assert_true(err.msg[0] != '\0');
		return false;
	}
	UNTIL(w, w->c_opens > opens || w->c_closes > closes);
	if (w->conn == NULL)
		return false;
	(void)call(w, &mf_grpc_health_check);
	(void)call(w, &mf_grpc_health_watch);
	UNTIL(w, w->messages == messages + 2 || w->c_closes > closes);
	if (w->conn != NULL) {
		down = !down;
		assert_int_equal(mf_grpc_health_set(w->health, "",
				     down ? MF_GRPC_HEALTH_NOT_SERVING : MF_GRPC_HEALTH_SERVING, &err),
		    MF_OK);
		UNTIL(w, w->messages == messages + 3 || w->c_closes > closes);
	}
	bool all = w->conn != NULL;
	if (all)
		mf_net_conn_close(w->conn);
	UNTIL(w, w->c_closes == closes + 1);
	UNTIL(w, w->sc.open == 0 || w->cc.open > 0);
	assert_int_equal(w->statuses, statuses + 2); /* each call had its end, once */
	return all;
}

/* False: the failure was not reached. */
static bool
conn_round(bool tls, const struct failure *f, long n)
{
	struct world w;
	world_init(&w, tls);
	world_listen(&w);
	down = false;
	assert_true(converse(&w)); /* what is made once */
	mf_call_fail(f->call, n, f->how);
	bool all = converse(&w);
	bool reached = mf_call_failed();
	mf_call_fail(f->call, 0, 0);
	if (!all && (!reached || f->passing))
		fail_msg("%s: the client was cut off", describe(f, n));
	/* Whoever comes next. One that met the listener's pause waits for it. */
	if (!converse(&w) && !converse(&w))
		fail_msg("%s: the next one is not served", describe(f, n));
	world_fini(&w);
	return reached;
}

static long places[MF_COUNT(failures)]; /* where each was made to happen */

static void
sweep_conns(bool tls)
{
	for (size_t i = 0; i < MF_COUNT(failures); i++) {
		int before = mf_call_open_fds();
		long n = 1;
		while (n < ROUNDS && conn_round(tls, &failures[i], n))
			n++;
		assert_true(n < ROUNDS);
		places[i] += n - 1;
		if (mf_call_open_fds() != before)
			fail_msg("%s: %d descriptors, %d before", describe(&failures[i], n),
			    mf_call_open_fds(), before);
	}
}

static void
test_unix_conns(void **state)
{
	MF_UNUSED(state);
	sweep_conns(false);
}

static void
test_tls_conns(void **state)
{
	MF_UNUSED(state);
	sweep_conns(true);
	for (size_t i = 0; i < MF_COUNT(failures); i++)
		if (places[i] == 0)
			fail_msg("%s: never made", describe(&failures[i], 1));
}

/* ---- listeners and loops as they are made ---- */

static enum mf_status
make_listener(struct world *w, struct mf_err *err)
{
	int fd = -1;
	MF_TRY(mf_net_listen_unix(w->path, 0600, &fd, err));
	struct mf_net_listener_config cfg = { .fd = fd, .server = &w->server, .counters = &w->sc };
	enum mf_status s = mf_net_listener_new(w->l, &cfg, &w->ln, err);
	if (s != MF_OK)
		(void)close(fd);
	return s;
}

static enum mf_status
make_loop(struct world *w, struct mf_err *err)
{
	MF_AUTO(mf_loop_free) struct mf_loop *l = NULL;
	MF_UNUSED(w);
	return mf_loop_new(&l, err);
}

static enum mf_status
make_mailbox(struct world *w, struct mf_err *err)
{
	struct mf_mailbox *b = NULL;
	MF_UNUSED(w);
	MF_TRY(mf_mailbox_new(true, &b, err));
	mf_mailbox_free(b);
	return MF_OK;
}

static void
no_signal(void *ctx, int signo)
{
	MF_UNUSED(ctx);
	MF_UNUSED(signo);
}

static enum mf_status
make_signal(struct world *w, struct mf_err *err)
{
	struct mf_loop_signal *s = NULL;
	MF_TRY(mf_loop_signal_new(w->l, SIGUSR1, no_signal, NULL, &s, err));
	mf_loop_signal_free(s);
	return MF_OK;
}

static enum mf_status
make_pair(struct world *w, struct mf_err *err)
{
	int fds[2];
	MF_UNUSED(w);
	MF_TRY(mf_seqpacket_pair(fds, err));
	(void)close(fds[0]);
	(void)close(fds[1]);
	return MF_OK;
}

static void
test_making(void **state)
{
	MF_UNUSED(state);
	static const struct {
		enum mf_status (*make)(struct world *w, struct mf_err *err);
		enum mf_call call;
		int how;
	} cases[] = {
		{ make_listener, MF_CALL_SOCKET, EMFILE },
		{ make_listener, MF_CALL_DUP, EMFILE },
		{ make_loop, MF_CALL_FD_MAKE, EMFILE },
		{ make_loop, MF_CALL_EPOLL_CTL, ENOSPC },
		{ make_mailbox, MF_CALL_FD_MAKE, EMFILE },
		{ make_signal, MF_CALL_FD_MAKE, EMFILE },
		{ make_signal, MF_CALL_EPOLL_CTL, ENOMEM },
		{ make_pair, MF_CALL_SOCKET, ENFILE },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct world w;
		struct mf_err err = { 0 };
		bool failed = false;
		long n = 1;
		world_init(&w, false);
		int before = mf_call_open_fds();
		for (bool reached = true; reached && n < ROUNDS; n++) {
			err = (struct mf_err) { 0 };
			mf_call_fail(cases[i].call, n, cases[i].how);
			enum mf_status s = cases[i].make(&w, &err);
			reached = mf_call_failed();
			mf_call_fail(cases[i].call, 0, 0);
			assert_true(s == MF_OK || (reached && err.msg[0] != '\0'));
			failed = failed || s != MF_OK;
			mf_net_listener_free(MF_TAKE(w.ln));
			assert_int_equal(mf_call_open_fds(), before);
		}
		assert_true(failed && n > 2 && n < ROUNDS);
		world_fini(&w);
	}
}

/* ---- role links ---- */

#define PACKETS 40u

struct link {
	struct mf_seqpacket *a, *b;
	unsigned sent, got, fds;
	enum mf_status a_end, b_end;
	struct mf_err err;
};

static void
note_end(enum mf_status *to, enum mf_status s, const struct mf_err *err)
{
	if (s == MF_OK || s == MF_E_AGAIN || *to != MF_OK)
		return;
	assert_true(err->msg[0] != '\0');
	*to = s;
}

static void
push(struct link *k)
{
	uint8_t payload[64];
	struct mf_err err = { 0 };
	while (k->sent < PACKETS && k->a_end == MF_OK) {
		int fd = k->sent % 7 == 0 ? fcntl(0, F_DUPFD, 3) : -1;
		memset(payload, (int)k->sent, sizeof(payload));
		enum mf_status s = mf_seqpacket_queue(
		    k->a, (uint16_t)(k->sent + 1), mf_slice(payload, sizeof(payload)), fd, &err);
		if (s != MF_OK) {
			if (fd >= 0)
				(void)close(fd);
			note_end(&k->a_end, s, &err);
			return;
		}
		k->sent++;
		if (k->sent % 5 == 0)
			note_end(&k->a_end, mf_seqpacket_flush(k->a, &err), &err);
	}
}

static void
drain(struct link *k)
{
	struct mf_packet p;
	struct mf_err err = { 0 };
	enum mf_status s = MF_OK;
	while (k->b_end == MF_OK && (s = mf_seqpacket_recv(k->b, &p, &err)) == MF_OK) {
		/* In order, whole, none twice, each with the descriptor that it was sent with. */
		assert_int_equal(p.type, k->got + 1);
		assert_int_equal(p.payload.n, 64);
		assert_int_equal(p.payload.p[63], k->got & 0xff);
		assert_int_equal(p.fd >= 0, k->got % 7 == 0);
		k->fds += p.fd >= 0;
		k->got++;
	}
	note_end(&k->b_end, s, &err);
}

static bool
link_round(const struct failure *f, long n)
{
	struct link k = { 0 };
	int fds[2];
	assert_int_equal(mf_seqpacket_pair(fds, &k.err), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[0], 1 << 20, &k.a, &k.err), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[1], 1 << 20, &k.b, &k.err), MF_OK);
	mf_call_fail(f->call, n, f->how);
	push(&k);
	for (int i = 0; i < 1000 && k.got < PACKETS && k.a_end == MF_OK && k.b_end == MF_OK; i++) {
		note_end(&k.a_end, mf_seqpacket_flush(k.a, &k.err), &k.err);
		drain(&k);
	}
	bool reached = mf_call_failed();
	mf_call_fail(f->call, 0, 0);
	if (f->passing && k.got != PACKETS)
		fail_msg("%s: %u of %u packets", describe(f, n), k.got, PACKETS);
	if (k.got != PACKETS) {
		/* The end that met it says so now and later; the other learns it when that end goes. */
		assert_true(reached && (k.a_end != MF_OK || k.b_end != MF_OK));
		struct mf_packet p;
		if (k.a_end != MF_OK) {
			assert_int_equal(mf_seqpacket_flush(k.a, &k.err), k.a_end);
			assert_false(mf_seqpacket_wants_write(k.a));
			mf_seqpacket_free(MF_TAKE(k.a));
			drain(&k);
			assert_int_equal(k.b_end, MF_E_CLOSED);
		} else {
			assert_int_equal(mf_seqpacket_recv(k.b, &p, &k.err), k.b_end);
			mf_seqpacket_free(MF_TAKE(k.b));
			assert_int_not_equal(mf_seqpacket_send(k.a, 1, mf_slice(NULL, 0), -1, &k.err), MF_OK);
		}
	}
	mf_seqpacket_free(k.a);
	mf_seqpacket_free(k.b);
	return reached;
}

static void
test_role_links(void **state)
{
	MF_UNUSED(state);
	static const struct failure all[] = {
		{ MF_CALL_SENDMMSG, EINTR, true },
		{ MF_CALL_SENDMMSG, EAGAIN, true },
		{ MF_CALL_SENDMMSG, MF_CALL_SHORT, true },
		{ MF_CALL_SENDMMSG, ECONNRESET, false },
		{ MF_CALL_SENDMMSG, EPIPE, false },
		{ MF_CALL_SENDMMSG, ENOBUFS, false },
		{ MF_CALL_SENDMMSG, ENOMEM, false },
		{ MF_CALL_SENDMMSG, ETOOMANYREFS, false },
		{ MF_CALL_RECVMSG, EINTR, true },
		{ MF_CALL_RECVMSG, EAGAIN, true },
		{ MF_CALL_RECVMSG, MF_CALL_SHORT, false }, /* a cut packet: nothing of it is used */
		{ MF_CALL_RECVMSG, ECONNRESET, false },
		{ MF_CALL_RECVMSG, ENOBUFS, false },
		{ MF_CALL_RECVMSG, ENOMEM, false },
	};
	for (size_t i = 0; i < MF_COUNT(all); i++) {
		int before = mf_call_open_fds();
		long n = 1;
		while (n < ROUNDS && link_round(&all[i], n))
			n++;
		assert_true(n > 1 && n < ROUNDS);
		assert_int_equal(mf_call_open_fds(), before);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unix_conns),
		cmocka_unit_test(test_tls_conns),
		cmocka_unit_test(test_making),
		cmocka_unit_test(test_role_links),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
