/*
 * The session value under crashes: the attestor's real files and inner client against the notary's engine. Whatever
 * dies between a value given, stored, confirmed and recorded, the node itself is never taken for a copy; a copy of its
 * state directory always is, and nothing but the copy (or the one that it displaced) is stopped.
 *
 * One seed is one history; MF_SEED=N runs that one alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "agent/attestor/store.h"
#include "engine_rig.h"
#include "os/secure_file.h"

#define CRASHES 1000u
#define SEEDS 8u
#define CLONE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_CLONE
#define EVICTED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_NODE_EVICTED

/* Where something dies. Each is one way through a handshake. */
enum point {
	HELLO_LOST,	   /* before the notary heard of it */
	GIVEN_NOT_DURABLE, /* the notary dies: node.session was appended, perhaps a part of it written */
	WELCOME_LOST,	   /* recorded, but the answer never arrives */
	NOT_STORED,	   /* the attestor dies with the value in its hand */
	TORN,		   /* the same, in the middle of writing the file */
	STORED_NOT_SAID,   /* the attestor dies, the file is there */
	STORED_LOST,	   /* said, but the session was cut */
	STORED_LATE,	   /* said, and arrives when the next session has begun */
	CONFIRM_NOT_DURABLE,
	BOTH_DIE,
	ALL_WELL,
	POINTS
};

struct agent {
	char dir[64];
	int fd;
	unsigned key; /* of the rig */
	struct mf_instances *table;
	struct mf_inner_client *ic;
	uint8_t value[MF_IC_SESSION_VALUE];
	bool have;
	uint64_t sid;
	struct rig *r;
	enum point at; /* what is to go wrong in this handshake */
	bool hello_lost, said;
	uint64_t greeting;
};

struct world {
	struct rig *r;
	uint64_t seed, sids;
	char node[MF_STATE_ID_MAX];
};

static uint64_t
dice(struct world *w, uint64_t n)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed % n;
}

/* ---- the attestor ---- */

static void
on_send(void *ctx, enum mf_ic_what what, uint64_t id, struct mf_instance *const *held, size_t n)
{
	struct agent *a = ctx;
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Hello h = MAYFLY__AGENT__V1__HELLO__INIT;
	Mayfly__Agent__V1__SessionStored stored = MAYFLY__AGENT__V1__SESSION_STORED__INIT;
	Mayfly__Agent__V1__Resync resync = MAYFLY__AGENT__V1__RESYNC__INIT;
	char boot[] = RIG_BOOT;
	(void)held;
	assert_int_equal(n, 0);
	up.request_id = id;
	switch (what) {
	case MF_IC_HELLO:
		if (a->at == HELLO_LOST)
			return;
		h.version_min = h.version_max = MF_IC_VERSION;
		h.boot_id = boot;
		if (a->have)
			h.session_value = (ProtobufCBinaryData) { sizeof(a->value), a->value };
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_HELLO;
		up.hello = &h;
		a->greeting = id;
		break;
	case MF_IC_STORED:
		if (a->at == STORED_NOT_SAID || a->at == STORED_LOST || a->at == STORED_LATE)
			return;
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED;
		up.session_stored = &stored;
		break;
	case MF_IC_RESYNC:
		if (a->at != ALL_WELL)
			return;
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_RESYNC;
		up.resync = &resync;
		break;
	default:
		return;
	}
	uint8_t key[32];
	mf_rig_key(a->key, key);
	mf_engine_up(a->r->e, a->r->now, a->sid, key, &up);
}

static void
no_end(void *ctx, uint64_t id, const struct mf_instance *i)
{
	(void)ctx;
	(void)id;
	(void)i;
}

static enum mf_status
on_store(void *ctx, struct mf_slice value, struct mf_err *err)
{
	struct agent *a = ctx;
	if (a->at == NOT_STORED)
		return MF_FAIL(err, MF_E_IO, "killed");
	if (a->at == TORN) {
		/* As far as the file beside it got: the old one is what the next start reads. */
		int fd = openat(a->fd, ".session.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_int_equal(write(fd, value.p, 5), 5);
		(void)close(fd);
		return MF_FAIL(err, MF_E_IO, "killed");
	}
	MF_TRY(mf_store_write_session(a->fd, value, err));
	memcpy(a->value, value.p, sizeof(a->value));
	a->have = true;
	return MF_OK;
}

static void
no_verdict(void *ctx, struct mf_instance *i, enum mf_ic_verdict v)
{
	(void)ctx;
	(void)i;
	(void)v;
}

static void
no_recorded(void *ctx, struct mf_instance *i)
{
	(void)ctx;
	(void)i;
}

static void
no_lost(void *ctx, enum mf_ic_kind kind, uint64_t tag)
{
	(void)ctx;
	(void)kind;
	(void)tag;
}

static void
no_phase(void *ctx, enum mf_ic_phase p, const char *reason)
{
	(void)ctx;
	(void)p;
	(void)reason;
}

static void
no_close(void *ctx, const char *reason)
{
	(void)ctx;
	(void)reason;
}

static void
no_evicted(void *ctx)
{
	(void)ctx;
}

static const struct mf_ic_ops ops = { .send = on_send,
	.send_end = no_end,
	.store = on_store,
	.verdict = no_verdict,
	.recorded = no_recorded,
	.lost = no_lost,
	.phase = no_phase,
	.close = no_close,
	.evicted = no_evicted };

static void
agent_stop(struct agent *a)
{
	mf_ic_free(a->ic);
	mf_instances_free(a->table);
	a->ic = NULL;
	a->table = NULL;
}

/* A new process: all it knows is on its disk. */
static void
agent_start(struct agent *a)
{
	struct mf_err err = { 0 };
	agent_stop(a);
	memset(a->value, 0, sizeof(a->value));
	if (mf_store_read_session(a->fd, a->value, &a->have, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_int_equal(mf_instances_new(RIG_BOOT, &a->table, NULL), MF_OK);
	assert_int_equal(mf_ic_new(&ops, a, a->table, &a->ic, NULL), MF_OK);
}

static void
agent_init(struct agent *a, struct rig *r, unsigned key)
{
	*a = (struct agent) { .key = key, .r = r };
	(void)snprintf(a->dir, sizeof(a->dir), "/tmp/mayfly-value-XXXXXX");
	assert_non_null(mkdtemp(a->dir));
	a->fd = open(a->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(a->fd >= 0);
	agent_start(a);
}

static void
agent_fini(struct agent *a)
{
	agent_stop(a);
	(void)unlinkat(a->fd, "session", 0);
	(void)unlinkat(a->fd, ".session.new", 0);
	(void)close(a->fd);
	(void)rmdir(a->dir);
}

static void
copy_state(const struct agent *from, struct agent *to)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 64);
	assert_int_equal(mf_file_read(from->fd, "session", &b, NULL), MF_OK);
	assert_int_equal(mf_file_write(to->fd, "session", mf_buf_slice(&b), 0600, NULL), MF_OK);
	agent_start(to);
}

/* ---- one handshake ---- */

static void
say_late(struct agent *a, uint64_t old_sid)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__SessionStored stored = MAYFLY__AGENT__V1__SESSION_STORED__INIT;
	uint8_t key[32];
	mf_rig_key(a->key, key);
	up.request_id = 99;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED;
	up.session_stored = &stored;
	mf_engine_up(a->r->e, a->r->now, old_sid, key, &up);
}

/* The notary dies; of what it appended, some is on disk. */
static void
notary_dies(struct world *w)
{
	struct rig *r = w->r;
	uint64_t left = r->log_n - r->durable;
	if (left > 0) {
		r->durable += dice(w, left + 1);
		mf_engine_durable(r->e, r->now, r->durable);
	}
	mf_rig_crash(r);
}

static void
deliver(struct agent *a, const Mayfly__Agent__V1__Down *d)
{
	const struct mf_ic_welcome in = { .version = d->welcome->version,
		.session_value = mf_slice(d->welcome->session_value.data, d->welcome->session_value.len) };
	enum mf_status s = mf_ic_welcome(a->ic, d->request_id, &in, a->r->now, NULL);
	assert_int_equal(s, a->at == NOT_STORED || a->at == TORN ? MF_E_IO : MF_OK);
}

/* The refusal that the node got, 0 for none. */
static Mayfly__Agent__V1__RefusalCode
handshake(struct world *w, struct agent *a, enum point at)
{
	struct rig *r = w->r;
	a->at = at;
	uint64_t old = a->sid;
	a->sid = ++w->sids;
	mf_rig_advance(r, 2000);
	mf_ic_opened(a->ic, false, r->now);
	if (at == HELLO_LOST)
		return 0;
	if (old != 0 && dice(w, 4) == 0)
		say_late(a, old); /* whatever was still under way of the session before */
	if (at == GIVEN_NOT_DURABLE) {
		notary_dies(w);
		return 0;
	}
	mf_rig_commit(r);
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, a->sid, a->greeting);
	assert_non_null(d);
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL)
		return d->refusal->code;
	if (at == WELCOME_LOST)
		return 0;
	deliver(a, d);
	if (at == CONFIRM_NOT_DURABLE || at == BOTH_DIE)
		notary_dies(w);
	else
		mf_rig_commit(r);
	if (at == NOT_STORED || at == TORN || at == STORED_NOT_SAID || at == BOTH_DIE)
		agent_start(a);
	return 0;
}

static void
begin(struct world *w, struct agent *a, uint64_t seed)
{
	uint8_t value[16];
	*w = (struct world) { .r = mf_rig_new(), .seed = seed * 0x9e3779b97f4a7c15 + 1, .sids = 100 };
	mf_rig_join(w->r, 1, 7, w->node, value);
	agent_init(a, w->r, 7);
	assert_int_equal(mf_store_write_session(a->fd, mf_slice(value, sizeof(value)), NULL), MF_OK);
	agent_start(a);
}

static void
end(struct world *w, struct agent *a)
{
	agent_fini(a);
	mf_rig_free(w->r);
}

/* Copy and original, in whatever order they come: the second one with the old value is stopped, the first goes on. */
static void
copy_is_noticed(struct world *w, struct agent *a)
{
	struct agent copy;
	/* Before the copy is made the node is well: else the value that it holds was perhaps never confirmed. */
	assert_int_equal(handshake(w, a, ALL_WELL), 0);
	agent_init(&copy, w->r, a->key);
	copy_state(a, &copy);
	bool copy_first = dice(w, 2) == 0;
	struct agent *first = copy_first ? &copy : a, *second = copy_first ? a : &copy;
	size_t refused = mf_rig_count(w->r, MF_REC_NODE_REFUSED);
	assert_int_equal(handshake(w, first, ALL_WELL), 0);
	assert_int_equal(handshake(w, second, ALL_WELL), CLONE);
	assert_int_equal(handshake(w, second, ALL_WELL), CLONE); /* and stays so */
	assert_int_equal(mf_rig_count(w->r, MF_REC_NODE_REFUSED), refused + 2);
	assert_int_equal(handshake(w, first, ALL_WELL), 0); /* no more than that is stopped */
	if (copy_first)
		copy_state(&copy, a); /* for the next history */
	agent_fini(&copy);
}

static void
test_no_false_alarm(void **state)
{
	MF_UNUSED(state);
	const char *one = getenv("MF_SEED");
	uint64_t from = one == NULL ? 1 : strtoull(one, NULL, 10);
	uint64_t to = one == NULL ? SEEDS : from;
	for (uint64_t seed = from; seed <= to; seed++) {
		struct world w;
		struct agent a;
		begin(&w, &a, seed);
		unsigned seen[POINTS] = { 0 };
		for (unsigned i = 0; i < CRASHES / SEEDS;) {
			enum point at = (enum point)dice(&w, POINTS);
			seen[at]++;
			i += at != ALL_WELL;
			Mayfly__Agent__V1__RefusalCode code = handshake(&w, &a, at);
			if (code != 0)
				fail_msg("seed %llu, crash %u (point %d): refused with code %d",
				    (unsigned long long)seed, i, (int)at, (int)code);
		}
		for (unsigned p = 0; p < POINTS; p++)
			if (seen[p] == 0)
				fail_msg("seed %llu never came to point %u", (unsigned long long)seed, p);
		assert_int_equal(mf_rig_count(w.r, MF_REC_NODE_REFUSED), 0);
		copy_is_noticed(&w, &a);
		copy_is_noticed(&w, &a);
		char *live = mf_rig_snapshot(mf_engine_state(w.r->e));
		struct mf_state *st = mf_rig_replay(w.r, w.r->log_n);
		char *again = mf_rig_snapshot(st);
		assert_string_equal(live, again);
		free(live);
		free(again);
		mf_state_free(st);
		end(&w, &a);
	}
}

/* ---- put out, and let in again ---- */

static const Mayfly__Roles__V1__AdminReply *
admin(struct rig *r, Mayfly__Roles__V1__AdminCall *call)
{
	call->call_id = 5;
	call->loginuid = UINT32_MAX;
	mf_engine_admin(r->e, r->now, call);
	mf_rig_commit(r);
	return r->reply;
}

static void
evict(struct world *w)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EvictNodeRequest q = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	q.match = w->node;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE;
	call.evict_node = &q;
	assert_int_equal(admin(w->r, &call)->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL);
}

static const Mayfly__Roles__V1__AdminReply *
readmit(struct world *w, const char *node)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ReadmitNodeRequest q = MAYFLY__ADMIN__V1__READMIT_NODE_REQUEST__INIT;
	char id[MF_STATE_ID_MAX], reason[] = "the copy is gone";
	(void)snprintf(id, sizeof(id), "%s", node);
	q.match = id;
	q.reason = reason;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_READMIT_NODE;
	call.readmit_node = &q;
	return admin(w->r, &call);
}

static void
test_readmit(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct agent a, copy;
	char key[256];
	begin(&w, &a, 77);
	struct rig *r = w.r;
	assert_int_equal(handshake(&w, &a, ALL_WELL), 0);
	mf_rig_instance_key(key, w.node, RIG_BOOT, 1);
	uint64_t req = mf_rig_attach(r, a.sid, 7, key, "train", "alice");
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, a.sid, req));
	assert_string_equal(readmit(&w, "n-none")->error_code, mf_status_name(MF_E_NOTFOUND));
	assert_string_equal(readmit(&w, w.node)->error_code, mf_status_name(MF_E_STATE));
	evict(&w);
	assert_int_equal(handshake(&w, &a, ALL_WELL), EVICTED);
	/* Adding access fails closed: not while the log has no room. */
	mf_engine_log_room(r->e, false);
	assert_string_equal(readmit(&w, w.node)->error_code, mf_status_name(MF_E_UNAVAILABLE));
	mf_engine_log_room(r->e, true);
	assert_int_equal(handshake(&w, &a, ALL_WELL), EVICTED);
	const Mayfly__Roles__V1__AdminReply *done = readmit(&w, w.node);
	assert_int_equal(done->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_READMITTED);
	assert_string_equal(done->readmitted->node_id, w.node);
	assert_int_equal(done->readmitted->record_index, r->log_n - 1);
	assert_int_equal(mf_rig_count(r, MF_REC_NODE_READMITTED), 1);
	/* It survives the notary, and what ended stays ended. */
	mf_rig_crash(r);
	assert_int_equal(handshake(&w, &a, ALL_WELL), 0);
	req = mf_rig_attach(r, a.sid, 7, key, "train", "alice");
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, a.sid, req), MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED);
	mf_rig_instance_key(key, w.node, RIG_BOOT, 2);
	req = mf_rig_attach(r, a.sid, 7, key, "train", "alice");
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, a.sid, req));
	/* The cure after a copy came first: whoever was displaced is let in once, the copy is the old one then. */
	agent_init(&copy, r, 7);
	copy_state(&a, &copy);
	assert_int_equal(handshake(&w, &copy, ALL_WELL), 0);
	assert_int_equal(handshake(&w, &a, ALL_WELL), CLONE);
	evict(&w);
	(void)readmit(&w, w.node);
	assert_int_equal(handshake(&w, &a, ALL_WELL), 0);
	assert_int_equal(handshake(&w, &copy, ALL_WELL), CLONE);
	assert_int_equal(handshake(&w, &a, ALL_WELL), 0);
	/* Let in once means: until it has stored what it was given. */
	evict(&w);
	(void)readmit(&w, w.node);
	assert_int_equal(handshake(&w, &a, NOT_STORED), 0);
	assert_int_equal(handshake(&w, &a, NOT_STORED), 0);
	assert_int_equal(handshake(&w, &a, ALL_WELL), 0);
	agent_fini(&copy);
	end(&w, &a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_false_alarm),
		cmocka_unit_test(test_readmit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
