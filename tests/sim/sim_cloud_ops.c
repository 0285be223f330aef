/* What the notary's engine asks for about cloud tokens, and what it is told. Assertions are made by the product, in its crew. */
#include "sim_cloud.h"

#include "broker/core/key_use.h"
#include "sim_notary.h"

struct mf_jws_key *
sim_op_assertion_key(void *ctx, const char *kid)
{
	return sim_op_jwt_key(ctx, kid);
}

void
sim_op_sign_assertion(void *ctx, struct mf_assertion_request *req)
{
	struct sim_notary *n = ctx;
	mf_assertions_sign(n->assertions, n->crew, req);
}

bool
sim_op_mint(void *ctx, const Mayfly__Roles__V1__MintRequest *q)
{
	MF_UNUSED(ctx);
	if (!sim_courier_mint(q))
		return false;
	sim_saw_mint_request(q);
	return true;
}

bool
sim_op_revoke(void *ctx, const Mayfly__Roles__V1__CloudRevokeRequest *q)
{
	MF_UNUSED(ctx);
	return sim_courier_revoke(q);
}

/* The product's, but for times: what is hours at a provider is seconds in a history. */
const struct mf_token_backend *
sim_op_backend(void *ctx, const char *name)
{
	static struct mf_token_backend store, idp;
	MF_UNUSED(ctx);
	store = mf_backend_aws_sts;
	store.caps.ttl_min_s = 15;
	store.caps.deny_latency_s = SIM_DENY_LATENCY_S;
	idp = mf_backend_oauth;
	idp.caps.ttl_max_s = SIM_IDP_TTL_S + 15;
	return strcmp(name, store.name) == 0 ? &store : strcmp(name, idp.name) == 0 ? &idp : NULL;
}

void
sim_cloud_start(struct sim_notary *n)
{
	char store[] = "store", idp[] = "idp", aws[] = "aws-sts", oauth[] = "oauth", flow[] = "jwt-bearer",
	     none[] = "none", audience[] = "https://idp.example", sts[] = "https://sts.example",
	     issuer[] = "https://issuer.example";
	Mayfly__Roles__V1__CloudTarget t[2] = { MAYFLY__ROLES__V1__CLOUD_TARGET__INIT,
		MAYFLY__ROLES__V1__CLOUD_TARGET__INIT };
	Mayfly__Roles__V1__CloudTarget *pt[2] = { &t[0], &t[1] };
	Mayfly__Roles__V1__CloudConf conf = MAYFLY__ROLES__V1__CLOUD_CONF__INIT;
	if (!sim->clouded)
		return;
	t[0].name = store;
	t[0].backend = aws;
	t[0].endpoint = sts;
	t[1].name = idp;
	t[1].backend = oauth;
	t[1].endpoint = t[1].audience = audience;
	t[1].flow = flow;
	t[1].client_auth = none;
	conf.issuer = issuer;
	conf.n_targets = MF_COUNT(pt);
	conf.targets = pt;
	if (mf_engine_cloud(n->engine, &conf, NULL) != MF_OK)
		sim_abort("cloud targets");
	sim_courier_notary_back();
}

void
sim_cloud_minted(const Mayfly__Roles__V1__MintResult *r)
{
	struct sim_notary *n = sim->notary;
	sim_notary_enter(n);
	mf_engine_minted(n->engine, sim_notary_now(n), r);
	sim_notary_kick(n);
}

void
sim_cloud_revoked(const Mayfly__Roles__V1__CloudRevokeResult *r)
{
	struct sim_notary *n = sim->notary;
	sim_notary_enter(n);
	mf_engine_revoked(n->engine, sim_notary_now(n), r);
	sim_notary_kick(n);
}

void
sim_cloud_courier_gone(void)
{
	struct sim_notary *n = sim->notary;
	if (n->engine == NULL)
		return;
	sim_notary_enter(n);
	sim_trace("the notary hears that its courier is gone");
	mf_engine_courier_gone(n->engine, sim_notary_now(n));
	sim_notary_kick(n);
}
