"""ends_bench.py KIND RUNS SOCKET LOG: how soon after its last process a job is silent, and its end on record. KIND run: a job of
`mayfly run`, whose event is its cgroup falling empty; process: a plain process, whose event is its own end.

A job opens a stream on the Workload API, hands the connected socket to this process, which is none of the job, and ends.
Silent: something comes on that socket, for all that still comes is the stream's end. Recorded: lease.ended is in the log's newest
segment, and a sync of that file has returned to us: an upper bound, as the notary's own sync is over before."""
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import jobcall  # noqa: E402


def job(sock, link):
    s = jobcall.connect(sock)
    s.sendall(jobcall.opening() + jobcall.request(jobcall.X509))
    got = b""
    while b"spiffe://" not in got:
        more = s.recv(65536)
        assert more, "closed"
        got += more
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as u:
        u.connect(link)
        socket.send_fds(u, [b"%d" % os.getpid()], [s.fileno()])
        u.recv(1)
    os._exit(0)


def newest(log):
    return os.path.join(log, sorted(n for n in os.listdir(log) if n.endswith(".seg"))[-1])


def cgroup_events(pid):
    for line in open("/proc/%d/cgroup" % pid):
        if line.startswith("0::"):
            path = line[3:].strip()
    for line in open("/proc/self/mountinfo"):
        part = line.split()
        if part[part.index("-") + 1] == "cgroup2":
            return open(part[4] + path + "/cgroup.events")
    raise SystemExit("no cgroup2 here")


def empty(events):
    try:
        events.seek(0)
        return "populated 0" in events.read()
    except OSError:
        return True  # removed


class Segment:
    def __init__(self, log):
        self.f = open(newest(log), "rb")
        self.f.seek(0, 2)
        self.tail = b""

    def ended(self):
        """There is a lease.ended more."""
        self.tail += self.f.read()
        found = b"lease.ended" in self.tail
        self.tail = b"" if found else self.tail[-64:]
        return found


def one(kind, sock, log, door, link):
    cmd = [sys.executable, os.path.abspath(__file__), "job", "1", sock, link]
    child = subprocess.Popen((["mayfly", "run", "--profile", "long", "--"] if kind == "run" else []) + cmd,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    door.settimeout(60)
    u, _ = door.accept()
    pid, fds, _, _ = socket.recv_fds(u, 32, 1)
    held, pid = socket.socket(fileno=fds[0]), int(pid)
    held.setblocking(False)
    pidfd, seg = os.pidfd_open(pid), Segment(log)
    events = cgroup_events(pid) if kind == "run" else None
    e = select.epoll()
    e.register(held, select.EPOLLIN)
    e.register(pidfd, select.EPOLLIN)
    if events:
        empty(events)
        e.register(events, select.EPOLLPRI)
    try:
        held.recv(65536)
    except BlockingIOError:
        pass
    at = {}
    u.send(b"x")
    limit = time.monotonic() + 60
    while len(at) < (4 if events else 3):
        ready = e.poll(0.0005)  # and the segment, which no event tells of in time
        now = time.monotonic()
        assert now < limit, "seen in a minute: %s" % sorted(at)
        for fd, _ in ready:
            if fd == held.fileno():
                at.setdefault("silent", now)
                e.unregister(held)
            elif fd == pidfd:
                at.setdefault("exit", now)
                e.unregister(pidfd)
            elif empty(events):
                at.setdefault("empty", now)
                e.unregister(events)
        if "recorded" not in at and seg.ended():
            os.fdatasync(seg.f.fileno())
            at["recorded"] = time.monotonic()
    for x in (held, u, seg.f, e):
        x.close()
    if events:
        events.close()
    os.close(pidfd)
    why = child.communicate()[1]
    assert child.returncode == 0, why
    t0 = at["empty" if events else "exit"]
    return [(at[k] - t0) * 1e3 for k in ("silent", "recorded")] + [(t0 - at["exit"]) * 1e3]


def main():
    kind, runs, sock, log = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    with tempfile.TemporaryDirectory(dir=".") as d:
        link = os.path.join(d, "door")
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        door.bind(link)
        door.listen(1)
        all_ = [one(kind, sock, log, door, os.path.abspath(link)) for _ in range(runs)]
    for k, name, aim in ((0, "silent", 2), (1, "recorded", 20)):
        v = sorted(x[k] for x in all_)
        print("%s: %d ends, from the kernel's event to %s: p50 %.2f ms, p99 %.2f ms, most %.2f ms (aim p99 %d ms; load %.1f)"
              % (kind, runs, name, v[runs // 2], v[int(runs * 0.99)], v[-1], aim, os.getloadavg()[0]))
    if os.environ.get("MF_BENCH_ALL"):
        json.dump(all_, sys.stdout)


if sys.argv[1] == "job":
    job(sys.argv[3], sys.argv[4])
else:
    main()
