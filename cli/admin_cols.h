/*
 * admin_cols: how the objects of mayfly.admin.v1 look in tables, blocks and JSON.
 */
#ifndef MF_CLI_ADMIN_COLS_H
#define MF_CLI_ADMIN_COLS_H
#include "cli/show.h"

extern const struct mf_cols mf_cli_job_cols, mf_cli_job_block, mf_cli_instance_cols, mf_cli_node_cols,
    mf_cli_node_block, mf_cli_credential_cols;

/* The credentials of an answer as "copies stay accepted until T" for people; nothing when none is left. */
void mf_cli_put_still_accepted(struct mf_buf *to, const void *const *credentials, size_t n);
#endif
