#!/bin/bash
# Bad input everywhere: bytes on each socket, verbs and flags, manifests, tokens, files at start and at SIGHUP, a damaged state
# directory. Each time an error names cause and cure, nothing is lost, and what should still work does.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
umask 077
scratch bad
mkdir -m 755 run	# the admin socket is for whoever can say who they are
pair_init
relay_up
broker_up
agent_up

# errs NAME RC PATTERN CMD...: fails with exit code RC (or any of "1|2") and its text matches
errs() {
	local name=$1 want=$2 pat=$3 out rc=0
	shift 3
	out=$(timeout 60 "$@" 2>&1 </dev/null) || rc=$?
	if [[ "$rc" =~ ^($want)$ ]] && grep -qE -- "$pat" <<<"$out"; then ok "$name"; else
		fail "$name" "exit code $rc (wanted $want), wanted /$pat/ from $(printf '%.200s' "$*"): $out"
	fi
}
roles() { role_pid notary; role_pid broker-front; role_pid attestor; role_pid agent-front; }
works() {	# works NAME: the admin API answers and a job gets its certificate
	local out
	out=$(mayfly node ls 2>&1 && run_job long mayfly svid fetch 2>&1) && ok "works-after-$1" || fail "works-after-$1" "$out"
}
before=$(roles)

# --- bytes ---
for t in "agent $PWD/run/agent.sock" "admin $PWD/run/admin.sock" "tls 127.0.0.1:$P_LISTEN"; do
	# shellcheck disable=SC2086 # a name and a target
	timeout 300 /usr/bin/python3 "$MAYFLY_TOP/tests/integration/bad_bytes.py" $t >bytes.out 2>bytes.err || fail "bytes-${t%% *}" "$(tail -3 bytes.err)"
	cat bytes.out
	t_failed=$((t_failed + $(grep -c '^FAIL' bytes.out)))
	works "bytes-${t%% *}"
done
[ "$(roles)" = "$before" ] && ok no-role-died-of-bytes || fail no-role-died-of-bytes "$before / $(roles)"

# --- who may administer ---
if [ "$(id -u)" = 0 ]; then
	for v in "node ls" "node token" "job ls" "job end j-x --reason x" "node evict n-x --reason x" "credential ls" "status"; do
		# shellcheck disable=SC2086 # words
		errs "admin-of-another-uid-${v// /-}" 1 'uid 4003 may not administer this broker: .*admin_uids' \
			setpriv --reuid=4003 --regid=4003 --clear-groups mayfly $v
	done
else
	skip admin-of-another-uid "needs root"
fi

# --- verbs, flags, names ---
run_job long sh -c 'echo "$MAYFLY_JOB" >job1; mkfifo hold; read _ <hold' >job1.log 2>&1 </dev/null &
j1=$!
on_exit stop $j1
run_job long sh -c 'echo "$MAYFLY_JOB" >job2' >job2.log 2>&1 </dev/null
poll 60 test -p hold
J=$(cat job1)
errs no-verb 2 'usage' mayfly
errs unknown-verb 2 'unknown command .*' mayfly nonsense
errs unknown-verb-of-a-group 2 'unknown command .job nonsense' mayfly job nonsense
while read -r v; do
	# shellcheck disable=SC2086 # words
	errs "unknown-flag-${v// /-}" 2 '(no such option|unrecognized option|unknown)' mayfly $v --nosuch
done <<-V
	run
	whoami
	svid fetch
	svid watch
	bundle show
	env
	job ls
	job show
	job end
	node ls
	node token
	node evict
	credential ls
	revoke
	status
	audit verify
	audit tail
	audit find
	doctor
	dev
V
errs run-without-command 2 'CMD.*missing' mayfly run --profile long
errs option-without-value 2 'value is missing' mayfly run --profile
errs one-argument-too-many 2 'too many' mayfly whoami extra
errs output-format 2 'table or json' mayfly job ls -o xml
errs timeout-no-duration 2 'duration' mayfly job ls --timeout soon
for v in "job show" "job end --reason x" "credential ls --job" "revoke --reason x --job"; do
	# shellcheck disable=SC2086 # words
	errs "unknown-job-${v// /-}" 1 'no such job' mayfly $v j-zzzzzzzzzzzzzzzz
	# shellcheck disable=SC2086 # words
	errs "ambiguous-job-${v// /-}" 1 '(more than one|ambiguous|several|begin)' mayfly $v j-
done
errs unknown-node 1 'no such node' mayfly node evict n-zzzz --reason x
errs node-of-garbage 1 'no such node' mayfly node evict "$(printf 'n-\033[31m')" --reason x
errs reason-too-long 1 'longer than 512' mayfly job end "$J" --reason "$(head -c 5000 /dev/zero | tr '\0' x)"
errs reason-of-megabytes '1|126' '.' mayfly job end "$J" --reason "$(head -c 120000 /dev/zero | tr '\0' x)"
errs revoke-without-what 2 'one of: --job J, --node N' mayfly revoke
errs revoke-of-both 2 'one of: --job J, --node N' mayfly revoke --job x --node y
errs token-for-nobody 2 'from 1 to 100000' mayfly node token --uses 0
errs token-for-all 2 'from 1 to 100000' mayfly node token --uses 99999999999999999999
errs token-for-ever 2 'duration' mayfly node token --ttl 99y
errs token-attribute 2 'KEY=VALUE' mayfly node token --attribute foo
errs verify-nothing 4 'No such file' mayfly audit verify --log /nonexistent
errs find-nothing 1 'no record matches' mayfly audit find --type no.such
errs no-broker 4 'start mayfly-broker' env MAYFLY_ADMIN_SOCKET="$PWD/none" mayfly node ls
errs no-agent '1|4' 'agent' env SPIFFE_ENDPOINT_SOCKET="unix://$PWD/none" mayfly whoami
errs socket-of-tcp '1|4' 'unix:///' env SPIFFE_ENDPOINT_SOCKET=tcp://127.0.0.1:1 mayfly whoami
errs socket-of-nonsense '1|4' 'unix:///' env SPIFFE_ENDPOINT_SOCKET=nonsense mayfly whoami
[ "$(mayfly job show "$J" -o json | json 'd["items"][0]["state"]')" = open ] && ok none-of-it-ended-the-job || fail none-of-it-ended-the-job "$(mayfly job show "$J")"
# A reason is text of somebody: it is kept, and cannot write on anybody's terminal.
mayfly job end "$J" --reason "$(printf 'a\033[31mred\007')" >end.log 2>&1 || true
for v in "job show $J" "job ls --all" "audit find --job $J" "audit tail"; do
	# shellcheck disable=SC2086 # words
	if mayfly $v 2>&1 | LC_ALL=C grep -q "$(printf '[\033\007]')"; then fail "no-escapes-${v%% -*}" "a raw escape"; else ok "no-escapes-${v%% j-*}"; fi
done
stop $j1

# --- manifests and profiles ---
m() { printf '%b' "$2" >"$1.json"; }
m garbage 'not json'; m cut '{"mayfly_manifest": 1, "na'; m unknown '{"mayfly_manifest":1,"nope":2}'
m twice '{"mayfly_manifest":1,"name":"a","name":"b"}'; m version '{"mayfly_manifest":9}'; m nul '{"mayfly_manifest":1,"name":"a\0b"}'
m utf8 '{"mayfly_manifest":1,"name":"\377"}'; m type '{"mayfly_manifest":1,"name":5}'; m list "[]"
printf '{"mayfly_manifest":1,"name":"%s"}' "$(head -c 100000 /dev/zero | tr '\0' x)" >large.json
printf '%s' "$(head -c 20000 /dev/zero | tr '\0' '[')" >deep.json
for x in "garbage not JSON" "cut ends too early" "unknown unknown key .nope" "twice duplicate key" "version must be 1" "nul JSON" "utf8 UTF-8|JSON" \
	"type name" "list object" "large longer than 32768" "deep JSON|deep"; do
	errs "manifest-${x%% *}" 125 "manifest.*(${x#* })" mayfly run --profile long --manifest "${x%% *}.json" -- touch ran
done
errs manifest-missing 125 'No such file' mayfly run --profile long --manifest none.json -- touch ran
errs manifest-is-a-directory 125 'manifest' mayfly run --profile long --manifest . -- touch ran
errs unknown-profile 125 'no such profile' mayfly run --profile no-such -- touch ran
errs profile-too-long 125 'at most 256' mayfly run --profile "$(head -c 300 /dev/zero | tr '\0' x)" -- touch ran
[ ! -e ran ] && ok no-command-ran || fail no-command-ran "it did"
works manifests

# --- join tokens ---
P_M2=$(free_port)
sed "s|agent\$|agent2|; s|agent.sock|agent2.sock|; s|token\$|token2|; s|^metrics_listen.*|metrics_listen: 127.0.0.1:$P_M2|" agent.yaml >agent2.yaml
mayfly node token --uses 1 --ttl 1s >expired.tok 2>/dev/null
mayfly node token --uses 1 >good.tok 2>/dev/null
mayfly node token --uses 1 >good2.tok 2>/dev/null
refused_start() {	# NAME PATTERN [CODE]: with token2 as it is, the agent ends, not to be started again, and says why
	rm -rf agent2
	errs "token-$1" "${3:-2}" "$2" mayfly-agent run --config "$PWD/agent2.yaml"
}
rm -f token2; refused_start missing 'mayfly node token'
: >token2; refused_start empty 'join token'
echo garbage >token2; refused_start garbage 'does not start with mft1'
head -c 60 good.tok >token2; refused_start truncated 'cut, copy it again'
head -c 100000 /dev/urandom >token2; refused_start huge 'token.*(cap|longer|large)'
sed 's/\(.\{40\}\)...../\1%%%%%/' good.tok >token2; refused_start altered 'join token'
cp good.tok token2; chmod 644 token2; refused_start readable-by-all 'chmod 0600' 1
rm token2; cp good.tok token2
agent2_ready() { curl -sf -o /dev/null "http://127.0.0.1:$P_M2/readyz"; }
stays() {	# NAME PATTERN: the agent lives on and its log says why it cannot join
	rm -rf agent2
	: >agent2.log
	mayfly-agent run --config "$PWD/agent2.yaml" >agent2.log 2>&1 </dev/null &
	echo $! >agent2.pid
	on_exit pair_kill agent2
	poll 60 grep -qE "$2" agent2.log && ok "token-$1" || fail "token-$1" "$(tail -3 agent2.log)"
	kill -0 "$(cat agent2.pid)" && ok "token-$1-lives" || fail "token-$1-lives" "$(tail -3 agent2.log)"
	refuses "token-$1-not-ready" agent2_ready
	stop "$(cat agent2.pid)"
	: >agent2.pid
}
cp token token2; stays reused 'used up.*mayfly node token'
expired() { [ "$(date +%s)" -gt $(($(stat -c %Y expired.tok) + 2)) ]; }
poll 60 expired
cp expired.tok token2; stays expired 'expired.*mayfly node token'
# An attempt that failed spoils nothing: the same agent joins by a good one.
rm -rf agent2
cp good.tok token2
mayfly-agent run --config "$PWD/agent2.yaml" >agent2.log 2>&1 </dev/null &
echo $! >agent2.pid
poll 60 agent2_ready && ok token-good || fail token-good "$(tail -3 agent2.log)"
stop "$(cat agent2.pid)"
: >agent2.pid
works tokens

# --- files at SIGHUP: the old stays ---
hup() {	# NAME PATTERN: after SIGHUP the broker's log says so, and all works on
	: >broker.log
	kill -HUP "$(cat broker.pid)"
	poll 60 grep -qE "$2" broker.log && ok "hup-$1" || fail "hup-$1" "$(tail -3 broker.log)"
	[ "$(role_pid notary)" = "$notary" ] && ok "hup-$1-lives" || fail "hup-$1-lives" "the notary is another process"
}
notary=$(role_pid notary)
cp policy.yaml policy.good
printf 'mayfly_policy: 1\nprofiles: 5\nruels: []\n' >policy.yaml
hup policy-broken 'policy.yaml:3:1: unknown key .ruels.; did you mean .rules.'
says hup-policy-old-stays 'the policy in force stays' cat broker.log
says hup-policy-all-at-once 'policy.yaml:2:11: .profiles. must be a map' cat broker.log
: >policy.yaml; hup policy-empty 'the policy in force stays'
head -c 5000 /dev/urandom >policy.yaml; hup policy-noise 'the policy in force stays'
head -c 3000000 /dev/zero | tr '\0' '#' >policy.yaml; hup policy-huge 'the policy in force stays|cap|larger|longer'
rm policy.yaml; hup policy-missing 'policy.yaml: No such file|the policy in force stays'
works bad-policies
cp policy.good policy.yaml; hup policy-good 'policy loaded'
[ "$(roles)" = "$before" ] && ok no-role-died || fail no-role-died "$before / $(roles)"
agent_down
broker_down

# --- files at start: all problems at once, each with line and cure ---
printf 'trust_domain: Bad_Domain!\nlisten: nowhere\nlistne: 1\nheartbeat: 5parsecs\nstate_dir: relative\n' >bad.yaml
for p in '1:15: .trust_domain. must be' '2:9: .listen. must be' '3:1: unknown key .listne.; did you mean .listen.' '4:12: .heartbeat. must be' \
	'5:12: .state_dir. must be'; do
	errs "broker.yaml-${p%%: *}" 2 "bad.yaml:$p" mayfly-broker run --config "$PWD/bad.yaml"
done
printf 'a: [b\n' >bad.yaml; errs broker.yaml-no-yaml 2 'bad.yaml:2:1: not YAML' mayfly-broker run --config "$PWD/bad.yaml"
: >bad.yaml; errs broker.yaml-empty 2 'trust_domain. is missing: set it' mayfly-broker run --config "$PWD/bad.yaml"
head -c 3000 /dev/urandom >bad.yaml; errs broker.yaml-noise 2 'UTF-8' mayfly-broker run --config "$PWD/bad.yaml"
errs broker.yaml-missing 2 'No such file' mayfly-broker run --config "$PWD/none.yaml"
errs broker-unknown-verb 2 'no verb nonsense; see' mayfly-broker nonsense
errs broker-unknown-flag 2 'nosuch: unknown flag' mayfly-broker run --nosuch --config "$PWD/broker.yaml"
printf 'socket: rel\njoin_token_file: 5\nsokcet: x\nlegacy_peercred: perhaps\n' >bad.yaml
for p in '1:9: .socket. must be' '2:18: .join_token_file. must be' '3:1: unknown key .sokcet.; did you mean .socket.' '4:18: .legacy_peercred. must be true or false'; do
	errs "agent.yaml-${p%%: *}" 2 "bad.yaml:$p" mayfly-agent run --config "$PWD/bad.yaml"
done
printf 'mayfly_policy: 1\nprofiles:\n  a: {purpose: x}\nrules:\n  - {id: r, effect: maybe, profile: nosuch}\nextra: 1\n' >policy.yaml
for p in '3:6: .owner. is missing: add it' '5:5: .review_by. is missing' '6:1: unknown key .extra.'; do
	errs "policy-at-start-${p%%: *}" '1|2' "policy.yaml:$p" mayfly-broker run --config "$PWD/broker.yaml"
done
cp policy.good policy.yaml
errs init-twice 1 'holds a broker already: nothing was touched' mayfly-broker init --config "$PWD/broker.yaml"

# --- a damaged state directory: refused with cause and cure, and nothing is written over ---
cp -a broker broker.good
damaged() {	# NAME PATTERN: a start is refused; afterwards the good state is put back
	errs "state-$1" '1|2' "$2" mayfly-broker run --config "$PWD/broker.yaml"
	rm -rf broker
	cp -a broker.good broker
}
flip() {	# FILE OFFSET
	/usr/bin/python3 - "$1" "$2" <<-'P'
	import os, sys
	os.chmod(sys.argv[1], 0o600)
	with open(sys.argv[1], "r+b") as f:
	    f.seek(int(sys.argv[2])); c = f.read(1); f.seek(int(sys.argv[2])); f.write(bytes([c[0] ^ 0x10]))
	P
}
# over FILE: its new text is stdin; owner and place stay
over() { chmod u+w "$1" && cat >"$1"; }
echo 'mayfly-broker 99' | over broker/FORMAT; damaged format-newer 'FORMAT.*newer release wrote it'
echo 'garbage' | over broker/FORMAT; damaged format-garbage 'FORMAT.*backup'
rm -f broker/FORMAT; damaged format-missing "make one with 'mayfly-broker init'"
head -c 32 /dev/urandom | over broker/kek; damaged kek-wrong 'another key-encryption key, or the file was altered'
head -c 7 /dev/urandom | over broker/kek; damaged kek-short '(another key-encryption key|kek)'
rm -f broker/kek; damaged kek-missing 'kek: No such file'
flip broker/keys/ca.key 100; damaged ca-key-flipped 'ca.key: .*(altered|not base64)'
seg=$(ls broker/log/wal/*.seg | head -1)
size=$(stat -c %s "$seg")
last=$(mayfly audit verify -o json 2>/dev/null | grep -oE '"(size|records)": ?[0-9]+' | head -1 | grep -oE '[0-9]+')
flip "$seg" $((size / 3)); damaged wal-flipped-early 'offset [0-9]+, first bad index [0-9]+'
flip "$seg" $((size / 2)); damaged wal-flipped-middle 'offset [0-9]+, first bad index [0-9]+'
flip "$seg" $((size - 20)); damaged wal-flipped-last 'readable records but its last signed head.*restore'
truncate -s $((size / 2)) "$seg"; damaged wal-cut 'readable records but its last signed head.*restore'
rm -f "$seg"; damaged wal-gone '0 readable records but its last signed head.*restore'
flip broker/log/checkpoint 60; damaged checkpoint-flipped 'signature by .* does not verify|note: '
# The read model is only a copy: it is made anew.
db=broker/db/read-model.db
for how in noise empty; do
	rm -f $db-wal $db-shm
	if [ $how = noise ]; then head -c 20000 /dev/urandom | over $db; else : | over $db; fi
	broker_up
	jobs=$(mayfly job ls --all -o json | json 'len(d["items"])')
	[ "$jobs" -ge 5 ] && ok "read-model-$how-is-made-anew" || fail "read-model-$how-is-made-anew" "$jobs jobs: $(tail -3 broker.log)"
	broker_down
done
broker_up
agent_up
works everything
broker_down
[ -n "$last" ] && says nothing-lost 'ok|good|verified' mayfly audit verify
agent_down
finish
