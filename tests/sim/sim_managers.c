/*
 * A workload manager (of the sort of Slurm) in every fourth history: it starts jobs on one or two nodes, names owners and deadlines,
 * announces ends, ends and requeues; its words go through the attestors, whose simulated manager (agent/attestor/sim_manager.c)
 * reads the files that are made here. What is known of its jobs, the observer takes from the answers to its words.
 */
#include "sim.h"

#include <stdlib.h>

#include "base/buf.h"

#define JOBS 400u
#define PARTS 2u
#define WORDS 512u

enum say { STARTED, ANNOUNCED, ENDED, REQUEUED };

struct managed {
	char key[64];
	unsigned number, restart;
	uint32_t owner;
	int64_t deadline; /* unix seconds, by the broker's clock */
	struct {
		size_t agent, proc;
		uint64_t group;
	} part[PARTS];
	size_t parts;
	bool owner_said, over_said; /* answered: on record */
	uint64_t owner_said_us;
};

struct word {
	struct managed *job;
	enum say say;
	size_t agent; /* who carries it; SIM_AGENTS: done */
};

struct sim_managers {
	struct managed jobs[JOBS];
	size_t jobs_n;
	unsigned numbers;
	struct word words[WORDS];
	size_t words_n;
};

struct sim_managers *
sim_managers_new(void)
{
	return sim_alloc(sizeof(struct sim_managers));
}

void
sim_managers_free(struct sim_managers *m)
{
	free(m);
}

/* ---- what it does ---- */

static void
speak(struct managed *j, enum say say)
{
	struct sim_managers *m = sim->managers;
	if (m->words_n == WORDS)
		return;
	m->words[m->words_n++] = (struct word) { j, say, j->part[sim_below(j->parts)].agent };
	sim_trace(
	    "the manager will say %d of %s by node%zu", (int)say, j->key, m->words[m->words_n - 1].agent);
}

static void
call(void *arg, uint64_t proc)
{
	sim_agent_call(arg, (size_t)proc);
}

static void
exited(void *arg, uint64_t proc)
{
	sim_agent_exited(arg, (size_t)proc);
}

static void
kill_parts(void *arg, uint64_t x)
{
	struct managed *j = arg;
	MF_UNUSED(x);
	for (size_t i = 0; i < j->parts; i++) {
		struct sim_agent *a = sim->agents[j->part[i].agent];
		struct sim_kernel *k = sim_agent_kernel(a);
		if (k->groups[k->procs[j->part[i].proc].group].id != j->part[i].group)
			continue; /* the node was booted since */
		for (size_t p = 0; p < SIM_PROCS; p++) {
			if (!k->procs[p].alive || k->groups[k->procs[p].group].id != j->part[i].group)
				continue;
			sim_kernel_exit(k, p);
			sim_after(sim_between(10, 2000), exited, a, p, NULL);
			sim_agent_kernel_event(a);
		}
	}
}

static void begin(unsigned number, unsigned restart, uint32_t owner);

static void
end(void *arg, uint64_t announced)
{
	struct managed *j = arg;
	if (sim->healing)
		return;
	if (announced == 0 && sim_one_in(3)) {
		speak(j, ANNOUNCED);
		sim_after(sim_between(1, 20) * SIM_S, end, j, 1, NULL);
		return;
	}
	bool again = sim_one_in(3);
	speak(j, again ? REQUEUED : ENDED);
	if (!sim_one_in(4)) /* else its processes live on, and get nothing any more */
		sim_after(sim_between(1, 3000) * SIM_MS, kill_parts, j, 0, NULL);
	if (again)
		begin(j->number, j->restart + 1, j->owner);
}

static void
begin(unsigned number, unsigned restart, uint32_t owner)
{
	struct sim_managers *m = sim->managers;
	if (m->jobs_n == JOBS)
		return;
	struct managed *j = &m->jobs[m->jobs_n];
	*j = (struct managed) { .number = number, .restart = restart, .owner = owner };
	(void)snprintf(j->key, sizeof(j->key), "slurm/c1/%u.%u", number, restart);
	for (uint64_t n = sim_between(1, PARTS); n > 0; n--) {
		size_t at = (size_t)sim_below(sim->agents_n);
		struct sim_kernel *k = sim_agent_kernel(sim->agents[at]);
		/* Now and then somebody else's processes are said to be of it. */
		uint32_t uid = sim_one_in(8) ? (uint32_t)sim_between(1001, 1003) : owner;
		int p = sim_kernel_job(k, 30 + (unsigned)sim_below(30), uid, true);
		if (p < 0)
			continue;
		j->part[j->parts].agent = at;
		j->part[j->parts].proc = (size_t)p;
		j->part[j->parts++].group = k->groups[k->procs[p].group].id;
		sim_after(sim_between(1, 3000) * SIM_MS, call, sim->agents[at], (uint64_t)p, NULL);
	}
	if (j->parts == 0)
		return;
	m->jobs_n++;
	j->deadline =
	    sim_now_of(sim_notary_host(sim->notary)).wall_us / 1000000 + (int64_t)sim_between(20, 200);
	if (!sim_one_in(4))
		speak(j, STARTED);
	sim_after(sim_between(2, 90) * SIM_S, end, j, 0, NULL);
}

void
sim_managers_start(void)
{
	begin(++sim->managers->numbers, 0, (uint32_t)sim_between(1001, 1003));
}

/* ---- the files that an attestor reads ---- */

static struct word *
word_of(size_t agent)
{
	struct sim_managers *m = sim->managers;
	for (size_t i = 0; i < m->words_n; i++)
		if (m->words[i].agent == agent)
			return &m->words[i];
	return NULL;
}

static void
put_word(const struct word *w, struct mf_buf *to)
{
	static const char *const says[] = { "started", "announced", "ended", "requeued" };
	mf_buf_putf(to, "say %s\njob %s\n", says[w->say], w->job->key);
	if (w->say == STARTED)
		mf_buf_putf(to, "owner %u\ndeadline %lld\n", w->job->owner, (long long)w->job->deadline);
	else
		mf_buf_putf(to, "reason the manager says so\n");
}

bool
sim_managers_read(size_t agent, const char *name, struct mf_buf *to)
{
	const struct sim_managers *m = sim->managers;
	if (strcmp(name, "word") == 0) {
		const struct word *w = word_of(agent);
		if (w != NULL)
			put_word(w, to);
		return w != NULL;
	}
	if (strncmp(name, "claim-cg-", 9) != 0)
		return false;
	uint64_t group = strtoull(name + 9, NULL, 10);
	for (size_t i = m->jobs_n; i-- > 0;)
		for (size_t p = 0; p < m->jobs[i].parts; p++)
			if (m->jobs[i].part[p].agent == agent && m->jobs[i].part[p].group == group) {
				mf_buf_putf(to, "job %s\nselector slurm.job_id:%u\n", m->jobs[i].key,
				    m->jobs[i].number);
				return true;
			}
	return false;
}

void
sim_managers_removed(size_t agent)
{
	struct word *w = word_of(agent);
	if (w != NULL)
		w->agent = SIM_AGENTS;
}

/* ---- what the observer asks ---- */

static struct managed *
by_key(const char *key)
{
	struct sim_managers *m = sim->managers;
	for (size_t i = 0; m != NULL && i < m->jobs_n; i++)
		if (strcmp(m->jobs[i].key, key) == 0)
			return &m->jobs[i];
	return NULL;
}

void
sim_managers_answered(const char *key, bool final)
{
	struct managed *j = by_key(key);
	if (j == NULL)
		return;
	sim_trace("the manager's word about %s is on record%s", key, final ? ": it is over" : "");
	j->over_said = j->over_said || final;
	if (!final && !j->owner_said) {
		j->owner_said = true;
		j->owner_said_us = sim->t_us;
	}
}

void
sim_managers_forget(void)
{
	struct sim_managers *m = sim->managers;
	for (size_t i = 0; m != NULL && i < m->jobs_n; i++)
		m->jobs[i].owner_said = m->jobs[i].over_said = false;
}

struct sim_managed
sim_managers_know(const char *key)
{
	const struct managed *j = by_key(key);
	if (j == NULL)
		return (struct sim_managed) { .over = false };
	return (struct sim_managed) { .over = j->over_said,
		.owner_since_us = j->owner_said ? j->owner_said_us : UINT64_MAX,
		.owner = j->owner,
		.deadline = j->deadline };
}
