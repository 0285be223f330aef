/*
 * An agent front that is owned, against the whole attestor, live processes and a notary that answers: every message in every
 * state, other people's descriptors, made-up handles and numbers, altered and repeated bytes of the session. It never gets
 * the attestor to speak for an instance that no connection has shown, nor to end one that lives.
 */
#include "integration/attestor_runner.h"

#include <sys/mman.h>

#define KEEP MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP

struct foe {
	struct rig *r;
	uint64_t seed;
	pid_t p[4]; /* 0, 1: shown; 2: connected, never shown; 3: never connected */
	int sock[3];
	uint64_t handle[2];
	char key[2][160];
	char *jobs[64]; /* instance keys of jobs that were made at the front's word */
	size_t n_jobs;
	size_t ups, attaches, refused, callers;
};

static uint64_t
rnd(struct foe *f, uint64_t below)
{
	f->seed ^= f->seed << 13;
	f->seed ^= f->seed >> 7;
	f->seed ^= f->seed << 17;
	return (f->seed >> 11) % below;
}

/* --- what comes back --- */

static bool
may_speak_for(const struct foe *f, const char *key)
{
	for (size_t i = 0; i < 2; i++)
		if (strcmp(key, f->key[i]) == 0)
			return true;
	for (size_t i = 0; i < f->n_jobs; i++)
		if (strcmp(key, f->jobs[i]) == 0)
			return true;
	return false;
}

static void
judge(struct foe *f, const Mayfly__Agent__V1__Up *up)
{
	f->ups++;
	switch (up->body_case) {
	case MAYFLY__AGENT__V1__UP__BODY_ATTACH:
		f->attaches++;
		if (!may_speak_for(f, up->attach->instance_key))
			fail_msg("the attestor spoke for %s", up->attach->instance_key);
		send_grant(f->r, up->request_id, "l-1");
		break;
	case MAYFLY__AGENT__V1__UP__BODY_RENEW:
		assert_string_equal(up->renew->lease_id, "l-1");
		send_grant(f->r, up->request_id, "l-1");
		break;
	case MAYFLY__AGENT__V1__UP__BODY_MINT_JWT:
		assert_string_equal(up->mint_jwt->lease_id, "l-1");
		break;
	case MAYFLY__AGENT__V1__UP__BODY_END:
		for (size_t i = 0; i < 2; i++)
			assert_string_not_equal(up->end->instance_key, f->key[i]); /* they live */
		send_end_answer(f->r, up->end->instance_key, true);
		break;
	default:
		break;
	}
}

static void
take(struct foe *f, uint16_t type, const ProtobufCMessage *msg)
{
	const void *m = msg;
	const Mayfly__Roles__V1__Caller *c = m;
	const Mayfly__Roles__V1__JobCreated *j = m;
	if (type == MF_MSG_CALLER) {
		f->callers++;
		f->refused += !c->known;
		assert_true(!c->known || c->handle != 0);
		if (c->known && f->key[1][0] != '\0')
			assert_true(may_speak_for(f, c->instance_key));
	} else if (type == MF_MSG_JOB_CREATED && !j->failed) {
		assert_true(f->n_jobs < MF_COUNT(f->jobs));
		f->jobs[f->n_jobs++] = strdup(j->instance_key);
	} else if (type == MF_MSG_INSTANCE_ENDED) {
		for (size_t i = 0; i < 2; i++)
			assert_true(((const Mayfly__Roles__V1__InstanceEnded *)m)->handle != f->handle[i]);
	} else if (type == MF_MSG_OUTER_DATA_OUT && f->r->inner != NULL) {
		carry(f->r, (const Mayfly__Roles__V1__OuterData *)m);
		if (f->r->up == NULL)
			return;
		judge(f, (const Mayfly__Agent__V1__Up *)f->r->up);
		mf_pb_free(f->r->up);
		f->r->up = NULL;
	}
}

/* All that the attestor has to say for now. The link may end. */
static void
drain(struct foe *f)
{
	struct rig *r = f->r;
	struct mf_attestor_poll want;
	for (unsigned quiet = 0; r->front != NULL && quiet < 3;) {
		struct mf_packet p;
		const struct mf_role_msg *row;
		ProtobufCMessage *msg = NULL;
		turn(r, &want);
		enum mf_status s = mf_seqpacket_recv(r->front, &p, NULL);
		if (s == MF_E_AGAIN) {
			quiet++;
			continue;
		}
		if (s != MF_OK) {
			mf_seqpacket_free(r->front);
			r->front = NULL;
			return;
		}
		quiet = 0;
		unsigned state = p.type == MF_MSG_ATTESTOR_HELLO ? MF_LINK_HELLO : MF_LINK_OPEN;
		assert_int_equal(mf_role_decode(&mf_link_agent, MF_LINK_FRONT, state, p.type, p.payload,
				     false, &row, &msg, NULL),
		    MF_OK);
		take(f, p.type, msg);
		mf_pb_free(msg);
	}
}

/* --- every message, in every state --- */

static bool
allowed(unsigned state, uint16_t type, struct mf_slice payload, bool fd)
{
	const struct mf_role_msg *row;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	if (type == MF_MSG_AGENT_FRONT_HELLO)
		return false; /* of no build, or a second one */
	return mf_role_decode(&mf_link_agent, MF_LINK_INNER, state, type, payload, fd, &row, &msg, NULL) ==
	       MF_OK;
}

static void
sent(struct foe *f, bool opened, uint16_t type, struct mf_slice payload, int fd)
{
	struct rig *r = f->r;
	bool may = allowed(opened ? MF_LINK_OPEN : MF_LINK_HELLO, type, payload, fd >= 0);
	if (opened) {
		front_connect(r);
	} else {
		int fds[2];
		mf_seqpacket_free(r->front);
		assert_int_equal(mf_seqpacket_pair(fds, NULL), MF_OK);
		assert_int_equal(mf_seqpacket_new(fds[0], 1 << 20, &r->front, NULL), MF_OK);
		assert_int_equal(mf_attestor_link(r->a, fds[1], NULL), MF_OK);
	}
	assert_int_equal(mf_seqpacket_send(r->front, type, payload, fd, NULL), MF_OK);
	drain(f);
	if ((r->front != NULL) != may)
		fail_msg("message %u, %zu bytes, %s%s: the link %s", type, payload.n,
		    opened ? "open" : "hello", fd >= 0 ? ", with a descriptor" : "", may ? "ended" : "lives");
}

static void
test_every_message_in_every_state(void **state)
{
	struct foe f = { .r = *state, .seed = 1 };
	static const char junk[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
	static uint8_t big[MF_PACKET_PAYLOAD_MAX];
	for (uint16_t type = 0; type < 96; type++)
		for (unsigned opened = 0; opened < 2; opened++) {
			sent(&f, opened != 0, type, mf_slice(NULL, 0), -1);
			sent(&f, opened != 0, type, mf_slice(junk, sizeof(junk) - 1), -1);
			if (type < 32)
				sent(&f, opened != 0, type, mf_slice(NULL, 0),
				    open("/dev/null", O_RDWR | O_CLOEXEC));
		}
	for (uint16_t type = 1; type < 32; type++)
		sent(&f, true, type, mf_slice(big, sizeof(big)), -1);
	assert_int_equal(f.ups, 0);
	front_connect(f.r);
}

/* --- descriptors that are no caller's --- */

static int
bad_descriptor(struct foe *f, unsigned kind, int keep[2])
{
	int pidfd = -1;
	keep[0] = keep[1] = -1;
	switch (kind) {
	case 0:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 1:
		return memfd_create("x", MFD_CLOEXEC);
	case 2: /* the listening socket itself */
		return dup(f->r->w.listener);
	case 3: /* a socket pair: connected, of no path */
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, keep), 0);
		return dup(keep[0]);
	case 4: /* never connected */
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case 5:
		return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	case 6: /* a process, not a socket */
		assert_int_equal(mf_pidfd_open(f->p[3], &pidfd, NULL), MF_OK);
		return pidfd;
	case 7: /* the link's own other end */
		return dup(mf_seqpacket_fd(f->r->front));
	case 8: /* the far end of a true connection: its peer is whoever listens */
		keep[0] = world_connect(&f->r->w);
		keep[1] = world_accept(&f->r->w);
		return dup(keep[0]);
	default:
		return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	}
}

static void
test_other_peoples_descriptors(void **state)
{
	struct foe f = { .r = *state, .seed = 2 };
	f.p[3] = spawn(connect_and_wait, &f.r->w);
	int waiting = world_accept(&f.r->w);
	for (unsigned kind = 0; kind < 10; kind++) {
		Mayfly__Roles__V1__WhoIs m = MAYFLY__ROLES__V1__WHO_IS__INIT;
		int keep[2];
		m.conn_id = kind + 1;
		front_send(f.r, MF_MSG_WHO_IS, &m.base, bad_descriptor(&f, kind, keep));
		const Mayfly__Roles__V1__Caller *c = expect(f.r, MF_MSG_CALLER);
		if (c->known)
			fail_msg("descriptor %u is taken for a caller", kind);
		assert_true(c->reason[0] != '\0');
		for (unsigned i = 0; i < 2; i++)
			if (keep[i] >= 0)
				(void)close(keep[i]);
	}
	assert_int_equal(count(f.r), 0);
	(void)close(waiting);
	end_child(f.p[3]);
}

/* --- a storm of well-formed messages --- */

static int32_t
some_pid(struct foe *f)
{
	const int32_t all[] = { (int32_t)f->p[0], (int32_t)f->p[1], (int32_t)f->p[2], (int32_t)f->p[3],
		(int32_t)getpid(), 1, 0, -1, INT32_MAX };
	return all[rnd(f, MF_COUNT(all))];
}

static uint64_t
some_handle(struct foe *f)
{
	const uint64_t all[] = { f->handle[0], f->handle[1], f->handle[0] ^ 1, f->handle[1] + 1, 0,
		UINT64_MAX, rnd(f, 64) };
	return all[rnd(f, MF_COUNT(all))];
}

static void
storm_asks(struct foe *f, uint16_t type)
{
	Mayfly__Roles__V1__AttachInstance a = MAYFLY__ROLES__V1__ATTACH_INSTANCE__INIT;
	Mayfly__Roles__V1__RenewInstance n = MAYFLY__ROLES__V1__RENEW_INSTANCE__INIT;
	Mayfly__Roles__V1__MintInstanceJwt j = MAYFLY__ROLES__V1__MINT_INSTANCE_JWT__INIT;
	ProtobufCBinaryData p[6];
	char *audiences[2] = { (char *)(uintptr_t) "one", (char *)(uintptr_t) "two" };
	for (size_t i = 0; i < MF_COUNT(p); i++)
		p[i] = (ProtobufCBinaryData) { rnd(f, 8) == 0 ? rnd(f, 66) : 65, point };
	a.handle = n.handle = j.handle = some_handle(f);
	a.n_points = n.n_points = rnd(f, 4) == 0 ? rnd(f, MF_COUNT(p)) : 1;
	a.points = n.points = p;
	j.mint_id = rnd(f, 100);
	j.spiffe_id = (char *)(uintptr_t) "spiffe://example.org/a";
	j.audiences = audiences;
	j.n_audiences = rnd(f, 3);
	front_send(f->r, type,
	    type == MF_MSG_ATTACH_INSTANCE  ? &a.base
	    : type == MF_MSG_RENEW_INSTANCE ? &n.base
					    : &j.base,
	    -1);
}

static void
storm_runs(struct foe *f, uint16_t type)
{
	Mayfly__Roles__V1__StartJob s = MAYFLY__ROLES__V1__START_JOB__INIT;
	Mayfly__Roles__V1__PlaceChild c = MAYFLY__ROLES__V1__PLACE_CHILD__INIT;
	Mayfly__Roles__V1__RunnerGone g = MAYFLY__ROLES__V1__RUNNER_GONE__INIT;
	s.start_id = c.start_id = g.start_id = rnd(f, 5);
	s.conn_id = rnd(f, 6);
	s.profile = (char *)(uintptr_t) "train";
	s.name = (char *)(uintptr_t) "x";
	c.pid = some_pid(f);
	g.tree_empty = rnd(f, 2) == 0;
	front_send(f->r, type,
	    type == MF_MSG_START_JOB	 ? &s.base
	    : type == MF_MSG_PLACE_CHILD ? &c.base
					 : &g.base,
	    -1);
}

static void
storm_callers(struct foe *f, uint16_t type)
{
	Mayfly__Roles__V1__WhoIs w = MAYFLY__ROLES__V1__WHO_IS__INIT;
	Mayfly__Roles__V1__SenderIs s = MAYFLY__ROLES__V1__SENDER_IS__INIT;
	int keep[2] = { -1, -1 }, fd = -1;
	w.conn_id = s.conn_id = rnd(f, 6);
	s.pid = some_pid(f);
	if (type == MF_MSG_WHO_IS) {
		/* The shown ones again, under any number; and what is nobody. */
		fd = rnd(f, 3) == 0 ? bad_descriptor(f, (unsigned)rnd(f, 8), keep) : dup(f->sock[rnd(f, 2)]);
		front_send(f->r, type, &w.base, fd);
	} else {
		if (rnd(f, 2) == 0)
			assert_int_equal(mf_pidfd_open(f->p[rnd(f, 4)], &fd, NULL), MF_OK);
		front_send(f->r, type, &s.base, fd);
	}
	for (unsigned i = 0; i < 2; i++)
		if (keep[i] >= 0)
			(void)close(keep[i]);
}

static void
storm_step(struct foe *f)
{
	static const uint16_t asks[] = { MF_MSG_ATTACH_INSTANCE, MF_MSG_RENEW_INSTANCE,
		MF_MSG_MINT_INSTANCE_JWT },
			      runs[] = { MF_MSG_START_JOB, MF_MSG_PLACE_CHILD, MF_MSG_RUNNER_GONE },
			      callers[] = { MF_MSG_WHO_IS, MF_MSG_SENDER_IS };
	Mayfly__Roles__V1__ConnGone gone = MAYFLY__ROLES__V1__CONN_GONE__INIT;
	switch (rnd(f, 8)) {
	case 0:
	case 1:
	case 2:
		storm_asks(f, asks[rnd(f, 3)]);
		break;
	case 3:
		if (f->n_jobs < 60)
			storm_runs(f, runs[rnd(f, 3)]);
		break;
	case 4:
		gone.conn_id = 2 + rnd(f, 5); /* 0 and 1 stay */
		front_send(f->r, MF_MSG_CONN_GONE, &gone.base, -1);
		break;
	default:
		storm_callers(f, callers[rnd(f, 2)]);
		break;
	}
	drain(f);
}

static void
foe_init(struct foe *f, struct rig *r, uint64_t seed)
{
	*f = (struct foe) { .r = r, .seed = seed };
	mf_pb_free(r->up); /* the resync, answered */
	r->up = NULL;
	for (size_t i = 0; i < 3; i++) {
		f->p[i] = spawn(connect_and_wait, &r->w);
		f->sock[i] = world_accept(&r->w);
	}
	f->p[3] = spawn((void (*)(void *))pause_for_ever, NULL);
	for (size_t i = 0; i < 2; i++) {
		const Mayfly__Roles__V1__Caller *c = who_is(r, i, dup(f->sock[i]));
		assert_true(c->known);
		f->handle[i] = c->handle;
		(void)snprintf(f->key[i], sizeof(f->key[i]), "%s", c->instance_key);
	}
}

static void
foe_fini(struct foe *f)
{
	for (size_t i = 0; i < 4; i++)
		end_child(f->p[i]);
	for (size_t i = 0; i < 3; i++)
		(void)close(f->sock[i]);
	for (size_t i = 0; i < f->n_jobs; i++)
		free(f->jobs[i]);
}

static void
test_storm(void **state)
{
	struct rig *r = *state;
	struct foe f;
	make_ready(r, true, 0, KEEP);
	foe_init(&f, r, 0x9e3779b97f4a7c15);
	for (unsigned i = 0; i < 1500; i++) {
		storm_step(&f);
		if (r->front == NULL)
			fail_msg("step %u: a message of the table ended the link", i);
	}
	print_message("   %zu statements, %zu attaches; %zu of %zu callers refused\n", f.ups, f.attaches,
	    f.refused, f.callers);
	assert_true(f.attaches > 5 && f.refused > 50);
	/* The front goes; all that was made at its word goes with it, those who live are the same. */
	front_hello(r);
	drain(&f);
	for (size_t i = 0; i < 2; i++) {
		const Mayfly__Roles__V1__Caller *c = who_is(r, i, dup(f.sock[i]));
		assert_true(c->known);
		assert_int_equal(c->handle, f.handle[i]);
	}
	assert_int_equal(count(r), 2);
	foe_fini(&f);
}

int
main(void)
{
	mf_jlog_to(getenv("VERBOSE") ? 2 : open("/dev/null", O_WRONLY | O_CLOEXEC));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_message_in_every_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_peoples_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_storm, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
