/* The notary's process: one state thread around the engine, the crew, the committer and the link to the front. */
#include "broker/notary/notary_internal.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "broker/notary/notary_cloud.h"
#include "broker/notary/policy_file.h"
#include "broker/notary/publish.h"
#include "crypto/hash.h"
#include "crypto/inner.h"
#include "os/jlog.h"
#include "os/secure_file.h"

#define TICK_MS 250u
#define STATUS_MS 2000u
#define MAX_SESSIONS 20000u
#define MAX_PENDING 16384u
#define BACKDATE_S 30u
#define REMOVAL_TURN_MS 1000u
#define LOG_HELD_MS 10000u
#define LOG_HELD_EVERY_MS 50
#define HERE_TURNS 8u
#define LINKS 6u /* that the loop waits for, beside the verifiers */

/* ---- what the front says ---- */

static void
front_hello(void *ctx, uint64_t applied_index)
{
	struct mf_notary *n = ctx;
	n->last_status_ms = 0; /* it is ready when it knows that we issue: say so at once */
	if (applied_index <= n->durable)
		return;
	/* Somebody put back an older log: the read model has seen more than there is. */
	MF_LOG(MF_LOG_ERROR, "log.shorter",
	    "the log is shorter than what the read model has applied: an older copy was restored. Bring back "
	    "the newest "
	    "log, or record the loss with 'mayfly audit accept-rollback'",
	    mf_ju("log_size", n->durable), mf_ju("applied_index", applied_index));
	n->failed = true;
	n->exit_code = MF_ROLE_EXIT_REFUSED;
}

static void
front_open(void *ctx, uint64_t outer)
{
	struct mf_notary *n = ctx;
	if (!mf_sids_open(n->sids, outer))
		mf_front_link_session_close(n->front, outer, "too many sessions");
}

static void
front_data(void *ctx, uint64_t outer, bool handshake, struct mf_slice body)
{
	struct mf_notary *n = ctx;
	uint64_t sid = mf_sids_inner(n->sids, outer);
	if (sid == 0)
		return; /* closed on our side: the front will hear of it, or has */
	mf_crew_data(n->crew, sid, handshake, body);
	uint32_t early = handshake ? mf_sids_begin(n->sids, sid) : 0;
	if (early > 0)
		mf_crew_credit(n->crew, sid, early);
}

static void
front_credit(void *ctx, uint64_t outer, uint32_t chunks)
{
	struct mf_notary *n = ctx;
	uint64_t sid = mf_sids_inner(n->sids, outer);
	if (sid != 0 && !mf_sids_keep_credit(n->sids, sid, chunks))
		mf_crew_credit(n->crew, sid, chunks);
}

static void
front_close(void *ctx, uint64_t outer)
{
	struct mf_notary *n = ctx;
	uint64_t sid = mf_sids_inner(n->sids, outer);
	if (sid == 0)
		return;
	mf_sids_close(n->sids, sid);
	mf_crew_close(n->crew, sid, false);
	mf_engine_session_gone(n->engine, mf_now(), sid);
}

static void
front_admin(void *ctx, const Mayfly__Roles__V1__AdminCall *call)
{
	mf_approvals_call(((struct mf_notary *)ctx)->approvals, call);
}

static void
front_certify(void *ctx, struct mf_slice point)
{
	mf_engine_certify_server(((struct mf_notary *)ctx)->engine, mf_now(), point);
}

static void
front_gone(void *ctx, const char *why)
{
	struct mf_notary *n = ctx;
	MF_LOG(MF_LOG_WARN, "front.gone", why);
	/* Its sessions went with it; the agents come again through the next front. */
	mf_sids_close_all(n->sids);
	mf_engine_all_sessions_gone(n->engine, mf_now());
	mf_crew_close_all(n->crew);
}

static const struct mf_front_ops front_ops = {
	.hello = front_hello,
	.session_open = front_open,
	.session_data = front_data,
	.session_credit = front_credit,
	.session_close = front_close,
	.admin_call = front_admin,
	.certify_server = front_certify,
	.gone = front_gone,
};

/* ---- what the threads say ---- */

/* Of a session that is over on the front's side, whatever the threads still had in hand is forgotten. */
static void
session_event(struct mf_notary *n, const struct mf_crew_event *ev)
{
	uint64_t outer;
	if (!mf_sids_outer(n->sids, ev->sid, &outer))
		return;
	switch (ev->kind) {
	case MF_CREW_UP:
		mf_engine_session_begun(n->engine, ev->sid, ev->remote, ev->hash);
		mf_engine_up(n->engine, mf_now(), ev->sid, ev->remote, ev->up);
		break;
	case MF_CREW_HANDSHAKE:
	case MF_CREW_SEALED:
		mf_front_link_session_data(
		    n->front, outer, ev->kind == MF_CREW_HANDSHAKE, mf_buf_slice(&ev->bytes));
		break;
	case MF_CREW_DEAD:
		mf_sids_close(n->sids, ev->sid);
		mf_engine_session_gone(n->engine, mf_now(), ev->sid);
		mf_front_link_session_close(n->front, outer, ev->reason);
		break;
	default: /* of no session */
		break;
	}
}

static void
crew_event(struct mf_notary *n, struct mf_crew_event *ev)
{
	struct mf_sign_result res = { .ticket = ev->ticket, .ok = ev->ok, .chain = mf_buf_slice(&ev->bytes) };
	if (ev->kind == MF_CREW_SIGNED) {
		memcpy(res.der_sha256, ev->der_sha256, sizeof(res.der_sha256));
		mf_engine_signed(n->engine, mf_now(), &res);
	} else if (ev->kind == MF_CREW_CHECKED) {
		mf_approvals_checked(n->approvals, ev->job);
	} else if (ev->kind == MF_CREW_JWT) {
		mf_engine_jwt_signed(n->engine, mf_now(), ev->ticket, mf_buf_slice(&ev->bytes));
	} else if (ev->kind == MF_CREW_DONE) {
		if (!mf_oidc_files_done(n->oidc, n->crew, ev->arg) &&
		    !mf_assertions_done(n->assertions, n->engine, mf_now(), ev->arg))
			mf_key_files_done(n->key_files, n->crew, n->engine, ev->arg);
	} else {
		session_event(n, ev);
	}
	mf_crew_event_free(ev);
}

static void
commit_event(struct mf_notary *n, struct mf_commit_event *ev)
{
	switch (ev->kind) {
	case MF_COMMIT_DURABLE:
		n->durable = ev->size;
		mf_engine_durable(n->engine, mf_now(), ev->size);
		mf_front_link_durable(n->front, ev->size);
		break;
	case MF_COMMIT_ROOM:
		mf_engine_log_room(n->engine, ev->room);
		break;
	case MF_COMMIT_SNAPSHOT:
		MF_LOG(MF_LOG_INFO, "snapshot.written", "snapshot written", mf_ju("size", ev->size));
		mf_engine_snapshot_written(n->engine, mf_now(), ev->size, ev->sha256);
		break;
	case MF_COMMIT_FAILED:
		/* Nothing that waits is answered: what is on disk decides, after a restart. */
		mf_jlog_err(MF_LOG_ERROR, "log.failed", "the log cannot be written: starting over", &ev->err);
		n->failed = true;
		n->exit_code = 1;
		break;
	}
	free(ev);
}

static void
drain_boxes(struct mf_notary *n)
{
	struct mf_list todo;
	mf_list_init(&todo);
	(void)mf_mailbox_take(n->commit_box, &todo);
	MF_LIST_EACH(p, &todo)
	{
		mf_list_del(p);
		struct mf_commit_event *ev = MF_LIST_ITEM(p, struct mf_commit_event, at);
		n->failed ? free(ev) : commit_event(n, ev);
	}
	(void)mf_mailbox_take(n->crew_box, &todo);
	MF_LIST_EACH(p, &todo)
	{
		mf_list_del(p);
		struct mf_crew_event *ev = MF_LIST_ITEM(p, struct mf_crew_event, at);
		n->failed ? mf_crew_event_free(ev) : crew_event(n, ev);
	}
}

static void
control(struct mf_notary *n)
{
	struct mf_control_msg m;
	struct mf_err err = { 0 };
	for (;;) {
		enum mf_status s = mf_role_next(n->role, &m, &err);
		if (s == MF_E_AGAIN)
			return;
		if (s != MF_OK || m.type == MF_CONTROL_STOP) {
			n->stopping = true;
			return;
		}
		if (m.type == MF_CONTROL_LINK && strcmp(m.text, "broker-front") == 0) {
			if (mf_front_link_connect(n->front, m.fd, n->durable, &err) != MF_OK)
				mf_jlog_err(MF_LOG_ERROR, "front.link", "the link could not be taken", &err);
		} else if (m.type == MF_CONTROL_LINK && strcmp(m.text, "courier") == 0) {
			if (mf_courier_link_connect(n->courier, m.fd, &err) != MF_OK)
				mf_jlog_err(
				    MF_LOG_ERROR, "courier.link", "the link could not be taken", &err);
		} else if (mf_evidence_control(n->evidence, &m)) {
			continue;
		} else if (m.type == MF_CONTROL_RELOAD && mf_key_files_reload(n->key_files, m.text, m.fd)) {
			continue;
		} else if (m.type == MF_CONTROL_RELOAD && strcmp(m.text, "cloud") == 0) {
			if (mf_notary_cloud_load(n->engine, m.fd, &err) != MF_OK)
				mf_jlog_err(
				    MF_LOG_ERROR, "cloud.rejected", "the cloud targets in force stay", &err);
			(void)close(m.fd);
		} else if (m.type == MF_CONTROL_RELOAD && strcmp(m.text, "policy") == 0) {
			mf_policy_file_again(n->engine, n->conf.policy_name, m.fd);
		} else if (m.type == MF_CONTROL_RELOAD && strcmp(m.text, "signers") == 0) {
			mf_approvals_reload(n->approvals, m.fd);
		} else if (m.type == MF_CONTROL_RELOAD && strcmp(m.text, "foreign") == 0) {
			if (mf_publish_foreign(n->engine, n->front, n->conf.trust_domain, m.fd, &err) !=
			    MF_OK)
				mf_jlog_err(MF_LOG_ERROR, "foreign.rejected",
				    "the foreign bundles in force stay", &err);
			(void)close(m.fd);
		} else if (m.fd >= 0) {
			(void)close(m.fd);
		}
	}
}

/* ---- start ---- */

static void
verified(void *ctx, uint64_t ticket, const Mayfly__Roles__V1__Verified *said, const char *why)
{
	mf_engine_verified(((struct mf_notary *)ctx)->engine, mf_now(), ticket, said, why);
}

static enum mf_status
open_engine(struct mf_notary *n, struct mf_store_opened *o, struct mf_err *err)
{
	struct mf_engine_conf c = {
		.trust_domain = n->conf.trust_domain,
		.broker_id = n->conf.broker_id,
		.origin = mf_buf_cstr(&n->origin),
		.release = n->conf.release,
		.address = n->conf.address,
		.policy_path = n->conf.policy_name,
		.lease_ttl_ms = n->conf.lease_ttl_ms,
		.heartbeat_ms = n->conf.heartbeat_ms,
		.manager_wait_ms = n->conf.manager_wait_ms,
		.node_ttl_s = n->conf.node_ttl_ms / 1000,
		.server_ttl_s = n->conf.node_ttl_ms / 1000,
		.backdate_s = BACKDATE_S,
		.ca = n->conf.ca,
		.rand = mf_rand_pooled(&n->random),
		.watch_issuer = n->conf.oidc_watch ? n->conf.oidc_issuer : NULL,
		.max_pending = MAX_PENDING,
		.attest = mf_evidence_conf(n->evidence),
	};
	MF_TRY(mf_key_files_first(n->key_files, o->state, c.first, &c.first_n, err));
	mf_x25519_public(n->keys->inner, c.inner_public);
	MF_TRY(mf_engine_new(&c, &mf_notary_engine_ops, n, o->state, &n->engine, err));
	o->state = NULL;
	return MF_OK;
}

/*
 * A broker that was killed may not be gone when the next one starts: on a busy disk its notary has the log's lock until a sync in the
 * kernel is through. Who gave up at once would leave nobody who serves.
 */
static enum mf_status
open_store(struct mf_notary *n, const struct mf_store_conf *sc, struct mf_store_opened *o, struct mf_err *err)
{
	uint64_t began = mf_now().mono_ms;
	bool said = false;
	for (;;) {
		enum mf_status s = mf_store_open(sc, &n->hook, o, err);
		if (s != MF_E_STATE || mf_now().mono_ms - began >= LOG_HELD_MS)
			return s;
		if (!said)
			mf_jlog_err(MF_LOG_WARN, "log.held", "waiting for the log, ten seconds at most", err);
		said = true;
		(void)poll(NULL, 0, LOG_HELD_EVERY_MS);
	}
}

static enum mf_status
open_log(struct mf_notary *n, struct mf_store_opened *o, struct mf_err *err)
{
	uint8_t pub[MF_ED25519_KEY_SIZE];
	mf_ed25519_public(n->keys->log, pub);
	MF_TRY(mf_log_origin_of(
	    n->conf.log_dirfd, n->conf.trust_domain, n->conf.broker_id, n->keys->log, &n->origin, err));
	MF_TRY(mf_note_key_init(mf_buf_slice(&n->origin), pub, &n->note_key, err));
	struct mf_store_conf sc = {
		.log_dirfd = n->conf.log_dirfd, .segment = n->conf.segment_bytes, .key = &n->note_key
	};
	MF_TRY(open_store(n, &sc, o, err));
	if (strcmp(mf_state_origin(o->state), n->note_key.name) != 0)
		return MF_FAIL(err, MF_E_CORRUPT,
		    "log/vkey names %s, the log's records %s: put back the log directory from a backup",
		    n->note_key.name, mf_state_origin(o->state));
	MF_LOG(MF_LOG_INFO, "log.opened", "log opened", mf_ju("size", mf_state_size(o->state)),
	    mf_ju("from_snapshot", o->from_snapshot), mf_ju("replayed", o->replayed),
	    mf_ju("truncated_bytes", o->truncated_bytes));
	n->durable = mf_state_size(o->state);
	n->wal_dirfd = openat(n->conf.log_dirfd, "wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return n->wal_dirfd < 0 ? MF_FAIL(err, MF_E_IO, "log/wal cannot be opened") : MF_OK;
}

static void
oidc_written(void *ctx, uint64_t number)
{
	mf_engine_oidc_written(((struct mf_notary *)ctx)->engine, number);
}

static void
issuer_fetched(void *ctx, const Mayfly__Roles__V1__CloudFetchResult *r)
{
	mf_engine_issuer_fetched(((struct mf_notary *)ctx)->engine, mf_now(), r);
}

static enum mf_status
start_threads(struct mf_notary *n, struct mf_store_opened *o, struct mf_err *err)
{
	MF_TRY(mf_sids_new(MAX_SESSIONS, &n->sids, err));
	MF_TRY(mf_mailbox_new(true, &n->crew_box, err));
	MF_TRY(mf_mailbox_new(true, &n->commit_box, err));
	MF_TRY(mf_inner_prologue(
	    mf_slice_str(n->conf.trust_domain), mf_slice_str(n->conf.broker_id), &n->prologue, err));
	struct mf_committer_conf cc = { .log_dirfd = n->conf.log_dirfd,
		.origin = mf_buf_slice(&n->origin),
		.key = n->keys->log,
		.last_signed = o->has_head ? &o->signed_head : NULL,
		.inbox = n->commit_box };
	/* A full disk is known before the first record. */
	mf_engine_log_room(n->engine, mf_wal_make_room(o->wal, NULL) == MF_OK);
	MF_TRY(mf_committer_new(&cc, o->wal, &n->committer, err));
	o->wal = NULL;
	n->hook.ctx = n->committer;
	n->hook.on_rollover = mf_committer_rollover;
	struct mf_crew_conf wc = { .threads = n->conf.threads,
		.inner = n->keys->inner,
		.prologue = mf_buf_slice(&n->prologue),
		.max_sessions = MAX_SESSIONS,
		.inbox = n->crew_box };
	MF_TRY(mf_crew_new(&wc, &n->crew, err));
	MF_TRY(mf_key_files_load(n->key_files, n->engine, n->crew, err));
	struct mf_front_link_conf fc = { .build_id = n->conf.build_id,
		.broker_id = n->conf.broker_id,
		.trust_domain = n->conf.trust_domain,
		.wal_dirfd = n->wal_dirfd,
		.ops = &front_ops,
		.ctx = n };
	const struct mf_oidc_docs_conf oc = { n->conf.oidc_issuer, n->conf.oidc_x5c_issuer,
		mf_buf_slice(&n->origin), n->keys->log };
	MF_TRY(mf_oidc_files_new(&oc, n->conf.public_dirfd, oidc_written, n, &n->oidc, err));
	MF_TRY(mf_courier_link_new(n->conf.build_id, &n->courier, err));
	mf_courier_link_on_fetched(n->courier, issuer_fetched, n);
	mf_courier_link_on_minted(n->courier, &mf_notary_mints, n);
	MF_TRY(mf_assertions_new(&n->assertions, err));
	MF_TRY(mf_handles_new(
	    n->conf.handles_dirfd, n->conf.broker_id, n->conf.kek, &mf_notary_handles, n, &n->handles, err));
	return mf_front_link_new(&fc, &n->front, err);
}

static void
redo(void *ctx, struct mf_slice what)
{
	mf_engine_redo_removal(((struct mf_notary *)ctx)->engine, mf_now(), what);
}

static void
new_boot(char to[37])
{
	uint8_t r[10];
	mf_rand_bytes(r, sizeof(r));
	mf_uuid7(mf_now().wall_us, r, to);
}

enum mf_status
mf_notary_new(const struct mf_notary_conf *conf, struct mf_role *role, struct mf_broker_keys *keys,
    struct mf_notary **ret_n, struct mf_err *err)
{
	MF_AUTO(mf_notary_free) struct mf_notary *n = calloc(1, sizeof(*n));
	struct mf_store_opened o = { 0 };
	char boot[37];
	if (n == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "notary: out of memory");
	n->conf = *conf;
	n->role = role;
	n->wal_dirfd = -1;
	mf_buf_init(&n->origin, 1024);
	mf_buf_init(&n->prologue, 1024);
	n->keys = keys;
	const struct mf_ca_key_conf kc = { conf->trust_domain, conf->broker_id, conf->kek, conf->keys_dirfd };
	enum mf_status s = mf_key_files_new(&kc, &conf->upstream, keys->jwt, &n->key_files, err);
	if (s == MF_OK)
		s = open_log(n, &o, err);
	if (s == MF_OK && conf->node_ca_fd >= 0)
		s = mf_evidence_new(role, conf->build_id, conf->node_ca_fd, conf->node_attributes, verified,
		    n, &n->evidence, err);
	if (s == MF_OK)
		s = open_engine(n, &o, err);
	if (s == MF_OK)
		s = start_threads(n, &o, err);
	mf_state_free(o.state);
	mf_wal_free(o.wal);
	if (s == MF_OK)
		s = mf_removals_new(conf->removals_fd, &n->removals, err);
	if (s != MF_OK) {
		n->keys = NULL; /* stay the caller's */
		return s;
	}
	new_boot(boot);
	mf_engine_start(n->engine, mf_now(), boot);
	mf_key_files_orphans(n->key_files, mf_engine_state(n->engine));
	mf_handles_sweep(n->handles, mf_engine_state(n->engine));
	if (o.truncated_bytes > 0)
		mf_engine_recovered(n->engine, mf_now(), o.truncated_bytes);
	mf_removals_each(n->removals, redo, n);
	/* Somebody else's broken file must not keep our own jobs from their identities: it counts as no trust. */
	struct mf_err why = { 0 };
	if (mf_publish_foreign(n->engine, n->front, conf->trust_domain, conf->foreign_fd, &why) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "foreign.rejected", "no foreign trust domain is known", &why);
		(void)!mf_publish_foreign(n->engine, n->front, conf->trust_domain, -1, NULL);
	}
	s = mf_approvals_new(conf->signers_required, mf_buf_cstr(&n->origin), conf->signers_fd, n->crew,
	    n->engine, &n->approvals, err);
	if (s == MF_OK)
		s = mf_notary_cloud_load(n->engine, conf->cloud_fd, err);
	if (s == MF_OK)
		s = mf_policy_file_load(n->engine, conf->policy_name, conf->policy_fd, err);
	if (s != MF_OK)
		n->keys = NULL;
	else
		*ret_n = MF_TAKE(n);
	return s;
}

void
mf_notary_free(struct mf_notary *n)
{
	if (n == NULL)
		return;
	mf_approvals_free(n->approvals);
	mf_crew_free(n->crew);
	mf_committer_free(n->committer);
	n->failed = true; /* what is left in the boxes is freed, not done */
	if (n->commit_box != NULL && n->crew_box != NULL)
		drain_boxes(n);
	mf_mailbox_free(n->commit_box);
	mf_mailbox_free(n->crew_box);
	mf_front_link_free(n->front);
	mf_courier_link_free(n->courier);
	mf_assertions_free(n->assertions);
	mf_handles_free(n->handles);
	mf_oidc_files_free(n->oidc);
	mf_engine_free(n->engine);
	mf_evidence_free(n->evidence);
	mf_key_files_free(n->key_files);
	mf_removals_free(n->removals);
	mf_sids_free(n->sids);
	mf_broker_keys_free(n->keys);
	mf_buf_fini(&n->origin);
	mf_buf_fini(&n->prologue);
	if (n->wal_dirfd >= 0)
		(void)close(n->wal_dirfd);
	free(n);
}

/* ---- the loop ---- */

static void
say_status(struct mf_notary *n, struct mf_now now)
{
	if (now.mono_ms - n->last_status_ms < STATUS_MS)
		return;
	n->last_status_ms = now.mono_ms;
	struct mf_engine_status st = mf_engine_status(n->engine, now);
	mf_front_link_say_status(n->front, &st, n->durable, mf_committer_stats(n->committer).batches,
	    mf_state_leases_open(mf_engine_state(n->engine)));
}

/*
 * At the end of a turn the committer gets what was recorded in it, unless all of that still waits for a signature: then
 * decision and certificate are one frame and one sync. A signer answers in any case; ${now}: not even for that.
 */
static void
push_log(struct mf_notary *n, bool now)
{
	uint64_t from;
	if (mf_committer_holds(n->committer, &from) && (now || !mf_engine_log_may_wait(n->engine, from)))
		mf_committer_push(n->committer);
}

/* Everything that was accepted is written and answered before the end, within reason. */
static void
finish(struct mf_notary *n)
{
	uint64_t until = mf_now().mono_ms + REMOVAL_TURN_MS;
	mf_engine_stop(n->engine, mf_now());
	mf_crew_push(n->crew);
	push_log(n, true);
	while (!n->failed && n->durable < mf_state_size(mf_engine_state(n->engine)) &&
	       mf_now().mono_ms < until) {
		struct pollfd p = { mf_mailbox_fd(n->commit_box), POLLIN, 0 };
		(void)poll(&p, 1, 50);
		drain_boxes(n);
		mf_crew_push(n->crew);
		push_log(n, true);
	}
	mf_front_link_write(n->front);
}

/* What one request asks of the crew, one task after the other, when there is no other request. */
static void
work_here(struct mf_notary *n)
{
	for (unsigned i = 0; i < HERE_TURNS && !n->failed && mf_crew_here(n->crew); i++)
		drain_boxes(n);
}

int
mf_notary_run(struct mf_notary *n)
{
	mf_crew_push(n->crew);
	push_log(n, true);
	while (!n->stopping && !n->failed) {
		struct pollfd p[LINKS + MF_VERIFIERS_RUN] = {
			{ mf_role_control_fd(n->role), POLLIN, 0 },
			{ mf_mailbox_fd(n->commit_box), POLLIN, 0 },
			{ mf_mailbox_fd(n->crew_box), POLLIN, 0 },
			{ mf_front_link_fd(n->front), POLLIN, 0 },
			{ mf_courier_link_fd(n->courier), POLLIN, 0 },
			{ mf_handles_fd(n->handles), POLLIN, 0 },
		};
		if (mf_courier_link_wants_write(n->courier))
			p[4].events |= POLLOUT;
		if (mf_front_link_wants_write(n->front))
			p[3].events |= POLLOUT;
		(void)poll(p, LINKS + mf_evidence_poll(n->evidence, p + LINKS), TICK_MS);
		drain_boxes(n);
		if (n->failed)
			break;
		if (p[0].revents != 0)
			control(n);
		if (p[3].revents & (POLLIN | POLLHUP | POLLERR) && mf_front_link_fd(n->front) == p[3].fd)
			mf_front_link_read(n->front);
		if (p[4].revents != 0 && mf_courier_link_fd(n->courier) == p[4].fd)
			mf_courier_link_read(n->courier);
		struct mf_now now = mf_now();
		mf_handles_turn(n->handles, now);
		mf_evidence_turn(n->evidence, now);
		bool tick = now.mono_ms - n->last_tick_ms >= TICK_MS;
		if (tick) {
			n->last_tick_ms = now.mono_ms;
			mf_engine_tick(n->engine, now);
			mf_oidc_files_turn(n->oidc, n->crew);
		}
		work_here(n);
		mf_crew_push(n->crew);
		push_log(n, tick);
		say_status(n, now);
		mf_front_link_write(n->front);
		mf_courier_link_write(n->courier);
	}
	if (!n->failed)
		finish(n);
	return n->exit_code;
}
