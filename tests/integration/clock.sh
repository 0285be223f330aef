#!/bin/bash
# The broker's wall clock is stepped by an hour under the running, confined programs, and between stop and start (only theirs: an
# /etc/ld.so.preload in a mount namespace, tests/lib/preload/wall.c). While it is in doubt nothing is issued, removals take effect and are
# recorded, no job ends; when it is right again, or an operator believed it, all goes on by itself.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need unshare curl gcc
unshare -m true 2>/dev/null || { skip all "no mount namespace of one's own may be made here"; exit 0; }
scratch clock
gcc -O1 -fPIC -shared -DWALL_FILE="\"$PWD/wall\"" -o wall.so "$MAYFLY_TOP/tests/lib/preload/wall.c" || { fail preload "cannot be built"; finish; }
cp -a /etc etc 2>/dev/null
echo "$PWD/wall.so" >etc/ld.so.preload
chmod 755 wall.so
chmod 644 etc/ld.so.preload
step() { # SECONDS: the broker's clock beside the machine's, from now on
	/usr/bin/python3 -c 'import struct, sys; f = open("wall", sys.argv[2]); f.write(struct.pack("q", int(sys.argv[1]) * 1000000))' "$1" "$([ -e wall ] && echo r+b || echo wb)"
	chmod 644 wall
}
step 0
DEV_TTL=12s dev_policy policy.yaml
sed -i 's/max_job: 1h/max_job: 30h/' policy.yaml # no job is at its deadline when an hour forward is believed
pair_init
relay_up
mayfly-broker() { exec unshare -m sh -c 'mount --bind "$1" /etc && shift && exec "$@"' sh "$PWD/etc" "$MAYFLY_BIN/mayfly-broker" "$@"; }
broker_up
agent_up
fetches() { timeout 60 mayfly run --profile short -- mayfly svid fetch >fetch.log 2>&1 </dev/null; }
why_not() { mayfly status | grep -q "$1"; }
issuing() { mayfly status -o json | json 'd["items"][0]["issuing"]' | grep -qi true; }
ids() { grep -c '^id ' steady.log || true; }
more_ids() { [ "$(ids)" -gt "$1" ]; }
doomed() { # NAME: a job that will be ended while the clock is in doubt
	mayfly run --profile short -- sh -c "echo \"\$MAYFLY_JOB\" >$1.job; exec sleep 600" >"$1.log" 2>&1 </dev/null &
	on_exit stop $!
	poll 60 test -s "$1.job" && ok "$1-runs" || fail "$1-runs" "$(cat "$1.log")"
}
in_doubt() { # NAME WHY DOOMED: what holds while the broker does not believe its clock
	poll 60 why_not "$2" && ok "$1-says-why" || fail "$1-says-why" "$(mayfly status 2>&1)"
	local size
	size=$(records svid.issued)
	timeout 10 mayfly run --profile long -- mayfly svid fetch >"$1.log" 2>&1 </dev/null && fail "$1-issues-nothing" "$(cat "$1.log")" || ok "$1-issues-nothing"
	[ "$(records svid.issued)" = "$size" ] && ok "$1-records-nothing" || fail "$1-records-nothing" "$size"
	says "$1-removals-go-on" 'recorded: record' mayfly revoke --job "$(cat "$3.job")" --reason "the clock is in doubt"
	says "$1-others-live" '"open"' mayfly job show "$(cat steady.job)" -o json
}
works() { # NAME: new jobs get theirs
	poll 120 issuing && poll 120 fetches && ok "$1-issues-again" || fail "$1-issues-again" "$(cat fetch.log; mayfly status 2>&1)"
}
renews() { # NAME: so does the old one. (Not where the clocks differ: the agent renews at half-life by its own.)
	local n
	n=$(ids)
	poll 120 more_ids "$n" && ok "$1-renews-again" || fail "$1-renews-again" "$(tail -3 steady.log)"
}
mayfly run --profile short -- sh -c "echo \"\$MAYFLY_JOB\" >steady.job; exec /usr/bin/python3 $MAYFLY_TOP/tests/lib/sh/watch_id.py $PWD/run/agent.sock" >steady.log 2>&1 </dev/null &
on_exit stop $!
poll 60 more_ids 0 && ok steady || { fail steady "$(cat steady.log)"; finish; }
for n in forward back stopped; do doomed $n; done

# --- an hour forward, as it runs ---
step 3600
in_doubt forward 'jumped forward' forward
refuses confirm-asks-whose-clock-is-right mayfly clock confirm --reason "looks right to me"
step 0
works gone-back
renews gone-back

# --- again, and an operator whose clock says the same believes it ---
step 3600
poll 60 why_not 'jumped forward' && ok forward-again || fail forward-again "$(mayfly status 2>&1)"
confirm() { env LD_PRELOAD="$PWD/wall.so" mayfly clock confirm --reason "it was an hour late"; }
says confirmed 'Record +[0-9]' confirm
works confirmed

# --- an hour back, as it runs ---
step 0
in_doubt back 'behind its own log' back
step 3600
# Put right while the broker runs, that is a step as any other.
poll 60 why_not 'jumped forward' && says believed 'Record +[0-9]' confirm
works forward-to-the-log

# --- an hour back between stop and start ---
broker_down
step 0
broker_ready() { mayfly node ls; } # /readyz says no for as long as nothing is issued
broker_up
in_doubt stopped 'behind its own log' stopped
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$P_MB/readyz")" = 503 ] && ok stopped-is-not-ready || fail stopped-is-not-ready ""
broker_down
step 3600
broker_up
works started
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
