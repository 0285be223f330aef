#include "fake_agent.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"

#define CONNS 16
#define CALLS 64
#define OUT_MAX (2u * 1024u * 1024u)
#define MUST(x)                                                                     \
	do {                                                                        \
		if (!(x)) {                                                         \
			(void)fprintf(stderr, "fake_agent:%d: %s\n", __LINE__, #x); \
			abort();                                                    \
		}                                                                   \
	} while (0)

enum mode { SILENT, ANSWER, STATUS };

struct conn {
	int fd; /* -1: free */
	struct mf_grpc_conn *grpc;
	struct mf_buf out;
};

struct method {
	enum mode mode;
	struct mf_buf packed, request;
	bool has_request;
	enum mf_grpc_code code;
	const char *text;
	unsigned calls;
	unsigned version; /* of what is answered */
};

struct open_call {
	struct mf_grpc_call *call; /* NULL: free */
	enum fa_method m;
	unsigned version; /* what it was told last */
	bool asked;
};

struct fake_agent {
	char path[100];
	pthread_t thread;
	pthread_mutex_t lock; /* of everything below; the loop holds it while it works */
	pthread_cond_t done;
	int listener, wake;
	bool stop, drop, down, settled;
	struct conn conns[CONNS];
	struct open_call open[CALLS];
	struct method methods[FA_COUNT];
	unsigned unmarked;
	struct mf_grpc_server server;
	struct mf_grpc_counters counters;
	struct mf_grpc_method table[FA_COUNT];
	struct mf_grpc_service service;
	const struct mf_grpc_service *services[1];
};

static uint64_t
now_ms(void *ctx)
{
	MF_UNUSED(ctx);
	return mf_now().mono_ms;
}

static const struct mf_grpc_transport transport = { .now_ms = now_ms };

static enum fa_method
which(const struct fake_agent *a, const struct mf_grpc_call *c)
{
	return (enum fa_method)(mf_grpc_call_method(c) - a->table);
}

static struct open_call *
slot_of(struct fake_agent *a, const struct mf_grpc_call *c)
{
	for (size_t i = 0; i < CALLS; i++)
		if (a->open[i].call == c)
			return &a->open[i];
	return NULL;
}

/* Tell a call what it has not been told yet. */
static void
serve(struct fake_agent *a, struct open_call *o)
{
	struct method *m = &a->methods[o->m];
	bool stream = (a->table[o->m].flags & MF_GRPC_SERVER_STREAM) != 0;
	if (!o->asked || m->mode == SILENT || o->version == m->version)
		return;
	o->version = m->version;
	if (m->mode == STATUS) {
		struct mf_grpc_call *c = MF_TAKE(o->call);
		mf_grpc_finish(c, m->code, m->text);
		return;
	}
	ProtobufCMessage *msg = NULL;
	MUST(mf_pb_unpack(a->table[o->m].response, mf_buf_slice(&m->packed), &msg, NULL) == MF_OK);
	if (stream)
		MUST(mf_grpc_send(o->call, msg, NULL) == MF_OK);
	else
		mf_grpc_reply(MF_TAKE(o->call), msg);
	mf_pb_free(msg);
}

static void
on_open(struct mf_grpc_call *c)
{
	struct fake_agent *a = mf_grpc_call_ctx(c);
	struct mf_slice v;
	struct open_call *o = slot_of(a, NULL);
	MUST(o != NULL);
	*o = (struct open_call) { .call = c, .m = which(a, c) };
	a->methods[o->m].calls++;
	if (mf_grpc_metadata(c, "workload.spiffe.io", &v) != 1 || !mf_slice_eq_str(v, "true"))
		a->unmarked++;
}

static void
on_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct fake_agent *a = mf_grpc_call_ctx(c);
	struct open_call *o = slot_of(a, c);
	struct method *m = &a->methods[o->m];
	mf_buf_reset(&m->request);
	MUST(mf_pb_pack(msg, &m->request, NULL) == MF_OK);
	m->has_request = true;
	o->asked = true;
	serve(a, o);
}

static void
on_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	struct fake_agent *a = mf_grpc_call_ctx(c);
	struct open_call *o = slot_of(a, c);
	MF_UNUSED(why);
	if (o != NULL)
		o->call = NULL;
}

static const struct mf_grpc_server_ops ops = {
	.on_open = on_open, .on_message = on_message, .on_cancel = on_cancel
};

static void
conn_close(struct conn *c)
{
	if (c->fd < 0)
		return;
	mf_grpc_conn_free(c->grpc);
	mf_buf_fini(&c->out);
	(void)shutdown(c->fd, SHUT_RDWR); /* also where a forked child of the test has a copy */
	(void)close(c->fd);
	c->fd = -1;
}

static void
conn_accept(struct fake_agent *a)
{
	int fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	for (size_t i = 0; i < CONNS; i++) {
		struct conn *c = &a->conns[i];
		if (c->fd >= 0)
			continue;
		c->fd = fd;
		mf_buf_init(&c->out, OUT_MAX);
		MUST(mf_grpc_conn_new_server(&a->server, &transport, c, now_ms(NULL), &c->grpc, NULL) ==
		     MF_OK);
		return;
	}
	MUST(false); /* too many connections */
}

static void
conn_write(struct conn *c)
{
	while (c->fd >= 0) {
		if (c->out.n == 0 && mf_grpc_pull(c->grpc, &c->out, OUT_MAX / 2, NULL) != MF_OK)
			break;
		if (c->out.n == 0)
			return;
		ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		mf_buf_consume(&c->out, (size_t)n);
	}
	conn_close(c);
}

static void
conn_read(struct conn *c)
{
	uint8_t in[8192];
	for (;;) {
		ssize_t n = recv(c->fd, in, sizeof(in), 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 || mf_grpc_recv(c->grpc, mf_slice(in, (size_t)n), now_ms(NULL), NULL) != MF_OK) {
			conn_close(c);
			return;
		}
	}
}

static void
listen_now(struct fake_agent *a)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	a->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(sa.sun_path, a->path, strlen(a->path) + 1);
	(void)unlink(a->path);
	MUST(a->listener >= 0 && bind(a->listener, (const struct sockaddr *)&sa, sizeof(sa)) == 0 &&
	     listen(a->listener, 64) == 0);
}

/* What the test asked for since the last round. */
static void
obey(struct fake_agent *a)
{
	for (size_t i = 0; i < CALLS; i++)
		if (a->open[i].call != NULL)
			serve(a, &a->open[i]);
	for (size_t i = 0; i < CONNS; i++)
		if (a->conns[i].fd >= 0 && (a->drop || a->down || a->stop))
			conn_close(&a->conns[i]);
	a->drop = false;
	if ((a->down || a->stop) && a->listener >= 0) {
		(void)close(a->listener);
		(void)unlink(a->path);
		a->listener = -1;
	} else if (!a->down && !a->stop && a->listener < 0) {
		listen_now(a);
	}
}

static void *
run(void *arg)
{
	struct fake_agent *a = arg;
	(void)pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		struct pollfd p[CONNS + 2] = { { a->wake, POLLIN, 0 }, { a->listener, POLLIN, 0 } };
		for (size_t i = 0; i < CONNS; i++)
			p[i + 2] = (struct pollfd) { a->conns[i].fd,
				(short)(POLLIN |
					(a->conns[i].fd >= 0 && a->conns[i].out.n > 0 ? POLLOUT : 0)),
				0 };
		(void)pthread_mutex_unlock(&a->lock);
		(void)poll(p, CONNS + 2, -1);
		(void)pthread_mutex_lock(&a->lock);
		uint64_t n;
		if (p[0].revents != 0)
			MUST(read(a->wake, &n, sizeof(n)) == (ssize_t)sizeof(n));
		if (p[1].revents != 0)
			conn_accept(a);
		for (size_t i = 0; i < CONNS; i++)
			if (p[i + 2].fd >= 0 && p[i + 2].fd == a->conns[i].fd && p[i + 2].revents != 0)
				conn_read(&a->conns[i]);
		obey(a);
		for (size_t i = 0; i < CONNS; i++)
			conn_write(&a->conns[i]);
		if (p[0].revents != 0) {
			a->settled = true;
			(void)pthread_cond_broadcast(&a->done);
		}
	}
	obey(a);
	(void)pthread_mutex_unlock(&a->lock);
	return NULL;
}

struct fake_agent *
mf_fa_new(const char *socket_path)
{
	static const char *const names[FA_COUNT] = { "/SpiffeWorkloadAPI/FetchX509SVID",
		"/SpiffeWorkloadAPI/FetchX509Bundles", "/SpiffeWorkloadAPI/FetchJWTSVID",
		"/SpiffeWorkloadAPI/FetchJWTBundles", "/SpiffeWorkloadAPI/ValidateJWTSVID" };
	static const ProtobufCMessageDescriptor *const in[FA_COUNT] = { &x509_svidrequest__descriptor,
		&x509_bundles_request__descriptor, &jwtsvidrequest__descriptor,
		&jwtbundles_request__descriptor, &validate_jwtsvidrequest__descriptor };
	static const ProtobufCMessageDescriptor *const out[FA_COUNT] = { &x509_svidresponse__descriptor,
		&x509_bundles_response__descriptor, &jwtsvidresponse__descriptor,
		&jwtbundles_response__descriptor, &validate_jwtsvidresponse__descriptor };
	struct fake_agent *a = calloc(1, sizeof(*a));
	MUST(a != NULL && strlen(socket_path) < sizeof(a->path));
	memcpy(a->path, socket_path, strlen(socket_path) + 1);
	a->wake = eventfd(0, EFD_CLOEXEC);
	for (size_t i = 0; i < CONNS; i++)
		a->conns[i].fd = -1;
	for (size_t i = 0; i < FA_COUNT; i++) {
		bool stream = i == FA_X509 || i == FA_BUNDLES || i == FA_JWT_BUNDLES;
		a->table[i] = (struct mf_grpc_method) { .path = names[i],
			.request = in[i],
			.response = out[i],
			.flags = stream ? MF_GRPC_SERVER_STREAM : MF_GRPC_UNARY,
			.ops = &ops };
		mf_buf_init(&a->methods[i].packed, MF_LIM_PB_BYTES);
		mf_buf_init(&a->methods[i].request, MF_LIM_PB_BYTES);
	}
	a->service = (struct mf_grpc_service) { a->table, FA_COUNT, a };
	a->services[0] = &a->service;
	a->server = (struct mf_grpc_server) {
		.services = a->services, .n_services = 1, .any_authority = true, .counters = &a->counters
	};
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->done, NULL);
	listen_now(a);
	MUST(pthread_create(&a->thread, NULL, run, a) == 0);
	return a;
}

/* Wake the loop, and wait until it has done what was asked. The lock is held. */
static void
poke(struct fake_agent *a)
{
	const uint64_t one = 1;
	a->settled = false;
	MUST(write(a->wake, &one, sizeof(one)) == (ssize_t)sizeof(one));
	while (!a->settled)
		(void)pthread_cond_wait(&a->done, &a->lock);
}

void
mf_fa_free(struct fake_agent *a)
{
	const uint64_t one = 1;
	if (a == NULL)
		return;
	(void)pthread_mutex_lock(&a->lock);
	a->stop = true;
	MUST(write(a->wake, &one, sizeof(one)) == (ssize_t)sizeof(one));
	(void)pthread_mutex_unlock(&a->lock);
	(void)pthread_join(a->thread, NULL);
	for (size_t i = 0; i < FA_COUNT; i++) {
		mf_buf_fini(&a->methods[i].packed);
		mf_buf_fini(&a->methods[i].request);
	}
	(void)close(a->wake);
	free(a);
}

void
mf_fa_answer(struct fake_agent *a, enum fa_method m, const ProtobufCMessage *msg)
{
	(void)pthread_mutex_lock(&a->lock);
	mf_buf_reset(&a->methods[m].packed);
	MUST(mf_pb_pack(msg, &a->methods[m].packed, NULL) == MF_OK);
	a->methods[m].mode = ANSWER;
	a->methods[m].version++;
	poke(a);
	(void)pthread_mutex_unlock(&a->lock);
}

void
mf_fa_status(struct fake_agent *a, enum fa_method m, enum mf_grpc_code code, const char *text)
{
	(void)pthread_mutex_lock(&a->lock);
	a->methods[m].mode = STATUS;
	a->methods[m].code = code;
	a->methods[m].text = text;
	a->methods[m].version++;
	poke(a);
	(void)pthread_mutex_unlock(&a->lock);
}

void
mf_fa_silence(struct fake_agent *a, enum fa_method m)
{
	(void)pthread_mutex_lock(&a->lock);
	a->methods[m].mode = SILENT;
	(void)pthread_mutex_unlock(&a->lock);
}

static void
set(struct fake_agent *a, bool *flag, bool v)
{
	(void)pthread_mutex_lock(&a->lock);
	*flag = v;
	poke(a);
	(void)pthread_mutex_unlock(&a->lock);
}

void
mf_fa_drop(struct fake_agent *a)
{
	set(a, &a->drop, true);
}

void
mf_fa_down(struct fake_agent *a)
{
	set(a, &a->down, true);
}

void
mf_fa_up(struct fake_agent *a)
{
	set(a, &a->down, false);
}

unsigned
mf_fa_calls(struct fake_agent *a, enum fa_method m)
{
	(void)pthread_mutex_lock(&a->lock);
	unsigned n = a->methods[m].calls;
	(void)pthread_mutex_unlock(&a->lock);
	return n;
}

unsigned
mf_fa_unmarked(struct fake_agent *a)
{
	(void)pthread_mutex_lock(&a->lock);
	unsigned n = a->unmarked;
	(void)pthread_mutex_unlock(&a->lock);
	return n;
}

unsigned
mf_fa_open(struct fake_agent *a, enum fa_method m)
{
	unsigned n = 0;
	(void)pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < CALLS; i++)
		n += a->open[i].call != NULL && a->open[i].m == m ? 1 : 0;
	(void)pthread_mutex_unlock(&a->lock);
	return n;
}

ProtobufCMessage *
mf_fa_request(struct fake_agent *a, enum fa_method m)
{
	ProtobufCMessage *msg = NULL;
	(void)pthread_mutex_lock(&a->lock);
	if (a->methods[m].has_request)
		MUST(mf_pb_unpack(a->table[m].request, mf_buf_slice(&a->methods[m].request), &msg, NULL) ==
		     MF_OK);
	(void)pthread_mutex_unlock(&a->lock);
	return msg;
}

/* --- answers --- */

static ProtobufCBinaryData
data(struct mf_slice s)
{
	return (ProtobufCBinaryData) { s.n, (uint8_t *)(uintptr_t)s.p };
}

void
mf_wl_init(struct wl_answer *w)
{
	memset(w, 0, sizeof(*w));
	x509_svidresponse__init(&w->r);
	w->r.svids = w->at;
	w->r.federated_bundles = w->foreign_at;
	w->r.crl = w->crl;
	for (size_t i = 0; i < WL_SVIDS; i++) {
		mf_buf_init(&w->chain[i], MF_LIM_CHAIN * MF_LIM_CERT_DER);
		mf_buf_init(&w->key[i], MF_LIM_KEY_DER);
	}
}

void
mf_wl_fini(struct wl_answer *w)
{
	for (size_t i = 0; i < WL_SVIDS; i++) {
		mf_buf_fini(&w->chain[i]);
		mf_buf_fini(&w->key[i]);
	}
}

void
mf_wl_add(struct wl_answer *w, const struct mint *m, const char *td, const char *path, const char *hint,
    int64_t now_s, int64_t not_after_s)
{
	static char none[] = "";
	size_t i = w->r.n_svids++;
	MUST(i < WL_SVIDS);
	(void)mf_mint_keyed(m, path, now_s, not_after_s, &w->chain[i], &w->key[i]);
	(void)snprintf(w->id[i], sizeof(w->id[i]), "spiffe://%s%s", td, path);
	x509_svid__init(&w->svid[i]);
	w->svid[i].spiffe_id = w->id[i];
	w->svid[i].x509_svid = data(mf_buf_slice(&w->chain[i]));
	w->svid[i].x509_svid_key = data(mf_buf_slice(&w->key[i]));
	w->svid[i].bundle = data(mf_mint_ca(m));
	w->svid[i].hint = hint == NULL ? none : (char *)(uintptr_t)hint;
	w->at[i] = &w->svid[i];
}

void
mf_wl_federate(struct wl_answer *w, const char *key, struct mf_slice der)
{
	size_t i = w->r.n_federated_bundles++;
	MUST(i < WL_SVIDS);
	x509_svidresponse__federated_bundles_entry__init(&w->foreign[i]);
	w->foreign[i].key = (char *)(uintptr_t)key;
	w->foreign[i].value = data(der);
	w->foreign_at[i] = &w->foreign[i];
}

void
mf_wl_crl(struct wl_answer *w, struct mf_slice der)
{
	size_t i = w->r.n_crl++;
	MUST(i < WL_SVIDS);
	w->crl[i] = data(der);
}
