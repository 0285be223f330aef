/*
 * The notary in the simulation: engine, crew, committer, store, session numbers, kept removals and approvals are the
 * product's; what broker/notary/notary.c does around them with descriptors is done here with events. Workers and committer
 * take their turns when an event says so, and what they say waits for an event of its own.
 */
#include "sim_notary.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/keys/broker_keys.h"
#include "crypto/inner.h"
#include "sim_cloud.h"
#include "sim_observer.h"

static void start(void *arg, uint64_t x);

void
sim_notary_enter(struct sim_notary *n)
{
	sim->host = &n->host;
	sim->agent = NULL;
}

struct mf_now
sim_notary_now(const struct sim_notary *n)
{
	return sim_now_of(&n->host);
}

/* ---- what the threads say ---- */

static void
session_event(struct sim_notary *n, const struct mf_crew_event *ev)
{
	uint64_t outer;
	if (!mf_sids_outer(n->sids, ev->sid, &outer))
		return;
	switch (ev->kind) {
	case MF_CREW_UP:
		sim_saw_up(ev->sid, sim_net_agent(outer), ev->up);
		mf_engine_session_begun(n->engine, ev->sid, ev->remote, ev->hash);
		mf_engine_up(n->engine, sim_notary_now(n), ev->sid, ev->remote, ev->up);
		break;
	case MF_CREW_HANDSHAKE:
	case MF_CREW_SEALED:
		sim_net_down(outer, ev->kind == MF_CREW_HANDSHAKE, mf_buf_slice(&ev->bytes));
		break;
	case MF_CREW_DEAD:
		sim_trace("session %llu is dead: %s", (unsigned long long)ev->sid, ev->reason);
		mf_sids_close(n->sids, ev->sid);
		sim_saw_session_gone(ev->sid);
		mf_engine_session_gone(n->engine, sim_notary_now(n), ev->sid);
		sim_net_hang_up(outer, false);
		break;
	default:
		break;
	}
}

static void
crew_event(struct sim_notary *n, struct mf_crew_event *ev)
{
	struct mf_sign_result res = { .ticket = ev->ticket, .ok = ev->ok, .chain = mf_buf_slice(&ev->bytes) };
	if (ev->kind == MF_CREW_SIGNED) {
		memcpy(res.der_sha256, ev->der_sha256, sizeof(res.der_sha256));
		mf_engine_signed(n->engine, sim_notary_now(n), &res);
	} else if (ev->kind == MF_CREW_CHECKED) {
		mf_approvals_checked(n->approvals, ev->job);
	} else if (ev->kind == MF_CREW_DONE) {
		if (!mf_assertions_done(n->assertions, n->engine, sim_notary_now(n), ev->arg))
			sim_abort("an errand of nobody");
	} else if (ev->kind == MF_CREW_JWT) {
		mf_engine_jwt_signed(n->engine, sim_notary_now(n), ev->ticket, mf_buf_slice(&ev->bytes));
	} else {
		session_event(n, ev);
	}
	mf_crew_event_free(ev);
}

static void
commit_event(struct sim_notary *n, struct mf_commit_event *ev)
{
	switch (ev->kind) {
	case MF_COMMIT_DURABLE:
		sim_heads_durable(n, ev->size);
		mf_engine_durable(n->engine, sim_notary_now(n), ev->size);
		break;
	case MF_COMMIT_ROOM:
		sim_trace("the log has %s", ev->room ? "room" : "no room");
		mf_engine_log_room(n->engine, ev->room);
		break;
	case MF_COMMIT_SNAPSHOT:
		sim_trace("snapshot of %llu records", (unsigned long long)ev->size);
		mf_engine_snapshot_written(n->engine, sim_notary_now(n), ev->size, ev->sha256);
		break;
	case MF_COMMIT_FAILED:
		sim_trace("the log cannot be written: %s", ev->err.msg);
		n->failed = true;
		break;
	}
	free(ev);
}

static void
drop_boxes(struct sim_notary *n)
{
	struct mf_list todo;
	mf_list_init(&todo);
	(void)mf_mailbox_take(n->commit_box, &todo);
	MF_LIST_EACH(p, &todo)
	free(MF_LIST_ITEM(p, struct mf_commit_event, at));
	mf_list_init(&todo);
	(void)mf_mailbox_take(n->crew_box, &todo);
	MF_LIST_EACH(p, &todo)
	mf_crew_event_free(MF_LIST_ITEM(p, struct mf_crew_event, at));
}

/*
 * After whatever was done: a notary that cannot go on exits; and what may wait for its threads is planned, if there was
 * ${something}.
 */
static void
after(struct sim_notary *n, bool something)
{
	if (n->failed && n->engine != NULL)
		sim_notary_crash(n, n->power_armed);
	else if (something)
		sim_notary_kick(n);
}

static void
read_crew(void *arg, uint64_t x)
{
	struct sim_notary *n = arg;
	struct mf_list todo;
	MF_UNUSED(x);
	sim_notary_enter(n);
	n->crew_box_due = false;
	mf_list_init(&todo);
	bool some = mf_mailbox_take(n->crew_box, &todo);
	MF_LIST_EACH(p, &todo)
	{
		mf_list_del(p);
		struct mf_crew_event *ev = MF_LIST_ITEM(p, struct mf_crew_event, at);
		n->failed ? mf_crew_event_free(ev) : crew_event(n, ev);
	}
	after(n, some);
}

static void
read_commit(void *arg, uint64_t x)
{
	struct sim_notary *n = arg;
	struct mf_list todo;
	MF_UNUSED(x);
	sim_notary_enter(n);
	n->commit_box_due = false;
	mf_list_init(&todo);
	bool some = mf_mailbox_take(n->commit_box, &todo);
	MF_LIST_EACH(p, &todo)
	{
		mf_list_del(p);
		struct mf_commit_event *ev = MF_LIST_ITEM(p, struct mf_commit_event, at);
		n->failed ? free(ev) : commit_event(n, ev);
	}
	after(n, some);
}

/* ---- turns of the threads ---- */

static uint64_t
soon(void)
{
	return sim_one_in(100) ? sim_between(1, 200) * SIM_MS : sim_between(10, 600);
}

static void
worker(void *arg, uint64_t i)
{
	struct sim_notary *n = arg;
	sim_notary_enter(n);
	n->worker_due[i] = false;
	mf_crew_turn(n->crew, (size_t)i);
	if (!n->crew_box_due)
		sim_after(soon(), read_crew, n, 0, &n->life);
	n->crew_box_due = true;
}

static void
commit(void *arg, uint64_t x)
{
	struct sim_notary *n = arg;
	MF_UNUSED(x);
	sim_notary_enter(n);
	n->commit_due = false;
	mf_committer_turn(n->committer);
	sim_heads_check(n);
	if (!n->commit_box_due)
		sim_after(soon(), read_commit, n, 0, &n->life);
	n->commit_box_due = true;
}

void
sim_notary_kick(struct sim_notary *n)
{
	uint64_t from;
	/* As the process does at the end of a turn. */
	if (mf_committer_holds(n->committer, &from) && !mf_engine_log_may_wait(n->engine, from))
		mf_committer_push(n->committer);
	uint64_t sync = sim->t_us < n->slow_until_us ? n->slow_us : sim_between(100, 3000);
	for (size_t i = 0; i < WORKERS; i++) {
		if (!n->worker_due[i])
			sim_after(soon(), worker, n, i, &n->life);
		n->worker_due[i] = true;
	}
	if (!n->commit_due)
		sim_after(sync, commit, n, 0, &n->life);
	n->commit_due = true;
}

static void
tick(void *arg, uint64_t x)
{
	struct sim_notary *n = arg;
	MF_UNUSED(x);
	sim_notary_enter(n);
	mf_engine_tick(n->engine, sim_notary_now(n));
	mf_committer_push(n->committer);
	sim_after(TICK_MS * SIM_MS, tick, n, 0, &n->life);
	after(n, true);
}

/* ---- start ---- */

static enum mf_status
first_record(struct sim_notary *n, struct mf_buf *to, struct mf_err *err)
{
	struct mf_record r = { .type = MF_REC_LOG_OPENED, .ts_us = sim_notary_now(n).wall_us };
	mf_record_set_str(&r, MF_RS_ID, "00000000-0000-7000-8000-000000000001");
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "operator");
	mf_record_set_str(&r, MF_RS_BROKER, SIM_BROKER);
	mf_record_set_str(&r, MF_RS_BOOT, "init");
	mf_record_set_str(&r, MF_RS_ORIGIN, mf_buf_cstr(&n->origin));
	mf_record_set_str(&r, MF_RS_TRUST_DOMAIN, SIM_TD);
	mf_record_set_str(&r, MF_RS_CA_SHA256, "00");
	mf_record_set_str(&r, MF_RS_INNER, "00");
	mf_record_set_str(&r, MF_RS_VKEY, "v");
	return mf_record_encode(&r, to, err);
}

/* What `mayfly-broker init` does. */
static enum mf_status
init_log(struct sim_notary *n, struct mf_err *err)
{
	const struct mf_log_io *io = sim_disk_io(n->disk);
	MF_AUTO(mf_wal_free) struct mf_wal *wal = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf record;
	struct mf_wal_opts o = {
		.io = io, .segment = SEGMENT, .tail_reserve = SEGMENT / 8, .reserve = SEGMENT / 4
	};
	uint64_t first;
	mf_buf_init(&record, MF_LIM_RECORD);
	MF_TRY(first_record(n, &record, err));
	int fd = io->open(io->ctx, SIM_LOG_DIR, "wal", O_RDONLY | O_DIRECTORY, 0);
	enum mf_status s = mf_wal_open(fd, &o, &wal, NULL, err);
	if (s == MF_OK) {
		struct mf_slice one = mf_buf_slice(&record);
		s = mf_wal_append_batch(wal, &one, 1, MF_WAL_NORMAL, &first, err);
	}
	(void)io->close(io->ctx, fd);
	return s;
}

static enum mf_status
make_engine(struct sim_notary *n, struct mf_store_opened *o, struct mf_err *err)
{
	struct mf_engine_conf c = { .trust_domain = SIM_TD,
		.broker_id = SIM_BROKER,
		.origin = mf_buf_cstr(&n->origin),
		.release = "sim",
		.address = "127.0.0.1:8461",
		.lease_ttl_ms = LEASE_TTL_MS,
		.heartbeat_ms = HEARTBEAT_MS,
		.manager_wait_ms = 60000,
		.node_ttl_s = 120,
		.server_ttl_s = 120,
		.backdate_s = 30,
		.first = { { .use = mf_key_use_find(MF_SLICE_LIT(MF_KEY_USE_X509)),
			       .id = n->first->id,
			       .certificate = mf_buf_slice(&n->first->certificate),
			       .anchor = mf_buf_slice(&n->first->anchor),
			       .nbf = n->first->not_before_s,
			       .exp = n->first->not_after_s },
		    { .use = mf_key_use_find(MF_SLICE_LIT(MF_KEY_USE_JWT_ES256)),
			.id = n->first_kid,
			.jwk = mf_buf_slice(&n->first_jwk) },
		    { .use = mf_key_use_find(MF_SLICE_LIT(MF_KEY_USE_ASSERTION_RS256)),
			.id = n->assertion_kid,
			.jwk = mf_buf_slice(&n->assertion_jwk) } },
		.first_n = sim->clouded ? 3 : 2,
		.ca = { .ttl_s = SIM_CA_TTL_S,
		    .publish_s = 30,
		    .scheduled = true,
		    .prepare_before_s = SIM_CA_TTL_S - 120,
		    .activate_before_s = SIM_CA_TTL_S - 180 },
		.rand = mf_rand_system(),
		.max_pending = 256 };
	mf_x25519_public(n->inner, c.inner_public);
	MF_TRY(mf_engine_new(&c, &sim_engine_ops, n, o->state, &n->engine, err));
	o->state = NULL;
	mf_engine_log_room(n->engine, mf_wal_make_room(o->wal, NULL) == MF_OK);
	return MF_OK;
}

static enum mf_status
make_threads(struct sim_notary *n, struct mf_store_opened *o, struct mf_err *err)
{
	struct mf_committer_conf cc = { .log_dirfd = SIM_LOG_DIR,
		.origin = mf_buf_slice(&n->origin),
		.key = n->log,
		.last_signed = o->has_head ? &o->signed_head : NULL,
		.inbox = n->commit_box,
		.io = sim_disk_io(n->disk),
		.by_hand = true };
	struct mf_crew_conf wc = { .threads = WORKERS,
		.inner = n->inner,
		.prologue = mf_buf_slice(&n->prologue),
		.max_sessions = 256,
		.inbox = n->crew_box,
		.by_hand = true };
	MF_TRY(mf_committer_new(&cc, o->wal, &n->committer, err));
	o->wal = NULL;
	n->hook.ctx = n->committer;
	n->hook.on_rollover = mf_committer_rollover;
	MF_TRY(mf_crew_new(&wc, &n->crew, err));
	for (size_t i = 0; i < KEYS; i++)
		if (n->ca[i] != NULL)
			MF_TRY(mf_crew_add_key(n->crew, SIM_TD, n->ca[i], err));
	MF_TRY(mf_crew_add_key(n->crew, SIM_TD, n->first, err));
	MF_TRY(mf_removals_new(dup(n->memfd), &n->removals, err));
	MF_TRY(mf_assertions_new(&n->assertions, err));
	return mf_sids_new(256, &n->sids, err);
}

static void
redo(void *ctx, struct mf_slice what)
{
	struct sim_notary *n = ctx;
	sim_trace("does again: %.*s", (int)what.n, (const char *)what.p);
	mf_engine_redo_removal(n->engine, sim_notary_now(n), what);
}

static enum mf_status
open_all(struct sim_notary *n, struct mf_err *err)
{
	const struct mf_store_conf sc = {
		.io = sim_disk_io(n->disk), .log_dirfd = SIM_LOG_DIR, .segment = SEGMENT, .key = &n->note
	};
	struct mf_store_opened o = { 0 };
	uint8_t random[10];
	char boot[37];
	n->hook = (struct mf_store_hook) { 0 };
	if (!n->began)
		MF_TRY(init_log(n, err));
	n->began = true;
	MF_TRY(mf_store_open(&sc, &n->hook, &o, err));
	sim_trace("notary starts: %llu records, %llu from a snapshot, %llu bytes torn",
	    (unsigned long long)mf_state_size(o.state), (unsigned long long)o.from_snapshot,
	    (unsigned long long)o.truncated_bytes);
	sim_saw_notary_start(n->power_armed, mf_state_size(o.state));
	n->power_armed = false;
	enum mf_status s = make_engine(n, &o, err);
	if (s == MF_OK)
		s = make_threads(n, &o, err);
	mf_state_free(o.state);
	mf_wal_free(o.wal);
	MF_TRY(s);
	mf_rand_bytes(random, sizeof(random));
	mf_uuid7(sim_notary_now(n).wall_us, random, boot);
	mf_engine_start(n->engine, sim_notary_now(n), boot);
	if (n->restoring)
		sim_saw_restored_start();
	n->restoring = false;
	if (o.truncated_bytes > 0)
		mf_engine_recovered(n->engine, sim_notary_now(n), o.truncated_bytes);
	mf_removals_each(n->removals, redo, n);
	sim_cloud_start(n);
	MF_TRY(mf_approvals_new(sim_operators_required(), mf_buf_cstr(&n->origin), SIM_SIGNERS_FD, n->crew,
	    n->engine, &n->approvals, err));
	sim_notary_policy(n, n->policy);
	return MF_OK;
}

static void
close_all(struct sim_notary *n)
{
	mf_approvals_free(n->approvals);
	mf_crew_free(n->crew);
	mf_assertions_free(n->assertions);
	mf_committer_free(n->committer);
	drop_boxes(n);
	mf_engine_free(n->engine);
	mf_removals_free(n->removals);
	mf_sids_free(n->sids);
	n->approvals = NULL;
	n->crew = NULL;
	n->assertions = NULL;
	n->committer = NULL;
	n->engine = NULL;
	n->removals = NULL;
	n->sids = NULL;
	for (size_t i = 0; i < WORKERS; i++)
		n->worker_due[i] = false;
	n->unsigned_us = 0; /* what a crash left unsigned is signed soon after the start */
	n->commit_due = n->crew_box_due = n->commit_box_due = n->failed = false;
}

static void
start(void *arg, uint64_t x)
{
	struct sim_notary *n = arg;
	struct mf_err err = { 0 };
	MF_UNUSED(x);
	sim_notary_enter(n);
	enum mf_status s = open_all(n, &err);
	if (s != MF_OK) {
		close_all(n);
		sim_disk_exit(n->disk);
		sim_trace("notary does not start: %s", err.msg);
		if (s != MF_E_EXHAUSTED && s != MF_E_IO) {
			sim_violated(7, "the log that a crash left is not opened: %s", err.msg);
			return;
		}
		sim_after(SIM_S, start, n, 0, &n->life);
		return;
	}
	sim_after(TICK_MS * SIM_MS, tick, n, 0, &n->life);
	after(n, true);
}

/* ---- from outside ---- */

struct sim_notary *
sim_notary_new(void)
{
	struct sim_notary *n = sim_alloc(sizeof(*n));
	struct mf_err err = { 0 };
	uint8_t pub[MF_ED25519_KEY_SIZE];
	n->host = (struct sim_host) { .name = "broker",
		.drift_ppm = (int64_t)sim_between(0, 200) - 100,
		.base_ms = sim_between(1000, 1000000) };
	sim->host = &n->host;
	n->disk = sim_disk_new(sim->seed);
	n->memfd = memfd_create("removals", MFD_CLOEXEC);
	mf_buf_init(&n->origin, 1024);
	mf_buf_init(&n->prologue, 1024);
	mf_buf_init(&n->bundle, MF_LIM_BUNDLE_DER);
	mf_buf_init(&n->jwt_bundle, MF_LIM_DOCUMENT);
	mf_log_origin(SIM_TD, SIM_BROKER, &n->origin);
	int64_t now_s = sim_notary_now(n).wall_us / 1000000;
	if (n->memfd < 0 || mf_mailbox_new(false, &n->crew_box, &err) != MF_OK ||
	    mf_mailbox_new(false, &n->commit_box, &err) != MF_OK ||
	    mf_inner_prologue(mf_slice_str(SIM_TD), mf_slice_str(SIM_BROKER), &n->prologue, &err) != MF_OK ||
	    mf_x25519_generate(NULL, &n->inner, &err) != MF_OK ||
	    mf_ed25519_generate(NULL, &n->log, &err) != MF_OK ||
	    mf_jws_key_generate(MF_JWS_ES256, &n->jwt[0], &err) != MF_OK ||
	    mf_ca_key_make(SIM_TD, now_s - 60, now_s + SIM_CA_TTL_S, &n->first, &err) != MF_OK)
		sim_abort("notary: %s", err.msg);
	mf_buf_init(&n->first_jwk, 1024);
	mf_jws_key_put_jwk(n->jwt[0], &n->first_jwk);
	(void)snprintf(n->first_kid, sizeof(n->first_kid), "%s", mf_jws_key_kid(n->jwt[0]));
	mf_buf_init(&n->assertion_jwk, 1024);
	if (sim->clouded && mf_jws_key_generate(MF_JWS_ES256, &n->jwt[1], &err) != MF_OK)
		sim_abort("notary: %s", err.msg);
	if (sim->clouded) {
		mf_jws_key_put_jwk(n->jwt[1], &n->assertion_jwk);
		(void)snprintf(n->assertion_kid, sizeof(n->assertion_kid), "%s", mf_jws_key_kid(n->jwt[1]));
	}
	mf_ed25519_public(n->log, pub);
	if (mf_note_key_init(mf_buf_slice(&n->origin), pub, &n->note, &err) != MF_OK)
		sim_abort("notary: %s", err.msg);
	sim_after(1, start, n, 0, &n->life);
	sim_restore_plan(n);
	return n;
}

void
sim_notary_free(struct sim_notary *n)
{
	if (n == NULL)
		return;
	n->life++;
	close_all(n);
	mf_mailbox_free(n->crew_box);
	mf_mailbox_free(n->commit_box);
	for (size_t i = 0; i < KEYS; i++)
		mf_ca_key_free(n->ca[i]);
	mf_ca_key_free(n->first);
	for (size_t i = 0; i < KEYS; i++)
		mf_jws_key_free(n->jwt[i]);
	mf_buf_fini(&n->first_jwk);
	mf_buf_fini(&n->assertion_jwk);
	mf_x25519_free(n->inner);
	mf_ed25519_free(n->log);
	mf_buf_fini(&n->origin);
	mf_buf_fini(&n->prologue);
	mf_buf_fini(&n->bundle);
	mf_buf_fini(&n->jwt_bundle);
	sim_disk_free(n->disk);
	(void)close(n->memfd);
	free(n);
}

void
sim_notary_crash(struct sim_notary *n, bool power)
{
	if (n->engine == NULL)
		return;			 /* down already */
	power = power || n->power_armed; /* it was about to go */
	sim_trace(power ? "the broker's machine is cut from its power" : "notary is killed");
	sim_notary_enter(n);
	*(power ? &sim_counts.powers : &sim_counts.crashes) += 1;
	n->life++;
	close_all(n);
	n->power_armed = power;
	if (power) {
		sim_disk_power(n->disk);
		(void)close(n->memfd); /* its supervisor went with it */
		n->memfd = memfd_create("removals", MFD_CLOEXEC);
	} else {
		sim_disk_exit(n->disk);
	}
	sim_operators_notary_gone();
	sim_courier_notary_gone();
	sim_net_notary_gone();
	sim_after(sim_between(50, 5000) * SIM_MS, start, n, 0, &n->life);
}

void
sim_notary_origin(struct mf_buf *to)
{
	mf_buf_put_slice(to, mf_buf_slice(&sim->notary->origin));
}

bool
sim_notary_up(const struct sim_notary *n)
{
	return n->engine != NULL;
}

struct mf_engine *
sim_notary_engine(struct sim_notary *n)
{
	return n->engine;
}

struct sim_disk *
sim_notary_disk(struct sim_notary *n)
{
	return n->disk;
}

struct sim_host *
sim_notary_host(struct sim_notary *n)
{
	return &n->host;
}

void
sim_notary_slow(struct sim_notary *n, uint64_t us)
{
	n->slow_us = sim_between(20, 6000) * SIM_MS;
	n->slow_until_us = sim->t_us + us;
	sim_heads_excuse(us + 10 * SIM_S);
}

void
sim_notary_trouble(struct sim_notary *n, bool power)
{
	sim_heads_excuse(5 * SIM_S);
	n->power_armed = n->power_armed || power; /* an earlier one may have struck, unnoticed yet */
	sim_disk_trouble(n->disk, n->power_armed);
}

void
sim_notary_settle(struct sim_notary *n)
{
	if (n->power_armed)
		sim_notary_crash(n, true);
}

void
sim_notary_admin(struct sim_notary *n, const Mayfly__Roles__V1__AdminCall *call)
{
	sim_notary_enter(n);
	mf_approvals_call(n->approvals, call);
	after(n, true);
}

void
sim_notary_policy(struct sim_notary *n, unsigned version)
{
	char hex[65];
	n->policy = version;
	if (n->engine == NULL)
		return;
	sim_notary_enter(n);
	(void)snprintf(hex, sizeof(hex), "%064x", version + 1);
	sim_saw_policy(version);
	mf_engine_policy(n->engine, sim_notary_now(n), sim_policy_make(version), hex);
	sim_notary_kick(n);
}

struct mf_slice
sim_notary_bundle(uint64_t *ret_number)
{
	*ret_number = sim->notary->bundle_number;
	return mf_buf_slice(&sim->notary->bundle);
}

/* ---- the front's words ---- */

void
sim_notary_open(uint64_t outer)
{
	struct sim_notary *n = sim->notary;
	sim_notary_enter(n);
	if (!mf_sids_open(n->sids, outer))
		sim_net_hang_up(outer, false);
}

void
sim_notary_data(uint64_t outer, bool handshake, struct mf_slice body)
{
	struct sim_notary *n = sim->notary;
	sim_notary_enter(n);
	uint64_t sid = mf_sids_inner(n->sids, outer);
	if (sid == 0)
		return;
	mf_crew_data(n->crew, sid, handshake, body);
	uint32_t early = handshake ? mf_sids_begin(n->sids, sid) : 0;
	if (early > 0)
		mf_crew_credit(n->crew, sid, early);
	sim_notary_kick(n);
}

void
sim_notary_credit(uint64_t outer, uint32_t chunks)
{
	struct sim_notary *n = sim->notary;
	sim_notary_enter(n);
	uint64_t sid = mf_sids_inner(n->sids, outer);
	if (sid != 0 && !mf_sids_keep_credit(n->sids, sid, chunks))
		mf_crew_credit(n->crew, sid, chunks);
	sim_notary_kick(n);
}

void
sim_notary_close(uint64_t outer)
{
	struct sim_notary *n = sim->notary;
	if (n->engine == NULL)
		return;
	sim_notary_enter(n);
	uint64_t sid = mf_sids_inner(n->sids, outer);
	if (sid == 0)
		return;
	mf_sids_close(n->sids, sid);
	mf_crew_close(n->crew, sid, false);
	sim_saw_session_gone(sid);
	mf_engine_session_gone(n->engine, sim_notary_now(n), sid);
	sim_notary_kick(n);
}

void
sim_notary_front_gone(void)
{
	struct sim_notary *n = sim->notary;
	sim_notary_enter(n);
	sim_trace("the broker's front is killed");
	sim_counts.crashes++;
	mf_sids_close_all(n->sids);
	mf_engine_all_sessions_gone(n->engine, sim_notary_now(n));
	mf_crew_close_all(n->crew);
	sim_notary_kick(n);
}
