#!/bin/bash
# Policy as people use it: what is wrong is said at once, a change reaches those alone whom it concerns, all or nothing.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
scratch policy

# write FILE ENV...: jobs of these environments may have `train`
write() {
	cat >"$1" <<-END
	mayfly_policy: 1
	profiles:
	  train:
	    purpose: test
	    owner: team-x
	    drain: 0s
	    identities: [{path: "/train/{job}", x509_ttl: 20m}]
	rules:
	  - id: by-env
	    effect: permit
	    profile: train
	    owner: team-x
	    review_by: 2099-01-01
	    nodes: any
	    when: {all: [{has: [attested.mayfly.run]}, {in: [manifest.env, [$2]]}]}
	END
}
write policy.yaml "dev, prod"
write narrow.yaml dev
sed 's/effect: permit/effect: permitt/; s/, \[dev\]/, dev/' narrow.yaml >broken.yaml
for e in dev prod test; do echo "{\"env\": \"$e\"}" >$e.json; done
: >empty.json

# --- at the start: exit code 2, every problem with its line ---
rc=0
mayfly dev --policy broken.yaml >bad.out 2>bad.err </dev/null || rc=$?
[ $rc = 2 ] && ok start-exit-code || fail start-exit-code "$rc: $(cat bad.err)"
says start-effect 'broken.yaml:10:[0-9]+: .effect. must be .permit. or .forbid.' cat bad.err
says start-operator 'broken.yaml:15:[0-9]+: in takes an attribute and a list' cat bad.err

dev_start --policy policy.yaml
watch() { # NAME: a job that shows its certificates until it is told otherwise
	mayfly run --profile train --manifest "$1.json" -- sh -c 'echo "$MAYFLY_JOB" >'"$1"'.job; exec mayfly svid watch' >"$1.watch" 2>&1 &
	on_exit stop $!
	poll 60 grep -q spiffe:// "$1.watch" && ok "$1-runs" || fail "$1-runs" "$(cat "$1.watch")"
}
watch dev
watch prod
sha() { mayfly status -o json | json 'd["items"][0]["policy_sha256"]'; }

# --- a manifest of no bytes is not no manifest ---
rc=0
mayfly run --profile train --manifest empty.json -- true >empty.log 2>&1 || rc=$?
[ $rc = 125 ] && grep -q 'it is empty' empty.log && ok empty-manifest || fail empty-manifest "$rc: $(cat empty.log)"

# --- why: the rule, the attribute, the cure; an operator sees all of it ---
mayfly run --profile train --manifest test.json -- true >/dev/null 2>&1
says why-refused 'manifest.env is test, must be one of dev, prod .*ask team-x' mayfly why
says why-granted 'by-env' mayfly run --profile train --manifest dev.json -- mayfly why
# Before there is a job: what it would get, on the facts that it would be attested with, and nothing comes of it.
refused() { # NAME CODE PATTERN CMD...
	local name=$1 code=$2 pat=$3 rc=0 out
	shift 3
	out=$("$@" 2>&1) || rc=$?
	if [ $rc = "$code" ] && grep -qE -- "$pat" <<<"$out"; then ok "$name"; else fail "$name" "exit code $rc: $out"; fi
}
counts() { mayfly status -o json | json '[d["items"][0][k] for k in ("log_size", "jobs_live", "leases_open")]'; }
before=$(counts)
says dry-permit 'Permitted +(yes|true)' mayfly why --profile train --manifest dev.json
says dry-permit-rule 'By rule +by-env' mayfly why --manifest dev.json --name nightly
refused dry-refusal 1 'manifest.env is test, must be one of dev, prod' mayfly why --profile train --manifest test.json
refused dry-cure 1 'Cure .*set it in the manifest, or ask team-x' mayfly why --profile train
refused dry-profile 1 'no profile|nosuch' mayfly why --profile nosuch
rc=0
mayfly why --profile train --manifest test.json -o json >dry.json || rc=$?
check dry-json test "$rc $(json '[d["items"][0][k] for k in ("permit", "attribute", "profile")]' <dry.json)" = '1 [false, "manifest.env", "train"]'
refused dry-not-both 2 'about a job that there is' mayfly why --profile train --job "$(cat dev.job)"
refused dry-empty 1 'it is empty' mayfly why --profile train --manifest empty.json
check dry-leaves-nothing test "$(counts)" = "$before"
# Inside a job: its own profile is what it keeps.
says dry-inside 'Permitted +(yes|true)' mayfly run --profile train --manifest dev.json -- mayfly why --profile train
refused dry-often 1 '20 times in a minute' sh -c 'for i in $(seq 30); do mayfly why --profile train --manifest dev.json >/dev/null || exit; done'
# Without mayfly run there is no job, and that is what it says to do.
refused whoami-cure 1 "start it with 'mayfly run'" mayfly whoami

says why-job 'Permitted now +(yes|true)' mayfly why --job "$(cat dev.job)"

# --- before: what would change ---
rc=0
mayfly policy test --live --policy narrow.yaml >live.out 2>&1 || rc=$?
[ $rc = 1 ] && ok live-exit-code || fail live-exit-code "$rc: $(cat live.out)"
says live-loses "loses all +$(cat prod.job)" cat live.out
says live-keeps "keeps +$(cat dev.job)" cat live.out
says live-why 'manifest.env is prod, must be one of dev' cat live.out
write wide.yaml "dev, prod, test"
says diff-denied 'deny -> permit' mayfly policy diff policy.yaml wide.yaml --against-log
says diff-permitted 'permit -> deny' mayfly policy diff policy.yaml narrow.yaml --against-log
says diff-all 'of the last [0-9]+ requests' mayfly policy diff policy.yaml narrow.yaml --against-log

# --- a file that is not valid changes nothing ---
before=$(sha)
rc=0
mayfly policy apply broken.yaml >apply.out 2>&1 || rc=$?
[ $rc = 2 ] && ok apply-broken || fail apply-broken "$rc: $(cat apply.out)"
[ "$(sha)" = "$before" ] && ok apply-broken-in-force || fail apply-broken-in-force "$(sha)"
cp policy.yaml kept.yaml
cp broken.yaml policy.yaml
rc=0
mayfly policy reload >reload.out 2>&1 || rc=$?
[ $rc = 1 ] && grep -q 'policy in force stays' reload.out && ok reload-broken || fail reload-broken "$rc: $(cat reload.out)"
[ "$(sha)" = "$before" ] && ok reload-broken-in-force || fail reload-broken-in-force "$(sha)"
cp kept.yaml policy.yaml

# --- one that is reaches those whom it concerns, within seconds, and nobody else ---
check apply mayfly policy apply narrow.yaml
[ "$(sha)" = "$(sha256sum <narrow.yaml | cut -d' ' -f1)" ] && ok apply-in-force || fail apply-in-force "$(sha)"
cmp -s policy.yaml narrow.yaml && ok apply-installed || fail apply-installed "$(cat policy.yaml)"
cmp -s policy.yaml.former kept.yaml && ok apply-former || fail apply-former "$(ls)"
says apply-recorded '"uid":' mayfly audit find --type policy.loaded -o json
poll 60 grep -qiE 'no identity issued|manifest.env' prod.watch && ok prod-loses || fail prod-loses "$(cat prod.watch)"
[ "$(grep -c spiffe:// dev.watch)" = 1 ] && ok dev-undisturbed || fail dev-undisturbed "$(cat dev.watch)"
says why-not-any-more 'manifest.env is prod, must be one of dev' mayfly why --job "$(cat prod.job)"
says dev-still 'granted|open' mayfly job show "$(cat dev.job)" -o json

# --- SIGHUP does the same ---
cp wide.yaml policy.yaml
kill -HUP "$dev_pid"
wide() { [ "$(sha)" = "$(sha256sum <wide.yaml | cut -d' ' -f1)" ]; }
poll 60 wide && ok hup || fail hup "$(sha)"
check test-may-now mayfly run --profile train --manifest test.json -- true
dev_stop
finish
