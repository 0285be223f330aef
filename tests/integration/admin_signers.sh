#!/bin/bash
# admin_signers between real processes: acts that add access need signatures that ssh-keygen made, of enough persons,
# over this act, once; removals need none.
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need ssh-keygen
scratch admin_signers

# denied NAME CODE PATTERN CMD...: that exit code, and stderr matches
denied() {
	local name=$1 code=$2 pat=$3 rc=0 out
	shift 3
	out=$("$@" 2>&1 >/dev/null) || rc=$?
	if [ $rc = "$code" ] && grep -qE -- "$pat" <<<"$out"; then ok "$name"; else fail "$name" "exit code $rc: $out"; fi
}
ssh-keygen -q -t ed25519 -N '' -C '' -f alice
ssh-keygen -q -t ecdsa -b 256 -N '' -C '' -f bob
ssh-keygen -q -t rsa -b 3072 -N '' -C '' -f carol
ssh-keygen -q -t ed25519 -N '' -C '' -f mallory
signers() { for p in "$@"; do printf '%s@example.org namespaces="mayfly-admin" %s\n' "$p" "$(cut -d' ' -f1,2 "$p.pub")"; done; }
signers alice bob carol >signers.new
install -m 0644 signers.new signers
pair_init admin_signers "{required: 2, file: $PWD/signers}"
broker_up

says status_says '2' sh -c 'mayfly status -o json'
denied bare 1 'needs signatures of 2 person' mayfly node token
denied one 1 '1 of 2 persons' mayfly node token --sign alice
denied same_twice 1 '1 of 2 persons' mayfly node token --sign alice --sign alice
denied nobody 1 "signature 2: its key is nobody's" mayfly node token --sign alice --sign mallory
denied no_key 1 'ssh-keygen did not sign' mayfly node token --sign nothing
says two '^mft1\.' mayfly node token --sign alice --sign bob
says rsa_too '^mft1\.' mayfly node token --sign carol --sign bob

# A file that goes round: written by one, signed by others, sent by anybody with the same parameters.
check request mayfly node token --uses 2 --attribute pool=gpu --offline-request req
says text_is_plain '^uses: 2$' cat req
says text_names_attributes '^attributes\["pool"\]: "gpu"$' cat req
denied request_kept 1 'File exists' mayfly node token --uses 2 --attribute pool=gpu --offline-request req
ssh-keygen -Y sign -q -n mayfly-admin -f alice req
mv req.sig alice.sig
ssh-keygen -Y sign -q -n mayfly-admin -f carol req
mv req.sig carol.sig
ssh-keygen -Y sign -q -n file -f bob req
mv req.sig bob-file.sig
check openssh_agrees ssh-keygen -Y verify -n mayfly-admin -f signers -I alice@example.org -s alice.sig <req
send() { mayfly node token --attribute pool=gpu --offline-request req "$@"; }
denied other_parameters 1 'other parameters' send --uses 3 --signature alice.sig --signature carol.sig
denied other_namespace 1 'another purpose' send --uses 2 --signature alice.sig --signature bob-file.sig
denied not_enough 1 '1 of 2 persons' send --uses 2 --signature alice.sig
denied not_a_signature 1 'ssh-keygen -Y sign' send --uses 2 --signature req
denied no_file 2 'offline-request' mayfly node token --signature alice.sig
cp req req.keep
sed -i 's/^uses: 2$/uses: 9/' req
denied changed_file 1 'other parameters' send --uses 2 --signature alice.sig --signature carol.sig
denied changed_both 1 'another text' send --uses 9 --signature alice.sig --signature carol.sig
cp req.keep req
sed -i 's/^not-after: .*/not-after: 1999999999/' req
denied longer_life 1 'another text|a week at most' send --uses 2 --signature alice.sig --signature carol.sig
cp req.keep req
says sent '^mft1\.' send --uses 2 --signature alice.sig --signature carol.sig
denied once_only 1 'used before' send --uses 2 --signature alice.sig --signature carol.sig

# Also after a restart, and not for another log.
broker_down
broker_up
denied once_after_restart 1 'used before' send --uses 2 --signature alice.sig --signature carol.sig
mayfly audit find --type admin.approved -o json >record
check record_names_persons grep -q '"alice@example.org=SHA256:' record
check record_per_use test "$(json 'len(d["items"])' <record)" = 3
check log_verifies mayfly audit verify

# A policy: signed is this one file. Nothing is installed by who only writes the request, nor by whom it is refused.
before=$(sha256sum <policy.yaml)
unchanged() { [ "$(sha256sum <policy.yaml)" = "$before" ]; }
in_force() { mayfly status -o json | json 'd["items"][0]["policy_sha256"]'; }
sed 's/x509_ttl: [0-9]*[smh]/x509_ttl: 7m/' policy.yaml >new.yaml
denied apply_bare 1 'needs signatures of 2 person' mayfly policy apply new.yaml
check apply_bare_changes_nothing unchanged
denied apply_one 1 '1 of 2 persons' mayfly policy apply new.yaml --sign alice
check apply_one_changes_nothing unchanged
denied apply_usage 1 'name it too' mayfly policy apply new.yaml --signature alice.sig
denied lint_knows_no_sign 2 'another verb' mayfly policy lint new.yaml --sign alice
says apply_two "in force: $(sha256sum <new.yaml | cut -d' ' -f1)" mayfly policy apply new.yaml --sign alice --sign bob
check apply_installed cmp new.yaml policy.yaml
before=$(sha256sum <policy.yaml)
sed 's/x509_ttl: 7m/x509_ttl: 8m/' policy.yaml >newer.yaml
says apply_request 'nothing was asked of the broker' mayfly policy apply newer.yaml --offline-request preq
check apply_request_changes_nothing unchanged
says apply_text "^sha256: \"$(sha256sum <newer.yaml | cut -d' ' -f1)\"$" cat preq
for p in alice carol; do
	ssh-keygen -Y sign -q -n mayfly-admin -f $p preq
	mv preq.sig $p.sig
done
denied apply_other_file 1 'other parameters' mayfly policy apply new.yaml --offline-request preq --signature alice.sig --signature carol.sig
says apply_sent 'in force' mayfly policy apply newer.yaml --offline-request preq --signature alice.sig --signature carol.sig
check apply_in_force test "$(in_force)" = "$(sha256sum <newer.yaml | cut -d' ' -f1)"
sed 's/x509_ttl: 8m/x509_ttl: 9m/' newer.yaml >policy.yaml
denied reload_bare 1 'needs signatures' mayfly policy reload
says reload_signed "in force: $(sha256sum <policy.yaml | cut -d' ' -f1)" mayfly policy reload --sign bob --sign carol
mayfly audit find --type policy.loaded -o json >record
check apply_recorded grep -q '"uid":' record

# A signer who leaves: the file is read again, and what is signed already counts no more.
mayfly node token --uses 5 --offline-request req2 2>/dev/null
for p in alice bob; do
	ssh-keygen -Y sign -q -n mayfly-admin -f $p req2
	mv req2.sig $p.sig
done
signers alice carol >signers.new
install -m 0644 signers.new signers
kill -HUP "$(cat broker.pid)"
bob_is_out() { ! mayfly node token --sign alice --sign bob; }
poll 60 bob_is_out || fail reload 'bob still counts'
denied left 1 "its key is nobody's" mayfly node token --uses 5 --offline-request req2 --signature alice.sig --signature bob.sig
echo 'alice@example.org cert-authority ssh-ed25519 AAAA' >signers
kill -HUP "$(cat broker.pid)"
poll 60 grep -q 'admin.signers_rejected' broker.log
says bad_file_keeps_the_old '^mft1\.' mayfly node token --sign alice --sign carol

# Removals need none.
signers alice carol >signers.new
install -m 0644 signers.new signers
relay_up
mayfly node token --sign alice --sign carol >token 2>/dev/null
chmod 600 token
agent_up
says evict effective mayfly node evict "$(mayfly node ls -o json | json 'd["items"][0]["id"]')" -r test
denied readmit 1 'needs signatures of 2' mayfly node readmit "$(mayfly node ls --all -o json | json 'd["items"][0]["id"]')"
node=$(mayfly node ls --all -o json | json 'd["items"][0]["id"]')
says readmit_short "node $node .*full id" mayfly node readmit "${node:0:6}" --offline-request nreq
says readmit_text "^match: \"$node\"$" cat nreq
says readmit_signed recorded mayfly node readmit "${node:0:6}" --sign alice --sign carol
denied readmit_nobody 1 'no such node' mayfly node readmit n-nosuch --sign alice

# A job may run longer only by signatures; its id may be typed short, and signed is the full one.
poll 60 agent_ready
run_job long sleep 600 >job.out 2>&1 </dev/null &
on_exit stop $!
job_id() { mayfly job ls -o json | json 'd["items"][0]["id"]' >job.id; }
poll 60 job_id
J=$(cat job.id)
sed 's/max_job: 1h/max_job: 2h/' policy.yaml >longer.yaml
check apply_longer mayfly policy apply longer.yaml --sign alice --sign carol
denied extend_bare 1 'needs signatures of 2' mayfly job extend "$J" --by 1m
says extend_signed "job $J .*full id" mayfly job extend "${J:0:8}" --by 1m --sign alice --sign carol
says extend_again 'recorded: record' mayfly job extend "$J" --by 1m --sign carol --sign alice
# A key, too: the one that is prepared.
denied prepare_bare 1 'needs signatures of 2' mayfly key prepare
check prepare mayfly key prepare --sign alice --sign carol
K=$(mayfly key ls -o json | json '[k["id"] for k in d["items"] if k["state"] == "prepared"][0]')
says activate_full "key $K \\(prepared\\): signed" mayfly key activate --force --sign alice --sign carol
check activated test "$(mayfly key ls -o json | json '[k["id"] for k in d["items"] if k["state"] == "active" and k["use"] == "x509"][0]')" = "$K"

# A broker that cannot read its signers does not start.
agent_down
broker_down
echo nonsense >signers
mayfly-broker run --config "$PWD/broker.yaml" >bad.log 2>&1 </dev/null &
bad=$!
on_exit stop $bad
poll 60 gone $bad || fail bad_signers 'the broker runs with signers that it cannot read'
check bad_signers grep -q 'line 1' bad.log
finish
