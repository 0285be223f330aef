#!/bin/bash
# Reference and man pages say what the programs' tables say, and man can read them.
. "$(dirname "$0")/../lib/sh/common.sh"
if [ ! -x "$MAYFLY_TOP/build-dev/tests/mf_tables" ]; then
	skip pages 'build-dev/tests/mf_tables is not built (preset dev)'
else
	check pages "$MAYFLY_TOP/scripts/reference.py" --build build-dev --check
fi
if command -v groff >/dev/null; then
	for f in "$MAYFLY_TOP"/docs/man/*.[158]; do
		out=$(groff -man -Tutf8 -ww "$f" 2>&1 >/dev/null)
		if [ -z "$out" ]; then ok "man_$(basename "$f")"; else fail "man_$(basename "$f")" "$out"; fi
	done
else
	skip man 'groff is not installed'
fi
finish
