#!/bin/bash
# What a real radosgw checks and enforces, shown with tokens made by hand: what later fails against it is ours.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
rgw_here
scratch rgw
for k in one two; do
	openssl req -x509 -newkey rsa:2048 -nodes -keyout $k.key -out $k.crt -subj /CN=$k -days 2 2>/dev/null
done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ec.key -out ec.crt -subj /CN=ec -days 2 2>/dev/null
# The certificate of an https issuer, and the authority that radosgw is to believe.
openssl req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out tls.crt -subj /CN=localhost -days 2 \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
cat tls.key tls.crt >tls.pem
if unshare -m true 2>/dev/null || unshare -r -m true 2>/dev/null; then rgw_trust=tls.crt; else
	skip https-issuer 'no mount namespace may be made here'
fi
rgw_up
mkdir -p plain tls
issuer_up "$PWD/plain"
plain=$issuer_url
issuer_up "$PWD/tls" "$PWD/tls.pem"
RGW_URL=$rgw_url "$rgw_py" "$MAYFLY_TOP/tests/cloud/boto/rgw_checks.py" "$plain" ${rgw_trust:+"$issuer_url"} || fail rgw-checks "exit code $?"

# The gateway away and back: what it stores and whom it denies stay.
rgw_off
refuses away rgw get data sets/a/1
rgw_on
says back '^200 hello$' rgw get data sets/a/1
says deny-stays '"mayfly-job"|PrincipalTag/mayfly-job' rgw policy train mayfly-denied
finish
