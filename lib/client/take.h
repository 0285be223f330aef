/*
 * take: answers of the agent, judged whole before anything of them is used (WAPI-8; pitfalls P-6 to P-21). What fails
 * leaves the old state as it was. No I/O; the message stays the caller's.
 */
#ifndef MF_CLIENT_TAKE_H
#define MF_CLIENT_TAKE_H
#include "client/handle.h"
#include "rpc/pb_check.h"

/* ${msg} is an X509SVIDResponse. MF_E_INVALID or MF_E_TOOBIG says which identity and which rule. */
MF_NODISCARD enum mf_status
mf_take_x509(const ProtobufCMessage *msg, mayfly_x509 **ret_x509, struct mf_err *err);
/* ${msg} is an X509BundlesResponse. */
MF_NODISCARD enum mf_status
mf_take_bundles(const ProtobufCMessage *msg, mayfly_bundles **ret_bundles, struct mf_err *err);
/* ${msg} is a JWTBundlesResponse (jwt_bundles.c). */
MF_NODISCARD enum mf_status
mf_take_jwt_bundles(const ProtobufCMessage *msg, mayfly_jwt_bundles **ret_bundles, struct mf_err *err);
#endif
