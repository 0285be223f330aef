/* credential: `mayfly credential ls`, `mayfly status`. */
#include "admin.pb-c.h"
#include "cli/admin_cols.h"
#include "cli/connect.h"
#include "cli/verbs.h"
#include "cli/watch.h"

static int
list(struct mf_cli *c, struct mf_cli_watch *w)
{
	Mayfly__Admin__V1__ListCredentialsRequest req = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	req.all = mf_cli_has(c, "all");
	if (mf_cli_has(c, "job"))
		req.job = mf_cli_get(c, "job");
	int rc = mf_cli_ask_admin(c, &mf_cli_list_credentials, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	Mayfly__Admin__V1__ListCredentialsResponse *r =
	    (Mayfly__Admin__V1__ListCredentialsResponse *)(void *)msg;
	return mf_cli_watch_list(c, w, "CredentialList", mf_cli_credential_cols,
	    (const void **)(void *)r->credentials, r->n_credentials,
	    req.all ? "no credential that has not expired"
		    : "no live credentials (--all shows those of ended jobs that have not expired)");
}

int
mf_cli_credential_ls(struct mf_cli *c)
{
	return mf_cli_watch_run(c, list);
}

/* --- status --- */

typedef Mayfly__Admin__V1__Status status;
#define COL(h, k, ty, field)                                                         \
	{                                                                            \
		.head = (h), .key = (k), .type = (ty), .at = offsetof(status, field) \
	}

static const struct mf_col cols[] = {
	COL("Trust domain", "trust_domain", MF_COL_STR, trust_domain),
	COL("Broker", "broker", MF_COL_STR, broker_id),
	COL("Release", "release", MF_COL_STR, release),
	COL("Issuing", "issuing", MF_COL_BOOL, issuing),
	COL("Why not", "issuing_reason", MF_COL_STR, issuing_reason),
	COL("Records", "log_size", MF_COL_U64, log_size),
	COL("Applied", "applied_index", MF_COL_U64, applied_index),
	COL("Nodes", "nodes", MF_COL_U32, nodes),
	COL("Sessions", "sessions", MF_COL_U32, sessions),
	COL("Live jobs", "jobs_live", MF_COL_U32, jobs_live),
	COL("Open leases", "leases_open", MF_COL_U32, leases_open),
	COL("Live credentials", "credentials_live", MF_COL_U32, credentials_live),
	COL("Policy SHA-256", "policy_sha256", MF_COL_STR, policy_sha256),
	COL("CA until", "ca_not_after", MF_COL_TIME_S, ca_not_after),
	COL("Log key", "log_vkey", MF_COL_STR, log_vkey),
};

static enum mf_status
render(const struct mf_cli *c, const status *s, struct mf_buf *to, struct mf_err *err)
{
	if (!c->json)
		return mf_show_block(to, MF_COLS(cols), s, mf_now(), err);
	struct mf_jw w;
	mf_show_json_begin(&w, to, "Status");
	mf_jw_object_begin(&w);
	mf_show_object(&w, MF_COLS(cols), s);
	mf_jw_object_end(&w);
	return mf_show_json_end(&w, err);
}

int
mf_cli_status(struct mf_cli *c)
{
	Mayfly__Admin__V1__GetStatusRequest req = MAYFLY__ADMIN__V1__GET_STATUS_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	int rc = mf_cli_ask_admin(c, &mf_cli_get_status, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	if (render(c, (const status *)(const void *)msg, &b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	return MF_EXIT_OK;
}
