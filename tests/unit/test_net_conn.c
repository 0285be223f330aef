/* gRPC over real sockets: senders, caps, deadlines, descriptors running out, TLS, the blocking client. */
#include "unit/net_world.h"

static void
test_unix(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct mf_err err = { 0 };
	world_init(&w, false);
	world_listen(&w);
	dial(&w);
	(void)call(&w, &mf_grpc_health_check);
	UNTIL(&w, w.statuses == 1);
	assert_int_equal(w.code, MF_GRPC_OK);
	assert_int_equal(w.messages, 1);
	assert_true(w.senders >= 1);
	assert_int_equal(w.last.pid, getpid());
	assert_int_equal(w.last.uid, getuid());
	if (!w.last_pidfd_ok)
		print_message("skipped: pidfd of the sender: this kernel does not pass it\n");
	/* pushes come without being asked for */
	(void)call(&w, &mf_grpc_health_watch);
	UNTIL(&w, w.messages == 2);
	assert_int_equal(mf_grpc_health_set(w.health, "", MF_GRPC_HEALTH_NOT_SERVING, &err), MF_OK);
	UNTIL(&w, w.messages == 3);
	/* drain: the watcher is ended by its service, then the connection closes by itself */
	mf_net_listener_drain(w.ln);
	mf_grpc_health_shutdown(w.health);
	UNTIL(&w, w.closes == 1 && w.c_closes == 1);
	assert_true(w.why == MF_NET_CLOSED || w.c_why == MF_NET_CLOSED); /* whoever saw it first */
	assert_int_equal(w.code, MF_GRPC_UNAVAILABLE);
	world_fini(&w);
}

static void
test_refused(void **state)
{
	MF_UNUSED(state);
	struct world w;
	world_init(&w, false);
	world_listen(&w);
	w.refuse_sender = true;
	dial(&w);
	UNTIL(&w, w.closes == 1 && w.c_closes == 1);
	assert_int_equal(w.why, MF_NET_REFUSED);
	assert_int_equal(w.sc.grpc.h2.bytes_in, 0); /* nothing was parsed */
	w.refuse_sender = false;
	w.refuse_open = true;
	int fd = raw(&w);
	UNTIL(&w, w.closes == 2);
	assert_int_equal(w.why, MF_NET_REFUSED);
	w.refuse_open = false;
	(void)close(fd);

	/* descriptors in a message: closed, and so is the connection */
	fd = raw(&w);
	int before = dup(0);
	(void)close(before);
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (char[]) { 'P' }, 1 };
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(4 * sizeof(int));
	const int pass[4] = { 0, 0, 0, 0 };
	memcpy(CMSG_DATA(cm), pass, sizeof(pass));
	assert_int_equal(sendmsg(fd, &mh, 0), 1);
	UNTIL(&w, w.closes == 3);
	assert_int_equal(w.why, MF_NET_REFUSED);
	int after = dup(0);
	assert_int_equal(after, before); /* none was kept */
	(void)close(after);
	(void)close(fd);

	/* HTTP/1 is told so in its own words */
	fd = raw(&w);
	char text[512];
	assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	UNTIL(&w, w.closes == 4);
	assert_int_equal(w.why, MF_NET_PROTOCOL);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_memory_equal(text, "HTTP/1.1 505 ", 13);
	const char *body = strstr(text, "\r\n\r\n");
	assert_non_null(body);
	assert_non_null(strstr(text, "Content-Length: 37\r\n"));
	assert_int_equal(strlen(body + 4), 37);
	(void)close(fd);
	world_fini(&w);
}

/* E-11 */
static void
test_deadlines(void **state)
{
	MF_UNUSED(state);
	struct world w;
	world_init(&w, false);
	w.limits.first_call_ms = 50;
	w.limits.idle_ms = 50;
	world_listen(&w);
	int fd = raw(&w); /* never speaks */
	UNTIL(&w, w.closes == 1);
	assert_int_equal(w.why, MF_NET_DEADLINE);
	(void)close(fd);
	dial(&w); /* speaks HTTP/2, but never calls */
	UNTIL(&w, w.closes == 2 && w.c_closes == 1);
	assert_int_equal(w.why, MF_NET_DEADLINE);
	dial(&w); /* calls once, then is idle */
	(void)call(&w, &mf_grpc_health_check);
	UNTIL(&w, w.closes == 3 && w.c_closes == 2);
	assert_int_equal(w.statuses, 1);
	assert_int_equal(w.code, MF_GRPC_OK);
	dial(&w); /* an open stream is not idle */
	(void)call(&w, &mf_grpc_health_watch);
	struct mf_loop_timer *t = NULL;
	struct mf_err err = { 0 };
	bool over = false;
	assert_int_equal(mf_loop_timer_new(w.l, hang, &over, &t, &err), MF_OK);
	mf_loop_timer_set(t, 300);
	UNTIL(&w, over);
	mf_loop_timer_free(t);
	assert_int_equal(w.closes, 3);
	world_fini(&w);
}

static void
test_caps(void **state)
{
	MF_UNUSED(state);
	struct world w;
	int fd[6];
	world_init(&w, false);
	w.limits.conns = 4;
	w.limits.conns_per_peer = 3;
	world_listen(&w);
	for (int i = 0; i < 6; i++)
		fd[i] = raw(&w);
	UNTIL(&w, w.sc.accepted == 6);
	assert_int_equal(mf_net_listener_conns(w.ln), 3);
	assert_int_equal(w.sc.refused_peer_cap, 3);
	(void)close(fd[0]);
	UNTIL(&w, w.closes == 1);
	fd[0] = raw(&w);
	UNTIL(&w, mf_net_listener_conns(w.ln) == 3);
	for (int i = 0; i < 6; i++)
		(void)close(fd[i]);
	world_fini(&w);
}

static void
test_out_of_descriptors(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct rlimit old, low;
	int fd[12], n = 0;
	world_init(&w, false);
	world_listen(&w);
	for (int i = 0; i < 12; i++)
		fd[i] = raw(&w);
	int next = dup(0); /* the first number that is free */
	(void)close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)next + 2; /* room for two of the twelve */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	UNTIL(&w, w.sc.accept_paused > 0);
	assert_int_equal(mf_net_listener_conns(w.ln), 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	/* The rest is served after the pause; the peers that the reserve took were closed, not kept waiting. */
	UNTIL(&w, mf_net_listener_conns(w.ln) + w.sc.accept_paused == 12);
	for (int i = 0; i < 12; i++) {
		char c;
		n += recv(fd[i], &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
		(void)close(fd[i]);
	}
	assert_int_equal(n, (int)w.sc.accept_paused);
	world_fini(&w);
}

static void
test_tls(void **state)
{
	MF_UNUSED(state);
	struct world w;
	world_init(&w, true);
	world_listen(&w);
	dial(&w);
	assert_int_equal(w.c_opens, 1);
	(void)call(&w, &mf_grpc_health_check);
	(void)call(&w, &mf_grpc_health_watch);
	UNTIL(&w, w.statuses == 1 && w.messages == 2);
	assert_int_equal(w.verified, 2);
	assert_int_equal(w.sc.handshakes, 1);
	mf_net_conn_close(w.conn);
	UNTIL(&w, w.closes == 1 && w.c_closes == 1);
	assert_int_equal(w.c_why, MF_NET_CLOSED);
	assert_int_equal(w.why, MF_NET_PEER_CLOSED);
	assert_int_equal(w.statuses, 2); /* the watcher was told */
	/* a client that the server does not know */
	mf_tls_ctx_free(w.ctls);
	struct kit other;
	kit_init(&other, "other");
	w.ctls = kit_ctx(&other, false, verify, &w);
	dial(&w);
	UNTIL(&w, w.closes == 2 && w.c_closes == 2);
	assert_int_equal(w.why, MF_NET_PROTOCOL);
	assert_int_equal(w.sc.handshakes_failed, 1);
	assert_int_equal(w.opens, 1);
	kit_fini(&other);
	world_fini(&w);
}

static void
test_handshake_deadline(void **state)
{
	MF_UNUSED(state);
	struct world w;
	world_init(&w, true);
	w.limits.handshake_ms = 50;
	w.limits.handshakes = 1;
	world_listen(&w);
	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_port = htons(w.port), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};
	int fd[3];
	for (int i = 0; i < 3; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&sa, sizeof(sa)), 0);
	}
	UNTIL(&w, w.sc.accepted == 1);
	assert_int_equal(mf_net_listener_conns(w.ln), 1); /* the others wait in the backlog */
	UNTIL(&w, w.closes == 3);
	assert_int_equal(w.why, MF_NET_DEADLINE);
	assert_int_equal(w.sc.handshakes_failed, 3);
	for (int i = 0; i < 3; i++)
		(void)close(fd[i]);
	world_fini(&w);
}

/* Silent handshakes on every place, long before their deadline: one who means it is let in all the same. */
static void
test_handshakes_shed(void **state)
{
	MF_UNUSED(state);
	struct world w;
	int fd[8];
	world_init(&w, true);
	w.limits.handshake_ms = 3600000;
	w.limits.handshakes = 4;
	world_listen(&w);
	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_port = htons(w.port), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};
	for (size_t i = 0; i < MF_COUNT(fd); i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&sa, sizeof(sa)), 0);
		assert_int_equal(send(fd[i], "\x16\3\1", 3, MSG_NOSIGNAL), 3); /* a record that never ends */
	}
	UNTIL(&w, w.sc.accepted == 4);
	dial(&w);
	assert_int_equal(w.c_opens, 1);
	(void)call(&w, &mf_grpc_health_check);
	UNTIL(&w, w.statuses == 1);
	assert_int_equal(w.code, MF_GRPC_OK);
	assert_true(w.sc.closed[MF_NET_DEADLINE] >= 5); /* eight came before it, and there are four places */
	for (size_t i = 0; i < MF_COUNT(fd); i++)
		(void)close(fd[i]);
	world_fini(&w);
}

/* --- the blocking client, from another thread --- */

static void *
sync_client(void *ctx)
{
	const struct world *w = ctx;
	struct mf_grpc_sync *s = NULL;
	struct mf_grpc_sync_stream *st = NULL;
	struct mf_err err = { 0 };
	ProtobufCMessage *req = NULL, *resp = NULL;
	const char *bad = NULL;
#define CHECK(e)                 \
	if (bad == NULL && !(e)) \
	bad = #e
	CHECK(mf_pb_unpack(mf_grpc_health_check.request, mf_slice(NULL, 0), &req, &err) == MF_OK);
	CHECK(mf_grpc_sync_connect(w->path, MF_GRPC_SYNC_SPIFFE, 30000, &s, &err) == MF_OK);
	for (int i = 0; i < 3 && bad == NULL; i++) {
		CHECK(mf_grpc_sync_unary(s, &mf_grpc_health_check, req, &resp, &err) == MF_OK);
		mf_pb_free(MF_TAKE(resp));
	}
	static const struct mf_grpc_method none = { .path = "/x/Y", .request = NULL };
	struct mf_grpc_method m = none;
	m.request = mf_grpc_health_check.request;
	m.response = mf_grpc_health_check.response;
	CHECK(mf_grpc_sync_unary(s, &m, req, &resp, &err) == MF_E_UNSUPPORTED);
	CHECK(strcmp(err.msg, "unknown method") == 0);
	CHECK(mf_grpc_sync_code(s) == MF_GRPC_UNIMPLEMENTED);
	CHECK(mf_grpc_sync_open(s, &mf_grpc_health_watch, &st, &err) == MF_OK);
	CHECK(mf_grpc_sync_send(st, req, &err) == MF_OK);
	CHECK(mf_grpc_sync_half_close(st, &err) == MF_OK);
	CHECK(mf_grpc_sync_recv(st, 30000, &resp, &err) == MF_OK);
	mf_pb_free(MF_TAKE(resp));
	CHECK(mf_grpc_sync_recv(st, 20, &resp, &err) == MF_E_DEADLINE);
	CHECK(mf_grpc_sync_recv(st, 0, &resp, &err) == MF_E_DEADLINE);
	mf_grpc_sync_stream_free(MF_TAKE(st));
	/* Now a watcher that the server ends: the loop's thread shuts down when it sees two. */
	CHECK(mf_grpc_sync_open(s, &mf_grpc_health_watch, &st, &err) == MF_OK);
	CHECK(mf_grpc_sync_send(st, req, &err) == MF_OK);
	CHECK(mf_grpc_sync_half_close(st, &err) == MF_OK);
	CHECK(mf_grpc_sync_recv(st, 30000, &resp, &err) == MF_OK);
	mf_pb_free(MF_TAKE(resp));
	CHECK(mf_grpc_sync_recv(st, UINT64_MAX, &resp, &err) == MF_E_UNAVAILABLE);
	CHECK(mf_grpc_sync_recv(st, 0, &resp, &err) == MF_E_UNAVAILABLE);
	mf_grpc_sync_stream_free(st);
	mf_grpc_sync_free(s);
	mf_pb_free(req);
	s = NULL;
	CHECK(mf_grpc_sync_connect("/nonexistent/socket", 0, 100, &s, &err) == MF_E_UNAVAILABLE);
#undef CHECK
	static char text[256];
	if (bad == NULL)
		return NULL;
	(void)snprintf(text, sizeof(text), "%s: %s", bad, err.msg);
	return text;
}

static void
test_sync(void **state)
{
	MF_UNUSED(state);
	struct world w;
	pthread_t t;
	void *bad = NULL;
	world_init(&w, false);
	world_listen(&w);
	assert_int_equal(pthread_create(&t, NULL, sync_client, &w), 0);
	/* three checks, the unknown method, two watchers; then the second has had its message */
	UNTIL(&w, w.sc.grpc.calls == 6 && w.sc.grpc.messages_out == 5);
	mf_grpc_health_shutdown(w.health);
	UNTIL(&w, w.closes == 1);
	assert_int_equal(pthread_join(t, &bad), 0);
	if (bad != NULL)
		fail_msg("%s", (const char *)bad);
	world_fini(&w);
}

static void
test_listen_unix(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct mf_err err = { 0 };
	int fd = -1, again = -1;
	world_init(&w, false);
	assert_int_equal(mf_net_listen_unix(w.path, 0600, &fd, &err), MF_OK);
	assert_int_equal(mf_net_listen_unix(w.path, 0600, &again, &err), MF_E_EXISTS); /* somebody is there */
	(void)close(fd);
	assert_int_equal(mf_net_listen_unix(w.path, 0600, &fd, &err), MF_OK); /* a dead one's file */
	(void)close(fd);
	(void)unlink(w.path);
	FILE *f = fopen(w.path, "w");
	assert_non_null(f);
	(void)fclose(f);
	assert_int_equal(mf_net_listen_unix(w.path, 0600, &fd, &err), MF_E_EXISTS); /* never a file */
	assert_int_equal(mf_net_listen_tcp("localhost", 0, &fd, &err), MF_E_INVALID);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_handshake_deadline),
		cmocka_unit_test(test_handshakes_shed),
		cmocka_unit_test(test_sync),
		cmocka_unit_test(test_listen_unix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
