#!/bin/bash
# JWT-SVIDs with a broker and an agent as an operator runs them: on record before they leave, ended with their job, judged by
# the keys of their own trust domain; foreign trust domains from files, read again at SIGHUP, all or nothing.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch jwt

# The other trust domain: one key that signs its certificates and its tokens.
openssl ecparam -name prime256v1 -genkey -noout -out partner.key 2>/dev/null
openssl req -x509 -new -key partner.key -subj /O=partner -days 2 -out partner.pem \
    -addext subjectAltName=URI:spiffe://partner.example -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
cat >partner.py <<'EOF'
import base64, json, subprocess, sys, time
def b64(b): return base64.urlsafe_b64encode(b).rstrip(b"=").decode()
def run(*a, data=None): return subprocess.run(["openssl", *a], input=data, capture_output=True, check=True).stdout
if sys.argv[1] == "bundle":
    point = run("ec", "-in", "partner.key", "-pubout", "-outform", "DER")[-64:]
    ec = {"kty": "EC", "crv": "P-256", "x": b64(point[:32]), "y": b64(point[32:])}
    der = base64.b64encode(run("x509", "-in", "partner.pem", "-outform", "DER")).decode()
    print(json.dumps({"keys": [dict(ec, use="x509-svid", x5c=[der]), dict(ec, use="jwt-svid", kid="p1"),
        {"kty": "AKP", "use": "jwt-svid"}], "spiffe_sequence": 1}))
else:
    head, body = {"alg": "ES256", "kid": "p1"}, {"sub": sys.argv[2], "aud": "one.example", "exp": int(time.time()) + 300}
    text = ".".join(b64(json.dumps(x).encode()) for x in (head, body))
    der = run("dgst", "-sha256", "-sign", "partner.key", data=text.encode())
    n = der[3]
    r, s = der[4:4 + n], der[6 + n:]
    print(text + "." + b64(b"".join(x.lstrip(b"\0").rjust(32, b"\0") for x in (r, s))))
EOF
/usr/bin/python3 partner.py bundle >partner.json
pair_init foreign_bundles "[{trust_domain: partner.example, file: $PWD/partner.json}]"
relay_up
broker_up
agent_up

# Invariant 1 and the record: a token that came is in the log, by its hash.
run_job long sh -c 'mayfly svid fetch --jwt --audience one.example >token.out' >first.log 2>&1 || fail fetch "$(cat first.log)"
jwt_hash=$(tr -d '\n' <token.out | sha256sum | cut -d' ' -f1)
says recorded "$jwt_hash" mayfly audit find --type jwt.issued -o json
says aud-recorded '"aud": *\["one.example"\]' mayfly audit find --type jwt.issued -o json
jti=$(mayfly audit find --type jwt.issued -o json | json 'd["items"][0]["record"]["serial"] if "record" in d["items"][0] else d["items"][0]["serial"]')
ended() { mayfly audit find --type lease.ended -o json | grep -q "$jti"; }
poll 60 ended && ok ends-with-the-job || fail ends-with-the-job "$jti: $(mayfly audit find --type lease.ended -o json)"
run_job long mayfly svid fetch --jwt --audience elsewhere >denied.log 2>&1 && fail denied "it was given"
grep -q '"elsewhere" is not in jwt_audiences of profile long' denied.log && ok denied || fail denied "$(cat denied.log)"
says denial-recorded elsewhere mayfly audit find --type authz.denied -o json

# From inside a job.
inside() { run_job long sh -c "$1"; }
says listed jwt-svid inside 'mayfly svid fetch --jwt --audience one.example >/dev/null; mayfly credential ls'
says foreign-x509 partner.example inside 'mayfly bundle show -o json'
says foreign-keys '"kid":"p1"' inside 'mayfly bundle show -o jwks --trust-domain partner.example'
refuses not-mixed inside 'mayfly bundle show -o jwks --trust-domain test.example | grep -F "\"kid\":\"p1\""'

# JWT-11, BND-8: their key speaks for them, and never for us.
/usr/bin/python3 partner.py token spiffe://partner.example/w >theirs
/usr/bin/python3 partner.py token spiffe://test.example/w >forged
says foreign-token 'spiffe://partner.example/w' inside 'mayfly svid validate --audience one.example <theirs'
refuses foreign-audience inside 'mayfly svid validate --audience two.example <theirs'
refuses forged inside 'mayfly svid validate --audience one.example <forged'

# A broken file changes nothing; an empty bundle takes all trust away (BND-7), without a restart.
cp partner.json good.json
echo '{}' >partner.json
kill -HUP "$(cat broker.pid)"
poll 60 grep -q foreign.rejected broker.log && ok bad-file-told || fail bad-file-told "$(tail -3 broker.log)"
says bad-file-changes-nothing 'partner.example/w' inside 'mayfly svid validate --audience one.example <theirs'
echo '{"keys": []}' >partner.json
kill -HUP "$(cat broker.pid)"
gone_now() { ! inside 'mayfly svid validate --audience one.example <theirs' >out 2>&1; }
# FED-18
poll 60 gone_now && ok withdrawn || fail withdrawn "$(cat out)"
cp good.json partner.json
kill -HUP "$(cat broker.pid)"
back_now() { inside 'mayfly svid validate --audience one.example <theirs' >out 2>&1; }
poll 60 back_now && ok given-again || fail given-again "$(cat out)"

# The notary dies: the next one has the same keys, and tokens of before are still good.
inside 'mayfly svid fetch --jwt --audience one.example' >before 2>/dev/null
kill -9 "$(role_pid notary)"
again() { inside 'mayfly svid fetch --jwt --audience one.example' >after 2>/dev/null; }
poll 120 again && ok after-restart || fail after-restart "$(tail -3 broker.log)"
says same-keys 'test.example/' inside 'mayfly svid validate --audience one.example <before'
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
