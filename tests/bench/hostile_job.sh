#!/bin/bash
# A job's fetches (each on a new connection) beside a hostile job on the same node, and the same job's on the idle node: p50 and p99 of 300.
# What is aimed at: p99 within ten times the idle figure. Hostile and honest processes share the machine's cores.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
. "$MAYFLY_TOP/tests/lib/sh/hostile.sh"
need openssl curl setpriv
[ "$(id -u)" = 0 ] || { skip all "needs root: it makes processes of several users"; exit 0; }
scratch hostile_bench
hostile_init
other idle 300
idle=$(sed 's/.* p99 //' other-idle)
echo "$(nproc) cores; idle: $(cat other-idle)"
for who in entitled stranger; do
	for how in "connects 10000" "slow 200" "forks 100" "floods 300"; do
		name=$who-${how%% *}
		# shellcheck disable=SC2086 # a word and a number
		hostile "$who" "$name" $how >/dev/null
		other "$name" 300
		hostile_stop "$name"
		echo "$name: $(cat "other-$name") ($(awk -v a="$(sed 's/.* p99 //' "other-$name")" -v b="$idle" 'BEGIN { printf "%.1f", a / b }') times idle)"
	done
done
agent_down
broker_down
finish
