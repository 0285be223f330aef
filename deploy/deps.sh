#!/bin/sh
# The one list of Debian packages that Mayfly needs, and how they are installed.
#
#   deploy/deps.sh [--list | --plan] [GROUP...]      GROUP: build, demo, test (default: these three), cloud, sdks
#
# --list prints the packages, --plan what is missing and what it would cost; neither changes anything.
# Installs only what is missing, says before what and how much, and leaves no service running or enabled:
# the demo and the tests start their own servers and stop them. Debian 12 and 13, Ubuntu 22.04 and 24.04.
set -eu

# shellcheck disable=SC2034 # read by name, below
build='gcc libc6-dev cmake ninja-build pkg-config protobuf-compiler protobuf-c-compiler libprotobuf-c-dev
libcurl4-openssl-dev libevent-dev libnghttp2-dev libjansson-dev libssl-dev libsqlite3-dev libyaml-dev libseccomp-dev libcap-ng-dev
uthash-dev openssl'
# shellcheck disable=SC2034
demo='nginx postgresql python3 python3-sklearn python3-psycopg2 util-linux'
# shellcheck disable=SC2034
test='libcmocka-dev g++ clang clang-format llvm libclang-rt-dev strace git python3 python3-venv procps shellcheck
iproute2 ca-certificates curl valgrind runc busybox-static zsh groff-base openssh-client debhelper lintian systemd man-db'
# An object store with roles and a token service, for the suite `cloud`: not among what is installed unasked.
# shellcheck disable=SC2034
cloud='radosgw ceph-mon ceph-osd ceph-common openssl python3 python3-venv ca-certificates util-linux'
# For the SDKs that the suite `cloud` runs against it.
# shellcheck disable=SC2034
sdks='default-jdk-headless maven'

list=0 plan_only='' groups=
for a in "$@"; do
	case $a in
	--list) list=1 ;;
	--plan) plan_only=1 ;;
	build | demo | test | cloud | sdks) groups="$groups $a" ;;
	*) echo "deps: unknown argument '$a': deploy/deps.sh [--list | --plan] [build|demo|test|cloud|sdks]..." >&2; exit 2 ;;
	esac
done
want=
for g in ${groups:-build demo test}; do
	eval "want=\"\$want \$$g\""
done
# A Go toolchain is fetched by Go itself, pinned (tests/lib/sh/go.sh); any Go can do that.
case "${groups:-build demo test}" in
*test*) command -v go >/dev/null || [ -x /usr/local/go/bin/go ] || want="$want golang-go" ;;
esac
# shellcheck disable=SC2086 # word lists
want=$(printf '%s\n' $want | sort -u)
if [ $list = 1 ]; then
	echo "$want"
	exit 0
fi

if ! command -v apt-get >/dev/null; then
	echo "deps: this script knows apt-get only. Install the equivalents of:" $want >&2
	exit 1
fi
have() {	# is package $1 installed?
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}
missing=
for p in $want; do
	have "$p" || missing="$missing $p"
done
if [ -z "$missing" ]; then
	echo "deps: all $(echo "$want" | wc -l) packages are installed"
	exit 0
fi
sudo=
if [ "$(id -u)" != 0 ] && [ -z "$plan_only" ]; then
	sudo=$(command -v sudo || true)
	if [ -z "$sudo" ]; then
		echo "deps: missing:$missing" >&2
		echo "deps: not root, and there is no sudo. As root: apt-get install --no-install-recommends$missing" >&2
		exit 1
	fi
fi
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
apt() {
	# shellcheck disable=SC2086 # $sudo is empty or one word
	$sudo apt-get -o Dpkg::Use-Pty=0 "$@"
}
# shellcheck disable=SC2086
if ! apt -s install --no-install-recommends $missing >/dev/null 2>&1; then
	if [ -n "$plan_only" ]; then
		echo "deps: missing:$missing"
		echo "deps: what they cost is not known before apt-get update"
		exit 0
	fi
	echo "deps: fetching the list of packages (apt-get update)"
	apt -qq update
fi
# shellcheck disable=SC2086
if ! plan=$(apt -s install --no-install-recommends $missing 2>&1); then
	echo "$plan" | tail -8 >&2
	echo "deps: apt cannot install these packages here; is 'main' among the sources?" >&2
	exit 1
fi
new=$(echo "$plan" | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
# shellcheck disable=SC2086
fetch=$(apt -y --print-uris install --no-install-recommends $missing 2>/dev/null |
	awk "/^'/ { s += \$3 } END { printf \"%.0f\", s / 1e6 }")
# shellcheck disable=SC2086
disk=$(apt-cache --no-all-versions show $new 2>/dev/null |
	awk '/^Installed-Size:/ { s += $2 } END { printf "%.0f", s / 1024 }')
echo "deps: missing:$missing"
echo "deps: installs $(echo "$new" | wc -l) packages with what they need: $fetch MB to fetch, $disk MB on disk"
[ -z "$plan_only" ] || exit 0

# No service may start (policy-rc.d), no database cluster may be made, nothing may be enabled.
root() { if [ -n "$sudo" ]; then "$sudo" "$@"; else "$@"; fi; }
policy=/usr/sbin/policy-rc.d nocluster=/etc/postgresql-common/createcluster.d/mayfly-deps.conf made=
cleanup() {
	for f in $made; do root rm -f "$f"; done
}
trap cleanup EXIT
trap 'exit 130' INT TERM
if [ ! -e $policy ]; then
	made="$made $policy"
	printf '#!/bin/sh\nexit 101\n' | root tee $policy >/dev/null
	root chmod 755 $policy
fi
# PACKAGE:UNIT, of packages that were not here before
services=
for s in nginx:nginx.service postgresql:postgresql.service ceph-common:rbdmap.service ceph-base:ceph.target \
    ceph-base:ceph-crash.service ceph-mon:ceph-mon.target ceph-osd:ceph-osd.target radosgw:ceph-radosgw.target \
    radosgw:radosgw.service smartmontools:smartmontools.service; do
	have ${s%:*} || services="$services $s"
done
root mkdir -p "${nocluster%/*}"
made="$made $nocluster"
echo 'create_main_cluster = false' | root tee $nocluster >/dev/null
log=$(mktemp)
# shellcheck disable=SC2086
if ! apt -y install --no-install-recommends $missing >"$log" 2>&1 </dev/null; then
	tail -20 "$log" >&2
	echo "deps: apt-get failed; the whole output is in $log" >&2
	exit 1
fi
rm -f "$log"
for s in $services; do
	if have "${s%:*}"; then
		s=${s#*:}
		if [ -d /run/systemd/system ]; then
			root systemctl -q disable --now "$s" 2>/dev/null || true
		fi
		root update-rc.d "${s%.*}" disable >/dev/null 2>&1 || true
	fi
done
for p in $missing; do
	have "$p" || { echo "deps: $p is still missing after apt-get" >&2; exit 1; }
done
echo "deps: done; no service was started or enabled"
