#!/bin/bash
# An announced end, at a real radosgw: a multi-part upload of 20 seconds that begins at the announcement finishes with the credential that the
# job holds; a grant that it had nothing of yet gives nothing; after the last process that credential is dead, and the job that is
# requeued reads the checkpoint. About 50 s, 22 of them the upload.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
rgw_here
scratch cloud-drain
lab_up
lab_manifest first '' upload
cat >job.sh <<'E'
# PYTHON SCRIPT RUN
"$1" "$2" data "runs/$3/model" 11 2>upload.err &
until [ -e asked ]; do sleep 0.05; done
mayfly token get spare -o json >spare.out 2>&1; echo $? >spare.rc
mayfly token get data -o json >data.out 2>&1; echo $? >data.rc
wait $! && until [ -e leave ]; do sleep 0.05; done
E
lab_run first sh "$PWD/job.sh" "$rgw_py" "$MAYFLY_TOP/tests/cloud/boto/upload.py" RUN >run.log 2>&1 &
run=$!
poll 120 test -s holding || { fail holding "$(cat run.log upload.err)"; finish; }
job=$(cat holding)
says held-works '^200' lab_creds copy.creds
state() { mayfly job show "$job" -o json | json 'd["items"][0]["state"]'; }

says announced 'announced' mayfly job end "$job" --drain --reason maintenance
: >go
poll 120 test -s parts || fail begun "$(cat upload.err)"
[ "$(state)" = ending ] && ok begun-at-the-end || fail begun-at-the-end "$(state)"
: >asked
poll 120 test -s data.rc || fail asked "$(cat spare.out data.out)"
if [ "$(cat spare.rc)" != 0 ] && ! grep -q SecretAccessKey spare.out; then ok nothing-new; else fail nothing-new "$(cat spare.rc): $(cut -c1-80 spare.out)"; fi
[ "$(cat data.rc)" = 0 ] && ok what-it-had-is-served || fail what-it-had-is-served "$(cat data.out)"
says instance-is-ending 'n1 +ending' mayfly job show "$job"
poll 300 test -s uploaded && ok upload-finished || fail upload-finished "$(cat upload.err)"
read -r sha seconds word <uploaded
[ "$word" = 'one credential' ] && ok with-what-it-held || fail with-what-it-held "$word"
[ "$seconds" -ge 20 ] && ok twenty-seconds || fail twenty-seconds "$seconds s"
[ "$(state)" = ending ] && ok still-ending || fail still-ending "$(state)"

: >leave
wait $run || fail run "$(cat run.log)"
ended() { [ "$(state)" = ended ]; }
poll 60 ended && ok ended || fail ended "$(state)"
denied() { lab_creds copy.creds | grep -q '^403'; }
poll 60 denied && ok dead-after-the-end || fail dead-after-the-end "$(lab_creds copy.creds)"

lab_manifest again "$(cat first.run)" upload
says requeued-reads-it "^$sha\$" lab_run again "$rgw_py" "$MAYFLY_TOP/tests/cloud/boto/digest.py" data runs/RUN/model
lab_manifest other "" upload
other() { ! lab_run other "$rgw_py" "$MAYFLY_TOP/tests/cloud/boto/digest.py" data "runs/$(cat first.run)/model" 2>&1; }
says another-job-does-not 'AccessDenied|403' other

# On record in that order; no token was asked for between the announcement and the end.
mayfly audit find --job "$job" -o json >records || fail records "$(cat records)"
says recorded '^good$' /usr/bin/python3 - <<'E'
import json
seen = [i["record"]["type"] for i in json.load(open("records"))["items"]]
ending, end = seen.index("job.ending"), seen.index("job.ended")
good = seen.index("cloud.issued") < ending < end and "cloud.intent" not in seen[ending:] and "revoke.completed" in seen[end:]
print("good" if good else seen)
E
says log-verifies '^ok' mayfly audit verify
dev_stop
finish
