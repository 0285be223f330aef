# shellcheck shell=bash
# Sourced after common.sh and dev.sh, in a scratch directory.
#
#   doctor NAME EXIT PROFILE [LEVEL CODE SIDE]...   `mayfly doctor --profile` ends with that exit code and has these findings;
#                                                   whatever is not fine has a cause and a cure. NAME.json and NAME.why stay
doctor() {
	local name=$1 want=$2 rc=0
	mayfly doctor --profile "$3" -o json >"$1.json" 2>"$1.err" || rc=$?
	shift 3
	[ $rc = "$want" ] || { fail "$name" "exit code $rc: $(cat "$name.json" "$name.err")"; return; }
	/usr/bin/python3 - "$name.json" "$@" >"$name.why" <<-'E' && ok "$name" || fail "$name" "$(cat "$name.why")"
	import json, sys
	items = json.load(open(sys.argv[1]))["items"]
	seen = {i["code"]: i for i in items}
	want = sys.argv[2:]
	bad = [w for w in zip(want[::3], want[1::3], want[2::3])
	       if w[1] not in seen or seen[w[1]]["level"] != w[0] or seen[w[1]]["side"] != w[2]]
	bad += [i for i in items if i["level"] != "ok" and not (i["cause"] and i["cure"])]
	print(bad, *[(i["level"], i["code"], i["side"], i["cause"], i["cure"]) for i in items if i["level"] != "ok" or bad])
	sys.exit(bool(bad))
	E
}
