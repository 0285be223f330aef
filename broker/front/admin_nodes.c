/* Acts of administrators on nodes, beside eviction (admin_api.c) and reading (admin_reads.c). */
#include "broker/front/admin_internal.h"

static void
fill_token(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN;
	call->create_join_token = ctx;
}

static const ProtobufCMessage *
pick_token(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX; /* no listing shows tokens: nothing to wait for */
	return &r->join_token->base;
}

void
mf_admin_create_join_token(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "create join token", NULL, fill_token,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_JOIN_TOKEN, pick_token };
	Mayfly__Admin__V1__CreateJoinTokenRequest q =
	    *(const Mayfly__Admin__V1__CreateJoinTokenRequest *)(const void *)msg;
	mf_admin_act(c, &act, "", &q);
}

static void
fill_readmit(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_READMIT_NODE;
	call->readmit_node = ctx;
	call->readmit_node->match = id;
}

static const ProtobufCMessage *
pick_readmitted(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = r->readmitted->record_index;
	return &r->readmitted->base;
}

void
mf_admin_readmit_node(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "readmit node", mf_read_model_match_node, fill_readmit,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_READMITTED, pick_readmitted };
	const Mayfly__Admin__V1__ReadmitNodeRequest *asked = (const void *)msg;
	Mayfly__Admin__V1__ReadmitNodeRequest q = *asked;
	mf_admin_act(c, &act, asked->match, &q);
}
