#include "cli/connect.h"

#include <stdlib.h>

#include "admin.pb-c.h"
#include "base/limits.h"
#include "cli/remote.h"
#include "cli/sign.h"
#include "job.pb-c.h"
#include "workload.pb-c.h"

#define SPIFFE(method) "/SpiffeWorkloadAPI/" method
#define JOBS(method) "/mayfly.job.v1.Jobs/" method
#define ADMIN(method) "/mayfly.admin.v1.Admin/" method

const struct mf_grpc_method mf_cli_fetch_jwt_svid = { .path = SPIFFE("FetchJWTSVID"),
	.request = &jwtsvidrequest__descriptor,
	.response = &jwtsvidresponse__descriptor };
const struct mf_grpc_method mf_cli_fetch_jwt_bundles = { .path = SPIFFE("FetchJWTBundles"),
	.request = &jwtbundles_request__descriptor,
	.response = &jwtbundles_response__descriptor,
	.flags = MF_GRPC_SERVER_STREAM };
const struct mf_grpc_method mf_cli_validate_jwt_svid = { .path = SPIFFE("ValidateJWTSVID"),
	.request = &validate_jwtsvidrequest__descriptor,
	.response = &validate_jwtsvidresponse__descriptor };
const struct mf_grpc_method mf_cli_fetch_x509_svid = { .path = SPIFFE("FetchX509SVID"),
	.request = &x509_svidrequest__descriptor,
	.response = &x509_svidresponse__descriptor,
	.flags = MF_GRPC_SERVER_STREAM };
const struct mf_grpc_method mf_cli_fetch_x509_bundles = { .path = SPIFFE("FetchX509Bundles"),
	.request = &x509_bundles_request__descriptor,
	.response = &x509_bundles_response__descriptor,
	.flags = MF_GRPC_SERVER_STREAM };
const struct mf_grpc_method mf_cli_job_start = { .path = JOBS("Start"),
	.request = &mayfly__job__v1__start_request__descriptor,
	.response = &mayfly__job__v1__start_event__descriptor,
	.flags = MF_GRPC_BIDI };
const struct mf_grpc_method mf_cli_explain = { .path = JOBS("Explain"),
	.request = &mayfly__job__v1__explain_request__descriptor,
	.response = &mayfly__job__v1__explain_response__descriptor };
const struct mf_grpc_method mf_cli_who_am_i = { .path = JOBS("WhoAmI"),
	.request = &mayfly__job__v1__who_am_irequest__descriptor,
	.response = &mayfly__job__v1__who_am_iresponse__descriptor };
const struct mf_grpc_method mf_cli_cloud_token = { .path = JOBS("GetCloudToken"),
	.request = &mayfly__job__v1__get_cloud_token_request__descriptor,
	.response = &mayfly__job__v1__get_cloud_token_response__descriptor };
const struct mf_grpc_method mf_cli_cloud_environment = { .path = JOBS("GetCloudEnvironment"),
	.request = &mayfly__job__v1__get_cloud_environment_request__descriptor,
	.response = &mayfly__job__v1__cloud_environment__descriptor };
const struct mf_grpc_method mf_cli_job_bundle = { .path = JOBS("GetBundle"),
	.request = &mayfly__job__v1__get_bundle_request__descriptor,
	.response = &mayfly__job__v1__get_bundle_response__descriptor };
const struct mf_grpc_method mf_cli_get_status = { .path = ADMIN("GetStatus"),
	.request = &mayfly__admin__v1__get_status_request__descriptor,
	.response = &mayfly__admin__v1__status__descriptor };
const struct mf_grpc_method mf_cli_list_jobs = { .path = ADMIN("ListJobs"),
	.request = &mayfly__admin__v1__list_jobs_request__descriptor,
	.response = &mayfly__admin__v1__list_jobs_response__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_get_job = { .path = ADMIN("GetJob"),
	.request = &mayfly__admin__v1__get_job_request__descriptor,
	.response = &mayfly__admin__v1__get_job_response__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_end_job = { .path = ADMIN("EndJob"),
	.request = &mayfly__admin__v1__end_job_request__descriptor,
	.response = &mayfly__admin__v1__removal_response__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_revoke = { .path = ADMIN("Revoke"),
	.request = &mayfly__admin__v1__revoke_request__descriptor,
	.response = &mayfly__admin__v1__removal_response__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_unfreeze_method = { .path = ADMIN("Unfreeze"),
	.request = &mayfly__admin__v1__unfreeze_request__descriptor,
	.response = &mayfly__admin__v1__unfreeze_response__descriptor };
const struct mf_grpc_method mf_cli_list_freezes = { .path = ADMIN("ListFreezes"),
	.request = &mayfly__admin__v1__list_freezes_request__descriptor,
	.response = &mayfly__admin__v1__list_freezes_response__descriptor };
const struct mf_grpc_method mf_cli_list_nodes = { .path = ADMIN("ListNodes"),
	.request = &mayfly__admin__v1__list_nodes_request__descriptor,
	.response = &mayfly__admin__v1__list_nodes_response__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_create_join_token = { .path = ADMIN("CreateJoinToken"),
	.request = &mayfly__admin__v1__create_join_token_request__descriptor,
	.response = &mayfly__admin__v1__create_join_token_response__descriptor };
const struct mf_grpc_method mf_cli_list_keys = { .path = ADMIN("ListKeys"),
	.request = &mayfly__admin__v1__list_keys_request__descriptor,
	.response = &mayfly__admin__v1__list_keys_response__descriptor };
const struct mf_grpc_method mf_cli_prepare_key = { .path = ADMIN("PrepareKey"),
	.request = &mayfly__admin__v1__prepare_key_request__descriptor,
	.response = &mayfly__admin__v1__key_response__descriptor };
const struct mf_grpc_method mf_cli_activate_key = { .path = ADMIN("ActivateKey"),
	.request = &mayfly__admin__v1__activate_key_request__descriptor,
	.response = &mayfly__admin__v1__key_response__descriptor };
const struct mf_grpc_method mf_cli_taint_key = { .path = ADMIN("TaintKey"),
	.request = &mayfly__admin__v1__taint_key_request__descriptor,
	.response = &mayfly__admin__v1__removal_response__descriptor };
const struct mf_grpc_method mf_cli_revoke_key = { .path = ADMIN("RevokeKey"),
	.request = &mayfly__admin__v1__revoke_key_request__descriptor,
	.response = &mayfly__admin__v1__removal_response__descriptor };
const struct mf_grpc_method mf_cli_evict_node = { .path = ADMIN("EvictNode"),
	.request = &mayfly__admin__v1__evict_node_request__descriptor,
	.response = &mayfly__admin__v1__removal_response__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_get_node = { .path = ADMIN("GetNode"),
	.request = &mayfly__admin__v1__get_node_request__descriptor,
	.response = &mayfly__admin__v1__node__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_extend_job = { .path = ADMIN("ExtendJob"),
	.request = &mayfly__admin__v1__extend_job_request__descriptor,
	.response = &mayfly__admin__v1__extend_job_response__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_readmit_node = { .path = ADMIN("ReadmitNode"),
	.request = &mayfly__admin__v1__readmit_node_request__descriptor,
	.response = &mayfly__admin__v1__readmit_node_response__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_list_credentials = { .path = ADMIN("ListCredentials"),
	.request = &mayfly__admin__v1__list_credentials_request__descriptor,
	.response = &mayfly__admin__v1__list_credentials_response__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_get_credential = { .path = ADMIN("GetCredential"),
	.request = &mayfly__admin__v1__get_credential_request__descriptor,
	.response = &mayfly__admin__v1__credential_detail__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_explain_job = { .path = ADMIN("ExplainJob"),
	.request = &mayfly__admin__v1__explain_job_request__descriptor,
	.response = &mayfly__admin__v1__explanation__descriptor };
const struct mf_grpc_method mf_cli_get_bundle = { .path = ADMIN("GetBundle"),
	.request = &mayfly__admin__v1__get_bundle_request__descriptor,
	.response = &mayfly__admin__v1__get_bundle_response__descriptor };

const struct mf_grpc_method mf_cli_get_oidc_documents = { .path = ADMIN("GetOidcDocuments"),
	.request = &mayfly__admin__v1__get_oidc_documents_request__descriptor,
	.response = &mayfly__admin__v1__oidc_documents__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_cli_probe_cloud = { .path = ADMIN("ProbeCloud"),
	.request = &mayfly__admin__v1__probe_cloud_request__descriptor,
	.response = &mayfly__admin__v1__cloud_probe__descriptor };

const struct mf_grpc_method mf_cli_confirm_clock = { .path = ADMIN("ConfirmClock"),
	.request = &mayfly__admin__v1__confirm_clock_request__descriptor,
	.response = &mayfly__admin__v1__confirm_clock_response__descriptor };

const char *
mf_cli_socket_path(const char *uri)
{
	if (strncmp(uri, "unix:", 5) == 0)
		uri += 5;
	if (uri[0] == '/' && uri[1] == '/')
		uri += 2; /* unix:///path: an empty authority */
	return uri[0] == '/' && uri[1] != '\0' ? uri : NULL;
}

static enum mf_status
socket_path(const char *flag, const char *flag_name, const char *env_name, const char *otherwise,
    const char **ret_path, struct mf_err *err)
{
	const char *env = getenv(env_name);
	const char *uri = flag != NULL ? flag : env != NULL && env[0] != '\0' ? env : otherwise;
	const char *path = mf_cli_socket_path(uri);
	if (path == NULL)
		return MF_FAIL(err, MF_E_INVALID, "%s is no Unix socket: write unix:///absolute/path",
		    flag != NULL ? flag_name : env_name);
	*ret_path = path;
	return MF_OK;
}

enum mf_status
mf_cli_agent_path(const struct mf_cli *c, const char **ret_path, struct mf_err *err)
{
	const char *flag = mf_cli_declares(c->verb, "socket") ? mf_cli_get(c, "socket") : NULL;
	return socket_path(
	    flag, "--socket", "SPIFFE_ENDPOINT_SOCKET", "unix://" MF_CLI_AGENT_SOCKET, ret_path, err);
}

enum mf_status
mf_cli_admin_path(const struct mf_cli *c, const char **ret_path, struct mf_err *err)
{
	const char *flag = mf_cli_declares(c->verb, "admin-socket") ? mf_cli_get(c, "admin-socket") : NULL;
	return socket_path(flag, "--admin-socket", "MAYFLY_ADMIN_SOCKET", MF_CLI_ADMIN_SOCKET, ret_path, err);
}

enum mf_status
mf_cli_agent(const struct mf_cli *c, struct mf_grpc_sync **ret_s, struct mf_err *err)
{
	const char *path = NULL;
	MF_TRY(mf_cli_agent_path(c, &path, err));
	enum mf_status s = mf_grpc_sync_connect(path, MF_GRPC_SYNC_SPIFFE, c->timeout_ms, ret_s, err);
	if (s == MF_E_UNAVAILABLE)
		return mf_err_wrap(
		    err, s, "no agent (start mayfly-agent or `mayfly dev`, or set SPIFFE_ENDPOINT_SOCKET)");
	return s;
}

enum mf_status
mf_cli_admin(const struct mf_cli *c, struct mf_grpc_sync **ret_s, struct mf_err *err)
{
	const char *path = NULL;
	char broker[300];
	MF_TRY(mf_cli_broker(c, broker, err));
	if (broker[0] != '\0') {
		int fd = -1;
		MF_TRY(mf_cli_remote(c, broker, &fd, err));
		return mf_grpc_sync_take(fd, 0, c->timeout_ms, ret_s, err);
	}
	MF_TRY(mf_cli_admin_path(c, &path, err));
	enum mf_status s = mf_grpc_sync_connect(path, 0, c->timeout_ms, ret_s, err);
	if (s == MF_E_UNAVAILABLE)
		return mf_err_wrap(err, s,
		    "no broker (start mayfly-broker or `mayfly dev`, or set MAYFLY_ADMIN_SOCKET or "
		    "MAYFLY_BROKER)");
	if (s == MF_E_DENIED)
		return mf_err_wrap(err, s, "the broker is for root and the group mayfly-admin");
	return s;
}

void
mf_cli_add_why(const struct mf_cli *c, struct mf_err *err)
{
	static const char bare[] = "no identity issued";
	Mayfly__Job__V1__WhoAmIRequest req = MAYFLY__JOB__V1__WHO_AM_IREQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	if (err->code != MF_E_DENIED || strcmp(err->msg, bare) != 0 ||
	    mf_cli_agent(c, &sync, NULL) != MF_OK ||
	    mf_grpc_sync_unary(sync, &mf_cli_who_am_i, &req.base, &msg, NULL) != MF_OK)
		return;
	const Mayfly__Job__V1__WhoAmIResponse *w = (const Mayfly__Job__V1__WhoAmIResponse *)(const void *)msg;
	bool ended = strcmp(w->state, "ended") == 0;
	if (ended || w->reason[0] != '\0')
		(void)MF_FAIL(err, MF_E_DENIED, "%s: %s%s%s%s", bare, ended ? "the job was ended" : "",
		    ended && w->reason[0] != '\0' ? " (" : "", w->reason,
		    ended && w->reason[0] != '\0' ? ")" : "");
}

static int
ask(struct mf_cli *c, enum mf_status connected, struct mf_grpc_sync *sync, const struct mf_grpc_method *m,
    const ProtobufCMessage *request, ProtobufCMessage **ret_r, struct mf_err *err)
{
	enum mf_status s = connected;
	if (s == MF_OK)
		s = mf_grpc_sync_unary(sync, m, request, ret_r, err);
	if (s == MF_OK)
		return MF_EXIT_OK;
	err->code = s;
	return mf_cli_fail(c, err);
}

int
mf_cli_ask_agent(struct mf_cli *c, const struct mf_grpc_method *m, const ProtobufCMessage *request,
    ProtobufCMessage **ret_r)
{
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	struct mf_err err = { 0 };
	enum mf_status s = mf_cli_agent(c, &sync, &err);
	return ask(c, s, sync, m, request, ret_r, &err);
}

int
mf_cli_ask_admin(
    struct mf_cli *c, const struct mf_grpc_method *m, ProtobufCMessage *request, ProtobufCMessage **ret_r)
{
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	struct mf_err err = { 0 };
	enum mf_status s = mf_cli_admin(c, &sync, &err);
	int rc = s == MF_OK ? mf_cli_sign(c, sync, request) : -1;
	if (rc >= 0) {
		return rc == MF_EXIT_OK ? MF_EXIT_DONE : rc;
	}
	if (s == MF_OK) {
		s = mf_grpc_sync_unary(sync, m, request, ret_r, &err);
		err.code = s;
		if (s == MF_E_UNAVAILABLE)
			mf_cli_remote_why(&err);
	}
	return s == MF_OK ? MF_EXIT_OK : mf_cli_fail(c, &err);
}
