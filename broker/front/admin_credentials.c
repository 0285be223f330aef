/* One credential: ending it, and everything that is known of it (the notary's part, and the read model's). */
#include "base/limits.h"
#include "broker/front/admin_internal.h"

static void
fill_end(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_CREDENTIAL;
	call->end_credential = ctx;
}

void
mf_admin_end_credential(struct mf_grpc_call *c, const Mayfly__Admin__V1__RevokeRequest *q)
{
	static const struct mf_admin_act act = { "end credential", NULL, fill_end,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL, mf_admin_pick_removal };
	Mayfly__Admin__V1__EndCredentialRequest e = MAYFLY__ADMIN__V1__END_CREDENTIAL_REQUEST__INIT;
	e.match = q->credential;
	e.reason = q->reason;
	e.final = q->final;
	mf_admin_act(c, &act, "", &e);
}

static void
fill_get(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_CREDENTIAL;
	call->get_credential = ctx;
}

static void
finish_get(struct mf_admin_api *a, struct mf_grpc_call *c, const Mayfly__Roles__V1__AdminReply *r)
{
	Mayfly__Admin__V1__CredentialDetail d = *r->credential;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf scope, request;
	mf_buf_init(&scope, MF_LIM_RECORD);
	mf_buf_init(&request, MF_LIM_RECORD);
	if (d.target[0] != '\0') {
		enum mf_status s = mf_feed_readable(a->conf.feed, &err);
		if (s == MF_OK)
			s = mf_read_model_cloud(a->conf.rm, d.credential->id, &scope, &request, &err);
		const char *text = mf_buf_cstr(&scope), *id = mf_buf_cstr(&request);
		if (s == MF_OK && text != NULL && id != NULL) {
			d.scope = (char *)(uintptr_t)text; /* packing only reads */
			d.request_id = (char *)(uintptr_t)id;
		} else if (s != MF_E_NOTFOUND) {
			d.incomplete = err.msg;
		}
	}
	mf_grpc_reply(c, &d.base);
}

void
mf_admin_get_credential(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "get credential", NULL, fill_get,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CREDENTIAL, NULL };
	Mayfly__Admin__V1__GetCredentialRequest q =
	    *(const Mayfly__Admin__V1__GetCredentialRequest *)(const void *)msg;
	mf_admin_ask(c, &act, &q, finish_get);
}
