"""A job that uses boto3 as anybody would: job.py BUCKET READ WRITE OTHER [COPY [GO DONE]]

No credential, endpoint or region is named here. Prints one line for each step, `STEP STATUS`: read, write, other (an object that is not
this job's). COPY gets a copy of the credential in use, as a thief would have it. Then, when the file GO is there: `held`, a read
by the client that has its credential already, and `fresh`, one by a new client; then DONE is written.

--fresh BUCKET KEY STOP, --held BUCKET KEY STOP: loops, as tests/lib/sh/sdks.sh says.
"""
import json
import os
import sys
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError


def status(call):
    try:
        call()
        return 200
    except ClientError as e:
        return e.response["ResponseMetadata"]["HTTPStatusCode"]
    except BotoCoreError as e:      # no credential, for one
        return "%s %s" % (type(e).__name__, " ".join(str(e).split()))


def new_client():
    return boto3.Session().client("s3")


def get(client, bucket, key):
    return client.get_object(Bucket=bucket, Key=key)["Body"].read()


def fresh(bucket, key, stop):
    calls, failed = 0, 0
    while not os.path.exists(stop):
        calls += 1
        begun = time.monotonic()
        s = status(lambda: get(new_client(), bucket, key))
        if s != 200:
            failed += 1
            print("after %d ms: %s" % ((time.monotonic() - begun) * 1000, s), file=sys.stderr)
        time.sleep(0.02)
    print("reads %d failed %d" % (calls, failed))


def held(bucket, key, stop):
    last, client = "", new_client()
    while not os.path.exists(stop):
        s = status(lambda: get(client, bucket, key))
        if s != last:
            print("held", s, flush=True)
        last = s
        time.sleep(0.5)
    print("fresh", status(lambda: get(new_client(), bucket, key)))


if sys.argv[1] in ("--fresh", "--held"):
    (fresh if sys.argv[1] == "--fresh" else held)(*sys.argv[2:5])
    sys.exit(0)
bucket, read, write, other = sys.argv[1:5]
try:
    s3 = boto3.client("s3")
except BotoCoreError as e:
    print("read %s %s" % (type(e).__name__, " ".join(str(e).split())))
    sys.exit(1)
print("read", status(lambda: s3.get_object(Bucket=bucket, Key=read)["Body"].read()), flush=True)
print("write", status(lambda: s3.put_object(Bucket=bucket, Key=write, Body=b"checkpoint of boto3")), flush=True)
print("other", status(lambda: s3.get_object(Bucket=bucket, Key=other)), flush=True)
if len(sys.argv) > 5:
    c = boto3.Session().get_credentials().get_frozen_credentials()
    with open(sys.argv[5] + ".new", "w") as f:
        json.dump({"AccessKeyId": c.access_key, "SecretAccessKey": c.secret_key, "Token": c.token}, f)
    os.rename(sys.argv[5] + ".new", sys.argv[5])
if len(sys.argv) > 6:
    while not os.path.exists(sys.argv[6]):
        time.sleep(0.1)
    print("held", status(lambda: s3.get_object(Bucket=bucket, Key=read)), flush=True)
    print("fresh", status(lambda: boto3.Session().client("s3").get_object(Bucket=bucket, Key=read)), flush=True)
    with open(sys.argv[7], "w"):
        pass
