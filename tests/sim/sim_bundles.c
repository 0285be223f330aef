/*
 * The JWT bundle on its way: from the notary, in clear through both fronts, to whoever judges tokens. What a front holds is one
 * that the notary gave, never an older one than it had from the same attestor; and every token that leaves can be judged by it.
 */
#include "sim_agent.h"
#include "sim_notary.h"
#include "sim_observer.h"

#include "base/text.h"

#define ARRIVES_US (20 * SIM_S)

void
sim_op_jwt_bundle(void *ctx, uint64_t number, struct mf_slice jwks)
{
	struct sim_notary *n = ctx;
	if (!sim->clouded)
		return; /* there, no front judges tokens */
	mf_buf_reset(&n->jwt_bundle);
	mf_buf_put_slice(&n->jwt_bundle, jwks);
	n->jwt_number = number;
	n->jwt_us = sim->t_us;
	sim_trace("JWT bundle %llu", (unsigned long long)number);
	sim_net_documents();
}

void
sim_jwt_deliver(struct sim_agent *a, uint64_t conn)
{
	const struct sim_notary *n = sim->notary;
	if (n->jwt_bundle.n > 0)
		sim_agent_document(a, conn, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE,
		    n->jwt_number, mf_buf_slice(&n->jwt_bundle));
}

void
sim_jwt_front_init(struct sim_agent *a)
{
	if (sim->clouded && mf_bundles_new(SIM_TD, &a->bundles, NULL) != MF_OK)
		sim_abort("front: no bundles");
}

void
sim_jwt_front_document(struct sim_agent *a, const Mayfly__Roles__V1__TrustDocument *m)
{
	bool changed;
	const struct sim_notary *n = sim->notary;
	if (m->document->number > n->jwt_number)
		sim_violated(4, "node%zu is given a JWT bundle that the notary never made", a->index);
	if (m->document->number == n->jwt_number &&
	    !mf_slice_eq(
		mf_slice(m->document->body.data, m->document->body.len), mf_buf_slice(&n->jwt_bundle)))
		sim_violated(4, "node%zu is given another JWT bundle than the notary made", a->index);
	if (mf_bundles_on_document(a->bundles, m, &changed, NULL) != MF_OK)
		sim_violated(0, "node%zu cannot read the JWT bundle", a->index);
	a->jwt_number = m->document->number;
}

/* The key id in the token's header. */
static void
kid_of(const char *token, char *to, size_t cap)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf header;
	const char *dot = strchr(token, '.');
	mf_buf_init(&header, 4096);
	if (dot == NULL || mf_base64url_get(mf_slice(token, (size_t)(dot - token)), &header, NULL) != MF_OK)
		sim_abort("a token that is no JWT");
	mf_buf_put_u8(&header, '\0');
	const char *at = strstr((const char *)header.p, "\"kid\":\"");
	size_t n = 0;
	for (at = at == NULL ? "" : at + 7; *at != '\0' && *at != '"' && n + 1 < cap; at++)
		to[n++] = *at;
	to[n] = '\0';
}

void
obs_jwt_key(const char *token)
{
	const struct sim_notary *n = sim->notary;
	char kid[80];
	if (!sim->clouded)
		return;
	kid_of(token, kid, sizeof(kid));
	if (kid[0] == '\0' || n->jwt_bundle.n == 0 ||
	    memmem(n->jwt_bundle.p, n->jwt_bundle.n, kid, strlen(kid)) == NULL)
		sim_violated(1, "a token is signed by key %s, which no bundle has", kid);
}

void
obs_jwt_peace(size_t agent)
{
	const struct sim_agent *a = sim->agents[agent];
	if (sim->clouded && a->jwt_number != sim->notary->jwt_number &&
	    sim->t_us > sim->notary->jwt_us + ARRIVES_US)
		sim_violated(0, "node%zu judges tokens by JWT bundle %llu, and %llu is in force", agent,
		    (unsigned long long)a->jwt_number, (unsigned long long)sim->notary->jwt_number);
}
