#!/bin/bash
# The admin API over the network, between real processes: who gets in, what each role may, what is refused and why, and
# what stands in the records.
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch remote_admin

# A CA of the company's own, and certificates of it: ca NAME, person CA CN [DAYS-FROM DAYS-TO]
ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1-key.pem" -out "$1.pem" -days 2 \
		-subj "/O=Example/CN=$1" -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}
person() {
	openssl req -newkey "${KEYTYPE:-ec}" ${KEYOPT--pkeyopt ec_paramgen_curve:P-256} -nodes -keyout "$2-key.pem" -out "$2.csr" \
		-subj "/O=Example/CN=$2" 2>/dev/null
	printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n' "${EKU:-clientAuth}" >ext
	openssl x509 -req -in "$2.csr" -CA "$1.pem" -CAkey "$1-key.pem" -CAcreateserial -extfile ext -out "$2.pem" \
		-days 1 2>/dev/null
}
# The same, long ago: only `openssl ca` dates certificates in every release.
late() {
	person "$1" "$2"
	: >index.txt
	echo 77 >serial
	cat >ca.cnf <<-E
	[ca]
	default_ca = c
	[c]
	database = $PWD/index.txt
	serial = $PWD/serial
	new_certs_dir = $PWD
	default_md = sha256
	policy = p
	x509_extensions = x
	[p]
	organizationName = supplied
	commonName = supplied
	[x]
	keyUsage = critical,digitalSignature
	extendedKeyUsage = clientAuth
	E
	openssl ca -batch -config ca.cnf -cert "$1.pem" -keyfile "$1-key.pem" -startdate 20200101000000Z -enddate 20200102000000Z \
		-in "$2.csr" -out "$2.pem" -notext 2>/dev/null
}
fingerprint() { openssl x509 -in "$1" -outform DER | sha256sum | cut -c1-64; }
as() {	# PERSON ARG...: mayfly, from elsewhere
	local who=$1
	shift
	MAYFLY_BROKER=https://127.0.0.1:$P_ADMIN MAYFLY_BROKER_CERT=$who.pem MAYFLY_BROKER_KEY=$who-key.pem \
		MAYFLY_BROKER_CA=broker-ca.pem mayfly "$@"
}
# denied NAME CODE PATTERN CMD...: that exit code, and stderr matches
denied() {
	local name=$1 code=$2 pat=$3 rc=0 out
	shift 3
	out=$("$@" 2>&1 >/dev/null) || rc=$?
	if [ $rc = "$code" ] && grep -qE -- "$pat" <<<"$out"; then ok "$name"; else fail "$name" "exit code $rc: $out"; fi
}
admins() {
	{
		printf 'mayfly_admins: 1\nca: %s\nadmins:\n' "$PWD/company.pem"
		cat
	} >admins.new
	chmod 0644 admins.new
	mv admins.new admins.yaml
}

ca company
ca other
person company vera
person company rob
person company olga
KEYTYPE=rsa:2048 KEYOPT='' person company ada
person company nobody
person other mallory
EKU=serverAuth person company server
late company late
admins <<-E
	  - {role: viewer, subject: "CN=vera,O=Example"}
	  - {role: revoker, subject: "CN=rob,O=Example"}
	  - {role: operator, subject: "CN=olga,O=Example"}
	  - {role: admin, fingerprint: "$(fingerprint ada.pem)"}
	  - {role: viewer, subject: "CN=server,O=Example"}
	  - {role: viewer, subject: "CN=late,O=Example"}
	  - {role: viewer, spiffe_id: "spiffe://test.example/alpha"}
E
P_ADMIN=$(free_port)
issuer=https://localhost:$(free_port)/td1	# where nobody answers
pair_init admin_listen "127.0.0.1:$P_ADMIN" admins "$PWD/admins.yaml" oidc "{issuer: $issuer, public: elsewhere}"
relay_up
broker_up
agent_up
mayfly bundle show --admin-socket "$MAYFLY_ADMIN_SOCKET" >broker-ca.pem
(run_job long sleep 600 >job.out 2>&1 </dev/null) &
on_exit kill $!
job_id() { mayfly job ls -o json | json 'd["items"][0]["id"]' >job.id; }
poll 60 job_id
J=$(cat job.id)

# Reading, for every role.
for p in vera rob olga ada; do says "sees_$p" "$J" as $p job ls; done
says status 'test.example' as vera status
says json '"apiVersion":"mayfly/v1"' as vera node ls -o json
says by_flag "$J" mayfly job ls --broker "127.0.0.1:$P_ADMIN" --cert vera.pem --key vera-key.pem --ca broker-ca.pem

# The OIDC documents come over TLS as they come by the socket, and are checked like any copy.
check oidc_fetch as vera oidc fetch far
check oidc_fetch_here mayfly oidc fetch near
check oidc_same diff -r near far
check oidc_export mayfly oidc export site --from "$PWD/far" --key "$PWD/broker/log/vkey"
check oidc_issuer grep -qF "\"$issuer\"" site/.well-known/openid-configuration
denied oidc_no_role 1 'no role here' as nobody oidc fetch none
check oidc_nothing_for_nobody test ! -e none

# What a role may not: it says which one is needed, and who gives it.
denied viewer_revoke 1 'EndJob needs the role revoker, you have viewer.*admins file' as vera job end "$J"
denied viewer_token 1 'needs the role operator' as vera node token
denied revoker_token 1 'needs the role operator, you have revoker' as rob node token
check still_there test "$(mayfly job ls -o json | json 'd["items"][0]["state"]')" = open
check operator_token as olga node token --ttl 1m

# Who does not get in.
denied no_role 1 'no role here' as nobody job ls
denied wrong_ca 1 'broker refused the client certificate' as mallory job ls
denied server_certificate 1 'broker refused the client certificate' as server job ls
denied expired 1 'broker refused the client certificate' as late job ls
denied key_of_another 1 'does not fit' env MAYFLY_BROKER_KEY=rob-key.pem MAYFLY_BROKER="127.0.0.1:$P_ADMIN" \
	MAYFLY_BROKER_CERT=vera.pem MAYFLY_BROKER_CA=broker-ca.pem mayfly job ls
denied foreign_broker 1 "broker's certificate is not trusted" mayfly job ls --broker "127.0.0.1:$P_ADMIN" --cert vera.pem \
	--key vera-key.pem --ca other.pem
denied no_ca 1 'mayfly bundle show' mayfly job ls --broker "127.0.0.1:$P_ADMIN" --cert vera.pem --key vera-key.pem
denied no_certificate 4 'give --cert' env SPIFFE_ENDPOINT_SOCKET=unix:///nowhere/agent.sock mayfly job ls --broker "127.0.0.1:$P_ADMIN"
denied nobody_there 4 'admin_listen' mayfly job ls --broker 127.0.0.1:1 --cert vera.pem --key vera-key.pem --ca broker-ca.pem
denied not_tls 1 'TLS' mayfly job ls --broker "127.0.0.1:$P_MB" --cert vera.pem --key vera-key.pem --ca broker-ca.pem
denied bad_url 1 'https://HOST:PORT' mayfly job ls --broker ftp://example.org

# Other speakers: TLS 1.2, plain HTTP, no certificate.
refuses tls12 openssl s_client -connect "127.0.0.1:$P_ADMIN" -tls1_2 -alpn h2 -cert vera.pem -key vera-key.pem </dev/null
if curl -s -m 20 -o plain.out "http://127.0.0.1:$P_ADMIN/" && [ -s plain.out ]; then
	fail plain_http "$(head -c 100 plain.out)"
else ok plain_http; fi
refuses no_client_certificate curl -sk -m 20 --http2 "https://127.0.0.1:$P_ADMIN/"

# A job's own SVID administers, where its name has a role; without options.
as_job() { MAYFLY_BROKER=127.0.0.1:$P_ADMIN run_job "$@"; }
says own_svid "$J" as_job alpha mayfly job ls
denied own_svid_revoke 1 'EndJob needs the role revoker' as_job alpha mayfly job end "$J"
denied own_svid_no_role 1 'no role here' as_job beta mayfly job ls

# A revoker removes; the record says who, and who watches sees it.
as vera job ls --all --watch >watch.out 2>&1 </dev/null &
on_exit stop $!
poll 60 grep -q "$J" watch.out
says revoker_ends 'effective' as rob job end "$J" -r "test of roles"
poll 60 grep -qE "$J.*ended" watch.out && ok watch || fail watch "$(cat watch.out)"
F=$(fingerprint rob.pem)
mayfly audit find --type revoke.requested -o json >record
check record_names_rob grep -q "\"cert_sha256\":\"$F\",\"kind\":\"operator\",\"role\":\"revoker\",\"subject\":\"CN=rob,O=Example\"" record
mayfly audit find --type node.token_created -o json >record
check record_names_olga grep -q '"role":"operator","subject":"CN=olga,O=Example"' record
check record_names_uid grep -q "\"role\":\"admin\",\"uid\":$(id -u)" record

# Whose login a local administrator is, also after su or sudo: the kernel's audit knows it.
logins() { mayfly audit find --type node.token_created -o json | json 'd["items"][-1]["record"]["actor"].get("loginuid")'; }
if (echo 4711 >/proc/self/loginuid) 2>/dev/null; then
	(echo 4711 >/proc/self/loginuid && exec mayfly node token --ttl 1m) >/dev/null 2>&1
	check record_names_login test "$(logins)" = 4711
	(echo 4294967295 >/proc/self/loginuid && exec mayfly node token --ttl 1m) >/dev/null 2>&1
	check record_without_login test "$(logins)" = null
else
	skip record_names_login "this kernel keeps no login uids, or we may not set ours"
fi

# A reload takes a role away at once, also from what is connected; a file with an error changes nothing.
printf 'mayfly_admins: 1\nadmins: [{role: boss}]\n' >admins.yaml
kill -HUP "$(cat broker.pid)"
poll 60 grep -q 'supervisor.reload' broker.log
says bad_file_changes_nothing test.example as vera status
admins <<-E
	  - {role: viewer, subject: "CN=rob,O=Example"}
E
kill -HUP "$(cat broker.pid)"
vera_is_out() { ! as vera status; }
poll 60 vera_is_out || fail reload 'vera still gets in'
denied role_gone 1 'no role here' as vera status
denied role_lowered 1 'needs the role operator, you have viewer' as rob node token

# Slow and silent clients fill the listener's own caps only.
/usr/bin/python3 - "$P_ADMIN" <<'E' &
import socket, sys, time
held = []
for i in range(200):
    try:
        s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
        s.sendall(b"\x16\x03\x01")
        held.append(s)
    except OSError:
        break
print("held", len(held), flush=True)
time.sleep(60)
E
slow=$!
on_exit stop $slow
check agents_go_on run_job long true
check socket_goes_on mayfly job ls
stop $slow
says room_again test.example as rob status
broker_down
finish
