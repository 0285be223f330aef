#include "agent/front/upstream.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/core/svid_cache.h"
#include "base/list.h"
#include "os/jlog.h"

#define RETRY_MS 200u
#define RETRY_SOON_MAX_MS 10000u /* for the first tries */
#define RETRY_SOON_TRIES 12u
#define RETRY_MAX_MS 30000u
#define LONG_ENOUGH_MS 30000u /* a stream that lived so long was a good one */
#define KEEPALIVE_MS 20000u

/* A frame that the stream had no room for. */
struct frame {
	struct mf_list node;
	struct mf_buf body;
	bool handshake;
};

struct mf_upstream {
	struct mf_upstream_config cfg;
	struct mf_grpc_client client;
	struct mf_loop_timer *timer; /* until the next try */
	struct mf_front_address at;  /* as known now */
	size_t next;		     /* the host to try; 0: a round begins */
	bool looking;		     /* the name is being looked up for this round */
	struct mf_net_conn *conn;
	bool conn_open;
	struct mf_grpc_call *call;
	uint64_t sid, last_sid, since_ms;
	bool wanted, good, paused, stopping;
	bool heard;   /* the broker said something on this connection */
	bool by_lane; /* the next try shows no certificate */
	unsigned failures;
	struct mf_list pending;
	size_t n_pending;
	uint32_t credit; /* earned, not yet told */
	struct mf_upstream_stats stats;
};

static void go(struct mf_upstream *u);

static uint64_t
mono(const struct mf_upstream *u)
{
	return mf_loop_now(u->cfg.loop).mono_ms;
}

struct mf_upstream_stats
mf_upstream_stats(const struct mf_upstream *u)
{
	struct mf_upstream_stats s = u->stats;
	s.connected = u->conn_open;
	s.streaming = u->call != NULL;
	return s;
}

static void
try_later(struct mf_upstream *u)
{
	if (u->stopping || !u->wanted || mf_loop_timer_pending(u->timer))
		return;
	uint64_t cap = u->cfg.retry_max_ms;
	if (u->failures < RETRY_SOON_TRIES && cap > RETRY_SOON_MAX_MS)
		cap = RETRY_SOON_MAX_MS;
	if (u->next > 0 && u->next < u->at.n) {
		mf_loop_timer_set(u->timer, 0); /* the round goes on */
		return;
	}
	u->next = 0;
	mf_loop_timer_set(u->timer, mf_rotation_backoff(mf_rand_system(), u->cfg.retry_ms, u->failures, cap));
	u->failures++;
}

static void
on_timer(void *ctx)
{
	go(ctx);
}

/* --- to the attestor --- */

static enum mf_status
tell(struct mf_upstream *u, uint16_t type, const ProtobufCMessage *m)
{
	struct mf_err err = { 0 };
	enum mf_status s = mf_attestor_link_send(u->cfg.link, type, m, -1, &err);
	if (s != MF_OK && mf_attestor_link_open(u->cfg.link))
		mf_jlog_err(MF_LOG_WARN, "outer.not_told", "a message to the attestor was lost", &err);
	return s;
}

static void
tell_closed(struct mf_upstream *u, const char *reason)
{
	Mayfly__Roles__V1__OuterClosed m = MAYFLY__ROLES__V1__OUTER_CLOSED__INIT;
	char text[MF_SVID_TEXT_MAX + 1];
	mf_svid_text(text, mf_slice_str(reason));
	m.sid = u->sid;
	m.reason = text;
	(void)tell(u, MF_MSG_OUTER_CLOSED, &m.base);
}

/* Half a window at a time: the attestor need not wake up for each chunk, and still never waits for an idle stream. */
static void
tell_credit(struct mf_upstream *u)
{
	Mayfly__Roles__V1__OuterCredit m = MAYFLY__ROLES__V1__OUTER_CREDIT__INIT;
	if (u->credit < MF_UPSTREAM_WINDOW / 2)
		return;
	m.sid = u->sid;
	m.chunks = u->credit;
	u->credit = 0;
	(void)tell(u, MF_MSG_OUTER_CREDIT, &m.base);
}

/* --- the stream --- */

static void
frame_free(struct mf_upstream *u, struct frame *f)
{
	mf_list_del(&f->node);
	u->n_pending--;
	mf_buf_fini(&f->body);
	free(f);
}

/* The stream is over; what it was for starts anew on another. */
static void
stream_gone(struct mf_upstream *u)
{
	u->call = NULL;
	u->paused = false;
	u->credit = 0;
	MF_LIST_EACH(n, &u->pending)
	frame_free(u, MF_LIST_ITEM(n, struct frame, node));
	if (u->good || mono(u) - u->since_ms >= LONG_ENOUGH_MS)
		u->failures = 0;
	u->good = false;
}

/* We end it. ${told}: the attestor knows. */
static void
end_stream(struct mf_upstream *u, const char *reason, bool told)
{
	if (u->call == NULL)
		return;
	mf_grpc_cancel(u->call);
	if (!told)
		tell_closed(u, reason);
	MF_LOG(MF_LOG_INFO, "outer.stream_ended", "the session's stream was ended", mf_js("reason", reason));
	stream_gone(u);
	try_later(u);
}

static void
on_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct mf_upstream *u = mf_grpc_call_user(c);
	const Mayfly__Agent__V1__Frame *f = (const void *)msg;
	Mayfly__Roles__V1__OuterData data = MAYFLY__ROLES__V1__OUTER_DATA__INIT;
	Mayfly__Roles__V1__DocumentSeen seen = MAYFLY__ROLES__V1__DOCUMENT_SEEN__INIT;
	enum mf_status s = MF_OK;
	data.sid = u->sid;
	u->stats.frames_in++;
	u->heard = true;
	switch (f->kind_case) {
	case MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE:
		data.handshake = true;
		data.body = f->handshake;
		s = tell(u, MF_MSG_OUTER_DATA, &data.base);
		break;
	case MAYFLY__AGENT__V1__FRAME__KIND_SEALED:
		data.body = f->sealed;
		s = tell(u, MF_MSG_OUTER_DATA, &data.base);
		break;
	case MAYFLY__AGENT__V1__FRAME__KIND_DOCUMENT:
		u->stats.documents++;
		seen.document = f->document;
		/* A lost one is not missed: the inner session asks for what it vouched for. */
		(void)tell(u, MF_MSG_DOCUMENT_SEEN, &seen.base);
		break;
	default:
		end_stream(u, "the broker sent a frame of no kind: it speaks a newer version?", false);
		return;
	}
	if (s != MF_OK) {
		/* A chunk that is lost leaves a hole in the counters: the inner session is over. */
		end_stream(u, "a chunk could not be handed to the attestor", false);
		return;
	}
	if (mf_attestor_link_crowded(u->cfg.link)) {
		u->paused = true;
		mf_grpc_pause(c);
	}
}

static enum mf_status
send_frame(struct mf_upstream *u, bool handshake, struct mf_slice body, struct mf_err *err)
{
	Mayfly__Agent__V1__Frame f = MAYFLY__AGENT__V1__FRAME__INIT;
	ProtobufCBinaryData b = { body.n, (uint8_t *)(uintptr_t)body.p }; /* packing reads only */
	if (handshake) {
		f.kind_case = MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE;
		f.handshake = b;
	} else {
		f.kind_case = MAYFLY__AGENT__V1__FRAME__KIND_SEALED;
		f.sealed = b;
	}
	MF_TRY(mf_grpc_send(u->call, &f.base, err));
	u->stats.frames_out++;
	u->credit += !handshake;
	return MF_OK;
}

static enum mf_status
keep_frame(struct mf_upstream *u, bool handshake, struct mf_slice body, struct mf_err *err)
{
	if (u->n_pending >= MF_UPSTREAM_WINDOW + 1) /* one handshake message beside the chunks */
		return MF_FAIL(err, MF_E_EXHAUSTED, "the attestor sends more than it has credit for");
	struct frame *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	mf_list_init(&f->node);
	mf_list_add_tail(&u->pending, &f->node);
	u->n_pending++;
	f->handshake = handshake;
	mf_buf_init(&f->body, body.n);
	mf_buf_put_slice(&f->body, body);
	return mf_buf_check(&f->body, err);
}

static void
on_writable(struct mf_grpc_call *c)
{
	struct mf_upstream *u = mf_grpc_call_user(c);
	struct mf_err err = { 0 };
	while (!mf_list_empty(&u->pending)) {
		struct frame *f = MF_LIST_ITEM(u->pending.next, struct frame, node);
		enum mf_status s = send_frame(u, f->handshake, mf_buf_slice(&f->body), &err);
		if (s == MF_E_AGAIN)
			break;
		if (s != MF_OK) {
			end_stream(u, err.msg, false);
			return;
		}
		frame_free(u, f);
	}
	tell_credit(u);
}

static void
on_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	struct mf_upstream *u = mf_grpc_call_user(c);
	MF_LOG(MF_LOG_INFO, "outer.stream_ended", "the broker ended the session's stream",
	    mf_js("status", mf_grpc_code_name(code)), mf_js("reason", text));
	tell_closed(u, text[0] != '\0' ? text : mf_grpc_code_name(code));
	stream_gone(u);
	try_later(u);
}

static const struct mf_grpc_client_ops stream_ops = {
	.on_message = on_message,
	.on_writable = on_writable,
	.on_status = on_status,
};

static const struct mf_grpc_method session_method = {
	.path = "/mayfly.agent.v1.NodeAgent/Session",
	.request = &mayfly__agent__v1__frame__descriptor,
	.response = &mayfly__agent__v1__frame__descriptor,
	.flags = MF_GRPC_BIDI,
};

static void
open_stream(struct mf_upstream *u)
{
	struct mf_err err = { 0 };
	Mayfly__Roles__V1__OuterOpened m = MAYFLY__ROLES__V1__OUTER_OPENED__INIT;
	struct mf_grpc_conn *g = mf_net_conn_grpc(u->conn);
	if (mf_grpc_open(g, &session_method, &stream_ops, u, NULL, 0, 0, &u->call, &err) != MF_OK) {
		mf_jlog_err(
		    MF_LOG_INFO, "outer.no_stream", "the connection takes no stream; making a new one", &err);
		mf_net_conn_close(u->conn); /* on_close tries again */
		u->conn_open = false;
		return;
	}
	u->sid = ++u->last_sid;
	u->since_ms = mono(u);
	u->stats.streams++;
	m.sid = u->sid;
	if (tell(u, MF_MSG_OUTER_OPENED, &m.base) != MF_OK) {
		end_stream(u, "the attestor could not be told of the stream", true);
		return;
	}
	u->credit = MF_UPSTREAM_WINDOW;
	tell_credit(u);
}

/* --- the connection --- */

static enum mf_status
verify(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	MF_UNUSED(conn);
	struct mf_upstream *u = ctx;
	bool alarm = false;
	int64_t now_s = mf_loop_now(u->cfg.loop).wall_us / 1000000;
	MF_TRY(mf_outer_trust_judge(u->cfg.trust, chain, n, now_s, &alarm, err));
	if (!alarm)
		return MF_OK;
	u->stats.alarms++;
	mf_jlog_err(MF_LOG_ERROR, "outer.alarm",
	    "the broker's server certificate does not verify against the bundle; going on, the inner session "
	    "decides",
	    err);
	*err = (struct mf_err) { 0 };
	return MF_OK;
}

static bool
on_open(void *ctx, struct mf_net_conn *c)
{
	struct mf_upstream *u = ctx;
	if (u->stopping)
		return false;
	u->conn_open = true;
	u->next = 0; /* after this one: a new round */
	MF_LOG(MF_LOG_INFO, "outer.connected", "connected to the broker",
	    mf_js("broker", mf_net_conn_name(c)), mf_jb("certificate", u->stats.with_certificate));
	go(u);
	return true;
}

static void
on_close(void *ctx, struct mf_net_conn *c, enum mf_net_why why, const struct mf_err *err)
{
	struct mf_upstream *u = ctx;
	if (c != u->conn)
		return;
	u->stats.failures++;
	MF_LOG(MF_LOG_INFO, "outer.disconnected", "no connection to the broker; what is cached is served on",
	    mf_js("broker", mf_net_conn_name(c)), mf_ju("why", why), mf_js("error", err->msg));
	/* The handshake was done and it sent us away without a word: our certificate may be of a CA key that was revoked
	 * while we were away. The lane lets us in to be certified anew; the try after that is with the certificate again. */
	u->by_lane = u->conn_open && u->stats.with_certificate && !u->heard && why == MF_NET_PROTOCOL;
	u->conn = NULL;
	u->conn_open = false;
	try_later(u);
}

static const struct mf_net_conn_ops conn_ops = { .on_open = on_open, .on_close = on_close };

static enum mf_status
dial(struct mf_upstream *u, struct mf_err *err)
{
	struct mf_outer_identity id = { 0 };
	bool certified = !u->by_lane && mf_outer_key_current(u->cfg.key, &id);
	u->heard = false;
	struct mf_tls_config tls = { .verify = verify, .ctx = u };
	if (certified) {
		tls.chain = id.chain;
		tls.n_chain = id.n;
		tls.key = id.key;
	}
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *ctx = NULL;
	MF_TRY(mf_tls_ctx_new(&tls, &ctx, err));
	struct mf_net_client_config cfg = {
		.address = u->at.host[u->next++],
		.port = u->at.port,
		.tls = ctx,
		.client = &u->client,
		.limits = { .handshake_ms = (uint32_t)u->cfg.connect_ms },
		.ops = &conn_ops,
		.ctx = u,
		.counters = u->cfg.counters,
	};
	u->stats.dials++;
	u->stats.with_certificate = certified;
	return mf_net_connect(u->cfg.loop, &cfg, &u->conn, err);
}

static void
connect_next(struct mf_upstream *u)
{
	struct mf_err err = { 0 };
	if (dial(u, &err) == MF_OK)
		return;
	u->stats.failures++;
	mf_jlog_err(MF_LOG_WARN, "outer.not_dialled", "cannot connect to the broker", &err);
	try_later(u);
}

void
mf_upstream_resolved(struct mf_upstream *u, const char *const *addresses, size_t n, const char *why)
{
	if (!u->looking)
		return;
	u->looking = false;
	if (n == 0) {
		u->stats.lookups_failed++;
		MF_LOG(MF_LOG_WARN, "outer.no_address",
		    u->at.n > 0 ? "the broker's name was not found: its former addresses are tried"
				: "the broker's name was not found: set it right in DNS or /etc/hosts, or "
				  "`broker` in "
				  "agent.yaml; it is looked up again",
		    mf_js("name", u->at.name), mf_js("error", why));
	}
	for (size_t i = 0; i < n && i < MF_FRONT_HOSTS; i++)
		(void)snprintf(u->at.host[i], MF_FRONT_HOST_MAX, "%s", addresses[i]);
	if (n > 0)
		u->at.n = n < MF_FRONT_HOSTS ? n : MF_FRONT_HOSTS;
	if (u->at.n == 0)
		try_later(u);
	else if (u->wanted && !u->stopping && u->conn == NULL)
		connect_next(u);
}

/* The next thing to do, whatever brought us here. */
static void
go(struct mf_upstream *u)
{
	if (!u->wanted || u->stopping || u->looking || u->call != NULL || mf_loop_timer_pending(u->timer))
		return;
	if (u->conn != NULL) {
		if (u->conn_open)
			open_stream(u);
		return;
	}
	if (!mf_outer_trust_usable(u->cfg.trust))
		return; /* the attestor's Trust is on its way */
	if (u->next == 0 && u->at.name[0] != '\0') {
		u->looking = true;
		u->stats.lookups++;
		u->cfg.resolve(u->cfg.ctx, u->at.name);
		return;
	}
	connect_next(u);
}

/* --- from the link --- */

void
mf_upstream_link_opened(struct mf_upstream *u)
{
	u->wanted = true;
	go(u);
}

void
mf_upstream_link_closed(struct mf_upstream *u)
{
	u->wanted = false;
	mf_loop_timer_clear(u->timer);
	end_stream(u, "the attestor went away", true);
}

void
mf_upstream_link_room(struct mf_upstream *u)
{
	if (u->call != NULL && u->paused)
		mf_grpc_resume(u->call);
	u->paused = false;
}

void
mf_upstream_trust_changed(struct mf_upstream *u)
{
	go(u);
}

void
mf_upstream_session(struct mf_upstream *u, bool ready)
{
	u->good = u->good || (ready && u->call != NULL);
}

void
mf_upstream_certified(struct mf_upstream *u)
{
	if (!u->conn_open || u->stats.with_certificate)
		return;
	u->conn_open = false;
	mf_net_conn_close(u->conn); /* on_close comes from the loop and tries again */
	end_stream(u, "changing to a connection with the node's certificate", false);
}

void
mf_upstream_on_data(struct mf_upstream *u, const Mayfly__Roles__V1__OuterData *m)
{
	struct mf_err err = { 0 };
	struct mf_slice body = mf_slice(m->body.data, m->body.len);
	if (u->call == NULL || m->sid != u->sid)
		return; /* of a stream that is over; the attestor was told */
	enum mf_status s = mf_list_empty(&u->pending) ? send_frame(u, m->handshake, body, &err) : MF_E_AGAIN;
	if (s == MF_E_AGAIN)
		s = keep_frame(u, m->handshake, body, &err);
	if (s != MF_OK)
		end_stream(u, err.msg, false);
	else
		tell_credit(u);
}

void
mf_upstream_on_close(struct mf_upstream *u, const Mayfly__Roles__V1__OuterClosed *m)
{
	if (u->call != NULL && m->sid == u->sid)
		end_stream(u, m->reason, true);
}

/* --- life --- */

enum mf_status
mf_upstream_new(const struct mf_upstream_config *cfg, struct mf_upstream **ret_u, struct mf_err *err)
{
	MF_AUTO(mf_upstream_free) struct mf_upstream *u = calloc(1, sizeof(*u));
	if (u == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "upstream: out of memory");
	u->cfg = *cfg;
	u->at = *cfg->broker;
	if (u->cfg.retry_ms == 0)
		u->cfg.retry_ms = RETRY_MS;
	if (u->cfg.retry_max_ms == 0)
		u->cfg.retry_max_ms = RETRY_MAX_MS;
	u->client =
	    (struct mf_grpc_client) { .authority = "broker", .tls = true, .keepalive_ms = KEEPALIVE_MS };
	mf_list_init(&u->pending);
	MF_TRY(mf_loop_timer_new(cfg->loop, on_timer, u, &u->timer, err));
	*ret_u = MF_TAKE(u);
	return MF_OK;
}

void
mf_upstream_stop(struct mf_upstream *u)
{
	u->stopping = true;
	mf_loop_timer_clear(u->timer);
	end_stream(u, "the agent is going down", false);
	if (u->conn != NULL)
		mf_net_conn_close(u->conn);
}

bool
mf_upstream_stopped(const struct mf_upstream *u)
{
	return u->conn == NULL;
}

void
mf_upstream_free(struct mf_upstream *u)
{
	if (u == NULL)
		return;
	mf_loop_timer_free(u->timer);
	free(u);
}
