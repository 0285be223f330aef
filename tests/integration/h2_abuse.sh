#!/bin/bash
# HTTP/2 and gRPC as no client should speak them, frame by frame (tests/tools/h2_foe.c), at each HTTP/2 listener: the job socket, the
# admin socket, and port 8461 with a node's certificate. Each case has one right answer; an honest connection beside is answered
# before, meanwhile and after; metrics and log name the cause; descriptors and memory come back.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
. "$MAYFLY_TOP/tests/lib/sh/foe.sh"
need openssl curl "$foe_h2" "$foe_unseal"
scratch h2_abuse
pair_init
relay_up
broker_up
agent_up
foe_ca
foe_cert node spiffe://test.example/mayfly/node/n-foe

# counted PORT LISTENER FAMILY: a listener's counter
counted() {
	curl -sf "http://127.0.0.1:$1/metrics" |
		awk -v l="listener=\"$2\"" -v f="_net_$3_total{" 'index($0, f) && index($0, l) { n += $NF } END { print n + 0 }'
}
fds() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
anonymous() { awk '/^Anonymous:/ { n += $2 } END { print n }' "/proc/$1/smaps_rollup"; }
# A connection of its own, to the broker or for a look-up, may stand now and not then; what leaks does so with each case.
few() { [ "$(fds "$1")" -le $(($2 + 2)) ]; }

# attack NAME ROLE METRICS-PORT LOG EVENT PATH TARGET [CERT KEY]
attack() {
	local name=$1 pid port=$3 log=$4 event=$5 had before memory case metric out round
	pid=$(role_pid "$2")
	shift 5
	had=$(fds "$pid")
	while read -r case metric _; do
		[ "$metric" = - ] || before=$(counted "$port" "$name" "$metric")
		if out=$(timeout 300 "$foe_h2" "$case" "$@" 2>&1); then ok "$name-$case ($out)"; else fail "$name-$case" "$out"; fi
		[ "$metric" = - ] || [ "$(counted "$port" "$name" "$metric")" -gt "$before" ] ||
			fail "$name-$case-counted" "$metric was $before and still is"
	done < <("$foe_h2" --list)
	says "$name-log-names-floods" "\"event\":\"$event\".*(calm down|floods)" cat "$log"
	says "$name-log-names-bad-frames" "\"event\":\"$event\".*http/2: (the peer broke|a request on)" cat "$log"
	# What makes the server hold much again, twice: the heap has its size by then, and what a third time takes is lost.
	for round in 2 3; do
		memory=$(anonymous "$pid")
		while read -r case _ _; do
			timeout 300 "$foe_h2" "$case" "$@" >out 2>&1 || fail "$name-$case-$round" "$(cat out)"
		done < <("$foe_h2" --list | grep ' holds$')
	done
	poll 60 few "$pid" "$had" && ok "$name-descriptors" || fail "$name-descriptors" "$had before, $(fds "$pid") after"
	# A listener gives memory back two seconds after a connection has ended: the figure before may be of after that.
	slim() { out=$(anonymous "$pid") && [ "$out" -le $((memory + 1024)) ]; }
	poll 60 slim && ok "$name-memory ($memory KB, then $out)" || fail "$name-memory" "$memory KB, then $out"
	kill -0 "$pid" && ok "$name-lives" || fail "$name-lives" "the process is gone"
}
run_job long /usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/fetch_loop.py" "$PWD/run/agent.sock" "$PWD/stop" >other.out 2>other.err </dev/null &
on_exit stop $!
attack jobs agent-front "$P_MA" agent.log job.disconnected /SpiffeWorkloadAPI/FetchX509Bundles "$PWD/run/agent.sock"
attack admin broker-front "$P_MB" broker.log admin.disconnected /mayfly.admin.v1.Admin/ListNodes "$PWD/run/admin.sock"
attack agents broker-front "$P_MB" broker.log agent.disconnected /mayfly.agent.v1.NodeAgent/Session "127.0.0.1:$P_LISTEN" \
	node.pem node-key.pem
touch stop
poll 60 test -s other.out
says another-job-is-served ' bad 0 ' cat other.out
echo "   another job meanwhile: $(cat other.out)"
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
