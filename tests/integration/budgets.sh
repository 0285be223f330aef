#!/bin/bash
# Instructions of the broker's and the agent's paths (callgrind), against a budget of 10 %, or what its line says: counts do not know how
# busy a machine is. They are of one compiler and one libcrypto, so elsewhere this is skipped. After a change that is meant:
# MF_BUDGETS_NEW=1 prints the table anew. About 30 s.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
dev=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}
table=$MAYFLY_TOP/tests/integration/budgets.tsv
command -v valgrind >/dev/null || { skip all "valgrind is not installed (apt-get install valgrind)"; exit 0; }
[ -x "$dev/tests/bench_budget_broker" ] || { skip all "bench_budget_broker is not built"; exit 0; }
made_by="$(uname -m) gcc-$(gcc -dumpversion 2>/dev/null) openssl-$(openssl version 2>/dev/null | awk '{ print $2 }' | cut -d. -f1-2)"
wanted=$(sed -n 's/^# made by: //p' "$table")
[ "$made_by" = "$wanted" ] || [ -n "${MF_BUDGETS_NEW:-}" ] || { skip all "the budgets are of $wanted, this is $made_by"; exit 0; }
scratch budgets
count() { # NAME TIMES PROGRAM ARG...: instructions for each, in $got. No subshell: what fails must be counted
	local name=$1 n=$2
	shift 2
	local rc=0
	timeout -k 5 300 valgrind --tool=callgrind '--toggle-collect=measured*' --callgrind-out-file="$PWD/$name.out" "$@" >"$name.log" 2>&1 </dev/null || rc=$?
	[ $rc != 77 ] || { skip "$name" "$(grep -v '^[-=]' "$name.log")"; return 1; }
	[ $rc = 0 ] || { fail "$name" "$(tail -3 "$name.log")"; return 1; }
	got=$(awk -v n="$n" '/Collected :/ { printf "%d\n", $4 / n }' "$name.log")
}
[ -z "${MF_BUDGETS_NEW:-}" ] || printf '# made by: %s\n' "$made_by"
while read -r name program n; do
	count "$name" "$n" "$dev/tests/$program" "${name/decision/count}" "$n" || continue
	[ -z "${MF_BUDGETS_NEW:-}" ] || { printf '%s\t%s\n' "$name" "$got"; continue; }
	awk -v n="$name" -v got="$got" '$1 == n { found = 1; p = $3 == "" ? 10 : $3; if (got < $2 * (1 - p / 100) || got > $2 * (1 + p / 100)) { print $2 " give or take " p " %"; exit 1 } } END { if (!found) exit 1 }' "$table" >budget &&
		ok "$name" || fail "$name" "$got instructions, the budget is $(cat budget): find out why (callgrind_annotate), or change tests/integration/budgets.tsv and say why"
done <<'T'
mint bench_budget_broker 50
jwt bench_budget_mint 100
cloud bench_budget_mint 50
attach bench_budget_broker 100
renew bench_budget_broker 100
decision bench_policy 200
fetch bench_budget_front 50
fetch-warm bench_budget_front 100
attest bench_budget_attestor 50
T
finish
