#!/bin/bash
# Nodes with a certificate of their own, against the real, confined programs: joining, who they are again, what is refused,
# what a copy does, kill -9 in the middle, and eviction on an open session.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch nodes

# --- somebody else's node CA ---
ca() {	# NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.pem" -days 30 \
		-subj "/CN=$1" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
}
leaf() {	# NAME CA POOL [EKU]
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1/OU=$3" 2>/dev/null
	printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=%s\n' "${4:-clientAuth}" >"$1.ext"
	openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -days 30 -out "$1.pem" -extfile "$1.ext" 2>/dev/null
	chmod 600 "$1.key"
}
ca nodeca
ca otherca
leaf gpu07 nodeca gpu-a
leaf wrong otherca gpu-a
leaf server nodeca gpu-a serverAuth
leaf oddname nodeca 'gpu a'

DEV_TTL=20m dev_policy policy.yaml
sed -i 's/nodes: any/nodes: {in: [node.pool, [gpu-a, gpu-b]]}/' policy.yaml
grep -q 'node.pool' policy.yaml && ok policy-names-nodes || fail policy-names-nodes "$(cat policy.yaml)"
pair_init node_attestors "[{x509pop: {ca_file: $PWD/nodeca.pem, attributes: [pool=subject.OU]}}]"
relay_up
broker_up
(umask 077 && mayfly node token --public >token) && ok public-token || fail public-token "$(cat token)"
printf 'join: {x509pop: {cert: %s/gpu07.pem, key: %s/gpu07.key}}\n' "$PWD" "$PWD" >>agent.yaml
agent_up
nodes() { mayfly node ls --all -o json | json "$1"; }
state_is() { [ "$(nodes 'd["items"][0]["state"]')" = "$1" ]; }
poll 60 state_is connected && ok joins-by-certificate || fail joins-by-certificate "$(tail -5 agent.log)"
node=$(nodes 'd["items"][0]["id"]')
says attributes-of-the-certificate 'pool=gpu-a' mayfly node ls
says show-attestor 'x509pop' mayfly node show "$node"
sum=$(openssl x509 -in gpu07.pem -outform DER | sha256sum | cut -d' ' -f1)
says show-certificate "$sum" mayfly node show "$node"
run_job long mayfly svid fetch >fetch.log 2>&1 && ok policy-by-attribute || fail policy-by-attribute "$(cat fetch.log)"
grep -q '"event":"helper.failed"\|violation' broker.log && fail verifier-quiet "$(grep 'helper\|violation' broker.log)" || ok verifier-quiet
gone_verifier() { ! pgrep -P "$(cat broker.pid)" -x verifier; }
poll 60 gone_verifier && ok verifier-ends || fail verifier-ends "$(pgrep -a verifier)"

# --- the public token lets nobody in ---
sed '/^join:/d; s#/agent$#/agent2#; s#agent.sock#agent2.sock#; s#^state_dir: .*#state_dir: '"$PWD"'/agent2#; s#^run_dir: .*#run_dir: '"$PWD"'/run/agent2#; s#^metrics_listen: .*#metrics_listen: ""#' agent.yaml >agent2.yaml
second() {	# NAME [CERT]: a second agent, until its log says something of the session
	rm -rf agent2 run/agent2
	cp agent2.yaml "$1.yaml"
	[ $# = 1 ] || printf 'join: {x509pop: {cert: %s/%s.pem, key: %s/%s.key}}\n' "$PWD" "$2" "$PWD" "$2" >>"$1.yaml"
	mayfly-agent run --config "$PWD/$1.yaml" >"$1.log" 2>&1 </dev/null &
	second=$!
	on_exit stop $second
}
refused() {	# NAME PATTERN
	if poll 60 grep -q '"phase":"refused"' "$1.log" && grep '"phase":"refused"' "$1.log" | grep -qE "$2"; then ok "refused-$1"; else
		fail "refused-$1" "$(tail -3 "$1.log")"
	fi
	stop $second
}
second public
refused public 'not registered'
second wrongca wrong
refused wrongca 'node certificate'
second eku server
refused eku 'clientAuth'
second letters oddname
refused letters 'attribute value'
[ "$(nodes 'len(d["items"])')" = 1 ] && ok refused-registers-nobody || fail refused-registers-nobody "$(mayfly node ls --all)"

# --- the state lost, the certificate there: the same node ---
agent_down
rm -rf agent run/agent
(umask 077 && mayfly node token --public >token)
agent_up
poll 60 state_is connected && [ "$(nodes 'd["items"][0]["id"]')" = "$node" ] && [ "$(nodes 'len(d["items"])')" = 1 ] &&
	ok same-node-again || fail same-node-again "$(mayfly node ls --all)"
says reattested-recorded "$sum" mayfly audit find --type node.reattested -o json

# --- a handful of kill -9 in the middle of sessions: never taken for a copy ---
for i in 1 2 3 4 5 6; do
	case $((i % 3)) in
	0) kill -9 "$(role_pid attestor)" "$(role_pid notary)" ;;
	1) kill -9 "$(role_pid attestor)" ;;
	2) kill -9 "$(role_pid notary)" ;;
	esac
	sleep "0.$((RANDOM % 4))"
	p=$(role_pid attestor) && kill -9 "$p" 2>/dev/null
	poll 120 state_is connected || fail "kill-$i" "$(tail -3 agent.log)"
done
poll 60 run_job long mayfly svid fetch >again.log 2>&1 && ok serves-after-kills || fail serves-after-kills "$(cat again.log)"
grep -q '"event":"node.clone"' broker.log && fail no-false-alarm "$(grep node.clone broker.log)" || ok no-false-alarm

# --- a copy of the state directory: one of the two is stopped, and it is said ---
agent_down
rm -rf agent2 run/agent2
cp -a agent agent2
agent_up
poll 60 state_is connected
cp agent2.yaml copy.yaml
mayfly-agent run --config "$PWD/copy.yaml" >copy.log 2>&1 </dev/null &
second=$!
on_exit stop $second
refused copy 'copy of its state'
poll 60 grep -q '"event":"node.clone"' broker.log && ok copy-alarms || fail copy-alarms "$(tail -3 broker.log)"
says copy-is-shown 'there is a copy' mayfly node show "$node"
poll 60 state_is connected && ok original-goes-on || fail original-goes-on "$(mayfly node ls --all)"

# --- eviction bites on the open session, within a second; the certificate is barred, too ---
run_job long sh -c 'mayfly svid watch' >evict.log 2>&1 &
watcher=$!
on_exit stop $watcher
poll 60 grep -q spiffe:// evict.log
t0=$(date +%s%N)
mayfly revoke --node "$node" --reason test >/dev/null && ok evict || fail evict "$?"
poll 60 grep -qi 'no identity issued\|ended' evict.log
ms=$((($(date +%s%N) - t0) / 1000000))
echo "figure: eviction reached the job's stream after $ms ms"
stop $watcher
poll 60 grep -q '"event":"agent.refused".*was evicted' broker.log && ok outer-certificate-refused || fail outer-certificate-refused "$(grep agent.refused broker.log | tail -1)"
poll 60 grep -q '"event":"session.closed".*"node":"'"$node"'".*"ABORTED"' broker.log && ok session-closed || fail session-closed "$(grep session broker.log | tail -3)"
agent_down
rm -rf agent run/agent
mayfly-agent run --config "$PWD/agent.yaml" >barred.log 2>&1 </dev/null &
second=$!
on_exit stop $second
refused barred 'certificate was evicted'

# --- and back: the same node ---
says readmit 'recorded: record' mayfly node readmit "$node"
agent_up
poll 120 state_is connected && [ "$(nodes 'd["items"][0]["id"]')" = "$node" ] && ok readmitted || fail readmitted "$(mayfly node ls --all)"
says log-verifies 'ok|good|verified' mayfly audit verify
grep -q '"event":"confinement.violation"\|"event":"role.violation"' broker.log agent.log && fail no-violations "$(grep violation broker.log agent.log)" || ok no-violations
agent_down
broker_down
finish
