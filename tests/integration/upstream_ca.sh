#!/bin/bash
# An upstream CA from files, the company made by openssl: init under its sub CA, a node and a job, rotation under the same root while a
# stream is open, a tainted intermediate, a new root, and every file that is wrong. mTLS of foreign libraries, if they are here.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
. "$MAYFLY_TOP/tests/lib/sh/mtls_pair.sh"
need openssl curl
scratch upstream-ca
key() { mayfly key ls -o json | json 'next((str(k["'"$2"'"]) for k in d["items"] if k["use"] == "x509" and k["state"] == "'"$1"'"), "")'; }
is() { [ -n "$(key "$1" id)" ]; }
fetch() { rm -rf "$1" && run_job long mayfly svid fetch --write "$1" >/dev/null 2>"$1.err"; }
all_confirmed() { mayfly key ls -o json | json 'all(k["agents"] == k["agents_confirmed"] > 0 for k in d["items"] if k["state"] == "prepared")' | grep -qx true; }

# --- a company: ca NAME EXTENSIONS DAYS [ISSUER] [NEWKEY...] ---
ca() {
	local name=$1 ext=$2 days=$3 issuer=${4:-}
	shift 4
	[ $# -gt 0 ] || set -- ec -pkeyopt ec_paramgen_curve:P-256
	(umask 077 && openssl req -new -newkey "$@" -nodes -keyout "$name.key" -subj "/O=Company/CN=$name" -out "$name.csr") 2>>openssl.log
	printf '%b\nsubjectKeyIdentifier=hash\n' "$ext" >"$name.ext"
	if [ -z "$issuer" ]; then
		openssl x509 -req -in "$name.csr" -key "$name.key" -days "$days" -extfile "$name.ext" -out "$name.pem"
	else
		echo 'authorityKeyIdentifier=keyid' >>"$name.ext"
		openssl x509 -req -in "$name.csr" -CA "$issuer.pem" -CAkey "$issuer.key" -CAcreateserial -days "$days" \
			-extfile "$name.ext" -out "$name.pem"
	fi 2>>openssl.log
}
signs='keyUsage=critical,keyCertSign,cRLSign'
ca root "basicConstraints=critical,CA:TRUE\n$signs" 3650 '' rsa:2048
ca sub "basicConstraints=critical,CA:TRUE,pathlen:1\n$signs" 30 root rsa:2048
cp sub.pem up.pem && (umask 077 && cp sub.key up.key) && cp root.pem roots.pem
upstream="{cert: $PWD/up.pem, key: $PWD/up.key, bundle: $PWD/roots.pem}"

# --- what init refuses: nothing is made, and the text says why ---
wrong() {	# NAME WORDS CERT KEY [ROOTS]: init with these files fails with these words
	local out
	rm -rf wrong && mkdir wrong
	cp "$3" wrong/up.pem && cp "$4" wrong/up.key && chmod "${MODE:-600}" wrong/up.key
	[ -z "${5:-}" ] || cp "$5" wrong/roots.pem
	set -- "$1" "$2" ${5:+--upstream-ca-bundle "$PWD/wrong/roots.pem"}
	if out=$(mayfly-broker init --trust-domain test.example --state-dir "$PWD/wrong/broker" --upstream-ca-cert "$PWD/wrong/up.pem" \
		--upstream-ca-key "$PWD/wrong/up.key" "${@:3}" 2>&1); then
		fail "refuses-$1" "init went through"
	elif [ -e wrong/broker/keys ]; then fail "refuses-$1" "there are keys"
	elif grep -q "$2" <<<"$out"; then ok "refuses-$1"; else fail "refuses-$1" "$out"; fi
}
ca nosign 'basicConstraints=critical,CA:TRUE,pathlen:1\nkeyUsage=critical,digitalSignature' 30 root
ca noca 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature' 30 root
ca short "basicConstraints=critical,CA:TRUE,pathlen:0\n$signs" 30 root
ca expired "basicConstraints=critical,CA:TRUE,pathlen:1\n$signs" 0 root
ca foreign "basicConstraints=critical,CA:TRUE,pathlen:1\n$signs\nsubjectAltName=URI:spiffe://other.example" 30 root
ca mid "basicConstraints=critical,CA:TRUE\n$signs" 30 root
ca low "basicConstraints=critical,CA:TRUE\n$signs" 30 mid
ca root2 "basicConstraints=critical,CA:TRUE\n$signs" 3650 ''
ca sub2 "basicConstraints=critical,CA:TRUE,pathlen:1\n$signs" 365 root2 ec -pkeyopt ec_paramgen_curve:P-384
wrong key 'not the key of the first certificate' up.pem root.key roots.pem
wrong no-ca 'is not a CA' noca.pem noca.key roots.pem
wrong no-sign 'keyCertSign' nosign.pem nosign.key roots.pem
wrong path-length 'pathLen 1 or more' short.pem short.key roots.pem
wrong expired 'expired .* s ago' expired.pem expired.key roots.pem
wrong foreign 'another trust domain' foreign.pem foreign.key roots.pem
wrong no-path 'no path to a root' up.pem up.key root2.pem
wrong no-bundle 'bundle is missing' up.pem up.key
wrong not-a-root 'is not a root' up.pem up.key sub.pem
wrong not-pem 'not certificates in PEM' up.key up.key roots.pem
cat low.pem mid.pem >long.pem
wrong too-many '2 certificates between ours and the root' long.pem low.key roots.pem
(umask 077 && openssl pkey -in up.key -aes256 -passout pass:x -out sealed.key)
wrong encrypted 'is encrypted' up.pem sealed.key roots.pem
MODE=644 wrong readable 'upstream_ca.key' up.pem up.key roots.pem

# --- init, a node, a job ---
pair_init key_publish 1h lease_ttl 60s heartbeat 1s upstream_ca "$upstream"
relay_up
broker_up
agent_up && ok node-joins-by-token
first=$(key active id)
says is-upstream upstream mayfly key ls -o json
fetch a && ok svid || fail svid "$(cat a.err)"
[ "$(grep -c BEGIN a/svid.pem)" = 3 ] && ok chain-of-three || fail chain-of-three "$(grep -c BEGIN a/svid.pem)"
subjects() { openssl crl2pkcs7 -nocrl -certfile "$1" | openssl pkcs7 -print_certs -noout | grep subject; }
order() { subjects a/svid.pem | sed -n 1p | grep -q 'j-' && subjects a/svid.pem | sed -n 2p | grep -q test.example && subjects a/svid.pem | sed -n 3p | grep -q 'CN *= *sub'; }
order && ok leaf-first || fail leaf-first "$(subjects a/svid.pem)"
verifies() {	# DIR ROOT: the leaf by that root alone, the rest from its own chain
	openssl verify -x509_strict -CAfile "$2" -untrusted "$1/svid.pem" "$1/svid.pem" >verify.log 2>&1
}
verifies a root.pem && ok openssl-by-root-alone || fail openssl-by-root-alone "$(cat verify.log)"
mayfly bundle show >bundle.pem
only_root() { mayfly bundle show >bundle.pem && [ "$(grep -c BEGIN bundle.pem)" = 1 ] && cmp -s <(openssl x509 -in bundle.pem -outform DER) <(openssl x509 -in "$1" -outform DER); }
only_root root.pem && ok bundle-is-the-root || fail bundle-is-the-root "$(subjects bundle.pem)"
says bundle-document-too '^1$' run_job long sh -c 'mayfly bundle show -o spiffe | grep -o "\"x5c\"" | wc -l'
ends() { date -d "$(openssl x509 -in "$1" -noout -enddate | cut -d= -f2)" +%s; }
sed -n '/BEGIN/,/END/p' a/svid.pem | awk '/BEGIN/ { n++ } n == 2' >ours.pem
says ours-is-an-svid 'URI:spiffe://test.example$' openssl x509 -in ours.pem -noout -ext subjectAltName
[ "$(ends ours.pem)" = "$(ends sub.pem)" ] && ok capped-by-upstream || fail capped-by-upstream "$(ends ours.pem) $(ends sub.pem)"
says ours-ends-the-path 'pathlen:0' openssl x509 -in ours.pem -noout -ext basicConstraints
grep -rqF "$(sed -n 2p up.key)" broker run && fail key-is-not-stored "the upstream key lies in the state directory" || ok key-is-not-stored

# --- another intermediate under the same root, while a stream is open: the bundle's content stays, nobody is disturbed ---
run_job long mayfly svid watch -o json >watch.log 2>&1 &
watcher=$!
on_exit stop $watcher
poll 60 grep -q '"serial"' watch.log
said=$(grep -c '"serial"' watch.log)
mayfly node token --uses 5 >old-token 2>/dev/null
check prepare mayfly key prepare --reason 'test: rotation'
poll 60 all_confirmed || fail confirmed "$(mayfly key ls)"
says tokens-stay-good active mayfly key activate --force
second=$(key active id)
only_root root.pem && ok same-bundle || fail same-bundle "$(subjects bundle.pem)"
fetch b && verifies b root.pem && verifies a root.pem && ok both-verify || fail both-verify "$(cat b.err verify.log)"
[ "$first" != "$second" ] && [ "$(grep -c '"serial"' watch.log)" = "$said" ] && ok stream-is-not-disturbed || fail stream-is-not-disturbed "$(cat watch.log)"
mkdir -p run2
sed -e "s,$PWD/agent\$,$PWD/agent2," -e "s,$PWD/run,$PWD/run2," -e "s,$PWD/token,$PWD/old-token," -e "s,127.0.0.1:$P_MA,127.0.0.1:$(free_port)," agent.yaml >agent2.yaml
chmod 600 old-token
mayfly-agent run --config "$PWD/agent2.yaml" >agent2.log 2>&1 </dev/null &
echo $! >agent2.pid
on_exit pair_kill agent2
if poll 120 grep -q 'trust.bundle' agent2.log && ! grep -q 'outer.alarm' agent2.log; then ok token-of-before; else fail token-of-before "$(tail -3 agent2.log)"; fi
pair_kill agent2
: >agent2.pid

# --- tainted: renewed at once; revoked is not said of what verifiers go on accepting ---
check taint mayfly key taint "$first" --reason 'test: stolen'
renewed() { [ "$(grep -c '"serial"' watch.log)" -gt "$said" ]; }
poll 60 renewed && ok taint-renews || fail taint-renews "$(tail -3 agent.log)"
serial=$(openssl x509 -in ours.pem -noout -serial | sed 's/serial=//' | tr A-F a-f)
says revoke-says-why "serial $serial in its own CRL" sh -c "mayfly key revoke '$first' 2>&1; true"
says still-tainted tainted mayfly key ls
kill -KILL "$(role_pid notary)"
poll 120 fetch c && verifies c root.pem && ok after-a-restart || fail after-a-restart "$(cat c.err verify.log)"

# --- files that went bad are refused at the next prepare, and what runs goes on ---
hup() { kill -HUP "$(cat broker.pid)"; }
cp root2.pem up.pem
hup
bad() { mayfly key prepare 2>&1 | grep -q 'not the key of the first certificate'; }
poll 60 bad && ok prepare-refuses || fail prepare-refuses "$(mayfly key prepare 2>&1)"
fetch d && ok goes-on || fail goes-on "$(cat d.err)"

# --- a new root: in the bundle before it is used ---
cp sub2.pem up.pem
cat sub2.key >up.key
cp root2.pem roots.pem
hup
try() { mayfly key prepare >prepare.log 2>&1 || is prepared; }
poll 60 try && ok new-root-prepared || fail new-root-prepared "$(cat prepare.log)"
poll 60 all_confirmed
[ "$(mayfly bundle show | grep -c BEGIN)" = 2 ] && ok both-roots || fail both-roots "$(mayfly bundle show)"
fetch e && verifies e root.pem && ok old-root-signs || fail old-root-signs "$(cat verify.log)"
check activate-new-root mayfly key activate --force
fetch f && verifies f root2.pem && ok new-root-signs || fail new-root-signs "$(cat verify.log)"
kill -0 $watcher && ok stream-survived || fail stream-survived "$(tail -2 watch.log)"
says log-verifies 'ok|good|verified' mayfly audit verify

# --- foreign libraries: the chain in mTLS, both ways ---
if go=$(go_program "$MAYFLY_TOP/tests/interop/go" mfinterop); then
	td=$(run_job alpha "$go" fetch | json 'd["svids"][0]["id"].rsplit("/", 1)[0]')
	says go-chain '"chain":3' run_job long "$go" fetch
	pair mtls-go-go "$go" "$go"
	if py=$(python_with "$MAYFLY_TOP/tests/interop/python/requirements.txt"); then
		mfpy="$py $MAYFLY_TOP/tests/interop/python/mfpy.py"
		pair mtls-go-python "$go" "$mfpy"
		pair mtls-python-go "$mfpy" "$go"
	else
		skip mtls-go-python "$(toolchain_why)"
	fi
else
	skip mtls-go-go "$(toolchain_why)"
fi
finish
