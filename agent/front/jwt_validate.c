/* ValidateJWTSVID: the status code is the whole answer (P-15), so there is nothing between a token and a refusal. */
#include "agent/front/claims.h"
#include "agent/front/jwt_internal.h"
#include "codec/jwt_svid.h"
#include "os/jlog.h"

#define LEEWAY_S 5u
#define ARENA_MAX (MF_LIM_GRPC_MESSAGE / 2u)

void
mf_jwt_validate(struct jwt_call *c)
{
	struct mf_jwt_api *j = c->api;
	struct mf_err err = { 0 };
	ValidateJWTSVIDResponse m = VALIDATE_JWTSVIDRESPONSE__INIT;
	MF_AUTO(mf_jwt_svid_free) struct mf_jwt_svid *svid = NULL;
	MF_AUTO(mf_arena_free) struct mf_arena *arena = mf_arena_new(ARENA_MAX);
	struct mf_jwt_svid_check check = { .audience = c->audiences[0],
		.now_s = mf_loop_now(j->cfg.loop).wall_us / 1000000,
		.leeway_s = LEEWAY_S,
		.keys_of = mf_bundles_keys_of,
		.ctx = j->cfg.bundles };
	size_t dropped = 0;
	enum mf_status s = arena == NULL ? MF_FAIL(&err, MF_E_NOMEM, "the agent is out of memory; try again")
					 : mf_jwt_svid_validate(c->token, &check, &svid, &err);
	if (s == MF_OK)
		s = mf_claims_struct(mf_jwt_svid_claims(svid), arena, &m.claims, &dropped, &err);
	if (s != MF_OK) {
		bool ours = s == MF_E_NOMEM || s == MF_E_INTERNAL;
		j->stats.invalid += !ours;
		mf_jwt_finish(c, ours ? MF_GRPC_UNAVAILABLE : MF_GRPC_INVALID_ARGUMENT, err.msg);
		return;
	}
	if (dropped > 0)
		MF_LOG(MF_LOG_INFO, "jwt.claims_left_out",
		    "claims of a validated token cannot be said exactly and were left out",
		    mf_ju("count", dropped));
	m.spiffe_id = (char *)(uintptr_t)mf_spiffe_id_str(mf_jwt_svid_id(svid));
	j->stats.validated++;
	mf_jwt_reply(c, &m.base);
}
