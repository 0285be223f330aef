#!/bin/bash
# Deaths while a job runs and watches its identity: of the attestor, of the agent (killed, and stopped for another build), of the
# wrapper `mayfly run`. What design promises: the job goes on, keeps its name, is told nothing final (E-15: neither OK nor CANCELLED),
# and what ended meanwhile is ended when the agent is back. The figure of E-15 is printed; one second is the aim.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch deaths
DEV_TTL=20s pair_init
relay_up
broker_up
agent_up
state_of() { mayfly job show "$1" -o json | json 'd["items"][0]["state"]'; }
is() { [ "$(state_of "$1")" = "$2" ]; }
ids() { grep -c '^id ' "$1" 2>/dev/null || true; }
more_ids() { [ "$(ids "$1")" -gt "$2" ]; }
attestor_is_new() { [ -n "$(role_pid attestor)" ] && [ "$(role_pid attestor)" != "$1" ]; }
mayfly run --profile long -- sh -c "echo \"\$MAYFLY_JOB\" >job; exec /usr/bin/python3 $MAYFLY_TOP/tests/lib/sh/watch_id.py $PWD/run/agent.sock" >watch.log 2>&1 </dev/null &
runner=$!
on_exit stop $runner
poll 60 more_ids watch.log 0 && ok first || { fail first "$(cat watch.log)"; finish; }
job=$(cat job)
watcher=$(sed -n 's/^pid //p' watch.log)

# --- the attestor dies: the front holds what it serves, the stream does not even notice ---
before=$(ids watch.log) old=$(role_pid attestor)
kill -KILL "$old"
poll 60 attestor_is_new "$old" && poll 60 agent_ready && ok attestor-is-back || fail attestor-is-back "$(tail -3 agent.log)"
run_job long mayfly svid fetch >second.log 2>&1 </dev/null && ok new-jobs-after-attestor || fail new-jobs-after-attestor "$(cat second.log)"
! grep -q '^end ' watch.log && ok attestor-ends-no-stream || fail attestor-ends-no-stream "$(cat watch.log)"
is "$job" open && ok attestor-ends-no-job || fail attestor-ends-no-job "$(state_of "$job")"
says attestor-adopts "instance.adopted" cat agent.log
# A job that ends while the attestor is dead ends when it is back: its successor is held until the job is gone.
mayfly run --profile long -- sh -c 'mayfly svid fetch >/dev/null; echo $$ >pid3; echo "$MAYFLY_JOB" >job3; exec sleep 3600' >third.log 2>&1 </dev/null &
on_exit stop $!
poll 60 test -s job3
front=$(role_pid agent-front) old=$(role_pid attestor)
kill -STOP "$(cat agent.pid)" # it starts nothing
kill -KILL "$old"
kill -KILL "$(cat pid3)"
poll 60 gone "$(cat pid3)"
kill -CONT "$(cat agent.pid)"
poll 60 is "$(cat job3)" ended && ok ended-while-the-attestor-was-dead || fail ended-while-the-attestor-was-dead "$(state_of "$(cat job3)")"
[ "$(role_pid agent-front)" = "$front" ] && ok front-stays || fail front-stays "another front"

# --- the agent is stopped and another build started (E-15) ---
build_id=$(strings -a "$MAYFLY_BIN/mayfly-agent" | grep -m1 -E '^0\.[0-9.]+\+[0-9a-z.-]+$')
mkdir -p next/bin next/libexec/mayfly
other=$(printf '%s' "$build_id" | sed 's/.$/X/')
for f in bin/mayfly-agent libexec/mayfly/attestor libexec/mayfly/agent-front libexec/mayfly/resolver; do
	cp "$MAYFLY_BUILD/$f" "next/$f" && sed -i "s/${build_id//./\\.}/$other/g" "next/$f"
done
returns() {	# NAME: the watcher has its SVID again after the agent is back, and was told nothing final
	poll 60 more_ids watch.log "$before" && ok "$1-svid-again" || fail "$1-svid-again" "$(tail -3 watch.log)"
	! grep -E '^end (0|1) ' watch.log && ok "$1-neither-ok-nor-cancelled" || fail "$1-neither-ok-nor-cancelled" "$(grep '^end' watch.log)"
	[ "$(grep '^id ' watch.log | awk '{print $2}' | sort -u | wc -l)" = 1 ] && ok "$1-same-name" || fail "$1-same-name" "$(grep '^id ' watch.log)"
	is "$job" open && ok "$1-job-is-open" || fail "$1-job-is-open" "$(state_of "$job")"
	kill -0 "$watcher" 2>/dev/null && ok "$1-job-lives" || fail "$1-job-lives" "gone"
	echo "   E-15 $1: SVID again $(awk -v s="$started" '$1 == "id" && $3 > s { printf "%.0f", ($3 - s) * 1000; exit }' watch.log) ms after the agent's start"
}
before=$(ids watch.log)
agent_down
started=$(date +%s.%N)
mayfly-agent run --config agent.yaml >>agent.log 2>&1 </dev/null &
echo $! >agent.pid
returns restart
[ "$other" != "$build_id" ] && grep -aq "$other" next/bin/mayfly-agent || fail upgrade "no other build id was made"
before=$(ids watch.log)
agent_down
started=$(date +%s.%N)
"$PWD/next/bin/mayfly-agent" run --config agent.yaml >>agent2.log 2>&1 </dev/null &
echo $! >agent.pid
returns upgrade
# --- and killed, with all its roles; the machine's service manager starts it again ---
before=$(ids watch.log) old=$(cat agent.pid)
kill -KILL "$old"
poll 60 gone "$old"
started=$(date +%s.%N)
mayfly-agent run --config agent.yaml >>agent.log 2>&1 </dev/null &
echo $! >agent.pid
returns kill-9
[ "$(mayfly audit find --type lease.opened --job "$job" -o json | json 'len(d["items"])')" = 1 ] && ok one-lease-all-the-while || fail one-lease-all-the-while "$(mayfly audit find --type lease.opened --job "$job" -o json)"

# --- the wrapper dies: in a cgroup of its own the job goes on and ends with its last process ---
poll 60 agent_ready
kill -KILL $runner
poll 60 gone $runner

if kill -0 "$watcher" 2>/dev/null; then
	is "$job" open && ok wrapper-ends-no-job || fail wrapper-ends-no-job "$(state_of "$job")"
	kill -KILL "$watcher"
	poll 60 is "$job" ended && ok last-process-ends-it || fail last-process-ends-it "$(state_of "$job")"
else
	fail wrapper-ends-no-job "the wrapper's death killed the job"
fi
# A subreaper's death ends its tree: integration/plain_user.sh.
# --- revoked: the watcher is told so (E-15) ---
mayfly run --profile long -- sh -c "echo \"\$MAYFLY_JOB\" >job4; exec /usr/bin/python3 $MAYFLY_TOP/tests/lib/sh/watch_id.py $PWD/run/agent.sock" >watch4.log 2>&1 </dev/null &
fourth=$!
on_exit stop $fourth
poll 60 more_ids watch4.log 0
mayfly job end "$(cat job4)" --reason test >/dev/null
poll 60 grep -q '^end 7 .*no identity issued' watch4.log && ok revoked-is-told || fail revoked-is-told "$(cat watch4.log)"
kill -KILL "$(sed -n 's/^pid //p' watch4.log)"
# --- not entitled, then entitled: a watcher that tries again has its identity (E-15) ---
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	setpriv --reuid=4005 --regid=4005 --clear-groups /usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/watch_id.py" "$PWD/run/agent.sock" >watch5.log 2>&1 </dev/null &
	on_exit stop $!
	poll 60 grep -q '^end 7 ' watch5.log && ok not-entitled || fail not-entitled "$(tail -2 watch5.log)"
	echo '  - {id: later, effect: permit, profile: beta, owner: tests, review_by: 2099-01-01, nodes: any, when: {contains: [attested.unix.uid, "4005"]}}' >>policy.yaml
	broker_down
	broker_up
	poll 60 more_ids watch5.log 0 && ok entitled-again || fail entitled-again "$(tail -2 watch5.log)"
	! grep -E '^end (0|1) ' watch5.log && ok entitled-neither-ok-nor-cancelled || fail entitled-neither-ok-nor-cancelled "$(grep '^end' watch5.log)"
else
	skip entitled-again "needs root: a process of a user who has no rule"
fi
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
