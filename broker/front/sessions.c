#include "broker/front/sessions.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "broker/front/session_nodes.h"
#include "os/jlog.h"

#define DOCUMENTS 3u /* kinds of mayfly.agent.v1.DocumentKind */
#define FIRST_MS 10000u
#define SEALED_MAX (MF_LIM_INNER_CHUNK + 17u) /* flags, chunk, tag: crypto/inner.h */
#define HANDSHAKE_MAX 512u
#define KEEPALIVE_MS 60000u
#define CONNS 20000u
#define REASON_MAX 200u

struct frame { /* waits for the stream */
	struct mf_list at;
	bool handshake;
	size_t n;
	uint8_t bytes[];
};

struct session {
	struct mf_sessions *of;
	uint64_t sid;
	struct mf_grpc_call *call;
	struct mf_peer *peer;
	struct mf_list at_peer, at_paused;
	struct mf_list out; /* struct frame */
	uint32_t window;
	uint32_t credit; /* chunks that the notary may still send */
	uint32_t owed;	 /* chunks that were taken and not yet granted again */
	bool doc_due[DOCUMENTS], paused, closing;
	char reason[REASON_MAX];
	struct mf_loop_timer *first;  /* until the handshake message is there */
	struct mf_session_node *node; /* whose it is; NULL until the notary says so */
	bool map_oom;
	UT_hash_handle hh;
};

struct mf_sessions {
	struct mf_loop *loop;
	struct mf_sessions_conf conf;
	struct mf_peers *peers;
	struct mf_net_listener *listener;
	struct mf_grpc_service service;
	const struct mf_grpc_service *services[1];
	struct mf_grpc_server server;
	struct session *by_sid;
	struct mf_session_node *nodes;
	struct mf_list paused;
	uint64_t last_sid, doc_number[DOCUMENTS];
	struct mf_buf doc[DOCUMENTS]; /* by kind - 1; the first is the bundle */
	bool draining;
	struct mf_sessions_stats stats;
};

/* ---- the end of a session ---- */

static void
session_free(struct session *s)
{
	HASH_DEL(s->of->by_sid, s);
	s->of->stats.sessions--;
	mf_list_del(&s->at_peer);
	mf_list_del(&s->at_paused);
	s->peer->n_sessions--;
	MF_LIST_EACH(p, &s->out)
	{
		mf_list_del(p);
		free(MF_LIST_ITEM(p, struct frame, at));
	}
	mf_session_node_put(&s->of->nodes, s->node);
	mf_loop_timer_free(s->first);
	free(s);
}

/* End the stream ourselves. ${tell}: the notary does not know. */
static void
end(struct session *s, enum mf_grpc_code code, const char *text, bool tell)
{
	struct mf_grpc_call *call = s->call;
	if (tell)
		mf_notary_link_session_close(s->of->conf.link, s->sid, text);
	MF_LOG(MF_LOG_INFO, "session.closed", "session closed", mf_ju("sid", s->sid),
	    mf_js("node", s->peer->node), mf_js("remote", mf_net_conn_name(s->peer->conn)),
	    mf_js("code", mf_grpc_code_name(code)), mf_jss("reason", mf_slice_str(text)));
	mf_grpc_finish(call, code, text); /* before: the text may be the session's */
	session_free(s);
}

/* ---- down: to the agent ---- */

static ProtobufCBinaryData
bytes_of(struct mf_slice v)
{
	ProtobufCBinaryData b = { v.n, NULL };
	memcpy(&b.data, &v.p, sizeof(b.data)); /* protobuf-c has no const; packing only reads */
	return b;
}

static enum mf_status
send_frame(struct session *s, bool handshake, struct mf_slice body, struct mf_err *err)
{
	Mayfly__Agent__V1__Frame f = MAYFLY__AGENT__V1__FRAME__INIT;
	f.kind_case =
	    handshake ? MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE : MAYFLY__AGENT__V1__FRAME__KIND_SEALED;
	f.sealed = bytes_of(body); /* the same member of the union for both */
	MF_TRY(mf_grpc_send(s->call, &f.base, err));
	s->of->stats.frames_down++;
	s->of->stats.bytes_down += body.n;
	if (!handshake && ++s->owed >= s->window / 2) {
		mf_notary_link_session_credit(s->of->conf.link, s->sid, s->owed);
		s->credit += s->owed;
		s->owed = 0;
	}
	return MF_OK;
}

static enum mf_status
send_document(struct session *s, size_t i, struct mf_err *err)
{
	Mayfly__Agent__V1__Frame f = MAYFLY__AGENT__V1__FRAME__INIT;
	Mayfly__Agent__V1__Document d = MAYFLY__AGENT__V1__DOCUMENT__INIT;
	d.kind = (Mayfly__Agent__V1__DocumentKind)(i + 1);
	d.number = s->of->doc_number[i];
	d.body = bytes_of(mf_buf_slice(&s->of->doc[i]));
	f.kind_case = MAYFLY__AGENT__V1__FRAME__KIND_DOCUMENT;
	f.document = &d;
	MF_TRY(mf_grpc_send(s->call, &f.base, err));
	s->doc_due[i] = false;
	return MF_OK;
}

/* Send what waits, as far as the stream takes it. May end the session: ${s} is dead then, and the answer false. */
static bool
pump(struct session *s)
{
	struct mf_err err = { 0 };
	enum mf_status st = MF_OK;
	while (st == MF_OK && !mf_list_empty(&s->out)) {
		struct frame *f = MF_LIST_ITEM(s->out.next, struct frame, at);
		st = send_frame(s, f->handshake, mf_slice(f->bytes, f->n), &err);
		if (st != MF_OK)
			break;
		mf_list_del(&f->at);
		free(f);
	}
	for (size_t i = 0; i < DOCUMENTS && st == MF_OK; i++)
		if (s->doc_due[i])
			st = send_document(s, i, &err);
	if (st == MF_E_AGAIN)
		return true; /* on_writable goes on */
	if (st != MF_OK) {
		end(s, mf_grpc_code_of(st), err.msg, true);
		return false;
	}
	if (!s->closing)
		return true;
	end(s, MF_GRPC_ABORTED, s->reason, false);
	return false;
}

static bool
keep(struct session *s, bool handshake, struct mf_slice body)
{
	struct frame *f = malloc(sizeof(*f) + body.n);
	if (f == NULL)
		return false;
	f->handshake = handshake;
	f->n = body.n;
	if (body.n > 0)
		memcpy(f->bytes, body.p, body.n);
	mf_list_add_tail(&s->out, &f->at);
	return true;
}

static struct session *
find(struct mf_sessions *m, uint64_t sid)
{
	struct session *s = NULL;
	HASH_FIND(hh, m->by_sid, &sid, sizeof(sid), s);
	return s;
}

void
mf_sessions_data(struct mf_sessions *m, uint64_t sid, bool handshake, struct mf_slice body)
{
	struct session *s = find(m, sid);
	if (s == NULL || s->closing)
		return; /* it ended here while this was on its way */
	if (!handshake && s->credit == 0) {
		MF_LOG(MF_LOG_ERROR, "session.credit", "the notary sent more chunks than it had credit for",
		    mf_ju("sid", sid));
		end(s, MF_GRPC_INTERNAL, "more chunks than credit", true);
		return;
	}
	s->credit -= !handshake;
	if (!keep(s, handshake, body))
		end(s, MF_GRPC_RESOURCE_EXHAUSTED, "out of memory", true);
	else
		(void)pump(s);
}

void
mf_sessions_close(struct mf_sessions *m, uint64_t sid, const char *reason)
{
	struct session *s = find(m, sid);
	if (s == NULL || s->closing)
		return;
	s->closing = true; /* after what was said before: it may be a refusal in words */
	(void)snprintf(s->reason, sizeof(s->reason), "the broker ended the session: %s", reason);
	(void)pump(s);
}

void
mf_sessions_node(struct mf_sessions *m, uint64_t sid, const char *node)
{
	struct session *s = find(m, sid);
	if (s != NULL && s->node == NULL)
		s->node =
		    mf_session_node_get(&m->nodes, node); /* without memory: a table shows it as silent */
}

void
mf_sessions_node_out(struct mf_sessions *m, const char *node)
{
	mf_peers_drain_node(m->peers, node);
}

/* ---- up: from the agent ---- */

static void
on_first(void *ctx)
{
	end(ctx, MF_GRPC_DEADLINE_EXCEEDED, "no handshake message came in time", true);
}

/* NULL: it may not be opened; ${why} says why. */
static enum mf_grpc_code
may_open(struct mf_sessions *m, const struct mf_peer *peer, const char **why)
{
	if (m->draining) {
		*why = "this broker is being stopped";
		return MF_GRPC_UNAVAILABLE;
	}
	if (!mf_notary_link_open(m->conf.link)) {
		*why = "the notary is not there: it is being started again";
		return MF_GRPC_UNAVAILABLE;
	}
	if (peer->n_sessions >= MF_SESSIONS_PER_CONN) {
		*why = "too many sessions on one connection";
		return MF_GRPC_RESOURCE_EXHAUSTED;
	}
	if (peer->node[0] != '\0' && mf_read_model_evicted(m->conf.rm, peer->node)) {
		*why = "this node was evicted: an operator may let it in again by 'mayfly node readmit'";
		return MF_GRPC_PERMISSION_DENIED;
	}
	return MF_GRPC_OK;
}

static struct session *
session_new(struct mf_sessions *m, struct mf_peer *peer, struct mf_grpc_call *call)
{
	struct mf_err err = { 0 };
	struct session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->of = m;
	s->sid = ++m->last_sid;
	s->call = call;
	s->peer = peer;
	s->window = peer->node[0] == '\0' ? MF_SESSIONS_WINDOW_LANE : MF_SESSIONS_WINDOW;
	mf_list_init(&s->at_peer);
	mf_list_init(&s->at_paused);
	mf_list_init(&s->out);
	if (mf_loop_timer_new(m->loop, on_first, s, &s->first, &err) == MF_OK) {
		HASH_ADD(hh, m->by_sid, sid, sizeof(s->sid), s);
		if (!s->map_oom) {
			mf_list_add_tail(&peer->sessions, &s->at_peer);
			peer->n_sessions++;
			m->stats.sessions++;
			m->stats.opened++;
			return s;
		}
	}
	mf_loop_timer_free(s->first);
	free(s);
	return NULL;
}

static void
on_open(struct mf_grpc_call *c)
{
	struct mf_sessions *m = mf_grpc_call_ctx(c);
	struct mf_peer *peer = mf_net_conn_user(mf_grpc_call_peer(c));
	const char *why = "";
	enum mf_grpc_code code = may_open(m, peer, &why);
	if (code != MF_GRPC_OK) {
		MF_LOG(MF_LOG_INFO, "session.not_opened", "a session was not opened",
		    mf_js("node", peer->node), mf_js("remote", mf_net_conn_name(peer->conn)),
		    mf_js("reason", why));
		mf_grpc_finish(c, code, why);
		return;
	}
	struct session *s = session_new(m, peer, c);
	if (s == NULL) {
		mf_grpc_finish(c, MF_GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	mf_grpc_call_set_user(c, s);
	mf_loop_timer_set(s->first, m->conf.first_ms);
	MF_LOG(MF_LOG_INFO, "session.opened", "session opened", mf_ju("sid", s->sid),
	    mf_js("node", peer->node), mf_js("remote", mf_net_conn_name(peer->conn)));
	mf_notary_link_session_open(m->conf.link, s->sid, peer->node, mf_net_conn_name(peer->conn));
	for (size_t i = 0; i < DOCUMENTS; i++)
		s->doc_due[i] = m->doc[i].n > 0;
	(void)pump(s);
}

static void
pass_up(struct session *s, bool handshake, struct mf_slice body)
{
	struct mf_sessions *m = s->of;
	m->stats.frames_up++;
	m->stats.bytes_up += body.n;
	mf_notary_link_session_data(m->conf.link, s->sid, handshake, body);
	if (!mf_notary_link_full(m->conf.link) || s->paused)
		return;
	s->paused = true;
	m->stats.paused++;
	mf_list_add_tail(&m->paused, &s->at_paused);
	mf_grpc_pause(s->call);
}

static void
on_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct session *s = mf_grpc_call_user(c);
	const Mayfly__Agent__V1__Frame *f = (const void *)msg;
	bool handshake = f->kind_case == MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE;
	bool first = s->first != NULL;
	size_t n = f->sealed.len;
	/* Handshake first and once, then sealed chunks; nothing else comes from an agent. */
	bool good = first ? handshake && n > 0 && n <= HANDSHAKE_MAX
			  : f->kind_case == MAYFLY__AGENT__V1__FRAME__KIND_SEALED && n > 0 && n <= SEALED_MAX;
	if (!good) {
		s->of->stats.bad_frames++;
		end(s, MF_GRPC_INVALID_ARGUMENT,
		    first ? "a session begins with a handshake message"
			  : "not a sealed chunk of at most 16 KiB",
		    true);
		return;
	}
	mf_loop_timer_free(MF_TAKE(s->first));
	pass_up(s, handshake, mf_slice(f->sealed.data, n));
	if (!first)
		return;
	/* Not before: for the notary the handshake message begins the session, and credit for none is lost. */
	s->credit = s->window;
	mf_notary_link_session_credit(s->of->conf.link, s->sid, s->window);
}

static void
on_half_close(struct mf_grpc_call *c)
{
	end(mf_grpc_call_user(c), MF_GRPC_OK, "the agent ended the session", true);
}

static void
on_writable(struct mf_grpc_call *c)
{
	(void)pump(mf_grpc_call_user(c));
}

static void
on_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	struct session *s = mf_grpc_call_user(c);
	if (s == NULL)
		return;
	mf_notary_link_session_close(s->of->conf.link, s->sid, mf_grpc_code_name(why));
	MF_LOG(MF_LOG_INFO, "session.lost", "session lost", mf_ju("sid", s->sid),
	    mf_js("node", s->peer->node), mf_js("remote", mf_net_conn_name(s->peer->conn)),
	    mf_js("code", mf_grpc_code_name(why)));
	session_free(s);
}

static const struct mf_grpc_server_ops stream_ops = {
	.on_open = on_open,
	.on_message = on_message,
	.on_half_close = on_half_close,
	.on_writable = on_writable,
	.on_cancel = on_cancel,
};

static const struct mf_grpc_method methods[] = { {
    .path = "/mayfly.agent.v1.NodeAgent/Session",
    .request = &mayfly__agent__v1__frame__descriptor,
    .response = &mayfly__agent__v1__frame__descriptor,
    .flags = MF_GRPC_BIDI,
    .ops = &stream_ops,
    .max_message = SEALED_MAX + 64u,
} };

void
mf_sessions_room(struct mf_sessions *m)
{
	while (!mf_list_empty(&m->paused) && !mf_notary_link_full(m->conf.link)) {
		struct session *s = MF_LIST_ITEM(m->paused.next, struct session, at_paused);
		mf_list_del(&s->at_paused);
		s->paused = false;
		mf_grpc_resume(s->call);
	}
}

/* ---- all sessions ---- */

static void
end_all(struct mf_sessions *m, const char *text)
{
	struct session *s, *next;
	HASH_ITER(hh, m->by_sid, s, next)
	end(s, MF_GRPC_UNAVAILABLE, text, true);
}

void
mf_sessions_link_gone(struct mf_sessions *m)
{
	end_all(m, "the notary restarts: open a new session on this connection");
}

static void
lane_over(void *ctx, struct mf_peer *peer)
{
	MF_UNUSED(ctx);
	while (!mf_list_empty(&peer->sessions))
		end(MF_LIST_ITEM(peer->sessions.next, struct session, at_peer), MF_GRPC_UNAVAILABLE,
		    "the time of a connection without certificate is over: connect with the node's "
		    "certificate",
		    true);
	mf_net_conn_drain(peer->conn);
}

enum mf_status
mf_sessions_document(struct mf_sessions *m, const Mayfly__Agent__V1__Document *doc, struct mf_err *err)
{
	struct session *s, *next;
	struct mf_slice body = mf_slice(doc->body.data, doc->body.len);
	size_t i = (size_t)doc->kind - 1;
	if (doc->kind == MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_UNSPECIFIED || i >= DOCUMENTS)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "document kind %d is not known", (int)doc->kind);
	if (m->doc[i].n > 0 && doc->number == m->doc_number[i] && mf_slice_eq(mf_buf_slice(&m->doc[i]), body))
		return MF_OK; /* said again by a new notary */
	if (doc->kind == MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE)
		MF_TRY(mf_peers_bundle(m->peers, body, err));
	mf_buf_reset(&m->doc[i]);
	mf_buf_put_slice(&m->doc[i], body);
	MF_TRY(mf_buf_check(&m->doc[i], err));
	m->doc_number[i] = doc->number;
	HASH_ITER(hh, m->by_sid, s, next)
	{
		s->doc_due[i] = true;
		(void)pump(s);
	}
	return MF_OK;
}

struct mf_slice
mf_sessions_bundle(const struct mf_sessions *m, uint64_t *ret_number)
{
	*ret_number = m->doc_number[0];
	return mf_buf_slice(&m->doc[0]);
}

bool
mf_sessions_node_connected(const struct mf_sessions *m, const char *node)
{
	return mf_session_node_there(m->nodes, node);
}

struct mf_sessions_stats
mf_sessions_stats(const struct mf_sessions *m)
{
	struct mf_sessions_stats st = m->stats;
	st.peers = mf_peers_stats(m->peers);
	return st;
}

/* ---- connections ---- */

/* Called for who shows no certificate alone. */
static enum mf_status
verify(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	struct mf_sessions *m = ctx;
	MF_UNUSED(chain);
	MF_UNUSED(n);
	return mf_peers_verify(m->peers, conn, NULL, NULL, err);
}

static enum mf_status
verify_decoded(void *ctx, void *conn, struct x509_st *leaf, struct stack_st_X509 *sent, struct mf_err *err)
{
	struct mf_sessions *m = ctx;
	return mf_peers_verify(m->peers, conn, leaf, sent, err);
}

static void
on_close(void *ctx, struct mf_net_conn *c, enum mf_net_why why, const struct mf_err *err)
{
	MF_UNUSED(ctx);
	struct mf_peer *peer = mf_net_conn_user(c);
	/* The usual ends say nothing; scanners that talk no TLS are in the counters. */
	if (peer != NULL && why != MF_NET_PEER_CLOSED && why != MF_NET_CLOSED)
		MF_LOG(MF_LOG_INFO, "agent.disconnected", "connection of an agent ended",
		    mf_js("node", peer->node), mf_js("remote", mf_net_conn_name(c)),
		    mf_js("error", err == NULL ? NULL : err->msg));
	else if (peer == NULL && err != NULL && err->msg[0] != '\0')
		MF_LOG(MF_LOG_INFO, "agent.refused", "connection refused",
		    mf_js("remote", mf_net_conn_name(c)), mf_js("error", err->msg));
	mf_peers_gone(peer);
}

static const struct mf_net_conn_ops conn_ops = { .on_close = on_close };

enum mf_status
mf_sessions_identity(
    struct mf_sessions *m, const struct mf_slice *chain, size_t n, struct mf_slice key, struct mf_err *err)
{
	const struct mf_tls_config cfg = { .server = true,
		.chain = chain,
		.n_chain = n,
		.key = key,
		.verify = verify,
		.verify_decoded = verify_decoded,
		.ctx = m };
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *tls = NULL;
	MF_TRY(mf_tls_ctx_new(&cfg, &tls, err));
	mf_net_listener_set_tls(m->listener, tls);
	return MF_OK;
}

/* ---- life ---- */

enum mf_status
mf_sessions_new(
    struct mf_loop *l, const struct mf_sessions_conf *conf, struct mf_sessions **ret_s, struct mf_err *err)
{
	MF_AUTO(mf_sessions_free) struct mf_sessions *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	m->loop = l;
	m->conf = *conf;
	m->conf.first_ms = conf->first_ms == 0 ? FIRST_MS : conf->first_ms;
	mf_list_init(&m->paused);
	for (size_t i = 0; i < DOCUMENTS; i++)
		mf_buf_init(&m->doc[i], MF_LIM_BUNDLE_DER);
	m->service = (struct mf_grpc_service) { methods, MF_COUNT(methods), m };
	m->services[0] = &m->service;
	m->server = (struct mf_grpc_server) { .services = m->services,
		.n_services = 1,
		.keepalive_ms = KEEPALIVE_MS,
		.limits = { .streams = 2 * MF_SESSIONS_PER_CONN } };
	const struct mf_peers_conf pc = { .trust_domain = conf->trust_domain,
		.rm = conf->rm,
		.limits = conf->peers,
		.lane_over = lane_over,
		.ctx = m };
	MF_TRY(mf_peers_new(l, &pc, &m->peers, err));
	struct mf_net_listener_config lc = { .fd = conf->fd,
		.tls = true,
		.server = &m->server,
		.limits = conf->net,
		.ops = &conn_ops,
		.ctx = m,
		.counters = conf->counters };
	lc.limits.conns = lc.limits.conns == 0 ? CONNS : lc.limits.conns;
	MF_TRY(mf_net_listener_new(l, &lc, &m->listener, err));
	*ret_s = MF_TAKE(m);
	return MF_OK;
}

void
mf_sessions_drain(struct mf_sessions *m)
{
	m->draining = true;
	end_all(m, "this broker is being stopped");
	mf_net_listener_drain(m->listener);
}

bool
mf_sessions_drained(const struct mf_sessions *m)
{
	return mf_net_listener_conns(m->listener) == 0;
}

void
mf_sessions_free(struct mf_sessions *m)
{
	if (m == NULL)
		return;
	mf_net_listener_free(m->listener);
	mf_peers_free(m->peers);
	for (size_t i = 0; i < DOCUMENTS; i++)
		mf_buf_fini(&m->doc[i]);
	free(m);
}
