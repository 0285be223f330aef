/* What administrators ask about policy. The notary answers; of the policy itself nothing passes here. */
#include "broker/front/admin_internal.h"

static const ProtobufCMessage *
pick_policy(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX; /* no listing shows it: nothing to wait for */
	return &r->policy->base;
}

static void
fill_get(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_POLICY;
	call->get_policy = ctx;
}

void
mf_admin_get_policy(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "get policy", NULL, fill_get,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_POLICY, pick_policy };
	Mayfly__Admin__V1__GetPolicyRequest q =
	    *(const Mayfly__Admin__V1__GetPolicyRequest *)(const void *)msg;
	mf_admin_act(c, &act, "", &q);
}

static void
fill_reload(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_RELOAD_POLICY;
	call->reload_policy = ctx;
}

void
mf_admin_reload_policy(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "reload policy", NULL, fill_reload,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_POLICY, pick_policy };
	Mayfly__Admin__V1__ReloadPolicyRequest q =
	    *(const Mayfly__Admin__V1__ReloadPolicyRequest *)(const void *)msg;
	mf_admin_act(c, &act, "", &q);
}

static void
fill_explain(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXPLAIN_JOB;
	call->explain_job = ctx;
	call->explain_job->match = id;
}

static const ProtobufCMessage *
pick_explanation(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX;
	return &r->explanation->base;
}

void
mf_admin_explain_job(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "explain job", mf_read_model_match_job, fill_explain,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_EXPLANATION, pick_explanation };
	const Mayfly__Admin__V1__ExplainJobRequest *asked = (const void *)msg;
	Mayfly__Admin__V1__ExplainJobRequest q = *asked;
	mf_admin_act(c, &act, asked->match, &q);
}
