"""The job of ../boto/job.py with s3fs, as a data loader has it: job.py BUCKET READ WRITE OTHER"""
import sys

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


bucket, read, write, other = sys.argv[1:5]
fs = s3fs.S3FileSystem()
print("read", status(lambda: fs.cat_file(bucket + "/" + read)), flush=True)
print("write", status(lambda: fs.pipe_file(bucket + "/" + write, b"checkpoint of s3fs")), flush=True)
print("other", status(lambda: fs.cat_file(bucket + "/" + other)), flush=True)
