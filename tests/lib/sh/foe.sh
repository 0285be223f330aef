# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after pair.sh: certificates that the test's broker would never issue, signed with its own CA key, and hostile clients:
# $foe_h2 and $foe_tls (tests/tools).
#
#   foe_ca              ca.pem and ca-key.pem of the broker that pair_init made
#   foe_cert NAME URI   NAME.pem and NAME-key.pem: a leaf of that CA as the broker makes them. Different by
#                       FOE_CA=NAME (another CA), FOE_EXT=LINES (all extensions but the URI), FOE_FROM, FOE_TO (YYYYMMDDHHMMSSZ)
#   foe_root NAME URI   NAME.pem and NAME-key.pem: a CA of its own
foe_h2=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}/tests/h2_foe
foe_tls=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}/tests/tls_foe
foe_unseal=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}/tests/unseal_ca
foe_ec() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
foe_ca() {
	"$foe_unseal" broker test.example b1 >ca.der && openssl pkcs8 -inform DER -nocrypt -in ca.der -out ca-key.pem &&
		cp broker/keys/ca.pem ca.pem && chmod 600 ca.der ca-key.pem || { fail foe_ca "the CA key cannot be unsealed"; finish; }
}
foe_root() {
	foe_ec "$1-key.pem"
	openssl req -x509 -new -key "$1-key.pem" -out "$1.pem" -days 2 -subj "/O=Mayfly/CN=$1" -addext "subjectAltName=URI:$2" \
		-addext keyUsage=critical,keyCertSign,cRLSign >/dev/null 2>&1
}
foe_cert() {
	local ca=${FOE_CA:-ca}
	foe_ec "$1-key.pem"
	openssl req -new -key "$1-key.pem" -subj "${FOE_SUBJECT-/O=Mayfly}" -out "$1.csr" 2>/dev/null
	: >index.txt
	printf '%016x\n' "$((RANDOM * RANDOM + RANDOM + 1))" >serial
	cat >foe.cnf <<-E
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
	organizationName = optional
	commonName = optional
	[x]
	E
	printf '%s\n' "${FOE_EXT-basicConstraints=critical,CA:FALSE
	keyUsage=critical,digitalSignature
	extendedKeyUsage=serverAuth,clientAuth
	subjectKeyIdentifier=hash
	authorityKeyIdentifier=keyid}" >>foe.cnf
	[ -z "$2" ] || printf 'subjectAltName=URI:%s\n' "$2" >>foe.cnf
	openssl ca -batch -config foe.cnf -cert "$ca.pem" -keyfile "$ca-key.pem" -in "$1.csr" -out "$1.pem" -notext \
		-startdate "${FOE_FROM:-$(date -u -d '-1 minute' +%Y%m%d%H%M%SZ)}" -enddate "${FOE_TO:-$(date -u -d '+1 hour' +%Y%m%d%H%M%SZ)}" \
		>foe.log 2>&1 || { fail "certificate-$1" "$(tail -3 foe.log)"; finish; }
}
