# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh and toolchains.sh, in a scratch directory: oidc-provider, an OAuth authorization server, with one
# protected resource behind it (tests/cloud/oidc/server.mjs), on loopback.
#
#   oidc_here            are Node and the pinned packages here? Skips the whole script otherwise
#   oidc_up NAME         start it with NAME.json, whose "port" is put in; sets oidc_url and oidc_pid; stopped at the end.
#                        The log is NAME.log
#   oidc_ca=FILE         before oidc_up: authorities that it believes when it fetches keys by https
#   oidc_port=PORT       before oidc_up: there, not at a free one
oidc_here() {
	oidc_modules=$(node_modules "$MAYFLY_TOP/tests/cloud/oidc") || { skip all "$(toolchain_why)"; exit 0; }
	# oidc-provider 9 parses URLs as Node 22 and late 20 do.
	node -e 'process.exit(typeof URL.parse === "function" ? 0 : 1)' || { skip all "Node $(node --version) is too old for oidc-provider"; exit 0; }
}
oidc_up() {
	local port scheme=http
	port=${oidc_port:-$(free_port)}
	mkdir -p oidc
	[ -e oidc/node_modules ] || ln -s "$oidc_modules" oidc/node_modules
	cp "$MAYFLY_TOP/tests/cloud/oidc/server.mjs" oidc/
	/usr/bin/python3 -c 'import json, sys; c = json.load(open(sys.argv[1])); c["port"] = int(sys.argv[2]); json.dump(c, open(sys.argv[1], "w"))' \
	    "$1.json" "$port"
	! grep -q '"tls"' "$1.json" || scheme=https
	NODE_EXTRA_CA_CERTS=${oidc_ca:-} node oidc/server.mjs "$1.json" >>"$1.log" 2>&1 </dev/null &
	oidc_pid=$!
	on_exit stop $oidc_pid
	poll 120 grep -qs '^ready' "$1.log" || { fail oidc-provider "$(tail -5 "$1.log")"; finish; }
	oidc_url=$scheme://localhost:$port
}
