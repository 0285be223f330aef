#include "broker/core/admin_roles.h"

/*
 * A new RPC needs a row here, and if it goes to the notary, its member of AdminCall one in the second table.
 * Ask: does it show, take away, let in, or rule? And: could it be used to give somebody access (adds)?
 */
const struct mf_admin_rule mf_admin_rpcs[] = {
	{ "ActivateKey", MF_ADMIN_ADMIN, true },
	{ "ConfirmClock", MF_ADMIN_OPERATOR, true },
	{ "CreateJoinToken", MF_ADMIN_OPERATOR, true },
	{ "EndJob", MF_ADMIN_REVOKER, false },
	{ "EvictNode", MF_ADMIN_REVOKER, false },
	{ "ExplainJob", MF_ADMIN_VIEWER, false },
	{ "ExtendJob", MF_ADMIN_OPERATOR, true },
	{ "GetBundle", MF_ADMIN_VIEWER, false },
	{ "GetCredential", MF_ADMIN_VIEWER, false },
	{ "GetJob", MF_ADMIN_VIEWER, false },
	{ "GetNode", MF_ADMIN_VIEWER, false },
	{ "GetOidcDocuments", MF_ADMIN_VIEWER, false },
	{ "GetPolicy", MF_ADMIN_VIEWER, false },
	{ "GetStatus", MF_ADMIN_VIEWER, false },
	{ "ListCredentials", MF_ADMIN_VIEWER, false },
	{ "ListFreezes", MF_ADMIN_VIEWER, false },
	{ "ListJobs", MF_ADMIN_VIEWER, false },
	{ "ListKeys", MF_ADMIN_VIEWER, false },
	{ "ListNodes", MF_ADMIN_VIEWER, false },
	{ "PrepareKey", MF_ADMIN_ADMIN, true },
	/* What it asks for is given to nobody. */
	{ "ProbeCloud", MF_ADMIN_OPERATOR, false },
	{ "ReadmitNode", MF_ADMIN_OPERATOR, true },
	{ "ReloadPolicy", MF_ADMIN_ADMIN, true },
	{ "Revoke", MF_ADMIN_REVOKER, false },
	{ "RevokeKey", MF_ADMIN_ADMIN, false },
	{ "TaintKey", MF_ADMIN_ADMIN, false },
	{ "Unfreeze", MF_ADMIN_OPERATOR, true },
};
const size_t mf_admin_rpc_count = MF_COUNT(mf_admin_rpcs);

const struct mf_admin_rule mf_admin_acts[] = {
	{ "activate_key", MF_ADMIN_ADMIN, true },
	{ "confirm_clock", MF_ADMIN_OPERATOR, true },
	{ "create_join_token", MF_ADMIN_OPERATOR, true },
	{ "end_credential", MF_ADMIN_REVOKER, false },
	{ "end_job", MF_ADMIN_REVOKER, false },
	{ "end_leaked", MF_ADMIN_REVOKER, false },
	{ "end_sessions", MF_ADMIN_REVOKER, false },
	{ "evict_node", MF_ADMIN_REVOKER, false },
	{ "explain_job", MF_ADMIN_VIEWER, false },
	{ "extend_job", MF_ADMIN_OPERATOR, true },
	{ "freeze", MF_ADMIN_REVOKER, false },
	{ "get_credential", MF_ADMIN_VIEWER, false },
	{ "get_oidc_documents", MF_ADMIN_VIEWER, false },
	{ "get_policy", MF_ADMIN_VIEWER, false },
	{ "get_status", MF_ADMIN_VIEWER, false },
	{ "list_credentials", MF_ADMIN_VIEWER, false },
	{ "list_freezes", MF_ADMIN_VIEWER, false },
	{ "list_keys", MF_ADMIN_VIEWER, false },
	{ "prepare_key", MF_ADMIN_ADMIN, true },
	{ "probe_cloud", MF_ADMIN_OPERATOR, false },
	{ "readmit_node", MF_ADMIN_OPERATOR, true },
	{ "reload_policy", MF_ADMIN_ADMIN, true },
	{ "revoke_key", MF_ADMIN_ADMIN, false },
	{ "taint_key", MF_ADMIN_ADMIN, false },
	{ "unfreeze", MF_ADMIN_OPERATOR, true },
};
const size_t mf_admin_act_count = MF_COUNT(mf_admin_acts);

static const struct mf_admin_rule *
find(const struct mf_admin_rule *rules, size_t n, struct mf_slice name)
{
	for (size_t i = 0; i < n; i++)
		if (mf_slice_eq_str(name, rules[i].name))
			return &rules[i];
	return NULL;
}

const struct mf_admin_rule *
mf_admin_rpc_rule(struct mf_slice name)
{
	return find(mf_admin_rpcs, mf_admin_rpc_count, name);
}

const struct mf_admin_rule *
mf_admin_act_rule(struct mf_slice name)
{
	return find(mf_admin_acts, mf_admin_act_count, name);
}

static const char *const names[MF_ADMIN_ROLES] = { "nobody", "viewer", "revoker", "operator", "admin" };

const char *
mf_admin_role_name(enum mf_admin_role r)
{
	return r < MF_ADMIN_ROLES ? names[r] : names[MF_ADMIN_NOBODY];
}

bool
mf_admin_role_parse(struct mf_slice word, enum mf_admin_role *ret_r)
{
	for (int i = MF_ADMIN_VIEWER; i < MF_ADMIN_ROLES; i++)
		if (mf_slice_eq_str(word, names[i])) {
			*ret_r = (enum mf_admin_role)i;
			return true;
		}
	return false;
}
