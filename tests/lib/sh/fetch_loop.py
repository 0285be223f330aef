#!/usr/bin/python3
"""fetch_loop.py SOCKET STOP [LEAST]: fetch on a new connection every 20 ms until the file STOP is there, and LEAST (20) times. Prints one line:
"fetches N bad N p50 MS p99 MS"."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import jobcall  # noqa: E402

took, bad = [], 0
least = int(sys.argv[3]) if len(sys.argv) > 3 else 20
while not os.path.exists(sys.argv[2]) or len(took) < least:
    t = time.monotonic()
    bad += not jobcall.fetch(sys.argv[1])["ids"]
    took.append((time.monotonic() - t) * 1e3)
    time.sleep(0.02)
took.sort()
print("fetches %d bad %d p50 %.2f p99 %.2f" % (len(took), bad, took[len(took) // 2], took[int(len(took) * 0.99)]))
