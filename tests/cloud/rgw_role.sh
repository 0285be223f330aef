#!/bin/bash
# All sessions of a role, at a real radosgw: `mayfly revoke --target T --role R`. What every job held is dead at the store, by one
# statement of time and no tag; the jobs go on and get new tokens, which are not met, then and when others are denied by tag; on record.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
rgw_here
scratch rgw-role
lab_up

# --- jobs that ask their endpoint when they are told to: what came lies in NAME.answer, a credential also in NAME.creds ---
cat >job.py <<'E2'
import json, os, sys, time, urllib.error, urllib.request
name = sys.argv[1]
with open(os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]) as f:
    secret = f.read()
open(name + ".job", "w").write(os.environ["MAYFLY_JOB"])
while not os.path.exists(name + ".stop"):
    if os.path.exists(name + ".ask"):
        os.unlink(name + ".ask")
        try:
            r = urllib.request.urlopen(urllib.request.Request(
                os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": secret}), timeout=90)
        except urllib.error.HTTPError as e:
            r = e
        body = r.read().decode()
        if r.status == 200:
            open(name + ".creds", "w").write(body)
        open(name + ".new", "w").write("%d %s\n" % (r.status, body))
        os.rename(name + ".new", name + ".answer")
    time.sleep(0.05)
E2
begin() {	# NAME
	lab_manifest "$1"
	lab_run "$1" /usr/bin/python3 job.py "$1" >"$1.out" 2>"$1.err" &
	jobs+=($!)
	poll 120 test -s "$1.job" || { fail "$1-start" "$(cat "$1.err")"; finish; }
	asks "$1" >/dev/null
}
asks() {	# NAME: what its endpoint says now
	rm -f "$1.answer"
	: >"$1.ask"
	poll 120 test -s "$1.answer" || echo "no answer: $(cat "$1.err")"
	cat "$1.answer"
}
dead() { lab_creds "$1" | grep -q '^403'; }
again() { asks "$1" | grep -q '^200'; }	# its job has a token
role=arn:aws:iam:::role/train
jobs=()
for j in one two; do
	begin $j
	says $j-reads '^200' lab_creds $j.creds
	cp $j.creds $j-old.creds
done

# --- looking, and what is not meant ---
says dry-run '2 tokens of 2 jobs' mayfly revoke --target lab --role train --dry-run
says dry-run-changes-nothing '^200' lab_creds one.creds
mayfly revoke --target lab --role train </dev/null >unsure.out 2>&1
rc=$?
if [ $rc = 2 ] && grep -q -- --yes unsure.out; then ok asks-first; else fail asks-first "exit code $rc: $(cat unsure.out)"; fi
mayfly revoke --target lab --role trian --yes >typo 2>&1
rc=$?
if [ $rc = 1 ] && grep -q 'no grant of the policy' typo; then ok no-such-role; else fail no-such-role "exit code $rc: $(cat typo)"; fi
says still-reads '^200' lab_creds two.creds

# --- all of them ---
mayfly revoke --target lab --role train --reason "keys of that role in a bucket" --yes --wait >table 2>wait.err
rc=$?
if [ $rc = 0 ] && [ "$(grep -cE 'cloud:data .* sessions +(since|from) ' table)" = 2 ]; then ok ended; else fail ended "exit code $rc: $(cat table wait.err)"; fi
says confirmed 'all sessions of the role before that: dead' cat wait.err
for j in one two; do
	if poll 60 dead $j-old.creds; then ok $j-dead; else fail $j-dead "$(lab_creds $j-old.creds)"; fi
done
says by-time 'aws:TokenIssueTime' rgw policy train mayfly-revoked
rgw policy train mayfly-revoked | grep -q PrincipalTag && fail by-no-tag "$(rgw policy train mayfly-revoked)" || ok by-no-tag
mayfly credential ls --all -o json | json 'sorted({c["level"] for c in d["items"] if c["kind"] == "cloud:data" and c.get("level")})' >levels
says level '^\["sessions"\]$' cat levels

# --- the jobs go on ---
for j in one two; do
	if poll 120 again $j; then ok $j-again; else fail $j-again "$(cat $j.answer)"; fi
	cmp -s $j.creds $j-old.creds && fail $j-is-new "the same"
	says $j-new-reads '^200' lab_creds $j.creds
done

# --- what ends by its tag from now on stands beside the time ---
mayfly job end "$(cat one.job)" --reason "an example" >end 2>&1 || fail end "$(cat end)"
if poll 60 dead one.creds; then ok later-end; else fail later-end "$(lab_creds one.creds)"; fi
says time-stays 'aws:TokenIssueTime' rgw policy train mayfly-revoked
says neighbour '^200' lab_creds two.creds
says old-stays-dead '^403' lab_creds two-old.creds

# --- on record: by whom, what, and what the store said ---
mayfly audit tail -n all -o json >records 2>audit.err || fail records "$(cat audit.err)"
/usr/bin/python3 - "$role" >said <<'E2'
import json, sys
with open("records") as f:
    rs = [i["record"] for i in json.load(f)["items"]]
one = [r for r in rs if r["type"] == "sessions.ended"]
assert len(one) == 1 and one[0]["cloud"]["role"] == sys.argv[1] and one[0]["cloud"]["target"] == "lab", one
assert one[0]["actor"]["kind"] == "operator" and one[0]["reason"] == "keys of that role in a bucket", one
before = one[0]["cloud"]["before"]
told = [r for r in rs if r["type"] == "revoke.cloud" and r["cloud"].get("level") == 3]
assert told and all(r["cloud"]["before"] == before for r in told), told
done = [r for r in rs if r["type"] == "revoke.completed" and r["cloud"]["level"] == 3]
assert len(done) == 2, done
print("good")
E2
says record '^good$' cat said
says verified . mayfly audit verify
for j in one two; do : >$j.stop; done
wait "${jobs[@]}"
dev_stop
finish
