#!/bin/bash
# A credential's life as each SDK sees it: tokens of a minute are refreshed under a client that is kept, and no read fails; after a revocation
# (one job, then everything of a profile) the endpoint says 403 with the reason, a new client has nothing, and the store denies what was held.
# What each shows to its user is printed. Most of the time is the minute.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/sdks.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
rgw_here
scratch sdk-life
sdk_names
lab_up
# The job: a copy of the credential, as a thief would have it; the SDK; another copy when it is told.
cat >job.sh <<'E2'
name=$1
shift
ask() { curl -s -m 60 -H "Authorization: $(cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")" "$AWS_CONTAINER_CREDENTIALS_FULL_URI"; }
copy() { ask >"$1.new" && mv "$1.new" "$1"; }
printf %s "$MAYFLY_JOB" >"$name.id"
stat -c '%a %s' "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" >"$name.file"
tail -c 1 "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" | od -An -tx1 >>"$name.file"
copy "$name.first"
"$@" &
until [ -e copy ]; do sleep 0.1; done
copy "$name.second"
until [ -e over ]; do sleep 0.1; done
copy "$name.last"
wait $!
E2
for s in "${sdks[@]}"; do
	sdk_command "$s"
	lab_manifest "$s" '' brief
	lab_run "$s" bash job.sh "$s" "${sdk_cmd[@]}" --held data sets/imgs/1 stop >"$s.out" 2>"$s.err" &
	eval "pid_$s=\$!"
done
calls() { grep -oF "/$(cat "$1.id")\"" ceph/ops.log | wc -l; }
went_on() { [ "$(calls "$1")" -gt $(($2 + 2)) ]; }
dead() { lab_creds "$1" | grep -q '^403'; }
for s in "${sdks[@]}"; do
	if poll 120 grep -qx 'held 200' "$s.out"; then ok "$s-found"; else fail "$s-found" "$(cat "$s.out" "$s.err")"; fi
	# No newline at its end: a letter of its hex.
	says "$s-secret-file" '^400 [0-9]+  [36][0-9]' tr '\n' ' ' <"$s.file"
	says "$s-expires" '^20' json 'd["Expiration"]' <"$s.first"
done

# --- the minute is over; nobody notices ---
for s in "${sdks[@]}"; do
	poll 180 dead "$s.first" && n=$(calls "$s") && poll 120 went_on "$s" "$n" && ok "$s-goes-on" ||
		fail "$s-goes-on" "$(lab_creds "$s.first"; tail -2 "$s.out" "$s.err")"
	if [ "$(cat "$s.out")" = 'held 200' ]; then ok "$s-refreshed"; else fail "$s-refreshed" "$(cat "$s.out" "$s.err")"; fi
done
: >copy
for s in "${sdks[@]}"; do
	poll 60 test -s "$s.second" || fail "$s-copy" "$(cat "$s.err")"
	cmp -s "$s.first" "$s.second" && fail "$s-another" "$(json 'd["AccessKeyId"]' <"$s.second")"
done

# --- taken back: the first ones by name, then whatever else the profile has ---
half=$(((${#sdks[@]} + 1) / 2))
for s in "${sdks[@]:0:half}"; do
	says "$s-revoked" . mayfly revoke --job "$(cat "$s.id")" --reason "leaked by $s"
done
says profile-frozen . mayfly revoke --profile brief --reason 'brief is closed'
for s in "${sdks[@]}"; do
	if poll 120 dead "$s.second"; then ok "$s-held-token-denied"; else fail "$s-held-token-denied" "$(lab_creds "$s.second")"; fi
done
refused() { tail -1 "$1.out" | grep -vqx 'held 200'; }
: >over
for s in "${sdks[@]}"; do
	if poll 120 refused "$s"; then ok "$s-refused"; else fail "$s-refused" "$(cat "$s.out" "$s.err")"; fi
	poll 60 test -s "$s.last"
	says "$s-reason" '"code":"CredentialRevoked","message":"the job has ended \(operator\)"' cat "$s.last"
done
: >stop
for s in "${sdks[@]}"; do
	eval "wait \$pid_$s"
	says "$s-has-nothing-new" '^fresh [^2]' cat "$s.out"
	echo "$s: $(sed -n '2,$p' "$s.out" | cut -c1-400)"
	says "$s-run-says-why" 'was ended \(operator\)' grep '^mayfly:' "$s.err"
done
lab_manifest late '' brief
late() { ! lab_run late true 2>&1; }
says frozen-for-new-jobs 'an operator froze profile:brief' late
dev_stop
finish
