/*
 * sign: signatures of persons for acts that add access (admin_signers): --sign, --offline-request, --signature. For
 * verbs with MF_CLI_SIGNED; called by mf_cli_ask_admin.
 */
#ifndef MF_CLI_SIGN_H
#define MF_CLI_SIGN_H
#include "cli/cli.h"
#include "rpc/grpc_sync.h"

/*
 * Before ${request} is sent on ${s}: attach what the options ask for. What is signed has no abbreviation: an id in it is
 * made a full one (full_id.h). -1: go on and send; else an exit code: a failure that
 * was told, or 0 when the request was written to a file instead.
 */
int mf_cli_sign(struct mf_cli *c, struct mf_grpc_sync *s, ProtobufCMessage *request);
#endif
