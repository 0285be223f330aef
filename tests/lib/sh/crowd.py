#!/usr/bin/python3
"""crowd.py SOCKET CONNS STREAMS [HOLD]: open CONNS connections with STREAMS FetchX509SVID each at once, and read until each stream
has its first message or its end. Prints one line: "streams N served N refused N other N in-order yes|no seconds S". With HOLD, a
file name, the streams stay open until that file is there."""
import os
import select
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import jobcall  # noqa: E402

SOCK, CONNS, STREAMS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


class Conn:
    def __init__(self):
        self.s, self.buf, self.hd = jobcall.connect(SOCK), b"", jobcall._Inflater()
        self.first = {}  # stream -> "served" or the status, in the order in which it came
        out = jobcall.opening() + b"".join(jobcall.request(jobcall.X509, stream=2 * k + 1) for k in range(STREAMS))
        # The windows are wide, so that no reader of few bytes is what is measured.
        self.s.sendall(out + jobcall.frame(8, 0, 0, (1 << 28).to_bytes(4, "big")))

    def read(self):
        got = self.s.recv(1 << 18)
        if not got:
            for k in range(STREAMS):
                self.first.setdefault(2 * k + 1, "closed")
            return
        self.buf += got
        while len(self.buf) >= 9:
            n = int.from_bytes(self.buf[:3], "big")
            if len(self.buf) < 9 + n:
                break
            kind, flags, sid = self.buf[3], self.buf[4], int.from_bytes(self.buf[5:9], "big") & 0x7FFFFFFF
            body, self.buf = self.buf[9:9 + n], self.buf[9 + n:]
            if kind in (4, 6) and not flags & 1:
                self.s.sendall(jobcall.frame(kind, 1, 0, body if kind == 6 else b""))
            elif kind == 1:
                h = self.hd.headers(body)
                if "grpc-status" in h:
                    self.first.setdefault(sid, h["grpc-status"])
            elif kind == 0 and n:
                self.first.setdefault(sid, "served")
            elif kind == 3:
                self.first.setdefault(sid, "reset")


begun = time.monotonic()
conns = [Conn() for _ in range(CONNS)]
while any(len(c.first) < STREAMS for c in conns) and time.monotonic() - begun < 120:
    for c in select.select([c.s for c in conns], [], [], 5)[0]:
        next(x for x in conns if x.s is c).read()
took = time.monotonic() - begun
ends = [e for c in conns for e in c.first.values()]
print("streams %d served %d refused %d other %d in-order %s seconds %.3f" % (
    len(ends), ends.count("served"), ends.count("7"), len(ends) - ends.count("served") - ends.count("7"),
    "yes" if all(list(c.first) == sorted(c.first) for c in conns) else "no", took), flush=True)
while len(sys.argv) > 4 and not os.path.exists(sys.argv[4]):
    for c in select.select([c.s for c in conns], [], [], 0.05)[0]:
        next(x for x in conns if x.s is c).read()
