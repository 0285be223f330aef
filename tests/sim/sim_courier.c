/*
 * The courier: it carries requests to the providers and brings results back: late, twice, or not at all. It may be killed at
 * any moment; what had left it by then may still arrive.
 */
#include "sim_cloud.h"

#include <stdlib.h>

#include "rpc/pb_check.h"

struct sim_courier {
	uint64_t life; /* moves when it dies, or its link to the notary */
	bool up;       /* the notary's link to it is open */
	bool dead;     /* and nobody told the notary yet */
};

/* A request on its way, then its result. */
struct order {
	bool mint, late; /* late: its time was over, and that was said */
	uint64_t life, timeout_us, began_us;
	struct mf_buf bytes;
};

struct sim_courier *
sim_courier_new(void)
{
	struct sim_courier *c = sim_alloc(sizeof(*c));
	c->life = 1;
	return c;
}

void
sim_courier_free(struct sim_courier *c)
{
	free(c);
}

static void
order_free(struct order *o)
{
	mf_buf_fini(&o->bytes);
	free(o);
}

static bool
lives(const struct order *o)
{
	return sim->courier != NULL && o->life == sim->courier->life && sim->courier->up &&
	       !sim->courier->dead && sim_notary_up(sim->notary);
}

static uint64_t
way(void)
{
	return sim_one_in(30) ? sim_between(1, 22) * SIM_S : sim_between(2, 300) * SIM_MS;
}

/* ---- results ---- */

static void
deliver(const struct order *o)
{
	ProtobufCMessage *m = NULL;
	if (mf_pb_unpack(o->mint ? &mayfly__roles__v1__mint_result__descriptor
				 : &mayfly__roles__v1__cloud_revoke_result__descriptor,
		mf_buf_slice(&o->bytes), &m, NULL) != MF_OK)
		sim_abort("a result that cannot be read");
	if (o->mint)
		sim_cloud_minted((const void *)m);
	else
		sim_cloud_revoked((const void *)m);
	mf_pb_free(m);
}

static void
answer(void *arg, uint64_t again)
{
	struct order *o = arg;
	if (!lives(o)) {
		order_free(o);
		return;
	}
	deliver(o);
	if (again != 0)
		sim_after(sim_between(1, 5000) * SIM_MS, answer, o, 0, NULL);
	else
		order_free(o);
}

static void
pack(struct order *o, const ProtobufCMessage *m)
{
	mf_buf_reset(&o->bytes);
	if (mf_pb_pack(m, &o->bytes, NULL) != MF_OK)
		sim_abort("a result that cannot be packed");
}

/* At the provider. Of a mint that had left a courier that is dead by now, somebody may still make a token. */
static void
at_provider(void *arg, uint64_t x)
{
	struct order *o = arg;
	ProtobufCMessage *q = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
	Mayfly__Roles__V1__MintResult mint = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	Mayfly__Roles__V1__CloudRevokeResult revoke = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	MF_UNUSED(x);
	mf_buf_init(&token, MF_LIM_IPC_MESSAGE);
	if (sim->courier == NULL || (!lives(o) && (!o->mint || sim_one_in(2)))) {
		order_free(o);
		return;
	}
	if (mf_pb_unpack(o->mint ? &mayfly__roles__v1__mint_request__descriptor
				 : &mayfly__roles__v1__cloud_revoke_request__descriptor,
		mf_buf_slice(&o->bytes), &q, NULL) != MF_OK)
		sim_abort("a request that cannot be read");
	if (o->mint)
		sim_provider_mint((const void *)q, &mint, &token);
	else
		sim_provider_revoke((const void *)q, &revoke);
	pack(o, o->mint ? &mint.base : &revoke.base);
	mf_pb_free(q);
	uint64_t back = way();
	if (sim->t_us + back > o->began_us + o->timeout_us)
		order_free(o); /* timed_out says so */
	else
		sim_after(back, answer, o, sim_one_in(20), NULL);
}

/* ---- requests ---- */

/* The courier gives it up; what became of it nobody knows. */
static void
timed_out(struct order *o, uint64_t id)
{
	struct order *late = sim_alloc(sizeof(*late));
	Mayfly__Roles__V1__MintResult mint = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	Mayfly__Roles__V1__CloudRevokeResult revoke = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	*late = (struct order) { .mint = o->mint, .life = o->life };
	mf_buf_init(&late->bytes, MF_LIM_IPC_MESSAGE);
	mint.mint_id = revoke.revoke_id = id;
	mint.error = revoke.error = (char *)(uintptr_t) "unknown";
	pack(late, o->mint ? &mint.base : &revoke.base);
	sim_after(o->timeout_us, answer, late, 0, NULL);
}

static bool
carry(bool mint, uint64_t id, uint32_t timeout_ms, const ProtobufCMessage *q)
{
	struct sim_courier *c = sim->courier;
	if (c == NULL || !c->up || sim_one_in(60)) /* or it has too much to read */
		return false;
	struct order *o = sim_alloc(sizeof(*o));
	*o = (struct order) {
		.mint = mint, .life = c->life, .timeout_us = timeout_ms * SIM_MS, .began_us = sim->t_us
	};
	mf_buf_init(&o->bytes, MF_LIM_IPC_MESSAGE);
	pack(o, q);
	timed_out(o, id);
	sim_after(way(), at_provider, o, 0, NULL);
	return true;
}

bool
sim_courier_mint(const Mayfly__Roles__V1__MintRequest *q)
{
	return carry(true, q->mint_id, q->timeout_ms, &q->base);
}

bool
sim_courier_revoke(const Mayfly__Roles__V1__CloudRevokeRequest *q)
{
	return carry(false, q->revoke_id, q->timeout_ms, &q->base);
}

/* ---- life ---- */

static void
open_link(void *arg, uint64_t x)
{
	struct sim_courier *c = arg;
	MF_UNUSED(x);
	c->up = sim_notary_up(sim->notary);
	c->dead = false;
}

static void
told(void *arg, uint64_t x)
{
	struct sim_courier *c = arg;
	MF_UNUSED(x);
	c->up = false;
	c->life++;
	sim_cloud_courier_gone();
	sim_after(sim_between(20, 4000) * SIM_MS, open_link, c, 0, &c->life);
}

void
sim_courier_crash(void)
{
	struct sim_courier *c = sim->courier;
	if (c == NULL || !c->up || c->dead)
		return;
	sim_trace("the courier is killed");
	sim_counts.crashes++;
	c->dead = true;
	c->life++;
	/* What the notary says meanwhile, nobody reads. */
	sim_after(sim_between(5, 3000), told, c, 0, &c->life);
}

void
sim_courier_notary_gone(void)
{
	struct sim_courier *c = sim->courier;
	if (c == NULL)
		return;
	c->up = c->dead = false;
	c->life++;
}

void
sim_courier_notary_back(void)
{
	struct sim_courier *c = sim->courier;
	if (c != NULL)
		sim_after(sim_between(1, 500) * SIM_MS, open_link, c, 0, &c->life);
}
