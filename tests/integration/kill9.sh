#!/bin/bash
# kill -9 of each process under load, MF_KILL_ROUNDS rounds (50): all is back by itself, and what was acknowledged to a job is
# in the log. The supervisors are started again by this script, as systemd would.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch kill9
rounds=${MF_KILL_ROUNDS:-50}
DEV_TTL=8s pair_init lease_ttl 60s heartbeat 2s
relay_up
broker_up
agent_up
touch ledger
# Load: two loops of short jobs, each writing the serial that it holds into the ledger, and one that watches.
load() {
	local n=0
	while [ ! -e stop ]; do
		n=$((n + 1))
		if timeout 60 mayfly run --profile long -- mayfly svid fetch -o json >"load$1.json" 2>"load$1.err"; then
			grep -o '"serial": *"[0-9a-f]*"' "load$1.json" | grep -o '[0-9a-f]\{32\}' >>ledger
		fi
	done
}
load 1 & l1=$!
load 2 & l2=$!
mayfly run --profile short -- sh -c 'while [ ! -e stop ]; do mayfly svid watch -o json; sleep 0.2; done' >watch.log 2>&1 &
l3=$!
on_exit stop $l1; on_exit stop $l2; on_exit stop $l3
victims=(notary broker-front attestor agent-front notary agent-front broker-front attestor mayfly-broker mayfly-agent)
before=0
for ((i = 0; i < rounds; i++)); do
	v=${victims[i % ${#victims[@]}]}
	case $v in
	mayfly-broker) pid=$(cat broker.pid) ;;
	mayfly-agent) pid=$(cat agent.pid) ;;
	*) pid=$(role_pid "$v") ;;
	esac
	[ -n "$pid" ] || { fail "round$i" "no $v is running: $(tail -2 broker.log agent.log)"; break; }
	# The kernel kills a supervisor's roles with it; like systemd, this script begins anew when the last of them is gone.
	roles=$(pgrep -P "$pid")
	kill -KILL "$pid"
	case $v in
	mayfly-broker) for p in $pid $roles; do poll 60 gone "$p"; done; broker_up ;;
	mayfly-agent) for p in $pid $roles; do poll 60 gone "$p"; done; agent_up ;;
	esac
	# It is back when a new job gets through.
	grown() { [ "$(wc -l <ledger)" -gt "$before" ]; }
	before=$(wc -l <ledger)
	poll 120 grown || { fail "round$i" "after kill -9 of $v nothing is issued: $(tail -2 load1.err) $(tail -3 broker.log) $(tail -3 agent.log)"; break; }
done
[ "$i" = "$rounds" ] && ok "all-back-$rounds-rounds"
touch stop
wait $l1 $l2 2>/dev/null
stop $l3
agent_down
broker_down
mayfly audit find --type svid.issued -o json >issued.json 2>/dev/null
missing=$(sort -u ledger | while read -r s; do grep -q "$s" issued.json || echo "$s"; done)
[ -z "$missing" ] && ok "ledger-in-log ($(sort -u ledger | wc -l) serials)" || fail ledger-in-log "$missing"
says log-verifies 'ok|good|verified' mayfly audit verify
finish
