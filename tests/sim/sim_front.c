/* The agent's front in the simulation: its link's messages go where agent/front/front.c sends them. */
#include "sim_agent.h"

#include "agent/front/attestor_link.h"
#include "rpc/role_links.h"

#define CALL_FD 1000000
#define WINDOW 16

static void
tell(struct sim_agent *a, uint16_t type, const ProtobufCMessage *m)
{
	(void)!mf_attestor_link_send(a->link, type, m, -1, NULL); /* the next link asks anew */
}

/* ---- the outer session ---- */

static void
tell_opened(struct sim_agent *a)
{
	Mayfly__Roles__V1__OuterOpened m = MAYFLY__ROLES__V1__OUTER_OPENED__INIT;
	Mayfly__Roles__V1__OuterCredit c = MAYFLY__ROLES__V1__OUTER_CREDIT__INIT;
	if (a->conn == 0 || a->told || !mf_attestor_link_open(a->link))
		return;
	a->told = true;
	m.sid = c.sid = a->conn;
	c.chunks = WINDOW;
	tell(a, MF_MSG_OUTER_OPENED, &m.base);
	tell(a, MF_MSG_OUTER_CREDIT, &c.base);
}

void
sim_agent_opened(struct sim_agent *a, uint64_t conn)
{
	sim_agent_enter(a);
	a->conn = conn;
	a->told = false;
	tell_opened(a);
}

void
sim_agent_data(struct sim_agent *a, uint64_t conn, bool handshake, struct mf_slice body)
{
	Mayfly__Roles__V1__OuterData m = MAYFLY__ROLES__V1__OUTER_DATA__INIT;
	sim_agent_enter(a);
	if (conn != a->conn || !a->told)
		return;
	m.sid = conn;
	m.handshake = handshake;
	m.body = (ProtobufCBinaryData) { body.n, (uint8_t *)(uintptr_t)body.p };
	tell(a, MF_MSG_OUTER_DATA, &m.base);
}

void
sim_agent_document(struct sim_agent *a, uint64_t conn, Mayfly__Agent__V1__DocumentKind kind, uint64_t number,
    struct mf_slice body)
{
	Mayfly__Roles__V1__DocumentSeen m = MAYFLY__ROLES__V1__DOCUMENT_SEEN__INIT;
	Mayfly__Agent__V1__Document d = MAYFLY__AGENT__V1__DOCUMENT__INIT;
	sim_agent_enter(a);
	if (conn != a->conn)
		return;
	d.kind = kind;
	d.number = number;
	d.body = (ProtobufCBinaryData) { body.n, (uint8_t *)(uintptr_t)body.p };
	m.document = &d;
	tell(a, MF_MSG_DOCUMENT_SEEN, &m.base);
}

static void
dial_again(void *arg, uint64_t x)
{
	MF_UNUSED(x);
	struct sim_agent *a = arg;
	if (a->conn == 0)
		sim_net_dial(a, &a->front_life);
}

static void
over(struct sim_agent *a)
{
	a->conn = 0;
	a->told = false;
	sim_after(sim_between(200, 4000) * SIM_MS, dial_again, a, 0, &a->front_life);
}

void
sim_agent_closed(struct sim_agent *a, uint64_t conn, const char *why)
{
	Mayfly__Roles__V1__OuterClosed m = MAYFLY__ROLES__V1__OUTER_CLOSED__INIT;
	sim_agent_enter(a);
	if (a->conn != 0 && a->conn != conn)
		return;
	m.sid = conn;
	m.reason = (char *)(uintptr_t)why;
	if (a->told)
		tell(a, MF_MSG_OUTER_CLOSED, &m.base);
	over(a);
}

/* ---- jobs' connections ---- */

void
sim_call_close(struct sim_call *c)
{
	struct sim_agent *a = c->agent;
	Mayfly__Roles__V1__ConnGone m = MAYFLY__ROLES__V1__CONN_GONE__INIT;
	if (c->id == 0)
		return;
	mf_cloud_wait_cancel(&c->cloud);
	mf_identity_use_set(a->ids, &c->use, NULL, false, false);
	mf_identity_watch_set(a->ids, &c->watch, NULL);
	m.conn_id = c->id;
	if (c->asked)
		tell(a, MF_MSG_CONN_GONE, &m.base);
	c->id = 0;
}

static void
who_is(struct sim_call *c)
{
	struct sim_agent *a = c->agent;
	Mayfly__Roles__V1__WhoIs m = MAYFLY__ROLES__V1__WHO_IS__INIT;
	m.conn_id = c->id;
	c->asked = mf_attestor_link_send(
		       a->link, MF_MSG_WHO_IS, &m.base, CALL_FD + (int)(c - a->calls), NULL) == MF_OK;
}

/* What it holds is handed out, or its stream ends. */
static void
serve(struct sim_call *c)
{
	struct sim_agent *a = c->agent;
	struct mf_svid_entry *e = c->watch.entry;
	const struct sim_proc *p = &a->kernel.procs[c->proc];
	if (e == NULL)
		return;
	if (mf_identities_servable(a->ids, e)) {
		for (size_t i = 0; i < e->n_identities; i++)
			sim_saw_served(a, p->proc_id == c->proc_id ? p : NULL, e->key, e->job.job_id,
			    mf_buf_slice(&e->identities[i].chain));
		mf_identities_fetched(a->ids, e);
		mf_identity_use_set(a->ids, &c->use, e, false, true);
		sim_cloud_call(c);
	} else if (e->state == MF_SVID_ENDED || e->state == MF_SVID_REFUSED) {
		sim_call_close(c);
	} else {
		mf_identity_use_set(a->ids, &c->use, e, true, true);
	}
}

static void
on_changed(struct mf_identity_watch *w)
{
	serve(MF_CONTAINER_OF(w, struct sim_call, watch));
}

static struct sim_call *
call_by_id(struct sim_agent *a, uint64_t id)
{
	for (size_t i = 0; i < SIM_CALLS; i++)
		if (a->calls[i].id == id)
			return &a->calls[i];
	return NULL;
}

static void
on_caller(struct sim_agent *a, const Mayfly__Roles__V1__Caller *m)
{
	struct mf_svid_entry *e = NULL;
	struct sim_call *c = call_by_id(a, m->conn_id);
	if (c == NULL)
		return;
	if (!m->known || mf_identities_bind(a->ids, m->instance_key, m->handle, m->uid, &e, NULL) != MF_OK) {
		sim_call_close(c);
		return;
	}
	mf_identity_watch_set(a->ids, &c->watch, e);
	serve(c);
}

void
sim_agent_call(struct sim_agent *a, size_t proc)
{
	struct sim_call *c = call_by_id(a, 0);
	if (a->link == NULL || c == NULL || !a->kernel.procs[proc].alive)
		return;
	sim_agent_enter(a);
	*c = (struct sim_call) { .id = ++a->next_call,
		.proc = proc,
		.proc_id = a->kernel.procs[proc].proc_id,
		.agent = a,
		.watch = { .changed = on_changed } };
	who_is(c);
}

void
sim_agent_jwt(struct sim_agent *a, size_t proc)
{
	char *audience = (char *)(uintptr_t) "vault.example";
	if (a->link == NULL)
		return;
	sim_agent_enter(a);
	for (size_t i = 0; i < SIM_CALLS; i++) {
		struct sim_call *c = &a->calls[i];
		const struct mf_svid_entry *e = c->watch.entry;
		if (c->id == 0 || c->proc != proc || e == NULL || e->n_identities == 0 || c->mint_id != 0)
			continue;
		Mayfly__Roles__V1__MintInstanceJwt m = MAYFLY__ROLES__V1__MINT_INSTANCE_JWT__INIT;
		m.mint_id = c->mint_id = ++a->next_mint;
		m.handle = e->handle;
		m.spiffe_id = e->identities[0].spiffe_id;
		m.n_audiences = 1;
		m.audiences = &audience;
		tell(a, MF_MSG_MINT_INSTANCE_JWT, &m.base);
		return;
	}
}

static void
on_jwt(struct sim_agent *a, const Mayfly__Roles__V1__InstanceJwt *m)
{
	for (size_t i = 0; i < SIM_CALLS; i++)
		if (a->calls[i].id != 0 && a->calls[i].mint_id == m->mint_id)
			a->calls[i].mint_id = 0;
}

/* ---- the link ---- */

static void
link_opened(void *ctx, const Mayfly__Roles__V1__AttestorHello *hello)
{
	struct sim_agent *a = ctx;
	(void)snprintf(a->node, sizeof(a->node), "%s", hello->node_id);
	mf_identities_link_opened(a->ids);
	for (size_t i = 0; i < SIM_CALLS; i++)
		if (a->calls[i].id != 0)
			who_is(&a->calls[i]);
	a->told = false;
	if (a->conn != 0) { /* the session was the old attestor's: begin anew */
		sim_net_hang_up(a->conn, true);
		over(a);
	}
}

static void
link_closed(void *ctx, const struct mf_err *why)
{
	struct sim_agent *a = ctx;
	MF_UNUSED(why);
	for (size_t i = 0; i < SIM_CALLS; i++) {
		a->calls[i].asked = false;
		a->calls[i].mint_id = 0;
	}
	mf_identities_link_closed(a->ids);
	if (a->clouds != NULL)
		mf_clouds_link_closed(a->clouds);
	a->told = false;
}

static void
on_trust(struct sim_agent *a, const Mayfly__Roles__V1__Trust *m)
{
	struct mf_distrust d = { .spread_ms = m->spread_ms };
	bool changed = false;
	enum mf_status s = mf_identities_on_trust(a->ids, m, &changed, NULL);
	for (size_t i = 0; s == MF_OK && i < m->n_distrusted; i++)
		s = mf_distrust_add(&d, mf_slice(m->distrusted[i].data, m->distrusted[i].len), NULL);
	mf_identities_distrust(a->ids, &d);
}

static void
on_data_out(struct sim_agent *a, const Mayfly__Roles__V1__OuterData *m)
{
	Mayfly__Roles__V1__OuterCredit c = MAYFLY__ROLES__V1__OUTER_CREDIT__INIT;
	if (m->sid != a->conn || a->conn == 0)
		return;
	sim_net_up(m->sid, m->handshake, mf_slice(m->body.data, m->body.len));
	c.sid = m->sid;
	c.chunks = 1;
	if (!m->handshake)
		tell(a, MF_MSG_OUTER_CREDIT, &c.base);
}

static void
on_close_out(struct sim_agent *a, const Mayfly__Roles__V1__OuterClosed *m)
{
	if (m->sid != a->conn || a->conn == 0)
		return;
	sim_trace("the attestor closes session %llu: %s", (unsigned long long)m->sid, m->reason);
	sim_net_hang_up(m->sid, true);
	over(a);
}

static void
on_message(void *ctx, uint16_t type, const ProtobufCMessage *msg)
{
	struct sim_agent *a = ctx;
	const void *m = msg;
	const Mayfly__Roles__V1__SessionState *st = m;
	switch (type) {
	case MF_MSG_CALLER:
		on_caller(a, m);
		break;
	case MF_MSG_OUTER_DATA_OUT:
		on_data_out(a, m);
		break;
	case MF_MSG_OUTER_CLOSE_OUT:
		on_close_out(a, m);
		break;
	case MF_MSG_INSTANCE_GRANT:
		mf_identities_on_grant(a->ids, m);
		break;
	case MF_MSG_INSTANCE_REFUSED:
		mf_identities_on_refused(a->ids, m);
		break;
	case MF_MSG_INSTANCE_ENDED:
		mf_identities_on_ended(a->ids, m);
		break;
	case MF_MSG_INSTANCE_HURRY:
		mf_identities_on_hurry(a->ids, m);
		break;
	case MF_MSG_INSTANCE_ENDING:
		mf_identities_on_ending(a->ids, m);
		break;
	case MF_MSG_INSTANCE_DEADLINE:
		mf_identities_on_deadline(a->ids, m);
		break;
	case MF_MSG_TRUST:
		on_trust(a, m);
		break;
	case MF_MSG_SESSION_STATE:
		if (st->node_id[0] != '\0')
			(void)snprintf(a->node, sizeof(a->node), "%s", st->node_id);
		mf_identities_session(a->ids, st->ready, st->reason);
		if (a->clouds != NULL && st->ready)
			mf_clouds_look(a->clouds);
		break;
	case MF_MSG_INSTANCE_JWT:
		on_jwt(a, m);
		break;
	case MF_MSG_TRUST_DOCUMENT:
		if (a->bundles != NULL)
			sim_jwt_front_document(a, m);
		break;
	case MF_MSG_INSTANCE_CLOUD:
		mf_clouds_on_answer(a->clouds, m);
		break;
	case MF_MSG_INSTANCE_CLOUD_ENDED:
		mf_clouds_on_ended(a->clouds, m);
		break;
	default:
		break;
	}
}

static const struct mf_attestor_link_ops link_ops = {
	.opened = link_opened, .closed = link_closed, .message = on_message
};

void
sim_agent_front_wake(void *arg, uint64_t fd)
{
	struct sim_agent *a = arg;
	sim_agent_enter(a);
	sim_loop_readable(a->loop, (int)fd);
	tell_opened(a);
}

/* ---- life ---- */

void
sim_agent_front_init(struct sim_agent *a)
{
	struct mf_err err = { 0 };
	enum mf_status s = mf_loop_new(&a->loop, &err);
	if (s == MF_OK)
		s = mf_attestor_link_new(a->loop, SIM_BUILD, &link_ops, a, &a->link, &err);
	const struct mf_identities_config conf = { .loop = a->loop,
		.link = a->link,
		.trust_domain = SIM_TD,
		.refusal_ms = 5000,
		.adopt_ms = 20000 };
	if (s == MF_OK)
		s = mf_identities_new(&conf, &a->ids, &err);
	if (s != MF_OK)
		sim_abort("front: %s", err.msg);
	sim_cloud_front_init(a);
	sim_jwt_front_init(a);
}

void
sim_agent_front_fini(struct sim_agent *a)
{
	if (a->link == NULL)
		return;
	for (size_t i = 0; i < SIM_CALLS; i++)
		sim_call_close(&a->calls[i]);
	mf_clouds_free(a->clouds);
	mf_bundles_free(a->bundles);
	mf_identities_free(a->ids);
	mf_attestor_link_free(a->link);
	mf_loop_free(a->loop);
	a->ids = NULL;
	a->clouds = NULL;
	a->bundles = NULL;
	a->jwt_number = 0;
	a->link = NULL;
	a->loop = NULL;
}

/* Called for every process that has ended: the kernel closes its sockets. */
void
sim_agent_exited(struct sim_agent *a, size_t proc)
{
	if (a->link == NULL)
		return;
	sim_agent_enter(a);
	for (size_t i = 0; i < SIM_CALLS; i++)
		if (a->calls[i].id != 0 && a->calls[i].proc == proc)
			sim_call_close(&a->calls[i]);
}

bool
sim_agent_holds_dead(struct sim_agent *a, char why[256])
{
	if (a->ids == NULL)
		return false;
	MF_SVID_EACH(e, mf_identities_cache(a->ids))
	{
		uint32_t uid;
		const char *name = strrchr(e->key, '/');
		if (e->state == MF_SVID_GRANTED &&
		    (name == NULL || !sim_kernel_lives(&a->kernel, name + 1, &uid))) {
			(void)snprintf(why, 256, "%s", e->key);
			return true;
		}
	}
	return false;
}

void
sim_agent_say(struct sim_agent *a, char to[256])
{
	size_t calls = 0;
	for (size_t i = 0; i < SIM_CALLS; i++) {
		const struct sim_call *c = &a->calls[i];
		calls += c->id != 0;
		if (c->id != 0)
			sim_trace("call %llu of process %zu: %s %s %s", (unsigned long long)c->id, c->proc,
			    c->watch.entry == NULL ? "not attested" : c->watch.entry->key,
			    c->watch.entry == NULL ? "" : mf_svid_state_name(c->watch.entry->state),
			    c->watch.entry == NULL ? "" : c->watch.entry->reason);
	}
	(void)snprintf(to, 256, "attestor %s, link %s, outer session %llu%s, %zu calls",
	    a->attestor == NULL		     ? "down"
	    : mf_attestor_ready(a->attestor) ? "ready"
					     : "not ready",
	    a->link != NULL && mf_attestor_link_open(a->link) ? "open" : "closed",
	    (unsigned long long)a->conn, a->told ? "" : " (untold)", calls);
}
