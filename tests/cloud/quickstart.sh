#!/bin/bash
# The quickstart with --cloud: the demo at a real radosgw, whose every line is checked by itself, and what of it is said here; that it
# asks where a terminal is, says what it costs, and never asks without one. About 45 s, most of it the demo.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/deploy/demo/servers.sh"
. "$MAYFLY_TOP/deploy/demo/store.sh"
scratch quickstart

# --- asked, or not: the script in a tree of its own, where the demo only says how it was called ---
mkdir -p tree/build/bin
cp -r "$MAYFLY_TOP/deploy" tree/
printf '#!/bin/sh\necho "demo called with: $*."\n' >tree/deploy/demo/run.sh
printf '#!/bin/sh\necho "deps: installs 61 packages with what they need: 55 MB to fetch, 270 MB on disk"\n' >tree/deploy/deps.sh
chmod +x tree/deploy/demo/run.sh tree/deploy/deps.sh
cat >terminal.py <<'E'
"""terminal.py ANSWER CMD...: the command on a terminal of its own, where ANSWER is typed when it asks."""
import os, pty, sys
answer, typed, seen = sys.argv[1], False, b""
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:     # the end of a terminal
        break
    if not data:
        break
    seen += data
    if not typed and b"[y/N] " in seen:
        os.write(fd, answer.encode() + b"\n")
        typed = True
sys.stdout.buffer.write(seen.replace(b"\r", b""))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
E
typed() { local a=$1; shift; timeout -k 5 120 /usr/bin/python3 terminal.py "$a" tree/deploy/quickstart.sh demo "$@"; }
piped() { timeout -k 5 120 tree/deploy/quickstart.sh demo "$@" </dev/null; }
not_asked() { local out; out=$("$@") || return 1; echo "$out"; ! grep -q 'y/N' <<<"$out"; }
says asks-and-says-what-it-costs '55 MB to fetch, 270 MB on disk' typed y
says yes 'demo called with: --cloud\.' typed y
says no 'demo called with: \.' typed n
says nothing-typed-is-no 'demo called with: \.' typed ''
says said-before 'demo called with: --cloud\.' not_asked typed n --cloud
says said-no-before 'demo called with: \.' not_asked typed y --no-cloud
says minimal-is-not-asked 'demo called with: --minimal\.' not_asked typed y --minimal
says no-terminal-no-question 'demo called with: \.' not_asked piped
refuses minimal-and-cloud piped --minimal --cloud
says plan-changes-nothing '^deps: (all|missing)' "$MAYFLY_TOP/deploy/deps.sh" --plan cloud
mkdir tree/build/demo-venv
says cleans-up '^removed build/$' tree/deploy/quickstart.sh clean
[ ! -e tree/build ] && ok cleaned-up || fail cleaned-up "$(ls tree/build)"

# --- the demo ---
missing=$(store_missing | head -1)
if [ -n "$missing" ]; then
	skip demo "$missing"
elif ! command -v nginx >/dev/null || ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
	skip demo "nginx or PostgreSQL is not installed (deploy/deps.sh demo)"
elif ! /usr/bin/python3 -c 'import sklearn, psycopg2' 2>/dev/null; then
	skip demo "python3-sklearn or python3-psycopg2 is not installed (deploy/deps.sh demo)"
elif ! python_with "$MAYFLY_TOP/deploy/demo/requirements.txt" >/dev/null; then
	skip demo "$(toolchain_why)"
else
	# Nothing of the caller's gets in.
	export AWS_ACCESS_KEY_ID=AKIAWRONG AWS_SECRET_ACCESS_KEY=wrong AWS_PROFILE=nobody
	TMPDIR=$PWD "$MAYFLY_TOP/deploy/demo/run.sh" --cloud --bin "$MAYFLY_BIN" >demo.out 2>demo.err && ok demo || { fail demo "$(cat demo.err)"; finish; }
	says reads-its-data-set 'images of handwritten digits, from s3://lab/sets/digits/' cat demo.out
	says writes-its-checkpoint 'checkpoint: s3://lab/runs/r-[a-z2-7]+/model' cat demo.out
	says old-credentials-are-dead 'with the old credentials: refused: HTTP 403' cat demo.out
	says others-are-not 'a new job of the same role: accepted' cat demo.out
	says level-and-time 'cloud:data .*denied: dead from 20' cat demo.out
	says in-the-log 'cloud token [0-9a-f-]+: intent, issue and end are in it' cat demo.out
	says log-is-verified '^   ok$' cat demo.out
	left() { pgrep -af "$PWD/mayfly-demo\."; }
	[ -z "$(left)" ] && ok nothing-runs-on || fail nothing-runs-on "$(left)"
fi
finish
