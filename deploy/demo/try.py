#!/usr/bin/python3
"""One attempt on the demo's servers: try.py nginx|postgres ADDRESS SERVER_CA [CERT KEY], or on its object store:
try.py bucket URL CREDENTIALS BUCKET/KEY, where CREDENTIALS is a file, or `-` for what boto3 finds by itself.

Prints `accepted: ...` (exit code 0) or `refused: ...` with the server's own words (exit code 1). Anything
that is neither, such as a server that is not there, is an error (exit code 3).
"""
import ssl
import sys
import urllib.error
import urllib.request


def nginx(address, server_ca, pair):
    tls = ssl.create_default_context(cafile=server_ca)
    if pair:
        tls.load_cert_chain(*pair)
    try:
        with urllib.request.urlopen(f"https://{address}/digits.csv", context=tls, timeout=60) as answer:
            return True, f"HTTP {answer.status}, {len(answer.read())} bytes of data"
    except urllib.error.HTTPError as e:
        text = e.read().decode("ascii", "replace")
        why = [w for w in ("No required SSL certificate", "SSL certificate error", "not for this identity") if w in text]
        return False, f"HTTP {e.code}" + (f": {why[0]}" if why else "")
    except urllib.error.URLError as e:
        if isinstance(e.reason, ssl.SSLError):
            return False, f"TLS: {e.reason.reason}"
        raise


def postgres(address, server_ca, pair):
    import psycopg2
    host, port = address.rsplit(":", 1)
    # libpq would otherwise look for a certificate in the home directory
    cert = {"sslcert": pair[0], "sslkey": pair[1]} if pair else {"sslcert": "/nonexistent"}
    try:
        db = psycopg2.connect(host=host, port=port, dbname="metrics", user="demo-train", sslmode="verify-full",
                              sslrootcert=server_ca, connect_timeout=60, **cert)
        with db.cursor() as cur:
            cur.execute("SELECT count(*) FROM metrics")
            text = f"{cur.fetchone()[0]} rows of metrics"
        db.close()
        return True, text
    except psycopg2.OperationalError as e:
        text = str(e).strip().splitlines()[-1]
        if "FATAL" not in text and "SSL" not in text and "certificate" not in text:
            raise
        return False, text.split("failed: ", 1)[-1]


def bucket(url, credentials, where):
    import json
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError
    keys = {}
    if credentials != "-":
        with open(credentials) as f:
            have = json.load(f)
        keys = {"aws_access_key_id": have["AccessKeyId"], "aws_secret_access_key": have["SecretAccessKey"],
                "aws_session_token": have["Token"], "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=url, config=Config(retries={"max_attempts": 0}), **keys)
    name, _, key = where.partition("/")
    try:
        return True, f"HTTP 200, {len(s3.get_object(Bucket=name, Key=key)['Body'].read())} bytes of data"
    except ClientError as e:
        code = e.response["ResponseMetadata"]["HTTPStatusCode"]
        if code != 403:
            raise
        return False, f"HTTP {code}: {e.response['Error']['Code']}"


def main():
    if sys.argv[1] == "bucket":
        yes, text = bucket(*sys.argv[2:5])
        print(("accepted: " if yes else "refused: ") + text)
        return 0 if yes else 1
    what, address, server_ca = sys.argv[1:4]
    pair = sys.argv[4:6] or None
    yes, text = {"nginx": nginx, "postgres": postgres}[what](address, server_ca, pair)
    print(("accepted: " if yes else "refused: ") + text)
    return 0 if yes else 1


try:
    sys.exit(main())
except Exception as e:  # neither accepted nor refused
    print(f"error: {e}", file=sys.stderr)
    sys.exit(3)
