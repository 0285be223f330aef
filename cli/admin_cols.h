/*
 * admin_cols: how the objects of mayfly.admin.v1 look in tables, blocks and JSON.
 */
#ifndef MF_CLI_ADMIN_COLS_H
#define MF_CLI_ADMIN_COLS_H
#include "cli/show.h"

extern const struct mf_cols mf_cli_job_cols, mf_cli_job_block, mf_cli_instance_cols, mf_cli_node_cols,
    mf_cli_node_block, mf_cli_credential_cols, mf_cli_credential_block, mf_cli_death_cols;

struct Mayfly__Admin__V1__Credential;
/* Something was done about it, and copies work until their own time is over all the same. */
bool mf_cli_only_expires(const struct Mayfly__Admin__V1__Credential *c);
/* "since T", "from T", "no: expires at T": when it is truly dead. */
void mf_cli_put_death(struct mf_buf *to, const struct Mayfly__Admin__V1__Credential *c, int64_t now_s);
/* The credentials of an answer as "copies stay accepted until T" for people; nothing when none is left. */
void mf_cli_put_still_accepted(struct mf_buf *to, const void *const *credentials, size_t n);
#endif
