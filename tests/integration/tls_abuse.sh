#!/bin/bash
# TLS 1.3 as it should not be, at port 8461 and at the administrators' port: older versions, resumption, early data, wrong ALPN, records
# and messages after the handshake, and certificates that break one rule each, most of them signed by the broker's own CA key. Each is
# refused with a line that says why; what is right is served before and after.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
. "$MAYFLY_TOP/tests/lib/sh/foe.sh"
need openssl curl "$foe_tls" "$foe_unseal"
scratch tls_abuse
foe_root company spiffe://company.example
cat >admins.yaml <<E
mayfly_admins: 1
ca: $PWD/company.pem
admins:
  - {role: viewer, subject: "CN=vera,O=Example"}
E
chmod 644 company.pem admins.yaml
P_ADMIN=$(free_port)
pair_init admin_listen "127.0.0.1:$P_ADMIN" admins "$PWD/admins.yaml"
relay_up
broker_up
agent_up
foe_ca

agents() { "$foe_tls" "${2:-ask}" /mayfly.agent.v1.NodeAgent/Session "127.0.0.1:$P_LISTEN" ${1:+"$1.pem" "$1-key.pem"}; }
admins() { "$foe_tls" "${2:-ask}" /mayfly.admin.v1.Admin/ListNodes "127.0.0.1:$P_ADMIN" ${1:+"$1.pem" "$1-key.pem"}; }
served() {
	local name=$1
	shift
	says "$name" '^served' "$@"
}
lines() { wc -l <broker.log; }
said() { tail -n "+$(($1 + 1))" broker.log | grep -qE "\"event\":\"(agent|admin).refused\".*\"error\":\"[^\"]*($2)"; }
# refused NAME PATTERN CMD...: no answer, and the broker's log says why
refused() {
	local name=$1 pat=$2 from out
	from=$(lines)
	shift 2
	out=$("$@" 2>&1)
	if [[ $out == refused* ]] && poll 20 said "$from" "$pat"; then ok "$name ($out)"; else
		fail "$name" "$out; wanted /$pat/ in: $(tail -n "+$((from + 1))" broker.log | grep refused)"
	fi
}

node=spiffe://test.example/mayfly/node/n-foe
foe_cert good $node
served agents-good agents good
served agents-lane agents ""
# --- the protocol ---
while read -r case; do
	check "agents-$case" agents good "$case"
	check "lane-$case" agents "" "$case"
done < <("$foe_tls" --list)

says key-update-flood-is-in-the-log 'agent.disconnected.*keys over and over' cat broker.log

# --- certificates for agents ---
long_ago=20200101000000Z then=20200102000000Z some_day=20800101000000Z
FOE_FROM=$long_ago FOE_TO=$then foe_cert expired $node
refused agents-expired 'expired|not valid' agents expired
FOE_FROM=$some_day FOE_TO=20810101000000Z foe_cert early $node
refused agents-not-yet-valid 'not yet|not valid' agents early
cp ca.pem caleaf.pem
cp ca-key.pem caleaf-key.pem
refused agents-ca-as-leaf 'signing certificates never' agents caleaf
foe_cert job spiffe://test.example/default/long/job/j-x
refused agents-svid-of-a-job 'not a node' agents job
foe_cert broker spiffe://test.example/mayfly/broker/b1
refused agents-svid-of-a-broker 'not a node' agents broker
foe_cert below spiffe://test.example/mayfly/node/n-foe/x
refused agents-below-a-node 'not a node' agents below
foe_cert root spiffe://test.example
refused agents-name-without-path 'path' agents root
foe_cert foreign spiffe://other.example/mayfly/node/n-foe
refused agents-foreign-trust-domain 'trust domain|other.example|bundle' agents foreign
foe_root stranger spiffe://test.example
FOE_CA=stranger foe_cert self $node
refused agents-other-ca 'not trusted|issuer|chain|signed|anchor|bundle' agents self
cat self.pem stranger.pem >shown.pem
cp self-key.pem shown-key.pem
refused agents-other-ca-shown 'not trusted|issuer|chain|signed|anchor|bundle' agents shown
foe_cert noname ""
refused agents-no-name 'URI|name|SAN' agents noname
foe_cert names "$node,URI:spiffe://test.example/mayfly/node/n-other"
refused agents-two-names 'URI|SAN' agents names
good_ext="subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
extendedKeyUsage=serverAuth,clientAuth"
FOE_EXT="basicConstraints=critical,CA:TRUE
keyUsage=critical,digitalSignature
$good_ext" foe_cert isca $node
refused agents-leaf-is-ca 'signing certificates never' agents isca
FOE_EXT="basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature,keyCertSign
$good_ext" foe_cert signs $node
refused agents-leaf-may-sign 'key usage|keyUsage|KeyUsage|sign' agents signs
FOE_EXT="basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
1.2.3.4=critical,ASN1:NULL
$good_ext" foe_cert unknown $node
refused agents-unknown-critical-extension 'critical|extension' agents unknown
cat good.pem good.pem good.pem good.pem good.pem >long.pem
cp good-key.pem long-key.pem
refused agents-chain-too-long 'certificates: at most 4' agents long
FOE_EXT="basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
nsComment=$(head -c 9000 /dev/zero | tr '\0' x)
$good_ext" foe_cert huge $node
refused agents-huge-certificate 'bytes: at most|too' agents huge
for _ in 1 2 3 4; do cat huge.pem; done >huges.pem
cp huge-key.pem huges-key.pem
refused agents-huge-chain 'bytes|TLS|too' agents huges
served agents-good-after-all-that agents good
mayfly node ls -o json >nodes.json
refuses nothing-of-n-foe-is-known grep -q n-foe nodes.json

# --- administrators ---
clerk="basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=clientAuth"
person() { FOE_SUBJECT=/O=Example/CN=vera FOE_EXT=$clerk foe_cert "$1" ""; }
FOE_CA=company person vera
served admins-good admins vera
refused admins-none 'certificate' admins ""
while read -r case; do check "admins-$case" admins vera "$case"; done < <("$foe_tls" --list)
FOE_CA=company FOE_FROM=$long_ago FOE_TO=$then person was_vera
refused admins-expired 'expired|not valid' admins was_vera
FOE_CA=company FOE_FROM=$some_day FOE_TO=20810101000000Z person soon_vera
refused admins-not-yet-valid 'not yet|not valid' admins soon_vera
FOE_CA=stranger person false_vera
refused admins-other-ca 'issuer|CA|trusted|signed' admins false_vera
cp company.pem companyleaf.pem
cp company-key.pem companyleaf-key.pem
refused admins-ca-as-leaf 'CA|authority|certificate' admins companyleaf
refused admins-a-node 'administer|/mayfly/' admins good
for _ in 1 2 3 4 5; do cat vera.pem; done >veras.pem
cp vera-key.pem veras-key.pem
refused admins-chain-too-long 'certificates: at most 4' admins veras
# A name of our trust domain without a role is known, and may nothing.
served admins-a-job-is-answered admins job
served admins-good-after-all-that admins vera
says job-is-served default/long run_job long mayfly svid fetch
agent_down
broker_down
finish
