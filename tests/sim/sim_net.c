/*
 * The network and the broker's front: outer sessions between the fronts. The front is a carrier: it numbers sessions,
 * gives credit and hands out the bundle. Messages of one direction keep their order unless the carrier is hostile.
 */
#include "sim.h"

#include <stdlib.h>

#define CONNS 8192
#define WINDOW 16 /* sealed chunks that a front takes ahead */
#define REDIAL_US (20 * SIM_MS)

struct conn {
	int agent;
	bool broker, peer; /* which ends think that it is open */
	uint64_t last_us[2];
	uint64_t life; /* of what is under way in it */
	const uint64_t *dialer;
	uint64_t dialer_born;
};

struct message {
	uint64_t conn;
	bool handshake;
	size_t n;
	uint8_t bytes[];
};

struct sim_net {
	struct conn conns[CONNS];
	uint64_t n;
	uint64_t cut_us[SIM_AGENTS];   /* no packet passes until then */
	uint64_t hostile_us, front_us; /* the carrier lies; the broker's front is away */
};

struct sim_net *
sim_net_new(void)
{
	struct sim_net *n = sim_alloc(sizeof(*n));
	n->n = 1;
	return n;
}

void
sim_net_free(struct sim_net *n)
{
	free(n);
}

static struct conn *
conn_of(uint64_t id)
{
	return id > 0 && id < sim->net->n ? &sim->net->conns[id] : NULL;
}

int
sim_net_agent(uint64_t conn)
{
	const struct conn *c = conn_of(conn);
	return c == NULL ? -1 : c->agent;
}

static uint64_t
latency(void)
{
	return sim_one_in(50) ? sim_between(50, 900) * SIM_MS : sim_between(100, 4000);
}

/* When a message that leaves now arrives. */
static uint64_t
arrival(struct conn *c, int direction)
{
	uint64_t at = sim->t_us + latency(), cut = sim->net->cut_us[c->agent];
	if (cut > sim->t_us)
		at = cut + latency();
	if (at < c->last_us[direction])
		at = c->last_us[direction];
	c->last_us[direction] = at;
	return at - sim->t_us;
}

static bool
dialer_lives(const struct conn *c)
{
	return *c->dialer == c->dialer_born;
}

static void
closed_at_agent(void *arg, uint64_t id)
{
	MF_UNUSED(arg);
	struct conn *c = conn_of(id);
	if (!c->peer)
		return;
	c->peer = false;
	if (dialer_lives(c))
		sim_agent_closed(sim->agents[c->agent], id, "the broker closed the session");
}

static void
closed_at_broker(void *arg, uint64_t id)
{
	MF_UNUSED(arg);
	struct conn *c = conn_of(id);
	if (!c->broker)
		return;
	c->broker = false;
	sim_notary_close(id);
}

void
sim_net_hang_up(uint64_t id, bool by_agent)
{
	struct conn *c = conn_of(id);
	if (c == NULL || !(by_agent ? c->peer : c->broker))
		return;
	*(by_agent ? &c->peer : &c->broker) = false;
	sim_after(
	    arrival(c, by_agent ? 0 : 1), by_agent ? closed_at_broker : closed_at_agent, NULL, id, NULL);
}

/* ---- dialling ---- */

static void
opened_at_agent(void *arg, uint64_t id)
{
	MF_UNUSED(arg);
	struct conn *c = conn_of(id);
	if (!c->peer)
		return;
	struct sim_agent *a = sim->agents[c->agent];
	uint64_t number;
	sim_agent_opened(a, id);
	struct mf_slice bundle = sim_notary_bundle(&number);
	if (bundle.n > 0)
		sim_agent_document(a, id, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE, number, bundle);
	sim_jwt_deliver(a, id);
}

static void
dialled(void *arg, uint64_t id)
{
	MF_UNUSED(arg);
	struct conn *c = conn_of(id);
	if (!dialer_lives(c))
		return;
	if (sim->t_us < sim->net->front_us || !sim_notary_up(sim->notary)) {
		c->peer = true; /* so that it hears of the refusal */
		sim_after(latency(), closed_at_agent, NULL, id, NULL);
		return;
	}
	c->broker = c->peer = true;
	sim_notary_open(id);
	sim_notary_credit(id, WINDOW);
	sim_after(arrival(c, 1), opened_at_agent, NULL, id, c->dialer);
}

void
sim_net_dial(struct sim_agent *a, const uint64_t *life)
{
	if (sim->net->n == CONNS)
		sim_abort("more sessions than a history has");
	struct conn *c = &sim->net->conns[sim->net->n];
	*c = (struct conn) { .agent = (int)sim_agent_index(a), .dialer = life, .dialer_born = *life };
	sim_after(REDIAL_US + arrival(c, 0), dialled, NULL, sim->net->n++, NULL);
}

/* ---- carrying ---- */

static struct message *
message(uint64_t id, bool handshake, struct mf_slice body)
{
	struct message *m = sim_alloc(sizeof(*m) + body.n);
	m->conn = id;
	m->handshake = handshake;
	m->n = body.n;
	memcpy(m->bytes, body.p, body.n);
	return m;
}

static void
at_broker(void *arg, uint64_t x)
{
	MF_UNUSED(x);
	struct message *m = arg;
	struct conn *c = conn_of(m->conn);
	if (c->broker && sim_notary_up(sim->notary))
		sim_notary_data(m->conn, m->handshake, mf_slice(m->bytes, m->n));
	else if (!c->broker) /* a reset comes back */
		sim_after(arrival(c, 1), closed_at_agent, NULL, m->conn, NULL);
	free(m);
}

static void
at_agent(void *arg, uint64_t x)
{
	MF_UNUSED(x);
	struct message *m = arg;
	struct conn *c = conn_of(m->conn);
	if (c->peer && dialer_lives(c))
		sim_agent_data(sim->agents[c->agent], m->conn, m->handshake, mf_slice(m->bytes, m->n));
	else if (c->broker)
		sim_after(arrival(c, 0), closed_at_broker, NULL, m->conn, NULL);
	if (!m->handshake && c->broker && sim_notary_up(sim->notary))
		sim_notary_credit(m->conn, 1);
	free(m);
}

static void
carry(uint64_t id, bool handshake, struct mf_slice body, int direction)
{
	struct conn *c = conn_of(id);
	sim_fn *to = direction == 0 ? at_broker : at_agent;
	uint64_t us = arrival(c, direction);
	if (sim->t_us < sim->net->hostile_us && sim_one_in(12)) {
		uint64_t how = sim_below(3);
		sim_trace("carrier: a message of session %llu is %s", (unsigned long long)id,
		    how == 0   ? "lost"
		    : how == 1 ? "repeated"
			       : "held back");
		if (how == 0)
			return;
		sim_after(us + sim_between(1, 500) * SIM_MS, to, message(id, handshake, body), 0, NULL);
		if (how == 2)
			return;
	}
	sim_after(us, to, message(id, handshake, body), 0, NULL);
}

void
sim_net_up(uint64_t id, bool handshake, struct mf_slice body)
{
	if (conn_of(id)->peer)
		carry(id, handshake, body, 0);
}

void
sim_net_down(uint64_t id, bool handshake, struct mf_slice body)
{
	if (conn_of(id)->broker)
		carry(id, handshake, body, 1);
}

static void
document(void *arg, uint64_t id)
{
	MF_UNUSED(arg);
	const struct conn *c = conn_of(id);
	uint64_t number;
	struct mf_slice bundle = sim_notary_bundle(&number);
	if (!c->peer || !dialer_lives(c))
		return;
	if (bundle.n > 0)
		sim_agent_document(sim->agents[c->agent], id,
		    MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE, number, bundle);
	sim_jwt_deliver(sim->agents[c->agent], id);
}

void
sim_net_documents(void)
{
	for (uint64_t i = 1; i < sim->net->n; i++)
		if (sim->net->conns[i].broker)
			sim_after(arrival(&sim->net->conns[i], 1), document, NULL, i, NULL);
}

/* ---- trouble ---- */

void
sim_net_cut(size_t agent, uint64_t us)
{
	sim->net->cut_us[agent] = sim->t_us + us;
	for (uint64_t i = 1; i < sim->net->n; i++) {
		struct conn *c = &sim->net->conns[i];
		if (c->agent != (int)agent || !(c->broker || c->peer) || us < 5 * SIM_S)
			continue;
		/* Keepalives: each side finds out for itself, or not before it is over. */
		if (sim_one_in(2))
			sim_after(sim_between(5, 20) * SIM_S, closed_at_agent, NULL, i, NULL);
		if (sim_one_in(2))
			sim_after(sim_between(5, 20) * SIM_S, closed_at_broker, NULL, i, NULL);
	}
}

void
sim_net_hostile(uint64_t us)
{
	sim->net->hostile_us = sim->t_us + us;
}

static void
hang_up_all(void)
{
	for (uint64_t i = 1; i < sim->net->n; i++)
		sim_net_hang_up(i, false);
}

void
sim_net_front_crash(void)
{
	sim->net->front_us = sim->t_us + sim_between(100, 3000) * SIM_MS;
	hang_up_all();
	if (sim_notary_up(sim->notary))
		sim_notary_front_gone();
}

void
sim_net_notary_gone(void)
{
	hang_up_all();
}
