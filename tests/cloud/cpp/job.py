"""The job of ../boto/job.py with the AWS SDK for C++, which is inside PyArrow: job.py BUCKET READ WRITE OTHER, and its loops."""
import os
import sys
import time

from pyarrow import fs


def client(bucket):
    """A URI and no more: what the environment says of the endpoint counts then."""
    return fs.FileSystem.from_uri("s3://" + bucket)[0]


def status(call):
    try:
        call()
        return "200"
    except OSError as e:
        text = " ".join(str(e).split())
        return "403" if "HTTP status 403" in text or "ACCESS_DENIED" in text else text


def read(s3, path):
    with s3.open_input_file(path) as f:
        f.read()


def write(s3, path):
    with s3.open_output_stream(path) as f:
        f.write(b"checkpoint of C++")


def fresh(bucket, key, stop):
    calls, failed = 0, 0
    while not os.path.exists(stop):
        calls += 1
        begun = time.monotonic()
        s = status(lambda: read(client(bucket), bucket + "/" + key))
        if s != "200":
            failed += 1
            print("after %d ms: %s" % ((time.monotonic() - begun) * 1000, s), file=sys.stderr)
        time.sleep(0.02)
    print("reads %d failed %d" % (calls, failed))


def held(bucket, key, stop):
    last, s3 = "", client(bucket)
    while not os.path.exists(stop):
        s = status(lambda: read(s3, bucket + "/" + key))
        if s != last:
            print("held", s, flush=True)
        last = s
        time.sleep(0.5)
    print("fresh", status(lambda: read(client(bucket), bucket + "/" + key)))


if sys.argv[1] == "--fresh":
    fresh(*sys.argv[2:5])
elif sys.argv[1] == "--held":
    held(*sys.argv[2:5])
else:
    bucket, a, b, c = sys.argv[1:5]
    s3 = client(bucket)
    print("read", status(lambda: read(s3, bucket + "/" + a)), flush=True)
    print("write", status(lambda: write(s3, bucket + "/" + b)), flush=True)
    print("other", status(lambda: read(s3, bucket + "/" + c)), flush=True)
