/* front, the part that shows itself: /metrics (OpenMetrics text), /healthz, /readyz. */
#include "agent/front/front_internal.h"
#include "net/net_metrics.h"

static void
counter(struct mf_buf *b, const char *name, const char *help, uint64_t v)
{
	mf_buf_putf(b,
	    "# HELP mayfly_agent_%s %s\n# TYPE mayfly_agent_%s counter\nmayfly_agent_%s_total %llu\n", name,
	    help, name, name, (unsigned long long)v);
}

static void
gauge(struct mf_buf *b, const char *name, const char *help, uint64_t v)
{
	mf_buf_putf(b, "# HELP mayfly_agent_%s %s\n# TYPE mayfly_agent_%s gauge\nmayfly_agent_%s %llu\n",
	    name, help, name, name, (unsigned long long)v);
}

static void
put_identities(struct mf_front *f, struct mf_buf *b)
{
	struct mf_identities_stats s = mf_identities_stats(f->ids);
	gauge(b, "instances", "Instances that are known here", s.instances);
	gauge(b, "instances_served", "Instances whose identities are held", s.served);
	counter(b, "identity_requests", "Requests for identities, first ones and renewals", s.asked);
	counter(b, "identity_grants", "Requests that were granted", s.granted);
	counter(b, "identity_refusals", "Requests that policy refused", s.refused);
	counter(b, "identity_unavailable", "Requests that failed and may pass later", s.unavailable);
	counter(b, "identity_unanswered", "Requests without an answer in time", s.unanswered);
	counter(b, "identity_bad_grants", "Grants that broke a rule and were not taken", s.bad_grants);
	counter(b, "identity_ends", "Instances that ended", s.ended);
	counter(b, "identity_suspensions", "Instances that were suspended", s.suspended);
	counter(b, "identity_lapses", "Identities that expired before they were renewed", s.lapsed);
}

static void
put_jobs(struct mf_front *f, struct mf_buf *b)
{
	struct mf_job_conns_stats c = mf_job_conns_stats(f->conns);
	struct mf_workload_api_stats w = mf_workload_api_stats(f->workload);
	counter(b, "who_is", "Connections shown to the attestor", c.who_is);
	counter(b, "callers_recognised", "Connections known without the attestor", c.recognised);
	counter(b, "sender_is", "Foreign senders shown to the attestor", c.sender_is);
	counter(b, "callers_known", "Connections whose caller was attested", c.known);
	counter(b, "callers_denied", "Connections whose caller is nobody we serve", c.denied);
	counter(b, "foreign_senders", "Connections closed because another instance wrote on them",
	    c.foreign_senders);
	counter(b, "connections_gave_way", "Attested connections closed for another job of their user",
	    c.gave_way);
	counter(b, "calls_held", "Calls that waited for caller or identity", c.held);
	counter(b, "calls_held_too_long", "Calls that were given up waiting", c.held_too_long);
	gauge(b, "calls_holding", "Calls that wait now", c.holding);
	gauge(b, "streams", "Open Workload API streams", w.streams);
	gauge(b, "runs", "Open mayfly run streams", mf_jobs_api_runs(f->jobs));
	counter(b, "fetches", "Workload API streams opened", w.fetches);
	counter(b, "messages", "Workload API messages sent", w.messages);
	counter(b, "denied", "Workload API streams ended with PERMISSION_DENIED", w.denied);
	counter(b, "unavailable", "Workload API streams ended with UNAVAILABLE", w.unavailable);
}

static void
put_jwts(struct mf_front *f, struct mf_buf *b)
{
	struct mf_jwt_api_stats s = mf_jwt_api_stats(f->jwts);
	gauge(b, "jwt_streams", "Open FetchJWTBundles streams", s.streams);
	counter(b, "jwt_calls", "Calls of the JWT profile", s.fetches);
	counter(b, "jwt_served", "JWT-SVIDs handed out, from memory or new", s.served);
	counter(b, "jwt_asked", "JWT-SVIDs asked of the broker", s.minted);
	counter(b, "jwt_denied", "JWT calls ended with PERMISSION_DENIED", s.refused);
	counter(b, "jwt_unavailable", "JWT calls ended with UNAVAILABLE", s.unavailable);
	counter(b, "jwt_valid", "Tokens found valid by ValidateJWTSVID", s.validated);
	counter(b, "jwt_invalid", "Tokens found invalid by ValidateJWTSVID", s.invalid);
	counter(b, "jwt_distrusted", "Tokens dropped because their key was tainted or revoked", s.distrusted);
	counter(b, "jwt_messages", "JWT bundle messages sent", s.messages);
}

static void
put_clouds(struct mf_front *f, struct mf_buf *b)
{
	struct mf_clouds_stats s = mf_clouds_stats(f->clouds);
	struct mf_cloud_http_stats h = { 0 };
	if (f->cloud_http != NULL)
		h = mf_cloud_http_stats(f->cloud_http);
	counter(b, "cloud_asked", "Cloud tokens asked of the broker", s.asked);
	counter(b, "cloud_granted", "Cloud tokens that came", s.granted);
	counter(b, "cloud_refused", "Cloud tokens refused for good", s.refused);
	counter(b, "cloud_unavailable", "Cloud tokens that could not be had for the moment", s.unavailable);
	counter(b, "cloud_ended", "Cloud tokens that the broker ended", s.ended);
	counter(b, "cloud_served", "Cloud tokens handed out, from memory or new", s.served);
	counter(b, "cloud_served_old", "Of these: while a new one was due", s.served_old);
	gauge(b, "cloud_waiting", "Calls that wait for a cloud token", s.waiting);
	counter(b, "cloud_http_requests", "Requests at the cloud endpoint", h.requests);
	counter(b, "cloud_http_again", "Of these: known by their bytes from an earlier one", h.again);
	counter(b, "cloud_http_answered", "Of these: answered with a token that somebody took", h.answered);
	counter(b, "cloud_http_denied", "Of these: refused", h.denied);
	counter(
	    b, "cloud_http_foreign", "Refused because they were not from the job they claimed", h.foreign);
	counter(
	    b, "cloud_http_find_peer", "Callers at the cloud endpoint shown to the attestor", h.find_peer);
	counter(
	    b, "cloud_http_abandoned", "Requests whose client had gone when they were answered", h.abandoned);
	gauge(b, "cloud_http_open", "Requests at the cloud endpoint that wait", h.open);
}

static void
put_outer(struct mf_front *f, struct mf_buf *b)
{
	struct mf_upstream_stats s = mf_upstream_stats(f->upstream);
	gauge(b, "attestor_link", "1 while the attestor is there", mf_attestor_link_open(f->link));
	counter(b, "attestor_link_losses", "Times the link to the attestor was lost", f->link_losses);
	gauge(b, "session_ready", "1 while the broker answers", mf_identities_ready(f->ids));
	gauge(b, "outer_connected", "1 while a connection to the broker is open", s.connected);
	gauge(b, "outer_certificate", "1 when the last connection showed the front's certificate",
	    s.with_certificate);
	gauge(b, "outer_certificate_expiry_seconds", "Unix time at which the front's certificate expires",
	    (uint64_t)mf_outer_key_expires_s(f->key));
	counter(b, "outer_dials", "Connections to the broker that were tried", s.dials);
	counter(b, "outer_lookups", "Look-ups of the broker's name", s.lookups);
	counter(b, "outer_lookups_failed", "Look-ups that found no address", s.lookups_failed);
	counter(b, "outer_failures", "Connections to the broker that failed or were lost", s.failures);
	counter(b, "outer_streams", "Session streams opened", s.streams);
	counter(b, "outer_alarms", "Server certificates that did not verify against the bundle", s.alarms);
	counter(b, "outer_frames_in", "Frames from the broker", s.frames_in);
	counter(b, "outer_frames_out", "Frames to the broker", s.frames_out);
}

static int
fill_metrics(void *ctx, struct mf_buf *body)
{
	struct mf_front *f = ctx;
	put_identities(f, body);
	put_jobs(f, body);
	put_jwts(f, body);
	put_clouds(f, body);
	put_outer(f, body);
	const struct mf_net_metrics_item net[] = { { "jobs", &f->jobs_net }, { "broker", &f->broker_net } };
	mf_net_metrics_put(body, "mayfly_agent", net, MF_COUNT(net));
	mf_buf_put_str(body, "# EOF\n");
	return body->failed == MF_OK ? 200 : 503;
}

static int
fill_health(void *ctx, struct mf_buf *body)
{
	MF_UNUSED(ctx);
	mf_buf_put_str(body, "ok\n");
	return 200;
}

/* Ready: a job that asks now can be answered. */
static int
fill_ready(void *ctx, struct mf_buf *body)
{
	struct mf_front *f = ctx;
	const char *why = mf_identities_why_not(f->ids);
	if (f->stopped != NULL)
		why = "going down";
	else if (why[0] == '\0' && mf_svid_cache_bundle(mf_identities_cache(f->ids)).n == 0)
		why = "the trust domain's bundle has not come yet";
	mf_buf_putf(body, "%s\n", why[0] == '\0' ? "ready" : why);
	return why[0] == '\0' ? 200 : 503;
}

void
mf_front_status_init(struct mf_front *f)
{
	static const char text[] = "text/plain; charset=utf-8";
	static const char metrics[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";
	f->pages[0] = (struct mf_http_status_page) { "/metrics", metrics, NULL, fill_metrics, f };
	f->pages[1] = (struct mf_http_status_page) { "/healthz", text, NULL, fill_health, f };
	f->pages[2] = (struct mf_http_status_page) { "/readyz", text, NULL, fill_ready, f };
}

const struct mf_http_status_page *
mf_front_pages(struct mf_front *f)
{
	return f->pages;
}
