/* The log's head is signed at most a second after what it is of is on disk, as long as the disk does its part. */
#include "sim_notary.h"

static uint64_t excused_us; /* until then, and while the disk is full; one history lives in one process */
static bool disk_full;

void
sim_heads_excuse(uint64_t us)
{
	if (sim->t_us + us > excused_us)
		excused_us = sim->t_us + us;
}

void
sim_heads_full(bool full)
{
	disk_full = full;
	sim_heads_excuse(SIM_S);
}

void
sim_heads_signed(uint64_t size)
{
	struct sim_notary *n = sim->notary;
	n->head_size = size;
	n->unsigned_us = n->durable_size > size ? sim->t_us : 0;
}

void
sim_heads_durable(struct sim_notary *n, uint64_t size)
{
	n->durable_size = size;
	if (size > n->head_size && n->unsigned_us == 0)
		n->unsigned_us = sim->t_us;
}

void
sim_heads_check(struct sim_notary *n)
{
	uint64_t since = n->unsigned_us > excused_us ? n->unsigned_us : excused_us;
	if (n->unsigned_us != 0 && !disk_full && sim->t_us > since + SIM_S)
		sim_violated(1, "records are on disk for %.3f s, and no signed head has them",
		    (double)(sim->t_us - n->unsigned_us) / 1e6);
}
