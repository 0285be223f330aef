#!/bin/bash
# Many ends on one role at a real radosgw: MF_CLOUD_ENDS jobs (200) take a token each and end, eight at a time; three of four tokens are of
# a minute, the others of an hour. Every token is on record as ended, denied or with the time until which it works, and the store agrees;
# the role's policies are never over a provider's limit; the requests are few; a job that goes on notices nothing. A thousand, which is
# what the design asks for in a minute, are more than a deny list has room for: then the hours are denied and the minutes expire.
# MF_CLOUD_PRUNED=1 waits (6 minutes) until the list has shrunk.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
rgw_here
scratch end-storm
ends=${MF_CLOUD_ENDS:-200}
lab_up
export RGW_URL=$rgw_url
cat >ask.sh <<'E2'
curl -sf -m 120 -H "Authorization: $(cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")" "$AWS_CONTAINER_CREDENTIALS_FULL_URI" >"$1"
E2
storm() { "$rgw_py" "$MAYFLY_TOP/tests/lib/sh/end_storm.py" "$@"; }
lab_manifest train
lab_manifest brief '' brief
lab_manifest calm
mkdir creds

# --- one goes on ---
lab_run calm bash -c '. ./ask.sh calm.creds; : >calm.up; until [ -e calm.go ]; do sleep 0.1; done' >calm.out 2>&1 &
calm=$!
poll 120 test -e calm.up || { fail calm-start "$(cat calm.out)"; finish; }
says calm-reads '^200' lab_creds calm.creds

# --- the others end ---
storm watch watch.stop >watch.out 2>&1 &
watch=$!
on_exit stop $watch
one() { # NUMBER
	local p=train
	case $1 in *[!0-9]*) p=brief ;; *) [ $(($1 % 4)) = 0 ] || p=brief ;; esac
	mayfly run --profile $p --manifest $p.json -- sh ask.sh "creds/$1" >"creds/$1.out" 2>&1 && rm -f "creds/$1.out"
}
export -f one
from=$SECONDS
seq "$ends" | xargs -P 8 -n 1 bash -c 'one "$0"' || true
took=$((SECONDS - from))
got=$(find creds -name '*[0-9]' -size +0 | wc -l)
[ "$got" = "$ends" ] && ok every-job-had-one || fail every-job-had-one "$got of $ends; $(cat creds/*.out | sort | uniq -c | sort -rn | head -3)"
echo "$ends jobs began, had a token and ended in $took s, load $(cut -d' ' -f1 /proc/loadavg)"

# --- each is completed on record, and the store agrees ---
completed() {
	mayfly audit tail -n all -o json >records 2>audit.err && [ "$(storm open records)" = 0 ]
}
if poll 180 completed; then ok all-completed; else fail all-completed "$(storm open records) are not"; fi
storm agree records creds || fail store-agrees "exit code $?"
says calm-reads-on '^200' lab_creds calm.creds
: >watch.stop
wait $watch || fail watch "exit code $?"
cat watch.out

# --- in time the list is short again ---
if [ -n "${MF_CLOUD_PRUNED:-}" ]; then
	size=$(storm size)
	pruned() { # what is dead leaves with the next request
		sleep 10 # each look is a job of its own
		one next && [ "$(storm size)" -lt $((size - 500)) ]
	}
	if poll 480 pruned; then ok pruned; else fail pruned "$size, now $(storm size)"; fi
	echo "the deny list: $size characters, $(storm size) after $((SECONDS - from)) s"
	says calm-reads-last '^200' lab_creds calm.creds
fi
: >calm.go
wait $calm
dev_stop
finish
