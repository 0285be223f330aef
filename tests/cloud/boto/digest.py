"""digest.py BUCKET KEY: the SHA-256 of an object, as whatever boto3 finds by itself."""
import hashlib
import sys

import boto3

print(hashlib.sha256(boto3.client("s3").get_object(Bucket=sys.argv[1], Key=sys.argv[2])["Body"].read()).hexdigest())
