#!/bin/bash
# Jobs with OAuth tokens, whole: the broker exchanges its assertion for a token of the job's at a real authorization server
# (RFC 8693, private_key_jwt by the keys that the broker publishes); the job reads it from its file, and a resource serves it by the scope
# that the profile gives. Another job of the same profile has another token. The log has intent and issue of each.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/oidc_provider.sh"
oidc_here
scratch oauth-jobs
td=lab.example port=$(free_port)
issuer=https://localhost:$port/$td
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout lab.key -out lab.crt -subj /CN=lab -days 2 \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null && chmod 600 lab.key
cat >server.json <<-E
{"resource": "https://things.example/", "scopes": "read write", "ttl": 300,
 "clients": [{"client_id": "broker", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "$issuer/keys", "scope": "read write",
  "grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange", "client_credentials"], "redirect_uris": [], "response_types": []}],
 "trust": {"issuer": "$issuer", "jwks": "$issuer/keys", "subject": "spiffe://$td/default/api/job/"}}
E
oidc_ca=$PWD/lab.crt
oidc_up server
cat >policy.yaml <<-E
mayfly_policy: 1
profiles:
  api:
    purpose: training
    owner: tests
    max_job: 1h
    drain: 0s
    on_end: deny
    identities: [{path: "/{tenant}/api/job/{job}"}]
    cloud:
      - {name: things, target: lab, ttl: 5m, scope: [{actions: [read], resources: ["https://things.example/"]}]}
rules:
  - {id: api, effect: permit, profile: api, owner: tests, review_by: 2099-01-01, nodes: any,
     when: {contains: [attested.unix.uid, "$(id -u)"]}}
E
dev_start --trust-domain $td --policy policy.yaml \
    --broker "oidc={issuer: $issuer, public: publisher, listen: 127.0.0.1:$port, certificate: $PWD/lab.crt, key: $PWD/lab.key}" \
    --broker "cloud_targets=[{name: lab, backend: oauth, endpoint: $oidc_url/token, revocation_endpoint: $oidc_url/token/revocation, introspection_endpoint: $oidc_url/token/introspection, audience: $oidc_url, client_id: broker, flow: token-exchange, client_auth: private_key_jwt, loopback: true}]"

cat >job.py <<'E'
"""job.py URL [COPY]: shows the token of its file to the resource, and prints what that says."""
import os, shutil, sys, urllib.error, urllib.request
with open(os.environ["MAYFLY_TOKEN_FILE_THINGS"]) as f:
    token = f.read()
if len(sys.argv) > 2:
    shutil.copyfile(os.environ["MAYFLY_TOKEN_FILE_THINGS"], sys.argv[2])
try:
    with urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/thing", headers={"Authorization": "Bearer " + token}), timeout=60) as r:
        print(r.status, r.read().decode(), os.environ["MAYFLY_JOB"], flush=True)
except urllib.error.HTTPError as e:
    print(e.code, flush=True)
E
for j in one two; do
	run_job api /usr/bin/python3 job.py "$oidc_url" $j.token >$j.out 2>&1 || fail $j "exit code $?: $(cat $j.out)"
	says $j-served '^200 .*"client":"broker","scope":"read"' cat $j.out
	job=$(sed 's/.* //' $j.out)
	says $j-is-the-subject "\"sub\":\"spiffe://$td/default/api/job/$job\"" cat $j.out
done
cmp -s one.token two.token && fail a-token-each "the same" || ok a-token-each
if [ "$(tail -c 1 one.token | od -An -tx1)" != ' 0a' ]; then ok no-newline; else fail no-newline; fi

mayfly audit tail -n all -o json >records 2>audit.err || fail records "$(cat audit.err)"
/usr/bin/python3 - <<'E'
import json
r = [i["record"] for i in json.load(open("records"))["items"]]
intents = [x["serial"] for x in r if x["type"] == "cloud.intent"]
issued = [x["serial"] for x in r if x["type"] == "cloud.issued"]
good = len(intents) == 2 and intents == issued
print("ok recorded" if good else "FAIL recorded: %s %s" % (intents, issued))
E
if grep -rlFf one.token records dev.log state >found || grep -rlFf two.token records dev.log state >>found; then fail no-secret "$(cat found)"; else ok no-secret; fi
dev_stop
finish
