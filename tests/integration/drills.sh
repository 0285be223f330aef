#!/bin/bash
# Disasters by the book (docs/how-to/recover.md), each as an operator meets it, with a job that goes on running: the disk is
# lost, the backup is older than the last head, the KEK is lost, the broker moves to another host; and kill -9 at every step of
# a restore. (A stolen CA key: drill_stolen_key.sh.)
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch drills
head -c 32 /dev/urandom >kek
chmod 400 kek
pair_init kek "{file: $PWD/kek}" lease_ttl 60s heartbeat 1s
relay_up
broker_up
agent_up

key() {	# STATE FIELD: of the (first) CA key in this state; empty: none
	mayfly key ls --all -o json | json 'next((str(k["'"$2"'"]) for k in d["items"] if k["use"] == "x509" and k["state"] == "'"$1"'"), "")'
}
is() { [ "$(key "$1" id)" = "$2" ]; }
restore() { mayfly-broker restore --config broker.yaml "$@"; }
backup() { mayfly-broker backup --config broker.yaml --to "$1"; }
serials() { grep -o '"serial": *"[0-9a-f]*"' "$W" | sort -u | wc -l; }
more_than() { [ "$(serials)" -gt "$1" ]; }
names() { grep -o 'spiffe://[^"]*' "$W" | sort -u | wc -l; }
disk_is_lost() {	# at once, with everything on it
	local p pids
	pids="$(cat broker.pid) $(role_pid notary) $(role_pid broker-front)"
	for p in $pids; do kill -KILL "$p" 2>/dev/null; done
	wait "$(cat broker.pid)" 2>/dev/null
	for p in $pids; do poll 60 gone "$p"; done # they have the ports
	: >broker.pid
	rm -rf broker broker.before-restore-*
}
voided() { mayfly audit find --type lease.ended -o json | json 'sum(i["record"]["cause"] == "restored" for i in d["items"])'; }
signed_to_the_end() { mayfly audit verify --key log.vkey -o json | json 'd["items"][0]["unsigned_records"]' | grep -qx 0; }
keep_head() { poll 60 signed_to_the_end && cp broker/log/checkpoint "$1"; }

W=watch.log
run_job long mayfly svid watch -o json >$W 2>&1 &
watcher=$!
on_exit stop $watcher
poll 60 more_than 0
cp broker/log/vkey log.vkey # as an auditor does, at the start
ca=$(key active id)

# --- 1. the disk is lost; the backup is as new as the log ---
refuses restore-of-a-running-broker restore --from nothing
check backup-while-it-serves backup live
refuses not-twice-into-one backup live
broker_down
cp broker/log/checkpoint last-head # what a follower of the log has kept
check backup-when-stopped backup stopped
says its-log-verifies '^ok' mayfly audit verify --log stopped/log --key log.vkey
refuses a-state-is-not-overwritten restore --from stopped
says older-than-the-head 'records? are missing|are missing' sh -c 'mayfly-broker restore --config broker.yaml --force --from live --head last-head 2>&1; true'
rm -rf broker
says restored 'missing +nothing' restore --from stopped --head last-head
n=$(serials)
broker_up
poll 120 agent_ready && ok agent-comes-back || fail agent-comes-back "$(tail -3 agent.log)"
poll 120 more_than "$n" && ok instance-attaches-anew || fail instance-attaches-anew "$(tail -3 "$W") $(tail -3 agent.log)"
[ "$(names)" = 1 ] && ok it-is-the-same-job || fail it-is-the-same-job "$(grep -o 'spiffe://[^"]*' "$W" | sort -u)"
says leases-were-voided '^[1-9]' voided
sleep 1.5 # a look at the keys comes once a second
says nothing-missing-keeps-the-key "^$ca\$" key active id
says log-goes-on 'restored at index .*nothing is missing' mayfly audit verify --key log.vkey
says from-the-head-that-was-kept '^ok' mayfly audit verify --key log.vkey --head last-head
check job-after-it run_job long true

# --- 2. the backup is older than what the log had signed ---
check backup-2 backup stale
mayfly node token --uses 1 >spare-token 2>/dev/null # all of this is in no backup
run_job long true
keep_head later-head
disk_is_lost
says what-is-missing-is-said 'another CA key' restore --from stale
n=$(serials)
broker_up
poll 120 agent_ready && ok agent-comes-back-2 || fail agent-comes-back-2 "$(tail -3 agent.log)"
poll 120 is tainted "$ca" && ok old-key-is-tainted || fail old-key-is-tainted "$(mayfly key ls --all)"
poll 120 more_than "$n" && ok instance-attaches-anew-2 || fail instance-attaches-anew-2 "$(tail -3 "$W") $(tail -3 agent.log)"
new_ca=$(key active id)
fetched() { rm -rf b && run_job long mayfly svid fetch --write b >/dev/null 2>b.err; }
poll 120 fetched
aki() { openssl x509 -in b/svid.pem -noout -ext authorityKeyIdentifier | grep -o '[0-9A-F][0-9A-F:]*' | tail -1 | tr -d ':' | tr A-F a-f; }
[ -n "$new_ca" ] && [ "$(aki)" = "$new_ca" ] && ok new-key-signs || fail new-key-signs "$(aki), not $new_ca: $(cat b.err)"
check bundle-verifies openssl verify -CAfile <(mayfly bundle show) b/svid.pem
says verifier-follows 'later ones may be missing' mayfly audit verify --key log.vkey
says verifier-of-before-follows '^ok' mayfly audit verify --key log.vkey --head last-head
says missing-records-are-seen 'bad: .*records are missing' sh -c 'mayfly audit verify --key log.vkey --head later-head; [ $? = 1 ]'
grep -q '"event":"node.clone"' broker.log && fail no-clone "$(grep node.clone broker.log | tail -1)" || ok no-clone

# --- 3. the KEK is lost: what it sealed is gone for good, and the cluster begins anew ---
broker_down
mv kek lost-kek
head -c 32 /dev/urandom >kek && chmod 400 kek
says keys-do-not-open 'KEK|key' sh -c 'mayfly-broker restore --config broker.yaml --force --from stale 2>&1; true'
refuses restore-without-the-kek restore --force --from stale
check untouched-by-it test -f broker/FORMAT
mv broker sealed-for-ever
check begin-anew mayfly-broker init --config broker.yaml
broker_up
agent_down
mv agent agent-of-before
: >token
agent_up
check nodes-rejoin run_job long mayfly svid fetch --write c
openssl verify -CAfile <(mayfly bundle show) b/svid.pem >verify.log 2>&1 && fail old-certificates-are-refused "$(cat verify.log)" || ok old-certificates-are-refused
says old-log-still-verifies '^ok' mayfly audit verify --log sealed-for-ever/log --key log.vkey
cp broker/log/vkey log.vkey

# --- 4. another host: the same state under another address ---
stop $watcher
W=watch2.log
run_job long mayfly svid watch -o json >$W 2>&1 &
mover=$!
on_exit stop $mover
poll 60 more_than 0
broker_down
cp broker/log/checkpoint last-head
check backup-to-move backup moving
mkdir host2
P_LISTEN=$(free_port)
sed -i "s,^state_dir: .*,state_dir: $PWD/host2/broker,; s,^listen: .*,listen: 127.0.0.1:$P_LISTEN,; s,^advertise: .*,advertise: 127.0.0.1:$P_LISTEN," broker.yaml
export MAYFLY_STATE=$PWD/host2
says restored-elsewhere 'missing +nothing' restore --from moving --head last-head
mv broker switched-off
n=$(serials)
broker_up
agent_down
printf 'broker: 127.0.0.1:%s\n' "$P_LISTEN" >>agent.yaml
agent_up
poll 120 more_than "$n" && ok job-goes-on-with-the-new-host || fail job-goes-on-with-the-new-host "$(tail -3 "$W") $(tail -3 agent.log)"
[ "$(names)" = 1 ] && ok and-is-the-same || fail and-is-the-same "$(grep -o 'spiffe://[^"]*' "$W" | sort -u)"
says moved-log-verifies '^ok' mayfly audit verify --key log.vkey --head last-head
broker_down
agent_down
finish
