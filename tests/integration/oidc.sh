#!/bin/bash
# The OIDC documents from outside: written and signed by the notary, served by the publisher over TLS as they lie there, known before a
# key signs; copied and checked by `mayfly oidc export`. The publisher's death, another certificate, hostile clients.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch oidc
port=$(free_port)
issuer=https://localhost:$port/td1
certificate() {	# NAME CN
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.pem" -days 2 -subj "/CN=$2" \
		-addext subjectAltName=DNS:localhost,IP:127.0.0.1 >/dev/null 2>&1 && chmod 600 "$1.key"
}
certificate tls one
pair_init key_publish 1s oidc "{issuer: $issuer, public: publisher, listen: 127.0.0.1:$port, certificate: $PWD/tls.pem, key: $PWD/tls.key}"
broker_up
get() { curl -sf --cacert "$PWD/tls.pem" --max-time 30 "$@"; }
field() { json "$1" <"$2"; }
active() { mayfly key ls -o json | json 'next((k["id"] for k in d["items"] if k["use"] == "'"$1"'" and k["state"] == "'"${2:-active}"'"), "")'; }
rs=jwt-assertion-rs256
first=$(active $rs)

# --- what is served is what an OIDC relying party looks for ---
get "$issuer/.well-known/openid-configuration" >disc && [ "$(field 'd["issuer"]' disc)" = "$issuer" ] && ok discovery || fail discovery "$(cat disc)"
get "$(field 'd["jwks_uri"]' disc)" >keys && [ "$(field 'd["keys"][0]["kid"]' keys)" = "$first" ] && ok signer-first || fail signer-first "$(cat keys) $first"
field '[k["use"] + k["alg"] + k["kty"] for k in d["keys"]] == ["sigRS256RSA", "sigES256EC"]' keys | grep -qx true && ok both-algorithms || fail both-algorithms "$(cat keys)"
get "$issuer/x5c/.well-known/openid-configuration" >xdisc && get "$(field 'd["jwks_uri"]' xdisc)" >xkeys
[ "$(field '[k["kid"] for k in d["keys"]]' xkeys)" = "[\"$first\"]" ] && ok x5c-one-key || fail x5c-one-key "$(cat xkeys)"
field 'd["keys"][0]["x5c"][0]' xkeys | base64 -d 2>/dev/null | openssl x509 -inform DER -noout -pubkey >x5c.pub 2>&1
/usr/bin/python3 -c '
import base64, json, subprocess
n = json.load(open("xkeys"))["keys"][0]["n"]
want = base64.urlsafe_b64decode(n + "=" * (-len(n) % 4)).hex().upper()
got = subprocess.run(["openssl", "rsa", "-pubin", "-in", "x5c.pub", "-noout", "-modulus"], capture_output=True, text=True).stdout.strip()
raise SystemExit(got != "Modulus=" + want)' && ok x5c-is-the-key || fail x5c-is-the-key "$(cat x5c.pub)"
get -I "$issuer/keys" >answer && grep -qi '^cache-control: max-age=60' answer && ok cache-control || fail cache-control "$(cat answer)"
# The SPIFFE bundle holds none of them, and they none of its keys.
mayfly bundle show -o jwks >bundle 2>&1
! grep -qF "$first" bundle && ok not-in-the-bundle || fail not-in-the-bundle "$(cat bundle)"
! grep -qF "$(active jwt-svid-rs256)" keys && ok no-svid-key || fail no-svid-key "$(cat keys)"

# --- nothing else is served, and nothing in clear ---
for p in / /keys /td1/manifest /td1/../td1/keys /td1//keys /td1/%6beys /td1/keys/ /metrics; do
	code=$(curl -s -o /dev/null -w '%{http_code}' --path-as-is --cacert tls.pem --max-time 30 "https://localhost:$port$p")
	[ "$code" = 404 ] && ok "404$p" || fail "404$p" "$code"
done
refuses in-clear curl -sf --max-time 30 "http://localhost:$port/td1/keys"
refuses post get -X POST -d x "$issuer/keys"
refuses tls-1.1 get --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 "$issuer/keys"
pub=$(role_pid publisher)
[ -n "$pub" ] && ok runs || fail runs "no publisher"
# One socket that listens, one to the supervisor, none to another role.
[ "$(find "/proc/$pub/fd" -lname 'socket:*' 2>/dev/null | wc -l)" -le 4 ] && ok sockets || fail sockets "$(ls -l "/proc/$pub/fd")"

# --- a key is shown before it signs; the one that signs is first ---
says prepare prepared mayfly key prepare --use $rs --reason 'test: rotation'
second=$(active $rs prepared)
shown() { get "$issuer/keys" >k2 && grep -qF "$1" k2; }
poll 60 shown "$second" && ok shown-before || fail shown-before "$(cat k2)"
[ "$(field 'd["keys"][0]["kid"]' k2)" = "$first" ] && ok old-one-signs || fail old-one-signs "$(cat k2)"
activated() { mayfly key activate --use $rs --reason 'test: rotation'; }
poll 60 activated && ok activate || fail activate "$(mayfly key ls)"
x5c_is() { get "$issuer/x5c/keys" >x2 && [ "$(field '[k["kid"] for k in d["keys"]]' x2)" = "[\"$1\"]" ]; }
poll 60 x5c_is "$second" && ok x5c-follows || fail x5c-follows "$(cat x2)"
shown "$first" && ok old-one-stays || fail old-one-stays "$(cat k2)"
says taint effective mayfly key taint "$first" --reason 'test: stolen'
says revoke effective mayfly key revoke "$first" --reason 'test: stolen'
gone_from() { get "$issuer/keys" >k2 && ! grep -qF "$1" k2; }
poll 60 gone_from "$first" && ok revoked-is-out || fail revoked-is-out "$(cat k2)"

# --- export: what the notary signed, or nothing ---
export_to() { rm -rf "$1"; mayfly oidc export "$@"; }
says export-standard "$issuer" export_to out
for f in .well-known/openid-configuration keys; do cmp -s "out/$f" <(get "$issuer/$f") && ok "export-$f" || fail "export-$f" "$(ls -R out)"; done
says export-x5c "x5c" export_to out-x --render x5c
cmp -s out-x/keys <(get "$issuer/x5c/keys") && ok export-x5c-keys || fail export-x5c-keys "$(ls -R out-x)"
says export-gcp "jwks.json" export_to out-g --render gcp
cmp -s out-g/jwks.json out/keys && ok export-gcp-keys || fail export-gcp-keys "$(ls -R out-g)"
cp -r broker/public kept && chmod -R u+w kept
forged() {	# NAME: what is in the directory now is refused, and nothing is written
	rm -rf out-f
	refuses "export-$1" mayfly oidc export out-f --from "$PWD/kept" --key "$PWD/broker/log/vkey"
	[ ! -e out-f/keys ] && ok "export-$1-writes-nothing" || fail "export-$1-writes-nothing" "$(ls out-f)"
	rm -rf kept && cp -r broker/public kept && chmod -R u+w kept
}
check export-copy mayfly oidc export out-c --from "$PWD/kept" --key "$PWD/broker/log/vkey"
sed -i 's/RS256/RS257/' kept/keys
forged forged-keys
sed -i "s/$second/$first/" kept/x5c-keys
forged forged-x5c
: >kept/openid-configuration
forged torn
sed -i 's/^revision .*/revision 9999/' kept/manifest
forged forged-manifest
rm kept/manifest
forged no-manifest

# Where the directory is not on this machine: by the admin socket, and what is carried is checked like any copy.
check fetch mayfly oidc fetch far
says export-fetched "$issuer" mayfly oidc export out-r --from "$PWD/far" --key "$PWD/broker/log/vkey"
cmp -s out-r/keys out/keys && ok export-fetched-keys || fail export-fetched-keys "$(ls -R out-r far)"
sed -i 's/RS256/RS257/' far/keys
refuses export-fetched-forged mayfly oidc export out-n --from "$PWD/far" --key "$PWD/broker/log/vkey"

# The page's own commands.
sed -n '/^```sh$/,/^```$/{/^```/d;p}' "$MAYFLY_TOP/docs/how-to/publish-oidc.md" >page.sh
check page sh -e page.sh && cmp -s site/keys out/keys && ok page-copies || fail page-copies "$(ls -R site)"

# --- the publisher dies and is back; another certificate is taken without a restart; a broken one changes nothing ---
kill -KILL "$pub"
back() { [ "$(role_pid publisher)" != "$pub" ] && shown "$second"; }
poll 60 back && ok back || fail back "$(tail -3 broker.log)"
certificate next two
cp tls.pem old.pem
cp next.pem tls.pem && cp next.key tls.key && chmod 600 tls.key
kill -HUP "$(cat broker.pid)"
poll 60 shown "$second" && ok new-certificate || fail new-certificate "$(tail -3 broker.log)"
echo broken >tls.key
kill -HUP "$(cat broker.pid)"
poll 60 grep -q 'publisher.certificate.*force stays' broker.log && shown "$second" && ok broken-key-changes-nothing || fail broken-key-changes-nothing "$(tail -3 broker.log)"
grep -q violation broker.log && fail no-violation "$(grep violation broker.log)" || ok no-violation

# --- written anew at a start, whatever lies there ---
broker_down
cp next.key tls.key
chmod u+w broker/public/* 2>/dev/null
echo '{"keys":[]}' >broker/public/keys
broker_up
poll 60 shown "$second" && ok written-anew || fail written-anew "$(cat k2)"
finish
