/*
 * removal: what `job end`, `node evict` and `revoke` say: what is in effect, what is on record, and what still works.
 */
#ifndef MF_CLI_REMOVAL_H
#define MF_CLI_REMOVAL_H
#include "cli/cli.h"
#include "rpc/grpc.h"

/* Ask the broker and print the RemovalResponse. 0, 3 when it is not recorded yet, or as mf_cli_ask_admin. */
int mf_cli_remove(struct mf_cli *c, const struct mf_grpc_method *m, ProtobufCMessage *request);
#endif
