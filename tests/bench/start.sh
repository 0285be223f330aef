#!/bin/bash
# How long broker and agent take from exec to the first answer, and the broker with a long log: MF_BENCH_RECORDS (1,000,000) of 30
# days of work, the last segment nearly full (tests/tools/mf_growlog.c). 30,000,000 take 8 GB and some ten minutes to make. Memory of
# the roles at that size, the read model made anew, and what a renewal costs the log. Nothing is asserted.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl gcc
dev=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}
[ -x "$dev/tests/mf_growlog" ] || { skip all "mf_growlog is not built"; exit 0; }
scratch bench-start
records=${MF_BENCH_RECORDS:-1000000} runs=${MF_BENCH_RUNS:-9} days=30
cat >start.py <<'P'
"""start.py WHAT RUNS PORT SOCKET CMD...: from exec to the first answer, and to the clean end; medians. WHAT is broker or agent."""
import http.client, os, signal, socket, subprocess, sys, time
what, runs, port, sock, cmd = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5:]
def ready():
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        c.request("GET", "/readyz")
        return c.getresponse().status == 200
    except OSError:
        return False
def connects():
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(sock)
        return True
    except OSError:
        return False
    finally:
        s.close()
took, first, cpu = [], [], []
with open(what + ".log", "ab") as log:
    for _ in range(runs):
        t = time.perf_counter()
        before = os.times()
        p = subprocess.Popen(cmd, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        answered = None
        while not ready():
            if answered is None and connects():
                answered = time.perf_counter() - t
            if p.poll() is not None or time.perf_counter() - t > 900:
                sys.exit("%s does not get ready" % what)
            time.sleep(0.0005)
        took.append((time.perf_counter() - t) * 1e3)
        first.append(((answered or time.perf_counter() - t)) * 1e3)
        p.send_signal(signal.SIGTERM)
        p.wait()
        after = os.times()
        cpu.append((after.children_user + after.children_system - before.children_user - before.children_system) * 1e3)
med = lambda v: sorted(v)[len(v) // 2]
print("%-34s socket takes connections %.1f ms, /readyz says yes %.1f ms (%.1f to %.1f), CPU with its end %.0f ms; %d runs, load %.1f"
      % (what, med(first), med(took), min(took), max(took), med(cpu), runs, os.getloadavg()[0]), flush=True)
P
# A log that begins days ago: its first record is written by a broker whose clock says so.
gcc -O1 -fPIC -shared -DWALL_FILE="\"$PWD/wall\"" -o wall.so "$MAYFLY_TOP/tests/lib/preload/wall.c" || { fail preload "cannot be built"; finish; }
/usr/bin/python3 -c 'import struct, sys; sys.stdout.buffer.write(struct.pack("q", -int(sys.argv[1]) * 86400 * 1000000))' $days >wall
mayfly-broker() { LD_PRELOAD="$PWD/wall.so" command mayfly-broker "$@"; }
pair_init
unset -f mayfly-broker
sed -i "s/^advertise: .*/advertise: 127.0.0.1:$P_LISTEN/" broker.yaml
# /run is no disk on a real machine.
if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ] && mem=$(mktemp -d /dev/shm/mayfly-bench.XXXXXX); then
	chmod 755 "$mem"
	on_exit rm -rf "$mem"
	rmdir run && ln -s "$mem" run
fi
memory() { # WHEN
	local r
	for r in notary broker-front; do
		awk -v w="$1" -v r="$r" '/^VmHWM/{hwm=$2} /^RssAnon/{anon=$2} END{printf "  memory %-22s %-13s %.1f MiB its own, peak %.1f MiB resident\n", w, r, anon/1024, hwm/1024}' "/proc/$(role_pid "$r")/status"
	done
}
caught_up() { mayfly status -o json | json 'd["items"][0]["applied_index"] == d["items"][0]["log_size"]' | grep -qi true; }
start_broker() { /usr/bin/python3 start.py broker "$1" "$P_MB" "$PWD/run/admin.sock" "$MAYFLY_BIN/mayfly-broker" run --config "$PWD/broker.yaml" || fail "$2" "$(tail -3 broker.log)"; }
echo "machine: $(uname -sr), $(nproc) CPUs, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1); $(mayfly --version | head -1)"
cp -a broker empty
start_broker "$runs" warm
broker_up
agent_up
agent_down
/usr/bin/python3 start.py agent "$runs" "$P_MA" "$PWD/run/agent.sock" "$MAYFLY_BIN/mayfly-agent" run --config "$PWD/agent.yaml" || fail agent "$(tail -3 agent.log)"
broker_down
rm -rf broker agent token && mv empty broker
begin=$(date +%s)
"$dev/tests/mf_growlog" broker test.example b1 "$records" $days >grown 2>grow.log || { fail grow "$(tail -1 grow.log)"; finish; }
chown -R --reference=broker/log/wal broker/log/wal broker/log/snapshots broker/log/checkpoint
echo "a log of $(cat grown), made in $(($(date +%s) - begin)) s; wal $(du -sm broker/log/wal | cut -f1) MiB, $(find broker/log/wal -name '*.seg' | wc -l) segments, snapshot $(du -k broker/log/snapshots/*.snap | tail -1 | cut -f1) KiB"
/usr/bin/python3 - broker/log/wal <<'P'
import glob, re, sys
text = open(sorted(glob.glob(sys.argv[1] + "/*.seg"))[-1], "rb").read()
sizes = [len(r) for r in re.findall(rb'\{"der":"[^{}]*"type":"svid.renewed","v":1\}', text)]
each, day = sum(sizes) / len(sizes) + 4, 144 / 1000
print("a renewal in this log: %.0f bytes with its length; of 20 minutes, renewed at half-life, a live certificate costs %.1f KB a day, and its share of frames: %.1f KB when alone in its own, %.1f KB among ten"
      % (each, each * day, 100 * day, 10 * day))
P
begin=$(date +%s%N)
broker_up
memory "ready, tables empty"
poll 3600 caught_up || fail rebuild "$(mayfly status 2>&1)"
echo "tables built from nothing, while it serves: $((($(date +%s%N) - begin) / 1000000)) ms from the start on, $(du -sm broker/db | cut -f1) MiB"
memory "tables built"
broker_down
grep -h '"event":"log.opened"' broker.log | tail -1
start_broker 5 long
grep -h '"event":"log.opened"' broker.log | tail -1
[ $t_failed != 0 ] || ok start
finish
