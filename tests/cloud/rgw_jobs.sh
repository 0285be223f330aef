#!/bin/bash
# Jobs with cloud tokens, whole: under `mayfly run` unmodified SDKs read the data set from a real bucket and write a checkpoint under
# their run's prefix; another run's is refused. A requeued job reads what the first one wrote. A token's time is over when it is over,
# and a job that outlives it notices nothing. The log has intent and issue of each, and the store's own log names the job of every call.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/sdks.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
rgw_here
scratch rgw-jobs
sdk_names
lab_up

# --- tokens of a minute, by a job of longer: looked at last ---
lab_manifest brief '' brief
lab_run brief "$rgw_py" "$MAYFLY_TOP/tests/cloud/boto/loop.py" data sets/imgs/1 65 brief.creds >brief.out 2>brief.err &
brief=$!
poll 120 test -s brief.creds || fail brief-start "$(cat brief.err)"
says brief-works '^200' lab_creds brief.creds

# --- every SDK, each as a job of a run of its own; what would win in its environment is taken away ---
export AWS_ACCESS_KEY_ID=AKIAWRONG AWS_SECRET_ACCESS_KEY=wrong AWS_PROFILE=nobody
for s in "${sdks[@]}"; do
	sdk_command "$s"
	lab_manifest "$s"
	sdk_check "$s" lab_run "$s" "${sdk_cmd[@]}" data sets/imgs/1 runs/RUN/ckpt runs/other/ckpt
done
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_PROFILE

# --- side by side, neither reaches the other's; a requeued job is of the same run ---
sdk_command boto3
lab_manifest first
sdk_check first lab_run first "${sdk_cmd[@]}" data sets/imgs/1 runs/RUN/ckpt "runs/$(cat boto3.run)/ckpt" first.creds
lab_manifest again "$(cat first.run)"
sdk_check requeued lab_run again "${sdk_cmd[@]}" data runs/RUN/ckpt runs/RUN/ckpt "runs/$(cat boto3.run)/ckpt" again.creds
[ "$(cat first.run)" = "$(cat again.run)" ] && ok same-run || fail same-run "$(cat first.run again.run)"
lab_manifest stranger r-aaaaaaaaaaaaaaaaaaaa
stranger() { ! lab_run stranger true 2>&1; }
says strangers-run 'not known' stranger

# --- what the ended jobs held is denied by their jobs; what goes on on the same role is not (the next ones here show it) ---
denied() { lab_creds "$1" | grep -q '^403'; }
for j in first again; do
	if poll 60 denied $j.creds; then ok $j-dead-after-end; else fail $j-dead-after-end "$(lab_creds $j.creds)"; fi
done
says level-shown 'cloud:data .*denied: dead from' mayfly credential ls --all

# --- the endpoint is for the job's own processes ---
lab_manifest shown
# shellcheck disable=SC2016 # the job's shell's words
lab_run shown sh -c 'echo "$AWS_CONTAINER_CREDENTIALS_FULL_URI" >uri; cp "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" secret; echo here >shown.up
	while [ ! -e shown.go ]; do sleep 0.1; done' &
shown=$!
poll 120 test -s shown.up || fail shown-start 'no job'
ask() { /usr/bin/python3 -c '
import sys, urllib.error, urllib.request
try:
    r = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={"Authorization": open("secret").read()}), timeout=60)
except urllib.error.HTTPError as e:
    r = e
print(r.status, r.read().decode())' "$(cat uri)"; }
says endpoint-not-for-others '^403 .*AccessDenied' ask
lab_manifest thief
says endpoint-not-for-other-jobs '^403 .*AccessDenied' lab_run thief bash -c "$(declare -f ask); ask"
: >shown.go
wait $shown

# --- the minute is over ---
wait $brief || fail brief-exit "exit code $?: $(cat brief.err)"
says brief-noticed-nothing '^reads [0-9]+ failed 0 credentials ([2-9]|[1-9][0-9])$' cat brief.out
says brief-over '^403' lab_creds brief.creds

# --- on record at both sides; nothing of a secret ---
mayfly audit tail -n all -o json >records 2>audit.err || fail records "$(cat audit.err)"
/usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/cloud_log.py" records ceph/ops.log || fail log "exit code $?"
for c in *.creds; do
	json 'd["SecretAccessKey"]' <"$c"
	json 'd["Token"]' <"$c"
done >secrets
[ "$(grep -c . secrets)" = 6 ] || fail secrets "$(grep -c . secrets) of 6"
if grep -rlFf secrets records dev.log state >found; then fail no-secret "$(cat found)"; else ok no-secret; fi
dev_stop
finish
