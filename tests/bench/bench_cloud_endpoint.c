/*
 * bench_cloud_endpoint [N]: credentials from the agent's memory over its cloud endpoint: how long one request takes (a
 * connection that is kept alive, and a new one each; one client, and eight at once as the ranks of a job are), what it costs the
 * process that serves, and what a bare loop of the same system calls costs (the limit). The front runs in this process, with a fake
 * attestor; the clients are others. Figures, nothing asserted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/cloud_socket.h"
#include "agent/front/cloud_secret.h"
#include "agent/front/sock_peer.h"
#include "front_rig.h"
#include "rpc/pb_check.h"

static struct {
	struct rig *r;
	uint8_t key[MF_CLOUD_KEY];
	struct sockaddr_in at;
	char text[512];
	Mayfly__Agent__V1__CloudOffer offer;
} b;

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static double
clock_s(clockid_t c)
{
	struct timespec t;
	(void)clock_gettime(c, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
on_cloud(struct rig *r, const Mayfly__Roles__V1__MintInstanceCloud *q)
{
	Mayfly__Roles__V1__InstanceCloud m = MAYFLY__ROLES__V1__INSTANCE_CLOUD__INIT;
	Mayfly__Agent__V1__CloudGrant g = MAYFLY__AGENT__V1__CLOUD_GRANT__INIT;
	Mayfly__Roles__V1__CloudToken c = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
	static char id[] = "AKIAIOSFODNN7EXAMPLE", kind[] = "aws", session[1200];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
	mf_buf_init(&token, 4096);
	memset(session, 'x', sizeof(session) - 1); /* as long as AWS makes them */
	c.kind = MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS;
	c.access_key_id = c.secret_access_key = id;
	c.session_token = session;
	must(mf_pb_pack(&c.base, &token, NULL) == MF_OK);
	g.grant = q->grant;
	g.kind = kind;
	g.credential_id = id;
	g.token = (ProtobufCBinaryData) { token.n, token.p };
	g.effective_expires = g.expires = mf_now().wall_us / 1000000 + 36000;
	m.mint_id = q->mint_id;
	m.grant = &g;
	mf_frig_send(r, MF_MSG_INSTANCE_CLOUD, &m.base);
}

static int
dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fd >= 0 && connect(fd, (struct sockaddr *)&b.at, sizeof(b.at)) == 0);
	return fd;
}

static void
ask(int fd)
{
	char in[4096];
	size_t n = 0;
	must(send(fd, b.text, strlen(b.text), MSG_NOSIGNAL) == (ssize_t)strlen(b.text));
	do {
		ssize_t got = recv(fd, in + n, sizeof(in) - 1 - n, 0);
		must(got > 0);
		n += (size_t)got;
		in[n] = '\0';
	} while (strchr(in, '}') == NULL);
	must(strstr(in, " 200 OK") != NULL);
}

static int
by_time(const void *x, const void *y)
{
	double a = *(const double *)x, c = *(const double *)y;
	return a < c ? -1 : a > c;
}

static void
one_client(double *took, size_t n, bool keep, int start)
{
	int fd = keep ? dial() : -1;
	char byte;
	must(read(start, &byte, 1) == 0); /* until nobody holds it any more */
	for (size_t k = 0; k < n; k++) {
		double from = clock_s(CLOCK_MONOTONIC);
		int one = keep ? fd : dial();
		ask(one);
		if (!keep)
			(void)close(one);
		took[k] = clock_s(CLOCK_MONOTONIC) - from;
	}
}

/* All that asks: ${n} requests by ${at_once} processes that begin together. */
static _Noreturn void
client(size_t n, bool keep, size_t at_once, int go)
{
	size_t each = n / at_once;
	int start[2], st = 0;
	double *took =
	    mmap(NULL, n * sizeof(*took), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(took != MAP_FAILED && pipe2(start, O_CLOEXEC) == 0);
	int first = dial();
	ask(first); /* mints */
	(void)close(first);
	for (size_t k = 0; k < at_once; k++) {
		pid_t pid = fork();
		must(pid >= 0);
		if (pid == 0) {
			(void)close(start[1]);
			one_client(took + k * each, each, keep, start[0]);
			_exit(0);
		}
	}
	must(write(go, "x", 1) == 1);
	(void)close(start[1]);
	for (size_t k = 0; k < at_once; k++)
		must(wait(&st) > 0 && WIFEXITED(st) && WEXITSTATUS(st) == 0);
	qsort(took, each * at_once, sizeof(*took), by_time);
	(void)printf("%s, %zu at once: p50 %.3f ms, p99 %.3f ms",
	    keep ? "kept connection" : "new connection each", at_once, took[each * at_once / 2] * 1e3,
	    took[each * at_once - 1 - each * at_once / 100] * 1e3);
	(void)fflush(stdout);
	_exit(0);
}

/* Reading end of the client's pipe: a byte when its first request was answered, its end when it has gone. */
struct watched {
	struct mf_loop_fd *io;
	int fd;
	bool goes, gone;
};

static void
on_word(void *ctx, unsigned what)
{
	struct watched *w = ctx;
	char byte;
	ssize_t n = read(w->fd, &byte, 1);
	(void)what;
	w->goes |= n == 1;
	w->gone |= n == 0;
}

/* From the first answer on only the front works: whom it knows it does not ask the attestor about. */
static void
measure(size_t n, bool keep, size_t at_once)
{
	int go[2], st = 0;
	double cpu = 0;
	struct watched w = { 0 };
	must(pipe2(go, O_CLOEXEC | O_NONBLOCK) == 0);
	pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0)
		client(n, keep, at_once, go[1]);
	(void)close(go[1]);
	w.fd = go[0];
	must(mf_loop_fd_new(b.r->loop, w.fd, MF_LOOP_READ, on_word, &w, &w.io, NULL) == MF_OK);
	while (!w.goes) {
		must(mf_loop_turn(b.r->loop, true, NULL) == MF_OK);
		mf_frig_turn(b.r);
	}
	cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	while (!w.gone)
		must(mf_loop_turn(b.r->loop, true, NULL) == MF_OK);
	cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	must(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 0);
	(void)printf(
	    "; %.0f us of the agent's processor for each (%zu requests)\n", cpu / (double)n * 1e6, n);
	(void)fflush(stdout);
	mf_loop_fd_free(w.io);
	(void)close(go[0]);
}

/* The least that the kernel asks for the same: accept, whose it is, read, write, hear the end. */
static void
bare_turn(int ep, int lis, int diag)
{
	static char reply[1460] = "HTTP/1.1 200 OK\r\n\r\n}";
	struct epoll_event e[16];
	char in[4096];
	int n = epoll_wait(ep, e, 16, 20);
	for (int k = 0; k < n; k++) {
		int fd = e[k].data.fd;
		struct sockaddr_in from, to;
		socklen_t a = sizeof(from), c = sizeof(to);
		struct mf_sock_peer who;
		if (fd == lis) {
			fd = accept4(lis, (struct sockaddr *)&from, &a, SOCK_CLOEXEC | SOCK_NONBLOCK);
			struct epoll_event add = { .events = EPOLLIN, .data.fd = fd };
			must(fd >= 0 && getsockname(fd, (struct sockaddr *)&to, &c) == 0 &&
			     mf_sock_peer_look(diag, &from, &to, &who, NULL) == MF_OK &&
			     epoll_ctl(ep, EPOLL_CTL_ADD, fd, &add) == 0);
		}
		ssize_t got = read(fd, in, sizeof(in));
		if (got > 0)
			must(write(fd, reply, sizeof(reply)) == (ssize_t)sizeof(reply));
		else if (got == 0)
			(void)close(fd);
	}
}

static void
measure_bare(size_t n, bool keep, size_t at_once, int diag)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), st = 0, go[2];
	int lis = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct epoll_event add = { .events = EPOLLIN, .data.fd = lis };
	socklen_t len = sizeof(at);
	must(bind(lis, (struct sockaddr *)&at, len) == 0 && listen(lis, 64) == 0 &&
	     getsockname(lis, (struct sockaddr *)&b.at, &len) == 0 &&
	     epoll_ctl(ep, EPOLL_CTL_ADD, lis, &add) == 0 && pipe2(go, O_CLOEXEC) == 0);
	double cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0)
		client(n, keep, at_once, go[1]);
	while (waitpid(pid, &st, WNOHANG) == 0)
		for (int k = 0; k < 64; k++)
			bare_turn(ep, lis, diag);
	cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	must(WIFEXITED(st) && WEXITSTATUS(st) == 0);
	(void)printf("; %.0f us of its processor (a bare loop: the limit, system calls alone)\n",
	    cpu / (double)n * 1e6);
	(void)fflush(stdout);
	(void)close(lis);
	(void)close(ep);
	(void)close(go[0]);
	(void)close(go[1]);
}

static void
on_beat(void *ctx)
{
	mf_loop_timer_set(*(struct mf_loop_timer **)ctx, 20); /* so that turns end when nothing comes */
}

int
main(int argc, char **argv)
{
	struct mf_cloud_socket sock;
	struct mf_loop_timer *beat = NULL;
	socklen_t n = sizeof(b.at);
	size_t count = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 5000;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf secret;
	char host[32];
	b.r = mf_frig_new();
	int dir = open(b.r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(mf_cloud_socket_open(dir, -1, &sock, NULL) == MF_OK);
	must(pread(sock.key_fd, b.key, sizeof(b.key), 0) == (ssize_t)sizeof(b.key));
	must(getsockname(sock.listen_fd, (struct sockaddr *)&b.at, &n) == 0);
	b.at.sin_addr = mf_cloud_address(b.key, b.r->key);
	mf_buf_init(&secret, MF_CLOUD_SECRET_MAX + 1);
	mf_cloud_secret_put(b.key, b.r->key, &secret);
	uint32_t a = ntohl(b.at.sin_addr.s_addr);
	(void)snprintf(host, sizeof(host), "%u.%u.%u.%u:%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255,
	    (unsigned)ntohs(b.at.sin_port));
	(void)snprintf(b.text, sizeof(b.text),
	    "GET /v1/aws/data HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nAccept: application/json\r\n\r\n",
	    host, mf_buf_cstr(&secret));
	b.offer = (Mayfly__Agent__V1__CloudOffer)MAYFLY__AGENT__V1__CLOUD_OFFER__INIT;
	b.offer.grant = (char *)(uintptr_t) "data";
	b.offer.kind = (char *)(uintptr_t) "aws";
	b.r->offers[0] = &b.offer;
	b.r->n_offers = 1;
	b.r->on_cloud = on_cloud;
	b.r->cfg.cloud = true;
	b.r->cfg.cloud_fd = sock.listen_fd;
	b.r->cfg.cloud_diag_fd = sock.diag_fd;
	b.r->cfg.cloud_key = b.key;
	mf_frig_start(b.r);
	must(mf_loop_timer_new(b.r->loop, on_beat, &beat, &beat, NULL) == MF_OK);
	mf_loop_timer_set(beat, 20);
	struct sockaddr_in ours = b.at;
	for (size_t at_once = 1; at_once <= 8; at_once *= 8)
		for (int keep = 1; keep >= 0; keep--) {
			measure(count, keep, at_once);
			measure_bare(count, keep, at_once, sock.diag_fd);
			b.at = ours;
		}
	mf_loop_timer_free(beat);
	(void)unlinkat(dir, "cloud-endpoint", 0);
	(void)close(dir);
	mf_frig_free(b.r);
	sock.listen_fd = -1; /* it was the front's */
	mf_cloud_socket_close(&sock);
	return 0;
}
