/*
 * bench_sessions TOKEN_FILE AGENTS MODE[,MODE...] SECONDS ROLE=PID...: what the broker's roles spend on agents' sessions, by agents that
 * are this process's (tests/lib/swarm.h), against bare cryptography in the same run. CPU time, so that a busy machine says nearly the
 * same; medians of five rounds. Figures, nothing asserted.
 *
 *   renew, attach, jwt-es256, jwt-rs256   requests with 256 in flight; "renew-1" and so on: one at a time, and how long each takes
 *   handshake                             agents with a certificate come back, 16 at a time: TLS, Noise, Hello, Resync
 *   herd                                  all of them come back at once
 *   idle                                  nothing; memory of the roles for each session
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench_kit.h"
#include "swarm.h"

#define IN_FLIGHT 256u
#define LEASES 4u /* of each agent, to be renewed in turn */
#define TIMES 65536u

enum what { ATTACH, RENEW, JWT };

struct lease {
	char id[96], spiffe_id[256];
	uint32_t epoch;
};

struct node {
	struct lease lease[LEASES];
	unsigned n, next, instances;
};

static struct {
	struct swarm *s;
	struct bench_roles roles;
	enum what what;
	const char *profile;
	unsigned in_flight, wanted; /* now; to be kept up */
	unsigned next;		    /* agent */
	unsigned long done;
	bool keep; /* the leases that are given are kept, to be used by other modes */
	double began, took[TIMES];
	size_t took_n;
	double seconds;
} b;

int
connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t n)
{
	return mf_swarm_connect(fd, to.__sockaddr__, n);
}

/* ---- requests ---- */

static void
ask_renew(struct swarm_agent *a, struct lease *l)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Renew m = MAYFLY__AGENT__V1__RENEW__INIT;
	uint8_t point[MF_P256_POINT_SIZE];
	ProtobufCBinaryData points[1] = { { sizeof(point), point } };
	mf_swarm_point(point);
	m.lease_id = l->id;
	m.epoch = l->epoch;
	m.points = points;
	m.n_points = 1;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_RENEW;
	up.renew = &m;
	(void)mf_swarm_send(a, &up);
}

static void
ask_jwt(struct swarm_agent *a, struct lease *l)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__MintJwt m = MAYFLY__AGENT__V1__MINT_JWT__INIT;
	static char audience[] = "one.example";
	char *audiences[] = { audience };
	m.lease_id = l->id;
	m.epoch = l->epoch;
	m.spiffe_id = l->spiffe_id;
	m.audiences = audiences;
	m.n_audiences = 1;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MINT_JWT;
	up.mint_jwt = &m;
	(void)mf_swarm_send(a, &up);
}

static void
ask(struct swarm_agent *a)
{
	struct node *n = a->user;
	b.began = mf_bench_clock();
	b.in_flight++;
	if (b.what == ATTACH)
		mf_swarm_attach(a, n->instances++, b.profile, NULL);
	else if (b.what == RENEW)
		ask_renew(a, &n->lease[n->next++ % n->n]);
	else
		ask_jwt(a, &n->lease[n->next++ % n->n]);
}

static void
ask_next(void)
{
	while (b.in_flight < b.wanted)
		ask(&b.s->agents[b.next++ % b.s->n]);
}

static void
on_answer(void *ctx, struct swarm_agent *a, uint64_t id, const Mayfly__Agent__V1__Down *d)
{
	struct node *n = a->user;
	(void)ctx;
	if (id == 0)
		return;
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL) {
		(void)fprintf(stderr, "bench_sessions: refused: %s\n", d->refusal->reason);
		exit(1);
	}
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_GRANT && b.keep) {
		struct lease *l = &n->lease[n->n++ % LEASES];
		(void)snprintf(l->id, sizeof(l->id), "%s", d->grant->lease_id);
		(void)snprintf(l->spiffe_id, sizeof(l->spiffe_id), "%s", d->grant->issued[0]->spiffe_id);
		l->epoch = d->grant->epoch;
	}
	b.in_flight--;
	b.done++;
	if (b.wanted == 1 && b.took_n < TIMES)
		b.took[b.took_n++] = mf_bench_clock() - b.began;
	ask_next();
}

/* ---- rounds ---- */

struct limit {
	double (*of)(double);
	double arg, result;
	atomic_bool done;
};

static void *
limit_thread(void *arg)
{
	struct limit *l = arg;
	l->result = l->of(l->arg);
	atomic_store(&l->done, true);
	return NULL;
}

/* In a thread of its own, by its own clock: the agents go on answering their broker. */
static double
measure(double (*of)(double), double arg)
{
	struct limit l = { .of = of, .arg = arg };
	pthread_t thread;
	if (pthread_create(&thread, NULL, limit_thread, &l) != 0)
		abort();
	while (!atomic_load(&l.done))
		mf_swarm_turn(b.s);
	(void)pthread_join(thread, NULL);
	return l.result;
}

/* Leases of ${profile} for every agent, in place of those that it had. */
static void
leases(const char *profile)
{
	b.profile = profile;
	b.what = ATTACH;
	b.keep = true;
	b.wanted = 0;
	for (unsigned k = 0; k < LEASES; k++)
		for (unsigned i = 0; i < b.s->n; i++) {
			if (k == 0)
				((struct node *)b.s->agents[i].user)->n = 0;
			ask(&b.s->agents[i]);
			while (b.in_flight >= IN_FLIGHT)
				mf_swarm_turn(b.s);
		}
	while (b.in_flight > 0)
		mf_swarm_turn(b.s);
	b.keep = false;
}

/* Seconds for one append of a small frame and its fdatasync on this file system, into blocks that are there already, as the log does it. */
static double
sync_time(double appends)
{
	static const char frame[340] = "x";
	static unsigned file;
	char name[64];
	double took[1000];
	size_t n = (size_t)appends;
	(void)snprintf(name, sizeof(name), "sync.%u", file++);
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || n == 0 || n > MF_COUNT(took) || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20) != 0 ||
	    fsync(fd) != 0)
		abort();
	for (size_t i = 0; i < n; i++) {
		double t = mf_bench_clock();
		if (pwrite(fd, frame, sizeof(frame), (off_t)(i * sizeof(frame))) != (ssize_t)sizeof(frame) ||
		    fdatasync(fd) != 0)
			abort();
		took[i] = mf_bench_clock() - t;
	}
	(void)close(fd);
	(void)unlink(name);
	return mf_bench_quantile(took, n, 0.5);
}

static void
say_latency(double sync)
{
	double p50 = mf_bench_quantile(b.took, b.took_n, 0.5);
	(void)printf(
	    "  one at a time: p50 %.3f ms, p99 %.3f ms; a sync of such a frame p50 %.3f ms: p50 is 3 syncs "
	    "and %.3f ms\n",
	    p50 * 1e3, mf_bench_quantile(b.took, b.took_n, 0.99) * 1e3, sync * 1e3, (p50 - 3 * sync) * 1e3);
}

static void
requests(const char *name, enum what what, unsigned in_flight, double (*limit)(double),
    const char *limit_name, const char *target)
{
	double rate[BENCH_ROUNDS], bare[BENCH_ROUNDS], ratio[BENCH_ROUNDS], sync[BENCH_ROUNDS],
	    each[BENCH_ROLES] = { 0 }, wall = 0;
	unsigned long all = 0;
	b.what = what;
	b.took_n = 0;
	for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
		double from[BENCH_ROLES], to[BENCH_ROLES], before = measure(limit, 0.3);
		unsigned long done = b.done;
		sync[r] = in_flight == 1 ? measure(sync_time, 200) : 0;
		double cpu = mf_bench_cpu(&b.roles, from), begin = mf_bench_clock();
		b.wanted = in_flight;
		ask_next();
		while (mf_bench_clock() - begin < b.seconds)
			mf_swarm_turn(b.s);
		b.wanted = 0;
		while (b.in_flight > 0)
			mf_swarm_turn(b.s);
		wall += mf_bench_clock() - begin;
		cpu = mf_bench_cpu(&b.roles, to) - cpu;
		done = b.done - done;
		for (size_t i = 0; i < b.roles.n; i++)
			each[i] += to[i] - from[i];
		all += done;
		rate[r] = (double)done / cpu;
		bare[r] = (before + measure(limit, 0.3)) / 2;
		ratio[r] = rate[r] / bare[r];
	}
	mf_bench_line(name, mf_bench_median(rate, BENCH_ROUNDS), limit_name,
	    mf_bench_median(bare, BENCH_ROUNDS), mf_bench_median(ratio, BENCH_ROUNDS), target);
	(void)printf("  us of CPU for each:");
	for (size_t i = 0; i < b.roles.n; i++)
		(void)printf(" %s %.1f", b.roles.name[i], each[i] / (double)all * 1e6);
	(void)printf("; %.0f a second of wall clock, %lu in all\n", (double)all / wall, all);
	if (b.took_n > 0)
		say_latency(mf_bench_median(sync, BENCH_ROUNDS));
	(void)fflush(stdout);
}

/* Agents that have their certificate come back, 16 at a time. */
static void
handshakes(void)
{
	double rate[BENCH_ROUNDS], bare[BENCH_ROUNDS], ratio[BENCH_ROUNDS], each[BENCH_ROLES] = { 0 };
	unsigned long all = 0;
	for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
		double from[BENCH_ROLES], to[BENCH_ROLES], before = measure(mf_bench_tls_server, 300);
		uint64_t begun = b.s->readied;
		double cpu = mf_bench_cpu(&b.roles, from), begin = mf_bench_clock();
		for (unsigned at = 0; mf_bench_clock() - begin < b.seconds; at += 16) {
			for (unsigned i = 0; i < 16; i++) {
				struct swarm_agent *a = &b.s->agents[(at + i) % b.s->n];
				mf_swarm_hang_up(a);
				mf_swarm_dial(a);
			}
			while (b.s->ready < b.s->n)
				mf_swarm_turn(b.s);
		}
		unsigned long done = (unsigned long)(b.s->readied - begun);
		cpu = mf_bench_cpu(&b.roles, to) - cpu;
		for (size_t i = 0; i < b.roles.n; i++)
			each[i] += to[i] - from[i];
		all += done;
		rate[r] = (double)done / cpu;
		bare[r] = 2 / (before + measure(mf_bench_tls_server, 300));
		ratio[r] = rate[r] / bare[r];
	}
	mf_bench_line("agents' handshakes, TLS and inner", mf_bench_median(rate, BENCH_ROUNDS),
	    "bare mTLS, server", mf_bench_median(bare, BENCH_ROUNDS), mf_bench_median(ratio, BENCH_ROUNDS),
	    ">= 0.7");
	(void)printf("  us of CPU for each:");
	for (size_t i = 0; i < b.roles.n; i++)
		(void)printf(" %s %.1f", b.roles.name[i], each[i] / (double)all * 1e6);
	(void)printf("; %lu in all\n", all);
	(void)fflush(stdout);
}

/* ---- memory ---- */

/* KiB of ${field} in /proc/PID/${file}. */
static long
memory(pid_t pid, const char *file, const char *field)
{
	char path[64], line[256];
	long kib = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	FILE *f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			kib = strtol(line + strlen(field), NULL, 10);
	if (f != NULL)
		(void)fclose(f);
	return kib;
}

static void
say_memory(const char *when)
{
	(void)printf("memory %s:", when);
	for (size_t i = 0; i < b.roles.n; i++)
		(void)printf(" %s %ld KiB its own, peak %ld resident;", b.roles.name[i],
		    memory(b.roles.pid[i], "status", "RssAnon:"), memory(b.roles.pid[i], "status", "VmHWM:"));
	(void)printf("\n");
	(void)fflush(stdout);
}

static void
herd(void)
{
	double from[BENCH_ROLES], to[BENCH_ROLES];
	say_memory("before the herd");
	double cpu = mf_bench_cpu(&b.roles, from), begin = mf_bench_clock();
	uint64_t refused = b.s->refused, lost = b.s->lost;
	mf_swarm_return(b.s);
	(void)printf("herd: %u agents at once, all served in %.2f s (load %.1f); %.0f us of the broker's CPU "
		     "for each; "
		     "%llu dials refused, %llu streams ended, tried again\n",
	    b.s->n, mf_bench_clock() - begin, mf_bench_load(),
	    (mf_bench_cpu(&b.roles, to) - cpu) / b.s->n * 1e6, (unsigned long long)(b.s->refused - refused),
	    (unsigned long long)(b.s->lost - lost));
	say_memory("after the herd");
}

/* Agents that come back name nothing, so their leases end: handshakes are measured without, and who needs some asks first. */
static bool
wants_leases(const char *m)
{
	const struct node *n = b.s->agents[0].user;
	return n->n == 0 && (strncmp(m, "renew", 5) == 0 || strcmp(m, "jwt-es256") == 0);
}

static void
mode(const char *m)
{
	if (wants_leases(m))
		leases("long");
	if (strcmp(m, "attach") == 0)
		requests("new instances, 256 in flight", ATTACH, IN_FLIGHT, mf_bench_p256_signatures,
		    "P-256 signatures", ">= 0.35");
	else if (strcmp(m, "renew") == 0)
		requests("renewals, 256 in flight", RENEW, IN_FLIGHT, mf_bench_p256_signatures,
		    "P-256 signatures", ">= 0.45");
	else if (strcmp(m, "renew-1") == 0)
		requests("renewals, one at a time", RENEW, 1, mf_bench_p256_signatures, "P-256 signatures",
		    "p50 <= 3 syncs + 0.5 ms");
	else if (strcmp(m, "jwt-es256") == 0)
		requests("JWT-SVIDs, ES256, 256 in flight", JWT, IN_FLIGHT, mf_bench_p256_signatures,
		    "P-256 signatures", ">= 0.45");
	else if (strcmp(m, "jwt-rs256") == 0) {
		leases("short");
		requests("JWT-SVIDs, RS256, 256 in flight", JWT, IN_FLIGHT, mf_bench_rs256_signatures,
		    "RS256 signatures", ">= 0.85");
		leases("long");
	} else if (strcmp(m, "handshake") == 0) {
		handshakes();
	} else if (strcmp(m, "herd") == 0)
		herd();
	else if (strcmp(m, "idle") == 0)
		say_memory("idle");
	else {
		(void)fprintf(stderr, "bench_sessions: no mode %s\n", m);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	if (argc < 6) {
		(void)fprintf(
		    stderr, "usage: bench_sessions TOKEN_FILE AGENTS MODE[,MODE...] SECONDS ROLE=PID...\n");
		return 2;
	}
	unsigned agents = (unsigned)strtoul(argv[2], NULL, 10);
	b.seconds = strtod(argv[4], NULL);
	for (int i = 5; i < argc && b.roles.n < BENCH_ROLES; i++) {
		char *eq = strchr(argv[i], '=');
		if (eq == NULL)
			return 2;
		*eq = '\0';
		b.roles.name[b.roles.n] = argv[i];
		b.roles.pid[b.roles.n++] = (pid_t)strtol(eq + 1, NULL, 10);
	}
	b.profile = "long";
	b.s = mf_swarm_new(argv[1], agents, on_answer, NULL);
	struct node *nodes = calloc(agents, sizeof(*nodes));
	for (unsigned i = 0; nodes != NULL && i < agents; i++)
		b.s->agents[i].user = &nodes[i];
	say_memory("before any session");
	double begin = mf_bench_clock();
	mf_swarm_join(b.s, 200);
	(void)printf("%u agents joined and came back in %.1f s\n", agents, mf_bench_clock() - begin);
	say_memory("with their sessions");
	for (char *m = strtok(argv[3], ","); m != NULL; m = strtok(NULL, ","))
		mode(m);
	mf_swarm_free(b.s);
	free(nodes);
	return 0;
}
