/*
 * notary_rig: the notary as it is run, its own program confined by its table, with the test as the broker's front: it carries
 * honest attestors' sessions, or whatever it likes. Every grant that an attestor can open is compared with the log on disk
 * when it comes; nr_check_log looks at the whole log. Header only.
 */
#ifndef MF_TEST_NOTARY_RIG_H
#define MF_TEST_NOTARY_RIG_H
#include "integration/notary_log.h"

/* ---- the front's messages ---- */

static inline void
nr_raw(struct nrig *r, uint16_t type, struct mf_slice payload, int fd)
{
	if (r->front == NULL || mf_seqpacket_send(r->front, type, payload, fd, NULL) != MF_OK)
		if (fd >= 0)
			(void)close(fd);
}

static inline void
nr_send(struct nrig *r, uint16_t type, const ProtobufCMessage *m)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_PACKET_PAYLOAD_MAX);
	if (mf_role_encode(&mf_link_broker, MF_LINK_FRONT, type, m, false, &b, &err) != MF_OK)
		fail_msg("%s", err.msg);
	nr_raw(r, type, mf_buf_slice(&b), -1);
}

static inline void
nr_session(struct nrig *r, uint64_t sid, const char *claims_node)
{
	Mayfly__Roles__V1__SessionOpen m = MAYFLY__ROLES__V1__SESSION_OPEN__INIT;
	m.sid = sid;
	m.peer_node = (char *)(uintptr_t)claims_node;
	m.remote = (char *)(uintptr_t) "192.0.2.1:1";
	nr_send(r, MF_MSG_SESSION_OPEN, &m.base);
}

static inline void
nr_close(struct nrig *r, uint64_t sid)
{
	Mayfly__Roles__V1__SessionClose m = MAYFLY__ROLES__V1__SESSION_CLOSE__INIT;
	m.sid = sid;
	nr_send(r, MF_MSG_SESSION_CLOSE, &m.base);
}

static inline void
nr_data(struct nrig *r, uint64_t sid, bool handshake, struct mf_slice body)
{
	Mayfly__Roles__V1__SessionData m = MAYFLY__ROLES__V1__SESSION_DATA__INIT;
	m.sid = sid;
	m.handshake = handshake;
	m.body = (ProtobufCBinaryData) { body.n, (uint8_t *)(uintptr_t)body.p };
	nr_send(r, MF_MSG_SESSION_DATA, &m.base);
}

static inline void
nr_credit(struct nrig *r, uint64_t sid, uint32_t chunks)
{
	Mayfly__Roles__V1__SessionCredit m = MAYFLY__ROLES__V1__SESSION_CREDIT__INIT;
	m.sid = sid;
	m.chunks = chunks;
	nr_send(r, MF_MSG_SESSION_CREDIT, &m.base);
}

static inline struct npassed *
nr_keep(struct nrig *r, uint64_t sid, bool up, bool handshake, struct mf_slice body)
{
	struct npassed *t = &r->tape[r->tape_n++ % NR_TAPE];
	free(t->p);
	*t = (struct npassed) { sid, handshake, up, malloc(body.n + 1), body.n };
	assert_non_null(t->p);
	memcpy(t->p, body.p, body.n);
	return t;
}

/* From an attestor to the notary, if the front wants. */
static inline void
nr_up(struct nrig *r, uint64_t sid, bool handshake, struct mf_slice body)
{
	(void)nr_keep(r, sid, true, handshake, body);
	if (!r->keep_up)
		nr_data(r, sid, handshake, body);
}

/* ---- attestors ---- */

static inline struct npeer *
nr_peer_of(struct nrig *r, uint64_t sid)
{
	for (size_t i = 0; i < NR_PEERS; i++)
		if (r->peer[i].sid == sid && sid != 0)
			return &r->peer[i];
	return NULL;
}

static inline void
nr_peer_gone(struct npeer *p)
{
	mf_noise_free(p->noise);
	mf_inner_free(p->inner);
	p->noise = NULL;
	p->inner = NULL;
	p->sid = 0;
}

static inline void
nr_down(struct nrig *r, struct npeer *p, struct mf_slice sealed)
{
	enum mf_inner_lane lane;
	struct mf_slice msg;
	ProtobufCMessage *m = NULL;
	if (p->inner == NULL)
		return;
	enum mf_status s = mf_inner_feed(p->inner, sealed, &lane, &msg, NULL);
	if (s == MF_E_AGAIN)
		return;
	if (s != MF_OK) { /* the front has spoilt it: so does an attestor */
		nr_peer_gone(p);
		return;
	}
	assert_int_equal(mf_pb_unpack(&mayfly__agent__v1__down__descriptor, msg, &m, NULL), MF_OK);
	const Mayfly__Agent__V1__Down *d = (const void *)m;
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_GRANT)
		nr_look_at_grant(r, p, d->grant);
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT)
		nr_look_at_cloud_grant(r, d->cloud_grant);
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_WELCOME) {
		(void)snprintf(p->node, sizeof(p->node), "%s", d->welcome->node_id);
		assert_int_equal(d->welcome->session_value.len, sizeof(p->value));
		memcpy(p->value, d->welcome->session_value.data, sizeof(p->value));
	}
	if (d->request_id != p->request) {
		mf_pb_free(m);
		return;
	}
	mf_pb_free(p->down);
	p->down = m;
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL)
		(void)snprintf(r->refusal, sizeof(r->refusal), "%s", d->refusal->reason);
}

static inline void
nr_session_data(struct nrig *r, const Mayfly__Roles__V1__SessionData *m)
{
	struct npeer *p = nr_peer_of(r, m->sid);
	struct mf_slice body = mf_slice(m->body.data, m->body.len);
	(void)nr_keep(r, m->sid, false, m->handshake, body);
	if (p == NULL || r->keep_down)
		return;
	if (!m->handshake) {
		nr_down(r, p, body);
		return;
	}
	if (p->noise == NULL)
		return;
	if (mf_noise_read(p->noise, body, NULL, NULL) != MF_OK) {
		nr_peer_gone(p);
		return;
	}
	assert_int_equal(mf_inner_new(p->noise, &p->inner, NULL), MF_OK);
	p->noise = NULL;
}

/* ---- turns ---- */

static inline void
nr_take(struct nrig *r, uint16_t type, ProtobufCMessage *msg)
{
	const void *m = msg;
	struct npeer *p;
	switch (type) {
	case MF_MSG_NOTARY_HELLO:
		r->open = true;
		break;
	case MF_MSG_SESSION_DATA_OUT:
		nr_session_data(r, m);
		break;
	case MF_MSG_SESSION_CLOSE_OUT:
		p = nr_peer_of(r, ((const Mayfly__Roles__V1__SessionClose *)m)->sid);
		if (p != NULL)
			nr_peer_gone(p);
		break;
	case MF_MSG_ADMIN_REPLY:
		mf_pb_free(r->reply);
		r->reply = msg;
		return;
	case MF_MSG_SERVER_CERTIFICATE:
		r->certificates++;
		break;
	default:
		break;
	}
	mf_pb_free(msg);
}

/* Take what has come; wait up to ${ms} for something. False: nothing did, or the link is closed. */
static inline bool
nr_turn(struct nrig *r, int ms)
{
	struct mf_packet p;
	const struct mf_role_msg *row;
	ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	if (r->front == NULL)
		return false;
	struct pollfd f[2] = { { .fd = mf_seqpacket_fd(r->front), .events = POLLIN },
		{ .fd = r->pidfd, .events = POLLIN } };
	if (mf_seqpacket_wants_write(r->front))
		f[0].events |= POLLOUT;
	(void)poll(f, 2, ms);
	if (f[1].revents != 0)
		fail_msg("the notary died; see %s", r->stderr_path);
	(void)!mf_seqpacket_flush(r->front, NULL);
	bool some = false;
	for (;;) {
		enum mf_status s = mf_seqpacket_recv(r->front, &p, &err);
		if (s == MF_E_AGAIN)
			return some;
		if (s != MF_OK) {
			mf_seqpacket_free(r->front);
			r->front = NULL;
			return false;
		}
		some = true;
		unsigned state = p.type == MF_MSG_NOTARY_HELLO ? MF_LINK_HELLO : MF_LINK_OPEN;
		if (mf_role_decode(&mf_link_broker, MF_LINK_FRONT, state, p.type, p.payload, false, &row,
			&msg, &err) != MF_OK)
			fail_msg("the notary broke the table: %s", err.msg);
		nr_take(r, p.type, msg);
	}
}

#define NR_UNTIL(r, what)                                                                \
	do {                                                                             \
		uint64_t nr_end = mf_now().mono_ms + NR_HANG_MS;                         \
		while (!(what)) {                                                        \
			(void)nr_turn(r, 20);                                            \
			if (mf_now().mono_ms > nr_end)                                   \
				fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #what); \
		}                                                                        \
	} while (0)

/* Ask for what is answered at once, so that everything said before has been taken. */
static inline const Mayfly__Roles__V1__AdminReply *
nr_admin(struct nrig *r, Mayfly__Roles__V1__AdminCall *c)
{
	c->call_id = ++r->next_call;
	if (c->role == NULL || c->role[0] == '\0')
		c->role = (char *)(uintptr_t) "admin";
	c->loginuid = UINT32_MAX;
	nr_send(r, MF_MSG_ADMIN_CALL, &c->base);
	NR_UNTIL(r,
	    r->front == NULL ||
		(r->reply != NULL &&
		    ((const Mayfly__Roles__V1__AdminReply *)(const void *)r->reply)->call_id == c->call_id));
	if (r->front == NULL)
		fail_msg("the link was closed; see %s", r->stderr_path);
	return (const void *)r->reply;
}

static inline void
nr_status(struct nrig *r)
{
	Mayfly__Roles__V1__AdminCall c = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__GetStatusRequest q = MAYFLY__ADMIN__V1__GET_STATUS_REQUEST__INIT;
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_STATUS;
	c.get_status = &q;
	(void)nr_admin(r, &c);
}

/* ---- what attestors say ---- */

static __attribute__((noinline)) void
nr_say(struct nrig *r, struct npeer *p, Mayfly__Agent__V1__Up *up)
{
	uint8_t bytes[8192];
	up->request_id = ++p->request;
	mf_pb_free(p->down);
	p->down = NULL;
	size_t n = mayfly__agent__v1__up__get_packed_size(up);
	assert_true(n <= sizeof(bytes));
	(void)mayfly__agent__v1__up__pack(up, bytes);
	if (p->inner == NULL)
		return;
	assert_int_equal(mf_inner_send(p->inner, MF_INNER_BOUNDED, 0, mf_slice(bytes, n), NULL), MF_OK);
	while (mf_inner_pending(p->inner)) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, MF_INNER_SEALED_MAX);
		assert_int_equal(mf_inner_next(p->inner, &b, NULL), MF_OK);
		nr_up(r, p->sid, false, mf_buf_slice(&b));
	}
}

/* The answer's kind; 0: the session ended instead. */
static inline int
nr_answer(struct nrig *r, struct npeer *p)
{
	NR_UNTIL(r, p->down != NULL || p->inner == NULL || r->front == NULL);
	return p->down == NULL ? 0 : (int)((const Mayfly__Agent__V1__Down *)p->down)->body_case;
}

/* A session of ${p} through the front, up to the handshake. */
static inline void
nr_begin(struct nrig *r, struct npeer *p, const char *claims_node)
{
	uint8_t notary[32];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf m;
	nr_peer_gone(p);
	mf_buf_init(&m, 1024);
	if (p->key == NULL)
		assert_int_equal(mf_x25519_generate(NULL, &p->key, NULL), MF_OK);
	mf_x25519_public(r->k.keys->inner, notary);
	const struct mf_noise_conf nc = { MF_NOISE_INITIATOR, mf_buf_slice(&r->prologue), p->key, notary,
		NULL, 0 };
	assert_int_equal(mf_noise_new(&nc, &p->noise, NULL), MF_OK);
	assert_int_equal(mf_noise_write(p->noise, mf_slice(NULL, 0), &m, NULL), MF_OK);
	p->sid = ++r->next_sid;
	nr_session(r, p->sid, claims_node);
	nr_up(r, p->sid, true, mf_buf_slice(&m));
	nr_credit(r, p->sid, 1000);
	NR_UNTIL(r, p->inner != NULL || p->sid == 0);
}

/* Hello, or Join with ${token}; then stored and resynced with what it holds. False: turned away. */
static inline bool
nr_join(struct nrig *r, struct npeer *p, const char *token, bool holds)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Hello h = MAYFLY__AGENT__V1__HELLO__INIT;
	Mayfly__Agent__V1__Join j = MAYFLY__AGENT__V1__JOIN__INIT;
	MF_AUTO(mf_join_token_free) struct mf_join_token *t = NULL;
	h.version_min = h.version_max = 1;
	h.boot_id = (char *)(uintptr_t)NR_BOOT;
	h.hostname = (char *)(uintptr_t) "h";
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_HELLO;
	up.hello = &h;
	if (token != NULL) {
		assert_int_equal(mf_join_token_decode(mf_slice_str(token), &t, NULL), MF_OK);
		j.hello = &h;
		j.token_id = (char *)(uintptr_t)mf_join_token_public(t)->token_id;
		j.token_secret =
		    (ProtobufCBinaryData) { 32, (uint8_t *)(uintptr_t)mf_join_token_secret(t).p };
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_JOIN;
		up.join = &j;
	} else {
		h.session_value = (ProtobufCBinaryData) { sizeof(p->value), p->value };
	}
	nr_say(r, p, &up);
	if (nr_answer(r, p) != MAYFLY__AGENT__V1__DOWN__BODY_WELCOME)
		return false;
	Mayfly__Agent__V1__SessionStored st = MAYFLY__AGENT__V1__SESSION_STORED__INIT;
	Mayfly__Agent__V1__Resync rs = MAYFLY__AGENT__V1__RESYNC__INIT;
	Mayfly__Agent__V1__HeldInstance held = MAYFLY__AGENT__V1__HELD_INSTANCE__INIT, *one = &held;
	char key[200];
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED;
	up.session_stored = &st;
	nr_say(r, p, &up);
	(void)snprintf(key, sizeof(key), "local/%s/" NR_BOOT "/cg-%u", p->node, p->instance);
	held.instance_key = key;
	held.lease_id = p->lease;
	held.epoch = p->epoch;
	rs.n_instances = holds;
	rs.instances = &one;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_RESYNC;
	up.resync = &rs;
	nr_say(r, p, &up);
	return nr_answer(r, p) == MAYFLY__AGENT__V1__DOWN__BODY_RESYNC_ANSWER;
}

static inline void
nr_point(uint8_t to[65])
{
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *key = NULL;
	assert_int_equal(mf_p256_generate(&key, NULL), MF_OK);
	mf_p256_public(key, to);
}

/* The process ${i} of uid ${uid} asks for profile "p". */
static inline void
nr_attach(struct nrig *r, struct npeer *p, unsigned i, const char *uid)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Attach a = MAYFLY__AGENT__V1__ATTACH__INIT;
	uint8_t point[65];
	char key[200], selector[64], *s = selector;
	ProtobufCBinaryData b = { sizeof(point), point };
	nr_point(point);
	(void)snprintf(key, sizeof(key), "local/%s/" NR_BOOT "/cg-%u", p->node, i);
	(void)snprintf(selector, sizeof(selector), "unix.uid:%s", uid);
	a.instance_key = key;
	a.selectors = &s;
	a.n_selectors = 1;
	a.grade = (char *)(uintptr_t) "pidfd+cgroup";
	a.points = &b;
	a.n_points = 1;
	a.profile = (char *)(uintptr_t) "p";
	a.unix_user = (char *)(uintptr_t) "";
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_ATTACH;
	up.attach = &a;
	assert_true(r->stated_n < MF_COUNT(r->stated));
	r->stated[r->stated_n++] = strdup(key);
	p->instance = i;
	nr_say(r, p, &up);
}

static inline void
nr_renew(struct nrig *r, struct npeer *p)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Renew m = MAYFLY__AGENT__V1__RENEW__INIT;
	uint8_t point[65];
	ProtobufCBinaryData b = { sizeof(point), point };
	nr_point(point);
	m.lease_id = p->lease;
	m.epoch = p->epoch;
	m.points = &b;
	m.n_points = 1;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_RENEW;
	up.renew = &m;
	nr_say(r, p, &up);
}

static inline void
nr_end(struct nrig *r, struct npeer *p, unsigned i)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__End m = MAYFLY__AGENT__V1__END__INIT;
	char key[200];
	(void)snprintf(key, sizeof(key), "local/%s/" NR_BOOT "/cg-%u", p->node, i);
	m.instance_key = key;
	m.lease_id = p->lease;
	m.cause = MAYFLY__AGENT__V1__END_CAUSE__END_EMPTY;
	m.detected_us = mf_now().wall_us;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_END;
	up.end = &m;
	nr_say(r, p, &up);
}

static inline bool
nr_granted(struct nrig *r, struct npeer *p)
{
	return nr_answer(r, p) == MAYFLY__AGENT__V1__DOWN__BODY_GRANT;
}

/* ---- the process ---- */

/* A new link; the old one, if any, is dropped by the notary. */
static inline void
nr_link(struct nrig *r)
{
	int fds[2];
	for (size_t i = 0; i < NR_PEERS; i++)
		nr_peer_gone(&r->peer[i]);
	mf_seqpacket_free(r->front);
	r->front = NULL;
	r->open = false;
	assert_int_equal(mf_seqpacket_pair(fds, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[0], 8u << 20, &r->front, NULL), MF_OK);
	assert_int_equal(mf_control_send(r->control, MF_CONTROL_LINK, "broker-front", fds[1], NULL), MF_OK);
	NR_UNTIL(r, r->open);
}

static inline void
nr_hello(struct nrig *r)
{
	Mayfly__Roles__V1__FrontHello h = MAYFLY__ROLES__V1__FRONT_HELLO__INIT;
	h.build_id = (char *)(uintptr_t)mf_build_id();
	nr_send(r, MF_MSG_FRONT_HELLO, &h.base);
}

static inline void
nr_front(struct nrig *r)
{
	nr_link(r);
	nr_hello(r);
	nr_status(r);
}

/* ${signers} (NULL: none): the allowed signers file, of whom ${required} must sign. */
static inline void
nr_start(struct nrig *r, const struct mf_buf *signers, unsigned required)
{
	static const char policy[] =
	    "mayfly_policy: 1\nprofiles:\n  p:\n    purpose: test\n    owner: tests\n    max_job: 1h\n    "
	    "drain: 0s\n"
	    "    identities:\n      - {path: \"/{tenant}/p/job/{job}\", hint: job, x509_ttl: 20m}\n    "
	    "on_end: deny\n"
	    "rules:\n  - {id: p, effect: permit, profile: p, owner: tests, review_by: 2099-01-01, "
	    "nodes: {eq: [node.pool, gpu]}, when: {contains: [attested.unix.uid, \"7\"]}}\n";
	const char *p = r->policy == NULL ? policy : r->policy;
	uint8_t kek[MF_KEK_SIZE] = { 1 };
	int control[2], exe = -1, err_fd;
	char build[128], boss[64], need[64];
	struct mf_err err = { 0 };
	assert_int_equal(mf_spawn_open_role("notary", &exe, &err), MF_OK);
	assert_int_equal(mf_seqpacket_pair(control, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(control[0], MF_CONTROL_QUEUE, &r->control, NULL), MF_OK);
	struct mf_named_fd fds[9] = { { "control", control[1] }, { "keys", r->k.keys_fd },
		{ "log", r->k.log_fd }, { "handles", r->k.handles_fd },
		{ "kek", nr_memfd("kek", kek, sizeof(kek)) },
		{ "policy", nr_memfd("policy", p, strlen(p)) } };
	size_t n = 6;
	if (r->cloud_n > 0)
		fds[n++] = (struct mf_named_fd) { "cloud", nr_memfd("cloud", r->cloud, r->cloud_n) };
	if (signers != NULL)
		fds[n++] = (struct mf_named_fd) { "signers", nr_memfd("signers", signers->p, signers->n) };
	(void)snprintf(build, sizeof(build), "--build-id=%s", mf_build_id());
	(void)snprintf(boss, sizeof(boss), "--supervisor=%d", (int)getpid());
	(void)snprintf(need, sizeof(need), "--opt=signers_required=%u", required);
	const char *args[] = { build, boss, need, "--opt=trust_domain=" STORE_KIT_TD,
		"--opt=broker_id=" STORE_KIT_BROKER, "--opt=advertise=127.0.0.1:8461", NULL };
	struct mf_spawn how = { .name = "notary", .exe_fd = exe, .fds = fds, .fd_count = n, .args = args };
	how.change_user = geteuid() == 0; /* it does not run as root */
	how.uid = how.gid = NR_UID;
	/* Its log lines go to a file: attempts must be told there. */
	int old = dup(2);
	err_fd = open(r->stderr_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(old >= 0 && err_fd >= 0 && dup2(err_fd, 2) == 2);
	enum mf_status s = mf_spawn_role(&how, &r->pid, &r->pidfd, &err);
	assert_int_equal(dup2(old, 2), 2);
	(void)close(old);
	(void)close(err_fd);
	if (s != MF_OK)
		fail_msg("%s", err.msg);
	(void)close(control[1]);
	(void)close(exe);
	for (size_t i = 4; i < n; i++)
		(void)close(fds[i].fd);
	struct mf_control_msg m;
	do {
		struct pollfd f[2] = { { .fd = mf_seqpacket_fd(r->control), .events = POLLIN },
			{ .fd = r->pidfd, .events = POLLIN } };
		assert_true(poll(f, 2, NR_HANG_MS) > 0);
		s = mf_control_recv(r->control, true, &m, &err);
	} while (s == MF_E_AGAIN);
	if (s != MF_OK)
		fail_msg("the notary does not start; see %s", r->stderr_path);
	assert_int_equal(m.type, MF_CONTROL_READY);
	nr_front(r);
}

/* Told to stop, it must end in order: a violation of its table would be a signal. */
static inline void
nr_stop(struct nrig *r)
{
	int st = 0;
	struct pollfd f = { .fd = r->pidfd, .events = POLLIN };
	assert_int_equal(mf_control_send(r->control, MF_CONTROL_STOP, NULL, -1, NULL), MF_OK);
	assert_true(poll(&f, 1, NR_HANG_MS) > 0);
	assert_int_equal(waitpid(r->pid, &st, 0), r->pid);
	if (!WIFEXITED(st) || WEXITSTATUS(st) != MF_ROLE_EXIT_OK)
		fail_msg("the notary ended with %x; see %s", (unsigned)st, r->stderr_path);
	(void)close(r->pidfd);
	mf_seqpacket_free(r->control);
	mf_seqpacket_free(r->front);
	r->control = r->front = NULL;
	r->pid = 0;
	for (size_t i = 0; i < NR_PEERS; i++)
		nr_peer_gone(&r->peer[i]);
}

/* kill -9; what it told nobody is gone with it. */
static inline void
nr_kill(struct nrig *r)
{
	int st = 0;
	assert_int_equal(kill(r->pid, SIGKILL), 0);
	assert_int_equal(waitpid(r->pid, &st, 0), r->pid);
	(void)close(r->pidfd);
	mf_seqpacket_free(r->control);
	mf_seqpacket_free(r->front);
	r->control = r->front = NULL;
	r->pid = 0;
	for (size_t i = 0; i < NR_PEERS; i++)
		nr_peer_gone(&r->peer[i]);
}

/* How many log lines of the notary have ${text}. */
static inline size_t
nr_told(const struct nrig *r, const char *text)
{
	FILE *f = fopen(r->stderr_path, "r");
	char line[4096];
	size_t n = 0;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, text) != NULL;
	(void)fclose(f);
	return n;
}

/* A token of ${pool} ("" for none); the caller frees. */
static inline char *
nr_token(struct nrig *r, const char *pool)
{
	Mayfly__Roles__V1__AdminCall c = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry
	    a = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__ATTRIBUTES_ENTRY__INIT,
	    *pa = &a;
	a.key = (char *)(uintptr_t) "pool";
	a.value = (char *)(uintptr_t)pool;
	q.n_attributes = pool[0] != '\0';
	q.attributes = &pa;
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN;
	c.create_join_token = &q;
	const Mayfly__Roles__V1__AdminReply *a2 = nr_admin(r, &c);
	if (a2->what_case != MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_JOIN_TOKEN)
		fail_msg("no token: %s", a2->error);
	char *text = strdup(a2->join_token->token);
	assert_non_null(text);
	return text;
}

static inline int
nr_chown(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	MF_UNUSED(st);
	MF_UNUSED(kind);
	return at->level == 0 ? 0 : lchown(path, NR_UID, NR_UID);
}

/* All but its process. */
static inline struct nrig *
nr_prepare(void)
{
	struct nrig *r = calloc(1, sizeof(*r));
	assert_non_null(r);
	mf_store_kit_init(&r->k);
	mf_buf_init(&r->prologue, 1024);
	assert_int_equal(
	    mf_inner_prologue(MF_SLICE_LIT(STORE_KIT_TD), MF_SLICE_LIT(STORE_KIT_BROKER), &r->prologue, NULL),
	    MF_OK);
	(void)snprintf(r->stderr_path, sizeof(r->stderr_path), "%s/stderr", r->k.dir);
	if (geteuid() == 0)
		assert_int_equal(nftw(r->k.dir, nr_chown, 16, FTW_PHYS), 0);
	return r;
}

/* Two nodes: peer 0 in pool gpu, where uid 7 may have profile p; peer 1 in none. Both are ready. */
static inline void
nr_begin_all(struct nrig *r)
{
	nr_start(r, NULL, 0);
	for (size_t i = 0; i < 2; i++) {
		char *token = nr_token(r, i == 0 ? "gpu" : "");
		nr_begin(r, &r->peer[i], "");
		assert_true(nr_join(r, &r->peer[i], token, false));
		free(token);
	}
}

static inline struct nrig *
nr_new(void)
{
	struct nrig *r = nr_prepare();
	nr_begin_all(r);
	return r;
}

static inline void
nr_free(struct nrig *r)
{
	if (r->pid != 0)
		nr_stop(r);
	nr_check_log(r);
	assert_int_equal(nr_told(r, "role.violation") + nr_told(r, "\"event\":\"engine.broken\""), 0);
	for (size_t i = 0; i < NR_PEERS; i++) {
		nr_peer_gone(&r->peer[i]);
		mf_x25519_free(r->peer[i].key);
		mf_pb_free(r->peer[i].down);
	}
	for (size_t i = 0; i < NR_TAPE; i++)
		free(r->tape[i].p);
	for (size_t i = 0; i < r->stated_n; i++)
		free(r->stated[i]);
	mf_pb_free(r->reply);
	mf_buf_fini(&r->prologue);
	mf_store_kit_fini(&r->k);
	free(r);
}
#endif
