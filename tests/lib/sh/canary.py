"""Looks for secrets where none may be. VALUES is a JSON object {name: secret}; each is looked for as it is, in hex, in base64 wherever it may
begin, and percent-encoded. Prints `WHERE: NAME`, and fails when anything was found.

    canary.py files VALUES PATH...        files, and what is below directories
    canary.py trace VALUES FILE...        what a process read and wrote, by `strace -xx -s 65536`: each call's bytes, and each descriptor's in a row
    canary.py memory VALUES PID...        what a process has in its memory (for root)
    canary.py watch OUT PID               arguments and environments of all that PID started, until it is told to end; OUT/N has one each
"""
import base64
import json
import os
import re
import signal
import sys
import time
import urllib.parse


def forms(text):
    raw = text.encode()
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for shift in range(3):      # base64 of it, wherever it begins in a longer text
        inner = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0:-4]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")
    quoted = urllib.parse.quote(text, safe="")
    yield quoted.encode()
    yield re.sub("%..", lambda m: m.group().lower(), quoted).encode()
    yield text.replace("/", "\\/").encode()     # JSON may


def load(path):
    with open(path) as f:
        values = json.load(f)
    short = [n for n, v in values.items() if len(v) < 16]
    if short or not values:
        sys.exit("too short to look for: %s" % short)
    return {n: sorted(set(forms(v))) for n, v in values.items()}


def find(needles, where, data):
    return {"%s: %s" % (where, n) for n, texts in needles.items() for t in texts if t in data}


def below(tops):
    for top in tops:
        if os.path.isfile(top):
            yield top
        for d, _, names in os.walk(top):
            for n in names:
                if os.path.isfile(os.path.join(d, n)):      # no socket, no pipe
                    yield os.path.join(d, n)


def files(needles, *tops):
    found, n = set(), 0
    for path in below(tops):
        n += 1
        with open(path, "rb") as f:
            data = f.read()
        # PEM and base64 have lines, also inside JSON
        found |= find(needles, path, data) | find(needles, path, data.replace(b"\n", b"").replace(b"\\n", b""))
    print("%d files" % n)
    return found if n else {"nothing to look at"}


CALL = re.compile(rb"^(?:\d+ +)?(?:[\d.:]+ )?(\w+)\((\d+)?")
TEXT = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def trace(needles, *paths):
    found, calls = set(), 0
    for path in paths:
        rows = {}
        with open(path, "rb") as f:
            for line in f:
                call = CALL.match(line)
                if not call:
                    continue
                said = b""
                for text, cut in TEXT.findall(line):
                    if cut:
                        found.add("%s: a call's bytes are cut: %s" % (path, line[:60]))
                    said += bytes.fromhex(text.replace(rb"\x", b"").decode())
                if said:
                    calls += 1
                    found |= find(needles, "%s %s" % (path, call.group(1).decode()), said)
                    # Reading and writing are two rows.
                    way = b"w" if call.group(1).startswith((b"w", b"s", b"p")) else b"r"
                    rows.setdefault((way, call.group(2)), bytearray()).extend(said)
        for (way, fd), data in rows.items():
            found |= find(needles, "%s descriptor %s" % (path, (fd or b"?").decode()), bytes(data))
    print("%d calls with bytes" % calls)
    return found if calls else {"nothing was traced"}


def memory(needles, *pids):
    found = set()
    for pid in pids:
        with open("/proc/%s/comm" % pid) as f:
            name = f.read().strip()
        with open("/proc/%s/mem" % pid, "rb", 0) as mem, open("/proc/%s/maps" % pid) as maps:
            for line in maps:
                lo, hi = (int(x, 16) for x in line.split()[0].split("-"))
                if "r" in line.split()[1] and "[v" not in line:
                    mem.seek(lo)
                    found |= find(needles, name, mem.read(hi - lo))
    return found


def children():
    kids = {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % p) as f:
                kids.setdefault(f.read().rpartition(")")[2].split()[1], []).append(p)
        except OSError:     # it is gone
            pass
    return kids


def watch(out, top):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.makedirs(out)
    seen = set()
    while True:
        kids, todo = children(), [top]
        while todo:
            pid = todo.pop()
            todo += kids.get(pid, [])
            said = b""
            for what in ("cmdline", "environ"):
                try:
                    with open("/proc/%s/%s" % (pid, what), "rb") as f:
                        said += f.read() + b"\n"
                except OSError:
                    pass
            if said.strip() and said not in seen:
                seen.add(said)
                with open(os.path.join(out, str(len(seen))), "wb") as f:
                    f.write(said)
        time.sleep(0.05)


if __name__ == "__main__":
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == "watch":
        watch(*args)
    result = {"files": files, "trace": trace, "memory": memory}[verb](load(args[0]), *args[1:])
    print("\n".join(sorted(result)))
    sys.exit(bool(result))
