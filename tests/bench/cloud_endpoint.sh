#!/bin/bash
# A cached credential over the agent's cloud endpoint (bench_cloud_endpoint). Figures are reported, never asserted.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
dev=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}
[ -x "$dev/tests/bench_cloud_endpoint" ] || { skip all "bench_cloud_endpoint is not built"; exit 0; }
scratch bench-cloud-endpoint
"$dev/tests/bench_cloud_endpoint" "${MF_BENCH_REQUESTS:-5000}" >out || fail cloud_endpoint "$(cat out)"
cat out
[ ! -s out ] || ok cloud_endpoint
finish
