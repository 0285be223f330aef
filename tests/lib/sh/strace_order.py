"""strace_order.py TRACE LEAST: between the write of an issuance record and the end of its sync, the notary begins to send
no message that could hold a certificate (SessionData, type 66, of 500 bytes and more: a sealed grant is over 600, what
else such a session carries is below). Exit 1 with the offence, or when fewer than LEAST issuances or grants were seen."""
import re
import sys

trace, least = sys.argv[1], int(sys.argv[2])
LARGE = 500
DATA = re.compile(r'iov_base="\\0B(?:[^"\\]|\\.)*"(?:\.\.\.)?, iov_len=(\d+)')
pending = {}  # log descriptor: issuances written and not synced
syncing = {}  # thread: descriptor of a sync under way
sending = {}  # thread: issuances that were not on disk when its send began
seen = synced = grants = 0


def judge(sizes, undurable, line):
    global grants
    for size in sizes:
        if size < LARGE:
            continue
        grants += 1
        if undurable:
            print(f"{size} bytes left while {undurable} issuances were not on disk: {line[:160]}")
            sys.exit(1)


for line in open(trace, errors="replace"):
    m = re.match(r"(\d+) +[\d.]+ (.*)", line)
    if not m:
        continue
    tid, what = m.groups()
    w = re.match(r"(?:write|pwrite64|writev|pwritev)\((\d+), (.*)", what)
    if w:
        n = len(re.findall(r"svid\.(?:issued|renewed)", w.group(2)))
        if n:
            seen += n
            pending[w.group(1)] = pending.get(w.group(1), 0) + n
        continue
    s = re.match(r"(?:fdatasync|fsync)\((\d+)(?:\) += (-?\d+)| <unfinished)", what)
    if s:
        if s.group(2) is None:
            syncing[tid] = s.group(1)
        elif s.group(2) == "0":
            synced += pending.pop(s.group(1), 0)
        continue
    r = re.match(r"<\.\.\. (?:fdatasync|fsync) resumed>\) += (-?\d+)", what)
    if r:
        fd = syncing.pop(tid, None)
        if fd and r.group(1) == "0":
            synced += pending.pop(fd, 0)
        continue
    if re.match(r"send(?:msg|mmsg)\(", what):
        if "<unfinished" in what:
            sending[tid] = sum(pending.values())
        judge([int(x) for x in DATA.findall(what)], sum(pending.values()), line)
    elif re.match(r"<\.\.\. send(?:msg|mmsg) resumed>", what):
        judge([int(x) for x in DATA.findall(what)], sending.pop(tid, 0), line)
print(f"{seen} issuances written, {synced} synced, {grants} grants left after them")
if synced < least or grants < least:
    print("too few were seen for a verdict")
    sys.exit(1)
