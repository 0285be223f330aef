/*
 * verbs: what each command does. All take a parsed command line and return an exit code (cli/cli.h).
 */
#ifndef MF_CLI_VERBS_H
#define MF_CLI_VERBS_H
#include "cli/cli.h"

/* A manifest file, "-" for stdin, into ${to}, whose cap is the limit. */
MF_NODISCARD enum mf_status mf_cli_read_manifest(const char *path, struct mf_buf *to, struct mf_err *err);
int mf_cli_run(struct mf_cli *c);
int mf_cli_whoami(struct mf_cli *c);
int mf_cli_why(struct mf_cli *c);
int mf_cli_token_get(struct mf_cli *c);
int mf_cli_token_ls(struct mf_cli *c);
int mf_cli_env(struct mf_cli *c);
int mf_cli_svid_fetch(struct mf_cli *c);
int mf_cli_svid_watch(struct mf_cli *c);
int mf_cli_jwt_fetch(struct mf_cli *c); /* svid fetch --jwt */
int mf_cli_svid_validate(struct mf_cli *c);
int mf_cli_bundle_show(struct mf_cli *c);
int mf_cli_doctor(struct mf_cli *c);
int mf_cli_dev(struct mf_cli *c);
int mf_cli_job_ls(struct mf_cli *c);
int mf_cli_job_show(struct mf_cli *c);
int mf_cli_job_end(struct mf_cli *c);
int mf_cli_job_extend(struct mf_cli *c);
int mf_cli_node_ls(struct mf_cli *c);
int mf_cli_node_token(struct mf_cli *c);
int mf_cli_node_show(struct mf_cli *c);
int mf_cli_node_readmit(struct mf_cli *c);
int mf_cli_node_evict(struct mf_cli *c);
int mf_cli_credential_ls(struct mf_cli *c);
int mf_cli_credential_show(struct mf_cli *c);
int mf_cli_revoke_verb(struct mf_cli *c);
int mf_cli_unfreeze(struct mf_cli *c);
int mf_cli_freeze_ls(struct mf_cli *c);
int mf_cli_key_ls(struct mf_cli *c);
int mf_cli_key_prepare(struct mf_cli *c);
int mf_cli_key_activate(struct mf_cli *c);
int mf_cli_key_taint(struct mf_cli *c);
int mf_cli_key_revoke(struct mf_cli *c);
int mf_cli_status(struct mf_cli *c);
int mf_cli_clock_confirm(struct mf_cli *c);
int mf_cli_completion(struct mf_cli *c);
int mf_cli_audit(struct mf_cli *c);
int mf_cli_oidc_export(struct mf_cli *c);
int mf_cli_oidc_fetch(struct mf_cli *c);
int mf_cli_setup(struct mf_cli *c);
int mf_cli_policy(struct mf_cli *c);
#endif
