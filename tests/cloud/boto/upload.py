"""A job that is told to end and puts its checkpoint away: upload.py BUCKET KEY PARTS. Reads its credential, writes `holding`; when the file
`go` is there uploads PARTS parts of 5 MiB, one in two seconds; `uploaded` has their SHA-256 and the seconds that it took. COPY is copy.creds."""
import hashlib
import json
import os
import sys
import time

import boto3


def tell(name, text):
    with open(name + ".new", "w") as f:
        f.write(text)
    os.rename(name + ".new", name)


bucket, key, parts = sys.argv[1], sys.argv[2], int(sys.argv[3])
session = boto3.Session()
s3 = session.client("s3")
c = session.get_credentials().get_frozen_credentials()
tell("copy.creds", json.dumps({"AccessKeyId": c.access_key, "SecretAccessKey": c.secret_key, "Token": c.token}))
tell("holding", os.environ["MAYFLY_JOB"])
while not os.path.exists("go"):
    time.sleep(0.05)
start, sha = time.monotonic(), hashlib.sha256()
upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
done = []
for n in range(1, parts + 1):
    body = os.urandom(5 << 20)
    sha.update(body)
    tag = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=n, Body=body)["ETag"]
    done.append({"PartNumber": n, "ETag": tag})
    tell("parts", str(n))
    time.sleep(2)       # the length of the upload is what is tested
s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done})
same = session.get_credentials().get_frozen_credentials().access_key == c.access_key
tell("uploaded", "%s %d %s" % (sha.hexdigest(), time.monotonic() - start, "one credential" if same else "several credentials"))
