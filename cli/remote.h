/*
 * remote: the broker elsewhere: --broker URL and MAYFLY_BROKER, by way of the program mayfly-remote
 * (cli/remote/remote.h), so that `mayfly` itself needs no TLS.
 */
#ifndef MF_CLI_REMOTE_VERB_H
#define MF_CLI_REMOTE_VERB_H
#include "cli/cli.h"

#define MF_CLI_ADMIN_PORT 8464u

/* Host and port of the broker that ${c} is about; "" in ${to}: the socket of this machine. MF_E_INVALID. */
MF_NODISCARD enum mf_status mf_cli_broker(const struct mf_cli *c, char to[300], struct mf_err *err);
/* A connected stream to ${broker}; *ret_fd is the caller's. Errors name cause and cure. */
MF_NODISCARD enum mf_status
mf_cli_remote(const struct mf_cli *c, const char *broker, int *ret_fd, struct mf_err *err);
/* A call on it was lost: why, if mayfly-remote knows, into ${err} (code and text). */
void mf_cli_remote_why(struct mf_err *err);
#endif
