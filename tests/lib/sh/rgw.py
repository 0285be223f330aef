"""What is done at a radosgw: as its administrator (RGW_ADMIN_KEY, RGW_ADMIN_SECRET), or with RGW_CREDS=FILE as the bearer of a
credential in the form of the container endpoint. RGW_URL is the gateway.

    rgw.py provider ISSUER [CLIENT]                  trust an issuer's tokens of that audience (sts.amazonaws.com)
    rgw.py role NAME ISSUER SUBJECT                  a role for subjects that match
    rgw.py policy ROLE NAME [DOCUMENT|-]             print one policy of a role; set it; remove it (-)
    rgw.py deny ROLE NAME KEY VALUE...               a policy that denies everything to sessions with one of these tags
    rgw.py bucket NAME
    rgw.py put BUCKET KEY TEXT | get BUCKET KEY | list BUCKET PREFIX
    rgw.py assume ROLE SESSION JWT [POLICY [SECONDS]]    a credential, on standard output

Every verb prints `STATUS WHAT`: the HTTP status, and the body or the reason. The exit code is 0 for any answer; assume's is 1 without one.
"""
import json
import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


# Blanks in a form-encoded policy arrive as `+`, and this radosgw does not read them back: documents are written without.
def compact(value):
    return json.dumps(value, separators=(",", ":"))


def client(service, creds=None):
    """A client of the gateway, for the administrator or for a credential in the container endpoint's form."""
    if creds is None and os.environ.get("RGW_CREDS"):
        with open(os.environ["RGW_CREDS"]) as f:
            creds = json.load(f)
    keys = {"aws_access_key_id": os.environ["RGW_ADMIN_KEY"], "aws_secret_access_key": os.environ["RGW_ADMIN_SECRET"]}
    if creds:
        keys = {"aws_access_key_id": creds["AccessKeyId"], "aws_secret_access_key": creds["SecretAccessKey"],
                "aws_session_token": creds["Token"]}
    config = Config(retries={"max_attempts": 0}, connect_timeout=30, read_timeout=120, s3={"addressing_style": "path"},
                    request_checksum_calculation="when_required", response_checksum_validation="when_required")
    return boto3.client(service, endpoint_url=os.environ["RGW_URL"], region_name="us-east-1", config=config, **keys)


def answer(call, **args):
    """(HTTP status, result or reason) of one call."""
    try:
        return 200, call(**args)
    except ClientError as e:
        return e.response["ResponseMetadata"]["HTTPStatusCode"], e.response.get("Error", {}).get("Code", "")


def statement(effect, actions, resources, **condition):
    s = {"Effect": effect, "Action": actions, "Resource": resources}
    return {**s, "Condition": condition} if condition else s


def policy(*statements):
    return compact({"Version": "2012-10-17", "Statement": list(statements)})


def provider(issuer, audience="sts.amazonaws.com"):
    # The thumbprint is not looked at by this version.
    return answer(client("iam").create_open_id_connect_provider, Url=issuer, ClientIDList=[audience], ThumbprintList=["0" * 40])


def role(name, issuer, subject, actions=("sts:AssumeRoleWithWebIdentity", "sts:TagSession")):
    host = issuer.partition("://")[2]
    trust = {"Effect": "Allow", "Principal": {"Federated": ["arn:aws:iam:::oidc-provider/" + host]}, "Action": list(actions),
             "Condition": {"StringLike": {host + ":sub": subject}}}
    return answer(client("iam").create_role, RoleName=name, AssumeRolePolicyDocument=policy(trust))


def role_policy(name, policy_name, document=None):
    iam, which = client("iam"), {"RoleName": name, "PolicyName": policy_name}
    if document is None:
        status, got = answer(iam.get_role_policy, **which)
        return status, compact(got["PolicyDocument"]) if status == 200 else got
    if document == "-":
        return answer(iam.delete_role_policy, **which)
    return answer(iam.put_role_policy, PolicyDocument=compact(json.loads(document)), **which)


def deny(name, policy_name, tag, *values):
    return role_policy(name, policy_name, policy(
        statement("Deny", ["*"], ["*"], StringEquals={"aws:PrincipalTag/" + tag: list(values)})))


def assume(role_name, session, token, session_policy=None, seconds=None):
    args = {"RoleArn": "arn:aws:iam:::role/" + role_name, "RoleSessionName": session, "WebIdentityToken": token}
    if session_policy:
        args["Policy"] = session_policy
    if seconds:
        args["DurationSeconds"] = int(seconds)
    status, got = answer(client("sts", {"AccessKeyId": "none", "SecretAccessKey": "none", "Token": "none"}).assume_role_with_web_identity, **args)
    if status != 200:
        return status, got
    c = got["Credentials"]
    return status, {"AccessKeyId": c["AccessKeyId"], "SecretAccessKey": c["SecretAccessKey"], "Token": c["SessionToken"],
                    "Expiration": c["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ")}


def put(bucket, key, text, creds=None):
    status, got = answer(client("s3", creds).put_object, Bucket=bucket, Key=key, Body=text.encode())
    return status, "" if status == 200 else got


def get(bucket, key, creds=None):
    status, got = answer(client("s3", creds).get_object, Bucket=bucket, Key=key)
    return status, got["Body"].read().decode(errors="replace") if status == 200 else got


def listing(bucket, prefix, creds=None):
    status, got = answer(client("s3", creds).list_objects_v2, Bucket=bucket, Prefix=prefix)
    return status, " ".join(o["Key"] for o in got.get("Contents", [])) if status == 200 else got


def bucket_make(name):
    return answer(client("s3").create_bucket, Bucket=name)


VERBS = {"provider": provider, "role": role, "policy": role_policy, "deny": deny, "bucket": bucket_make, "put": put, "get": get,
         "list": listing, "assume": assume}


def main():
    verb = sys.argv[1]
    status, what = VERBS[verb](*sys.argv[2:])
    if verb == "assume" and status == 200:
        print(compact(what))
        return 0
    print(status, what if isinstance(what, str) else "")
    return verb == "assume"


if __name__ == "__main__":
    sys.exit(main())
