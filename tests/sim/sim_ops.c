/* What the notary's engine asks for: threads, sessions, keys; and what the observer sees of it. */
#include "sim_notary.h"

#include <stdlib.h>

struct order {
	struct mf_key_order o;
	char use[16];
};

static int
agent_of(const struct sim_notary *n, uint64_t sid)
{
	uint64_t outer;
	return mf_sids_outer(n->sids, sid, &outer) ? sim_net_agent(outer) : -1;
}

static void
op_sign(void *ctx, struct mf_sign_request *req)
{
	mf_crew_sign(((struct sim_notary *)ctx)->crew, req);
}

/* ${kid} NULL: a free one. */
static struct mf_jws_key **
jwt_slot(struct sim_notary *n, const char *kid)
{
	for (size_t i = 0; i < KEYS; i++)
		if (kid == NULL ? n->jwt[i] == NULL
				: n->jwt[i] != NULL && strcmp(mf_jws_key_kid(n->jwt[i]), kid) == 0)
			return &n->jwt[i];
	return NULL;
}

struct mf_jws_key *
sim_op_jwt_key(void *ctx, const char *kid)
{
	struct mf_jws_key **slot = jwt_slot(ctx, kid);
	return slot == NULL ? NULL : mf_jws_key_ref(*slot);
}

static void
op_sign_jwt(void *ctx, struct mf_jwt_request *req)
{
	mf_crew_sign_jwt(((struct sim_notary *)ctx)->crew, req);
}

static void
op_append(void *ctx, uint64_t index, struct mf_slice record, bool removal)
{
	sim_saw_record(index, record, removal);
	mf_committer_hold(((struct sim_notary *)ctx)->committer, index, record, removal);
}

static void
op_send(void *ctx, uint64_t sid, struct mf_slice down, enum mf_engine_lane lane, uint64_t coalesce)
{
	struct sim_notary *n = ctx;
	Mayfly__Agent__V1__Down *d = mayfly__agent__v1__down__unpack(NULL, down.n, down.p);
	if (d == NULL)
		sim_abort("the engine sends what nobody can read");
	sim_saw_down(sid, agent_of(n, sid), d);
	mayfly__agent__v1__down__free_unpacked(d, NULL);
	mf_crew_send(n->crew, sid, down, lane, coalesce);
}

static void
op_close(void *ctx, uint64_t sid, const char *reason)
{
	sim_trace("closes session %llu: %s", (unsigned long long)sid, reason);
	mf_crew_close(((struct sim_notary *)ctx)->crew, sid, true);
}

static void
op_admin_reply(void *ctx, const Mayfly__Roles__V1__AdminReply *reply)
{
	MF_UNUSED(ctx);
	sim_operators_reply(reply);
}

static void
op_server_certificate(void *ctx, struct mf_slice chain, int64_t not_after)
{
	MF_UNUSED(ctx);
	MF_UNUSED(chain);
	MF_UNUSED(not_after);
}

static void
op_removal_kept(void *ctx, struct mf_slice what)
{
	mf_removals_keep(((struct sim_notary *)ctx)->removals, what);
}

static void
op_removal_settled(void *ctx, uint64_t index)
{
	mf_removals_settle(((struct sim_notary *)ctx)->removals, index);
}

static void
op_removal_recorded(void *ctx, uint64_t size)
{
	mf_removals_recorded(((struct sim_notary *)ctx)->removals, size);
}

static struct mf_ca_key **
key_slot(struct sim_notary *n, const char *id)
{
	for (size_t i = 0; i < KEYS; i++)
		if (id == NULL ? n->ca[i] == NULL : n->ca[i] != NULL && strcmp(n->ca[i]->id, id) == 0)
			return &n->ca[i];
	return NULL;
}

static void
jwt_made(struct sim_notary *n, const struct mf_key_order *o)
{
	struct mf_jws_key **slot = jwt_slot(n, NULL), *k = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf jwk;
	mf_buf_init(&jwk, 1024);
	if (slot == NULL || mf_jws_key_generate(MF_JWS_ES256, &k, NULL) != MF_OK)
		sim_abort("no JWT key");
	*slot = k;
	mf_jws_key_put_jwk(k, &jwk);
	const struct mf_key_made made = { .ticket = o->ticket,
		.ok = true,
		.use = o->use,
		.id = mf_jws_key_kid(k),
		.jwk = mf_buf_slice(&jwk) };
	mf_engine_key_made(n->engine, sim_notary_now(n), &made);
}

static void
key_made(void *arg, uint64_t x)
{
	struct sim_notary *n = sim->notary;
	struct order *o = arg;
	MF_UNUSED(x);
	if (n->engine != NULL && !mf_key_use_is_x509(o->o.use)) {
		sim_notary_enter(n);
		jwt_made(n, &o->o);
		sim_notary_kick(n);
	} else if (n->engine != NULL) {
		sim_notary_enter(n);
		struct mf_ca_key **slot = key_slot(n, NULL), *k = NULL;
		if (slot == NULL || mf_ca_key_make(SIM_TD, o->o.nbf, o->o.exp, &k, NULL) != MF_OK ||
		    mf_crew_add_key(n->crew, SIM_TD, k, NULL) != MF_OK)
			sim_abort("no key");
		*slot = k;
		const struct mf_key_made made = { .ticket = o->o.ticket,
			.ok = true,
			.use = o->o.use,
			.id = k->id,
			.certificate = mf_buf_slice(&k->certificate),
			.anchor = mf_buf_slice(&k->anchor),
			.nbf = k->not_before_s,
			.exp = k->not_after_s };
		mf_engine_key_made(n->engine, sim_notary_now(n), &made);
		sim_notary_kick(n);
	}
	free(o);
}

static void
op_make_key(void *ctx, const struct mf_key_order *order)
{
	MF_UNUSED(ctx);
	struct order *o = sim_alloc(sizeof(*o));
	o->o = *order;
	sim_after(sim_between(1, 100) * SIM_MS, key_made, o, 0, NULL);
}

static void
op_forget_key(void *ctx, const char *use, const char *id)
{
	struct sim_notary *n = ctx;
	struct mf_ca_key **slot = key_slot(n, id);
	struct mf_jws_key **jwt = jwt_slot(n, id);
	MF_UNUSED(use);
	if (jwt != NULL) {
		mf_jws_key_free(*jwt);
		*jwt = NULL;
		return;
	}
	mf_crew_drop_key(n->crew, id);
	if (slot == NULL)
		return;
	mf_ca_key_free(*slot);
	*slot = NULL;
}

static void
op_publish(void *ctx, uint64_t number, struct mf_slice bundle_der)
{
	struct sim_notary *n = ctx;
	mf_buf_reset(&n->bundle);
	mf_buf_put_slice(&n->bundle, bundle_der);
	n->bundle_number = number;
	sim_net_documents();
}

static void
op_distrusted(void *ctx, struct mf_slice ids)
{
	MF_UNUSED(ctx);
	MF_UNUSED(ids);
}

static bool
op_ask_policy(void *ctx)
{
	MF_UNUSED(ctx);
	return false;
}

static void
op_event(void *ctx, const char *event, const char *text)
{
	struct sim_notary *n = ctx;
	sim_trace("%s: %s", event, text);
	if (strcmp(event, "engine.broken") == 0)
		n->failed = true;
}

const struct mf_engine_ops sim_engine_ops = {
	.sign = op_sign,
	.jwt_key = sim_op_jwt_key,
	.sign_jwt = op_sign_jwt,
	.assertion_key = sim_op_assertion_key,
	.sign_assertion = sim_op_sign_assertion,
	.mint = sim_op_mint,
	.revoke = sim_op_revoke,
	.backend = sim_op_backend,
	.append = op_append,
	.send = op_send,
	.close = op_close,
	.admin_reply = op_admin_reply,
	.server_certificate = op_server_certificate,
	.removal_kept = op_removal_kept,
	.removal_settled = op_removal_settled,
	.removal_recorded = op_removal_recorded,
	.make_key = op_make_key,
	.forget_key = op_forget_key,
	.publish = op_publish,
	.jwt_bundle = sim_op_jwt_bundle,
	.distrusted = op_distrusted,
	.ask_policy = op_ask_policy,
	.event = op_event,
};
