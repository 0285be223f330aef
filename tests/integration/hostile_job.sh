#!/bin/bash
# A job that means harm, beside one that does not: 10,000 connects, readers that never read, processes that ask and die so that
# their numbers come round, floods; by a user that may have an identity, by one that may have none, and by another job of the same
# user. The other job is always served, nobody gets a name that is not theirs, and descriptors and memory come back. (Forged metadata, passed descriptors and reused numbers one by
# one: foreign_identity.sh; streams by the thousand: crowd.sh; frames: h2_abuse.sh.)
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
. "$MAYFLY_TOP/tests/lib/sh/hostile.sh"
need openssl curl setpriv
[ "$(id -u)" = 0 ] || { skip all "needs root: it makes processes of several users"; exit 0; }
scratch hostile
hostile_init
fds() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
anonymous() { awk '/^Anonymous:/ { n += $2 } END { print n }' "/proc/$1/smaps_rollup"; }
few() { [ "$(fds "$front")" -le $((had + 2)) ]; }
front=$(role_pid agent-front) attestor=$(role_pid attestor)
had=$(fds "$front")
for who in entitled stranger; do
	for how in "connects 10000" "slow 200" "forks 100" "floods 300"; do
		name=$who-${how%% *}
		# shellcheck disable=SC2086 # a word and a number
		hostile "$who" "$name" $how
		at_most=$(fds "$front")
		other "$name"
		hostile_stop "$name"
		[ "$at_most" -le $((had + 1100)) ] && ok "$name-descriptors ($at_most)" || fail "$name-descriptors" "$at_most"
		poll 60 few && ok "$name-given-back" || fail "$name-given-back" "$had before, $(fds "$front") after"
		echo "   $name: $(tr '\n' ' ' <"$name.out"); another job: $(cat "other-$name")"
	done
	[ $who = stranger ] || first=$(anonymous "$front")
done
# The entitled user's storms had grown it to its size; the stranger's on top take nothing that lasts.
# A listener gives memory back two seconds after a connection has ended: the first figure may be of after that.
slim() { last=$(anonymous "$front") && [ "$last" -le $((first + 4096)) ]; }
poll 60 slim && ok "memory ($first KB, then $last)" || fail memory "$first KB, then $last"
# A user's own other job, in a run of its own and with every place of that user taken: idle, then by streams that are served.
for how in "connects 2000" "streams 2000"; do
	name=rival-${how%% *}
	# shellcheck disable=SC2086 # a word and a number
	hostile rival "$name" $how
	other "$name"
	hostile_stop "$name"
	poll 60 few && ok "$name-given-back" || fail "$name-given-back" "$had before, $(fds "$front") after"
	echo "   $name: $(tr '\n' ' ' <"$name.out"); another job: $(cat "other-$name")"
done
[ "$front $attestor" = "$(role_pid agent-front) $(role_pid attestor)" ] && ok no-role-died || fail no-role-died "others run now"
# Whom was anything issued to? The victim's job, and the entitled user's own processes.
mayfly audit find --type svid.issued -o json >issued.json
/usr/bin/python3 - issued.json >wrong.txt <<'P'
import re
import sys
for name in sorted(set(re.findall(r"spiffe://[^\"\\]*", open(sys.argv[1]).read()))):
    if not re.search(r"/mayfly/|/victim/job/|/plain/job/", name):
        print(name)
P
[ -s issued.json ] && [ ! -s wrong.txt ] && ok nothing-else-was-issued || fail nothing-else-was-issued "$(cat wrong.txt)"
! grep -q 'answers [1-9]' stranger-forks.out && ok no-name-for-a-stranger || fail no-name-for-a-stranger "$(cat stranger-forks.out)"
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
