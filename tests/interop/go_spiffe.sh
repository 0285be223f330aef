#!/bin/bash
# go-spiffe against `mayfly dev`: fetch, watch, renewal, bundles, refusals, mTLS both ways.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/mtls_pair.sh"
go=$(go_program "$MAYFLY_TOP/tests/interop/go" mfinterop) || { skip all "$(toolchain_why)"; exit 0; }
scratch go-spiffe
dev_policy policy.yaml
dev_start --policy policy.yaml

# WEP-1, WEP-5, WAPI-1, W-1
says fetch '"chain":[1-9].*"id":"spiffe://[^"]*/long/job/j-' run_job long "$go" fetch
# WAPI-1
says bundles '"bundles":\["[^"]+:[1-9]' run_job long "$go" bundles 1
# JWT-2, 5..9, WAPI-17, 18, 19, 20: every audience, the keys by stream, judged locally and by the agent; from memory.
# WAPI-1
says jwt '"cached":true.*"id":"spiffe://[^"]*/long/job/j-' run_job long "$go" jwt one.example two.example
says jwt-rs256 '"cached":true' run_job short "$go" jwt one.example
rc=0
run_job long "$go" jwt elsewhere.example >out 2>&1 || rc=$?
if [ $rc = 7 ] && grep -q 'elsewhere.example' out; then ok jwt-audience; else
	fail jwt-audience "exit code $rc: $(cat out)"
fi

# The SPIFFE bundle document, read by go-spiffe, holds the same keys as the streams.
td=$(run_job long "$go" fetch | json 'd["svids"][0]["id"].split("/")[2]')
run_job long mayfly bundle show -o spiffe >bundle.json || fail bundle-show "$(cat bundle.json)"
says bundle-document '"hint":300,"jwt":[1-9].*"sequence":[1-9][0-9]*,"x509":[1-9]' run_job long "$go" bundle "$td" bundle.json

# Without a job there is no identity, and the code is the one that go-spiffe users know.
rc=0
"$go" fetch >out 2>&1 || rc=$?
if [ $rc = 7 ] && grep -q 'no identity issued' out; then ok stranger; else fail stranger "exit code $rc: $(cat out)"; fi

# Renewal: the same stream brings new serials, each valid longer than the one before.
if run_job short "$go" watch 3 >watch.out 2>&1; then
	/usr/bin/python3 - watch.out <<-'EOF' && ok renewal || fail renewal "$(cat watch.out)"
		import json, sys
		seen = [json.loads(l)["svids"][0] for l in open(sys.argv[1]) if '"x509"' in l]
		serials, ends = [s["serial"] for s in seen], [s["not_after"] for s in seen]
		sys.exit(not (len(set(serials)) == 3 and ends == sorted(ends) and len({s["id"] for s in seen}) == 1))
	EOF
else
	fail renewal "$(cat watch.out)"
fi

# The end while the process lives: the open stream ends with PERMISSION_DENIED, and nothing more is served.
run_job long sh -c 'echo "$MAYFLY_JOB" >job.tmp; mv job.tmp job; exec "$@"' x "$go" watch 100 >end.out 2>&1 &
pid=$!
poll 60 grep -q '"x509"' end.out || fail end-watch "no identity: $(cat end.out)"
check job-end mayfly job end "$(cat job)" --reason test
rc=0
wait $pid || rc=$?
if [ $rc = 7 ] && grep -q PermissionDenied end.out; then ok end-closes-stream; else
	fail end-closes-stream "exit code $rc: $(cat end.out)"
fi

# mTLS both ways, over several renewals of both sides.
td=$(run_job alpha "$go" fetch | json 'd["svids"][0]["id"].rsplit("/", 1)[0]')
pair mtls-go-go "$go" "$go"
if py=$(python_with "$MAYFLY_TOP/tests/interop/python/requirements.txt"); then
	mfpy="$py $MAYFLY_TOP/tests/interop/python/mfpy.py"
	pair mtls-go-python "$go" "$mfpy"
	pair mtls-python-go "$mfpy" "$go"
else
	skip mtls-go-python "$(toolchain_why)"
	skip mtls-python-go "$(toolchain_why)"
fi
dev_stop
finish
