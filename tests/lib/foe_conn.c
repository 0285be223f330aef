#include "foe_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

/* --- connecting --- */

static int
dial_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (n >= sizeof(sa.sun_path))
		abort();
	memcpy(sa.sun_path, path, n);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static int
dial_tcp(const char *host, const char *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	uint64_t n = 0;
	if (inet_pton(AF_INET, host, &sa.sin_addr) != 1 || !mf_parse_u64(mf_slice_str(port), &n) || n > 65535)
		abort();
	sa.sin_port = htons((uint16_t)n);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

int
mf_foe_dial(const struct foe_target *t)
{
	if (t->at[0] == '/')
		return dial_unix(t->at);
	const char *colon = strrchr(t->at, ':');
	char host[64];
	size_t n = colon == NULL ? sizeof(host) : (size_t)(colon - t->at);
	if (n >= sizeof(host))
		abort();
	memcpy(host, t->at, n);
	host[n] = '\0';
	return dial_tcp(host, colon + 1);
}

static void
on_info(const SSL *ssl, int where, int value)
{
	struct foe *f = SSL_get_app_data(ssl);
	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
		f->alert = value & 0xff;
}

static bool
secure(struct foe *f, const struct foe_target *t)
{
	struct timeval hang = { .tv_sec = FOE_HANG_MS / 1000 };
	static const unsigned char h2[] = "\x02h2";
	bool own = t->alpn != NULL;
	(void)setsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &hang, sizeof(hang));
	f->ctx = SSL_CTX_new(TLS_client_method());
	if (f->ctx == NULL || SSL_CTX_set_max_proto_version(f->ctx, t->max_version) != 1)
		abort();
	SSL_CTX_set_security_level(f->ctx, 0); /* what is refused must be refused over there */
	if ((!own || t->alpn_n > 0) &&
	    SSL_CTX_set_alpn_protos(f->ctx, own ? t->alpn : h2, own ? t->alpn_n : 3) != 0)
		abort();
	if (t->psk != NULL)
		SSL_CTX_set_psk_use_session_callback(f->ctx, t->psk);
	if (t->cert != NULL && (SSL_CTX_use_certificate_chain_file(f->ctx, t->cert) != 1 ||
				   SSL_CTX_use_PrivateKey_file(f->ctx, t->key, SSL_FILETYPE_PEM) != 1))
		abort();
	f->ssl = SSL_new(f->ctx);
	if (f->ssl == NULL || SSL_set_fd(f->ssl, f->fd) != 1 || SSL_set_app_data(f->ssl, f) != 1)
		abort();
	SSL_set_info_callback(f->ssl, on_info);
	if ((t->sni != NULL && SSL_set_tlsext_host_name(f->ssl, t->sni) != 1) ||
	    (t->session != NULL && SSL_set_session(f->ssl, t->session) != 1))
		abort();
	size_t n;
	if (t->early != NULL && SSL_write_early_data(f->ssl, t->early->p, t->early->n, &n) != 1)
		abort(); /* it did not leave: nothing was tried */
	bool done = SSL_connect(f->ssl) == 1;
	f->early_taken = SSL_get_early_data_status(f->ssl) == SSL_EARLY_DATA_ACCEPTED;
	return done;
}

bool
mf_foe_open(struct foe *f, const struct foe_target *t)
{
	*f = (struct foe) { .goaway = -1, .alert = -1 };
	mf_buf_init(&f->to, 64u << 20);
	mf_buf_init(&f->from, 4u << 20);
	f->on = calloc(FOE_STREAMS, sizeof(*f->on));
	if (f->on == NULL || nghttp2_hd_inflate_new(&f->hpack) != 0)
		abort();
	for (size_t i = 0; i < FOE_STREAMS; i++)
		f->on[i] = (struct foe_heard) { .rst = -1, .grpc = -1 };
	f->fd = mf_foe_dial(t);
	if (f->fd < 0 || (t->at[0] != '/' && !secure(f, t)))
		return false;
	return fcntl(f->fd, F_SETFL, O_NONBLOCK) == 0;
}

void
mf_foe_shut(struct foe *f)
{
	SSL_free(f->ssl);
	SSL_CTX_free(f->ctx);
	if (f->fd >= 0)
		(void)close(f->fd);
	nghttp2_hd_inflate_del(f->hpack);
	mf_buf_fini(&f->to);
	mf_buf_fini(&f->from);
	free(f->on);
}

/* --- what comes back --- */

static void
take_head(struct foe *f, uint32_t id, struct mf_slice block)
{
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(f->hpack, &nv, &flags, block.p, block.n, 1);
		if (n < 0)
			abort();
		block = mf_slice_sub(block, (size_t)n, block.n);
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
			struct mf_slice name = mf_slice(nv.name, nv.namelen);
			uint64_t v = 0;
			(void)!mf_parse_u64(mf_slice(nv.value, nv.valuelen), &v);
			if (mf_slice_eq_str(name, ":status"))
				f->on[id].http = (int)v;
			else if (mf_slice_eq_str(name, "grpc-status"))
				f->on[id].grpc = (int)v;
		}
		if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0)
			break;
	}
	(void)nghttp2_hd_inflate_end_headers(f->hpack);
}

static void
take_frame(struct foe *f, const uint8_t *p, struct mf_slice body)
{
	uint32_t id = ((uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8]) & 0x7fffffff;
	bool ack = (p[4] & 1) != 0;
	if (id >= FOE_STREAMS)
		abort();
	switch (p[3]) {
	case DATA:
		f->on[id].data |= body.n > 0;
		break;
	case HEADERS:
		take_head(f, id, body);
		break;
	case RST_STREAM:
		f->on[id].rst = body.n == 4 ? body.p[3] : 255;
		break;
	case GOAWAY: /* the last one counts: an announced drain comes in two */
		f->goaway = body.n >= 8 ? body.p[7] : 255;
		break;
	case SETTINGS:
		if (!ack && !f->no_ack)
			h2_frame(&f->to, SETTINGS, 1, 0, mf_slice(NULL, 0));
		break;
	case PING:
		f->pongs += ack;
		if (!ack && !f->no_ack)
			h2_frame(&f->to, PING, 1, 0, body);
		break;
	default:
		break;
	}
}

static void
take(struct foe *f)
{
	static const char http1[] = "HTTP/1.1 ";
	if (f->from.n >= sizeof(http1) + 3 &&
	    memcmp(f->from.p, http1, sizeof(http1) - 1) == 0) { /* lint: memcmp: public */
		f->on[0].http = atoi((const char *)f->from.p + sizeof(http1) - 1);
		mf_buf_reset(&f->from);
		return;
	}
	size_t at = 0;
	while (f->from.n - at >= 9) {
		const uint8_t *p = f->from.p + at;
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
		if (f->from.n - at < 9 + n)
			break;
		take_frame(f, p, mf_slice(p + 9, n));
		at += 9 + n;
	}
	mf_buf_consume(&f->from, at);
}

/* --- bytes --- */

static ssize_t
io(struct foe *f, bool write, void *p, size_t n)
{
	if (f->ssl == NULL)
		return write ? send(f->fd, p, n, MSG_NOSIGNAL) : recv(f->fd, p, n, 0);
	size_t done = 0;
	int rv = write ? SSL_write_ex(f->ssl, p, n, &done) : SSL_read_ex(f->ssl, p, n, &done);
	if (rv == 1)
		return (ssize_t)done;
	int e = SSL_get_error(f->ssl, rv);
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
		errno = EAGAIN;
		return -1;
	}
	return e == SSL_ERROR_ZERO_RETURN ? 0 : -2;
}

static void
read_some(struct foe *f)
{
	uint8_t in[16384];
	ssize_t n;
	while (!f->closed && (n = io(f, false, in, sizeof(in))) != 0) {
		if (n < 0) {
			f->closed = n == -2 || errno != EAGAIN;
			return;
		}
		f->got += (uint64_t)n;
		mf_buf_put(&f->from, in, (size_t)n);
		take(f);
	}
	f->closed = true;
}

static void
write_some(struct foe *f)
{
	while (!f->closed && f->to.n > 0) {
		ssize_t n = io(f, true, f->to.p, f->to.n < 16384 ? f->to.n : 16384);
		if (n < 0 && n != -2 && errno == EAGAIN)
			return;
		if (n <= 0) {
			read_some(f); /* what it said before it closed */
			f->closed = true;
			return;
		}
		mf_buf_consume(&f->to, (size_t)n);
	}
}

/* One turn; false: nothing happened for ${ms}. */
static bool
turn(struct foe *f, int ms)
{
	struct pollfd p = { .fd = f->fd,
		.events = (short)((f->mute ? 0 : POLLIN) | (f->to.n > 0 ? POLLOUT : 0)) };
	int n = poll(&p, 1, ms);
	if (n <= 0)
		return false;
	if (f->mute && (p.revents & (POLLERR | POLLHUP)) != 0) {
		f->closed = true;
		return true;
	}
	if (!f->mute && (p.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
		read_some(f);
	if ((p.revents & POLLOUT) != 0)
		write_some(f);
	return true;
}

bool
mf_foe_say(struct foe *f)
{
	uint64_t end = mf_now().mono_ms + FOE_HANG_MS;
	while (!f->closed && f->to.n > 0) {
		if (!turn(f, 1000) && mf_now().mono_ms > end) {
			f->hangs = true;
			return false;
		}
	}
	return f->to.n == 0;
}

bool
mf_foe_hear(struct foe *f, bool (*enough)(const struct foe *f, const void *arg), const void *arg)
{
	uint64_t end = mf_now().mono_ms + FOE_HANG_MS;
	while (!f->closed && !enough(f, arg)) {
		(void)turn(f, 1000);
		if (mf_now().mono_ms > end) {
			f->hangs = true;
			return false;
		}
	}
	return true;
}

void
mf_foe_linger(struct foe *f, int ms)
{
	uint64_t end = mf_now().mono_ms + (uint64_t)ms;
	for (uint64_t now; !f->closed && (now = mf_now().mono_ms) < end;)
		(void)turn(f, (int)(end - now));
}

/* --- what goes out --- */

void
mf_foe_greet(struct foe *f, struct mf_slice settings)
{
	mf_buf_put_str(&f->to, H2_PREFACE);
	h2_frame(&f->to, SETTINGS, 0, 0, settings);
}

void
mf_foe_head_block(struct mf_buf *b, const char *path, const char *const *extra)
{
	static const char *const fields[] = { ":method", "POST", ":scheme", "http", ":authority", "localhost",
		"te", "trailers", "content-type", "application/grpc", "workload.spiffe.io", "true" };
	h2_field(b, ":path", path);
	for (size_t i = 0; i < MF_COUNT(fields); i += 2)
		h2_field(b, fields[i], fields[i + 1]);
	for (; extra != NULL && extra[0] != NULL; extra += 2)
		h2_field(b, extra[0], extra[1]);
}

void
mf_foe_head(struct foe *f, uint32_t id, unsigned flags, const char *path, const char *const *extra)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 16384);
	mf_foe_head_block(&b, path, extra);
	h2_frame(&f->to, HEADERS, flags | END_HEADERS, id, mf_buf_slice(&b));
}

void
mf_foe_message(
    struct foe *f, uint32_t id, unsigned flags, uint8_t compressed, uint32_t declared, struct mf_slice body)
{
	h2_frame_head(&f->to, 5 + body.n, DATA, flags, id);
	mf_buf_put_u8(&f->to, compressed);
	mf_buf_put_u32be(&f->to, declared);
	mf_buf_put_slice(&f->to, body);
}

static bool
answered(const struct foe *f, const void *arg)
{
	const struct foe_heard *h = &f->on[*(const uint32_t *)arg];
	return h->grpc >= 0 || h->rst >= 0 || h->data;
}

bool
mf_foe_ask(struct foe *f, uint32_t id, const char *path)
{
	mf_foe_head(f, id, 0, path, NULL);
	mf_foe_message(f, id, END_STREAM, 0, 0, mf_slice(NULL, 0));
	return mf_foe_say(f) && mf_foe_hear(f, answered, &id) && (f->on[id].grpc >= 0 || f->on[id].data);
}
