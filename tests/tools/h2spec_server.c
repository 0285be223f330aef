/*
 * An HTTP/2 server without TLS (prior knowledge) on loopback, for h2spec: every request gets 200 and a
 * short body. It is lib/rpc/h2 with poll(2) around it, the limits of a real server, strict about :authority.
 *
 *   h2spec_server PORT	   prints "ready" when it listens; ends on SIGTERM
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "rpc/h2.h"

#define CONNS 64

struct conn {
	int fd;
	struct mf_h2 *h;
	struct mf_buf out;
	bool over;
};

static struct mf_h2_counters counters;

static void
answer(struct mf_h2_stream *s)
{
	const struct mf_h2_field head[] = { { MF_SLICE_LIT(":status"), MF_SLICE_LIT("200") },
		{ MF_SLICE_LIT("content-type"), MF_SLICE_LIT("text/plain") } };
	if (mf_h2_respond(s, head, MF_COUNT(head), false, NULL) != MF_OK ||
	    mf_h2_write(s, MF_SLICE_LIT("hello, h2spec\n"), NULL) != MF_OK || mf_h2_end(s, NULL) != MF_OK)
		mf_h2_reset(s, MF_H2_INTERNAL_ERROR);
}

static void
on_head(void *ctx, struct mf_h2_stream *s, bool trailers, bool end)
{
	MF_UNUSED(ctx);
	MF_UNUSED(trailers);
	if (end)
		answer(s);
}

static void
on_data(void *ctx, struct mf_h2_stream *s, struct mf_slice bytes)
{
	MF_UNUSED(ctx);
	mf_h2_consume(s, bytes.n);
}

static void
on_end(void *ctx, struct mf_h2_stream *s)
{
	MF_UNUSED(ctx);
	answer(s);
}

static void
on_writable(void *ctx, struct mf_h2_stream *s)
{
	MF_UNUSED(ctx);
	MF_UNUSED(s);
}

static void
on_closed(void *ctx, struct mf_h2_stream *s, uint32_t code)
{
	MF_UNUSED(ctx);
	MF_UNUSED(s);
	MF_UNUSED(code);
}

static const struct mf_h2_ops ops = {
	.head = on_head, .data = on_data, .end = on_end, .writable = on_writable, .closed = on_closed
};

static int
listen_on(uint16_t port)
{
	const int on = 1;
	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 64) != 0) {
		perror("h2spec_server");
		exit(1);
	}
	return fd;
}

static void
add(struct conn *conns, int fd)
{
	struct mf_h2_config cfg = { .server = true, .ops = &ops, .counters = &counters };
	for (int i = 0; i < CONNS; i++) {
		struct conn *c = &conns[i];
		if (c->h != NULL)
			continue;
		*c = (struct conn) { .fd = fd };
		mf_buf_init(&c->out, 1u << 20);
		if (mf_h2_new(&cfg, mf_now().mono_ms, &c->h, NULL) != MF_OK)
			break;
		return;
	}
	(void)close(fd);
}

/* What the peer sends after our last word would be answered by a reset, which may overtake that word: read it away. */
static void
linger(int fd)
{
	uint8_t in[1024];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < 100 && poll(&p, 1, 1000) > 0; i++)
		if (recv(fd, in, sizeof(in), MSG_DONTWAIT) <= 0)
			break;
}

static void
drop(struct conn *c)
{
	mf_h2_free(MF_TAKE(c->h));
	mf_buf_fini(&c->out);
	linger(c->fd);
	(void)close(c->fd);
}

static void
serve(struct conn *c, short ready)
{
	uint8_t in[8192];
	if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0 && !c->over) {
		ssize_t n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);
		if (n > 0)
			c->over = mf_h2_recv(c->h, mf_slice(in, (size_t)n), mf_now().mono_ms, NULL) != MF_OK;
		else if (n == 0 || errno != EAGAIN)
			c->over = true;
	}
	if (mf_h2_pull(c->h, &c->out, 65536, NULL) != MF_OK)
		c->over = true;
	while (c->out.n > 0) {
		ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0)
			break;
		mf_buf_consume(&c->out, (size_t)n);
	}
	if ((c->over && c->out.n == 0) || mf_h2_done(c->h))
		drop(c);
}

int
main(int argc, char **argv)
{
	static struct conn conns[CONNS];
	uint64_t port;
	if (argc != 2 || !mf_parse_u64(mf_slice_str(argv[1]), &port) || port > 65535) {
		(void)fprintf(stderr, "usage: h2spec_server PORT\n");
		return 2;
	}
	int ls = listen_on((uint16_t)port);
	(void)printf("ready\n");
	(void)fflush(stdout);
	for (;;) {
		struct pollfd p[CONNS + 1] = { { ls, POLLIN, 0 } };
		for (int i = 0; i < CONNS; i++) {
			const struct conn *c = &conns[i];
			p[i + 1].fd = c->h == NULL ? -1 : c->fd;
			p[i + 1].events = (short)((c->over ? 0 : POLLIN) | (c->out.n > 0 ? POLLOUT : 0));
		}
		if (poll(p, CONNS + 1, -1) < 0 && errno != EINTR)
			return 1;
		for (int i = 0; i < CONNS; i++)
			if (conns[i].h != NULL && p[i + 1].revents != 0)
				serve(&conns[i], p[i + 1].revents);
		if ((p[0].revents & POLLIN) != 0) {
			int fd = accept4(ls, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0)
				add(conns, fd);
		}
	}
}
