/* Jobs that use cloud tokens: as an SDK does, they ask the front again before what they hold is over. */
#include "sim_agent.h"
#include "sim_cloud.h"

static const char *const grants[] = { "data", "scratch", "model", "look" };

void
sim_cloud_front_init(struct sim_agent *a)
{
	struct mf_err err = { 0 };
	const struct mf_clouds_config conf = {
		.loop = a->loop, .link = a->link, .ids = a->ids, .refusal_ms = 3000
	};
	if (sim->clouded && mf_clouds_new(&conf, &a->clouds, &err) != MF_OK)
		sim_abort("front: %s", err.msg);
}

static void
ask(void *arg, uint64_t id)
{
	struct sim_call *c = arg;
	struct sim_agent *a = c->agent;
	if (c->id != id || c->watch.entry == NULL || c->cloud.there || a->clouds == NULL)
		return;
	sim_agent_enter(a);
	mf_clouds_get(a->clouds, &c->cloud, c->watch.entry, mf_slice_str(c->grant), 30000);
}

static void
done(struct mf_cloud_wait *w, const struct mf_cloud_answer *answer)
{
	struct sim_call *c = MF_CONTAINER_OF(w, struct sim_call, cloud);
	struct sim_agent *a = c->agent;
	const struct sim_proc *p = &a->kernel.procs[c->proc];
	uint64_t again = sim_between(1, 12) * SIM_S;
	if (answer->result == MF_CLOUD_GIVEN && p->alive && p->proc_id == c->proc_id) {
		sim_counts.uses++;
		sim_saw_token_used(c->watch.entry->key, answer->item->credential_id);
	}
	if (answer->result != SIM_CLOUD_RESULT_ENDED)
		sim_after(again, ask, c, c->id, &a->front_life);
}

/* It asks for a grant: mostly one that its profile has. */
static void
begin(struct sim_call *c)
{
	(void)snprintf(c->grant, sizeof(c->grant), "%s", grants[sim_below(MF_COUNT(grants))]);
	c->cloud = (struct mf_cloud_wait) { .done = done };
	sim_after(sim_between(1, 2000) * SIM_MS, ask, c, c->id, &c->agent->front_life);
}

void
sim_cloud_call(struct sim_call *c)
{
	if (sim->clouded && c->grant[0] == '\0' && sim_one_in(2))
		begin(c);
}
