/* /metrics (OpenMetrics text), /healthz, /readyz. */
#include "broker/front/front_internal.h"
#include "net/net_metrics.h"

#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define PLAIN "text/plain; charset=utf-8"

const char *
mf_broker_front_not_ready(const struct mf_broker_front *f)
{
	if (f->stopping)
		return "stopping";
	if (!mf_notary_link_open(f->link))
		return "no link to the notary";
	if (mf_server_cert_not_after(f->cert) == 0)
		return "no server certificate yet";
	if (!f->notary.known)
		return "the notary has not said whether it issues";
	if (!f->notary.issuing)
		return f->notary.reason[0] == '\0' ? "the notary does not issue" : f->notary.reason;
	return NULL;
}

static bool
issuer_is(const struct mf_broker_front *f, const char *sight)
{
	return f->notary.known && strcmp(f->notary.issuer, sight) == 0;
}

static bool
issuer_is_bad(const struct mf_broker_front *f)
{
	return issuer_is(f, "foreign") || issuer_is(f, "stale") || issuer_is(f, "away");
}

/* ---- metrics ---- */

struct metric {
	const char *name, *help;
	uint64_t v;
	bool gauge;
};

static void
put_metric(struct mf_buf *to, const struct metric *m)
{
	mf_buf_putf(to, "# HELP %s %s\n# TYPE %s %s\n%s%s %llu\n", m->name, m->help, m->name,
	    m->gauge ? "gauge" : "counter", m->name, m->gauge ? "" : "_total", (unsigned long long)m->v);
}

static void
put_metrics(struct mf_buf *to, const struct metric *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_metric(to, &m[i]);
}

static void
put_net(const struct mf_broker_front *f, struct mf_buf *to)
{
	const struct mf_net_metrics_item of[] = { { "agents", &f->agents }, { "admin", &f->admins },
		{ "admin_tls", &f->remote_admins } };
	mf_net_metrics_put(to, "mayfly", of, MF_COUNT(of));
}

static void
put_agents(const struct mf_broker_front *f, struct mf_buf *to)
{
	struct mf_sessions_stats s = mf_sessions_stats(f->sessions);
	const struct metric m[] = {
		{ "mayfly_sessions", "Session streams of agents.", s.sessions, true },
		{ "mayfly_sessions_opened", "Session streams opened.", s.opened, false },
		{ "mayfly_sessions_bad_frames", "Sessions ended for a bad frame.", s.bad_frames, false },
		{ "mayfly_sessions_paused", "Times a session was paused for the notary.", s.paused, false },
		{ "mayfly_frames_up", "Frames from agents to the notary.", s.frames_up, false },
		{ "mayfly_frames_down", "Frames from the notary to agents.", s.frames_down, false },
		{ "mayfly_bytes_up", "Bytes of these frames.", s.bytes_up, false },
		{ "mayfly_bytes_down", "Bytes of these frames.", s.bytes_down, false },
		{ "mayfly_nodes_connected", "Nodes with a certificate that are connected.", s.peers.nodes,
		    true },
		{ "mayfly_lane_connections", "Connections without certificate.", s.peers.joining, true },
		{ "mayfly_lane_joined", "Connections without certificate admitted.", s.peers.joined_lane,
		    false },
		{ "mayfly_lane_refused", "Connections refused because the lane was full.",
		    s.peers.refused_lane, false },
		{ "mayfly_certificates_refused", "Connections refused for their certificate.",
		    s.peers.refused_certificate, false },
		{ "mayfly_evicted_refused", "Connections of evicted nodes refused.", s.peers.refused_evicted,
		    false },
	};
	put_metrics(to, m, MF_COUNT(m));
}

static void
put_notary(const struct mf_broker_front *f, struct mf_buf *to)
{
	mf_feed_now(f->feed);
	uint64_t size = f->notary.known ? f->notary.log_size : mf_feed_log_size(f->feed);
	int64_t not_after = mf_server_cert_not_after(f->cert);
	const struct metric m[] = {
		{ "mayfly_ready", "1: agents are served and certificates issued.",
		    mf_broker_front_not_ready(f) == NULL, true },
		{ "mayfly_notary_link", "1: linked with the notary.", mf_notary_link_open(f->link), true },
		{ "mayfly_notary_links", "Links to a notary so far.", f->links, false },
		{ "mayfly_notary_link_queued_bytes", "Bytes that wait for the notary.",
		    mf_notary_link_queued(f->link), true },
		{ "mayfly_notary_issuing", "1: the notary issues.", f->notary.issuing, true },
		{ "mayfly_issuer_bad",
		    "1: the public OIDC issuer cannot be read, is out of date, or shows a foreign key: "
		    "/readyz says "
		    "which.",
		    issuer_is_bad(f), true },
		{ "mayfly_issuer_foreign",
		    "1: the public OIDC issuer shows a key that is not ours: no cloud token is asked for.",
		    issuer_is(f, "foreign"), true },
		{ "mayfly_notary_sessions", "Inner sessions.", f->notary.sessions, true },
		{ "mayfly_leases_open", "Open leases.", f->notary.leases_open, true },
		{ "mayfly_log_size", "Durable records of the log.", size, true },
		{ "mayfly_applied_index", "Records applied to the read model.", mf_read_model_applied(f->rm),
		    true },
		{ "mayfly_read_model_behind", "1: records wait for the read model's disk.",
		    mf_feed_trouble(f->feed) != NULL, true },
		{ "mayfly_server_certificate_not_after", "End of the server certificate, unix seconds.",
		    not_after < 0 ? 0 : (uint64_t)not_after, true },
		/* Of the running notary: they begin anew with it, which counters may. */
		{ "mayfly_notary_batches", "Group commits.", f->notary.batches, false },
		{ "mayfly_notary_signatures", "Certificates signed.", f->notary.signatures, false },
		{ "mayfly_notary_issued", "Identities issued.", f->notary.issued, false },
		{ "mayfly_notary_refused", "Requests refused.", f->notary.refused, false },
		{ "mayfly_cloud_targets_failing", "Cloud targets that do not answer.",
		    f->notary.cloud_failing, true },
		{ "mayfly_cloud_outcomes_unknown", "Cloud tokens that may have been made for nobody.",
		    f->notary.cloud_unknown, false },
		{ "mayfly_cloud_tokens_pending", "Cloud tokens that have ended and are not confirmed dead.",
		    f->notary.cloud_pending, true },
		{ "mayfly_cloud_tokens_late", "Of these: for longer than a minute.", f->notary.cloud_late,
		    true },
	};
	put_metrics(to, m, MF_COUNT(m));
}

void
mf_broker_front_metrics(const struct mf_broker_front *f, struct mf_buf *to)
{
	mf_buf_putf(to,
	    "# HELP mayfly_build Which build this is.\n# TYPE mayfly_build "
	    "info\nmayfly_build_info{release=\"%s\"} 1\n",
	    f->conf.release);
	put_notary(f, to);
	put_agents(f, to);
	put_net(f, to);
	mf_buf_put_str(to, "# EOF\n");
}

static int
fill_metrics(void *ctx, struct mf_buf *body)
{
	mf_broker_front_metrics(ctx, body);
	return 200;
}

/* ---- probes ---- */

static int
fill_healthz(void *ctx, struct mf_buf *body)
{
	MF_UNUSED(ctx);
	mf_buf_put_str(body, "ok\n"); /* the loop turns */
	return 200;
}

/* Identities are issued all the same: what is not, without the public issuer, is cloud tokens. */
static void
put_issuer(const struct mf_broker_front *f, struct mf_buf *body)
{
	if (issuer_is_bad(f))
		mf_buf_putf(body, "issuer: %s: %s\n", f->notary.issuer, f->notary.issuer_why);
}

static int
fill_readyz(void *ctx, struct mf_buf *body)
{
	const char *why = mf_broker_front_not_ready(ctx);
	mf_buf_putf(body, "%s\n", why == NULL ? "ready" : why);
	put_issuer(ctx, body);
	return why == NULL ? 200 : 503;
}

enum mf_status
mf_broker_front_pages(struct mf_broker_front *f, int fd, struct mf_err *err)
{
	const struct mf_http_status_page pages[] = {
		{ "/metrics", OPENMETRICS, NULL, fill_metrics, f },
		{ "/healthz", PLAIN, NULL, fill_healthz, f },
		{ "/readyz", PLAIN, NULL, fill_readyz, f },
	};
	return mf_http_status_new(f->loop, fd, pages, MF_COUNT(pages), &f->http, err);
}
