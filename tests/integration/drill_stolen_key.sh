#!/bin/bash
# A CA key is stolen while a tenth of the agents is offline (docs/how-to/recover.md, 3): nine agents are moved to a new key and
# the stolen one is revoked without waiting for the tenth; what a thief makes is refused; the tenth catches up by itself.
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch drill_stolen_key
pair_init key_publish 1h lease_ttl 60s heartbeat 1s
relay_up
broker_up

# Ten agents on this machine; the last one's way to the broker can be cut.
N=10
agent() {	# I: its configuration
	mkdir -p "a$1"
	cat >"a$1/agent.yaml" <<-E
	state_dir: $PWD/a$1/state
	run_dir: $PWD/a$1/run
	socket: $PWD/a$1/agent.sock
	join_token_file: $PWD/a$1/token
	metrics_listen: 127.0.0.1:$(free_port)
	broker: 127.0.0.1:$([ "$1" = $N ] && echo "$P_RELAY" || echo "$P_LISTEN")
	E
	(umask 077 && mayfly node token --uses 1 >"a$1/token" 2>"a$1/token.err") || { fail token "$(cat "a$1/token.err")"; finish; }
	mayfly-agent run --config "$PWD/a$1/agent.yaml" --reconnect-max 1s >"a$1/agent.log" 2>&1 </dev/null &
	on_exit stop $!
}
for i in $(seq $N); do agent "$i"; done
on() {	# I CMD...: as a job on that agent's node
	local i=$1
	shift
	SPIFFE_ENDPOINT_SOCKET=unix://$PWD/a$i/agent.sock run_job long "$@"
}
fetch() { rm -rf "a$1/$2" && on "$1" mayfly svid fetch --write "a$1/$2" >/dev/null 2>"a$1/$2.err"; }
key() { mayfly key ls -o json | json 'next((str(k["'"$2"'"]) for k in d["items"] if k["use"] == "x509" and k["state"] == "'"$1"'"), "")'; }
aki() { openssl x509 -in "$1/svid.pem" -noout -ext authorityKeyIdentifier | grep -o '[0-9A-F][0-9A-F:]*' | tail -1 | tr -d ':' | tr A-F a-f; }
all_have_one() { local i; for i in $(seq $N); do [ -e "a$i/old/svid.pem" ] || fetch "$i" old || return 1; done; }
poll 240 all_have_one && ok "ten agents serve" || { fail ten-agents "$(tail -2 a*/old.err a*/agent.log)"; finish; }
on $N mayfly svid watch -o json >watch.log 2>&1 &
watcher=$!
on_exit stop $watcher
poll 60 grep -q '"serial"' watch.log
stolen=$(key active id)

relay_cut
nine() { mayfly node ls -o json | json 'len(d["items"])' | grep -qx $N && [ "$(key active agents)" = $((N - 1)) ]; }
poll 120 nine && ok a-tenth-is-offline || fail a-tenth-is-offline "$(key active agents) connected"

# --- as the page says ---
says prepare prepared mayfly key prepare --reason stolen
nine_confirm() { [ "$(key prepared agents_confirmed)" = $((N - 1)) ]; }
poll 120 nine_confirm && ok nine-confirm || fail nine-confirm "$(mayfly key ls)"
says activate active mayfly key activate --force --reason stolen
says taint effective mayfly key taint "$stolen" --reason stolen
says revoke 'out of the bundle' mayfly key revoke "$stolen" --reason stolen
new=$(key active id)
moved() { local i; for i in $(seq $((N - 1))); do fetch "$i" new && [ "$(aki "a$i/new")" = "$new" ] || return 1; done; }
poll 120 moved && ok nine-have-new-certificates || fail nine-have-new-certificates "$(mayfly key ls --all)"
mayfly bundle show >bundle.pem
check theirs-verify sh -c "for i in 1 2 3 4 5 6 7 8 9; do openssl verify -CAfile bundle.pem a\$i/new/svid.pem || exit 1; done"
refuses the-stolen-key-convinces-nobody openssl verify -CAfile bundle.pem a1/old/svid.pem
refuses nor-what-the-tenth-still-holds openssl verify -CAfile bundle.pem a$N/old/svid.pem
check the-tenth-still-serves kill -0 $watcher

# --- the tenth comes back ---
relay_heal
caught_up() { fetch $N new && [ "$(aki a$N/new)" = "$new" ]; }
poll 120 caught_up && ok the-tenth-catches-up || fail the-tenth-catches-up "$(cat a$N/new.err; tail -3 a$N/agent.log)"
check its-certificate-verifies openssl verify -CAfile bundle.pem a$N/new/svid.pem
two() { [ "$(grep -o '"serial": *"[0-9a-f]*"' watch.log | sort -u | wc -l)" -ge 2 ]; }
poll 120 two && ok its-running-job-was-renewed || fail its-running-job-was-renewed "$(tail -2 watch.log)"
check its-stream-was-not-cut kill -0 $watcher
says recorded 'stolen' mayfly audit find --type key.revoked -o json
says log-verifies '^ok' mayfly audit verify
finish
