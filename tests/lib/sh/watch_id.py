#!/usr/bin/python3
"""watch_id.py SOCKET: FetchX509SVID for ever, as a watching client does it: a stream that ends is opened anew at once. Prints
"pid N", "id SPIFFE-ID TIME" for each message and "end STATUS TIME MESSAGE" for each stream (status "closed": without one)."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import jobcall  # noqa: E402

print("pid %d" % os.getpid(), flush=True)
while True:
    try:
        s = jobcall.connect(sys.argv[1])
        s.sendall(jobcall.opening() + jobcall.request(jobcall.X509))
        r = jobcall.Reader(s)
        while True:
            a = r.answer(seconds=3600)
            for i in a["ids"]:
                print("id %s %.6f" % (i, time.time()), flush=True)
            if a["status"] is not None or a["closed"]:
                print("end %s %.6f %s" % (a["status"] or "closed", time.time(), a["message"]), flush=True)
                break
        s.close()
    except OSError:
        pass
    time.sleep(0.02)
