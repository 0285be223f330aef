#!/bin/bash
# nginx and PostgreSQL: the demo, whose every line is checked, with and without servers.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
need openssl
scratch servers
check demo-minimal "$MAYFLY_TOP/deploy/demo/run.sh" --minimal --bin "$MAYFLY_BIN"
if ! command -v nginx >/dev/null || ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
	skip demo "nginx or PostgreSQL is not installed (deploy/deps.sh demo)"
elif ! /usr/bin/python3 -c 'import sklearn, psycopg2' 2>/dev/null; then
	skip demo "python3-sklearn or python3-psycopg2 is not installed (deploy/deps.sh demo)"
else
	check demo "$MAYFLY_TOP/deploy/demo/run.sh" --bin "$MAYFLY_BIN"
fi
finish
