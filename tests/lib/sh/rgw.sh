# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh and toolchains.sh, in a scratch directory: one Ceph monitor, one memory store and one radosgw on
# loopback, below $PWD/ceph, as whoever runs the test (deploy/demo/store.sh, by which the demo starts it too). Its S3, STS and IAM are
# the real ones; nothing of it survives the test.
#
#   rgw_here                 are Ceph's programs and the pinned boto3 here? Skips the whole script otherwise
#   rgw_up [SETTING...]      start all; SETTING is a line of ceph.conf's [client.rgw.a]. Sets rgw_url; stopped at the end
#   rgw_off, rgw_on          the gateway alone, with all it stores kept: an object store that is away for a while
#   rgw VERB...              the administrator, or with RGW_CREDS=FILE the bearer of a credential (tests/lib/sh/rgw.py)
#   rgw_allow ACTIONS RESOURCES [ACTIONS RESOURCES]...   a policy document, from words divided by commas
#   issuer VERB...           a token issuer made by hand (tests/lib/sh/issuer.py)
#   issuer_up DIR [PEM]      serve DIR as an issuer's documents, https with PEM (key and chain); sets issuer_url
#
# rgw_trust=FILE before rgw_up: the certificate authorities that radosgw believes when an issuer is https.
. "$MAYFLY_TOP/deploy/demo/servers.sh"
. "$MAYFLY_TOP/deploy/demo/store.sh"
rgw_here() {
	local missing
	missing=$(store_missing | head -1)
	[ -z "$missing" ] || { skip all "$missing"; exit 0; }
	rgw_py=$(python_with "$MAYFLY_TOP/tests/cloud/boto/requirements.txt") || { skip all "$(toolchain_why)"; exit 0; }
}
rgw() {
	env -u AWS_PROFILE AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null RGW_URL="$rgw_url" \
	    "$rgw_py" "$MAYFLY_TOP/tests/lib/sh/rgw.py" "$@"
}
rgw_allow() {
	local out='' sep='' list='"%s"'
	while [ $# -gt 1 ]; do
		# shellcheck disable=SC2059 # the format is ours
		out+="$sep{\"Effect\":\"Allow\",\"Action\":[$(printf "$list" "${1//,/\",\"}")],\"Resource\":[$(printf "$list" "${2//,/\",\"}")]}" sep=,
		shift 2
	done
	printf '{"Version":"2012-10-17","Statement":[%s]}' "$out"
}
issuer() { /usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/issuer.py" "$@"; }

rgw_up() {
	local t=$SECONDS
	store_trust=${rgw_trust:-}
	on_exit store_stop
	store_up "$PWD/ceph" "$@" 2>rgw.err || { fail rgw "$(cat rgw.err)"; finish; }
	rgw_url=$store_url rgw_pid=$store_gateway
	export RGW_ADMIN_KEY=$store_key RGW_ADMIN_SECRET=$store_secret
	echo "radosgw is up after $((SECONDS - t)) s, load $(cut -d' ' -f1 /proc/loadavg)"
}
rgw_on() {
	store_on 2>rgw.err || { fail rgw "$(cat rgw.err)"; finish; }
	rgw_pid=$store_gateway
}
rgw_off() { store_off; }

issuer_up() {
	local port scheme=http
	port=$(free_port)
	[ $# = 1 ] || scheme=https
	issuer serve "$port" "$@" >>"$1.log" 2>&1 </dev/null &
	issuer_pid=$!
	on_exit stop $issuer_pid
	poll 60 grep -qs '^ready' "$1.log" || { fail issuer "$(tail -3 "$1.log")"; finish; }
	issuer_url=$scheme://localhost:$port
}
