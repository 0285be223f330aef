/* The broker's front as a process: its link, its certificate, its tables, its status pages, its end. */
#include <sys/stat.h>
#include <unistd.h>

#include "front_world.h"
#include "rpc/grpc_health.h"

static int
setup(void **state)
{
	struct fw *w = malloc(sizeof(*w));
	assert_non_null(w);
	mf_fw_init(w);
	kit_history(&w->kit);
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

static uint64_t
acked(const struct fw *w)
{
	const Mayfly__Roles__V1__LogAck *a = mf_fn_last(w, MF_MSG_LOG_ACK);
	return a == NULL ? 0 : a->applied_index;
}

static void
page(struct fw *w, const char *path, int want, const char *part)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 1 << 20);
	int code = mf_fw_get(w, path, &b);
	const char *text = mf_buf_cstr(&b);
	assert_int_equal(code, want);
	if (strstr(text, part) == NULL)
		fail_msg("%s does not say \"%s\": %s", path, part, text);
}

/* ---- the link ---- */

/* A notary that we cannot work with: only new processes cure that. */
static void
test_wrong_notary(void **state)
{
	struct fw *w = *state;
	mf_fw_start(w);
	w->n.build_id = "another";
	mf_fn_link(w);
	FW_UNTIL(w, w->left >= 0 && w->n.closed);
	assert_int_equal(w->left, 1);
	mf_fw_stop_front(w);
	mf_fw_start(w);
	w->n.build_id = "test-build";
	w->n.trust_domain = "other.org";
	mf_fn_link(w);
	FW_UNTIL(w, w->left >= 0);
	assert_int_equal(w->left, 1);
}

static void
test_broken_notary(void **state)
{
	static const struct {
		uint16_t type;
		const char *bytes;
		size_t n;
	} bad[] = {
		{ MF_MSG_SESSION_DATA_OUT, "\xff\xff", 2 },	     /* not protobuf */
		{ 99, "", 0 },					     /* no such type */
		{ MF_MSG_FRONT_HELLO, "", 0 },			     /* ours to say */
		{ MF_MSG_NOTARY_HELLO, "\x0a\x01x", 3 },	     /* once is enough */
		{ MF_MSG_SESSION_CLOSE_OUT, "\x12\x02\xc3\x28", 4 }, /* not UTF-8 */
	};
	struct fw *w = *state;
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		mf_fw_serve(w);
		mf_fn_raw(w, bad[i].type, mf_slice(bad[i].bytes, bad[i].n));
		FW_UNTIL(w, w->left >= 0);
		assert_int_equal(w->left, 1);
		mf_fw_stop_front(w);
	}
}

/* Nothing but a hello before the hello. */
static void
test_early_word(void **state)
{
	struct fw *w = *state;
	mf_fw_start(w);
	w->n.build_id = ""; /* such a hello is refused, so whatever comes first decides */
	mf_fn_link(w);
	mf_fn_status(w, true, "");
	FW_UNTIL(w, w->left >= 0);
}

static void
test_no_link(void **state)
{
	struct fw *w = *state;
	w->conf.relink_ms = 300;
	mf_fw_serve(w);
	mf_fn_unlink(w);
	mf_fw_settle(w);
	assert_int_equal(w->left, -1);
	mf_fn_link(w); /* in time */
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_FRONT_HELLO) == 2);
	for (int i = 0; i < 5; i++)
		page(w, "/healthz", 200, "ok");
	assert_int_equal(w->left, -1);
	mf_fn_unlink(w);
	FW_UNTIL(w, w->left >= 0); /* so that the supervisor makes one */
	assert_int_equal(w->left, 1);
}

/* A new link while the old one seems alive: the old sessions are over. */
static void
test_replaced_link(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	static struct fw_stream s;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &c, "n-1");
	(void)mf_fw_session(&c, &s);
	struct mf_seqpacket *old = MF_TAKE(w->n.pkt);
	mf_fn_link(w);
	FW_UNTIL(w, s.over);
	assert_int_equal(s.code, MF_GRPC_UNAVAILABLE);
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_FRONT_HELLO) == 2);
	(void)mf_fw_session(&c, &s);
	mf_seqpacket_free(old);
}

/* ---- the certificate ---- */

static void
test_renewal(void **state)
{
	struct fw *w = *state;
	static struct fw_client a, b;
	static struct fw_stream s;
	w->n.cert_life_s = 2;
	mf_fw_serve(w);
	mf_fw_dial_node(w, &a, "n-1");
	(void)mf_fw_session(&a, &s);
	const Mayfly__Roles__V1__CertifyServer *first =
	    w->n.got[0].type == MF_MSG_CERTIFY_SERVER ? (const void *)w->n.got[0].msg : NULL;
	for (size_t i = 0; first == NULL && i < w->n.n; i++)
		if (w->n.got[i].type == MF_MSG_CERTIFY_SERVER)
			first = (const void *)w->n.got[i].msg;
	w->n.cert_life_s = 3600;
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_CERTIFY_SERVER) == 2); /* at half of its life */
	const Mayfly__Roles__V1__CertifyServer *second = mf_fn_last(w, MF_MSG_CERTIFY_SERVER);
	assert_memory_not_equal(first->point.data, second->point.data, 65); /* keys never repeat */
	mf_fw_settle(w);
	mf_fw_dial_node(w, &b, "n-2");
	assert_memory_not_equal(a.leaf, b.leaf, 32);
	assert_false(a.over || s.over); /* who is there stays */
}

static void
test_bad_certificates(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	Mayfly__Roles__V1__ServerCertificate m = MAYFLY__ROLES__V1__SERVER_CERTIFICATE__INIT;
	struct mint *twin = mf_mint_new(FW_TD, mf_now().wall_us / 1000000);
	int64_t now = mf_now().wall_us / 1000000;
	struct mf_buf der;
	mf_buf_init(&der, 65536);
	w->n.certifies = false;
	mf_fw_serve(w);
	page(w, "/readyz", 503, "no server certificate yet");
	const Mayfly__Roles__V1__CertifyServer *q = mf_fn_last(w, MF_MSG_CERTIFY_SERVER);
	m.not_after = now + 3600;
	for (unsigned i = 0; i < 4; i++) {
		uint8_t other[65];
		mf_buf_reset(&der);
		memcpy(other, q->point.data, 65);
		other[5] ^= 1;
		if (i == 1) /* for another key */
			(void)mf_mint_leaf(w->mint, "/mayfly/broker/b1", other, now, now + 3600, &der);
		else if (i == 2) /* of a CA that is not in the bundle */
			(void)mf_mint_leaf(twin, "/mayfly/broker/b1", q->point.data, now, now + 3600, &der);
		else if (i == 3)
			mf_buf_put_str(&der, "no certificate");
		m.chain.data = der.p;
		m.chain.len = der.n;
		mf_fn_say(w, MF_MSG_SERVER_CERTIFICATE, &m.base);
		mf_fw_settle(w);
		page(w, "/readyz", 503, "no server certificate yet");
	}
	assert_int_equal(w->left, -1);
	/* An agent that comes this early waits in the backlog, and is served when the right one comes. */
	mf_fw_dial(w, &c, NULL, NULL, 0);
	mf_fw_settle(w);
	assert_false(c.open || c.over);
	mf_buf_reset(&der);
	(void)mf_mint_leaf(w->mint, "/mayfly/broker/b1", q->point.data, now, now + 3600, &der);
	m.chain.data = der.p;
	m.chain.len = der.n;
	mf_fn_say(w, MF_MSG_SERVER_CERTIFICATE, &m.base);
	FW_UNTIL(w, c.open);
	page(w, "/readyz", 200, "ready");
	mf_buf_fini(&der);
	mf_mint_free(twin);
}

/* ---- the tables ---- */

static void
test_tables_survive(void **state)
{
	struct fw *w = *state;
	mf_fw_serve(w);
	mf_fn_records(w, 0, 7);
	FW_UNTIL(w, acked(w) == 7);
	mf_fw_stop_front(w);
	mf_fn_forget(w);
	mf_fw_serve(w);
	const Mayfly__Roles__V1__FrontHello *h = mf_fn_last(w, MF_MSG_FRONT_HELLO);
	assert_int_equal(h->applied_index, 7);
	mf_fn_records(w, 7, w->kit.n);
	FW_UNTIL(w, acked(w) == w->kit.n);
}

/* What does not follow: the file goes, the process too, the next one begins at 0. */
static void
test_gap(void **state)
{
	struct fw *w = *state;
	mf_fw_serve(w);
	mf_fn_records(w, 0, 5);
	FW_UNTIL(w, acked(w) == 5);
	mf_fw_stop_front(w);
	mf_fn_forget(w);
	mf_fw_serve(w);
	mf_fn_records(w, 6, 7);
	FW_UNTIL(w, w->left >= 0);
	assert_int_equal(w->left, 1);
	mf_fw_stop_front(w);
	mf_fn_forget(w);
	mf_fw_serve(w);
	const Mayfly__Roles__V1__FrontHello *h = mf_fn_last(w, MF_MSG_FRONT_HELLO);
	assert_int_equal(h->applied_index, 0);
	assert_int_equal(h->applied_root.len, 0);
	mf_fn_records(w, 0, w->kit.n);
	FW_UNTIL(w, acked(w) == w->kit.n);
}

/* Not even a rebuild helps: reading is refused with the reason, agents are served all the same. */
static void
test_log_that_cannot_be_read(void **state)
{
	struct fw *w = *state;
	static struct fw_client c, admin;
	static struct fw_stream s;
	struct fw_unary u;
	char match[] = "j-c";
	Mayfly__Admin__V1__ListJobsRequest q = MAYFLY__ADMIN__V1__LIST_JOBS_REQUEST__INIT;
	Mayfly__Admin__V1__EndJobRequest e = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	kit_job_ended(&w->kit, "j-nobody");
	mf_fw_serve(w);
	mf_fn_records(w, 0, w->kit.n);
	mf_fn_records(w, 0, 3); /* what comes then is let be */
	mf_fw_settle(w);
	assert_int_equal(w->left, -1);
	mf_fw_admin(w, &admin);
	mf_fw_ask(&admin, "ListJobs", &q.base, &mayfly__admin__v1__list_jobs_response__descriptor, &u);
	assert_int_equal(u.code, MF_GRPC_UNAVAILABLE);
	assert_non_null(strstr(u.text, "the tables cannot be read"));
	e.match = match;
	mf_fw_ask(&admin, "EndJob", &e.base, &mayfly__admin__v1__removal_response__descriptor, &u);
	assert_int_equal(u.code, MF_GRPC_UNAVAILABLE);
	mf_fw_dial_node(w, &c, "n-1");
	(void)mf_fw_session(&c, &s);
}

/* ---- pages and health ---- */

static void
test_pages(void **state)
{
	struct fw *w = *state;
	mf_fw_start(w);
	page(w, "/healthz", 200, "ok");
	page(w, "/readyz", 503, "no link to the notary");
	page(w, "/nothing", 404, "");
	mf_fn_link(w);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_CERTIFY_SERVER) != NULL);
	mf_fw_settle(w);
	page(w, "/readyz", 200, "ready");
	mf_fn_records(w, 0, w->kit.n);
	FW_UNTIL(w, acked(w) == w->kit.n);
	page(w, "/metrics", 200, "mayfly_applied_index 18\n");
	page(w, "/metrics", 200, "mayfly_notary_issuing 1\n");
	page(w, "/metrics", 200, "mayfly_notary_issued_total 7\n");
	page(w, "/metrics", 200, "mayfly_issuer_bad 0\n");
	/* Identities are issued all the same: ready, and what is not. */
	mf_fn_issuer(w, "foreign", "it shows a key that is not ours");
	mf_fw_settle(w);
	page(w, "/readyz", 200, "ready\nissuer: foreign: it shows a key that is not ours\n");
	page(w, "/metrics", 200, "mayfly_issuer_bad 1\n");
	page(w, "/metrics", 200, "mayfly_issuer_foreign 1\n");
	mf_fn_issuer(w, "stale", "copy the documents");
	mf_fw_settle(w);
	page(w, "/readyz", 200, "issuer: stale: copy the documents");
	page(w, "/metrics", 200, "mayfly_issuer_foreign 0\n");
	mf_fn_status(w, false, "the log has no room");
	mf_fw_settle(w);
	page(w, "/readyz", 503, "the log has no room");
	page(w, "/metrics", 200, "mayfly_ready 0\n");
	mf_fn_unlink(w);
	mf_fw_settle(w);
	page(w, "/readyz", 503, "no link to the notary");
}

/* OpenMetrics: each family once, with help and type before its samples, counters named _total, # EOF at the end. */
static void
test_metrics_format(void **state)
{
	struct fw *w = *state;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	char family[128] = "", type[16] = "";
	size_t families = 0, samples = 0;
	mf_buf_init(&b, 1 << 20);
	mf_fw_serve(w);
	assert_int_equal(mf_fw_get(w, "/metrics", &b), 200);
	const char *at = mf_buf_cstr(&b);
	while (strcmp(at, "# EOF\n") != 0) {
		size_t n = strcspn(at, "\n");
		assert_true(at[n] == '\n');
		if (strncmp(at, "# HELP ", 7) == 0) {
			char seen[140];
			size_t name = strcspn(at + 7, " ");
			(void)snprintf(family, sizeof(family), "%.*s", (int)name, at + 7);
			(void)snprintf(seen, sizeof(seen), "# HELP %s ", family);
			assert_null(strstr(at + n, seen)); /* once */
			families++;
		} else if (strncmp(at, "# TYPE ", 7) == 0) {
			assert_int_equal(strncmp(at + 7, family, strlen(family)), 0);
			(void)snprintf(type, sizeof(type), "%.*s", (int)(n - 8 - strlen(family)),
			    at + 8 + strlen(family));
		} else {
			assert_int_equal(strncmp(at, family, strlen(family)), 0);
			bool total = strncmp(at + strlen(family), "_total", 6) == 0;
			assert_int_equal(total, strcmp(type, "counter") == 0);
			assert_true(at[n - 1] >= '0' && at[n - 1] <= '9');
			samples++;
		}
		at += n + 1;
	}
	assert_true(families > 30 && samples > families);
}

static void
h_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(msg);
	++*(int *)mf_grpc_call_user(c);
}

static void
h_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	MF_UNUSED(text);
	*(int *)mf_grpc_call_user(c) = -(int)code;
}

static void
test_health(void **state)
{
	static const struct mf_grpc_client_ops ops = { .on_message = h_message, .on_status = h_status };
	struct fw *w = *state;
	static struct fw_client c;
	static int news;
	struct mf_grpc_call *call = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *q = NULL;
	news = 0;
	mf_fw_start(w);
	mf_fw_admin(w, &c);
	assert_int_equal(mf_pb_unpack(mf_grpc_health_watch.request, mf_slice(NULL, 0), &q, NULL), MF_OK);
	assert_int_equal(mf_grpc_open(mf_net_conn_grpc(c.conn), &mf_grpc_health_watch, &ops, &news, NULL, 0,
			     0, &call, NULL),
	    MF_OK);
	assert_int_equal(mf_grpc_send(call, q, NULL), MF_OK);
	mf_grpc_half_close(call);
	FW_UNTIL(w, news == 1); /* not serving */
	mf_fn_link(w);
	FW_UNTIL(w, news == 2); /* serving */
	mf_fn_unlink(w);
	FW_UNTIL(w, news == 3);
	mf_broker_front_stop(w->f);
	FW_UNTIL(w, news == -MF_GRPC_UNAVAILABLE);
	FW_UNTIL(w, w->left >= 0);
	assert_int_equal(w->left, 0);
}

/* ---- the end ---- */

static void
test_stop(void **state)
{
	struct fw *w = *state;
	static struct fw_client c, admin;
	static struct fw_stream s;
	struct fw_unary u;
	struct stat st;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	mf_fw_serve(w);
	mf_fn_records(w, 0, w->kit.n);
	mf_fw_dial_node(w, &c, KIT_NODE_A);
	(void)mf_fw_session(&c, &s);
	mf_fw_admin(w, &admin);
	mf_fw_call(&admin, "CreateJoinToken", &q.base,
	    &mayfly__admin__v1__create_join_token_response__descriptor, &u);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_ADMIN_CALL) != NULL);
	mf_broker_front_stop(w->f);
	FW_UNTIL(w, s.over && c.over);
	assert_int_equal(s.code, MF_GRPC_UNAVAILABLE);
	assert_string_equal(s.text, "this broker is being stopped");
	assert_int_equal(w->left, -1); /* an administrator still waits for his answer */
	mf_fn_fail(&w->n, ((const Mayfly__Roles__V1__AdminCall *)mf_fn_last(w, MF_MSG_ADMIN_CALL))->call_id,
	    "denied", "no");
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_PERMISSION_DENIED);
	FW_UNTIL(w, w->left >= 0);
	assert_int_equal(w->left, 0);
	mf_fw_stop_front(w);
	assert_int_equal(fstatat(w->db, MF_RM_FILE "-wal", &st, 0), -1); /* checkpointed */
}

static void
test_stop_does_not_wait_for_ever(void **state)
{
	struct fw *w = *state;
	static struct fw_client admin;
	struct fw_unary u;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	w->conf.stop_ms = 200;
	mf_fw_serve(w);
	mf_fw_admin(w, &admin);
	mf_fw_call(&admin, "CreateJoinToken", &q.base,
	    &mayfly__admin__v1__create_join_token_response__descriptor, &u);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_ADMIN_CALL) != NULL);
	mf_broker_front_stop(w->f);
	FW_UNTIL(w, w->left >= 0);
	assert_int_equal(w->left, 0);
	mf_fw_stop_front(w);
	FW_UNTIL(w, u.over);
	assert_int_equal(u.code, MF_GRPC_UNAVAILABLE);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_wrong_notary),
		TEST(test_broken_notary),
		TEST(test_early_word),
		TEST(test_no_link),
		TEST(test_replaced_link),
		TEST(test_renewal),
		TEST(test_bad_certificates),
		TEST(test_tables_survive),
		TEST(test_gap),
		TEST(test_log_that_cannot_be_read),
		TEST(test_pages),
		TEST(test_metrics_format),
		TEST(test_health),
		TEST(test_stop),
		TEST(test_stop_does_not_wait_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
