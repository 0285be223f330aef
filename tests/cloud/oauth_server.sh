#!/bin/bash
# What oidc-provider checks, shown with tokens made by hand: what later fails against it is ours.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/oidc_provider.sh"
oidc_here
scratch oauth
key() {	# NAME SAN: a key, and a certificate that it signs itself
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt" -subj "/CN=$1" -days 2 \
	    -addext "subjectAltName=$2" 2>/dev/null
}
# Two servers of one kind: the one speaks http, the other https and asks for client certificates.
for k in one two; do
	openssl req -x509 -newkey rsa:2048 -nodes -keyout $k.key -out $k.crt -subj /CN=$k -days 2 2>/dev/null
done
key tls DNS:localhost
key client URI:spiffe://td.example/broker
key other URI:spiffe://td.example/broker/other
key stranger URI:spiffe://td.example/broker
cat client.crt other.crt >client_ca.crt
mkdir docs
issuer_up "$PWD/docs"
"$MAYFLY_TOP/tests/cloud/oidc/checks.py" configure "$issuer_url" plain tls || fail configure "exit code $?"
oidc_up plain
plain=$oidc_url
oidc_up tls
"$MAYFLY_TOP/tests/cloud/oidc/checks.py" run "$issuer_url" "$plain" "$oidc_url" || fail oauth-checks "exit code $?"
finish
