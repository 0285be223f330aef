/* A gRPC server and client on one loop, over real sockets. For test_net_*.c. */
#ifndef TEST_NET_WORLD_H
#define TEST_NET_WORLD_H
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/tls_kit.h"

#include "net/grpc_conn.h"
#include "rpc/grpc_health.h"
#include "rpc/grpc_sync.h"

struct world {
	char dir[64], path[96];
	struct mf_loop *l;
	struct mf_grpc_health *health;
	const struct mf_grpc_service *services[2];
	const struct mf_grpc_service *more; /* a second service, if set before world_listen */
	struct mf_grpc_server server;
	struct mf_net_listener *ln;
	struct mf_net_counters sc, cc;
	struct mf_net_limits limits;
	bool tls, refuse_sender, refuse_open;
	struct kit sk, ck;
	struct mf_tls_ctx *stls, *ctls;
	uint16_t port;
	/* seen by the server */
	int opens, senders, closes, verified;
	struct mf_net_sender last;
	int last_pidfd_ok;
	enum mf_net_why why;
	/* seen by the client */
	struct mf_net_conn *conn;
	int c_opens, c_closes, messages, statuses;
	enum mf_net_why c_why;
	enum mf_grpc_code code;
};

static inline bool
world_s_open(void *ctx, struct mf_net_conn *c)
{
	struct world *w = ctx;
	MF_UNUSED(c);
	w->opens++;
	return !w->refuse_open;
}

static inline bool
world_s_sender(void *ctx, struct mf_net_conn *c, const struct mf_net_sender *s)
{
	struct world *w = ctx;
	MF_UNUSED(c);
	w->senders++;
	w->last = *s;
	w->last_pidfd_ok = s->pidfd >= 0 && fcntl(s->pidfd, F_GETFD) == FD_CLOEXEC;
	return !w->refuse_sender;
}

static inline void
world_s_close(void *ctx, struct mf_net_conn *c, enum mf_net_why why, const struct mf_err *err)
{
	struct world *w = ctx;
	MF_UNUSED(c);
	MF_UNUSED(err);
	w->closes++;
	w->why = why;
}

static const struct mf_net_conn_ops s_ops = {
	.on_open = world_s_open, .on_sender = world_s_sender, .on_close = world_s_close
};

static inline bool
c_open(void *ctx, struct mf_net_conn *c)
{
	struct world *w = ctx;
	assert_non_null(mf_net_conn_grpc(c));
	w->c_opens++;
	return true;
}

static inline void
c_close(void *ctx, struct mf_net_conn *c, enum mf_net_why why, const struct mf_err *err)
{
	struct world *w = ctx;
	MF_UNUSED(err);
	if (w->conn == c)
		w->conn = NULL;
	w->c_closes++;
	w->c_why = why;
}

static const struct mf_net_conn_ops c_ops = { .on_open = c_open, .on_close = c_close };

static inline enum mf_status
verify(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	struct world *w = ctx;
	assert_non_null(conn);
	w->verified++;
	if (n == 1 && (mf_slice_eq(chain[0], w->sk.chain[0]) || mf_slice_eq(chain[0], w->ck.chain[0])))
		return MF_OK;
	return MF_FAIL(err, MF_E_DENIED, "unknown certificate");
}

static inline void
c_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct world *w = mf_grpc_call_user(c);
	MF_UNUSED(msg);
	w->messages++;
}

static inline void
c_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	struct world *w = mf_grpc_call_user(c);
	MF_UNUSED(text);
	w->statuses++;
	w->code = code;
}

static const struct mf_grpc_client_ops call_ops = { .on_message = c_message, .on_status = c_status };

static inline void
world_listen(struct world *w)
{
	struct mf_err err = { 0 };
	int fd = -1;
	if (w->more != NULL) {
		w->services[1] = w->more;
		w->server.n_services = 2;
	}
	if (w->tls) {
		struct sockaddr_in sa;
		socklen_t n = sizeof(sa);
		assert_int_equal(mf_net_listen_tcp("127.0.0.1", 0, &fd, &err), MF_OK);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
		w->port = ntohs(sa.sin_port);
	} else {
		assert_int_equal(mf_net_listen_unix(w->path, 0777, &fd, &err), MF_OK);
	}
	struct mf_net_listener_config cfg = { .fd = fd,
		.tls = w->tls,
		.server = &w->server,
		.limits = w->limits,
		.ops = &s_ops,
		.ctx = w,
		.counters = &w->sc };
	assert_int_equal(mf_net_listener_new(w->l, &cfg, &w->ln, &err), MF_OK);
	if (w->tls)
		mf_net_listener_set_tls(w->ln, w->stls);
}

static inline void
world_init(struct world *w, bool tls)
{
	struct mf_err err = { 0 };
	memset(w, 0, sizeof(*w));
	memcpy(w->dir, "/tmp/mf-net-XXXXXX", 19);
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
	assert_int_equal(mf_loop_new(&w->l, &err), MF_OK);
	assert_int_equal(mf_grpc_health_new(&w->health, &err), MF_OK);
	assert_int_equal(mf_grpc_health_set(w->health, "", MF_GRPC_HEALTH_SERVING, &err), MF_OK);
	w->services[0] = mf_grpc_health_service(w->health);
	w->server =
	    (struct mf_grpc_server) { .services = w->services, .n_services = 1, .any_authority = !tls };
	w->tls = tls;
	if (!tls)
		return;
	kit_init(&w->sk, "server");
	kit_init(&w->ck, "client");
	w->stls = kit_ctx(&w->sk, true, verify, w);
	w->ctls = kit_ctx(&w->ck, false, verify, w);
}

static inline void
world_fini(struct world *w)
{
	struct mf_err err = { 0 };
	mf_net_listener_free(w->ln);
	if (w->conn != NULL)
		mf_net_conn_close(w->conn);
	for (int i = 0; i < 1000 && w->cc.open > 0; i++)
		assert_int_equal(mf_loop_turn(w->l, true, &err), MF_OK);
	assert_int_equal(w->sc.open, 0);
	assert_int_equal(w->cc.open, 0);
	mf_grpc_health_free(w->health);
	mf_loop_free(w->l);
	if (w->tls) {
		mf_tls_ctx_free(w->stls);
		mf_tls_ctx_free(w->ctls);
		kit_fini(&w->sk);
		kit_fini(&w->ck);
	}
	(void)unlink(w->path);
	(void)rmdir(w->dir);
}

/* Turn the loop until ${what} holds; the bound is a hang limit. */
#define UNTIL(w, what)                                                                           \
	do {                                                                                     \
		struct mf_err u_err = { 0 };                                                     \
		struct mf_loop_timer *u_t = NULL;                                                \
		bool u_over = false;                                                             \
		assert_int_equal(mf_loop_timer_new((w)->l, hang, &u_over, &u_t, &u_err), MF_OK); \
		mf_loop_timer_set(u_t, 30000);                                                   \
		while (!(what) && !u_over)                                                       \
			assert_int_equal(mf_loop_turn((w)->l, true, &u_err), MF_OK);             \
		mf_loop_timer_free(u_t);                                                         \
		if (u_over)                                                                      \
			fail_msg("never: %s", #what);                                            \
	} while (0)

static inline void
hang(void *ctx)
{
	bool *over = ctx;
	*over = true;
}

static inline void
dial(struct world *w)
{
	static const struct mf_grpc_client client = { 0 };
	struct mf_net_client_config cfg = { .client = &client, .ops = &c_ops, .ctx = w, .counters = &w->cc };
	struct mf_err err = { 0 };
	if (w->tls) {
		cfg.address = "127.0.0.1";
		cfg.port = w->port;
		cfg.tls = w->ctls;
	} else {
		cfg.unix_path = w->path;
	}
	int before = w->c_opens, closes = w->c_closes;
	assert_int_equal(mf_net_connect(w->l, &cfg, &w->conn, &err), MF_OK);
	UNTIL(w, w->c_opens > before || w->c_closes > closes);
}

static inline struct mf_grpc_call *
call(struct world *w, const struct mf_grpc_method *m)
{
	struct mf_grpc_call *c = NULL;
	struct mf_err err = { 0 };
	MF_AUTO(mf_pb_free) ProtobufCMessage *req = NULL;
	assert_int_equal(mf_pb_unpack(m->request, mf_slice(NULL, 0), &req, &err), MF_OK);
	assert_int_equal(
	    mf_grpc_open(mf_net_conn_grpc(w->conn), m, &call_ops, w, NULL, 0, 0, &c, &err), MF_OK);
	assert_int_equal(mf_grpc_send(c, req, &err), MF_OK);
	mf_grpc_half_close(c);
	return c;
}

/* A raw client of the Unix socket. */
static inline int
raw(const struct world *w)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	memcpy(sa.sun_path, w->path, strlen(w->path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}
#endif
