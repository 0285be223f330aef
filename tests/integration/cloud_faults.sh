#!/bin/bash
# A provider that fails, end to end: slow, 5xx, garbage, a huge reply, one cut at any place, no name, nobody there. The job's SDK is held
# and gets its token when there is one; what is refused for good it hears at once, with the reason; every token that may have been
# made is on record and taken back; and the operator is told. The provider is a fake, for failures only.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need curl
scratch cloud_faults
sts=$(free_port) oidc=$(free_port) nobody=$(free_port)
/usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/bad_sts.py" "$sts" "$PWD" >sts.log 2>&1 </dev/null &
on_exit stop $!
touch made
grant() { echo "{name: $1, target: $1, role: \"arn:aws:iam::123456789012:role/train\", scope: [{actions: [\"s3:GetObject\"], resources: [\"arn:aws:s3:::lab/runs/{run}/*\"]}]}"; }
profile() { printf '  %s: {purpose: training, owner: team, identities: [{path: "/{tenant}/%s/job/{job}"}], cloud: [%s]}\n' "$1" "$1" "$(grant "$1")"; }
rule() { echo "  - {id: $1, effect: permit, profile: $1, owner: team, review_by: 2099-02-01, nodes: any, when: {has: [attested.mayfly.run]}}"; }
{
	printf 'mayfly_policy: 1\nprofiles:\n'
	for p in lab lost gone; do profile $p; done
	echo rules:
	for p in lab lost gone; do rule $p; done
} >policy.yaml
target() { echo "{name: $1, backend: aws-sts, endpoint: \"$2\", revoker_role: \"arn:aws:iam::123456789012:role/revoker\", loopback: $3}"; }
pair_init oidc "{issuer: http://127.0.0.1:$oidc, public: publisher, listen: 127.0.0.1:$oidc}" \
	cloud_targets "[$(target lab "http://127.0.0.1:$sts/" true), $(target lost https://sts.nowhere.invalid/ false), $(target gone "http://127.0.0.1:$nobody/" true)]"
sed -i "s/^advertise:.*/advertise: 127.0.0.1:$P_LISTEN/" broker.yaml
broker_up
agent_up
cat >ask.sh <<'E2'
curl -s -m "${1:-60}" -w ' %{http_code}\n' -H "Authorization: $(cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")" "$AWS_CONTAINER_CREDENTIALS_FULL_URI"
E2
ask() { mayfly run --profile "$1" -- sh ask.sh "${2:-60}"; } # PROFILE [SECONDS]
metric() { curl -s "http://127.0.0.1:$P_MB/metrics" | awk -v m="$1" '$1 == m { print $2 }'; }
metric_is() { [ "$(metric "$1")" = "$2" ]; }
status() { mayfly status -o json | json "d['items'][0].get('$1')"; }
count() { records "$1" 2>/dev/null; }
log_has() { grep -q "\"$1\"" broker.log; }

# --- each failure once, then a good one: the call is held, and nothing is seen of it but time ---
held() { # NAME MODE TYPE: ... and its intent is closed by TYPE
	local before after
	before=$(count "$3")
	echo "$2" >modes
	says "held-$1" ' 200$' ask lab
	after=$(count "$3")
	[ "$after" -gt "$before" ] && ok "recorded-$1" || fail "recorded-$1" "$3: $before, then $after"
}
echo 'slow 1500' >modes
says slow ' 200$' ask lab
held 503 503 cloud.failed
held 500 500 cloud.failed
held garbage garbage cloud.reconciled
held huge huge cloud.reconciled
held dropped drop cloud.reconciled
for at in 0 3 20 50 90 99; do held "cut-at-$at-percent" "cut $at" cloud.reconciled; done
held truncated truncated cloud.reconciled

# --- for good: at once, with the reason; once only, it may have been of the moment ---
echo 403 >modes
says refused-once ' 200$' ask lab
printf '403\n403\n' >modes
says refused 'trust.*AccessDenied.* 403$' ask lab

# --- nobody there, no name: held for as long as the client wants, and the answer of the CLI says why ---
for p in gone lost; do
	before=$(count cloud.failed)
	says "$p-is-held" ' 000$' sh -c "mayfly run --profile $p -- sh ask.sh 3; true"
	out=$(mayfly run --profile $p -- mayfly token get -o json --timeout 4s 2>&1)
	rc=$?
	if [ $rc = 4 ] && grep -q "cloud target $p gave no token" <<<"$out"; then ok "$p-says-why"; else fail "$p-says-why" "$rc: $out"; fi
	[ "$(count cloud.failed)" -gt "$before" ] && ok "$p-recorded" || fail "$p-recorded" "no cloud.failed"
done

# --- many failures in a row: it is left alone, that is told, and all is back by itself ---
echo '+500' >modes
pids=()
for i in 1 2 3 4 5 6; do
	ask lab >"many.$i" 2>&1 </dev/null &
	pids+=($!)
done
lab_fails() { grep -q 'cloud.unreachable.*cloud target lab' broker.log; }
poll 60 lab_fails && ok unreachable-told || fail unreachable-told "$(tail -3 broker.log)"
poll 60 log_has courier.target_away && ok left-alone || fail left-alone "$(grep courier. broker.log | tail -3)"
failing() { [ "$(metric mayfly_cloud_targets_failing)" -ge 1 ]; }
poll 60 failing && ok unreachable-metric || fail unreachable-metric "$(curl -s "http://127.0.0.1:$P_MB/metrics" | grep cloud)"
[ -n "$(status cloud_failing)" ] && ok unreachable-status || fail unreachable-status "$(mayfly status)"
says identities-go-on 'spiffe://' mayfly run --profile lab -- mayfly svid fetch
: >modes
for p in "${pids[@]}"; do wait "$p" || true; done
says many-are-served '^6$' sh -c "cat many.* | grep -c ' 200'"
reachable() { grep -q 'cloud.reachable.*cloud target lab' broker.log; }
poll 60 reachable && ok reachable-told || fail reachable-told "$(grep cloud\\. broker.log | tail -3)"
unknown=$(metric mayfly_cloud_outcomes_unknown_total)
[ "${unknown:-0}" -ge 8 ] && ok unknown-metric || fail unknown-metric "$(curl -s "http://127.0.0.1:$P_MB/metrics" | grep cloud)"
log_has cloud.unknown && ok unknown-told || fail unknown-told "no cloud.unknown"

# --- everything that was made for jobs that are over, known or not, is denied at the provider and said to be ---
settled() { metric_is mayfly_cloud_tokens_pending 0 && [ "$(count revoke.completed)" -ge "$(sort -u made | grep -c .)" ]; }
poll 90 settled && ok taken-back || fail taken-back "$(metric mayfly_cloud_tokens_pending) pending; $(count revoke.completed) of $(grep -c . made)"
intents=$(count cloud.intent) closed=$(($(count cloud.issued) + $(count cloud.failed) + $(count cloud.reconciled)))
[ "$intents" = "$closed" ] && ok every-intent-closed || fail every-intent-closed "$intents, $closed"
mayfly audit find --type cloud.intent -o json >intents.json
missing() { while read -r c; do grep -q "$c" intents.json || echo "$c"; done <made; }
[ -z "$(missing)" ] && ok every-token-on-record || fail every-token-on-record "$(missing)"

# --- a revocation that the provider does not confirm: pending, in the status and the metrics, until it does ---
echo 500 >iam
says one-more ' 200$' ask lab
pending() { [ "$(metric mayfly_cloud_tokens_pending)" -ge 1 ] && [ "$(status cloud_tokens_pending)" -ge 1 ]; }
poll 60 pending && ok pending-shown || fail pending-shown "$(mayfly status)"
poll 60 log_has cloud.revoke_retry && ok pending-told || fail pending-told "$(tail -3 broker.log)"
rm iam
poll 120 settled && ok confirmed-at-last || fail confirmed-at-last "$(mayfly status; tail -3 broker.log)"
finish
