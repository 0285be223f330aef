#!/bin/bash
# CPU of the agent (all roles) for a cached fetch: by a known process on a new connection and on one that is open, and by a process
# that was never seen (one look by the attestor each). Nothing is asserted. Medians of 5 rounds.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch cached
pair_init
relay_up
broker_up
agent_up
cat >bench.py <<'P'
import glob, os, socket, sys
sys.path.insert(0, sys.argv[1])
import jobcall
sock, front, attestor, n = sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
def cpu(pid):
    return sum(int(open(p).read().split()[0]) for p in glob.glob("/proc/%s/task/*/schedstat" % pid))
opening, first = jobcall.opening(), jobcall.request(jobcall.X509)
def until(s, stream):  # the first DATA frame of the stream
    buf = b""
    while True:
        got = s.recv(65536)
        assert got, "closed"
        buf += got
        while len(buf) >= 9 and len(buf) >= 9 + int.from_bytes(buf[:3], "big"):
            n, kind, flags, sid = int.from_bytes(buf[:3], "big"), buf[3], buf[4], int.from_bytes(buf[5:9], "big")
            buf = buf[9 + n:]
            if kind == 0 and sid == stream and n:
                return
            assert kind not in (1, 3, 7) or sid != stream or kind == 1 and not flags & 1, "kind %d" % kind
def new():
    s = jobcall.connect(sock)
    s.sendall(opening + first)
    until(s, 1)
    s.close()
class warm:  # a hundred streams one after the other, then another connection: who resets as many is taken for an attack
    def __init__(self):
        self.s, self.id = jobcall.connect(sock), 1
        self.s.sendall(opening + jobcall.frame(8, 0, 0, (1 << 28).to_bytes(4, "big")))
    def __call__(self):
        self.s.sendall(jobcall.request(jobcall.X509, stream=self.id))
        until(self.s, self.id)
        self.id += 2
        if self.id > 200:
            self.s.close()
            self.__init__()
def unseen():
    if os.fork() == 0:
        new()
        os._exit(0)
    os.wait()
def measure(name, f, n):
    rounds = []
    for _ in range(5):
        before = cpu(front), cpu(attestor)
        for _ in range(n):
            f()
        rounds.append(((cpu(front) - before[0]) / n / 1e3, (cpu(attestor) - before[1]) / n / 1e3))
    rounds.sort(key=sum)
    print("%-44s front %6.1f us, attestor %6.1f us, together %6.1f us (5 x %d)" % (name, *rounds[2], sum(rounds[2]), n), flush=True)
new()
measure("known process, new connection", new, n)
measure("known process, open connection", warm(), n)
measure("process never seen, new connection", unseen, n // 10)
P
echo "machine: $(uname -sr), $(nproc) CPUs, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1); mayfly $(mayfly --version | head -1)"
run_job long /usr/bin/python3 bench.py "$MAYFLY_TOP/tests/lib/sh" "$PWD/run/agent.sock" "$(role_pid agent-front)" "$(role_pid attestor)" "${MF_BENCH_RUNS:-2000}" </dev/null 2>bench.err && ok cached-fetch || fail cached-fetch "$(tail -3 bench.err)"
agent_down
broker_down
finish
