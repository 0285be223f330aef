/*
 * A node: its attestor (all of agent/attestor but what reads the kernel), and its front's cache, rotation and link
 * (agent/front/identities.c, attestor_link.c). What is ours is the part of the front that talks to sockets: jobs'
 * connections and the outer session.
 */
#include "sim.h"

#include <stdlib.h>

#include "agent/attestor/attestor.h"
#include "agent/front/attestor_link.h"
#include "agent/front/identities.h"
#include "net/loop.h"
#include "sim_agent.h"

#define CALL_FD 1000000
#define WINDOW 16

static void start_attestor(void *arg, uint64_t x);
static void start_front(void *arg, uint64_t x);

void
sim_agent_enter(struct sim_agent *a)
{
	sim->host = &a->host;
	sim->agent = a;
}

/* ---- small things ---- */

size_t
sim_agent_index(const struct sim_agent *a)
{
	return a->index;
}

struct sim_kernel *
sim_agent_kernel(struct sim_agent *a)
{
	return &a->kernel;
}

struct sim_files *
sim_agent_files(struct sim_agent *a)
{
	return &a->files;
}

struct sim_host *
sim_agent_host(struct sim_agent *a)
{
	return &a->host;
}

const char *
sim_agent_pool(const struct sim_agent *a)
{
	return a->pool;
}

const char *
sim_agent_node(const struct sim_agent *a)
{
	return a->node;
}

struct sim_proc *
sim_agent_caller(struct sim_agent *a, int sock)
{
	int i = sock - CALL_FD;
	return i >= 0 && i < (int)SIM_CALLS && a->calls[i].id != 0 ? &a->kernel.procs[a->calls[i].proc]
								   : NULL;
}

/* ---- the attestor ---- */

static void
turn(void *arg, uint64_t x)
{
	MF_UNUSED(x);
	struct sim_agent *a = arg;
	struct mf_attestor_poll poll;
	struct mf_err err = { 0 };
	if (a->attestor == NULL)
		return;
	sim_agent_enter(a);
	if (mf_attestor_turn(a->attestor, &err) != MF_OK)
		sim_abort("the attestor's turn: %s", err.msg);
	mf_attestor_poll(a->attestor, &poll);
	uint64_t now = sim_now_of(&a->host).mono_ms;
	uint64_t ms = poll.due_ms <= now ? 1 : poll.due_ms - now;
	a->turn_life++;
	sim_after((ms < 5000 ? ms : 5000) * SIM_MS + sim_below(500), turn, a, 0, &a->turn_life);
}

void
sim_agent_kernel_event(struct sim_agent *a)
{
	uint64_t us = sim_one_in(30) ? sim_between(10, 2000) * SIM_MS : sim_between(20, 500);
	sim_after(us, turn, a, 0, &a->attestor_life);
}

/* A new link, when both are there. */
static void
connect_roles(struct sim_agent *a)
{
	int fd[2];
	struct mf_err err = { 0 };
	if (a->attestor == NULL || a->link == NULL)
		return;
	sim_agent_enter(a);
	sim_link_pair(sim_agent_front_wake, a, &a->front_life, turn, a, &a->attestor_life, fd);
	if (mf_attestor_link(a->attestor, fd[1], &err) != MF_OK ||
	    mf_attestor_link_attach(a->link, fd[0], &err) != MF_OK)
		sim_abort("link: %s", err.msg);
	sim_after(1, turn, a, 0, &a->attestor_life);
}

static void
start_attestor(void *arg, uint64_t x)
{
	MF_UNUSED(x);
	struct sim_agent *a = arg;
	struct mf_err err = { 0 };
	struct mf_join_token *t = NULL;
	const struct mf_attestor_conf conf = { .listen_path = "/run/mayfly/agent.sock",
		.passwd = "/etc/passwd",
		.build_id = SIM_BUILD,
		.release = "sim",
		.hostname = a->host.name,
		.state_fd = sim_files_dir(a->index, false),
		.run_fd = sim_files_dir(a->index, true) };
	sim_agent_enter(a);
	enum mf_status s = mf_attestor_new(&conf, &a->attestor, &err);
	if (s != MF_OK && a->files.failing) { /* no room for its key: the supervisor tries again */
		sim_after(SIM_S, start_attestor, a, 0, &a->attestor_life);
		return;
	}
	if (s == MF_OK)
		s = mf_join_token_decode(mf_slice_str(a->token), &t, &err);
	if (s == MF_OK)
		s = mf_attestor_join(a->attestor, t, &err);
	if (s != MF_OK && !a->files.failing)
		sim_abort("attestor: %s", err.msg);
	sim_trace("attestor starts");
	connect_roles(a);
}

static void
stop_attestor(struct sim_agent *a)
{
	sim_agent_enter(a);
	a->attestor_life++;
	a->turn_life++;
	mf_attestor_free(a->attestor);
	a->attestor = NULL;
}

/* ---- the front ---- */

static void
stop_front(struct sim_agent *a)
{
	sim_agent_enter(a);
	sim_agent_front_fini(a);
	if (a->conn != 0)
		sim_net_hang_up(a->conn, true);
	a->conn = 0;
	a->front_life++;
}

static void
start_front(void *arg, uint64_t x)
{
	MF_UNUSED(x);
	struct sim_agent *a = arg;
	sim_agent_enter(a);
	sim_agent_front_init(a);
	sim_trace("front starts");
	connect_roles(a);
	sim_net_dial(a, &a->front_life);
}

/* ---- life and death ---- */

struct sim_agent *
sim_agent_new(size_t index, const char *pool, const struct sim_agent *clone_of)
{
	static const char *const names[SIM_AGENTS] = { "node0", "node1", "node2", "node3", "node4" };
	struct sim_agent *a = sim_alloc(sizeof(*a));
	a->index = index;
	(void)snprintf(a->pool, sizeof(a->pool), "%s", pool);
	a->host = (struct sim_host) { .name = names[index],
		.drift_ppm = (int64_t)sim_between(0, 400) - 200,
		.wall_us = (int64_t)sim_below(4000000) - 2000000,
		.base_ms = sim_between(1000, 1000000) };
	sim_kernel_boot(&a->kernel);
	if (clone_of != NULL) {
		sim_files_copy(&a->files, &clone_of->files);
		memcpy(a->token, clone_of->token, sizeof(a->token));
		memcpy(a->node, clone_of->node, sizeof(a->node));
	}
	return a;
}

void
sim_agent_token(struct sim_agent *a, const char *token)
{
	(void)snprintf(a->token, sizeof(a->token), "%s", token);
	sim_agent_boot(a);
}

void
sim_agent_boot(struct sim_agent *a)
{
	sim_after(sim_between(1, 500) * SIM_MS, start_attestor, a, 0, &a->attestor_life);
	sim_after(sim_between(1, 500) * SIM_MS, start_front, a, 0, &a->front_life);
}

void
sim_agent_free(struct sim_agent *a)
{
	if (a == NULL)
		return;
	stop_attestor(a);
	stop_front(a);
	sim_files_fini(&a->files);
	free(a);
}

void
sim_agent_crash(struct sim_agent *a, bool attestor, bool front)
{
	if (a->token[0] == '\0')
		return; /* it never began */
	sim_counts.crashes++;
	if (attestor) {
		stop_attestor(a);
		sim_trace("attestor is killed");
		sim_after(sim_between(20, 4000) * SIM_MS, start_attestor, a, 0, &a->attestor_life);
	}
	if (front) {
		stop_front(a);
		sim_trace("front is killed");
		sim_after(sim_between(20, 4000) * SIM_MS, start_front, a, 0, &a->front_life);
	}
}

void
sim_agent_reboot(struct sim_agent *a)
{
	if (a->token[0] == '\0')
		return;
	stop_attestor(a);
	stop_front(a);
	sim_trace("the node is cut from its power");
	sim_counts.powers++;
	sim_files_forget_run(&a->files);
	sim_kernel_boot(&a->kernel);
	a->host.base_ms = sim_between(1000, 100000);
	sim_after(sim_between(1, 20) * SIM_S, start_attestor, a, 0, &a->attestor_life);
	sim_after(sim_between(1, 20) * SIM_S, start_front, a, 0, &a->front_life);
}
