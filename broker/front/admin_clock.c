/* `mayfly clock confirm`. */
#include "broker/front/admin_internal.h"

static void
fill(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CONFIRM_CLOCK;
	call->confirm_clock = ctx;
}

static const ProtobufCMessage *
pick(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX; /* no table shows it */
	return &r->clock->base;
}

void
mf_admin_confirm_clock(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "confirm clock", NULL, fill,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CLOCK, pick };
	Mayfly__Admin__V1__ConfirmClockRequest q =
	    *(const Mayfly__Admin__V1__ConfirmClockRequest *)(const void *)msg;
	mf_admin_act(c, &act, "", &q);
}
