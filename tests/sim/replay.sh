#!/bin/bash
# A seed is a history: the same to the last record, however often it is lived and whoever lived before.
set -u
sim=${MAYFLY_BUILD_DEV:?}/tests/sim
[ -x "$sim" ] || { echo "FAIL replay: $sim is not built"; exit 1; }
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT

for seed in 3 88 1000003; do
	"$sim" --seed "$seed" --trace >"$dir/1"
	setarch -R "$sim" --seed "$seed" --trace >"$dir/2" 2>/dev/null || "$sim" --seed "$seed" --trace >"$dir/2"
	if [ "$(wc -l <"$dir/1")" -lt 100 ]; then
		echo "FAIL replay_$seed: a history of $(wc -l <"$dir/1") lines"
	elif cmp -s "$dir/1" "$dir/2"; then
		echo "ok replay_$seed"
	else
		echo "FAIL replay_$seed: two lives of one seed differ: $(diff "$dir/1" "$dir/2" | head -3 | tr '\n' ' ')"
	fi
done
