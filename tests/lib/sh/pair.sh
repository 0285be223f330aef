# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh and dev.sh: a broker and an agent as an operator runs them (two supervisors with files, not
# `mayfly dev`), so that a script can kill, stop and cut them apart.
#
#   pair_init [KEY VALUE]...  write broker.yaml and agent.yaml (extra broker keys), init, policy from dev_policy
#   broker_up, agent_up       start and wait until it serves; broker.pid and agent.pid
#   broker_down, agent_down   stop in order
#   role_pid ROLE             the pid of notary, broker-front, attestor or agent-front
#   relay_up, relay_cut, relay_heal   the agent dials the broker through a relay that can be cut
#   serial_of DIR             the serial of DIR/svid.pem, as records spell it
pair_init() {
	P_LISTEN=$(free_port) P_RELAY=$(free_port) P_MB=$(free_port) P_MA=$(free_port)
	mkdir -p run
	cat >broker.yaml <<-E
	trust_domain: test.example
	state_dir: $PWD/broker
	run_dir: $PWD/run
	listen: 127.0.0.1:$P_LISTEN
	advertise: 127.0.0.1:$P_RELAY
	admin_socket: $PWD/run/admin.sock
	admin_uids: [$(id -u)]
	metrics_listen: 127.0.0.1:$P_MB
	policy: $PWD/policy.yaml
	E
	while [ $# -gt 1 ]; do
		printf '%s: %s\n' "$1" "$2" >>broker.yaml
		shift 2
	done
	cat >agent.yaml <<-E
	state_dir: $PWD/agent
	run_dir: $PWD/run/agent
	socket: $PWD/run/agent.sock
	join_token_file: $PWD/token
	metrics_listen: 127.0.0.1:$P_MA
	E
	[ -f policy.yaml ] || dev_policy policy.yaml
	export MAYFLY_ADMIN_SOCKET=$PWD/run/admin.sock MAYFLY_STATE=$PWD
	export SPIFFE_ENDPOINT_SOCKET=unix://$PWD/run/agent.sock
	if ! mayfly-broker init --config broker.yaml >init.log 2>&1; then
		fail init "$(cat init.log)"
		finish
	fi
}
broker_up() {
	mayfly-broker run --config "$PWD/broker.yaml" >>broker.log 2>&1 </dev/null &
	echo $! >broker.pid
	on_exit pair_kill broker
	poll 120 broker_ready || { fail broker_up "$(tail -5 broker.log)"; finish; }
}
agent_up() {
	[ -s token ] || (umask 077 && mayfly node token --uses 1 >token 2>token.err) || { fail token "$(cat token.err)"; finish; }
	mayfly-agent run --config "$PWD/agent.yaml" >>agent.log 2>&1 </dev/null &
	echo $! >agent.pid
	on_exit pair_kill agent
	poll 120 agent_ready || { fail agent_up "$(tail -5 agent.log)"; finish; }
}
# The tables answer before the notary is there: what is asked next may need it.
broker_ready() { mayfly node ls && curl -sf -o /dev/null "http://127.0.0.1:$P_MB/readyz"; }
agent_ready() { curl -sf -o /dev/null "http://127.0.0.1:$P_MA/readyz"; }
pair_kill() { [ ! -s "$1.pid" ] || stop "$(cat "$1.pid")"; }
broker_down() { stop "$(cat broker.pid)"; : >broker.pid; }
agent_down() { stop "$(cat agent.pid)"; : >agent.pid; }
role_pid() {
	local side=broker
	case $1 in attestor | agent-front) side=agent ;; esac
	pgrep -P "$(cat $side.pid)" -x "$1" | head -1
}
relay_up() {
	/usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/relay.py" "$P_RELAY" "$P_LISTEN" >relay.log 2>&1 </dev/null &
	echo $! >relay.pid
	on_exit pair_kill relay
	poll 60 grep -q ready relay.log
}
relay_cut() { kill -USR1 "$(cat relay.pid)"; }
relay_heal() { kill -USR2 "$(cat relay.pid)"; }
serial_of() { openssl x509 -in "$1/svid.pem" -noout -serial | sed 's/serial=//' | tr A-F a-f; }
records() { mayfly audit find --type "$1" -o json | json 'len(d["items"])'; }
