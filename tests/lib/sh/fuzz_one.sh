#!/bin/sh
# fuzz_one.sh LOGDIR SECONDS PROGRAM: fuzz one parser for a while, starting from its corpus; one result line.
# The seed is fixed, so that a failure is the change's and not the day's; MF_FUZZ_SEED=0 takes a new one each time.
set -u
name=${3##*/fuzz_}
work=$1/fuzz-work/$name log=$1/fuzz-$name.log
mkdir -p "$work"
if "$3" -seed="${MF_FUZZ_SEED:-1}" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$1/crash-$name-" "$work" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
	echo "ok fuzz/run/$name"
else
	echo "FAIL fuzz/run/$name: $(grep -m1 -E 'ERROR:|SUMMARY|runtime error' "$log"): $log"
fi >"$1/fuzz-$name.result"
