/*
 * status: errors of ours made into those of the public headers. Internal to lib/client.
 */
#ifndef MF_CLIENT_STATUS_H
#define MF_CLIENT_STATUS_H
#include <mayfly/error.h>

#include "rpc/grpc_status.h"

/* ${s} with the text of ${e}; ${err} may be NULL and is left alone on MF_OK. */
mayfly_status mf_pub(enum mf_status s, const struct mf_err *e, mayfly_error *err);
/* The same for an answer of the agent: its code counts, and is shown. MF_GRPC_OK: not an answer. */
mayfly_status
mf_pub_answer(enum mf_status s, enum mf_grpc_code code, const struct mf_err *e, mayfly_error *err);
/* MF_E_STATE when ${pid} is not this process: the object came through fork(). */
MF_NODISCARD enum mf_status mf_same_process(int pid, struct mf_err *err);
#endif
