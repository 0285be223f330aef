# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh and toolchains.sh, in a scratch directory: one Ceph monitor, one memory store and one radosgw on
# loopback, below $PWD/ceph, as whoever runs the test. Its S3, STS and IAM are the real ones; nothing of it survives the test.
#
#   rgw_here                 are Ceph's programs and the pinned boto3 here? Skips the whole script otherwise
#   rgw_up [SETTING...]      start all; SETTING is a line of ceph.conf's [client.rgw.a]. Sets rgw_url; stopped at the end
#   rgw_off, rgw_on          the gateway alone, with all it stores kept: an object store that is away for a while
#   rgw VERB...              the administrator, or with RGW_CREDS=FILE the bearer of a credential (tests/lib/sh/rgw.py)
#   rgw_allow ACTIONS RESOURCES [ACTIONS RESOURCES]...   a policy document, from words divided by commas
#   issuer VERB...           a token issuer made by hand (tests/lib/sh/issuer.py)
#   issuer_up DIR [PEM]      serve DIR as an issuer's documents, https with PEM (key and chain); sets issuer_url
#
# rgw_trust=FILE before rgw_up: the certificate authorities that radosgw believes when an issuer is https. It fetches
# the issuer's documents at every AssumeRoleWithWebIdentity, wants `x5c`, and tries the first key only.
rgw_here() {
	local p
	for p in radosgw radosgw-admin ceph-mon ceph-osd ceph ceph-authtool monmaptool; do
		command -v $p >/dev/null || { skip all "$p is not installed (deploy/deps.sh cloud)"; exit 0; }
	done
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

# rgw_answers: an HTTP status line comes back
rgw_answers() {
	local line
	exec 3<>"/dev/tcp/127.0.0.1/${rgw_url##*:}" || return 1
	printf 'GET / HTTP/1.0\r\n\r\n' >&3
	IFS= read -r -t 5 line <&3
	exec 3>&-
	[[ $line == HTTP/* ]]
}
# rgw_daemon PROGRAM ARG...: start one in the foreground of a child, and end it with the test
rgw_daemon() {
	"$@" >>ceph/log/out 2>&1 </dev/null &
	rgw_last=$!
	on_exit stop $rgw_last
}
rgw_failed() {
	fail rgw "$1: $(tail -3 ceph/log/out; tail -n 3 ceph/log/*.log 2>/dev/null)"
	finish
}
rgw_conf() {	# MON-PORT S3-PORT [SETTING...]
	local mon=$1 s3=$2 b=$PWD/ceph
	shift 2
	# One store, no copies, maps agreed on at once instead of once a second (that alone saves 10 s of the start).
	cat >ceph/ceph.conf <<-E
	[global]
	fsid = $(cat /proc/sys/kernel/random/uuid)
	mon host = v2:127.0.0.1:$mon/0
	public addr = 127.0.0.1
	auth cluster required = cephx
	auth service required = cephx
	auth client required = cephx
	auth allow insecure global id reclaim = false
	keyring = $b/keyring
	osd pool default size = 1
	osd pool default min size = 1
	osd pool default pg num = 1
	osd pool default pgp num = 1
	osd pool default pg autoscale mode = off
	osd crush chooseleaf type = 0
	mon allow pool size one = true
	paxos propose interval = 0.05
	paxos min wait = 0.02
	osd objectstore = memstore
	memstore device bytes = 536870912
	mon data = $b/mon
	osd data = $b/osd
	run dir = $b/run
	log file = $b/log/\$name.log
	mon cluster log file = $b/log/cluster.log
	admin socket =
	pid file = $b/run/\$name.pid
	[client.rgw.a]
	rgw data = $b/rgw
	rgw frontends = beast endpoint=127.0.0.1:$s3
	rgw thread pool size = 32
	rgw enable apis = s3, sts, iam, admin
	rgw s3 auth use sts = true
	rgw sts key = $(head -c 8 /dev/urandom | od -An -tx1 | tr -d ' \n')
	rgw enable ops log = true
	rgw ops log rados = false
	rgw ops log file path = $b/ops.log
	E
	printf '%s\n' "$@" >>ceph/ceph.conf
}
rgw_keys() {
	local k=ceph/keyring
	ceph-authtool -C $k --gen-key -n mon. --cap mon 'allow *' &&
		ceph-authtool $k --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' &&
		ceph-authtool $k --gen-key -n client.rgw.a --cap mon 'allow rwx' --cap osd 'allow rwx' &&
		ceph-authtool $k --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
}
rgw_up() {
	local mon s3 osd c="-c $PWD/ceph/ceph.conf" t=$SECONDS
	mkdir -p ceph/mon ceph/osd ceph/run ceph/log ceph/rgw
	mon=$(free_port) && s3=$(free_port) || rgw_failed 'no free port'
	rgw_url=http://127.0.0.1:$s3
	rgw_conf "$mon" "$s3" "$@"
	# shellcheck disable=SC2086 # $c is two words
	{
		rgw_keys && monmaptool --create --addv a "[v2:127.0.0.1:$mon]" --fsid "$(sed -n 's/^fsid = //p' ceph/ceph.conf)" ceph/monmap &&
			ceph-mon $c -i a --mkfs --monmap ceph/monmap --keyring ceph/keyring
	} >>ceph/log/out 2>&1 || rgw_failed 'the monitor cannot be made'
	# shellcheck disable=SC2086
	rgw_daemon ceph-mon $c -f -i a
	osd=$(cat /proc/sys/kernel/random/uuid)
	# shellcheck disable=SC2086
	{
		timeout 120 ceph $c osd new "$osd" 0 && ceph-osd $c -i 0 --mkfs --osd-uuid "$osd"
	} >>ceph/log/out 2>&1 </dev/null || rgw_failed 'the store cannot be made'
	# shellcheck disable=SC2086
	rgw_daemon ceph-osd $c -f -i 0
	rgw_on
	export RGW_ADMIN_KEY RGW_ADMIN_SECRET
	RGW_ADMIN_KEY=$(head -c 10 /dev/urandom | od -An -tx1 | tr -d ' \n')
	RGW_ADMIN_SECRET=$(head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n')
	# shellcheck disable=SC2086
	timeout 120 radosgw-admin $c --no-mon-config user create --uid=admin --display-name=admin --access-key="$RGW_ADMIN_KEY" \
	    --secret-key="$RGW_ADMIN_SECRET" --caps='roles=*;oidc-provider=*;users=*' >ceph/log/admin 2>&1 </dev/null ||
		rgw_failed "no administrator: $(tail -2 ceph/log/admin)"
	echo "radosgw is up after $((SECONDS - t)) s, load $(cut -d' ' -f1 /proc/loadavg)"
}
rgw_on() {
	local c="-c $PWD/ceph/ceph.conf" within=()
	if [ -n "${rgw_trust:-}" ]; then
		# Its HTTP client knows one list of authorities, the machine's: here, in a mount namespace of its own.
		within=(unshare -m)
		[ "$(id -u)" = 0 ] || within=(unshare -r -m)
		# shellcheck disable=SC2016 # the inner shell's words
		within+=(sh -c 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"' "$(realpath "$rgw_trust")")
	fi
	# shellcheck disable=SC2086
	rgw_daemon "${within[@]}" radosgw $c -f -n client.rgw.a --no-mon-config
	rgw_pid=$rgw_last
	poll 120 rgw_answers || rgw_failed 'the gateway does not answer'
}
rgw_off() { stop "$rgw_pid"; }

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
