/* JWT-SVIDs: the front's question to the notary and back. Audiences pass as they are; the notary decides on them. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/attestor/attestor_internal.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
#define INVALID MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID
#define ENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED
#define SUSPENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED

static void
answer(struct mf_attestor *a, uint64_t mint_id, Mayfly__Agent__V1__JwtGrant *g, Mayfly__Agent__V1__Refusal *r)
{
	Mayfly__Roles__V1__InstanceJwt m = MAYFLY__ROLES__V1__INSTANCE_JWT__INIT;
	m.mint_id = mint_id;
	m.grant = g;
	m.refusal = r;
	mf_attestor_tell(a, MF_MSG_INSTANCE_JWT, &m.base);
}

static void
refuse(struct mf_attestor *a, uint64_t mint_id, Mayfly__Agent__V1__RefusalCode code, const char *reason)
{
	Mayfly__Agent__V1__Refusal r = MAYFLY__AGENT__V1__REFUSAL__INIT;
	char text[MF_ERR_MSG_MAX];
	(void)snprintf(text, sizeof(text), "%s", reason);
	r.code = code;
	r.reason = text;
	answer(a, mint_id, NULL, &r);
}

static void
drop(struct mf_attestor *a, struct mf_mint *m)
{
	HASH_DELETE(hh, a->mints, m);
	free(m);
}

void
mf_mint_drop_all(struct mf_attestor *a)
{
	struct mf_mint *m, *next;
	HASH_ITER(hh, a->mints, m, next)
	drop(a, m);
}

bool
mf_mint_take(struct mf_attestor *a, uint64_t tag, struct mf_mint *ret_m)
{
	struct mf_mint *m = NULL;
	HASH_FIND(hh, a->mints, &tag, sizeof(tag), m);
	if (m == NULL)
		return false;
	*ret_m = *m;
	drop(a, m);
	return true;
}

struct mf_mint *
mf_mint_remember(struct mf_attestor *a, uint64_t mint_id, uint64_t handle)
{
	struct mf_mint *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->tag = ++a->last_mint;
	m->mint_id = mint_id;
	m->handle = handle;
	HASH_ADD(hh, a->mints, tag, sizeof(m->tag), m);
	if (!m->map_oom)
		return m;
	free(m);
	return NULL;
}

void
mf_mint_ask(struct mf_attestor *a, const Mayfly__Roles__V1__MintInstanceJwt *q)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__MintJwt j = MAYFLY__AGENT__V1__MINT_JWT__INIT;
	struct mf_err err = { 0 };
	struct mf_instance *i = mf_instances_by_handle(a->table, q->handle);
	if (i == NULL || i->state >= MF_JOB_ENDED) {
		refuse(a, q->mint_id, ENDED, "the job has ended");
		return;
	}
	if (i->lease_id[0] == '\0') {
		refuse(a, q->mint_id, SUSPENDED, "no lease: attach anew");
		return;
	}
	if (q->n_audiences == 0 || q->n_audiences > MF_LIM_JWT_AUDIENCES) {
		refuse(a, q->mint_id, INVALID, "1 to 16 audiences are needed");
		return;
	}
	struct mf_mint *m = mf_mint_remember(a, q->mint_id, q->handle);
	if (m == NULL) {
		refuse(a, q->mint_id, UNAVAILABLE, "the agent is out of memory");
		return;
	}
	if (mf_ic_request(a->ic, MF_IC_MINT, m->tag, mf_now(), &up.request_id, &err) != MF_OK) {
		drop(a, m);
		refuse(a, q->mint_id, UNAVAILABLE, err.msg);
		return;
	}
	j.lease_id = i->lease_id;
	j.epoch = i->epoch;
	j.spiffe_id = q->spiffe_id;
	j.audiences = q->audiences;
	j.n_audiences = q->n_audiences;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MINT_JWT;
	up.mint_jwt = &j;
	mf_session_send(a, MF_INNER_BOUNDED, &up);
}

void
mf_mint_granted(struct mf_attestor *a, uint64_t request_id, Mayfly__Agent__V1__JwtGrant *g)
{
	uint64_t tag = 0;
	struct mf_mint m;
	if (mf_ic_answered(a->ic, request_id, 1u << MF_IC_MINT, &tag, NULL) != MF_OK ||
	    !mf_mint_take(a, tag, &m))
		return; /* late */
	struct mf_instance *i = mf_instances_by_handle(a->table, m.handle);
	/* For a job that is over meanwhile, or another epoch of its lease, it is nothing. */
	if (i == NULL || i->state >= MF_JOB_ENDED || strcmp(i->lease_id, g->lease_id) != 0 ||
	    i->epoch != g->epoch)
		refuse(a, m.mint_id, ENDED, "the job has ended");
	else
		answer(a, m.mint_id, g, NULL);
}

void
mf_mint_believe(struct mf_attestor *a, uint64_t handle, Mayfly__Agent__V1__RefusalCode code)
{
	struct mf_instance *i = mf_instances_by_handle(a->table, handle);
	if (i == NULL || i->state >= MF_JOB_ENDED)
		return;
	if (code == ENDED)
		mf_life_event(a, i, MF_JOB_LEASE_ENDED, MF_END_OPERATOR);
	else if (code == SUSPENDED)
		mf_life_suspend(a, i, "suspended");
}

void
mf_mint_refused(struct mf_attestor *a, uint64_t tag, Mayfly__Agent__V1__Refusal *r)
{
	struct mf_mint m;
	if (!mf_mint_take(a, tag, &m))
		return;
	answer(a, m.mint_id, NULL, r);
	mf_mint_believe(a, m.handle, r->code);
}

void
mf_mint_lost(struct mf_attestor *a, uint64_t tag)
{
	struct mf_mint m;
	if (mf_mint_take(a, tag, &m))
		refuse(a, m.mint_id, UNAVAILABLE, "the session with the broker was cut; ask again");
}
