#!/bin/sh
# House rules that no compiler checks: layering, names, lengths, banned calls, formatting. A few seconds.
#
#   scripts/lint.sh [--build DIR] [--no-format]
#
# DIR (default: build-dev, then build) is searched for built libraries and programs, whose symbols and
# needed libraries are checked as well. Exit code 1 when a rule is broken; scripts/format.sh cures formatting.
set -eu
cd "$(dirname "$0")/.."
build='' format=1
while [ $# -gt 0 ]; do
	case $1 in
	--build) build=$2; shift ;;
	--no-format) format=0 ;;
	*) echo "lint: unknown argument $1 (see the head of scripts/lint.sh)" >&2; exit 2 ;;
	esac
	shift
done
if [ -z "$build" ]; then
	for d in build-dev build; do
		if [ -d "$d" ]; then build=$d; break; fi
	done
fi
rc=0
if [ $format = 1 ]; then
	if command -v clang-format >/dev/null; then
		scripts/format.sh --check || rc=1
	else
		echo "lint: clang-format is not installed: formatting not checked" >&2
	fi
fi
if command -v shellcheck >/dev/null; then
	# shellcheck disable=SC2046 # our file names have no blanks
	shellcheck -S warning -e SC2034,SC2154,SC2120 $(git ls-files -co --exclude-standard -- '*.sh' .ci/run |
	    while read -r f; do [ ! -f "$f" ] || echo "$f"; done) || rc=1
else
	echo "lint: shellcheck is not installed: scripts not checked" >&2
fi
py=/usr/bin/python3
[ -x $py ] || py=python3
# Needs the programs of this very tree: a build without them cannot say.
if [ -n "$build" ] && [ -x "$build/tests/mf_tables" ]; then
	$py scripts/reference.py --build "$build" --check >&2 || rc=1
fi
$py scripts/conformance.py --check || rc=1
$py scripts/lint.py ${build:+--build "$build"} || rc=1
exit $rc
