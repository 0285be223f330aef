#!/bin/bash
# The broker's name is looked up for every round of connecting: a broker that moves is found without a restart of the agent,
# one of several addresses is enough, and a name that nobody knows yet is waited for. The agent has /etc/hosts of its own.
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need unshare curl
unshare -m true 2>/dev/null || { skip all "no mount namespace of one's own may be made here"; exit 0; }
scratch broker_moves
pair_init

hosts() { printf '%s\n' "127.0.0.1 localhost" "$@" >hosts; } # in place: it is mounted
listen() { # ADDRESS: where the broker listens from its next start on
	sed -i "s/^listen: .*/listen: $1:$P_LISTEN/; s/^advertise: .*/advertise: broker.test:$P_LISTEN/" broker.yaml
}
printf 'hosts: files dns\n' >nsswitch
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >resolv
moving_agent_up() {
	[ -s token ] || (umask 077 && mayfly node token --uses 1 >token 2>token.err) || { fail token "$(cat token.err)"; finish; }
	unshare -m sh -c 'mount --bind hosts /etc/hosts && mount --bind resolv /etc/resolv.conf && mount --bind nsswitch /etc/nsswitch.conf &&
		exec mayfly-agent run --config "$1" --reconnect-max 1s' sh "$PWD/agent.yaml" >>agent.log 2>&1 </dev/null &
	echo $! >agent.pid
	on_exit pair_kill agent
}
says_log() { grep -q "$1" agent.log; }
[ -e /etc/nsswitch.conf ] || { skip all "/etc/nsswitch.conf is not there to be mounted over"; exit 0; }

listen 127.0.0.2
hosts
broker_up
moving_agent_up
# Nobody knows the name yet: the agent runs, says so, and looks again.
poll 60 says_log '"event":"outer.no_address"' && ok unknown_name || fail unknown_name "$(tail -5 agent.log)"
check says_what_to_do grep -q 'set it right in DNS or /etc/hosts' agent.log
# The second of two addresses answers: it is tried at once.
hosts "127.0.0.9 broker.test" "127.0.0.2 broker.test"
poll 120 agent_ready && ok second_address || fail second_address "$(tail -5 agent.log)"
pid=$(cat agent.pid)
front=$(role_pid agent-front)
check job run_job long true
# The broker moves; nobody touches the agent.
broker_down
listen 127.0.0.3
broker_up
hosts "127.0.0.3 broker.test"
poll 120 agent_ready && ok found_again || fail found_again "$(tail -5 agent.log)"
check found_where grep -q '"broker":"127.0.0.3:' agent.log
check same_agent test "$pid $front" = "$(cat agent.pid) $(role_pid agent-front)"
check job_after_move run_job long true
# A name that is lost meanwhile takes nothing away: the former addresses serve.
hosts
broker_down
broker_up
poll 120 agent_ready && ok former_addresses || fail former_addresses "$(tail -5 agent.log)"
check former_said grep -q 'its former addresses are tried' agent.log
# What looked it up kept to its table and is gone.
check no_violation sh -c '! grep -qE "violation|resolver.failed|helper.failed" agent.log'
no_resolver() { ! pgrep -P "$(cat agent.pid)" -x resolver; }
poll 60 no_resolver && ok resolver_ends || fail resolver_ends "$(pgrep -a resolver)"
metric() { curl -sf "http://127.0.0.1:$P_MA/metrics" | sed -n "s/^mayfly_agent_$1 //p"; }
check counted test "$(metric outer_lookups_total)" -ge 3
agent_down
broker_down
finish
