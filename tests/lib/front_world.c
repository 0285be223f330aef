#include "front_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/jlog.h"

#define BUILD "test-build"

void
mf_fw_hang(void *ctx)
{
	bool *over = ctx;
	*over = true;
}

static void
text_to(char *to, size_t cap, const char *s)
{
	(void)snprintf(to, cap, "%s", s);
}

/* ---- the world ---- */

static int
listen_tcp(uint16_t *ret_port)
{
	struct sockaddr_in sa;
	socklen_t n = sizeof(sa);
	int fd = -1;
	assert_int_equal(mf_net_listen_tcp("127.0.0.1", 0, &fd, NULL), MF_OK);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

static void
on_leave(void *ctx, int code)
{
	struct fw *w = ctx;
	w->left = code;
}

void
mf_fw_init(struct fw *w)
{
	memset(w, 0, sizeof(*w));
	if (getenv("MF_TEST_LOG") == NULL) /* set it to see the role's log lines */
		mf_jlog_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
	text_to(w->dir, sizeof(w->dir), "/tmp/mf-front-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->admin, sizeof(w->admin), "%s-admin", w->dir);
	w->db = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->db >= 0 && w->back >= 0);
	assert_int_equal(mf_loop_new(&w->l, NULL), MF_OK);
	w->mint = mf_mint_new(FW_TD, mf_now().wall_us / 1000000);
	w->n.w = w;
	w->n.certifies = true;
	w->n.cert_life_s = 3600;
	w->n.build_id = BUILD;
	w->n.trust_domain = FW_TD;
	w->uids[0] = (uint32_t)getuid();
	w->conf = (struct mf_broker_front_conf) { .build_id = BUILD,
		.release = "0.0.0",
		.trust_domain = FW_TD,
		.broker_id = "b1",
		.db_dirfd = w->db,
		.admin_uids = w->uids,
		.n_admin_uids = 1,
		.admin_gid = MF_ADMIN_NO_GROUP,
		.admin_tls_fd = -1,
		.leave = on_leave,
		.ctx = w };
}

void
mf_fw_start(struct fw *w)
{
	struct mf_err err = { 0 };
	w->left = -1;
	w->conf.agents_fd = listen_tcp(&w->port);
	w->conf.metrics_fd = listen_tcp(&w->http);
	w->conf.admin_tls_fd = listen_tcp(&w->admin_port);
	assert_int_equal(mf_net_listen_unix(w->admin, 0777, &w->conf.admin_fd, &err), MF_OK);
	if (mf_broker_front_new(w->l, &w->conf, &w->f, &err) != MF_OK)
		fail_msg("%s", err.msg);
}

void
mf_fw_serve(struct fw *w)
{
	mf_fw_start(w);
	mf_fn_link(w);
	FW_UNTIL(w, mf_fn_last(w, MF_MSG_CERTIFY_SERVER) != NULL);
}

void
mf_fw_stop_front(struct fw *w)
{
	mf_broker_front_free(MF_TAKE(w->f));
	(void)unlink(w->admin);
}

void
mf_fw_settle(struct fw *w)
{
	for (int i = 0; i < 50; i++)
		assert_int_equal(mf_loop_turn(w->l, false, NULL), MF_OK);
}

void
mf_fw_fini(struct fw *w)
{
	static const char *const names[] = { MF_RM_FILE, MF_RM_FILE "-wal", MF_RM_FILE "-journal" };
	mf_fw_stop_front(w);
	mf_fn_unlink(w);
	mf_fn_forget(w);
	FW_UNTIL(w, w->clients.open == 0); /* their ends are seen */
	mf_mint_free(w->mint);
	kit_fini(&w->kit);
	mf_loop_free(w->l);
	for (size_t i = 0; i < MF_COUNT(names); i++)
		(void)unlinkat(w->db, names[i], 0);
	assert_int_equal(fchdir(w->back), 0);
	assert_int_equal(rmdir(w->dir), 0);
	(void)close(w->db);
	(void)close(w->back);
}

/* ---- the notary ---- */

void
mf_fn_say(struct fw *w, uint16_t type, const ProtobufCMessage *msg)
{
	struct mf_err err = { 0 };
	struct mf_buf b;
	mf_buf_init(&b, MF_PACKET_PAYLOAD_MAX);
	if (mf_role_encode(&mf_link_broker, MF_LINK_INNER, type, msg, false, &b, &err) != MF_OK)
		fail_msg("%s", err.msg);
	mf_fn_raw(w, type, mf_buf_slice(&b));
	mf_buf_fini(&b);
}

void
mf_fn_raw(struct fw *w, uint16_t type, struct mf_slice payload)
{
	if (w->n.pkt == NULL)
		return;
	assert_int_equal(mf_seqpacket_queue(w->n.pkt, type, payload, -1, NULL), MF_OK);
	mf_loop_defer_set(w->n.later);
}

static void
interest(struct fake_notary *n)
{
	unsigned want = (n->deaf ? 0 : MF_LOOP_READ) | (mf_seqpacket_wants_write(n->pkt) ? MF_LOOP_WRITE : 0);
	assert_int_equal(mf_loop_fd_set(n->io, want, NULL), MF_OK);
}

static void
flush(void *ctx)
{
	struct fake_notary *n = ctx;
	if (n->pkt == NULL)
		return;
	if (mf_seqpacket_flush(n->pkt, NULL) != MF_OK)
		n->closed = true;
	else
		interest(n);
}

static void
certify(struct fake_notary *n, const Mayfly__Roles__V1__CertifyServer *q)
{
	Mayfly__Roles__V1__ServerCertificate m = MAYFLY__ROLES__V1__SERVER_CERTIFICATE__INIT;
	struct mf_buf der;
	int64_t now = mf_now().wall_us / 1000000;
	assert_int_equal(q->point.len, 65);
	mf_buf_init(&der, 8192);
	(void)mf_mint_leaf(n->w->mint, "/mayfly/broker/b1", q->point.data, now, now + n->cert_life_s, &der);
	m.chain.data = der.p;
	m.chain.len = der.n;
	m.not_after = now + n->cert_life_s;
	mf_fn_say(n->w, MF_MSG_SERVER_CERTIFICATE, &m.base);
	mf_buf_fini(&der);
}

static void
hello(struct fw *w)
{
	Mayfly__Roles__V1__NotaryHello m = MAYFLY__ROLES__V1__NOTARY_HELLO__INIT;
	char build[64], td[64], broker[] = "b1";
	text_to(build, sizeof(build), w->n.build_id);
	text_to(td, sizeof(td), w->n.trust_domain);
	m.build_id = build;
	m.trust_domain = td;
	m.broker_id = broker;
	m.log_size = w->n.log_size;
	mf_fn_say(w, MF_MSG_NOTARY_HELLO, &m.base);
}

static bool
greeted(const struct fake_notary *n, uint64_t sid)
{
	for (size_t i = 0; i < n->n; i++) {
		const Mayfly__Roles__V1__SessionData *d = (const void *)n->got[i].msg;
		if (n->got[i].type == MF_MSG_SESSION_DATA && d->sid == sid && d->handshake)
			return true;
	}
	return n->forgot;
}

static void
got(struct fake_notary *n, uint16_t type, ProtobufCMessage *msg)
{
	assert_true(n->n < FW_GOT_MAX);
	n->got[n->n++] = (struct fw_got) { type, msg };
	/* For the real one a session begins with its handshake message. */
	if (type == MF_MSG_SESSION_CREDIT)
		assert_true(greeted(n, ((const Mayfly__Roles__V1__SessionCredit *)(const void *)msg)->sid));
	switch (type) {
	case MF_MSG_FRONT_HELLO:
		n->state = MF_LINK_OPEN;
		mf_fn_document(n->w, 1, mf_mint_ca(n->w->mint));
		mf_fn_status(n->w, true, "");
		break;
	case MF_MSG_CERTIFY_SERVER:
		if (n->certifies)
			certify(n, (const void *)msg);
		break;
	case MF_MSG_ADMIN_CALL:
		if (n->on_call != NULL)
			n->on_call(n, (const void *)msg);
		break;
	default:
		break;
	}
}

static void
on_ready(void *ctx, unsigned ready)
{
	struct fake_notary *n = ctx;
	struct mf_packet p;
	const struct mf_role_msg *row;
	enum mf_status s = MF_E_AGAIN;
	struct mf_err err = { 0 };
	while ((ready & MF_LOOP_READ) != 0 && !n->deaf && n->pkt != NULL &&
	       (s = mf_seqpacket_recv(n->pkt, &p, NULL)) == MF_OK) {
		ProtobufCMessage *msg = NULL;
		/* The front speaks by the table, whatever happened. */
		if (mf_role_decode(&mf_link_broker, MF_LINK_INNER, n->state, p.type, p.payload, p.fd >= 0,
			&row, &msg, &err) != MF_OK)
			fail_msg("%s", err.msg);
		got(n, p.type, msg);
	}
	if (s == MF_E_CLOSED) {
		n->closed = true;
		assert_int_equal(mf_loop_fd_set(n->io, 0, NULL), MF_OK);
		return;
	}
	flush(n);
}

void
mf_fn_link(struct fw *w)
{
	struct mf_err err = { 0 };
	int fds[2];
	mf_fn_unlink(w);
	assert_int_equal(mf_seqpacket_pair(fds, &err), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[0], 64u << 20, &w->n.pkt, &err), MF_OK);
	assert_int_equal(
	    mf_loop_fd_new(w->l, mf_seqpacket_fd(w->n.pkt), MF_LOOP_READ, on_ready, &w->n, &w->n.io, &err),
	    MF_OK);
	assert_int_equal(mf_loop_defer_new(w->l, flush, &w->n, &w->n.later, &err), MF_OK);
	w->n.state = MF_LINK_HELLO;
	w->n.closed = false;
	hello(w);
	assert_int_equal(mf_broker_front_link(w->f, fds[1], &err), MF_OK);
}

void
mf_fn_unlink(struct fw *w)
{
	mf_loop_fd_free(MF_TAKE(w->n.io));
	mf_loop_defer_free(MF_TAKE(w->n.later));
	mf_seqpacket_free(MF_TAKE(w->n.pkt));
}

static ProtobufCBinaryData
bytes(const void *p, size_t n)
{
	ProtobufCBinaryData b = { n, NULL };
	memcpy(&b.data, &p, sizeof(b.data));
	return b;
}

void
mf_fn_document(struct fw *w, uint64_t number, struct mf_slice der)
{
	Mayfly__Roles__V1__SharedDocument m = MAYFLY__ROLES__V1__SHARED_DOCUMENT__INIT;
	Mayfly__Agent__V1__Document d = MAYFLY__AGENT__V1__DOCUMENT__INIT;
	char td[] = FW_TD;
	d.kind = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE;
	d.number = number;
	d.body = bytes(der.p, der.n);
	m.document = &d;
	m.trust_domain = td;
	mf_fn_say(w, MF_MSG_SHARED_DOCUMENT, &m.base);
}

void
mf_fn_issuer(struct fw *w, const char *sight, const char *why)
{
	Mayfly__Roles__V1__NotaryStatus m = MAYFLY__ROLES__V1__NOTARY_STATUS__INIT;
	char is[16], text[256];
	text_to(is, sizeof(is), sight);
	text_to(text, sizeof(text), why);
	m.issuing = true;
	m.issuer = is;
	m.issuer_why = text;
	m.log_size = w->kit.n;
	mf_fn_say(w, MF_MSG_NOTARY_STATUS, &m.base);
}

void
mf_fn_status(struct fw *w, bool issuing, const char *reason)
{
	Mayfly__Roles__V1__NotaryStatus m = MAYFLY__ROLES__V1__NOTARY_STATUS__INIT;
	char text[256];
	text_to(text, sizeof(text), reason);
	m.issuing = issuing;
	m.reason = text;
	m.log_size = w->kit.n;
	m.issued = 7;
	mf_fn_say(w, MF_MSG_NOTARY_STATUS, &m.base);
}

/* In messages of 48 KiB, as the notary does. */
void
mf_fn_records(struct fw *w, size_t from, size_t to)
{
	while (from < to) {
		Mayfly__Roles__V1__LogRecords m = MAYFLY__ROLES__V1__LOG_RECORDS__INIT;
		ProtobufCBinaryData v[100];
		m.first_index = from;
		m.records = v;
		m.log_size = w->kit.n;
		for (size_t n = 0; from < to && m.n_records < MF_COUNT(v) && n < 49152 - 2048; from++) {
			n += w->kit.at[from].n + 8;
			v[m.n_records++] = bytes(w->kit.at[from].p, w->kit.at[from].n);
		}
		mf_fn_say(w, MF_MSG_LOG_RECORDS, &m.base);
	}
}

void
mf_fn_data(struct fw *w, uint64_t sid, bool handshake, const void *p, size_t n)
{
	Mayfly__Roles__V1__SessionData m = MAYFLY__ROLES__V1__SESSION_DATA__INIT;
	m.sid = sid;
	m.handshake = handshake;
	m.body = bytes(p, n);
	mf_fn_say(w, MF_MSG_SESSION_DATA_OUT, &m.base);
}

void
mf_fn_node(struct fw *w, uint64_t sid, const char *node)
{
	Mayfly__Roles__V1__SessionNode m = MAYFLY__ROLES__V1__SESSION_NODE__INIT;
	char text[256];
	text_to(text, sizeof(text), node);
	m.sid = sid;
	m.node_id = text;
	mf_fn_say(w, MF_MSG_SESSION_NODE, &m.base);
}

void
mf_fn_node_out(struct fw *w, const char *node)
{
	Mayfly__Roles__V1__NodeOut m = MAYFLY__ROLES__V1__NODE_OUT__INIT;
	char text[256];
	text_to(text, sizeof(text), node);
	m.node_id = text;
	mf_fn_say(w, MF_MSG_NODE_OUT, &m.base);
}

void
mf_fn_close(struct fw *w, uint64_t sid, const char *reason)
{
	Mayfly__Roles__V1__SessionClose m = MAYFLY__ROLES__V1__SESSION_CLOSE__INIT;
	char text[256];
	text_to(text, sizeof(text), reason);
	m.sid = sid;
	m.reason = text;
	mf_fn_say(w, MF_MSG_SESSION_CLOSE_OUT, &m.base);
}

void
mf_fn_fail(struct fake_notary *n, uint64_t call_id, const char *code, const char *text)
{
	Mayfly__Roles__V1__AdminReply m = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	char c[64], t[256];
	text_to(c, sizeof(c), code);
	text_to(t, sizeof(t), text);
	m.call_id = call_id;
	m.error_code = c;
	m.error = t;
	mf_fn_say(n->w, MF_MSG_ADMIN_REPLY, &m.base);
}

const void *
mf_fn_last(const struct fw *w, uint16_t type)
{
	for (size_t i = w->n.n; i-- > 0;)
		if (w->n.got[i].type == type)
			return w->n.got[i].msg;
	return NULL;
}

size_t
mf_fn_count(const struct fw *w, uint16_t type)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n.n; i++)
		n += w->n.got[i].type == type;
	return n;
}

void
mf_fn_forget(struct fw *w)
{
	for (size_t i = 0; i < w->n.n; i++)
		mf_pb_free(w->n.got[i].msg);
	w->n.n = 0;
	w->n.forgot = true;
}

void
mf_fn_deaf(struct fw *w, bool deaf)
{
	w->n.deaf = deaf;
	interest(&w->n);
}
