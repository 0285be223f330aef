# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by every test script: results, a scratch directory, polling, ports, servers that are stopped by pid.
#
#   ok NAME                 fail NAME WHY           skip NAME WHY
#   check NAME CMD...       ok when the command succeeds; its output is the reason otherwise
#   refuses NAME CMD...     ok when it fails with an exit code below 124 (no crash, no hang)
#   scratch NAME            make and enter a directory of this test; removed at the end unless something failed
#   poll SECONDS CMD...     until the command succeeds; SECONDS is a hang limit, not an expectation
#   free_port               a free TCP port below the ephemeral range
#   on_exit CMD...          run at the end, last registered first
#   stop PID [SECONDS]      TERM, wait, KILL after a hang limit
#   finish                  the exit code of the script; call it last
set -u
MAYFLY_TOP=${MAYFLY_TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)}
MAYFLY_BUILD=${MAYFLY_BUILD:-$MAYFLY_TOP/build}
MAYFLY_BIN=${MAYFLY_BIN:-$MAYFLY_BUILD/bin}
export MAYFLY_TOP MAYFLY_BUILD MAYFLY_BIN
t_failed=0 t_exit=() t_scratch=

ok() { echo "ok $1"; }
fail() {
	t_failed=$((t_failed + 1))
	printf 'FAIL %s: %s\n' "$1" "$(printf '%s' "${2:-}" | tr '\n' ' ' | cut -c1-300)"
	[ "${#2}" -le 300 ] || printf '%s\n' "$2" >&2
}
skip() { echo "skipped $1: $2"; }
check() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then ok "$name"; else fail "$name" "exit code $? of $*: $out"; fi
}
refuses() {
	local name=$1 out rc=0
	shift
	out=$("$@" 2>&1) || rc=$?
	if [ $rc = 0 ]; then
		fail "$name" "was not refused: $*: $out"
	elif [ $rc -ge 124 ]; then
		fail "$name" "exit code $rc of $*: $out"
	else
		ok "$name"
	fi
}
# says NAME PATTERN CMD...: succeeds and its output matches the extended pattern
says() {
	local name=$1 pat=$2 out rc=0
	shift 2
	out=$("$@" 2>&1) || rc=$?
	if [ $rc = 0 ] && grep -qE -- "$pat" <<<"$out"; then ok "$name"; else
		fail "$name" "exit code $rc, wanted /$pat/ from $*: $out"
	fi
}
# What still runs in the scratch directory: a job outlives `mayfly run` and its broker, and would the test, too.
t_leftovers() {
	local p
	for p in /proc/[0-9]*; do
		case $(readlink "$p/cwd" 2>/dev/null) in
		"$t_scratch" | "$t_scratch"/*) echo "${p#/proc/}" ;;
		esac
	done
}
on_exit() { t_exit+=("$(printf '%q ' "$@")"); }
t_cleanup() {
	local rc=$? i
	trap - EXIT
	for ((i = ${#t_exit[@]} - 1; i >= 0; i--)); do eval "${t_exit[i]}" || true; done
	if [ -n "$t_scratch" ]; then
		cd /
		# shellcheck disable=SC2046 # process ids
		kill -KILL $(t_leftovers) 2>/dev/null
		if [ $t_failed = 0 ] && [ $rc = 0 ] && [ -z "${MF_KEEP:-}" ]; then
			rm -rf "$t_scratch"
		else
			echo "kept: $t_scratch" >&2
		fi
	fi
	exit $rc
}
trap t_cleanup EXIT
trap 'exit 130' INT TERM
scratch() {
	t_scratch=$(mktemp -d "${TMPDIR:-/tmp}/mayfly-$1.XXXXXX") || exit 1
	chmod 755 "$t_scratch"	# other users' servers must reach their part of it
	cd "$t_scratch" || exit 1
}
poll() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "gave up waiting for: $*" >&2; return 1; }
		sleep 0.05
	done
}
free_port() {
	local p _
	for _ in $(seq 200); do
		p=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; then
			echo "$p"
			return 0
		fi
	done
	return 1
}
gone() { ! kill -0 "$1" 2>/dev/null; }
stop() {
	kill -TERM "$1" 2>/dev/null || return 0
	poll "${2:-60}" gone "$1" || kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
	return 0
}
need() {	# need CMD...: skip the whole script when one is missing
	local c
	for c in "$@"; do
		command -v "$c" >/dev/null || [ -x "$c" ] || {
			skip all "$c is not installed (deploy/deps.sh)"
			exit 0
		}
	done
}
finish() { [ $t_failed = 0 ] && exit 0 || exit 1; }
