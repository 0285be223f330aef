#!/bin/bash
# CA keys from outside: rotation, taint and revoke under live streams; an agent that was away; kill -9 of the notary between any two steps;
# the schedule's refusals; join tokens of before.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch keys
pair_init key_publish 1h lease_ttl 60s heartbeat 1s
relay_up
broker_up
agent_up

key() {	# STATE FIELD: of the (first) CA key in this state; empty: none
	mayfly key ls -o json | json 'next((str(k["'"$2"'"]) for k in d["items"] if k["use"] == "x509" and k["state"] == "'"$1"'"), "")'
}
is() { [ -n "$(key "$1" id)" ]; }
aki() { openssl x509 -in "$1/svid.pem" -noout -ext authorityKeyIdentifier | grep -o '[0-9A-F][0-9A-F:]*' | tail -1 | tr -d ':' | tr A-F a-f; }
fetch() { rm -rf "$1" && run_job long mayfly svid fetch --write "$1" >/dev/null 2>"$1.err"; }
certs() { mayfly bundle show | grep -c BEGIN; }
all_confirmed() { mayfly key ls -o json | json 'all(k["agents"] == k["agents_confirmed"] > 0 for k in d["items"] if k["state"] == "prepared")' | grep -qx true; }

# --- the first key: what init made ---
first=$(key active id)
fetch a && [ "$(aki a)" = "$first" ] && ok first-key-signs || fail first-key-signs "$(cat a.err) $first"
says one-key '^1$' certs
refuses activate-without-prepared mayfly key activate
refuses taint-active mayfly key taint "$first"
refuses revoke-untainted mayfly key revoke "$first"

# --- prepare: out, and not signing ---
run_job long mayfly svid watch -o json >watch.log 2>&1 &
watcher=$!
on_exit stop $watcher
poll 60 grep -q '"serial"' watch.log
mayfly node token --uses 5 >old-token 2>/dev/null
says prepare prepared mayfly key prepare --reason 'test: rotation'
second=$(key prepared id)
says two-in-bundle '^2$' certs
poll 60 all_confirmed && ok agents-confirm || fail agents-confirm "$(mayfly key ls)"
fetch b && [ "$(aki b)" = "$first" ] && ok prepared-does-not-sign || fail prepared-does-not-sign "$(aki b)"
says refused-with-cure 'key_publish.*--force' sh -c 'mayfly key activate 2>&1; true'
refuses too-early mayfly key activate
refuses prepare-twice mayfly key prepare
serials() { grep -o '"serial": *"[0-9a-f]*"' watch.log | sort -u | wc -l; }
says bundle-alone-renews-nothing '^1$' serials

# --- activate: the new one signs, the stream goes on ---
says activate active mayfly key activate --force --reason 'test: rotation'
fetch c && [ "$(aki c)" = "$second" ] && ok second-signs || fail second-signs "$(aki c)"
openssl verify -CAfile <(mayfly bundle show) a/svid.pem c/svid.pem >verify.log 2>&1 && ok both-verify || fail both-verify "$(cat verify.log)"
says forced-is-recorded 'forced: key .*; test: rotation' mayfly audit find --type key.activated -o json
says reason-is-recorded 'test: rotation' mayfly audit find --type key.prepared -o json

# --- taint: what is held is renewed within seconds, and nothing else ---
says taint effective mayfly key taint "$first" --reason 'test: stolen'
two() { [ "$(serials)" = 2 ]; }
poll 60 two && ok taint-renews || fail taint-renews "$(serials) serials; $(tail -3 agent.log)"
held_none() { [ "$(key tainted held)" = 0 ]; }
poll 60 held_none && ok nobody-holds-it || fail nobody-holds-it "$(mayfly key ls)"
grep -q 'tls.distrusted' broker.log && ok server-certificate-renewed || fail server-certificate-renewed "$(tail -3 broker.log)"

# --- an agent that is away: revoked meanwhile, it comes back by itself ---
relay_cut
says revoke 'out of the bundle' mayfly key revoke "$first" --reason 'test: stolen'
says one-in-bundle '^1$' certs
openssl verify -CAfile <(mayfly bundle show) a/svid.pem >verify.log 2>&1 && fail old-refused "$(cat verify.log)" || ok old-refused
[ -e broker/keys/ca.key ] && fail file-is-gone "keys/ca.key is there" || ok file-is-gone
relay_heal
fetch_ok() { fetch d; }
poll 120 fetch_ok && [ "$(aki d)" = "$second" ] && ok agent-comes-back || fail agent-comes-back "$(cat d.err) $(tail -3 agent.log)"
kill -0 $watcher && ok stream-survived || fail stream-survived "$(tail -2 watch.log)"

# --- kill -9 of the notary between any two steps: nothing is lost, nothing is twice, the bundle's number only grows ---
steps() {
	local step id
	for step in prepare activate taint revoke; do
		case $step in
		prepare) mayfly key prepare ;;
		activate) poll 60 is prepared; mayfly key activate --force ;;
		taint) id=$(key retired id); mayfly key taint "$id" ;;
		revoke) poll 60 is tainted; mayfly key revoke "$(key tainted id)" ;;
		esac >step.log 2>&1 || { echo "$step: $(cat step.log)"; return 1; }
		kill -KILL "$(role_pid notary)"
		poll 120 mayfly key ls
		poll 120 fetch_ok || { echo "after $step: $(cat d.err)"; return 1; }
		[ "$(aki d)" = "$(key active id)" ] || { echo "after $step: signed by $(aki d)"; return 1; }
	done
}
check killed-between-steps steps
# ... and while a key is being made: prepared, or not at all.
mayfly key prepare >/dev/null 2>&1 &
kill -KILL "$(role_pid notary)"
wait $!
poll 120 mayfly key ls
is prepared || mayfly key prepare >step.log 2>&1
says prepared-after-a-kill prepared mayfly key ls
says log-verifies 'ok|good|verified' mayfly audit verify

# --- a token of before two rotations still lets a node in, with an alarm ---
mkdir -p run2
sed -e "s,$PWD/agent\$,$PWD/agent2," -e "s,$PWD/run,$PWD/run2," -e "s,$PWD/token,$PWD/old-token," -e "s,127.0.0.1:$P_MA,127.0.0.1:$(free_port)," agent.yaml >agent2.yaml
chmod 600 old-token
mayfly-agent run --config "$PWD/agent2.yaml" >agent2.log 2>&1 </dev/null &
echo $! >agent2.pid
on_exit pair_kill agent2
poll 120 grep -q 'trust.bundle' agent2.log && grep -q 'outer.alarm' agent2.log && ok old-token || fail old-token "$(tail -3 agent2.log)"
finish
