#!/bin/bash
# A copy of the OIDC documents that somebody else serves: the broker reads it through its courier as a cloud would. A key that the copy
# lacks waits, with the cure; a key that is not ours is an alarm and stops activation, too.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need curl
scratch oidc_copy
port=$(free_port)
issuer=http://127.0.0.1:$port
mkdir site
/usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/issuer.py" serve "$port" "$PWD/site" >site.log 2>&1 </dev/null &
on_exit stop $!
poll 60 grep -qs '^ready' site.log || { fail site "$(cat site.log)"; finish; }
pair_init key_publish 1s oidc "{issuer: $issuer}" cloud_targets "[{name: store, backend: aws-sts, endpoint: $issuer, region: us-east-1, loopback: true}]"
broker_up
use=jwt-assertion-rs256
copy() { mayfly oidc export site >copy.log 2>&1; }
seen() { grep -q "\"oidc.$1\"" broker.log; }
activation() { mayfly key ls -o json | json 'next((k["activation"] for k in d["items"] if k["use"] == "'$use'" and k["state"] == "prepared"), "")'; }
waits_for() { activation >activation.log && grep -qF -- "$1" activation.log; }
poll 90 seen away && ok nothing-there || fail nothing-there "$(tail -3 broker.log)"
check export copy
check prepare mayfly key prepare --use $use
poll 90 waits_for 'oidc export' && ok waits-with-the-cure || fail waits-with-the-cure "$(cat activation.log)"
refuses stale-is-not-activated mayfly key activate --use $use
check export-again copy
poll 90 waits_for ready && ok the-copy-shows-it || fail the-copy-shows-it "$(cat activation.log) $(tail -3 broker.log)"
poll 90 seen same && ok said-so || fail said-so "$(tail -3 broker.log)"
# Somebody adds a key of their own.
/usr/bin/python3 - site/keys <<'P'
import json, sys
d = json.load(open(sys.argv[1]))
d["keys"].append({**d["keys"][0], "kid": "another", "n": d["keys"][0]["n"][::-1]})
json.dump(d, open(sys.argv[1], "w"))
P
poll 90 waits_for 'not ours' && ok foreign-key || fail foreign-key "$(cat activation.log)"
grep '"oidc.foreign"' broker.log | grep -q '"level":"error"' && ok alarm || fail alarm "$(grep oidc broker.log | tail -3)"
refuses foreign-is-not-activated mayfly key activate --use $use
check export-repairs copy
poll 90 waits_for ready && mayfly key activate --use $use >act.log 2>&1 && ok activated || fail activated "$(cat activation.log act.log)"
grep -q violation broker.log && fail no-violation "$(grep violation broker.log)" || ok no-violation
finish
