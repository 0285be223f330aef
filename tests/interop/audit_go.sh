#!/bin/bash
# Strangers verify our log: Go's sumdb/note and sumdb/tlog the head and the tree, openssl the signature. Each way to
# damage it is refused by them and by `mayfly audit verify` alike.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
go=$(go_program "$MAYFLY_TOP/tests/interop/audit-go" audit-go) || { skip all "$(toolchain_why)"; exit 0; }
need openssl cmake
dev=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}
audit=$MAYFLY_BUILD/libexec/mayfly/mayfly-audit
(cd "$MAYFLY_TOP" && { [ -f "$dev/CMakeCache.txt" ] || cmake --preset dev; } && cmake --build "$dev" --target mf_mklog) \
    >/dev/null 2>&1
[ -x "$dev/tests/mf_mklog" ] || { fail build "mf_mklog does not build"; finish; }
[ -x "$audit" ] || { fail build "there is no $audit: build first"; finish; }
scratch audit-go

# Sizes around the tree's edges; batches that do not divide them; many segments.
for n in 0 1 2 255 256 257 5000; do
	vkey=$("$dev/tests/mf_mklog" "log$n" $n 3 7 16384) || fail make "mf_mklog $n"
	says "go-$n" "ok signed=$n unsigned=3" "$go" "log$n" "$vkey"
done
v=$("$dev/tests/mf_mklog" good 3000 0 5 16384)
says ours '^ok' "$audit" verify good --key "$v"

# The signature by openssl alone: body up to the empty line, base64 less the four bytes of the key id.
sed '/^$/,$d' good/checkpoint >body
sed -n 's/^— [^ ]* //p' good/checkpoint | base64 -d | tail -c +5 >sig
{ printf '\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00'; cut -d+ -f3- good/vkey | base64 -d | tail -c +2; } >pub.der
openssl pkey -pubin -inform DER -in pub.der -out pub.pem
says openssl 'Verified Successfully' openssl pkeyutl -verify -rawin -pubin -inkey pub.pem -in body -sigfile sig

# both NAME: the copy in bad/ is refused by the stranger and by us, as proven bad
both() {
	local rc=0
	"$go" bad "${key:-$v}" >go.out 2>&1 || rc=$?
	if [ $rc = 1 ]; then ok "$1-go"; else fail "$1-go" "exit code $rc: $(cat go.out)"; fi
	rc=0
	"$audit" verify bad --key "${key:-$v}" >ours.out 2>&1 || rc=$?
	if [ $rc = 1 ] && grep -qE "${2:-first bad index}" ours.out; then ok "$1-ours"; else
		fail "$1-ours" "exit code $rc: $(cat ours.out)"
	fi
}
fresh() { rm -rf bad && cp -r good bad; }
poke() { printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
mapfile -t seg < <(cd good/wal && ls -- *.seg)

fresh && poke "bad/wal/${seg[0]}" 100 X && both edited 'first bad index 0:'
fresh && rm "bad/wal/${seg[-1]}" && both cut-segment
fresh && truncate -s -40 "bad/wal/${seg[-1]}" && both cut-frame
fresh && truncate -s -40 "bad/wal/${seg[1]}" && both cut-middle
fresh && rm "bad/wal/${seg[0]}" && both cut-front 'first bad index 0:'
fresh && mv "bad/wal/${seg[1]}" bad/x && mv "bad/wal/${seg[2]}" "bad/wal/${seg[1]}" && mv bad/x "bad/wal/${seg[2]}" && both swapped
fresh && cat "good/wal/${seg[0]}" >>"bad/wal/${seg[0]}" && both repeated
fresh && sed -i '2s/3000/2999/' bad/checkpoint && both head-size 'does not verify'
fresh && cp log5000/checkpoint bad/ && both head-of-another 'covers 5000'
key=$(sed 's/+.*//' good/vkey)+00000000+AAAA
fresh && "$audit" verify bad --key "$key" >/dev/null 2>&1
[ $? = 2 ] && ok bad-key || fail bad-key "a broken key is not a usage error"
unset key

# The log of a real broker, where there is one.
if [ -x "$MAYFLY_BIN/mayfly" ]; then
	. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
	dev_policy policy.yaml
	dev_start --policy policy.yaml
	for _ in 1 2 3; do run_job long mayfly svid fetch >/dev/null || fail job "mayfly svid fetch"; done
	dir=
	for d in "$MAYFLY_STATE/log" "$MAYFLY_STATE/broker/log"; do [ ! -d "$d/wal" ] || dir=$d; done
	if [ -n "$dir" ]; then
		says live-ours '^ok' "$audit" verify "$dir" --key "$dir/vkey"
		dev_stop
		says live-go 'ok signed=[1-9][0-9]* unsigned=0' "$go" "$dir" "$(cat "$dir/vkey")"
		says live-issued 'svid.issued' "$audit" find "$dir" --key "$dir/vkey" --type svid.issued
	else
		fail live "no log under $MAYFLY_STATE"
	fi
else
	skip live "there is no $MAYFLY_BIN/mayfly yet"
fi
finish
