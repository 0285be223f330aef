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
{"resource": "https://things.example/", "scopes": "read write", "ttl": 40,
 "clients": [{"client_id": "broker", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "$issuer/keys", "scope": "read write",
  "grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange", "client_credentials"], "redirect_uris": [], "response_types": []},
  {"client_id": "auditor", "client_secret": "auditors-secret", "grant_types": [], "redirect_uris": [], "response_types": []}],
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
  api-es:
    purpose: training
    owner: tests
    max_job: 1h
    drain: 0s
    on_end: deny
    identities: [{path: "/{tenant}/api/job/{job}"}]
    cloud:
      - {name: things, target: lab-es, ttl: 5m, scope: [{actions: [read], resources: ["https://things.example/"]}]}
rules:
  - {id: api, effect: permit, profile: api, owner: tests, review_by: 2099-01-01, nodes: any,
     when: {contains: [attested.unix.uid, "$(id -u)"]}}
  - {id: api-es, effect: permit, profile: api-es, owner: tests, review_by: 2099-01-01, nodes: any,
     when: {contains: [attested.unix.uid, "$(id -u)"]}}
E
target="backend: oauth, endpoint: $oidc_url/token, revocation_endpoint: $oidc_url/token/revocation, introspection_endpoint: $oidc_url/token/introspection, audience: $oidc_url, client_id: broker, flow: token-exchange, client_auth: private_key_jwt, loopback: true"
dev_start --trust-domain $td --policy policy.yaml \
    --broker "oidc={issuer: $issuer, public: publisher, listen: 127.0.0.1:$port, certificate: $PWD/lab.crt, key: $PWD/lab.key}" \
    --broker "cloud_targets=[{name: lab, $target}, {name: lab-es, algorithm: ES256, $target}]"

cat >job.py <<'E'
"""job.py URL COPY [GO]: shows the token of its file to the resource, prints what that says and what the endpoint gives, keeps a copy; with GO it goes on until the
token was renewed, keeps that as COPY.2, and ends when GO is there."""
import json, os, shutil, sys, time, urllib.error, urllib.request
path = os.environ["MAYFLY_TOKEN_FILE_THINGS"]
with open(path) as f:
    token = f.read()
shutil.copyfile(path, sys.argv[2])
with open(os.environ["MAYFLY_CLOUD_SECRET_FILE"]) as f:
    secret = f.read()
with urllib.request.urlopen(urllib.request.Request(os.environ["MAYFLY_TOKEN_URI_THINGS"], headers={"Authorization": secret}), timeout=60) as r:
    got = json.load(r)
print("endpoint", got["access_token"] in (token, open(path).read()), got["token_type"], 0 < got["expires_in"] <= 300, flush=True)
try:
    with urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/thing", headers={"Authorization": "Bearer " + token}), timeout=60) as r:
        print(r.status, r.read().decode(), os.environ["MAYFLY_JOB"], flush=True)
except urllib.error.HTTPError as e:
    print(e.code, flush=True)
for attempt in range(3000 if len(sys.argv) > 3 else 0):
    if open(path).read() != token:
        shutil.copyfile(path, sys.argv[2] + ".2")
        break
    time.sleep(0.1)
while len(sys.argv) > 3 and not os.path.exists(sys.argv[3]):
    time.sleep(0.1)
E
cat >ends.py <<'E'
"""ends.py COUNT: are there so many ends, one for each token, of level 1, seen to be inactive, and before the token would have been dead?"""
import json, sys
r = [i["record"] for i in json.load(sys.stdin)["items"]]
by = {t: {x["serial"]: x for x in r if x["type"] == t} for t in ("cloud.intent", "cloud.issued", "revoke.completed")}
ends, issued = by["revoke.completed"], by["cloud.issued"]
good = len(ends) == int(sys.argv[1]) and set(ends) == set(issued) == set(by["cloud.intent"])
good = good and sum(x["type"] == "revoke.completed" for x in r) == len(ends)
good = good and all(x["cloud"].get("handle") == 1 and len(x["sha256"]) == 64 for x in issued.values())
for s, e in ends.items():
    good = good and e["cloud"]["level"] == 1 and e["cloud"].get("probe") == "inactive" and e["cloud"]["dead_at"] < issued[s]["exp"]
print("good" if good else "ends: %s" % list(ends.values()))
E
active() {	# FILE: what the server says of the token in it
	curl -s -m 60 -u auditor:auditors-secret --data-urlencode "token@$1" "$oidc_url/token/introspection" | json 'd["active"]'
}
records() { mayfly audit tail -n all -o json 2>audit.err; }
ends() { records | /usr/bin/python3 ends.py "$1" | grep -x good; }
lease_ends() { [ "$(records | json 'sum(i["record"]["type"] == "lease.ended" for i in d["items"])')" = "$1" ]; }
handles() { find state -path '*/handles/*' -type f; }

run_job api /usr/bin/python3 job.py "$oidc_url" one.token one.go >one.out 2>&1 &
one=$!
poll 120 test -s one.token || fail one "no token: $(cat one.out)"
run_job api /usr/bin/python3 job.py "$oidc_url" two.token >two.out 2>&1 || fail two "exit code $?: $(cat two.out)"
poll 120 lease_ends 1 || fail two-ends "$(cat audit.err)"
inactive() { [ "$(active "$1")" = false ]; }
poll 120 inactive two.token && ok two-is-inactive || fail two-is-inactive "$(tail -3 dev.log)"
[ "$(active one.token)" = true ] && ok one-goes-on || fail one-goes-on "the other job's token is dead"
# The first job's token is renewed; then it ends while the server is away and the notary is killed.
poll 300 test -s one.token.2 || fail one-renews "$(cat one.out)"
[ "$(active one.token) $(active one.token.2)" = 'true true' ] && ok both-work || fail both-work "$(active one.token) $(active one.token.2)"
[ "$(handles | wc -l)" = 2 ] && ok a-handle-each || fail a-handle-each "$(handles)"
kill -STOP "$oidc_pid"
: >one.go
wait $one || fail one "exit code $?: $(cat one.out)"
poll 120 lease_ends 2 || fail one-ends "$(cat audit.err)"
notary=$(for p in "$dev_pid" $(pgrep -P "$dev_pid"); do pgrep -P "$p" -x notary || true; done | head -1)
kill -9 "$notary" || fail kill "no notary: $notary"
kill -CONT "$oidc_pid"
poll 300 ends 3 && ok on-record || fail on-record "$(records | /usr/bin/python3 ends.py 3) $(tail -3 dev.log)"
[ "$(active one.token) $(active one.token.2)" = 'false false' ] && ok all-inactive || fail all-inactive "$(active one.token) $(active one.token.2)"
no_handles() { [ -z "$(handles)" ]; }
poll 60 no_handles && ok no-handle-is-left || fail no-handle-is-left "$(handles)"
for j in one two; do
	says $j-served '^200 .*"client":"broker","scope":"read"' cat $j.out
	job=$(sed -n 's/^200 .* //p' $j.out)
	says $j-by-endpoint '^endpoint True Bearer True$' cat $j.out
	says $j-is-the-subject "\"sub\":\"spiffe://$td/default/api/job/$job\"" cat $j.out
done
cmp -s one.token two.token && fail a-token-each "the same" || ok a-token-each
if [ "$(tail -c 1 one.token | od -An -tx1)" != ' 0a' ]; then ok no-newline; else fail no-newline; fi
# A third one, to see what people are told; assertions for its target are signed by ES256.
run_job api-es /usr/bin/python3 job.py "$oidc_url" three.token >three.out 2>&1 || fail three "exit code $?: $(cat three.out)"
poll 120 ends 4 || fail three-ends "$(records | /usr/bin/python3 ends.py 4) $(tail -3 dev.log)"
says dead-since 'cloud:things.*revoked: dead since 2' mayfly credential ls --all --job "$(sed -n 's/^200 .* //p' three.out)"

records >records || fail records "$(cat audit.err)"
: >found
for f in one.token one.token.2 two.token three.token; do
	grep -rlFf $f records dev.log state >>found || true
done
if [ -s found ]; then fail no-secret "$(cat found)"; else ok no-secret; fi
dev_stop
finish
