/* The connection: TCP, TLS 1.3, and bytes carried both ways. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/remote/remote.h"
#include "codec/bundle.h"
#include "os/listen.h"

#define PLACE "/mayfly/broker/"
#define QUEUE (256u * 1024u)

/* ---- who the broker is ---- */

static enum mf_status
verify_broker(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	const struct mf_remote_identity *id = ctx;
	MF_AUTO(mf_anchors_free) struct mf_anchors *a = NULL;
	struct mf_svid leaf = { 0 };
	MF_UNUSED(conn);
	if (n == 0)
		return MF_FAIL(err, MF_E_UNAUTH, "the server shows no certificate");
	if (mf_svid_read(chain[0], &leaf, err) != MF_OK)
		return MF_FAIL(err, MF_E_UNAUTH, "this is no broker: its certificate is no X.509-SVID");
	enum mf_status s = mf_anchors_new(mf_spiffe_id_trust_domain(leaf.id), mf_buf_slice(&id->ca), &a, err);
	mf_svid_fini(&leaf);
	MF_TRY(s);
	const struct mf_anchors *sets[] = { a };
	if (mf_svid_verify(chain, n, sets, 1, mf_now().wall_us / 1000000, &leaf, err) != MF_OK)
		return mf_err_wrap(err, MF_E_UNAUTH,
		    "the broker's certificate is not trusted: does --ca hold its trust domain's CA?");
	struct mf_slice path = mf_spiffe_id_path(leaf.id), place = MF_SLICE_LIT(PLACE);
	bool ok = mf_slice_starts(path, place) && mf_spiffe_segment_ok(mf_slice_sub(path, place.n, path.n));
	s = ok ? MF_OK
	       : MF_FAIL(err, MF_E_UNAUTH, "this is no broker: %.200s answers at this address",
		     mf_spiffe_id_str(leaf.id));
	mf_svid_fini(&leaf);
	return s;
}

/* ---- TCP ---- */

static int
wait_ms(uint64_t deadline_ms)
{
	uint64_t now = mf_now().mono_ms;
	return now >= deadline_ms ? 0 : deadline_ms - now > 60000 ? 60000 : (int)(deadline_ms - now);
}

static int
dial_one(const struct addrinfo *ai, uint64_t deadline_ms)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol),
	    e = 0;
	socklen_t n = sizeof(e);
	if (fd < 0)
		return -1;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return fd;
	struct pollfd p = { fd, POLLOUT, 0 };
	if (errno != EINPROGRESS)
		e = errno;
	else if (poll(&p, 1, wait_ms(deadline_ms)) <= 0)
		e = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0)
		e = errno;
	if (e == 0)
		return fd;
	(void)close(fd);
	errno = e;
	return -1;
}

static enum mf_status
dial(const char *broker, uint64_t deadline_ms, int *ret_fd, struct mf_err *err)
{
	char host[256], port[8];
	uint16_t number;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *all = NULL;
	MF_TRY(mf_address_split(broker, host, &number, err));
	(void)snprintf(port, sizeof(port), "%u", number);
	int rc = getaddrinfo(host, port, &hints, &all);
	if (rc != 0)
		return MF_FAIL(err, MF_E_UNAVAILABLE, "%s: %s (is the name right?)", host, gai_strerror(rc));
	int fd = -1, e = 0;
	for (const struct addrinfo *ai = all; ai != NULL && fd < 0; ai = ai->ai_next) {
		fd = dial_one(ai, deadline_ms);
		e = errno;
	}
	freeaddrinfo(all);
	if (fd < 0)
		return MF_FAIL(err, MF_E_UNAVAILABLE,
		    "%s: %s (does a broker listen there, with admin_listen?)", broker, strerror(e));
	*ret_fd = fd;
	return MF_OK;
}

/* ---- TLS ---- */

/* The server ended the handshake, or the connection right after it: in TLS 1.3 that is how it refuses us. */
static enum mf_status
refused(const struct mf_remote_identity *id, struct mf_err *err)
{
	char why[MF_ERR_MSG_MAX];
	(void)snprintf(why, sizeof(why), "%s", err->msg);
	return MF_FAIL(err, MF_E_DENIED,
	    "the broker refused the client certificate: it must be valid now, and an SVID of the broker's "
	    "trust domain "
	    "or of one of its admins file, or of that file's CA (%s; %.150s)",
	    id->name[0] == '\0' ? "?" : id->name, why);
}

/* Bytes to the socket, as many as it takes. */
static enum mf_status
send_some(int fd, struct mf_buf *b, struct mf_err *err)
{
	while (b->n > 0) {
		ssize_t n = send(fd, b->p, b->n, MSG_NOSIGNAL);
		if (n >= 0)
			mf_buf_consume(b, (size_t)n);
		else if (errno == EAGAIN)
			return MF_OK;
		else if (errno != EINTR)
			return MF_FAIL(err, MF_E_UNAVAILABLE, "the connection was cut: %s", strerror(errno));
	}
	return MF_OK;
}

static enum mf_status
shake(struct mf_tls *tls, int fd, uint64_t deadline_ms, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, QUEUE);
	for (;;) {
		MF_TRY(mf_tls_pull(tls, &out, err));
		MF_TRY(send_some(fd, &out, err));
		if (mf_tls_open(tls) && out.n == 0)
			return MF_OK;
		struct pollfd p = { fd, (short)(POLLIN | (out.n > 0 ? POLLOUT : 0)), 0 };
		if (poll(&p, 1, wait_ms(deadline_ms)) == 0 && mf_now().mono_ms >= deadline_ms)
			return MF_FAIL(err, MF_E_DEADLINE,
			    "no TLS handshake in time: is this the broker's admin_listen address?");
		uint8_t in[8192];
		ssize_t n = recv(fd, in, sizeof(in), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return MF_FAIL(err, MF_E_UNAVAILABLE,
			    "the server closed the connection: is this the broker's admin_listen address?");
		if (n > 0) {
			enum mf_status s = mf_tls_feed(tls, mf_slice(in, (size_t)n), err);
			if (s != MF_OK) {
				struct mf_err ignored = { 0 };
				if (mf_tls_pull(tls, &out, &ignored) == MF_OK)
					(void)!send_some(fd, &out, &ignored); /* the alert */
				return s;
			}
		}
	}
}

enum mf_status
mf_remote_connect(const struct mf_remote_args *a, const struct mf_remote_identity *id,
    struct mf_tls **ret_tls, int *ret_fd, struct mf_err *err)
{
	struct mf_slice chain[MF_LIM_CHAIN];
	size_t n = 0;
	MF_TRY(mf_bundle_split(mf_buf_slice(&id->chain), chain, MF_COUNT(chain), &n, err));
	const struct mf_tls_config cfg = { .chain = chain,
		.n_chain = n,
		.key = mf_buf_slice(&id->key),
		.verify = verify_broker,
		.ctx = (void *)(uintptr_t)id };
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *ctx = NULL;
	MF_AUTO(mf_tls_free) struct mf_tls *tls = NULL;
	int fd = -1;
	MF_TRY(mf_tls_ctx_new(&cfg, &ctx, err));
	MF_TRY(dial(a->broker, a->deadline_ms, &fd, err));
	enum mf_status s = mf_tls_new(ctx, NULL, &tls, err);
	if (s == MF_OK)
		s = shake(tls, fd, a->deadline_ms, err);
	if (s != MF_OK) {
		(void)close(fd);
		return s;
	}
	*ret_tls = MF_TAKE(tls);
	*ret_fd = fd;
	return MF_OK;
}

/* ---- bytes both ways ---- */

struct relay {
	const struct mf_remote_identity *id;
	struct mf_tls *tls;
	int net, local;
	struct mf_buf to_net, to_local;
	bool heard; /* the broker answered: it has let us in */
	bool over;
};

static enum mf_status
from_net(struct relay *r, struct mf_err *err)
{
	uint8_t in[8192];
	ssize_t n = recv(r->net, in, sizeof(in), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return MF_OK;
	if (n < 0)
		return MF_FAIL(err, MF_E_UNAVAILABLE, "the connection was cut: %s", strerror(errno));
	if (n == 0) {
		r->over = true;
		return r->heard ? MF_OK : MF_FAIL(err, MF_E_UNAVAILABLE, "the broker closed the connection");
	}
	enum mf_status s = mf_tls_feed(r->tls, mf_slice(in, (size_t)n), err);
	size_t before = r->to_local.n;
	if (s == MF_OK)
		s = mf_tls_read(r->tls, &r->to_local, err);
	r->heard = r->heard || r->to_local.n > before;
	if (s == MF_E_CLOSED) {
		r->over = true;
		return MF_OK;
	}
	return s == MF_OK || r->heard ? s : refused(r->id, err);
}

static enum mf_status
from_local(struct relay *r, struct mf_err *err)
{
	uint8_t in[8192];
	ssize_t n = recv(r->local, in, sizeof(in), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return MF_OK;
	if (n <= 0) {
		mf_tls_close(r->tls);
		r->over = true;
	} else {
		MF_TRY(mf_tls_write(r->tls, mf_slice(in, (size_t)n), err));
	}
	return mf_tls_pull(r->tls, &r->to_net, err);
}

enum mf_status
mf_remote_relay(
    const struct mf_remote_identity *id, struct mf_tls *tls, int net, int local, struct mf_err *err)
{
	struct relay r = { .id = id, .tls = tls, .net = net, .local = local };
	enum mf_status s = MF_OK;
	mf_buf_init(&r.to_net, QUEUE);
	mf_buf_init(&r.to_local, QUEUE);
	(void)fcntl(local, F_SETFL, O_NONBLOCK);
	/* What the server sent with the last bytes of the handshake. */
	s = mf_tls_read(tls, &r.to_local, err);
	while (s == MF_OK && !r.over) {
		/* Neither side is read while the other does not take what it has been given. */
		struct pollfd p[2] = { { net, 0, 0 }, { local, 0, 0 } };
		p[0].events = (short)((r.to_local.n == 0 ? POLLIN : 0) | (r.to_net.n > 0 ? POLLOUT : 0));
		p[1].events = (short)((r.to_net.n == 0 ? POLLIN : 0) | (r.to_local.n > 0 ? POLLOUT : 0));
		if (poll(p, 2, -1) < 0 && errno != EINTR) {
			s = MF_FAIL(err, MF_E_IO, "poll: %s", strerror(errno));
			break;
		}
		if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && r.to_local.n == 0)
			s = from_net(&r, err);
		if (s == MF_OK && (p[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && r.to_net.n == 0 &&
		    !r.over)
			s = from_local(&r, err);
		if (s == MF_OK)
			s = mf_tls_pull(tls, &r.to_net, err);
		if (s == MF_OK)
			s = send_some(net, &r.to_net, err);
		if (s == MF_OK && send_some(local, &r.to_local, err) != MF_OK)
			r.over = true; /* the command is done */
	}
	mf_buf_fini(&r.to_net);
	mf_buf_fini(&r.to_local);
	return s;
}
