#!/bin/bash
# Taking back while the job goes on, at a real radosgw: one token (`revoke --credential --wait`), its grant for good, a token that leaked
# (`revoke --token-file`, the drill: from the leak to dead), and a policy that takes a grant away. Each is dead at the store and in the
# log; neighbours on the same role notice nothing; the endpoint says why.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
rgw_here
scratch leak
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
token_of() { # NAME: the id of its live token
	mayfly credential ls --job "$(cat "$1.job")" -o json | json '[c["id"] for c in d["items"] if c["kind"] == "cloud:data"][0]'
}
live_svid() { # NAME: the serial of its certificate
	mayfly credential ls --job "$(cat "$1.job")" -o json | json '[c["id"] for c in d["items"] if c["kind"] == "x509-svid"][0]'
}
dead() { lab_creds "$1" | grep -q '^403'; }
reads() { says "$1" '^200' lab_creds "$2"; }
jobs=()
for j in one final leaked calm; do
	begin $j
	reads $j-reads $j.creds
done

# --- one token: dead at the store, its job gets another one, nobody else notices ---
id=$(token_of one)
cp one.creds one-old.creds
mayfly revoke --credential "${id:0:35}" --reason "seen in a notebook" --wait >one.table 2>one.wait
rc=$?
if [ $rc = 0 ] && grep -qE "cloud:data +$id .* denied +(since|from) .* [0-9]+$" one.table; then ok one-token-denied; else
	fail one-token-denied "exit code $rc: $(cat one.table one.wait)"
fi
if poll 60 dead one-old.creds; then ok one-token-dead; else fail one-token-dead "$(lab_creds one-old.creds)"; fi
says one-token-again '^200' asks one
cmp -s one.creds one-old.creds && fail one-token-is-new "the same"
if poll 60 eval 'lab_creds one.creds | grep -q ^200'; then ok one-token-is-new; else fail one-token-is-new "$(lab_creds one.creds)"; fi
reads one-token-neighbour calm.creds
mayfly credential show "$id" >one.show
for w in 'Level +denied' 'Target +lab' 'Role +arn:aws:iam' 'Scope +.*s3:GetObject' 'Records +.*intent.*issued.*ended.*completed'; do
	grep -qE "$w" one.show || fail one-token-shown "no /$w/ in $(cat one.show)"
done
says one-token-shown-json "\"level\":\"denied\"" mayfly credential show "$id" -o json

# --- its certificate: replaced at once, with another key ---
serial=$(live_svid one)
says certificate-ended 'effective: 1 credential ended' mayfly revoke --credential "$serial"
replaced() { [ "$(live_svid one)" != "$serial" ]; }
if poll 60 replaced; then ok certificate-replaced; else fail certificate-replaced "$(mayfly credential ls --all)"; fi

# --- for good: the endpoint refuses and says so; the job goes on ---
cp final.creds final-old.creds
says final 'for good: cloud:data' mayfly revoke --credential "$(token_of final)" --final --reason "wrong bucket"
says final-refused '^403 .*CredentialRevoked.*for good' asks final
if poll 60 dead final-old.creds; then ok final-dead; else fail final-dead "$(lab_creds final-old.creds)"; fi
says final-job-goes-on '"state": ?"open"' mayfly job show "$(cat final.job)" -o json

# --- the drill: a credential file turned up somewhere; one command, and it is dead ---
id=$(token_of leaked)
from=$(date +%s%N)
mayfly revoke --token-file leaked.creds --reason "pushed to a repository" --wait --timeout 60s >leaked.table 2>leaked.wait
poll 60 dead leaked.creds && until=$(date +%s%N)
if dead leaked.creds; then ok leaked-dead; else fail leaked-dead "$(lab_creds leaked.creds)"; fi
echo "from leak to dead at the store: $(((until - from) / 1000000)) ms, load $(cut -d' ' -f1 /proc/loadavg)"
grep -qE "cloud:data +$id .* denied" leaked.table || fail leaked-table "$(cat leaked.table leaked.wait)"
reads leaked-neighbour calm.creds

# --- a policy that does not give the grant any more takes its tokens back ---
lab_policy without.yaml
/usr/bin/python3 - <<'E2'
import re
text = open("without.yaml").read()
text = re.sub(r"(?m)^    cloud:\n(?:^ {6,}.*\n)+", "", text)
open("without.yaml", "w").write(text)
E2
says policy-says-who 'loses cloud grant data, and its tokens' mayfly policy test --live --policy without.yaml
cp calm.creds calm-old.creds
says policy-applied . mayfly policy apply without.yaml
if poll 60 dead calm-old.creds; then ok policy-dead; else fail policy-dead "$(lab_creds calm-old.creds)"; fi
says policy-endpoint '^403 ' asks calm

# --- on record ---
mayfly audit tail -n all -o json >records 2>audit.err || fail records "$(cat audit.err)"
says log-of-the-leak '^2$' json "[i['record']['cloud']['level'] for i in d['items'] if i['record']['type'] == 'revoke.completed' and i['record']['serial'] == '$id'][-1]" <records
says log-of-ends "^\['operator', 'operator', 'operator', 'policy'" json "str(sorted(i['record']['cause'] for i in d['items'] if i['record']['type'] == 'credential.ended'))" <records
for j in one final leaked calm; do : >$j.stop; done
wait "${jobs[@]}"
dev_stop
finish
