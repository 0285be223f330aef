/*
 * connect: the two sockets, and one call on them. Failures name the socket, the cause and the cure.
 */
#ifndef MF_CLI_CONNECT_H
#define MF_CLI_CONNECT_H
#include "cli/cli.h"
#include "rpc/grpc_sync.h"

#define MF_CLI_AGENT_SOCKET "/run/mayfly/agent.sock"
#define MF_CLI_ADMIN_SOCKET "/run/mayfly/admin.sock"

/* Client's side of proto/{workload,job,admin}.proto. */
extern const struct mf_grpc_method mf_cli_fetch_x509_svid, mf_cli_fetch_x509_bundles, mf_cli_fetch_jwt_svid,
    mf_cli_fetch_jwt_bundles, mf_cli_validate_jwt_svid, mf_cli_job_start, mf_cli_who_am_i, mf_cli_explain,
    mf_cli_job_bundle, mf_cli_cloud_token, mf_cli_cloud_environment;
extern const struct mf_grpc_method mf_cli_get_status, mf_cli_list_jobs, mf_cli_get_job, mf_cli_end_job,
    mf_cli_revoke, mf_cli_unfreeze_method, mf_cli_list_freezes, mf_cli_list_nodes, mf_cli_create_join_token,
    mf_cli_evict_node, mf_cli_get_node, mf_cli_readmit_node, mf_cli_extend_job, mf_cli_list_credentials,
    mf_cli_confirm_clock, mf_cli_get_bundle, mf_cli_list_keys, mf_cli_prepare_key, mf_cli_activate_key,
    mf_cli_taint_key, mf_cli_revoke_key, mf_cli_explain_job, mf_cli_get_credential, mf_cli_probe_cloud,
    mf_cli_get_oidc_documents;

/*
 * "unix:///run/x.sock", "unix:/run/x.sock" or a plain path: the path, pointing into ${uri}; NULL when it is
 * anything else (tcp://, a relative path).
 */
const char *mf_cli_socket_path(const char *uri);
/* --socket, $SPIFFE_ENDPOINT_SOCKET, the default. MF_E_INVALID names what is wrong and where it comes from. */
MF_NODISCARD enum mf_status
mf_cli_agent_path(const struct mf_cli *c, const char **ret_path, struct mf_err *err);
/* --admin-socket where the verb has it, $MAYFLY_ADMIN_SOCKET, the default. */
MF_NODISCARD enum mf_status
mf_cli_admin_path(const struct mf_cli *c, const char **ret_path, struct mf_err *err);

MF_NODISCARD enum mf_status
mf_cli_agent(const struct mf_cli *c, struct mf_grpc_sync **ret_s, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_cli_admin(const struct mf_cli *c, struct mf_grpc_sync **ret_s, struct mf_err *err);

/*
 * The Workload API says no more than `no identity issued`; WhoAmI knows why. Adds that to ${err} when its text is no
 * more than this. Best effort.
 */
void mf_cli_add_why(const struct mf_cli *c, struct mf_err *err);

/* Connect, ask, print what went wrong. MF_EXIT_OK: *ret_r is the answer (mf_pb_free). Else the exit code. */
int mf_cli_ask_agent(struct mf_cli *c, const struct mf_grpc_method *m, const ProtobufCMessage *request,
    ProtobufCMessage **ret_r);
/* The same; an id that is signed (cli/sign.h) is made full in ${request}. */
int mf_cli_ask_admin(
    struct mf_cli *c, const struct mf_grpc_method *m, ProtobufCMessage *request, ProtobufCMessage **ret_r);
#endif
