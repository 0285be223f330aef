/*
 * One history: nodes join, jobs come and go, operators act, and everything fails now and then. At the end all is made whole,
 * and what must be over by then must be over.
 */
#include "sim_cloud.h"

#include <stdlib.h>

#define PEACE_US (100 * SIM_S)
#define CANARY_US (45 * SIM_S) /* of it: jobs ask everywhere again */

/* What a history is like, drawn once: one has many crashes, another a bad disk. */
static struct {
	uint64_t fault_us;   /* about one fault in so long */
	uint64_t job_us;     /* about one new job in so long */
	unsigned weight[16]; /* of each kind of fault */
	size_t clone_of;     /* SIM_AGENTS: nobody is copied */
	uint64_t cloud_us;   /* about one fault of courier or providers in so long */
} like;

static struct sim_agent *
some_agent(void)
{
	return sim->agents[sim_below(sim->agents_n)];
}

/* ---- jobs ---- */

static void
call(void *arg, uint64_t proc)
{
	struct sim_agent *a = arg;
	sim_agent_call(a, (size_t)proc);
}

static void
start_job(struct sim_agent *a)
{
	if (sim->managed && sim_one_in(3)) {
		sim_managers_start();
		return;
	}
	struct sim_kernel *k = sim_agent_kernel(a);
	uint32_t uid = (uint32_t)sim_between(1001, 1004);
	int p = sim_kernel_job(k, (unsigned)sim_below(12), uid, !sim_one_in(4));
	if (p < 0)
		return;
	sim_after(sim_below(500) * SIM_MS, call, a, (uint64_t)p, NULL);
	/* Others in its cgroup: of the same job, or a stranger who was put there. */
	for (uint64_t more = sim_below(3); k->procs[p].group != 0 && more > 0; more--) {
		int q = sim_kernel_fork(
		    k, k->procs[p].group, sim_one_in(4) ? (uint32_t)sim_between(1001, 1003) : uid);
		if (q >= 0)
			sim_after(sim_between(100, 3000) * SIM_MS, call, a, (uint64_t)q, NULL);
	}
}

static void
exited(void *arg, uint64_t proc)
{
	sim_agent_exited(arg, (size_t)proc);
}

static void
kill_proc(struct sim_agent *a, size_t i)
{
	struct sim_kernel *k = sim_agent_kernel(a);
	sim_kernel_exit(k, i);
	sim_after(sim_between(10, 2000), exited, a, i, NULL);
	sim_agent_kernel_event(a);
}

/* A process ends, or its whole job. */
static void
end_some(struct sim_agent *a, bool job)
{
	struct sim_kernel *k = sim_agent_kernel(a);
	size_t first = (size_t)sim_below(SIM_PROCS);
	for (size_t n = 0; n < SIM_PROCS; n++) {
		size_t i = (first + n) % SIM_PROCS, group = k->procs[i].group;
		if (!k->procs[i].alive)
			continue;
		kill_proc(a, i);
		for (size_t m = 0; job && group != 0 && m < SIM_PROCS; m++)
			if (k->procs[m].alive && k->procs[m].group == group)
				kill_proc(a, m);
		return;
	}
}

static void
some_proc(struct sim_agent *a, void (*fn)(struct sim_agent *a, size_t proc))
{
	const struct sim_kernel *k = sim_agent_kernel(a);
	size_t first = (size_t)sim_below(SIM_PROCS);
	for (size_t n = 0; n < SIM_PROCS; n++)
		if (k->procs[(first + n) % SIM_PROCS].alive) {
			fn(a, (first + n) % SIM_PROCS);
			return;
		}
}

static void
work(void *arg, uint64_t x)
{
	struct sim_agent *a = some_agent();
	MF_UNUSED(arg);
	MF_UNUSED(x);
	if (sim->healing)
		return;
	sim_after(sim_between(1, 2 * like.job_us), work, NULL, 0, NULL);
	switch (sim_below(8)) {
	case 0:
	case 1:
	case 2:
		start_job(a);
		break;
	case 3:
		end_some(a, true);
		break;
	case 4:
		end_some(a, sim_one_in(2));
		break;
	case 5:
		some_proc(a, sim_agent_call);
		break;
	case 6:
		some_proc(a, sim_agent_jwt);
		break;
	default:
		if (sim_notary_up(sim->notary))
			sim_operators_act(sim->operators);
		break;
	}
}

/* ---- faults ---- */

static void
disk_whole(void *arg, uint64_t x)
{
	MF_UNUSED(x);
	sim_trace("the disk has space again");
	sim_disk_full(arg, false);
}

static void
files_whole(void *arg, uint64_t x)
{
	MF_UNUSED(x);
	sim_agent_files(arg)->failing = false;
}

static void
copy_node(void)
{
	if (like.clone_of >= sim->agents_n || sim->agents_n == SIM_AGENTS ||
	    sim_agent_node(sim->agents[like.clone_of])[0] == '\0')
		return;
	const struct sim_agent *of = sim->agents[like.clone_of];
	struct sim_agent *a = sim_agent_new(sim->agents_n, sim_agent_pool(of), of);
	sim->agents[sim->agents_n++] = a;
	sim_saw_clone(like.clone_of);
	sim_saw_clone(sim->agents_n - 1);
	sim_trace("node%zu is copied", like.clone_of);
	like.clone_of = SIM_AGENTS;
	sim_agent_boot(a);
}

static void
step_clock(void)
{
	struct sim_host *h = sim_one_in(2) ? sim_notary_host(sim->notary) : sim_agent_host(some_agent());
	int64_t by = (int64_t)sim_below(9000000) - 4000000;
	if (h == sim_notary_host(sim->notary) && sim_one_in(6))
		by = (int64_t)sim_between(5, 25) * 1000000;
	h->wall_us += by;
	sim_trace("the wall clock of %s moves by %.3f s", h->name, (double)by / 1e6);
}

static void
operators(void *arg, uint64_t x)
{
	MF_UNUSED(arg);
	MF_UNUSED(x);
	for (int i = 0; i < 4 && sim_notary_up(sim->notary) && !sim->healing; i++)
		sim_operators_act(sim->operators);
}

static void
kill_notary(void *arg, uint64_t x)
{
	MF_UNUSED(arg);
	MF_UNUSED(x);
	if (!sim->healing)
		sim_notary_crash(sim->notary, sim_one_in(4));
}

/* The disk is slow; and what operators do then may be effective before it is recorded, when the notary dies. */
static void
slow_disk(void)
{
	sim_notary_slow(sim->notary, sim_between(2, 20) * SIM_S);
	if (sim_one_in(2))
		return;
	sim_after(sim_between(200, 2000) * SIM_MS, operators, NULL, 0, NULL);
	sim_after(sim_between(2500, 6000) * SIM_MS, kill_notary, NULL, 0, NULL);
}

static void
storm(void)
{
	struct sim_agent *a = some_agent();
	for (uint64_t n = sim_between(8, 30); n > 0; n--)
		start_job(a);
}

static void
fault(void *arg, uint64_t x)
{
	uint64_t all = 0, pick;
	size_t kind = 0;
	struct sim_agent *a = some_agent();
	MF_UNUSED(arg);
	MF_UNUSED(x);
	if (sim->healing)
		return;
	sim_after(sim_between(1, 2 * like.fault_us), fault, NULL, 0, NULL);
	for (size_t i = 0; i < MF_COUNT(like.weight); i++)
		all += like.weight[i];
	for (pick = sim_below(all); pick >= like.weight[kind]; kind++)
		pick -= like.weight[kind];
	switch (kind) {
	case 0:
		sim_notary_crash(sim->notary, false);
		break;
	case 1:
		sim_notary_crash(sim->notary, true);
		break;
	case 2:
		if (sim_notary_up(sim->notary))
			sim_notary_trouble(sim->notary, sim_one_in(2));
		break;
	case 3:
		sim_agent_crash(a, true, sim_one_in(4));
		break;
	case 4:
		sim_agent_crash(a, false, true);
		break;
	case 5:
		sim_agent_reboot(a);
		break;
	case 6:
		sim_net_front_crash();
		break;
	case 7:
		sim_trace("node%zu is cut off", sim_agent_index(a));
		sim_net_cut(sim_agent_index(a), sim_between(1, 45) * SIM_S);
		break;
	case 8:
		sim_net_hostile(sim_between(1, 10) * SIM_S);
		break;
	case 9:
		slow_disk();
		break;
	case 10:
		sim_trace("the disk is full");
		sim_disk_full(sim_notary_disk(sim->notary), true);
		sim_after(sim_between(2, 40) * SIM_S, disk_whole, sim_notary_disk(sim->notary), 0, NULL);
		break;
	case 11:
		step_clock();
		break;
	case 12:
		sim_agent_files(a)->failing = true;
		sim_after(sim_between(1, 20) * SIM_S, files_whole, a, 0, NULL);
		break;
	case 13:
		copy_node();
		break;
	default:
		storm();
		break;
	}
}

static void
cloud_fault(void *arg, uint64_t x)
{
	MF_UNUSED(arg);
	MF_UNUSED(x);
	if (sim->healing)
		return;
	sim_after(sim_between(1, 2 * like.cloud_us), cloud_fault, NULL, 0, NULL);
	if (sim_one_in(3))
		sim_provider_away(sim_between(1, 40) * SIM_S);
	else
		sim_courier_crash();
}

/* ---- the whole ---- */

static void
make_clouds(void)
{
	if (!sim->clouded)
		return;
	sim->clouds = sim_clouds_new();
	sim->provider = sim_provider_new();
	sim->courier = sim_courier_new();
	like.cloud_us = sim_between(2, 40) * SIM_S;
	sim_after(like.cloud_us, cloud_fault, NULL, 0, NULL);
}

static void
make_world(void)
{
	static const char *const pools[] = { "gpu", "cpu", "gpu", "cpu" };
	sim->net = sim_net_new();
	sim->observer = sim_observer_new();
	sim->operators = sim_operators_new();
	sim->managers = sim->managed ? sim_managers_new() : NULL;
	make_clouds();
	sim->notary = sim_notary_new();
	size_t n = (size_t)sim_between(2, 4);
	for (size_t i = 0; i < n; i++) {
		sim->agents[i] = sim_agent_new(i, pools[i], NULL);
		sim->agents_n = i + 1;
		sim_operators_token(sim->operators, i, pools[i]);
	}
	like.fault_us = sim_between(2, 20) * SIM_S;
	like.job_us = sim_between(100, 1500) * SIM_MS;
	for (size_t i = 0; i < MF_COUNT(like.weight); i++)
		like.weight[i] = sim_one_in(3) ? 0 : (unsigned)sim_between(1, 6);
	like.weight[14] += 1; /* never nothing at all */
	like.clone_of = sim_one_in(2) ? (size_t)sim_below(n) : SIM_AGENTS;
	sim_after(SIM_S, work, NULL, 0, NULL);
	sim_after(like.fault_us, fault, NULL, 0, NULL);
}

static void
canary(void *arg, uint64_t x)
{
	MF_UNUSED(arg);
	MF_UNUSED(x);
	for (size_t i = 0; i < sim->agents_n; i++) {
		struct sim_agent *a = sim->agents[i];
		/* Whoever is permitted there by every version of the policy. */
		bool gpu = strcmp(sim_agent_pool(a), "gpu") == 0;
		int p =
		    sim_kernel_job(sim_agent_kernel(a), 20 + (unsigned)sim_below(3), gpu ? 1001 : 1002, true);
		if (p >= 0)
			sim_agent_call(a, (size_t)p);
	}
	sim_after(3 * SIM_S, canary, NULL, 0, NULL);
}

/* Faults end; most jobs do, too. */
static void
make_whole(void)
{
	sim->healing = true;
	if (sim->clouded)
		sim_provider_away(0);
	sim_disk_full(sim_notary_disk(sim->notary), false);
	sim_notary_settle(sim->notary);
	for (size_t i = 0; i < sim->agents_n; i++) {
		struct sim_agent *a = sim->agents[i];
		sim_agent_files(a)->failing = false;
		for (size_t p = 0; p < SIM_PROCS; p++)
			if (sim_agent_kernel(a)->procs[p].alive && !sim_one_in(4))
				kill_proc(a, p);
	}
	/* A policy that permits somebody in every pool. */
	sim_operators_calm(sim->operators);
}

void
sim_history(void)
{
	make_world();
	sim_run(sim_between(60, 240) * SIM_S);
	if (!sim->failed)
		make_whole();
	uint64_t since = sim->t_us + PEACE_US - CANARY_US;
	sim_run(since);
	if (!sim->failed)
		canary(NULL, 0);
	sim_run(since + CANARY_US);
	if (!sim->failed)
		sim_saw_peace(since);
	for (size_t i = 0; i < SIM_AGENTS; i++)
		sim_agent_free(sim->agents[i]);
	sim_notary_free(sim->notary);
	sim_operators_free(sim->operators);
	sim_observer_free(sim->observer);
	sim_managers_free(sim->managers);
	sim_link_drop_all();
	sim_drop_events();
	sim_net_free(sim->net);
	sim_loop_bury();
	sim_courier_free(sim->courier);
	sim_provider_free(sim->provider);
	sim_clouds_free(sim->clouds);
}
