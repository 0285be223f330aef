#include "broker/front/front.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/front/front_internal.h"
#include "os/jlog.h"
#include "os/role_start.h"

#define RELINK_MS 60000u
#define STOP_MS 3000u
#define STOP_LOOK_MS 20u
#define STOP_IDLE_MS 500u

static void
leave(struct mf_broker_front *f, int code)
{
	if (f->left)
		return;
	f->left = true;
	f->conf.leave(f->conf.ctx, code);
}

static void
tell_ready(struct mf_broker_front *f)
{
	const char *why = mf_broker_front_not_ready(f);
	bool ready = why == NULL;
	if (ready == f->ready)
		return;
	f->ready = ready;
	MF_LOG(ready ? MF_LOG_INFO : MF_LOG_WARN, ready ? "front.serving" : "front.not_serving",
	    ready ? "the broker issues" : why);
	mf_admin_api_ready(f->admin, ready);
}

/* ---- the link ---- */

static void
on_link_open(void *ctx, uint64_t log_size)
{
	struct mf_broker_front *f = ctx;
	f->links++;
	mf_loop_timer_clear(f->relink);
	MF_LOG(MF_LOG_INFO, "notary.linked", "linked with the notary", mf_ju("log_size", log_size),
	    mf_ju("applied_index", mf_read_model_applied(f->rm)));
	mf_server_cert_begin(f->cert);
}

static void
on_link_gone(void *ctx, bool broken, const char *why)
{
	struct mf_broker_front *f = ctx;
	MF_LOG(f->stopping ? MF_LOG_INFO : MF_LOG_WARN, "notary.gone", "the link to the notary ended",
	    mf_js("error", why), mf_jb("broken", broken));
	f->notary.known = f->notary.issuing = false;
	mf_sessions_link_gone(f->sessions);
	tell_ready(f);
	/* Links are made when a role starts. A dead notary is started again; after a violation only we can ask for it. */
	if (broken)
		leave(f, MF_ROLE_EXIT_FAILED);
	else
		mf_loop_timer_set(f->relink, f->conf.relink_ms);
}

static void
on_relink(void *ctx)
{
	MF_LOG(
	    MF_LOG_ERROR, "notary.no_link", "no link to the notary came: starting over so that one is made");
	leave(ctx, MF_ROLE_EXIT_FAILED);
}

static void
on_session_data(void *ctx, uint64_t sid, bool handshake, struct mf_slice body)
{
	mf_sessions_data(((struct mf_broker_front *)ctx)->sessions, sid, handshake, body);
}

static void
on_session_node(void *ctx, uint64_t sid, const char *node)
{
	mf_sessions_node(((struct mf_broker_front *)ctx)->sessions, sid, node);
}

static void
on_node_out(void *ctx, const char *node)
{
	mf_sessions_node_out(((struct mf_broker_front *)ctx)->sessions, node);
}

static void
on_session_close(void *ctx, uint64_t sid, const char *reason)
{
	mf_sessions_close(((struct mf_broker_front *)ctx)->sessions, sid, reason);
}

static void
on_server_certificate(void *ctx, struct mf_slice chain, int64_t not_after)
{
	struct mf_broker_front *f = ctx;
	struct mf_err err = { 0 };
	uint64_t number;
	struct mf_slice bundle = mf_sessions_bundle(f->sessions, &number);
	if (mf_server_cert_answer(f->cert, chain, not_after, bundle, &err) != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "tls.certificate", "the notary's certificate cannot be used", &err);
	tell_ready(f);
}

static void
on_records(void *ctx, uint64_t first, const struct mf_slice *records, size_t n, uint64_t log_size)
{
	mf_feed_take(((struct mf_broker_front *)ctx)->feed, first, records, n, log_size);
}

static void
on_document(void *ctx, const Mayfly__Agent__V1__Document *doc)
{
	struct mf_broker_front *f = ctx;
	struct mf_err err = { 0 };
	uint64_t number;
	enum mf_status s = mf_sessions_document(f->sessions, doc, &err);
	if (s == MF_OK)
		s = mf_admin_api_bundle(f->admin, mf_sessions_bundle(f->sessions, &number), &err);
	if (s != MF_OK)
		mf_jlog_err(
		    MF_LOG_ERROR, "document.refused", "a document of the notary's cannot be used", &err);
}

static void
on_status(void *ctx, const Mayfly__Roles__V1__NotaryStatus *s)
{
	struct mf_broker_front *f = ctx;
	f->notary.known = true;
	f->notary.issuing = s->issuing;
	(void)snprintf(f->notary.reason, sizeof(f->notary.reason), "%s", s->reason);
	(void)snprintf(f->notary.issuer, sizeof(f->notary.issuer), "%s", s->issuer);
	(void)snprintf(f->notary.issuer_why, sizeof(f->notary.issuer_why), "%s", s->issuer_why);
	f->notary.log_size = s->log_size;
	f->notary.batches = s->batches;
	f->notary.signatures = s->signatures;
	f->notary.sessions = s->sessions;
	f->notary.leases_open = s->leases_open;
	f->notary.issued = s->issued;
	f->notary.refused = s->refused;
	f->notary.cloud_failing = s->cloud_failing;
	f->notary.cloud_unknown = s->cloud_unknown;
	f->notary.cloud_pending = s->cloud_pending;
	f->notary.cloud_late = s->cloud_late;
	tell_ready(f);
}

static void
on_distrusted(void *ctx, const Mayfly__Roles__V1__Distrusted *m)
{
	struct mf_broker_front *f = ctx;
	for (size_t i = 0; i < m->n_key_ids; i++)
		mf_server_cert_distrust(f->cert, mf_slice(m->key_ids[i].data, m->key_ids[i].len));
}

static void
on_room(void *ctx)
{
	mf_sessions_room(((struct mf_broker_front *)ctx)->sessions);
}

static const struct mf_notary_link_ops link_ops = {
	.open = on_link_open,
	.gone = on_link_gone,
	.session_data = on_session_data,
	.session_close = on_session_close,
	.session_node = on_session_node,
	.node_out = on_node_out,
	.server_certificate = on_server_certificate,
	.records = on_records,
	.document = on_document,
	.status = on_status,
	.distrusted = on_distrusted,
	.room = on_room,
};

enum mf_status
mf_broker_front_link(struct mf_broker_front *f, int fd, struct mf_err *err)
{
	uint8_t root[32];
	uint64_t applied = mf_read_model_applied(f->rm);
	mf_read_model_root(f->rm, root);
	mf_feed_begin(f->feed);
	mf_loop_timer_set(f->relink, f->conf.relink_ms);
	return mf_notary_link_connect(f->link, fd, applied, applied == 0 ? NULL : root, err);
}

/* ---- the read model ---- */

static void
on_applied(void *ctx, uint64_t size)
{
	struct mf_broker_front *f = ctx;
	mf_notary_link_log_ack(f->link, size);
	mf_admin_api_applied(f->admin, size);
}

static void
on_stuck(void *ctx, const struct mf_err *err)
{
	mf_jlog_err(MF_LOG_ERROR, "read_model.stuck", "starting over from what is on disk", err);
	leave(ctx, MF_ROLE_EXIT_FAILED);
}

static const struct mf_feed_ops feed_ops = { .applied = on_applied, .stuck = on_stuck };

static enum mf_status
open_tables(struct mf_broker_front *f, struct mf_err *err)
{
	static const char *const how_text[] = { "opened", "made", "could not be read: to be built anew",
		"of another release: to be built anew" };
	enum mf_rm_how how;
	struct mf_err why = { 0 };
	MF_TRY(mf_read_model_open(f->conf.db_dirfd, &f->rm, &how, &why, err));
	MF_LOG(how == MF_RM_REBUILD || how == MF_RM_REBUILD_NEWER ? MF_LOG_WARN : MF_LOG_INFO,
	    "read_model.opened", how_text[how], mf_ju("applied_index", mf_read_model_applied(f->rm)),
	    mf_js("error", why.msg[0] == '\0' ? NULL : why.msg));
	return mf_feed_new(f->loop, f->rm, mf_read_model_applied(f->rm) == 0, &feed_ops, f, &f->feed, err);
}

/* ---- our certificate ---- */

static void
cert_ask(void *ctx, struct mf_slice point)
{
	mf_notary_link_certify_server(((struct mf_broker_front *)ctx)->link, point);
}

static bool
cert_made(void *ctx, const struct mf_slice *chain, size_t n, struct mf_slice key, int64_t not_after)
{
	struct mf_broker_front *f = ctx;
	struct mf_err err = { 0 };
	if (mf_sessions_identity(f->sessions, chain, n, key, &err) != MF_OK ||
	    mf_admin_api_identity(f->admin, chain, n, key, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "tls.identity", "no TLS with this certificate", &err);
		return false;
	}
	MF_LOG(MF_LOG_INFO, "tls.certified", "serving agents with a new certificate",
	    mf_ji("not_after", not_after));
	return true;
}

static const struct mf_server_cert_ops cert_ops = { .ask = cert_ask, .made = cert_made };

/* ---- life ---- */

/* Every connection closed by itself; or no call is left, and what was answered has had time to leave. */
static bool
drained(struct mf_broker_front *f, uint64_t now)
{
	if (mf_sessions_drained(f->sessions) && mf_admin_api_drained(f->admin))
		return true;
	if (f->agents.grpc.open + f->admins.grpc.open + f->remote_admins.grpc.open > 0)
		f->idle_ms = now;
	return now - f->idle_ms >= STOP_IDLE_MS;
}

static void
on_stop_look(void *ctx)
{
	struct mf_broker_front *f = ctx;
	uint64_t now = mf_loop_now(f->loop).mono_ms;
	if (drained(f, now) || now >= f->stop_by_ms)
		leave(f, MF_ROLE_EXIT_OK);
	else
		mf_loop_timer_set(f->stop, STOP_LOOK_MS);
}

void
mf_broker_front_stop(struct mf_broker_front *f)
{
	if (f->stopping) {
		leave(f, MF_ROLE_EXIT_OK);
		return;
	}
	MF_LOG(MF_LOG_INFO, "front.stopping", "draining");
	f->stopping = true;
	f->idle_ms = mf_loop_now(f->loop).mono_ms;
	f->stop_by_ms = f->idle_ms + f->conf.stop_ms;
	mf_sessions_drain(f->sessions);
	mf_admin_api_drain(f->admin);
	mf_loop_timer_set(f->stop, 0);
}

static enum mf_status
make_parts(struct mf_broker_front *f, struct mf_err *err)
{
	const struct mf_broker_front_conf *c = &f->conf;
	MF_TRY(open_tables(f, err));
	MF_TRY(mf_loop_timer_new(f->loop, on_relink, f, &f->relink, err));
	MF_TRY(mf_loop_timer_new(f->loop, on_stop_look, f, &f->stop, err));
	const struct mf_notary_link_conf lc = { .build_id = c->build_id,
		.trust_domain = c->trust_domain,
		.broker_id = c->broker_id,
		.ops = &link_ops,
		.ctx = f };
	MF_TRY(mf_notary_link_new(f->loop, &lc, &f->link, err));
	MF_TRY(mf_server_cert_new(f->loop, &cert_ops, f, &f->cert, err));
	const struct mf_sessions_conf sc = { .fd = c->agents_fd,
		.link = f->link,
		.trust_domain = c->trust_domain,
		.rm = f->rm,
		.peers = c->peers,
		.net = c->agents_net,
		.first_ms = c->first_ms,
		.counters = &f->agents };
	MF_TRY(mf_sessions_new(f->loop, &sc, &f->sessions, err));
	f->conf.agents_fd = -1;
	const struct mf_admin_conf ac = { .fd = c->admin_fd,
		.remote_fd = c->admin_tls_fd,
		.remote_net = c->admin_tls_net,
		.remote_counters = &f->remote_admins,
		.trust_domain = c->trust_domain,
		.broker_id = c->broker_id,
		.release = c->release,
		.uids = c->admin_uids,
		.n_uids = c->n_admin_uids,
		.gid = c->admin_gid,
		.rm = f->rm,
		.feed = f->feed,
		.link = f->link,
		.sessions = f->sessions,
		.counters = &f->admins,
		.ask_login = c->ask_login,
		.ask_ctx = c->ctx,
		.login_ms = c->login_ms,
		.call_ms = c->call_ms };
	MF_TRY(mf_admin_api_new(f->loop, &ac, &f->admin, err));
	f->conf.admin_fd = f->conf.admin_tls_fd = -1;
	MF_TRY(mf_admin_api_access(f->admin, c->admins, err));
	if (c->metrics_fd >= 0)
		MF_TRY(mf_broker_front_pages(f, c->metrics_fd, err));
	f->conf.metrics_fd = -1;
	return MF_OK;
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

void
mf_broker_front_login(struct mf_broker_front *f, uint32_t number, uint32_t uid)
{
	mf_admin_api_login(f->admin, number, uid);
}

enum mf_status
mf_broker_front_admins(struct mf_broker_front *f, struct mf_slice packed, struct mf_err *err)
{
	return mf_admin_api_access(f->admin, packed, err);
}

enum mf_status
mf_broker_front_new(struct mf_loop *l, const struct mf_broker_front_conf *conf,
    struct mf_broker_front **ret_f, struct mf_err *err)
{
	MF_AUTO(mf_broker_front_free) struct mf_broker_front *f = calloc(1, sizeof(*f));
	if (f == NULL) {
		close_fd(conf->agents_fd);
		close_fd(conf->admin_fd);
		close_fd(conf->admin_tls_fd);
		close_fd(conf->metrics_fd);
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	}
	f->loop = l;
	f->conf = *conf;
	f->conf.relink_ms = conf->relink_ms == 0 ? RELINK_MS : conf->relink_ms;
	f->conf.stop_ms = conf->stop_ms == 0 ? STOP_MS : conf->stop_ms;
	MF_TRY(make_parts(f, err));
	mf_loop_timer_set(f->relink, f->conf.relink_ms);
	*ret_f = MF_TAKE(f);
	return MF_OK;
}

void
mf_broker_front_free(struct mf_broker_front *f)
{
	if (f == NULL)
		return;
	mf_http_status_free(f->http);
	mf_admin_api_free(f->admin);
	mf_sessions_free(f->sessions);
	mf_server_cert_free(f->cert);
	mf_notary_link_free(f->link);
	mf_feed_free(f->feed);
	mf_loop_timer_free(f->relink);
	mf_loop_timer_free(f->stop);
	mf_read_model_free(f->rm);
	close_fd(f->conf.agents_fd); /* what no part took */
	close_fd(f->conf.admin_fd);
	close_fd(f->conf.admin_tls_fd);
	close_fd(f->conf.metrics_fd);
	free(f);
}
