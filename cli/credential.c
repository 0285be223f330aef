/* credential: `mayfly credential ls`, `mayfly credential show`, `mayfly status`. */
#include "admin.pb-c.h"
#include "cli/admin_cols.h"
#include "cli/connect.h"
#include "cli/pages.h"
#include "cli/verbs.h"
#include "cli/watch.h"

static int
list(struct mf_cli *c, struct mf_cli_watch *w)
{
	Mayfly__Admin__V1__ListCredentialsRequest req = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_REQUEST__INIT;
	MF_AUTO_IN(mf_cli_creds_fini) struct mf_cli_creds all = { 0 };
	struct mf_err err = { 0 };
	req.all = mf_cli_has(c, "all");
	if (mf_cli_has(c, "job"))
		req.job = mf_cli_get(c, "job");
	if (mf_cli_creds_get(c, &req, &all, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	return mf_cli_watch_list(c, w, "CredentialList", mf_cli_credential_cols, (const void **)(void *)all.v,
	    all.n,
	    req.all ? "no credential that has not expired"
		    : "no live credentials (--all shows those of ended jobs that have not expired)");
}

int
mf_cli_credential_ls(struct mf_cli *c)
{
	return mf_cli_watch_run(c, list);
}

/* --- one of them --- */

typedef Mayfly__Admin__V1__CredentialDetail detail;

static void
put_records(struct mf_buf *to, const void *msg, struct mf_now now)
{
	const detail *d = msg;
	MF_UNUSED(now);
	for (size_t i = 0; i < d->n_records; i++)
		mf_buf_putf(to, "%s%llu %s", i == 0 ? "" : ", ", (unsigned long long)d->records[i]->index,
		    d->records[i]->says);
}

static void
json_records(struct mf_jw *w, const void *msg)
{
	const detail *d = msg;
	mf_jw_array_begin(w);
	for (size_t i = 0; i < d->n_records; i++) {
		mf_jw_object_begin(w);
		mf_jw_key(w, "index");
		mf_jw_uint(w, d->records[i]->index);
		mf_jw_kstr(w, "says", d->records[i]->says);
		mf_jw_object_end(w);
	}
	mf_jw_array_end(w);
}

#define DETAIL(h, k, ty, field)                                                      \
	{                                                                            \
		.head = (h), .key = (k), .type = (ty), .at = offsetof(detail, field) \
	}
static const struct mf_col details[] = {
	DETAIL("Profile", "profile", MF_COL_STR, profile),
	DETAIL("Person", "person", MF_COL_STR, person),
	DETAIL("Tenant", "tenant", MF_COL_STR, tenant),
	DETAIL("Lease", "lease", MF_COL_STR, lease_id),
	DETAIL(NULL, "epoch", MF_COL_U32, epoch),
	DETAIL("Ended", "ended", MF_COL_TIME_US, ended_us),
	DETAIL("SHA-256", "sha256", MF_COL_STR, sha256),
	DETAIL("Signed by", "key", MF_COL_STR, key_id),
	{ .head = "Audiences",
	    .key = "audiences",
	    .type = MF_COL_STRS,
	    .at = offsetof(detail, audiences),
	    .count = offsetof(detail, n_audiences) },
	DETAIL("Target", "target", MF_COL_STR, target),
	DETAIL("Backend", "backend", MF_COL_STR, backend),
	DETAIL("Role", "role", MF_COL_STR, role),
	DETAIL("Session name", "session", MF_COL_STR, session),
	DETAIL("Principal", "principal", MF_COL_STR, principal),
	DETAIL("Provider's session", "provider_session", MF_COL_STR, provider_session),
	DETAIL("Provider's request", "request_id", MF_COL_STR, request_id),
	DETAIL("Provider's expiry", "provider_expires", MF_COL_TIME_S, provider_expires),
	DETAIL(NULL, "generation", MF_COL_U32, generation),
	DETAIL("Scope", "scope", MF_COL_STR, scope),
	DETAIL("Scope's SHA-256", "scope_sha256", MF_COL_STR, scope_sha256),
	{ .head = "Records", .key = "records", .type = MF_COL_OWN, .put = put_records, .json = json_records },
	DETAIL("Incomplete", "incomplete", MF_COL_STR, incomplete),
};

static enum mf_status
render_one(const struct mf_cli *c, const detail *d, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	if (!c->json) {
		MF_TRY(mf_show_block(to, mf_cli_credential_block, d->credential, mf_now(), err));
		return mf_show_block(to, MF_COLS(details), d, mf_now(), err);
	}
	mf_show_json_begin(&w, to, "Credential");
	mf_jw_object_begin(&w);
	mf_show_object(&w, mf_cli_credential_cols, d->credential);
	mf_show_object(&w, MF_COLS(details), d);
	mf_jw_object_end(&w);
	return mf_show_json_end(&w, err);
}

int
mf_cli_credential_show(struct mf_cli *c)
{
	Mayfly__Admin__V1__GetCredentialRequest req = MAYFLY__ADMIN__V1__GET_CREDENTIAL_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	req.match = c->argv[0];
	int rc = mf_cli_ask_admin(c, &mf_cli_get_credential, &req.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	if (render_one(c, (const detail *)(const void *)msg, &b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	return MF_EXIT_OK;
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
	COL("Cloud silent", "cloud_failing", MF_COL_STR, cloud_failing),
	COL("Cloud unknown", "cloud_outcomes_unknown", MF_COL_U64, cloud_unknown),
	COL("Cloud pending", "cloud_tokens_pending", MF_COL_U32, cloud_pending),
	COL("Cloud late", "cloud_tokens_late", MF_COL_U32, cloud_late),
	COL("Policy SHA-256", "policy_sha256", MF_COL_STR, policy_sha256),
	COL("CA until", "ca_not_after", MF_COL_TIME_S, ca_not_after),
	COL("Public issuer", "issuer", MF_COL_STR, issuer),
	COL("Trouble with it", "issuer_trouble", MF_COL_STR, issuer_why),
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
