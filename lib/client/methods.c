#include "client/methods.h"

#include "base/limits.h"
#include "workload.pb-c.h"

const struct mf_grpc_method mf_wl_fetch_x509 = { .path = "/SpiffeWorkloadAPI/FetchX509SVID",
	.request = &x509_svidrequest__descriptor,
	.response = &x509_svidresponse__descriptor,
	.flags = MF_GRPC_SERVER_STREAM,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_wl_fetch_bundles = { .path = "/SpiffeWorkloadAPI/FetchX509Bundles",
	.request = &x509_bundles_request__descriptor,
	.response = &x509_bundles_response__descriptor,
	.flags = MF_GRPC_SERVER_STREAM,
	.max_message = MF_LIM_PB_BYTES };

const struct mf_grpc_method mf_wl_fetch_jwt = { .path = "/SpiffeWorkloadAPI/FetchJWTSVID",
	.request = &jwtsvidrequest__descriptor,
	.response = &jwtsvidresponse__descriptor,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_wl_fetch_jwt_bundles = { .path = "/SpiffeWorkloadAPI/FetchJWTBundles",
	.request = &jwtbundles_request__descriptor,
	.response = &jwtbundles_response__descriptor,
	.flags = MF_GRPC_SERVER_STREAM,
	.max_message = MF_LIM_PB_BYTES };
const struct mf_grpc_method mf_wl_validate_jwt = { .path = "/SpiffeWorkloadAPI/ValidateJWTSVID",
	.request = &validate_jwtsvidrequest__descriptor,
	.response = &validate_jwtsvidresponse__descriptor,
	.max_message = MF_LIM_PB_BYTES };

static const X509SVIDRequest x509 = X509_SVIDREQUEST__INIT;
static const X509BundlesRequest bundles = X509_BUNDLES_REQUEST__INIT;
static const JWTBundlesRequest jwt_bundles = JWTBUNDLES_REQUEST__INIT;
const ProtobufCMessage *const mf_wl_x509_request = &x509.base;
const ProtobufCMessage *const mf_wl_bundles_request = &bundles.base;
const ProtobufCMessage *const mf_wl_jwt_bundles_request = &jwt_bundles.base;
