# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh: broker and agent of a throw-away trust domain, in the test's scratch directory.
#
#   dev_start [ARG...]   `mayfly dev --state $PWD/state ARG...`; returns when it serves; exports what it prints;
#                        stopped at the end of the script. Log: $PWD/dev.log
#   dev_stop             stop it now; fails the test when it does not end cleanly
#   dev_policy FILE      write a policy with the profiles of the tests (see there)
#   run_job P CMD...     `mayfly run --profile P -- CMD...`
#   json EXPR            evaluate a Python expression on the JSON document d of stdin, print the result
dev_pid=
PATH=$MAYFLY_BIN:$PATH
[ -x "$MAYFLY_BIN/mayfly" ] || { fail all "there is no $MAYFLY_BIN/mayfly: build first"; exit 1; }

dev_start() {
	local log=${DEV_LOG:-dev.log}
	: >dev.out # an earlier one's "ready" must not be taken for this one's
	mayfly dev --state "$PWD/state" "$@" >dev.out 2>>"$log" </dev/null &
	dev_pid=$!
	on_exit dev_kill
	if ! poll 120 dev_up || ! grep -qx ready dev.out; then
		fail start "mayfly dev does not get ready: $(tail -5 "$log")"
		finish
	fi
	eval "$(grep '^export ' dev.out)"
}
dev_up() { grep -qx ready dev.out || ! kill -0 "$dev_pid" 2>/dev/null; }
dev_kill() {
	[ -z "$dev_pid" ] || stop "$dev_pid"
	dev_pid=
}
dev_stop() {
	local rc=0
	kill -TERM "$dev_pid" || true
	poll 60 gone "$dev_pid" || fail stop "mayfly dev does not end"
	wait "$dev_pid" || rc=$?
	dev_pid=
	[ $rc = 0 ] || fail stop "mayfly dev ended with exit code $rc: $(tail -3 "${DEV_LOG:-dev.log}")"
}
run_job() {
	local p=$1
	shift
	mayfly run --profile "$p" -- "$@"
}
json() { /usr/bin/python3 -c 'import json, sys; d = json.load(sys.stdin); r = '"$1"'; print(r if isinstance(r, str) else json.dumps(r))'; }

# Profiles: `long` (20 minutes), `short` (certificates of DEV_TTL, so that renewals come within seconds),
# `alpha` and `beta` (short ones with fixed paths for mutual authentication), `drain` (keeps its identity for a
# while after an announced end).
dev_policy() {
	local ttl=${DEV_TTL:-6s} p
	cat >"$1" <<-EOF
	mayfly_policy: 1
	profiles:
	  long:
	    purpose: test
	    owner: tests
	    max_job: 1h
	    drain: 0s
	    identities:
	      - {path: "/{tenant}/long/job/{job}", hint: job, x509_ttl: 20m, cn: "{job}"}
	    jwt_audiences: [one.example, two.example]
	    on_end: deny
	  short:
	    purpose: test
	    owner: tests
	    max_job: 1h
	    drain: 0s
	    identities:
	      - {path: "/{tenant}/short/job/{job}", hint: job, x509_ttl: $ttl}
	    jwt_audiences: [one.example]
	    jwt_alg: RS256
	    on_end: deny
	  alpha:
	    purpose: test
	    owner: tests
	    max_job: 1h
	    drain: 0s
	    identities:
	      - {path: "/alpha", hint: alpha, x509_ttl: $ttl}
	    on_end: deny
	  beta:
	    purpose: test
	    owner: tests
	    max_job: 1h
	    drain: 0s
	    identities:
	      - {path: "/beta", hint: beta, x509_ttl: $ttl}
	    on_end: deny
	rules:
	EOF
	for p in long short alpha beta; do
		cat >>"$1" <<-EOF
		  - {id: $p, effect: permit, profile: $p, owner: tests, review_by: 2099-01-01, nodes: any,
		     when: {contains: [attested.unix.uid, "$(id -u)"]}}
		EOF
	done
}
