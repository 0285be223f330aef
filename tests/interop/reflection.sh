#!/bin/bash
# gRPC reflection as grpcurl uses it, by grpc-go's own stubs and protobuf-go's own linker: WEP-3, WEP-14, WEP-15.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
go=$(go_program "$MAYFLY_TOP/tests/interop/go" mfinterop) || { skip all "$(toolchain_why)"; exit 0; }
scratch reflection
dev_policy policy.yaml
dev_start --policy policy.yaml
holds() { [ "$(head -1 "$1" | json "$2")" = true ]; }

# The agent: all services, each of them linked from what reflection gave; the Workload API's methods are the standard's.
"$go" reflect "$SPIFFE_ENDPOINT_SOCKET" >agent.out 2>agent.err || fail agent-reflects "$(cat agent.err)"
# WEP-15
check agent-services holds agent.out 'd["services"] == ["SpiffeWorkloadAPI", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
		"grpc.reflection.v1alpha.ServerReflection", "mayfly.job.v1.Jobs"]'
# WEP-14
check workload-methods holds agent.out 'sorted(d["methods"]["SpiffeWorkloadAPI"]) == ["FetchJWTBundles", "FetchJWTSVID", "FetchWITBundles", "FetchWITSVID",
		"FetchX509Bundles", "FetchX509SVID", "ValidateJWTSVID"]'
# A call made of descriptors alone: dynamic messages, a real identity.
says dynamic-call 'spiffe_id.*/long/job/j-' \
	run_job long "$go" reflect "$SPIFFE_ENDPOINT_SOCKET" SpiffeWorkloadAPI/FetchX509SVID
# The WIT methods are described, not served.
rc=0
run_job long "$go" reflect "$SPIFFE_ENDPOINT_SOCKET" SpiffeWorkloadAPI/FetchWITSVID >wit.out 2>&1 || rc=$?
if [ $rc = 1 ] && grep -q Unimplemented wit.out; then ok wit-unimplemented; else
	fail wit-unimplemented "exit code $rc: $(cat wit.out)"
fi

# The broker's admin socket.
"$go" reflect "unix:$MAYFLY_ADMIN_SOCKET" mayfly.admin.v1.Admin/ListNodes >admin.out 2>admin.err ||
	fail admin-reflects "$(cat admin.err)"
check admin-services holds admin.out 'd["services"] == ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
		"grpc.reflection.v1alpha.ServerReflection", "mayfly.admin.v1.Admin"]'
check admin-call grep -q '"answer":"{.*nodes' admin.out
dev_stop
finish
