/* The clients of front_world: agents over TLS, administrators on the socket, a reader of the status pages. */
#include "front_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/hash.h"

static ProtobufCBinaryData
bytes(const void *p, size_t n)
{
	ProtobufCBinaryData b = { n, NULL };
	memcpy(&b.data, &p, sizeof(b.data));
	return b;
}

static void
text_to(char *to, size_t cap, const char *s)
{
	(void)snprintf(to, cap, "%s", s);
}

/* ---- clients ---- */

static bool
c_open(void *ctx, struct mf_net_conn *conn)
{
	struct fw_client *c = ctx;
	MF_UNUSED(conn);
	c->open = true;
	return true;
}

static void
c_close(void *ctx, struct mf_net_conn *conn, enum mf_net_why why, const struct mf_err *err)
{
	struct fw_client *c = ctx;
	MF_UNUSED(conn);
	(void)snprintf(c->why, sizeof(c->why), "%d: %s", (int)why, err == NULL ? "" : err->msg);
	c->conn = NULL;
	c->over = true;
}

static const struct mf_net_conn_ops client_ops = { .on_open = c_open, .on_close = c_close };
static const struct mf_grpc_client grpc_client = { .authority = "broker" };

/* A joining agent pins the CA by hash: it must be the last certificate shown. */
static enum mf_status
c_verify(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	struct fw_client *c = mf_net_conn_user(conn);
	MF_UNUSED(ctx);
	MF_UNUSED(err);
	c->n_chain = n;
	c->ca_last = n > 1 && mf_slice_eq(chain[n - 1], mf_mint_ca(c->w->mint));
	mf_sha256(chain[0], c->leaf);
	return MF_OK;
}

struct mf_tls_ctx *
mf_fw_client_tls(struct fw *w, const struct mint *m, const char *path, int64_t not_after)
{
	struct mf_tls_config cfg = { .verify = c_verify };
	struct mf_tls_ctx *tls = NULL;
	struct mf_buf der, key;
	struct mf_slice chain[1];
	int64_t now = mf_now().wall_us / 1000000;
	mf_buf_init(&der, 8192);
	mf_buf_init(&key, 8192);
	if (path != NULL) {
		(void)mf_mint_keyed(
		    m == NULL ? w->mint : m, path, now, not_after == 0 ? now + 3600 : not_after, &der, &key);
		chain[0] = mf_buf_slice(&der);
		cfg.chain = chain;
		cfg.n_chain = 1;
		cfg.key = mf_buf_slice(&key);
	}
	assert_int_equal(mf_tls_ctx_new(&cfg, &tls, NULL), MF_OK);
	mf_buf_fini(&der);
	mf_buf_fini(&key);
	return tls;
}

static void
dial(struct fw *w, struct fw_client *c, uint16_t port, struct mf_tls_ctx *tls)
{
	struct mf_net_client_config cfg = { .address = "127.0.0.1",
		.port = port,
		.tls = tls,
		.client = &grpc_client,
		.ops = &client_ops,
		.ctx = c,
		.counters = &w->clients };
	memset(c, 0, sizeof(*c));
	c->w = w;
	assert_int_equal(mf_net_connect(w->l, &cfg, &c->conn, NULL), MF_OK);
	mf_net_conn_set_user(c->conn, c);
}

void
mf_fw_dial(struct fw *w, struct fw_client *c, const struct mint *m, const char *path, int64_t not_after)
{
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *tls = mf_fw_client_tls(w, m, path, not_after);
	dial(w, c, w->port, tls);
}

/* In TLS 1.3 a client is done before the server has judged it: only an answered call shows that it is in. */
void
mf_fw_dial_node(struct fw *w, struct fw_client *c, const char *node)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "/mayfly/node/%s", node == NULL ? "" : node);
	mf_fw_dial(w, c, NULL, node == NULL ? NULL : path, 0);
	FW_UNTIL(w, c->open || c->over);
	if (c->over)
		fail_msg("%s", c->why);
}

void
mf_fw_refused(struct fw *w, const struct mint *m, const char *path, int64_t not_after)
{
	struct fw_client c;
	size_t opens = mf_fn_count(w, MF_MSG_SESSION_OPEN);
	mf_fw_dial(w, &c, m, path, not_after);
	FW_UNTIL(w, c.over);
	assert_int_equal(mf_fn_count(w, MF_MSG_SESSION_OPEN), opens);
}

void
mf_fw_hang_up(struct fw *w, struct fw_client *c)
{
	if (c->conn != NULL)
		mf_net_conn_close(c->conn);
	FW_UNTIL(w, c->over);
}

static void
s_message(struct mf_grpc_call *call, const ProtobufCMessage *msg)
{
	struct fw_stream *s = mf_grpc_call_user(call);
	const Mayfly__Agent__V1__Frame *f = (const void *)msg;
	assert_true(s->n < MF_COUNT(s->frames));
	struct fw_frame *to = &s->frames[s->n++];
	to->kind = (int)f->kind_case;
	if (f->kind_case == MAYFLY__AGENT__V1__FRAME__KIND_DOCUMENT) {
		s->doc_number = f->document->number;
		s->doc_bytes = f->document->body.len;
		return;
	}
	to->n = f->sealed.len;
	memcpy(to->first, f->sealed.data, to->n < sizeof(to->first) ? to->n : sizeof(to->first));
	s->sealed += f->kind_case == MAYFLY__AGENT__V1__FRAME__KIND_SEALED;
}

static void
s_writable(struct mf_grpc_call *call)
{
	((struct fw_stream *)mf_grpc_call_user(call))->writable = true;
}

static void
s_status(struct mf_grpc_call *call, enum mf_grpc_code code, const char *text)
{
	struct fw_stream *s = mf_grpc_call_user(call);
	s->call = NULL;
	s->over = true;
	s->code = code;
	text_to(s->text, sizeof(s->text), text);
}

static const struct mf_grpc_client_ops stream_ops = {
	.on_message = s_message,
	.on_writable = s_writable,
	.on_status = s_status,
};
static const struct mf_grpc_method session = {
	.path = "/mayfly.agent.v1.NodeAgent/Session",
	.request = &mayfly__agent__v1__frame__descriptor,
	.response = &mayfly__agent__v1__frame__descriptor,
	.flags = MF_GRPC_BIDI,
};

void
mf_fw_open(struct fw_client *c, struct fw_stream *s)
{
	memset(s, 0, sizeof(*s));
	assert_int_equal(
	    mf_grpc_open(mf_net_conn_grpc(c->conn), &session, &stream_ops, s, NULL, 0, 0, &s->call, NULL),
	    MF_OK);
}

uint64_t
mf_fw_session(struct fw_client *c, struct fw_stream *s)
{
	size_t before = mf_fn_count(c->w, MF_MSG_SESSION_OPEN);
	mf_fw_open(c, s);
	FW_UNTIL(c->w, mf_fn_count(c->w, MF_MSG_SESSION_OPEN) > before || s->over);
	if (s->over)
		fail_msg("%s", s->text);
	return ((const Mayfly__Roles__V1__SessionOpen *)mf_fn_last(c->w, MF_MSG_SESSION_OPEN))->sid;
}

uint64_t
mf_fw_greeted(struct fw_client *c, struct fw_stream *s)
{
	size_t before = mf_fn_count(c->w, MF_MSG_SESSION_CREDIT);
	uint64_t sid = mf_fw_session(c, s);
	assert_int_equal(mf_fw_send(s, true, "one", 3), MF_OK);
	FW_UNTIL(c->w, mf_fn_count(c->w, MF_MSG_SESSION_CREDIT) > before || s->over);
	if (s->over)
		fail_msg("%s", s->text);
	return sid;
}

enum mf_status
mf_fw_send(struct fw_stream *s, bool handshake, const void *p, size_t n)
{
	Mayfly__Agent__V1__Frame f = MAYFLY__AGENT__V1__FRAME__INIT;
	f.kind_case =
	    handshake ? MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE : MAYFLY__AGENT__V1__FRAME__KIND_SEALED;
	f.sealed = bytes(p, n);
	return mf_grpc_send(s->call, &f.base, NULL);
}

/* ---- administrators ---- */

void
mf_fw_admin(struct fw *w, struct fw_client *c)
{
	struct mf_net_client_config cfg = { .unix_path = w->admin,
		.client = &grpc_client,
		.ops = &client_ops,
		.ctx = c,
		.counters = &w->clients };
	memset(c, 0, sizeof(*c));
	c->w = w;
	assert_int_equal(mf_net_connect(w->l, &cfg, &c->conn, NULL), MF_OK);
	FW_UNTIL(w, c->open || c->over);
}

void
mf_fw_admin_tls(struct fw *w, struct fw_client *c, struct mf_tls_ctx *tls)
{
	dial(w, c, w->admin_port, tls);
	FW_UNTIL(w, c->open || c->over);
}

static void
u_message(struct mf_grpc_call *call, ProtobufCMessage *msg)
{
	struct fw_unary *u = mf_grpc_call_user(call);
	assert_null(u->reply);
	u->reply = msg;
}

static void
u_status(struct mf_grpc_call *call, enum mf_grpc_code code, const char *text)
{
	struct fw_unary *u = mf_grpc_call_user(call);
	u->over = true;
	u->code = code;
	text_to(u->text, sizeof(u->text), text);
}

static const struct mf_grpc_client_ops unary_ops = { .take_message = u_message, .on_status = u_status };

void
mf_fw_call(struct fw_client *c, const char *method, const ProtobufCMessage *q,
    const ProtobufCMessageDescriptor *reply, struct fw_unary *u)
{
	static char paths[32][64];
	static struct mf_grpc_method methods[32]; /* they must outlive the calls */
	static unsigned next;
	struct mf_grpc_call *call = NULL;
	unsigned i = next++ % 32;
	(void)snprintf(paths[i], sizeof(paths[i]), "/mayfly.admin.v1.Admin/%s", method);
	methods[i] =
	    (struct mf_grpc_method) { .path = paths[i], .request = q->descriptor, .response = reply };
	memset(u, 0, sizeof(*u));
	assert_int_equal(
	    mf_grpc_open(mf_net_conn_grpc(c->conn), &methods[i], &unary_ops, u, NULL, 0, 0, &call, NULL),
	    MF_OK);
	assert_int_equal(mf_grpc_send(call, q, NULL), MF_OK);
	mf_grpc_half_close(call);
}

void
mf_fw_ask(struct fw_client *c, const char *method, const ProtobufCMessage *q,
    const ProtobufCMessageDescriptor *reply, struct fw_unary *u)
{
	mf_fw_call(c, method, q, reply, u);
	FW_UNTIL(c->w, u->over);
}

void
mf_fw_unary_fini(struct fw_unary *u)
{
	mf_pb_free(MF_TAKE(u->reply));
}

int
mf_fw_get(struct fw *w, const char *path, struct mf_buf *to)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(w->http) };
	char q[128], answer[65536];
	size_t n = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), code = 0;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	int q_n = snprintf(q, sizeof(q), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
	assert_int_equal(write(fd, q, (size_t)q_n), q_n);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < FW_HANG_MS; i++) {
		assert_int_equal(mf_loop_turn(w->l, false, NULL), MF_OK);
		struct pollfd p = { fd, POLLIN, 0 };
		if (poll(&p, 1, 1) == 0)
			continue;
		ssize_t got_n = read(fd, answer + n, sizeof(answer) - 1 - n);
		if (got_n == 0)
			break;
		assert_true(got_n > 0 || errno == EAGAIN);
		n += got_n > 0 ? (size_t)got_n : 0;
	}
	(void)close(fd);
	answer[n] = '\0';
	assert_int_equal(sscanf(answer, "HTTP/1.1 %d", &code), 1);
	const char *body = strstr(answer, "\r\n\r\n");
	assert_non_null(body);
	mf_buf_put_str(to, body + 4);
	return code;
}
