/* The agents' side of the broker's front: lanes, certificates, the relay and its flow control, a notary that restarts. */
#include <unistd.h>

#include "front_world.h"

static uint8_t blob[20000];

static int
setup(void **state)
{
	struct fw *w = malloc(sizeof(*w));
	assert_non_null(w);
	mf_fw_init(w);
	for (size_t i = 0; i < sizeof(blob); i++)
		blob[i] = (uint8_t)(i * 7);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	mf_fw_fini(*state);
	free(*state);
	return 0;
}

static bool
body_is(const Mayfly__Roles__V1__SessionData *d, const void *p, size_t n)
{
	return d != NULL && d->body.len == n && memcmp(d->body.data, p, n) == 0;
}

static const Mayfly__Roles__V1__SessionData *
data(const struct fw *w)
{
	return mf_fn_last(w, MF_MSG_SESSION_DATA);
}

static const char *
closed(const struct fw *w, uint64_t sid)
{
	const Mayfly__Roles__V1__SessionClose *c = mf_fn_last(w, MF_MSG_SESSION_CLOSE);
	return c == NULL || c->sid != sid ? "" : c->reason;
}

/* ---- who may connect ---- */

static void
test_joining(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	static struct fw_stream s;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &c, NULL);
	assert_int_equal(c.n_chain, 2); /* so that a pin of the CA finds it */
	assert_true(c.ca_last);
	uint64_t sid = mf_fw_session(&c, &s);
	const Mayfly__Roles__V1__SessionOpen *o = mf_fn_last(w, MF_MSG_SESSION_OPEN);
	assert_string_equal(o->peer_node, "");
	assert_int_equal(strncmp(o->remote, "127.0.0.1:", 10), 0);
	mf_fw_settle(w);
	assert_null(mf_fn_last(w, MF_MSG_SESSION_CREDIT));
	assert_int_equal(mf_fw_send(&s, true, "one", 3), MF_OK);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_SESSION_CREDIT) != NULL);
	const Mayfly__Roles__V1__SessionCredit *credit = mf_fn_last(w, MF_MSG_SESSION_CREDIT);
	assert_int_equal(credit->sid, sid);
	assert_int_equal(credit->chunks, MF_SESSIONS_WINDOW_LANE);
	FW_UNTIL(w, s.n == 1); /* the document comes unasked */
	assert_int_equal(s.frames[0].kind, MAYFLY__AGENT__V1__FRAME__KIND_DOCUMENT);
	assert_int_equal(s.doc_bytes, mf_mint_ca(w->mint).n);
	mf_fw_hang_up(w, &c);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_SESSION_CLOSE) != NULL);
	assert_string_not_equal(closed(w, sid), "");
}

static void
test_node(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	static struct fw_stream s;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &c, "n-1");
	uint64_t sid = mf_fw_session(&c, &s);
	const Mayfly__Roles__V1__SessionOpen *o = mf_fn_last(w, MF_MSG_SESSION_OPEN);
	assert_string_equal(o->peer_node, "n-1");
	/* Up and down, byte for byte. */
	assert_int_equal(mf_fw_send(&s, true, "message one", 11), MF_OK);
	FW_UNTIL(w, data(w) != NULL);
	assert_true(data(w)->handshake && data(w)->sid == sid && body_is(data(w), "message one", 11));
	mf_fn_data(w, sid, true, "message two", 11);
	FW_UNTIL(w, s.n == 2);
	assert_int_equal(s.frames[1].kind, MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE);
	assert_memory_equal(s.frames[1].first, "message two", 11);
	assert_int_equal(mf_fw_send(&s, false, blob, MF_LIM_INNER_CHUNK + 17), MF_OK);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_SESSION_DATA) == 2);
	assert_true(!data(w)->handshake && body_is(data(w), blob, MF_LIM_INNER_CHUNK + 17));
	mf_fn_data(w, sid, false, blob, 1);
	FW_UNTIL(w, s.sealed == 1);
	/* A new bundle goes to those who are there. */
	mf_fn_document(w, 2, mf_mint_ca(w->mint));
	FW_UNTIL(w, s.doc_number == 2);
	/* The agent ends it in order. */
	mf_grpc_half_close(s.call);
	FW_UNTIL(w, s.over);
	assert_int_equal(s.code, MF_GRPC_OK);
	FW_UNTIL(w, closed(w, sid)[0] != '\0');
	/* And once more on the same connection: another sid. */
	assert_int_not_equal(mf_fw_session(&c, &s), sid);
}

static void
test_certificates(void **state)
{
	struct fw *w = *state;
	int64_t now = mf_now().wall_us / 1000000;
	struct mint *foreign = mf_mint_new("other.org", now), *twin = mf_mint_new(FW_TD, now);
	static const char *const paths[] = { "/mayfly/node", "/mayfly/node/", "/mayfly/node/a/b",
		"/mayfly/broker/b1", "/mayfly/nodes/n-1", "/default/train/job/n-1", "/x/mayfly/node/n-1" };
	char long_id[160];
	static struct fw_client c;
	static struct fw_stream s;
	struct mf_buf page;
	mf_fw_serve(w);
	mf_fw_refused(w, foreign, "/mayfly/node/n-1", 0);
	mf_fw_refused(w, twin, "/mayfly/node/n-1", 0); /* our name, not our key */
	mf_fw_refused(w, NULL, "/mayfly/node/n-1", now - 10);
	for (size_t i = 0; i < MF_COUNT(paths); i++)
		if (i != 1) /* the mint refuses to make that one */
			mf_fw_refused(w, NULL, paths[i], 0);
	(void)snprintf(long_id, sizeof(long_id), "/mayfly/node/%0100d", 1);
	mf_fw_refused(w, NULL, long_id, 0);
	mf_buf_init(&page, 65536);
	assert_int_equal(mf_fw_get(w, "/metrics", &page), 200);
	assert_non_null(strstr(mf_buf_cstr(&page), "mayfly_certificates_refused_total 10\n"));
	mf_buf_fini(&page);
	mf_fw_dial_node(w, &c, "n-1"); /* the right one still gets in */
	(void)mf_fw_session(&c, &s);
	mf_mint_free(foreign);
	mf_mint_free(twin);
}

static void
test_evicted(void **state)
{
	struct fw *w = *state;
	static struct fw_client a, b;
	static struct fw_stream s;
	kit_history(&w->kit);
	mf_fw_serve(w);
	mf_fw_dial_node(w, &a, KIT_NODE_A);
	mf_fw_dial_node(w, &b, KIT_NODE_B);
	(void)mf_fw_session(&b, &s);
	mf_fn_records(w, 0, w->kit.n);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_LOG_ACK) != NULL);
	/* The session that is there is the notary's to close: it has a refusal to say. A new one is not opened. */
	assert_false(s.over);
	mf_fw_open(&b, &s);
	FW_UNTIL(w, s.over);
	assert_int_equal(s.code, MF_GRPC_PERMISSION_DENIED);
	assert_non_null(strstr(s.text, "evicted"));
	mf_fw_refused(w, NULL, "/mayfly/node/" KIT_NODE_B, 0);
	(void)mf_fw_session(&a, &s); /* others are not concerned */
}

/* The notary puts a node out: its connections go, also before the tables know; others stay. */
static void
test_node_out(void **state)
{
	struct fw *w = *state;
	static struct fw_client a, b;
	static struct fw_stream sa, sb;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &a, KIT_NODE_A);
	mf_fw_dial_node(w, &b, KIT_NODE_B);
	(void)mf_fw_session(&a, &sa);
	uint64_t sid = mf_fw_session(&b, &sb);
	mf_fn_node_out(w, KIT_NODE_B);
	mf_fn_node_out(w, "n-nobody");
	mf_fn_close(w, sid, "node evicted");
	FW_UNTIL(w, sb.over && b.over);
	assert_false(sa.over || a.over);
}

static void
test_lane(void **state)
{
	struct fw *w = *state;
	static struct fw_client a, b, n;
	static struct fw_stream s;
	w->conf.peers.lane_per_ip = 2;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &a, NULL);
	(void)mf_fw_session(&a, &s);
	mf_fw_dial_node(w, &b, NULL);
	(void)mf_fw_session(&b, &s);
	mf_fw_refused(w, NULL, NULL, 0); /* full for this address */
	mf_fw_dial_node(w, &n, "n-1");	 /* nodes have their own room */
	(void)mf_fw_session(&n, &s);
	mf_fw_hang_up(w, &a);
	mf_fw_dial_node(w, &a, NULL); /* room again */
	(void)mf_fw_session(&a, &s);
}

static void
test_lane_life(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	static struct fw_stream s;
	w->conf.peers.lane_ms = 300;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &c, NULL);
	uint64_t sid = mf_fw_session(&c, &s);
	FW_UNTIL(w, s.over && c.over);
	assert_int_equal(s.code, MF_GRPC_UNAVAILABLE);
	assert_non_null(strstr(s.text, "connect with the node's certificate"));
	FW_UNTIL(w, closed(w, sid)[0] != '\0');
}

/* A node that lost its network comes again and again: the connections that it left are the ones to go. */
static void
test_conns_of_a_node(void **state)
{
	struct fw *w = *state;
	static struct fw_client c[4], other;
	static struct fw_stream s[4], o;
	w->conf.peers.per_node = 2;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &other, "n-2");
	(void)mf_fw_session(&other, &o);
	for (size_t i = 0; i < 4; i++) {
		mf_fw_dial_node(w, &c[i], "n-1");
		(void)mf_fw_session(&c[i], &s[i]);
	}
	FW_UNTIL(w, c[0].over && c[1].over);
	mf_fw_settle(w);
	assert_false(c[2].over || c[3].over || other.over);
}

/* ---- what an agent may say ---- */

static void
test_bad_frames(void **state)
{
	struct fw *w = *state;
	static struct fw_client c, good;
	static struct fw_stream s, g;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &good, "n-2");
	(void)mf_fw_session(&good, &g);
	mf_fw_dial_node(w, &c, "n-1");
	for (unsigned i = 0; i < 8; i++) {
		Mayfly__Agent__V1__Frame f = MAYFLY__AGENT__V1__FRAME__INIT;
		Mayfly__Agent__V1__Document d = MAYFLY__AGENT__V1__DOCUMENT__INIT;
		uint64_t sid = mf_fw_session(&c, &s);
		size_t before = mf_fn_count(w, MF_MSG_SESSION_DATA);
		if (i >= 4)
			assert_int_equal(mf_fw_send(&s, true, "one", 3), MF_OK);
		switch (i) {
		case 0: /* sealed before the handshake */
			assert_int_equal(mf_fw_send(&s, false, "x", 1), MF_OK);
			break;
		case 1:
			assert_int_equal(mf_fw_send(&s, true, "", 0), MF_OK);
			break;
		case 2:
			assert_int_equal(mf_fw_send(&s, true, blob, 600), MF_OK);
			break;
		case 3: /* nothing at all */
		case 5:
			assert_int_equal(mf_grpc_send(s.call, &f.base, NULL), MF_OK);
			break;
		case 4: /* a second handshake */
			assert_int_equal(mf_fw_send(&s, true, "one", 3), MF_OK);
			break;
		case 6: /* only we hand out documents */
			f.kind_case = MAYFLY__AGENT__V1__FRAME__KIND_DOCUMENT;
			f.document = &d;
			assert_int_equal(mf_grpc_send(s.call, &f.base, NULL), MF_OK);
			break;
		default:
			assert_int_equal(mf_fw_send(&s, false, blob, MF_LIM_INNER_CHUNK + 18), MF_OK);
			break;
		}
		FW_UNTIL(w, s.over);
		assert_int_equal(s.code, MF_GRPC_INVALID_ARGUMENT);
		FW_UNTIL(w, closed(w, sid)[0] != '\0');
		assert_int_equal(
		    mf_fn_count(w, MF_MSG_SESSION_DATA), before + (i >= 4)); /* nothing bad went on */
	}
	assert_false(c.over || g.over);
}

static void
test_silent_stream(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	static struct fw_stream s, t;
	w->conf.first_ms = 200;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &c, "n-1");
	uint64_t sid = mf_fw_session(&c, &s);
	(void)mf_fw_session(&c, &t);
	assert_int_equal(mf_fw_send(&t, true, "one", 3), MF_OK);
	FW_UNTIL(w, s.over);
	assert_int_equal(s.code, MF_GRPC_DEADLINE_EXCEEDED);
	FW_UNTIL(w, closed(w, sid)[0] != '\0');
	assert_false(t.over); /* it said something: it may be silent now */
}

static void
test_streams_of_a_connection(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	static struct fw_stream s[3];
	mf_fw_serve(w);
	mf_fw_dial_node(w, &c, "n-1");
	uint64_t a = mf_fw_session(&c, &s[0]), b = mf_fw_session(&c, &s[1]);
	assert_int_not_equal(a, b);
	mf_fw_open(&c, &s[2]);
	FW_UNTIL(w, s[2].over);
	assert_int_equal(s[2].code, MF_GRPC_RESOURCE_EXHAUSTED);
	mf_grpc_cancel(s[0].call);
	FW_UNTIL(w, closed(w, a)[0] != '\0');
	(void)mf_fw_session(&c, &s[2]); /* room again */
	assert_false(s[1].over);
}

/* ---- flow control ---- */

static size_t
credits(const struct fw *w, uint64_t sid)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n.n; i++) {
		const Mayfly__Roles__V1__SessionCredit *c = (const void *)w->n.got[i].msg;
		if (w->n.got[i].type == MF_MSG_SESSION_CREDIT && c->sid == sid)
			n += c->chunks;
	}
	return n;
}

static void
chunk(struct fw *w, uint64_t sid, size_t i)
{
	memcpy(blob, &i, sizeof(i));
	mf_fn_data(w, sid, false, blob, MF_LIM_INNER_CHUNK);
}

/* An agent that does not read gets its window and no more; others are not held up by it. */
static void
test_slow_reader(void **state)
{
	struct fw *w = *state;
	static struct fw_client c, other;
	static struct fw_stream s, o;
	size_t sent = 0;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &c, "n-1");
	mf_fw_dial_node(w, &other, "n-2");
	uint64_t sid = mf_fw_greeted(&c, &s), other_sid = mf_fw_greeted(&other, &o);
	FW_UNTIL(w, s.n == 1);
	mf_grpc_pause(s.call);
	while (sent < credits(w, sid)) {
		chunk(w, sid, sent++);
		mf_fw_settle(w);
	}
	/* What the sockets and queues took was granted again, the rest waits in the front: bounded. */
	assert_true(sent >= MF_SESSIONS_WINDOW && sent < 300);
	mf_fn_data(w, other_sid, false, "hi", 2);
	FW_UNTIL(w, o.sealed == 1);
	assert_int_equal(s.sealed, 0);
	mf_grpc_resume(s.call);
	FW_UNTIL(w, s.sealed == sent);
	for (size_t i = 0, at; i < sent; i++) {
		memcpy(&at, s.frames[1 + i].first, sizeof(at));
		assert_int_equal(at, i); /* in order, none lost */
	}
	FW_UNTIL(w, credits(w, sid) >= sent + MF_SESSIONS_WINDOW / 2);
}

static void
test_more_than_credit(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	static struct fw_stream s;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &c, NULL);
	uint64_t sid = mf_fw_greeted(&c, &s);
	mf_grpc_pause(s.call);
	for (size_t i = 0; i < 200; i++) /* beyond the window and all buffers between */
		chunk(w, sid, i);
	FW_UNTIL(w, closed(w, sid)[0] != '\0');
	assert_string_equal(closed(w, sid), "more chunks than credit");
	mf_grpc_resume(s.call);
	FW_UNTIL(w, s.over);
	assert_false(c.over);
	assert_int_equal(w->left, -1);
	(void)mf_fw_greeted(&c, &s);
}

/* A notary that does not read: agents are held, nothing grows without bound, nothing is lost. */
static void
test_slow_notary(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	static struct fw_stream s;
	struct mf_buf page;
	size_t sent = 0;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &c, "n-1");
	(void)mf_fw_session(&c, &s);
	assert_int_equal(mf_fw_send(&s, true, "one", 3), MF_OK);
	FW_UNTIL(w, data(w) != NULL);
	mf_fn_forget(w);
	mf_fn_deaf(w, true);
	for (int idle = 0; idle < 20;) {
		memcpy(blob, &sent, sizeof(sent));
		if (mf_fw_send(&s, false, blob, MF_LIM_INNER_CHUNK) == MF_OK) {
			sent++;
			idle = 0;
			assert_true(sent < 2000);
		} else {
			idle++;
		}
		mf_fw_settle(w);
	}
	/* Four MiB in the front's queue, and what sockets and windows hold. */
	assert_true(sent > 200 && sent < 600);
	mf_buf_init(&page, 65536);
	assert_int_equal(mf_fw_get(w, "/metrics", &page), 200);
	assert_non_null(strstr(mf_buf_cstr(&page), "mayfly_sessions_paused_total 1\n"));
	mf_buf_fini(&page);
	mf_fn_deaf(w, false);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_SESSION_DATA) == sent);
	for (size_t i = 0, at = 0, k = 0; i < w->n.n; i++) {
		if (w->n.got[i].type != MF_MSG_SESSION_DATA)
			continue;
		memcpy(&at,
		    ((const Mayfly__Roles__V1__SessionData *)(const void *)w->n.got[i].msg)->body.data,
		    sizeof(at));
		assert_int_equal(at, k++);
	}
	assert_false(s.over);
}

/* ---- ends ---- */

/* A refusal in words is read before the end. */
static void
test_notary_closes(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	static struct fw_stream s;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &c, "n-1");
	uint64_t sid = mf_fw_greeted(&c, &s);
	FW_UNTIL(w, s.n == 1);
	mf_grpc_pause(s.call);
	for (size_t i = 0; i < 40; i++)
		chunk(w, sid, i);
	mf_fn_close(w, sid, "replaced");
	mf_fn_data(w, sid, false, "late", 4); /* comes after the end: dropped */
	mf_fn_close(w, sid, "again");
	mf_fn_close(w, 999, "nobody");
	mf_fw_settle(w);
	mf_grpc_resume(s.call);
	FW_UNTIL(w, s.over);
	assert_int_equal(s.sealed, 40);
	assert_int_equal(s.code, MF_GRPC_ABORTED);
	assert_string_equal(s.text, "the broker ended the session: replaced");
	assert_string_equal(closed(w, sid), ""); /* it knows */
	assert_false(c.over);
}

static void
test_notary_restarts(void **state)
{
	struct fw *w = *state;
	static struct fw_client c, admin;
	static struct fw_stream s, t;
	struct fw_unary u;
	Mayfly__Admin__V1__ListJobsRequest q = MAYFLY__ADMIN__V1__LIST_JOBS_REQUEST__INIT;
	kit_history(&w->kit);
	mf_fw_serve(w);
	mf_fn_records(w, 0, w->kit.n);
	mf_fw_dial_node(w, &c, KIT_NODE_A);
	uint64_t sid = mf_fw_session(&c, &s);
	assert_int_equal(mf_fw_send(&s, true, "one", 3), MF_OK);
	FW_UNTIL(w, data(w) != NULL);
	mf_fn_unlink(w);
	FW_UNTIL(w, s.over);
	assert_int_equal(s.code, MF_GRPC_UNAVAILABLE);
	/* The connection stays; nothing is opened meanwhile; reading goes on. */
	mf_fw_open(&c, &t);
	FW_UNTIL(w, t.over);
	assert_int_equal(t.code, MF_GRPC_UNAVAILABLE);
	assert_false(c.over);
	mf_fw_admin(w, &admin);
	mf_fw_ask(&admin, "ListJobs", &q.base, &mayfly__admin__v1__list_jobs_response__descriptor, &u);
	assert_int_equal(u.code, MF_GRPC_OK);
	assert_int_equal(((Mayfly__Admin__V1__ListJobsResponse *)u.reply)->n_jobs, 2);
	mf_fw_unary_fini(&u);
	mf_fn_forget(w);
	mf_fn_link(w);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_FRONT_HELLO) != NULL);
	const Mayfly__Roles__V1__FrontHello *h = mf_fn_last(w, MF_MSG_FRONT_HELLO);
	assert_int_equal(h->applied_index, w->kit.n);
	assert_int_equal(h->applied_root.len, 32);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_FRONT_HELLO) == 1);
	mf_fw_settle(w);
	assert_int_equal(mf_fn_count(w, MF_MSG_CERTIFY_SERVER), 0); /* the certificate serves on */
	assert_true(mf_fw_session(&c, &t) > sid);
	assert_int_equal(mf_fw_send(&t, true, "one", 3), MF_OK);
	FW_UNTIL(w, data(w) != NULL);
	assert_int_equal(w->left, -1);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_joining),
		TEST(test_node),
		TEST(test_certificates),
		TEST(test_evicted),
		TEST(test_node_out),
		TEST(test_lane),
		TEST(test_lane_life),
		TEST(test_conns_of_a_node),
		TEST(test_bad_frames),
		TEST(test_silent_stream),
		TEST(test_streams_of_a_connection),
		TEST(test_slow_reader),
		TEST(test_more_than_credit),
		TEST(test_slow_notary),
		TEST(test_notary_closes),
		TEST(test_notary_restarts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
