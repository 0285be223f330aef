#!/bin/bash
# Silence: shorter than the lease's TTL it ends nothing and lapses no certificate; longer, the job goes on with new
# serials after the cut heals. Times are scaled by 1/30: TTL 10 s (5 min), heartbeats 1 s (30 s), certificates 40 s (20 min).
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch suspend
DEV_TTL=40s pair_init lease_ttl 10s heartbeat 1s
relay_up
broker_up
agent_up
run_job short sh -c 'echo "$MAYFLY_JOB" >job; mayfly svid watch -o json' >watch.log 2>&1 &
watcher=$!
on_exit stop $watcher
poll 60 grep -q spiffe:// watch.log && ok first || { fail first "$(cat watch.log)"; finish; }
job=$(cat job)
serials() { grep -o '"serial": *"[0-9a-f]*"' watch.log | sort -u | wc -l; }
state() { mayfly job show "$job" -o json | json 'd["items"][0]["state"]'; }

# --- the broker is down for as long as a lease lives (five minutes, scaled) ---
before=$(serials)
broker_down
sleep 10 # the length of the outage is what is tested
check served-meanwhile kill -0 $watcher
broker_up
poll 60 agent_ready && ok agent-is-back || fail agent-is-back "$(tail -3 agent.log)"
[ "$(state)" = open ] && ok outage-ends-nothing || fail outage-ends-nothing "$(state)"
[ "$(records lease.suspended)" = 0 ] && ok outage-suspends-nothing || fail outage-suspends-nothing "$(records lease.suspended)"
refuses no-end grep -qi 'no identity issued' watch.log

# --- the agent is cut off for four fifths of the TTL ---
relay_cut
sleep 8
relay_heal
poll 60 agent_ready
[ "$(state)" = open ] && [ "$(records lease.suspended)" = 0 ] && ok short-cut || fail short-cut "$(state) $(records lease.suspended)"

# --- cut for longer than the TTL, then healed: suspended, adopted again, new serials ---
before=$(serials)
relay_cut
suspended() { [ "$(records lease.suspended)" -ge 1 ]; }
poll 120 suspended && ok suspended || fail suspended "$(tail -3 broker.log)"
relay_heal
resumed() { [ "$(records lease.resumed)" -ge 1 ]; }
poll 120 resumed && ok resumed || fail resumed "$(tail -3 agent.log)"
more() { [ "$(serials)" -gt "$before" ]; }
poll 60 more && ok new-serials || fail new-serials "$(tail -2 watch.log)"
[ "$(state)" = open ] && ok goes-on || fail goes-on "$(state)"
kill -0 $watcher && ok stream-lives || fail stream-lives "the watch ended"
says same-job "$job" mayfly job ls -o json
stop $watcher
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
