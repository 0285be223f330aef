# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after pair.sh, as root: hostile processes beside a job (tests/lib/sh/hostile.py).
#
#   hostile_init               broker and agent; uid 4001 may have an identity as plain processes, 4002 in a run, 4003 none
#   hostile WHO NAME HOW [N]   start the harm as `entitled` (4001), `stranger` (4003), `owner` (4002) or `rival` (4002, in a run of its
#                              own); returns when it is in full swing; NAME.out
#   hostile_stop NAME
#   other NAME [N]             uid 4002's job fetches N times (20): other-NAME, "fetches N bad N p50 MS p99 MS"; all of them must be served
hostile_lib=$MAYFLY_TOP/tests/lib/sh
hostile_init() {
	local p
	{
		printf 'mayfly_policy: 1\nprofiles:\n'
		for p in victim plain; do
			printf '  %s:\n    purpose: test\n    owner: tests\n    max_job: 1h\n    drain: 0s\n    on_end: deny\n' $p
			printf '    identities:\n      - {path: "/{tenant}/%s/job/{job}", hint: job, x509_ttl: 20m}\n' $p
		done
		printf 'rules:\n'
		printf '  - {id: victim, effect: permit, profile: victim, owner: tests, review_by: 2099-01-01, nodes: any,\n'
		printf '     when: {all: [{contains: [attested.unix.uid, "4002"]}, {has: [attested.mayfly.run]}]}}\n'
		printf '  - {id: plain, effect: permit, profile: plain, owner: tests, review_by: 2099-01-01, nodes: any,\n'
		printf '     when: {contains: [attested.unix.uid, "4001"]}}\n'
	} >policy.yaml
	pair_init
	relay_up
	broker_up
	agent_up
}
hostile_up() { [ -s "$1.out" ] || ! kill -0 "$hostile_pid" 2>/dev/null; }
hostile() {
	local uid=4001 name=$2 run=()
	case $1 in owner) uid=4002 ;; rival) uid=4002 run=(mayfly run --profile victim --) ;; stranger) uid=4003 ;; esac
	shift 2
	: >"$name.out"
	setpriv --reuid=$uid --regid=$uid --clear-groups "${run[@]}" /usr/bin/python3 "$hostile_lib/hostile.py" "$1" "$PWD/run/agent.sock" \
		"$PWD/stop-$name" "${@:2}" >"$name.out" 2>"$name.err" </dev/null &
	hostile_pid=$!
	on_exit stop $hostile_pid
	poll 120 hostile_up "$name" && grep -q '^ready' "$name.out" && ok "$name-in-full-swing" || fail "$name-in-full-swing" "$(tail -3 "$name.err")"
}
hostile_stop() {
	touch "stop-$1"
	poll 60 gone "$hostile_pid" || fail "$1-ends" "it still runs"
	wait "$hostile_pid"
}
other() {
	mkdir -m 777 "home-$1"
	(cd "home-$1" && exec setpriv --reuid=4002 --regid=4002 --clear-groups mayfly run --profile victim -- \
		/usr/bin/python3 "$hostile_lib/fetch_loop.py" "${SPIFFE_ENDPOINT_SOCKET#unix://}" /dev/null "${2:-20}") >"other-$1" 2>"other-$1.err" </dev/null
	[ -s "other-$1" ] && grep -q ' bad 0 ' "other-$1" && ok "another-job-beside-$1" || fail "another-job-beside-$1" "$(cat "other-$1" "other-$1.err")"
}
