# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after servers.sh: an object store on loopback, which is a real one: Ceph's monitor, one store in memory, and radosgw with
# S3, STS and IAM. The demo and the tests start it by this file.
#
#   store_missing              prints what of Ceph is not installed; nothing when all is there
#   store_up DIR [SETTING...]  start all three below DIR, which is made; SETTING is a line of ceph.conf's [client.rgw.a]. Sets store_url,
#                              and store_key and store_secret: its administrator's. Returns 1 after saying why on stderr
#   store_off, store_on        the gateway alone, with all it stores kept: an object store that is away for a while
#   store_stop                 stop all by pid and wait. What they stored was in memory; DIR stays
#
#   store_user=NAME            before store_up, for root: who runs them (default: who runs this)
#   store_trust=FILE           before store_up: the certificate authorities that radosgw believes when an issuer is https. It fetches the
#                              issuer's documents at every AssumeRoleWithWebIdentity, wants `x5c`, and tries the first key only
store_pids=() store_gateway='' store_user=${store_user:-} store_trust=${store_trust:-}
store_missing() {
	local p
	for p in radosgw radosgw-admin ceph-mon ceph-osd ceph ceph-authtool monmaptool; do
		command -v $p >/dev/null || echo "$p is not installed (deploy/deps.sh cloud)"
	done
}
store_sh() {	# how a command is run as store_user, in ${store_how[@]}
	store_how=()
	[ -z "$store_user" ] || store_how=(setpriv --reuid "$store_user" --regid "$(id -g "$store_user")" --clear-groups --)
}
store_do() {
	local store_how
	store_sh
	timeout 120 "${store_how[@]}" "$@" >>"$store_dir/log/out" 2>&1 </dev/null
}
store_daemon() {	# PROGRAM ARG...: in the foreground of a child
	"$@" >>"$store_dir/log/out" 2>&1 </dev/null &
	store_pids+=($!)
}
store_failed() {
	echo "store: $1: $(tail -n 3 "$store_dir"/log/out "$store_dir"/log/*.log 2>/dev/null)" >&2
	return 1
}
store_conf() {	# MON-PORT S3-PORT [SETTING...]
	local mon=$1 s3=$2 b=$store_dir
	shift 2
	# One store, no copies, maps agreed on at once instead of once a second (that alone saves 10 s of the start).
	cat >"$b/ceph.conf" <<-E
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
	printf '%s\n' "$@" >>"$b/ceph.conf"
}
store_keys() {
	local k=$store_dir/keyring
	store_do ceph-authtool -C "$k" --gen-key -n mon. --cap mon 'allow *' &&
		store_do ceph-authtool "$k" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' &&
		store_do ceph-authtool "$k" --gen-key -n client.rgw.a --cap mon 'allow rwx' --cap osd 'allow rwx' &&
		store_do ceph-authtool "$k" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
}
store_up() {
	local mon s3 osd store_how c
	store_dir=$1
	shift
	mkdir -p "$store_dir"/{mon,osd,run,log,rgw}
	c=(-c "$store_dir/ceph.conf")
	mon=$(demo_free_port) && s3=$(demo_free_port) || store_failed 'no free port' || return 1
	store_url=http://127.0.0.1:$s3
	(umask 077 && store_conf "$mon" "$s3" "$@")
	[ -z "$store_user" ] || chown -R "$store_user" "$store_dir"
	{
		store_keys &&
			store_do monmaptool --create --addv a "[v2:127.0.0.1:$mon]" --fsid "$(sed -n 's/^fsid = //p' "$store_dir/ceph.conf")" "$store_dir/monmap" &&
			store_do ceph-mon "${c[@]}" -i a --mkfs --monmap "$store_dir/monmap" --keyring "$store_dir/keyring"
	} || store_failed 'the monitor cannot be made' || return 1
	store_sh
	store_daemon "${store_how[@]}" ceph-mon "${c[@]}" -f -i a
	osd=$(cat /proc/sys/kernel/random/uuid)
	{
		store_do ceph "${c[@]}" osd new "$osd" 0 && store_do ceph-osd "${c[@]}" -i 0 --mkfs --osd-uuid "$osd"
	} || store_failed 'the store cannot be made' || return 1
	store_daemon "${store_how[@]}" ceph-osd "${c[@]}" -f -i 0
	store_on || return 1
	store_key=$(head -c 10 /dev/urandom | od -An -tx1 | tr -d ' \n')
	store_secret=$(head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n')
	timeout 120 "${store_how[@]}" radosgw-admin "${c[@]}" --no-mon-config user create --uid=admin --display-name=admin --access-key="$store_key" \
	    --secret-key="$store_secret" --caps='roles=*;oidc-provider=*;users=*' >"$store_dir/log/admin" 2>&1 </dev/null ||
		store_failed "no administrator: $(tail -2 "$store_dir/log/admin")"
}
store_answers() {	# an HTTP status line comes back
	local line
	exec 3<>"/dev/tcp/127.0.0.1/${store_url##*:}" || return 1
	printf 'GET / HTTP/1.0\r\n\r\n' >&3
	IFS= read -r -t 5 line <&3
	exec 3>&-
	[[ $line == HTTP/* ]]
}
store_on() {
	local within=() store_how
	if [ -n "$store_trust" ]; then
		# Its HTTP client knows one list of authorities, the machine's: here, in a mount namespace of its own.
		within=(unshare -m)
		[ "$(id -u)" = 0 ] || within=(unshare -r -m)
		# shellcheck disable=SC2016 # the inner shell's words
		within+=(sh -c 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"' "$(realpath "$store_trust")")
	fi
	store_sh
	store_daemon "${within[@]}" "${store_how[@]}" radosgw -c "$store_dir/ceph.conf" -f -n client.rgw.a --no-mon-config
	store_gateway=${store_pids[-1]}
	demo_poll 120 store_answers || store_failed 'the gateway does not answer'
}
store_end() {	# PID
	kill -TERM "$1" 2>/dev/null || true
	demo_poll 60 eval "! kill -0 $1" || kill -KILL "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}
store_off() {
	store_end "$store_gateway"
	unset 'store_pids[-1]'	# the last one started
}
store_stop() {
	local i
	for ((i = ${#store_pids[@]} - 1; i >= 0; i--)); do store_end "${store_pids[i]}"; done
	store_pids=() store_gateway=''
}
