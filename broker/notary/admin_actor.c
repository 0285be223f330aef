/* Who asked for an admin act: into its record, and whether that role may. */
#include "broker/core/admin_roles.h"
#include "broker/notary/engine_internal.h"

void
mf_engine_actor(struct mf_record *r, const Mayfly__Roles__V1__AdminCall *call)
{
	mf_record_set_str(r, MF_RS_ACTOR_KIND, "operator");
	if (call->remote) {
		mf_record_set_str(r, MF_RS_ACTOR_CERT, call->cert_sha256);
		mf_record_set_str(r, MF_RS_ACTOR_SPIFFE_ID, call->spiffe_id);
		mf_record_set_str(r, MF_RS_ACTOR_SUBJECT, call->subject);
		mf_record_set_str(r, MF_RS_ACTOR_ROLE, call->role);
		return;
	}
	mf_record_set_num(r, MF_RN_UID, call->uid);
	mf_record_set_num(r, MF_RN_PID, call->pid);
	if (call->loginuid != UINT32_MAX)
		mf_record_set_num(r, MF_RN_LOGINUID, call->loginuid);
	mf_record_set_str(r, MF_RS_ACTOR_ROLE, mf_admin_role_name(MF_ADMIN_ADMIN));
}

/* What a record cannot take would stop it, and with it a removal: so it is refused before. */
static bool
identity_ok(const Mayfly__Roles__V1__AdminCall *call)
{
	return strlen(call->cert_sha256) == 64 && strlen(call->spiffe_id) <= MF_LIM_SPIFFE_ID &&
	       strlen(call->subject) <= MF_LIM_CERT_SUBJECT && mf_engine_plain(call->spiffe_id) &&
	       mf_engine_plain(call->subject);
}

enum mf_status
mf_engine_admin_may(const Mayfly__Roles__V1__AdminCall *call, struct mf_err *err)
{
	enum mf_admin_role has =
	    MF_ADMIN_ADMIN; /* local: the front let in root, the admin group, listed uids */
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(
	    &mayfly__roles__v1__admin_call__descriptor, (unsigned)call->what_case);
	const struct mf_admin_rule *rule = f == NULL ? NULL : mf_admin_act_rule(mf_slice_str(f->name));
	if (rule == NULL)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "this broker does not know that request");
	if (!call->remote)
		return MF_OK;
	if (!mf_admin_role_parse(mf_slice_str(call->role), &has) || !identity_ok(call))
		return MF_FAIL(err, MF_E_DENIED, "the front named no role or no certificate for this caller");
	if (has < rule->least)
		return MF_FAIL(err, MF_E_DENIED, "%s needs the role %s, and this caller has %s", rule->name,
		    mf_admin_role_name(rule->least), mf_admin_role_name(has));
	return MF_OK;
}
