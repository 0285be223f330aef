/* The attestor: callers, senders, sockets, leases, trust, and a front that misbehaves. */
#include "integration/attestor_rig.h"

/* From a caller to its grant to its end: the first path, seen from the attestor. */
static void
test_life(void **state)
{
	struct rig *r = *state;
	pid_t p = spawn(connect_and_wait, &r->w);
	const Mayfly__Roles__V1__Caller *c = who_is(r, 1, world_accept(&r->w));
	assert_true(c->known);
	assert_int_equal(c->pid, p);
	assert_true(c->n_selectors >= 2);
	uint64_t handle = c->handle;
	/* No session: nothing is asked, nothing is promised. */
	ask_keys(r, MF_MSG_ATTACH_INSTANCE, handle);
	const Mayfly__Roles__V1__InstanceRefused *no = expect(r, MF_MSG_INSTANCE_REFUSED);
	assert_int_equal(no->refusal->code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	make_ready(r, true, 0, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	ask_keys(r, MF_MSG_RENEW_INSTANCE, handle); /* nothing to renew */
	no = expect(r, MF_MSG_INSTANCE_REFUSED);
	assert_int_equal(no->refusal->code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED);
	ask_keys(r, MF_MSG_ATTACH_INSTANCE, handle);
	const Mayfly__Agent__V1__Up *up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_ATTACH);
	assert_int_equal(up->attach->unix_uid, getuid());
	assert_string_equal(up->attach->grade, "pidfd");
	assert_int_equal(up->attach->n_points, 1);
	assert_int_equal(strncmp(up->attach->instance_key, "local/n-1/", 10), 0);
	char key[128];
	(void)snprintf(key, sizeof(key), "%s", up->attach->instance_key);
	send_grant(r, up->request_id, "l-1");
	const Mayfly__Roles__V1__InstanceGrant *g = expect(r, MF_MSG_INSTANCE_GRANT);
	assert_int_equal(g->handle, handle);
	ask_keys(r, MF_MSG_RENEW_INSTANCE, handle);
	up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_RENEW);
	assert_string_equal(up->renew->lease_id, "l-1");
	uint64_t late = up->request_id;

	end_child(p);
	const Mayfly__Roles__V1__InstanceEnded *e = expect(r, MF_MSG_INSTANCE_ENDED);
	assert_int_equal(e->handle, handle);
	assert_false(e->suspended);
	up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_END);
	assert_true(r->up_removal);
	assert_string_equal(up->end->instance_key, key);
	assert_string_equal(up->end->lease_id, "l-1");
	assert_int_equal(up->end->cause, MAYFLY__AGENT__V1__END_CAUSE__END_PROCESS);
	/* A grant that crossed the end goes nowhere, and the end is told again for its lease. */
	send_grant(r, late, "l-1");
	(void)expect_up(r, MAYFLY__AGENT__V1__UP__BODY_END);
	send_end_answer(r, key, false);
	send_end_answer(r, key, true);
	while (count(r) > 0)
		(void)step(r);
	ask_keys(r, MF_MSG_ATTACH_INSTANCE, handle);
	no = expect(r, MF_MSG_INSTANCE_REFUSED);
	assert_int_equal(no->refusal->code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED);
}

static void
test_sender(void **state)
{
	struct rig *r = *state;
	pid_t p = spawn(connect_and_wait, &r->w), q;
	uint64_t handle = who_is(r, 1, world_accept(&r->w))->handle;
	Mayfly__Roles__V1__SenderIs m = MAYFLY__ROLES__V1__SENDER_IS__INIT;
	int pidfd = -1;
	/* The caller itself, by pidfd. */
	assert_int_equal(mf_pidfd_open(p, &pidfd, NULL), MF_OK);
	m.conn_id = 1;
	m.pid = p;
	front_send(r, MF_MSG_SENDER_IS, &m.base, pidfd);
	const Mayfly__Roles__V1__Caller *c = expect(r, MF_MSG_CALLER);
	assert_true(c->sender && c->known);
	assert_int_equal(c->handle, handle);
	/* A process of nobody's job, of another job, none at all, a number without proof, an unknown connection. */
	q = spawn(connect_and_wait, &r->w);
	int cq = world_accept(&r->w);
	for (int turn = 0; turn < 5; turn++) {
		int fd = -1;
		if (turn == 1)
			assert_true(who_is(r, 2, dup(cq))->handle != handle);
		if (turn < 2)
			assert_int_equal(mf_pidfd_open(q, &fd, NULL), MF_OK);
		if (turn == 2)
			fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (turn == 4)
			assert_int_equal(mf_pidfd_open(p, &fd, NULL), MF_OK);
		m.conn_id = turn == 4 ? 77 : 1;
		m.pid = turn < 2 ? q : p;
		front_send(r, MF_MSG_SENDER_IS, &m.base, fd);
		c = expect(r, MF_MSG_CALLER);
		assert_true(c->sender);
		assert_false(c->known);
		assert_true(c->reason[0] != '\0');
	}
	(void)close(cq);
	end_child(p);
	end_child(q);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
	assert_int_equal(count(r), 0); /* nobody asked for anything: nothing to report */
}

static void
test_bad_sockets(void **state)
{
	struct rig *r = *state;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_false(who_is(r, 1, pair[0])->known);
	assert_false(who_is(r, 1, pair[1])->known);
	/* One that died before it was looked at. */
	pid_t p = spawn(connect_and_wait, &r->w);
	int c = world_accept(&r->w);
	end_child(p);
	const Mayfly__Roles__V1__Caller *m = who_is(r, 1, c);
	assert_false(m->known || m->unavailable);
	assert_int_equal(count(r), 0);
}

/* What the broker says of a lease that is not over reaches the front, for the lease that counts ("l-2") only. */
static void
check_news(struct rig *r, uint64_t handle, char *key)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__LeaseEnding li = MAYFLY__AGENT__V1__LEASE_ENDING__INIT;
	Mayfly__Agent__V1__LeaseDeadline ld = MAYFLY__AGENT__V1__LEASE_DEADLINE__INIT;
	char old[] = "l-1", now[] = "l-2";
	ld.instance_key = li.instance_key = key;
	ld.lease_id = li.lease_id = old;
	ld.deadline = li.until = 1;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_LEASE_DEADLINE;
	d.lease_deadline = &ld;
	notary_send(r, MF_INNER_BOUNDED, &d);
	ld.lease_id = now;
	ld.deadline = 1800000000;
	notary_send(r, MF_INNER_BOUNDED, &d);
	const Mayfly__Roles__V1__InstanceDeadline *later = expect(r, MF_MSG_INSTANCE_DEADLINE);
	assert_int_equal(later->deadline, 1800000000);
	assert_int_equal(later->handle, handle);
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDING;
	d.lease_ending = &li;
	notary_send(r, MF_INNER_REMOVAL, &d);
	li.lease_id = now;
	li.until = 1800000060;
	li.cause = MAYFLY__AGENT__V1__END_CAUSE__END_MANAGER;
	for (int twice = 0; twice < 2; twice++) { /* once by push, once behind a resync */
		notary_send(r, MF_INNER_REMOVAL, &d);
		const Mayfly__Roles__V1__InstanceEnding *ending = expect(r, MF_MSG_INSTANCE_ENDING);
		assert_int_equal(ending->until, 1800000060);
		assert_string_equal(ending->cause, "manager");
	}
	/* What it has may be renewed. */
	ask_keys(r, MF_MSG_RENEW_INSTANCE, handle);
	const Mayfly__Agent__V1__Up *up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_RENEW);
	send_grant(r, up->request_id, "l-2");
	(void)expect(r, MF_MSG_INSTANCE_GRANT);
}

/* What the broker says about leases at the resync and afterwards. */
static void
test_verdicts(void **state)
{
	struct rig *r = *state;
	make_ready(r, true, 0, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	pid_t p = spawn(connect_and_wait, &r->w);
	uint64_t handle = who_is(r, 1, world_accept(&r->w))->handle;
	ask_keys(r, MF_MSG_ATTACH_INSTANCE, handle);
	const Mayfly__Agent__V1__Up *up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_ATTACH);
	send_grant(r, up->request_id, "l-1");
	(void)expect(r, MF_MSG_INSTANCE_GRANT);
	/* A request that is under way when the session is replaced is answered, not forgotten. */
	ask_keys(r, MF_MSG_RENEW_INSTANCE, handle);
	(void)expect_up(r, MAYFLY__AGENT__V1__UP__BODY_RENEW);
	Mayfly__Roles__V1__OuterClosed oc = MAYFLY__ROLES__V1__OUTER_CLOSED__INIT;
	oc.sid = r->sid;
	front_send(r, MF_MSG_OUTER_CLOSED, &oc.base, -1);
	const Mayfly__Roles__V1__InstanceRefused *no = expect(r, MF_MSG_INSTANCE_REFUSED);
	assert_int_equal(no->refusal->code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	make_ready(r, false, 1, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	make_ready(r, false, 1, MAYFLY__AGENT__V1__VERDICT__VERDICT_SUSPENDED);
	ask_keys(r, MF_MSG_ATTACH_INSTANCE, handle);
	up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_ATTACH);
	send_grant(r, up->request_id, "l-2");
	(void)expect(r, MF_MSG_INSTANCE_GRANT);
	/* A push about a lease that is not the one that counts; then about that. */
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__LeaseEnded le = MAYFLY__AGENT__V1__LEASE_ENDED__INIT;
	char key[128], old[] = "l-1", now[] = "l-2";
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, 256);
	mf_instance_key_put(&b,
	    mf_instances_first((struct mf_instances *)(uintptr_t)mf_attestor_instances(r->a)),
	    MF_SLICE_LIT("n-1"));
	(void)snprintf(key, sizeof(key), "%s", mf_buf_cstr(&b));
	check_news(r, handle, key);
	le.instance_key = key;
	le.lease_id = old;
	le.cause = MAYFLY__AGENT__V1__END_CAUSE__END_OPERATOR;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDED;
	d.lease_ended = &le;
	notary_send(r, MF_INNER_REMOVAL, &d);
	le.lease_id = now;
	notary_send(r, MF_INNER_REMOVAL, &d);
	const Mayfly__Roles__V1__InstanceEnded *e = expect(r, MF_MSG_INSTANCE_ENDED);
	assert_string_equal(e->cause, "operator");
	(void)expect_up(r, MAYFLY__AGENT__V1__UP__BODY_END);
	/* Until it is recorded the process hears that its job has ended. */
	Mayfly__Roles__V1__ConnGone gone = MAYFLY__ROLES__V1__CONN_GONE__INIT;
	gone.conn_id = 1;
	front_send(r, MF_MSG_CONN_GONE, &gone.base, -1);
	ask_keys(r, MF_MSG_ATTACH_INSTANCE, handle);
	no = expect(r, MF_MSG_INSTANCE_REFUSED);
	assert_int_equal(no->refusal->code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED);
	end_child(p);
}

/* A bundle in clear counts when the session vouches for its bytes. */
static void
test_trust(void **state)
{
	struct rig *r = *state;
	uint8_t der[] = { 0x30, 0x00 }, other[] = { 0x30, 0x01, 0x00 }, sum[32];
	make_ready(r, true, 0, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	Mayfly__Roles__V1__DocumentSeen seen = MAYFLY__ROLES__V1__DOCUMENT_SEEN__INIT;
	Mayfly__Agent__V1__Document doc = MAYFLY__AGENT__V1__DOCUMENT__INIT;
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Vouch v = MAYFLY__AGENT__V1__VOUCH__INIT;
	mf_sha256(mf_slice(der, sizeof(der)), sum);
	seen.document = &doc;
	doc.kind = v.kind = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE;
	doc.number = v.number = 3;
	doc.body = (ProtobufCBinaryData) { .len = sizeof(other), .data = other };
	v.sha256 = (ProtobufCBinaryData) { .len = sizeof(sum), .data = sum };
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_VOUCH;
	d.vouch = &v;
	front_send(r, MF_MSG_DOCUMENT_SEEN, &seen.base, -1); /* made up on the way */
	notary_send(r, MF_INNER_BOUNDED, &d);
	doc.body = (ProtobufCBinaryData) { .len = sizeof(der), .data = der };
	front_send(r, MF_MSG_DOCUMENT_SEEN, &seen.base, -1);
	const Mayfly__Roles__V1__Trust *t = expect(r, MF_MSG_TRUST);
	assert_int_equal(t->number, 3);
	assert_int_equal(t->bundle.len, sizeof(der));
	/* It is kept for the next start, and an older one is not taken. */
	mf_attestor_free(r->a);
	attestor_start(r);
	front_connect(r);
	front_connect(r);
	t = NULL;
	Mayfly__Roles__V1__OuterKey k = MAYFLY__ROLES__V1__OUTER_KEY__INIT;
	k.point = (ProtobufCBinaryData) { .len = sizeof(point), .data = point };
	front_send(r, MF_MSG_OUTER_KEY, &k.base, -1); /* before there is a session: kept */
	make_ready(r, false, 0, MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP);
	const Mayfly__Agent__V1__Up *up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_CERTIFY_OUTER);
	Mayfly__Agent__V1__Down oc = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__OuterCertificate cert = MAYFLY__AGENT__V1__OUTER_CERTIFICATE__INIT;
	cert.chain = (ProtobufCBinaryData) { .len = sizeof(der), .data = der };
	oc.request_id = up->request_id;
	oc.body_case = MAYFLY__AGENT__V1__DOWN__BODY_OUTER_CERTIFICATE;
	oc.outer_certificate = &cert;
	notary_send(r, MF_INNER_BOUNDED, &oc);
	const Mayfly__Roles__V1__OuterCertificate *got = expect(r, MF_MSG_OUTER_CERTIFICATE);
	assert_int_equal(got->chain.len, sizeof(der));
}

/* A front that breaks the table loses its link, not the attestor. */
static void
test_bad_front(void **state)
{
	struct rig *r = *state;
	static const struct {
		uint16_t type;
		const char *payload;
	} bad[] = { { 99, "" }, { MF_MSG_ATTESTOR_HELLO, "" }, { MF_MSG_WHO_IS, "\x08\x01" } /* no socket */,
		{ MF_MSG_CONN_GONE, "\xff" }, { MF_MSG_AGENT_FRONT_HELLO, "" } /* twice */ };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_attestor_poll want;
		assert_int_equal(
		    mf_seqpacket_send(r->front, bad[i].type, mf_slice_str(bad[i].payload), -1, NULL), MF_OK);
		do {
			assert_int_equal(mf_attestor_turn(r->a, NULL), MF_OK);
			mf_attestor_poll(r->a, &want);
		} while (want.link_fd >= 0);
		front_connect(r);
	}
}

int
main(void)
{
	mf_jlog_to(getenv("VERBOSE") ? 2 : open("/dev/null", O_WRONLY | O_CLOEXEC));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sender, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_sockets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trust, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_front, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
