/*
 * h2_foe: one abuse of HTTP/2 or gRPC against a real listener, and an honest connection beside it.
 *
 *   h2_foe --list                              each case: name, the metric that must count it ("-": none), "holds" when it
 *                                              makes the server keep much for a while
 *   h2_foe CASE PATH AT [CERT KEY]             AT: a Unix socket's path, or HOST:PORT for TLS (PEM files)
 *
 * PATH is a gRPC method that needs one message or none. Prints what the server did: "goaway=N", or "rst=N", "grpc=N", "http=N"
 * of the stream in question, and whether it closed; then "probe=N" answers of the honest connection. Exit code 0 when the first is what
 * the case wants and the honest connection was answered before, meanwhile and after; 1 when not; 2 usage.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "foe_h2.h"

static void
say_outcome(const struct foe *f, uint32_t id, char *to, size_t n)
{
	const struct foe_heard *h = &f->on[id];
	const char *end = f->hangs ? "hangs" : f->closed ? "closed" : "open";
	if (f->goaway >= 0)
		(void)snprintf(to, n, "goaway=%d %s", f->goaway, end);
	else if (h->rst >= 0 && h->grpc < 0)
		(void)snprintf(to, n, "rst=%d %s", h->rst, end);
	else if (h->grpc >= 0)
		(void)snprintf(to, n, "grpc=%d %s", h->grpc, end);
	else if (h->http >= 400)
		(void)snprintf(to, n, "http=%d %s", h->http, end);
	else
		(void)snprintf(to, n, "%s", end);
}

static bool
wanted(const char *want, const char *got)
{
	size_t n = strlen(got);
	for (const char *p = want;; p++) {
		const char *bar = strchr(p, '|');
		size_t len = bar == NULL ? strlen(p) : (size_t)(bar - p);
		if (len == n && strncmp(p, got, n) == 0)
			return true;
		if (bar == NULL)
			return false;
		p = bar;
	}
}

static int
run(const struct mf_foe_case *k, const struct foe_target *t, const char *path)
{
	struct mf_foe_ctx c = { .t = t, .path = path, .probe_id = UINT32_MAX };
	char got[64];
	(void)signal(SIGPIPE, SIG_IGN);
	if (!mf_foe_open(&c.probe, t) || !mf_foe_open(&c.f, t)) {
		(void)printf("cannot connect\n");
		return 1;
	}
	mf_foe_greet(&c.probe, NOTHING);
	mf_foe_greet(&c.f, NOTHING);
	mf_foe_beside(&c);
	uint32_t id = k->run(&c);
	mf_foe_beside(&c);
	say_outcome(&c.f, id, got, sizeof(got));
	bool good = wanted(k->want, got) && !c.probe_bad;
	(void)printf("%s probe=%u%s", got, c.probes, c.probe_bad ? " and one that was not answered" : "");
	(void)printf(wanted(k->want, got) ? "\n" : ", wanted %s\n", k->want);
	mf_foe_shut(&c.probe);
	mf_foe_shut(&c.f);
	return good ? 0 : 1;
}

static const struct {
	const struct mf_foe_case *all;
	const size_t *n;
} groups[] = { { mf_foe_floods, &mf_foe_floods_n }, { mf_foe_frames, &mf_foe_frames_n },
	{ mf_foe_messages, &mf_foe_messages_n } };

/* The case ${name}; with NULL all are printed. */
static const struct mf_foe_case *
find(const char *name)
{
	for (size_t g = 0; g < MF_COUNT(groups); g++)
		for (size_t i = 0; i < *groups[g].n; i++) {
			const struct mf_foe_case *k = &groups[g].all[i];
			if (name == NULL)
				(void)printf("%s %s%s\n", k->name, k->metric, k->holds ? " holds" : "");
			else if (strcmp(name, k->name) == 0)
				return k;
		}
	return NULL;
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		(void)find(NULL);
		return 0;
	}
	struct foe_target t = { .at = argc > 3 ? argv[3] : "" };
	if (argc == 6) {
		t.cert = argv[4];
		t.key = argv[5];
	}
	const struct mf_foe_case *k = argc == 4 || argc == 6 ? find(argv[1]) : NULL;
	if (k != NULL)
		return run(k, &t, argv[2]);
	(void)fprintf(stderr, "usage: h2_foe --list | h2_foe CASE PATH AT [CERT KEY]\n");
	return 2;
}
