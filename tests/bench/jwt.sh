#!/bin/bash
# JWT-SVIDs made and validated a second (bench_jwt). Figures are reported, never asserted.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
dev=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}
[ -x "$dev/tests/bench_jwt" ] || { skip all "bench_jwt is not built"; exit 0; }
scratch bench-jwt
"$dev/tests/bench_jwt" "${MF_BENCH_SECONDS:-5}" >out || fail jwt "$(cat out)"
cat out
[ ! -s out ] || ok jwt
finish
