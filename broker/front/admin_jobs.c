/* Acts of administrators on jobs, beside ending them (admin_api.c). */
#include "broker/front/admin_internal.h"

static void
fill_extend(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXTEND_JOB;
	call->extend_job = ctx;
	call->extend_job->match = id;
}

static const ProtobufCMessage *
pick_extended(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = r->extended->record_index;
	return &r->extended->base;
}

void
mf_admin_extend_job(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "extend job", mf_read_model_match_job, fill_extend,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_EXTENDED, pick_extended };
	const Mayfly__Admin__V1__ExtendJobRequest *asked = (const void *)msg;
	Mayfly__Admin__V1__ExtendJobRequest q = *asked;
	mf_admin_act(c, &act, asked->match, &q);
}
