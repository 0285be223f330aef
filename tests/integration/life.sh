#!/bin/bash
# The first path from outside: a job earns its certificate, the record is there, and it loses it when it ends.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch life
DEV_TTL=6s pair_init
relay_up
broker_up
agent_up
ok start

# --- a job and its record ---
run_job long sh -c 'mayfly svid fetch --write id && mayfly whoami -o json >who.json && echo "$MAYFLY_JOB" >job' >fetch.log 2>&1 &&
	ok fetch || fail fetch "$(cat fetch.log)"
job=$(cat job 2>/dev/null)
serial=$(serial_of id)
says issued-is-recorded "$serial" mayfly audit find --type svid.issued -o json
says end-is-recorded "$serial" mayfly audit find --type lease.ended -o json
says job-state '"state": ?"ended"' mayfly job show "$job" -o json
says whoami-job "$job" cat who.json
says whoami-profile '"long"' cat who.json
says log-verifies 'ok|good|verified' mayfly audit verify
# The expiry is the profile's, not a second more.
nb=$(date -d "$(openssl x509 -in id/svid.pem -noout -startdate | cut -d= -f2)" +%s)
na=$(date -d "$(openssl x509 -in id/svid.pem -noout -enddate | cut -d= -f2)" +%s)
[ $((na - nb)) -le 1260 ] && ok lifetime || fail lifetime "$((na - nb)) s"

# --- exit codes and signals of the runner ---
rc=0; run_job long sh -c 'exit 7' >/dev/null 2>&1 || rc=$?
[ $rc = 7 ] && ok exit-code || fail exit-code "$rc"
rc=0; run_job long sh -c 'kill -TERM $$' >/dev/null 2>&1 || rc=$?
[ $rc = 143 ] && ok exit-by-signal || fail exit-by-signal "$rc"
rc=0; run_job long /no/such/program >/dev/null 2>&1 || rc=$?
[ $rc = 127 ] && ok exit-127 || fail exit-127 "$rc"
rc=0; run_job no-such-profile touch ran >none.log 2>&1 || rc=$?
[ $rc = 125 ] && [ ! -e ran ] && ok unknown-profile || fail unknown-profile "$rc $(cat none.log)"

# --- a stranger on the same machine gets nothing ---
refuses stranger mayfly svid fetch
says stranger-text 'no identity issued' sh -c 'mayfly svid fetch 2>&1; true'

# --- a live stream ends when somebody ends the job ---
run_job long sh -c 'echo "$MAYFLY_JOB" >job2; exec mayfly svid watch' >watch.log 2>&1 &
watcher=$!
on_exit stop $watcher
poll 60 test -s job2
poll 60 grep -q spiffe:// watch.log && ok watch-first || fail watch-first "$(cat watch.log)"
says job-end 'ended|effective' mayfly job end "$(cat job2)" --reason "test: over"
poll 60 grep -qi 'no identity issued\|ended' watch.log && ok stream-ended || fail stream-ended "$(cat watch.log)"
says reason-recorded 'test: over' mayfly audit find --job "$(cat job2)" -o json
stop $watcher

# --- renewal: a short certificate is followed by the next one, and the name stays ---
run_job short sh -c 'mayfly svid watch -o json' >renew.log 2>&1 &
watcher=$!
on_exit stop $watcher
renewed() { [ "$(grep -o '"serial": *"[0-9a-f]*"' renew.log | sort -u | wc -l)" -ge 3 ]; }
poll 120 renewed && ok renewals || fail renewals "$(tail -3 renew.log)"
[ "$(grep -o 'spiffe://[^"]*' renew.log | sort -u | wc -l)" = 1 ] && ok renewal-keeps-name || fail renewal-keeps-name "$(tail -3 renew.log)"
stop $watcher
[ "$(records svid.renewed)" -ge 2 ] && ok renewals-recorded || fail renewals-recorded "$(records svid.renewed)"

# --- the last process ends the job, not the first ---
run_job long sh -c '(setsid sh -c "sleep 4; mayfly svid fetch -o json >late.json 2>late.err" >/dev/null 2>&1 &) ; echo "$MAYFLY_JOB" >job3' >/dev/null 2>&1
poll 60 test -s job3
says daemon-keeps-job '"state": ?"open"' mayfly job show "$(cat job3)" -o json
poll 60 test -s late.json && ok daemon-is-the-job || fail daemon-is-the-job "$(cat late.err 2>/dev/null)"
over() { mayfly job show "$(cat job3)" -o json | grep -qE '"state": ?"ended"'; }
poll 60 over && ok daemon-ends-job || fail daemon-ends-job "$(mayfly job show "$(cat job3)" -o json)"

# --- node eviction bites at once ---
run_job long sh -c 'mayfly svid watch' >evict.log 2>&1 &
watcher=$!
on_exit stop $watcher
poll 60 grep -q spiffe:// evict.log
node=$(mayfly node ls -o json | json 'd["items"][0]["id"]')
says evict 'evicted|ended|effective' mayfly node evict "$node" --reason test
poll 60 grep -qi 'no identity issued\|ended' evict.log && ok evict-ends-streams || fail evict-ends-streams "$(cat evict.log)"
stop $watcher
rc=0; run_job long mayfly svid fetch >evicted.log 2>&1 || rc=$?
[ $rc = 125 ] && ok evicted-gets-nothing || fail evicted-gets-nothing "$rc $(cat evicted.log)"
state_is() { mayfly node ls --all -o json | json 'd["items"][0]["state"]' | grep -qx "$1"; }
says evicted-is-shown evicted mayfly node show "$node"

# --- and is taken back: the agent returns by itself, what ended stays ended ---
says readmit 'recorded: record' mayfly node readmit "$node" --reason test
poll 120 state_is connected && ok readmitted-returns || fail readmitted-returns "$(mayfly node show "$node")"
poll 60 run_job long mayfly svid fetch >readmitted.log 2>&1 && ok readmitted-gets-again || fail readmitted-gets-again "$(cat readmitted.log)"
says readmit-recorded '"type": ?"node.readmitted"|node.readmitted' mayfly audit find --type node.readmitted -o json
says log-verifies-at-the-end 'ok|good|verified' mayfly audit verify
agent_down
broker_down
says log-verifies-stopped 'ok|good|verified' mayfly audit verify
finish
