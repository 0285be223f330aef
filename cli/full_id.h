/*
 * full_id: an abbreviated id in a request made the full one before persons sign it: the broker compares their signatures
 * with what the act is about in full.
 */
#ifndef MF_CLI_FULL_ID_H
#define MF_CLI_FULL_ID_H
#include "cli/cli.h"
#include "rpc/grpc_sync.h"

/*
 * Asks the broker, and says on stderr which job, node or key it is. ${request}'s id then points into ${c}. Requests without
 * an id are left as they are. MF_E_INVALID, MF_E_NOTFOUND: it fits several, or none.
 */
MF_NODISCARD enum mf_status
mf_cli_full_id(struct mf_cli *c, struct mf_grpc_sync *s, ProtobufCMessage *request, struct mf_err *err);
#endif
