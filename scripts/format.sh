#!/bin/sh
# Format all C of the tree with .clang-format; with --check only say what would change (exit code 1).
set -eu
cd "$(dirname "$0")/.."
mode=-i
[ "${1-}" != --check ] || mode='--dry-run -Werror'
files=$(git ls-files -co --exclude-standard -- '*.c' '*.h' | while read -r f; do [ ! -f "$f" ] || echo "$f"; done)
[ -n "$files" ] || exit 0
# shellcheck disable=SC2086 # $mode is one or two words; our file names have no blanks
if ! out=$(echo "$files" | xargs -P "$(nproc)" -n 12 clang-format --style=file $mode 2>&1); then
	echo "$out" | sed -n 's/^\([^ :]*:[0-9]*\):[0-9]*: error: code should be clang-formatted.*/\1: format: run scripts\/format.sh/p' |
	    sort -u -t: -k1,1
	exit 1
fi
