/* Revoking what is neither named as a job nor as a node: freezes, and their lifting; leaked credentials; a role's sessions. */
#include "broker/front/admin_internal.h"

static void
fill_freeze(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_FREEZE;
	call->freeze = ctx;
}

static void
fill_leaked(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_LEAKED;
	call->end_leaked = ctx;
}

static void
end_leaked(struct mf_grpc_call *c, const Mayfly__Admin__V1__RevokeRequest *q)
{
	static const struct mf_admin_act act = { "end leaked", NULL, fill_leaked,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL, mf_admin_pick_removal };
	Mayfly__Admin__V1__EndLeakedRequest e = MAYFLY__ADMIN__V1__END_LEAKED_REQUEST__INIT;
	e.leaked = q->leaked;
	e.reason = q->reason;
	mf_admin_act(c, &act, "", &e);
}

static void
fill_sessions(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_SESSIONS;
	call->end_sessions = ctx;
}

static void
end_sessions(struct mf_grpc_call *c, const Mayfly__Admin__V1__RevokeRequest *q)
{
	static const struct mf_admin_act act = { "end sessions", NULL, fill_sessions,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL, mf_admin_pick_removal };
	Mayfly__Admin__V1__EndSessionsRequest e = MAYFLY__ADMIN__V1__END_SESSIONS_REQUEST__INIT;
	e.of = q->sessions;
	e.reason = q->reason;
	e.dry_run = q->dry_run;
	mf_admin_act(c, &act, "", &e);
}

void
mf_admin_freeze(struct mf_grpc_call *c, const Mayfly__Admin__V1__RevokeRequest *q)
{
	static const struct mf_admin_act act = { "freeze", NULL, fill_freeze,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL, mf_admin_pick_removal };
	static char profile[] = "profile", rule[] = "rule", person[] = "person", tenant[] = "tenant",
		    all[] = "all";
	Mayfly__Admin__V1__FreezeRequest f = MAYFLY__ADMIN__V1__FREEZE_REQUEST__INIT;
	if (q->what_case == MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_LEAKED) {
		end_leaked(c, q);
		return;
	}
	if (q->what_case == MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_SESSIONS) {
		end_sessions(c, q);
		return;
	}
	f.reason = q->reason;
	f.for_s = q->for_s;
	switch (q->what_case) {
	case MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_PROFILE:
		f.kind = profile;
		f.name = q->profile;
		break;
	case MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_RULE:
		f.kind = rule;
		f.name = q->rule;
		break;
	case MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_PERSON:
		f.kind = person;
		f.name = q->person;
		break;
	case MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_TENANT:
		f.kind = tenant;
		f.name = q->tenant;
		break;
	case MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_ALL:
		f.kind = all;
		break;
	default:
		break;
	}
	if (f.kind[0] == '\0' || (f.kind == all && !q->all))
		mf_grpc_finish(c, MF_GRPC_INVALID_ARGUMENT,
		    "revoke what? Name a job, a node, a credential, a profile, a rule, a person, a tenant, "
		    "a role at a target, or all");
	else
		mf_admin_act(c, &act, "", &f);
}

static void
fill_unfreeze(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_UNFREEZE;
	call->unfreeze = ctx;
}

static const ProtobufCMessage *
pick_unfrozen(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX; /* no table shows it: nothing to wait for */
	return &r->unfrozen->base;
}

void
mf_admin_unfreeze(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "unfreeze", NULL, fill_unfreeze,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_UNFROZEN, pick_unfrozen };
	Mayfly__Admin__V1__UnfreezeRequest q = *(const Mayfly__Admin__V1__UnfreezeRequest *)(const void *)msg;
	mf_admin_act(c, &act, "", &q);
}

static void
fill_list(Mayfly__Roles__V1__AdminCall *call, char *id, void *ctx)
{
	MF_UNUSED(id);
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_LIST_FREEZES;
	call->list_freezes = ctx;
}

static const ProtobufCMessage *
pick_list(const Mayfly__Roles__V1__AdminReply *r, uint64_t *ret_index)
{
	*ret_index = UINT64_MAX;
	return &r->freezes->base;
}

void
mf_admin_list_freezes(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	static const struct mf_admin_act act = { "list freezes", NULL, fill_list,
		MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_FREEZES, pick_list };
	Mayfly__Admin__V1__ListFreezesRequest q =
	    *(const Mayfly__Admin__V1__ListFreezesRequest *)(const void *)msg;
	mf_admin_act(c, &act, "", &q);
}
