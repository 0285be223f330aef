#!/bin/bash
# All tests, or the named suites. The last line is `N passed, N failed, N skipped`.
#
#   tests/run.sh [SUITE...]
#
#   lint         house rules and formatting            clang        the tree builds warning-free with clang too
#   unit         one program per module                asan, tsan   unit, fault and corpus under sanitizers
#   fault        failing allocations and system calls  sim          many nodes and jobs in one process
#   fuzz         corpus replay, then a while of fuzzing of every parser (MF_FUZZ_SECONDS each, 5)
#   cloud        a real object store with its token    integration  the real programs, confined
#                service, and a real OAuth server      interop      with SPIFFE libraries and servers of others
#   bench        figures, never asserted: not part of the default
#
# A suite of scripts (tests/SUITE/*.sh) is told to run one of them by SUITE/NAME, for example
# `tests/run.sh integration/docs`. Logs: build/test-logs/. Missing packages are installed by deploy/deps.sh,
# which says what and how much before; MF_NO_DEPS=1 leaves the machine as it is.
set -u
cd "$(dirname "$0")/.." || exit 2
top=$PWD
export MAYFLY_TOP=$top MAYFLY_BUILD=$top/build MAYFLY_BIN=$top/build/bin MAYFLY_BUILD_DEV=$top/build-dev
logs=$top/build/test-logs
jobs=$(nproc)
default='lint unit fault fuzz clang asan tsan sim cloud integration interop'

suites=()
for a in "$@"; do
	case $a in
	lint | unit | fault | fuzz | clang | asan | tsan | sim | cloud | integration | interop | bench) suites+=("$a") ;;
	sim/* | cloud/* | integration/* | interop/* | bench/*)
		[ -f "tests/$a.sh" ] || { echo "run.sh: there is no tests/$a.sh" >&2; exit 2; }
		suites+=("$a")
		;;
	-h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "run.sh: unknown suite '$a'; there are: $default bench" >&2; exit 2 ;;
	esac
done
# shellcheck disable=SC2206 # a word list
[ ${#suites[@]} -gt 0 ] || suites=($default)
if [ -z "${MF_NO_DEPS:-}" ]; then
	deploy/deps.sh || echo "run.sh: going on with what is there" >&2
	case " ${suites[*]}" in
	*' cloud'*) deploy/deps.sh cloud sdks || echo "run.sh: going on with what is there: the suite cloud says what it misses" >&2 ;;
	esac
fi
mkdir -p "$logs"
results=$logs/results
: >"$results"

# note ok|FAIL|skipped SUITE/NAME [WHY]: one result
note() {
	printf '%s %s%s\n' "$1" "$2" "${3:+: $3}" >>"$results"
	[ "$1" = ok ] || printf '%s %s%s\n' "$1" "$2" "${3:+: $3}"
}

# build PRESET SUITE [ARG...]: configure and build; on failure one FAIL of that suite
built=' '
build() {
	local preset=$1 suite=$2 log=$logs/build-$1.log
	shift 2
	case $built in
	*" $preset:ok "*) return 0 ;;
	*" $preset:bad "*) note FAIL "$suite/build" "preset $preset does not build (above)"; return 1 ;;
	esac
	echo "   building preset $preset"
	if cmake --preset "$preset" "$@" >"$log" 2>&1 && cmake --build --preset "$preset" -j "$jobs" >>"$log" 2>&1; then
		built="$built$preset:ok "
		return 0
	fi
	grep -E 'error|FAILED|undefined|CMake Error' "$log" | head -20
	built="$built$preset:bad "
	note FAIL "$suite/build" "preset $preset does not build: $log"
	return 1
}

# programs: what integration, interop, sim and bench run is the release build, with the release confinement
programs() { build release "$1" -DMF_TESTS=OFF; }

# ctests SUITE DIR LABEL: run ctest, turn its output into results, one for each cmocka case
ctests() {
	local suite=$1 dir=$2 label=$3 log=$logs/$1-$3.log
	CMOCKA_MESSAGE_OUTPUT=TAP ctest --test-dir "$dir" -L "^$label\$" -j "$jobs" -V --no-tests=ignore \
	    >"$log" 2>&1 </dev/null
	local rc=$?
	awk -v suite="$suite" -f tests/lib/sh/ctest.awk "$log" >"$log.results"
	if [ $rc != 0 ] && ! grep -q '^FAIL' "$log.results"; then
		echo "FAIL $suite/ctest: exit code $rc" >>"$log.results"
	fi
	cat "$log.results" >>"$results"
	if grep '^FAIL' "$log.results"; then
		grep -E '^[0-9]+: ' "$log" | grep -E -B2 -A12 'not ok|Error|ERROR|Sanitizer|Assert|fault' | head -60
		echo "   the whole output: $log"
	fi
	grep '^skipped' "$log.results"
	return 0
}

# script SUITE FILE: run one script; it prints `ok NAME`, `FAIL NAME: why`, `skipped NAME: why`
script() {
	local suite=$1 file=$2 name log rc
	name=$(basename "$file" .sh)
	log=$logs/$suite-$name.log
	timeout -k 30 "${MF_SCRIPT_LIMIT:-900}" "$file" >"$log" 2>"$log.err" </dev/null
	rc=$?
	awk -v p="$suite/$name" '
		/^(ok|FAIL|skipped) / { w = $1; sub(/^[^ ]+ /, ""); print w " " p "/" $0; next }' "$log" >"$log.results"
	if [ $rc = 124 ] || [ $rc = 137 ]; then
		echo "FAIL $suite/$name: still running after ${MF_SCRIPT_LIMIT:-900} s" >>"$log.results"
	elif [ $rc != 0 ] && ! grep -q '^FAIL' "$log.results"; then
		echo "FAIL $suite/$name: exit code $rc, and no line says why" >>"$log.results"
	elif [ ! -s "$log.results" ]; then
		echo "FAIL $suite/$name: ran nothing" >>"$log.results"
	fi
	cat "$log.results" >>"$results"
	grep -E '^(FAIL|skipped)' "$log.results"
	if grep -q '^FAIL' "$log.results"; then
		grep -v '^ok ' "$log" | tail -15 | sed 's/^/   | /'
		tail -25 "$log.err" | sed 's/^/   ! /'
		echo "   the whole output: $log, $log.err"
	elif [ "$suite" = bench ]; then
		grep -vE '^(ok|skipped) ' "$log"
	fi
	return 0
}

scripts() {	# SUITE: all scripts of a suite
	local f any=
	for f in "tests/$1"/*.sh; do
		[ -x "$f" ] || continue
		any=1
		script "$1" "$f"
	done
	[ -n "$any" ] || echo "   no scripts in tests/$1"
}

run_lint() {
	if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		note skipped lint/tree "not a git work tree: the files are not known"
		return
	fi
	if scripts/lint.sh --build build-dev >"$logs/lint.log" 2>&1; then
		note ok lint/tree
	else
		grep -v ': warning: ' "$logs/lint.log" | head -40
		note FAIL lint/tree "a rule is broken: scripts/lint.sh"
	fi
	script lint tests/lib/sh/lint_selftest.sh
}

run_fuzz() {
	build dev fuzz && ctests fuzz build-dev fuzz
	if ! command -v clang >/dev/null; then
		note skipped fuzz/run "clang is not installed (deploy/deps.sh test)"
		return
	fi
	build fuzz fuzz || return
	local seconds=${MF_FUZZ_SECONDS:-5} f
	[ -d build-fuzz/fuzz ] || { echo '   no fuzz targets yet'; return; }
	printf '%s\n' build-fuzz/fuzz/fuzz_* | xargs -r -P "$jobs" -n 1 tests/lib/sh/fuzz_one.sh "$logs" "$seconds"
	for f in build-fuzz/fuzz/fuzz_*; do
		[ -x "$f" ] || continue
		f=$logs/fuzz-${f##*/fuzz_}.result
		cat "$f" >>"$results"
		grep '^FAIL' "$f"
	done
	return 0
}

run_sanitizer() {
	build "$1" "$1" || return
	local l
	for l in unit fault fuzz; do ctests "$1" "build-$1" "$l"; done
}

started=$SECONDS
for s in "${suites[@]}"; do
	echo "== $s"
	t=$SECONDS
	case $s in
	lint) run_lint ;;
	unit | fault) build dev "$s" && ctests "$s" build-dev "$s" ;;
	fuzz) run_fuzz ;;
	clang)
		if ! command -v clang >/dev/null; then
			note skipped clang/build "clang is not installed (deploy/deps.sh test)"
		elif build clang clang; then
			note ok clang/build
		fi
		;;
	asan | tsan) run_sanitizer "$s" ;;
	sim) build dev sim && programs sim && { ctests sim build-dev sim; scripts sim; } ;;
	bench) build dev bench && programs bench && scripts bench ;;
	integration)
		# programs that act on the kernel: one at a time
		build dev "$s" && jobs=1 ctests "$s" build-dev "$s"
		programs "$s" && scripts "$s"
		;;
	cloud) build dev "$s" && programs "$s" && scripts "$s" ;;	# some ask by a tool of the tests
	interop) programs "$s" && scripts "$s" ;;
	*/*) build dev "${s%%/*}" && programs "${s%%/*}" && script "${s%%/*}" "tests/$s.sh" ;;
	esac
	echo "   $(grep -c "^ok ${s%%/*}/" "$results") passed, $(grep -c "^FAIL ${s%%/*}/" "$results") failed," \
	    "$(grep -c "^skipped ${s%%/*}/" "$results") skipped, $((SECONDS - t)) s"
done

echo "== all: $((SECONDS - started)) s"
grep '^skipped' "$results"
grep '^FAIL' "$results"
passed=$(grep -c '^ok ' "$results") failed=$(grep -c '^FAIL ' "$results") skipped=$(grep -c '^skipped ' "$results")
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
