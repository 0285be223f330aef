/*
 * Every allocation fails once while calls are made: of ours, of nghttp2, of protobuf-c and of libevent. Whatever
 * happens to the calls, each is told its end exactly once, nothing leaks, nothing crashes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"

#include "net/grpc_conn.h"
#include "rpc/grpc.h"
#include "rpc/grpc_health.h"

#ifdef MF_INSTRUMENTED
int
main(void)
{
	printf("skipped: the sanitizer's allocator cannot be replaced\n");
	return 0;
}
#else

#define ROUNDS 5000 /* more allocations than any operation makes: a hang limit */

/* --- calls in memory --- */

static int client_open, server_open;

static void
on_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	MF_UNUSED(c);
	MF_UNUSED(code);
	assert_non_null(text);
	client_open--;
}

static void
s_open(struct mf_grpc_call *c)
{
	MF_UNUSED(c);
	server_open++;
}

static void
s_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	ProtobufCMessage *answer = NULL;
	MF_UNUSED(msg);
	if (mf_pb_unpack(mf_grpc_call_method(c)->response, mf_slice(NULL, 0), &answer, NULL) != MF_OK)
		return;
	(void)!mf_grpc_send(c, answer, NULL);
	mf_pb_free(answer);
	mf_grpc_pause(c);
	mf_grpc_resume(c);
}

static void
s_half_close(struct mf_grpc_call *c)
{
	server_open--;
	mf_grpc_finish(c, MF_GRPC_OK, "done");
}

static void
s_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(c);
	MF_UNUSED(why);
	server_open--;
}

static const struct mf_grpc_server_ops bidi_ops = { s_open, s_message, s_half_close, NULL, s_cancel };
static const struct mf_grpc_client_ops call_ops = { .on_status = on_status };

static void
make_calls(struct mf_grpc_conn *c, const struct mf_grpc_method *bidi)
{
	static const struct mf_grpc_meta meta[] = { { "workload.spiffe.io", { (const uint8_t *)"true", 4 } },
		{ "x-bin", { (const uint8_t *)"\0\1", 2 } } };
	const struct mf_grpc_method *const m[] = { &mf_grpc_health_check, bidi, &mf_grpc_health_watch };
	for (size_t i = 0; i < MF_COUNT(m); i++) {
		struct mf_grpc_call *call = NULL;
		ProtobufCMessage *req = NULL;
		if (mf_grpc_open(c, m[i], &call_ops, NULL, meta, 2, 1000, &call, NULL) != MF_OK)
			continue;
		client_open++;
		if (mf_pb_unpack(m[i]->request, mf_slice(NULL, 0), &req, NULL) == MF_OK)
			(void)!mf_grpc_send(call, req, NULL);
		mf_pb_free(req);
		mf_grpc_half_close(call);
	}
}

static bool
carry(struct mf_grpc_conn *from, struct mf_grpc_conn *to)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 1u << 20);
	if (mf_grpc_pull(from, &b, 65536, NULL) != MF_OK || b.n == 0)
		return false;
	return mf_grpc_recv(to, mf_buf_slice(&b), 1000, NULL) == MF_OK;
}

static void
op_grpc(void)
{
	MF_AUTO(mf_grpc_health_free) struct mf_grpc_health *h = NULL;
	MF_AUTO(mf_grpc_conn_free) struct mf_grpc_conn *s = NULL;
	MF_AUTO(mf_grpc_conn_free) struct mf_grpc_conn *c = NULL;
	struct mf_grpc_counters sc = { 0 }, cc = { 0 };
	struct mf_grpc_method bidi = mf_grpc_health_watch;
	bidi.path = "/b";
	bidi.flags = MF_GRPC_BIDI;
	bidi.ops = &bidi_ops;
	const struct mf_grpc_service more = { &bidi, 1, NULL };
	const struct mf_grpc_client cl = { .counters = &cc };
	if (mf_grpc_health_new(&h, NULL) != MF_OK ||
	    mf_grpc_health_set(h, "", MF_GRPC_HEALTH_SERVING, NULL) != MF_OK)
		return;
	const struct mf_grpc_service *services[] = { mf_grpc_health_service(h), &more };
	const struct mf_grpc_server srv = { .services = services, .n_services = 2, .counters = &sc };
	if (mf_grpc_conn_new_server(&srv, NULL, NULL, 1000, &s, NULL) == MF_OK &&
	    mf_grpc_conn_new_client(&cl, NULL, NULL, 1000, &c, NULL) == MF_OK) {
		make_calls(c, &bidi);
		for (int i = 0; i < 50; i++) {
			bool a = carry(c, s), b = carry(s, c);
			if (!a && !b)
				break;
			(void)!mf_grpc_health_set(
			    h, "", i % 2 == 0 ? MF_GRPC_HEALTH_NOT_SERVING : MF_GRPC_HEALTH_SERVING, NULL);
		}
		(void)!mf_grpc_tick(s, 5000, NULL);
		(void)!mf_grpc_tick(c, 5000, NULL);
	}
	mf_grpc_conn_free(MF_TAKE(c));
	mf_grpc_conn_free(MF_TAKE(s));
	assert_int_equal(client_open, 0);
	assert_int_equal(server_open, 0);
	assert_int_equal(sc.open, 0);
	assert_int_equal(cc.open, 0);
}

/* --- the same over a socket --- */

static struct mf_loop *loop;
static struct mf_net_conn *conn;
static int closes;

static bool
c_open(void *ctx, struct mf_net_conn *c)
{
	MF_UNUSED(ctx);
	make_calls(mf_net_conn_grpc(c), &mf_grpc_health_watch);
	return true;
}

static void
c_close(void *ctx, struct mf_net_conn *c, enum mf_net_why why, const struct mf_err *err)
{
	MF_UNUSED(ctx);
	MF_UNUSED(c);
	MF_UNUSED(why);
	MF_UNUSED(err);
	conn = NULL;
	closes++;
}

static void
enough(void *ctx)
{
	bool *over = ctx;
	*over = true;
}

static void
net_rounds(const char *path, struct mf_net_listener_config *lc, struct mf_net_counters *cc)
{
	static const struct mf_grpc_client client = { 0 };
	static const struct mf_net_conn_ops ops = { .on_open = c_open, .on_close = c_close };
	MF_AUTO(mf_net_listener_free) struct mf_net_listener *ln = NULL;
	MF_AUTO(mf_loop_timer_free) struct mf_loop_timer *t = NULL;
	const struct mf_net_client_config cfg = {
		.unix_path = path, .client = &client, .ops = &ops, .counters = cc
	};
	bool over = false;
	if (mf_net_listener_new(loop, lc, &ln, NULL) != MF_OK) {
		(void)close(lc->fd);
		return;
	}
	if (mf_loop_timer_new(loop, enough, &over, &t, NULL) != MF_OK ||
	    mf_net_connect(loop, &cfg, &conn, NULL) != MF_OK)
		return;
	mf_loop_timer_set(t, 200); /* where memory was missing, an answer may never come */
	while (!over && closes == 0 && cc->grpc.messages_in < 2)
		if (mf_loop_turn(loop, true, NULL) != MF_OK)
			break;
	mf_net_listener_free(MF_TAKE(ln));
	if (conn != NULL)
		mf_net_conn_close(conn);
	mf_loop_timer_set(t, 10000);
	for (over = false; !over && cc->open > 0;)
		if (mf_loop_turn(loop, true, NULL) != MF_OK)
			break;
}

static void
op_net(void)
{
	struct mf_net_counters sc = { 0 }, cc = { 0 };
	char dir[] = "/tmp/mf-alloc-XXXXXX", path[64];
	int fd = -1;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	closes = 0;
	MF_AUTO(mf_grpc_health_free) struct mf_grpc_health *h = NULL;
	if (mf_loop_new(&loop, NULL) == MF_OK) {
		if (mf_grpc_health_new(&h, NULL) == MF_OK &&
		    mf_net_listen_unix(path, 0600, &fd, NULL) == MF_OK) {
			const struct mf_grpc_service *services[] = { mf_grpc_health_service(h) };
			const struct mf_grpc_server srv = {
				.services = services, .n_services = 1, .any_authority = true
			};
			struct mf_net_listener_config lc = { .fd = fd, .server = &srv, .counters = &sc };
			net_rounds(path, &lc, &cc);
		}
		mf_loop_free(loop);
	}
	(void)unlink(path);
	(void)rmdir(dir);
	assert_int_equal(client_open, 0);
	assert_int_equal(sc.open, 0);
	assert_int_equal(cc.open, 0);
}

static void
each_allocation(void (*op)(void))
{
	op(); /* what libraries set up once */
	long n;
	for (n = 1; n < ROUNDS; n++) {
		long before = mf_alloc_live();
		mf_alloc_fail(n);
		op();
		mf_alloc_fail(0);
		if (mf_alloc_live() != before)
			fail_msg(
			    "allocation %ld failed, and %ld were not freed", n, mf_alloc_live() - before);
		if (!mf_alloc_failed())
			break;
	}
	assert_in_range(n, 30, ROUNDS - 1);
}

static void
test_grpc(void **state)
{
	MF_UNUSED(state);
	each_allocation(op_grpc);
}

static void
test_net(void **state)
{
	MF_UNUSED(state);
	each_allocation(op_net);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grpc),
		cmocka_unit_test(test_net),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
