/* Who calls the admin API: may this call begin, and what the notary is told of the caller. */
#include "base/text.h"
#include "broker/core/admin_roles.h"
#include "broker/front/admin_remote.h"
#include "os/jlog.h"
#include "os/login_uid.h"
#include "rpc/admin_text.h"
#include "rpc/pb_check.h"

#define PREFIX "/mayfly.admin.v1.Admin/"

void
mf_admin_log_abuse(const struct mf_net_conn *conn, enum mf_net_why why, const struct mf_err *err)
{
	if (mf_net_why_abuse(why))
		MF_LOG(MF_LOG_WARN, "admin.disconnected",
		    "a connection of an administrator was closed for what it sent",
		    mf_js("peer", mf_net_conn_name(conn)), mf_js("error", err->msg));
}

struct mf_admin_peer *
mf_admin_peer_of(const struct mf_grpc_call *c)
{
	return mf_net_conn_user(mf_grpc_call_peer(c));
}

static enum mf_grpc_code
denied(
    struct mf_err *why, const struct mf_admin_peer *p, enum mf_admin_role has, const struct mf_admin_rule *r)
{
	/* The name comes last: it may be long, and an error's text is cut. */
	(void)MF_FAIL(why, MF_E_DENIED,
	    "%s needs the role %s, you have %s: whoever keeps the broker's admins file gives roles (%s)",
	    r->name, mf_admin_role_name(r->least), mf_admin_role_name(has), mf_admin_id_name(&p->id));
	return MF_GRPC_PERMISSION_DENIED;
}

static enum mf_grpc_code
admit_remote(
    const struct mf_admin_api *a, const struct mf_admin_peer *p, struct mf_slice path, struct mf_err *why)
{
	const struct mf_admin_rule *r = mf_admin_rpc_rule(mf_slice_sub(path, sizeof(PREFIX) - 1, path.n));
	if (r == NULL)
		return MF_GRPC_OK; /* unknown: the answer is UNIMPLEMENTED */
	enum mf_admin_role has = mf_admin_remote_role(a->remote, p, why);
	if (has == MF_ADMIN_NOBODY)
		return MF_GRPC_PERMISSION_DENIED;
	return has >= r->least ? MF_GRPC_OK : denied(why, p, has, r);
}

enum mf_grpc_code
mf_admin_admit(const struct mf_admin_api *a, struct mf_grpc_call *c, struct mf_err *why)
{
	const struct mf_admin_peer *p = mf_admin_peer_of(c);
	if (!mf_slice_starts(mf_grpc_call_path(c), MF_SLICE_LIT(PREFIX)))
		return MF_GRPC_OK; /* health, and what the calls look like, are for everybody */
	if (a->draining) {
		(void)MF_FAIL(why, MF_E_UNAVAILABLE, "the broker is being stopped");
		return MF_GRPC_UNAVAILABLE;
	}
	if (p != NULL && p->remote)
		return admit_remote(a, p, mf_grpc_call_path(c), why);
	if (p != NULL && p->allowed)
		return MF_GRPC_OK;
	(void)MF_FAIL(why, MF_E_DENIED,
	    "uid %u may not administer this broker: use root, a member of its admin_group, or a uid in "
	    "admin_uids of "
	    "broker.yaml",
	    p == NULL ? 0u : p->uid);
	return MF_GRPC_PERMISSION_DENIED;
}

void
mf_admin_fill(const struct mf_admin_api *a, const struct mf_admin_peer *p, Mayfly__Roles__V1__AdminCall *call)
{
	/* The calls take no const: they are packed and forgotten. */
	struct mf_admin_peer *of = (struct mf_admin_peer *)(uintptr_t)p;
	struct mf_err why = { 0 };
	call->loginuid = MF_NO_LOGIN_UID;
	if (!p->remote) {
		call->loginuid = p->loginuid;
		call->uid = p->uid;
		call->pid = p->pid;
		return;
	}
	call->remote = true;
	call->cert_sha256 = of->id.cert;
	call->spiffe_id = of->id.spiffe_id;
	call->subject = of->id.subject;
	call->role = (char *)(uintptr_t)mf_admin_role_name(mf_admin_remote_role(a->remote, p, &why));
}

enum mf_status
mf_admin_approval(const struct mf_grpc_call *c, Mayfly__Roles__V1__AdminCall *call,
    ProtobufCMessage **ret_msg, struct mf_err *err)
{
	struct mf_slice text = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_H2_HEADER_LIST);
	size_t n = mf_grpc_metadata(c, MF_ADMIN_APPROVAL, &text);
	*ret_msg = NULL;
	if (n == 0)
		return MF_OK;
	if (n > 1 || mf_base64_get(text, &b, err) != MF_OK)
		return MF_FAIL(err, MF_E_INVALID, MF_ADMIN_APPROVAL " is one AdminApproval in base64");
	MF_TRY(mf_pb_unpack(&mayfly__roles__v1__admin_approval__descriptor, mf_buf_slice(&b), ret_msg, err));
	call->approval = (Mayfly__Roles__V1__AdminApproval *)(void *)*ret_msg;
	return MF_OK;
}

/* ---- what the TLS listener is told ---- */

enum mf_status
mf_admin_api_access(struct mf_admin_api *a, struct mf_slice packed, struct mf_err *err)
{
	return mf_admin_remote_access(a->remote, packed, err);
}

enum mf_status
mf_admin_api_bundle(struct mf_admin_api *a, struct mf_slice bundle, struct mf_err *err)
{
	return mf_admin_remote_bundle(a->remote, bundle, err);
}

enum mf_status
mf_admin_api_identity(
    struct mf_admin_api *a, const struct mf_slice *chain, size_t n, struct mf_slice key, struct mf_err *err)
{
	return mf_admin_remote_identity(a->remote, chain, n, key, err);
}
