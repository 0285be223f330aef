/*
 * bench_cloud_mint DIR: what a cloud token costs the broker, and how soon a provider hears of an end. The agents are this process's
 * (tests/lib/swarm.h), so is the provider, a fake that answers at once: what is measured is the broker. Prints its provider's port to
 * DIR/port, and goes on when DIR/roles is there: a line "ROLE=PID..." of a broker whose join token is DIR/token. Figures, nothing asserted.
 *
 *   at once     JOBS new jobs ask for a token of the one AWS-like target in the same moment: time, the broker's CPU for each, requests that
 *               the provider saw at one time, tokens that it made; beside it as many bare requests by as many connections
 *   ends        one job after another ends: from the attestor's statement to the deny list at the provider
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench_kit.h"
#include "fake_http.h"
#include "swarm.h"

#define AGENTS 64u
#define EACH 16u
#define JOBS (AGENTS * EACH)
#define LANES 16u /* connections of the courier to a target */
#define ENDS 200u

struct lease {
	char id[96], key[256];
	uint32_t epoch;
};
struct node {
	struct lease lease[EACH];
	unsigned n;
};

static struct {
	struct swarm *s;
	struct bench_roles roles;
	unsigned granted, minted;
	atomic_uint made, lists; /* tokens of jobs; deny lists */
	_Atomic double listed;	 /* when the last list came */
	double ends[ENDS];
} b;

int
connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t n)
{
	return mf_swarm_connect(fd, to.__sockaddr__, n);
}

/* ---- the provider ---- */

static bool
has(struct mf_slice body, const char *what)
{
	return memmem(body.p, body.n, what, strlen(what)) != NULL;
}

/* In one piece: a head that waits for its acknowledgement would be the time that is measured. */
static bool
reply_with(int conn, const char *status, struct mf_slice body)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf all;
	mf_buf_init(&all, 16384);
	mf_buf_putf(&all, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", status, body.n);
	mf_buf_put_slice(&all, body);
	return mf_fake_http_write(conn, all.p, all.n);
}

static bool
answer_http(void *ctx, int conn, const char *head, struct mf_slice body)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf doc;
	char when[32];
	time_t end = time(NULL) + 1200;
	struct tm tm;
	MF_UNUSED(ctx);
	MF_UNUSED(head);
	mf_buf_init(&doc, 8192);
	if (has(body, "Action=PutRolePolicy")) {
		atomic_store(&b.listed, mf_bench_clock());
		atomic_fetch_add(&b.lists, 1);
		mf_buf_put_str(&doc,
		    "<PutRolePolicyResponse><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
		    "</PutRolePolicyResponse>");
		return reply_with(conn, "200 OK", mf_buf_slice(&doc));
	}
	if (!has(body, "Action=AssumeRoleWithWebIdentity"))
		return reply_with(conn, "404 Not Found",
		    MF_SLICE_LIT("<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>"));
	unsigned n = has(body, "role%2Ftrain") ? atomic_fetch_add(&b.made, 1) : 0;
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &tm));
	mf_buf_putf(&doc,
	    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
	    "<AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/j</Arn>"
	    "</AssumedRoleUser><Credentials><AccessKeyId>ASIA%u</AccessKeyId><SecretAccessKey>secret%u"
	    "</SecretAccessKey><SessionToken>session%u</SessionToken><Expiration>%s</Expiration></"
	    "Credentials>"
	    "</AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
	    "</AssumeRoleWithWebIdentityResponse>",
	    n, n, n, when);
	return reply_with(conn, "200 OK", mf_buf_slice(&doc));
}

/* ---- bare requests: the provider's own limit ---- */

static void *
bare_lane(void *arg)
{
	static const char body[] = "Action=AssumeRoleWithWebIdentity&RoleArn=bare&WebIdentityToken=";
	char request[2048], reply[4096], token[1201];
	memset(token, 'x', sizeof(token) - 1);
	token[sizeof(token) - 1] = '\0';
	int n = snprintf(request, sizeof(request),
	    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s%s",
	    sizeof(body) - 1 + sizeof(token) - 1, body, token);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(*(const uint16_t *)arg) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && syscall(SYS_connect, fd, &to, sizeof(to)) == 0;
	for (unsigned i = 0; ok && i < JOBS / LANES; i++) {
		ok = send(fd, request, (size_t)n, MSG_NOSIGNAL) == n;
		for (size_t got = 0; ok && got < 700 && memmem(reply, got, "Response>", 9) == NULL;) {
			ssize_t r = recv(fd, reply + got, sizeof(reply) - got, 0);
			ok = r > 0;
			got += r > 0 ? (size_t)r : 0;
		}
		/* The rest of the document, where it came in two. */
		while (ok && recv(fd, reply, sizeof(reply), MSG_DONTWAIT) > 0)
			;
	}
	if (fd >= 0)
		(void)close(fd);
	return NULL;
}

static double
bare(uint16_t port)
{
	pthread_t t[LANES];
	double begin = mf_bench_clock();
	for (unsigned i = 0; i < LANES; i++)
		if (pthread_create(&t[i], NULL, bare_lane, &port) != 0)
			abort();
	for (unsigned i = 0; i < LANES; i++)
		(void)pthread_join(t[i], NULL);
	return mf_bench_clock() - begin;
}

/* ---- the agents ---- */

static void
mint(struct swarm_agent *a, struct lease *l)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__MintCloud m = MAYFLY__AGENT__V1__MINT_CLOUD__INIT;
	static char grant[] = "lab";
	m.lease_id = l->id;
	m.epoch = l->epoch;
	m.grant = grant;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MINT_CLOUD;
	up.mint_cloud = &m;
	(void)mf_swarm_send(a, &up);
}

static void
end(struct swarm_agent *a, struct lease *l)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__End m = MAYFLY__AGENT__V1__END__INIT;
	m.instance_key = l->key;
	m.lease_id = l->id;
	m.cause = MAYFLY__AGENT__V1__END_CAUSE__END_EMPTY;
	m.detected_us = (int64_t)time(NULL) * 1000000;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_END;
	up.end = &m;
	(void)mf_swarm_send(a, &up);
}

static void
on_answer(void *ctx, struct swarm_agent *a, uint64_t id, const Mayfly__Agent__V1__Down *d)
{
	struct node *n = a->user;
	(void)ctx;
	if (id == 0)
		return;
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL) {
		(void)fprintf(stderr, "bench_cloud_mint: refused: %s\n", d->refusal->reason);
		exit(1);
	}
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_GRANT) {
		struct lease *l = &n->lease[n->n++ % EACH];
		(void)snprintf(l->id, sizeof(l->id), "%s", d->grant->lease_id);
		l->epoch = d->grant->epoch;
		b.granted++;
	}
	b.minted += d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT;
}

/* ---- what is measured ---- */

static void
at_once(struct mf_fake_http *http)
{
	double from[BENCH_ROLES], to[BENCH_ROLES];
	/* One after another on each agent: answers come in the order of the requests. */
	for (unsigned k = 0; k < EACH; k++) {
		for (unsigned i = 0; i < AGENTS; i++)
			mf_swarm_attach(
			    &b.s->agents[i], k, "lab", ((struct node *)b.s->agents[i].user)->lease[k].key);
		while (b.granted < (k + 1) * AGENTS)
			mf_swarm_turn(b.s);
	}
	double cpu = mf_bench_cpu(&b.roles, from), begin = mf_bench_clock();
	for (unsigned k = 0; k < EACH; k++)
		for (unsigned i = 0; i < AGENTS; i++)
			mint(&b.s->agents[i], &((struct node *)b.s->agents[i].user)->lease[k]);
	while (b.minted < JOBS)
		mf_swarm_turn(b.s);
	double took = mf_bench_clock() - begin;
	cpu = mf_bench_cpu(&b.roles, to) - cpu;
	unsigned most = mf_fake_http_most(http), made = atomic_load(&b.made);
	double limit = bare(mf_fake_http_port(http));
	(void)printf("%u jobs at once on one target: all have a token after %.2f s (load %.1f); as many bare "
		     "requests on %u "
		     "connections: %.2f s; the provider made %u tokens, and saw %u requests at a time\n",
	    JOBS, took, mf_bench_load(), LANES, limit, made, most);
	(void)printf("the broker's CPU for each token: %.3f ms (target <= 0.6):", cpu / JOBS * 1e3);
	for (size_t i = 0; i < b.roles.n; i++)
		(void)printf(" %s %.3f", b.roles.name[i], (to[i] - from[i]) / JOBS * 1e3);
	(void)printf("\n");
}

static void
ends(void)
{
	for (unsigned i = 0; i < ENDS; i++) {
		struct swarm_agent *a = &b.s->agents[i % AGENTS];
		unsigned before = atomic_load(&b.lists);
		double begin = mf_bench_clock();
		end(a, &((struct node *)a->user)->lease[i / AGENTS]);
		while (atomic_load(&b.lists) == before)
			mf_swarm_turn(b.s);
		b.ends[i] = atomic_load(&b.listed) - begin;
		/* The answer is on record before the next one ends: each has a list of its own. */
		for (double until = mf_bench_clock() + 0.06; mf_bench_clock() < until;)
			mf_swarm_turn(b.s);
	}
	(void)printf("a job's end to the deny list at the provider: p50 %.1f ms, p99 %.1f ms of %u (target "
		     "p99 <= 50; load %.1f)\n",
	    mf_bench_quantile(b.ends, ENDS, 0.5) * 1e3, mf_bench_quantile(b.ends, ENDS, 0.99) * 1e3, ENDS,
	    mf_bench_load());
}

/* ---- beginning ---- */

static FILE *
file_of(const char *dir, const char *name, const char *how)
{
	char path[512];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return fopen(path, how);
}

static void
wait_for_roles(const char *dir)
{
	static char line[1024];
	FILE *f = NULL;
	const struct timespec moment = { 0, 20000000 };
	while ((f = file_of(dir, "roles", "re")) == NULL)
		(void)nanosleep(&moment, NULL);
	if (fgets(line, sizeof(line), f) == NULL)
		abort();
	(void)fclose(f);
	for (char *m = strtok(line, " \n"); m != NULL && b.roles.n < BENCH_ROLES; m = strtok(NULL, " \n")) {
		char *eq = strchr(m, '=');
		if (eq == NULL)
			abort();
		*eq = '\0';
		b.roles.name[b.roles.n] = m;
		b.roles.pid[b.roles.n++] = (pid_t)strtol(eq + 1, NULL, 10);
	}
}

int
main(int argc, char **argv)
{
	static struct node nodes[AGENTS];
	char token[512];
	if (argc != 2) {
		(void)fprintf(stderr, "usage: bench_cloud_mint DIR\n");
		return 2;
	}
	struct mf_fake_http *http = mf_fake_http_new(answer_http, NULL);
	FILE *f = file_of(argv[1], "port", "we");
	if (http == NULL || f == NULL || fprintf(f, "%u\n", mf_fake_http_port(http)) < 0 || fclose(f) != 0)
		return 1;
	wait_for_roles(argv[1]);
	(void)snprintf(token, sizeof(token), "%s/token", argv[1]);
	b.s = mf_swarm_new(token, AGENTS, on_answer, NULL);
	for (unsigned i = 0; i < AGENTS; i++)
		b.s->agents[i].user = &nodes[i];
	mf_swarm_join(b.s, AGENTS);
	at_once(http);
	ends();
	mf_swarm_free(b.s);
	mf_fake_http_free(http);
	return 0;
}
