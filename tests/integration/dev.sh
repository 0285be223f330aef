#!/bin/bash
# `mayfly dev` itself: what it prints, starting again on its state, who else may not, how it ends, what it leaves.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
scratch dev
denied() {	# NAME CMD...: `mayfly run` is refused an identity
	local name=$1 out rc=0
	shift
	out=$("$@" 2>&1) || rc=$?
	if [ $rc = 125 ] && grep -q 'no identity issued' <<<"$out"; then ok "$name"; else fail "$name" "exit code $rc: $out"; fi
}

# Exactly four lines on stdout; everything else on stderr.
dev_start
sed -E 's|=.*/state|=STATE|' dev.out >lines
printf 'export %s\n' SPIFFE_ENDPOINT_SOCKET=STATE/run/agent.sock MAYFLY_ADMIN_SOCKET=STATE/run/admin.sock \
    MAYFLY_STATE=STATE >expected
echo ready >>expected
if cmp -s lines expected; then ok stdout; else fail stdout "$(cat dev.out)"; fi
says banner 'NOT for real work' cat dev.log
check job run_job dev mayfly whoami
refuses no-job mayfly svid fetch
says doctor 'warn +dev.mode' mayfly doctor
says one-node '^1$' sh -c 'mayfly node ls -o json | grep -o "\"id\":" | wc -l'

# A second one on the same state is refused, and the first does not notice.
says second 'another .mayfly dev. runs on' sh -c 'mayfly dev --state "$1" 2>&1 >/dev/null || [ $? = 1 ]' sh "$PWD/state"
check first-lives run_job dev true

# Ctrl-C reaches it alone: it ends in order. Started again, it is the same trust domain, node and log.
before=$(mayfly bundle show)
kill -INT "$dev_pid"
poll 60 gone "$dev_pid" || fail interrupt "does not end"
rc=0
wait "$dev_pid" || rc=$?
dev_pid=
[ $rc = 0 ] && ok interrupt || fail interrupt "exit code $rc"
refuses gone mayfly status
dev_start
[ "$(mayfly bundle show)" = "$before" ] && ok same-bundle || fail same-bundle "another CA"
check job-again run_job dev mayfly svid fetch
says same-node '^1$' sh -c 'mayfly node ls --all -o json | grep -o "\"id\":" | wc -l'
says same-log '"job.ended"' mayfly audit tail -n all -o json
check log-verifies mayfly audit verify

# SIGHUP brings the policy of the moment.
denied not-yet run_job later true
cat >>state/policy.yaml <<-END
	  - {id: later, effect: permit, profile: later, owner: dev, review_by: 2099-01-01, nodes: any, when: {contains: [attested.unix.uid, "$(id -u)"]}}
END
sed -i 's|^profiles:|profiles:\n  later:\n    purpose: test\n    owner: dev\n    max_job: 1h\n    drain: 0s\n    identities:\n      - {path: "/later", hint: later, x509_ttl: 5m}\n    on_end: deny|' state/policy.yaml
kill -HUP "$dev_pid"
now_permitted() { run_job later true; }
poll 60 now_permitted && ok reload || fail reload "$(run_job later true 2>&1)"

# A daemon that dies takes it down, loudly, and nothing is left running.
broker=$(pgrep -P "$dev_pid" -x mayfly-broker) || fail children "no mayfly-broker below $dev_pid"
agent=$(pgrep -P "$dev_pid" -x mayfly-agent) || fail children "no mayfly-agent below $dev_pid"
kill -KILL "$broker"
poll 60 gone "$dev_pid" || fail daemon-dies "does not end"
rc=0
wait "$dev_pid" || rc=$?
dev_pid=
if [ $rc = 1 ] && grep -q 'mayfly-broker ended by itself (signal 9)' dev.log; then ok daemon-dies; else
	fail daemon-dies "exit code $rc: $(tail -3 dev.log)"
fi
poll 60 gone "$agent" && ok agent-stopped || fail agent-stopped "mayfly-agent lives on"

# Killed without a chance to say anything: the daemons end with it.
dev_start
broker=$(pgrep -P "$dev_pid" -x mayfly-broker)
agent=$(pgrep -P "$dev_pid" -x mayfly-agent)
kill -KILL "$dev_pid"
wait "$dev_pid" 2>/dev/null
dev_pid=
both_gone() { gone "$broker" && gone "$agent"; }
poll 60 both_gone && ok killed || fail killed "a daemon lives on"

# Without --state everything is removed at the end.
mkdir tmp
TMPDIR=$PWD/tmp mayfly dev >own.out 2>own.log </dev/null &
dev_pid=$!
own_up() { grep -qx ready own.out || gone "$dev_pid"; }
poll 120 own_up
grep -qx ready own.out && ok throw-away || fail throw-away "$(tail -3 own.log)"
kill -TERM "$dev_pid"
poll 60 gone "$dev_pid" || fail throw-away-end "does not end"
rc=0
wait "$dev_pid" || rc=$?
dev_pid=
[ $rc = 0 ] && [ -z "$(ls tmp)" ] && ok throw-away-end || fail throw-away-end "exit code $rc, left: $(ls tmp)"

# As a plain user, where we are root and may become one.
if [ "$(id -u)" != 0 ] || ! command -v setpriv >/dev/null; then
	skip plain-user "not root, or no setpriv"
elif ! setpriv --reuid 12345 --regid 12345 --clear-groups test -x "$MAYFLY_BIN/mayfly"; then
	skip plain-user "the programs lie where other users cannot reach them"
else
	mkdir plain
	chown 12345:12345 plain
	TMPDIR=$PWD/plain setpriv --reuid 12345 --regid 12345 --clear-groups mayfly dev >plain.out 2>plain.log </dev/null &
	dev_pid=$!
	plain_up() { grep -qx ready plain.out || gone "$dev_pid"; }
	poll 120 plain_up
	eval "$(grep '^export ' plain.out)"
	as() { setpriv --reuid 12345 --regid 12345 --clear-groups "$@"; }
	says plain-job '"grade":"(tree|pidfd\+cgroup-delegated)"' as mayfly run --profile dev -- mayfly whoami -o json
	says plain-banner 'invariants 4 to 6' cat plain.log
	says plain-doctor 'share the user of the daemons' as mayfly doctor
	denied plain-other run_job dev true
	kill -TERM "$dev_pid"
	poll 60 gone "$dev_pid" || fail plain-end "does not end"
	rc=0
	wait "$dev_pid" || rc=$?
	dev_pid=
	[ $rc = 0 ] && ok plain-end || fail plain-end "exit code $rc"
fi
finish
