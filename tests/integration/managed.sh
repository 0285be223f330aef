#!/bin/bash
# One job on three nodes, over real processes: three agents of one broker on this host, and a fourth whose node speaks for the
# manager. The manager is simulated: this script writes what it would say into <run_dir>/attestor/managers (docs/internals/attestor.md).
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch managed
inode_of() { /usr/bin/python3 -c 'import os, sys; print(os.fstat(os.pidfd_open(int(sys.argv[1]))).st_ino)' "$1"; }
[ "$(inode_of $$)" != "$(inode_of $PPID)" ] || { skip all "this kernel has no pidfs (6.9): processes cannot be claimed by number"; exit 0; }
cat >policy.yaml <<E2
mayfly_policy: 1
profiles:
  train:
    purpose: test
    owner: tests
    max_job: 1h
    drain: 5s
    identities:
      - {path: "/{tenant}/train/job/{job}", hint: job, x509_ttl: 20s}
    on_end: deny
rules:
  - {id: train, effect: permit, profile: train, owner: tests, review_by: 2099-01-01,
     nodes: any, when: {all: [{contains: [attested.unix.uid, "$(id -u)"]}, {contains: [attested.job.manager, slurm/c1]}]}}
E2
pair_init lease_ttl 8s heartbeat 1s
relay_up
broker_up
declare -A agent watch
# node N NAME=VALUE DIAL: the agent of one node, joined with that attribute
node_up() {
	local n=$1 dir=$PWD/run/$1
	mkdir -p "$dir"
	mkdir -m 700 "$dir/attestor" "$dir/attestor/managers"
	(umask 077 && mayfly node token --attribute "$2" --address "127.0.0.1:$3" >"token.$n" 2>"token.$n.err") || { fail "token-$n" "no token"; finish; }
	cat >"agent.$n.yaml" <<-E2
	state_dir: $PWD/state.$n
	run_dir: $dir
	socket: $dir/agent.sock
	join_token_file: $PWD/token.$n
	metrics_listen: ""
	E2
	mayfly-agent run --config "$PWD/agent.$n.yaml" >>"agent.$n.log" 2>&1 </dev/null &
	agent[$n]=$!
	on_exit stop $!
	joined() { grep -q '"phase":"ready"' "agent.$n.log"; }
	poll 120 joined || { fail "node-$n" "$(tail -3 "agent.$n.log")"; finish; }
}
node_up n1 name=gpu1 "$P_LISTEN"
node_up n2 name=gpu2 "$P_LISTEN"
node_up n3 name=gpu3 "$P_RELAY" # the one that is cut off
node_up ctl manager=slurm/c1 "$P_LISTEN"
ok four-agents
# say LINE...: the manager's word, and wait until it is on record
say() {
	printf '%s\n' "$@" >word.tmp
	mv word.tmp run/ctl/attestor/managers/word
	said() { [ ! -e run/ctl/attestor/managers/word ]; }
	poll 60 said || fail "word" "$(tail -2 agent.ctl.log)"
}
# part N KEY: a process on node N that the manager says is a part of KEY; it watches its identity
part() {
	local n=$1 key=$2 id=${2#slurm/c1/} tag=$1-${2##*/}
	rm -f "go.$tag"
	SPIFFE_ENDPOINT_SOCKET=unix://$PWD/run/$n/agent.sock sh -c "until [ -e go.$tag ]; do sleep 0.05; done; exec mayfly svid watch -o json" >"watch.$tag" 2>"err.$tag" </dev/null &
	watch[$tag]=$!
	on_exit stop $!
	printf 'job %s\nselector slurm.job_id:%s\n' "$key" "${id%.*}" >claim.tmp
	mv claim.tmp "run/$n/attestor/managers/claim-p-$(inode_of $!)"
	touch "go.$tag"
}
served() { grep -q spiffe:// "watch.$1"; }
J=slurm/c1/77.0
field() { mayfly job show "$1" -o json | json "$2"; }

say "job $J" "say started" "owner $(id -u)" "node gpu1" "node gpu2" "node gpu3"
for n in n1 n2 n3; do
	part $n $J
	poll 60 served $n-77.0 && ok "instance-$n" || fail "instance-$n" "$(cat err.$n-77.0; tail -2 agent.$n.log)"
done
part ctl $J # no node that the manager named
over() { gone "${watch[$1]}"; }
poll 60 over ctl-77.0
grep -q 'did not place it on this node' err.ctl-77.0 && ok not-on-another-node || fail not-on-another-node "$(cat err.ctl-77.0)"
[ "$(field $J '[i["state"] for i in d["items"][0]["instances"]]')" = '["open", "open", "open"]' ] && ok three-instances || fail three-instances "$(mayfly job show $J)"
[ "$(field $J 'len(set(i["node"] for i in d["items"][0]["instances"]))')" = 3 ] && ok three-nodes || fail three-nodes "$(mayfly job show $J)"
[ "$(sort -u watch.n?-77.0 | grep -o 'spiffe://[^"]*' | sort -u | wc -l)" = 1 ] && ok one-identity || fail one-identity "$(cat watch.n?-77.0)"
run=$(field $J 'd["items"][0]["run"]')

# An instance's end is its own.
kill "${watch[n1-77.0]}"
states() { [ "$(field $J '[i["state"] for i in d["items"][0]["instances"]]')" = "$1" ]; }
poll 60 states '["ended", "open", "open"]' && ok one-instance-ends || fail one-instance-ends "$(mayfly job show $J)"
# A node that is cut off is suspended, and only that.
relay_cut
poll 120 states '["ended", "open", "suspended"]' && ok cut-off-is-suspended || fail cut-off-is-suspended "$(mayfly job show $J)"
says shown 'n3 +suspended' mayfly job show $J
# The manager's word ends it everywhere, the one that cannot hear it included.
say "job $J" "say requeued" "reason a node failed"
[ "$(field $J 'd["items"][0]["state"]')" = ended ] && ok word-ends-the-job || fail word-ends-the-job "$(mayfly job show $J)"
[ "$(field $J 'd["items"][0]["end_cause"]')" = requeued ] && ok cause || fail cause "$(mayfly job show $J)"
poll 60 over n2-77.0 && grep -q 'no identity issued' err.n2-77.0 && ok node-2-was-told || fail node-2-was-told "$(cat err.n2-77.0)"
relay_heal
poll 120 over n3-77.0 && grep -q 'no identity issued' err.n3-77.0 && ok node-3-hears-it-later || fail node-3-hears-it-later "$(cat err.n3-77.0)"
# Late for the old one; the next restart is the same run.
part n1 $J
poll 60 over n1-77.0 && ! served n1-77.0 && grep -q 'no identity issued' err.n1-77.0 && ok late-is-refused || fail late-is-refused "$(cat watch.n1-77.0 err.n1-77.0)"
part n1 slurm/c1/77.1
poll 60 served n1-77.1 && ok next-restart || fail next-restart "$(cat err.n1-77.1)"
[ "$(field slurm/c1/77.1 'd["items"][0]["run"]')" = "$run" ] && ok same-run || fail same-run "$(mayfly job show slurm/c1/77.1)"
says log-verifies 'ok|good|verified' mayfly audit verify
for n in n1 n2 n3 ctl; do stop "${agent[$n]}"; done
broker_down
finish
