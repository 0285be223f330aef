/*
 * bench_policy: decisions a second of one core, for a policy of 200 rules as an organisation would have it (20 profiles with ten
 * rules each, four conditions a rule), and for the worst of the same size, all 200 rules for one profile.
 *
 * usage: bench_policy SECONDS | bench_policy count N (for callgrind: N decisions of the first)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "broker/core/request_facts.h"
#include "broker/policy/policy_load.h"

#define RULES 200u
#define WALL_S INT64_C(1800000000)

static void
die(const char *what, const struct mf_err *err)
{
	(void)fprintf(stderr, "bench_policy: %s: %s\n", what, err->msg);
	exit(1);
}

static struct mf_policy *
policy(unsigned profiles)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new("bench");
	struct mf_policy *p = NULL;
	struct mf_err err = { 0 };
	mf_buf_init(&b, 1 << 22);
	mf_buf_put_str(&b, "mayfly_policy: 1\nprofiles:\n");
	for (unsigned i = 0; i < profiles; i++)
		mf_buf_putf(
		    &b, "  p%u: {purpose: x, owner: o, identities: [{path: \"/t/p%u/job/{job}\"}]}\n", i, i);
	mf_buf_put_str(&b, "rules:\n");
	for (unsigned i = 0; i < RULES; i++) {
		bool forbid = i % 10 == 9;
		mf_buf_putf(&b,
		    "- {id: r%u, effect: %s, profile: p%u, owner: o, review_by: 2099-01-01, nodes: {in: "
		    "[node.pool, [gpu-a, "
		    "gpu-b, gpu-%u]]}, when: {all: [{has: [manifest.kind]}, {eq: [manifest.kind, k%u]}, "
		    "{contains: "
		    "[attested.unix.group, g%u]}, {every: [manifest.dataset, {under: [uri, "
		    "s3://research-data]}]}]}%s}\n",
		    i, forbid ? "forbid" : "permit", i % profiles, i, i % 7, i % 3,
		    i % 4 == 0 && !forbid ? ", require: {max_ttl: 15m, evidence: [config]}" : "");
	}
	if (mf_policy_load(mf_buf_slice(&b), problems, &p, &err) != MF_OK)
		die("policy", &err);
	return p;
}

/* A job as jobs are: two dozen facts, three data sets. */
static struct mf_facts *
facts(unsigned i)
{
	static const char *const manifest[] = { "env=prod", "name=ft", "owner=team",
		"image=registry.example/ft@sha256:00", "code.repo=git.example/ft", "code.commit=4f2c",
		"config=sha256:cc", "dataset[0].uri=s3://research-data/a", "dataset[0].class=public",
		"dataset[1].uri=s3://research-data/b", "dataset[1].class=internal",
		"dataset[2].uri=s3://research-data/c", "egress=s3.example", "ticket=CHG-1" };
	static const char *const selectors[] = { "unix.user:alice", "unix.uid:1000", "unix.gid:1000",
		"unix.group:users", "mayfly.run:1", "cgroup.path:/mayfly/x" };
	struct mf_facts *f = NULL;
	struct mf_err err = { 0 };
	char text[64];
	enum mf_status s = mf_facts_new(&f, &err);
	for (size_t k = 0; s == MF_OK && k < MF_COUNT(manifest); k++)
		s = mf_request_manifest(f, mf_slice_str(manifest[k]), &err);
	for (size_t k = 0; s == MF_OK && k < MF_COUNT(selectors); k++)
		s = mf_request_selector(f, mf_slice_str(selectors[k]), &err);
	(void)snprintf(text, sizeof(text), "kind=k%u", i % 7);
	if (s == MF_OK)
		s = mf_request_manifest(f, mf_slice_str(text), &err);
	(void)snprintf(text, sizeof(text), "unix.group:g%u", i % 3);
	if (s == MF_OK)
		s = mf_request_selector(f, mf_slice_str(text), &err);
	(void)snprintf(text, sizeof(text), "gpu-%c", i % 2 == 0 ? 'a' : 'b');
	if (s == MF_OK)
		s = mf_facts_add(f, MF_FACT_NODE, MF_SLICE_LIT("pool"), mf_slice_str(text), &err);
	if (s != MF_OK)
		die("facts", &err);
	mf_facts_seal(f);
	return f;
}

static double
cpu_s(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
measure(const char *what, unsigned profiles, double seconds)
{
	struct mf_policy *p = policy(profiles);
	struct mf_facts *f[42];
	char name[42][16];
	uint64_t n = 0, permits = 0;
	for (unsigned i = 0; i < MF_COUNT(f); i++) {
		f[i] = facts(i);
		(void)snprintf(name[i], sizeof(name[i]), "p%u", i % profiles);
	}
	double begin = cpu_s(), now = begin;
	while (now - begin < seconds) {
		for (unsigned k = 0; k < 4200; k++, n++) {
			struct mf_decision d;
			const struct mf_policy_request q = { mf_slice_str(name[n % MF_COUNT(f)]),
				f[n % MF_COUNT(f)], WALL_S };
			mf_policy_decide(p, &q, &d);
			permits += d.permit;
		}
		now = cpu_s();
	}
	(void)printf("policy: %-34s %9.0f decisions per core-second (%.0f%% permitted)\n", what,
	    (double)n / (now - begin), 100.0 * (double)permits / (double)n);
	for (unsigned i = 0; i < MF_COUNT(f); i++)
		mf_facts_free(f[i]);
	mf_policy_free(p);
}

/* What is counted: callgrind --toggle-collect=measured. */
static __attribute__((noinline)) void
measured(const struct mf_policy *p, const struct mf_facts *f, uint64_t n)
{
	for (; n > 0; n--) {
		struct mf_decision d;
		const struct mf_policy_request q = { MF_SLICE_LIT("p3"), f, WALL_S };
		mf_policy_decide(p, &q, &d);
	}
}

static void
just(uint64_t n)
{
	struct mf_policy *p = policy(20);
	struct mf_facts *f = facts(3);
	measured(p, f, n);
	mf_facts_free(f);
	mf_policy_free(p);
}

int
main(int argc, char **argv)
{
	uint64_t seconds = 3, n = 0;
	if (argc == 3 && strcmp(argv[1], "count") == 0 && mf_parse_u64(mf_slice_str(argv[2]), &n)) {
		just(n);
		return 0;
	}
	if (argc > 1 && !mf_parse_u64(mf_slice_str(argv[1]), &seconds))
		return 2;
	measure("200 rules, 20 profiles", 20, (double)seconds);
	measure("200 rules, one profile", 1, (double)seconds);
	return 0;
}
