#!/bin/bash
# Everything as a plain user: `mayfly dev` and `mayfly run` without a right to anything. It works with weaker evidence, and
# says so: which invariants are not claimed, and the job's grade.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
need openssl setpriv
scratch plain
if [ "$(id -u)" = 0 ]; then
	mkdir -m 700 home
	chown 65534:65534 home
	cd home || exit 1
	drop=(setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs)
	[ "$("${drop[@]}" sh -c "[ -x $MAYFLY_BIN/mayfly ] && echo yes")" = yes ] || {
		skip all "uid 65534 may not run $MAYFLY_BIN/mayfly: a directory above it is closed"
		exit 0
	}
else
	drop=()
fi
as() { "${drop[@]}" env HOME="$PWD" "$@"; }
unset XDG_RUNTIME_DIR
"${drop[@]}" env HOME="$PWD" mayfly dev --state "$PWD/state" >dev.out 2>dev.log </dev/null &
dev_pid=$!
on_exit dev_kill
poll 120 dev_up && grep -qx ready dev.out && ok starts || { fail starts "$(tail -5 dev.log)"; finish; }
eval "$(grep '^export ' dev.out)"

# --- what it says about itself ---
says says-it-is-for-no-real-work 'NOT for real work' cat dev.log
says says-what-is-not-claimed 'Not claimed' cat dev.log
says names-the-invariants 'invariants 4 to 6' cat dev.log
says doctor-says-so 'grade tree' as sh -c 'mayfly doctor; true'
says state-is-its-owners '^700 ' stat -c '%a %n' state

# --- a job: found by the chain of parents ---
as mayfly run --profile dev -- sh -c 'mayfly whoami -o json >who.json && mayfly svid fetch --write id >/dev/null && echo "$MAYFLY_JOB" >job' \
	>run.log 2>&1 && ok job || fail job "$(cat run.log)"
says job-is-told 'weaker evidence about this job' cat run.log
says grade '"grade": ?"tree"' cat who.json
check certificate openssl x509 -in id/svid.pem -noout
[ "$(stat -c %a id/key.pem)" = 600 ] && ok key-is-its-owners || fail key-is-its-owners "$(stat -c %a id/key.pem)"
says grade-is-recorded 'tree' mayfly audit find --job "$(cat job)" -o json
state_of() { as mayfly job show "$1" -o json | json 'd["items"][0]["state"]'; }
is_over() { [ "$(state_of "$1")" = ended ]; }
poll 60 is_over "$(cat job)" && ok ends-with-its-command || fail ends-with-its-command "$(state_of "$(cat job)")"
rc=0; as mayfly run --profile dev -- sh -c 'exit 7' >/dev/null 2>&1 || rc=$?
[ $rc = 7 ] && ok exit-code || fail exit-code "$rc"

# --- outside the tree there is nothing, though it is the same user ---
refuses same-user-outside as mayfly svid fetch
says same-user-outside-text 'no identity issued' sh -c 'mayfly svid fetch 2>&1; true'

# --- daemons of the job are the job, and an empty tree is its end ---
as mayfly run --profile dev -- sh -c 'echo "$MAYFLY_JOB" >job2
	setsid sh -c "until [ -e go ]; do sleep 0.05; done; mayfly svid fetch -o json >late.json 2>late.err; until [ -e gone ]; do sleep 0.05; done" >/dev/null 2>&1 &' \
	>run2.log 2>&1 </dev/null &
runner=$!
on_exit stop $runner
poll 60 test -s job2
[ "$(state_of "$(cat job2)")" = open ] && ok open-while-a-daemon-lives || fail open-while-a-daemon-lives "$(state_of "$(cat job2)")"
as touch go
poll 60 test -s late.json && ok a-daemon-is-of-the-job || fail a-daemon-is-of-the-job "$(cat late.err run2.log)"
as touch gone
poll 60 is_over "$(cat job2)" && ok ends-with-the-empty-tree || fail ends-with-the-empty-tree "$(state_of "$(cat job2)")"
poll 60 gone $runner && ok runner-ends || fail runner-ends "still there"

# --- kill -9 of the runner ends the job ---
"${drop[@]}" env HOME="$PWD" mayfly run --profile dev -- sh -c 'echo $$ >pid; echo "$MAYFLY_JOB" >job3; exec mayfly svid watch' >watch.log 2>&1 </dev/null &
runner=$!
on_exit stop $runner
poll 60 grep -q spiffe:// watch.log && ok watches || fail watches "$(cat watch.log)"
kill -KILL $runner
poll 60 is_over "$(cat job3)" && ok kill-9-of-the-runner-ends-it || fail kill-9-of-the-runner-ends-it "$(state_of "$(cat job3)")"
poll 60 gone "$(cat pid)" && ok its-processes-are-gone || {
	# What the runner left behind has no identity any more.
	grep -qi 'no identity issued\|ended' watch.log && ok its-stream-ended || fail its-stream-ended "$(cat watch.log)"
	kill -TERM "$(cat pid)" 2>/dev/null
}
says log-verifies 'ok|good|verified' mayfly audit verify
dev_stop
finish
