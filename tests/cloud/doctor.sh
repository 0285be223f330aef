#!/bin/bash
# `mayfly doctor --profile`: the way of a cloud token at a real radosgw, with one thing after another broken on purpose, and each time
# the side that is wrong is named. What it tries is on record and taken back: nobody gets the test token.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/doctor.sh"
rgw_here
scratch doctor
nobody=$(free_port)
target() { # NAME ISSUER ENDPOINT [MORE]
	printf ", {name: %s, backend: aws-sts, endpoint: %s, region: us-east-1, issuer: %s, revoker_role: 'arn:aws:iam:::role/revoker', loopback: true%s}" \
	    "$1" "$3" "$2" "${4:-}"
}
lab_more() {
	target audience "$lab_issuer/x5c" "$rgw_url" ', audience: wrong.example'
	target unpublished "http://localhost:$nobody" "$rgw_url"
	target away "$lab_issuer/x5c" "http://127.0.0.1:$nobody"
}
profile() { # NAME TARGET ROLE
	printf '  %s:\n    purpose: training\n    owner: tests\n    max_job: 1h\n    identities: [{path: "/{tenant}/train/job/{job}"}]\n    cloud:\n' "$1"
	printf '      - {name: data, target: %s, role: "arn:aws:iam:::role/%s", ttl: 1h, scope: [{actions: ["s3:GetObject"], resources: ["arn:aws:s3:::data/{run}/*"]}]}\n' "$2" "$3"
}
lab_policy() {
	{
		printf 'mayfly_policy: 1\nprofiles:\n'
		profile train lab train
		profile audience audience train
		profile unpublished unpublished train
		profile away away train
		profile nowhere nosuch train
		profile untagged lab untagged
		profile missing lab missing
		profile others lab others
		profile kept lab kept
		printf 'rules:\n  - {id: train, effect: permit, profile: train, owner: tests, review_by: 2099-01-01, nodes: any, when: {all: [{contains: [attested.unix.uid, "%s"]}, {has: [attested.mayfly.run]}]}}\n' \
		    "$(id -u)"
	} >"$1"
}
lab_up
td=lab.example
{
	rgw provider "http://localhost:$nobody"
	rgw role others "$lab_issuer/x5c" "spiffe://$td/*/others/*"
	rgw role kept "$lab_issuer/x5c" "spiffe://$td/*/train/job/*"
	RGW_URL=$rgw_url "$rgw_py" - "$MAYFLY_TOP/tests/lib/sh" "$lab_issuer/x5c" "spiffe://$td/*/train/job/*" <<-'E'
	import sys
	sys.path.insert(0, sys.argv[1])
	import rgw
	print(*rgw.role("untagged", sys.argv[2], sys.argv[3], ["sts:AssumeRoleWithWebIdentity"])[:1])
	E
} >more.log 2>&1
[ "$(grep -c '^200' more.log)" = 4 ] || { fail more "$(cat more.log)"; finish; }

doctor fine 0 train ok profile '' ok data.target '' ok data.key '' ok data.courier '' ok data.scope '' ok data.token '' \
    ok data.revoker '' ok agent.permit ''
doctor nowhere 1 nowhere fail data.target broker
doctor nothing 1 no-such-profile fail profile profile
doctor audience 1 audience fail data.token provider
doctor untagged 1 untagged fail data.token.tags provider
doctor role 1 missing fail data.token provider
doctor subject 1 others fail data.token provider
says role-says-why 'took them' cat role.why
says audience-says-why 'refuses too' cat audience.why
doctor unpublished 1 unpublished fail data.issuer.public publication fail data.token publication
doctor away 1 away fail data.token network
doctor revoker 1 kept ok data.token '' fail data.revoker provider

# --- what it did stands in the log: a test token's intent and what became of it; the operator's name; no token of a job ---
mayfly audit tail -n all -o json >records 2>audit.err || fail records "$(cat audit.err)"
/usr/bin/python3 - <<'E'
import json
r = [i["record"] for i in json.load(open("records"))["items"]]
probes = {x["serial"]: x for x in r if x["type"] == "cloud.probe"}
closed = {x["serial"]: x for x in r if x["type"] in ("cloud.failed", "cloud.reconciled") and x["serial"] in probes}
done = {x["serial"] for x in r if x["type"] == "revoke.completed"}
taken = [s for s, x in closed.items() if x["type"] == "cloud.reconciled" and probes[s]["cloud"]["role"].endswith("/train")]
good = bool(probes) and set(closed) == set(probes) and taken and set(taken) <= done and \
    all("uid" in x["actor"] for x in probes.values()) and not [x for x in r if x["type"] in ("cloud.intent", "cloud.issued")]
print("ok recorded" if good else "FAIL recorded: %s" % [x["type"] for x in r])
E
refuses nobody-got-it grep -q 'SessionToken\|SecretAccessKey' records dev.log fine.json

# --- nothing is asked of a cloud; a wrong command line ---
probes() { mayfly audit tail -n all 2>/dev/null | grep -c cloud.probe; }
before=$(probes)
check no-token mayfly doctor --profile train --no-token
[ "$(probes)" = "$before" ] && ok no-token-not-recorded || fail no-token-not-recorded "$before, $(probes)"
mayfly doctor --grant data >usage.log 2>&1
[ $? = 2 ] && ok usage || fail usage "$(cat usage.log)"
says one-grant 'fail +nope.grant' sh -c 'mayfly doctor --profile train --grant nope; true'

# --- who may not see the broker's side is told so; a job sees its endpoint ---
says half 'warn +broker +not looked at' mayfly doctor --profile train --admin-socket "$PWD/none"
lab_manifest job
says endpoint 'ok +data.endpoint' lab_run job mayfly doctor --profile train --admin-socket "$PWD/none"
dev_stop
finish
