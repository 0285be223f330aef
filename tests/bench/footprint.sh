#!/bin/bash
# What Mayfly takes when it has nothing to do: memory of the broker without courier, of the agent with MF_BENCH_IDENTITIES (50) jobs
# that have their identity, for each held stream of the Workload API with a connection of its own (MF_BENCH_STREAMS, 1000), whether
# that is given back, CPU and wake-ups of all roles over MF_BENCH_IDLE seconds (60) with the streams held.
# Nothing is asserted. (What an idle agent's session costs the broker: bench/sessions.)
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
[ "$(id -u)" = 0 ] || { skip all "needs root: it looks at the roles' memory"; exit 0; }
scratch footprint
identities=${MF_BENCH_IDENTITIES:-50} streams=${MF_BENCH_STREAMS:-1000} idle=${MF_BENCH_IDLE:-60}
ulimit -n "$(ulimit -Hn)"
cat >look.py <<'P'
"""look.py memory|mappings TITLE PID...: what processes have resident, pages that they share counted once; by mapping.
look.py idle SECONDS NAME=PID...: CPU and switches of processes that should do nothing."""
import os, re, struct, sys, time
def smaps(pid):
    name = None
    for line in open("/proc/%s/smaps" % pid):
        m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ \S+ *(.*)", line)
        if m:
            name = m.group(4) or "[other]"
            yield ("map", name, int(m.group(1), 16), int(m.group(2), 16))
        else:
            k, v = line.split(":", 1)
            if k in ("Rss", "Pss", "Anonymous"):
                yield (k, name, int(v.split()[0]), 0)
def frames(pid, into):  # page frames, each once whoever has them
    try:
        with open("/proc/%s/pagemap" % pid, "rb") as f:
            for kind, name, a, b in smaps(pid):
                if kind != "map" or name in ("[vsyscall]", "[vvar]", "[vdso]"):
                    continue
                f.seek(a // 4096 * 8)
                data = f.read((b - a) // 4096 * 8)
                for (e,) in struct.iter_unpack("<Q", data):
                    if e >> 63 and e & ((1 << 55) - 1):
                        into.add(e & ((1 << 55) - 1))
    except OSError:
        return
if sys.argv[1] in ("memory", "mappings"):
    rss = pss = anon = 0
    by, seen = {}, set()
    for pid in sys.argv[3:]:
        for kind, name, v, _ in smaps(pid):
            if kind == "map":
                continue
            rss, pss, anon = rss + v * (kind == "Rss"), pss + v * (kind == "Pss"), anon + v * (kind == "Anonymous")
            r = by.setdefault(os.path.basename(name), [0, 0])
            r[0] += v * (kind == "Pss")
            r[1] += v * (kind == "Anonymous")
        frames(pid, seen)
    once = "%.2f MB" % (len(seen) * 4096 / 1e6) if seen else "not known (no page map)"
    print("%-44s anonymous %.2f MB; resident, shared pages once %s; sum of Pss %.2f MB, of Rss %.2f MB" % (sys.argv[2], anon * 1024 / 1e6, once, pss * 1024 / 1e6, rss * 1024 / 1e6), flush=True)
    if sys.argv[1] == "mappings":
        for name, (p, a) in sorted(by.items(), key=lambda x: -x[1][0])[:14]:
            print("    %-36s Pss %7.0f kB, anonymous %6.0f kB" % (name, p, a), flush=True)
else:
    seconds, who = float(sys.argv[2]), [a.split("=") for a in sys.argv[3:]]
    def look(pid):
        cpu = switches = 0
        for t in os.listdir("/proc/%s/task" % pid):
            cpu += int(open("/proc/%s/task/%s/schedstat" % (pid, t)).read().split()[0])
            for line in open("/proc/%s/task/%s/status" % (pid, t)):
                if line.startswith("voluntary"):
                    switches += int(line.split()[1])
        return cpu, switches
    before = [look(p) for _, p in who]
    time.sleep(seconds)
    total = 0
    for (name, p), (c, s) in zip(who, before):
        c2, s2 = look(p)
        total += c2 - c
        print("    %-16s CPU %7.2f ms, %7.1f wake-ups a minute" % (name, (c2 - c) / 1e6 * 60 / seconds, (s2 - s) * 60 / seconds))
    print("idle: %.4f s of CPU a minute, all roles (measured over %.0f s, load %.1f)" % (total / 1e9 * 60 / seconds, seconds, os.getloadavg()[0]), flush=True)
P
cat >hold.py <<'P'
"""hold.py TESTS/LIB/SH SOCKET N: N connections with a stream each, held until a line comes on stdin; then closed, until another comes."""
import sys
sys.path.insert(0, sys.argv[1])
import jobcall
held = []
for _ in range(int(sys.argv[3])):
    s = jobcall.connect(sys.argv[2])
    s.sendall(jobcall.opening() + jobcall.request(jobcall.X509))
    held.append(s)
for s in held:  # the first answer is there
    assert s.recv(65536)
print("held", flush=True)
sys.stdin.readline()
for s in held:
    s.close()
print("closed", flush=True)
sys.stdin.readline()
P
broker_pids() { cat broker.pid; pgrep -P "$(cat broker.pid)"; }
agent_pids() { cat agent.pid; pgrep -P "$(cat agent.pid)"; }
named() { local p; for p in "$@"; do echo "$(cat "/proc/$p/comm")=$p"; done; }
look() { /usr/bin/python3 look.py "$@"; }
DEV_TTL=20m pair_init
sed -i "s/^advertise: .*/advertise: 127.0.0.1:$P_LISTEN/" broker.yaml
echo "machine: $(uname -sr), $(nproc) CPUs, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1); $(openssl version); $(mayfly --version | head -1)"
broker_up
agent_up
sleep 3 # what the start leaves is done
# shellcheck disable=SC2046 # process ids
look mappings "broker, idle, without courier" $(broker_pids)
# shellcheck disable=SC2046
look memory "agent, idle, nothing attached" $(agent_pids)
for i in $(seq "$identities"); do
	mayfly run --profile long -- sh -c "mayfly svid fetch >/dev/null && : >has.$i && exec sleep 3600" >run.log 2>&1 </dev/null &
	on_exit stop $!
	poll 60 test -e "has.$i" || { fail identities "$(cat run.log)"; finish; }
done
sleep 3
# shellcheck disable=SC2046
look mappings "agent, $identities identities" $(agent_pids)
for p in $(agent_pids); do look memory "    of that $(cat "/proc/$p/comm")" "$p"; done
resident() { awk '/^Rss/ { r = $2 } /^Anonymous/ { a = $2 } END { print r, a }' "/proc/$(role_pid agent-front)/smaps_rollup"; }
mkfifo go
read -r r0 a0 <<<"$(resident)"
mayfly run --profile long -- /usr/bin/python3 hold.py "$MAYFLY_TOP/tests/lib/sh" "$PWD/run/agent.sock" "$streams" >held 2>held.err <go &
on_exit stop $!
exec 7>go
poll 120 grep -q held held || { fail streams "$(cat held held.err)"; finish; }
sleep 3
read -r r1 a1 <<<"$(resident)"
# shellcheck disable=SC2046
look idle "$idle" $(named $(broker_pids) $(agent_pids))
echo >&7
poll 60 grep -q closed held
sleep 3
read -r r2 a2 <<<"$(resident)"
awk -v n="$streams" -v a0="$a0" -v a1="$a1" -v a2="$a2" -v r0="$r0" -v r1="$r1" -v r2="$r2" 'BEGIN {
	printf "a held stream with its connection: %.1f KiB resident, %.1f KiB of it anonymous (%d streams); when they are closed %.0f %% is given back\n", (r1 - r0) / n, (a1 - a0) / n, n, 100 * (r1 - r2) / (r1 - r0) }'
echo >&7
exec 7>&-
agent_down
broker_down
ok footprint
finish
