#!/bin/bash
# py-spiffe against `mayfly dev`: fetch, watch, renewal, bundles, refusals.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
py=$(python_with "$MAYFLY_TOP/tests/interop/python/requirements.txt") || { skip all "$(toolchain_why)"; exit 0; }
mfpy=$MAYFLY_TOP/tests/interop/python/mfpy.py
scratch py-spiffe
dev_policy policy.yaml
dev_start --policy policy.yaml

# WEP-1
says fetch '"id": "spiffe://[^"]*/long/job/j-' run_job long "$py" "$mfpy" fetch
says bundles '"bundles": \["[^"]+:[1-9]' run_job long "$py" "$mfpy" bundles
# JWT-2, 5..9, WAPI-17, 19, 20, P-13: every audience that was asked for, ES256 and RS256.
says jwt '"event": "jwt"' run_job long "$py" "$mfpy" jwt one.example two.example
says jwt-rs256 '"event": "jwt"' run_job short "$py" "$mfpy" jwt one.example
rc=0
run_job long "$py" "$mfpy" jwt elsewhere.example >out 2>&1 || rc=$?
if [ $rc != 0 ] && ! grep -q '"jwt"' out; then ok jwt-audience; else fail jwt-audience "exit code $rc: $(cat out)"; fi
rc=0
"$py" "$mfpy" fetch >out 2>&1 || rc=$?
if [ $rc = 7 ]; then ok stranger; else fail stranger "exit code $rc: $(cat out)"; fi

if run_job short "$py" "$mfpy" watch 3 >watch.out 2>&1 &&
    [ "$(grep -o '"serial": "[0-9a-f]*"' watch.out | sort -u | wc -l)" = 3 ]; then
	ok renewal
else
	fail renewal "$(cat watch.out)"
fi

run_job long sh -c 'echo "$MAYFLY_JOB" >job.tmp; mv job.tmp job; exec "$@"' x "$py" "$mfpy" watch 100 >end.out 2>&1 &
pid=$!
poll 60 grep -q '"x509"' end.out || fail end-watch "no identity: $(cat end.out)"
check job-end mayfly job end "$(cat job)" --reason test
rc=0
wait $pid || rc=$?
if [ $rc = 7 ]; then ok end-closes-stream; else fail end-closes-stream "exit code $rc: $(cat end.out)"; fi
dev_stop
finish
