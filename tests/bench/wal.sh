#!/bin/bash
# Records a second through the log against bare append and fdatasync; records a second of the verifier.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
dev=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}
[ -x "$dev/tests/bench_wal" ] || { skip all "bench_wal is not built"; exit 0; }
scratch bench-wal
"$dev/tests/bench_wal" "$PWD" "${MF_BENCH_SECONDS:-5}" >out || fail wal "$(cat out)"
cat out
v=$("$dev/tests/mf_mklog" log 300000 0 128)
begin=$(date +%s%N)
"$dev/libexec/mayfly/mayfly-audit" verify log --key "$v" >verify.out || fail verify "$(cat verify.out)"
end=$(date +%s%N)
echo "verify: $((300000 * 1000000000 / (end - begin))) records/s"
[ $t_failed != 0 ] || ok wal
finish
