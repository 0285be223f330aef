#!/bin/bash
# The pages about cloud tokens, followed as a stranger would: their files and their commands are what runs, at a real radosgw and a real
# authorization server; only the addresses are the test's. What a page does with an AWS account is not run: it says so. About 30 s.
# Pages: docs/how-to/cloud-aws.md, docs/how-to/cloud-s3.md, docs/how-to/cloud-oauth.md, docs/how-to/cloud-tokens.md
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
. "$MAYFLY_TOP/tests/lib/sh/oidc_provider.sh"
. "$MAYFLY_TOP/tests/lib/sh/docs.sh"
need curl
pages=$MAYFLY_TOP/docs/how-to
scratch cloud-docs
below() {	# KEY FILE...: what stands below that key, as a value of pair_init's
	echo
	awk -v key="$1:" 'FNR == 1 { take = 0 } /^[^ ]/ { take = ($0 == key); next } take' "${@:2}"
}
# run_page PAGE [VAR=VALUE]...: its commands, in PAGE/ with its files, in one shell
run_page() {
	local page=$1 rc=0
	shift
	{
		echo 'set -e; t_block() { echo "$1" >>../'"$page"'.blocks; }'
		docs_blocks "$pages/$page.md"
	} >"$page.sh"
	[ "$(grep -c ^t_block "$page.sh")" -gt 0 ] || fail "$page" 'it has no commands'
	(cd "$page" && env "$@" timeout -k 30 300 bash "../$page.sh") >"$page.out" 2>&1 </dev/null || rc=$?
	if [ $rc = 0 ]; then ok "$page ($(grep -c . "$page.blocks") blocks)"; else
		fail "$page" "the block at docs/how-to/$page.md:$(tail -1 "$page.blocks") failed (exit code $rc): $(tail -5 "$page.out"); $(tail -2 broker.log 2>/dev/null)"
	fi
}
files_of() {	# PAGE: its files as they stand there
	mkdir -p "$1"
	docs_file "$pages/$1.md" broker.yaml >"$1/page.yaml"
	docs_file "$pages/$1.md" policy.yaml >"$1/policy.yaml"
}

# --- AWS: what is printed needs neither daemons nor an account ---
files_of cloud-aws
{ printf 'trust_domain: example.org\n'; cat cloud-aws/page.yaml; } >cloud-aws/broker.yaml
run_page cloud-aws
says aws-commands 'create-open-id-connect-provider --url https://oidc.example.org/td1' cat cloud-aws/aws.sh
check aws-commands-parse sh -n cloud-aws/aws.sh
says aws-terraform 'resource "aws_iam_role"' cat cloud-aws/mayfly.tf
# Each block that is not run has the word in the paragraph above it.
unmarked=$(awk -v RS= '/^```text/ && said !~ /account/ { print FILENAME ": " $0 } { said = $0 }' "$pages"/cloud-{aws,s3}.md)
[ -z "$unmarked" ] && ok what-needs-an-account-says-so || fail what-needs-an-account-says-so "$unmarked"

# --- both servers, and a broker whose configuration is that of the pages ---
rgw_here
oidc_here
venv=$(python_with "$MAYFLY_TOP/deploy/demo/requirements.txt") || { skip all "$(toolchain_why)"; exit 0; }
export PATH=${venv%/*}:$PATH
oidc_port=$(free_port) publish=$(free_port) td=test.example
issuer=https://localhost:$publish/td1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout lab.key -out lab.crt -subj /CN=lab -days 2 \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null && chmod 600 lab.key
if ! unshare -m true 2>/dev/null && ! unshare -r -m true 2>/dev/null; then
	skip pages 'no mount namespace may be made here, in which radosgw believes the certificate of an issuer'
	exit 0
fi
rgw_trust=lab.crt
rgw_up
for p in cloud-s3 cloud-oauth; do
	files_of $p
	sed -i -e "s|https://broker.example.org:8462/td1|$issuer|" -e "s|0.0.0.0:8462|127.0.0.1:$publish|" -e "s|/etc/mayfly/oidc.pem|$PWD/lab.crt|" \
	    -e "s|/etc/mayfly/oidc.key|$PWD/lab.key|" -e "s|https://store.example.org/|$rgw_url|" -e "s|https://as.example.org|http://localhost:$oidc_port|" \
	    -e 's|^    endpoint: .*|&\n    loopback: true|' $p/page.yaml
done
cp cloud-s3/policy.yaml policy.yaml
pair_init oidc "$(below oidc cloud-s3/page.yaml)" cloud_targets "$(below cloud_targets cloud-s3/page.yaml cloud-oauth/page.yaml)"
sed -i "s/^advertise:.*/advertise: 127.0.0.1:$P_LISTEN/" broker.yaml
broker_up
agent_up
policy() {	# FILE: in force
	cp "$1" policy.yaml
	kill -HUP "$(cat broker.pid)"
	poll 60 sh -c 'mayfly status -o json | grep -q "$(sha256sum policy.yaml | cut -c1-64)"' || fail policy "$1 is not taken: $(tail -2 broker.log)"
}

# --- radosgw ---
ln -s ../broker.yaml cloud-s3/broker.yaml
run_page cloud-s3 CEPH_CONF="$PWD/ceph/ceph.conf" CEPH_ARGS=--no-mon-config AWS_ENDPOINT_URL="$rgw_url" AWS_CONFIG_FILE=/dev/null \
    AWS_SHARED_CREDENTIALS_FILE=/dev/null
says s3-job-read '^pixels$' cat cloud-s3.out
says s3-other-run-refused '^refused, as it should be$' cat cloud-s3.out
ends() { mayfly credential ls --all | grep -q 'cloud:data .*denied: dead from'; }
poll 60 ends && ok s3-when-it-ends || fail s3-when-it-ends "$(mayfly credential ls --all)"

# --- OAuth: the server knows what `mayfly setup` printed ---
ln -s ../broker.yaml cloud-oauth/broker.yaml
mayfly setup oauth --profile track --policy cloud-oauth/policy.yaml --config broker.yaml >registration 2>&1 || fail registration "$(cat registration)"
/usr/bin/python3 - registration "$issuer" "spiffe://$td/" <<'E' || fail registration "$(cat registration)"
import json, sys
with open(sys.argv[1]) as f:
    client = json.loads([line for line in f if line.startswith("{")][0])
client.update(grant_types=["urn:ietf:params:oauth:grant-type:token-exchange", "client_credentials"], redirect_uris=[], response_types=[])
with open("as.json", "w") as f:
    json.dump({"resource": "https://tracking.example/", "scopes": client["scope"], "ttl": 300, "clients": [client],
               "trust": {"issuer": sys.argv[2], "jwks": sys.argv[2] + "/keys", "subject": sys.argv[3]}}, f)
E
oidc_ca=$PWD/lab.crt
oidc_up as
policy cloud-oauth/policy.yaml
run_page cloud-oauth API="$oidc_url/thing"
says oauth-job-served "\"sub\":\"spiffe://$td/default/track/job/j-" cat cloud-oauth.out
revoked() { mayfly credential ls --all | grep -q 'cloud:tracking .*revoked: dead since'; }
poll 60 revoked && ok oauth-when-it-ends || fail oauth-when-it-ends "$(mayfly credential ls --all)"

# --- in a job, with a grant of each kind ---
mkdir cloud-tokens
/usr/bin/python3 - <<'E'
with open("cloud-s3/policy.yaml") as f:
    s3 = f.read()
api = '      - {name: api, target: as, ttl: 10m, scope: [{actions: ["metrics:write"], resources: ["https://tracking.example/"]}]}\n'
with open("both.yaml", "w") as f:
    f.write(s3.replace("rules:\n", api + "rules:\n"))
E
policy both.yaml
run_page cloud-tokens
says tokens-listed 'data +aws' cat cloud-tokens.out
says tokens-in-the-environment 'AWS_SECRET_ACCESS_KEY' cat cloud-tokens.out
[ "$(grep -c '^pixels$' cloud-tokens.out)" = 2 ] && ok tokens-both-ways || fail tokens-both-ways "$(cat cloud-tokens.out)"
finish
