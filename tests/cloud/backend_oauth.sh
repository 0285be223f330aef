#!/bin/bash
# The backend oauth and the courier's HTTP against a real authorization server: three flows, two ways for a client to show who it
# is, TLS with client certificates; revocation seen by the resource and by introspection.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/oidc_provider.sh"
oidc_here
scratch backend_oauth
key() {	# NAME SAN
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt" -subj "/CN=$1" -days 2 \
	    -addext "subjectAltName=$2" 2>/dev/null
}
for k in one two; do
	openssl req -x509 -newkey rsa:2048 -nodes -keyout $k.key -out $k.crt -subj /CN=$k -days 2 2>/dev/null
done
key tls DNS:localhost
key client URI:spiffe://td.example/broker
key stranger URI:spiffe://td.example/broker
cp client.crt client_ca.crt
mkdir docs
issuer_up "$PWD/docs"
issuer publish docs "$issuer_url" one.crt >/dev/null
"$MAYFLY_TOP/tests/cloud/oidc/checks.py" configure "$issuer_url" plain tls || fail configure "exit code $?"
oidc_up plain
plain=$oidc_url
oidc_up tls
tls=$oidc_url
ask() { "${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}/tests/cloud_ask" "$@"; }
target() {	# FILE URL FLOW CLIENT AUTH [LINE...]
	printf '%s\n' 'name op' 'backend oauth' "endpoint $2/token" "revocation_endpoint $2/token/revocation" \
	    "introspection_endpoint $2/token/introspection" "audience $2" "flow $3" "client_id $4" "client_auth $5" 'loopback true' "${@:6}" >"$1"
}
subject() { issuer jwt one.key "$issuer_url" "{\"sub\":\"spiffe://td.example/job/$1\",\"aud\":\"$2\"}"; }
client() { issuer jwt one.key broker "{\"sub\":\"broker\",\"aud\":\"$1\"}"; }
field() { /usr/bin/python3 -c 'import json, sys; sys.stdout.write(json.load(open(sys.argv[1]))[sys.argv[2]])' "$@"; }
thing() { /usr/bin/python3 - "$@" <<'P'
import ssl, sys, urllib.request, urllib.error
context = ssl.create_default_context(cafile="tls.crt") if sys.argv[1].startswith("https") else None
request = urllib.request.Request(sys.argv[1] + "/thing", headers={"Authorization": "Bearer " + open(sys.argv[2]).read()})
try:
    with urllib.request.urlopen(request, context=context, timeout=60) as r:
        print(r.status, r.read().decode())
except urllib.error.HTTPError as e:
    print(e.code)
P
}
# Minted, used, introspected, revoked, dead. ASSERTION is made anew for each act: a server takes it once.
life() {	# NAME URL TARGET AUTH WHO
	local c=-
	subject r-1 "$2" >"$1.subject"
	[ "$4" != jwt ] || { client "$2" >"$1.client"; c=$1.client; }
	ask mint "$3" '' r-1 300 0 "$1.subject" $c 'read https://things.example/' >"$1.json" || { fail "$1-mints" "$(cat "$1.json")"; return; }
	field "$1.json" access_token >"$1.token"
	says "$1-works" "^200 .*$5" thing "$2" "$1.token"
	[ "$4" != jwt ] || client "$2" >"$1.client"
	says "$1-active" '^reachable, active$' ask probe "$3" '' - "$1.token" $c
	[ "$4" != jwt ] || client "$2" >"$1.client"
	says "$1-revoked" '^confirmed 1$' ask revoke "$3" '' 0 "$1.token" $c
	says "$1-dead" '^401' thing "$2" "$1.token"
	[ "$4" != jwt ] || client "$2" >"$1.client"
	says "$1-not-active" '^reachable, not active$' ask probe "$3" '' - "$1.token" $c
	[ "$4" != jwt ] || client "$2" >"$1.client"
	says "$1-again" '^confirmed 1$' ask revoke "$3" '' 0 "$1.token" $c
}
target exchange "$plain" token-exchange broker private_key_jwt
target bearer "$plain" jwt-bearer broker private_key_jwt
target own "$plain" client-credentials broker private_key_jwt
target mtls "$tls" client-credentials spiffe tls_client_auth 'ca_pem @tls.crt' 'client_chain_pem @client.crt' 'client_key_pem @client.key'
target mtls-exchange "$tls" token-exchange spiffe tls_client_auth 'ca_pem @tls.crt' 'client_chain_pem @client.crt' 'client_key_pem @client.key'
life exchange "$plain" exchange jwt 'spiffe://td.example/job/r-1'
life bearer "$plain" bearer jwt 'spiffe://td.example/job/r-1'
life own "$plain" own jwt broker
life mtls "$tls" mtls mtls spiffe
life mtls-exchange "$tls" mtls-exchange mtls 'spiffe://td.example/job/r-1'

# --- what is refused, and in which word ---
refused() {	# NAME WORD TARGET SUBJECT CLIENT SCOPE
	local out rc=0
	out=$(ask mint "$3" '' r-1 300 0 "$4" "$5" "$6") || rc=$?
	[ $rc = 1 ] && [[ $out == "$2: "* ]] && ok "$1" || fail "$1" "exit code $rc, $out"
}
subject r-1 "$plain" >s; client "$plain" >c
refused scope scope exchange s c 'rule https://things.example/'
subject r-1 "$plain" >s; client "$plain" >c
refused resource scope exchange s c 'read https://other.example/'
subject r-1 https://elsewhere.example >s; client "$plain" >c
refused audience trust exchange s c 'read https://things.example/'
subject r-1 "$plain" >s
refused client-used-before trust exchange s c 'read https://things.example/'
client "$plain" >c
issuer jwt two.key "$issuer_url" "{\"sub\":\"spiffe://td.example/job/r-1\",\"aud\":\"$plain\"}" >s
refused other-key trust exchange s c 'read https://things.example/'
target stranger "$tls" client-credentials spiffe tls_client_auth 'ca_pem @tls.crt' 'client_chain_pem @stranger.crt' 'client_key_pem @stranger.key'
refused other-certificate trust stranger - - 'read https://things.example/'
target unknown-ca "$tls" client-credentials spiffe tls_client_auth 'ca_pem @one.crt' 'client_chain_pem @client.crt' 'client_key_pem @client.key'
refused server-certificate config unknown-ca - - 'read https://things.example/'
finish
