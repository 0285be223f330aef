#!/bin/bash
# The first path in figures: `mayfly run` to SVID in hand, CPU per issuance by role, memory of each process.
# Nothing is asserted. The limit beside which the figures stand is measured in the same run.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch bench
DEV_TTL=20m pair_init
relay_up
broker_up
agent_up
roles=(notary broker-front attestor agent-front)
cpu() { awk '{print ($14 + $15) * 10}' "/proc/$1/stat"; } # ms
declare -A pid at
for r in "${roles[@]}"; do pid[$r]=$(role_pid "$r"); done
runs=${MF_BENCH_RUNS:-200}
for r in "${roles[@]}"; do at[$r]=$(cpu "${pid[$r]}"); done
/usr/bin/python3 - "$runs" <<'P'
import subprocess, sys, time
runs, took = int(sys.argv[1]), []
for _ in range(runs):
    t = time.perf_counter()
    subprocess.run(["mayfly", "run", "--profile", "long", "--", "mayfly", "svid", "fetch", "-o", "json"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    took.append((time.perf_counter() - t) * 1e3)
took.sort()
base = []
for _ in range(50):
    t = time.perf_counter()
    subprocess.run(["sh", "-c", "exec true"], check=True)
    base.append((time.perf_counter() - t) * 1e3)
base.sort()
p = lambda v, q: v[min(len(v) - 1, int(len(v) * q))]
print(f"mayfly run -- mayfly svid fetch, whole, {runs} times: p50 {p(took, .5):.1f} ms, p99 {p(took, .99):.1f} ms "
      f"(two program starts of `sh` beside it: p50 {p(base, .5):.1f} ms)")
P
for r in "${roles[@]}"; do
	now=$(cpu "${pid[$r]}")
	awk -v r="$r" -v d=$((now - at[$r])) -v n="$runs" 'BEGIN{printf "cpu %-13s %.2f ms per job (attach, issue, end)\n", r, d / n}'
done
for r in mayfly-broker notary broker-front mayfly-agent attestor agent-front; do
	case $r in mayfly-broker) p=$(cat broker.pid) ;; mayfly-agent) p=$(cat agent.pid) ;; *) p=${pid[$r]} ;; esac
	awk -v r="$r" '/^VmRSS/{rss=$2} /^RssAnon/{anon=$2} END{printf "memory %-13s %.1f MiB resident, %.1f MiB its own\n", r, rss/1024, anon/1024}' "/proc/$p/status"
done
openssl speed -seconds 2 ecdsap256 2>/dev/null | tail -1
agent_down
broker_down
ok first-path
finish
