#!/bin/bash
# The first path in figures: `mayfly run` to SVID in hand, CPU per issuance by role, what the kernel is asked for on the way,
# memory of each process. Nothing is asserted. The limit beside which the figures stand is measured in the same run.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch bench
DEV_TTL=20m pair_init
# /run is no disk on a real machine.
if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ] && mem=$(mktemp -d /dev/shm/mayfly-bench.XXXXXX); then
	chmod 755 "$mem"
	on_exit rm -rf "$mem"
	rmdir run && ln -s "$mem" run
fi
relay_up
broker_up
agent_up
roles=(notary broker-front attestor agent-front)
cpu() { awk '{ ns += $1 } END { printf "%.0f\n", ns / 1000 }' "/proc/$1"/task/*/schedstat; } # us
declare -A pid at
tracers=()
for r in "${roles[@]}"; do pid[$r]=$(role_pid "$r"); done
runs=${MF_BENCH_RUNS:-200}
for r in "${roles[@]}"; do at[$r]=$(cpu "${pid[$r]}"); done
/usr/bin/python3 - "$runs" <<'P'
import os, subprocess, sys, time
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
      f"(two program starts of `sh` beside it: p50 {p(base, .5):.1f} ms; load {os.getloadavg()[0]:.1f})")
P
for r in "${roles[@]}"; do
	now=$(cpu "${pid[$r]}")
	awk -v r="$r" -v d=$((now - at[$r])) -v n="$runs" 'BEGIN{printf "cpu %-13s %.0f us per job (attach, issue, end)\n", r, d / n}'
done
# What load does not change: system calls for one job, by role.
if command -v strace >/dev/null; then
	for r in "${roles[@]}"; do
		strace -f -c -o "calls.$r" -p "${pid[$r]}" 2>/dev/null &
		on_exit stop $!
		tracers+=($!)
	done
	traced() { grep -q '^TracerPid:[[:space:]]*[1-9]' "/proc/${pid[$1]}/status"; }
	for r in "${roles[@]}"; do poll 30 traced "$r"; done
	for _ in 1 2 3 4 5 6 7 8 9 10; do mayfly run --profile long -- mayfly svid fetch -o json >/dev/null; done
	for t in "${tracers[@]}"; do kill -INT "$t" && wait "$t"; done
	for r in "${roles[@]}"; do
		awk -v r="$r" '
			$NF ~ /^(fsync|fdatasync)$/ { sync += $4 } $NF ~ /^(rename|unlink|open)/ { files += $4 } $4 ~ /^[0-9]+$/ && $NF != "total" { sum += $4 }
			END { printf "calls %-13s %.1f per job, of them syncs %.1f, opens, renames and unlinks %.1f\n", r, sum / 10, sync / 10, files / 10 }' "calls.$r"
	done
fi
for r in mayfly-broker notary broker-front mayfly-agent attestor agent-front; do
	case $r in mayfly-broker) p=$(cat broker.pid) ;; mayfly-agent) p=$(cat agent.pid) ;; *) p=${pid[$r]} ;; esac
	awk -v r="$r" '/^VmRSS/{rss=$2} /^RssAnon/{anon=$2} END{printf "memory %-13s %.1f MiB resident, %.1f MiB its own\n", r, rss/1024, anon/1024}' "/proc/$p/status"
done
openssl speed -seconds 2 ecdsap256 2>/dev/null | tail -1
agent_down
broker_down
ok first-path
finish
