#!/usr/bin/python3
"""fetch_id.py SOCKET [KEEP]: one FetchX509SVID by this very process; prints {"ids", "status", "message"} as one line of JSON.
With KEEP it goes on living, and asks again for each line on stdin."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import jobcall  # noqa: E402


def once():
    r = jobcall.fetch(sys.argv[1])
    print(json.dumps({k: r[k] for k in ("ids", "status", "message", "closed")}), flush=True)


once()
if len(sys.argv) > 2:
    time.sleep(3600)
