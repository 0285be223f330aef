#!/bin/bash
# libmayfly against SPIRE's agent: what holds with ours must hold with theirs; and the two side by side, trusting each other by
# files. Skipped where SPIRE's programs are not here (tests/lib/sh/spire.sh says where they are looked for).
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/libmayfly.sh"
. "$MAYFLY_TOP/tests/lib/sh/spire.sh"
need cmake pkg-config gcc openssl
spire_here
scratch spire
lib_install || { fail install "$(cat install.log)"; finish; }
for p in fetch_svid watch_poll jwt_fetch; do check "build-$p" lib_cc "$MAYFLY_TOP/examples/$p.c" $p; done
check build-mfc lib_cc "$MAYFLY_TOP/tests/interop/c/mfc.c" mfc
for p in alpha beta wrong; do cp mfc mfc-$p; done
spire_up
echo "SPIRE $(spire-server --version 2>&1 | head -1)"
TD=spiffe://spire.example
mkfifo never
exec 9<>never # an input that never ends

# --- fetch, several identities ---
# Nobody yet: PERMISSION_DENIED is tried again until the time is over.
rc=0
in_spire ./fetch_svid >out 2>&1 || rc=$?
if [ $rc = 2 ] && grep -q 'no identity issued' out; then ok stranger; else fail stranger "exit code $rc: $(cat out)"; fi
first=$(entry job "unix:uid:$(id -u)" -x509SVIDTTL 20)
poll 60 in_spire ./fetch_svid && says fetch "^id=$TD/job hint= serial=[0-9a-f]+ " in_spire ./fetch_svid || fail fetch "$(tail -3 spire/agent.log)"
second=$(entry job/internal "unix:uid:$(id -u)" -hint internal)
several() { [ "$(in_spire ./fetch_svid | wc -l)" = 2 ]; }
poll 60 several && ok several || fail several "$(in_spire ./fetch_svid)"
says hint "^id=$TD/job/internal hint=internal " in_spire ./fetch_svid
orders=$(for _ in 1 2 3 4 5; do in_spire ./fetch_svid | sed 's/ serial.*//' | tr '\n' ','; echo; done | sort -u | wc -l)
[ "$orders" = 1 ] && ok stable-order || fail stable-order "$orders orders"
says bundles '^spire.example$' in_spire ./mfc bundles

# --- tokens: of all identities, checked here and by their agent; another service refuses them ---
says jwt "^subject=$TD/job" in_spire ./jwt_fetch vault.example
says jwt-of-each-identity ' tokens=2$' in_spire ./jwt_fetch vault.example
says jwt-by-agent "^by-agent=$TD/job" in_spire ./jwt_fetch vault.example
rc=0
in_spire ./jwt_fetch vault.example other.example >out 2>&1 || rc=$?
if [ $rc = 3 ] && [ "$(grep -c refused out)" = 2 ]; then ok jwt-other-audience; else fail jwt-other-audience "exit code $rc: $(cat out)"; fi
check entry-of-two-goes srv entry delete -entryID "$second"

# --- renewals, a rotation of the CA, an agent that is started anew: one watch lives through all of it ---
in_spire ./watch_poll <&9 >watch.out 2>watch.err &
watcher=$!
on_exit stop $watcher
# renewed N: lines of N different certificates
renewed() { [ "$(grep '^updated' watch.out | sed 's/.*serial=//' | sort -u | wc -l)" -ge "$1" ]; }
poll 240 renewed 3 && ok renewals || fail renewals "$(cat watch.out watch.err)"
issuer() { in_spire mayfly svid fetch -o json | json 'd["items"][0]["bundle"]' | grep -c BEGIN; }
[ "$(issuer)" = 1 ] || fail one-authority "$(issuer)"
srv localauthority x509 prepare -output json >prepared.json 2>&1 || fail authority-prepared "$(cat prepared.json)"
id=$(json 'd["prepared_authority"]["authority_id"]' <prepared.json)
two() { [ "$(issuer)" = 2 ]; }
poll 60 two && ok new-authority-is-pushed || fail new-authority-is-pushed "$(issuer)"
check authority-activated srv localauthority x509 activate -authorityID "$id"
n=$(grep -c '^updated' watch.out)
renewed_twice() { [ "$(grep -c '^updated' watch.out)" -ge $((n + 2)) ]; }
poll 240 renewed_twice && ok renewals-by-new-authority || fail renewals-by-new-authority "$(tail -3 watch.out watch.err)"
spire_agent_down
poll 60 grep -q . watch.err && ok lost-agent-is-said || fail lost-agent-is-said "$(cat watch.err)"
refuses identity-is-kept-meanwhile grep -q '^dropped' watch.out
n=$(grep -c '^updated' watch.out)
spire_agent_up
again() { [ "$(grep -c '^updated' watch.out)" -gt "$n" ]; }
# WAPI-22: it connects again by itself, and kept its state meanwhile.
poll 240 again && ok watch-comes-back || fail watch-comes-back "$(tail -3 watch.out watch.err)"
# The entry is deleted while the program runs: it lets go of its identity.
srv entry delete -entryID "$first" >/dev/null || fail entry-deleted "cannot delete"
rc=0
poll 120 gone $watcher || kill -TERM $watcher
wait $watcher || rc=$?
if [ $rc = 2 ] && grep -q '^dropped none' watch.out; then ok entry-deleted; else fail entry-deleted "exit code $rc: $(cat watch.out watch.err)"; fi

# --- mutual TLS of two workloads of SPIRE, over renewals of both ---
entry alpha "unix:path:$PWD/mfc-alpha" -x509SVIDTTL 20 >/dev/null
entry beta "unix:path:$PWD/mfc-beta" -x509SVIDTTL 20 >/dev/null
entry wrong "unix:path:$PWD/mfc-wrong" >/dev/null
for p in alpha beta wrong; do poll 60 in_spire ./mfc-$p bundles || fail "entry-$p" "not served"; done
in_spire ./mfc-alpha server $TD/beta port >server.out 2>&1 &
on_exit stop $!
server=$!
if poll 60 test -s port && in_spire ./mfc-beta client $TD/alpha port 2 >client.out 2>&1; then ok mtls; else fail mtls "$(cat client.out server.out)"; fi
refuses mtls-wrong-client in_spire ./mfc-wrong client $TD/alpha port 1
refuses mtls-wrong-server in_spire ./mfc-beta client $TD/gamma port 1
stop $server

# --- side by side: our agent's jobs and theirs, each other's bundle by file ---
check their-bundle sh -c 'umask 077; spire-server bundle show -format spiffe -socketPath spire/server.sock >theirs.json'
cat >policy.yaml <<E
mayfly_policy: 1
profiles:
  ours:
    purpose: test
    owner: tests
    identities:
      - {path: "/ours", hint: ours, x509_ttl: 20s}
    jwt_audiences: [theirs.example]
rules:
  - {id: ours, effect: permit, profile: ours, owner: tests, review_by: 2099-01-01, nodes: any,
     when: {contains: [attested.unix.uid, "$(id -u)"]}}
E
dev_start --policy policy.yaml --broker "foreign_bundles=[{trust_domain: spire.example, file: $PWD/theirs.json}]"
OURS=spiffe://$(run_job ours ./mfc bundles | grep -vx spire.example)
[ "$(run_job ours ./mfc bundles | sort | tr '\n' ' ')" = "$(printf '%s\n' "${OURS#spiffe://}" spire.example | sort | tr '\n' ' ')" ] &&
	ok their-bundle-is-served || fail their-bundle-is-served "$(run_job ours ./mfc bundles)"
# Not yet the other way: their workload has no bundle of ours, and trusts nothing of us.
in_spire ./mfc-alpha server $OURS/ours port2 >server2.out 2>&1 &
server=$!
on_exit stop $server
poll 60 test -s port2
refuses one-way-is-not-two run_job ours ./mfc client $TD/alpha port2 1
stop $server
# The SPIFFE document of ours: certificates and JWT keys.
run_job ours mayfly bundle show -o spiffe >ours.json || fail our-document "$(cat ours.json)"
check our-bundle srv bundle set -format spiffe -id "$OURS" -path ours.json
says our-bundle-as-they-see-it '"jwt-svid"' srv bundle list -format spiffe -id "$OURS"
for p in alpha beta; do
	srv entry show -spiffeID $TD/$p | sed -n 's/^Entry ID *: //p' >id
	srv entry update -entryID "$(cat id)" -parentID $TD/node -spiffeID $TD/$p -selector "unix:path:$PWD/mfc-$p" -x509SVIDTTL 20 \
	    -federatesWith "$OURS" >update.out 2>&1 || fail "federates-$p" "$(cat update.out)"
done
both() { in_spire ./mfc-alpha bundles | grep -qx "${OURS#spiffe://}" && in_spire ./mfc-beta bundles | grep -qx "${OURS#spiffe://}"; }
poll 60 both && ok our-bundle-is-served || fail our-bundle-is-served "$(in_spire ./mfc-alpha bundles)"
# across NAME SERVER... -- CLIENT...: mutual TLS until two certificates of each side were seen
across() {
	local name=$1 s=() pid
	shift
	while [ "$1" != -- ]; do s+=("$1"); shift; done
	shift
	rm -f port3
	"${s[@]}" >server3.out 2>&1 &
	pid=$!
	on_exit stop $pid
	if poll 60 test -s port3 && "$@" >client3.out 2>&1; then ok "$name"; else fail "$name" "$(cat client3.out server3.out)"; fi
	stop $pid
}
across ours-to-theirs in_spire ./mfc-alpha server $OURS/ours port3 -- run_job ours ./mfc client $TD/alpha port3 2
across theirs-to-ours run_job ours ./mfc server $TD/beta port3 -- in_spire ./mfc-beta client $OURS/ours port3 2
if go=$(go_program "$MAYFLY_TOP/tests/interop/go" mfinterop); then
	cp "$go" mfgo
	id=$(entry go "unix:path:$PWD/mfgo" -x509SVIDTTL 20 -federatesWith "$OURS")
	poll 60 in_spire ./mfgo fetch || fail go-entry "$id"
	across ours-to-go-spiffe-of-theirs in_spire ./mfgo server $OURS/ours port3 -- run_job ours ./mfc client $TD/go port3 2
	across go-spiffe-of-theirs-to-ours run_job ours ./mfc server $TD/go port3 -- in_spire ./mfgo client $OURS/ours port3 2
else
	skip go-spiffe-of-theirs "$(toolchain_why)"
fi
# Tokens across: theirs to our job's agent, ours to their agent.
entry tok "unix:path:$(command -v mayfly)" -federatesWith "$OURS" >/dev/null
poll 60 in_spire mayfly svid fetch || fail tok "not served"
in_spire mayfly svid fetch --jwt --audience ours.example >theirs.jwt 2>jwt.err || fail their-jwt "$(cat jwt.err)"
says their-jwt-here "$TD/tok" run_job ours mayfly svid validate --audience ours.example "$(cat theirs.jwt)"
refuses their-jwt-for-others run_job ours mayfly svid validate --audience theirs.example "$(cat theirs.jwt)"
run_job ours mayfly svid fetch --jwt --audience theirs.example >ours.jwt 2>jwt.err || fail our-jwt "$(cat jwt.err)"
says our-jwt-there "$OURS/ours" in_spire mayfly svid validate --audience theirs.example "$(cat ours.jwt)"
dev_stop
finish
