#!/bin/bash
# The disk answers EIO to a sync, or to a write, of the running notary: it ends and another one takes over, reads the log again, and has
# recorded every removal that was effective before it issues anything. Nobody holds what is not on record.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need strace openssl curl
scratch sync_fails
strace -qq -o /dev/null true 2>/dev/null || { skip all "strace may not trace here"; exit 0; }
DEV_TTL=12s pair_init
relay_up
broker_up
agent_up
fetches() { timeout 60 mayfly run --profile long -- mayfly svid fetch --write held >fetch.log 2>&1 </dev/null; }
attached() { grep -qE "TracerPid:.*[1-9]" "/proc/$1/status"; }
another() { [ -n "$(role_pid notary)" ] && [ "$(role_pid notary)" != "$1" ] && broker_ready; }
inject() { # CALL: from now on each such call of the notary fails
	notary=$(role_pid notary)
	strace -f -qq -e "trace=$1" -e "inject=$1:error=EIO" -o "trace.$1" -p "$notary" 2>strace.err &
	tracer=$!
	on_exit stop $tracer
	poll 60 attached "$notary"
}
doomed() { # NAME
	mayfly run --profile long -- sh -c "echo \"\$MAYFLY_JOB\" >$1.job; exec sleep 600" >"$1.log" 2>&1 </dev/null &
	on_exit stop $!
	poll 60 test -s "$1.job" && ok "$1-job" || fail "$1-job" "$(cat "$1.log")"
}
recorded() { # NAME: its end stands in the log
	mayfly audit find --type job.ended -o json | grep -q "$(cat "$1.job")"
}
on_record() { # the certificate that a job holds has its record
	mayfly audit find --type svid.issued -o json | grep -q "$(serial_of held)"
}
fetches && ok before || { fail before "$(cat fetch.log)"; finish; }
first=$(role_pid notary)
for call in fdatasync pwrite64; do
	doomed $call
	inject $call || { skip $call "strace cannot attach to the notary: $(cat strace.err)"; continue; }
	# Whatever it says: what was effective must not be lost.
	rc=0
	timeout 120 mayfly revoke --job "$(cat $call.job)" --reason "the disk fails" >revoke.log 2>&1 || rc=$?
	case $rc in
	0 | 3) ok "$call-effective" ;;
	4) ok "$call-not-reached" ;;
	*) fail "$call-effective" "exit code $rc: $(cat revoke.log)" ;;
	esac
	poll 120 another "$notary" && ok "$call-another-notary" || fail "$call-another-notary" "$(tail -5 broker.log)"
	stop $tracer
	check "$call-was-injected" grep -q INJECTED "trace.$call"
	grep -q '= 0' "trace.$call" && fail "$call-each-failed" "$(grep '= 0' "trace.$call" | head -2)" || ok "$call-each-failed"
	[ $rc = 4 ] || { poll 60 recorded $call && ok "$call-removal-recorded" || fail "$call-removal-recorded" "$(cat revoke.log; tail -5 broker.log)"; }
	rm -rf held
	poll 120 fetches && ok "$call-issues-again" || fail "$call-issues-again" "$(cat fetch.log)"
	check "$call-what-is-held-is-on-record" on_record
	# The same again, with a job that asks while the disk fails: it waits, or is told; it holds nothing without its record.
	inject $call || continue
	rm -rf held
	fetches && asked=0 || asked=$?
	poll 120 another "$notary" && ok "$call-another-notary-again" || fail "$call-another-notary-again" "$(tail -5 broker.log)"
	stop $tracer
	if [ -e held/svid.pem ]; then check "$call-asked-meanwhile-is-on-record" on_record; else
		[ $asked != 0 ] && grep -qE 'try again|not reach|unavailable|starting|restart' fetch.log && ok "$call-asked-meanwhile-is-told" || fail "$call-asked-meanwhile-is-told" "$asked: $(cat fetch.log)"
	fi
	poll 120 fetches && ok "$call-goes-on" || fail "$call-goes-on" "$(cat fetch.log)"
done
[ "$(role_pid notary)" != "$first" ] && ok restarted || fail restarted "$first"
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
