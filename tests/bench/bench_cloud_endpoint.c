/*
 * bench_cloud_endpoint [N]: credentials from the agent's memory over its cloud endpoint: how long one request takes (a
 * connection that is kept alive, and a new one each), and what it costs the process that serves. The front runs in this process, with
 * a fake attestor; the client is another. Figures, nothing asserted.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/cloud_socket.h"
#include "agent/front/cloud_secret.h"
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

static _Noreturn void
client(size_t n, bool keep, int go)
{
	double *took = calloc(n, sizeof(*took));
	int fd = keep ? dial() : -1;
	must(took != NULL);
	if (keep)
		ask(fd); /* the first one mints */
	must(write(go, "x", 1) == 1);
	for (size_t k = 0; k < n; k++) {
		double from = clock_s(CLOCK_MONOTONIC);
		int one = keep ? fd : dial();
		ask(one);
		if (!keep)
			(void)close(one);
		took[k] = clock_s(CLOCK_MONOTONIC) - from;
	}
	qsort(took, n, sizeof(*took), by_time);
	(void)printf("%s: p50 %.3f ms, p99 %.3f ms", keep ? "kept connection" : "new connection each",
	    took[n / 2] * 1e3, took[n - 1 - n / 100] * 1e3);
	(void)fflush(stdout);
	_exit(0);
}

static void
measure(size_t n, bool keep)
{
	int go[2], st = 0;
	char byte;
	double cpu = 0;
	must(pipe2(go, O_CLOEXEC | O_NONBLOCK) == 0);
	pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0)
		client(n, keep, go[1]);
	while (waitpid(pid, &st, WNOHANG) == 0) {
		must(mf_loop_turn(b.r->loop, true, NULL) == MF_OK);
		mf_frig_turn(b.r);
		if (cpu == 0 && read(go[0], &byte, 1) == 1)
			cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	}
	cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	must(WIFEXITED(st) && WEXITSTATUS(st) == 0);
	(void)printf(
	    "; %.0f us of the agent's processor for each (%zu requests)\n", cpu / (double)n * 1e6, n);
	(void)fflush(stdout);
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
	measure(count, true);
	measure(count, false);
	mf_loop_timer_free(beat);
	(void)unlinkat(dir, "cloud-endpoint", 0);
	(void)close(dir);
	mf_frig_free(b.r);
	sock.listen_fd = -1; /* it was the front's */
	mf_cloud_socket_close(&sock);
	return 0;
}
