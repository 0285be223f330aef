/*
 * fetch: one answer of the agent, blocking, with attempts as WEP-13 wants them. Internal to lib/client.
 */
#ifndef MF_CLIENT_FETCH_H
#define MF_CLIENT_FETCH_H
#include "client/handle.h"
#include "rpc/grpc.h"

struct mf_fetch {
	const struct mf_grpc_method *method; /* a stream: the first message is the answer */
	const ProtobufCMessage *request;
	/* Judge the message and keep what is wanted of it. */
	enum mf_status (*take)(void *ctx, const ProtobufCMessage *msg, struct mf_err *err);
	void *ctx;
};

/* ${timeout_ms} as in mayfly/workload.h. */
mayfly_status
mf_fetch(const mayfly_client *client, const struct mf_fetch *f, int timeout_ms, mayfly_error *err);
/* May an attempt that ended so succeed later (WEP-13)? ${code}: MF_GRPC_OK when the agent did not answer. */
bool mf_worth_retrying(enum mf_status s, enum mf_grpc_code code);
#endif
