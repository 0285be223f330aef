#!/bin/bash
# Our own issuer before a real radosgw: it reads what the publisher shows, takes an assertion by the key that signs and by no other,
# before and after a rotation, and after a restart of the broker.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
rgw_here
scratch rgw_issuer
port=$(free_port)
issuer=http://127.0.0.1:$port
pair_init key_publish 1s oidc "{issuer: $issuer/td1, public: publisher, listen: 127.0.0.1:$port}"
broker_up
rgw_up
use=jwt-assertion-rs256
key() { mayfly key ls -o json | json 'next((k["id"] for k in d["items"] if k["use"] == "'$use'" and k["state"] == "'"$1"'"), "")'; }
sub=spiffe://test.example/t/long/job/j-1
assume() {	# KID [ISSUER]: does radosgw take an assertion by this key?
	"${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}/tests/unseal_assertion" broker "$1" >key.pem && chmod 600 key.pem &&
		rgw assume train j-1 "$(issuer jwt key.pem "${2:-$issuer/td1/x5c}" "{\"sub\":\"$sub\"}")"
}
says provider '^200' rgw provider "$issuer/td1/x5c"
says role '^200' rgw role train "$issuer/td1/x5c" 'spiffe://test.example/t/long/job/*'
first=$(key active)
says signer-is-taken AccessKeyId assume "$first"
refuses other-issuer assume "$first" "$issuer/td1"
check prepare mayfly key prepare --use $use
second=$(key prepared)
refuses prepared-is-not-taken assume "$second"
activated() { mayfly key activate --use $use; }
poll 60 activated && ok activate || fail activate "$(mayfly key ls)"
taken() { assume "$1" >taken.log 2>&1; }
poll 60 taken "$second" && ok next-is-taken || fail next-is-taken "$(cat taken.log)"
refuses former-is-not-taken assume "$first"
broker_down
refuses issuer-away assume "$second"
broker_up
poll 60 taken "$second" && ok back || fail back "$(cat taken.log)"
finish
