#!/bin/bash
# kill -9 of a restore at every step that changes something, and a disk that fails or is full at every step: the state that is
# there is the old one or the new one, whole, and what was left beside it is named or taken away by the next try.
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need strace
scratch restore_kill9
pair_init wal_segment 1MiB
strace -o /dev/null true 2>/dev/null || { skip all "strace may not trace here"; exit 0; }
check backup mayfly-broker backup --config broker.yaml --to backup
cp broker/log/checkpoint old-head
cp -a broker old

# Where a step is: each call that makes, writes through, moves or removes. (strace counts each of them by itself.)
calls="fsync fdatasync renameat2 renameat rename mkdirat mkdir unlinkat unlink rmdir"
stopped_at() {	# HOW CALL N: 0 when the restore did not come to its end because of its Nth such call
	strace -qq -f -o trace.log -e trace="$2" -e inject="$2":"$1":when="$3" \
		mayfly-broker restore --config broker.yaml --force --from backup >restore.log 2>&1
	case $? in
	137) [ "$1" = signal=KILL ] ;;
	1) [ "$1" != signal=KILL ] ;;
	*) false ;;
	esac
}
whole() {
	local head
	[ -f broker/FORMAT ] || { echo "no FORMAT"; return 1; }
	mayfly audit verify --log broker/log -o json >verify.json 2>/dev/null || { echo "$(cat verify.json)"; return 1; }
	head=$(json 'd["items"][0]["signed_records"]' <verify.json)
	case $head in
	1) cmp -s broker/log/checkpoint old-head ;;
	2) cmp -s broker/keys/log.key old/keys/log.key && [ -d broker/db ] && [ -f "broker/log/checkpoint-0000000000000001" ] ;;
	*) false ;;
	esac || { echo "neither the old state nor the new one: $head records"; return 1; }
	echo "$head" >>seen
}
again() { rm -rf broker broker.restoring broker.before-restore-*; cp -a old broker; }
all_steps() {	# HOW CALL...
	local how=$1 call n out
	shift
	for call in "$@"; do
		n=1
		while stopped_at "$how" "$call" $n; do
			out=$(whole) || { echo "after $call number $n ($(tail -1 trace.log)): $out"; return 1; }
			echo "$call $n" >>steps
			again
			n=$((n + 1))
			[ $n -lt 200 ] || { echo "no end after $n of $call"; return 1; }
		done
		whole || { echo "after $call: $(tail -1 restore.log)"; return 1; }
		again
	done
}
# shellcheck disable=SC2086 # words
check killed-at-every-step all_steps signal=KILL $calls
[ "$(wc -l <steps)" -gt 40 ] && ok "steps ($(wc -l <steps))" || fail steps "$(cut -d' ' -f1 steps | sort | uniq -c)"
# A disk that fails, or is full, at every step: an error that says so, and the same.
check failed-at-every-step all_steps error=EIO fsync fdatasync mkdirat mkdir
check full-at-every-step all_steps error=ENOSPC write pwrite64
check the-last-one mayfly-broker restore --config broker.yaml --force --from backup
check the-last-one-is-whole whole
[ "$(sort -u seen | tr '\n' ' ')" = "1 2 " ] && ok both-were-seen || fail both-were-seen "$(sort seen | uniq -c)"

# What a killed one left: half of a new state is taken away, a whole one is not.
again
stopped_at signal=KILL fsync 5
[ -d broker.restoring ] && ok left-over || fail left-over "$(ls)"
check taken-away mayfly-broker restore --config broker.yaml --force --from backup
[ ! -e broker.restoring ] && ok nothing-left || fail nothing-left "$(ls)"
cp -a old broker.restoring
says a-whole-one-is-named 'Move it away' sh -c 'mayfly-broker restore --config broker.yaml --force --from backup 2>&1; true'
check it-is-still-there test -f broker.restoring/FORMAT
finish
