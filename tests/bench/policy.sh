#!/bin/bash
# Decisions per core-second of a policy with 200 rules. Reported, not asserted.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
dev=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}
[ -x "$dev/tests/bench_policy" ] || { skip all "bench_policy is not built"; exit 0; }
if "$dev/tests/bench_policy" "${MF_BENCH_SECONDS:-5}"; then ok policy; else fail policy "it ended with $?"; fi
finish
