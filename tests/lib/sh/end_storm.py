"""What tests/cloud/end_storm.sh looks at: the broker's log, the store's policies of the role `train`, and what a heap of credentials is
good for. RGW_URL and the administrator's keys as for rgw.py.

    end_storm.py open RECORDS          how many tokens whose job has ended are not completed
    end_storm.py agree RECORDS DIR     does what is on record of each token hold at the store? DIR has the credentials
    end_storm.py size                  characters of the role's inline policies
    end_storm.py watch STOP            the same each half second until the file STOP is there; fails above the provider's limit
"""
import collections
import concurrent.futures
import datetime
import json
import os
import sys
import time
import urllib.error
import urllib.request

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import rgw

LIMIT = 10240  # characters of all inline policies of a role, at AWS


def records(path):
    with open(path) as f:
        return [i["record"] for i in json.load(f)["items"]]


def tokens(found):
    """Per credential id: its cloud.issued and its last revoke.completed; only of jobs that have ended."""
    ended = {r["job"]["id"] for r in found if r["type"] in ("lease.ended", "job.ended") and "job" in r}
    issued = {r["serial"]: r for r in found if r["type"] == "cloud.issued"}
    done = {r["serial"]: r for r in found if r["type"] == "revoke.completed"}
    return {s: (r, done.get(s)) for s, r in issued.items() if r["job"]["id"] in ended}


def open_ones(path):
    print(sum(d is None for _, d in tokens(records(path)).values()))


def size():
    iam = rgw.client("iam")
    names = iam.list_role_policies(RoleName="train")["PolicyNames"]
    texts = [rgw.answer(iam.get_role_policy, RoleName="train", PolicyName=n) for n in names]
    return sum(len(rgw.compact(t["PolicyDocument"])) for status, t in texts if status == 200)


def seconds(when):
    if isinstance(when, (int, float)):
        return when
    return datetime.datetime.fromisoformat(when.replace("Z", "+00:00")).timestamp()


def good_for(path):
    """The access key in the file, and the status of a read of the data set with it; without a client for each, of which there are many."""
    with open(path) as f:
        c = json.load(f)
    url = os.environ["RGW_URL"] + "/data/sets/imgs/1"
    request = AWSRequest("GET", url)
    S3SigV4Auth(Credentials(c["AccessKeyId"], c["SecretAccessKey"], c["Token"]), "s3", "us-east-1").add_auth(request)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=dict(request.headers)), timeout=60) as r:
            return c["AccessKeyId"], r.status
    except urllib.error.HTTPError as e:
        return c["AccessKeyId"], e.code


def agree(path, directory):
    found = records(path)
    mine = tokens(found)
    # Those that are to expire by themselves soon are waited for: what the record says must hold then.
    ends = [seconds(d["cloud"]["dead_at"]) for _, d in mine.values() if d]
    soon = [t for t in ends if t < time.time() + 90]
    time.sleep(max([0] + [t + 2 - time.time() for t in soon]))
    names = [os.path.join(directory, n) for n in os.listdir(directory) if n.isdigit()]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        status = dict(pool.map(good_for, names))
    wrong, seen = [], collections.Counter()
    for serial, (issued, done) in mine.items():
        key, dead = issued["cloud"]["provider_session"], seconds(done["cloud"]["dead_at"])
        level, over = done["cloud"].get("level", 0), dead <= time.time() - 2
        seen["denied" if level == 2 else "expired" if over else "usable until the recorded time"] += 1
        if level not in (0, 2) or (over and status.get(key) != 403) or (level == 0 and not over and status.get(key) != 200):
            wrong.append((serial, key, level, dead, status.get(key)))
    print("of %d tokens: %s; %d credentials asked about" % (
        len(mine), ", ".join("%d %s" % (n, w) for w, n in sorted(seen.items())), len(status)))
    requests = sum(r["type"] == "revoke.cloud" for r in found)
    print("requests to the provider for that: %d" % requests)
    check("store-agrees-with-the-log", not wrong, wrong[:3])
    check("some-were-denied", seen["denied"] > 0, seen)
    check("requests-are-few", requests * 2 <= len(mine), requests)


failed = 0


def check(name, good, why=""):
    global failed
    failed += not good
    print("ok " + name if good else "FAIL %s: %s" % (name, str(why)[:280]), flush=True)


def watch(stop):
    most, looks = 0, 0
    while not os.path.exists(stop):
        most, looks = max(most, size()), looks + 1
        time.sleep(0.5)
    check("policy-within-its-limit", 0 < most <= LIMIT, most)
    print("the role's policies: at most %d of %d characters in %d looks" % (most, LIMIT, looks))


verb, args = sys.argv[1], sys.argv[2:]
if verb == "open":
    open_ones(*args)
elif verb == "agree":
    agree(*args)
elif verb == "size":
    print(size())
else:
    watch(*args)
sys.exit(failed != 0)
