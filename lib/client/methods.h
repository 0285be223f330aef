/* The client's side of the Workload API. Internal to lib/client. */
#ifndef MF_CLIENT_METHODS_H
#define MF_CLIENT_METHODS_H
#include "rpc/grpc.h"

extern const struct mf_grpc_method mf_wl_fetch_x509, mf_wl_fetch_bundles, mf_wl_fetch_jwt,
    mf_wl_fetch_jwt_bundles, mf_wl_validate_jwt;
/* The requests that have no fields. */
extern const ProtobufCMessage *const mf_wl_x509_request, *const mf_wl_bundles_request,
							     *const mf_wl_jwt_bundles_request;
#endif
