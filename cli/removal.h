/*
 * removal: what `job end`, `node evict` and `revoke` say: what is in effect, what is on record, and what still works.
 */
#ifndef MF_CLI_REMOVAL_H
#define MF_CLI_REMOVAL_H
#include "admin.pb-c.h"
#include "cli/cli.h"
#include "rpc/grpc.h"

/* Print it; ${credentials}: with those that are still accepted somewhere. An exit code. */
int mf_cli_removal_show(struct mf_cli *c, const Mayfly__Admin__V1__RemovalResponse *r, bool credentials);
/* Ask the broker and print the RemovalResponse. 0, 3 when it is not recorded yet, or as mf_cli_ask_admin. */
int mf_cli_remove(struct mf_cli *c, const struct mf_grpc_method *m, ProtobufCMessage *request);
#endif
