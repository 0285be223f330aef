#include "fake_broker.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/bundle.h"
#include "codec/x509_read.h"
#include "os/listen.h"

#define MUST(x)                                                                        \
	do {                                                                           \
		if (!(x)) {                                                            \
			(void)fprintf(stderr, "fake_broker.c:%d: %s\n", __LINE__, #x); \
			abort();                                                       \
		}                                                                      \
	} while (0)

void
mf_fake_broker_send(struct fake_broker *b, unsigned kind, const char *text)
{
	Mayfly__Agent__V1__Frame f = MAYFLY__AGENT__V1__FRAME__INIT;
	Mayfly__Agent__V1__Document d = MAYFLY__AGENT__V1__DOCUMENT__INIT;
	ProtobufCBinaryData body = { strlen(text), (uint8_t *)(uintptr_t)text };
	f.kind_case = (Mayfly__Agent__V1__Frame__KindCase)kind;
	if (kind == MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE)
		f.handshake = body;
	if (kind == MAYFLY__AGENT__V1__FRAME__KIND_SEALED)
		f.sealed = body;
	if (kind == MAYFLY__AGENT__V1__FRAME__KIND_DOCUMENT) {
		d.kind = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE;
		d.number = 1;
		d.body = body;
		f.document = &d;
	}
	MUST(mf_grpc_send(b->call, &f.base, NULL) == MF_OK);
}

static void
b_open(struct mf_grpc_call *c)
{
	struct fake_broker *b = mf_grpc_call_ctx(c);
	b->sessions++;
	b->call = c;
	if (b->deaf)
		mf_grpc_pause(c);
}

static void
b_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct fake_broker *b = mf_grpc_call_ctx(c);
	const Mayfly__Agent__V1__Frame *f = (const void *)msg;
	b->frames++;
	if (f->kind_case == MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE) {
		b->bytes += f->handshake.len;
		mf_fake_broker_send(b, MAYFLY__AGENT__V1__FRAME__KIND_HANDSHAKE, "answer");
	} else {
		MUST(f->kind_case == MAYFLY__AGENT__V1__FRAME__KIND_SEALED);
		b->bytes += f->sealed.len;
	}
}

static void
b_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	struct fake_broker *b = mf_grpc_call_ctx(c);
	MF_UNUSED(why);
	if (b->call == c)
		b->call = NULL;
}

static enum mf_status
b_verify(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	struct fake_broker *b = ctx;
	struct mf_svid leaf = { 0 };
	MF_UNUSED(conn);
	if (n == 0) {
		b->without++;
		return MF_OK;
	}
	MUST(mf_svid_read(chain[0], &leaf, err) == MF_OK);
	(void)snprintf(b->client, sizeof(b->client), "%s", mf_spiffe_id_str(leaf.id));
	mf_svid_fini(&leaf);
	b->with_certificate++;
	return b->refuses ? MF_FAIL(err, MF_E_UNAUTH, "of a CA key that was revoked") : MF_OK;
}

/* A server certificate of ${ca} with the name ${path}; ${root}: the chain shows the CA. */
void
mf_fake_broker_certify(struct fake_broker *b, const char *path, bool root)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	size_t n = 0;
	int64_t now_s = mf_now().wall_us / 1000000;
	mf_buf_reset(&b->chain);
	mf_buf_reset(&b->key);
	(void)mf_mint_keyed(b->ca, path, now_s, now_s + 3600, &b->chain, &b->key);
	if (root)
		mf_buf_put_slice(&b->chain, mf_mint_ca(b->ca));
	MUST(mf_bundle_split(mf_buf_slice(&b->chain), certs, MF_COUNT(certs), &n, NULL) == MF_OK);
	struct mf_tls_config cfg = { .server = true,
		.chain = certs,
		.n_chain = n,
		.key = mf_buf_slice(&b->key),
		.verify = b_verify,
		.ctx = b };
	mf_tls_ctx_free(MF_TAKE(b->tls));
	MUST(mf_tls_ctx_new(&cfg, &b->tls, NULL) == MF_OK);
	mf_net_listener_set_tls(b->ln, b->tls);
}

struct fake_broker *
mf_fake_broker_new(struct mf_loop *l, struct mint *ca)
{
	static const struct mf_grpc_server_ops ops = {
		.on_open = b_open, .on_message = b_message, .on_cancel = b_cancel
	};
	static const struct mf_grpc_method method = { .path = "/mayfly.agent.v1.NodeAgent/Session",
		.request = &mayfly__agent__v1__frame__descriptor,
		.response = &mayfly__agent__v1__frame__descriptor,
		.flags = MF_GRPC_BIDI,
		.ops = &ops };
	struct fake_broker *b = calloc(1, sizeof(*b));
	MUST(b != NULL);
	b->loop = l;
	b->ca = ca;
	mf_buf_init(&b->chain, 65536);
	mf_buf_init(&b->key, 4096);
	b->service = (struct mf_grpc_service) { &method, 1, b };
	b->services[0] = &b->service;
	b->server = (struct mf_grpc_server) { .services = b->services, .n_services = 1 };
	int fd = -1;
	for (b->port = 23100; fd < 0 && b->port < 23200; b->port++) {
		char address[32];
		(void)snprintf(address, sizeof(address), "127.0.0.1:%u", b->port);
		if (mf_listen_tcp(address, &fd, NULL) == MF_OK)
			break;
	}
	MUST(fd >= 0);
	struct mf_net_listener_config cfg = {
		.fd = fd, .tls = true, .server = &b->server, .counters = &b->counters
	};
	MUST(mf_net_listener_new(l, &cfg, &b->ln, NULL) == MF_OK);
	mf_fake_broker_certify(b, "/mayfly/broker/b1", true);
	return b;
}

/* Its listener was freed: listen on the same port again. */
void
mf_fake_broker_back(struct fake_broker *b)
{
	int fd = -1;
	char address[32];
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", b->port);
	MUST(mf_listen_tcp(address, &fd, NULL) == MF_OK);
	struct mf_net_listener_config cfg = {
		.fd = fd, .tls = true, .server = &b->server, .counters = &b->counters
	};
	MUST(mf_net_listener_new(b->loop, &cfg, &b->ln, NULL) == MF_OK);
	mf_net_listener_set_tls(b->ln, b->tls);
}

void
mf_fake_broker_free(struct fake_broker *b)
{
	mf_net_listener_free(b->ln);
	mf_tls_ctx_free(b->tls);
	mf_buf_fini(&b->chain);
	mf_buf_fini(&b->key);
	free(b);
}
