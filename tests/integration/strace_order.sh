#!/bin/bash
# Invariant 1 from outside: the kernel saw the sync of each issuance's record before the sealed certificate left. And of the attestor: an end is
# told to the front (message 70, which begins with "\0F\0\0") before its cgroup is removed whatever that takes.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need strace
scratch strace
strace -qq -o /dev/null true 2>/dev/null || { skip all "strace may not trace here"; exit 0; }
DEV_TTL=4s pair_init
relay_up
broker_up
agent_up
notary=$(role_pid notary)
strace -f -qq -ttt -s 65536 -e trace=write,pwrite64,writev,pwritev,fdatasync,fsync,sendmsg,sendmmsg -o trace -p "$notary" 2>strace.err &
tracer=$!
on_exit stop $tracer
attached() { grep -qE "TracerPid:.*[1-9]" "/proc/$notary/status"; }
poll 60 attached || { skip all "strace cannot attach to the notary: $(cat strace.err)"; exit 0; }
for i in 1 2 3 4 5; do
	run_job long mayfly svid fetch --write "id$i" >>jobs.log 2>&1 || fail "job$i" "$(tail -2 jobs.log)"
done
timeout 60 mayfly run --profile short -- sh -c 'mayfly svid watch -o json & p=$!; while [ "$(wc -l <renew.log)" -lt 3 ]; do sleep 0.1; done; kill $p' >renew.log 2>&1
kill -INT $tracer
wait $tracer 2>/dev/null
check order /usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/strace_order.py" trace 5
attestor=$(role_pid attestor)
strace -f -qq -s 16 -e trace=sendmmsg,unlinkat,renameat,renameat2 -o ends -p "$attestor" 2>strace.err &
tracer=$!
on_exit stop $tracer
notary=$attestor
if poll 60 attached; then
	for i in 1 2 3; do run_job long true >>jobs.log 2>&1 || fail "end$i" "$(tail -2 jobs.log)"; done
	told() { [ "$(grep -c 'AT_REMOVEDIR) = 0' ends)" -ge 3 ]; }
	if grep -q '"cgroup.no_base"' agent.log; then
		skip end-told-first "the agent may make no cgroups here"
	else
		poll 60 told || fail end-told-first "cgroups of three jobs were not removed: $(tail -5 ends)"
		check end-told-first awk '/sendmmsg.*iov_base="\\0F\\0\\0/ { told++ } /AT_REMOVEDIR\) = 0/ { gone++; if (told < gone) { print "removed before it was told, line " NR; bad = 1 } }
			END { exit bad || gone < 3 }' ends
	fi
	kill -INT $tracer
	wait $tracer 2>/dev/null
else
	skip end-told-first "strace cannot attach to the attestor: $(cat strace.err)"
fi
agent_down
broker_down
finish
