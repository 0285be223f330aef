/*
 * sim: histories by seed. Each seed runs in a process of its own: a crash of the product is a finding like any other.
 *
 *   sim --seed N [--trace] [--bug B]
 *   sim --seeds FIRST COUNT [--jobs J] [--bug B]
 *   sim --named                       the seeds that found something, with their stories
 *
 * Exit code 0: every invariant held, or, with a planted bug, a history broke the invariant that the bug is of.
 */
#include "sim.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/map.h"
#include "os/jlog.h"

#define JOBS_MAX 64

static void
usage(void)
{
	(void)fprintf(stderr, "usage: sim --seed N [--trace] [--bug B]\n"
			      "       sim --seeds FIRST COUNT [--jobs J] [--bug B]\n"
			      "       sim --named\n");
	exit(2);
}

/* The planted bugs, and the invariant that each is of. */
static const int bug_breaks[] = { 0, 1, 2, 3, 4, 5, 6, 7, 1, 2, 2, 7, 1, 2 };

#define GOOD 0
#define BROKE 10 /* and the number of the invariant */

static int
live(uint64_t seed, int bug, bool trace)
{
	struct sim world = { .seed = seed,
		.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1,
		.chance = seed * UINT64_C(0xd1342543de82ef95) + 7,
		.managed = seed % 4 == 3,
		.clouded = seed % 2 == 1 && seed % 8 != 1,
		.restores = seed % 16 == 13 || seed % 16 == 15,
		.bug = bug,
		.trace = trace };
	sim = &world;
	sim_history();
	sim = NULL;
	if (trace)
		(void)printf(
		    "%llu steps; %llu grants, %llu tokens, %llu served, %llu ended, %llu suspended, "
		    "%llu refused; "
		    "%llu crashes, %llu power cuts, %llu removals, %llu acts, %llu words of managers, "
		    "%llu cloud tokens, %llu uses, %llu completed\n",
		    (unsigned long long)world.steps, (unsigned long long)sim_counts.grants,
		    (unsigned long long)sim_counts.jwts, (unsigned long long)sim_counts.served,
		    (unsigned long long)sim_counts.ended, (unsigned long long)sim_counts.suspended,
		    (unsigned long long)sim_counts.refused, (unsigned long long)sim_counts.crashes,
		    (unsigned long long)sim_counts.powers, (unsigned long long)sim_counts.removals,
		    (unsigned long long)sim_counts.acts, (unsigned long long)sim_counts.words,
		    (unsigned long long)sim_counts.tokens, (unsigned long long)sim_counts.uses,
		    (unsigned long long)sim_counts.completed);
	(void)fflush(stdout);
	return world.failed ? BROKE + (int)world.broken : GOOD;
}

struct child {
	pid_t pid; /* 0: none */
	uint64_t seed;
};

static void
spawn(struct child *c, uint64_t seed, int bug)
{
	(void)fflush(stdout);
	c->seed = seed;
	c->pid = fork();
	if (c->pid < 0) {
		perror("sim: fork");
		exit(2);
	}
	if (c->pid == 0)
		_exit(live(seed, bug, false));
}

/* Waits for one of them: what live() said, or -1 when it crashed. */
static int
reap(struct child *all, size_t n)
{
	int status = 0;
	pid_t pid = wait(&status);
	for (size_t i = 0; i < n; i++) {
		if (all[i].pid != pid || pid <= 0)
			continue;
		all[i].pid = 0;
		if (WIFSIGNALED(status))
			(void)printf("seed %llu: killed by signal %d\n", (unsigned long long)all[i].seed,
			    WTERMSIG(status));
		return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	}
	return GOOD;
}

static int
run_many(uint64_t first, uint64_t count, size_t jobs, int bug)
{
	struct child all[JOBS_MAX] = { { 0, 0 } };
	uint64_t next = first, done = 0, bad = 0;
	size_t running = 0;
	bool found = false;
	while ((next < first + count && !found) || running > 0) {
		for (size_t i = 0; i < jobs && next < first + count && !found; i++)
			if (all[i].pid == 0) {
				spawn(&all[i], next++, bug);
				running++;
			}
		int how = reap(all, jobs);
		bad += how != GOOD;
		found = found || (bug != 0 && how == BROKE + bug_breaks[bug]);
		running--;
		done++;
	}
	(void)printf("%llu seeds from %llu on: %llu broke something\n", (unsigned long long)done,
	    (unsigned long long)first, (unsigned long long)bad);
	if (bug != 0)
		(void)printf("planted bug %d was %s\n", bug, found ? "found" : "not found");
	return (bug == 0 ? bad == 0 : found) ? 0 : 1;
}

/* Each found a bug that is mended now. A change of the simulation changes what its seeds are: find another one then. */
static const struct {
	uint64_t seed;
	const char *story;
} named[] = {
	{ 88, "a readmitted node whose first session value did not reach its disk was taken for a copy of "
	      "itself" },
	{ 112, "the same, in another history" },
	{ 161, "a handshake that the carrier lost was waited for until the end of days, and a lease stayed "
	       "suspended" },
	{ 226, "the same, in another history" },
	{ 7, "a job ended while a process of it waited for a cloud token, and its agent's front went round "
	     "for ever" },
	{ 5198, "an attestor that had lost its table saw another user of a cgroup first, and the front "
		"served that one what it held "
		"for the cgroup's job" },
	{ 7295, "a provider that gave tokens again was not asked to take one back for a minute, because it "
		"had failed before" },
	{ 483, "a broker whose clock ran ahead took tokens off a deny list while they still worked" },
};

static int
run_named(void)
{
	int bad = 0;
	for (size_t i = 0; i < MF_COUNT(named); i++) {
		struct child c;
		spawn(&c, named[i].seed, 0);
		bool good = reap(&c, 1) == GOOD;
		bad += !good;
		(void)printf("%s seed %llu: %s\n", good ? "ok" : "FAIL", (unsigned long long)named[i].seed,
		    named[i].story);
	}
	return bad == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	uint64_t first = 1, count = 0;
	size_t jobs = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
	bool trace = false, one = false, stories = false;
	int bug = 0;
	for (int i = 1; i < argc; i++) {
		int more = argc - 1 - i;
		if (strcmp(argv[i], "--trace") == 0) {
			trace = true;
		} else if (strcmp(argv[i], "--named") == 0) {
			stories = true;
		} else if (strcmp(argv[i], "--seed") == 0 && more >= 1) {
			one = true;
			first = strtoull(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--seeds") == 0 && more >= 2) {
			first = strtoull(argv[++i], NULL, 10);
			count = strtoull(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--jobs") == 0 && more >= 1) {
			jobs = strtoul(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--bug") == 0 && more >= 1) {
			bug = atoi(argv[++i]);
		} else {
			usage();
		}
	}
	if (bug < 0 || (size_t)bug >= MF_COUNT(bug_breaks) || (!one && !stories && count == 0) || jobs == 0 ||
	    jobs > JOBS_MAX)
		usage();
	mf_jlog_to(getenv("MF_SIM_LOG") != NULL ? 2 : open("/dev/null", O_WRONLY | O_CLOEXEC));
	(void)mf_map_hash("", 0); /* its key is drawn once for a process, not by a seed */
	if (stories)
		return run_named();
	if (!one)
		return run_many(first, count, jobs, bug);
	return live(first, bug, trace) == GOOD ? 0 : 1;
}
