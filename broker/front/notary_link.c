#include "broker/front/notary_link.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "os/jlog.h"
#include "os/seqpacket.h"

#define QUEUE_MAX (16u * 1024u * 1024u)
#define FULL_AT (4u * 1024u * 1024u) /* sessions pause */
#define ROOM_AT (1u * 1024u * 1024u) /* and go on */
#define READS_PER_TURN 256u
#define CALLS_MAX 1024u

struct mf_notary_call {
	struct mf_notary_link *link;
	struct mf_list at;
	uint64_t id;
	struct mf_loop_timer *timer;
	uint32_t timeout_ms;
	mf_notary_reply fn;
	void *ctx;
};

struct mf_notary_link {
	struct mf_loop *loop;
	struct mf_notary_link_conf conf;
	struct mf_seqpacket *pkt; /* NULL: not connected */
	struct mf_loop_fd *io;
	struct mf_loop_defer *later; /* sends what was queued; buries the dead link */
	enum mf_link_state state;
	bool dead, broken, full;
	struct mf_err why;
	struct mf_list calls;
	size_t n_calls;
	uint64_t last_call;
};

/* ---- the end of a link ---- */

/* Only noted: whoever is sending right now must not find the world changed when this returns. */
static void
die(struct mf_notary_link *l, bool broken, enum mf_status s, const struct mf_err *err)
{
	if (l->dead || l->pkt == NULL)
		return;
	l->dead = true;
	l->broken = broken;
	if (err != NULL)
		l->why = *err;
	else
		(void)MF_FAIL(&l->why, s, "the notary closed the link");
	mf_loop_defer_set(l->later);
}

static void
call_free(struct mf_notary_call *c)
{
	mf_list_del(&c->at);
	c->link->n_calls--;
	mf_loop_timer_free(c->timer);
	free(c);
}

static void
answer(struct mf_notary_call *c, enum mf_status s, const struct mf_err *err,
    const Mayfly__Roles__V1__AdminReply *r)
{
	mf_notary_reply fn = c->fn;
	void *ctx = c->ctx;
	call_free(c);
	fn(ctx, s, err, r);
}

static void
fail_calls(struct mf_notary_link *l)
{
	struct mf_err err = { 0 };
	(void)MF_FAIL(&err, MF_E_UNAVAILABLE,
	    "the notary went away before it answered: whether it was done is not known; look, then try "
	    "again");
	while (!mf_list_empty(&l->calls))
		answer(MF_LIST_ITEM(l->calls.next, struct mf_notary_call, at), MF_E_UNAVAILABLE, &err, NULL);
}

static void
bury(struct mf_notary_link *l)
{
	mf_loop_fd_free(MF_TAKE(l->io));
	mf_seqpacket_free(MF_TAKE(l->pkt));
	l->state = MF_LINK_HELLO;
	l->dead = l->full = false;
	fail_calls(l);
	l->conf.ops->gone(l->conf.ctx, l->broken, l->why.msg);
}

/* ---- sending ---- */

static void
set_interest(struct mf_notary_link *l)
{
	struct mf_err err = { 0 };
	unsigned w = mf_seqpacket_wants_write(l->pkt) ? MF_LOOP_WRITE : 0;
	if (mf_loop_fd_set(l->io, MF_LOOP_READ | w, &err) != MF_OK)
		die(l, true, MF_E_IO, &err);
}

static void
flush(struct mf_notary_link *l)
{
	struct mf_err err = { 0 };
	if (l->pkt == NULL || l->dead)
		return;
	enum mf_status s = mf_seqpacket_flush(l->pkt, &err);
	if (s != MF_OK) {
		die(l, s != MF_E_CLOSED, s, &err);
		return;
	}
	set_interest(l);
	if (!l->full || mf_seqpacket_queued(l->pkt) > ROOM_AT)
		return;
	l->full = false;
	l->conf.ops->room(l->conf.ctx);
}

static void
on_later(void *ctx)
{
	struct mf_notary_link *l = ctx;
	flush(l);
	if (l->dead)
		bury(l);
}

static enum mf_status
say(struct mf_notary_link *l, uint16_t type, const ProtobufCMessage *msg, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_PACKET_PAYLOAD_MAX);
	if (l->pkt == NULL || l->dead || (l->state != MF_LINK_OPEN && type != MF_MSG_FRONT_HELLO))
		return MF_FAIL(err, MF_E_UNAVAILABLE, "the notary is not there: it is being started again");
	MF_TRY(mf_role_encode(&mf_link_broker, MF_LINK_FRONT, type, msg, false, &b, err));
	MF_TRY(mf_seqpacket_queue(l->pkt, type, mf_buf_slice(&b), -1, err));
	l->full = l->full || mf_seqpacket_queued(l->pkt) > FULL_AT;
	mf_loop_defer_set(l->later); /* many messages of one turn, one system call */
	return MF_OK;
}

/* Messages whose loss would leave the two ends in disagreement: what cannot be said ends the link. */
static void
must_say(struct mf_notary_link *l, uint16_t type, const ProtobufCMessage *msg)
{
	struct mf_err err = { 0 };
	enum mf_status s = say(l, type, msg, &err);
	if (s != MF_OK && s != MF_E_UNAVAILABLE)
		die(l, true, s, &err);
}

/* protobuf-c has no const; what it is given to pack is only read. */
static ProtobufCBinaryData
bytes_of(struct mf_slice s)
{
	ProtobufCBinaryData b = { s.n, NULL };
	memcpy(&b.data, &s.p, sizeof(b.data));
	return b;
}

static char *
text_of(const char *s)
{
	char *t;
	memcpy(&t, &s, sizeof(t));
	return t;
}

void
mf_notary_link_session_open(struct mf_notary_link *l, uint64_t sid, const char *peer_node, const char *remote)
{
	Mayfly__Roles__V1__SessionOpen m = MAYFLY__ROLES__V1__SESSION_OPEN__INIT;
	m.sid = sid;
	m.peer_node = text_of(peer_node);
	m.remote = text_of(remote);
	must_say(l, MF_MSG_SESSION_OPEN, &m.base);
}

void
mf_notary_link_session_data(struct mf_notary_link *l, uint64_t sid, bool handshake, struct mf_slice body)
{
	Mayfly__Roles__V1__SessionData m = MAYFLY__ROLES__V1__SESSION_DATA__INIT;
	m.sid = sid;
	m.handshake = handshake;
	m.body = bytes_of(body);
	must_say(l, MF_MSG_SESSION_DATA, &m.base);
}

void
mf_notary_link_session_credit(struct mf_notary_link *l, uint64_t sid, uint32_t chunks)
{
	Mayfly__Roles__V1__SessionCredit m = MAYFLY__ROLES__V1__SESSION_CREDIT__INIT;
	m.sid = sid;
	m.chunks = chunks;
	must_say(l, MF_MSG_SESSION_CREDIT, &m.base);
}

void
mf_notary_link_session_close(struct mf_notary_link *l, uint64_t sid, const char *reason)
{
	Mayfly__Roles__V1__SessionClose m = MAYFLY__ROLES__V1__SESSION_CLOSE__INIT;
	m.sid = sid;
	m.reason = text_of(reason);
	must_say(l, MF_MSG_SESSION_CLOSE, &m.base);
}

void
mf_notary_link_certify_server(struct mf_notary_link *l, struct mf_slice point)
{
	Mayfly__Roles__V1__CertifyServer m = MAYFLY__ROLES__V1__CERTIFY_SERVER__INIT;
	m.point = bytes_of(point);
	must_say(l, MF_MSG_CERTIFY_SERVER, &m.base);
}

void
mf_notary_link_log_ack(struct mf_notary_link *l, uint64_t applied)
{
	Mayfly__Roles__V1__LogAck m = MAYFLY__ROLES__V1__LOG_ACK__INIT;
	m.applied_index = applied;
	must_say(l, MF_MSG_LOG_ACK, &m.base);
}

/* ---- calls ---- */

static void
on_call_timeout(void *ctx)
{
	struct mf_notary_call *c = ctx;
	struct mf_err err = { 0 };
	(void)MF_FAIL(&err, MF_E_UNAVAILABLE,
	    "the notary did not answer within %u s: whether it was done is not known; look, then try again",
	    (c->timeout_ms + 999) / 1000);
	answer(c, MF_E_UNAVAILABLE, &err, NULL);
}

enum mf_status
mf_notary_link_call(struct mf_notary_link *l, Mayfly__Roles__V1__AdminCall *call, uint32_t timeout_ms,
    mf_notary_reply fn, void *ctx, struct mf_notary_call **ret_call, struct mf_err *err)
{
	if (l->n_calls >= CALLS_MAX)
		return MF_FAIL(
		    err, MF_E_EXHAUSTED, "%u requests wait for the notary: try again later", CALLS_MAX);
	struct mf_notary_call *c = calloc(1, sizeof(*c));
	if (c == NULL || mf_loop_timer_new(l->loop, on_call_timeout, c, &c->timer, err) != MF_OK) {
		free(c);
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	}
	c->link = l;
	c->id = ++l->last_call;
	c->timeout_ms = timeout_ms;
	c->fn = fn;
	c->ctx = ctx;
	mf_list_add_tail(&l->calls, &c->at);
	l->n_calls++;
	call->call_id = c->id;
	enum mf_status s = say(l, MF_MSG_ADMIN_CALL, &call->base, err);
	if (s != MF_OK) {
		call_free(c);
		return s;
	}
	mf_loop_timer_set(c->timer, timeout_ms);
	*ret_call = c;
	return MF_OK;
}

void
mf_notary_call_cancel(struct mf_notary_call *c)
{
	call_free(c);
}

static enum mf_status
status_of(const char *word)
{
	for (int i = MF_OK + 1; i < MF_STATUS_COUNT; i++)
		if (strcmp(word, mf_status_name((enum mf_status)i)) == 0)
			return (enum mf_status)i;
	return MF_E_INTERNAL;
}

static void
got_reply(struct mf_notary_link *l, const Mayfly__Roles__V1__AdminReply *r)
{
	struct mf_err err = { 0 };
	MF_LIST_EACH(p, &l->calls)
	{
		struct mf_notary_call *c = MF_LIST_ITEM(p, struct mf_notary_call, at);
		if (c->id != r->call_id)
			continue;
		enum mf_status s = MF_OK;
		if (r->error_code[0] != '\0')
			s = MF_FAIL(&err, status_of(r->error_code), "%s", r->error);
		else if (r->what_case == MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT__NOT_SET)
			s = MF_FAIL(&err, MF_E_INTERNAL, "the notary's answer is empty");
		answer(c, s, s == MF_OK ? NULL : &err, s == MF_OK ? r : NULL);
		return;
	}
	/* Not there: it timed out, or its asker went. */
}

/* ---- receiving ---- */

static void
got_hello(struct mf_notary_link *l, const Mayfly__Roles__V1__NotaryHello *h)
{
	struct mf_err err = { 0 };
	if (strcmp(h->build_id, l->conf.build_id) != 0)
		(void)MF_FAIL(
		    &err, MF_E_UNSUPPORTED, "the notary is of another build: restart mayfly-broker");
	else if (strcmp(h->trust_domain, l->conf.trust_domain) != 0 ||
		 strcmp(h->broker_id, l->conf.broker_id) != 0)
		(void)MF_FAIL(&err, MF_E_INVALID, "the notary serves another trust domain or broker id");
	if (err.msg[0] != '\0') {
		die(l, true, err.code, &err);
		return;
	}
	l->state = MF_LINK_OPEN;
	l->conf.ops->open(l->conf.ctx, h->log_size);
}

static void
got_records(struct mf_notary_link *l, const Mayfly__Roles__V1__LogRecords *m)
{
	struct mf_err err = { 0 };
	struct mf_slice *v = calloc(m->n_records + 1, sizeof(*v));
	if (v == NULL) {
		(void)MF_FAIL(&err, MF_E_NOMEM, "out of memory for log records");
		die(l, true, MF_E_NOMEM, &err);
		return;
	}
	for (size_t i = 0; i < m->n_records; i++)
		v[i] = mf_slice(m->records[i].data, m->records[i].len);
	l->conf.ops->records(l->conf.ctx, m->first_index, v, m->n_records, m->log_size);
	free(v);
}

static void
dispatch(struct mf_notary_link *l, uint16_t type, const void *m)
{
	const struct mf_notary_link_ops *ops = l->conf.ops;
	void *ctx = l->conf.ctx;
	switch (type) {
	case MF_MSG_NOTARY_HELLO:
		got_hello(l, m);
		break;
	case MF_MSG_ADMIN_REPLY:
		got_reply(l, m);
		break;
	case MF_MSG_SESSION_DATA_OUT: {
		const Mayfly__Roles__V1__SessionData *d = m;
		ops->session_data(ctx, d->sid, d->handshake, mf_slice(d->body.data, d->body.len));
		break;
	}
	case MF_MSG_SESSION_CLOSE_OUT: {
		const Mayfly__Roles__V1__SessionClose *c = m;
		ops->session_close(ctx, c->sid, c->reason);
		break;
	}
	case MF_MSG_SESSION_NODE: {
		const Mayfly__Roles__V1__SessionNode *n = m;
		ops->session_node(ctx, n->sid, n->node_id);
		break;
	}
	case MF_MSG_NODE_OUT:
		ops->node_out(ctx, ((const Mayfly__Roles__V1__NodeOut *)m)->node_id);
		break;
	case MF_MSG_SERVER_CERTIFICATE: {
		const Mayfly__Roles__V1__ServerCertificate *c = m;
		ops->server_certificate(ctx, mf_slice(c->chain.data, c->chain.len), c->not_after);
		break;
	}
	case MF_MSG_LOG_RECORDS:
		got_records(l, m);
		break;
	case MF_MSG_SHARED_DOCUMENT: {
		const Mayfly__Roles__V1__SharedDocument *d = m;
		if (d->document != NULL)
			ops->document(ctx, d->document);
		break;
	}
	case MF_MSG_DISTRUSTED:
		ops->distrusted(ctx, m);
		break;
	default: /* the table lets nothing else through */
		ops->status(ctx, m);
		break;
	}
}

static void
on_ready(void *ctx, unsigned ready)
{
	struct mf_notary_link *l = ctx;
	struct mf_err err = { 0 };
	for (unsigned n = 0; n < READS_PER_TURN && (ready & MF_LOOP_READ) != 0 && !l->dead; n++) {
		struct mf_packet p;
		const struct mf_role_msg *row;
		MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
		enum mf_status s = mf_seqpacket_recv(l->pkt, &p, &err);
		if (s == MF_E_AGAIN)
			break;
		if (s == MF_E_CLOSED) {
			die(l, false, s, NULL);
			break;
		}
		if (s == MF_OK)
			s = mf_role_decode(&mf_link_broker, MF_LINK_FRONT, (unsigned)l->state, p.type,
			    p.payload, p.fd >= 0, &row, &msg, &err);
		if (s != MF_OK) {
			die(l, true, s, &err);
			break;
		}
		dispatch(l, p.type, msg);
	}
	flush(l);
}

/* ---- life ---- */

enum mf_status
mf_notary_link_new(struct mf_loop *loop, const struct mf_notary_link_conf *conf,
    struct mf_notary_link **ret_l, struct mf_err *err)
{
	struct mf_notary_link *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	l->loop = loop;
	l->conf = *conf;
	mf_list_init(&l->calls);
	enum mf_status s = mf_loop_defer_new(loop, on_later, l, &l->later, err);
	if (s != MF_OK) {
		free(l);
		return s;
	}
	*ret_l = l;
	return MF_OK;
}

void
mf_notary_link_free(struct mf_notary_link *l)
{
	if (l == NULL)
		return;
	while (!mf_list_empty(&l->calls))
		call_free(MF_LIST_ITEM(l->calls.next, struct mf_notary_call, at));
	mf_loop_fd_free(l->io);
	mf_seqpacket_free(l->pkt);
	mf_loop_defer_free(l->later);
	free(l);
}

enum mf_status
mf_notary_link_connect(
    struct mf_notary_link *l, int fd, uint64_t applied, const uint8_t *root, struct mf_err *err)
{
	Mayfly__Roles__V1__FrontHello hello = MAYFLY__ROLES__V1__FRONT_HELLO__INIT;
	if (l->pkt != NULL) {
		die(l, false, MF_E_CLOSED, NULL);
		bury(l);
	}
	enum mf_status s = mf_seqpacket_new(fd, QUEUE_MAX, &l->pkt, err);
	if (s != MF_OK) {
		(void)close(fd);
		return s;
	}
	s = mf_loop_fd_new(l->loop, mf_seqpacket_fd(l->pkt), MF_LOOP_READ, on_ready, l, &l->io, err);
	hello.build_id = text_of(l->conf.build_id);
	hello.applied_index = applied;
	hello.applied_root = bytes_of(mf_slice(root, root == NULL ? 0 : 32));
	if (s == MF_OK)
		s = say(l, MF_MSG_FRONT_HELLO, &hello.base, err);
	if (s != MF_OK) {
		mf_loop_fd_free(MF_TAKE(l->io));
		mf_seqpacket_free(MF_TAKE(l->pkt));
	}
	return s;
}

bool
mf_notary_link_open(const struct mf_notary_link *l)
{
	return l->pkt != NULL && !l->dead && l->state == MF_LINK_OPEN;
}

bool
mf_notary_link_full(const struct mf_notary_link *l)
{
	return l->full;
}

size_t
mf_notary_link_queued(const struct mf_notary_link *l)
{
	return l->pkt == NULL ? 0 : mf_seqpacket_queued(l->pkt);
}
