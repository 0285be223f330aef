#!/bin/bash
# Keys of JWT-SVIDs from outside: in the bundle of open streams before they sign; old tokens good until they end; taint, revoke; kill -9 of
# the notary between any two steps and while a key is made; files that no record names are told of.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch jwt_keys
pair_init key_publish 1h heartbeat 1s
relay_up
broker_up
agent_up
es=jwt-svid-es256

key() {	# STATE FIELD [USE]: of the (first) key in this state; empty: none
	mayfly key ls -o json | json 'next((str(k["'"$2"'"]) for k in d["items"] if k["use"] == "'"${3:-$es}"'" and k["state"] == "'"$1"'"), "")'
}
is() { [ -n "$(key "$1" id "${2:-$es}")" ]; }
# One job that lives through everything, in which the commands below run.
mkfifo todo
run_job long sh -c 'while read -r file; do sh "./$file" >"$file.out" 2>&1; echo $? >"$file.rc.new"; mv "$file.rc.new" "$file.rc"; done <todo' >inside.log 2>&1 &
job=$!
on_exit stop $job
exec 7>todo
inside() {	# COMMAND: in the job; its output and exit code
	local f
	f=$(mktemp do.XXXXXX)
	echo "$1" >"$f"
	chmod 644 "$f"
	echo "$f" >&7
	poll 120 test -e "$f.rc" || return 99
	cat "$f.out"
	return "$(cat "$f.rc")"
}
kid() { cut -d. -f1 "$1" | tr '_-' '/+' | sed 's/$/==/' | base64 -di 2>/dev/null | grep -o '"kid":"[^"]*"' | cut -d'"' -f4; }
fetch() { inside "mayfly svid fetch --jwt --audience one.example" >"$1" 2>&1; }
valid() { inside "mayfly svid validate --audience one.example <$1" >valid.log 2>&1; }
keys_in_bundle() { inside 'mayfly bundle show -o jwks' | grep -o '"kid"' | wc -l; }
all_confirmed() { mayfly key ls -o json | json 'all(k["agents"] == k["agents_confirmed"] > 0 for k in d["items"] if k["state"] == "prepared")' | grep -qx true; }

# --- the first keys: recorded, both algorithms, one of each other set ---
first=$(key active id)
fetch a && [ "$(kid a)" = "$first" ] && ok first-key-signs || fail first-key-signs "$(cat a) $first"
says recorded "$first" mayfly audit find --type key.prepared -o json
says both-algorithms '^2$' keys_in_bundle
is active jwt-svid-rs256 && is active jwt-assertion-es256 && is active jwt-selfserve-es256 && ok all-sets || fail all-sets "$(mayfly key ls)"

# --- prepare: out, on open streams as well, and not signing ---
says prepare prepared mayfly key prepare --use $es --reason 'test: rotation'
second=$(key prepared id)
poll 60 all_confirmed && ok agents-confirm || fail agents-confirm "$(mayfly key ls)"
says three-in-bundle '^3$' keys_in_bundle
fetch b && [ "$(kid b)" = "$first" ] && ok prepared-does-not-sign || fail prepared-does-not-sign "$(kid b)"
says refused-with-cure 'key_publish.*--force' sh -c "mayfly key activate --use $es 2>&1; true"
refuses other-use mayfly key activate --use jwt-svid-rs256
refuses unknown-use mayfly key prepare --use jwt-svid

# --- activate: what is cached is served on, what is new is by the new key; both are valid ---
says activate active mayfly key activate --use $es --force --reason 'test: rotation'
fetch c && [ "$(kid c)" = "$first" ] && ok cached-is-served-on || fail cached-is-served-on "$(kid c)"
inside 'mayfly svid fetch --jwt --audience two.example' >d && [ "$(kid d)" = "$second" ] && ok second-signs || fail second-signs "$(kid d)"
valid a && ok old-token-valid || fail old-token-valid "$(cat valid.log)"

# --- taint: fetched no more by it; what somebody holds is good until it ends ---
says taint effective mayfly key taint "$first" --reason 'test: stolen'
heard() { grep -q trust.distrust agent.log; }
poll 60 heard
fetch e && [ "$(kid e)" = "$second" ] && ok tainted-is-fetched-no-more || fail tainted-is-fetched-no-more "$(kid e)"
valid a && ok tainted-still-valid || fail tainted-still-valid "$(cat valid.log)"

# --- an agent that is away: revoked meanwhile ---
cp "broker/keys/jwt-svid.1.key" old.key
relay_cut
says revoke 'out of the bundle' mayfly key revoke "$first" --reason 'test: stolen'
[ -e broker/keys/jwt-svid.1.key ] && fail file-is-gone "keys/jwt-svid.1.key is there" || ok file-is-gone
relay_heal
refused() { ! valid a; }
poll 120 refused && ok revoked-is-refused || fail revoked-is-refused "$(cat valid.log)"
valid e && ok others-are-not || fail others-are-not "$(cat valid.log)"
says two-left '^2$' keys_in_bundle

# --- kill -9 of the notary between any two steps, of both algorithms and of a set that is in no bundle ---
fetch_ok() { fetch f && valid f; }
steps() {	# USE
	local step id
	for step in prepare activate taint revoke; do
		case $step in
		prepare) mayfly key prepare --use "$1" ;;
		activate) poll 60 is prepared "$1"; id=$(key active id "$1"); mayfly key activate --use "$1" --force ;;
		taint) poll 60 is retired "$1"; mayfly key taint "$id" ;;
		revoke) poll 60 is tainted "$1"; mayfly key revoke "$id" ;;
		esac >step.log 2>&1 || { echo "$step: $(cat step.log)"; return 1; }
		kill -KILL "$(role_pid notary)"
		poll 120 mayfly key ls
		poll 120 fetch_ok || { echo "after $step: $(cat f valid.log)"; return 1; }
	done
	mayfly key ls -o json | json 'sum(k["use"] == "'"$1"'" and k["state"] == "active" for k in d["items"])' | grep -qx 1
}
check killed-between-steps steps $es
# What never signed has nothing to wait for: it leaves as soon as another one is active.
unused() {
	local old
	old=$(key active id "$1")
	mayfly key prepare --use "$1" >step.log 2>&1 || { cat step.log; return 1; }
	kill -KILL "$(role_pid notary)"
	poll 120 is prepared "$1"
	mayfly key activate --use "$1" --force >step.log 2>&1 || { cat step.log; return 1; }
	kill -KILL "$(role_pid notary)"
	gone() { mayfly key ls --all -o json | json 'any(k["id"] == "'"$old"'" and k["state"] == "gone" for k in d["items"])' | grep -qx true; }
	poll 120 gone && is active "$1" && ! is prepared "$1"
}
for use in jwt-svid-rs256 jwt-selfserve-es256; do check "unused-$use" unused $use; done
# As soon as the agent is back at its broker: until then it serves what it has.
by_active() { fetch_ok && [ "$(kid f)" = "$(key active id)" ]; }
poll 120 by_active && ok signed-by-the-active-one || fail signed-by-the-active-one "$(kid f)"
# ... and while a key is being made: prepared, or not at all.
mayfly key prepare --use $es >/dev/null 2>&1 &
kill -KILL "$(role_pid notary)"
wait $!
poll 120 mayfly key ls
is prepared || mayfly key prepare --use $es >step.log 2>&1
is prepared && ok prepared-after-a-kill || fail prepared-after-a-kill "$(cat step.log)"

# --- files: one that a revoked key left (a crash before its removal) goes at the next start; one that belongs to nobody is told of by name ---
cp old.key broker/keys/jwt-svid.1.key
cp broker/keys/ca.key broker/keys/ca-0123456789abcdef0123456789abcdef01234567.key
chown --reference=broker/keys/log.key broker/keys/*.key
chmod 400 broker/keys/*.key
n=$(keys_in_bundle)
kill -KILL "$(role_pid notary)"
orphans() { grep key.orphan broker.log | grep -q ca-0123456789abcdef; }
poll 120 orphans && ok orphan-is-told || fail orphan-is-told "$(tail -3 broker.log)"
grep key.orphan broker.log | grep -q 'remove it' && ok orphan-with-cure || fail orphan-with-cure "$(grep key.orphan broker.log)"
grep key.orphan broker.log | grep -vq 'ca-0123456789' && fail orphan-only "$(grep key.orphan broker.log)" || ok orphan-only
poll 120 fetch_ok && [ "$(keys_in_bundle)" = "$n" ] && ok files-change-nothing || fail files-change-nothing "$(cat f valid.log)"
[ -e broker/keys/jwt-svid.1.key ] && fail left-file-goes "it is there" || ok left-file-goes
exec 7>&-
mayfly key ls >/dev/null
says log-verifies 'ok|good|verified' mayfly audit verify
finish
