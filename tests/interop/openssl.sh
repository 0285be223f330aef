#!/bin/bash
# The files that `mayfly svid fetch --write` leaves, in the hands of openssl: verify, s_server, s_client.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
need openssl
scratch openssl
dev_policy policy.yaml
dev_start --policy policy.yaml

check fetch run_job long mayfly svid fetch --write id
[ -s id/svid.pem ] || finish
[ "$(stat -c %a id/key.pem)" = 600 ] && ok key-mode || fail key-mode "$(stat -c %a id/key.pem)"
# W-15
check verify openssl verify -x509_strict -CAfile id/bundle.pem -untrusted id/svid.pem id/svid.pem
check verify-client openssl verify -x509_strict -purpose sslclient -CAfile id/bundle.pem -untrusted id/svid.pem id/svid.pem
check verify-server openssl verify -x509_strict -purpose sslserver -CAfile id/bundle.pem -untrusted id/svid.pem id/svid.pem
[ "$(openssl x509 -in id/svid.pem -noout -pubkey)" = "$(openssl pkey -in id/key.pem -pubout)" ] &&
	ok key-fits || fail key-fits "the key is not the certificate's"
openssl x509 -in id/svid.pem -noout -text >text
says san 'URI:spiffe://[^,]*/long/job/j-' cat text
says leaf 'CA:FALSE' cat text
says usage 'Digital Signature' cat text
refuses no-cert-sign grep -q 'Certificate Sign' text
# X509-10
says extended-usage 'TLS Web Server Authentication, TLS Web Client Authentication|TLS Web Client Authentication, TLS Web Server' cat text
says ca-bundle 'CA:TRUE' openssl x509 -in id/bundle.pem -noout -text
refuses foreign-ca openssl verify -CAfile <(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 \
    -subj /CN=x -keyout /dev/null 2>/dev/null) -untrusted id/svid.pem id/svid.pem

# A TLS 1.3 handshake with both sides' SVIDs, by openssl alone.
check fetch-peer run_job long mayfly svid fetch --write peer
port=$(free_port)
openssl s_server -accept "127.0.0.1:$port" -tls1_3 -cert id/svid.pem -cert_chain id/svid.pem -key id/key.pem \
    -CAfile id/bundle.pem -Verify 3 -verify_return_error -naccept 2 -www >server.out 2>&1 </dev/null &
on_exit stop $!
listens() { grep -q ACCEPT server.out; }
poll 60 listens || fail s_server "$(cat server.out)"
client() { printf 'GET / HTTP/1.0\r\n\r\n' | timeout 60 openssl s_client -connect "127.0.0.1:$port" -tls1_3 -ign_eof \
    -CAfile id/bundle.pem -verify_return_error "$@"; }
says handshake 'Verify return code: 0 \(ok\)' client -cert peer/svid.pem -cert_chain peer/svid.pem -key peer/key.pem
client >refused.out 2>&1
says handshake-without-certificate 'alert certificate required|peer did not return a certificate' cat refused.out server.out
dev_stop
finish
