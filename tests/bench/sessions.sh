#!/bin/bash
# What the broker's roles spend on agents' sessions, beside bare cryptography of the same run (bench_sessions): renewals, new instances,
# JWT-SVIDs, handshakes, a herd of MF_BENCH_AGENTS (5000). Nothing is asserted.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
dev=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}
[ -x "$dev/tests/bench_sessions" ] || { skip all "bench_sessions is not built"; exit 0; }
scratch bench-sessions
herd=${MF_BENCH_AGENTS:-5000} seconds=${MF_BENCH_SECONDS:-2}
DEV_TTL=20m pair_init
sed -i "s/^advertise: .*/advertise: 127.0.0.1:$P_LISTEN/" broker.yaml # nobody cuts these sessions
echo "machine: $(uname -sr), $(nproc) CPUs, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1); $(openssl version); $(mayfly --version | head -1)"
broker_up
run() { # AGENTS MODES
	(umask 077 && mayfly node token --uses "$1" >token 2>token.err) || { fail token "$(cat token.err)"; finish; }
	"$dev/tests/bench_sessions" token "$1" "$2" "$seconds" "notary=$(role_pid notary)" "front=$(role_pid broker-front)" ||
		fail "$2" "bench_sessions ended with $?; $(grep -v '"level":"info"' broker.log | tail -3)"
}
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" -gt $((3 * herd)) ] || herd=500
run 256 "${MF_BENCH_MODES:-handshake,renew,jwt-es256,renew-1,attach,jwt-rs256,idle}"
[ "$herd" = 0 ] || run "$herd" herd
broker_down
ok sessions
finish
