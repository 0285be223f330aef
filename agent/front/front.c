#include "agent/front/front.h"

#include <stdlib.h>
#include <unistd.h>

#include "agent/front/front_internal.h"
#include "os/jlog.h"

#define HOLD_MS 5000u
#define REFUSAL_MS 5000u
#define ADOPT_MS 60000u
#define CLOUD_FDS 8192	 /* of 16384: the rest is for the job socket */
#define STOP_LOOK_MS 20u /* while draining */

/* --- the link's messages --- */

static void
link_opened(void *ctx, const Mayfly__Roles__V1__AttestorHello *hello)
{
	struct mf_front *f = ctx;
	MF_LOG(MF_LOG_INFO, "attestor.link_open", "the attestor is there", mf_js("node", hello->node_id));
	mf_jobs_api_set_node(f->jobs, hello->node_id);
	mf_identities_link_opened(f->ids);
	mf_job_conns_link_opened(f->conns);
	if (f->cloud_http != NULL)
		mf_cloud_http_link_opened(f->cloud_http);
	mf_upstream_link_opened(f->upstream);
}

static void
link_closed(void *ctx, const struct mf_err *why)
{
	MF_UNUSED(why);
	struct mf_front *f = ctx;
	f->link_losses++;
	mf_outer_key_session(f->key, false);
	mf_upstream_link_closed(f->upstream);
	mf_jobs_api_link_closed(f->jobs);
	mf_job_conns_link_closed(f->conns);
	mf_identities_link_closed(f->ids);
	mf_jwt_api_link_closed(f->jwts);
	mf_clouds_link_closed(f->clouds);
	if (f->cloud_http != NULL)
		mf_cloud_http_link_closed(f->cloud_http);
}

static void
link_room(void *ctx)
{
	struct mf_front *f = ctx;
	mf_upstream_link_room(f->upstream);
}

static void
on_trust(struct mf_front *f, const Mayfly__Roles__V1__Trust *m)
{
	struct mf_err err = { 0 };
	bool changed = false;
	enum mf_status s = mf_identities_on_trust(f->ids, m, &changed, &err);
	if (s == MF_OK && changed)
		s = mf_outer_trust_set_bundle(f->trust, mf_slice(m->bundle.data, m->bundle.len), &err);
	if (s == MF_OK && changed)
		mf_bundles_set_number(f->bundles, m->number);
	if (s != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "trust.refused", "a bundle was not taken; the old one stays", &err);
	mf_upstream_trust_changed(f->upstream);
	struct mf_distrust d = { .spread_ms = m->spread_ms };
	for (size_t i = 0; s == MF_OK && i < m->n_distrusted; i++)
		s = mf_distrust_add(&d, mf_slice(m->distrusted[i].data, m->distrusted[i].len), &err);
	for (size_t i = 0; s == MF_OK && i < m->n_distrusted_kids; i++)
		s = mf_distrust_add_kid(&d, mf_slice_str(m->distrusted_kids[i]), &err);
	mf_identities_distrust(f->ids, &d);
	mf_jwt_api_distrust(f->jwts, &d);
	mf_outer_key_distrust(f->key, &d);
}

/* A certificate is replaced as soon as the broker answers, whoever asked for it lately; a token is served no more. */
static void
on_svid_ended(struct mf_front *f, const Mayfly__Roles__V1__InstanceSvidEnded *m)
{
	Mayfly__Roles__V1__InstanceHurry h = MAYFLY__ROLES__V1__INSTANCE_HURRY__INIT;
	struct mf_svid_entry *e = mf_svid_cache_by_handle(mf_identities_cache(f->ids), m->handle);
	bool held = false;
	if (e == NULL || e->state != MF_SVID_GRANTED)
		return;
	for (size_t i = 0; i < e->n_identities; i++)
		held |= strcmp(e->identities[i].serial, m->serial) == 0;
	bool token = mf_jwt_cache_end(&e->jwts, m->serial);
	if (held || token)
		MF_LOG(MF_LOG_INFO, held ? "identity.revoked" : "jwt.revoked",
		    held ? "a certificate was revoked: it is being replaced"
			 : "a token was revoked: it is served no more",
		    mf_js("instance", e->key), mf_js("job", e->job.job_id), mf_js("serial", m->serial));
	if (!held)
		return;
	mf_identities_fetched(f->ids, e);
	h.handle = m->handle;
	mf_identities_on_hurry(f->ids, &h);
}

/* The attestor tells each phase; people want to know of changes. */
static void
log_session(struct mf_front *f, bool ready, const char *reason)
{
	bool same_reason = reason[0] == '\0' || strncmp(reason, f->session_reason, MF_SVID_TEXT_MAX) == 0;
	if (f->session_told && f->session_ready == ready && same_reason)
		return;
	f->session_told = true;
	f->session_ready = ready;
	mf_svid_text(f->session_reason, mf_slice_str(reason));
	MF_LOG(MF_LOG_INFO, ready ? "session.ready" : "session.not_ready",
	    ready ? "the broker answers" : "the broker does not answer; what is cached is served on",
	    mf_js("reason", reason));
}

static void
on_session(struct mf_front *f, const Mayfly__Roles__V1__SessionState *m)
{
	log_session(f, m->ready, m->reason);
	if (m->node_id[0] != '\0')
		mf_jobs_api_set_node(f->jobs, m->node_id);
	mf_upstream_session(f->upstream, m->ready);
	mf_outer_key_session(f->key, m->ready);
	mf_identities_session(f->ids, m->ready, m->reason);
	if (m->ready) {
		mf_jwt_api_look(f->jwts);
		mf_clouds_look(f->clouds);
		mf_jobs_explain_look(f->jobs);
	}
}

static void
on_certificate(struct mf_front *f, const Mayfly__Roles__V1__OuterCertificate *m)
{
	struct mf_err err = { 0 };
	if (mf_outer_key_on_certificate(f->key, m, &err) != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "outer.bad_certificate", "a certificate was not taken", &err);
	else
		mf_upstream_certified(f->upstream);
}

static void
on_document(struct mf_front *f, const Mayfly__Roles__V1__TrustDocument *m)
{
	struct mf_err err = { 0 };
	bool changed = false;
	if (mf_bundles_on_document(f->bundles, m, &changed, &err) != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "trust.document", "a document of the broker was not taken", &err);
	if (!changed)
		return;
	mf_jwt_api_bundles_changed(f->jwts);
	mf_workload_api_bundles_changed(f->workload);
}

static void
link_message(void *ctx, uint16_t type, const ProtobufCMessage *msg)
{
	struct mf_front *f = ctx;
	const void *m = msg;
	switch (type) {
	case MF_MSG_CALLER:
		mf_job_conns_on_caller(f->conns, m);
		break;
	case MF_MSG_OUTER_DATA_OUT:
		mf_upstream_on_data(f->upstream, m);
		break;
	case MF_MSG_OUTER_CLOSE_OUT:
		mf_upstream_on_close(f->upstream, m);
		break;
	case MF_MSG_INSTANCE_GRANT:
		mf_identities_on_grant(f->ids, m);
		break;
	case MF_MSG_INSTANCE_REFUSED:
		mf_identities_on_refused(f->ids, m);
		break;
	case MF_MSG_INSTANCE_ENDED:
		mf_job_conns_ended(f->conns, ((const Mayfly__Roles__V1__InstanceEnded *)m)->handle);
		if (f->cloud_http != NULL)
			mf_cloud_http_ended(f->cloud_http, m);
		mf_identities_on_ended(f->ids, m);
		break;
	case MF_MSG_INSTANCE_HURRY:
		mf_identities_on_hurry(f->ids, m);
		break;
	case MF_MSG_INSTANCE_ENDING:
		mf_identities_on_ending(f->ids, m);
		break;
	case MF_MSG_INSTANCE_DEADLINE:
		mf_identities_on_deadline(f->ids, m);
		break;
	case MF_MSG_JOB_CREATED:
		mf_jobs_api_on_created(f->jobs, m);
		break;
	case MF_MSG_JOB_EXPLAINED:
		mf_jobs_api_on_explained(f->jobs, m);
		break;
	case MF_MSG_JOB_PLACED:
		mf_jobs_api_on_placed(f->jobs, m);
		break;
	case MF_MSG_OUTER_CERTIFICATE:
		on_certificate(f, m);
		break;
	case MF_MSG_TRUST:
		on_trust(f, m);
		break;
	case MF_MSG_SESSION_STATE:
		on_session(f, m);
		break;
	case MF_MSG_INSTANCE_JWT:
		mf_jwt_api_on_answer(f->jwts, m);
		break;
	case MF_MSG_INSTANCE_CLOUD:
		mf_clouds_on_answer(f->clouds, m);
		break;
	case MF_MSG_INSTANCE_CLOUD_ENDED:
		mf_clouds_on_ended(f->clouds, m);
		break;
	case MF_MSG_INSTANCE_SVID_ENDED:
		on_svid_ended(f, m);
		break;
	case MF_MSG_PEER_FOUND:
		if (f->cloud_http != NULL)
			mf_cloud_http_on_peer(f->cloud_http, m);
		break;
	case MF_MSG_TRUST_DOCUMENT:
		on_document(f, m);
		break;
	default: /* the table has no other */
		break;
	}
}

static const struct mf_attestor_link_ops link_ops = {
	.opened = link_opened,
	.closed = link_closed,
	.message = link_message,
	.room = link_room,
};

enum mf_status
mf_front_link(struct mf_front *f, int fd, struct mf_err *err)
{
	return mf_attestor_link_attach(f->link, fd, err);
}

/* --- making --- */

static void
resolve(void *ctx, const char *name)
{
	mf_resolve_ask(((struct mf_front *)ctx)->resolve, name);
}

static void
on_resolved(void *ctx, const char *const *addresses, size_t n, const char *why)
{
	mf_upstream_resolved(((struct mf_front *)ctx)->upstream, addresses, n, why);
}

void
mf_front_resolver(struct mf_front *f, int fd)
{
	mf_resolve_link(f->resolve, fd);
}

static enum mf_status
make_clouds(struct mf_front *f, struct mf_err *err)
{
	const struct mf_front_config *c = &f->cfg;
	struct mf_clouds_config clouds = {
		.loop = c->loop, .link = f->link, .ids = f->ids, .refusal_ms = c->refusal_ms
	};
	MF_TRY(mf_clouds_new(&clouds, &f->clouds, err));
	if (!c->cloud)
		return MF_OK;
	struct mf_cloud_http_config http = { .loop = c->loop,
		.link = f->link,
		.ids = f->ids,
		.clouds = f->clouds,
		.fd = c->cloud_fd,
		.diag_fd = c->cloud_diag_fd,
		.key = c->cloud_key,
		.hold_ms = c->cloud_hold_ms,
		.most_fds = CLOUD_FDS };
	return mf_cloud_http_new(&http, &f->cloud_http, err);
}

static enum mf_status
make_parts(struct mf_front *f, struct mf_err *err)
{
	const struct mf_front_config *c = &f->cfg;
	MF_TRY(mf_attestor_link_new(c->loop, c->build_id, &link_ops, f, &f->link, err));
	struct mf_identities_config ids = {
		.loop = c->loop,
		.link = f->link,
		.trust_domain = c->trust_domain,
		.max_instances = c->max_instances,
		.answer_ms = c->answer_ms,
		.refusal_ms = c->refusal_ms,
		.adopt_ms = c->adopt_ms,
	};
	MF_TRY(mf_identities_new(&ids, &f->ids, err));
	struct mf_job_conns_config conns = {
		.loop = c->loop,
		.link = f->link,
		.ids = f->ids,
		.hold_ms = c->hold_ms,
		.denied_ms = c->refusal_ms,
		.per_uid = c->conns_per_uid,
		.no_pidfds = c->no_pidfds,
		.no_known = c->no_known,
	};
	MF_TRY(mf_job_conns_new(&conns, &f->conns, err));
	MF_TRY(mf_bundles_new(c->trust_domain, &f->bundles, err));
	MF_TRY(mf_workload_api_new(f->ids, f->bundles, &f->workload, err));
	struct mf_jwt_api_config jwts = { .loop = c->loop,
		.link = f->link,
		.ids = f->ids,
		.bundles = f->bundles,
		.refusal_ms = c->refusal_ms };
	MF_TRY(mf_jwt_api_new(&jwts, &f->jwts, err));
	MF_TRY(make_clouds(f, err));
	struct mf_jobs_api_config jobs = { .link = f->link,
		.ids = f->ids,
		.bundles = f->bundles,
		.clouds = f->clouds,
		.http = f->cloud_http };
	MF_TRY(mf_jobs_api_new(&jobs, &f->jobs, err));
	MF_TRY(mf_outer_trust_new(c->trust_domain, c->ca_pin, &f->trust, err));
	MF_TRY(mf_outer_key_new(c->loop, f->link, c->trust_domain, &f->key, err));
	struct mf_resolve_config names = { .loop = c->loop,
		.build_id = c->build_id,
		.start = c->start_resolver,
		.start_ctx = c->resolver_ctx,
		.done = on_resolved,
		.ctx = f };
	MF_TRY(mf_resolve_new(&names, &f->resolve, err));
	struct mf_upstream_config up = {
		.loop = c->loop,
		.link = f->link,
		.broker = &c->broker,
		.resolve = resolve,
		.ctx = f,
		.connect_ms = c->connect_ms,
		.retry_ms = c->retry_ms,
		.retry_max_ms = c->retry_max_ms,
		.trust = f->trust,
		.key = f->key,
		.counters = &f->broker_net,
	};
	return mf_upstream_new(&up, &f->upstream, err);
}

static enum mf_status
make_listener(struct mf_front *f, struct mf_err *err)
{
	MF_TRY(mf_grpc_health_new(&f->health, err));
	MF_TRY(mf_grpc_health_set(f->health, "", MF_GRPC_HEALTH_SERVING, err));
	MF_TRY(mf_grpc_health_set(f->health, "SpiffeWorkloadAPI", MF_GRPC_HEALTH_SERVING, err));
	MF_TRY(mf_grpc_reflect_new(f->services, MF_COUNT(f->services), &f->reflect, err));
	f->services[0] = mf_workload_api_service(f->workload);
	f->services[1] = mf_jobs_api_service(f->jobs);
	f->services[2] = mf_grpc_health_service(f->health);
	f->services[3] = mf_jwt_api_service(f->jwts);
	f->services[4] = mf_grpc_reflect_service(f->reflect);
	f->server = (struct mf_grpc_server) {
		.services = f->services,
		.n_services = MF_COUNT(f->services),
		.admit = mf_workload_api_admit,
		.any_authority = true,
		.limits = { .streams = f->cfg.streams_per_conn },
	};
	struct mf_net_listener_config cfg = {
		.fd = f->cfg.workload_fd,
		.take_turns = true,
		.server = &f->server,
		.limits = { .conns_per_peer = f->cfg.conns_per_uid },
		.ops = &mf_job_conn_ops,
		.ctx = f->conns,
		.counters = &f->jobs_net,
	};
	return mf_net_listener_new(f->cfg.loop, &cfg, &f->listener, err);
}

static void on_stop_timer(void *ctx);

enum mf_status
mf_front_new(const struct mf_front_config *cfg, struct mf_front **ret_f, struct mf_err *err)
{
	struct mf_front *f = calloc(1, sizeof(*f));
	if (f == NULL) {
		(void)close(cfg->workload_fd);
		return MF_FAIL(err, MF_E_NOMEM, "agent front: out of memory");
	}
	f->cfg = *cfg;
	if (f->cfg.hold_ms == 0)
		f->cfg.hold_ms = HOLD_MS;
	if (f->cfg.refusal_ms == 0)
		f->cfg.refusal_ms = REFUSAL_MS;
	if (f->cfg.adopt_ms == 0)
		f->cfg.adopt_ms = ADOPT_MS;
	if (f->cfg.conns_per_uid == 0)
		f->cfg.conns_per_uid = MF_FRONT_CONNS_PER_UID;
	if (f->cfg.streams_per_conn == 0)
		f->cfg.streams_per_conn = MF_FRONT_STREAMS;
	mf_front_status_init(f);
	enum mf_status s = make_parts(f, err);
	if (s == MF_OK)
		s = mf_loop_timer_new(cfg->loop, on_stop_timer, f, &f->stop_timer, err);
	if (s == MF_OK)
		s = make_listener(f, err);
	if (s != MF_OK) {
		if (f->listener == NULL)
			(void)close(cfg->workload_fd);
		mf_front_free(f);
		return s;
	}
	*ret_f = f;
	return MF_OK;
}

void
mf_front_free(struct mf_front *f)
{
	if (f == NULL)
		return;
	mf_loop_timer_free(f->stop_timer);
	mf_net_listener_free(f->listener); /* ends calls, then connections */
	mf_grpc_health_free(f->health);
	mf_grpc_reflect_free(f->reflect);
	mf_upstream_free(f->upstream);
	mf_resolve_free(f->resolve);
	mf_outer_key_free(f->key);
	mf_outer_trust_free(f->trust);
	mf_cloud_http_free(f->cloud_http);
	mf_jobs_api_free(f->jobs);
	mf_clouds_free(f->clouds);
	mf_workload_api_free(f->workload);
	mf_jwt_api_free(f->jwts);
	mf_bundles_free(f->bundles);
	mf_job_conns_free(f->conns);
	mf_identities_free(f->ids);
	mf_attestor_link_free(f->link);
	free(f);
}

/* --- stopping --- */

static void
on_stop_timer(void *ctx)
{
	struct mf_front *f = ctx;
	bool empty = mf_net_listener_conns(f->listener) == 0 && mf_upstream_stopped(f->upstream);
	if (f->cloud_http != NULL)
		empty &= mf_cloud_http_idle(f->cloud_http);
	if (empty || mf_loop_now(f->cfg.loop).mono_ms >= f->stop_by)
		f->stopped(f->stopped_ctx);
	else
		mf_loop_timer_set(f->stop_timer, STOP_LOOK_MS);
}

void
mf_front_stop(struct mf_front *f, uint64_t within_ms, void (*done)(void *ctx), void *ctx)
{
	if (f->stopped != NULL)
		return;
	f->stopped = done;
	f->stopped_ctx = ctx;
	f->stop_by = mf_loop_now(f->cfg.loop).mono_ms + within_ms;
	mf_workload_api_shutdown(f->workload);
	mf_jwt_api_shutdown(f->jwts);
	mf_jobs_api_shutdown(f->jobs);
	mf_grpc_health_shutdown(f->health);
	mf_grpc_reflect_shutdown(f->reflect);
	mf_net_listener_drain(f->listener);
	if (f->cloud_http != NULL)
		mf_cloud_http_drain(f->cloud_http);
	mf_upstream_stop(f->upstream);
	mf_loop_timer_set(f->stop_timer, 0);
}
