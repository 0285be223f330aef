#!/bin/bash
# h2spec against lib/rpc/h2, by a small server around it (tests/tools/h2spec_server.c). All cases must pass: there
# is no list of accepted failures. h2spec is the newest version that the Go module proxy serves (2.2.1; 146 cases
# with the strict ones).
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
server=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}/tests/h2spec_server
need "$server"
h2spec=$(go_program "$MAYFLY_TOP/tests/integration/h2spec" mfh2spec) || { skip all "$(toolchain_why)"; exit 0; }
scratch h2spec
port=$(free_port) || { fail port "no free port"; finish; }
"$server" "$port" >server.out 2>&1 &
pid=$!
on_exit stop $pid
poll 60 grep -q ready server.out || fail start "the server does not start: $(cat server.out)"

rc=0
"$h2spec" "$port" >h2spec.out 2>&1 || rc=$?
summary=$(grep -E '^[0-9]+ tests, ' h2spec.out | tail -1)
# E-12
if [ $rc = 0 ] && [[ $summary =~ ^([0-9]+)\ tests,\ ([0-9]+)\ passed,\ 0\ skipped,\ 0\ failed ]] &&
    [ "${BASH_REMATCH[1]}" -ge 140 ] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]; then
	ok "cases-${BASH_REMATCH[1]}"
else
	fail cases "exit code $rc: $summary $(sed -n '/^Failures/,$p' h2spec.out)"
fi
if gone $pid; then fail alive "the server died: $(cat server.out)"; else ok alive; fi
finish
