"""A job that outlives its credential: loop.py BUCKET KEY SECONDS COPY: reads KEY twice a second with one client, and prints
`reads N failed N credentials N`. COPY gets a copy of the first credential."""
import json
import os
import sys
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError

bucket, key, seconds, copy = sys.argv[1:5]
session = boto3.Session()
s3 = session.client("s3")
seen, reads, failed = [], 0, 0
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    reads += 1
    try:
        s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as e:
        failed += 1
        print(" ".join(str(e).split()), file=sys.stderr)
    c = session.get_credentials().get_frozen_credentials()
    if not seen:
        with open(copy + ".new", "w") as f:
            json.dump({"AccessKeyId": c.access_key, "SecretAccessKey": c.secret_key, "Token": c.token}, f)
        os.rename(copy + ".new", copy)
    if c.access_key not in seen:
        seen.append(c.access_key)
    time.sleep(0.5)
print("reads %d failed %d credentials %d" % (reads, failed, len(seen)))
