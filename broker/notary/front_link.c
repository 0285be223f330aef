#include "broker/notary/front_link.h"

#include <stdio.h>

#include <stdlib.h>
#include <unistd.h>

#include "log/reader.h"
#include "os/jlog.h"
#include "os/seqpacket.h"

#define QUEUE_MAX (16u * 1024u * 1024u)
#define KEPT 3u
#define FEED_BYTES 49152u /* of records in one message */
#define FEED_RECORDS 512u
#define KEY_ID 20u
#define FEED_AHEAD (1u * 1024u * 1024u) /* bytes of feed that wait for the front */

struct mf_front_link {
	struct mf_front_link_conf conf;
	struct mf_seqpacket *pkt; /* NULL: not connected */
	enum mf_link_state state;
	bool alive; /* cleared by a failure inside a callback */
	struct kept {
		Mayfly__Agent__V1__DocumentKind kind;
		uint64_t number; /* 0: none */
		struct mf_buf body;
	} kept[KEPT]; /* the bundle, and documents beside it */
	/* the feed */
	struct mf_wal_reader *reader;
	struct mf_frame frame;
	bool have_frame;
	uint64_t next, durable;
	/* what every front is told first */
	struct mf_buf distrusted;
};

enum mf_status
mf_front_link_new(const struct mf_front_link_conf *conf, struct mf_front_link **ret_l, struct mf_err *err)
{
	struct mf_front_link *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "front link: out of memory");
	l->conf = *conf;
	for (size_t i = 0; i < KEPT; i++)
		mf_buf_init(&l->kept[i].body, MF_LIM_DOCUMENT);
	mf_buf_init(&l->distrusted, MF_LIM_BUNDLE_CERTS * KEY_ID);
	*ret_l = l;
	return MF_OK;
}

static void
disconnect(struct mf_front_link *l)
{
	mf_seqpacket_free(l->pkt);
	mf_wal_reader_free(l->reader);
	l->pkt = NULL;
	l->reader = NULL;
	l->have_frame = false;
	l->state = MF_LINK_HELLO;
}

void
mf_front_link_free(struct mf_front_link *l)
{
	if (l == NULL)
		return;
	disconnect(l);
	for (size_t i = 0; i < KEPT; i++)
		mf_buf_fini(&l->kept[i].body);
	mf_buf_fini(&l->distrusted);
	free(l);
}

static void
die(struct mf_front_link *l, const char *why, const struct mf_err *err)
{
	if (l->pkt == NULL)
		return;
	if (err != NULL)
		mf_jlog_err(MF_LOG_WARN, "front.link", why, err);
	disconnect(l);
	l->conf.ops->gone(l->conf.ctx, why);
}

static void
say(struct mf_front_link *l, uint16_t type, const ProtobufCMessage *msg)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_PACKET_PAYLOAD_MAX);
	if (l->pkt == NULL || (l->state == MF_LINK_HELLO && type != MF_MSG_NOTARY_HELLO))
		return;
	if (mf_role_encode(&mf_link_broker, MF_LINK_INNER, type, msg, false, &b, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "front.encode", "a message was not sent", &err);
		return;
	}
	if (mf_seqpacket_queue(l->pkt, type, mf_buf_slice(&b), -1, &err) != MF_OK)
		die(l, "the front does not read", &err);
}

enum mf_status
mf_front_link_connect(struct mf_front_link *l, int fd, uint64_t log_size, struct mf_err *err)
{
	Mayfly__Roles__V1__NotaryHello hello = MAYFLY__ROLES__V1__NOTARY_HELLO__INIT;
	char build[128], broker[128], td[256];
	bool was = l->pkt != NULL;
	disconnect(l);
	if (was)
		l->conf.ops->gone(l->conf.ctx, "replaced");
	enum mf_status s = mf_seqpacket_new(fd, QUEUE_MAX, &l->pkt, err);
	if (s != MF_OK) {
		(void)close(fd);
		return s;
	}
	(void)snprintf(build, sizeof(build), "%s", l->conf.build_id);
	(void)snprintf(broker, sizeof(broker), "%s", l->conf.broker_id);
	(void)snprintf(td, sizeof(td), "%s", l->conf.trust_domain);
	hello.build_id = build;
	hello.broker_id = broker;
	hello.trust_domain = td;
	hello.log_size = log_size;
	l->durable = log_size;
	say(l, MF_MSG_NOTARY_HELLO, &hello.base);
	mf_front_link_write(l);
	return MF_OK;
}

int
mf_front_link_fd(const struct mf_front_link *l)
{
	return l->pkt == NULL ? -1 : mf_seqpacket_fd(l->pkt);
}

bool
mf_front_link_wants_write(const struct mf_front_link *l)
{
	return l->pkt != NULL && mf_seqpacket_wants_write(l->pkt);
}

/* ---- the feed: durable records only, whatever the reader can see ---- */

struct gather {
	Mayfly__Roles__V1__LogRecords *msg;
	ProtobufCBinaryData *v;
	size_t bytes;
	uint64_t next;
};

static enum mf_status
gather_record(void *ctx, const struct mf_wal_record *rec, struct mf_err *err)
{
	struct gather *g = ctx;
	if (g->msg->n_records > 0 &&
	    (g->msg->n_records == FEED_RECORDS || g->bytes + rec->bytes.n + 8 > FEED_BYTES))
		return MF_FAIL(err, MF_E_AGAIN, "full");
	if (g->msg->n_records == 0)
		g->msg->first_index = rec->index;
	uint8_t *data;
	memcpy(&data, &rec->bytes.p, sizeof(data)); /* protobuf-c has no const; it is only read */
	g->v[g->msg->n_records++] = (ProtobufCBinaryData) { rec->bytes.n, data };
	g->bytes += rec->bytes.n + 8;
	g->next = rec->index + 1;
	return MF_OK;
}

static bool
next_frame(struct mf_front_link *l)
{
	struct mf_err err = { 0 };
	if (!l->have_frame) {
		enum mf_status s = mf_wal_reader_next(l->reader, &l->frame, &err);
		if (s == MF_E_AGAIN)
			return false;
		if (s != MF_OK) {
			die(l, "the log cannot be read for the feed", &err);
			return false;
		}
		l->have_frame = true;
	}
	return l->frame.tree_size <= l->durable;
}

static bool
feed_some(struct mf_front_link *l)
{
	Mayfly__Roles__V1__LogRecords msg = MAYFLY__ROLES__V1__LOG_RECORDS__INIT;
	ProtobufCBinaryData v[FEED_RECORDS];
	struct gather g = { &msg, v, 0, l->next };
	struct mf_err err = { 0 };
	if (!next_frame(l))
		return false;
	msg.records = v;
	msg.log_size = l->durable;
	enum mf_status s =
	    mf_wal_reader_records(l->reader, &l->frame, l->next, UINT64_MAX, gather_record, &g, &err);
	if (s != MF_OK && s != MF_E_AGAIN) {
		die(l, "the log cannot be read for the feed", &err);
		return false;
	}
	l->next = g.next;
	if (l->next >= l->frame.tree_size)
		l->have_frame = false;
	if (msg.n_records > 0)
		say(l, MF_MSG_LOG_RECORDS, &msg.base);
	return l->pkt != NULL;
}

static void
feed(struct mf_front_link *l)
{
	while (l->pkt != NULL && l->reader != NULL && l->next < l->durable &&
	       mf_seqpacket_queued(l->pkt) < FEED_AHEAD && feed_some(l))
		;
}

static void
begin_feed(struct mf_front_link *l, uint64_t from)
{
	struct mf_err err = { 0 };
	mf_wal_reader_free(l->reader);
	l->reader = NULL;
	l->have_frame = false;
	l->next = from;
	if (mf_wal_reader_new_at(NULL, l->conf.wal_dirfd, from, &l->reader, &err) != MF_OK)
		die(l, "the log cannot be read for the feed", &err);
}

void
mf_front_link_durable(struct mf_front_link *l, uint64_t size)
{
	l->durable = size;
	feed(l);
}

/* ---- documents ---- */

static void
say_kept(struct mf_front_link *l, const struct kept *k)
{
	Mayfly__Roles__V1__SharedDocument doc = MAYFLY__ROLES__V1__SHARED_DOCUMENT__INIT;
	Mayfly__Agent__V1__Document d = MAYFLY__AGENT__V1__DOCUMENT__INIT;
	char td[256];
	if (k->number == 0 || l->state != MF_LINK_OPEN)
		return;
	(void)snprintf(td, sizeof(td), "%s", l->conf.trust_domain);
	d.kind = k->kind;
	d.number = k->number;
	d.body.data = k->body.p;
	d.body.len = k->body.n;
	doc.document = &d;
	doc.trust_domain = td;
	say(l, MF_MSG_SHARED_DOCUMENT, &doc.base);
}

void
mf_front_link_document(
    struct mf_front_link *l, Mayfly__Agent__V1__DocumentKind kind, uint64_t number, struct mf_slice body)
{
	struct kept *k = NULL;
	for (size_t i = 0; i < KEPT && k == NULL; i++)
		if (l->kept[i].number == 0 || l->kept[i].kind == kind)
			k = &l->kept[i];
	if (k == NULL)
		return;
	mf_buf_reset(&k->body);
	mf_buf_put_slice(&k->body, body);
	k->kind = kind;
	k->number = mf_buf_check(&k->body, NULL) == MF_OK ? number : 0;
	say_kept(l, k);
}

static void
say_distrusted(struct mf_front_link *l)
{
	Mayfly__Roles__V1__Distrusted m = MAYFLY__ROLES__V1__DISTRUSTED__INIT;
	ProtobufCBinaryData ids[MF_LIM_BUNDLE_CERTS];
	if (l->state != MF_LINK_OPEN)
		return;
	for (; m.n_key_ids < l->distrusted.n / KEY_ID; m.n_key_ids++)
		ids[m.n_key_ids] = (ProtobufCBinaryData) { KEY_ID, l->distrusted.p + KEY_ID * m.n_key_ids };
	m.key_ids = ids;
	say(l, MF_MSG_DISTRUSTED, &m.base);
}

void
mf_front_link_bundle(struct mf_front_link *l, uint64_t number, struct mf_slice der)
{
	mf_front_link_document(l, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE, number, der);
}

void
mf_front_link_distrusted(struct mf_front_link *l, struct mf_slice ids)
{
	mf_buf_reset(&l->distrusted);
	mf_buf_put_slice(&l->distrusted, ids);
	if (mf_buf_check(&l->distrusted, NULL) == MF_OK)
		say_distrusted(l);
}

/* ---- what arrives ---- */

static void
got_hello(struct mf_front_link *l, const Mayfly__Roles__V1__FrontHello *h)
{
	if (strcmp(h->build_id, l->conf.build_id) != 0) {
		die(l, "the front is of another build: restart mayfly-broker", NULL);
		return;
	}
	l->state = MF_LINK_OPEN;
	l->conf.ops->hello(l->conf.ctx, h->applied_index);
	if (l->pkt == NULL)
		return;
	for (size_t i = 0; i < KEPT && l->pkt != NULL; i++)
		say_kept(l, &l->kept[i]);
	if (l->distrusted.n > 0)
		say_distrusted(l);
	begin_feed(l, h->applied_index);
	feed(l);
}

static void
dispatch(struct mf_front_link *l, uint16_t type, const ProtobufCMessage *msg)
{
	const void *m = msg;
	const struct mf_front_ops *ops = l->conf.ops;
	void *ctx = l->conf.ctx;
	switch (type) {
	case MF_MSG_FRONT_HELLO:
		got_hello(l, m);
		break;
	case MF_MSG_SESSION_OPEN:
		ops->session_open(ctx, ((const Mayfly__Roles__V1__SessionOpen *)m)->sid);
		break;
	case MF_MSG_SESSION_DATA: {
		const Mayfly__Roles__V1__SessionData *d = m;
		ops->session_data(ctx, d->sid, d->handshake, mf_slice(d->body.data, d->body.len));
		break;
	}
	case MF_MSG_SESSION_CREDIT: {
		const Mayfly__Roles__V1__SessionCredit *c = m;
		ops->session_credit(ctx, c->sid, c->chunks);
		break;
	}
	case MF_MSG_SESSION_CLOSE:
		ops->session_close(ctx, ((const Mayfly__Roles__V1__SessionClose *)m)->sid);
		break;
	case MF_MSG_ADMIN_CALL:
		ops->admin_call(ctx, m);
		break;
	case MF_MSG_CERTIFY_SERVER: {
		const Mayfly__Roles__V1__CertifyServer *c = m;
		ops->certify_server(ctx, mf_slice(c->point.data, c->point.len));
		break;
	}
	default: /* MF_MSG_LOG_ACK: the read model has caught up so far; nothing depends on it */
		break;
	}
}

void
mf_front_link_read(struct mf_front_link *l)
{
	struct mf_err err = { 0 };
	for (unsigned n = 0; n < 256 && l->pkt != NULL; n++) {
		struct mf_packet p;
		const struct mf_role_msg *row;
		MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
		enum mf_status s = mf_seqpacket_recv(l->pkt, &p, &err);
		if (s == MF_E_AGAIN)
			break;
		if (s == MF_OK)
			s = mf_role_decode(&mf_link_broker, MF_LINK_INNER, (unsigned)l->state, p.type,
			    p.payload, p.fd >= 0, &row, &msg, &err);
		if (s != MF_OK) {
			die(l, s == MF_E_CLOSED ? "the front is gone" : "the front broke the protocol", &err);
			return;
		}
		dispatch(l, p.type, msg);
	}
	mf_front_link_write(l);
}

void
mf_front_link_write(struct mf_front_link *l)
{
	struct mf_err err = { 0 };
	if (l->pkt == NULL)
		return;
	if (mf_seqpacket_flush(l->pkt, &err) != MF_OK) {
		die(l, "the front is gone", &err);
		return;
	}
	if (l->state == MF_LINK_OPEN && l->next < l->durable) {
		feed(l);
		if (l->pkt != NULL && mf_seqpacket_flush(l->pkt, &err) != MF_OK)
			die(l, "the front is gone", &err);
	}
}

/* ---- what leaves ---- */

void
mf_front_link_session_data(struct mf_front_link *l, uint64_t sid, bool handshake, struct mf_slice body)
{
	Mayfly__Roles__V1__SessionData m = MAYFLY__ROLES__V1__SESSION_DATA__INIT;
	m.sid = sid;
	m.handshake = handshake;
	memcpy(&m.body.data, &body.p, sizeof(m.body.data));
	m.body.len = body.n;
	say(l, MF_MSG_SESSION_DATA_OUT, &m.base);
}

void
mf_front_link_session_close(struct mf_front_link *l, uint64_t sid, const char *reason)
{
	Mayfly__Roles__V1__SessionClose m = MAYFLY__ROLES__V1__SESSION_CLOSE__INIT;
	char text[256];
	(void)snprintf(text, sizeof(text), "%s", reason);
	m.sid = sid;
	m.reason = text;
	say(l, MF_MSG_SESSION_CLOSE_OUT, &m.base);
}

void
mf_front_link_admin_reply(struct mf_front_link *l, const Mayfly__Roles__V1__AdminReply *reply)
{
	say(l, MF_MSG_ADMIN_REPLY, &reply->base);
}

void
mf_front_link_server_certificate(struct mf_front_link *l, struct mf_slice chain, int64_t not_after)
{
	Mayfly__Roles__V1__ServerCertificate m = MAYFLY__ROLES__V1__SERVER_CERTIFICATE__INIT;
	memcpy(&m.chain.data, &chain.p, sizeof(m.chain.data));
	m.chain.len = chain.n;
	m.not_after = not_after;
	say(l, MF_MSG_SERVER_CERTIFICATE, &m.base);
}

void
mf_front_link_say_status(struct mf_front_link *l, const struct mf_engine_status *st, uint64_t log_size,
    uint64_t batches, uint32_t leases_open)
{
	Mayfly__Roles__V1__NotaryStatus m = MAYFLY__ROLES__V1__NOTARY_STATUS__INIT;
	char reason[MF_ERR_MSG_MAX];
	(void)snprintf(reason, sizeof(reason), "%s", st->reason == NULL ? "" : st->reason);
	m.issuing = st->issuing;
	m.reason = reason;
	m.issuer = (char *)(uintptr_t)st->issuer; /* packing reads only */
	m.issuer_why = (char *)(uintptr_t)st->issuer_why;
	m.log_size = log_size;
	m.batches = batches;
	m.signatures = st->issued + st->renewed;
	m.sessions = st->sessions;
	m.leases_open = leases_open;
	m.issued = st->issued;
	m.refused = st->refused;
	m.cloud_failing = st->cloud_failing;
	m.cloud_unknown = st->cloud_unknown;
	m.cloud_pending = st->cloud_pending;
	m.cloud_late = st->cloud_late;
	say(l, MF_MSG_NOTARY_STATUS, &m.base);
}

void
mf_front_link_session_node(struct mf_front_link *l, uint64_t sid, const char *node_id)
{
	Mayfly__Roles__V1__SessionNode m = MAYFLY__ROLES__V1__SESSION_NODE__INIT;
	char id[MF_STATE_ID_MAX];
	(void)snprintf(id, sizeof(id), "%s", node_id);
	m.sid = sid;
	m.node_id = id;
	say(l, MF_MSG_SESSION_NODE, &m.base);
}

void
mf_front_link_node_out(struct mf_front_link *l, const char *node_id)
{
	Mayfly__Roles__V1__NodeOut m = MAYFLY__ROLES__V1__NODE_OUT__INIT;
	char id[MF_STATE_ID_MAX];
	(void)snprintf(id, sizeof(id), "%s", node_id);
	m.node_id = id;
	say(l, MF_MSG_NODE_OUT, &m.base);
}
