"""The job of ../boto/job.py with s3fs, as a data loader has it: job.py BUCKET READ WRITE OTHER, and its loops"""
import os
import sys
import time

import s3fs
from botocore.exceptions import BotoCoreError


def status(call):
    try:
        call()
        return 200
    except PermissionError:
        return 403
    except (OSError, BotoCoreError) as e:
        return "%s %s" % (type(e).__name__, " ".join(str(e).split()))


def new_client():
    return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


def fresh(path, stop):
    calls, failed = 0, 0
    while not os.path.exists(stop):
        calls += 1
        begun = time.monotonic()
        s = status(lambda: new_client().cat_file(path))
        if s != 200:
            failed += 1
            print("after %d ms: %s" % ((time.monotonic() - begun) * 1000, s), file=sys.stderr)
        time.sleep(0.02)
    print("reads %d failed %d" % (calls, failed))


def held(path, stop):
    last, client = "", new_client()
    while not os.path.exists(stop):
        s = status(lambda: client.cat_file(path))
        if s != last:
            print("held", s, flush=True)
        last = s
        time.sleep(0.5)
    print("fresh", status(lambda: new_client().cat_file(path)))


if sys.argv[1] in ("--fresh", "--held"):
    (fresh if sys.argv[1] == "--fresh" else held)(sys.argv[2] + "/" + sys.argv[3], sys.argv[4])
    sys.exit(0)
bucket, read, write, other = sys.argv[1:5]
fs = s3fs.S3FileSystem()
print("read", status(lambda: fs.cat_file(bucket + "/" + read)), flush=True)
print("write", status(lambda: fs.pipe_file(bucket + "/" + write, b"checkpoint of s3fs")), flush=True)
print("other", status(lambda: fs.cat_file(bucket + "/" + other)), flush=True)
