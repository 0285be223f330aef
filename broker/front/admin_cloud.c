/* `mayfly doctor --profile`: the notary asks a cloud, and answers when that is done. And the OIDC documents, carried. */
#include "broker/front/admin_internal.h"

#define PATIENCE_MS 90000u

static void
fill(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_PROBE_CLOUD;
	call->probe_cloud = ctx;
}

static const ProtobufCMessage *
pick(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX; /* no table shows it */
	return &r->cloud_probe->base;
}

void
mf_admin_probe_cloud(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "probe cloud", NULL, fill,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CLOUD_PROBE, pick };
	Mayfly__Admin__V1__ProbeCloudRequest q =
	    *(const Mayfly__Admin__V1__ProbeCloudRequest *)(const void *)msg;
	mf_admin_act_for(c, &act, "", &q, PATIENCE_MS);
}

static void
fill_documents(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_OIDC_DOCUMENTS;
	call->get_oidc_documents = ctx;
}

static const ProtobufCMessage *
pick_documents(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX;
	return &r->oidc_documents->base;
}

void
mf_admin_get_oidc_documents(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "get oidc documents", NULL, fill_documents,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_OIDC_DOCUMENTS, pick_documents };
	Mayfly__Admin__V1__GetOidcDocumentsRequest q =
	    *(const Mayfly__Admin__V1__GetOidcDocumentsRequest *)(const void *)msg;
	mf_admin_act(c, &act, "", &q);
}
