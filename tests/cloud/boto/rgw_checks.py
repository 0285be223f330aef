"""rgw_checks.py ISSUER [HTTPS-ISSUER]: what radosgw does with tokens made by hand; prints `ok NAME` or `FAIL NAME: why`. In the
directory: keys and certificates one, two, ec; plain/ and tls/ are what the issuers serve."""
import json
import os
import sys
import time

TOP = os.environ["MAYFLY_TOP"]
sys.path.insert(0, os.path.join(TOP, "tests/lib/sh"))
import issuer   # noqa: E402
import rgw      # noqa: E402

ISS = sys.argv[1]
TAGS = "https://aws.amazon.com/tags"
SOURCE = "https://aws.amazon.com/source_identity"
failed = 0


def check(name, good, why=""):
    global failed
    failed += not good
    print("ok " + name if good else "FAIL %s: %s" % (name, str(why)[:280]), flush=True)


def status(name, want, got):
    check(name, got[0] == want, "wanted %s, got %s %s" % (want, got[0], got[1] if isinstance(got[1], str) else ""))


def claims(job, lease="l-1", cred="c-1", **more):
    tags = {"mayfly-job": [job], "mayfly-lease": [lease], "mayfly-cred": [cred]}
    return {"sub": "spiffe://td.example/job/" + job, TAGS: {"principal_tags": tags, "transitive_tag_keys": sorted(tags)}, **more}


def mint(job, policy=None, seconds=None, role="train", key="one.key", iss=ISS, header=None, **more):
    return rgw.assume(role, job, issuer.sign(key, iss, claims(job, **more), header), policy, seconds)


def scope(job, until=None):
    when = {"DateLessThan": {"aws:CurrentTime": until}} if until else {}
    runs = "runs/%s/*" % job
    return rgw.policy(
        rgw.statement("Allow", ["s3:GetObject"], ["arn:aws:s3:::data/sets/a/*"], **when),
        rgw.statement("Allow", ["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::data/" + runs], **when),
        rgw.statement("Allow", ["s3:ListBucket"], ["arn:aws:s3:::data"], StringLike={"s3:prefix": [runs]}, **when))


def prepare():
    issuer.publish("plain", ISS, "one.crt")
    status("provider", 200, rgw.provider(ISS))
    status("role", 200, rgw.role("train", ISS, "spiffe://td.example/job/*"))
    # This version does not know the action that AWS asks for before it takes a source identity; it takes the claim without.
    status("no-set-source-identity", 400, rgw.role("sourced", ISS, "spiffe://td.example/job/*", (
        "sts:AssumeRoleWithWebIdentity", "sts:SetSourceIdentity")))
    status("role-untagged", 200, rgw.role("untagged", ISS, "spiffe://td.example/job/*", ("sts:AssumeRoleWithWebIdentity",)))
    status("role-policy", 200, rgw.role_policy("train", "base", rgw.policy(
        rgw.statement("Allow", ["s3:*"], ["arn:aws:s3:::data", "arn:aws:s3:::data/*"]))))
    status("bucket", 200, rgw.bucket_make("data"))
    for key in ("sets/a/1", "sets/b/1", "runs/r-1/ckpt", "runs/r-2/ckpt", "runs/r-10/ckpt"):
        rgw.put("data", key, "hello")


def tokens():
    """Which tokens are taken, and which are not."""
    now = int(time.time())
    status("token", 200, mint("r-1"))
    status("audience-array", 200, mint("r-1", aud=["sts.amazonaws.com"]))
    status("source-identity", 200, mint("r-1", **{SOURCE: "r-1"}))
    for name, more in (("issuer", {"iss": ISS + "/other"}), ("unknown-issuer", {"iss": "http://localhost:1"}), ("audience", {"aud": "elsewhere"}),
                       ("subject", {"sub": "spiffe://td.example/other/r-1"}), ("subject-domain", {"sub": "spiffe://else.example/job/r-1"}),
                       ("expired", {"exp": now - 5}), ("not-yet", {"nbf": now + 300}), ("other-key", {"key": "two.key"}),
                       ("unsigned", {"header": {"alg": "none"}}), ("role-unknown", {"role": "nobody"}), ("tags-untrusted", {"role": "untagged"})):
        got = mint("r-1", **more)
        check("refused-" + name, got[0] in (400, 403, 404), got)
    token = issuer.sign("one.key", ISS, claims("r-1")).split(".")
    other = issuer.sign("one.key", ISS, claims("r-2")).split(".")
    status("refused-changed", 403, rgw.assume("train", "r-1", ".".join((token[0], other[1], token[2]))))
    status("refused-too-long", 400, mint("r-1", seconds=3601))
    # Only the first key is tried, and a key without its certificate is none.
    issuer.publish("plain", ISS, "two.crt", "one.crt")
    status("first-key-only", 403, mint("r-1"))
    status("first-key", 200, mint("r-1", key="two.key"))
    issuer.publish("plain", ISS, "ec.crt")
    status("es256", 200, mint("r-1", key="ec.key"))
    issuer.publish("plain", ISS, "one.crt")
    with open("plain/keys") as f:
        keys = json.load(f)
    for k in keys["keys"]:
        del k["x5c"]
    with open("plain/keys", "w") as f:
        json.dump(keys, f)
    status("no-x5c", 403, mint("r-1"))
    issuer.publish("plain", ISS, "one.crt")
    status("keys-read-each-time", 200, mint("r-1"))


def sessions():
    """The session policy is a limit, a deny by tag is felt at the next request by the one session, the time bomb goes off."""
    code, one = mint("r-1", scope("r-1"), lease="l-1", cred="c-1")
    _, two = mint("r-2", scope("r-2"), lease="l-2", cred="c-2")
    _, again = mint("r-1", scope("r-1"), lease="l-1", cred="c-3")
    check("scoped", code == 200 and {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"} == set(one), code)
    status("read-set", 200, rgw.get("data", "sets/a/1", one))
    status("write-run", 200, rgw.put("data", "runs/r-1/ckpt", "mine", one))
    status("list-run", 200, rgw.listing("data", "runs/r-1/", one))
    # An object is its writer's: the administrator does not read it, a session with the same scope and another subject does.
    _, requeued = mint("r-1b", scope("r-1"))
    status("requeued-reads", 200, rgw.get("data", "runs/r-1/ckpt", requeued))
    status("administrator-does-not", 403, rgw.get("data", "runs/r-1/ckpt"))
    for name, got in (("other-set", rgw.get("data", "sets/b/1", one)), ("other-run", rgw.get("data", "runs/r-2/ckpt", one)),
                      ("sibling-prefix", rgw.get("data", "runs/r-10/ckpt", one)), ("write-other", rgw.put("data", "runs/r-2/x", "x", one)),
                      ("write-set", rgw.put("data", "sets/a/1", "x", one)), ("list-other", rgw.listing("data", "runs/r-2/", one)),
                      ("list-all", rgw.listing("data", "", one)), ("dots", rgw.get("data", "runs/r-1/../r-2/ckpt", one))):
        check("denied-" + name, got[0] in (403, 404), got)
    for tag, value, same in (("mayfly-job", "r-1", 403), ("mayfly-lease", "l-1", 403), ("mayfly-cred", "c-1", 200)):
        rgw.deny("train", "mayfly-denied", tag, "nobody", value)
        status("deny-" + tag, 403, rgw.get("data", "sets/a/1", one))
        status("deny-%s-sibling" % tag, 200, rgw.get("data", "sets/a/1", two))
        status("deny-%s-same-job" % tag, same, rgw.get("data", "sets/a/1", again))
        rgw.role_policy("train", "mayfly-denied", "-")
        status("deny-%s-lifted" % tag, 200, rgw.get("data", "sets/a/1", one))
    # Two seconds from now, by the clock that radosgw has too.
    until = int(time.time()) + 3
    _, short = mint("r-3", scope("r-3", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until))))
    before = rgw.get("data", "sets/a/1", short)
    check("bomb-before", before[0] == 200 or time.time() >= until, before)
    time.sleep(max(0, until + 1 - time.time()))
    status("bomb-after", 403, rgw.get("data", "sets/a/1", short))
    rgw.deny("train", "mayfly-denied", "mayfly-job", "r-1")


def revoker():
    """A session whose role may write another role's policy takes back by federation: no static key is needed."""
    status("revoker-role", 200, rgw.role("revoker", ISS, "spiffe://td.example/broker/revoker"))
    rgw.role_policy("revoker", "base", rgw.policy(rgw.statement("Allow", ["iam:GetRolePolicy", "iam:PutRolePolicy"], ["arn:aws:iam:::role/train"])))
    _, creds = mint("revoker", role="revoker", sub="spiffe://td.example/broker/revoker")
    _, job = mint("r-2", scope("r-2"))
    for name, who, want in (("revoker-denies", creds, 200), ("job-denies", job, 403)):
        with open("creds.json", "w") as f:
            json.dump(who, f)
        os.environ["RGW_CREDS"] = "creds.json"
        status(name, want, rgw.deny("train", "by-" + name, "mayfly-job", "r-2"))
        del os.environ["RGW_CREDS"]
    status("revoker-effect", 403, rgw.get("data", "sets/a/1", job))
    rgw.role_policy("train", "by-revoker-denies", "-")


def operations():
    """The operations log names each call's session and subject."""
    with open("ceph/ops.log") as f:
        calls = [json.loads(line.strip().rstrip(",").lstrip("[")) for line in f if "{" in line]
    who = {(c["sts_info"]["role_session"], c["sts_info"]["sub"]) for c in calls if "sts_info" in c}
    check("operations-log", ("r-1", "spiffe://td.example/job/r-1") in who and ("r-2", "spiffe://td.example/job/r-2") in who, who)


def https(iss):
    issuer.publish("tls", iss, "one.crt")
    status("https-provider", 200, rgw.provider(iss))
    status("https-role", 200, rgw.role("by-tls", iss, "spiffe://td.example/job/*"))
    status("https-issuer", 200, mint("r-1", role="by-tls", iss=iss))


prepare()
tokens()
sessions()
revoker()
operations()
if len(sys.argv) > 2:
    https(sys.argv[2])
sys.exit(failed != 0)
