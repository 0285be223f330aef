/*
 * attestor_rig: the whole attestor between a fake front and a fake notary, for tests on live processes and cgroups.
 * Header only; each test program is one file.
 */
#ifndef MF_TEST_ATTESTOR_RIG_H
#define MF_TEST_ATTESTOR_RIG_H
#include "integration/attest_util.h"

#include "agent/attestor/attestor.h"
#include "agent.pb-c.h"
#include "crypto/hash.h"
#include "crypto/inner.h"
#include "os/jlog.h"
#include "os/seqpacket.h"
#include "roles.pb-c.h"
#include "rpc/role_links.h"

#define BUILD "test+1"
#define VALUE "0123456789abcdef"

struct rig {
	struct world w;
	char base[64];
	int state_fd, run_fd;
	struct mf_x25519 *notary_key;
	struct mf_attestor *a;
	struct mf_seqpacket *front;
	struct mf_noise *noise;
	struct mf_inner *inner;
	uint64_t sid;
	/* what the front got last */
	uint16_t type;
	ProtobufCMessage *msg;
	/* what the notary got last */
	ProtobufCMessage *up;
	bool up_removal;
	int socks[32]; /* the front's own copies of job connections */
	size_t n_socks;
	char *features[2]; /* that the notary's Welcome names */
	size_t n_features;
	/* for an attestor that is a program of its own (a is NULL) */
	void (*give_link)(struct rig *r, int fd);
	char *build;
	struct mf_seqpacket *control;
};

static inline void
attestor_start(struct rig *r)
{
	struct mf_err err = { 0 };
	const struct mf_attestor_conf conf = { .listen_path = r->w.path,
		.passwd = "/etc/passwd",
		.build_id = BUILD,
		.release = "0",
		.hostname = "h",
		.state_fd = r->state_fd,
		.run_fd = r->run_fd,
		.cgroup_base = r->base };
	enum mf_status s = mf_attestor_new(&conf, &r->a, &err);
	if (s != MF_OK)
		print_message("%s\n", err.msg);
	assert_int_equal(s, MF_OK);
}

static inline void
front_send(struct rig *r, uint16_t type, const ProtobufCMessage *m, int fd)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	struct mf_err err = { 0 };
	mf_buf_init(&b, MF_PACKET_PAYLOAD_MAX);
	assert_int_equal(mf_role_encode(&mf_link_agent, MF_LINK_FRONT, type, m, fd >= 0, &b, &err), MF_OK);
	assert_int_equal(mf_seqpacket_send(r->front, type, mf_buf_slice(&b), fd, &err), MF_OK);
}

static inline void
notary_send(struct rig *r, enum mf_inner_lane lane, const Mayfly__Agent__V1__Down *d)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_LIM_INNER_MESSAGE);
	assert_int_equal(mf_pb_pack(&d->base, &b, NULL), MF_OK);
	assert_int_equal(mf_inner_send(r->inner, lane, 0, mf_buf_slice(&b), NULL), MF_OK);
	for (;;) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf sealed = { 0 };
		mf_buf_init(&sealed, MF_INNER_SEALED_MAX);
		enum mf_status s = mf_inner_next(r->inner, &sealed, NULL);
		if (s == MF_E_AGAIN)
			return;
		assert_int_equal(s, MF_OK);
		Mayfly__Roles__V1__OuterData m = MAYFLY__ROLES__V1__OUTER_DATA__INIT;
		m.sid = r->sid;
		m.body = (ProtobufCBinaryData) { .len = sealed.n, .data = sealed.p };
		front_send(r, MF_MSG_OUTER_DATA, &m.base, -1);
	}
}

/* Bytes of the attestor for the broker: the handshake is answered, a sealed chunk may complete r->up. */
static inline void
carry(struct rig *r, const Mayfly__Roles__V1__OuterData *m)
{
	struct mf_slice body = mf_slice(m->body.data, m->body.len), msg;
	enum mf_inner_lane lane;
	if (m->handshake) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf prologue = { 0 };
		MF_AUTO_IN(mf_buf_fini) struct mf_buf out = { 0 };
		mf_buf_init(&prologue, 1024);
		mf_buf_init(&out, 1024);
		assert_int_equal(
		    mf_inner_prologue(MF_SLICE_LIT("example.org"), MF_SLICE_LIT("b-1"), &prologue, NULL),
		    MF_OK);
		const struct mf_noise_conf conf = { .role = MF_NOISE_RESPONDER,
			.prologue = mf_buf_slice(&prologue),
			.local_static = r->notary_key };
		assert_int_equal(mf_noise_new(&conf, &r->noise, NULL), MF_OK);
		assert_int_equal(mf_noise_read(r->noise, body, NULL, NULL), MF_OK);
		assert_int_equal(mf_noise_write(r->noise, mf_slice(NULL, 0), &out, NULL), MF_OK);
		assert_int_equal(mf_inner_new(r->noise, &r->inner, NULL), MF_OK);
		r->noise = NULL;
		Mayfly__Roles__V1__OuterData back = MAYFLY__ROLES__V1__OUTER_DATA__INIT;
		back.sid = r->sid;
		back.handshake = true;
		back.body = (ProtobufCBinaryData) { .len = out.n, .data = out.p };
		front_send(r, MF_MSG_OUTER_DATA, &back.base, -1);
		return;
	}
	enum mf_status s = mf_inner_feed(r->inner, body, &lane, &msg, NULL);
	if (s == MF_E_AGAIN)
		return;
	assert_int_equal(s, MF_OK);
	assert_null(r->up); /* every test looks at each message */
	r->up_removal = lane == MF_INNER_REMOVAL;
	assert_int_equal(mf_pb_unpack(&mayfly__agent__v1__up__descriptor, msg, &r->up, NULL), MF_OK);
}

/* Wait until the attestor or the front's end has something, turn, and take one message if there is one. */
/* One turn of an attestor in this process; nothing when it is a program of its own. */
static inline void
turn(struct rig *r, struct mf_attestor_poll *ret_want)
{
	*ret_want = (struct mf_attestor_poll) { .link_fd = -1, .watch_fd = -1 };
	if (r->a == NULL)
		return;
	assert_int_equal(mf_attestor_turn(r->a, NULL), MF_OK);
	mf_attestor_poll(r->a, ret_want);
}

static inline bool
step(struct rig *r)
{
	struct mf_attestor_poll want;
	struct mf_packet p;
	const struct mf_role_msg *row;
	turn(r, &want);
	enum mf_status s = mf_seqpacket_recv(r->front, &p, NULL);
	if (s == MF_OK) {
		mf_pb_free(r->msg);
		r->msg = NULL;
		r->type = p.type;
		unsigned state = p.type == MF_MSG_ATTESTOR_HELLO ? MF_LINK_HELLO : MF_LINK_OPEN;
		assert_int_equal(mf_role_decode(&mf_link_agent, MF_LINK_FRONT, state, p.type, p.payload,
				     false, &row, &r->msg, NULL),
		    MF_OK);
		return true;
	}
	assert_int_equal(s, MF_E_AGAIN);
	struct pollfd fds[] = { { .fd = want.link_fd, .events = POLLIN },
		{ .fd = want.watch_fd, .events = POLLIN },
		{ .fd = mf_seqpacket_fd(r->front), .events = POLLIN } };
	int n = poll(fds, MF_COUNT(fds), HANG_MS);
	assert_true(n > 0 || (n < 0 && errno == EINTR));
	return false;
}

/* The next message of ${type} for the front. Session data is carried on the way, states are passed over. */
static const void *
expect(struct rig *r, uint16_t type)
{
	for (;;) {
		if (!step(r))
			continue;
		if (r->type == type)
			return r->msg;
		if (r->type == MF_MSG_OUTER_DATA_OUT)
			carry(r, (Mayfly__Roles__V1__OuterData *)r->msg);
		else if (r->type != MF_MSG_SESSION_STATE && r->type != MF_MSG_TRUST)
			fail_msg("got message %u, wanted %u", r->type, type);
	}
}

/* The next message for the notary; freed by the next call. Messages for the front must not come before it. */
static const Mayfly__Agent__V1__Up *
expect_up(struct rig *r, Mayfly__Agent__V1__Up__BodyCase body)
{
	mf_pb_free(r->up);
	r->up = NULL;
	while (r->up == NULL) {
		if (!step(r))
			continue;
		if (r->type == MF_MSG_OUTER_DATA_OUT)
			carry(r, (Mayfly__Roles__V1__OuterData *)r->msg);
		else if (r->type != MF_MSG_SESSION_STATE && r->type != MF_MSG_TRUST &&
			 r->type != MF_MSG_OUTER_CLOSE_OUT)
			fail_msg("got message %u, wanted something for the notary", r->type);
	}
	const Mayfly__Agent__V1__Up *up = (Mayfly__Agent__V1__Up *)r->up;
	assert_int_equal(up->body_case, body);
	return up;
}

/* A new front's link, until the attestor has said hello. */
static inline void
front_hello(struct rig *r)
{
	int fds[2];
	Mayfly__Roles__V1__AgentFrontHello h = MAYFLY__ROLES__V1__AGENT_FRONT_HELLO__INIT;
	char build[] = BUILD;
	mf_seqpacket_free(r->front);
	r->front = NULL;
	assert_int_equal(mf_seqpacket_pair(fds, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[0], 1 << 20, &r->front, NULL), MF_OK);
	if (r->a != NULL)
		assert_int_equal(mf_attestor_link(r->a, fds[1], NULL), MF_OK);
	else
		r->give_link(r, fds[1]);
	h.build_id = r->build == NULL ? build : r->build;
	front_send(r, MF_MSG_AGENT_FRONT_HELLO, &h.base, -1);
	const Mayfly__Roles__V1__AttestorHello *m = expect(r, MF_MSG_ATTESTOR_HELLO);
	assert_string_equal(m->build_id, h.build_id);
}

static inline void
front_connect(struct rig *r)
{
	front_hello(r);
	const Mayfly__Roles__V1__SessionState *st = expect(r, MF_MSG_SESSION_STATE);
	assert_false(st->ready);
}

static inline int
dir_fd(const char *base, const char *name)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	assert_int_equal(mkdir(path, 0700), 0);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static inline struct mf_join_token *
make_token(struct rig *r)
{
	struct mf_join_public pub = { .address = "127.0.0.1:8461",
		.trust_domain = "example.org",
		.broker_id = "b-1",
		.token_id = "t-1",
		.expires_s = 4000000000 };
	struct mf_join_token *t = NULL;
	uint8_t secret[MF_JOIN_SECRET] = { 7 };
	mf_x25519_public(r->notary_key, pub.notary_key);
	assert_int_equal(mf_join_token_new(&pub, mf_slice(secret, sizeof(secret)), &t, NULL), MF_OK);
	return t;
}

static inline void
give_token(struct rig *r)
{
	struct mf_join_token *t = make_token(r);
	assert_int_equal(mf_attestor_join(r->a, t, NULL), MF_OK);
}

/* Everything but an attestor. */
static inline struct rig *
rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	assert_non_null(r);
	world_open(&r->w);
	(void)test_base(&r->w, r->base, sizeof(r->base));
	r->state_fd = dir_fd(r->w.dir, "state");
	r->run_fd = dir_fd(r->w.dir, "run");
	assert_int_equal(mf_x25519_generate(NULL, &r->notary_key, NULL), MF_OK);
	return r;
}

static inline int
setup(void **state)
{
	struct rig *r = rig_new();
	attestor_start(r);
	front_connect(r);
	give_token(r);
	*state = r;
	return 0;
}

static inline void
clear_dir(int fd, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)unlinkat(fd, names[i], 0);
	(void)close(fd);
}

static inline int
teardown(void **state)
{
	struct rig *r = *state;
	static const char *const files[] = { "inner.key", "session", "trust", "instances" };
	char path[128];
	mf_attestor_free(r->a);
	mf_seqpacket_free(r->front);
	for (size_t i = 0; i < r->n_socks; i++)
		(void)close(r->socks[i]);
	mf_inner_free(r->inner);
	mf_noise_free(r->noise);
	mf_x25519_free(r->notary_key);
	mf_pb_free(r->msg);
	mf_pb_free(r->up);
	clear_dir(r->state_fd, files, MF_COUNT(files));
	clear_dir(r->run_fd, files, MF_COUNT(files));
	(void)snprintf(path, sizeof(path), "%s/state", r->w.dir);
	(void)rmdir(path);
	(void)snprintf(path, sizeof(path), "%s/run", r->w.dir);
	(void)rmdir(path);
	test_base_remove(&r->w);
	world_close(&r->w);
	free(r);
	return 0;
}

static inline void
send_welcome(struct rig *r, uint64_t id)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Welcome w = MAYFLY__AGENT__V1__WELCOME__INIT;
	char node[] = "n-1", broker[] = "b-1", td[] = "example.org", value[] = VALUE;
	w.version = 1;
	w.node_id = node;
	w.broker_id = broker;
	w.trust_domain = td;
	w.session_value = (ProtobufCBinaryData) { .len = 16, .data = (uint8_t *)value };
	w.heartbeat_ms = 60000;
	w.features = r->features;
	w.n_features = r->n_features;
	d.request_id = id;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_WELCOME;
	d.welcome = &w;
	notary_send(r, MF_INNER_BOUNDED, &d);
}

/* A Session stream and the handshake in it; returns the first message's id, which is of ${body}. */
static inline uint64_t
open_session(struct rig *r, Mayfly__Agent__V1__Up__BodyCase body)
{
	Mayfly__Roles__V1__OuterOpened o = MAYFLY__ROLES__V1__OUTER_OPENED__INIT;
	Mayfly__Roles__V1__OuterCredit c = MAYFLY__ROLES__V1__OUTER_CREDIT__INIT;
	mf_inner_free(r->inner);
	r->inner = NULL;
	o.sid = ++r->sid;
	c.sid = r->sid;
	c.chunks = 1000;
	front_send(r, MF_MSG_OUTER_OPENED, &o.base, -1);
	front_send(r, MF_MSG_OUTER_CREDIT, &c.base, -1);
	return expect_up(r, body)->request_id;
}

/* From nothing to READY, with ${verdict} for each of ${held} instances. */
static inline void
make_ready(struct rig *r, bool join, size_t held, Mayfly__Agent__V1__Verdict verdict)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__ResyncAnswer ra = MAYFLY__AGENT__V1__RESYNC_ANSWER__INIT;
	Mayfly__Agent__V1__InstanceVerdict all[8], *list[8];
	send_welcome(
	    r, open_session(r, join ? MAYFLY__AGENT__V1__UP__BODY_JOIN : MAYFLY__AGENT__V1__UP__BODY_HELLO));
	(void)expect_up(r, MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED);
	const Mayfly__Agent__V1__Up *up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_RESYNC);
	assert_int_equal(up->resync->n_instances, held);
	for (size_t k = 0; k < held; k++) {
		mayfly__agent__v1__instance_verdict__init(&all[k]);
		all[k].instance_key = up->resync->instances[k]->instance_key;
		all[k].verdict = verdict;
		list[k] = &all[k];
	}
	ra.verdicts = list;
	ra.n_verdicts = held;
	d.request_id = up->request_id;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_RESYNC_ANSWER;
	d.resync_answer = &ra;
	notary_send(r, MF_INNER_BOUNDED, &d);
	while (!mf_attestor_ready(r->a))
		if (step(r))
			assert_true(r->type == MF_MSG_SESSION_STATE || r->type == MF_MSG_INSTANCE_ENDED);
}

static const Mayfly__Roles__V1__Caller *
who_is(struct rig *r, uint64_t conn, int sock)
{
	Mayfly__Roles__V1__WhoIs m = MAYFLY__ROLES__V1__WHO_IS__INIT;
	m.conn_id = conn;
	assert_true(r->n_socks < MF_COUNT(r->socks));
	r->socks[r->n_socks++] = sock;
	front_send(r, MF_MSG_WHO_IS, &m.base, dup(sock));
	const Mayfly__Roles__V1__Caller *c = expect(r, MF_MSG_CALLER);
	assert_int_equal(c->conn_id, conn);
	return c;
}

static uint8_t point[65] = { 4 };

static inline void
ask_keys(struct rig *r, uint16_t type, uint64_t handle)
{
	Mayfly__Roles__V1__AttachInstance m = MAYFLY__ROLES__V1__ATTACH_INSTANCE__INIT;
	Mayfly__Roles__V1__RenewInstance n = MAYFLY__ROLES__V1__RENEW_INSTANCE__INIT;
	ProtobufCBinaryData p = { .len = sizeof(point), .data = point };
	m.handle = n.handle = handle;
	m.n_points = n.n_points = 1;
	m.points = n.points = &p;
	front_send(r, type, type == MF_MSG_ATTACH_INSTANCE ? &m.base : &n.base, -1);
}

static inline void
send_grant(struct rig *r, uint64_t id, const char *lease)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Grant g = MAYFLY__AGENT__V1__GRANT__INIT;
	char text[32];
	(void)snprintf(text, sizeof(text), "%s", lease);
	g.lease_id = text;
	g.epoch = 1;
	d.request_id = id;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_GRANT;
	d.grant = &g;
	notary_send(r, MF_INNER_BOUNDED, &d);
}

static inline void
send_end_answer(struct rig *r, const char *key, bool recorded)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__EndAnswer e = MAYFLY__AGENT__V1__END_ANSWER__INIT;
	char text[256];
	(void)snprintf(text, sizeof(text), "%s", key);
	e.instance_key = text;
	e.recorded = recorded;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_END_ANSWER;
	d.end_answer = &e;
	notary_send(r, MF_INNER_REMOVAL, &d);
}

static inline void
connect_and_wait(void *arg)
{
	int fd = world_connect(arg);
	char b;
	(void)!read(fd, &b, 1);
}

static inline size_t
count(const struct rig *r)
{
	return mf_instances_count(mf_attestor_instances(r->a));
}
#endif
