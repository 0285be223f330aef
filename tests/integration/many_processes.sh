#!/bin/bash
# A job of many processes is one job: ranks, loaders, daemons, orphans and programs started anew all get the same identity, and it
# ends with the last of them. As `mayfly run`, and as a systemd unit (a directory made by hand) with cgroups of its own below.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch many
{ echo "mayfly_policy: 1"; echo "profiles:"; } >policy.yaml
for p in long unit; do
	cat >>policy.yaml <<-E
	  $p:
	    purpose: test
	    owner: tests
	    max_job: 1h
	    drain: 0s
	    identities:
	      - {path: "/{tenant}/$p/job/{job}", hint: job, x509_ttl: 20m}
	    on_end: deny
	E
done
cat >>policy.yaml <<E
rules:
  - {id: long, effect: permit, profile: long, owner: tests, review_by: 2099-01-01, nodes: any, when: {has: [attested.mayfly.run]}}
  - {id: unit, effect: permit, profile: unit, owner: tests, review_by: 2099-01-01, nodes: any,
     when: {contains: [attested.systemd.unit, mf$$-ranks.service]}}
E
pair_init
relay_up
broker_up
agent_up
ranks=("$MAYFLY_TOP/tests/lib/sh/ranks.py" "$PWD/run/agent.sock")
state_of() { mayfly job show "$1" -o json | json 'd["items"][0]["state"]'; }
is() { [ "$(state_of "$1")" = "$2" ]; }
# one NAME DIR RUNNER: after the tree ran in DIR, its leader is gone
one() {
	local names=16 job
	all() { [ "$(find "$2" -maxdepth 1 -type f ! -name '.*' | wc -l)" -ge $names ]; }
	poll 60 all "$1" "$2" || fail "$1-asks" "$(ls "$2")"
	poll 60 grep -q spiffe "$2/exec"
	job=$(head -1 "$2/leader"); job=${job##*/}
	[ "$(cat "$2"/leader "$2"/rank-* "$2"/loader-* "$2/orphan" "$2/daemon" | sort -u | wc -l)" = 1 ] && grep -q "$job" "$2/exec" && [[ $job == j-* ]] &&
		ok "$1-one-identity" || fail "$1-one-identity" "$(head -50 "$2"/*)"
	poll 60 only_daemon "$2" || fail "$1-leader-ends" "the tree does not end"
	is "$job" open && ok "$1-open-while-the-daemon-lives" || fail "$1-open-while-the-daemon-lives" "$(state_of "$job")"
	touch "$2/release"
	poll 60 is "$job" ended && ok "$1-ends-with-the-last" || fail "$1-ends-with-the-last" "$(state_of "$job")"
	[ "$(mayfly audit find --type lease.opened --job "$job" -o json | json 'len(d["items"])')" = 1 ] && ok "$1-one-lease" || fail "$1-one-lease" "more than one"
}
only_daemon() { [ "$(pgrep -fc "ranks.py .*$1\$")" = 1 ]; }
mkdir run1
mayfly run --profile long -- /usr/bin/python3 "${ranks[@]}" "$PWD/run1" </dev/null >run1.log 2>&1 &
on_exit stop $!
one run "$PWD/run1"

top=$(sed -n 's/^[^ ]* \([^ ]*\) cgroup2 .*/\1/p' /proc/mounts | head -1)
if [ "$(id -u)" != 0 ] || [ ! -w "${top:-/nowhere}" ]; then
	skip unit "needs root and a cgroup2 tree"
else
	unit=$top/system.slice/mf$$-ranks.service
	mkdir -p "$unit/inner" unit1
	on_exit rmdir "$unit/inner" "$unit" "$top/system.slice"
	# The unit puts its work into a cgroup of its own below: still the unit.
	setsid sh -c 'echo $$ >"$1/inner/cgroup.procs"; shift; exec "$@"' - "$unit" /usr/bin/python3 "${ranks[@]}" "$PWD/unit1" </dev/null >unit1.log 2>&1 &
	one unit "$PWD/unit1"
fi
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
