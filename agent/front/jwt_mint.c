/* FetchJWTSVID: from the cache, or one question to the broker for all who wait. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/front/jwt_internal.h"
#include "os/jlog.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE

/* A question that is out. */
struct pending {
	uint64_t mint_id, handle;
	bool map_oom;
	UT_hash_handle hh;
};

static void
drop(struct mf_jwt_api *j, struct pending *p)
{
	HASH_DELETE(hh, j->pending, p);
	free(p);
}

void
mf_jwt_mint_fini(struct mf_jwt_api *j)
{
	struct pending *p, *next;
	HASH_ITER(hh, j->pending, p, next)
	drop(j, p);
}

static enum mf_status
send(struct mf_jwt_api *j, const struct pending *p, const struct jwt_call *c, const struct mf_jwt_item *i,
    struct mf_err *err)
{
	Mayfly__Roles__V1__MintInstanceJwt m = MAYFLY__ROLES__V1__MINT_INSTANCE_JWT__INIT;
	char *audiences[MF_LIM_JWT_AUDIENCES] = { 0 };
	enum mf_status s = MF_OK;
	for (size_t k = 0; k < c->audiences_n && s == MF_OK; k++) {
		audiences[k] = mf_slice_dup_str(c->audiences[k]);
		if (audiences[k] == NULL)
			s = MF_FAIL(err, MF_E_NOMEM, "the agent is out of memory");
	}
	m.mint_id = p->mint_id;
	m.handle = p->handle;
	m.spiffe_id = i->spiffe_id;
	m.audiences = audiences;
	m.n_audiences = c->audiences_n;
	if (s == MF_OK)
		s = mf_attestor_link_send(j->cfg.link, MF_MSG_MINT_INSTANCE_JWT, &m.base, -1, err);
	for (size_t k = 0; k < c->audiences_n; k++)
		free(audiences[k]);
	return s;
}

static bool
can_ask(const struct mf_jwt_api *j, const struct mf_svid_entry *e)
{
	return mf_identities_ready(j->cfg.ids) && e->generation == mf_attestor_link_generation(j->cfg.link);
}

/* Ask for ${i}, unless somebody has. */
static enum mf_status
ask(struct mf_jwt_api *j, const struct jwt_call *c, const struct mf_svid_entry *e, struct mf_jwt_item *i,
    struct mf_err *err)
{
	/* Single flight; and without a session who has nothing is held until there is one, or its time is over. */
	if (i->mint_id != 0 || !can_ask(j, e))
		return MF_OK;
	struct pending *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "the agent is out of memory");
	p->mint_id = ++j->next_mint;
	if (p->mint_id == 0)
		p->mint_id = ++j->next_mint;
	p->handle = e->handle;
	HASH_ADD(hh, j->pending, mint_id, sizeof(p->mint_id), p);
	if (p->map_oom) {
		free(p);
		return MF_FAIL(err, MF_E_NOMEM, "the agent is out of memory");
	}
	enum mf_status s = send(j, p, c, i, err);
	if (s != MF_OK) {
		drop(j, p);
		return s;
	}
	j->stats.minted++;
	i->mint_id = p->mint_id;
	return MF_OK;
}

static bool
refused_lately(const struct mf_jwt_api *j, const struct mf_jwt_item *i)
{
	return i->refused && i->mint_id == 0 &&
	       mf_loop_now(j->cfg.loop).mono_ms - i->refused_ms < j->cfg.refusal_ms;
}

/*
 * What there is for one identity. MF_OK: ${i} may be served. MF_E_AGAIN: asked, wait. MF_E_DENIED, MF_E_UNAVAILABLE:
 * the reason is in ${err}.
 */
static enum mf_status
obtain(struct mf_jwt_api *j, struct jwt_call *c, struct mf_svid_entry *e, const char *spiffe_id,
    struct mf_jwt_item **ret_i, struct mf_err *err)
{
	struct mf_jwt_item *i = NULL;
	MF_TRY(mf_jwt_cache_get(&e->jwts, spiffe_id, c->audiences, c->audiences_n, &i, err));
	enum mf_jwt_view view = mf_jwt_item_view(i, mf_loop_now(j->cfg.loop).wall_us / 1000000);
	*ret_i = i;
	if (view == MF_JWT_FRESH)
		return MF_OK;
	if (refused_lately(j, i)) {
		if (view == MF_JWT_STALE)
			return MF_OK; /* the broker cannot answer now; what is held is good until it expires */
		return MF_FAIL(err, i->code == UNAVAILABLE ? MF_E_UNAVAILABLE : MF_E_DENIED, "%s", i->reason);
	}
	enum mf_status s = ask(j, c, e, i, err);
	if (view == MF_JWT_STALE && (s != MF_OK || i->mint_id == 0))
		return MF_OK;
	return s == MF_OK ? MF_E_AGAIN : MF_FAIL(err, MF_E_UNAVAILABLE, "%s", err->msg);
}

static void
answer(struct jwt_call *c, struct mf_svid_entry *e, const size_t *which, struct mf_jwt_item *const *items,
    size_t n)
{
	JWTSVIDResponse m = JWTSVIDRESPONSE__INIT;
	JWTSVID svids[MF_LIM_IDENTITIES], *list[MF_LIM_IDENTITIES];
	for (size_t k = 0; k < n; k++) {
		svids[k] = (JWTSVID)JWTSVID__INIT;
		svids[k].spiffe_id = e->identities[which[k]].spiffe_id;
		svids[k].hint = e->identities[which[k]].hint; /* E-7: as in the X.509 answer */
		svids[k].svid = (char *)(uintptr_t)mf_buf_cstr(&items[k]->token);
		list[k] = &svids[k];
		if (svids[k].svid == NULL) {
			mf_jwt_finish(c, MF_GRPC_UNAVAILABLE, "the agent is out of memory; try again");
			return;
		}
	}
	m.svids = list;
	m.n_svids = n;
	c->api->stats.served += n;
	mf_identities_fetched(c->api->cfg.ids, e);
	mf_jwt_reply(c, &m.base);
}

void
mf_jwt_fetch(struct jwt_call *c, struct mf_svid_entry *e)
{
	struct mf_jwt_api *j = c->api;
	struct mf_jwt_item *items[MF_LIM_IDENTITIES];
	size_t which[MF_LIM_IDENTITIES], n = 0;
	bool wait = false;
	for (size_t k = 0; k < e->n_identities; k++) {
		struct mf_err err = { 0 };
		/* WAPI-17: "no spiffe_id => one token per identity" */
		if (c->spiffe_id.n > 0 && !mf_slice_eq_str(c->spiffe_id, e->identities[k].spiffe_id))
			continue;
		which[n] = k;
		enum mf_status s = obtain(j, c, e, e->identities[k].spiffe_id, &items[n], &err);
		n++;
		wait |= s == MF_E_AGAIN;
		if (s == MF_OK || s == MF_E_AGAIN)
			continue;
		mf_jwt_finish(c, s == MF_E_DENIED ? MF_GRPC_PERMISSION_DENIED : MF_GRPC_UNAVAILABLE, err.msg);
		return;
	}
	if (n == 0) /* WAPI-18: "spiffe_id given but not the caller's => PermissionDenied" */
		mf_jwt_finish(
		    c, MF_GRPC_PERMISSION_DENIED, "no identity issued with that SPIFFE ID to this caller");
	else if (!wait)
		answer(c, e, which, items, n);
}

/* A refusal that says something of this moment only leaves what is held. */
static bool
is_final(uint32_t code)
{
	return code != UNAVAILABLE && code != MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNSPECIFIED;
}

static void
take(struct mf_jwt_api *j, struct mf_jwt_item *i, const Mayfly__Roles__V1__InstanceJwt *m)
{
	struct mf_err err = { 0 };
	struct mf_now now = mf_loop_now(j->cfg.loop);
	uint32_t code = m->refusal == NULL ? UNAVAILABLE : (uint32_t)m->refusal->code;
	if (m->grant == NULL) {
		const char *reason = m->refusal == NULL ? "no answer" : m->refusal->reason;
		/* Over, or to be attached anew: the entry hears of it by its own way, and is asked again. */
		if (code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED ||
		    code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED)
			code = UNAVAILABLE;
		mf_jwt_item_refuse(i, code, mf_slice_str(reason), is_final(code), now.mono_ms);
		return;
	}
	/* It waited for the log while its key was tainted, and that overtook it: the next look asks anew. */
	if (mf_distrust_covers_token(&j->distrust, mf_slice_str(m->grant->token))) {
		j->stats.distrusted++;
		i->mint_id = 0;
		return;
	}
	enum mf_status s =
	    strcmp(m->grant->spiffe_id, i->spiffe_id) != 0
		? MF_FAIL(&err, MF_E_INVALID, "token: of another identity")
		: mf_jwt_item_grant(i, mf_slice_str(m->grant->token), mf_slice_str(m->grant->jti),
		      m->grant->expires, now.wall_us / 1000000, &err);
	if (s == MF_OK)
		return;
	mf_jlog_err(MF_LOG_ERROR, "jwt.bad_grant", "a token was not taken", &err);
	mf_jwt_item_refuse(i, UNAVAILABLE, mf_slice_str(err.msg), false, now.mono_ms);
}

void
mf_jwt_api_on_answer(struct mf_jwt_api *j, const Mayfly__Roles__V1__InstanceJwt *m)
{
	struct pending *p = NULL;
	uint64_t id = m->mint_id;
	HASH_FIND(hh, j->pending, &id, sizeof(id), p);
	if (p == NULL)
		return; /* an older front's, or given up */
	struct mf_svid_entry *e = mf_svid_cache_by_handle(mf_identities_cache(j->cfg.ids), p->handle);
	struct mf_jwt_item *i = e == NULL ? NULL : mf_jwt_cache_by_mint(&e->jwts, id);
	drop(j, p);
	if (i == NULL)
		return; /* wiped meanwhile: the job is over */
	take(j, i, m);
	mf_jwt_api_look(j);
}
