#include "swarm.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"
#include "codec/bundle.h"
#include "rpc/pb_check.h"

#define MUST(x)                                                                             \
	do {                                                                                \
		struct mf_err err = { 0 };                                                  \
		if ((x) != MF_OK) {                                                         \
			(void)fprintf(stderr, "swarm:%d: %s: %s\n", __LINE__, #x, err.msg); \
			exit(1);                                                            \
		}                                                                           \
	} while (0)

static _Noreturn void
die(const struct swarm_agent *a, const char *what, const char *why)
{
	(void)fprintf(stderr, "swarm: agent %u: %s: %s\n", a == NULL ? 0 : a->n, what, why);
	exit(1);
}

/* ---- requests ---- */

static void flush(struct swarm_agent *a);

static void
send_frame(struct swarm_agent *a, bool handshake, struct mf_slice body)
{
	Mayfly__Agent__V1__Frame f = MAYFLY__AGENT__V1__FRAME__INIT;
	f.kind_case =
	    handshake ? MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE : MAYFLY__AGENT__V1__FRAME__KIND_SEALED;
	f.sealed = (ProtobufCBinaryData) { body.n, (uint8_t *)(uintptr_t)body.p };
	MUST(mf_grpc_send(a->call, &f.base, &err));
}

static void
flush(struct swarm_agent *a)
{
	/* A message of a full stream would be lost once it is sealed. */
	while (a->inner != NULL && mf_inner_pending(a->inner) &&
	       mf_grpc_call_queued(a->call) < MF_LIM_H2_STREAM_OUT / 2) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, MF_INNER_SEALED_MAX);
		MUST(mf_inner_next(a->inner, &b, &err));
		send_frame(a, false, mf_buf_slice(&b));
	}
}

uint64_t
mf_swarm_send(struct swarm_agent *a, Mayfly__Agent__V1__Up *up)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_INNER_MESSAGE);
	up->request_id = ++a->last_id;
	MUST(mf_pb_pack(&up->base, &b, &err));
	MUST(mf_inner_send(a->inner, MF_INNER_BOUNDED, 0, mf_buf_slice(&b), &err));
	flush(a);
	return up->request_id;
}

void
mf_swarm_point(uint8_t ret_point[MF_P256_POINT_SIZE])
{
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *key = NULL;
	MUST(mf_p256_generate(&key, &err));
	mf_p256_public(key, ret_point);
}

/* ---- the order of a session ---- */

static void
greet(struct swarm_agent *a)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Hello h = MAYFLY__AGENT__V1__HELLO__INIT;
	Mayfly__Agent__V1__Join j = MAYFLY__AGENT__V1__JOIN__INIT;
	static char boot[] = SWARM_BOOT, host[] = "swarm", release[] = "0.1.0";
	h.version_min = h.version_max = 1;
	h.boot_id = boot;
	h.hostname = host;
	h.release = release;
	h.session_value = (ProtobufCBinaryData) { a->value_n, a->value };
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_HELLO;
	up.hello = &h;
	if (a->node[0] == '\0') {
		struct mf_slice secret = mf_join_token_secret(a->of->token);
		j.hello = &h;
		j.token_id = (char *)(uintptr_t)mf_join_token_public(a->of->token)->token_id;
		j.token_secret = (ProtobufCBinaryData) { secret.n, (uint8_t *)(uintptr_t)secret.p };
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_JOIN;
		up.join = &j;
	}
	(void)mf_swarm_send(a, &up);
}

static void
on_welcome(struct swarm_agent *a, const Mayfly__Agent__V1__Welcome *w)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__SessionStored stored = MAYFLY__AGENT__V1__SESSION_STORED__INIT;
	Mayfly__Agent__V1__Resync resync = MAYFLY__AGENT__V1__RESYNC__INIT;
	(void)snprintf(a->node, sizeof(a->node), "%s", w->node_id);
	a->value_n = w->session_value.len < sizeof(a->value) ? w->session_value.len : sizeof(a->value);
	memcpy(a->value, w->session_value.data, a->value_n);
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED;
	up.session_stored = &stored;
	(void)mf_swarm_send(a, &up);
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_RESYNC;
	up.resync = &resync;
	(void)mf_swarm_send(a, &up);
	a->phase = SWARM_RESYNCING;
}

static void
certify(struct swarm_agent *a)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__CertifyOuter c = MAYFLY__AGENT__V1__CERTIFY_OUTER__INIT;
	uint8_t point[MF_P256_POINT_SIZE];
	MUST(mf_p256_generate(&a->outer, &err));
	mf_p256_public(a->outer, point);
	c.point = (ProtobufCBinaryData) { sizeof(point), point };
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_CERTIFY_OUTER;
	up.certify_outer = &c;
	(void)mf_swarm_send(a, &up);
}

static enum mf_status
any_server(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	MF_UNUSED(ctx);
	MF_UNUSED(conn);
	MF_UNUSED(chain);
	MF_UNUSED(n);
	MF_UNUSED(err);
	return MF_OK;
}

static void
on_certificate(struct swarm_agent *a, const Mayfly__Agent__V1__OuterCertificate *m)
{
	struct mf_slice chain[MF_LIM_CHAIN];
	MF_AUTO(mf_secret_free) struct mf_secret *key = NULL;
	struct mf_tls_config cfg = { .verify = any_server, .chain = chain };
	MUST(mf_bundle_split(mf_slice(m->chain.data, m->chain.len), chain, MF_LIM_CHAIN, &cfg.n_chain, &err));
	MUST(mf_p256_to_pkcs8(a->outer, &key, &err));
	cfg.key = mf_secret_slice(key);
	MUST(mf_tls_ctx_new(&cfg, &a->tls, &err));
	mf_swarm_hang_up(a);
}

static void
on_down(struct swarm_agent *a, const Mayfly__Agent__V1__Down *d)
{
	switch (d->body_case) {
	case MAYFLY__AGENT__V1__DOWN__BODY_WELCOME:
		on_welcome(a, d->welcome);
		return;
	case MAYFLY__AGENT__V1__DOWN__BODY_RESYNC_ANSWER:
		if (a->tls == NULL) {
			certify(a);
			return;
		}
		a->phase = SWARM_READY;
		a->of->ready++;
		a->of->readied++;
		return;
	case MAYFLY__AGENT__V1__DOWN__BODY_OUTER_CERTIFICATE:
		on_certificate(a, d->outer_certificate);
		return;
	case MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL:
		if (a->phase != SWARM_READY)
			die(a, "refused", d->refusal->reason);
		break;
	default:
		break;
	}
	if (a->of->answer != NULL)
		a->of->answer(a->of->ctx, a, d->request_id, d);
}

/* ---- the stream ---- */

static void
on_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct swarm_agent *a = mf_grpc_call_user(c);
	const Mayfly__Agent__V1__Frame *f = (const void *)msg;
	struct mf_slice body = mf_slice(f->sealed.data, f->sealed.len), message;
	enum mf_inner_lane lane;
	if (f->kind_case == MAYFLY__AGENT__V1__FRAME__KIND_DOCUMENT)
		return;
	if (f->kind_case == MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE) {
		MUST(mf_noise_read(a->noise, body, NULL, &err));
		MUST(mf_inner_new(a->noise, &a->inner, &err));
		a->noise = NULL;
		greet(a);
		return;
	}
	struct mf_err err = { 0 };
	enum mf_status s = mf_inner_feed(a->inner, body, &lane, &message, &err);
	if (s == MF_E_AGAIN)
		return;
	if (s != MF_OK)
		die(a, "a sealed message", err.msg);
	MF_AUTO(mf_pb_free) ProtobufCMessage *down = NULL;
	MUST(mf_pb_unpack(&mayfly__agent__v1__down__descriptor, message, &down, &err));
	on_down(a, (const void *)down);
}

static void
on_writable(struct mf_grpc_call *c)
{
	flush(mf_grpc_call_user(c));
}

static void
on_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	struct swarm_agent *a = mf_grpc_call_user(c);
	a->call = NULL;
	if (a->phase == SWARM_READY)
		die(a, mf_grpc_code_name(code), text);
	a->of->lost++;
	mf_swarm_hang_up(a);
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

static bool
on_open(void *ctx, struct mf_net_conn *conn)
{
	struct swarm_agent *a = ctx;
	const struct mf_join_public *pub = mf_join_token_public(a->of->token);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf prologue, first;
	mf_buf_init(&prologue, 1024);
	mf_buf_init(&first, 256);
	MUST(mf_inner_prologue(
	    mf_slice_str(pub->trust_domain), mf_slice_str(pub->broker_id), &prologue, &err));
	const struct mf_noise_conf conf = { .role = MF_NOISE_INITIATOR,
		.prologue = mf_buf_slice(&prologue),
		.local_static = a->key,
		.remote_static = pub->notary_key };
	MUST(mf_noise_new(&conf, &a->noise, &err));
	MUST(mf_noise_write(a->noise, mf_slice(NULL, 0), &first, &err));
	MUST(mf_grpc_open(
	    mf_net_conn_grpc(conn), &session_method, &stream_ops, a, NULL, 0, 0, &a->call, &err));
	send_frame(a, true, mf_buf_slice(&first));
	a->phase = SWARM_GREETING;
	return true;
}

static void
on_close(void *ctx, struct mf_net_conn *conn, enum mf_net_why why, const struct mf_err *err)
{
	struct swarm_agent *a = ctx;
	MF_UNUSED(why);
	if (a->conn != conn)
		return; /* hung up already */
	if (a->phase == SWARM_READY)
		die(a, "the connection ended", err == NULL ? "" : err->msg);
	a->of->refused++;
	a->conn = NULL;
	mf_swarm_hang_up(a);
}

static const struct mf_net_conn_ops conn_ops = { .on_open = on_open, .on_close = on_close };
static const struct mf_grpc_client grpc_client = { .authority = "broker", .tls = true };

/* ---- connections ---- */

static unsigned dialling; /* while an agent dials: its number, and two */

int
mf_swarm_connect(int fd, const struct sockaddr *to, socklen_t n)
{
	if (dialling != 0 && to->sa_family == AF_INET) {
		struct sockaddr_in from = { .sin_family = AF_INET };
		int one = 1;
		from.sin_addr.s_addr = htonl(0x7f010000u + dialling);
		(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		(void)bind(fd, (struct sockaddr *)&from, sizeof(from));
	}
	return (int)syscall(SYS_connect, fd, to, n);
}

void
mf_swarm_dial(struct swarm_agent *a)
{
	struct swarm *s = a->of;
	const char *at = mf_join_token_public(s->token)->address, *colon = strrchr(at, ':');
	char host[64];
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - at), at);
	struct mf_net_client_config cfg = { .address = host,
		.port = (uint16_t)strtoul(colon + 1, NULL, 10),
		.tls = a->tls == NULL ? s->lane : a->tls,
		.client = &grpc_client,
		.limits = { .handshake_ms = 120000 },
		.ops = &conn_ops,
		.ctx = a,
		.counters = &s->counters };
	dialling = a->n + 2;
	MUST(mf_net_connect(s->loop, &cfg, &a->conn, &err));
	dialling = 0;
	a->phase = SWARM_DIALLING;
}

void
mf_swarm_hang_up(struct swarm_agent *a)
{
	struct mf_net_conn *conn = a->conn;
	a->of->ready -= a->phase == SWARM_READY;
	a->phase = SWARM_OUT;
	a->conn = NULL;
	if (a->call != NULL)
		mf_grpc_cancel(a->call);
	a->call = NULL;
	if (conn != NULL)
		mf_net_conn_close(conn);
	mf_noise_free(a->noise);
	mf_inner_free(a->inner);
	a->noise = NULL;
	a->inner = NULL;
}

/* ---- all of them ---- */

static void
on_beat(void *ctx)
{
	struct swarm *s = ctx;
	mf_loop_timer_set(s->beat, 20);
}

void
mf_swarm_turn(struct swarm *s)
{
	MUST(mf_loop_turn(s->loop, true, &err));
}

void
mf_swarm_join(struct swarm *s, unsigned at_a_time)
{
	unsigned busy, first = 0;
	while (s->ready < s->n) {
		busy = 0;
		while (first < s->n && s->agents[first].phase == SWARM_READY)
			first++;
		for (unsigned i = first; i < s->n && busy < at_a_time; i++) {
			if (s->agents[i].phase == SWARM_READY)
				continue;
			busy++;
			if (s->agents[i].phase == SWARM_OUT)
				mf_swarm_dial(&s->agents[i]);
		}
		mf_swarm_turn(s);
	}
}

void
mf_swarm_return(struct swarm *s)
{
	for (unsigned i = 0; i < s->n; i++)
		mf_swarm_hang_up(&s->agents[i]);
	for (unsigned i = 0; i < s->n; i++)
		mf_swarm_dial(&s->agents[i]);
	while (s->ready < s->n) {
		mf_swarm_turn(s);
		for (unsigned i = 0; i < s->n && s->refused + s->lost > 0; i++)
			if (s->agents[i].phase == SWARM_OUT)
				mf_swarm_dial(&s->agents[i]);
	}
}

struct swarm *
mf_swarm_new(const char *token_file, unsigned n, swarm_answer_fn *answer, void *ctx)
{
	struct swarm *s = calloc(1, sizeof(*s));
	char text[MF_LIM_JOIN_TOKEN + 2] = "";
	const struct mf_tls_config lane = { .verify = any_server };
	int fd = open(token_file, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (s == NULL || got <= 0)
		die(NULL, "cannot read", token_file);
	(void)close(fd);
	text[strcspn(text, "\r\n")] = '\0';
	MUST(mf_join_token_decode(mf_slice_str(text), &s->token, &err));
	MUST(mf_loop_new(&s->loop, &err));
	MUST(mf_tls_ctx_new(&lane, &s->lane, &err));
	s->agents = calloc(n, sizeof(*s->agents));
	s->n = n;
	s->answer = answer;
	s->ctx = ctx;
	for (unsigned i = 0; i < n; i++) {
		s->agents[i] = (struct swarm_agent) { .of = s, .n = i };
		MUST(mf_x25519_generate(NULL, &s->agents[i].key, &err));
	}
	MUST(mf_loop_timer_new(s->loop, on_beat, s, &s->beat, &err));
	mf_loop_timer_set(s->beat, 20);
	return s;
}

void
mf_swarm_free(struct swarm *s)
{
	for (unsigned i = 0; i < s->n; i++)
		mf_swarm_hang_up(&s->agents[i]);
	for (int i = 0; i < 100 && s->counters.open > 0; i++)
		mf_swarm_turn(s);
	for (unsigned i = 0; i < s->n; i++) {
		mf_x25519_free(s->agents[i].key);
		mf_p256_key_free(s->agents[i].outer);
		mf_tls_ctx_free(s->agents[i].tls);
	}
	mf_loop_timer_free(s->beat);
	mf_loop_free(s->loop);
	mf_tls_ctx_free(s->lane);
	mf_join_token_free(s->token);
	free(s->agents);
	free(s);
}

/* ---- what every bench asks ---- */

void
mf_swarm_attach(struct swarm_agent *a, unsigned k, const char *profile, char ret_key[256])
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Attach m = MAYFLY__AGENT__V1__ATTACH__INIT;
	char key[256], name[64], selector[3][64], *selectors[3] = { selector[0], selector[1], selector[2] };
	static char user[] = "bench", grade[] = "pidfd+cgroup";
	uint8_t point[MF_P256_POINT_SIZE];
	ProtobufCBinaryData points[1] = { { sizeof(point), point } };
	(void)snprintf(key, sizeof(key), "local/%s/%s/cg-%u", a->node, SWARM_BOOT, 1000 + k);
	(void)snprintf(selector[0], sizeof(selector[0]), "unix.uid:%u", (unsigned)getuid());
	(void)snprintf(selector[1], sizeof(selector[1]), "unix.user:bench");
	(void)snprintf(selector[2], sizeof(selector[2]), "unix.gid:%u", (unsigned)getuid());
	(void)snprintf(name, sizeof(name), "%s", profile);
	mf_swarm_point(point);
	m.instance_key = key;
	m.selectors = selectors;
	m.n_selectors = 3;
	m.grade = grade;
	m.points = points;
	m.n_points = 1;
	m.profile = name;
	m.unix_user = user;
	m.unix_uid = (uint32_t)getuid();
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_ATTACH;
	up.attach = &m;
	(void)mf_swarm_send(a, &up);
	if (ret_key != NULL)
		memcpy(ret_key, key, sizeof(key));
}
